/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The transport: reading and writing a socket, with and without TLS, within its rate. */
#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <unistd.h>

/* Reads in a row before other sessions of the worker get their turn. */
#define READS_A_TURN 4
/* Of a connection that is over its rate: a few bytes at a time would cost more than they save. */
#define READ_AT_LEAST 1024

static void on_event(int fd, unsigned events, void *arg);

static void
note_peer(struct conn *c, const struct sockaddr_storage *peer)
{
    const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)peer;
    const struct sockaddr_in *a4 = (const struct sockaddr_in *)peer;

    if (peer->ss_family == AF_INET || peer->ss_family == AF_INET6)
        c->port = ntohs(peer->ss_family == AF_INET ? a4->sin_port : a6->sin6_port);
    if (peer->ss_family == AF_INET) {
        inet_ntop(AF_INET, &a4->sin_addr, c->address, sizeof(c->address));
        c->loopback = ntohl(a4->sin_addr.s_addr) >> 24 == 127;
    } else if (peer->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a6->sin6_addr)) {
        inet_ntop(AF_INET, a6->sin6_addr.s6_addr + 12, c->address, sizeof(c->address));
        c->loopback = a6->sin6_addr.s6_addr[12] == 127;
    } else if (peer->ss_family == AF_INET6) {
        inet_ntop(AF_INET6, &a6->sin6_addr, c->address, sizeof(c->address));
        c->loopback = IN6_IS_ADDR_LOOPBACK(&a6->sin6_addr);
    }
}

struct conn *
conn_new(struct c2s *c2s, int fd, const struct sockaddr_storage *peer, bool direct_tls)
{
    const struct c2s_conf *conf = conf_of(c2s, NULL);
    struct conn *c = mk_zalloc(sizeof(*c));
    int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    c->fd = fd;
    c->waiting_gauge = c2s->metrics.waiting;
    c->open_gauge = c2s->metrics.plain;
    mk_gauge_add(c->open_gauge, 1);
    c->direct_tls = direct_tls;
    c->last_input = mk_now_ms();
    c->tokens = (int64_t)conf->burst;
    c->tokens_at = c->last_input;
    note_peer(c, peer);
    for (size_t i = 0; i < conf->trusted.count; i++)
        c->trusted |= strcmp(conf->trusted.items[i], c->address) == 0;
    return c;
}

void
conn_detach(struct conn *c)
{
    mk_fd_free(&c->watch);
    mk_timer_free(&c->throttle_timer);
    c->throttled = false;
    c->stream = NULL;
}

void
conn_free(struct conn **cp)
{
    struct conn *c = *cp;

    *cp = NULL;
    if (!c)
        return;
    conn_detach(c);
    mk_gauge_add(c->waiting_gauge, -(int64_t)c->told_waiting);
    mk_gauge_add(c->open_gauge, -1);
    if (c->ssl) {
        if (!c->handshaking)
            SSL_shutdown(c->ssl);
        SSL_free(c->ssl);
        ERR_clear_error();
    }
    close(c->fd);
    mk_buf_release(&c->out);
    mk_free(c);
}

/* Watches for what can go on now. */
static void
want(struct conn *c)
{
    unsigned events = 0;

    if (!c->throttled && !c->reading_stopped && conn_queued(c) <= conf_of(c->stream->c2s, c->stream)->max_queue)
        events |= MK_READ;
    if (c->write_blocked)
        events |= MK_WRITE;
    if (c->watch && events != c->wanted)
        mk_fd_want(c->watch, events);
    c->wanted = events;
}

void
conn_attach(struct conn *c, struct stream *stream)
{
    c->stream = stream;
    c->wanted = MK_READ;
    c->watch = mk_fd_new(stream->c2s->module, c->fd, MK_READ, on_event, c);
    want(c);
}

size_t
conn_queued(const struct conn *c)
{
    return c->out.len - c->out_done;
}

/* -- TLS ------------------------------------------------------------------------------------ */

