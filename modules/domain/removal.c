/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * What is left of a domain that is not served any more: its accounts, each with all that modules keep for it, then the domain's own rows. When
 * it is interrupted the domain stays in status DELETING, and the next node that starts (resume.c), or the same request, goes on with it.
 */
#include "config.h"

#include "internal.h"

#define PAGE 100

struct removal {
    struct domain *self;
    char *domain;
    struct mk_host *host;
    size_t backend;
    char **names;
    size_t count, next;
    removal_fn fn;
    void *arg;
    mk_task_fn next_page;
};

static void
drop_page(struct removal *r)
{
    free_names(r->names, r->count);
    r->names = NULL;
    r->count = r->next = 0;
}

static void
finish(struct removal *r, bool ok)
{
    r->fn(ok, r->arg);
    mk_module_leave(r->self->module);
    drop_page(r);
    mk_free(r->domain);
    mk_free(r);
}

/* -- the rows ----------------------------------------------------------------------------------- */

static void
on_rows_removed(struct mk_sql_result *result, void *arg)
{
    struct removal *r = arg;
    const struct mk_rdbms *db = r->self->db;
    bool ok = db->status(result) == MK_SQL_OK;

    if (!ok)
        mk_log(r->self->module, MK_LOG_WARN, "domain.sql", "domain '%s' was not removed: %s", r->domain,
               db->status(result) == MK_SQL_ERROR ? db->error(result) : mk_sql_status_name(db->status(result)));
    finish(r, ok);
}

static void
remove_rows(struct removal *r)
{
    const struct mk_rdbms *db = r->self->db;
    struct mk_sql_batch *batch = db->batch(db->self, r->self->module);

    mk_sql_add(db, batch, r->self->sql.remove_admin, MK_SQL_V_CSTR(r->domain));
    mk_sql_add(db, batch, r->self->sql.remove, MK_SQL_V_CSTR(r->domain));
    mk_sql_add(db, batch, r->self->sql.event, MK_SQL_V_CSTR(r->domain));
    db->batch_run(batch, r->domain, on_rows_removed, r);
}

/* -- the accounts ------------------------------------------------------------------------------- */

/* One is gone (or a page begins): the next one. */
static void
remove_next(enum mk_auth_result result, void *arg)
{
    struct removal *r = arg;
    const struct mk_auth *auth = mk_auth_nth(&r->self->auth, r->backend);
    size_t i = r->next;

    if (result != MK_AUTH_OK && result != MK_AUTH_NO_ACCOUNT) {
        finish(r, false);
        return;
    }
    if (i == r->count) {
        mk_defer(r->self->module, r->next_page, r);
        return;
    }
    r->next++;
    auth->remove(auth->self, r->host, mk_str_of(r->names[i]), remove_next, r);
}

static void
on_page(enum mk_auth_result result, const struct mk_str *users, size_t count, void *arg)
{
    struct removal *r = arg;

    if (result != MK_AUTH_OK) {
        finish(r, false);
        return;
    }
    drop_page(r);
    r->names = mk_alloc((count + 1) * sizeof(char *));
    for (; r->count < count; r->count++)
        r->names[r->count] = mk_str_dup(users[r->count]);
    if (count == 0)
        r->backend++;
    remove_next(MK_AUTH_OK, r);
}

/* What was removed is not in the next page. */
static void
list_page(struct removal *r)
{
    const struct mk_auth *auth;

    while ((auth = mk_auth_nth(&r->self->auth, r->backend)) &&
           (!auth->can_change || !MK_HAS(auth, list) || !auth->list))
        r->backend++;
    if (auth)
        auth->list(auth->self, r->host, MK_STR(""), PAGE, on_page, r);
    else
        remove_rows(r);
}

static void
on_status(struct mk_sql_result *result, void *arg)
{
    struct removal *r = arg;
    const struct mk_rdbms *db = r->self->db;

    if (db->status(result) != MK_SQL_OK)
        finish(r, false);
    else if (!db->next(result) || db->get_int(result, 1) != STATUS_DELETING)
        finish(r, true);
    else
        list_page(r);
}

/* Two nodes may be at it. When the other has done it all, and the domain is there again, its new accounts are not ours to remove. */
static void
next_page(void *arg)
{
    struct removal *r = arg;

    mk_sql_exec(r->self->db, r->self->sql.select, r->domain, on_status, r, MK_SQL_V_CSTR(r->domain));
}

/*
 * The host's structure, which outlives the host. A domain that was not served since this node started gets one: for no longer than it
 * takes to take it away again, on the thread that would have to let anybody in.
 */
static void
find_host(void *arg)
{
    struct removal *r = arg;
    struct mk_host *host = mk_host_find(mk_str_of(r->domain));
    struct mk_error err;

    r->host = host ? host : mk_host_add(r->domain);
    if (!mk_host_is_fixed(r->host) && mk_host_remove(r->domain, &err) < 0)
        mk_log(r->self->module, MK_LOG_ERROR, "domain.stays", "%s", err.text);
}

void
removal_run(struct domain *self, const char *domain, removal_fn fn, void *arg)
{
    struct removal *r = mk_zalloc(sizeof(*r));

    *r = (struct removal){.self = self, .domain = mk_strdup(domain), .fn = fn, .arg = arg, .next_page = next_page};
    mk_module_enter(self->module);
    mk_on_main(self->module, find_host, next_page, r);
}
