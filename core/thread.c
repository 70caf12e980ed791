/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Threads: signals are the main thread's, but for those of a crash, which a thread that blocked them would die of
 * without a word. Each has a stack for the report, should its own have overflowed.
 */
#include "config.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include <meerkat/worker.h>

#include "server-internal.h"

#define REPORT_STACK (64 * 1024)

struct thread {
    void *(*fn)(void *arg);
    void *arg;
    char name[16];
};

static void *
thread_main(void *arg)
{
    struct thread t = *(struct thread *)arg;
    stack_t report = {.ss_sp = mk_alloc(REPORT_STACK), .ss_size = REPORT_STACK};
    stack_t none = {.ss_flags = SS_DISABLE};
    void *result;

    mk_free(arg);
    pthread_setname_np(pthread_self(), t.name);
    sigaltstack(&report, NULL);
    result = t.fn(t.arg);
    sigaltstack(&none, NULL);
    mk_free(report.ss_sp);
    return result;
}

int
mk_thread_start(pthread_t *thread, const char *name, void *(*fn)(void *arg), void *arg)
{
    struct thread *t = mk_zalloc(sizeof(*t));
    sigset_t all, old;
    int rc;

    t->fn = fn;
    t->arg = arg;
    snprintf(t->name, sizeof(t->name), "%s", name);
    sigfillset(&all);
    for (const int *sig = mki_crash_signals; *sig; sig++)
        sigdelset(&all, *sig);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(thread, NULL, thread_main, t);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc)
        mk_free(t);
    return rc;
}
