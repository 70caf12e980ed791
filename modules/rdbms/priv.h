/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Inside module rdbms: what its files share. */
#ifndef MEERKAT_RDBMS_PRIV_H
#define MEERKAT_RDBMS_PRIV_H

#include <pthread.h>

#include <meerkat/admin.h>
#include <meerkat/metrics.h>
#include <meerkat/rdbms_driver.h>
#include <meerkat/worker.h>

struct conf {
    char *driver;
    uint64_t timeout;           /* ms */
    int64_t queue;              /* requests a worker */
    uint64_t queue_size;        /* bytes a worker */
    uint64_t result_size;       /* bytes an answer */
};

/* How far the tables of a module are. Atomic: written by the migration thread. */
enum owner_state {
    OWNER_READY,                /* it has its tables, or needs none of its own */
    OWNER_WAITS,
    OWNER_FAILED,
};

/* A module that uses SQL, by name: it survives the module, so that a reload finds its statements. */
struct owner {
    struct owner *next;
    struct owner *next_waiting; /* migrations that wait; under migrator.lock */
    struct mk_module *module;   /* the one that was seen last */
    char *name;
    int state;
    const struct mk_sql_migration *migrations;
};

struct mk_sql_stmt {
    struct mk_sql_text text;
    struct mk_sql_stmt *next;
    struct owner *owner;
};

struct mk_sql_result {
    struct mk_sql_answer *answer;
    size_t row;                 /* how many were read */
    size_t at;                  /* where the next row begins in the cells */
    uint32_t *columns;          /* where the cells of the row in hand begin */
    struct mk_buf scratch;      /* integers that are asked for as text */
};

/* A request as rdbms sees it; the driver sees the part `r`. */
struct request {
    struct mk_sql_request r;
    struct rdbms *rdbms;
    struct owner *owner;
    struct mk_module *module;
    mk_sql_fn fn;
    void *arg;
    struct request *older;      /* list of what is under way, in the order of time */
    struct request *newer;
    uint64_t deadline;          /* ms */
    uint64_t began;             /* µs */
    size_t bytes;
    bool counted;               /* in the list and in the limits */
    bool told;                  /* fn has been called */
};

/* What belongs to one worker and is touched by it alone. */
struct lane {
    struct rdbms *rdbms;
    struct request *oldest;
    struct request *newest;
    struct mk_sql_request *held;        /* oldest first */
    struct mk_sql_request **held_end;
    struct mk_timer *timer;
    size_t count;
    size_t bytes;
};

struct migrator {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;        /* for the thread */
    pthread_cond_t done;        /* for those who wait for it */
    struct owner *waiting;      /* in the order of the modules */
    bool has_thread;
    bool working;
    bool stopping;
    bool poked;
    unsigned failures;          /* attempts in a row without a database */
    struct mk_error error;      /* of the migration that failed last */
};

struct rdbms {
    struct mk_rdbms api;        /* first: the service */
    struct mk_module *module;
    const struct mk_rdbms_driver *driver;
    struct mk_rdbms_front front;
    struct owner *owners;
    struct mk_sql_stmt *stmts;
    uint32_t stmt_count;
    struct lane *lanes;
    size_t lane_count;
    unsigned pending;           /* atomic: owners that wait for their tables */
    bool away;                  /* atomic: migrations wait because there is no database */
    bool stopping;              /* atomic */
    struct migrator migrator;
    struct mk_counter status[MK_SQL_ERROR + 1];
    struct mk_counter timeouts;
    struct mk_histogram seconds;
    struct mk_gauge queue;
};

/* statement.c: owners and statements */
struct owner *owner_of(struct rdbms *f, struct mk_module *m);
struct mk_sql_stmt *stmt_prepare(void *self, struct mk_module *m, const char *sql);
void stmts_free(struct rdbms *f);

/* request.c: making, limiting, answering */
void request_exec(void *self, struct mk_sql_stmt *stmt, const struct mk_sql_value *values, size_t n,
                  const char *key, mk_sql_fn fn, void *arg);
struct call {
    struct owner *owner;        /* NULL: no steps */
    struct mk_module *module;   /* who asks */
    const struct mk_sql_step *steps;
    size_t count;
    const char *why;            /* a mistake that is known already, or NULL */
    const char *key;
    mk_sql_fn fn;
    void *arg;
};
/* Runs the steps of a call, which are copied, as one transaction. */
void request_run(struct rdbms *f, const struct call *call);
void request_finished(void *self, struct mk_sql_request *list);
/* Lets go what waits for migrations, where they are done now; on every worker. Any thread. */
void request_release_held(struct rdbms *f);

/* batch.c */
struct mk_sql_batch *batch_new(void *self, struct mk_module *m);
void batch_add(struct mk_sql_batch *b, struct mk_sql_stmt *stmt, const struct mk_sql_value *values,
               size_t n);
void batch_run(struct mk_sql_batch *b, const char *key, mk_sql_fn fn, void *arg);
void batch_drop(struct mk_sql_batch *b);

/* result.c: fills the reading half of the service */
void result_functions(struct mk_rdbms *api);
void result_release(struct mk_sql_result *result);

/* migrate.c */
void migrate_init(struct rdbms *f);
void migrate_release(struct rdbms *f);
int migrate_schema(void *self, struct mk_module *m, const struct mk_sql_migration *migrations,
                   struct mk_error *err);
/* Applies what waits, and returns when that is done or has to wait for the database. */
int migrate_start(struct rdbms *f, struct mk_error *err);
void migrate_stop(struct rdbms *f);
void migrate_poke(void *self);
void migrate_print(void *self, mk_sql_schema_fn fn, void *arg);

#endif
