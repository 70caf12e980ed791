/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* What resolvers have in common: texts, errors, and the account that a field is about. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

void
answer_text(struct mk_gql_field *f, const char *fmt, ...)
{
    va_list args;
    char *made;

    va_start(args, fmt);
    if (vasprintf(&made, fmt, args) < 0)
        MK_BUG("no memory for a text");
    va_end(args);
    mk_gql_answer(f, json_string(made));
    free(made);
}

json_t *
json_str(struct mk_str s)
{
    return json_stringn(s.p ? s.p : "", s.len);
}

json_t *
error_about(struct mk_gql_field *f, const char *code, const char *what, const char *value, const char *message)
{
    return f->api->error(code, message, json_pack("{s:s}", what, value));
}

void
fail_about(struct mk_gql_field *f, const char *code, const char *what, const char *value, const char *message)
{
    mk_gql_answer(f, error_about(f, code, what, value, message));
}

void
fail_auth(struct mk_gql_field *f, enum mk_auth_result result)
{
    if (result == MK_AUTH_BUSY)
        mk_gql_fail(f, "busy", "Too much is under way: try again");
    else
        mk_gql_fail(f, "unavailable", "The accounts cannot be read now: try again");
}

struct mk_host *
domain_argument(struct mk_gql_field *f, const char *name, const char *code)
{
    const char *domain = mk_gql_string(f, name);
    struct mk_host *host = domain ? mk_host_find(mk_str_of(domain)) : NULL;

    if (domain && !host)
        fail_about(f, code, "domain", domain, "Given domain does not exist");
    return host;
}

struct account *
account_new(struct admin *a, struct mk_gql_field *f, const char *argument)
{
    const struct mk_gql_viewer *viewer = f->api->viewer(f);
    struct mk_jid *jid = argument ? mk_gql_jid(f, argument) : mk_jid_ref(viewer->user);
    struct account *account;

    if (!jid) {
        mk_gql_fail(f, "invalid_jid", "This is no JID of a user");
        return NULL;
    }
    account = mk_zalloc(sizeof(*account));
    *account = (struct account){.admin = a, .f = f, .jid = jid, .host = mk_host_find(mk_jid_domain(jid))};
    return account;
}

void
account_free(struct account **account)
{
    if (!*account)
        return;
    mk_jid_unref(&(*account)->jid);
    mk_free(*account);
    *account = NULL;
}

void
account_find(struct account *account, mk_auth_find_fn fn)
{
    struct admin *a = account->admin;

    if (!account->host)
        fn(MK_AUTH_NO_ACCOUNT, NULL, account);
    else
        mk_auth_find(a->module, &a->auth, account->host, mk_jid_local(account->jid), fn, account);
}
