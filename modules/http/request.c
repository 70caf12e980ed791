/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* A request: taken from evhttp, given to the handler of its route, asked by the handler. */
#include "config.h"

#include "internal.h"

static unsigned
method_of(enum evhttp_cmd_type command)
{
    switch (command) {
    case EVHTTP_REQ_GET:
    case EVHTTP_REQ_HEAD:
        return MK_HTTP_GET;
    case EVHTTP_REQ_POST:
        return MK_HTTP_POST;
    case EVHTTP_REQ_PUT:
        return MK_HTTP_PUT;
    case EVHTTP_REQ_DELETE:
        return MK_HTTP_DELETE;
    default:
        return MK_HTTP_OPTIONS;
    }
}

void
request_free(struct request *rq)
{
    if (rq->answered)
        *rq->answered = true;
    if (rq->conn)
        rq->conn->rq = NULL;
    if (rq->buffered)
        __atomic_sub_fetch(&rq->http->workers[rq->worker].buffered, rq->buffered, __ATOMIC_RELAXED);
    mk_timer_free(&rq->gone_timer);
    mk_buf_release(&rq->body);
    target_release(&rq->target);
    mk_free(rq->part_memory);
    mk_module_leave(rq->module);
    mk_free(rq);
}

static void
tell_gone(void *arg)
{
    struct request *rq = arg;
    mk_http_fn fn = rq->on_gone;

    rq->gone_timer = NULL;
    rq->on_gone = NULL;
    if (fn)
        fn(&rq->base, rq->on_gone_arg);
}

void
request_gone(struct request *rq)
{
    rq->conn = NULL;
    mk_counter_add(rq->site->metrics.gone, 1);
    tell_gone(rq);
}

void
answer_on_gone(struct mk_http_request *base, mk_http_fn fn, void *arg)
{
    struct request *rq = (struct request *)base;

    rq->on_gone = fn;
    rq->on_gone_arg = arg;
    /* Gone before anybody asked: told soon. */
    if (fn && !rq->conn && !rq->gone_timer)
        rq->gone_timer = mk_timer_new(rq->http->module, 0, tell_gone, rq);
}

/* -- from evhttp ----------------------------------------------------------------------------------- */

static struct request *
request_new(struct conn *c, struct evhttp_request *ev)
{
    struct place *place = c->lane->place;
    struct request *rq = mk_zalloc(sizeof(*rq));

    rq->base.api = &request_api;
    rq->http = place->http;
    rq->site = place->site;
    rq->conn = c;
    c->rq = rq;
    rq->ev = ev;
    rq->began = c->began ? c->began : clock_us();
    rq->worker = c->lane->index;
    rq->method = method_of(evhttp_request_get_command(ev));
    rq->head = evhttp_request_get_command(ev) == EVHTTP_REQ_HEAD;
    rq->old = c->head.old;
    rq->tls = c->tls;
    rq->is_unix = c->is_unix;
    rq->secure = c->tls || c->loopback || c->is_unix;
    memcpy(rq->peer, c->peer, sizeof(rq->peer));
    rq->target.text = c->target;
    rq->body = c->body;
    rq->buffered = c->buffered;
    c->target = NULL;
    c->body = (struct mk_buf){0};
    c->buffered = 0;
    return rq;
}

static void
tell_methods(struct request *rq, const char *header, unsigned methods)
{
    static const char *const names[] = {"GET, HEAD", "POST", "PUT", "DELETE", "OPTIONS"};
    struct mk_buf text = {0};

    for (unsigned i = 0; i < MK_COUNT(names); i++) {
        if (methods & 1u << i)
            mk_buf_printf(&text, "%s%s", text.len ? ", " : "", names[i]);
    }
    mk_http_set_header(&rq->base, header, mk_buf_cstr(&text));
    mk_buf_release(&text);
}

/* What a browser asks before it sends a request of a page from elsewhere. The answer's general headers name the origin. */
static void
answer_preflight(struct request *rq, unsigned methods)
{
    rq->preflight = true;
    tell_methods(rq, "Access-Control-Allow-Methods", methods);
    mk_http_set_header(&rq->base, "Access-Control-Allow-Headers", "Authorization, Content-Type, Accept, Last-Event-ID");
    mk_http_set_header(&rq->base, "Access-Control-Max-Age", "600");
    mk_http_answer(&rq->base, 204, NULL, MK_STR(""));
}

