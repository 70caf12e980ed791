/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * CPU time and memory of the measured processes.
 *
 * CPU comes from the process's CPU clock, which is the user and system time of /proc/PID/stat in
 * nanoseconds and keeps the time of threads that ended; /proc/PID/stat itself is the fallback.
 */
#include "bench.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int
cpu_from_stat(pid_t pid, uint64_t *ns_out)
{
    char path[64], line[1024], *p;
    unsigned long long user, sys;
    size_t n;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    f = fopen(path, "re");
    if (f == NULL)
        return -1;
    n = fread(line, 1, sizeof(line) - 1, f);
    fclose(f);
    line[n] = '\0';
    /* The name in parentheses may hold anything: count fields behind the last one. */
    p = strrchr(line, ')');
    if (p == NULL ||
        sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &sys) != 2)
        return -1;
    *ns_out = (user + sys) * (NSEC / (uint64_t)sysconf(_SC_CLK_TCK));
    return 0;
}

int
proc_cpu_ns(pid_t pid, uint64_t *ns_out)
{
    struct timespec ts;
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &ts) == 0) {
        *ns_out = (uint64_t)ts.tv_sec * NSEC + (uint64_t)ts.tv_nsec;
        return 0;
    }
    return cpu_from_stat(pid, ns_out);
}

static int
memory_from_statm(pid_t pid, uint64_t *rss_out)
{
    char path[64];
    unsigned long long pages;
    int fields;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%ld/statm", (long)pid);
    f = fopen(path, "re");
    if (f == NULL)
        return -1;
    fields = fscanf(f, "%*u %llu", &pages);
    fclose(f);
    if (fields != 1)
        return -1;
    *rss_out = pages * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
    return 0;
}

int
proc_memory_kb(pid_t pid, uint64_t *pss_out, uint64_t *rss_out)
{
    char path[64], line[256];
    unsigned long long kb;
    int found = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%ld/smaps_rollup", (long)pid);
    f = fopen(path, "re");
    if (f != NULL) {
        while (fgets(line, sizeof(line), f) != NULL) {
            if (sscanf(line, "Rss: %llu kB", &kb) == 1) {
                *rss_out = kb;
                found |= 1;
            } else if (sscanf(line, "Pss: %llu kB", &kb) == 1) {
                *pss_out = kb;
                found |= 2;
            }
        }
        fclose(f);
    }
    if (found == 3)
        return 0;
    if (memory_from_statm(pid, rss_out) < 0)
        return -1;
    *pss_out = *rss_out;
    return 0;
}
