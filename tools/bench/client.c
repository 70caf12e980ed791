/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * One session: its life from connect to close, its reading and writing, and its side of stream
 * management (XEP-0198, without resumption).  Logging in is in negotiate.c.
 */
#include "bench.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define CLOSE_GRACE (2 * NSEC) /* for the server's </stream:stream> */

void
client_init(struct client *c, struct bench *b, unsigned index)
{
    memset(c, 0, sizeof(*c));
    c->bench = b;
    c->index = index;
    c->account = index;
    c->conn.fd = -1;
}

void
client_release(struct client *c)
{
    conn_close(&c->conn);
    scan_release(&c->scan);
    scram_free(&c->scram);
    free(c->jid);
    free(c->contacts);
    memset(c, 0, sizeof(*c));
    c->conn.fd = -1;
}

bool
client_is_pending(const struct client *c)
{
    return c->state > CLIENT_OFF && c->state < CLIENT_ONLINE;
}

void
client_address(const struct client *c, bool bare, char *out, size_t size)
{
    char user[256];

    if (c->jid != NULL) {
        snprintf(out, size, "%s", c->jid);
    } else {
        options_user(&c->bench->opt, c->account, user, sizeof(user));
        snprintf(out, size, "%s@%s/b%.4s-%u", user, c->bench->opt.domain, c->bench->mark + 1,
                 c->index);
    }
    if (bare)
        out[strcspn(out, "/")] = '\0';
}

static void
went_off(struct client *c)
{
    struct bench *b = c->bench;

    if (client_is_pending(c))
        b->pending--;
    else if (c->state == CLIENT_ONLINE)
        b->online--;
    if (c->sm_on && !b->scenario->storm) /* a storm leaves before it is answered */
        b->tally.sm_unacked += c->sm_out - c->sm_acked;
    c->sm_on = false;
    conn_close(&c->conn);
    if (!c->reading)
        scan_release(&c->scan);
    c->state = CLIENT_OFF;
    if (!c->registering && b->scenario->gone != NULL)
        b->scenario->gone(c);
}

void
client_drop(struct client *c)
{
    if (c->state != CLIENT_OFF)
        went_off(c);
}

void
client_fail(struct client *c, enum bench_error err, const char *fmt, ...)
{
    char text[256];
    va_list ap;

    if (c->state == CLIENT_OFF)
        return;
    if (c->state != CLIENT_CLOSING) {
        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        bench_error(c->bench, err, "%s", text);
        if (!c->registering && c->state == CLIENT_ONLINE)
            c->bench->result->dropped++;
        else if (!c->registering)
            c->bench->result->failed++;
    }
    went_off(c);
}

static const struct target *
target_of(const struct client *c)
{
    const struct options *o = &c->bench->opt;

    if (c->bench->floor)
        return &c->bench->relay.target;
    return &o->targets[(o->same_node ? c->index / 2 : c->index) % o->ntargets];
}

void
client_start(struct client *c)
{
    struct bench *b = c->bench;
    char text[128];

    c->tls_on = c->authenticated = c->session_needed = c->was_online = false;
    c->sm_on = false;
    c->sm_in = c->sm_out = c->sm_acked = c->sm_since = 0;
    c->sm_asked_at = 0;
    c->raw_round = 0;
    c->started = now_ns();
    c->deadline = c->started + (uint64_t)(b->opt.timeout * 1e9);
    c->state = CLIENT_CONNECTING;
    b->pending++;
    if (conn_open(c, target_of(c)) < 0) {
        conn_error_text(text, sizeof(text));
        client_fail(c, ERR_CONNECT, "cannot connect to %s: %s", target_of(c)->name, text);
    }
}

/* The log-in is complete. */
void
client_online(struct client *c)
{
    struct bench *b = c->bench;

    b->pending--;
    b->online++;
    c->state = CLIENT_ONLINE;
    c->was_online = true;
    if (!b->scenario->storm)
        hist_add(&b->result->connect, b->now - c->started);
    if (b->scenario->online != NULL)
        b->scenario->online(c);
}

static int
write_or_fail(struct client *c, const char *p, size_t len)
{
    char text[128];

    if (conn_write(c, p, len) == 0)
        return 0;
    conn_error_text(text, sizeof(text));
    client_fail(c, ERR_CLOSED, "cannot send: %s", text);
    return -1;
}

