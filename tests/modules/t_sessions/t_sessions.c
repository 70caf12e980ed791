/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Opens and closes sessions without clients, and looks accounts up, and logs how long that took: for `./dev bench
 * cluster`.
 */
#include "config.h"

#include <stdio.h>
#include <time.h>

#include <meerkat/cluster.h>
#include <meerkat/meerkat.h>
#include <meerkat/router.h>
#include <meerkat/tables.h>

#define AT_ONCE 200
#define BATCH 1000
#define RECORD 24           /* of table "sessions" */
#define ASKED (1u << 18)    /* addresses that a worker asks for, one after the other */
#define SETTLE_MS 1000u     /* between a line in the log and what it announces: somebody reads the CPU clocks */

struct conf {
    int64_t nodes, open, records;
    uint64_t lookups;
};

static const struct mk_option options[] = {
    MK_OPTION_INT(struct conf, nodes, "1", "1", "100", 0, "begin when so many nodes are in sync"),
    MK_OPTION_INT(struct conf, open, "0", "0", "100000000", 0, "sessions to open and close"),
    MK_OPTION_INT(struct conf, records, "0", "0", "100000000", 0, "sessions to put into the table"),
    MK_OPTION_PERIOD(struct conf, lookups, "0", "0", "1m", 0, "how long all workers look accounts up"),
    MK_OPTION_END};

struct bench {
    struct mk_module *module;
    const struct mk_sessions *sessions;
    const struct mk_tables *tables;
    const struct mk_cluster *cluster;
    struct mk_table *table;
    struct mk_timer *timer;
    int64_t begun, next, left;
    int64_t found, lookers;         /* atomic */
};

static const struct conf *
conf_of(const struct bench *b)
{
    return mk_module_conf(b->module, NULL);
}

/* -- looking up -------------------------------------------------------------------------------- */

static bool
count_one(const struct mk_resource *r, void *arg)
{
    *(int64_t *)arg += r->node == 0;
    return true;
}

static int64_t
cpu_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void
look_up(void *arg)
{
    struct bench *b = arg;
    uint32_t seed = 12345u + (uint32_t)mk_worker_index(mk_worker_self());
    int64_t found = 0, count = 0, began, until, cpu;
    struct mk_jid **asked = mk_alloc(ASKED * sizeof(*asked));
    char text[64];

    for (size_t i = 0; i < ASKED; i++) {
        seed = seed * 1664525u + 1013904223u;
        snprintf(text, sizeof(text), "user%07u@localhost", (unsigned)((uint64_t)seed * (uint64_t)conf_of(b)->records >> 32));
        asked[i] = mk_jid_parse(mk_str_of(text));
        MK_ASSERT(asked[i]);
    }
    cpu = cpu_us();
    began = mk_time_us();
    until = began + (int64_t)conf_of(b)->lookups * 1000;
    while (mk_time_us() < until) {
        for (unsigned i = 0; i < 1000; i++)
            b->sessions->each(b->sessions->self, asked[count++ & (ASKED - 1)], count_one, &found);
    }
    MK_ASSERT(found == count);
    mk_log(b->module, MK_LOG_INFO, "bench.lookups", "lookups: %lld in %lld us on a worker, %lld us of CPU", (long long)count,
           (long long)(mk_time_us() - began), (long long)(cpu_us() - cpu));
    for (size_t i = 0; i < ASKED; i++)
        mk_jid_unref(&asked[i]);
    mk_free(asked);
}

static void
lookups_begin(struct bench *b)
{
    for (size_t i = 0; conf_of(b)->lookups && i < mk_worker_count(); i++)
        mk_post(b->module, mk_worker_nth(i), look_up, b);
}

/* -- records ----------------------------------------------------------------------------------- */

static void records_go_on(enum mk_table_result result, void *arg);

static void
records_some(struct bench *b)
{
    struct mk_record records[BATCH];
    static const char value[RECORD];
    char texts[BATCH][32];

    for (size_t i = 0; i < BATCH; i++) {
        int len = snprintf(texts[i], sizeof(texts[i]), "user%07lld@localhost", (long long)b->next++);

        records[i] = (struct mk_record){.group = {texts[i], (size_t)len}, .key = MK_STR("bench"),
                                        .value = {value, sizeof(value)}};
    }
    b->left -= BATCH;
    b->tables->insert_many(b->table, records, BATCH, 60000, records_go_on, b);
}

