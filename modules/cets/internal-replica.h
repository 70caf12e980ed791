/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The replica from the inside: what its files share. */
#ifndef CETS_INTERNAL_REPLICA_H
#define CETS_INTERNAL_REPLICA_H

#include "oplog.h"
#include "replica.h"
#include "wire.h"

/* Of the records of one owner in one table: sums match when the records do. */
struct digest {
    uint64_t count, sum;
};

struct table {
    char *name;
    unsigned version;
    struct mk_store *store;
    struct digest own;
};

/* Records of one owner, in the order of their numbers. */
struct records {
    struct mk_entry *first, *last;
    size_t count;
};

struct peer {
    struct peer *next;
    char *name;
    uint16_t number;
    uint64_t incarnation, start;
    char *info;
    size_t info_len;
    enum peer_state state;
    struct link *link;          /* NULL: none */
    uint64_t down_since, connected;
    /* What it told us. */
    struct records records;
    uint64_t applied;
    bool complete;              /* its records are all here, up to `applied` */
    bool mark;                  /* records of the snapshot under way carry it */
    uint64_t snapshot;          /* its number when the snapshot began */
    unsigned *map;              /* its table numbers to ours */
    size_t map_len;
    struct digest *digests;     /* by our table number */
    size_t digests_len;
    /* What it has of us. */
    uint64_t acked;
    bool has_all;               /* it said that it is complete */
    bool apart;                 /* one of us gave the other up since it joined last */
};

struct link {
    struct link *next;
    void *driver;
    struct peer *peer;          /* NULL before its HELLO */
    bool dialled, closing, woken;
    bool flowing;               /* its STATE came: `at` is set */
    struct mk_buf control;      /* frames to send first */
    struct cursor at;
    bool ack_due, ping_due, digest_due;
    bool snapping;              /* records before `snapshot` are being sent, from `walk` on */
    bool snap_end_due;
    uint64_t snapshot;
    struct mk_entry *walk;
    uint64_t last_in, last_out;
};

struct waiter {
    struct waiter *next;
    void *cookie;
    uint64_t seq, deadline;
    bool alone;
};

/* A claim of ours under way. */
struct claim {
    struct claim *next;
    uint64_t id;
    unsigned table;
    char *bytes;
    struct mk_str group, key, value;
    void *waiter;
    uint64_t deadline, wall;
    struct peer *asked;         /* NULL: to be asked (again) */
};

/* A key that we, as its decider, have given to somebody whose record is not here yet. */
struct reservation {
    struct reservation *next;
    unsigned table;
    char *bytes;
    struct mk_str group, key;
    struct peer *peer;
    uint64_t until;
};

/* A node that should be there. */
struct expected {
    char *name;
    uint64_t since;
};

struct replica {
    struct replica_config config;
    char *cluster, *name, *info;
    struct replica_out out;
    uint64_t now;
    struct table *tables;
    size_t table_count;
    struct records own;
    struct oplog log;
    struct peer *peers;
    struct link *links;
    struct waiter *waiters, **waiters_end;
    struct claim *claims;
    struct reservation *reservations;
    uint64_t last_claim;
    struct expected *expected;
    size_t expected_count;
    uint64_t next_digest;
    uint64_t refused_since;     /* peers say that another life of this node is alive; 0: they do not */
    bool leaving, losing;
    struct replica_counts counts;
};

#define RESERVED_MS 10000u

/* replica.c */
void records_add(struct records *list, struct mk_entry *e);
void records_remove(struct replica *r, struct records *list, struct mk_entry *e);
struct mk_entry *entry_from(const struct op *op, unsigned table, uint64_t seq, uint16_t owner);
void digest_add(struct digest *d, const struct mk_entry *e);
void digest_remove(struct digest *d, const struct mk_entry *e);
struct table *table_at(struct replica *r, unsigned table);
void waiters_check(struct replica *r);
void wake(struct replica *r, struct link *link);
void own_put(struct replica *r, const struct op *op);
void own_remove(struct replica *r, unsigned table, struct mk_str group, struct mk_str key);
/* `alone`: for the last operation and no other. */
void wait_for(struct replica *r, void *waiter, uint64_t deadline, bool alone);
/* The operation of this number came to nothing: whoever waits for just this one is told so. */
void wait_lost(struct replica *r, uint64_t seq);

/* member.c: who is who, and what comes and goes with it */
void peer_forget(struct replica *r, struct peer *p, enum replica_note why);
void link_close(struct replica *r, struct link *link, const char *why);
void hello_send(struct replica *r, struct link *link);
void hello_receive(struct replica *r, struct link *link, struct reader *in);
void refused_receive(struct replica *r, struct link *link, struct reader *in);
void leave_receive(struct replica *r, struct link *link);
void peer_check_joined(struct replica *r, struct peer *p);
void members_tick(struct replica *r);
void members_release(struct replica *r);

/* receive.c */
struct digest *peer_digest(struct replica *r, struct peer *p, unsigned table);

/* send.c */
void link_start(struct replica *r, struct link *link, bool known, uint64_t applied);
void link_snapshot(struct replica *r, struct link *link);
void log_trim(struct replica *r);
bool link_has_more(const struct replica *r, const struct link *link);

/* claim.c */
void claim_receive(struct replica *r, struct link *link, struct reader *in);
void claim_answered(struct replica *r, struct link *link, struct reader *in);
/* A claimed record of a peer is here. */
void claim_seen(struct replica *r, struct peer *p, const struct mk_entry *e);
void claims_peer_lost(struct replica *r, struct peer *p);
void claims_tick(struct replica *r, uint64_t wall);
void claims_release(struct replica *r);

#endif
