/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * For tests only: SQL by IQ, so that a script can ask for what a module would ask for.
 *
 *   <run xmlns='meerkat:test:rdbms' key='k' times='3' batch='1' brief='1'>
 *     <s q='add'><v t='int'>5</v><v>key</v></s> …
 *   </run>
 *
 * makes one request of each statement (or one transaction of all, with `batch`), `times` over, all in one
 * turn; the answer has the results in the order in which they came. Types of values are text, int,
 * null, bytes (base64) and i (text: the number of the repetition behind the value).
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include <meerkat/meerkat.h>
#include <meerkat/rdbms.h>

#define NS "meerkat:test:rdbms"
#define VALUES_MAX 8

struct t_conf {
    int64_t level;
};

static const struct mk_option options[] = {
    MK_OPTION_INT(struct t_conf, level, "2", "1", "3", 0, "migrations to have; the third is broken"),
    MK_OPTION_END};

MK_SQL_FILE(t_rdbms_001, "001_items.sql");
MK_SQL_FILE(t_rdbms_002, "002_more.sql");
MK_SQL_FILE(t_rdbms_003, "003_broken.sql");

static const struct {
    const char *name, *sql;
} texts[] = {
    {"put", "INSERT INTO t_items (k, n, s, b) VALUES (?, ?, ?, ?)"},
    {"upsert", "INSERT INTO t_items (k, n) VALUES (?, ?) "
               "ON CONFLICT (k) DO UPDATE SET n = excluded.n"},
    {"add", "UPDATE t_items SET n = n + ? WHERE k = ?"},
    {"get", "SELECT k, n, s, b, more FROM t_items WHERE k = ?"},
    {"count", "SELECT COUNT(*) FROM t_items"},
    {"some", "SELECT k FROM t_items ORDER BY n LIMIT ?"},
    {"like", "SELECT k FROM t_items WHERE k LIKE ?"},
    {"time", "SELECT created_at FROM t_items WHERE k = ?"},
    {"take", "DELETE FROM t_items WHERE k = ? RETURNING n"},
    {"log", "INSERT INTO t_log (text) VALUES (?) RETURNING id"},
    {"series", "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < ?) "
               "SELECT x FROM c"},
    {"sum", "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < ?) "
            "SELECT MAX(x) FROM c"},
    {"marks", "SELECT '?''?', k /* ? */ AS \"?\" FROM t_items WHERE k = ? -- ?"},
    {"wrong", "SELECT nothing FROM t_nowhere WHERE a = ?"},
    {"limits", "INSERT INTO t_items (k, n) VALUES (?, NULL)"},
};

struct t_rdbms {
    struct mk_module *module;
    const struct mk_rdbms *db;
    struct mk_sql_stmt *stmts[MK_COUNT(texts)];
    struct mk_sql_migration migrations[4];
};

/* An IQ under way. */
struct job {
    struct t_rdbms *t;
    struct mk_iq *iq;
    struct mk_xml *out;
    size_t left;
    bool brief;
    size_t by_status[MK_SQL_ERROR + 1];
};

/* What one request is told with. */
struct part {
    struct job *job;
    size_t number;
};

static struct mk_sql_stmt *
find_stmt(const struct t_rdbms *t, const char *name)
{
    for (size_t i = 0; name && i < MK_COUNT(texts); i++) {
        if (strcmp(texts[i].name, name) == 0)
            return t->stmts[i];
    }
    return NULL;
}

/* -- answering ------------------------------------------------------------------------------- */

static void
write_rows(struct job *job, struct mk_sql_result *r)
{
    const struct mk_rdbms *db = job->t->db;

    while (db->next(r)) {
        mk_xml_open(job->out, "row", NULL);
        for (unsigned i = 0; i < 5; i++) {
            struct mk_buf text = {0};

            mk_base64_encode(&text, db->get_text(r, i));
            mk_xml_open(job->out, "c", NULL);
            if (db->is_null(r, i))
                mk_xml_attr(job->out, "null", "1");
            mk_xml_attr_int(job->out, "int", db->get_int(r, i));
            mk_xml_text(job->out, mk_buf_str(&text));
            mk_xml_close(job->out);
            mk_buf_release(&text);
        }
        mk_xml_close(job->out);
    }
}

