/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * Bytes in and out of one connection, with or without TLS; never blocks.
 *
 * Certificates are not checked: a load generator meets self-signed ones, and it has no secrets.
 */
#include "bench.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <openssl/err.h>

/* One local address has some 28,000 ports; sessions take turns on 127.0.0.1, 127.0.0.2, ... */
static int
bind_source(int fd, unsigned index, unsigned sources)
{
    struct sockaddr_in sin = {.sin_family = AF_INET};
    int on = 1;

    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    sin.sin_addr.s_addr = htonl(0x7f000001u + index % sources);
    return bind(fd, (struct sockaddr *)&sin, sizeof(sin));
}

static int
poll_for(struct client *c, int op, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = c};

    return epoll_ctl(c->bench->epfd, op, c->conn.fd, &ev);
}

int
conn_open(struct client *c, const struct target *t)
{
    struct conn *n = &c->conn;
    int on = 1;

    n->fd = socket(t->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (n->fd < 0)
        return -1;
    setsockopt(n->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (c->bench->opt.sources > 1 && t->addr.ss_family == AF_INET &&
        bind_source(n->fd, c->index, c->bench->opt.sources) < 0)
        return -1;
    if (connect(n->fd, (const struct sockaddr *)&t->addr, t->addr_len) < 0 && errno != EINPROGRESS)
        return -1;
    n->want_out = true;
    return poll_for(c, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

void
conn_close(struct conn *n)
{
    SSL_free(n->ssl);
    if (n->fd >= 0)
        close(n->fd);
    free(n->out);
    memset(n, 0, sizeof(*n));
    n->fd = -1;
}

static void
want_out(struct client *c, bool want)
{
    if (c->conn.want_out == want)
        return;
    c->conn.want_out = want;
    poll_for(c, EPOLL_CTL_MOD, EPOLLIN | (want ? (uint32_t)EPOLLOUT : 0));
}

int
conn_tls_start(struct client *c)
{
    struct conn *n = &c->conn;

    n->ssl = SSL_new(c->bench->tls);
    if (n->ssl == NULL || SSL_set_fd(n->ssl, n->fd) != 1)
        return -1;
    SSL_set_tlsext_host_name(n->ssl, c->bench->opt.domain);
    SSL_set_connect_state(n->ssl);
    return 0;
}

enum conn_io
conn_tls_step(struct client *c, bool *done_out)
{
    int r;

    ERR_clear_error();
    r = SSL_do_handshake(c->conn.ssl);
    *done_out = r == 1;
    if (r == 1) {
        want_out(c, false);
        return CONN_AGAIN;
    }
    switch (SSL_get_error(c->conn.ssl, r)) {
    case SSL_ERROR_WANT_READ:
        want_out(c, false);
        return CONN_AGAIN;
    case SSL_ERROR_WANT_WRITE:
        want_out(c, true);
        return CONN_AGAIN;
    default:
        return CONN_ERROR;
    }
}

static ssize_t
tls_read(struct conn *n, char *buf, size_t size)
{
    int r;

    ERR_clear_error();
    r = SSL_read(n->ssl, buf, (int)size);
    if (r > 0)
        return r;
    switch (SSL_get_error(n->ssl, r)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return CONN_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return CONN_EOF;
    default:
        return CONN_ERROR;
    }
}

ssize_t
conn_read(struct conn *n, char *buf, size_t size)
{
    ssize_t r;

    if (n->ssl != NULL)
        return tls_read(n, buf, size);
    r = recv(n->fd, buf, size, 0);
    if (r > 0)
        return r;
    if (r == 0)
        return CONN_EOF;
    return errno == EAGAIN || errno == EINTR ? CONN_AGAIN : CONN_ERROR;
}

/* Bytes taken, 0 when the kernel's buffer is full, -1 on failure. */
static ssize_t
try_send(struct conn *n, const char *p, size_t len)
{
    ssize_t r;

    if (n->ssl != NULL) {
        ERR_clear_error();
        r = SSL_write(n->ssl, p, (int)len);
        if (r > 0)
            return r;
        r = SSL_get_error(n->ssl, (int)r);
        return r == SSL_ERROR_WANT_WRITE || r == SSL_ERROR_WANT_READ ? 0 : -1;
    }
    r = send(n->fd, p, len, MSG_NOSIGNAL);
    if (r >= 0)
        return r;
    return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

static void
queue(struct conn *n, const char *p, size_t len)
{
    if (n->out_len + len > n->out_size) {
        size_t size = (n->out_len + len) * 2;
        char *out = realloc(n->out, size);

        if (out == NULL)
            abort();
        n->out = out;
        n->out_size = size;
    }
    memcpy(n->out + n->out_len, p, len);
    n->out_len += len;
}

int
conn_write(struct client *c, const char *p, size_t len)
{
    struct conn *n = &c->conn;

    if (n->out_len == 0 && !n->corked) {
        ssize_t r = try_send(n, p, len);

        if (r < 0)
            return -1;
        if ((size_t)r == len)
            return 0;
        p += r;
        len -= (size_t)r;
        want_out(c, true);
    }
    queue(n, p, len);
    return 0;
}

int
conn_flush(struct client *c)
{
    struct conn *n = &c->conn;
    size_t done = 0;

    while (done < n->out_len) {
        ssize_t r = try_send(n, n->out + done, n->out_len - done);

        if (r < 0)
            return -1;
        if (r == 0)
            break;
        done += (size_t)r;
    }
    if (done > 0)
        memmove(n->out, n->out + done, n->out_len - done);
    n->out_len -= done;
    want_out(c, n->out_len > 0);
    return 0;
}

/* Why the last TLS or system call failed. */
void
conn_error_text(char *out, size_t size)
{
    unsigned long code = ERR_peek_last_error();

    if (code != 0)
        ERR_error_string_n(code, out, size);
    else
        snprintf(out, size, "%s", errno != 0 ? strerror(errno) : "connection closed");
}
