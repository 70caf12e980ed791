/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Tables of modules. A thread of its own applies the migrations that the database has not seen,
 * each in a transaction under the driver's lock, and writes them down in `meerkat_migrations`.
 * Whoever starts the node (or loads a module) waits for it as long as there is a database; without
 * one the node goes on, and the thread tries again.
 */
#include "config.h"

#include <errno.h>
#include <time.h>

#include <meerkat/log.h>

#include "priv.h"

#define RETRY_MIN_MS 500
#define RETRY_MAX_MS 15000

static const char table_sql[] = "CREATE TABLE IF NOT EXISTS meerkat_migrations (\n"
                                "    module varchar(100) NOT NULL,\n"
                                "    number integer NOT NULL,\n"
                                "    applied_at timestamp NOT NULL DEFAULT {now},\n"
                                "    PRIMARY KEY (module, number)\n"
                                ");\n";

/* -- the text of a migration ----------------------------------------------------------------- */

static bool
expand_word(const struct mk_rdbms_driver *d, struct mk_buf *out, const char **p)
{
    const struct {
        const char *word, *text;
    } words[] = {{"{serial}", d->serial}, {"{bytes}", d->bytes}, {"{now}", d->now}};

    for (size_t i = 0; i < MK_COUNT(words); i++) {
        size_t len = strlen(words[i].word);

        if (strncmp(*p, words[i].word, len) == 0) {
            mk_buf_add_cstr(out, words[i].text);
            *p += len;
            return true;
        }
    }
    return false;
}

static void
expand(const struct mk_rdbms_driver *d, struct mk_buf *out, const char *sql)
{
    while (*sql) {
        if (*sql != '{' || !expand_word(d, out, &sql))
            mk_buf_add_byte(out, *sql++);
    }
}

static void
expand_recorded(const struct mk_rdbms_driver *d, struct mk_buf *out, const char *module,
                const struct mk_sql_migration *mig)
{
    expand(d, out, mig->sql);
    /* A module's name is [a-z][a-z0-9_]*. */
    mk_buf_printf(out, "\nINSERT INTO meerkat_migrations (module, number) VALUES ('%s', %u);\n",
                  module, mig->number);
}

void
migrate_print(void *self, mk_sql_schema_fn fn, void *arg)
{
    struct rdbms *f = self;
    struct mk_buf sql = {0};

    expand(f->driver, &sql, table_sql);
    fn("rdbms", 1, mk_buf_cstr(&sql), arg);
    for (const struct owner *o = f->owners; o; o = o->next) {
        for (const struct mk_sql_migration *m = o->migrations; m && m->number; m++) {
            mk_buf_clear(&sql);
            expand_recorded(f->driver, &sql, o->name, m);
            fn(o->name, m->number, mk_buf_cstr(&sql), arg);
        }
    }
    mk_buf_release(&sql);
}

/* -- applying, on the thread ----------------------------------------------------------------- */

struct work {
    struct rdbms *f;
    struct mk_rdbms_session *session;
    struct mk_error err;
};

static enum mk_sql_status
run(struct work *w, const char *sql)
{
    return w->f->driver->run(w->session, sql, NULL, &w->err);
}

/* Text in the driver's dialect, inside the transaction that holds the lock. */
static enum mk_sql_status
run_locked(struct work *w, const char *sql)
{
    enum mk_sql_status s = run(w, sql);
    struct mk_error why = w->err;

    if (s == MK_SQL_OK)
        return run(w, "COMMIT");
    (void)run(w, "ROLLBACK");
    w->err = why;
    return s;
}

/* Without the right to create tables the one that is there already must do. */
static enum mk_sql_status
make_table(struct work *w)
{
    struct mk_buf sql = {0};
    enum mk_sql_status s = run(w, "SELECT number FROM meerkat_migrations LIMIT 1");

    if (s != MK_SQL_ERROR)
        return s;
    s = run(w, w->f->driver->lock);
    if (s == MK_SQL_OK) {
        expand(w->f->driver, &sql, table_sql);
        s = run_locked(w, mk_buf_cstr(&sql));
    }
    mk_buf_release(&sql);
    return s;
}

static enum mk_sql_status
last_applied(struct work *w, const struct owner *o, unsigned *number_out)
{
    struct mk_sql_answer answer = {.limit = 4096};
    struct mk_sql_result result = {.answer = &answer};
    const struct mk_rdbms *api = &w->f->api;
    char *sql = mk_printf_new("SELECT MAX(number) FROM meerkat_migrations WHERE module = '%s'",
                              o->name);
    enum mk_sql_status s = w->f->driver->run(w->session, sql, &answer, &w->err);

    *number_out = s == MK_SQL_OK && api->next(&result) ? (unsigned)api->get_int(&result, 0) : 0;
    result_release(&result);
    mk_buf_release(&answer.cells);
    mk_free(sql);
    return s;
}