static void
write_result(struct job *job, size_t number, struct mk_sql_result *r)
{
    const struct mk_rdbms *db = job->t->db;

    mk_xml_open(job->out, "result", NULL);
    mk_xml_attr_int(job->out, "number", (int64_t)number);
    mk_xml_attr(job->out, "status", mk_sql_status_name(db->status(r)));
    mk_xml_attr(job->out, "error", db->error(r));
    mk_xml_attr_int(job->out, "rows", (int64_t)db->rows(r));
    mk_xml_attr_int(job->out, "affected", (int64_t)db->affected(r));
    write_rows(job, r);
    mk_xml_close(job->out);
}

static void
job_end(struct job *job)
{
    for (int i = 0; job->brief && i <= MK_SQL_ERROR; i++)
        mk_xml_attr_int(job->out, mk_sql_status_name((enum mk_sql_status)i),
                        (int64_t)job->by_status[i]);
    mk_xml_close(job->out);
    mk_iq_reply_result(job->iq, job->out);
    mk_free(job);
}

static void
on_answer(struct mk_sql_result *r, void *arg)
{
    struct part *part = arg;
    struct job *job = part->job;

    job->by_status[job->t->db->status(r)]++;
    if (!job->brief)
        write_result(job, part->number, r);
    mk_free(part);
    if (--job->left == 0)
        job_end(job);
}

static struct part *
part_new(struct job *job)
{
    struct part *part = mk_alloc(sizeof(*part));

    *part = (struct part){job, job->left++};
    return part;
}

/* -- asking ---------------------------------------------------------------------------------- */

struct values {
    struct mk_sql_value v[VALUES_MAX];
    struct mk_buf bytes[VALUES_MAX];
    size_t count;
};

static void
read_value(struct values *all, const struct mk_node *n, size_t turn)
{
    const char *type = mk_node_attr(n, "t");
    struct mk_buf *b = &all->bytes[all->count];
    struct mk_sql_value *v = &all->v[all->count++];

    *v = MK_SQL_V_TEXT(mk_node_text(n));
    if (!type)
        return;
    if (strcmp(type, "int") == 0) {
        *v = MK_SQL_V_INT(atoll(mk_node_text(n).p));
    } else if (strcmp(type, "null") == 0) {
        *v = MK_SQL_V_NULL;
    } else if (strcmp(type, "bytes") == 0) {
        if (mk_base64_decode(b, mk_node_text(n)) == 0)
            *v = MK_SQL_V_BYTES(mk_buf_str(b));
    } else if (strcmp(type, "raw") == 0) {      /* text that may be none */
        if (mk_base64_decode(b, mk_node_text(n)) == 0)
            *v = MK_SQL_V_TEXT(mk_buf_str(b));
    } else {
        mk_buf_add_str(b, mk_node_text(n));
        mk_buf_printf(b, "%zu", turn);
        *v = MK_SQL_V_TEXT(mk_buf_str(b));
    }
}

static void
read_values(struct values *all, const struct mk_node *s, size_t turn)
{
    memset(all, 0, sizeof(*all));
    for (const struct mk_node *n = mk_node_child(s, "v", NULL); n && all->count < VALUES_MAX;
         n = mk_node_next(n, "v", NULL))
        read_value(all, n, turn);
}

static void
values_release(struct values *all)
{
    for (size_t i = 0; i < all->count; i++)
        mk_buf_release(&all->bytes[i]);
}

static void
ask(struct job *job, const struct mk_node *run, struct mk_sql_batch *batch, size_t turn)
{
    const struct mk_rdbms *db = job->t->db;
    struct values all;

    for (const struct mk_node *s = mk_node_child(run, "s", NULL); s;
         s = mk_node_next(s, "s", NULL)) {
        struct mk_sql_stmt *stmt = find_stmt(job->t, mk_node_attr(s, "q"));

        if (!stmt)
            continue;
        read_values(&all, s, turn);
        if (batch)
            db->batch_add(batch, stmt, all.v, all.count);
        else
            db->exec(db->self, stmt, all.v, all.count, mk_node_attr(run, "key"), on_answer,
                     part_new(job));
        values_release(&all);
    }
}

