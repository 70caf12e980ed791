/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Module roster: what its files share. */
#ifndef ROSTER_INTERNAL_H
#define ROSTER_INTERNAL_H

#include "snapshot.h"

#include <meerkat/auth.h>
#include <meerkat/c2s.h>
#include <meerkat/cluster.h>
#include <meerkat/meerkat.h>
#include <meerkat/rdbms.h>
#include <meerkat/roster.h>
#include <meerkat/router.h>

#include <pthread.h>

#define SHARDS 64

struct roster_conf {
    int64_t max_items;
    int64_t max_groups;
    uint64_t max_name;
};

/*
 * An account whose roster somebody uses: a session, or a request. There is at most one on a node,
 * and it goes with the last of them.
 */
struct entry {
    struct entry *next;         /* in its shard */
    struct roster *roster;
    uint64_t hash;
    unsigned refs;              /* guarded by the shard */
    struct mk_jid *account;     /* bare */
    struct snapshot *now;       /* atomic, RCU; NULL: not read yet. Written by the home worker */
    struct op *first, **last;   /* the home worker's: what waits, oldest first */
    bool busy;                  /* the home worker's: the first one is in the database */
};

struct shard {
    pthread_mutex_t lock;
    struct entry **buckets;
    size_t bucket_count, count;
};

struct roster {
    struct mk_module *module;
    const struct mk_rdbms *db;
    const struct mk_sessions *sessions;
    const struct mk_cluster *cluster;   /* NULL: one node */
    struct mk_cluster_channel *news;
    struct mk_roster service;
    struct mk_auth_backends auth;       /* for api.c, and: */
    const struct mk_c2s *c2s;           /* NULL: there is no API */
    struct mk_hook *changed;
    unsigned slot;              /* of a session: the entry of its account */
    struct {
        struct mk_sql_stmt *load, *upsert, *remove, *clear_groups, *group, *clear_flags, *flags, *pending, *show;
        struct mk_sql_stmt *wipe[4];
    } sql;
    struct mk_counter loads, changes, failures, refused;
    struct mk_gauge entries;
    struct again *again;        /* by worker */
    struct shard shards[SHARDS];
};

/* A request on an entry. Runs on the account's home worker, one after another. */
struct op {
    struct op *next;
    struct entry *entry;        /* referenced */
    struct mk_jid *contact;     /* NULL: only read the roster */
    enum mk_roster_why why;
    mk_roster_decide_fn decide;
    mk_roster_item_fn changed;
    void *arg;
    enum mk_roster_decision decision;
    struct mk_roster_item item; /* as it is to be */
    bool reload;                /* another node may have changed what is stored: read it first */
    bool perhaps;               /* nobody has said so: what cannot be read stays in force */
};

/* cache.c */
void cache_init(struct roster *r);
void cache_free(struct roster *r);
/* Referenced. Any thread. */
struct entry *entry_get(struct roster *r, const struct mk_jid *account) MK_NODISCARD;
/* The same, or NULL when nobody uses this account's roster here. */
struct entry *entry_find(struct roster *r, const struct mk_jid *account) MK_NODISCARD;
struct entry *entry_ref(struct entry *e);
void entry_unref(struct entry *e);
/* Inside a callback of the core. NULL: not read yet. */
const struct snapshot *entry_now(const struct entry *e);
void entry_set(struct entry *e, struct snapshot *taken);
struct mk_worker *entry_home(const struct entry *e);

/* change.c. Answers come on the account's home worker. */
void change_ask(struct entry *e, const struct mk_jid *contact, enum mk_roster_why why,
                mk_roster_decide_fn decide, mk_roster_item_fn changed, void *arg);
/* Sees to it that entry_now is there, unless the result says why not. */
void change_read(struct entry *e, mk_roster_item_fn fn, void *arg);
/* Another node has changed what is stored. */
void change_reload(struct entry *e, mk_roster_item_fn fn, void *arg);
/* Another node may have. */
void change_reread(struct entry *e, mk_roster_item_fn fn, void *arg);
/* The account was removed, and its rows; `known` false: perhaps. */
void change_forget(struct roster *r, const struct mk_jid *account, bool known);
/* From sql.c. `taken` NULL: the roster cannot be read. */
void change_loaded(struct op *op, struct snapshot *taken);
void change_stored(struct op *op, enum mk_roster_result result);

/* again.c */
int again_init(struct roster *r) MK_NODISCARD;
void again_free(struct roster *r);

/* sql.c */
void sql_prepare(struct roster *r);
void sql_load(struct op *op);
void sql_store(struct op *op);
/* The statements that store this item of `account`. */
void sql_add_item(struct roster *r, struct mk_sql_batch *batch, const struct mk_jid *account,
                  const struct mk_roster_item *item);
/* The rows of an answer to sql.load. Owned. */
struct snapshot *sql_read(struct roster *r, const struct mk_jid *account, struct mk_sql_result *result) MK_NODISCARD;

/* port.c: XEP-0227 */
int port_init(struct roster *r) MK_NODISCARD;
/* The same of an answer that may have failed, counted. NULL: the roster cannot be read. */
struct snapshot *sql_snapshot(struct roster *r, const struct mk_jid *account,
                              struct mk_sql_result *result) MK_NODISCARD;

/* farewell.c: an account is removed */
void farewell_on_remove(struct mk_ev_account_remove *ev, void *arg);

/* client.c: what clients ask and are told (RFC 6121 §2). */
int client_register(struct roster *r) MK_NODISCARD;
/* A push (§2.1.6) of `item`, or of the removal of `removed`. */
void client_push(struct entry *e, const struct mk_roster_item *item, const struct mk_jid *removed, bool here);

/* news.c: what changes is told to the other nodes */
int news_init(struct roster *r, struct mk_error *err) MK_NODISCARD;
/* Goes on with change_told when all know. */
void news_send(struct op *op);
void change_told(struct op *op);

/* service.c */
void service_init(struct roster *r);

/* api.c: category roster of the GraphQL API, where there is one */
int api_init(struct roster *r, struct mk_error *err) MK_NODISCARD;

#endif
