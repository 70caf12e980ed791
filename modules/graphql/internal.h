/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Module graphql, from outside to inside:
 *
 *   endpoint.c    places, routes, what a request is answered with
 *   decode.c      the query, its variables and its operation's name, out of a request of HTTP
 *   who.c         credentials; remember.c: passwords that were right a moment ago
 *   forget.c      what must be forgotten when a password changes, here and on other nodes
 *   stream.c      server-sent events
 *   overdue.c     requests whose fields are not answered in time
 *   registry.c    service "graphql": what modules add, and the schema that comes of it
 *   prepare.h     the language; nothing below it knows of HTTP or of this header
 */
#ifndef GRAPHQL_INTERNAL_H
#define GRAPHQL_INTERNAL_H

#include <pthread.h>

#include <meerkat/auth.h>
#include <meerkat/cluster.h>
#include <meerkat/graphql.h>
#include <meerkat/http.h>
#include <meerkat/meerkat.h>
#include <meerkat/sasl.h>

#include "prepare.h"
#include "remember.h"

struct graphql_conf {
    struct mk_option_list user_listen, user_listen_tls;
    struct mk_option_list admin_listen, admin_listen_tls;
    struct mk_option_list domain_listen, domain_listen_tls;
    char *admin_user;
    char *admin_password;
    bool unix_socket;
    char *socket;
    struct mk_option_list user_categories, admin_categories, domain_categories;
    uint64_t max_query;
    int64_t max_tokens, max_depth, max_fields, max_aliases, max_complexity, max_introspection;
    int64_t max_subscriptions, subscription_queue;
    uint64_t keepalive, answer_timeout;
    uint64_t remember;
    int64_t remember_entries;
};

#define WHO_COUNT (MK_GQL_IS_ADMIN + 1)

enum place { PLACE_USER, PLACE_ADMIN, PLACE_DOMAIN, PLACES };

struct graphql;

struct endpoint {
    struct graphql *graphql;
    enum place place;
    const char *name; /* of the place: "graphql_user" */
    unsigned schema;  /* enum mk_gql_schema */
};

struct graphql {
    struct mk_module *module;
    const struct mk_http *http;
    struct endpoint endpoints[PLACES];
    const struct mk_sasl *sasl;       /* NULL: no users */
    const struct mk_cluster *cluster; /* NULL: one node */
    struct mk_cluster_channel *channel;
    struct remember *remember;
    struct mk_option_list categories[WHO_COUNT]; /* by who asks; none: all */
    struct mk_graphql table;

    /* -- registry.c: main thread, but for `schema` */
    struct gql_part **parts; /* the first is the base */
    size_t part_count;
    bool *left_out;                      /* parts that do not fit, because another one has gone */
    struct gql_schema *schema;           /* RCU */
    struct domain_admins *domain_admins; /* RCU; NULL: nobody knows any */

    struct stream **streams; /* those of each worker */
    int64_t stream_count;    /* of all; atomic */
    struct overdue *overdue; /* that of each worker */

    struct mk_counter requests[PLACES], errors_total[PLACES];
    struct mk_counter limited[GQL_LIMITS];
    struct mk_counter wrong, locked, remembered, cross_site, slow, subscriptions_limited, timeouts;
    struct mk_gauge subscriptions, late;
};

/* The module that knows the administrators of domains. */
struct domain_admins {
    unsigned refs; /* atomic */
    int gone;      /* atomic */
    struct graphql *graphql;
    struct mk_module *module;
    mk_gql_domain_admin_fn fn;
    void *arg;
};

static inline const struct graphql_conf *
conf_of(const struct graphql *g)
{
    return mk_module_conf(g->module, NULL);
}

/* -- registry.c ---- */
int registry_init(struct graphql *g, struct mk_error *err);
void registry_free(struct graphql *g);
/* The schema of now; owned. Worker. */
struct gql_schema *registry_schema(struct graphql *g);
struct domain_admins *domain_admins_ref(struct graphql *g);
void domain_admins_unref(struct domain_admins **d);

/* -- forget.c ---- */
int forget_init(struct graphql *g, struct mk_error *err);

/* -- a request ---- */

struct call {
    struct graphql *graphql;
    const struct endpoint *endpoint;
    struct mk_http_request *rq;
    struct mk_gql_viewer viewer;
    char *domain; /* owned: what viewer.domain points to */
    /* decoded */
    struct mk_buf query;
    char *operation;
    json_t *variables;
    bool by_form;    /* as a web page of another site could have sent it */
    bool authorized; /* credentials came with it */
    struct gql_plan *plan;
};

void call_free(struct call **call);
/* The call is freed by each of these. */
void call_answer(struct call *c, int status, json_t *response); /* taken */
/* Answers with errors alone. `errors` is taken. */
void call_refuse(struct call *c, int status, json_t *errors);
void call_refuse_text(struct call *c, int status, const char *code, const char *message);
/* Adds the header that a 401 must have. */
void call_challenge(struct call *c);

/* -- decode.c: false: it was refused ---- */
bool call_decode(struct call *c) MK_NODISCARD;

/* -- who.c: finds out who asks; then next(c), perhaps later. Refuses by itself. ---- */
void call_identify(struct call *c, void (*next)(struct call *c));

/* -- stream.c ---- */
int stream_init(struct graphql *g, struct mk_error *err);
void stream_start(struct call *c);
/* Ends the streams that a part gives values to, or those of an account. Any thread. */
void stream_end_part(struct graphql *g, struct gql_part *part);
void stream_end_account(struct graphql *g, const char *account);
/* All of them. Main thread. */
void stream_stop(struct graphql *g);

/* -- overdue.c ---- */
void overdue_init(struct graphql *g);
/* Main thread. */
void overdue_stop(struct graphql *g);
/* This worker's. */
struct gql_running *overdue_list(struct graphql *g);

/* -- endpoint.c ---- */
int endpoint_init(struct graphql *g, struct mk_error *err);
int endpoint_start(struct graphql *g, struct mk_error *err);

#endif
