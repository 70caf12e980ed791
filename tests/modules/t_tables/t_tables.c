/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Writes into a table as hard as it is told and logs how long that took: for `./dev bench cluster`. One phase
 * after the other, each when every node of the cluster has what the one before wrote.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include <meerkat/cluster.h>
#include <meerkat/meerkat.h>
#include <meerkat/tables.h>

#define VALUE 160           /* with group and key: records of 196 bytes */
#define BATCH 1000
#define TIMEOUT_MS 60000
#define STEADY_WRITERS 16
#define STEADY_PAUSE 1      /* ms between the writes of one of them, in fact the ten of a timer: the machine is not full */

struct conf {
    int64_t nodes, many, depth, single, writers, each;
    uint64_t steady;
};

static const struct mk_option options[] = {
    MK_OPTION_INT(struct conf, nodes, "1", "1", "100", 0, "begin when so many nodes are in sync"),
    MK_OPTION_INT(struct conf, many, "0", "0", "100000000", 0, "records to insert in batches of 1,000"),
    MK_OPTION_INT(struct conf, depth, "4", "1", "100", 0, "batches under way at a time"),
    MK_OPTION_INT(struct conf, single, "0", "0", "10000000", 0, "records to insert one after the other"),
    MK_OPTION_INT(struct conf, writers, "64", "1", "10000", 0, "writers at a time of the third phase"),
    MK_OPTION_INT(struct conf, each, "0", "0", "10000000", 0, "records that each of them inserts"),
    MK_OPTION_PERIOD(struct conf, steady, "0", "0", "10m", 0,
                     "how long afterwards a few writers change records of theirs, one after the other"),
    MK_OPTION_END};

struct bench {
    struct mk_module *module;
    const struct mk_tables *tables;
    const struct mk_cluster *cluster;
    struct mk_table *table;
    struct mk_timer *timer;
    uint64_t next_key;
    int64_t begun, sent_at;
    int64_t left, under_way;
    int64_t *latencies;
    size_t latency_count, latency_room;
    char value[VALUE];
};

struct writer {
    struct bench *b;
    int64_t left;
};

static void many_go_on(struct bench *b);
static void single_next(struct bench *b);

static const struct conf *
conf_of(const struct bench *b)
{
    return mk_module_conf(b->module, NULL);
}

/* A group of 20 bytes and a key of 16. */
static struct mk_record
make_record(struct bench *b, char text[64])
{
    int len = snprintf(text, 64, "%020llu%016llu", (unsigned long long)b->next_key,
                       (unsigned long long)b->next_key);

    b->next_key++;
    MK_ASSERT(len == 36);
    return (struct mk_record){.group = {text, 20}, .key = {text + 20, 16}, .value = {b->value, VALUE}};
}

/* -- a few, for a time -------------------------------------------------------------------------- */

struct steady {
    struct bench *b;
    unsigned index;
    int64_t sent_at;
};

static int
by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void
add_latency(struct bench *b, int64_t us)
{
    if (b->latency_count == b->latency_room) {
        b->latency_room = b->latency_room ? b->latency_room * 2 : 1024;
        b->latencies = mk_realloc(b->latencies, b->latency_room * sizeof(*b->latencies));
    }
    b->latencies[b->latency_count++] = us;
}

static void
steady_end(struct steady *s)
{
    struct bench *b = s->b;
    size_t n = b->latency_count;

    mk_free(s);
    if (--b->under_way > 0)
        return;
    qsort(b->latencies, n, sizeof(*b->latencies), by_size);
    mk_log(b->module, MK_LOG_INFO, "bench.steady", "steady: p99.9 %lld us, longest %lld us, %zu inserts",
           (long long)b->latencies[n * 999 / 1000], (long long)b->latencies[n - 1], n);
}

static void steady_next(void *arg);

static void
steady_done(enum mk_table_result result, void *arg)
{
    struct steady *s = arg;
    struct bench *b = s->b;

    MK_ASSERT(result == MK_TABLE_OK);
    add_latency(b, mk_time_us() - s->sent_at);
    if (mk_time_us() - b->begun >= (int64_t)conf_of(b)->steady * 1000)
        steady_end(s);
    else if (!mk_timer_new(b->module, STEADY_PAUSE, steady_next, s))
        MK_BUG("no timer");
}

static void
steady_next(void *arg)
{
    struct steady *s = arg;
    struct bench *b = s->b;
    char text[64];
    int len = snprintf(text, sizeof(text), "steady%014u%016u", s->index, s->index);

    s->sent_at = mk_time_us();
    b->tables->insert(b->table, (struct mk_str){text, 20}, (struct mk_str){text + 20, (size_t)len - 20},
                      (struct mk_str){b->value, VALUE}, TIMEOUT_MS, steady_done, s);
}

static void
steady_begin(struct bench *b)
{
    if (conf_of(b)->steady == 0)
        return;
    b->latency_count = 0;
    b->begun = mk_time_us();
    b->under_way = STEADY_WRITERS;
    for (unsigned i = 0; i < STEADY_WRITERS; i++) {
        struct steady *s = mk_alloc(sizeof(*s));

        *s = (struct steady){b, i, 0};
        steady_next(s);
    }
}

/* -- 64 at a time ---------------------------------------------------------------------------- */