static enum mk_sql_status
apply(struct work *w, const struct owner *o, const struct mk_sql_migration *m)
{
    struct mk_buf sql = {0};
    enum mk_sql_status s;

    expand_recorded(w->f->driver, &sql, o->name, m);
    s = run_locked(w, mk_buf_cstr(&sql));
    mk_buf_release(&sql);
    if (s == MK_SQL_OK) {
        mk_log(w->f->module, MK_LOG_INFO, "rdbms.migrated", "applied migration %u of module '%s'",
               m->number, o->name);
    } else {
        struct mk_error why = w->err;

        mk_fail(&w->err, "migration %u of module '%s' failed: %.300s", m->number, o->name,
                why.text);
    }
    return s;
}

/* Applies one migration, unless another node was faster: the number is read again under the lock. */
static enum mk_sql_status
apply_locked(struct work *w, const struct owner *o, const struct mk_sql_migration *m,
             unsigned *applied)
{
    enum mk_sql_status s = run(w, w->f->driver->lock);
    struct mk_error why;

    if (s != MK_SQL_OK)
        return s;
    s = last_applied(w, o, applied);
    if (s == MK_SQL_OK && m->number > *applied) {
        *applied = m->number;
        return apply(w, o, m);
    }
    why = w->err;
    (void)run(w, "ROLLBACK");
    w->err = why;
    return s;
}

static enum mk_sql_status
migrate_owner(struct work *w, const struct owner *o)
{
    unsigned applied;
    enum mk_sql_status s = last_applied(w, o, &applied);

    for (const struct mk_sql_migration *m = o->migrations; s == MK_SQL_OK && m->number; m++) {
        if (m->number > applied)
            s = apply_locked(w, o, m, &applied);
    }
    return s;
}

/* Worth another attempt later: the fault is not in the migration. */
static bool
is_passing(enum mk_sql_status s)
{
    return s == MK_SQL_UNAVAILABLE || s == MK_SQL_BUSY;
}

static void
settle(struct work *w, struct owner *o, enum mk_sql_status s)
{
    struct migrator *g = &w->f->migrator;

    if (s != MK_SQL_OK) {
        mk_log(w->f->module, MK_LOG_ERROR, "rdbms.migration", "%s", w->err.text);
        pthread_mutex_lock(&g->lock);
        g->error = w->err;
        pthread_mutex_unlock(&g->lock);
    }
    __atomic_store_n(&o->state, s == MK_SQL_OK ? OWNER_READY : OWNER_FAILED, __ATOMIC_RELEASE);
    __atomic_sub_fetch(&w->f->pending, 1, __ATOMIC_RELEASE);
}

/* Migrates as many of the list as it can; returns those that must wait. */
static struct owner *
migrate_list(struct work *w, struct owner *list)
{
    enum mk_sql_status s = w->f->driver->open(w->f->driver->self, &w->session, &w->err);

    if (s != MK_SQL_OK)
        return list;
    s = make_table(w);
    while (list && !is_passing(s)) {
        if (s == MK_SQL_OK)
            s = migrate_owner(w, list);
        if (is_passing(s))
            break;
        settle(w, list, s);
        /* One module's broken file is no reason to leave the others without their tables. */
        s = MK_SQL_OK;
        list = list->next_waiting;
    }
    w->f->driver->close(w->session);
    return list;
}

static void
log_away(struct rdbms *f, const struct mk_error *err)
{
    mk_log(f->module, MK_LOG_WARN, "rdbms.away", "no migrations yet, the database is away: %s",
           err->text);
}

/* One attempt, outside the lock. */
static void
attempt(struct rdbms *f, struct owner *list)
{
    struct migrator *g = &f->migrator;
    struct work w = {.f = f};
    struct owner *left = migrate_list(&w, list);
    bool away = left != NULL;

    if (away && !__atomic_load_n(&g->stopping, __ATOMIC_RELAXED))
        log_away(f, &w.err);
    __atomic_store_n(&f->away, away, __ATOMIC_RELEASE);
    request_release_held(f);
    pthread_mutex_lock(&g->lock);
    if (left) {
        struct owner **end = &left;

        while (*end)
            end = &(*end)->next_waiting;
        *end = g->waiting;
        g->waiting = left;
    }
    g->failures = away ? g->failures + 1 : 0;
    g->working = false;
    pthread_cond_broadcast(&g->done);
    pthread_mutex_unlock(&g->lock);
}

/* Doubles with each failure; between half and all of it, so that nodes do not come all at once. */
static void
retry_time(const struct migrator *g, struct timespec *at)
{
    unsigned shift = g->failures > 6 ? 6 : g->failures;
    uint64_t ms = RETRY_MIN_MS << shift;
    uint16_t dice;

    if (ms > RETRY_MAX_MS)
        ms = RETRY_MAX_MS;
    mk_random(&dice, sizeof(dice));
    ms = ms / 2 + dice % (ms / 2);
    clock_gettime(CLOCK_MONOTONIC, at);
    at->tv_sec += (time_t)(ms / 1000);
    at->tv_nsec += (long)(ms % 1000) * 1000000;
    if (at->tv_nsec >= 1000000000) {
        at->tv_sec++;
        at->tv_nsec -= 1000000000;
    }
}

