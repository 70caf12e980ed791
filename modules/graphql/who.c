/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Who asks: Basic authentication (RFC 7617), or the Unix socket, which only the administrator may open. */
#include "config.h"

#include <strings.h>

#include "internal.h"

struct basic {
    char *user, *password;
};

static void
wipe(char **text)
{
    if (*text)
        mk_wipe(*text, strlen(*text));
    mk_free(*text);
    *text = NULL;
}

static void
basic_release(struct basic *b)
{
    wipe(&b->user);
    wipe(&b->password);
}

/* -1: it is malformed. */
static int
basic_read(const char *header, struct basic *out)
{
    struct mk_buf text = {0};
    const char *colon;
    int rc = -1;

    if (strncasecmp(header, "Basic ", 6) != 0)
        return -1;
    header += 6 + strspn(header + 6, " ");
    if (mk_base64_decode(&text, mk_str_of(header)) == 0 && text.len && !memchr(text.data, '\0', text.len) &&
        mk_utf8_valid(mk_buf_str(&text)) && (colon = memchr(text.data, ':', text.len))) {
        size_t user = (size_t)(colon - text.data);

        out->user = mk_str_dup((struct mk_str){text.data, user});
        out->password = mk_str_dup((struct mk_str){colon + 1, text.len - user - 1});
        rc = 0;
    }
    if (text.data)
        mk_wipe(text.data, text.cap);
    mk_buf_release(&text);
    return rc;
}

static void
refuse(struct call *c, const char *code, const char *message)
{
    mk_http_set_header(c->rq, "WWW-Authenticate", "Basic realm=\"Meerkat\", charset=\"UTF-8\"");
    call_refuse_text(c, 401, code, message);
}

/* -- administrators -------------------------------------------------------------------------- */

static bool
is_admin(const struct graphql_conf *conf, const struct basic *b)
{
    bool user = mk_str_eq_secret(mk_str_of(b->user), mk_str_of(conf->admin_user));
    bool password = mk_str_eq_secret(mk_str_of(b->password), mk_str_of(conf->admin_password));

    return conf->admin_password && *conf->admin_password && user && password;
}

/* -- users ----------------------------------------------------------------------------------- */

struct asking {
    struct call *call;
    void (*next)(struct call *c);
    struct mk_jid *user;
    struct mk_host *host;
    char *password;
    size_t backend;
};

static void ask(struct asking *a);

static void
on_checked(enum mk_auth_result result, void *arg)
{
    struct asking *a = arg;
    struct call *c = a->call;
    void (*next)(struct call *) = a->next;

    if (result == MK_AUTH_NO_ACCOUNT && ++a->backend < c->graphql->backend_count) {
        ask(a);
        return;
    }
    if (result == MK_AUTH_OK) {
        c->viewer.who = MK_GQL_IS_USER;
        c->viewer.user = mk_jid_ref(a->user);
    }
    wipe(&a->password);
    mk_jid_unref(&a->user);
    mk_free(a);
    if (result == MK_AUTH_OK)
        next(c);
    else if (result == MK_AUTH_UNAVAILABLE || result == MK_AUTH_BUSY)
        call_refuse_text(c, 503, "unavailable", "The accounts cannot be asked now; try again later.");
    else
        refuse(c, "wrong_credentials", "The user name or the password is wrong.");
}

static void
ask(struct asking *a)
{
    const struct mk_auth *auth = a->call->graphql->backends[a->backend];

    auth->check(auth->self, a->host, mk_jid_local(a->user), mk_str_of(a->password), on_checked, a);
}

static void
identify_user(struct call *c, struct basic *b, void (*next)(struct call *c))
{
    struct mk_jid *user = mk_jid_parse(mk_str_of(b->user));
    struct mk_host *host = user ? mk_host_find(mk_jid_domain(user)) : NULL;
    struct asking *a;

    if (!host || mk_jid_local(user).len == 0 || !mk_jid_is_bare(user) || c->graphql->backend_count == 0) {
        mk_jid_unref(&user);
        refuse(c, "wrong_credentials", "The user name or the password is wrong.");
        return;
    }
    a = mk_zalloc(sizeof(*a));
    *a = (struct asking){.call = c, .next = next, .user = user, .host = host, .password = b->password};
    b->password = NULL;
    ask(a);
}

/* -- everything ------------------------------------------------------------------------------ */

static void
identify_by(struct call *c, struct basic *b, void (*next)(struct call *c))
{
    if (c->endpoint->place == PLACE_USER) {
        identify_user(c, b, next);
    } else if (c->endpoint->place == PLACE_ADMIN && is_admin(conf_of(c->graphql), b)) {
        c->viewer.who = MK_GQL_IS_ADMIN;
        next(c);
    } else {
        refuse(c, "wrong_credentials", "The user name or the password is wrong.");
    }
}

void
call_identify(struct call *c, void (*next)(struct call *c))
{
    const char *header = mk_http_header(c->rq, "Authorization");
    struct basic b = {NULL, NULL};

    c->viewer.peer = mk_http_peer(c->rq);
    if (mk_http_is_unix(c->rq)) {
        c->viewer.who = MK_GQL_IS_ADMIN;
        next(c);
    } else if (!header) {
        next(c);
    } else if (basic_read(header, &b) < 0) {
        refuse(c, "request_error", "The Authorization header is malformed.");
    } else {
        identify_by(c, &b, next);
    }
    basic_release(&b);
}
