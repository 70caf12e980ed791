/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The connections between nodes: dialling, accepting, cutting bytes into frames, writing once a turn. */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "cets.h"
#include "wire.h"

#define READ_CHUNK (128u << 10)     /* bytes taken in a turn of the loop, before what came is acknowledged */
#define PULL_ROOM (256u << 10)      /* bytes gathered for one write */
#define BULK_BELOW (64u << 10)      /* parts of snapshots only while less than this waits */
#define STRANGER_FRAME 4096u        /* bytes of a greeting */
#define STRANGERS_MAX 256u
#define DIAL_FIRST 100u             /* ms; doubled after each failure */
#define DIAL_LAST 5000u


/* -- waking --------------------------------------------------------------------------------- */

void
links_wake(struct cets *c, struct conn *conn)
{
    __atomic_store_n(&conn->awake, true, __ATOMIC_RELAXED);
    if (c->flush_due)
        return;
    c->flush_due = true;
    if (mk_worker_self() == c->worker)
        mk_defer(c->module, links_flush, c);
    else
        mk_post(c->module, c->worker, links_flush, c);
}

/* -- the end of a connection ---------------------------------------------------------------- */

void
links_end(struct conn *conn, const char *why)
{
    if (conn->closing)
        return;
    conn->closing = true;
    snprintf(conn->why, sizeof(conn->why), "%s", why);
}

static void
conn_close(struct conn *conn, const char *why)
{
    if (conn->closing)
        return;
    links_end(conn, why);
    pthread_mutex_lock(&conn->cets->lock);
    links_wake(conn->cets, conn);
    pthread_mutex_unlock(&conn->cets->lock);
}

static void
conn_free(struct conn *conn)
{
    struct cets *c = conn->cets;
    struct conn **p = &c->conns;

    while (*p != conn)
        p = &(*p)->next;
    *p = conn->next;
    if (!conn->greeted)
        c->strangers--;
    if (conn->link) {
        pthread_mutex_lock(&c->lock);
        messages_disconnected(c, conn);
        replica_link_down(c->replica, conn->link, mk_now_ms());
        pthread_mutex_unlock(&c->lock);
    }
    mk_log(c->module, MK_LOG_DEBUG, "cets.link_closed", "link %s %s closed: %s",
           conn->dialled ? "to" : "from", conn->address, conn->why);
    mk_fd_free(&conn->watch);
    SSL_free(conn->ssl);
    close(conn->fd);
    mk_buf_release(&conn->in);
    mk_buf_release(&conn->out);
    mk_free(conn);
}

/* -- writing -------------------------------------------------------------------------------- */

static void
want(struct conn *conn, unsigned events)
{
    if (conn->watched != events) {
        conn->watched = events;
        mk_fd_want(conn->watch, events);
    }
}

