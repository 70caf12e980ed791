/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* A crash report: the signal and a backtrace, written by the signal handler itself. */
#include "config.h"

#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log-internal.h"
#include "server-internal.h"

static char stack[64 * 1024];

static void
put(const char *text)
{
    ssize_t done = write(mki_log_fd(), text, strlen(text));

    (void)done;
}

static void
on_crash(int sig, siginfo_t *info, void *context)
{
    void *frames[64];
    char line[96];
    int n;

    (void)context;
    snprintf(line, sizeof(line), "meerkatd: crash: signal %d, address %p, backtrace:\n", sig,
             info->si_addr);
    put(line);
    n = backtrace(frames, 64);
    backtrace_symbols_fd(frames, n, mki_log_fd());
    put("meerkatd: end of the crash report\n");
    /* SA_RESETHAND: the default action now, with its core file. */
    raise(sig);
}

void
mki_crash_install(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    struct sigaction sa = {.sa_sigaction = on_crash,
                           .sa_flags = (int)(SA_SIGINFO | SA_RESETHAND | SA_ONSTACK)};
    stack_t ss = {.ss_sp = stack, .ss_size = sizeof(stack)};
    void *warm[1];

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return;
#endif
    /* The first call loads a library: not in a signal handler. */
    backtrace(warm, 1);
    sigaltstack(&ss, NULL);
    sigemptyset(&sa.sa_mask);
    for (size_t i = 0; i < MK_COUNT(signals); i++)
        sigaction(signals[i], &sa, NULL);
}
