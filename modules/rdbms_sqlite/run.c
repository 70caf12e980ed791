/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Running requests on a connection. Writing ones are run in groups, since what costs is the commit:
 * each request is all or nothing by itself, and the commit is everybody's.
 */
#include "config.h"

#include <ctype.h>

#include "priv.h"

/* A result code of our own, beside SQLite's. */
#define TOO_LARGE (-1)

/* -- one statement --------------------------------------------------------------------------- */

static bool
is_blank(const char *text)
{
    while (isspace((unsigned char)*text) || *text == ';')
        text++;
    return !*text;
}

/* NULL: it does not compile. */
static sqlite3_stmt *
get_stmt(struct db *db, struct mk_sql_text *text)
{
    const char *tail = "";
    sqlite3_stmt *stmt = NULL;

    if (text->id < db->cache_count && db->cache[text->id])
        return db->cache[text->id];
    if (sqlite3_prepare_v3(db->handle, text->sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, &tail) !=
            SQLITE_OK ||
        !stmt)
        return NULL;
    if (!is_blank(tail)) {
        sqlite3_finalize(stmt);
        return NULL;
    }
    if (text->id >= db->cache_count) {
        size_t count = text->id + 32;

        db->cache = mk_realloc(db->cache, count * sizeof(*db->cache));
        memset(db->cache + db->cache_count, 0, (count - db->cache_count) * sizeof(*db->cache));
        db->cache_count = count;
    }
    db->cache[text->id] = stmt;
    __atomic_store_n(&text->driver, sqlite3_stmt_readonly(stmt) ? TEXT_READS : TEXT_WRITES,
                     __ATOMIC_RELAXED);
    return stmt;
}

/* The values stay where they are until the request is finished. */
static void
bind(sqlite3_stmt *stmt, const struct mk_sql_step *step)
{
    for (uint32_t i = 0; i < step->text->params; i++) {
        const struct mk_sql_value *v = &step->values[i];
        int at = (int)i + 1;

        if (v->type == MK_SQL_INT)
            sqlite3_bind_int64(stmt, at, v->i);
        else if (v->type == MK_SQL_TEXT)
            sqlite3_bind_text(stmt, at, v->s.p, (int)v->s.len, SQLITE_STATIC);
        else if (v->type == MK_SQL_BYTES)
            sqlite3_bind_blob(stmt, at, v->s.p, (int)v->s.len, SQLITE_STATIC);
        else
            sqlite3_bind_null(stmt, at);
    }
}

static int
fetch(sqlite3_stmt *stmt, struct mk_sql_answer *a)
{
    unsigned columns = (unsigned)sqlite3_column_count(stmt);
    int rc;

    if (columns)
        mk_sql_answer_columns(a, columns);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        db_add_row(stmt, a);
        if (!mk_sql_answer_row(a))
            return TOO_LARGE;
    }
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static void
fail(struct db *db, struct mk_sql_answer *a, int rc)
{
    if (rc == TOO_LARGE)
        mk_sql_answer_fail(a, MK_SQL_ERROR, "the answer is larger than rdbms.result_size");
    else
        mk_sql_answer_fail(a, db_status_of(rc), sqlite3_errmsg(db->handle));
}

/* The answer says how it went; the result is SQLite's code or TOO_LARGE. */
static int
run_step(struct db *db, const struct mk_sql_step *step, struct mk_sql_answer *a)
{
    sqlite3_stmt *stmt = get_stmt(db, step->text);
    int rc;

    if (!stmt) {
        rc = sqlite3_extended_errcode(db->handle);
        if (rc == SQLITE_OK) {
            mk_sql_answer_fail(a, MK_SQL_ERROR, "not one statement");
            return SQLITE_ERROR;
        }
        fail(db, a, rc);
        return rc;
    }
    bind(stmt, step);
    rc = fetch(stmt, a);
    if (rc != SQLITE_OK)
        fail(db, a, rc);
    else if (!sqlite3_stmt_readonly(stmt))
        a->affected += (size_t)sqlite3_changes64(db->handle);
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return rc;
}

/* -- one request ----------------------------------------------------------------------------- */

static bool
skip_dead(struct mk_sql_request *r)
{
    if (!mk_sql_is_dead(r))
        return false;
    mk_sql_answer_fail(&r->answer, MK_SQL_UNAVAILABLE, "no answer in time");
    return true;
}

static int
run_steps(struct db *db, struct mk_sql_request *r)
{
    int rc = SQLITE_OK;

    db->current = r;
    mk_sql_answer_reset(&r->answer);
    for (size_t i = 0; i < r->step_count && rc == SQLITE_OK; i++)
        rc = run_step(db, &r->steps[i], &r->answer);
    db->current = NULL;
    return rc;
}

/* A broken file or disk: the next request opens it anew. */
static void
drop_if_broken(struct db *db, int rc)
{
    switch (rc & 0xff) {
    case SQLITE_IOERR:
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
    case SQLITE_CANTOPEN:
        db_close(db);
    }
}

