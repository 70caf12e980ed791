/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The replication of tables as a state machine: no sockets, no clock, no threads. What happens goes in (writes, bytes,
 * links that come and go, the time), what follows comes out through struct replica_out. The caller
 * serialises the calls. docs/cluster.md says what is promised, docs/cluster-protocol.md how the bytes look.
 *
 * Every node holds the records of all. Each numbers its own operations; the others apply them in that order. A peer is told
 * of the operations that it lacks while they are in the log, else of all records that are older than the
 * moment of its coming (a snapshot), beside the operations that happen meanwhile. Nothing ever waits for a peer to come.
 */
#ifndef CETS_REPLICA_H
#define CETS_REPLICA_H

#include <meerkat/base.h>
#include <meerkat/store.h>
#include <meerkat/tables.h>

#define REPLICA_PROTOCOL_MIN 1
#define REPLICA_PROTOCOL_MAX 1
#define REPLICA_FRAME_MAX (4u << 20)    /* bytes of a frame without its length */
#define REPLICA_FRAME_HEAD 5            /* length and type */

struct replica;
struct link;
struct peer;

struct replica_config {
    const char *cluster;
    const char *name;
    uint16_t number;
    uint64_t incarnation;       /* random, never 0: this life of the node */
    uint64_t start;             /* ms of the wall clock: which of two nodes of one name is the later */
    struct mk_str info;         /* shown to the peers when they connect */
    uint64_t heartbeat;         /* ms between signs of life on a link */
    uint64_t dead_after;        /* ms without any: the link is given up */
    uint64_t grace;             /* ms without a link: the node is gone */
    uint64_t digest_every;      /* ms between comparisons */
    size_t log_keep;            /* bytes of operations kept for peers that come back */
    size_t log_max;             /* bytes kept for a slow peer before it gets a snapshot instead */
};

enum replica_note {
    REPLICA_CONNECTED,          /* a link to a peer works */
    REPLICA_JOINED,             /* all its records are here, and it has all of ours */
    REPLICA_SUSPECTED,          /* its link is lost */
    REPLICA_LEFT,               /* it said that it goes: its records are dropped */
    REPLICA_GONE,               /* not seen for the grace period: its records are dropped */
    REPLICA_REFUSED,            /* a peer was refused; text says why */
    REPLICA_REFUSED_BY,         /* a peer refuses us */
    REPLICA_DUPLICATE,          /* we are the later of two with one name or number: this node must not go on */
    REPLICA_REPAIRED,           /* digests differed: the records are sent anew */
    REPLICA_SNAPSHOT,           /* all records are being sent to a peer */
    REPLICA_BROKEN,             /* a peer sent nonsense */
};

struct replica_out {
    void *arg;
    /* A record came, changed or went (one of them NULL); valid during the call. */
    void (*changed)(void *arg, unsigned table, const struct mk_entry *now,
                    const struct mk_entry *old);
    /* A write that somebody waits for is done. */
    void (*done)(void *arg, void *waiter, enum mk_table_result result);
    /* There is something to pull for this link, which had nothing before. */
    void (*wake)(void *arg, struct link *link);
    /* End this link; replica_link_down must follow, now or later. */
    void (*close)(void *arg, struct link *link, const char *why);
    /* For the log and the events. `peer` may be NULL where `text` says who. */
    void (*note)(void *arg, enum replica_note what, struct peer *peer, const char *text);
};

enum peer_state {
    PEER_CONNECTED,             /* linked, not in sync yet */
    PEER_JOINED,                /* in sync, both ways */
    PEER_SUSPECTED,             /* no link, within the grace period */
    PEER_GONE,                  /* left or expired: nothing of it is here */
};

/* What is shown to peers that connect from now on; copied. */
void replica_set_info(struct replica *r, struct mk_str info);
struct mk_str replica_info(const struct replica *r);    /* borrowed */

