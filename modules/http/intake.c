/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * What comes in on a connection, until evhttp may have it. evhttp takes requests that can be read in two ways, and knows no
 * limits. So a callback on the bufferevent's input looks first (guard.c): a low-water mark that is never reached keeps evhttp
 * from it until a whole request is there, which is then let in alone, as a head without a body. What is no request never
 * gets there; evhttp gets another in its place, whose answer is the error.
 */
#include "config.h"

#include "internal.h"

/* Bytes of further requests that are read while one is under way. */
#define LATER_MAX 65536

static struct guard_limits
limits_of(const struct conn *c)
{
    const struct http_conf *conf = conn_conf(c);
    uint64_t own = c->lane->place->max_body;

    return (struct guard_limits){conf->max_header, own ? own : conf->max_body};
}

/* Bodies of this worker together; others only look. */
static size_t
count_buffered(const struct conn *c, size_t now, size_t before)
{
    return __atomic_add_fetch(&c->lane->place->http->workers[c->lane->index].buffered, now - before, __ATOMIC_RELAXED);
}

/* evhttp reads what is in the input now: the caller, or libevent behind this callback, calls it. */
static void
let_in(struct conn *c)
{
    c->state = CONN_BUSY;
    c->lane->current = c;
    c->let_in = evbuffer_get_length(input_of(c));
    bufferevent_setwatermark(c->bev, EV_READ, 0, 0);
}

void
intake_drop_body(struct conn *c)
{
    if (c->buffered)
        count_buffered(c, 0, c->buffered);
    c->buffered = 0;
    mk_buf_release(&c->body);
}

void
intake_drain(struct evbuffer *b)
{
    if (b)
        evbuffer_drain(b, evbuffer_get_length(b));
}

void
intake_fail(struct conn *c, int status)
{
    static const char get[] = "GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
    static const char head[] = "HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n";
    const char *instead = c->head.head ? head : get;
    bool inside = c->inside;

    c->inside = true;
    c->dropped += evbuffer_get_length(input_of(c));
    intake_drain(input_of(c));
    intake_drain(c->kept);
    intake_drain(c->later);
    intake_drop_body(c);
    c->error = status;
    evbuffer_prepend(input_of(c), instead, strlen(instead));
    c->inside = inside;
    let_in(c);
}

static struct evbuffer *
buffer_of(struct evbuffer **b)
{
    if (!*b)
        *b = evbuffer_new();
    if (!*b)
        MK_BUG("no memory for a buffer");
    return *b;
}

/* A request is whole, and its head in c->kept: what follows waits. */
static void
let_in_kept(struct conn *c)
{
    struct evbuffer *in = input_of(c);

    if (evbuffer_get_length(in))
        evbuffer_add_buffer(buffer_of(&c->later), in);
    evbuffer_prepend_buffer(in, c->kept);
    let_in(c);
}

static void
send_continue(struct conn *c)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    bufferevent_data_cb read, write;
    bufferevent_event_cb event;
    void *arg;

    /* evhttp would take the end of this write for the end of an answer. It sets its callbacks anew for that. */
    bufferevent_getcb(c->bev, &read, &write, &event, &arg);
    bufferevent_setcb(c->bev, read, NULL, event, arg);
    bufferevent_enable(c->bev, EV_WRITE);
    bufferevent_write(c->bev, text, sizeof(text) - 1);
    c->queued += sizeof(text) - 1;
}

/* Takes what is there of a body of known length. */
static void
take_known(struct conn *c)
{
    size_t there = evbuffer_get_length(input_of(c)), want = (size_t)c->head.length - c->body.len;

    if (there > want)
        there = want;
    mk_buf_reserve(&c->body, there + 1);
    evbuffer_remove(input_of(c), c->body.data + c->body.len, there);
    c->body.len += there;
    if (c->body.len == c->head.length)
        let_in_kept(c);
}

static void
take_chunks(struct conn *c)
{
    struct guard_limits limits = limits_of(c);
    enum guard_chunks_result result = CHUNKS_MORE;
    struct evbuffer_iovec piece;
    size_t taken;

    while (result == CHUNKS_MORE && evbuffer_peek(input_of(c), -1, NULL, &piece, 1) > 0 && piece.iov_len) {
        result = guard_chunks(&c->chunks, piece.iov_base, piece.iov_len, &limits, &c->body, &taken);
        evbuffer_drain(input_of(c), taken);
    }
    if (result == CHUNKS_DONE)
        let_in_kept(c);
    else if (result != CHUNKS_MORE)
        intake_fail(c, result == CHUNKS_BAD ? 400 : 413);
}

static void
take_body(struct conn *c)
{
    size_t sum;

    if (c->head.chunked)
        take_chunks(c);
    else
        take_known(c);
    sum = count_buffered(c, c->body.cap, c->buffered);
    c->buffered = c->body.cap;
    if (c->state == CONN_BODY && sum > conn_conf(c)->max_buffered) {
        mk_counter_add(metrics_of(c)->refused_memory, 1);
        intake_fail(c, 503);
    }
}

