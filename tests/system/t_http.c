/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Routes for the tests of module http. T_UNIX: also a place "inner" on that Unix socket. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <meerkat/http.h>
#include <meerkat/meerkat.h>

#ifndef T_NAME
#define T_NAME "t_http"
#endif

#define MAX_WORKERS 16

struct t_http {
    struct mk_module *module;
    struct stream *streams[MAX_WORKERS];        /* of each worker */
    bool stopping;
    const struct mk_http *http;
    struct mk_counter gone, full;
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

struct late {
    struct mk_http_request *rq;
    unsigned ms;
};

static void
sleep_late(void *arg)
{
    usleep(1000 * ((struct late *)arg)->ms);
}

static void
answer_late(void *arg)
{
    struct late *l = arg;

    mk_http_answer(l->rq, 200, "text/plain", MK_STR("late"));
    mk_free(l);
}

/* Answers after ?ms=, from something that the core waits for when the module goes. */
static void
on_late(struct mk_http_request *rq, void *arg)
{
    struct t_http *t = arg;
    const char *ms = mk_http_query(rq, "ms");
    struct late *l = mk_alloc(sizeof(*l));

    *l = (struct late){rq, ms ? (unsigned)atoi(ms) : 10};
    if (mk_offload(t->module, sleep_late, answer_late, l) < 0)
        answer_late(l);
}

/* What does not end by itself: the module ends it when it stops. */
struct stream {
    struct stream *next, **link;
    struct t_http *t;
    struct mk_http_request *rq;
    struct mk_timer *timer;
    int left, bytes;
    bool hangs;
};

static struct stream *
stream_new(struct t_http *t, struct mk_http_request *rq)
{
    struct stream **first = &t->streams[mk_worker_index(mk_worker_self())];
    struct stream *s = mk_zalloc(sizeof(*s));

    *s = (struct stream){.t = t, .rq = rq, .next = *first, .link = first};
    if (s->next)
        s->next->link = &s->next;
    *first = s;
    return s;
}

static void
stream_end(struct stream *s)
{
    *s->link = s->next;
    if (s->next)
        s->next->link = s->link;
    mk_http_on_gone(s->rq, NULL, NULL);
    if (s->hangs)
        mk_http_answer(s->rq, 503, NULL, MK_STR(""));
    else
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
    if (!fits)
        mk_counter_add(s->t->full, 1);
    if (!fits || --s->left == 0)
        stream_end(s);
}

static bool
is_stopping(struct t_http *t, struct mk_http_request *rq)
{
    if (!__atomic_load_n(&t->stopping, __ATOMIC_ACQUIRE))
        return false;
    mk_http_answer(rq, 503, NULL, MK_STR(""));
    return true;
}

/* ?count= pieces of ?bytes=, one every 10 ms. */
static void
on_stream(struct mk_http_request *rq, void *arg)
{
    const char *count = mk_http_query(rq, "count"), *bytes = mk_http_query(rq, "bytes");
    struct stream *s;

    if (is_stopping(arg, rq))
        return;
    s = stream_new(arg, rq);
    s->left = count ? atoi(count) : 3;
    s->bytes = bytes ? atoi(bytes) : 10;
    mk_http_start(rq, 200, "text/event-stream");
    mk_http_on_gone(rq, stream_gone, s);
    s->timer = mk_timer_every(s->t->module, 10, stream_tick, s);
}

/* Answers when nobody waits any more. */
static void
on_hang(struct mk_http_request *rq, void *arg)
{
    struct stream *s;

    if (is_stopping(arg, rq))
        return;
    s = stream_new(arg, rq);
    s->hangs = true;
    mk_http_on_gone(rq, stream_gone, s);
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

static const char page[] = "<!DOCTYPE html><title>A page</title>\n"
                           "<p>bread and butter, bread and butter, bread and butter, bread and butter, bread and butter\n"
                           "<p>bread and butter, bread and butter, bread and butter, bread and butter, bread and butter\n";
static const struct mk_http_static files[] = {
    {"/page/", "text/html; charset=utf-8", page, sizeof(page) - 1, "default-src 'self'"}};

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
    t->full = mk_counter_new(m, "t_http_full_total", NULL, "Streams that were too much");
    if (mk_http_route(t->http, m, "public", all, "/echo", on_echo, t, err) < 0 ||
        mk_http_route(t->http, m, "public", get, "/user/{name}", on_echo, t, err) < 0 ||
        mk_http_route(t->http, m, "public", MK_HTTP_DELETE, "/user/me", on_empty, t, err) < 0 ||
        mk_http_route(t->http, m, "public", get, "/files/{*}", on_echo, t, err) < 0 ||
        mk_http_route(t->http, m, "public", get, "/late", on_late, t, err) < 0 ||
        mk_http_route(t->http, m, "public", get, "/stream", on_stream, t, err) < 0 ||
        mk_http_route(t->http, m, "public", get, "/hang", on_hang, t, err) < 0 ||
        mk_http_route(t->http, m, "public", get, "/big", on_big, t, err) < 0 ||
        mk_http_route(t->http, m, "inner", all, "/echo", on_echo, t, err) < 0 ||
        t->http->files(t->http->self, m, "public", files, MK_COUNT(files), err) < 0)
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
end_streams(void *arg)
{
    struct t_http *t = arg;
    struct stream **first = &t->streams[mk_worker_index(mk_worker_self())];

    while (*first)
        stream_end(*first);
}

static void
stop(struct mk_module *m)
{
    struct t_http *t = mk_module_get(m);

    __atomic_store_n(&t->stopping, true, __ATOMIC_RELEASE);
    mk_workers_run(end_streams, t);
}

static void
unload(struct mk_module *m)
{
    mk_free(mk_module_get(m));
}

MK_MODULE(.name = T_NAME, .version = "1.0", .summary = "routes for tests",
          .depends = (const char *const[]){"http", NULL}, .init = init, .start = start, .stop = stop,
          .unload = unload);
