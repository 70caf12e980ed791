/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Places and routes, and what a request is answered with. */
#include "config.h"

#include <strings.h>

#include "internal.h"

#define PATH "/api/graphql"
#define JSON "application/json; charset=utf-8"

/* -- a request ------------------------------------------------------------------------------- */

static struct call *
call_new(struct mk_http_request *rq, const struct endpoint *ep)
{
    struct call *c = mk_zalloc(sizeof(*c));

    c->graphql = ep->graphql;
    c->endpoint = ep;
    c->rq = rq;
    c->viewer.size = sizeof(c->viewer);
    mk_counter_add(ep->graphql->requests[ep->place], 1);
    return c;
}

void
call_free(struct call **call)
{
    struct call *c = *call;

    *call = NULL;
    gql_plan_unref(&c->plan);
    mk_jid_unref((struct mk_jid **)(uintptr_t)&c->viewer.user);
    mk_free(c->domain);
    mk_buf_release(&c->query);
    mk_free(c->operation);
    json_decref(c->variables);
    mk_free(c);
}

static void
answer(struct call *c, int status, json_t *response)
{
    char *text = json_dumps(response, JSON_COMPACT | JSON_REAL_PRECISION(17));

    if (json_object_get(response, "errors"))
        mk_counter_add(c->graphql->errors_total[c->endpoint->place], 1);
    json_decref(response);
    if (text)
        mk_http_answer(c->rq, status, JSON, mk_str_of(text));
    else
        mk_http_answer(c->rq, 500, JSON, MK_STR("{\"errors\":[{\"message\":\"Internal server error.\","
                                                "\"extensions\":{\"code\":\"internal_server_error\"}}]}"));
    mk_free(text);
    call_free(&c);
}

void
call_refuse(struct call *c, int status, json_t *errors)
{
    answer(c, status, json_pack("{s:o}", "errors", errors));
}

void
call_refuse_text(struct call *c, int status, const char *code, const char *message)
{
    struct gql_errors errors = {.list = NULL};

    gql_report_path(&errors, code, NULL, 0, NULL, NULL, message);
    call_refuse(c, status, errors.list);
}

static void
on_done(json_t *response, void *arg)
{
    answer(arg, 200, response);
}

static void
read_limits(const struct graphql *g, struct gql_limits *out)
{
    const struct graphql_conf *conf = conf_of(g);

    out->max[GQL_MAX_QUERY] = conf->max_query;
    out->max[GQL_MAX_TOKENS] = (size_t)conf->max_tokens;
    out->max[GQL_MAX_DEPTH] = (size_t)conf->max_depth;
    out->max[GQL_MAX_FIELDS] = (size_t)conf->max_fields;
    out->max[GQL_MAX_ALIASES] = (size_t)conf->max_aliases;
    out->max[GQL_MAX_COMPLEXITY] = (size_t)conf->max_complexity;
    out->max[GQL_MAX_INTROSPECTION] = (size_t)conf->max_introspection;
}

static void
refuse_prepared(struct call *c, struct gql_prepared *p)
{
    if (p->refusal == GQL_OVER_LIMIT)
        mk_counter_add(c->graphql->limited[p->limit], 1);
    if (p->refusal == GQL_FORBIDDEN)
        mk_http_set_header(c->rq, "WWW-Authenticate", "Basic realm=\"Meerkat\", charset=\"UTF-8\"");
    call_refuse(c, p->refusal == GQL_FORBIDDEN ? 401 : 400, p->errors);
}

/* A plan for what was asked; false: it was refused. */
static bool
prepare(struct call *c)
{
    struct gql_schema *s = registry_schema(c->graphql);
    struct gql_limits limits;
    struct gql_request rq = {.query = mk_buf_str(&c->query),
                             .operation = c->operation,
                             .variables = c->variables,
                             .viewer = &c->viewer,
                             .api = &c->graphql->table,
                             .limits = &limits};
    struct gql_prepared p;

    read_limits(c->graphql, &limits);
    gql_prepare(gql_schema_view(s, c->endpoint->schema), &rq, &p);
    gql_schema_unref(&s);
    c->plan = p.plan;
    if (p.refusal == GQL_ACCEPTED)
        return true;
    refuse_prepared(c, &p);
    return false;
}

static void
run(struct call *c)
{
    if (!call_decode(c) || !prepare(c))
        return;
    if (c->plan->operation->operation == GQL_SUBSCRIPTION)
        call_refuse_text(c, 400, "unsupported_operation", "Subscriptions are at " PATH "/sse.");
    else
        gql_execute(c->plan, on_done, c);
}

static void
on_request(struct mk_http_request *rq, void *arg)
{
    call_identify(call_new(rq, arg), run);
}

/* -- places ---------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    unsigned schema;
} places[PLACES] = {
    [PLACE_USER] = {"graphql_user", MK_GQL_USER},
    [PLACE_ADMIN] = {"graphql_admin", MK_GQL_ADMIN},
    [PLACE_DOMAIN] = {"graphql_domain", MK_GQL_ADMIN},
};

int
endpoint_init(struct graphql *g, struct mk_error *err)
{
    for (size_t i = 0; i < PLACES; i++) {
        struct endpoint *ep = &g->endpoints[i];

        *ep = (struct endpoint){g, (enum place)i, places[i].name, places[i].schema};
        if (mk_http_route(g->http, g->module, ep->name, MK_HTTP_GET | MK_HTTP_POST, PATH, on_request, ep, err) < 0)
            return -1;
    }
    return 0;
}

static int
open_place(struct graphql *g, enum place place, const struct mk_option_list *plain, const struct mk_option_list *tls,
           struct mk_error *err)
{
    struct mk_http_place p = {.size = sizeof(p), .name = places[place].name, .plain = plain, .tls = tls};

    /* JSON and form encoding make a query longer than it is. */
    p.max_body = conf_of(g)->max_query * 4 + 65536;
    if (plain->count + tls->count == 0)
        return 0;
    return g->http->place(g->http->self, g->module, &p, err);
}

/* The administrators' addresses, and the Unix socket. */
static int
open_admin(struct graphql *g, struct mk_error *err)
{
    static const struct mk_option_list none = {0, NULL};
    const struct graphql_conf *conf = conf_of(g);
    bool tcp = conf->admin_password && *conf->admin_password;
    struct mk_option_list all = {0, mk_alloc((conf->admin_listen.count + 1) * sizeof(char *))};
    char *path = NULL;
    int rc;

    for (size_t i = 0; tcp && i < conf->admin_listen.count; i++)
        all.items[all.count++] = conf->admin_listen.items[i];
    if (!tcp)
        mk_log(g->module, MK_LOG_INFO, "graphql.no_admin",
               "no API for administrators on TCP: option 'admin_password' is not set");
    if (strcasecmp(conf->socket ? conf->socket : "", "none") != 0) {
        path = conf->socket && *conf->socket ? mk_printf_new("unix:%s", conf->socket)
                                             : mk_printf_new("unix:%s/api.sock", mk_state_dir());
        all.items[all.count++] = path;
    }
    rc = open_place(g, PLACE_ADMIN, &all, tcp ? &conf->admin_listen_tls : &none, err);
    mk_free(path);
    mk_free(all.items);
    return rc;
}

int
endpoint_start(struct graphql *g, struct mk_error *err)
{
    const struct graphql_conf *conf = conf_of(g);

    if (open_admin(g, err) < 0 ||
        open_place(g, PLACE_USER, &conf->user_listen, &conf->user_listen_tls, err) < 0)
        return -1;
    return open_place(g, PLACE_DOMAIN, &conf->domain_listen, &conf->domain_listen_tls, err);
}
