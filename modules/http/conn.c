/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Connections: how they begin, within the limits, how they end, and how long they may take. evhttp owns them, but knows no
 * limits and no time for a whole request, and tells nobody of most ends. A second reference to the bufferevent makes its end
 * ours: so we know of it, and can wait until the client has read the answer.
 */
#include "config.h"

#include "internal.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/ioctl.h>

#include <event2/bufferevent_ssl.h>

/* Connections of one turn, so that a storm does not starve the sessions of the worker. */
#define ACCEPT_BATCH 32
/* Beyond the limit connections are answered with 503, but not any number of them. */
#define REFUSED_MAX 256
#define LINGER_MS 2000
#define LINGER_BYTES (4u << 20)

/* -- the end ------------------------------------------------------------------------------------ */

static void
conn_free(struct conn *c)
{
    struct lane *lane = c->lane;

    if (c->counted)
        address_leave(lane->place->http->addresses, &c->from);
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    lane->conn_count--;
    __atomic_fetch_sub(&lane->place->conns, 1, __ATOMIC_RELEASE);
    mk_gauge_add(metrics_of(c)->connections, -1);
    intake_drop_body(c);
    evbuffer_remove_cb_entry(input_of(c), c->watch);
    bufferevent_setcb(c->bev, NULL, NULL, NULL, NULL);
    bufferevent_disable(c->bev, EV_READ | EV_WRITE);
    bufferevent_decref(c->bev);
    mk_free(c->target);
    if (c->kept)
        evbuffer_free(c->kept);
    if (c->later)
        evbuffer_free(c->later);
    mk_free(c);
}

static void
on_linger_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    (void)what;
    mk_callback_begin();
    conn_free(arg);
    mk_callback_end();
}

/* A socket closed with unread bytes takes the answer back on its way: read them until the client has enough. */
static void
linger(struct conn *c)
{
    c->state = CONN_LINGER;
    c->since = mk_now_ms();
    intake_drain(input_of(c));
    bufferevent_setcb(c->bev, NULL, NULL, on_linger_event, c);
    bufferevent_enable(c->bev, EV_READ);
}

static void
take_off_dirty(struct conn *c)
{
    struct conn **p = &c->lane->place->http->workers[c->lane->index].dirty;

    if (!c->dirty)
        return;
    while (*p != c)
        p = &(*p)->next_dirty;
    *p = c->next_dirty;
    c->dirty = false;
}

/* Outside of evhttp's functions: it has let go of the connection. */
static void
finish(void *arg)
{
    struct conn *c = arg;
    struct request *rq = c->rq;

    take_off_dirty(c);
    c->rq = NULL;
    if (rq)
        request_gone(rq);
    if (c->error && c->ev && !c->tls)
        linger(c);
    else
        conn_free(c);
}

static void
let_go(struct conn *c)
{
    if (c->closed)
        return;
    c->closed = true;
    mk_defer(c->lane->place->http->module, finish, c);
}

/* evhttp closes it now. */
static void
on_close(struct evhttp_connection *ev, void *arg)
{
    struct conn *c = arg;
    SSL *ssl = c->tls ? bufferevent_openssl_get_ssl(c->bev) : NULL;

    (void)ev;
    mk_callback_begin();
    if (ssl && SSL_is_init_finished(ssl) && evbuffer_get_length(bufferevent_get_output(c->bev)) == 0) {
        SSL_shutdown(ssl);
        ERR_clear_error();
    }
    let_go(c);
    mk_callback_end();
}

/* To evhttp it is as if the client had closed it. */
void
conn_cut(struct conn *c)
{
    if (!c->closed)
        bufferevent_trigger_event(c->bev, BEV_EVENT_READING | BEV_EVENT_EOF, 0);
}

/* -- until the first request ------------------------------------------------------------------------ */

/* evhttp tells of the end of a connection only who has had a request of it. So at first its callbacks go through ours; when it
 * answers it sets its own. */
static void
on_young_read(struct bufferevent *bev, void *arg)
{
    struct conn *c = arg;

    c->young.read(bev, c->young.arg);
}

