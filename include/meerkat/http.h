/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Service "http": HTTP/1.1 for modules. Whoever wants to answer requests registers a route at a *place*, a named set of
 * listeners. Place "public" is the one of module `http` itself ([http] listen); a module may open others.
 *
 *   static void
 *   on_time(struct mk_http_request *rq, void *arg)
 *   {
 *       char now[MK_TIME_TEXT_MAX];
 *
 *       mk_time_text(mk_time_us(), now);
 *       mk_http_answer(rq, 200, "text/plain", mk_str_of(now));
 *   }
 *
 *   http = mk_http_get(m, err);                                          in init
 *   if (!http || mk_http_route(http, m, "public", MK_HTTP_GET, "/time", on_time, NULL, err) < 0)
 *       return -1;
 *
 * A request is answered exactly once, at once or later, on the worker that got it. When its client goes away
 * before, answering is still right (and in vain); mk_http_on_gone tells. A module's requests that are not answered
 * are its work under way: it is not unloaded before. What ends by nothing the core waits for (an answer in pieces, one that a
 * timer gives) the module ends in its `stop`.
 */
#ifndef MEERKAT_HTTP_H
#define MEERKAT_HTTP_H

#include <meerkat/base.h>
#include <meerkat/module.h>

MK_BEGIN

struct mk_http_request;

enum mk_http_methods {
    MK_HTTP_GET = 1u << 0,              /* and HEAD, whose answer loses its body */
    MK_HTTP_POST = 1u << 1,
    MK_HTTP_PUT = 1u << 2,
    MK_HTTP_DELETE = 1u << 3,
    MK_HTTP_OPTIONS = 1u << 4,          /* where CORS does not answer it before */
};

typedef void (*mk_http_fn)(struct mk_http_request *rq, void *arg);

/* Listeners of a place of one's own. Zeroes and NULL are the defaults of [http]. */
struct mk_http_place {
    uint32_t size;
    const char *name;                   /* "graphql_admin": for routes, the log and metrics */
    const struct mk_option_list *plain; /* addresses as MK_TYPE_ADDRESSES gives them, or "unix:PATH"; NULL: none */
    const struct mk_option_list *tls;
    uint64_t max_body;                  /* bytes; more is answered with 413 */
};

struct mk_http_static {                 /* a file that is served as it is */
    const char *path;                   /* "/console/" */
    const char *type;                   /* "text/html; charset=utf-8" */
    const char *data;
    size_t len;
    const char *csp;                    /* Content-Security-Policy; NULL: none */
};

#define MK_HTTP_ABI 1
struct mk_http {
    uint32_t size;
    void *self;
    /* Opens a place; its listeners close when the module stops. The strings are copied. In start; routes may be registered
     * before, in init. */
    int (*place)(void *self, struct mk_module *m, const struct mk_http_place *place,
                 struct mk_error *err);
    /*
     * Registers fn for requests of these methods and a path: "/metrics", with parts that vary "/user/{name}", or with the whole
     * rest "/files/{*}". What is more exact goes first; twice the same is refused. A path that exists with other
     * methods is answered with 405 and Allow, one that does not with 404. In init.
     */
    int (*route)(void *self, struct mk_module *m, const char *place, unsigned methods,
                 const char *pattern, mk_http_fn fn, void *arg, struct mk_error *err);
    /* Serves files (with ETag and 304, compressed where the client takes it). `files` stay valid until the module goes. In init. */
    int (*files)(void *self, struct mk_module *m, const char *place,
                 const struct mk_http_static *files, size_t count, struct mk_error *err);
    /* The port that a place listens on, 0: none. After start; any thread. */
    unsigned (*port)(void *self, const char *place, bool tls);

    /* -- a request, on its worker. Everything is borrowed from it. */
    unsigned (*method)(const struct mk_http_request *rq);           /* one of enum mk_http_methods */
    const char *(*path)(const struct mk_http_request *rq);          /* decoded, without the query */
    const char *(*part)(const struct mk_http_request *rq, const char *name);    /* of "{name}"; "*" for the rest */
    /* A parameter of the query, decoded; NULL: not there. The first of several. */
    const char *(*query)(const struct mk_http_request *rq, const char *name);
    const char *(*header)(const struct mk_http_request *rq, const char *name);  /* NULL: not there */
    struct mk_str (*body)(const struct mk_http_request *rq);
    const char *(*peer)(const struct mk_http_request *rq);          /* address without port; "" for a Unix socket */
    bool (*secure)(const struct mk_http_request *rq);               /* TLS, loopback or a Unix socket */
    bool (*is_unix)(const struct mk_http_request *rq);

    /* -- the answer. The request must not be used after `answer` or `end`. */
    /* Adds a header to the answer; copied. One with bytes that may not stand in a header is left out, and logged. */
    void (*set_header)(struct mk_http_request *rq, const char *name, const char *value);
    /* `type` NULL: no body. `body` is copied; compressed where the client takes it and it pays. */
    void (*answer)(struct mk_http_request *rq, int status, const char *type, struct mk_str body);
    /* An answer in pieces (server-sent events): start, write …, end. A write to a client that has gone does nothing; it returns false when
     * too much waits for a slow client: end it. */
    void (*start)(struct mk_http_request *rq, int status, const char *type);
    bool (*write)(struct mk_http_request *rq, struct mk_str data);
    void (*end)(struct mk_http_request *rq);
    /* fn(rq, arg) once, when the client goes away before the end of the answer; the request is still to be answered or ended. NULL: not
     * any more. */
    void (*on_gone)(struct mk_http_request *rq, mk_http_fn fn, void *arg);
};

/* Every request knows the service, so that a handler needs nothing else. */
struct mk_http_request {
    const struct mk_http *api;
};

/* The service, in init; NULL with a reason. A module that calls this depends on "http". */
static inline const struct mk_http *
mk_http_get(struct mk_module *m, struct mk_error *err)
{
    return (const struct mk_http *)mk_service_get(m, "http", MK_HTTP_ABI, err);
}

static inline int
mk_http_route(const struct mk_http *http, struct mk_module *m, const char *place, unsigned methods,
              const char *pattern, mk_http_fn fn, void *arg, struct mk_error *err)
{
    return http->route(http->self, m, place, methods, pattern, fn, arg, err);
}

#define mk_http_method(rq) ((rq)->api->method(rq))
#define mk_http_path(rq) ((rq)->api->path(rq))
#define mk_http_part(rq, name) ((rq)->api->part(rq, name))
#define mk_http_query(rq, name) ((rq)->api->query(rq, name))
#define mk_http_header(rq, name) ((rq)->api->header(rq, name))
#define mk_http_body(rq) ((rq)->api->body(rq))
#define mk_http_peer(rq) ((rq)->api->peer(rq))
#define mk_http_secure(rq) ((rq)->api->secure(rq))
#define mk_http_is_unix(rq) ((rq)->api->is_unix(rq))
#define mk_http_set_header(rq, name, value) ((rq)->api->set_header(rq, name, value))
#define mk_http_answer(rq, status, type, body) ((rq)->api->answer(rq, status, type, body))
#define mk_http_start(rq, status, type) ((rq)->api->start(rq, status, type))
#define mk_http_write(rq, data) ((rq)->api->write(rq, data))
#define mk_http_end(rq) ((rq)->api->end(rq))
#define mk_http_on_gone(rq, fn, arg) ((rq)->api->on_gone(rq, fn, arg))

MK_END
#endif
