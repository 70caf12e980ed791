/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Workers: threads with an event loop each. A loop turn is: wait, run what is ready, run what was
 * deferred, tell the modules that the turn ends (they write what they gathered).
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define _LGPL_SOURCE
#include <urcu/urcu-memb.h>

#include "log-internal.h"
#include "metrics-internal.h"
#include "parser-internal.h"
#include "session-internal.h"
#include "worker-internal.h"

struct turn_end {
    struct mk_module *module;
    mk_task_fn fn;
    void *arg;
};

/* Published under RCU as a whole. */
struct turn_ends {
    size_t count;
    struct turn_end list[];
};

static struct mk_worker *workers;
static size_t worker_count;
static __thread struct mk_worker *self;
static struct turn_ends *turn_ends;
static struct mk_histogram inbox_items;

struct mk_worker *
mk_worker_self(void)
{
    return self;
}

size_t
mk_worker_count(void)
{
    return worker_count;
}

struct mk_worker *
mk_worker_nth(size_t n)
{
    return n < worker_count ? &workers[n] : NULL;
}

struct mk_worker *
mki_worker_at(size_t n)
{
    return mk_worker_nth(n);
}

size_t
mk_worker_index(const struct mk_worker *w)
{
    return w->index;
}

void
mki_enter(void)
{
    if (self && self->callback_depth++ == 0)
        mki_now_set(mki_clock_ms());
    urcu_memb_read_lock();
}

void
mki_leave(void)
{
    MK_HANDS_OVER(&workers);
    urcu_memb_read_unlock();
    if (self)
        self->callback_depth--;
}

void
mk_callback_begin(void)
{
    mki_enter();
}

void
mk_callback_end(void)
{
    mki_leave();
}

struct event_base *
mk_worker_base(struct mk_worker *w)
{
    return w->base;
}

/* -- tasks ---------------------------------------------------------------------------------- */

void
mk_module_enter(struct mk_module *m)
{
    if (m)
        __atomic_fetch_add(&m->busy, 1, __ATOMIC_ACQ_REL);
}

void
mk_module_leave(struct mk_module *m)
{
    if (m)
        __atomic_fetch_sub(&m->busy, 1, __ATOMIC_ACQ_REL);
}

static void
run_task(struct mki_item *item)
{
    struct mki_task *t = mki_container(item, struct mki_task, item);

    t->fn(t->arg);
    mk_module_leave(t->module);
    mk_free(t);
}

static struct mki_task *
task_new(struct mk_module *m, mk_task_fn fn, void *arg)
{
    struct mki_task *t = mk_alloc(sizeof(*t));

    mk_module_enter(m);
    *t = (struct mki_task){.item.run = run_task, .module = m, .fn = fn, .arg = arg};
    return t;
}

void
mk_post(struct mk_module *m, struct mk_worker *w, mk_task_fn fn, void *arg)
{
    mki_inbox_put(&w->inbox, &task_new(m, fn, arg)->item);
}

void
mk_defer(struct mk_module *m, mk_task_fn fn, void *arg)
{
    struct mki_task *t = task_new(m, fn, arg);

    MK_ASSERT(self);
    *self->deferred_end = t;
    self->deferred_end = &t->next_deferred;
}

static void
run_deferred(struct mk_worker *w)
{
    while (w->deferred) {
        struct mki_task *t = w->deferred;

        w->deferred = t->next_deferred;
        if (!w->deferred)
            w->deferred_end = &w->deferred;
        mki_enter();
        run_task(&t->item);
        mki_leave();
    }
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct mk_worker *w = arg;
    struct mki_item *item = mki_inbox_take(&w->inbox);
    uint64_t count = 0;

    (void)fd;
    (void)what;
    while (item) {
        struct mki_item *next = item->next;

        mki_enter();
        item->run(item);
        mki_leave();
        item = next;
        count++;
    }
    mk_histogram_add(inbox_items, count);
}

/* -- the end of a turn ---------------------------------------------------------------------- */