/* Waits until there is something to do; under the lock. NULL: stop. */
static struct owner *
next_work(struct migrator *g)
{
    struct owner *list;
    struct timespec at;
    int rc = 0;

    if (g->failures)
        retry_time(g, &at);
    while (!g->stopping && (!g->waiting || (g->failures && !g->poked && rc != ETIMEDOUT))) {
        if (g->waiting)
            rc = pthread_cond_timedwait(&g->wake, &g->lock, &at);
        else
            pthread_cond_wait(&g->wake, &g->lock);
    }
    if (g->stopping)
        return NULL;
    list = g->waiting;
    g->waiting = NULL;
    g->poked = false;
    g->working = true;
    return list;
}

static void *
thread_main(void *arg)
{
    struct rdbms *f = arg;
    struct migrator *g = &f->migrator;
    struct owner *list;

    for (;;) {
        pthread_mutex_lock(&g->lock);
        list = next_work(g);
        pthread_mutex_unlock(&g->lock);
        if (!list)
            return NULL;
        attempt(f, list);
    }
}

/* -- the main thread ------------------------------------------------------------------------- */

void
migrate_init(struct rdbms *f)
{
    struct migrator *g = &f->migrator;
    pthread_condattr_t attr;

    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->done, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&g->wake, &attr);
    pthread_condattr_destroy(&attr);
}

void
migrate_release(struct rdbms *f)
{
    pthread_mutex_destroy(&f->migrator.lock);
    pthread_cond_destroy(&f->migrator.wake);
    pthread_cond_destroy(&f->migrator.done);
}

/* Until the thread has nothing to do, or has to wait for the database. -1: a migration failed.
 * Under the lock. */
static int
wait_for_thread(struct migrator *g, struct mk_error *err)
{
    g->error.text[0] = '\0';
    pthread_cond_signal(&g->wake);
    while (g->working || (g->waiting && g->failures == 0))
        pthread_cond_wait(&g->done, &g->lock);
    return g->error.text[0] ? mk_fail(err, "%s", g->error.text) : 0;
}

int
migrate_start(struct rdbms *f, struct mk_error *err)
{
    int rc = mk_thread_start(&f->migrator.thread, "migrations", thread_main, f);

    if (rc)
        return mk_fail(err, "cannot start a thread: %s", strerror(rc));
    f->migrator.has_thread = true;
    pthread_mutex_lock(&f->migrator.lock);
    rc = wait_for_thread(&f->migrator, err);
    pthread_mutex_unlock(&f->migrator.lock);
    return rc;
}

void
migrate_stop(struct rdbms *f)
{
    struct migrator *g = &f->migrator;

    if (!g->has_thread)
        return;
    pthread_mutex_lock(&g->lock);
    __atomic_store_n(&g->stopping, true, __ATOMIC_RELAXED);
    pthread_cond_signal(&g->wake);
    pthread_mutex_unlock(&g->lock);
    f->driver->cancel(f->driver->self);
    pthread_join(g->thread, NULL);
    g->has_thread = false;
}

void
migrate_poke(void *self)
{
    struct migrator *g = &((struct rdbms *)self)->migrator;

    pthread_mutex_lock(&g->lock);
    g->poked = true;
    pthread_cond_signal(&g->wake);
    pthread_mutex_unlock(&g->lock);
}

static int
check_numbers(const struct mk_sql_migration *migrations, struct mk_error *err)
{
    for (unsigned i = 0; migrations[i].number; i++) {
        if (migrations[i].number != i + 1)
            return mk_fail(err, "migration %u is where number %u should be", migrations[i].number,
                           i + 1);
    }
    return 0;
}

/* Under the lock, while the thread does nothing. */
static void
enqueue(struct rdbms *f, struct owner *o)
{
    struct owner **end = &f->migrator.waiting;

    while (*end && *end != o)
        end = &(*end)->next_waiting;
    if (*end)
        return;
    o->next_waiting = NULL;
    *end = o;
    __atomic_store_n(&o->state, OWNER_WAITS, __ATOMIC_RELEASE);
    __atomic_add_fetch(&f->pending, 1, __ATOMIC_RELEASE);
}

int
migrate_schema(void *self, struct mk_module *m, const struct mk_sql_migration *migrations,
               struct mk_error *err)
{
    struct rdbms *f = self;
    struct migrator *g = &f->migrator;
    struct owner *o = owner_of(f, m);
    int rc = 0;

    if (check_numbers(migrations, err) < 0)
        return -1;
    pthread_mutex_lock(&g->lock);
    while (g->working)
        pthread_cond_wait(&g->done, &g->lock);
    o->migrations = migrations;
    enqueue(f, o);
    /* At the start of the server all modules come first, and the thread then. */
    if (g->has_thread)
        rc = wait_for_thread(g, err);
    pthread_mutex_unlock(&g->lock);
    return rc;
}
