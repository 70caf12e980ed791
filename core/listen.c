/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Listening sockets: one a worker and address, the kernel spreads the connections (SO_REUSEPORT). */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log-internal.h"
#include "worker-internal.h"

#define BACKLOG 4096
/* Connections taken in one go, so that a storm does not starve the sessions of the worker. */
#define ACCEPT_BATCH 64
/* How long a listener rests when the process has no descriptors left. */
#define REST_MS 200

struct socket {
    struct mk_listener *listener;
    struct mk_worker *worker;
    int fd;
    struct event *event;
    struct event *rest;
};

struct mk_listener {
    struct mk_module *module;
    mk_accept_fn fn;
    void *arg;
    char *what;
    char *path;                 /* of a Unix socket */
    unsigned port;
    size_t count;
    struct socket sockets[];
};

static void
rest_over(evutil_socket_t fd, short events, void *arg)
{
    struct socket *s = arg;

    (void)fd;
    (void)events;
    event_add(s->event, NULL);
}

static void
rest(struct socket *s)
{
    struct timeval tv = {0, REST_MS * 1000};

    mki_log(MK_LOG_ERROR, "listen.accept", "cannot accept connections for '%s': %s",
            s->listener->what, strerror(errno));
    event_del(s->event);
    event_add(s->rest, &tv);
}

static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
    struct socket *s = arg;
    struct mk_listener *l = s->listener;

    (void)what;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t len = sizeof(peer);
        int client = accept4(fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (client < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                rest(s);
            return;
        }
        mki_enter();
        l->fn(client, &peer, l->arg);
        mki_leave();
    }
}

/* "*:5222" is all addresses of both families where the system has IPv6. */
static int
parse_address(const char *text, struct sockaddr_storage *out, socklen_t *len)
{
    struct sockaddr_in6 *a6 = (struct sockaddr_in6 *)out;
    struct sockaddr_in *a4 = (struct sockaddr_in *)out;
    const char *colon = strrchr(text, ':');
    char host[64];
    in_port_t port;

    if (!colon || (size_t)(colon - text) >= sizeof(host))
        return -1;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    port = htons((uint16_t)atoi(colon + 1));
    memset(out, 0, sizeof(*out));
    if (strcmp(host, "*") == 0 || host[0] == '[') {
        a6->sin6_family = AF_INET6;
        a6->sin6_port = port;
        *len = sizeof(*a6);
        if (host[0] == '*')
            return 0;
        host[strlen(host) - 1] = '\0';
        return inet_pton(AF_INET6, host + 1, &a6->sin6_addr) == 1 ? 0 : -1;
    }
    a4->sin_family = AF_INET;
    a4->sin_port = port;
    *len = sizeof(*a4);
    return inet_pton(AF_INET, host, &a4->sin_addr) == 1 ? 0 : -1;
}

