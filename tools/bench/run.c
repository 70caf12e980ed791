/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * One load from beginning to end: register, connect, prepare, warm up, measure, drain, close;
 * with the event loop, the rate limit and the counting that all scenarios share.
 */
#include "bench.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define SETTLE (NSEC / 2) /* before memory is read */
#define DRAIN (2 * NSEC)  /* for what is still on its way at the end */
#define CLOSING (3 * NSEC)
#define MAX_REG_FAILED 20   /* then registering is given up */
#define MAX_STORM_WASTE 100 /* failed log-ins more than good ones: the storm is given up */

static volatile sig_atomic_t interrupted;

void
bench_interrupt(void)
{
    interrupted = 1;
}

bool
bench_stopped(void)
{
    return interrupted != 0;
}

void *
bench_alloc(size_t count, size_t size)
{
    void *p = calloc(count, size);

    if (p == NULL) {
        fprintf(stderr, "meerkat-bench: out of memory\n");
        abort();
    }
    return p;
}

char *
bench_dup(const char *s)
{
    size_t len = strlen(s) + 1;

    return memcpy(bench_alloc(1, len), s, len);
}

const char *
bench_error_name(enum bench_error err)
{
    static const char *const names[ERR_COUNT] = {
        [ERR_CONNECT] = "connect",   [ERR_TLS] = "tls",       [ERR_STREAM] = "stream",
        [ERR_AUTH] = "auth",         [ERR_BIND] = "bind",     [ERR_SM] = "sm",
        [ERR_REGISTER] = "register", [ERR_ROSTER] = "roster", [ERR_TIMEOUT] = "timeout",
        [ERR_CLOSED] = "closed",     [ERR_STANZA] = "stanza",
    };
    return names[err];
}

/* Counts; the first of each kind is also told. */
void
bench_error(struct bench *b, enum bench_error err, const char *fmt, ...)
{
    struct result *r = b->result;
    va_list ap;

    if (r->errors[err]++ > 0)
        return;
    va_start(ap, fmt);
    vsnprintf(r->first_error[err], sizeof(r->first_error[err]), fmt, ap);
    va_end(ap);
    fprintf(stderr, "meerkat-bench: %s\n", r->first_error[err]);
}

static uint64_t
error_sum(const struct result *r)
{
    uint64_t sum = 0;

    for (int i = 0; i < ERR_COUNT; i++)
        sum += r->errors[i];
    return sum;
}

/* ---- the loop ---------------------------------------------------------------------------- */

void
bench_ready(struct bench *b, struct client *c)
{
    if (c->queued)
        return;
    c->queued = true;
    c->next = NULL;
    *b->ready_tail = c;
    b->ready_tail = &c->next;
}

static struct client *
ready_pop(struct bench *b)
{
    struct client *c = b->ready;

    b->ready = c->next;
    if (b->ready == NULL)
        b->ready_tail = &b->ready;
    c->queued = false;
    return c;
}

bool
bench_rate_take(struct bench *b)
{
    double allowed, behind;

    if (b->opt.rate <= 0)
        return true;
    allowed = (double)(b->now - b->rate_from) / 1e9 * b->opt.rate;
    behind = allowed - (double)b->rate_used;
    if (behind < 1)
        return false;
    /* What the server made us miss is not sent as a burst later. */
    if (behind > b->opt.rate / 10 + 1)
        b->rate_used += (uint64_t)(behind - b->opt.rate / 10 - 1);
    b->rate_used++;
    return true;
}

static void
pump_ready(struct bench *b)
{
    unsigned turns = b->nclients; /* those who fail at once must not keep us here */

    if (!b->loading) {
        while (b->ready != NULL)
            ready_pop(b);
        return;
    }
    while (b->ready != NULL && turns-- > 0 && bench_rate_take(b)) {
        struct client *c = ready_pop(b);

        if (b->scenario->fire(c))
            bench_ready(b, c);
    }
}

static void
check_deadlines(struct bench *b)
{
    for (unsigned i = 0; i < b->nclients; i++) {
        struct client *c = &b->clients[i];

        if (b->now < c->deadline)
            continue;
        if (c->state == CLIENT_CLOSING)
            client_drop(c);
        else if (client_is_pending(c))
            client_fail(c, ERR_TIMEOUT, "no answer within %g s (%s)", b->opt.timeout,
                        negotiate_state_name(c->state));
    }
}