/* No handler has this method. */
static void
answer_without_route(struct request *rq, unsigned methods)
{
    if (!methods) {
        answer_error(rq, 404);
        return;
    }
    tell_methods(rq, "Allow", methods | MK_HTTP_OPTIONS);
    if (rq->method == MK_HTTP_OPTIONS)
        mk_http_answer(&rq->base, 204, NULL, MK_STR(""));
    else
        answer_error(rq, 405);
}

static void
call(struct request *rq, const struct route *route)
{
    struct conn *c = rq->conn;
    bool answered = false;

    mk_module_enter(route->module);
    rq->module = route->module;
    if (route->varies)
        rq->part_count = route_parts(route, rq->target.raw_path, rq->parts, &rq->part_memory);
    rq->answered = &answered;
    route->fn(&rq->base, route->arg);
    if (answered)
        return;
    rq->answered = NULL;
    if (!rq->started && !c->closed)
        conn_watch(c);
}

static void
dispatch(struct request *rq)
{
    struct match match = route_find(rq->site, rq->method, rq->target.raw_path);

    if (rq->method == MK_HTTP_OPTIONS && match.allowed && conf_of(rq->http)->cors.count &&
        mk_http_header(&rq->base, "Origin") && mk_http_header(&rq->base, "Access-Control-Request-Method"))
        answer_preflight(rq, match.allowed);
    else if (match.route)
        call(rq, match.route);
    else
        answer_without_route(rq, match.allowed);
}

void
on_request(struct evhttp_request *ev, void *arg)
{
    struct lane *lane = arg;
    struct conn *c = lane->current;
    struct evhttp_connection *conn = evhttp_request_get_connection(ev);
    struct request *rq;
    int status;

    MK_ASSERT(c && c->bev == evhttp_connection_get_bufferevent(conn));
    mk_callback_begin();
    conn_request(c, conn, ev);
    rq = request_new(c, ev);
    status = c->error;
    if (!status && strcmp(rq->target.text, "*") == 0)
        status = 204;
    else if (!status)
        status = target_parse(&rq->target) < 0 ? 400 : 0;
    if (status == 204)
        mk_http_answer(&rq->base, 204, NULL, MK_STR(""));
    else if (status)
        answer_error(rq, status);
    else
        dispatch(rq);
    mk_callback_end();
}

/* -- asked by the handler --------------------------------------------------------------------------- */

static const struct request *
of(const struct mk_http_request *rq)
{
    return (const struct request *)rq;
}

static unsigned
rq_method(const struct mk_http_request *rq)
{
    return of(rq)->method;
}

static const char *
rq_path(const struct mk_http_request *rq)
{
    return of(rq)->target.path;
}

static const char *
rq_part(const struct mk_http_request *rq, const char *name)
{
    const struct request *r = of(rq);

    for (size_t i = 0; i < r->part_count; i++) {
        if (mk_str_is((struct mk_str){r->parts[i].name, r->parts[i].name_len}, name))
            return r->parts[i].value;
    }
    return NULL;
}

static const char *
rq_query(const struct mk_http_request *rq, const char *name)
{
    return target_query(&of(rq)->target, name);
}

static const char *
rq_header(const struct mk_http_request *rq, const char *name)
{
    return evhttp_find_header(evhttp_request_get_input_headers(of(rq)->ev), name);
}

static struct mk_str
rq_body(const struct mk_http_request *rq)
{
    return mk_buf_str(&of(rq)->body);
}

static const char *
rq_peer(const struct mk_http_request *rq)
{
    return of(rq)->peer;
}

static bool
rq_secure(const struct mk_http_request *rq)
{
    return of(rq)->secure;
}

static bool
rq_is_unix(const struct mk_http_request *rq)
{
    return of(rq)->is_unix;
}

const struct mk_http request_api = {.size = sizeof(request_api),
                                    .method = rq_method,
                                    .path = rq_path,
                                    .part = rq_part,
                                    .query = rq_query,
                                    .header = rq_header,
                                    .body = rq_body,
                                    .peer = rq_peer,
                                    .secure = rq_secure,
                                    .is_unix = rq_is_unix,
                                    .set_header = answer_set_header,
                                    .answer = answer_whole,
                                    .start = answer_start,
                                    .write = answer_write,
                                    .end = answer_end,
                                    .on_gone = answer_on_gone};
