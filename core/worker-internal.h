/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* A worker: its loop, its inbox, and what lives on it. */
#ifndef MKI_WORKER_H
#define MKI_WORKER_H

#include <event2/event.h>
#include <pthread.h>

#include <meerkat/session.h>
#include <meerkat/worker.h>

#include "base-internal.h"
#include "module-internal.h"

/* One message in an inbox. `run` frees the item itself unless it is embedded elsewhere. */
struct mki_item {
    struct mki_item *next;
    void (*run)(struct mki_item *item);
};

/* Many writers, one reader: a stack that the reader takes whole and turns around. */
struct mki_inbox {
    struct mki_item *head;      /* atomic */
    int wake_fd;
};

int mki_inbox_init(struct mki_inbox *in);
void mki_inbox_release(struct mki_inbox *in);
void mki_inbox_put(struct mki_inbox *in, struct mki_item *item);
/* Everything that is in, oldest first. */
struct mki_item *mki_inbox_take(struct mki_inbox *in);

struct mki_task {
    struct mki_item item;
    struct mk_module *module;
    mk_task_fn fn;
    void *arg;
    struct mki_task *next_deferred;
};

#define MKI_WHEEL_BITS 8
#define MKI_WHEEL_SLOTS (1u << MKI_WHEEL_BITS)
#define MKI_WHEEL_LEVELS 4

struct mki_wheel {
    struct mki_list slots[MKI_WHEEL_LEVELS][MKI_WHEEL_SLOTS];
    uint64_t now;               /* in ticks */
    size_t count;
    struct event *tick;
    bool armed;
};

struct mk_worker {
    unsigned index;
    pthread_t thread;
    bool has_thread;
    struct event_base *base;
    struct event *wake;
    struct mki_inbox inbox;
    struct mki_task *deferred, **deferred_end;
    struct mki_wheel wheel;
    struct mki_list fds;
    struct mki_list listeners;
    bool stopping;
    unsigned callback_depth;
    /* -- sessions of this worker: session.c */
    struct mk_session **sessions;       /* by index */
    uint32_t *generations;
    uint32_t session_cap, session_free;
    uint32_t *free_indexes;
    size_t session_count;
    bool holding;                       /* input of all sessions: mki_sessions_hold */
    struct mk_timer *hold_end;
    struct mki_list requests;           /* iq-request.c */
    uint64_t next_request;
};

int mki_workers_start(size_t count, struct mk_error *err);
/* Ends the loops and joins the threads. */
void mki_workers_stop(void);
/* Runs fn(arg) once on each worker and returns when all have. Main thread. */
void mki_workers_barrier(void (*fn)(struct mk_worker *w, void *arg), void *arg);
struct mk_worker *mki_worker_at(size_t n);

/* Around each callback on a worker: a read section, and a fresh clock for the first. */
void mki_enter(void);
void mki_leave(void);

/* timer.c, fd.c, listen.c: what a module has left on a worker goes. On the worker. */
int mki_wheel_init(struct mk_worker *w);
void mki_wheel_release(struct mk_worker *w);
void mki_timers_forget(struct mk_worker *w, struct mk_module *m);
void mki_fds_forget(struct mk_worker *w, struct mk_module *m);
void mki_fds_release(struct mk_worker *w);

/* offload.c */
int mki_offload_start(size_t threads, size_t queue, struct mk_error *err);
void mki_offload_stop(void);

/* Turn-end functions (worker.c). Main thread, workers held by a barrier or RCU. */
void mki_turn_ends_run(void);

#endif