static void
on_young_event(struct bufferevent *bev, short what, void *arg)
{
    struct conn *c = arg;
    int on = 1;

    if (what == BEV_EVENT_CONNECTED) {
        /* Some clients wait for this acknowledgement before they send the request, and the kernel would wait 40 ms. */
        setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
        mk_counter_add(metrics_of(c)->tls[SSL_version(bufferevent_openssl_get_ssl(bev)) >= TLS1_3_VERSION], 1);
        return;
    }
    mk_callback_begin();
    if (c->tls && bufferevent_openssl_get_ssl(bev) && !SSL_is_init_finished(bufferevent_openssl_get_ssl(bev)))
        mk_counter_add(metrics_of(c)->tls_failed, 1);
    c->young.event(bev, what, c->young.arg);
    let_go(c);
    mk_callback_end();
}

static void
refuse(struct conn *c, struct mk_counter reason)
{
    struct place *place = c->lane->place;

    mk_counter_add(reason, 1);
    mk_log(place->http->module, MK_LOG_WARN, "http.refused", "too many connections to '%s': one of '%s' was refused",
           place->site->name, c->peer);
    if (c->tls || (int64_t)c->lane->conn_count > conn_conf(c)->max_connections + REFUSED_MAX) {
        conn_cut(c);
        return;
    }
    c->since = mk_now_ms();
    intake_fail(c, 503);
    bufferevent_trigger(c->bev, EV_READ, 0);
}

/* Who it is, of an IPv4 client of a socket for both families as IPv4. -1: gone already. */
static int
learn_peer(struct conn *c)
{
    struct sockaddr_storage from = {0};
    const struct sockaddr_in *a4 = (const struct sockaddr_in *)&from;
    const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)&from;
    socklen_t len = sizeof(from);

    if (c->fd < 0 || getpeername(c->fd, (struct sockaddr *)&from, &len) < 0)
        return -1;
    c->is_unix = from.ss_family == AF_UNIX;
    if (from.ss_family == AF_INET) {
        memset(c->from.s6_addr + 10, 0xff, 2);
        memcpy(c->from.s6_addr + 12, &a4->sin_addr, 4);
    } else if (from.ss_family == AF_INET6) {
        c->from = a6->sin6_addr;
    } else {
        return 0;
    }
    if (IN6_IS_ADDR_V4MAPPED(&c->from)) {
        inet_ntop(AF_INET, c->from.s6_addr + 12, c->peer, sizeof(c->peer));
        c->loopback = c->from.s6_addr[12] == 127;
    } else {
        inet_ntop(AF_INET6, &c->from, c->peer, sizeof(c->peer));
        c->loopback = IN6_IS_ADDR_LOOPBACK(&c->from);
        /* Whoever has one address of a network usually has all. */
        memset(c->from.s6_addr + 8, 0, 8);
    }
    return 0;
}

static bool
is_trusted(const struct conn *c)
{
    const struct mk_option_list *list = &conn_conf(c)->trusted;

    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i], c->peer) == 0)
            return true;
    }
    return c->is_unix;
}

static void
admit(struct conn *c)
{
    const struct http_conf *conf = conn_conf(c);
    int on = 1;

    c->fd = bufferevent_getfd(c->bev);
    bufferevent_getcb(c->bev, &c->young.read, &c->young.write, &c->young.event, &c->young.arg);
    if (!c->young.event) {
        /* evhttp could not take it. */
        conn_free(c);
        return;
    }
    bufferevent_setcb(c->bev, on_young_read, NULL, on_young_event, c);
    if (learn_peer(c) < 0 || (c->tls && !bufferevent_openssl_get_ssl(c->bev))) {
        conn_cut(c);
        return;
    }
    if (!c->is_unix)
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (c->lane->draining) {
        conn_cut(c);
    } else if (conf->max_connections && (int64_t)c->lane->conn_count > conf->max_connections) {
        refuse(c, metrics_of(c)->refused_connections);
    } else if (!is_trusted(c)) {
        c->counted = address_enter(c->lane->place->http->addresses, &c->from, conf->max_connections_address);
        if (!c->counted)
            refuse(c, metrics_of(c)->refused_address);
    }
}

/* What was accepted in this turn: libevent has given each its descriptor by now. */
static void
admit_all(void *arg)
{
    struct lane *lane = arg;

    while (lane->newborn) {
        struct conn *c = lane->newborn;

        lane->newborn = c->next_dirty;
        admit(c);
    }
    if (lane->accepts > ACCEPT_BATCH && !lane->resting)
        lane_listen(lane, true);
    lane->accepts = 0;
}