static enum mk_verdict
on_run(struct mk_iq *iq, void *arg)
{
    struct t_rdbms *t = arg;
    const struct mk_node *run = mk_iq_child(iq);
    const char *times = mk_node_attr(run, "times");
    struct job *job = mk_zalloc(sizeof(*job));

    *job = (struct job){.t = t, .out = mk_xml_new(NULL), .brief = mk_node_attr(run, "brief")};
    mk_xml_open(job->out, "run", NS);
    for (size_t i = 0, n = times ? (size_t)atoi(times) : 1; i < n; i++) {
        struct mk_sql_batch *batch =
            mk_node_attr(run, "batch") ? t->db->batch(t->db->self, t->module) : NULL;

        ask(job, run, batch, i);
        if (batch)
            t->db->batch_run(batch, mk_node_attr(run, "key"), on_answer, part_new(job));
    }
    job->iq = mk_iq_hold(iq);
    if (job->left == 0)
        job_end(job);
    return MK_HANDLED;
}

/* -- metrics and readiness ------------------------------------------------------------------- */

static void
write_metric(const struct mk_metric *m, void *arg)
{
    char value[32];

    snprintf(value, sizeof(value), "%.0f", m->kind == MK_METRIC_HISTOGRAM ? (double)m->count : m->value);
    mk_xml_open(arg, "metric", NULL);
    mk_xml_attr(arg, "name", m->name);
    mk_xml_attr(arg, "labels", m->labels);
    mk_xml_attr(arg, "value", value);
    mk_xml_close(arg);
}

static enum mk_verdict
on_metrics(struct mk_iq *iq, void *arg)
{
    struct t_rdbms *t = arg;
    struct mk_xml *x = mk_xml_new(NULL);

    mk_xml_open(x, "metrics", NS);
    mk_xml_attr(x, "ready", t->db->ready(t->db->self) ? "yes" : "no");
    mk_metric_each(write_metric, x);
    mk_xml_close(x);
    mk_iq_reply_result(iq, x);
    return MK_HANDLED;
}

static void
write_schema(const char *module, unsigned number, const char *sql, void *arg)
{
    mk_xml_open(arg, "migration", NULL);
    mk_xml_attr(arg, "module", module);
    mk_xml_attr_int(arg, "number", number);
    mk_xml_text(arg, mk_str_of(sql));
    mk_xml_close(arg);
}

static enum mk_verdict
on_schema(struct mk_iq *iq, void *arg)
{
    struct t_rdbms *t = arg;
    struct mk_xml *x = mk_xml_new(NULL);

    mk_xml_open(x, "schema", NS);
    t->db->print_schema(t->db->self, write_schema, x);
    mk_xml_close(x);
    mk_iq_reply_result(iq, x);
    return MK_HANDLED;
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    static const char *const files[] = {t_rdbms_001, t_rdbms_002, t_rdbms_003};
    const struct t_conf *conf = mk_module_conf(m, NULL);
    struct t_rdbms *t = mk_zalloc(sizeof(*t));

    mk_module_set(m, t);
    t->module = m;
    t->db = mk_rdbms_get(m, err);
    for (unsigned i = 0; i < (unsigned)conf->level; i++)
        t->migrations[i] = (struct mk_sql_migration){i + 1, files[i]};
    if (!t->db || t->db->schema(t->db->self, m, t->migrations, err) < 0)
        return -1;
    for (size_t i = 0; i < MK_COUNT(texts); i++)
        t->stmts[i] = t->db->prepare(t->db->self, m, texts[i].sql);
    if (mk_on_iq(m, MK_IQ_SET, MK_TO_HOST, NS, "run", on_run, t) < 0 ||
        mk_on_iq(m, MK_IQ_GET, MK_TO_HOST, NS, "metrics", on_metrics, t) < 0 ||
        mk_on_iq(m, MK_IQ_GET, MK_TO_HOST, NS, "schema", on_schema, t) < 0)
        return mk_fail(err, "cannot register");
    return 0;
}

static void
unload(struct mk_module *m)
{
    mk_free(mk_module_get(m));
}

MK_MODULE(.name = "t_rdbms", .version = "1.0", .summary = "SQL by IQ, for tests only",
          .depends = (const char *const[]){"rdbms", NULL}, .options = options,
          .conf_size = sizeof(struct t_conf), .init = init, .unload = unload);
