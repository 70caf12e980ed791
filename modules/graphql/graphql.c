/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The API of administrators and users: GraphQL (October 2021) over HTTP, with a schema that modules
 * put together. internal.h says which file does what.
 */
#include "config.h"

#include <stdio.h>

#include "internal.h"

#define C struct graphql_conf
#define HOT MK_OPT_RELOADABLE

static const struct mk_option options[] = {
    MK_OPTION_ADDRESSES(C, user_listen, "127.0.0.1:5561", 0, "addresses of the users' API, without TLS"),
    MK_OPTION_ADDRESSES(C, user_listen_tls, NULL, 0, "addresses of the users' API with TLS"),
    MK_OPTION_ADDRESSES(
        C, admin_listen, "127.0.0.1:5551", 0,
        "addresses of the administrators' API, without TLS; opened when admin_password is set"),
    MK_OPTION_ADDRESSES(C, admin_listen_tls, NULL, 0,
                        "addresses of the administrators' API with TLS"),
    MK_OPTION_ADDRESSES(C, domain_listen, NULL, 0,
                        "addresses for administrators of one domain alone, usually port 5541"),
    MK_OPTION_ADDRESSES(C, domain_listen_tls, NULL, 0, "the same with TLS"),
    MK_OPTION_STRING(C, admin_user, "admin", HOT, "name of the server's administrator in the API"),
    MK_OPTION_SECRET(C, admin_password, NULL, HOT,
                     "and the password; empty: no API for administrators on TCP"),
    MK_OPTION_BOOL(C, unix_socket, "yes", 0,
                   "open a Unix socket for administrators, who need no password there"),
    MK_OPTION_PATH(C, socket, NULL, 0, "where; empty: api.sock in the state directory"),
    MK_OPTION_LIST(C, user_categories, NULL, 0, "categories that users may use; empty: all"),
    MK_OPTION_LIST(C, admin_categories, NULL, 0,
                   "categories that the administrator may use on TCP; empty: all"),
    MK_OPTION_LIST(C, domain_categories, NULL, 0,
                   "categories that administrators of domains may use; empty: all"),
    MK_OPTION_SIZE(C, max_query, "100K", "1K", "16M", 0, "longest query"),
    MK_OPTION_INT(C, max_tokens, "20000", "100", "10000000", HOT, "words in a query"),
    MK_OPTION_INT(C, max_depth, "32", "3", "180", HOT, "levels of a query"),
    MK_OPTION_INT(C, max_fields, "2000", "10", "1000000", HOT,
                  "fields that a query selects, with its fragments"),
    MK_OPTION_INT(C, max_aliases, "500", "0", "1000000", HOT,
                  "fields that a query calls by another name"),
    MK_OPTION_INT(
        C, max_complexity, "200000", "10", "1000000000", HOT,
        "fields of an answer, where a list is reckoned with its argument limit, or with 10 items"),
    MK_OPTION_INT(C, max_introspection, "2", "0", "20", HOT,
                  "lists of the schema in each other that introspection may ask for"),
    MK_OPTION_INT(C, max_subscriptions, "10000", "0", "10000000", HOT,
                  "subscriptions that are open at once"),
    MK_OPTION_INT(
        C, subscription_queue, "1000", "1", "1000000", HOT,
        "values of a subscription that may wait; a client that is slower than that is cut"),
    MK_OPTION_PERIOD(C, answer_timeout, "5m", "0", "1d", HOT,
                     "how long the fields of a request may take; then it is answered without those that "
                     "are missing; 0: for ever"),
    MK_OPTION_PERIOD(C, keepalive, "30s", "0", "1h", HOT,
                     "how often a subscription says that it is still there; 0: never"),
    MK_OPTION_PERIOD(C, remember, "10s", "0", "5m", HOT,
                     "how long a user's password that was right is not checked again; 0: each "
                     "request is checked"),
    MK_OPTION_INT(C, remember_entries, "4096", "4", "1048576", 0, "passwords that are remembered"),
    MK_OPTION_END};

#undef C

static double
ask_subscriptions(void *arg)
{
    return (double)conf_of(arg)->max_subscriptions;
}