static void
progress(struct bench *b)
{
    static int tty = -1;
    uint64_t rate = b->tally.received - b->progress_seen;

    if (tty < 0)
        tty = isatty(STDERR_FILENO);
    b->progress_seen = b->tally.received;
    if (b->opt.quiet)
        return;
    fprintf(stderr, "%s%s%s: %-10s %u online, %llu received/s, %llu errors%s",
            tty ? "\r\033[K" : "", b->scenario->name, b->floor ? " (floor)" : "",
            b->measuring ? "measuring,"
            : b->loading ? "warm-up,"
                         : "preparing,",
            b->online, (unsigned long long)rate, (unsigned long long)error_sum(b->result),
            tty ? "" : "\n");
    fflush(stderr);
}

void
bench_step(struct bench *b, int timeout_ms)
{
    struct epoll_event events[256];
    int n;

    if (b->ready != NULL && timeout_ms > 1)
        timeout_ms = 1;
    n = epoll_wait(b->epfd, events, 256, timeout_ms);
    b->now = now_ns();
    for (int i = 0; i < n; i++)
        client_event(events[i].data.ptr, events[i].events);
    pump_ready(b);
    if (b->now - b->last_second < NSEC)
        return;
    b->last_second = b->now;
    check_deadlines(b);
    if (b->loading && b->scenario->tick != NULL)
        b->scenario->tick(b);
    progress(b);
}

static void
steps_for(struct bench *b, uint64_t ns)
{
    uint64_t end = now_ns() + ns;

    while (b->now < end && !bench_stopped())
        bench_step(b, 50);
}

static unsigned
count_open(const struct bench *b)
{
    unsigned n = 0;

    for (unsigned i = 0; i < b->nclients; i++)
        n += b->clients[i].state != CLIENT_OFF;
    return n;
}

/* ---- measured processes ------------------------------------------------------------------ */

static bool
cpu_of_server(const struct bench *b, uint64_t *ns_out)
{
    uint64_t one;

    *ns_out = 0;
    if (b->floor)
        return proc_cpu_ns(b->relay.pid, ns_out) == 0;
    for (unsigned i = 0; i < b->opt.npids; i++) {
        if (proc_cpu_ns(b->opt.pids[i], &one) < 0)
            return false;
        *ns_out += one;
    }
    return b->opt.npids > 0;
}

static void
memory_of_server(const struct bench *b, struct memory *m)
{
    uint64_t pss, rss;

    memset(m, 0, sizeof(*m));
    if (b->floor) {
        m->known = proc_memory_kb(b->relay.pid, &m->pss, &m->rss) == 0;
        return;
    }
    for (unsigned i = 0; i < b->opt.npids; i++) {
        if (proc_memory_kb(b->opt.pids[i], &pss, &rss) < 0)
            return;
        m->pss += pss;
        m->rss += rss;
    }
    m->known = b->opt.npids > 0;
}

static uint64_t
own_cpu(void)
{
    uint64_t ns = 0;

    proc_cpu_ns(getpid(), &ns);
    return ns;
}

/* ---- the phases -------------------------------------------------------------------------- */

static void
register_accounts(struct bench *b)
{
    unsigned next = 0, total = 0;

    for (unsigned i = 0; i < b->nclients; i++)
        if (b->clients[i].account >= total)
            total = b->clients[i].account + 1;
    while (!bench_stopped() && (next < total || count_open(b) > 0)) {
        if (b->result->errors[ERR_REGISTER] >= MAX_REG_FAILED)
            break;
        while (next < total && b->pending < b->opt.parallel) {
            struct client *c = &b->clients[next];

            c->account = next++;
            c->registering = true;
            client_start(c);
        }
        bench_step(b, 100);
    }
    for (unsigned i = 0; i < b->nclients; i++) {
        struct client *c = &b->clients[i];

        client_drop(c);
        c->registering = false;
        c->account = b->scenario->account != NULL ? b->scenario->account(&b->opt, i) : i;
    }
    if (!b->opt.quiet)
        fprintf(stderr, "accounts: %llu registered, %llu existed already\n",
                (unsigned long long)b->result->registered, (unsigned long long)b->result->existed);
}

static void
connect_all(struct bench *b)
{
    struct result *r = b->result;
    uint64_t from = now_ns(), cpu_from = 0, cpu_to = 0;
    bool known = cpu_of_server(b, &cpu_from);
    unsigned next = 0;

    while (!bench_stopped() && (next < b->nclients || b->pending > 0)) {
        while (next < b->nclients && b->pending < b->opt.parallel)
            client_start(&b->clients[next++]);
        bench_step(b, 100);
    }
    r->online = b->online;
    r->connect_seconds = (double)(now_ns() - from) / 1e9;
    if (known && cpu_of_server(b, &cpu_to))
        r->connect_cpu_ns = cpu_to - cpu_from;
}