/* >0: bytes written; 0: later; -1: broken. */
static ssize_t
write_some(struct conn *conn, const char *data, size_t len)
{
    ssize_t n;
    int rc;

    if (conn->ssl) {
        ERR_clear_error();
        rc = SSL_write(conn->ssl, data, (int)(len > INT32_MAX ? INT32_MAX : len));
        if (rc > 0)
            return rc;
        rc = SSL_get_error(conn->ssl, rc);
        return rc == SSL_ERROR_WANT_READ || rc == SSL_ERROR_WANT_WRITE ? 0 : -1;
    }
    n = send(conn->fd, data, len, MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    return n;
}

/* Writes what is gathered; true when nothing is left. */
static bool
write_out(struct conn *conn)
{
    while (conn->out_done < conn->out.len) {
        ssize_t n = write_some(conn, conn->out.data + conn->out_done, conn->out.len - conn->out_done);

        if (n < 0) {
            conn_close(conn, "the connection broke");
            return false;
        }
        if (n == 0) {
            want(conn, MK_READ | MK_WRITE);
            return false;
        }
        conn->out_done += (size_t)n;
        if (conn->traffic)
            __atomic_fetch_add(&conn->traffic->out, (uint64_t)n, __ATOMIC_RELAXED);
        mk_counter_add(conn->cets->count.bytes_out, (uint64_t)n);
    }
    conn->out_done = 0;
    mk_buf_clear(&conn->out);
    if (conn->out.cap > 2 * PULL_ROOM)
        mk_buf_release(&conn->out);
    want(conn, MK_READ);
    return true;
}

/* Gathers what the replica and the queue have: operations before requests, so that what a request speaks of is
 * known; parts of snapshots last. Under the lock. */
static bool
gather(struct conn *conn)
{
    struct cets *c = conn->cets;
    uint64_t now = mk_now_ms();
    bool more, queued = false;

    more = replica_pull(c->replica, conn->link, &conn->out, PULL_ROOM, false, now);
    if (conn->out.len < PULL_ROOM) {
        queued = messages_pull(c, conn, &conn->out, PULL_ROOM - conn->out.len);
        if (more && conn->out.len < BULK_BELOW)
            more = replica_pull(c->replica, conn->link, &conn->out, BULK_BELOW, true, now);
    }
    return more || queued;
}

static void
conn_flush(struct conn *conn)
{
    struct cets *c = conn->cets;
    bool more = true;

    /* A bounded number of times, so that others have their turn; then again in the next one. */
    for (int i = 0; more && i < 16; i++) {
        if (!write_out(conn) || !conn->link)
            return;
        pthread_mutex_lock(&c->lock);
        more = gather(conn);
        __atomic_store_n(&conn->awake, more, __ATOMIC_RELAXED);
        pthread_mutex_unlock(&c->lock);
        if (conn->out.len == 0)
            return;
    }
    if (write_out(conn) && more) {
        pthread_mutex_lock(&c->lock);
        links_wake(c, conn);
        pthread_mutex_unlock(&c->lock);
    }
}

void
links_flush(void *arg)
{
    struct cets *c = arg;
    struct conn *conn, *next;

    pthread_mutex_lock(&c->lock);
    c->flush_due = false;
    pthread_mutex_unlock(&c->lock);
    for (conn = c->conns; conn; conn = next) {
        next = conn->next;
        /* Who wakes one that is asleep here sees to another flush. */
        if (!conn->connecting && !conn->handshaking && (__atomic_load_n(&conn->awake, __ATOMIC_RELAXED) || conn->closing))
            conn_flush(conn);
        if (conn->closing)
            conn_free(conn);
    }
}

/* -- reading -------------------------------------------------------------------------------- */

static int
take_frame(struct conn *conn, struct mk_str frame)
{
    struct cets *c = conn->cets;
    char name[MK_NODE_NAME_MAX + 1] = "";
    struct peer_view v;

    if ((unsigned char)frame.p[0] >= FRAME_FOREIGN)
        return messages_receive(c, conn, frame);
    pthread_mutex_lock(&c->lock);
    replica_receive(c->replica, conn->link, frame, mk_now_ms());
    if (!conn->greeted && replica_link_peer(conn->link)) {
        conn->greeted = true;
        c->strangers--;
        messages_connected(c, replica_link_peer(conn->link), conn);
        replica_peer_view(replica_link_peer(conn->link), &v);
        snprintf(name, sizeof(name), "%s", v.name);
    }
    pthread_mutex_unlock(&c->lock);
    if (name[0])
        conn->traffic = traffic_linked(c, name);
    return 0;
}

static void
take_frames(struct conn *conn)
{
    struct mk_buf *in = &conn->in;
    size_t at = 0;

    while (!conn->closing) {
        uint32_t max = conn->greeted ? REPLICA_FRAME_MAX : STRANGER_FRAME;
        struct mk_str frame;
        int rc = frame_next((struct mk_str){in->data + at, in->len - at}, max, &frame);

        if (rc < 0) {
            mk_log(conn->cets->module, MK_LOG_WARN, "cets.frame", "frame of %zu bytes from %s: at most %u", frame.len,
                   conn->address, max);
            conn_close(conn, "a frame that is too long");
            return;
        }
        if (rc == 0)
            break;
        if (take_frame(conn, frame) < 0) {
            mk_log(conn->cets->module, MK_LOG_WARN, "cets.frame", "frame of type %u from %s makes no sense",
                   (unsigned char)frame.p[0], conn->address);
            conn_close(conn, "a frame that makes no sense");
        }
        at += 4 + frame.len;
    }
    memmove(in->data, in->data + at, in->len - at);
    in->len -= at;
    if (in->len == 0 && in->cap > 2 * READ_CHUNK)
        mk_buf_release(in);
}

/* >0: bytes; 0: nothing now; -1: the end. */
static ssize_t
read_some(struct conn *conn)
{
    struct mk_buf *in = &conn->in;
    ssize_t n;

    mk_buf_reserve(in, READ_CHUNK);
    if (conn->ssl) {
        int rc;

        ERR_clear_error();
        rc = SSL_read(conn->ssl, in->data + in->len, (int)(in->cap - in->len));
        if (rc <= 0) {
            rc = SSL_get_error(conn->ssl, rc);
            return rc == SSL_ERROR_WANT_READ || rc == SSL_ERROR_WANT_WRITE ? 0 : -1;
        }
        n = rc;
    } else {
        n = recv(conn->fd, in->data + in->len, in->cap - in->len, 0);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -1;
        if (n == 0)
            return -1;
    }
    in->len += (size_t)n;
    if (conn->traffic)
        __atomic_fetch_add(&conn->traffic->in, (uint64_t)n, __ATOMIC_RELAXED);
    mk_counter_add(conn->cets->count.bytes_in, (uint64_t)n);
    return n;
}

static void
conn_read(struct conn *conn)
{
    size_t taken = 0;

    while (taken < READ_CHUNK && !conn->closing) {
        ssize_t n = read_some(conn);

        if (n < 0)
            conn_close(conn, "the other end closed it");
        if (n <= 0)
            break;
        taken += conn->ssl ? (size_t)n : READ_CHUNK;
        take_frames(conn);
    }
}

/* -- beginning ------------------------------------------------------------------------------ */

static void
stands(struct conn *conn)
{
    struct cets *c = conn->cets;

    want(conn, MK_READ);
    pthread_mutex_lock(&c->lock);
    conn->link = replica_link_up(c->replica, conn->dialled, conn, mk_now_ms());
    links_wake(c, conn);
    pthread_mutex_unlock(&c->lock);
}

static void
handshake(struct conn *conn)
{
    char why[256];
    int rc;

    ERR_clear_error();
    rc = SSL_do_handshake(conn->ssl);
    if (rc == 1) {
        conn->handshaking = false;
        stands(conn);
        return;
    }
    switch (SSL_get_error(conn->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        want(conn, MK_READ);
        return;
    case SSL_ERROR_WANT_WRITE:
        want(conn, MK_READ | MK_WRITE);
        return;
    default:
        ERR_error_string_n(ERR_get_error(), why, sizeof(why));
        ERR_clear_error();
        mk_counter_add(conn->cets->count.refused, 1);
        mk_log(conn->cets->module, MK_LOG_WARN, "cets.tls",
               "link %s %s: TLS failed, so the secret or the certificates differ: %s",
               conn->dialled ? "to" : "from", conn->address, why);
        conn_close(conn, "TLS failed");
    }
}

static void
connected(struct conn *conn)
{
    int error = 0, on = 1;
    socklen_t len = sizeof(error);

    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error) {
        conn_close(conn, strerror(error));
        return;
    }
    conn->connecting = false;
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (!conn->ssl) {
        stands(conn);
        return;
    }
    conn->handshaking = true;
    handshake(conn);
}

static void
conn_event(int fd, unsigned events, void *arg)
{
    struct conn *conn = arg;

    (void)fd;
    if (conn->closing)
        return;
    if (conn->connecting) {
        connected(conn);
        return;
    }
    if (conn->handshaking) {
        handshake(conn);
        return;
    }
    if (events & MK_READ)
        conn_read(conn);
    if (events & MK_WRITE && !conn->closing)
        conn_flush(conn);
}

static bool
is_loopback(const struct sockaddr_storage *a)
{
    if (a->ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr) >> 24 == 127;
    return a->ss_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)a)->sin6_addr);
}

