/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Answers: whole ones, and in pieces. */
#include "config.h"

#include "internal.h"

#include <stdio.h>

/* What evhttp has no words for; NULL: it has. */
static const char *
reason_of(int status)
{
    switch (status) {
    case 308: return "Permanent Redirect";
    case 422: return "Unprocessable Content";
    case 426: return "Upgrade Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    default: return NULL;
    }
}

static bool
is_token(const char *text)
{
    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text <= ' ' || *text >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", *text))
            return false;
    }
    return true;
}

static bool
is_header_value(const char *text)
{
    for (; *text; text++) {
        if (((unsigned char)*text < ' ' && *text != '\t') || *text == 0x7f)
            return false;
    }
    return true;
}

void
answer_set_header(struct mk_http_request *base, const char *name, const char *value)
{
    struct request *rq = (struct request *)base;

    /* The header goes, not the process: a value may come from a user. */
    if (!is_token(name) || !is_header_value(value)) {
        mk_log(rq->lane->place->http->module, MK_LOG_ERROR, "http.header",
               "an answer to '%s' has a header that may not be sent", rq->path ? rq->path : "?");
        return;
    }
    evhttp_add_header(evhttp_request_get_output_headers(rq->ev), name, value);
}

static void
add_length(struct request *rq, size_t len)
{
    char text[24];

    snprintf(text, sizeof(text), "%zu", len);
    evhttp_add_header(evhttp_request_get_output_headers(rq->ev), "Content-Length", text);
}

static void
forget_connection(struct request *rq)
{
    struct evhttp_connection *conn = evhttp_request_get_connection(rq->ev);

    if (conn)
        evhttp_connection_set_closecb(conn, NULL, NULL);
}

void
answer_whole(struct mk_http_request *base, int status, const char *type, struct mk_str body)
{
    struct request *rq = (struct request *)base;
    struct evbuffer *out = evhttp_request_get_output_buffer(rq->ev);
    bool bodiless = status == 204 || status == 304;

    MK_ASSERT(!rq->started);
    forget_connection(rq);
    if (type && !bodiless) {
        evhttp_add_header(evhttp_request_get_output_headers(rq->ev), "Content-Type", type);
        add_length(rq, body.len);
        if (!rq->head)
            evbuffer_add(out, body.p, body.len);
    } else if (!bodiless) {
        add_length(rq, 0);
    }
    evhttp_send_reply(rq->ev, status, reason_of(status), NULL);
    request_free(rq);
}

void
answer_error(struct request *rq, int status)
{
    char text[32];

    snprintf(text, sizeof(text), "{\"error\":%d}\n", status);
    answer_whole(&rq->base, status, "application/json", mk_str_of(text));
}

void
answer_start(struct mk_http_request *base, int status, const char *type)
{
    struct request *rq = (struct request *)base;

    MK_ASSERT(!rq->started);
    rq->started = true;
    if (type)
        evhttp_add_header(evhttp_request_get_output_headers(rq->ev), "Content-Type", type);
    evhttp_send_reply_start(rq->ev, status, reason_of(status));
}

bool
answer_write(struct mk_http_request *base, struct mk_str data)
{
    struct request *rq = (struct request *)base;
    struct evhttp_connection *conn = evhttp_request_get_connection(rq->ev);
    struct evbuffer *piece;

    MK_ASSERT(rq->started);
    if (rq->gone || !conn)
        return true;
    piece = evbuffer_new();
    evbuffer_add(piece, data.p, data.len);
    evhttp_send_reply_chunk(rq->ev, piece);
    evbuffer_free(piece);
    return evbuffer_get_length(bufferevent_get_output(evhttp_connection_get_bufferevent(conn))) < 1048576;
}

void
answer_end(struct mk_http_request *base)
{
    struct request *rq = (struct request *)base;

    MK_ASSERT(rq->started);
    forget_connection(rq);
    evhttp_send_reply_end(rq->ev);
    request_free(rq);
}

void
answer_on_gone(struct mk_http_request *base, mk_http_fn fn, void *arg)
{
    struct request *rq = (struct request *)base;

    rq->on_gone = fn;
    rq->on_gone_arg = arg;
}
