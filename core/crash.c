/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* A crash report: the signal and a backtrace, written by the signal handler itself. */
#include "config.h"

#include <execinfo.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log-internal.h"
#include "server-internal.h"

#define MODULES_MAX 512
#define FRAMES_MAX 64

const int mki_crash_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, 0};

/* Where modules are mapped: the paths of their copies in memory say nothing. */
static struct {
    uintptr_t base, end;
    char name[64];
} modules[MODULES_MAX];
static unsigned module_count;

struct search {
    uintptr_t address, base, end;
};

static int
find_object(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct search *s = arg;
    uintptr_t end = 0;

    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];

        if (p->p_type == PT_LOAD && info->dlpi_addr + p->p_vaddr + p->p_memsz > end)
            end = info->dlpi_addr + p->p_vaddr + p->p_memsz;
    }
    if (s->address < info->dlpi_addr || s->address >= end)
        return 0;
    s->base = info->dlpi_addr;
    s->end = end;
    return 1;
}

/* Main thread. What was unloaded stays: its place is only taken over by another. */
void
mki_crash_note(const void *inside, const char *name)
{
    struct search s = {.address = (uintptr_t)inside};
    unsigned i = 0;

    if (dl_iterate_phdr(find_object, &s) != 1)
        return;
    while (i < module_count && modules[i].base != s.base)
        i++;
    if (i == MODULES_MAX)
        return;
    modules[i].base = s.base;
    modules[i].end = s.end;
    snprintf(modules[i].name, sizeof(modules[i].name), "%s", name);
    if (i == module_count)
        __atomic_store_n(&module_count, i + 1, __ATOMIC_RELEASE);
}

static void
put(const char *text)
{
    ssize_t done = write(mki_log_fd(), text, strlen(text));

    (void)done;
}

static void
put_frame(void *frame)
{
    uintptr_t at = (uintptr_t)frame;
    char line[160];

    for (unsigned i = 0; i < __atomic_load_n(&module_count, __ATOMIC_ACQUIRE); i++) {
        if (at < modules[i].base || at >= modules[i].end)
            continue;
        snprintf(line, sizeof(line), "%s.so(+0x%lx)[%p]\n", modules[i].name,
                 (unsigned long)(at - modules[i].base), frame);
        put(line);
        return;
    }
    backtrace_symbols_fd(&frame, 1, mki_log_fd());
}

static void
on_crash(int sig, siginfo_t *info, void *context)
{
    void *frames[FRAMES_MAX];
    char line[128];
    int n;

    (void)context;
    snprintf(line, sizeof(line), "meerkatd " PACKAGE_VERSION ": crash: signal %d, address %p, backtrace:\n", sig,
             sig == SIGABRT ? NULL : info->si_addr);
    put(line);
    n = backtrace(frames, FRAMES_MAX);
    for (int i = 0; i < n; i++)
        put_frame(frames[i]);
    put("meerkatd: end of the crash report\n");
    /* SA_RESETHAND: the default action now, with its core file. */
    raise(sig);
}

void
mki_crash_install(void)
{
    static char stack[64 * 1024];
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
    for (const int *sig = mki_crash_signals; *sig; sig++)
        sigaction(*sig, &sa, NULL);
}
