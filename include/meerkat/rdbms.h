/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Service "rdbms": asynchronous SQL, written once in the dialect that SQLite and PostgreSQL share.
 *
 * Statements are prepared texts with `?` for parameters. A request runs on some connection; its
 * answer comes back to the worker that asked, after the commit. Requests of one worker with the same
 * `key` (an account's bare JID, mostly) keep their order; others may overtake each other. A batch is
 * one transaction.
 *
 * The common dialect: INSERT … ON CONFLICT (…) DO UPDATE SET x = excluded.x, DELETE … RETURNING, LIMIT.
 * In migrations {serial} stands for an integer primary key that counts up (`id {serial}`), {bytes} for a
 * byte string, {now} for the default of a time stamp column (UTC). A column of type {bytes} takes
 * MK_SQL_BYTES and every other column of characters MK_SQL_TEXT: PostgreSQL does not forgive the
 * exchange. LIKE looks at case. ORDER BY a text column may follow the database's locale.
 */
#ifndef MEERKAT_RDBMS_H
#define MEERKAT_RDBMS_H

#include <meerkat/base.h>
#include <meerkat/module.h>

MK_BEGIN

enum mk_sql_type { MK_SQL_NULL, MK_SQL_INT, MK_SQL_TEXT, MK_SQL_BYTES };

/* A parameter; text and bytes are copied when the request is made. */
struct mk_sql_value {
    enum mk_sql_type type;
    int64_t i;
    struct mk_str s;
};
#define MK_SQL_V_NULL ((struct mk_sql_value){.type = MK_SQL_NULL})
#define MK_SQL_V_INT(n) ((struct mk_sql_value){.type = MK_SQL_INT, .i = (n)})
#define MK_SQL_V_TEXT(str) ((struct mk_sql_value){.type = MK_SQL_TEXT, .s = (str)})
#define MK_SQL_V_CSTR(text) ((struct mk_sql_value){.type = MK_SQL_TEXT, .s = mk_str_of(text)})
#define MK_SQL_V_BYTES(str) ((struct mk_sql_value){.type = MK_SQL_BYTES, .s = (str)})

enum mk_sql_status {
    MK_SQL_OK,
    MK_SQL_UNAVAILABLE,     /* no connection, or none in time; nothing is known to have been done */
    MK_SQL_BUSY,            /* a queue is full, or somebody else holds a lock: nothing was done */
    MK_SQL_DUPLICATE,       /* a unique key exists already: nothing was done */
    MK_SQL_FULL,            /* disk or quota full: nothing was done */
    MK_SQL_ERROR,           /* anything else: see `error` */
};

struct mk_sql_stmt;
struct mk_sql_batch;
struct mk_sql_result;

/* The answer; `result` is valid during the call. Runs on the worker that asked. */
typedef void (*mk_sql_fn)(struct mk_sql_result *result, void *arg);

struct mk_sql_migration {
    unsigned number;        /* 1, 2, 3 … without gaps */
    const char *sql;        /* statements, each ended by ';' at the end of a line */
};

/* One migration as the driver in use would run it; the texts are valid during the call. */
typedef void (*mk_sql_schema_fn)(const char *module, unsigned number, const char *sql, void *arg);

#define MK_RDBMS_ABI 1
struct mk_rdbms {
    uint32_t size;
    void *self;
    const char *dialect;    /* "sqlite" or "pgsql" */
    /*
     * Says which tables a module needs; migrations that the database has not seen yet are applied
     * before any request of this module runs. A migration that fails keeps the node from starting,
     * or the module from being loaded. `migrations` ends with number 0 and stays valid. In init.
     */
    int (*schema)(void *self, struct mk_module *m, const struct mk_sql_migration *migrations,
                  struct mk_error *err);
    /* A prepared statement, kept until the module goes. In init. Borrowed. */
    struct mk_sql_stmt *(*prepare)(void *self, struct mk_module *m, const char *sql);
    /*
     * Runs a statement with as many values as it has `?`. `key` (may be NULL) is hashed for order.
     * `fn` may be NULL. It is always called exactly once, never before this returns. Worker.
     */
    void (*exec)(void *self, struct mk_sql_stmt *stmt, const struct mk_sql_value *values, size_t n,
                 const char *key, mk_sql_fn fn, void *arg);
    /* A transaction of several statements: all or nothing. */
    struct mk_sql_batch *(*batch)(void *self, struct mk_module *m);
    void (*batch_add)(struct mk_sql_batch *batch, struct mk_sql_stmt *stmt,
                      const struct mk_sql_value *values, size_t n);
    /* The batch is taken. The result is that of the last statement that returned rows; affected is the
     * sum. */
    void (*batch_run)(struct mk_sql_batch *batch, const char *key, mk_sql_fn fn, void *arg);
    void (*batch_drop)(struct mk_sql_batch *batch);

    /* Reading a result. Rows are read in order: `next` moves to the next one, false behind the last. */
    enum mk_sql_status (*status)(const struct mk_sql_result *r);
    const char *(*error)(const struct mk_sql_result *r);    /* for the log; "" when it went well */
    bool (*next)(struct mk_sql_result *r);
    int64_t (*get_int)(const struct mk_sql_result *r, unsigned column);        /* 0 for NULL */
    struct mk_str (*get_text)(const struct mk_sql_result *r, unsigned column); /* bytes as well */
    bool (*is_null)(const struct mk_sql_result *r, unsigned column);
    size_t (*rows)(const struct mk_sql_result *r);
    size_t (*affected)(const struct mk_sql_result *r);      /* rows changed */
    bool (*ready)(void *self);      /* does the database answer at the moment? Any thread. */
    /* The tables of all modules that have called `schema`, in the dialect of the driver in use and in
     * the order in which they are made. Needs no database. Main thread, after init. */
    void (*print_schema)(void *self, mk_sql_schema_fn fn, void *arg);
};

/* SQL files of a module's folder inside the module: MK_SQL_FILE(name, "001_init.sql") at file scope
 * defines `static const char *name`'s text. The assembler looks for the path in the folder in which the compiler
 * runs and in those of -Wa,-I,FOLDER. */
#define MK_SQL_FILE(name, path)                                                            \
    __asm__(".pushsection .rodata\n" #name "_:\n.incbin \"" path "\"\n.byte 0\n.popsection\n"); \
    extern const char name[] __asm__(#name "_") __attribute__((visibility("hidden")))

/* -- conveniences ----------------------------------------------------------------------------- */

/* The service, in init; NULL with a reason. A module that calls this depends on "rdbms". */
static inline const struct mk_rdbms *
mk_rdbms_get(struct mk_module *m, struct mk_error *err)
{
    return (const struct mk_rdbms *)mk_service_get(m, "rdbms", MK_RDBMS_ABI, err);
}

/* Values for exec and batch_add, with their number: db->exec(db->self, stmt, MK_SQL_ARGS(…), …). */
#define MK_SQL_ARGS(...)                                                                   \
    (const struct mk_sql_value[]){__VA_ARGS__},                                            \
        sizeof((const struct mk_sql_value[]){__VA_ARGS__}) / sizeof(struct mk_sql_value)

/* mk_sql_exec(db, stmt, key, fn, arg, MK_SQL_V_CSTR(user), MK_SQL_V_INT(7)) */
#define mk_sql_exec(db, stmt, key, fn, arg, ...)                                           \
    (db)->exec((db)->self, (stmt), MK_SQL_ARGS(__VA_ARGS__), (key), (fn), (arg))
#define mk_sql_add(db, batch, stmt, ...)                                                   \
    (db)->batch_add((batch), (stmt), MK_SQL_ARGS(__VA_ARGS__))

/* For logs and labels. */
static inline const char *
mk_sql_status_name(enum mk_sql_status status)
{
    static const char *const names[] = {"ok",   "unavailable", "busy", "duplicate",
                                        "full", "error"};

    return (unsigned)status < MK_COUNT(names) ? names[status] : "error";
}

MK_END
#endif
