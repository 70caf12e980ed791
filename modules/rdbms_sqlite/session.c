/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* A connection for migrations: plain texts of several statements, and waiting is allowed. */
#include "config.h"

#include "priv.h"

struct mk_rdbms_session {
    struct db db;
};

enum mk_sql_status
session_open(void *self, struct mk_rdbms_session **session_out, struct mk_error *err)
{
    struct sqlite *s = self;
    struct mk_rdbms_session *session = mk_zalloc(sizeof(*session));
    int rc;

    session->db.sqlite = s;
    rc = db_open(&session->db, err);
    if (rc != SQLITE_OK) {
        mk_free(session);
        return MK_SQL_UNAVAILABLE;
    }
    pthread_mutex_lock(&s->lock);
    s->session = session;
    pthread_mutex_unlock(&s->lock);
    *session_out = session;
    return MK_SQL_OK;
}

/* Runs the first statement of the text; moves the text behind it. */
static int
run_first(sqlite3 *handle, const char **sql, struct mk_sql_answer *answer)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(handle, *sql, -1, &stmt, sql);

    if (rc != SQLITE_OK || !stmt)
        return rc;
    if (answer)
        mk_sql_answer_columns(answer, (unsigned)sqlite3_column_count(stmt));
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        if (!answer)
            continue;
        db_add_row(stmt, answer);
        if (!mk_sql_answer_row(answer))
            break;
    }
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

enum mk_sql_status
session_run(struct mk_rdbms_session *session, const char *sql, struct mk_sql_answer *answer,
            struct mk_error *err)
{
    struct sqlite *s = session->db.sqlite;
    int rc = SQLITE_OK;
    bool cancelled;

    pthread_mutex_lock(&s->lock);
    cancelled = s->cancelled;
    pthread_mutex_unlock(&s->lock);
    if (cancelled) {
        mk_fail(err, "cancelled");
        return MK_SQL_UNAVAILABLE;
    }
    while (*sql && rc == SQLITE_OK)
        rc = run_first(session->db.handle, &sql, answer);
    if (rc != SQLITE_OK)
        mk_fail(err, "%s", sqlite3_errmsg(session->db.handle));
    return db_status_of(rc);
}

void
session_close(struct mk_rdbms_session *session)
{
    struct sqlite *s = session->db.sqlite;

    pthread_mutex_lock(&s->lock);
    s->session = NULL;
    pthread_mutex_unlock(&s->lock);
    db_close(&session->db);
    mk_free(session);
}

void
session_cancel(void *self)
{
    struct sqlite *s = self;

    pthread_mutex_lock(&s->lock);
    s->cancelled = true;
    if (s->session)
        sqlite3_interrupt(s->session->db.handle);
    pthread_mutex_unlock(&s->lock);
}
