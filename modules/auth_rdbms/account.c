/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * lookup, check, create and set_password of service "auth".
 *
 * A row that still has its password in plain text is given keys the first time somebody reads it:
 * for SCRAM we need them anyway, and for a check as soon as the password was right.
 */
#include "config.h"

#include "internal.h"
#include "pass_details.h"

enum row { ROW_KEYS, ROW_PLAIN, ROW_LOCKED, ROW_BROKEN };

/* Reads the current row into `op`. ROW_LOCKED: there is an account, but no password opens it. */
static enum row
read_row(struct op *op, const struct mk_sql_result *result)
{
    const struct mk_rdbms *db = op->self->db;
    struct mk_str password = db->get_text(result, 0);

    if (!db->is_null(result, 1)) {
        if (pass_details_parse(db->get_text(result, 1), &op->cred) == 0)
            return ROW_KEYS;
        mk_log(op->self->module, MK_LOG_ERROR, "auth_rdbms.row",
               "pass_details of account '%s' cannot be read", mk_buf_cstr(&op->key));
        return ROW_BROKEN;
    }
    if (password.len == 0)
        return ROW_LOCKED;
    mk_buf_add_str(&op->plain, password);
    return ROW_PLAIN;
}

static void
select_account(struct op *op, mk_sql_fn fn)
{
    struct mk_sql_value values[] = {MK_SQL_V_CSTR(mk_host_name(op->host)),
                                    MK_SQL_V_TEXT(mk_buf_str(&op->user))};

    op_exec(op, op->self->select, values, MK_COUNT(values), fn);
}

/* Puts the derived keys in the place of the plain text, unless somebody changed the row meanwhile.
 * Nobody waits. */
static void
upgrade_row(struct op *op)
{
    struct mk_buf text = {0};

    pass_details_print(&text, &op->cred);
    struct mk_sql_value values[] = {
        MK_SQL_V_TEXT(mk_buf_str(&text)), MK_SQL_V_CSTR(mk_host_name(op->host)),
        MK_SQL_V_TEXT(mk_buf_str(&op->user)), MK_SQL_V_TEXT(mk_buf_str(&op->plain))};
    op_exec(op, op->self->upgrade, values, MK_COUNT(values), NULL);
    mk_wipe(text.data, text.len);
    mk_buf_release(&text);
    mk_counter_add(op->self->upgraded, 1);
}

static void
on_upgrade_derived(void *arg)
{
    struct op *op = arg;

    upgrade_row(op);
    op_finish(op, MK_AUTH_OK);
}

/* -- lookup --------------------------------------------------------------------------------- */

static void
lookup_plain(struct op *op)
{
    if (mk_prep_password(&op->password, mk_buf_str(&op->plain)) < 0) {
        mk_buf_clear(&op->password);
        mk_buf_add_str(&op->password, mk_buf_str(&op->plain));
    }
    if (derive_keys(op, on_upgrade_derived) < 0)
        op_finish(op, MK_AUTH_BUSY);
}

static void
on_lookup(struct mk_sql_result *result, void *arg)
{
    struct op *op = arg;
    enum mk_auth_result status = op_status(op, result);

    if (status != MK_AUTH_OK) {
        op_finish(op, status);
        return;
    }
    if (!op->self->db->next(result)) {
        op_finish(op, MK_AUTH_NO_ACCOUNT);
        return;
    }
    switch (read_row(op, result)) {
    case ROW_PLAIN:
        lookup_plain(op);
        break;
    case ROW_BROKEN:
        op_finish(op, MK_AUTH_UNAVAILABLE);
        break;
    default:
        op_finish(op, MK_AUTH_OK);
    }
}

void
account_lookup(void *self, struct mk_host *host, struct mk_str user, mk_auth_lookup_fn fn,
               void *arg)
{
    struct op *op = op_new(self, OP_LOOKUP, host, user, arg);

    op->lookup_fn = fn;
    select_account(op, on_lookup);
}

/* -- check ---------------------------------------------------------------------------------- */

static void
on_matched(void *arg)
{
    struct op *op = arg;

    op_finish(op, op->matches ? MK_AUTH_OK : MK_AUTH_WRONG);
}

static void
check_plain(struct op *op)
{
    if (!plain_matches(op, mk_buf_str(&op->plain))) {
        op_finish(op, MK_AUTH_WRONG);
        return;
    }
    /* Without room for the derivation the row stays as it is until next time. */
    if (derive_keys(op, on_upgrade_derived) < 0)
        op_finish(op, MK_AUTH_OK);
}

