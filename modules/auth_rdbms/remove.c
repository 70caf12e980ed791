/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Removing an account: one transaction with all that modules keep for it (hook account_remove),
 * then the event user_removed and the end of its sessions (XEP-0077 §3.2).
 */
#include "config.h"

#include "internal.h"

void
announce(struct auth_rdbms *self, const char *event, const struct mk_buf *account)
{
    struct mk_event_user ev = {.size = sizeof(ev)};
    size_t len = account->len < sizeof(ev.user) ? account->len : sizeof(ev.user) - 1;

    memcpy(ev.user, account->data, len);
    mk_publish(self->module, event, &ev, sizeof(ev));
}

static void
close_session(struct mk_session *s, void *arg)
{
    (void)arg;
    if (s)
        mk_session_close(s, "not-authorized", "the account was removed");
}

static bool
on_resource(const struct mk_resource *r, void *arg)
{
    struct auth_rdbms *self = arg;

    if (r->node == 0)
        mk_session_post(self->module, r->session, close_session, NULL);
    return true;
}

static void
close_sessions(struct auth_rdbms *self, struct mk_str account)
{
    const struct mk_sessions *sessions = __atomic_load_n(&self->sessions, __ATOMIC_ACQUIRE);
    struct mk_jid *jid;

    if (!sessions || !(jid = mk_jid_parse(account)))
        return;
    sessions->each(sessions->self, jid, on_resource, self);
    mk_jid_unref(&jid);
}

static void
on_removed(struct mk_sql_result *result, void *arg)
{
    struct op *op = arg;
    struct auth_rdbms *self = op->self;
    enum mk_auth_result status = op_status(op, result);
    struct mk_buf account = {0};

    mk_buf_add_str(&account, mk_buf_str(&op->key));
    if (status == MK_AUTH_OK)
        announce(self, "user_removed", &account);
    /* The answer first: a client that removes its own account is to see it before its stream
     * ends. */
    op_finish(op, status);
    if (status == MK_AUTH_OK)
        close_sessions(self, mk_buf_str(&account));
    mk_buf_release(&account);
}

static void
remove_all(struct op *op)
{
    const struct mk_rdbms *db = op->self->db;
    struct mk_sql_batch *batch = db->batch(db->self, op->self->module);
    struct mk_str domain = mk_str_of(mk_host_name(op->host));
    struct mk_sql_value values[] = {MK_SQL_V_TEXT(domain), MK_SQL_V_TEXT(mk_buf_str(&op->user))};
    struct mk_ev_account_remove ev = {
        MK_EVENT(struct mk_ev_account_remove),
        .host = op->host,
        .user = mk_buf_str(&op->user),
        .domain = domain,
        .batch = batch,
    };

    mk_fire_account_remove(op->self->account_remove, &ev);
    db->batch_add(batch, op->self->remove, values, MK_COUNT(values));
    db->batch_run(batch, mk_buf_cstr(&op->key), on_removed, op);
}

/* The row is read first: a batch only tells a sum, and nothing is to be removed for an account of
 * another backend. */
static void
on_found(struct mk_sql_result *result, void *arg)
{
    struct op *op = arg;
    enum mk_auth_result status = op_status(op, result);

    if (status != MK_AUTH_OK)
        op_finish(op, status);
    else if (!op->self->db->next(result))
        op_finish(op, MK_AUTH_NO_ACCOUNT);
    else
        remove_all(op);
}

void
account_remove(void *self, struct mk_host *host, struct mk_str user, mk_auth_fn fn, void *arg)
{
    struct op *op = op_new(self, OP_REMOVE, host, user, arg);
    struct mk_sql_value values[] = {MK_SQL_V_CSTR(mk_host_name(host)), MK_SQL_V_TEXT(user)};

    op->fn = fn;
    op_exec(op, op->self->select, values, MK_COUNT(values), on_found);
}
