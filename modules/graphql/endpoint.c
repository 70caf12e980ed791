/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Places and routes, and what a request is answered with. */
#include "config.h"

#include <stdlib.h>
#include <strings.h>

#include "internal.h"

#define PATH "/api/graphql"
#define LARGE 2000 /* values of an answer; what has more is written aside */
#define JSON "application/json; charset=utf-8"
#define GRAPHQL_JSON "application/graphql-response+json; charset=utf-8"

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

/* A newer client says that it knows the newer name of what it gets. */
static const char *
answer_type(const struct call *c)
{
    const char *accept = mk_http_header(c->rq, "Accept");

    return accept && strstr(accept, "application/graphql-response+json") ? GRAPHQL_JSON : JSON;
}

/* The text of an answer, from its values. */
struct writing {
    struct call *call;
    int status;
    json_t *response;
    char *text; /* NULL: there was no memory for it */
};

static void
write_text(void *arg)
{
    struct writing *w = arg;

    w->text = json_dumps(w->response, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(w->response);
}

static void
send_text(struct writing *w)
{
    struct call *c = w->call;

    if (w->text)
        mk_http_answer(c->rq, w->status, answer_type(c), mk_str_of(w->text));
    else
        mk_http_answer(c->rq, 500, JSON,
                       MK_STR("{\"errors\":[{\"message\":\"Internal server error.\","
                              "\"extensions\":{\"code\":\"internal_server_error\"}}]}"));
    free(w->text);
    call_free(&c);
}

static void
on_written(void *arg)
{
    send_text(arg);
    mk_free(arg);
}

/* Has it more values than that? */
static bool
is_large(const json_t *value, size_t *left)
{
    const char *key;
    json_t *one;
    size_t i;

    if (*left == 0)
        return true;
    --*left;
    json_array_foreach (value, i, one) {
        if (is_large(one, left))
            return true;
    }
    json_object_foreach ((json_t *)(uintptr_t)value, key, one) {
        if (is_large(one, left))
            return true;
    }
    return false;
}

void
call_answer(struct call *c, int status, json_t *response)
{
    struct writing w = {c, status, response, NULL}, *large;
    size_t left = LARGE;

    if (json_object_get(response, "errors"))
        mk_counter_add(c->graphql->errors_total[c->endpoint->place], 1);
    if (is_large(response, &left)) {
        large = mk_alloc(sizeof(*large));
        *large = w;
        if (mk_offload(c->graphql->module, write_text, on_written, large) == 0)
            return;
        mk_free(large);
    }
    write_text(&w);
    send_text(&w);
}

void
call_refuse(struct call *c, int status, json_t *errors)
{
    call_answer(c, status, json_pack("{s:o}", "errors", errors));
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
    call_answer(arg, 200, response);
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
        call_challenge(c);
    call_refuse(c, p->refusal == GQL_FORBIDDEN ? 401 : 400, p->errors);
}

static void
later(struct gql_plan *p, void (*fn)(void *arg), void *arg)
{
    mk_post(((struct graphql *)p->api->self)->module, mk_worker_self(), fn, arg);
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
                             .limits = &limits,
                             .later = later,
                             .running = overdue_list(c->graphql)};
    const struct mk_option_list *categories = &c->graphql->categories[c->viewer.who];
    struct gql_prepared p;

    read_limits(c->graphql, &limits);
    if (categories->count && !mk_http_is_unix(c->rq))
        rq.categories = categories;
    gql_prepare(gql_schema_view(s, c->endpoint->schema), &rq, &p);
    gql_schema_unref(&s);
    c->plan = p.plan;
    if (p.refusal == GQL_ACCEPTED)
        return true;
    refuse_prepared(c, &p);
    return false;
}

/* -- requests that a web page of another site could send ------------------------------------- */

/* "https://example.org:8443/page" and "example.org:8443"; NULL is nowhere. */
static bool
is_of_host(const char *url, const char *host)
{
    const char *start = url ? strstr(url, "://") : NULL;
    size_t len;

    if (!start || !host)
        return false;
    start += 3;
    len = strcspn(start, "/?#");
    return len == strlen(host) && strncasecmp(start, host, len) == 0;
}

