/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* What the system knows of this process: memory, descriptors, processor time. */
#include "config.h"

#include "internal.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <meerkat/admin.h>

/* How old a count of the descriptors may be where it takes long. */
#define FDS_MS 5000

/* The first numbers of /proc/self/statm, in bytes; 0 where it cannot be read. Once for all who ask in the same moment: they take turns. */
static const double *
memory_of(struct process *p)
{
    unsigned long n[STATM_NUMBERS];
    uint64_t now = mk_now_ms();
    FILE *f;
    bool good;

    if (p->memory_at == now)
        return p->memory;
    f = fopen("/proc/self/statm", "re");
    good = f && fscanf(f, "%lu %lu %lu", &n[0], &n[1], &n[2]) == STATM_NUMBERS;
    if (f)
        fclose(f);
    for (size_t i = 0; i < STATM_NUMBERS; i++)
        p->memory[i] = good ? (double)n[i] * (double)sysconf(_SC_PAGESIZE) : 0;
    p->memory_at = now;
    return p->memory;
}

static double
ask_resident(void *arg)
{
    return memory_of(arg)[STATM_RESIDENT];
}

static double
ask_virtual(void *arg)
{
    return memory_of(arg)[STATM_SIZE];
}

static double
ask_anonymous(void *arg)
{
    const double *n = memory_of(arg);

    return n[STATM_RESIDENT] - n[STATM_SHARED];
}

static double
ask_mapped(void *arg)
{
    return memory_of(arg)[STATM_SHARED];
}

static double
ask_swapped(void *arg)
{
    unsigned long kilobytes = 0;
    FILE *f = fopen("/proc/self/status", "re");
    char line[256];

    (void)arg;
    if (!f)
        return 0;
    while (fgets(line, sizeof(line), f) && sscanf(line, "VmSwap: %lu", &kilobytes) != 1)
        ;
    fclose(f);
    return (double)kilobytes * 1024;
}

static double
seconds_of(struct timeval tv)
{
    return (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
}

static double
ask_user(void *arg)
{
    struct rusage u;

    (void)arg;
    getrusage(RUSAGE_SELF, &u);
    return seconds_of(u.ru_utime);
}

static double
ask_system(void *arg)
{
    struct rusage u;

    (void)arg;
    getrusage(RUSAGE_SELF, &u);
    return seconds_of(u.ru_stime);
}

static double
ask_fds(void *arg)
{
    const struct process *p = arg;

    return (double)__atomic_load_n(&p->fds, __ATOMIC_RELAXED);
}

static double
ask_max_fds(void *arg)
{
    struct rlimit limit;

    (void)arg;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (double)limit.rlim_cur : 0;
}

static double
ask_start(void *arg)
{
    const struct process *p = arg;

    return p->started;
}

static double
ask_uptime(void *arg)
{
    (void)arg;
    return (double)mk_server_uptime_ms() / 1e3;
}

static double
ask_one(void *arg)
{
    (void)arg;
    return 1;
}

static double
ask_workers(void *arg)
{
    (void)arg;
    return (double)mk_worker_count();
}

/* -- descriptors -------------------------------------------------------------------------------- */

static void
count_fds(void *arg)
{
    struct process *p = arg;
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *e;
    int64_t n = -1;             /* that of the folder itself */

    if (!dir)
        return;
    while ((e = readdir(dir)))
        n += e->d_name[0] != '.';
    closedir(dir);
    __atomic_store_n(&p->fds, n, __ATOMIC_RELAXED);
}

static void
counted(void *arg)
{
    (void)arg;
}

void
process_refresh(struct process *p)
{
    uint64_t now = mk_now_ms(), last = __atomic_load_n(&p->fds_at, __ATOMIC_RELAXED);
    struct stat st;

    /* Newer kernels (6.2) say it at once. */
    if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0) {
        __atomic_store_n(&p->fds, (int64_t)st.st_size, __ATOMIC_RELAXED);
        return;
    }
    if (last && now - last < FDS_MS)
        return;
    __atomic_store_n(&p->fds_at, now, __ATOMIC_RELAXED);
    /* A full queue: this scrape has the old number. */
    if (mk_offload(p->module, count_fds, counted, p) < 0)
        __atomic_store_n(&p->fds_at, 0, __ATOMIC_RELAXED);
}

void
process_init(struct process *p, struct mk_module *m)
{
    static const char cpu[] = "Processor time of this process";
    static const char memory[] = "Memory of this process: what it has allocated, code and mapped files, and what is swapped out";
    char *version = mk_printf_new("version=\"%s\"", mk_server_version());

    p->module = m;
    /* Once: a time that moves by milliseconds looks like a restart. */
    p->started = (double)mk_time_us() / 1e6 - (double)mk_server_uptime_ms() / 1e3;
    mk_gauge_ask(m, "process_resident_memory_bytes", NULL, "Memory of this process that is in use", ask_resident, p);
    mk_gauge_ask(m, "process_virtual_memory_bytes", NULL, "Address space of this process", ask_virtual, p);
    mk_gauge_ask(m, "process_memory_bytes", "kind=\"anonymous\"", memory, ask_anonymous, p);
    mk_gauge_ask(m, "process_memory_bytes", "kind=\"file\"", memory, ask_mapped, p);
    mk_gauge_ask(m, "process_memory_bytes", "kind=\"swap\"", memory, ask_swapped, p);
    mk_counter_ask(m, "process_cpu_seconds_total", "mode=\"user\"", cpu, ask_user, p);
    mk_counter_ask(m, "process_cpu_seconds_total", "mode=\"system\"", cpu, ask_system, p);
    mk_gauge_ask(m, "process_open_fds", NULL, "Descriptors that are open", ask_fds, p);
    mk_gauge_ask(m, "process_max_fds", NULL, "Descriptors that may be open", ask_max_fds, p);
    mk_gauge_ask(m, "process_start_time_seconds", NULL, "When this process started, since 1970", ask_start, p);
    mk_gauge_ask(m, "uptime_seconds", NULL, "How long this process has run", ask_uptime, p);
    mk_gauge_ask(m, "workers", NULL, "Threads that serve sessions", ask_workers, p);
    mk_gauge_ask(m, "build_info", version, "The version that runs; always 1", ask_one, p);
    mk_free(version);
}
