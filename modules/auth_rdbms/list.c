/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * list and count of service "auth". A page begins behind a name, not at a number: the index of the primary key finds it
 * at once, however many accounts are before it. The order is the database's own, which need not be that of the bytes.
 */
#include "config.h"

#include "internal.h"

struct listing {
    struct auth_rdbms *self;
    struct mk_host *host;
    mk_auth_list_fn list_fn;
    mk_auth_count_fn count_fn;
    void *arg;
};

static enum mk_auth_result
status_of(const struct listing *l, const struct mk_sql_result *result)
{
    const struct mk_rdbms *db = l->self->db;

    switch (db->status(result)) {
    case MK_SQL_OK:
        return MK_AUTH_OK;
    case MK_SQL_BUSY:
        return MK_AUTH_BUSY;
    case MK_SQL_UNAVAILABLE:
        return MK_AUTH_UNAVAILABLE;
    default:
        mk_log(l->self->module, MK_LOG_ERROR, "auth_rdbms.sql", "the accounts of '%s' were not read: %s",
               mk_host_name(l->host), db->error(result));
        return MK_AUTH_UNAVAILABLE;
    }
}

static struct listing *
listing_new(struct auth_rdbms *self, struct mk_host *host, void *arg)
{
    struct listing *l = mk_zalloc(sizeof(*l));

    l->self = self;
    l->host = host;
    l->arg = arg;
    return l;
}

static void
on_listed(struct mk_sql_result *result, void *arg)
{
    struct listing *l = arg;
    const struct mk_rdbms *db = l->self->db;
    enum mk_auth_result status = status_of(l, result);
    size_t rows = status == MK_AUTH_OK ? db->rows(result) : 0, n = 0;
    struct mk_str *users = mk_alloc((rows + 1) * sizeof(*users));
    struct mk_buf names = {0};

    /* A row's text goes with the next row. */
    for (; n < rows && db->next(result); n++) {
        users[n].len = db->get_text(result, 0).len;
        mk_buf_add_str(&names, db->get_text(result, 0));
    }
    for (size_t i = 0, at = 0; i < n; at += users[i++].len)
        users[i].p = names.data + at;
    l->list_fn(status, users, n, l->arg);
    mk_buf_release(&names);
    mk_free(users);
    mk_free(l);
}

void
account_list(void *self, struct mk_host *host, struct mk_str after, size_t limit,
             mk_auth_list_fn fn, void *arg)
{
    struct auth_rdbms *auth = self;
    struct listing *l = listing_new(auth, host, arg);

    l->list_fn = fn;
    mk_sql_exec(auth->db, auth->list, NULL, on_listed, l, MK_SQL_V_CSTR(mk_host_name(host)),
                MK_SQL_V_TEXT(after), MK_SQL_V_INT((int64_t)limit));
}

static void
on_counted(struct mk_sql_result *result, void *arg)
{
    struct listing *l = arg;
    const struct mk_rdbms *db = l->self->db;
    enum mk_auth_result status = status_of(l, result);
    int64_t count = status == MK_AUTH_OK && db->next(result) ? db->get_int(result, 0) : 0;

    l->count_fn(status, (uint64_t)count, l->arg);
    mk_free(l);
}

void
account_count(void *self, struct mk_host *host, mk_auth_count_fn fn, void *arg)
{
    struct auth_rdbms *auth = self;
    struct listing *l = listing_new(auth, host, arg);

    l->count_fn = fn;
    mk_sql_exec(auth->db, auth->count, NULL, on_counted, l, MK_SQL_V_CSTR(mk_host_name(host)));
}