int
conn_start_tls(struct conn *c, struct mk_error *err)
{
    struct c2s *c2s = c->stream->c2s;
    SSL_CTX *ctx = c2s->tls ? c2s->tls->server(c2s->tls->self, "xmpp-client",
                                               conf_of(c2s, c->stream)->client_certificates)
                            : NULL;

    if (!ctx)
        return mk_fail(err, "there is no certificate");
    c->ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1)
        return mk_fail(err, "cannot begin TLS");
    SSL_set_accept_state(c->ssl);
    SSL_set_mode(c->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                             SSL_MODE_RELEASE_BUFFERS);
    c->handshaking = true;
    return 0;
}

static const char *
tls_error(void)
{
    unsigned long e = ERR_peek_last_error();
    const char *reason = e ? ERR_reason_error_string(e) : NULL;

    ERR_clear_error();
    return reason ? reason : "the connection was cut";
}

/* 1: done, 0: goes on later, -1: failed. */
static int
handshake(struct conn *c)
{
    int rc = SSL_accept(c->ssl), on = 1;

    if (rc == 1) {
        /* With TLS 1.3 the client spoke last. Many wait for this acknowledgement before they send more (Nagle), and the kernel
         * would wait 40 ms. */
        setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
        c->handshaking = false;
        c->write_blocked = false;
        return 1;
    }
    switch (SSL_get_error(c->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        c->write_blocked = false;
        want(c);
        return 0;
    case SSL_ERROR_WANT_WRITE:
        c->write_blocked = true;
        want(c);
        return 0;
    default:
        return -1;
    }
}

int
conn_channel_binding(const struct conn *c, const char *type, struct mk_buf *out)
{
    unsigned char data[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (!c->ssl || c->handshaking)
        return -1;
    if (strcmp(type, "tls-exporter") == 0) {
        static const char label[] = "EXPORTER-Channel-Binding";

        /* RFC 9266: only where the exporter is unique, TLS 1.3 or extended master secret. */
        if (SSL_version(c->ssl) < TLS1_3_VERSION && SSL_get_extms_support(c->ssl) != 1)
            return -1;
        len = 32;
        if (SSL_export_keying_material(c->ssl, data, len, label, sizeof(label) - 1,
                                       (const unsigned char *)"", 0, 1) != 1)
            return -1;
    } else if (strcmp(type, "tls-unique") == 0) {
        if (SSL_version(c->ssl) >= TLS1_3_VERSION)
            return -1;
        /* The first Finished message: the client's in a full handshake, ours in a resumed one. */
        if (SSL_session_reused(c->ssl))
            len = (unsigned)SSL_get_finished(c->ssl, data, sizeof(data));
        else
            len = (unsigned)SSL_get_peer_finished(c->ssl, data, sizeof(data));
    } else if (strcmp(type, "tls-server-end-point") == 0) {
        X509 *cert = SSL_get_certificate(c->ssl);
        int nid = NID_undef;
        const EVP_MD *md = NULL;

        if (!cert || OBJ_find_sigid_algs(X509_get_signature_nid(cert), &nid, NULL) != 1)
            return -1;
        /* RFC 5929 §4.1: the signature's hash, SHA-256 for MD5 and SHA-1. */
        if (nid != NID_undef && nid != NID_md5 && nid != NID_sha1)
            md = EVP_get_digestbynid(nid);
        if (X509_digest(cert, md ? md : EVP_sha256(), data, &len) != 1)
            return -1;
    }
    if (len == 0)
        return -1;
    mk_buf_add(out, data, len);
    return 0;
}

int
conn_peer_certificate(const struct conn *c, struct mk_buf *out)
{
    X509 *cert = c->ssl ? SSL_get1_peer_certificate(c->ssl) : NULL;
    unsigned char *der = NULL;
    int len = -1;

    if (cert && SSL_get_verify_result(c->ssl) == X509_V_OK)
        len = i2d_X509(cert, &der);
    X509_free(cert);
    if (len < 0)
        return -1;
    mk_buf_add(out, der, (size_t)len);
    OPENSSL_free(der);
    return 0;
}

/* -- reading -------------------------------------------------------------------------------- */

enum { GOT_NOTHING = 0, LOST = -1 };

/* Bytes, GOT_NOTHING or LOST. */
static ssize_t
read_some(struct conn *c, char *into, size_t size)
{
    ssize_t n;

    if (c->ssl) {
        int rc = SSL_read(c->ssl, into, (int)size);

        if (rc > 0)
            return rc;
        switch (SSL_get_error(c->ssl, rc)) {
        case SSL_ERROR_WANT_READ:
        case SSL_ERROR_WANT_WRITE:
            return GOT_NOTHING;
        default:
            ERR_clear_error();
            return LOST;
        }
    }
    do
        n = read(c->fd, into, size);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        return n;
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? GOT_NOTHING : LOST;
}

static void
throttle_over(void *arg)
{
    struct conn *c = arg;

    c->throttle_timer = NULL;
    c->throttled = false;
    conn_update(c);
}

/* Bytes a second that this connection may send now; 0: any number. */
static uint64_t
rate_of(const struct conn *c, const struct c2s_conf *conf)
{
    if (c->trusted)
        return 0;
    return (c->stream->flags & MK_STREAM_AUTHENTICATED) ? conf->rate : conf->rate_login;
}

/* What is read at once: not much more than the bucket has. */
static size_t
read_size(const struct conn *c, uint64_t rate)
{
    if (rate == 0 || c->tokens >= INPUT_BYTES)
        return INPUT_BYTES;
    return c->tokens > READ_AT_LEAST ? (size_t)c->tokens : READ_AT_LEAST;
}

/* Takes the bytes from the bucket; when it is empty, reading rests until it has filled. */
static void
account(struct conn *c, size_t n, const struct c2s_conf *conf, uint64_t rate)
{
    struct c2s *c2s = c->stream->c2s;
    uint64_t now = mk_now_ms();

    c->last_input = now;
    if (rate == 0)
        return;
    c->tokens += (int64_t)((now - c->tokens_at) * rate / 1000);
    c->tokens_at = now;
    if (c->tokens > (int64_t)conf->burst)
        c->tokens = (int64_t)conf->burst;
    c->tokens -= (int64_t)n;
    if (c->tokens >= 0 || c->throttle_timer)
        return;
    mk_counter_add(c2s->metrics.throttled, 1);
    c->throttled = true;
    c->throttle_timer = mk_timer_new(c2s->module, (uint64_t)-c->tokens * 1000 / rate + 1,
                                     throttle_over, c);
}

/* One read, and what follows from it: false when no more is to be read now. */
static bool
read_once(struct conn *c, struct lane *lane, struct mk_session *session)
{
    struct stream *s = c->stream;
    const struct c2s_conf *conf = conf_of(s->c2s, s);
    uint64_t rate = rate_of(c, conf);
    size_t size = read_size(c, rate);
    ssize_t n = read_some(c, lane->input, size);

    if (n == GOT_NOTHING)
        return false;
    if (n == LOST) {
        stream_lost(s, "the connection was closed");
        return false;
    }
    account(c, (size_t)n, conf, rate);
    mk_counter_add(s->c2s->metrics.bytes_in, (uint64_t)n);
    stream_input(s, lane->input, (size_t)n);
    /* The input may have ended the session or moved the connection away. */
    if (mk_session_is_closed(session) || s->conn != c)
        return false;
    /* It was <starttls/>: the handshake is on_event's, which knows what follows it. */
    if (c->handshaking)
        return false;
    if (c->throttled || c->reading_stopped) {
        want(c);
        return false;
    }
    return c->ssl || (size_t)n == size;
}

static void
read_input(struct conn *c)
{
    struct lane *lane = &c->stream->c2s->lanes[mk_worker_index(mk_worker_self())];
    struct mk_session *keep = c->stream->session;
    int i = 0;

    /* Paused by somebody else, between two stanzas. */
    if (mk_session_is_paused(keep)) {
        c->reading_stopped = true;
        want(c);
        return;
    }
    mk_session_ref(keep);
    /* What TLS has decrypted already wakes nobody. */
    while (read_once(c, lane, keep) && (++i < READS_A_TURN || (c->ssl && SSL_pending(c->ssl) > 0)))
        ;
    mk_session_unref(&keep);
}

void
conn_update(struct conn *c)
{
    if (!c->stream)
        return;
    c->reading_stopped = mk_session_is_paused(c->stream->session);
    want(c);
    /* What TLS has decrypted already wakes nobody. */
    if (c->ssl && !c->handshaking && !c->reading_stopped && !c->throttled && SSL_pending(c->ssl) > 0)
        read_input(c);
}

/* -- writing -------------------------------------------------------------------------------- */

static ssize_t
write_some(struct conn *c, const char *data, size_t len)
{
    ssize_t n;

    if (c->ssl) {
        int rc = SSL_write(c->ssl, data, len > INT32_MAX ? INT32_MAX : (int)len);

        if (rc > 0)
            return rc;
        switch (SSL_get_error(c->ssl, rc)) {
        case SSL_ERROR_WANT_READ:
        case SSL_ERROR_WANT_WRITE:
            return GOT_NOTHING;
        default:
            ERR_clear_error();
            return LOST;
        }
    }
    do
        n = send(c->fd, data, len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EWOULDBLOCK ? GOT_NOTHING : LOST;
}

/* Bytes that the socket did not take. */
static void
tell_waiting(struct conn *c)
{
    size_t waiting = c->write_blocked ? conn_queued(c) : 0;

    if (MK_LIKELY(waiting == c->told_waiting))
        return;
    mk_gauge_add(c->waiting_gauge, (int64_t)waiting - (int64_t)c->told_waiting);
    c->told_waiting = waiting;
}

int
conn_flush(struct conn *c)
{
    size_t before = c->out_done;

    if (c->handshaking)
        return 0;
    while (c->out_done < c->out.len) {
        ssize_t n = write_some(c, c->out.data + c->out_done, c->out.len - c->out_done);

        if (n == LOST)
            return -1;
        if (n == GOT_NOTHING)
            break;
        c->out_done += (size_t)n;
    }
    c->write_blocked = c->out_done < c->out.len;
    mk_counter_add(c->stream->c2s->metrics.bytes_out, c->out_done - before);
    if (!c->write_blocked) {
        c->out.len = 0;
        c->out_done = 0;
    }
    tell_waiting(c);
    want(c);
    return 0;
}

static void
on_event(int fd, unsigned events, void *arg)
{
    struct conn *c = arg;
    struct stream *s = c->stream;

    (void)fd;
    if (c->handshaking) {
        int rc = handshake(c);

        if (rc < 0) {
            mk_counter_add(s->c2s->metrics.tls_failed, 1);
            mk_log(s->session, MK_LOG_INFO, "c2s.tls", "TLS failed: %s", tls_error());
            stream_lost(s, "TLS failed");
            return;
        }
        if (rc == 0)
            return;
        mk_counter_add(s->c2s->metrics.tls[SSL_version(c->ssl) >= TLS1_3_VERSION], 1);
        mk_gauge_add(c->open_gauge, -1);
        c->open_gauge = s->c2s->metrics.tls_open;
        mk_gauge_add(c->open_gauge, 1);
        stream_secured(s);
        read_input(c);
        return;
    }
    if ((events & MK_WRITE) || c->write_blocked) {
        if (conn_flush(c) < 0) {
            stream_lost(s, "the connection was closed");
            return;
        }
        if (!c->write_blocked) {
            mk_buf_release(&c->out);
            if (s->state == STREAM_CLOSING) {
                stream_drained(s);
                return;
            }
        }
    }
    if (events & MK_READ)
        read_input(c);
}
