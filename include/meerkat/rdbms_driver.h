/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Service "rdbms_driver": what a driver for a database offers to module rdbms. Modules that only
 * use SQL want <meerkat/rdbms.h>.
 *
 * A driver NAME is the module rdbms_NAME; `driver = NAME` in section [rdbms] loads it. Module rdbms
 * checks and copies the values, limits what is under way, watches time-outs, applies migrations,
 * counts, logs and calls back. The driver gets whole requests, runs each as ONE transaction, and
 * gives it back through `finished` once it is committed (or known not to be).
 *
 * Rules for a driver:
 *  - Every request that was submitted is finished exactly once, MK_SQL_OK only after the commit.
 *  - Requests of one worker with the same `hash` run, and are finished, in the order in which they
 *    were submitted; a read sees the writes before it.
 *  - A request that may have reached the database is never sent again: it ends UNAVAILABLE.
 *  - `submit` runs on a worker and must not block.
 *  - The text of an error must not contain values: they are other people's secrets.
 */
#ifndef MEERKAT_RDBMS_DRIVER_H
#define MEERKAT_RDBMS_DRIVER_H

#include <stdio.h>

#include <meerkat/base.h>
#include <meerkat/rdbms.h>

MK_BEGIN

/* A statement's text. Made in init of some module, never freed while the server runs. */
struct mk_sql_text {
    uint32_t size;
    uint32_t id;                    /* 0, 1, 2 … of this server: an index for caches */
    uint32_t params;                /* how many `?` */
    const char *sql;                /* as the module wrote it */
    uintptr_t driver;               /* the driver's, zero at first; atomic access */
};

struct mk_sql_step {
    struct mk_sql_text *text;
    /* text->params of them. Text is UTF-8 without NUL inside; text and bytes have a NUL behind the end. */
    const struct mk_sql_value *values;
};

/* What a request brings back. Filled by the driver through the functions below. */
struct mk_sql_answer {
    enum mk_sql_status status;
    unsigned columns;
    size_t rows;
    size_t affected;                /* rows changed, summed over the steps */
    size_t limit;                   /* bytes that `cells` may have */
    struct mk_buf cells;            /* each: struct mk_sql_cell, then its bytes */
    char error[192];                /* NUL-terminated; empty when status is MK_SQL_OK */
};

struct mk_sql_cell {
    uint32_t type;                  /* enum mk_sql_type; an integer is 8 bytes in host order */
    uint32_t len;
};

/* A request, allocated by rdbms. The driver owns it from `submit` to `finished`. */
struct mk_sql_request {
    uint32_t size;
    uint32_t worker;                /* index of the worker that asked */
    struct mk_sql_request *next;    /* for the driver's queues; links the list of `finished` */
    uint64_t hash;                  /* of the key */
    bool keyed;                     /* false: order does not matter */
    bool dead;                      /* atomic: nobody waits any more. May be skipped if not begun. */
    size_t step_count;              /* at least 1 */
    const struct mk_sql_step *steps;
    struct mk_sql_answer answer;
    uintptr_t driver[2];            /* the driver's own, zero at first */
};

/* What rdbms offers to the driver. Any thread. */
struct mk_rdbms_front {
    uint32_t size;
    void *self;
    /* Gives requests back, as many as there are, linked by `next`, NULL behind the last. Callbacks
     * never run inside this call. Requests of a worker that come back together cost one wake-up. */
    void (*finished)(void *self, struct mk_sql_request *list);
    /* The database came or went: migrations that wait are tried now. */
    void (*changed)(void *self);
};

/* A connection for migrations. There is one at a time; its thread may block in it. */
struct mk_rdbms_session;

