/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Answers: whole ones, and in pieces. */
#include "config.h"

#include "internal.h"

#include <stdio.h>

#include <event2/util.h>

/* Shorter answers are not compressed; those that are longer than the second are, but not on a worker. */
#define GZIP_FROM 1024
#define GZIP_HERE 65536

static const char *
reason_of(int status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = {{200, "OK"}, {201, "Created"}, {202, "Accepted"}, {204, "No Content"}, {304, "Not Modified"},
                   {308, "Permanent Redirect"}, {400, "Bad Request"}, {401, "Unauthorized"}, {403, "Forbidden"},
                   {404, "Not Found"}, {405, "Method Not Allowed"}, {408, "Request Timeout"}, {409, "Conflict"},
                   {411, "Length Required"}, {413, "Content Too Large"}, {414, "URI Too Long"},
                   {415, "Unsupported Media Type"}, {417, "Expectation Failed"}, {422, "Unprocessable Content"},
                   {426, "Upgrade Required"}, {429, "Too Many Requests"}, {431, "Request Header Fields Too Large"},
                   {500, "Internal Server Error"}, {501, "Not Implemented"}, {503, "Service Unavailable"},
                   {504, "Gateway Timeout"}, {505, "HTTP Version Not Supported"}};

    for (size_t i = 0; i < MK_COUNT(reasons); i++) {
        if (reasons[i].status == status)
            return reasons[i].text;
    }
    return NULL;                /* evhttp has words for the others */
}

/* -- headers ----------------------------------------------------------------------------------- */

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

static void
add_header(struct request *rq, const char *name, const char *value)
{
    evhttp_add_header(evhttp_request_get_output_headers(rq->ev), name, value);
}

void
answer_set_header(struct mk_http_request *base, const char *name, const char *value)
{
    struct request *rq = (struct request *)base;

    /* The header goes, not the process: a value may come from a user. */
    if (!is_token(name) || !is_header_value(value)) {
        mk_log(rq->http->module, MK_LOG_ERROR, "http.header", "an answer to '%s' has a header that may not be sent",
               rq->target.raw_path ? rq->target.raw_path : "-");
        return;
    }
    add_header(rq, name, value);
}

static void
add_length(struct request *rq, size_t len)
{
    char text[24];

    snprintf(text, sizeof(text), "%zu", len);
    add_header(rq, "Content-Length", text);
}

/* Made once a second. */
static void
add_date(struct request *rq)
{
    struct worker_state *w = &rq->http->workers[rq->worker];
    time_t now = (time_t)(mk_time_us() / 1000000);
    struct tm tm;

    if (w->date_of != now) {
        gmtime_r(&now, &tm);
        evutil_date_rfc1123(w->date, sizeof(w->date), &tm);
        w->date_of = now;
    }
    add_header(rq, "Date", w->date);
}

static bool
is_allowed_origin(const struct mk_option_list *cors, const char *origin)
{
    for (size_t i = 0; i < cors->count; i++) {
        if (strcmp(cors->items[i], "*") == 0 || strcmp(cors->items[i], origin) == 0)
            return true;
    }
    return false;
}

static void
add_cors(struct request *rq, const struct http_conf *conf)
{
    const char *origin = mk_http_header(&rq->base, "Origin");

    add_header(rq, "Vary", "Origin");
    if (origin && is_allowed_origin(&conf->cors, origin))
        answer_set_header(&rq->base, "Access-Control-Allow-Origin", origin);
}

/* What all answers have. */
static void
add_general(struct request *rq, const struct http_conf *conf)
{
    char text[48];

    add_date(rq);
    add_header(rq, "X-Content-Type-Options", "nosniff");
    if (conf->server_header)
        add_header(rq, "Server", "Meerkat");
    if (conf->hsts && rq->tls) {
        snprintf(text, sizeof(text), "max-age=%llu", (unsigned long long)(conf->hsts / 1000));
        add_header(rq, "Strict-Transport-Security", text);
    }
    if (conf->cors.count)
        add_cors(rq, conf);
    if (rq->conn->lane->draining && !rq->conn->error)
        add_header(rq, "Connection", "close");
}

/* -- the end of a request ------------------------------------------------------------------------- */

static void
count(struct request *rq)
{
    struct site_metrics *m = &rq->site->metrics;
    size_t class = (size_t)rq->status / 100;

    if (class >= 1 && class <= MK_COUNT(m->answers))
        mk_counter_add(m->answers[class - 1], 1);
    mk_histogram_add(m->seconds, (uint64_t)(clock_us() - rq->began));
}

/* The path alone: queries have passwords in them. */
static void
log_access(struct request *rq)
{
    static const char *const names[] = {"GET", "POST", "PUT", "DELETE", "OPTIONS"};
    const char *method = rq->head ? "HEAD" : names[__builtin_ctz(rq->method)];
    bool malformed = !rq->target.raw_path;

    mk_log(rq->http->module, MK_LOG_INFO, "http.access", "%s %s %s '%s' %d %zu bytes %lld us", rq->site->name,
           rq->is_unix ? "unix" : rq->peer, malformed ? "-" : method, malformed ? "-" : rq->target.raw_path, rq->status,
           rq->sent, (long long)(clock_us() - rq->began));
}

static bool
is_gone(const struct request *rq)
{
    return !rq->conn || rq->conn->closed;
}

static void
finish(struct request *rq)
{
    count(rq);
    if (conf_of(rq->http)->access_log)
        log_access(rq);
    request_free(rq);
}

/* Nobody hears the answer. */
static void
finish_gone(struct request *rq)
{
    evhttp_request_free(rq->ev);
    request_free(rq);
}

/* -- whole answers ----------------------------------------------------------------------------------- */

