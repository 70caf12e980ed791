/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* A request: taken from evhttp, given to the handler of its route, asked by the handler. */
#include "config.h"

#include "internal.h"

#include <arpa/inet.h>
#include <event2/bufferevent_ssl.h>

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
    case EVHTTP_REQ_OPTIONS:
        return MK_HTTP_OPTIONS;
    default:
        return 0;
    }
}

void
request_free(struct request *rq)
{
    if (rq->answered)
        *rq->answered = true;
    mk_module_leave(rq->module);
    mk_free(rq->path);
    mk_free(rq->raw_path);
    mk_free(rq->part_memory);
    mk_free(rq->query_memory);
    mk_free(rq->query);
    mk_free(rq);
}

/* -- the query --------------------------------------------------------------------------------- */

/* One "name=value"; the place behind what it wrote, NULL: malformed. */
static char *
take_parameter(struct request *rq, const char *text, size_t len, char *to)
{
    const char *equals = memchr(text, '=', len);
    size_t name_len = equals ? (size_t)(equals - text) : len;
    struct parameter *p = &rq->query[rq->query_count];
    ssize_t n;

    p->name = to;
    n = percent_decode(to, text, name_len, true);
    if (n < 0)
        return NULL;
    to += n + 1;
    p->value = to;
    *to = '\0';
    n = equals ? percent_decode(to, equals + 1, len - name_len - 1, true) : 0;
    if (n < 0)
        return NULL;
    rq->query_count++;
    return to + n + 1;
}

static int
take_query(struct request *rq, const char *query)
{
    size_t parameters = 1;
    char *to;

    if (!query || !*query)
        return 0;
    for (const char *p = query; *p; p++)
        parameters += *p == '&';
    if (parameters > MAX_PARAMETERS)
        return -1;
    rq->query = mk_alloc(parameters * sizeof(*rq->query));
    to = rq->query_memory = mk_alloc(strlen(query) + 2 * parameters + 1);
    for (;;) {
        size_t len = strcspn(query, "&");

        if (len && !(to = take_parameter(rq, query, len, to)))
            return -1;
        if (!query[len])
            return 0;
        query += len + 1;
    }
}

/* -- from evhttp ----------------------------------------------------------------------------------- */

static bool
is_loopback(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr) >> 24 == 127;
    if (a->sa_family == AF_INET6) {
        const struct in6_addr *i = &((const struct sockaddr_in6 *)a)->sin6_addr;

        return IN6_IS_ADDR_LOOPBACK(i) || (IN6_IS_ADDR_V4MAPPED(i) && i->s6_addr[12] == 127);
    }
    return a->sa_family == AF_UNIX;
}

/* As text, without port; of an IPv4 client of a socket for both families as IPv4. */
static void
tell_address(const struct sockaddr *a, char out[static INET6_ADDRSTRLEN])
{
    const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)a;

    out[0] = '\0';
    if (a->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)a)->sin_addr, out, INET6_ADDRSTRLEN);
    else if (a->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a6->sin6_addr))
        inet_ntop(AF_INET, a6->sin6_addr.s6_addr + 12, out, INET6_ADDRSTRLEN);
    else if (a->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &a6->sin6_addr, out, INET6_ADDRSTRLEN);
}

static void
on_close(struct evhttp_connection *conn, void *arg)
{
    struct request *rq = arg;

    (void)conn;
    mk_callback_begin();
    rq->gone = true;
    if (rq->on_gone) {
        mk_http_fn fn = rq->on_gone;

        rq->on_gone = NULL;
        fn(&rq->base, rq->on_gone_arg);
    }
    mk_callback_end();
}

static struct request *
request_new(struct lane *lane, struct evhttp_request *ev)
{
    struct evhttp_connection *conn = evhttp_request_get_connection(ev);
    const struct sockaddr *from = evhttp_connection_get_addr(conn);
    struct request *rq = mk_zalloc(sizeof(*rq));

    rq->base.api = &request_api;
    rq->lane = lane;
    rq->ev = ev;
    rq->method = method_of(evhttp_request_get_command(ev));
    rq->head = evhttp_request_get_command(ev) == EVHTTP_REQ_HEAD;
    rq->tls = bufferevent_openssl_get_ssl(evhttp_connection_get_bufferevent(conn)) != NULL;
    rq->is_unix = from && from->sa_family == AF_UNIX;
    if (from)
        tell_address(from, rq->peer);
    rq->secure = rq->tls || (from && is_loopback(from));
    return rq;
}

/* Its path and query; a status when they are no good. */
static int
take_target(struct request *rq)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(rq->ev);
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
    size_t len = path ? strlen(path) : 0;

    if (!path || !path_is_good(path, len) || take_query(rq, evhttp_uri_get_query(uri)) < 0)
        return 400;
    rq->raw_path = mk_strdup(path);
    rq->path = mk_alloc(len + 1);
    return percent_decode(rq->path, path, len, false) < 0 ? 400 : 0;
}

static void
allow(struct request *rq, unsigned methods)
{
    static const char *const names[] = {"GET, HEAD", "POST", "PUT", "DELETE", "OPTIONS"};
    struct mk_buf text = {0};

    for (unsigned i = 0; i < MK_COUNT(names); i++) {
        if (methods & 1u << i)
            mk_buf_printf(&text, "%s%s", text.len ? ", " : "", names[i]);
    }
    mk_http_set_header(&rq->base, "Allow", mk_buf_cstr(&text));
    mk_buf_release(&text);
}

static void
dispatch(struct request *rq)
{
    struct match match = route_find(rq->lane->place->site, rq->method, rq->raw_path);
    const struct route *route = match.route;
    bool answered = false;

    if (!route && match.allowed)
        allow(rq, match.allowed);
    if (!route) {
        answer_error(rq, match.allowed ? 405 : 404);
        return;
    }
    mk_module_enter(route->module);
    rq->module = route->module;
    if (route->varies)
        rq->part_count = route_parts(route, rq->raw_path, rq->parts, &rq->part_memory);
    rq->answered = &answered;
    route->fn(&rq->base, route->arg);
    if (!answered)
        rq->answered = NULL;
}

void
on_request(struct evhttp_request *ev, void *arg)
{
    struct request *rq;
    int status;

    mk_callback_begin();
    rq = request_new(arg, ev);
    evhttp_connection_set_closecb(evhttp_request_get_connection(ev), on_close, rq);
    status = rq->method ? take_target(rq) : 501;
    if (status)
        answer_error(rq, status);
    else
        dispatch(rq);
    mk_callback_end();
}

/* -- asked by the handler --------------------------------------------------------------------------- */

static struct request *
of(const struct mk_http_request *rq)
{
    return (struct request *)(uintptr_t)rq;
}

static unsigned
rq_method(const struct mk_http_request *rq)
{
    return of(rq)->method;
}

static const char *
rq_path(const struct mk_http_request *rq)
{
    return of(rq)->path;
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
    const struct request *r = of(rq);

    for (size_t i = 0; i < r->query_count; i++) {
        if (strcmp(r->query[i].name, name) == 0)
            return r->query[i].value;
    }
    return NULL;
}

static const char *
rq_header(const struct mk_http_request *rq, const char *name)
{
    return evhttp_find_header(evhttp_request_get_input_headers(of(rq)->ev), name);
}

static struct mk_str
rq_body(const struct mk_http_request *rq)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(of(rq)->ev);
    size_t len = evbuffer_get_length(in);

    return (struct mk_str){len ? (const char *)evbuffer_pullup(in, -1) : "", len};
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