/* The body is taken out on the way, and the target is ours to read: evhttp is told of neither. */
static void
hide_from_evhttp(struct conn *c, char *text)
{
    size_t target = (size_t)(c->head.target.p - text);

    for (unsigned i = 0; i < c->head.hide_count; i++)
        text[c->head.hide[i]] = '-';
    mk_free(c->target);
    c->target = mk_str_dup(c->head.target);
    memset(text + target, 'x', c->head.target.len);
    text[target] = '/';
}

/* The head is whole, `len` bytes of the input. */
static void
take_whole_head(struct conn *c, size_t len)
{
    struct guard_limits limits = limits_of(c);
    char *text = (char *)evbuffer_pullup(input_of(c), (ev_ssize_t)len);
    int status;

    if (len > limits.max_header) {
        intake_fail(c, (size_t)((char *)memchr(text, '\n', len) - text) > limits.max_header ? 414 : 431);
        return;
    }
    status = guard_check(text, len, &limits, &c->head);
    if (status) {
        intake_fail(c, status);
        return;
    }
    hide_from_evhttp(c, text);
    if (!c->head.chunked && !c->head.length && evbuffer_get_length(input_of(c)) == len) {
        let_in(c);
        return;
    }
    evbuffer_remove_buffer(input_of(c), buffer_of(&c->kept), len);
    if (!c->head.chunked && !c->head.length) {
        let_in_kept(c);
        return;
    }
    c->state = CONN_BODY;
    c->chunks = (struct guard_chunks){0};
    if (c->head.expects && evbuffer_get_length(input_of(c)) == 0)
        send_continue(c);
    take_body(c);
}

/* Empty lines before a request are nothing. The first byte of the request, or -1. */
static int
first_byte(struct evbuffer *in)
{
    struct evbuffer_iovec piece;

    while (evbuffer_peek(in, 1, NULL, &piece, 1) > 0 && piece.iov_len) {
        const char *text = piece.iov_base;
        size_t empty = 0;

        while (empty < piece.iov_len && (text[empty] == '\r' || text[empty] == '\n'))
            empty++;
        if (empty == 0)
            return (unsigned char)*text;
        evbuffer_drain(in, empty);
    }
    return -1;
}

static void
take_head(struct conn *c)
{
    struct evbuffer *in = input_of(c);
    struct evbuffer_ptr at;
    struct evbuffer_iovec piece;
    bool done = false;

    if (c->scan.seen == 0) {
        int first = first_byte(in);

        if (first < 0)
            return;
        c->head = (struct guard_head){0};
        c->began = clock_us();
        c->since = mk_now_ms();
        if (first <= ' ' || first >= 0x7f) {
            intake_fail(c, 400);
            return;
        }
    }
    while (!done && c->scan.seen < evbuffer_get_length(in) && evbuffer_ptr_set(in, &at, c->scan.seen, EVBUFFER_PTR_SET) == 0 &&
           evbuffer_peek(in, -1, &at, &piece, 1) > 0)
        guard_scan(&c->scan, piece.iov_base, piece.iov_len, &done);
    if (done)
        take_whole_head(c, c->scan.seen);
    else if (c->scan.seen > conn_conf(c)->max_header)
        intake_fail(c, c->scan.line_ended ? 431 : 414);
}

/* Further requests wait; whoever sends very many is not read from for now. */
static void
keep_for_later(struct conn *c)
{
    evbuffer_add_buffer(buffer_of(&c->later), input_of(c));
    if (evbuffer_get_length(c->later) > LATER_MAX)
        bufferevent_disable(c->bev, EV_READ);
}

/* Bytes that come while a request is under way, or after an error. */
static void
take_behind(struct conn *c)
{
    bool waits = c->lane->current == c;

    /* With TLS there can be several reads before evhttp gets what was let in. */
    if (waits)
        evbuffer_remove_buffer(input_of(c), buffer_of(&c->kept), c->let_in);
    if (c->error) {
        c->dropped += evbuffer_get_length(input_of(c));
        intake_drain(input_of(c));
    } else {
        keep_for_later(c);
    }
    if (waits)
        evbuffer_prepend_buffer(input_of(c), c->kept);
}

void
intake_take(struct conn *c)
{
    if (c->state == CONN_LINGER || c->state == CONN_BUSY) {
        take_behind(c);
    } else {
        if (c->later && evbuffer_get_length(c->later))
            evbuffer_prepend_buffer(input_of(c), c->later);
        if (c->state == CONN_HEAD)
            take_head(c);
        else
            take_body(c);
    }
}

void
intake_callback(struct evbuffer *in, const struct evbuffer_cb_info *info, void *arg)
{
    struct conn *c = arg;

    (void)in;
    if (c->inside || info->n_added == 0)
        return;
    mk_callback_begin();
    c->inside = true;
    mk_counter_add(metrics_of(c)->bytes_in, info->n_added);
    intake_take(c);
    c->inside = false;
    mk_callback_end();
}