static int
open_socket(struct sockaddr_storage *address, socklen_t len, const char *text, struct mk_error *err)
{
    int on = 1, off = 0;
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 && address->ss_family == AF_INET6 && text[0] == '*') {
        /* No IPv6 here: all addresses means IPv4 alone. */
        in_port_t port = ((struct sockaddr_in6 *)address)->sin6_port;
        struct sockaddr_in *a4 = (struct sockaddr_in *)address;

        memset(address, 0, sizeof(*address));
        a4->sin_family = AF_INET;
        a4->sin_port = port;
        len = sizeof(*a4);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    }
    if (fd < 0)
        return mk_fail(err, "cannot make a socket for '%s': %s", text, strerror(errno));
    if (address->ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, text[0] == '*' ? &off : &on, sizeof(on));
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)address, len) < 0 || listen(fd, BACKLOG) < 0) {
        mk_fail(err, "cannot listen on '%s': %s", text, strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

/*
 * SO_REUSEPORT would let a second server of the same user take half of our connections unnoticed: see
 * first whether the port is free without it.
 */
static int
probe(const struct sockaddr_storage *address, socklen_t len, const char *text, struct mk_error *err)
{
    int on = 1, off = 0, rc = 0;
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return 0;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (address->ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, text[0] == '*' ? &off : &on, sizeof(on));
    if (bind(fd, (const struct sockaddr *)address, len) < 0 || listen(fd, 1) < 0)
        rc = mk_fail(err, "cannot listen on '%s': %s", text, strerror(errno));
    close(fd);
    return rc;
}

static in_port_t *
port_of(struct sockaddr_storage *a)
{
    return a->ss_family == AF_INET6 ? &((struct sockaddr_in6 *)a)->sin6_port
                                    : &((struct sockaddr_in *)a)->sin_port;
}

static void
start_on_worker(struct mk_worker *w, void *arg)
{
    struct mk_listener *l = arg;
    struct socket *s = &l->sockets[w->index];

    if (s->fd < 0 || !l->fn)
        return;
    s->event = event_new(w->base, s->fd, EV_READ | EV_PERSIST, on_accept, s);
    s->rest = event_new(w->base, -1, 0, rest_over, s);
    if (!s->event || !s->rest || event_add(s->event, NULL) < 0)
        MK_BUG("a listener cannot be watched");
}

static void
stop_on_worker(struct mk_worker *w, void *arg)
{
    struct mk_listener *l = arg;
    struct socket *s = &l->sockets[w->index];

    if (s->event)
        event_free(s->event);
    if (s->rest)
        event_free(s->rest);
    s->event = s->rest = NULL;
}

static void
listener_free(struct mk_listener *l)
{
    mki_workers_barrier(stop_on_worker, l);
    /* libevent tells the kernel in the next turn. Before that, the number must not name another file. */
    mki_workers_barrier(NULL, NULL);
    for (size_t i = 0; i < l->count; i++) {
        if (l->sockets[i].fd >= 0)
            close(l->sockets[i].fd);
    }
    if (l->path)
        unlink(l->path);
    mk_free(l->path);
    mk_free(l->what);
    mk_free(l);
}

static void
listener_undo(void *thing)
{
    listener_free(thing);
}

/* A socket that nobody listens on any more stands in the way. One that somebody does is left alone. */
static int
remove_dead(const struct sockaddr_un *a, struct mk_error *err)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool alive = fd >= 0 && connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0;
    struct stat st;

    if (fd >= 0)
        close(fd);
    if (alive)
        return mk_fail(err, "cannot listen on '%s': another process does", a->sun_path);
    if (lstat(a->sun_path, &st) == 0 && S_ISSOCK(st.st_mode))
        unlink(a->sun_path);
    return 0;
}

static int
open_unix(struct mk_listener *l, const char *path, struct mk_error *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd, rc;
    mode_t old;

    if (strlen(path) >= sizeof(a.sun_path))
        return mk_fail(err, "the path '%s' is longer than %zu characters", path, sizeof(a.sun_path) - 1);
    strcpy(a.sun_path, path);
    if (remove_dead(&a, err) < 0)
        return -1;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return mk_fail(err, "cannot make a socket for '%s': %s", path, strerror(errno));
    l->sockets[0].fd = fd;
    old = umask(0117);
    rc = bind(fd, (struct sockaddr *)&a, sizeof(a));
    umask(old);
    if (rc < 0 || listen(fd, BACKLOG) < 0)
        return mk_fail(err, "cannot listen on '%s': %s", path, strerror(errno));
    l->path = mk_strdup(path);
    return 0;
}

static int
open_network(struct mk_listener *l, const char *address, struct mk_error *err)
{
    struct sockaddr_storage a;
    socklen_t len = 0;

    if (parse_address(address, &a, &len) < 0)
        return mk_fail(err, "'%s' is not an address", address);
    if (*port_of(&a) && probe(&a, len, address, err) < 0)
        return -1;
    for (size_t i = 0; i < l->count; i++) {
        l->sockets[i].fd = open_socket(&a, len, address, err);
        if (l->sockets[i].fd < 0)
            return -1;
        /* The first one tells which port the others must have. */
        len = sizeof(a);
        if (getsockname(l->sockets[i].fd, (struct sockaddr *)&a, &len) < 0)
            return mk_fail(err, "cannot ask for the port of '%s': %s", address, strerror(errno));
        l->port = ntohs(*port_of(&a));
    }
    return 0;
}

struct mk_listener *
mk_listen(struct mk_module *m, const char *what, const char *address, mk_accept_fn fn, void *arg,
          struct mk_error *err)
{
    bool is_unix = strncmp(address, "unix:", 5) == 0;
    size_t count = mk_worker_count();
    struct mk_listener *l = mk_zalloc(sizeof(*l) + count * sizeof(l->sockets[0]));

    l->module = m;
    l->fn = fn;
    l->arg = arg;
    l->what = mk_strdup(what);
    l->count = count;
    for (size_t i = 0; i < count; i++)
        l->sockets[i] = (struct socket){.listener = l, .worker = mk_worker_nth(i), .fd = -1};
    if ((is_unix ? open_unix(l, address + 5, err) : open_network(l, address, err)) < 0) {
        listener_free(l);
        return NULL;
    }
    mki_workers_barrier(start_on_worker, l);
    mki_own(m, listener_undo, l);
    if (is_unix)
        mki_log(MK_LOG_INFO, "listen", "listening for '%s' on %s", what, address + 5);
    else
        mki_log(MK_LOG_INFO, "listen", "listening for '%s' on %.*s:%u", what,
                (int)(strrchr(address, ':') - address), address, l->port);
    return l;
}

int
mk_listener_socket(const struct mk_listener *l, const struct mk_worker *w)
{
    return l->sockets[w->index].fd;
}

unsigned
mk_listener_port(const struct mk_listener *l)
{
    return l->port;
}

void
mk_listen_close(struct mk_listener **l)
{
    if (!*l)
        return;
    mki_disown((*l)->module, *l);
    listener_free(*l);
    *l = NULL;
}