static void
publish_turn_ends(struct turn_ends *now)
{
    struct turn_ends *old = turn_ends;

    __atomic_store_n(&turn_ends, now, __ATOMIC_RELEASE);
    if (old)
        mk_rcu_defer(mk_free, old);
}

static void
turn_end_undo(void *thing)
{
    struct mk_module *m = thing;
    size_t count = turn_ends ? turn_ends->count : 0, kept = 0;
    struct turn_ends *now = mk_alloc(sizeof(*now) + count * sizeof(now->list[0]));

    for (size_t i = 0; i < count; i++) {
        if (turn_ends->list[i].module != m)
            now->list[kept++] = turn_ends->list[i];
    }
    now->count = kept;
    publish_turn_ends(now);
}

void
mk_on_turn_end(struct mk_module *m, mk_task_fn fn, void *arg)
{
    size_t count = turn_ends ? turn_ends->count : 0;
    struct turn_ends *now = mk_alloc(sizeof(*now) + (count + 1) * sizeof(now->list[0]));

    if (count)
        memcpy(now->list, turn_ends->list, count * sizeof(now->list[0]));
    now->list[count] = (struct turn_end){m, fn, arg};
    now->count = count + 1;
    publish_turn_ends(now);
    mki_own(m, turn_end_undo, m);
}

void
mki_turn_ends_run(void)
{
    const struct turn_ends *list;

    mki_enter();
    list = __atomic_load_n(&turn_ends, __ATOMIC_ACQUIRE);
    for (size_t i = 0; list && i < list->count; i++)
        list->list[i].fn(list->list[i].arg);
    mki_leave();
}

/* -- threads -------------------------------------------------------------------------------- */

static void *
worker_main(void *arg)
{
    struct mk_worker *w = arg;

    self = w;
    urcu_memb_register_thread();
    while (!__atomic_load_n(&w->stopping, __ATOMIC_ACQUIRE)) {
        if (event_base_loop(w->base, EVLOOP_ONCE) < 0)
            MK_BUG("an event loop failed");
        run_deferred(w);
        mki_turn_ends_run();
        run_deferred(w);
    }
    mki_parser_thread_end();
    mki_metrics_thread_end();
    urcu_memb_unregister_thread();
    return NULL;
}

static int
worker_init(struct mk_worker *w, unsigned index, struct mk_error *err)
{
    struct event_config *config = event_config_new();

    w->index = index;
    w->deferred_end = &w->deferred;
    mki_list_init(&w->fds);
    mki_list_init(&w->listeners);
    mki_list_init(&w->requests);
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    w->base = event_base_new_with_config(config);
    event_config_free(config);
    if (!w->base || mki_inbox_init(&w->inbox) < 0)
        return mk_fail(err, "cannot make an event loop: %s", strerror(errno));
    w->wake = event_new(w->base, w->inbox.wake_fd, EV_READ | EV_PERSIST, on_wake, w);
    if (!w->wake || event_add(w->wake, NULL) < 0 || mki_wheel_init(w) < 0)
        return mk_fail(err, "cannot watch an inbox");
    return 0;
}

