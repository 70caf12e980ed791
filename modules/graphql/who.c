/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Who asks: Basic authentication (RFC 7617), or the Unix socket, which only the administrator may
 * open. */
#include "config.h"

#include <stdio.h>
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
    if (mk_base64_decode(&text, mk_str_of(header)) == 0 && text.len &&
        !memchr(text.data, '\0', text.len) && mk_utf8_valid(mk_buf_str(&text)) &&
        (colon = memchr(text.data, ':', text.len))) {
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
    call_challenge(c);
    call_refuse_text(c, 401, code, message);
}

static void
refuse_wrong(struct call *c)
{
    mk_counter_add(c->graphql->wrong, 1);
    refuse(c, "wrong_credentials", "The user name or the password is wrong.");
}

static void
refuse_locked(struct call *c)
{
    mk_counter_add(c->graphql->locked, 1);
    call_refuse_text(c, 429, "too_many_wrong_passwords",
                     "Too many wrong passwords, try again later.");
}

static void
refuse_unavailable(struct call *c)
{
    call_refuse_text(c, 503, "unavailable", "Passwords cannot be checked now, try again later.");
}

/* -- the server's administrator -------------------------------------------------------------- */

/* Both are compared, whatever the first comparison says. */
static bool
is_admin(const struct graphql_conf *conf, const struct basic *b)
{
    bool user = mk_str_eq_secret(mk_str_of(b->user), mk_str_of(conf->admin_user));
    bool password = mk_str_eq_secret(mk_str_of(b->password), mk_str_of(conf->admin_password));

    return conf->admin_password && *conf->admin_password && user && password;
}

/* What the throttle knows an administrator as: no account has such a name. */
static const char *
throttle_name(const struct call *c, char *out, size_t size)
{
    snprintf(out, size, "administrator of %.200s", c->domain ? c->domain : "the server");
    return out;
}

static bool
is_locked(struct call *c)
{
    const struct mk_sasl *sasl = c->graphql->sasl;
    char name[256];

    return sasl &&
           sasl->is_locked(sasl->self, c->viewer.peer, throttle_name(c, name, sizeof(name)));
}

static void
note_wrong(struct call *c)
{
    const struct mk_sasl *sasl = c->graphql->sasl;
    char name[256];

    if (sasl)
        sasl->failed(sasl->self, c->viewer.peer, throttle_name(c, name, sizeof(name)));
    mk_log(c->graphql->module, MK_LOG_INFO, "graphql.wrong_password",
           "wrong password for the %s from '%s'", throttle_name(c, name, sizeof(name)),
           c->viewer.peer);
}

static void
identify_admin(struct call *c, const struct basic *b, void (*next)(struct call *c))
{
    if (is_locked(c)) {
        refuse_locked(c);
    } else if (is_admin(conf_of(c->graphql), b)) {
        c->viewer.who = MK_GQL_IS_ADMIN;
        next(c);
    } else {
        note_wrong(c);
        refuse_wrong(c);
    }
}

/* -- a domain's ------------------------------------------------------------------------------ */

struct domain_check {
    struct call *call;
    void (*next)(struct call *c);
    struct domain_admins *asked;
};

static void
on_domain_checked(enum mk_gql_domain_admin result, void *arg)
{
    struct domain_check *d = arg;
    struct call *c = d->call;
    void (*next)(struct call *) = d->next;

    mk_module_leave(d->asked->module);
    domain_admins_unref(&d->asked);
    mk_free(d);
    if (result == MK_GQL_PASSWORD_RIGHT) {
        c->viewer.who = MK_GQL_IS_DOMAIN_ADMIN;
        c->viewer.domain = c->domain;
        next(c);
    } else if (result == MK_GQL_PASSWORD_UNKNOWN) {
        refuse_unavailable(c);
    } else {
        note_wrong(c);
        refuse_wrong(c);
    }
}

/* "admin@example.org" */
static bool
take_domain(struct call *c, const char *user)
{
    struct mk_buf domain = {0};
    bool good =
        strncmp(user, "admin@", 6) == 0 && mk_prep_domain(&domain, mk_str_of(user + 6)) == 0;

    if (good)
        c->domain = mk_str_dup(mk_buf_str(&domain));
    mk_buf_release(&domain);
    return good;
}