static void
writer_next(enum mk_table_result result, void *arg)
{
    struct writer *w = arg;
    struct bench *b = w->b;
    struct mk_record r;
    char text[64];

    MK_ASSERT(result == MK_TABLE_OK);
    if (w->left-- > 0) {
        r = make_record(b, text);
        b->tables->insert(b->table, r.group, r.key, r.value, TIMEOUT_MS, writer_next, w);
        return;
    }
    mk_free(w);
    if (--b->under_way > 0)
        return;
    mk_log(b->module, MK_LOG_INFO, "bench.end", "writers: %lld us", (long long)(mk_time_us() - b->begun));
    steady_begin(b);
}

static void
writers_begin(struct bench *b)
{
    const struct conf *conf = conf_of(b);

    b->begun = mk_time_us();
    b->under_way = conf->writers;
    for (int64_t i = 0; i < conf->writers; i++) {
        struct writer *w = mk_alloc(sizeof(*w));

        *w = (struct writer){b, conf->each};
        writer_next(MK_TABLE_OK, w);
    }
}

/* -- one after the other ---------------------------------------------------------------------- */

static void
single_done(enum mk_table_result result, void *arg)
{
    struct bench *b = arg;

    MK_ASSERT(result == MK_TABLE_OK);
    add_latency(b, mk_time_us() - b->sent_at);
    single_next(b);
}

static void
single_next(struct bench *b)
{
    struct mk_record r;
    char text[64];
    size_t n = b->latency_count;

    if (b->left-- > 0) {
        r = make_record(b, text);
        b->sent_at = mk_time_us();
        b->tables->insert(b->table, r.group, r.key, r.value, TIMEOUT_MS, single_done, b);
        return;
    }
    if (n) {
        qsort(b->latencies, n, sizeof(*b->latencies), by_size);
        mk_log(b->module, MK_LOG_INFO, "bench.single", "single: median %lld us, p99 %lld us, %zu inserts in %lld us",
               (long long)b->latencies[n / 2], (long long)b->latencies[n * 99 / 100], n,
               (long long)(mk_time_us() - b->begun));
    }
    writers_begin(b);
}

static void
single_begin(struct bench *b)
{
    b->left = conf_of(b)->single;
    b->begun = mk_time_us();
    single_next(b);
}

/* -- in batches -------------------------------------------------------------------------------- */

static void
many_done(enum mk_table_result result, void *arg)
{
    struct bench *b = arg;

    MK_ASSERT(result == MK_TABLE_OK);
    b->under_way--;
    many_go_on(b);
}

static void
many_go_on(struct bench *b)
{
    const struct conf *conf = conf_of(b);
    struct mk_record records[BATCH];
    char texts[BATCH][64];

    while (b->left > 0 && b->under_way < conf->depth) {
        for (size_t i = 0; i < BATCH; i++)
            records[i] = make_record(b, texts[i]);
        b->left -= BATCH;
        b->under_way++;
        b->tables->insert_many(b->table, records, BATCH, TIMEOUT_MS, many_done, b);
    }
    if (b->under_way == 0) {
        mk_log(b->module, MK_LOG_INFO, "bench.many", "many: %lld records in %lld us", (long long)conf->many,
               (long long)(mk_time_us() - b->begun));
        single_begin(b);
    }
}

/* -- life cycle -------------------------------------------------------------------------------- */

static bool
count_node(const struct mk_cluster_node *node, void *arg)
{
    *(int64_t *)arg += strcmp(node->state, "self") == 0 || strcmp(node->state, "joined") == 0;
    return true;
}

static void
on_tick(void *arg)
{
    struct bench *b = arg;
    int64_t nodes = b->cluster ? 0 : 1;

    if (b->cluster)
        b->cluster->each(b->cluster->self, count_node, &nodes);
    if (nodes < conf_of(b)->nodes)
        return;
    mk_timer_free(&b->timer);
    b->left = conf_of(b)->many;
    b->begun = mk_time_us();
    many_go_on(b);
}

static void
begin(void *arg)
{
    struct bench *b = arg;

    if (conf_of(b)->many || conf_of(b)->single || conf_of(b)->each)
        b->timer = mk_timer_every(b->module, 50, on_tick, b);
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct bench *b = mk_zalloc(sizeof(*b));

    mk_module_set(m, b);
    b->module = m;
    memset(b->value, 'v', sizeof(b->value));
    b->cluster = mk_cluster_get(m);
    b->tables = mk_service_get(m, "tables", MK_TABLES_ABI, err);
    b->table = b->tables ? b->tables->open(b->tables->self, m, "bench", 1, err) : NULL;
    return b->table ? 0 : -1;
}

static int
start(struct mk_module *m, struct mk_error *err)
{
    (void)err;
    mk_post(m, mk_worker_nth(0), begin, mk_module_get(m));
    return 0;
}

static void
unload(struct mk_module *m)
{
    struct bench *b = mk_module_get(m);

    mk_free(b->latencies);
    mk_free(b);
}

MK_MODULE(.name = "t_tables", .version = "1.0", .summary = "Measures service tables (for the bench)",
          .depends = (const char *const[]){"tables", NULL}, .options = options,
          .conf_size = sizeof(struct conf), .init = init, .start = start, .unload = unload);
