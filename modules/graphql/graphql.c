/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The API of administrators and users: GraphQL (October 2021) over HTTP, with a schema that modules put together.
 * internal.h says which file does what.
 */
#include "config.h"

#include <stdio.h>

#include "internal.h"

#define C struct graphql_conf
#define HOT MK_OPT_RELOADABLE

static const struct mk_option options[] = {
    MK_OPTION_ADDRESSES(C, user_listen, "*:5561", 0, "addresses of the users' API, without TLS"),
    MK_OPTION_ADDRESSES(C, user_listen_tls, NULL, 0, "addresses of the users' API with TLS"),
    MK_OPTION_ADDRESSES(C, admin_listen, "127.0.0.1:5551", 0,
                        "addresses of the administrators' API, without TLS; opened when admin_password is set"),
    MK_OPTION_ADDRESSES(C, admin_listen_tls, NULL, 0, "addresses of the administrators' API with TLS"),
    MK_OPTION_ADDRESSES(C, domain_listen, NULL, 0, "addresses for administrators of one domain alone, usually port 5541"),
    MK_OPTION_ADDRESSES(C, domain_listen_tls, NULL, 0, "the same with TLS"),
    MK_OPTION_STRING(C, admin_user, "admin", HOT, "name of the server's administrator in the API"),
    MK_OPTION_SECRET(C, admin_password, NULL, HOT, "and the password; empty: no API for administrators on TCP"),
    MK_OPTION_PATH(C, socket, NULL, 0,
                   "Unix socket for administrators, who need no password there; empty: api.sock in the state directory; none"),
    MK_OPTION_SIZE(C, max_query, "100K", "1K", "16M", HOT, "longest query"),
    MK_OPTION_INT(C, max_tokens, "20000", "100", "10000000", HOT, "words in a query"),
    MK_OPTION_INT(C, max_depth, "32", "3", "180", HOT, "levels of a query"),
    MK_OPTION_INT(C, max_fields, "2000", "10", "1000000", HOT, "fields that a query selects, with its fragments"),
    MK_OPTION_INT(C, max_aliases, "500", "0", "1000000", HOT, "fields that a query calls by another name"),
    MK_OPTION_INT(C, max_complexity, "200000", "10", "1000000000", HOT,
                  "fields of an answer, where a list is reckoned with its argument limit, or with 10 items"),
    MK_OPTION_INT(C, max_introspection, "2", "0", "20", HOT, "lists of the schema in each other that introspection may ask for"),
    MK_OPTION_END};

#undef C

static void
init_metrics(struct graphql *g)
{
    static const char *const names[PLACES] = {"user", "admin", "domain"};
    char labels[64];

    for (size_t i = 0; i < PLACES; i++) {
        snprintf(labels, sizeof(labels), "endpoint=\"%s\"", names[i]);
        g->requests[i] = mk_counter_new(g->module, "graphql_requests_total", labels, "Requests to the API");
        g->errors_total[i] =
            mk_counter_new(g->module, "graphql_errors_total", labels, "Requests to the API whose answer has errors");
    }
    for (size_t i = 0; i < GQL_LIMITS; i++) {
        snprintf(labels, sizeof(labels), "limit=\"%s\"", gql_limit_names[i]);
        g->limited[i] = mk_counter_new(g->module, "graphql_limited_total", labels,
                                       "Requests to the API that asked for more than a limit allows");
    }
}

static void
find_backends(struct graphql *g)
{
    const struct mk_auth *auth;

    for (size_t n = 0; n < BACKENDS_MAX && (auth = mk_service_nth(g->module, "auth", MK_AUTH_ABI, n)); n++)
        g->backends[g->backend_count++] = auth;
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct graphql *g = mk_zalloc(sizeof(*g));

    mk_module_set(m, g);
    g->module = m;
    g->http = mk_http_get(m, err);
    if (!g->http)
        return -1;
    find_backends(g);
    init_metrics(g);
    if (registry_init(g, err) < 0)
        return -1;
    return endpoint_init(g, err);
}

static int
start(struct mk_module *m, struct mk_error *err)
{
    return endpoint_start(mk_module_get(m), err);
}

static void
unload(struct mk_module *m)
{
    struct graphql *g = mk_module_get(m);

    registry_free(g);
    mk_free(g);
}

MK_MODULE(.name = "graphql", .version = "1.0", .summary = "the API of administrators and users: GraphQL over HTTP",
          .depends = (const char *const[]){"http", NULL}, .after = (const char *const[]){"auth", "sasl", "tls", NULL},
          .provides = (const char *const[]){"graphql", NULL}, .options = options,
          .conf_size = sizeof(struct graphql_conf), .init = init, .start = start, .unload = unload);
