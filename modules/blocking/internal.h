/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Module blocking: what its files share. */
#ifndef BLOCKING_INTERNAL_H
#define BLOCKING_INTERNAL_H

#include <meerkat/auth.h>
#include <meerkat/cluster.h>
#include <meerkat/meerkat.h>
#include <meerkat/presence.h>
#include <meerkat/rdbms.h>
#include <meerkat/roster.h>
#include <meerkat/router.h>

#define NS_BLOCKING "urn:xmpp:blocking"

struct blocking_conf {
    int64_t max_items;
    int64_t cached;
};

/* Whom an account has blocked, sorted by bytes. Immutable, shared by workers. */
struct list {
    unsigned refs;              /* atomic */
    size_t count;
    struct mk_str jids[];
};

/* `list` NULL: it could not be read. */
typedef void (*entry_fn)(struct list *list, void *arg);

struct waiter {
    struct waiter *next;
    entry_fn fn;
    void *arg;
};

/* An account's list as one worker knows it. */
struct entry {
    struct entry *next;         /* in its bucket */
    struct lane *lane;
    uint64_t hash;
    unsigned pins;              /* sessions and requests: it cannot be forgotten */
    bool loading;
    bool again;                 /* what is being read takes the place of the list */
    bool fresh;                 /* a change came meanwhile, and is newer */
    struct mk_jid *account;     /* bare */
    struct list *list;          /* NULL: not read yet */
    struct waiter *first, **last;
};

/* What belongs to one worker. */
struct lane {
    struct blocking *blocking;
    struct entry **buckets;
    size_t bucket_count, count;
    size_t hand;                /* where forgetting goes on */
    size_t blockers;            /* entries whose list is not empty */
    bool open;                  /* presence of our own goes to whomever */
    struct again *again;
};

struct blocking {
    struct mk_module *module;
    const struct mk_rdbms *db;
    const struct mk_sessions *sessions;
    const struct mk_roster *roster;
    const struct mk_presence *presence;
    const struct mk_cluster *cluster;   /* NULL: one node */
    struct mk_cluster_channel *news;
    struct lane *lanes;
    unsigned slot;              /* of a session: the entry of its account */
    struct {
        struct mk_sql_stmt *load, *make, *make_default, *add, *remove, *clear, *wipe[3];
    } sql;
    struct mk_counter dropped[2], refused, loads;
};

/* A change under way: from the session's worker to the account's home worker, and back. */
struct change {
    struct blocking *blocking;
    struct mk_worker *back;
    struct mk_iq *iq;
    struct mk_jid *account;
    struct entry *entry;        /* at home, pinned */
    bool block;
    bool all;                   /* unblock everybody */
    size_t count;
    struct mk_jid **jids;
    struct list *before, *now;
    enum mk_stanza_error error;
    const char *text;
};

/* list.c */
struct list *list_new(const struct mk_str *jids, size_t count) MK_NODISCARD;
struct list *list_ref(struct list *list);
void list_unref(struct list **list);
bool list_has(const struct list *list, struct mk_str jid);
/* XEP-0191 §2, XEP-0016 §2.1: by full JID, bare JID, domain and resource, or domain. */
bool list_blocks(const struct list *list, const struct mk_jid *who);

/* cache.c: on the lane's worker */
struct lane *lane_here(struct blocking *b);
struct entry *entry_find(const struct lane *lane, const struct mk_jid *account);
struct entry *entry_need(struct lane *lane, const struct mk_jid *account);
void entry_pin(struct entry *e);
void entry_unpin(struct entry *e);
/* fn(list) at once or when it has been read. */
void entry_ask(struct entry *e, entry_fn fn, void *arg);
void entry_loaded(struct entry *e, struct list *taken);     /* from sql.c; NULL: failed */
/* It is read anew; again_read is told. */
void entry_reread(struct entry *e);
/* fn for all that somebody uses and that were read; the rest is forgotten. */
void entries_in_use(struct lane *lane, void (*fn)(struct entry *e, void *arg), void *arg);

/* again.c: lists are read anew when nodes were apart */
int again_init(struct blocking *b) MK_NODISCARD;
void again_free(struct blocking *b);
void again_read(struct entry *e, bool ok);
/* All workers that know this account take the list over. Any worker. */
void list_publish(struct blocking *b, const struct mk_jid *account, struct list *list);
void cache_init(struct blocking *b);
void cache_free(struct blocking *b);

/* sql.c */
void sql_prepare(struct blocking *b);
void sql_load(struct entry *e);
void sql_change(struct change *c);
void sql_account_remove(struct mk_ev_account_remove *ev, void *arg);

/* port.c: XEP-0227 */
int port_init(struct blocking *b) MK_NODISCARD;

/* change.c */
void change_stored(struct change *c);                       /* from sql.c */
int change_register(struct blocking *b) MK_NODISCARD;

/* news.c: changes are told to the other nodes */
int news_init(struct blocking *b, struct mk_error *err) MK_NODISCARD;
void news_send(struct blocking *b, const struct mk_jid *account, const struct list *list,
               mk_cluster_done_fn done, void *arg);

/* filter.c */
struct entry *entry_of(struct blocking *b, struct mk_session *s);
int filter_register(struct blocking *b) MK_NODISCARD;

#endif
