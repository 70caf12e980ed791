/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* From libpq's results to answers. */
#include "config.h"

#include <stdlib.h>

#include "priv.h"

/* Types, from PostgreSQL's catalogue: their numbers never change. */
enum { OID_BOOL = 16, OID_BYTEA = 17, OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23, OID_OID = 26 };

/* PostgreSQL appendix A. */
enum mk_sql_status
status_of(const char *sqlstate)
{
    static const struct {
        const char *prefix;
        enum mk_sql_status status;
    } known[] = {
        {"23505", MK_SQL_DUPLICATE},    /* unique_violation */
        {"53100", MK_SQL_FULL},         /* disk_full */
        {"53400", MK_SQL_FULL},         /* configuration_limit_exceeded: temp_file_limit */
        {"55P03", MK_SQL_BUSY},         /* lock_not_available */
        {"40", MK_SQL_BUSY},            /* serialization failure, deadlock: rolled back */
        {"08", MK_SQL_UNAVAILABLE},     /* connection exception */
        {"53", MK_SQL_UNAVAILABLE},     /* out of memory, too many connections */
        {"57", MK_SQL_UNAVAILABLE},     /* shutdown, statement_timeout */
        {"58", MK_SQL_UNAVAILABLE},     /* I/O error */
        {"25006", MK_SQL_UNAVAILABLE},  /* read-only: a standby */
        {"XX", MK_SQL_UNAVAILABLE},     /* data corrupted */
    };

    for (size_t i = 0; i < MK_COUNT(known); i++) {
        if (strncmp(sqlstate, known[i].prefix, strlen(known[i].prefix)) == 0)
            return known[i].status;
    }
    return MK_SQL_ERROR;
}

/* Messages of these classes speak of statements and of the server. Others quote values. */
static bool
shows_no_values(const char *sqlstate)
{
    static const char *const classes[] = {"08", "25", "26", "28", "3D", "40", "42", "53",
                                          "55", "57", "58", "0A"};

    for (size_t i = 0; i < MK_COUNT(classes); i++) {
        if (strncmp(sqlstate, classes[i], 2) == 0)
            return true;
    }
    return false;
}

void
answer_error(struct mk_sql_answer *a, const PGresult *res)
{
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    const char *constraint = PQresultErrorField(res, PG_DIAG_CONSTRAINT_NAME);
    char text[sizeof(a->error)];

    if (!state)         /* libpq's own: the connection has ended */
        snprintf(text, sizeof(text), "the connection was lost");
    else if (message && shows_no_values(state))
        snprintf(text, sizeof(text), "%s (SQLSTATE %s)", message, state);
    else
        snprintf(text, sizeof(text), "SQLSTATE %s%s%s", state, constraint ? ", constraint " : "",
                 constraint ? constraint : "");
    mk_sql_answer_fail(a, state ? status_of(state) : MK_SQL_UNAVAILABLE, text);
}

static int
digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* "\x00ff…": the form of bytea_output = hex, which we have asked for. */
static void
add_bytes(struct mk_sql_answer *a, const char *hex, size_t len)
{
    struct mk_sql_cell cell = {.type = MK_SQL_BYTES, .len = (uint32_t)((len - 2) / 2)};

    mk_buf_add(&a->cells, &cell, sizeof(cell));
    mk_buf_reserve(&a->cells, cell.len);
    for (size_t i = 2; i + 1 < len; i += 2)
        mk_buf_add_byte(&a->cells, (char)(digit(hex[i]) << 4 | digit(hex[i + 1])));
}

static void
add_cell(struct mk_sql_answer *a, const PGresult *res, int row, int column)
{
    const char *p = PQgetvalue(res, row, column);
    size_t len = (size_t)PQgetlength(res, row, column);

    if (PQgetisnull(res, row, column)) {
        mk_sql_answer_null(a);
        return;
    }
    switch (PQftype(res, column)) {
    case OID_INT2:
    case OID_INT4:
    case OID_INT8:
    case OID_OID:
        mk_sql_answer_int(a, strtoll(p, NULL, 10));
        break;
    case OID_BOOL:
        mk_sql_answer_int(a, *p == 't');
        break;
    case OID_BYTEA:
        add_bytes(a, p, len);
        break;
    default:
        mk_sql_answer_text(a, (struct mk_str){p, len});
    }
}

bool
answer_rows(struct mk_sql_answer *a, const PGresult *res)
{
    for (int row = 0; row < PQntuples(res); row++) {
        for (int column = 0; column < PQnfields(res); column++)
            add_cell(a, res, row, column);
        if (!mk_sql_answer_row(a))
            return false;
    }
    return true;
}

size_t
answer_affected(const PGresult *res)
{
    /* libpq does not change the result, whatever its type says. */
    PGresult *r = (PGresult *)(uintptr_t)res;

    if (strncmp(PQcmdStatus(r), "SELECT", 6) == 0)
        return 0;
    return (size_t)strtoull(PQcmdTuples(r), NULL, 10);
}