static void
init_metrics(struct graphql *g)
{
    static const char *const names[PLACES] = {"user", "admin", "domain"};
    char labels[64];

    for (size_t i = 0; i < PLACES; i++) {
        snprintf(labels, sizeof(labels), "endpoint=\"%s\"", names[i]);
        g->requests[i] =
            mk_counter_new(g->module, "graphql_requests_total", labels, "Requests to the API");
        g->errors_total[i] = mk_counter_new(g->module, "graphql_errors_total", labels,
                                            "Requests to the API whose answer has errors");
    }
    g->wrong = mk_counter_new(g->module, "graphql_refused_total", "reason=\"password\"",
                              "Requests to the API that were refused");
    g->locked = mk_counter_new(g->module, "graphql_refused_total", "reason=\"throttled\"",
                               "Requests to the API that were refused");
    g->cross_site = mk_counter_new(g->module, "graphql_refused_total", "reason=\"cross_site\"",
                                   "Requests to the API that were refused");
    g->subscriptions_limited =
        mk_counter_new(g->module, "graphql_refused_total", "reason=\"subscriptions\"",
                       "Requests to the API that were refused");
    g->remembered = mk_counter_new(g->module, "graphql_passwords_remembered_total", NULL,
                                   "Requests of users whose password was right a moment ago");
    g->slow = mk_counter_new(g->module, "graphql_subscriptions_slow_total", NULL,
                             "Subscriptions that ended because their client was too slow");
    g->timeouts = mk_counter_new(g->module, "graphql_timeouts_total", NULL,
                                 "Requests, and values of subscriptions, that were answered with "
                                 "errors because fields took too long");
    g->late = mk_gauge_new(g->module, "graphql_late", NULL,
                           "Those of them with fields that have still not been answered");
    g->subscriptions =
        mk_gauge_new(g->module, "graphql_subscriptions", NULL, "Subscriptions that are open");
    mk_gauge_ask(g->module, "graphql_subscriptions_limit", NULL, "Subscriptions that may be open",
                 ask_subscriptions, g);
    for (size_t i = 0; i < GQL_LIMITS; i++) {
        snprintf(labels, sizeof(labels), "limit=\"%s\"", gql_limit_names[i]);
        g->limited[i] =
            mk_counter_new(g->module, "graphql_limited_total", labels,
                           "Requests to the API that asked for more than a limit allows");
    }
}

/* Requests look at them whenever they like, and a configuration may go under them. */
static void
copy_categories(struct graphql *g)
{
    const struct graphql_conf *conf = conf_of(g);
    const struct mk_option_list *from[WHO_COUNT] = {
        [MK_GQL_IS_USER] = &conf->user_categories,
        [MK_GQL_IS_ADMIN] = &conf->admin_categories,
        [MK_GQL_IS_DOMAIN_ADMIN] = &conf->domain_categories,
    };

    for (size_t i = 0; i < WHO_COUNT; i++) {
        size_t count = from[i] ? from[i]->count : 0;

        g->categories[i].count = count;
        g->categories[i].items = mk_alloc((count + 1) * sizeof(char *));
        for (size_t k = 0; k < count; k++)
            g->categories[i].items[k] = mk_strdup(from[i]->items[k]);
    }
}

static void
free_categories(struct graphql *g)
{
    for (size_t i = 0; i < WHO_COUNT; i++) {
        for (size_t k = 0; k < g->categories[i].count; k++)
            mk_free(g->categories[i].items[k]);
        mk_free(g->categories[i].items);
    }
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct graphql *g = mk_zalloc(sizeof(*g));

    mk_module_set(m, g);
    g->module = m;
    /* Of all modules with values of jansson: where there is no memory for one, it would be left out in silence. */
    json_set_alloc_funcs(mk_alloc, mk_free);
    g->http = mk_http_get(m, err);
    if (!g->http)
        return -1;
    g->sasl = mk_service_nth(m, "sasl", MK_SASL_ABI, 0);
    if (g->sasl && !MK_HAS(g->sasl, failed))
        return mk_fail(err, "module 'sasl' is older than this one");
    g->remember = remember_new((size_t)conf_of(g)->remember_entries);
    copy_categories(g);
    init_metrics(g);
    overdue_init(g);
    if (registry_init(g, err) < 0 || stream_init(g, err) < 0 || forget_init(g, err) < 0)
        return -1;
    return endpoint_init(g, err);
}

static int
start(struct mk_module *m, struct mk_error *err)
{
    return endpoint_start(mk_module_get(m), err);
}

static void
stop(struct mk_module *m)
{
    overdue_stop(mk_module_get(m));
    stream_stop(mk_module_get(m));
}

static void
unload(struct mk_module *m)
{
    struct graphql *g = mk_module_get(m);

    registry_free(g);
    remember_free(&g->remember);
    free_categories(g);
    mk_free(g->streams);
    mk_free(g->overdue);
    mk_free(g);
}

MK_MODULE(.name = "graphql", .version = "1.0",
          .summary = "the API of administrators and users: GraphQL over HTTP",
          .depends = (const char *const[]){"http", NULL},
          .after = (const char *const[]){"auth", "cets", "sasl", "tls", NULL},
          .provides = (const char *const[]){"graphql", NULL}, .options = options,
          .conf_size = sizeof(struct graphql_conf), .init = init, .start = start, .stop = stop,
          .unload = unload);