static void
fail_all(struct mk_sql_request *list, enum mk_sql_status status, const char *why)
{
    for (; list; list = list->next)
        mk_sql_answer_fail(&list->answer, status, why);
}

/* False: all have failed. */
static bool
is_open(struct db *db, struct mk_sql_request *list)
{
    bool was_ready = __atomic_load_n(&db->sqlite->ready, __ATOMIC_ACQUIRE);
    struct mk_error err = {""};

    if (db->handle)
        return true;
    if (db_open(db, &err) != SQLITE_OK) {
        fail_all(list, MK_SQL_UNAVAILABLE, err.text);
        return false;
    }
    if (!was_ready)
        db->sqlite->front->changed(db->sqlite->front->self);
    return true;
}

bool
run_only_reads(const struct mk_sql_request *r)
{
    for (size_t i = 0; i < r->step_count; i++) {
        if (__atomic_load_n(&r->steps[i].text->driver, __ATOMIC_RELAXED) != TEXT_READS)
            return false;
    }
    return true;
}

void
run_reads(struct db *db, struct mk_sql_request *list)
{
    int rc;

    for (struct mk_sql_request *r = list; r; r = r->next) {
        bool several = r->step_count > 1;

        if (skip_dead(r))
            continue;
        if (!is_open(db, r))
            return;
        if (several)        /* one view of the data for all of them */
            (void)db_exec(db, "BEGIN");
        rc = run_steps(db, r);
        if (several)
            (void)db_exec(db, "COMMIT");
        drop_if_broken(db, rc);
    }
}

/* -- a group that writes --------------------------------------------------------------------- */

/* A single statement undoes itself when it fails, but not when it is we who stop it. */
static bool
needs_savepoint(struct db *db, const struct mk_sql_request *r)
{
    sqlite3_stmt *stmt;

    if (r->step_count > 1)
        return true;
    stmt = get_stmt(db, r->steps[0].text);
    return stmt && !sqlite3_stmt_readonly(stmt) && sqlite3_column_count(stmt) > 0;
}

static int
run_member(struct db *db, struct mk_sql_request *r, bool alone)
{
    bool savepoint = !alone && needs_savepoint(db, r);
    int rc = SQLITE_OK;

    if (savepoint)
        rc = db_exec(db, "SAVEPOINT request");
    if (rc != SQLITE_OK) {
        fail(db, &r->answer, rc);
        return rc;
    }
    rc = run_steps(db, r);
    if (savepoint && !sqlite3_get_autocommit(db->handle))
        (void)db_exec(db, rc == SQLITE_OK ? "RELEASE request"
                                          : "ROLLBACK TO request; RELEASE request");
    return rc;
}

/* What the transaction as a whole has come to. */
enum outcome {
    COMMITTED,
    FAILED,             /* and each answer says so */
    UNDONE,             /* nothing was done, and a group can be tried one by one */
};

static enum outcome
commit(struct db *db, struct mk_sql_request *list)
{
    int rc = db_exec(db, "COMMIT");

    if (rc == SQLITE_OK) {
        mk_counter_add(db->sqlite->commits, 1);
        return COMMITTED;
    }
    for (struct mk_sql_request *r = list; r; r = r->next) {
        if (r->answer.status == MK_SQL_OK)
            fail(db, &r->answer, rc);
    }
    if (!sqlite3_get_autocommit(db->handle))
        (void)db_exec(db, "ROLLBACK");
    drop_if_broken(db, rc);
    return (rc & 0xff) == SQLITE_FULL ? UNDONE : FAILED;
}

static enum outcome
run_transaction(struct db *db, struct mk_sql_request *list)
{
    bool alone = !list->next;
    int rc;

    if (!is_open(db, list))
        return FAILED;
    rc = db_exec(db, "BEGIN IMMEDIATE");
    if (rc != SQLITE_OK) {
        fail_all(list, db_status_of(rc), sqlite3_errmsg(db->handle));
        drop_if_broken(db, rc);
        return FAILED;
    }
    for (struct mk_sql_request *r = list; r; r = r->next) {
        if (skip_dead(r) || run_member(db, r, alone) == SQLITE_OK)
            continue;
        /* Some errors (disk full, I/O) make SQLite undo the whole transaction. */
        if (sqlite3_get_autocommit(db->handle))
            return UNDONE;
    }
    if (alone && list->answer.status != MK_SQL_OK) {
        rc = sqlite3_extended_errcode(db->handle);
        (void)db_exec(db, "ROLLBACK");
        drop_if_broken(db, rc);
        return FAILED;
    }
    return commit(db, list);
}

void
run_group(struct db *db, struct mk_sql_request *list)
{
    const struct mk_sql_request *reader = list;

    while (reader && run_only_reads(reader))
        reader = reader->next;
    if (!reader) {
        run_reads(db, list);
        return;
    }
    if (run_transaction(db, list) != UNDONE || !list->next)
        return;
    for (struct mk_sql_request *r = list, *next; r; r = next) {
        next = r->next;
        r->next = NULL;
        if (!skip_dead(r))
            (void)run_transaction(db, r);
        r->next = next;
    }
}
