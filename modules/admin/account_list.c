/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* listUsers, countUsers: backend after backend, a page at a time. */
#include "config.h"

#include "internal.h"

#define PAGE 1000

/* -- list ------------------------------------------------------------------------------------- */

struct listing {
    struct admin *admin;
    struct mk_gql_field *f;
    struct mk_host *host;
    size_t backend, asked;
    char *after;
    size_t skip, left;          /* to leave out, to give */
    bool bounded;               /* the client named a limit */
    json_t *list;
};

static void
listing_end(struct listing *l, json_t *answer)
{
    mk_gql_answer(l->f, answer);
    json_decref(l->list);
    mk_free(l->after);
    mk_free(l);
}

/* True: there are enough, or even too many. */
static bool
take(struct listing *l, struct mk_str user)
{
    char *jid;

    if (l->skip) {
        l->skip--;
        return false;
    }
    if (l->left == 0)
        return true;
    jid = mk_printf_new("%.*s@%s", MK_STR_ARG(user), mk_host_name(l->host));
    json_array_append_new(l->list, json_string(jid));
    mk_free(jid);
    l->left--;
    return l->bounded && l->left == 0;
}

static const struct mk_auth *
backend_with_list(struct listing *l)
{
    const struct mk_auth *auth;

    while ((auth = mk_auth_nth(&l->admin->auth, l->backend)) && (!MK_HAS(auth, list) || !auth->list))
        l->backend++;
    return auth;
}

/* A page came (or it begins); the next one is asked for. */
static void
step(enum mk_auth_result result, const struct mk_str *users, size_t count, void *arg)
{
    struct listing *l = arg;
    const struct mk_auth *auth;

    if (result != MK_AUTH_OK) {
        listing_end(l, l->f->api->error("unavailable", "The accounts cannot be read now: try again", NULL));
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (take(l, users[i])) {
            listing_end(l, l->bounded ? json_incref(l->list)
                                      : l->f->api->error("too_many_items", "There are more than option 'max_items' of "
                                                         "module 'admin' allows: ask for a part with 'limit' and 'index'", NULL));
            return;
        }
    }
    mk_free(l->after);
    l->after = mk_str_dup(count && count == l->asked ? users[count - 1] : MK_STR(""));
    if (l->asked && count < l->asked)
        l->backend++;
    auth = backend_with_list(l);
    if (!auth) {
        listing_end(l, json_incref(l->list));
        return;
    }
    l->asked = l->skip + l->left + 1 < PAGE ? l->skip + l->left + 1 : PAGE;
    auth->list(auth->self, l->host, mk_str_of(l->after), l->asked, step, l);
}

void
account_list_users(struct mk_gql_field *f, void *arg)
{
    struct mk_host *host = domain_argument(f, "domain", "domain_not_found");
    size_t max = max_items(arg);
    int64_t limit = mk_gql_int(f, "limit", (int64_t)max);
    struct listing *l;

    if (!host)
        return;
    if ((uint64_t)limit > max) {
        mk_gql_fail(f, "too_many_items", "'limit' is larger than option 'max_items' of module 'admin' allows");
        return;
    }
    l = mk_zalloc(sizeof(*l));
    *l = (struct listing){.admin = arg, .f = f, .host = host, .left = (size_t)limit,
                          .skip = (size_t)mk_gql_int(f, "index", 0),
                          .bounded = json_is_integer(f->api->argument(f, "limit")), .list = json_array()};
    step(MK_AUTH_OK, NULL, 0, l);
}

/* -- count ------------------------------------------------------------------------------------ */

struct counting {
    struct admin *admin;
    struct mk_host **hosts;
    size_t host_count, host, backend;
    uint64_t sum;
    mk_auth_count_fn fn;
    void *arg;
};

static void
counting_end(struct counting *c, enum mk_auth_result result)
{
    c->fn(result, result == MK_AUTH_OK ? c->sum : 0, c->arg);
    mk_free(c->hosts);
    mk_free(c);
}

/* A backend has told (or it begins): the next one, or the first one of the next host. */
static void
count_step(enum mk_auth_result result, uint64_t count, void *arg)
{
    struct counting *c = arg;
    const struct mk_auth *auth;

    if (result != MK_AUTH_OK) {
        counting_end(c, result);
        return;
    }
    c->sum += count;
    while (c->host < c->host_count) {
        auth = mk_auth_nth(&c->admin->auth, c->backend++);
        if (auth && MK_HAS(auth, count) && auth->count) {
            auth->count(auth->self, c->hosts[c->host], count_step, c);
            return;
        }
        if (!auth) {
            c->host++;
            c->backend = 0;
        }
    }
    counting_end(c, MK_AUTH_OK);
}

static void
add_host(struct mk_host *host, void *arg)
{
    struct counting *c = arg;

    c->hosts = mk_realloc(c->hosts, (c->host_count + 1) * sizeof(struct mk_host *));
    c->hosts[c->host_count++] = host;
}

static void
list_hosts(void *arg)
{
    mk_host_each(add_host, arg);
}

static void
begin_count(void *arg)
{
    count_step(MK_AUTH_OK, 0, arg);
}

void
count_accounts(struct admin *a, struct mk_host *host, mk_auth_count_fn fn, void *arg)
{
    struct counting *c = mk_zalloc(sizeof(*c));

    *c = (struct counting){.admin = a, .fn = fn, .arg = arg};
    if (host) {
        add_host(host, c);
        begin_count(c);
    } else {
        mk_on_main(a->module, list_hosts, begin_count, c);
    }
}

static void
on_counted(enum mk_auth_result result, uint64_t count, void *arg)
{
    struct mk_gql_field *f = arg;

    if (result == MK_AUTH_OK)
        mk_gql_answer(f, json_integer((json_int_t)count));
    else
        fail_auth(f, result);
}

void
account_count_users(struct mk_gql_field *f, void *arg)
{
    struct mk_host *host = domain_argument(f, "domain", "domain_not_found");

    if (host)
        count_accounts(arg, host, on_counted, f);
}
