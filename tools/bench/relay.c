/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * The floor: a child process that relays bytes and parses nothing.  What it costs is what any
 * server on this machine must pay for the system calls alone.
 *
 * A connection's first line says what it is, and is answered with "+\n":
 *   P n   one of pair n: what one recv gave goes to the other with one send
 *   G n   one of group n: what one recv gave goes to all others of the group
 *   L     a log-in: what comes in goes back
 *   I     idle
 */
#include "bench.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct peer {
    char kind; /* 0 = has not said yet */
    unsigned id;
    int next; /* circle of the descriptors with the same kind and id */
};

struct state {
    int epfd, listener;
    struct peer *peers;  /* by descriptor */
    int *pairs, *groups; /* one descriptor of each, 0 = none */
    char *buf;
};

static void
send_fully(int fd, const char *p, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EAGAIN) {
            struct pollfd pfd = {.fd = fd, .events = POLLOUT};

            /* The generator always reads on, so this ends. */
            poll(&pfd, 1, 1000);
        } else if (n < 0 && errno != EINTR) {
            return;
        } else if (n > 0) {
            p += n;
            len -= (size_t)n;
        }
    }
}

static void
accept_all(struct state *s)
{
    int fd, on = 1;

    while ((fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

        if (fd >= BENCH_MAX_FDS) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        memset(&s->peers[fd], 0, sizeof(s->peers[fd]));
        epoll_ctl(s->epfd, EPOLL_CTL_ADD, fd, &ev);
    }
}

static int *
circle_of(struct state *s, const struct peer *p)
{
    if (p->kind == 'P')
        return &s->pairs[p->id];
    return p->kind == 'G' ? &s->groups[p->id] : NULL;
}

static void
join(struct state *s, int fd, const char *line, size_t len)
{
    struct peer *p = &s->peers[fd];
    char text[32];
    int *first;

    snprintf(text, sizeof(text), "%.*s", (int)(len < sizeof(text) ? len : sizeof(text) - 1), line);
    p->kind = text[0];
    p->id = (unsigned)strtoul(text + 1, NULL, 10) % BENCH_MAX_FDS;
    p->next = fd;
    first = circle_of(s, p);
    if (first != NULL && *first != 0) {
        p->next = s->peers[*first].next;
        s->peers[*first].next = fd;
    } else if (first != NULL) {
        *first = fd;
    }
    send_fully(fd, "+\n", 2);
}

static void
leave(struct state *s, int fd)
{
    struct peer *p = &s->peers[fd];
    int *first = circle_of(s, p), before = fd;

    if (first != NULL) {
        while (s->peers[before].next != fd)
            before = s->peers[before].next;
        s->peers[before].next = p->next;
        if (*first == fd)
            *first = before == fd ? 0 : before;
    }
    memset(p, 0, sizeof(*p));
    close(fd);
}

static void
relay_event(struct state *s, int fd)
{
    ssize_t n = recv(fd, s->buf, BENCH_READ_SIZE, 0);
    struct peer *p = &s->peers[fd];

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        leave(s, fd);
    } else if (p->kind == 0) {
        join(s, fd, s->buf, (size_t)n);
    } else if (p->kind == 'L') {
        send_fully(fd, s->buf, (size_t)n);
    } else {
        for (int to = p->next; to != fd; to = s->peers[to].next)
            send_fully(to, s->buf, (size_t)n);
    }
}

static void
child(int listener)
{
    struct state s = {.listener = listener, .epfd = epoll_create1(EPOLL_CLOEXEC)};
    struct epoll_event events[256], ev = {.events = EPOLLIN, .data.fd = listener};

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_IGN); /* the parent ends us */
    s.peers = bench_alloc(BENCH_MAX_FDS, sizeof(*s.peers));
    s.pairs = bench_alloc(BENCH_MAX_FDS, sizeof(*s.pairs));
    s.groups = bench_alloc(BENCH_MAX_FDS, sizeof(*s.groups));
    s.buf = bench_alloc(1, BENCH_READ_SIZE);
    if (s.epfd < 0 || epoll_ctl(s.epfd, EPOLL_CTL_ADD, listener, &ev) < 0)
        _exit(1);
    for (;;) {
        int n = epoll_wait(s.epfd, events, 256, -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                accept_all(&s);
            else
                relay_event(&s, events[i].data.fd);
        }
    }
}

int
relay_start(struct relay *r)
{
    struct sockaddr_in *sin = (struct sockaddr_in *)&r->target.addr;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    sin->sin_family = AF_INET;
    sin->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    r->target.addr_len = sizeof(*sin);
    r->target.name = bench_dup("the built-in relay");
    if (fd < 0 || bind(fd, (struct sockaddr *)sin, sizeof(*sin)) < 0 || listen(fd, 4096) < 0 ||
        getsockname(fd, (struct sockaddr *)sin, &r->target.addr_len) < 0 || (r->pid = fork()) < 0) {
        fprintf(stderr, "meerkat-bench: cannot start the relay: %s\n", strerror(errno));
        r->pid = 0;
        if (fd >= 0)
            close(fd);
        return -1;
    }
    if (r->pid == 0)
        child(fd);
    close(fd);
    return 0;
}

void
relay_stop(struct relay *r)
{
    if (r->pid > 0) {
        kill(r->pid, SIGKILL);
        waitpid(r->pid, NULL, 0);
    }
    free(r->target.name);
    memset(r, 0, sizeof(*r));
}