static void
conn_new(struct lane *lane, struct bufferevent *bev, bool tls)
{
    struct conn *c = mk_zalloc(sizeof(*c));

    c->lane = lane;
    c->bev = bev;
    c->fd = -1;
    c->tls = tls;
    c->since = mk_now_ms();
    c->next = lane->conns;
    c->link = &lane->conns;
    if (c->next)
        c->next->link = &c->next;
    lane->conns = c;
    lane->conn_count++;
    __atomic_fetch_add(&lane->place->conns, 1, __ATOMIC_RELAXED);
    mk_counter_add(metrics_of(c)->accepted, 1);
    mk_gauge_add(metrics_of(c)->connections, 1);
    bufferevent_incref(bev);
    bufferevent_setwatermark(bev, EV_READ, INTAKE_CLOSED, 0);
    c->watch = evbuffer_add_cb(bufferevent_get_input(bev), intake_callback, c);
    c->next_dirty = lane->newborn;
    lane->newborn = c;
    if (lane->accepts == 0)
        mk_defer(lane->place->http->module, admit_all, lane);
    if (++lane->accepts == ACCEPT_BATCH + 1)
        lane_listen(lane, false);
}

struct bufferevent *
conn_new_plain(struct event_base *base, void *lane)
{
    struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);

    if (!bev)
        MK_BUG("no memory for a connection");
    mk_callback_begin();
    conn_new(lane, bev, false);
    mk_callback_end();
    return bev;
}

static struct bufferevent *
tls_bufferevent(struct event_base *base, const struct mk_tls *tls)
{
    SSL_CTX *ctx = tls->server(tls->self, NULL, false);
    SSL *ssl = ctx ? SSL_new(ctx) : NULL;
    struct bufferevent *bev;

    SSL_CTX_free(ctx);
    if (!ssl)
        return NULL;
    bev = bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
    if (bev)
        bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    else
        SSL_free(ssl);
    return bev;
}

struct bufferevent *
conn_new_tls(struct event_base *base, void *arg)
{
    struct lane *lane = arg;
    struct bufferevent *bev = tls_bufferevent(base, lane->place->http->tls);

    /* evhttp would make one of its own out of NULL, and we would not know: without TLS it is cut at once. */
    if (!bev)
        bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    if (!bev)
        MK_BUG("no memory for a connection");
    mk_callback_begin();
    conn_new(lane, bev, true);
    mk_callback_end();
    return bev;
}

/* -- requests ------------------------------------------------------------------------------------------ */

static void
go_on(void *arg)
{
    struct conn *c = arg;

    /* More may have come in meanwhile, and have taken it along. */
    if (c->closed || c->state != CONN_HEAD)
        return;
    c->inside = true;
    intake_take(c);
    c->inside = false;
    if (c->state == CONN_BUSY)
        bufferevent_trigger(c->bev, EV_READ, 0);
}

static void
cut_later(void *arg)
{
    struct conn *c = arg;

    if (c->state == CONN_HEAD && !c->began)
        conn_cut(c);
}

/* The answer is written; evhttp goes on, or closes. */
static void
on_done(struct evhttp_request *ev, void *arg)
{
    struct conn *c = arg;

    (void)ev;
    mk_callback_begin();
    c->state = CONN_HEAD;
    c->since = mk_now_ms();
    c->began = 0;
    c->scan = (struct guard_scan){0};
    bufferevent_setwatermark(c->bev, EV_READ, INTAKE_CLOSED, 0);
    if (c->later && evbuffer_get_length(c->later))
        mk_defer(c->lane->place->http->module, go_on, c);
    else if (c->lane->draining)
        mk_defer(c->lane->place->http->module, cut_later, c);
    mk_callback_end();
}

void
conn_request(struct conn *c, struct evhttp_connection *ev, struct evhttp_request *rq)
{
    c->lane->current = NULL;
    if (!c->ev) {
        c->ev = ev;
        evhttp_connection_set_closecb(ev, on_close, c);
    }
    evhttp_request_set_on_complete_cb(rq, on_done, c);
}

/* As evhttp does it while it writes: read without a callback, to hear of the end. */
void
conn_watch(struct conn *c)
{
    bufferevent_data_cb read, write;
    bufferevent_event_cb event;
    void *arg;

    bufferevent_getcb(c->bev, &read, &write, &event, &arg);
    bufferevent_setcb(c->bev, NULL, write, event, arg);
    bufferevent_enable(c->bev, EV_READ);
}