#define MK_RDBMS_DRIVER_ABI 1
struct mk_rdbms_driver {
    uint32_t size;
    void *self;
    const char *name;               /* of the module, without "rdbms_" */
    const char *dialect;            /* "sqlite", "pgsql": what mk_rdbms.dialect says */
    const char *serial;             /* for {serial}, {bytes}, {now} in migrations */
    const char *bytes;
    const char *now;
    const char *lock;               /* statements that begin a transaction which no other node's
                                     * migration can enter at the same time */
    /* Provided in init, attached in start of rdbms: connect, start threads. A database that is away
     * for the moment is not a failure. Requests come from now on. Main thread. */
    int (*attach)(void *self, const struct mk_rdbms_front *front, struct mk_error *err);
    /* No request comes any more. Those under way are finished (done, or UNAVAILABLE) before this
     * returns. Main thread. */
    void (*detach)(void *self);
    void (*submit)(void *self, struct mk_sql_request *request);     /* worker */
    bool (*ready)(void *self);                                      /* any thread */
    size_t (*connections)(void *self);                              /* open ones; any thread */
    /*
     * Migrations. `open` connects; MK_SQL_OK, or MK_SQL_UNAVAILABLE when trying later makes sense.
     * `run` runs any number of statements separated by ';'; the rows of the last one go to `answer`
     * (may be NULL). Closing a session inside a transaction rolls it back. `cancel` makes an `open` or
     * `run` on another thread return soon, and every later one at once.
     */
    enum mk_sql_status (*open)(void *self, struct mk_rdbms_session **session_out,
                               struct mk_error *err);
    enum mk_sql_status (*run)(struct mk_rdbms_session *session, const char *sql,
                              struct mk_sql_answer *answer, struct mk_error *err);
    void (*close)(struct mk_rdbms_session *session);
    void (*cancel)(void *self);
};

/* -- filling an answer ---------------------------------------------------------------------- */

/* Forgets rows, status and error, for a request that is run again. */
static inline void
mk_sql_answer_reset(struct mk_sql_answer *a)
{
    a->status = MK_SQL_OK;
    a->columns = 0;
    a->rows = 0;
    a->affected = 0;
    a->error[0] = '\0';
    mk_buf_clear(&a->cells);
}

static inline void
mk_sql_answer_fail(struct mk_sql_answer *a, enum mk_sql_status status, const char *error)
{
    mk_sql_answer_reset(a);
    a->status = status;
    (void)snprintf(a->error, sizeof(a->error), "%s", error);
}

/* A statement with rows begins; rows of the statement before are forgotten. */
static inline void
mk_sql_answer_columns(struct mk_sql_answer *a, unsigned columns)
{
    a->columns = columns;
    a->rows = 0;
    mk_buf_clear(&a->cells);
}

static inline void
mk_sql_answer_cell_(struct mk_sql_answer *a, enum mk_sql_type type, const void *data, size_t len)
{
    struct mk_sql_cell cell = {.type = (uint32_t)type, .len = (uint32_t)len};

    mk_buf_add(&a->cells, &cell, sizeof(cell));
    mk_buf_add(&a->cells, data, len);
}

static inline void
mk_sql_answer_null(struct mk_sql_answer *a)
{
    mk_sql_answer_cell_(a, MK_SQL_NULL, NULL, 0);
}

static inline void
mk_sql_answer_int(struct mk_sql_answer *a, int64_t value)
{
    mk_sql_answer_cell_(a, MK_SQL_INT, &value, sizeof(value));
}

static inline void
mk_sql_answer_text(struct mk_sql_answer *a, struct mk_str text)
{
    mk_sql_answer_cell_(a, MK_SQL_TEXT, text.p, text.len);
}

static inline void
mk_sql_answer_bytes(struct mk_sql_answer *a, struct mk_str bytes)
{
    mk_sql_answer_cell_(a, MK_SQL_BYTES, bytes.p, bytes.len);
}

/* A row is complete. False when the answer has become too large: stop, and fail it. */
static inline bool
mk_sql_answer_row(struct mk_sql_answer *a)
{
    a->rows++;
    return a->cells.len <= a->limit;
}

static inline bool
mk_sql_is_dead(const struct mk_sql_request *r)
{
    return __atomic_load_n(&r->dead, __ATOMIC_RELAXED);
}

/*
 * The next `?` of `sql` from offset `from` that stands for a parameter (not inside a literal, a
 * quoted name or a comment); the length of the text when there is none. `from` must not lie inside
 * one of those: start with 0, go on behind the result.
 */
static inline size_t
mk_sql_next_param(const char *sql, size_t from)
{
    size_t i = from;

    while (sql[i] && sql[i] != '?') {
        if (sql[i] == '\'' || sql[i] == '"') {
            char quote = sql[i++];

            while (sql[i] && sql[i] != quote)
                i++;
        } else if (sql[i] == '-' && sql[i + 1] == '-') {
            while (sql[i] && sql[i] != '\n')
                i++;
        } else if (sql[i] == '/' && sql[i + 1] == '*') {
            const char *end = strstr(sql + i + 2, "*/");

            i = end ? (size_t)(end - sql) + 1 : strlen(sql);
        }
        if (sql[i])
            i++;
    }
    return i;
}

MK_END
#endif