void
client_ask_ack(struct client *c)
{
    static const char ask[] = "<r xmlns='urn:xmpp:sm:3'/>";

    if (!c->sm_on || c->state != CLIENT_ONLINE)
        return;
    c->sm_since = 0;
    if (c->sm_asked_at == 0) {
        c->sm_asked = c->sm_out;
        c->sm_asked_at = now_ns();
    }
    c->bench->tally.sm_r_sent++;
    write_or_fail(c, ask, sizeof(ask) - 1);
}

int
client_send(struct client *c, const char *p, size_t len, unsigned count)
{
    bool corked = c->conn.corked;

    if (c->state == CLIENT_OFF || c->state == CLIENT_CLOSING)
        return -1;
    if (!c->sm_on)
        return write_or_fail(c, p, len);

    c->sm_out += count;
    c->sm_since += count;
    if (c->sm_since < c->bench->opt.sm_every)
        return write_or_fail(c, p, len);
    c->conn.corked = true; /* stanza and <r/> in one segment */
    if (write_or_fail(c, p, len) < 0)
        return -1;
    client_ask_ack(c);
    c->conn.corked = corked;
    if (!corked && conn_flush(c) < 0) {
        client_fail(c, ERR_CLOSED, "cannot send");
        return -1;
    }
    return 0;
}

int
client_sendf(struct client *c, unsigned count, const char *fmt, ...)
{
    char text[8192];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof(text)) {
        client_fail(c, ERR_STREAM, "a stanza to send is longer than %zu bytes", sizeof(text));
        return -1;
    }
    return client_send(c, text, (size_t)n, count);
}

void
client_finish(struct client *c)
{
    static const char end[] = "</stream:stream>";
    bool was_pending = client_is_pending(c);

    if (c->state == CLIENT_OFF || c->state == CLIENT_CLOSING)
        return;
    if (c->bench->floor || (was_pending && !c->registering)) {
        went_off(c);
        return;
    }
    if (write_or_fail(c, end, sizeof(end) - 1) < 0)
        return;
    if (was_pending)
        c->bench->pending--;
    else
        c->bench->online--;
    c->state = CLIENT_CLOSING;
    c->deadline = now_ns() + CLOSE_GRACE;
}

/* Answers what a client must answer; false = not for us. */
static bool
handle_nonza(struct client *c, const struct element *el)
{
    char h[16];

    if (element_is(el, "r")) {
        client_sendf(c, 0, "<a xmlns='urn:xmpp:sm:3' h='%u'/>", c->sm_in);
        c->bench->tally.sm_r_received++;
        c->bench->tally.sm_a_sent++;
        return true;
    }
    if (element_is(el, "a")) {
        if (element_attr(el, "h", h, sizeof(h)))
            c->sm_acked = (uint32_t)strtoul(h, NULL, 10);
        c->bench->tally.sm_a_received++;
        if (c->sm_asked_at && (int32_t)(c->sm_acked - c->sm_asked) >= 0) {
            bench_acked(c->bench, c->sm_asked_at);
            c->sm_asked_at = 0;
        }
        return true;
    }
    return false;
}

static void
answer_iq(struct client *c, const struct element *el)
{
    char type[16], id[256], from[3100], to[3200] = "";
    bool known = element_has(el, "jabber:iq:roster") || element_has(el, "urn:xmpp:ping");

    if (!element_attr(el, "type", type, sizeof(type)) ||
        (strcmp(type, "get") != 0 && strcmp(type, "set") != 0) ||
        !element_attr(el, "id", id, sizeof(id)))
        return;
    if (element_attr(el, "from", from, sizeof(from)))
        snprintf(to, sizeof(to), " to='%s'", from);
    if (known)
        client_sendf(c, 1, "<iq type='result' id='%s'%s/>", id, to);
    else
        client_sendf(c, 1,
                     "<iq type='error' id='%s'%s><error type='cancel'><service-unavailable"
                     " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
                     id, to);
}