/* Is there still somebody to load the server with? */
static bool
alive(const struct bench *b)
{
    const struct result *r = b->result;

    if (bench_stopped() || (b->stop_at > 0 && b->tally.received >= b->stop_at))
        return false;
    if (b->scenario->storm)
        return r->failed < MAX_STORM_WASTE + b->tally.received;
    return b->online > 0;
}

static void
load_for(struct bench *b, double seconds)
{
    uint64_t end = now_ns() + (uint64_t)(seconds * 1e9);

    b->now = now_ns();
    while (b->now < end && alive(b))
        bench_step(b, 50);
}

static void
measure(struct bench *b)
{
    struct result *r = b->result;
    struct tally from = b->tally;
    uint64_t cpu_from = 0, cpu_to = 0, own_from, began;

    r->cpu_known = cpu_of_server(b, &cpu_from);
    own_from = own_cpu();
    began = now_ns();
    b->measuring = true;
    b->stop_at = b->opt.messages > 0 ? from.received + b->opt.messages : 0;
    load_for(b, b->opt.duration);
    b->stop_at = 0;
    b->measuring = false;
    r->seconds = (double)(now_ns() - began) / 1e9;
    r->cpu_known = cpu_of_server(b, &cpu_to) && r->cpu_known;
    r->cpu_ns = cpu_to - cpu_from;
    r->own_cpu_ns = own_cpu() - own_from;
    r->sent = b->tally.sent - from.sent;
    r->received = b->tally.received - from.received;
}

/* Is something still on its way, or not yet acknowledged? */
static bool
unfinished(const struct bench *b)
{
    if (b->scenario->storm)
        return b->pending > 0;
    if (b->tally.received < b->tally.due)
        return true;
    for (unsigned i = 0; i < b->nclients; i++)
        if (b->clients[i].sm_on && b->clients[i].sm_out != b->clients[i].sm_acked)
            return true;
    return false;
}

static void
drain(struct bench *b)
{
    uint64_t end = now_ns() + DRAIN;

    b->loading = false;
    for (unsigned i = 0; i < b->nclients; i++)
        client_ask_ack(&b->clients[i]);
    while (b->now < end && !bench_stopped() && unfinished(b))
        bench_step(b, 50);
}

static void
close_all(struct bench *b)
{
    uint64_t end = now_ns() + CLOSING;

    for (unsigned i = 0; i < b->nclients; i++)
        client_finish(&b->clients[i]);
    while (b->now < end && count_open(b) > 0 && !bench_stopped())
        bench_step(b, 50);
    for (unsigned i = 0; i < b->nclients; i++)
        client_drop(&b->clients[i]);
}

static int
load_and_measure(struct bench *b)
{
    const struct scenario *s = b->scenario;

    b->loading = true;
    b->rate_from = b->now = now_ns();
    b->rate_used = 0;
    if (s->start != NULL && s->start(b) < 0)
        return -1;
    load_for(b, s->start != NULL ? b->opt.warmup : 0);
    measure(b);
    if (!s->storm && b->online == 0) {
        fprintf(stderr, "meerkat-bench: cut short, no session is left\n");
        b->result->cut_short = true;
    }
    memory_of_server(b, &b->result->end);
    drain(b);
    if (s->start == NULL)
        b->result->measured = b->result->online > 0;
    else
        b->result->measured = b->result->received > 0;
    return b->result->measured && !b->result->cut_short ? 0 : -1;
}

static int
connect_and_load(struct bench *b)
{
    struct result *r = b->result;
    const struct scenario *s = b->scenario;

    if (!s->storm) {
        connect_all(b);
        if (r->online == 0 || bench_stopped())
            return -1;
        if (r->online < b->nclients)
            fprintf(stderr, "meerkat-bench: only %u of %u sessions came online\n", r->online,
                    b->nclients);
        if (!b->floor && s->wants_roster != NULL && s->wants_roster(&b->opt) &&
            roster_prepare(b) < 0)
            return -1;
        steps_for(b, SETTLE);
        memory_of_server(b, &r->connected);
    }
    return load_and_measure(b);
}

int
bench_run(struct bench *b, struct result *r, bool floor)
{
    int status;

    memset(r, 0, sizeof(*r));
    memset(&b->tally, 0, sizeof(b->tally));
    r->used = true;
    b->result = r;
    b->floor = floor;
    b->ready = NULL;
    b->ready_tail = &b->ready;
    b->progress_seen = 0;
    b->now = b->last_second = now_ns();
    if (b->opt.do_register && !floor)
        register_accounts(b);
    memory_of_server(b, &r->before);
    status = connect_and_load(b);
    b->loading = false;
    close_all(b);
    r->whole = b->tally;
    if (b->scenario->release != NULL)
        b->scenario->release(b);
    if (!b->opt.quiet && isatty(STDERR_FILENO))
        fputc('\n', stderr);
    return status;
}
