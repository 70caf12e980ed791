/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Metrics: counters, gauges and histograms that modules register and anybody reads. Each worker
 * counts in memory of its own, without contention; a reader adds them up.
 *
 * Names are Prometheus names without the prefix "meerkat_"; a counter's ends with "_total". `labels`
 * is NULL or like `kind="message",direction="in"`. Asking twice for the same name and labels gives the
 * same metric.
 */
#ifndef MEERKAT_METRICS_H
#define MEERKAT_METRICS_H

#include <meerkat/base.h>

MK_BEGIN

struct mk_module;

/* Index into every thread's array; 0 is a sink that nobody reads. Cheap to copy. */
struct mk_counter {
    uint32_t index;
};
struct mk_gauge {
    uint32_t index;
};
struct mk_histogram {
    uint32_t index;         /* of the first bucket */
};

/* In init. `unit` in the name, help in a sentence without a full stop. */
MK_API struct mk_counter mk_counter_new(struct mk_module *m, const char *name, const char *labels,
                                        const char *help);
MK_API struct mk_gauge mk_gauge_new(struct mk_module *m, const char *name, const char *labels,
                                    const char *help);
/* Buckets are powers of two from `lowest` (a unit of your choice), 24 of them and +Inf; `scale` is
 * what one unit is in the unit of the name (0.000001 when you count µs and the name says _seconds). */
MK_API struct mk_histogram mk_histogram_new(struct mk_module *m, const char *name,
                                            const char *labels, const char *help, uint64_t lowest,
                                            double scale);

/* Memory of this thread, all zero until used. Only for the functions below. */
extern MK_API __thread int64_t *mk_metrics_tls_ __attribute__((tls_model("initial-exec")));
MK_API int64_t *mk_metrics_slow_(void);

static inline int64_t *
mk_metrics_here_(void)
{
    return MK_LIKELY(mk_metrics_tls_ != NULL) ? mk_metrics_tls_ : mk_metrics_slow_();
}

static inline void
mk_metrics_add_(uint32_t index, int64_t n)
{
    int64_t *slot = mk_metrics_here_() + index;

    __atomic_store_n(slot, __atomic_load_n(slot, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

/* Any thread; never blocks. */
static inline void
mk_counter_add(struct mk_counter c, uint64_t n)
{
    mk_metrics_add_(c.index, (int64_t)n);
}

static inline void
mk_gauge_add(struct mk_gauge g, int64_t n)
{
    mk_metrics_add_(g.index, n);
}

MK_API void mk_histogram_add(struct mk_histogram h, uint64_t value);

/* -- reading, any thread -------------------------------------------------------------------- */

enum mk_metric_kind { MK_METRIC_COUNTER, MK_METRIC_GAUGE, MK_METRIC_HISTOGRAM };

struct mk_metric {
    uint32_t size;
    enum mk_metric_kind kind;
    const char *name;
    const char *labels;         /* NULL: none */
    const char *help;
    double value;               /* of a histogram: the sum */
    uint64_t count;             /* histogram only */
    size_t bucket_count;        /* histogram only: buckets below +Inf */
    const double *bounds;       /* upper bounds */
    const uint64_t *buckets;    /* cumulative */
};
/* Calls fn for each metric, sorted by name and labels; what it points to is valid during the call. */
MK_API void mk_metric_each(void (*fn)(const struct mk_metric *metric, void *arg), void *arg);
/* A gauge that is asked for when somebody reads; `fn` runs on the reading thread. In init. */
MK_API void mk_gauge_ask(struct mk_module *m, const char *name, const char *labels,
                         const char *help, double (*fn)(void *arg), void *arg);
/* The same for what only grows and is counted elsewhere. */
MK_API void mk_counter_ask(struct mk_module *m, const char *name, const char *labels,
                           const char *help, double (*fn)(void *arg), void *arg);

MK_END
#endif
