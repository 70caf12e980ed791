/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * A histogram of latencies: 128 buckets a power of two, so every value is kept to within 0.8 %
 * whatever its size, in constant memory and without sorting.
 */
#include "bench.h"

#include <string.h>
#include <time.h>

static unsigned
bucket_of(uint64_t ns)
{
    unsigned top, shift;

    if (ns < 2 * HIST_SUB)
        return (unsigned)ns;
    top = 63u - (unsigned)__builtin_clzll(ns);
    shift = top - 7;
    if (shift > HIST_SHIFT)
        return HIST_SIZE - 1;
    return shift * HIST_SUB + (unsigned)(ns >> shift);
}

static uint64_t
bucket_value(unsigned i)
{
    unsigned shift;

    if (i < 2 * HIST_SUB)
        return i;
    shift = i / HIST_SUB - 1;
    return (((uint64_t)(i - shift * HIST_SUB)) << shift) + ((1ull << shift) >> 1);
}

void
hist_add(struct hist *h, uint64_t ns)
{
    h->bucket[bucket_of(ns)]++;
    h->count++;
    if (ns > h->max)
        h->max = ns;
}

void
hist_clear(struct hist *h)
{
    memset(h, 0, sizeof(*h));
}

uint64_t
hist_percentile(const struct hist *h, double percent)
{
    double wanted = (double)h->count * percent / 100.0;
    uint64_t seen = 0;

    if (h->count == 0)
        return 0;
    for (unsigned i = 0; i < HIST_SIZE; i++) {
        seen += h->bucket[i];
        if (seen > 0 && (double)seen >= wanted) {
            uint64_t value = bucket_value(i);
            return value < h->max ? value : h->max;
        }
    }
    return h->max;
}

uint64_t
now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NSEC + (uint64_t)ts.tv_nsec;
}
