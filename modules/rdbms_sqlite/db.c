/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* A connection to the file: opening, settings, errors. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "priv.h"

#define PAGE_BYTES 4096     /* SQLite's default for a new file */

enum mk_sql_status
db_status_of(int rc)
{
    switch (rc) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
        return MK_SQL_DUPLICATE;
    }
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return MK_SQL_OK;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return MK_SQL_BUSY;
    case SQLITE_FULL:
        return MK_SQL_FULL;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_NOMEM:
    case SQLITE_INTERRUPT:
        return MK_SQL_UNAVAILABLE;
    default:
        return MK_SQL_ERROR;
    }
}

/* The file has keys of accounts in it: for nobody else's eyes. Only a new file is opened here, since
 * closing one that SQLite has open would give up SQLite's locks. */
static void
make_file(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd >= 0)
        close(fd);
}

/* Changing to WAL needs the file alone, and SQLite does not wait for that by itself. */
static int
use_wal(struct db *db)
{
    int rc;

    for (int waited = 0;; waited += 10) {
        rc = db_exec(db, "PRAGMA journal_mode = WAL");
        if ((rc & 0xff) != SQLITE_BUSY || waited >= db->sqlite->busy_timeout)
            return rc;
        sqlite3_sleep(10);
    }
}

static int
set_pragmas(struct db *db)
{
    const struct sqlite *s = db->sqlite;
    char text[128];
    int rc;

    snprintf(text, sizeof(text),
             "PRAGMA synchronous = %s; PRAGMA foreign_keys = OFF; PRAGMA case_sensitive_like = ON",
             s->synchronous);
    rc = use_wal(db);
    if (rc == SQLITE_OK)
        rc = db_exec(db, text);
    if (rc == SQLITE_OK && s->max_size) {
        snprintf(text, sizeof(text), "PRAGMA max_page_count = %llu",
                 (unsigned long long)(s->max_size / PAGE_BYTES));
        rc = db_exec(db, text);
    }
    return rc;
}

/* Somebody who does not wait any more does not let others wait. */
static int
on_progress(void *arg)
{
    const struct db *db = arg;

    return db->current && mk_sql_is_dead(db->current);
}

int
db_open(struct db *db, struct mk_error *err)
{
    struct sqlite *s = db->sqlite;
    int rc;

    make_file(s->file);
    rc = sqlite3_open_v2(s->file, &db->handle,
                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_extended_result_codes(db->handle, 1);
        sqlite3_busy_timeout(db->handle, s->busy_timeout);
        sqlite3_progress_handler(db->handle, 20000, on_progress, db);
        rc = set_pragmas(db);
    }
    if (rc != SQLITE_OK) {
        mk_fail(err, "cannot open '%s': %s", s->file,
                db->handle ? sqlite3_errmsg(db->handle) : "no memory");
        sqlite3_close(db->handle);
        db->handle = NULL;
    } else {
        __atomic_add_fetch(&s->connections, 1, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&s->ready, rc == SQLITE_OK, __ATOMIC_RELEASE);
    return rc;
}

void
db_close(struct db *db)
{
    for (size_t i = 0; i < db->cache_count; i++)
        sqlite3_finalize(db->cache[i]);
    mk_free(db->cache);
    db->cache = NULL;
    db->cache_count = 0;
    if (!db->handle)
        return;
    sqlite3_close(db->handle);
    db->handle = NULL;
    __atomic_sub_fetch(&db->sqlite->connections, 1, __ATOMIC_RELAXED);
}

int
db_exec(struct db *db, const char *sql)
{
    return sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
}

static struct mk_str
column_str(sqlite3_stmt *stmt, int i)
{
    /* First the pointer, then the length: SQLite may convert the value in between. */
    const char *p = sqlite3_column_blob(stmt, i);

    return (struct mk_str){p, (size_t)sqlite3_column_bytes(stmt, i)};
}

void
db_add_row(sqlite3_stmt *stmt, struct mk_sql_answer *a)
{
    for (int i = 0; i < (int)a->columns; i++) {
        switch (sqlite3_column_type(stmt, i)) {
        case SQLITE_NULL:
            mk_sql_answer_null(a);
            break;
        case SQLITE_INTEGER:
            mk_sql_answer_int(a, sqlite3_column_int64(stmt, i));
            break;
        case SQLITE_BLOB:
            mk_sql_answer_bytes(a, column_str(stmt, i));
            break;
        default:
            mk_sql_answer_text(a, (struct mk_str){(const char *)sqlite3_column_text(stmt, i),
                                                  (size_t)sqlite3_column_bytes(stmt, i)});
        }
    }
}
