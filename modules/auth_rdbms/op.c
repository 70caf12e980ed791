/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* A request on an account: making it, preparing its password, talking to the database, ending
 * it. */
#include "config.h"

#include "internal.h"

static void
release_secret(struct mk_buf *b)
{
    if (b->data)
        mk_wipe(b->data, b->cap);
    mk_buf_release(b);
}

struct op *
op_new(struct auth_rdbms *self, enum op_kind kind, struct mk_host *host, struct mk_str user,
       void *arg)
{
    const struct auth_rdbms_conf *conf = mk_module_conf(self->module, host);
    struct op *op = mk_zalloc(sizeof(*op));

    op->self = self;
    op->kind = kind;
    op->host = host;
    op->hashes = conf_hashes(conf);
    op->iterations = (unsigned)conf->iterations;
    op->arg = arg;
    mk_buf_add_str(&op->user, user);
    mk_buf_printf(&op->key, "%.*s@%s", MK_STR_ARG(user), mk_host_name(host));
    (void)mk_buf_cstr(&op->key);
    return op;
}

int
op_password(struct op *op, struct mk_str password)
{
    if (mk_prep_password(&op->password, password) < 0 || op->password.len == 0)
        return -1;
    if (mk_prep_resource(&op->other, password) < 0 ||
        mk_str_eq(mk_buf_str(&op->other), mk_buf_str(&op->password)))
        release_secret(&op->other);
    return 0;
}

static void
fire_password(struct op *op)
{
    struct mk_ev_account_password ev = {MK_EVENT(struct mk_ev_account_password), .host = op->host,
                                        .user = mk_buf_str(&op->user)};

    mk_fire_account_password(op->self->account_password, &ev);
}

void
op_finish(struct op *op, enum mk_auth_result result)
{
    if (result == MK_AUTH_OK && (op->kind == OP_SET_PASSWORD || op->kind == OP_REMOVE))
        fire_password(op);
    if (op->kind == OP_LOOKUP)
        op->lookup_fn(result, result == MK_AUTH_OK ? &op->cred : NULL, op->arg);
    else
        op->fn(result, op->arg);
    release_secret(&op->password);
    release_secret(&op->other);
    release_secret(&op->plain);
    mk_buf_release(&op->user);
    mk_buf_release(&op->key);
    mk_wipe(op, sizeof(*op));
    mk_free(op);
}

void
op_exec(struct op *op, struct mk_sql_stmt *stmt, const struct mk_sql_value *values, size_t n,
        mk_sql_fn fn)
{
    const struct mk_rdbms *db = op->self->db;

    db->exec(db->self, stmt, values, n, mk_buf_cstr(&op->key), fn, fn ? op : NULL);
}

enum mk_auth_result
op_status(struct op *op, const struct mk_sql_result *result)
{
    const struct mk_rdbms *db = op->self->db;

    switch (db->status(result)) {
    case MK_SQL_OK:
        return MK_AUTH_OK;
    case MK_SQL_DUPLICATE:
        return MK_AUTH_EXISTS;
    case MK_SQL_BUSY:
        return MK_AUTH_BUSY;
    case MK_SQL_UNAVAILABLE:
        return MK_AUTH_UNAVAILABLE;
    default:
        mk_log(op->self->module, MK_LOG_ERROR, "auth_rdbms.sql",
               "a request on account '%s' failed: %s", mk_buf_cstr(&op->key), db->error(result));
        return MK_AUTH_UNAVAILABLE;
    }
}