static void
name_address(const struct sockaddr_storage *a, char *out, size_t size)
{
    char host[46] = "?", port[8] = "?";
    socklen_t len = a->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);

    (void)getnameinfo((const struct sockaddr *)a, len, host, sizeof(host), port, sizeof(port),
                      NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(out, size, a->ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

/* NULL, and the descriptor is closed, when it may not be. */
static struct conn *
conn_new(struct cets *c, int fd, bool dialled, const struct sockaddr_storage *a)
{
    struct conn *conn;
    bool secure = c->server_tls != NULL;
    char text[64];

    name_address(a, text, sizeof(text));
    if ((!secure && !is_loopback(a)) || c->strangers >= STRANGERS_MAX || c->stopping) {
        mk_counter_add(c->count.refused, 1);
        if (!secure && !is_loopback(a))
            mk_log(c->module, MK_LOG_ERROR, "cets.clear",
                   "no link %s %s: off loopback [cets] needs 'secret', or 'certificate', 'key' and 'ca'",
                   dialled ? "to" : "from", text);
        close(fd);
        return NULL;
    }
    conn = mk_zalloc(sizeof(*conn));
    *conn = (struct conn){.next = c->conns, .cets = c, .fd = fd, .dialled = dialled,
                          .connecting = dialled, .since = mk_now_ms()};
    memcpy(conn->address, text, sizeof(text));
    if (secure) {
        conn->ssl = tls_new(c, fd, dialled);
        MK_ASSERT(conn->ssl);
    }
    conn->watched = dialled ? MK_READ | MK_WRITE : MK_READ;
    conn->watch = mk_fd_new(c->module, fd, conn->watched, conn_event, conn);
    c->conns = conn;
    c->strangers++;
    return conn;
}

struct arrival {
    struct cets *cets;
    int fd;
    struct sockaddr_storage peer;
};

static void
arrived(void *arg)
{
    struct arrival *a = arg;
    struct cets *c = a->cets;
    struct conn *conn;

    if (!c->joined || c->stopping) {
        close(a->fd);
    } else if ((conn = conn_new(c, a->fd, false, &a->peer))) {
        connected(conn);
    }
    mk_free(a);
}

void
links_accept(int fd, const struct sockaddr_storage *peer, void *arg)
{
    struct cets *c = arg;
    struct arrival *a = mk_alloc(sizeof(*a));

    *a = (struct arrival){c, fd, *peer};
    mk_post(c->module, c->worker, arrived, a);
}

bool
links_dialling(const struct cets *c, const char *name)
{
    for (const struct conn *conn = c->conns; conn; conn = conn->next) {
        if (conn->dialled && strcmp(conn->name, name) == 0)
            return true;
    }
    return false;
}

/* "192.0.2.7:5290", "[2001:db8::7]:5290": numbers only. */
static int
parse_address(const char *text, struct sockaddr_storage *out, socklen_t *len)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *found;
    char host[256];
    const char *port = strrchr(text, ':');
    size_t n = port ? (size_t)(port - text) : 0;

    if (!port || n == 0 || n >= sizeof(host))
        return -1;
    if (text[0] == '[' && text[n - 1] == ']')
        snprintf(host, sizeof(host), "%.*s", (int)(n - 2), text + 1);
    else
        snprintf(host, sizeof(host), "%.*s", (int)n, text);
    if (getaddrinfo(host, port + 1, &hints, &found) != 0)
        return -1;
    memcpy(out, found->ai_addr, found->ai_addrlen);
    *len = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

void
links_dial(struct cets *c, struct member *m)
{
    struct sockaddr_storage a;
    struct conn *conn;
    socklen_t len;
    int fd;

    m->backoff = m->backoff ? m->backoff * 2 : DIAL_FIRST;
    if (m->backoff > DIAL_LAST)
        m->backoff = DIAL_LAST;
    m->dial_at = mk_now_ms() + m->backoff;
    if (parse_address(m->address, &a, &len) < 0) {
        mk_log(c->module, MK_LOG_ERROR, "cets.address",
               "node '%s' has the address '%s', which is not IP:PORT", m->name, m->address);
        return;
    }
    fd = socket(a.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        mk_log(c->module, MK_LOG_ERROR, "cets.socket", "cannot make a socket: %s", strerror(errno));
        return;
    }
    if (connect(fd, (struct sockaddr *)&a, len) < 0 && errno != EINPROGRESS) {
        close(fd);
        return;
    }
    conn = conn_new(c, fd, true, &a);
    if (conn)
        memcpy(conn->name, m->name, sizeof(conn->name));
}

void
links_tick(struct cets *c)
{
    const struct cets_conf *conf = mk_module_conf(c->module, NULL);
    uint64_t now = mk_now_ms();

    for (struct conn *conn = c->conns; conn; conn = conn->next) {
        if (!conn->greeted && now - conn->since > conf->handshake)
            conn_close(conn, "no greeting in time");
    }
}

void
links_close_all(struct cets *c)
{
    struct conn *conn, *next;

    for (conn = c->conns; conn; conn = next) {
        next = conn->next;
        if (!conn->connecting && !conn->handshaking)
            conn_flush(conn);
        links_end(conn, "the node stops");
        conn_free(conn);
    }
}