struct peer_view {
    const char *name;
    uint16_t number;
    uint64_t incarnation;
    enum peer_state state;
    size_t records;             /* of that node, here */
    uint64_t applied;           /* its last operation that is here */
    uint64_t acked;             /* our last operation that is there */
    struct link *link;          /* NULL: none */
    struct mk_str info;         /* what it showed */
    uint64_t connected;         /* ms: when its last link stood */
    bool apart;                 /* one of us gave the other up since it joined last */
};

struct replica_counts {
    uint64_t operations_out, operations_in, snapshots_out, snapshot_records_in, repairs, broken;
    uint64_t log_bytes, log_restarts;
    uint64_t claims_lost;
};

struct replica *replica_new(const struct replica_config *config, const struct replica_out *out);
void replica_free(struct replica **r);
/* Before the first link: the number that the discovery gave. */
void replica_set_number(struct replica *r, uint16_t number);

/* -- tables and writes ---------------------------------------------------------------------- */

/* The number of the table of this name, which is made if need be. */
unsigned replica_table(struct replica *r, const char *name, unsigned version);
unsigned replica_table_count(const struct replica *r);
const char *replica_table_name(const struct replica *r, unsigned table);
unsigned replica_table_version(const struct replica *r, unsigned table);
struct mk_store *replica_store(const struct replica *r, unsigned table);

/* Sizes as in store.h must hold. `waiter` (NULL: nobody) is told once, within the call or later. */
void replica_put(struct replica *r, unsigned table, struct mk_str group, struct mk_str key,
                 struct mk_str value);
void replica_remove(struct replica *r, unsigned table, struct mk_str group, struct mk_str key);
/* Tells `waiter` when every joined peer has applied all that was written until now. */
void replica_wait(struct replica *r, void *waiter, uint64_t deadline);
/* Puts a record if nobody has one of this group and key, on all nodes. `wall` is ms of the wall clock. */
void replica_claim(struct replica *r, unsigned table, struct mk_str group, struct mk_str key,
                   struct mk_str value, void *waiter, uint64_t now, uint64_t deadline, uint64_t wall);

/* -- links ---------------------------------------------------------------------------------- */

/* A connection exists, dialled by us or not. The link lives until replica_link_down. */
struct link *replica_link_up(struct replica *r, bool dialled, void *driver, uint64_t now);
void replica_link_down(struct replica *r, struct link *link, uint64_t now);
void *replica_link_driver(const struct link *link);
struct peer *replica_link_peer(const struct link *link);    /* NULL before its greeting */
/* One frame without its length: type and payload. */
void replica_receive(struct replica *r, struct link *link, struct mk_str frame, uint64_t now);
/* Appends frames to `out`, up to about `room` bytes; `bulk` allows parts of a snapshot. True when more is there. */
bool replica_pull(struct replica *r, struct link *link, struct mk_buf *out, size_t room, bool bulk,
                  uint64_t now);

/* -- time and membership --------------------------------------------------------------------- */

void replica_tick(struct replica *r, uint64_t now, uint64_t wall);
/* This node goes: says so on all links. */
void replica_leave(struct replica *r);
/* Which nodes there should be, this one aside, as the discovery says. Those that are new have the grace period to be
 * reached; until then this node is not ready and decides no claims. */
void replica_expect(struct replica *r, const char *const *names, size_t count, uint64_t now);
/* In sync with all that are connected, and connected with all that are expected or had their time. */
bool replica_ready(const struct replica *r);
/* During `changed`: the record goes because its node is gone, not because that removed it. */
bool replica_is_losing(const struct replica *r);
/* How many of our operations some joined peer has not confirmed. */
uint64_t replica_lag(const struct replica *r);
/* The number of our last operation. */
uint64_t replica_seq(const struct replica *r);
struct peer *replica_peer_next(const struct replica *r, const struct peer *after);
void replica_peer_view(const struct peer *peer, struct peer_view *out);
/* It has joined, and everybody was told whether we were apart. */
void replica_peer_met(struct peer *peer);
/* The peer that has this number and is not gone; NULL: none. */
struct peer *replica_peer_of(const struct replica *r, uint16_t number);
struct replica_counts replica_counts(const struct replica *r);

#endif