int
mki_workers_start(size_t count, struct mk_error *err)
{
    char name[32];
    int rc = 0;

    inbox_items = mk_histogram_new(mki_core_module(), "worker_inbox_items", NULL,
                                   "Calls of other threads that a worker finds at once", 1, 1);
    workers = mk_zalloc(count * sizeof(*workers));
    worker_count = count;
    for (size_t i = 0; i < count; i++) {
        if (worker_init(&workers[i], (unsigned)i, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < count && rc == 0; i++) {
        snprintf(name, sizeof(name), "worker-%zu", i);
        rc = mk_thread_start(&workers[i].thread, name, worker_main, &workers[i]);
        workers[i].has_thread = rc == 0;
    }
    return rc ? mk_fail(err, "cannot start a worker: %s", strerror(rc)) : 0;
}

static void
end_loop(struct mk_worker *w, void *arg)
{
    (void)arg;
    __atomic_store_n(&w->stopping, true, __ATOMIC_RELEASE);
}

static void
drain_inbox(struct mk_worker *w)
{
    struct mki_item *item = mki_inbox_take(&w->inbox);

    while (item) {
        struct mki_item *next = item->next;

        item->run(item);
        item = next;
    }
}

void
mki_workers_stop(void)
{
    if (!workers)
        return;
    mki_workers_barrier(end_loop, NULL);
    for (size_t i = 0; i < worker_count; i++) {
        if (workers[i].has_thread)
            pthread_join(workers[i].thread, NULL);
    }
    for (size_t i = 0; i < worker_count; i++) {
        struct mk_worker *w = &workers[i];

        if (w->base) {
            drain_inbox(w);
            mki_wheel_release(w);
            mki_fds_release(w);
            event_free(w->wake);
            event_base_free(w->base);
        }
        mki_inbox_release(&w->inbox);
        mki_sessions_release(w);
    }
    mk_free(workers);
    workers = NULL;
    worker_count = 0;
    mk_free(turn_ends);
    turn_ends = NULL;
}

/* -- barriers ------------------------------------------------------------------------------- */

struct barrier {
    struct mki_item item;
    struct mk_worker *worker;
    void (*fn)(struct mk_worker *w, void *arg);
    void *arg;
    pthread_mutex_t *lock;
    pthread_cond_t *done;
    size_t *left;
};

static void
run_barrier(struct mki_item *item)
{
    struct barrier *b = mki_container(item, struct barrier, item);
    pthread_mutex_t *lock = b->lock;

    if (b->fn)
        b->fn(b->worker, b->arg);
    pthread_mutex_lock(lock);
    if (--*b->left == 0)
        pthread_cond_signal(b->done);
    pthread_mutex_unlock(lock);
}

void
mki_workers_barrier(void (*fn)(struct mk_worker *w, void *arg), void *arg)
{
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t done = PTHREAD_COND_INITIALIZER;
    struct barrier *all = mk_zalloc((worker_count + 1) * sizeof(*all));
    size_t left = 0;

    MK_ASSERT(!self);
    for (size_t i = 0; i < worker_count; i++)
        left += workers[i].has_thread;
    for (size_t i = 0; i < worker_count; i++) {
        if (!workers[i].has_thread)
            continue;
        all[i] = (struct barrier){.item.run = run_barrier, .worker = &workers[i], .fn = fn,
                                  .arg = arg, .lock = &lock, .done = &done, .left = &left};
        mki_inbox_put(&workers[i].inbox, &all[i].item);
    }
    pthread_mutex_lock(&lock);
    while (left)
        pthread_cond_wait(&done, &lock);
    pthread_mutex_unlock(&lock);
    mk_free(all);
}

struct everywhere {
    mk_task_fn fn;
    void *arg;
};

static void
run_everywhere(struct mk_worker *w, void *arg)
{
    struct everywhere *e = arg;

    (void)w;
    mki_enter();
    e->fn(e->arg);
    mki_leave();
}

void
mk_workers_run(mk_task_fn fn, void *arg)
{
    struct everywhere e = {fn, arg};

    mki_workers_barrier(run_everywhere, &e);
}

/* -- RCU ------------------------------------------------------------------------------------ */

struct rcu_item {
    struct rcu_head head;
    mk_task_fn fn;
    void *ptr;
};

static void
run_rcu(struct rcu_head *head)
{
    struct rcu_item *item = caa_container_of(head, struct rcu_item, head);

    MK_TAKES_OVER(&workers);
    item->fn(item->ptr);
    mk_free(item);
}

void
mk_rcu_defer(mk_task_fn fn, void *ptr)
{
    struct rcu_item *item = mk_alloc(sizeof(*item));

    item->fn = fn;
    item->ptr = ptr;
    MK_HANDS_OVER(&workers);
    urcu_memb_call_rcu(&item->head, run_rcu);
}