/*
 * A browser sends credentials of Basic authentication by itself once somebody has typed them, also
 * with what another site makes it ask. It tells where that came from, and programs that are no
 * browsers say nothing.
 */
static bool
is_cross_site(const struct call *c)
{
    const char *site = mk_http_header(c->rq, "Sec-Fetch-Site");
    const char *origin = mk_http_header(c->rq, "Origin");
    const char *referer = mk_http_header(c->rq, "Referer");
    const char *host = mk_http_header(c->rq, "Host");

    if (site)
        return strcasecmp(site, "same-origin") != 0 && strcasecmp(site, "none") != 0;
    if (origin)
        return !is_of_host(origin, host);
    return referer && !is_of_host(referer, host);
}

/*
 * Bodies of JSON need the server's consent first (CORS), so that they cannot be sent from elsewhere
 * unasked. A subscription changes something, too: messages come to it that would wait for the user.
 */
static bool
may_change(struct call *c)
{
    bool mutation = c->plan->operation->operation == GQL_MUTATION;

    if (c->plan->operation->operation == GQL_QUERY || !c->by_form || mk_http_is_unix(c->rq))
        return true;
    if (mutation && !c->authorized) {
        call_challenge(c);
        call_refuse_text(c, 401, "no_permissions",
                         "A mutation by GET or by a form needs an Authorization header.");
        return false;
    }
    if (!is_cross_site(c))
        return true;
    mk_counter_add(c->graphql->cross_site, 1);
    call_refuse_text(c, 403, "cross_site_request",
                     mutation ? "A mutation by GET or by a form cannot come from another site."
                              : "A subscription by GET or by a form cannot come from another site.");
    return false;
}

/* -- what is asked for ----------------------------------------------------------------------- */

static void
run(struct call *c)
{
    if (!call_decode(c) || !prepare(c) || !may_change(c))
        return;
    if (c->plan->operation->operation == GQL_SUBSCRIPTION)
        call_refuse_text(c, 400, "unsupported_operation", "Subscriptions are at " PATH "/sse.");
    else
        gql_execute(c->plan, on_done, c);
}

static void
run_stream(struct call *c)
{
    if (!call_decode(c) || !prepare(c) || !may_change(c))
        return;
    if (c->plan->operation->operation == GQL_SUBSCRIPTION)
        stream_start(c);
    else
        call_refuse_text(c, 400, "unsupported_operation", "Queries and mutations are at " PATH ".");
}

static void
on_request(struct mk_http_request *rq, void *arg)
{
    call_identify(call_new(rq, arg), run);
}

static void
on_stream(struct mk_http_request *rq, void *arg)
{
    call_identify(call_new(rq, arg), run_stream);
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
        if (mk_http_route(g->http, g->module, ep->name, MK_HTTP_GET | MK_HTTP_POST, PATH,
                          on_request, ep, err) < 0 ||
            mk_http_route(g->http, g->module, ep->name, MK_HTTP_GET | MK_HTTP_POST, PATH "/sse",
                          on_stream, ep, err) < 0)
            return -1;
    }
    return 0;
}

static int
open_place(struct graphql *g, enum place place, const struct mk_option_list *plain,
           const struct mk_option_list *tls, struct mk_error *err)
{
    struct mk_http_place p = {
        .size = sizeof(p), .name = places[place].name, .plain = plain, .tls = tls};

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
    if (conf->unix_socket) {
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

    if (open_admin(g, err) < 0)
        return -1;
    if (!g->sasl)
        mk_log(g->module, MK_LOG_INFO, "graphql.no_users",
               "no API for users: module 'sasl', which knows their passwords, "
               "is not enabled");
    else if (open_place(g, PLACE_USER, &conf->user_listen, &conf->user_listen_tls, err) < 0)
        return -1;
    return open_place(g, PLACE_DOMAIN, &conf->domain_listen, &conf->domain_listen_tls, err);
}