static void
records_go_on(enum mk_table_result result, void *arg)
{
    struct bench *b = arg;

    MK_ASSERT(result == MK_TABLE_OK);
    if (b->left > 0)
        records_some(b);
    else
        lookups_begin(b);
}

static void
records_begin(struct bench *b)
{
    b->left = conf_of(b)->records;
    b->next = 0;
    records_go_on(MK_TABLE_OK, b);
}

/* -- opening and closing ------------------------------------------------------------------------ */

static void
deliver(struct mk_session *s, struct mk_stanza *st)
{
    (void)s;
    (void)st;
}

static void
do_close(struct mk_session *s, const char *condition, const char *text)
{
    (void)s;
    (void)condition;
    (void)text;
}

static const struct mk_session_ops ops = {.size = sizeof(ops), .deliver = deliver, .close = do_close};

static void
opened(struct mk_session *s, bool ok)
{
    (void)s;
    MK_ASSERT(ok);
}

static void open_some(void *arg);

/* The last of a batch has gone everywhere. */
static void
batch_known(void *arg)
{
    struct bench *b = arg;

    if (b->left > 0) {
        open_some(b);
        return;
    }
    mk_log(b->module, MK_LOG_INFO, "bench.opened", "opened and closed: %lld sessions in %lld us",
           (long long)conf_of(b)->open, (long long)(mk_time_us() - b->begun));
    records_begin(b);
}

static struct mk_session *
open_one(struct bench *b)
{
    struct mk_session *s = mk_session_new(b->module, &ops, b);
    struct mk_jid *jid;
    char text[64];

    snprintf(text, sizeof(text), "user%lld@localhost/bench", (long long)b->next++);
    jid = mk_jid_parse(mk_str_of(text));
    mk_session_set_host(s, mk_host_nth(0));
    mk_session_set_jid(s, jid);
    mk_jid_unref(&jid);
    b->sessions->open(b->sessions->self, s, opened);
    return s;
}

static void
open_some(void *arg)
{
    struct bench *b = arg;
    struct mk_session *list[AT_ONCE];

    for (size_t i = 0; i < AT_ONCE; i++)
        list[i] = open_one(b);
    b->left -= AT_ONCE;
    for (size_t i = 0; i < AT_ONCE; i++) {
        if (i + 1 < AT_ONCE)
            b->sessions->close(b->sessions->self, list[i]);
        else
            b->sessions->leave(b->sessions->self, list[i], batch_known, b);
        mk_session_end(list[i]);
    }
}

static void
open_begin(void *arg)
{
    struct bench *b = arg;

    b->timer = NULL;
    b->begun = mk_time_us();
    open_some(b);
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
    b->left = conf_of(b)->open;
    if (b->left == 0) {
        records_begin(b);
        return;
    }
    mk_log(b->module, MK_LOG_INFO, "bench.opening", "sessions are about to be opened");
    b->timer = mk_timer_new(b->module, SETTLE_MS, open_begin, b);
}

static void
begin(void *arg)
{
    struct bench *b = arg;

    if (conf_of(b)->open || conf_of(b)->records)
        b->timer = mk_timer_every(b->module, 50, on_tick, b);
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct bench *b = mk_zalloc(sizeof(*b));

    mk_module_set(m, b);
    b->module = m;
    b->cluster = mk_cluster_get(m);
    b->sessions = mk_service_get(m, "sessions", MK_SESSIONS_ABI, err);
    b->tables = mk_service_get(m, "tables", MK_TABLES_ABI, err);
    if (!b->sessions || !b->tables)
        return -1;
    b->table = b->tables->open(b->tables->self, m, "sessions", 1, err);
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
    mk_free(mk_module_get(m));
}

MK_MODULE(.name = "t_sessions", .version = "1.0", .summary = "Measures service sessions (for the bench)",
          .depends = (const char *const[]){"sessions", NULL}, .options = options, .conf_size = sizeof(struct conf),
          .init = init, .start = start, .unload = unload);