static void
handle_element(struct client *c, const struct element *el)
{
    struct bench *b = c->bench;
    char type[16], condition[64];

    if (el->p[1] == 's' && element_is(el, "error")) {
        negotiate_condition(el, condition, sizeof(condition));
        client_fail(c, ERR_STREAM, "stream error: %s", condition);
        return;
    }
    if (c->state == CLIENT_CLOSING)
        return;
    if (c->sm_on) {
        if (handle_nonza(c, el))
            return;
        c->sm_in++;
    }
    if (c->state != CLIENT_ONLINE) {
        negotiate_element(c, el);
        return;
    }
    if (b->scenario->stanza != NULL && b->scenario->stanza(c, el))
        return;
    if (c->contacts != NULL && roster_stanza(c, el))
        return;
    if (element_attr(el, "type", type, sizeof(type)) && strcmp(type, "error") == 0) {
        negotiate_condition(el, condition, sizeof(condition));
        bench_error(b, ERR_STANZA, "error stanza: %s", condition);
    } else if (element_is(el, "iq")) {
        answer_iq(c, el);
    }
}

static int
on_scan(void *arg, enum scan_kind kind, const struct element *el)
{
    struct client *c = arg;

    switch (kind) {
    case SCAN_OPEN:
        break;
    case SCAN_ELEMENT:
        handle_element(c, el);
        break;
    case SCAN_CLOSE:
        if (c->state == CLIENT_CLOSING)
            went_off(c);
        else
            client_fail(c, ERR_CLOSED, "the server closed the stream");
        break;
    }
    /* A TLS handshake begins on bytes behind <proceed/>: nothing may follow it in clear. */
    return c->state == CLIENT_OFF || c->state == CLIENT_TLS;
}

static void
read_failed(struct client *c, ssize_t n)
{
    char text[128];

    if (n == CONN_AGAIN)
        return;
    conn_error_text(text, sizeof(text));
    client_fail(c, ERR_CLOSED, "connection lost (%s): %s", negotiate_state_name(c->state),
                n == CONN_EOF ? "closed by the server" : text);
}

/* False when the connection is gone or no longer speaks plain XML. */
static bool
scan(struct client *c, const char *p, size_t len)
{
    int r;

    c->reading = true;
    r = scan_feed(&c->scan, p, len, on_scan, c);
    c->reading = false;
    if (r < 0)
        scan_release(&c->scan);
    return r == 0;
}

static void
readable(struct client *c)
{
    struct bench *b = c->bench;
    ssize_t n;

    do {
        n = conn_read(&c->conn, b->rbuf, BENCH_READ_SIZE);
        if (n <= 0) {
            read_failed(c, n);
            return;
        }
        b->now = now_ns();
        c->conn.corked = b->opt.batch && c->state == CLIENT_ONLINE;
        if (c->state == CLIENT_RAW_HELLO || c->state == CLIENT_RAW_ROUND)
            negotiate_raw(c, (size_t)n);
        else if (!scan(c, b->rbuf, (size_t)n))
            return;
        if (c->conn.corked) {
            c->conn.corked = false;
            if (conn_flush(c) < 0)
                client_fail(c, ERR_CLOSED, "cannot send");
        }
    } while (c->conn.ssl != NULL && SSL_has_pending(c->conn.ssl));
}

static void
connecting(struct client *c)
{
    int err = 0;
    socklen_t len = sizeof(err);

    getsockopt(c->conn.fd, SOL_SOCKET, SO_ERROR, &err, &len);
    if (err != 0) {
        client_fail(c, ERR_CONNECT, "cannot connect to %s: %s", target_of(c)->name, strerror(err));
        return;
    }
    if (conn_flush(c) == 0) /* ends the waiting for EPOLLOUT */
        negotiate_connected(c);
}

static void
handshaking(struct client *c)
{
    bool done;
    char text[128];

    errno = 0;
    if (conn_tls_step(c, &done) == CONN_ERROR) {
        conn_error_text(text, sizeof(text));
        client_fail(c, ERR_TLS, "TLS handshake: %s", text);
    } else if (done) {
        c->tls_on = true;
        negotiate_tls_done(c);
    }
}

void
client_event(struct client *c, uint32_t events)
{
    if (c->state == CLIENT_OFF)
        return;
    c->bench->now = now_ns();
    if (c->state == CLIENT_CONNECTING) {
        if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
            connecting(c);
        return;
    }
    if (c->state == CLIENT_TLS) {
        handshaking(c);
        return;
    }
    if ((events & EPOLLOUT) && conn_flush(c) < 0) {
        client_fail(c, ERR_CLOSED, "cannot send");
        return;
    }
    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
        readable(c);
}