size_t
conn_waiting(const struct conn *c)
{
    return evbuffer_get_length(bufferevent_get_output(c->bev));
}

void
conn_wrote(struct conn *c, size_t before)
{
    struct worker_state *w = &c->lane->place->http->workers[c->lane->index];
    size_t now = conn_waiting(c);

    if (c->closed)
        return;
    if (before == 0)
        c->since = mk_now_ms();
    c->queued += now - before;
    mk_counter_add(metrics_of(c)->bytes_out, now - before);
    if (c->dirty || c->tls)
        return;
    c->dirty = true;
    c->next_dirty = w->dirty;
    w->dirty = c;
}

/* Writes at once instead of asking whether one may. */
static void
flush(struct conn *c)
{
    struct evbuffer *out = bufferevent_get_output(c->bev);

    c->dirty = false;
    /* Empty: libevent was first, and has told evhttp. */
    if (c->closed || evbuffer_get_length(out) == 0)
        return;
    evbuffer_unfreeze(out, 1);
    evbuffer_write(out, c->fd);
    evbuffer_freeze(out, 1);
    /* What is left, errors as well, is for libevent: it waits for the socket already. */
    if (evbuffer_get_length(out) == 0)
        bufferevent_trigger(c->bev, EV_WRITE, 0);
}

void
http_turn_end(void *arg)
{
    struct http *http = arg;
    struct worker_state *w = &http->workers[mk_worker_index(mk_worker_self())];

    while (w->dirty) {
        struct conn *c = w->dirty;

        w->dirty = c->next_dirty;
        flush(c);
    }
}

/* -- time ------------------------------------------------------------------------------------------------ */

static void
time_out_request(struct conn *c)
{
    mk_counter_add(metrics_of(c)->timeouts, 1);
    intake_fail(c, 408);
    bufferevent_trigger(c->bev, EV_READ, 0);
}

/* An answer that the client does not read. What the kernel still holds counts: it takes much at once, and rarely. */
static void
check_writing(struct conn *c, uint64_t now, uint64_t limit)
{
    size_t waiting = conn_waiting(c);
    int held = 0;
    uint64_t written;

    if (waiting)
        (void)ioctl(c->fd, SIOCOUTQ, &held);
    written = c->queued - waiting - (uint64_t)held;
    if (waiting == 0 || written != c->written) {
        c->written = written;
        c->since = now;
    } else if (now > c->since + limit) {
        mk_counter_add(metrics_of(c)->timeouts, 1);
        conn_cut(c);
    }
}

/* Not seen to happen: evhttp has refused what we let in, and ended the connection without a word. */
static bool
is_forgotten(const struct conn *c)
{
    bufferevent_event_cb event = NULL;

    bufferevent_getcb(c->bev, NULL, NULL, &event, NULL);
    return !event;
}

static void
look_at(struct conn *c, const struct http_conf *conf, uint64_t now)
{
    switch (c->state) {
    case CONN_HEAD:
        if (c->began == 0) {
            if (now > c->since + conf->idle_timeout || c->lane->draining)
                conn_cut(c);
            break;
        }
        /* fall through */
    case CONN_BODY:
        if (now > c->since + conf->request_timeout)
            time_out_request(c);
        break;
    case CONN_BUSY:
        if (!c->ev && is_forgotten(c))
            let_go(c);
        else
            check_writing(c, now, conf->write_timeout);
        break;
    case CONN_LINGER:
        if (now > c->since + (c->lane->draining ? 0 : LINGER_MS) || c->dropped > LINGER_BYTES)
            conn_free(c);
        break;
    }
}

void
lane_sweep(void *arg)
{
    struct lane *lane = arg;
    const struct http_conf *conf = conf_of(lane->place->http);
    uint64_t now = mk_now_ms();

    for (struct conn *c = lane->conns, *next; c; c = next) {
        next = c->next;
        if (!c->closed || c->state == CONN_LINGER)
            look_at(c, conf, now);
    }
}

void
lane_drain(struct lane *lane)
{
    lane->draining = true;
    for (struct conn *c = lane->conns; c; c = c->next) {
        if (c->state == CONN_HEAD && !c->began)
            conn_cut(c);
    }
}

void
lane_cut_all(struct lane *lane)
{
    for (struct conn *c = lane->conns, *next; c; c = next) {
        next = c->next;
        if (c->state == CONN_LINGER)
            conn_free(c);
        else
            conn_cut(c);
    }
}
