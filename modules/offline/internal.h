/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Module offline: what its files share. */
#ifndef OFFLINE_INTERNAL_H
#define OFFLINE_INTERNAL_H

#include <meerkat/auth.h>
#include <meerkat/c2s.h>
#include <meerkat/meerkat.h>
#include <meerkat/presence.h>
#include <meerkat/rdbms.h>
#include <meerkat/router.h>
#include <meerkat/tables.h>

#include "rules.h"

#define NS_OFFLINE "http://jabber.org/protocol/offline"
#define AUTH_MAX 8              /* backends that are asked whether an account exists */
#define DELETE_AT_ONCE 16       /* ids in one DELETE */
#define COLUMN_CHARS 250        /* of from_jid */

struct offline_conf {
    int64_t max_messages, page_size, max_pending;
    uint64_t max_age, sweep, window, ping_timeout;
};

enum drop {
    DROP_QUOTA,                 /* the account has as many as it may have */
    DROP_DATABASE,              /* it did not answer, or is full */
    DROP_BUSY,                  /* too many are on their way into the database */
    DROP_NO_ACCOUNT,
    DROP_RULE,                  /* not of a kind that is kept */
    DROP_EXPIRED,
    DROP_UNREADABLE,            /* left in the table */
    DROP_COUNT,
};

/* A message on its way into the database. */
struct store {
    struct store *next;
    struct offline *self;
    struct account *account;    /* once it is on the account's worker */
    struct mk_hold *hold;       /* of the hook message_offline, for worker `origin` alone */
    struct mk_worker *origin;
    struct mk_stanza *stanza;
    struct mk_jid *jid;         /* bare */
    struct mk_host *host;
    bool stored;
    enum drop why;              /* when not stored */
};

struct flush;

/*
 * What is under way for an account, on its home worker: one of this node's workers, found by hash. All
 * statements on stored messages of an account but those of XEP-0013 are made there.
 */
struct account {
    struct account *next;       /* in the bucket */
    struct offline *self;
    struct lane *lane;
    struct mk_jid *jid;         /* bare */
    struct mk_host *host;
    char *key;                  /* the JID as text */
    uint64_t known_until;       /* ms: until then we believe that it exists */
    unsigned asking;            /* backends of "auth" that have not answered yet */
    bool found, unsure;
    struct store *first, **last;/* waiting for the answer to that */
    unsigned busy;              /* INSERTs under way */
    struct flush *flush;        /* NULL: none */
    mk_session_id again;        /* when it is done: once more, for this session; 0: no */
    struct mk_timer *linger;
};

/* What a worker has. */
struct lane {
    struct account **buckets;
    size_t bucket_count, accounts;
    int64_t pending;            /* stores */
    int64_t last_stamp;
    struct mk_timer *sweep;
};

struct offline {
    struct mk_module *module;
    const struct mk_rdbms *db;
    const struct mk_sessions *sessions;
    const struct mk_tables *tables;
    struct mk_table *table;
    const struct mk_auth *auth[AUTH_MAX];       /* ends with NULL where there are fewer */
    struct lane *lanes;
    bool stopping;              /* atomic: see is_stopping */
    unsigned slot;              /* of a session: not NULL when it fetches by itself (XEP-0013) */
    struct {
        struct mk_sql_stmt *insert, *page, *remove, *purge, *sweep;
        struct mk_sql_stmt *count, *headers, *view, *remove_one;
        struct mk_sql_stmt *expired_of, *old_of;        /* api.c */
        struct mk_sql_stmt *all;                        /* port.c */
    } sql;
    struct mk_counter stored, delivered, dropped[DROP_COUNT];
};

static inline const struct offline_conf *
conf_of(const struct offline *self, const struct mk_host *host)
{
    return mk_module_conf(self->module, host);
}

static inline bool
is_stopping(const struct offline *self)
{
    return __atomic_load_n(&self->stopping, __ATOMIC_RELAXED);
}

/* -- account.c: on the home worker, except account_home */
struct mk_worker *account_home(const struct mk_jid *jid);
struct account *account_get(struct offline *self, const struct mk_jid *jid, struct mk_host *host);
/* Gives it up when nothing is under way; the caller must not use it after that. */
void account_settle(struct account *a);
/* An account may have gone. */
void account_forget(struct offline *self, const struct mk_jid *jid);
void accounts_free(struct offline *self);

/* -- store.c */
enum mk_verdict store_on_offline(struct mk_ev_route *ev, void *arg);
/* The statement that keeps a message; `values` has room for STORE_VALUES. The XML is in `xml`, and stays there. */
#define STORE_VALUES 9
void store_values(const struct offline *self, struct mk_host *host, const struct mk_jid *account,
                  const struct mk_stanza *message, int64_t since, int64_t expire_from, int64_t max_messages, struct mk_buf *xml,
                  struct mk_sql_value *values);
void store_log(struct offline *self, const char *what, const struct mk_sql_result *result);

/* -- flush.c: on the home worker, except the hook */
void flush_on_available(struct mk_ev_presence *ev, void *arg);
/* Delivers what is stored to this session. */
void flush_begin(struct account *a, mk_session_id target);
/* Delivers what is stored to whichever session can take it now, if there is one. */
void flush_if_online(struct account *a);
void flush_on_table(const struct mk_record *now, const struct mk_record *old, void *arg);
void flush_free(struct flush *f);
/* A row as a stanza, stamped with the time it was stored; NULL when it cannot be read. Owned. */
struct mk_stanza *flush_read_row(struct offline *self, const struct mk_sql_result *result,
                                 const struct mk_jid *account, const struct mk_host *host);
/* Columns that flush_read_row needs, in this order, from column 0. */
#define ROW_COLUMNS "id, timestamp, expire, from_jid, packet"

/* -- retrieve.c: XEP-0013 */
int retrieve_init(struct offline *self);

/* -- port.c: XEP-0227 */
int offline_port(struct offline *self) MK_NODISCARD;

/* -- api.c: category offline of the GraphQL API, where there is one */
int offline_api(struct offline *self, struct mk_error *err) MK_NODISCARD;

#endif
