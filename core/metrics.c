/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Metrics: each thread has an array of numbers, a registry says what stands where. Threads other
 * than workers get an array of their own as well, when they count for the first time.
 */
#include "config.h"

#include "metrics-internal.h"

#include <pthread.h>
#include <stdlib.h>

#include <meerkat/metrics.h>
#include <meerkat/module.h>

#include "log-internal.h"

#define SLOTS 8192
#define BUCKETS 24
/* A histogram takes BUCKETS, +Inf, and the sum. */
#define HISTOGRAM_SLOTS (BUCKETS + 2)

struct metric {
    enum mk_metric_kind kind;
    struct mk_module *module;
    char *name;
    char *labels;
    char *help;
    uint32_t index;
    uint64_t lowest;
    double scale;
    double (*ask)(void *arg);
    void *ask_arg;
};

struct thread_numbers {
    struct thread_numbers *next;
    int64_t slots[SLOTS];
};

__thread int64_t *mk_metrics_tls_;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct thread_numbers *threads;
static int64_t ended[SLOTS];
static struct metric *metrics;
static size_t metric_count;
static uint32_t next_slot = 1;
static uint64_t histogram_lowest[SLOTS];

int64_t *
mk_metrics_slow_(void)
{
    struct thread_numbers *t = mk_zalloc(sizeof(*t));

    pthread_mutex_lock(&lock);
    t->next = threads;
    threads = t;
    pthread_mutex_unlock(&lock);
    mk_metrics_tls_ = t->slots;
    return t->slots;
}

void
mki_metrics_thread_end(void)
{
    struct thread_numbers **p;

    if (!mk_metrics_tls_)
        return;
    pthread_mutex_lock(&lock);
    for (p = &threads; *p; p = &(*p)->next) {
        struct thread_numbers *t = *p;

        if (t->slots != mk_metrics_tls_)
            continue;
        for (size_t i = 0; i < SLOTS; i++)
            ended[i] += t->slots[i];
        *p = t->next;
        mk_free(t);
        break;
    }
    pthread_mutex_unlock(&lock);
    mk_metrics_tls_ = NULL;
}

static bool
same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static struct metric *
find(const char *name, const char *labels)
{
    for (size_t i = 0; i < metric_count; i++) {
        if (strcmp(metrics[i].name, name) == 0 && same_text(metrics[i].labels, labels))
            return &metrics[i];
    }
    return NULL;
}

/* Under the lock. */
static struct metric *
enter(struct mk_module *m, enum mk_metric_kind kind, const char *name, const char *labels,
      const char *help, uint32_t slots)
{
    struct metric *e = find(name, labels);

    if (!e) {
        metrics = mk_realloc(metrics, (metric_count + 1) * sizeof(*metrics));
        e = &metrics[metric_count++];
        *e = (struct metric){.kind = kind,
                             .name = mk_strdup(name),
                             .labels = mk_strdup(labels),
                             .help = mk_strdup(help),
                             .scale = 1};
    }
    MK_ASSERT(e->kind == kind);
    e->module = m;
    if (slots && !e->index && next_slot + slots <= SLOTS) {
        e->index = next_slot;
        next_slot += slots;
    }
    if (slots && !e->index)
        mki_log(MK_LOG_ERROR, "metrics.full", "no room is left for metric '%s': it is not counted", name);
    return e;
}

static uint32_t
enter_simple(struct mk_module *m, enum mk_metric_kind kind, const char *name, const char *labels,
             const char *help)
{
    uint32_t index;

    pthread_mutex_lock(&lock);
    index = enter(m, kind, name, labels, help, 1)->index;
    pthread_mutex_unlock(&lock);
    return index;
}

struct mk_counter
mk_counter_new(struct mk_module *m, const char *name, const char *labels, const char *help)
{
    return (struct mk_counter){enter_simple(m, MK_METRIC_COUNTER, name, labels, help)};
}

struct mk_gauge
mk_gauge_new(struct mk_module *m, const char *name, const char *labels, const char *help)
{
    return (struct mk_gauge){enter_simple(m, MK_METRIC_GAUGE, name, labels, help)};
}

static void
enter_ask(struct mk_module *m, enum mk_metric_kind kind, const char *name, const char *labels, const char *help,
          double (*fn)(void *arg), void *arg)
{
    struct metric *e;

    pthread_mutex_lock(&lock);
    e = enter(m, kind, name, labels, help, 0);
    e->ask = fn;
    e->ask_arg = arg;
    pthread_mutex_unlock(&lock);
}

