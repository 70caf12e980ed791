/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Module router: what its files share. */
#ifndef ROUTER_INTERNAL_H
#define ROUTER_INTERNAL_H

#include <meerkat/cluster.h>
#include <meerkat/meerkat.h>
#include <meerkat/router.h>
#include <meerkat/tables.h>

#include <pthread.h>

#define LOCKS 64

struct router_conf {
    char *tables;
    uint64_t keep_size;
};

/* Value of a record in the table "sessions", version 1. */
struct entry {
    uint64_t session;
    uint64_t since;
    uint16_t flags;
    int8_t priority;
    uint8_t reserved[5];
};

/* Stanzas that wait because an earlier one to the same account is held (hook account_in). */
struct waiting {
    struct waiting *next;
    struct mk_session *session;
    struct mk_stanza *stanza;
};

struct queue {
    struct queue *next;
    struct mk_jid *account;     /* bare */
    struct waiting *first, **last;
};

/* keep.c: what other nodes keep for this one, and it for them. */
struct keep_lane;
struct keeper;
struct keeping {
    struct mk_cluster_channel *channel;
    struct keep_lane *lanes;        /* by worker */
    pthread_mutex_t lock;
    struct keeper *keepers;         /* under the lock */
    size_t bytes;                   /* under the lock */
    struct mk_gauge kept;
    struct mk_counter given, full, routed;
};

/* What became of a stanza. */
enum outcome {
    TO_SESSION,                 /* to a session of this node */
    TO_NODE,                    /* to a session of another node */
    TO_HOST,                    /* to the server itself */
    TO_ACCOUNT,                 /* to an account, for which the server answers */
    TO_DOMAIN,                  /* to another domain */
    STORED,                     /* nobody there: kept for later */
    RETURNED,                   /* answered with an error */
    DROPPED,                    /* not for anybody who is there, and not to be answered */
    OUTCOMES
};

struct router {
    struct mk_module *module;
    const struct mk_tables *tables;
    struct mk_table *table;
    struct mk_sessions sessions;
    struct mk_router service;
    const struct mk_cluster *cluster;   /* NULL: one node */
    struct mk_cluster_channel *stanzas, *endings;
    struct keeping *keep;               /* NULL: one node */
    struct {
        struct mk_hook *pre, *account, *host, *offline, *remote, *delivered, *lost;
    } hooks;
    struct queue **queues;      /* by worker: accounts with a held stanza */
    /* By account: a session that ends must not take the record of one that just took its place. Taken when
     * sessions come, go or change, never for a stanza. */
    pthread_mutex_t locks[LOCKS];
    struct mk_gauge online;
    struct mk_counter unroutable, remote, returned, outcomes[OUTCOMES];
};

static inline void
router_count(const struct router *router, enum outcome what)
{
    mk_counter_add(router->outcomes[what], 1);
}

/* router.c */
bool router_find(struct router *router, const struct mk_jid *full, struct mk_resource *out);

/* remote.c: sessions of other nodes */
int router_remote_init(struct router *router, struct mk_module *m, struct mk_error *err) MK_NODISCARD;
void router_remote_send(struct router *router, const struct mk_resource *r, struct mk_stanza *st);
/* The record of a resource went because its node died. Under the lock of the tables. */
void router_remote_lost(struct router *router, const struct mk_record *record);
/* An id for a session of another node that no other resource has. */
mk_session_id router_remote_id(uint32_t node, mk_session_id there);

/* keep.c */
int router_keep_init(struct router *router, struct mk_error *err) MK_NODISCARD;
void router_keep_release(struct router *router);
/* Before a message goes to a session of this node and to no other: sees to it that another node has it too, if somebody
 * waits for that. */
void router_keep(void *router, struct mk_stanza *st);

/* end.c */
int router_end_init(struct router *router, struct mk_error *err) MK_NODISCARD;
void router_end(void *router, const struct mk_resource *r, const char *condition, const char *text,
                void (*done)(bool found, void *arg), void *arg);

/* route.c */
extern const struct mk_hook_hold_ops router_account_hold, router_offline_hold;
void router_route(void *self, struct mk_session *s, struct mk_stanza *st);
void router_undelivered(struct mk_ev_undelivered *ev, void *arg);
/* An account's stanza goes on after the hook account_in. */
void router_to_account(struct router *router, struct mk_ev_route *ev);
void router_reply(struct router *router, struct mk_stanza *st, enum mk_stanza_error error,
                  const char *text);

/* deliver.c: RFC 6121 §8.5 */
void router_deliver(struct router *router, struct mk_ev_route *ev);
/* A stanza that its session gave back or never got. */
void router_deliver_again(struct router *router, struct mk_ev_route *ev);
void router_no_session(struct router *router, struct mk_ev_route *ev);

#endif
