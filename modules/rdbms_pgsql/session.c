/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* A connection for migrations: plain texts of several statements, and waiting is allowed. */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "priv.h"

struct mk_rdbms_session {
    struct pgsql *pgsql;
    PGconn *pg;
};

enum mk_sql_status
session_open(void *self, struct mk_rdbms_session **session_out, struct mk_error *err)
{
    struct pgsql *p = self;
    PGconn *pg = connect_now(p, true, err);

    if (!pg)
        return MK_SQL_UNAVAILABLE;
    *session_out = mk_alloc(sizeof(**session_out));
    **session_out = (struct mk_rdbms_session){.pgsql = p, .pg = pg};
    __atomic_add_fetch(&p->open, 1, __ATOMIC_RELAXED);
    return MK_SQL_OK;
}

static enum mk_sql_status
take_result(const PGresult *res, struct mk_sql_answer *answer, struct mk_error *err)
{
    const char *state;

    switch (PQresultStatus(res)) {
    case PGRES_TUPLES_OK:
        if (answer) {
            mk_sql_answer_columns(answer, (unsigned)PQnfields(res));
            (void)answer_rows(answer, res);
        }
        return MK_SQL_OK;
    case PGRES_COMMAND_OK:
    case PGRES_EMPTY_QUERY:
        return MK_SQL_OK;
    default:
        state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
        mk_fail(err, "%s", PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY)
                               ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY)
                               : "the connection was lost");
        return state ? status_of(state) : MK_SQL_UNAVAILABLE;
    }
}

/* A statement that is cancelled ends with the connection: the server need not finish it. */
static enum mk_sql_status
wait_result(struct mk_rdbms_session *s, struct mk_error *err)
{
    char text[256];
    PGcancel *cancel;

    while (PQisBusy(s->pg)) {
        if (connect_wait(s->pgsql, s->pg, POLLIN, -1) < 0) {
            cancel = PQgetCancel(s->pg);
            if (cancel)
                (void)PQcancel(cancel, text, sizeof(text));
            PQfreeCancel(cancel);
            mk_fail(err, "cancelled");
            return MK_SQL_UNAVAILABLE;
        }
        if (!PQconsumeInput(s->pg)) {
            mk_fail(err, "the connection was lost");
            return MK_SQL_UNAVAILABLE;
        }
    }
    return MK_SQL_OK;
}

enum mk_sql_status
session_run(struct mk_rdbms_session *session, const char *sql, struct mk_sql_answer *answer,
            struct mk_error *err)
{
    enum mk_sql_status status = MK_SQL_OK;
    PGresult *res;

    if (!PQsendQuery(session->pg, sql)) {
        mk_fail(err, "the connection was lost");
        return MK_SQL_UNAVAILABLE;
    }
    for (;;) {
        enum mk_sql_status one = wait_result(session, err);

        if (one != MK_SQL_OK)
            return one;
        res = PQgetResult(session->pg);
        if (!res)
            return status;
        if (status == MK_SQL_OK)
            status = take_result(res, answer, err);
        PQclear(res);
    }
}

void
session_close(struct mk_rdbms_session *session)
{
    __atomic_sub_fetch(&session->pgsql->open, 1, __ATOMIC_RELAXED);
    PQfinish(session->pg);
    mk_free(session);
}

void
session_cancel(void *self)
{
    struct pgsql *p = self;
    uint64_t one = 1;

    while (write(p->cancel_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}
