/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * meerkat-bench: a load generator for XMPP servers.  See README.md.
 */
#include "bench.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <openssl/rand.h>

#define SCRATCH_SIZE (BENCH_MAX_BODY + 16384) /* a body, two JIDs, markup */

static void
on_interrupt(int sig)
{
    (void)sig;
    bench_interrupt();
}

static void
set_up_signals(void)
{
    /* A second SIGINT ends the program the hard way. */
    struct sigaction sa = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};

    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int
raise_fd_limit(unsigned sessions)
{
    struct rlimit limit;
    rlim_t need = sessions + BENCH_SPARE_FDS;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -1;
    if (limit.rlim_cur >= need)
        return 0;
    if (limit.rlim_max < need) {
        fprintf(stderr, "meerkat-bench: %u sessions need %lu descriptors, but the limit is %lu\n",
                sessions, (unsigned long)need, (unsigned long)limit.rlim_max);
        return -1;
    }
    limit.rlim_cur = need;
    return setrlimit(RLIMIT_NOFILE, &limit);
}

static SSL_CTX *
make_tls(void)
{
    static const unsigned char alpn[] = "\x0bxmpp-client";
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    if (ctx == NULL)
        return NULL;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_alpn_protos(ctx, alpn, sizeof(alpn) - 1);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    return ctx;
}

static int
set_up(struct bench *b)
{
    unsigned char run[2];

    b->scenario = b->opt.scenario;
    b->nclients = b->opt.sessions;
    if (RAND_bytes(run, sizeof(run)) != 1)
        return -1;
    snprintf(b->mark, sizeof(b->mark), "~%02x%02x.", run[0], run[1]);
    b->epfd = epoll_create1(EPOLL_CLOEXEC);
    b->tls = make_tls();
    if (b->epfd < 0 || b->tls == NULL) {
        fprintf(stderr, "meerkat-bench: cannot set up epoll or TLS\n");
        return -1;
    }
    b->rbuf = bench_alloc(1, BENCH_READ_SIZE);
    b->scratch = bench_alloc(1, SCRATCH_SIZE);
    b->padding = bench_alloc(1, BENCH_MAX_BODY + 1);
    memset(b->padding, 'x', BENCH_MAX_BODY);
    b->clients = bench_alloc(b->nclients, sizeof(*b->clients));
    for (unsigned i = 0; i < b->nclients; i++) {
        client_init(&b->clients[i], b, i);
        if (b->scenario->account != NULL)
            b->clients[i].account = b->scenario->account(&b->opt, i);
    }
    return 0;
}

static void
tear_down(struct bench *b)
{
    for (unsigned i = 0; b->clients != NULL && i < b->nclients; i++)
        client_release(&b->clients[i]);
    free(b->clients);
    free(b->rbuf);
    free(b->scratch);
    free(b->padding);
    SSL_CTX_free(b->tls);
    if (b->epfd >= 0)
        close(b->epfd);
    for (unsigned i = 0; i < b->opt.ntargets; i++)
        free(b->opt.targets[i].name);
    relay_stop(&b->relay);
}

int
main(int argc, char **argv)
{
    static struct result real, floor_result;
    static struct bench b = {.epfd = -1};
    int r, failed = 0;

    r = options_parse(&b.opt, argc, argv);
    if (r != 0) {
        tear_down(&b);
        return r > 0 ? 0 : 2;
    }
    set_up_signals();
    /* The relay is started first, while there is little memory to share with it. */
    if (raise_fd_limit(b.opt.sessions) < 0 ||
        (b.opt.floor != FLOOR_NO && relay_start(&b.relay) < 0) || set_up(&b) < 0) {
        tear_down(&b);
        return 1;
    }
    if (b.opt.floor != FLOOR_ONLY)
        failed = bench_run(&b, &real, false);
    if (b.opt.floor != FLOOR_NO && failed == 0 && !bench_stopped())
        failed = bench_run(&b, &floor_result, true);
    report_print(stdout, &b.opt, &real, &floor_result, bench_stopped());
    if (failed != 0)
        fprintf(stderr, "meerkat-bench: the scenario could not run%s\n",
                real.cut_short || floor_result.cut_short ? " to its end" : "");
    tear_down(&b);
    return failed != 0 ? 1 : 0;
}