void
answer_plain(struct request *rq, int status, const char *type, const char *encoding, struct mk_str body)
{
    struct conn *c = rq->conn;
    bool bodiless = status == 204 || status == 304;
    size_t before;

    if (is_gone(rq)) {
        finish_gone(rq);
        return;
    }
    before = conn_waiting(c);
    add_general(rq, conf_of(rq->http));
    if (type && !bodiless)
        add_header(rq, "Content-Type", type);
    if (encoding)
        add_header(rq, "Content-Encoding", encoding);
    if (!bodiless)
        add_length(rq, type ? body.len : 0);
    if (type && !bodiless && !rq->head) {
        evbuffer_add(evhttp_request_get_output_buffer(rq->ev), body.p, body.len);
        rq->sent = body.len;
    }
    rq->status = status;
    evhttp_send_reply(rq->ev, status, reason_of(status), NULL);
    conn_wrote(c, before);
    finish(rq);
}

/* An answer that is compressed elsewhere. */
struct squeezing {
    struct request *rq;
    int status, rc;
    char *type;
    struct mk_buf in, out;
};

static void
squeeze(void *arg)
{
    struct squeezing *s = arg;

    s->rc = gzip(&s->out, mk_buf_str(&s->in), 4);
}

static void
squeezed(void *arg)
{
    struct squeezing *s = arg;

    answer_plain(s->rq, s->status, s->type, s->rc == 0 ? "gzip" : NULL, mk_buf_str(s->rc == 0 ? &s->out : &s->in));
    mk_buf_release(&s->in);
    mk_buf_release(&s->out);
    mk_free(s->type);
    mk_free(s);
}

static void
squeeze_elsewhere(struct request *rq, int status, const char *type, struct mk_str body)
{
    struct squeezing *s = mk_zalloc(sizeof(*s));

    *s = (struct squeezing){.rq = rq, .status = status, .rc = -1, .type = mk_strdup(type)};
    mk_buf_add_str(&s->in, body);
    if (mk_offload(rq->http->module, squeeze, squeezed, s) < 0)
        squeezed(s);
}

static void
squeeze_here(struct request *rq, int status, const char *type, struct mk_str body)
{
    struct mk_buf out = {0};
    bool smaller = gzip(&out, body, 1) == 0;

    answer_plain(rq, status, type, smaller ? "gzip" : NULL, smaller ? mk_buf_str(&out) : body);
    mk_buf_release(&out);
}

void
answer_whole(struct mk_http_request *base, int status, const char *type, struct mk_str body)
{
    struct request *rq = (struct request *)base;
    bool may = type && type_is_text(type) && conf_of(rq->http)->compression && !rq->is_unix;

    MK_ASSERT(!rq->started);
    rq->on_gone = NULL;
    if (may)
        add_header(rq, "Vary", "Accept-Encoding");
    if (!may || body.len < GZIP_FROM || is_gone(rq) || !client_takes_gzip(rq))
        answer_plain(rq, status, type, NULL, body);
    else if (body.len <= GZIP_HERE)
        squeeze_here(rq, status, type, body);
    else
        squeeze_elsewhere(rq, status, type, body);
}

void
answer_error(struct request *rq, int status)
{
    const char *reason = reason_of(status);
    char text[128];

    if (rq->conn && rq->conn->error && status != 503 && status != 408)
        mk_counter_add(rq->site->metrics.refused_request, 1);
    if (status == 503)
        add_header(rq, "Retry-After", "5");
    snprintf(text, sizeof(text), "{\"status\":%d,\"error\":\"%s\"}\n", status, reason ? reason : "");
    answer_whole(&rq->base, status, "application/json", mk_str_of(text));
}

/* -- in pieces ------------------------------------------------------------------------------------------- */

void
answer_start(struct mk_http_request *base, int status, const char *type)
{
    struct request *rq = (struct request *)base;
    size_t before;

    MK_ASSERT(!rq->started);
    rq->started = true;
    rq->status = status;
    if (is_gone(rq))
        return;
    before = conn_waiting(rq->conn);
    /* To an old client the end of the connection is the end of the answer, whatever it asked for. */
    if (rq->old)
        evhttp_remove_header(evhttp_request_get_input_headers(rq->ev), "Connection");
    add_general(rq, conf_of(rq->http));
    if (type)
        add_header(rq, "Content-Type", type);
    evhttp_send_reply_start(rq->ev, status, reason_of(status));
    conn_wrote(rq->conn, before);
}

bool
answer_write(struct mk_http_request *base, struct mk_str data)
{
    struct request *rq = (struct request *)base;
    uint64_t limit = conf_of(rq->http)->max_queue;
    struct evbuffer *piece;
    size_t before;

    MK_ASSERT(rq->started);
    if (is_gone(rq))
        return true;
    before = conn_waiting(rq->conn);
    /* The handler was told, and did not hear. */
    if (before > 2 * limit) {
        conn_cut(rq->conn);
        return false;
    }
    piece = evbuffer_new();
    if (!piece || evbuffer_add(piece, data.p, data.len) < 0)
        MK_BUG("no memory for an answer");
    evhttp_send_reply_chunk(rq->ev, piece);
    evbuffer_free(piece);
    rq->sent += data.len;
    conn_wrote(rq->conn, before);
    return conn_waiting(rq->conn) <= limit;
}

void
answer_end(struct mk_http_request *base)
{
    struct request *rq = (struct request *)base;
    struct conn *c = rq->conn;
    struct evhttp_request *ev = rq->ev;
    size_t before;

    MK_ASSERT(rq->started);
    if (is_gone(rq)) {
        finish_gone(rq);
        return;
    }
    before = conn_waiting(c);
    finish(rq);
    evhttp_send_reply_end(ev);
    if (!c->closed && c->state == CONN_BUSY)
        conn_wrote(c, before);
}
