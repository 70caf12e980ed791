/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* PLAIN (RFC 4616) and ANONYMOUS (RFC 4505): one message, and the client is in or not. */
#include "config.h"

#include "internal.h"

#define TRACE_MAX 255 /* characters; RFC 4505 §2 */

/* message = [authzid] NUL authcid NUL passwd */
static int
parse(struct mk_str message, struct mk_str *authzid, struct mk_str *name, struct mk_str *password)
{
    const char *end = message.p + message.len;
    const char *first = message.len ? memchr(message.p, 0, message.len) : NULL;
    const char *second = first ? memchr(first + 1, 0, (size_t)(end - first - 1)) : NULL;

    if (!second || !mk_utf8_valid(message))
        return -1;
    *authzid = (struct mk_str){message.p, (size_t)(first - message.p)};
    *name = (struct mk_str){first + 1, (size_t)(second - first - 1)};
    *password = (struct mk_str){second + 1, (size_t)(end - second - 1)};
    if (name->len == 0 || password->len == 0 || memchr(password->p, 0, password->len))
        return -1;
    return 0;
}

static void
on_checked(struct login *l, enum mk_auth_result result, const struct mk_credentials *cred)
{
    (void)cred;
    if (result == MK_AUTH_OK)
        login_succeed(l, (struct mk_str){0});
    else if (result == MK_AUTH_UNAVAILABLE || result == MK_AUTH_BUSY)
        login_fail(l, l->profile, FAIL_TEMPORARY, NULL);
    else
        login_fail(l, l->profile, FAIL_NOT_AUTHORIZED, NULL);
}

void
plain_step(struct login *l, struct mk_str data)
{
    struct mk_str authzid, name, password;

    if (parse(data, &authzid, &name, &password) < 0) {
        login_fail(l, l->profile, FAIL_MALFORMED_REQUEST, NULL);
        return;
    }
    mk_buf_add_str(&l->authzid, authzid);
    if (login_set_user(l, name))
        ask_check(l, password, on_checked);
}

void
anonymous_step(struct login *l, struct mk_str data)
{
    const struct mk_auth_anonymous *anonymous = l->sasl->anonymous;
    char name[MK_ANONYMOUS_NAME_MAX];

    /* The trace information is for logs we do not keep: it says who somebody is. */
    if (data.len > TRACE_MAX * 4 || !mk_utf8_valid(data)) {
        login_fail(l, l->profile, FAIL_MALFORMED_REQUEST, NULL);
        return;
    }
    anonymous->name(anonymous->self, mk_session_host(l->session), name);
    mk_buf_add_cstr(&l->user, name);
    login_succeed(l, (struct mk_str){0});
}
