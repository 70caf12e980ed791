/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Routes for the tests of module http. T_UNIX: also a place "inner" on that Unix socket. */
#include <stdio.h>
#include <stdlib.h>

#include <meerkat/http.h>
#include <meerkat/meerkat.h>

#ifndef T_NAME
#define T_NAME "t_http"
#endif

struct t_http {
    struct mk_module *module;
    const struct mk_http *http;
    struct mk_counter gone;
};

static void
add(struct mk_buf *out, const char *name, const char *value)
{
    if (value)
        mk_buf_printf(out, "%s=%s\n", name, value);
}

/* Tells what it was asked. */
static void
on_echo(struct mk_http_request *rq, void *arg)
{
    struct mk_buf out = {0};

    (void)arg;
    mk_buf_printf(&out, "method=%u\n", mk_http_method(rq));
    add(&out, "path", mk_http_path(rq));
    add(&out, "name", mk_http_part(rq, "name"));
    add(&out, "rest", mk_http_part(rq, "*"));
    add(&out, "q", mk_http_query(rq, "q"));
    add(&out, "x", mk_http_header(rq, "X-Test"));
    add(&out, "peer", mk_http_peer(rq));
    mk_buf_printf(&out, "secure=%d unix=%d\nbody=", mk_http_secure(rq), mk_http_is_unix(rq));
    mk_buf_add_str(&out, mk_http_body(rq));
    if (mk_http_query(rq, "header"))
        mk_http_set_header(rq, "X-Answer", mk_http_query(rq, "header"));
    mk_http_answer(rq, 200, "text/plain", mk_buf_str(&out));
    mk_buf_release(&out);
}

static void
answer_late(void *arg)
{
    mk_http_answer((struct mk_http_request *)arg, 200, "text/plain", MK_STR("late"));
}

static void
count_gone(struct mk_http_request *rq, void *arg)
{
    struct t_http *t = arg;

    (void)rq;
    mk_counter_add(t->gone, 1);
}

/* Answers after ?ms=. */
static void
on_late(struct mk_http_request *rq, void *arg)
{
    struct t_http *t = arg;
    const char *ms = mk_http_query(rq, "ms");
    struct mk_timer *timer;

    mk_http_on_gone(rq, count_gone, t);
    timer = mk_timer_new(t->module, ms ? (uint64_t)atoi(ms) : 10, answer_late, rq);
    (void)timer;
}

struct stream {
    struct t_http *t;
    struct mk_http_request *rq;
    struct mk_timer *timer;
    int left, bytes;
};

static void
stream_end(struct stream *s)
{
    mk_http_on_gone(s->rq, NULL, NULL);
    mk_http_end(s->rq);
    mk_timer_free(&s->timer);
    mk_free(s);
}

static void
stream_gone(struct mk_http_request *rq, void *arg)
{
    struct stream *s = arg;

    (void)rq;
    mk_counter_add(s->t->gone, 1);
    stream_end(s);
}

static void
stream_tick(void *arg)
{
    struct stream *s = arg;
    char *piece = mk_alloc((size_t)s->bytes);
    bool fits;

    memset(piece, 'x', (size_t)s->bytes);
    piece[s->bytes - 1] = '\n';
    fits = mk_http_write(s->rq, ((struct mk_str){piece, (size_t)s->bytes}));
    mk_free(piece);
    if (!fits || --s->left == 0)
        stream_end(s);
}

/* ?count= pieces of ?bytes=, one every 10 ms. */
static void
on_stream(struct mk_http_request *rq, void *arg)
{
    struct stream *s = mk_zalloc(sizeof(*s));
    const char *count = mk_http_query(rq, "count"), *bytes = mk_http_query(rq, "bytes");

    s->t = arg;
    s->rq = rq;
    s->left = count ? atoi(count) : 3;
    s->bytes = bytes ? atoi(bytes) : 10;
    mk_http_start(rq, 200, "text/event-stream");
    mk_http_on_gone(rq, stream_gone, s);
    s->timer = mk_timer_every(s->t->module, 10, stream_tick, s);
}

/* ?bytes= of one letter. */
static void
on_big(struct mk_http_request *rq, void *arg)
{
    const char *bytes = mk_http_query(rq, "bytes"), *type = mk_http_query(rq, "type");
    size_t len = bytes ? (size_t)atoi(bytes) : 100;
    char *body = mk_alloc(len + 1);

    (void)arg;
    memset(body, 'b', len);
    mk_http_answer(rq, 200, type ? type : "application/json", ((struct mk_str){body, len}));
    mk_free(body);
}

static void
on_empty(struct mk_http_request *rq, void *arg)
{
    (void)arg;
    mk_http_answer(rq, 204, NULL, MK_STR(""));
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct t_http *t = mk_zalloc(sizeof(*t));
    const unsigned get = MK_HTTP_GET, all = MK_HTTP_GET | MK_HTTP_POST | MK_HTTP_PUT;

    mk_module_set(m, t);
    t->module = m;
    t->http = mk_http_get(m, err);
    if (!t->http)
        return -1;
    t->gone = mk_counter_new(m, "t_http_gone_total", NULL, "Clients that went away");
    if (mk_http_route(t->http, m, "public", all, "/echo", on_echo, t, err) < 0 ||
        mk_http_route(t->http, m, "public", get, "/user/{name}", on_echo, t, err) < 0 ||
        mk_http_route(t->http, m, "public", MK_HTTP_DELETE, "/user/me", on_empty, t, err) < 0 ||
        mk_http_route(t->http, m, "public", get, "/files/{*}", on_echo, t, err) < 0 ||
        mk_http_route(t->http, m, "public", get, "/late", on_late, t, err) < 0 ||
        mk_http_route(t->http, m, "public", get, "/stream", on_stream, t, err) < 0 ||
        mk_http_route(t->http, m, "public", get, "/big", on_big, t, err) < 0 ||
        mk_http_route(t->http, m, "inner", all, "/echo", on_echo, t, err) < 0)
        return -1;
#ifdef T_TWICE
    return mk_http_route(t->http, m, "public", get, "/user/{other}", on_echo, t, err);
#endif
    return 0;
}

static int
start(struct mk_module *m, struct mk_error *err)
{
#ifdef T_UNIX
    struct t_http *t = mk_module_get(m);
    char *items[] = {(char *)"unix:" T_UNIX};
    const struct mk_option_list list = {1, items};
    const struct mk_http_place inner = {.size = sizeof(inner), .name = "inner", .plain = &list, .max_body = 2000};

    return t->http->place(t->http->self, m, &inner, err);
#else
    (void)m;
    (void)err;
    return 0;
#endif
}

static void
unload(struct mk_module *m)
{
    mk_free(mk_module_get(m));
}

MK_MODULE(.name = T_NAME, .version = "1.0", .summary = "routes for tests",
          .depends = (const char *const[]){"http", NULL}, .init = init, .start = start, .unload = unload);
