/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The offload pool: a few threads for what keeps a processor busy for long. */
#include "config.h"

#include <pthread.h>

#define _LGPL_SOURCE
#include <urcu/urcu-memb.h>

#include "metrics-internal.h"
#include "worker-internal.h"

struct job {
    struct job *next;
    struct mk_module *module;
    struct mk_worker *worker;
    mk_task_fn work, done;
    void *arg;
    uint64_t since;             /* ms */
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct job *first, **last;
    size_t queued, limit;
    bool stop;
    pthread_t *threads;
    size_t count;
    struct mk_counter refused;
    struct mk_histogram waited;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};

static struct job *
next_job(void)
{
    struct job *j;

    pthread_mutex_lock(&pool.lock);
    while (!pool.first && !pool.stop)
        pthread_cond_wait(&pool.more, &pool.lock);
    j = pool.first;
    if (j) {
        pool.first = j->next;
        if (!pool.first)
            pool.last = &pool.first;
        pool.queued--;
    }
    pthread_mutex_unlock(&pool.lock);
    return j;
}

static void *
pool_main(void *arg)
{
    struct job *j;

    (void)arg;
    /* So that a job may read tables: between mk_callback_begin and mk_callback_end. */
    urcu_memb_register_thread();
    while ((j = next_job())) {
        mk_histogram_add(pool.waited, mki_clock_ms() - j->since);
        j->work(j->arg);
        mk_post(j->module, j->worker, j->done, j->arg);
        mk_module_leave(j->module);
        mk_free(j);
    }
    urcu_memb_unregister_thread();
    mki_metrics_thread_end();
    return NULL;
}

static double
ask_queue(void *arg)
{
    double queued;

    (void)arg;
    pthread_mutex_lock(&pool.lock);
    queued = (double)pool.queued;
    pthread_mutex_unlock(&pool.lock);
    return queued;
}

static double
ask_limit(void *arg)
{
    (void)arg;
    return (double)pool.limit;
}

static void
make_metrics(void)
{
    struct mk_module *core = mki_core_module();

    mk_gauge_ask(core, "offload_queue", NULL, "Jobs that wait for a thread of the pool", ask_queue, NULL);
    mk_gauge_ask(core, "offload_queue_limit", NULL, "Jobs that may wait for a thread of the pool", ask_limit, NULL);
    pool.refused = mk_counter_new(core, "offload_refused_total", NULL, "Jobs that found the queue of the pool full");
    pool.waited = mk_histogram_new(core, "offload_wait_seconds", NULL, "Time that jobs wait for a thread of the pool", 1,
                                   0.001);
}

int
mki_offload_start(size_t threads, size_t queue, struct mk_error *err)
{
    int rc = 0;

    make_metrics();
    pool.last = &pool.first;
    pool.limit = queue;
    pool.stop = false;
    pool.threads = mk_zalloc(threads * sizeof(*pool.threads));
    for (pool.count = 0; pool.count < threads && rc == 0; pool.count += rc == 0)
        rc = mk_thread_start(&pool.threads[pool.count], "offload", pool_main, NULL);
    return rc ? mk_fail(err, "cannot start an offload thread: %s", strerror(rc)) : 0;
}

void
mki_offload_stop(void)
{
    pthread_mutex_lock(&pool.lock);
    pool.stop = true;
    pthread_cond_broadcast(&pool.more);
    pthread_mutex_unlock(&pool.lock);
    for (size_t i = 0; i < pool.count; i++)
        pthread_join(pool.threads[i], NULL);
    mk_free(pool.threads);
    pool.threads = NULL;
    pool.count = 0;
}

int
mk_offload(struct mk_module *m, mk_task_fn work, mk_task_fn done, void *arg)
{
    struct job *j;

    MK_ASSERT(mk_worker_self());
    j = mk_alloc(sizeof(*j));
    *j = (struct job){.module = m, .worker = mk_worker_self(), .work = work, .done = done,
                      .arg = arg, .since = mki_clock_ms()};
    pthread_mutex_lock(&pool.lock);
    if (pool.queued >= pool.limit) {
        pthread_mutex_unlock(&pool.lock);
        mk_free(j);
        mk_counter_add(pool.refused, 1);
        return -1;
    }
    mk_module_enter(m);
    *pool.last = j;
    pool.last = &j->next;
    pool.queued++;
    pthread_cond_signal(&pool.more);
    pthread_mutex_unlock(&pool.lock);
    return 0;
}
