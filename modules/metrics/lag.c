/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * How late a worker is: a timer of the kernel fires ten times a second, and what passes until the worker comes to it
 * is what a packet that came at that moment would have waited.
 */
#include "config.h"

#include "internal.h"

#include <stdio.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define EVERY_NS 100000000

struct lag_lane {
    struct mk_histogram seconds;
    struct mk_fd *watch;
    int fd;
    int64_t due;                /* ns */
};

static int64_t
clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void
on_timer(int fd, unsigned events, void *arg)
{
    struct lag_lane *lane = arg;
    int64_t late = clock_ns() - lane->due;
    uint64_t times;

    (void)events;
    if (read(fd, &times, sizeof(times)) != sizeof(times))
        return;
    mk_histogram_add(lane->seconds, late > 0 ? (uint64_t)late / 1000 : 0);
    /* More than one: those in between were as late, less what passed since. */
    lane->due += (int64_t)times * EVERY_NS;
}

static void
start_here(void *arg)
{
    struct lag *l = arg;
    struct lag_lane *lane = &l->lanes[mk_worker_index(mk_worker_self())];
    struct itimerspec when = {.it_interval.tv_nsec = EVERY_NS};

    lane->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (lane->fd < 0)
        return;
    lane->due = clock_ns() + EVERY_NS;
    when.it_value.tv_sec = lane->due / 1000000000;
    when.it_value.tv_nsec = lane->due % 1000000000;
    if (timerfd_settime(lane->fd, TFD_TIMER_ABSTIME, &when, NULL) < 0)
        return;
    lane->watch = mk_fd_new(l->module, lane->fd, MK_READ, on_timer, lane);
}

static void
stop_here(void *arg)
{
    struct lag *l = arg;

    mk_fd_free(&l->lanes[mk_worker_index(mk_worker_self())].watch);
}

void
lag_init(struct lag *l, struct mk_module *m)
{
    l->module = m;
    l->lanes = mk_zalloc(mk_worker_count() * sizeof(*l->lanes));
    for (size_t i = 0; i < mk_worker_count(); i++) {
        char label[40];

        snprintf(label, sizeof(label), "worker=\"%zu\"", i);
        l->lanes[i].fd = -1;
        l->lanes[i].seconds = mk_histogram_new(m, "event_loop_lag_seconds", label,
                                               "How late a worker comes to what is due", 16, 0.000001);
    }
}

void
lag_start(struct lag *l)
{
    mk_workers_run(start_here, l);
}

void
lag_stop(struct lag *l)
{
    mk_workers_run(stop_here, l);
}

void
lag_release(struct lag *l)
{
    for (size_t i = 0; l->lanes && i < mk_worker_count(); i++) {
        if (l->lanes[i].fd >= 0)
            close(l->lanes[i].fd);
    }
    mk_free(l->lanes);
}