static void
identify_domain_admin(struct call *c, const struct basic *b, void (*next)(struct call *c))
{
    struct domain_admins *asked = domain_admins_ref(c->graphql);
    struct domain_check *d;

    /* Whoever unloads the module waits, after it has set `gone`, for this worker to be out of every
     * callback. */
    if (!asked || __atomic_load_n(&asked->gone, __ATOMIC_ACQUIRE)) {
        domain_admins_unref(&asked);
        note_wrong(c);
        refuse_wrong(c);
    } else if (is_locked(c)) {
        domain_admins_unref(&asked);
        refuse_locked(c);
    } else {
        d = mk_alloc(sizeof(*d));
        *d = (struct domain_check){c, next, asked};
        mk_module_enter(asked->module);
        asked->fn(c->domain, b->password, on_domain_checked, d, asked->arg);
    }
}

/* -- users ----------------------------------------------------------------------------------- */

struct user_check {
    struct call *call;
    void (*next)(struct call *c);
    char *password; /* NULL: not to be remembered */
    uint64_t mark;
    uint64_t remember_ms;
};

static void
remember_right(const struct user_check *u)
{
    struct call *c = u->call;

    if (u->password)
        remember_note(c->graphql->remember, mk_jid_text(c->viewer.user).p, u->password, u->mark,
                      mk_now_ms() + u->remember_ms);
}

static void
on_checked(enum mk_sasl_check_result result, void *arg)
{
    struct user_check *u = arg;
    struct call *c = u->call;
    void (*next)(struct call *) = u->next;

    if (result == MK_SASL_OK)
        remember_right(u);
    wipe(&u->password);
    mk_free(u);
    if (result == MK_SASL_OK) {
        c->viewer.who = MK_GQL_IS_USER;
        next(c);
        return;
    }
    mk_jid_unref((struct mk_jid **)(uintptr_t)&c->viewer.user);
    if (result == MK_SASL_UNAVAILABLE)
        refuse_unavailable(c);
    else if (result == MK_SASL_LOCKED)
        refuse_locked(c);
    else
        refuse_wrong(c);
}

/* c->viewer.user is who it would be. */
static void
check_user(struct call *c, struct mk_host *host, struct basic *b, void (*next)(struct call *c))
{
    const struct mk_sasl *sasl = c->graphql->sasl;
    const struct mk_sasl_check what = {host, mk_jid_local(c->viewer.user), mk_str_of(b->password),
                                       c->viewer.peer};
    struct user_check *u = mk_zalloc(sizeof(*u));

    u->call = c;
    u->next = next;
    u->remember_ms = conf_of(c->graphql)->remember;
    if (u->remember_ms) {
        u->mark = remember_mark(c->graphql->remember);
        u->password = mk_strdup(b->password);
    }
    sasl->check(sasl->self, c->graphql->module, &what, on_checked, u);
}

static void
identify_user(struct call *c, struct basic *b, void (*next)(struct call *c))
{
    struct mk_jid *user = mk_jid_parse(mk_str_of(b->user));
    struct mk_host *host = user ? mk_host_find(mk_jid_domain(user)) : NULL;

    /* What can be no account's name takes no time: it tells nobody anything. */
    if (!host || mk_jid_local(user).len == 0 || !mk_jid_is_bare(user) || !*b->password) {
        mk_jid_unref(&user);
        refuse_wrong(c);
        return;
    }
    c->viewer.user = user;
    if (conf_of(c->graphql)->remember &&
        remember_knows(c->graphql->remember, mk_jid_text(user).p, b->password, mk_now_ms())) {
        mk_counter_add(c->graphql->remembered, 1);
        c->viewer.who = MK_GQL_IS_USER;
        next(c);
    } else {
        check_user(c, host, b, next);
    }
}

/* -- everything ------------------------------------------------------------------------------ */

static void
identify_by(struct call *c, struct basic *b, void (*next)(struct call *c))
{
    bool admins = c->endpoint->place == PLACE_ADMIN;

    if (c->endpoint->place == PLACE_USER)
        identify_user(c, b, next);
    else if (admins && strcmp(b->user, conf_of(c->graphql)->admin_user) == 0)
        identify_admin(c, b, next);
    else if (take_domain(c, b->user))
        identify_domain_admin(c, b, next);
    else if (admins)
        identify_admin(c, b, next);
    else
        refuse_wrong(c);
}

void
call_challenge(struct call *c)
{
    mk_http_set_header(c->rq, "WWW-Authenticate", "Basic realm=\"Meerkat\", charset=\"UTF-8\"");
}

void
call_identify(struct call *c, void (*next)(struct call *c))
{
    const char *header = mk_http_header(c->rq, "Authorization");
    struct basic b = {NULL, NULL};

    c->viewer.peer = mk_http_peer(c->rq);
    c->authorized = header != NULL;
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