static void
on_check(struct mk_sql_result *result, void *arg)
{
    struct op *op = arg;
    enum mk_auth_result status = op_status(op, result);

    if (status != MK_AUTH_OK) {
        op_finish(op, status);
        return;
    }
    if (!op->self->db->next(result)) {
        op_finish(op, MK_AUTH_NO_ACCOUNT);
        return;
    }
    switch (read_row(op, result)) {
    case ROW_KEYS:
        if (derive_match(op, on_matched) < 0)
            op_finish(op, MK_AUTH_BUSY);
        break;
    case ROW_PLAIN:
        check_plain(op);
        break;
    case ROW_LOCKED:
        op_finish(op, MK_AUTH_WRONG);
        break;
    case ROW_BROKEN:
        op_finish(op, MK_AUTH_UNAVAILABLE);
        break;
    }
}

void
account_check(void *self, struct mk_host *host, struct mk_str user, struct mk_str password,
              mk_auth_fn fn, void *arg)
{
    struct op *op = op_new(self, OP_CHECK, host, user, arg);

    op->fn = fn;
    /* A password that cannot be prepared is nobody's, but whether the account exists still counts:
     * the next backend may have it. It is compared as it came. */
    if (op_password(op, password) < 0) {
        mk_buf_clear(&op->password);
        mk_buf_add_str(&op->password, password);
    }
    select_account(op, on_check);
}

/* -- create and set_password ---------------------------------------------------------------- */

/* The column holds 250 characters, and PostgreSQL would refuse more with an error. */
static bool
name_fits(struct mk_str user)
{
    size_t chars = 0;

    for (size_t i = 0; i < user.len; i++)
        chars += ((unsigned char)user.p[i] & 0xc0) != 0x80;
    return chars > 0 && chars <= NAME_MAX_CHARS;
}

static void
on_created(struct mk_sql_result *result, void *arg)
{
    struct op *op = arg;
    enum mk_auth_result status = op_status(op, result);

    if (status == MK_AUTH_OK)
        announce(op->self, "user_created", &op->key);
    op_finish(op, status);
}

static void
create_row(void *arg)
{
    struct op *op = arg;
    struct mk_buf text = {0};

    if (op->cred.count)
        pass_details_print(&text, &op->cred);
    struct mk_sql_value values[] = {MK_SQL_V_CSTR(mk_host_name(op->host)),
                                    MK_SQL_V_TEXT(mk_buf_str(&op->user)),
                                    op->cred.count ? MK_SQL_V_TEXT(mk_buf_str(&text)) : MK_SQL_V_NULL};
    op_exec(op, op->self->insert, values, MK_COUNT(values), on_created);
    if (text.len)
        mk_wipe(text.data, text.len);
    mk_buf_release(&text);
}

void
account_create(void *self, struct mk_host *host, struct mk_str user, struct mk_str password,
               mk_auth_fn fn, void *arg)
{
    struct op *op = op_new(self, OP_CREATE, host, user, arg);

    op->fn = fn;
    if (!name_fits(user) || op_password(op, password) < 0)
        op_finish(op, MK_AUTH_NOT_ALLOWED);
    else if (derive_keys(op, create_row) < 0)
        op_finish(op, MK_AUTH_BUSY);
}

void
account_create_keys(void *self, struct mk_host *host, struct mk_str user, const struct mk_credentials *cred,
                    mk_auth_fn fn, void *arg)
{
    struct op *op = op_new(self, OP_CREATE, host, user, arg);

    op->fn = fn;
    op->cred = *cred;
    if (!name_fits(user))
        op_finish(op, MK_AUTH_NOT_ALLOWED);
    else
        create_row(op);
}

static void
on_updated(struct mk_sql_result *result, void *arg)
{
    struct op *op = arg;
    enum mk_auth_result status = op_status(op, result);

    if (status == MK_AUTH_OK && op->self->db->affected(result) == 0)
        status = MK_AUTH_NO_ACCOUNT;
    op_finish(op, status);
}

static void
update_row(void *arg)
{
    struct op *op = arg;
    struct mk_buf text = {0};

    pass_details_print(&text, &op->cred);
    struct mk_sql_value values[] = {MK_SQL_V_TEXT(mk_buf_str(&text)),
                                    MK_SQL_V_CSTR(mk_host_name(op->host)),
                                    MK_SQL_V_TEXT(mk_buf_str(&op->user))};
    op_exec(op, op->self->update, values, MK_COUNT(values), on_updated);
    mk_wipe(text.data, text.len);
    mk_buf_release(&text);
}

void
account_set_password(void *self, struct mk_host *host, struct mk_str user, struct mk_str password,
                     mk_auth_fn fn, void *arg)
{
    struct op *op = op_new(self, OP_SET_PASSWORD, host, user, arg);

    op->fn = fn;
    if (op_password(op, password) < 0)
        op_finish(op, MK_AUTH_NOT_ALLOWED);
    else if (derive_keys(op, update_row) < 0)
        op_finish(op, MK_AUTH_BUSY);
}