void
mk_gauge_ask(struct mk_module *m, const char *name, const char *labels, const char *help,
             double (*fn)(void *arg), void *arg)
{
    enter_ask(m, MK_METRIC_GAUGE, name, labels, help, fn, arg);
}

void
mk_counter_ask(struct mk_module *m, const char *name, const char *labels, const char *help,
               double (*fn)(void *arg), void *arg)
{
    enter_ask(m, MK_METRIC_COUNTER, name, labels, help, fn, arg);
}

struct mk_histogram
mk_histogram_new(struct mk_module *m, const char *name, const char *labels, const char *help,
                 uint64_t lowest, double scale)
{
    struct metric *e;
    uint32_t index;

    pthread_mutex_lock(&lock);
    e = enter(m, MK_METRIC_HISTOGRAM, name, labels, help, HISTOGRAM_SLOTS);
    e->lowest = lowest ? lowest : 1;
    e->scale = scale;
    index = e->index;
    histogram_lowest[index] = e->lowest;
    pthread_mutex_unlock(&lock);
    return (struct mk_histogram){index};
}

void
mk_histogram_add(struct mk_histogram h, uint64_t value)
{
    uint64_t bound = histogram_lowest[h.index];
    uint32_t bucket = 0;

    if (!h.index)
        return;
    while (bucket < BUCKETS && value > bound) {
        bound <<= 1;
        bucket++;
    }
    mk_metrics_add_(h.index + bucket, 1);
    mk_metrics_add_(h.index + BUCKETS + 1, (int64_t)value);
}

void
mki_metrics_module_gone(struct mk_module *m)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < metric_count; i++) {
        if (metrics[i].module == m) {
            metrics[i].module = NULL;
            metrics[i].ask = NULL;
        }
    }
    pthread_mutex_unlock(&lock);
}

static int64_t
total(uint32_t index)
{
    int64_t sum = ended[index];

    for (struct thread_numbers *t = threads; t; t = t->next)
        sum += __atomic_load_n(&t->slots[index], __ATOMIC_RELAXED);
    return sum;
}

static int
by_name(const void *a, const void *b)
{
    const struct metric *x = *(struct metric *const *)a, *y = *(struct metric *const *)b;
    int order = strcmp(x->name, y->name);

    return order ? order : strcmp(x->labels ? x->labels : "", y->labels ? y->labels : "");
}

static void
tell_histogram(const struct metric *e, struct mk_metric *out, double *bounds, uint64_t *buckets)
{
    uint64_t sum = 0;

    for (uint32_t b = 0; b < BUCKETS; b++) {
        sum += (uint64_t)total(e->index + b);
        buckets[b] = sum;
        bounds[b] = (double)(e->lowest << b) * e->scale;
    }
    out->count = sum + (uint64_t)total(e->index + BUCKETS);
    out->value = (double)total(e->index + BUCKETS + 1) * e->scale;
    out->bucket_count = BUCKETS;
    out->bounds = bounds;
    out->buckets = buckets;
}

void
mki_metrics_each(void (*fn)(const char *module, const struct mk_metric *m, void *arg), void *arg)
{
    struct metric **sorted;
    double bounds[BUCKETS];
    uint64_t buckets[BUCKETS];

    pthread_mutex_lock(&lock);
    sorted = mk_alloc(metric_count * sizeof(*sorted));
    for (size_t i = 0; i < metric_count; i++)
        sorted[i] = &metrics[i];
    qsort(sorted, metric_count, sizeof(*sorted), by_name);
    for (size_t i = 0; i < metric_count; i++) {
        const struct metric *e = sorted[i];
        struct mk_metric out = {.size = sizeof(out), .kind = e->kind, .name = e->name,
                                .labels = e->labels, .help = e->help};

        if (!e->module || (!e->index && !e->ask))
            continue;
        if (e->kind == MK_METRIC_HISTOGRAM)
            tell_histogram(e, &out, bounds, buckets);
        else
            out.value = e->ask ? e->ask(e->ask_arg) : (double)total(e->index);
        fn(mk_module_name(e->module), &out, arg);
    }
    pthread_mutex_unlock(&lock);
    mk_free(sorted);
}

struct plain {
    void (*fn)(const struct mk_metric *metric, void *arg);
    void *arg;
};

static void
tell_plain(const char *module, const struct mk_metric *m, void *arg)
{
    const struct plain *p = arg;

    (void)module;
    p->fn(m, p->arg);
}

void
mk_metric_each(void (*fn)(const struct mk_metric *metric, void *arg), void *arg)
{
    struct plain p = {fn, arg};

    mki_metrics_each(tell_plain, &p);
}
