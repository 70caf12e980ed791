/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Inside module rdbms_sqlite: what its files share. */
#ifndef MEERKAT_RDBMS_SQLITE_PRIV_H
#define MEERKAT_RDBMS_SQLITE_PRIV_H

#include <pthread.h>

#include <sqlite3.h>

#include <meerkat/metrics.h>
#include <meerkat/rdbms_driver.h>
#include <meerkat/task.h>
#include <meerkat/worker.h>

struct sqlite_conf {
    char *file;
    int synchronous;
    uint64_t busy_timeout;      /* ms */
    int64_t readers;
    uint64_t max_size;          /* bytes; 0: no limit */
};

/* Keys are told apart by a part of their hash. */
#define SLOTS 1024
/* Requests that are run, and given back, together. */
#define READ_GROUP 16
#define WRITE_GROUP 256

/* A connection, used by one thread. */
struct db {
    struct sqlite *sqlite;
    sqlite3 *handle;            /* NULL: not open */
    sqlite3_stmt **cache;       /* by the id of the text */
    size_t cache_count;
    const struct mk_sql_request *current;
};

/* A thread with its queue. The first one writes. */
struct lane {
    struct sqlite *sqlite;
    pthread_t thread;
    pthread_cond_t wake;
    struct mk_sql_request *first;
    struct mk_sql_request **end;
    struct db db;
    bool has_thread;
    bool idle;
};

/* What a worker has submitted in this turn of its loop. */
struct gathered {
    struct sqlite *sqlite;
    struct mk_sql_request *first;
    struct mk_sql_request **end;
};

struct sqlite {
    struct mk_rdbms_driver table;       /* the service */
    struct mk_module *module;
    const struct mk_rdbms_front *front;
    char *file;
    const char *synchronous;
    int busy_timeout;
    uint64_t max_size;
    struct gathered *gathered;          /* by worker */
    pthread_mutex_t lock;               /* from here on */
    pthread_cond_t reads_done;
    struct lane *lanes;
    size_t lane_count;
    uint32_t writes[SLOTS];             /* with the writer, by slot of the key */
    uint32_t reads[SLOTS];              /* with the readers */
    bool stopping;
    bool cancelled;
    struct mk_rdbms_session *session;
    bool ready;                         /* atomic: the file could be opened when it was last tried */
    size_t connections;                 /* atomic */
    struct mk_counter commits;
    struct mk_task backup, restore;
};

/* What the driver has found out about a statement: mk_sql_text.driver. */
enum text_class { TEXT_UNKNOWN, TEXT_READS, TEXT_WRITES };

/* db.c: a connection */
enum mk_sql_status db_status_of(int rc);
int db_open(struct db *db, struct mk_error *err);       /* SQLite's result code */
void db_close(struct db *db);
/* A statement without parameters and rows; SQLite's extended result code. */
int db_exec(struct db *db, const char *sql);
void db_add_row(sqlite3_stmt *stmt, struct mk_sql_answer *a);

/* run.c: requests on a connection. The lists are run to the end, whatever happens. */
/* False as long as it is not known. Any thread. */
bool run_only_reads(const struct mk_sql_request *r);
void run_reads(struct db *db, struct mk_sql_request *list);
void run_group(struct db *db, struct mk_sql_request *list);

/* session.c: connections for migrations */
enum mk_sql_status session_open(void *self, struct mk_rdbms_session **session_out,
                                struct mk_error *err);
enum mk_sql_status session_run(struct mk_rdbms_session *session, const char *sql,
                               struct mk_sql_answer *answer, struct mk_error *err);
void session_close(struct mk_rdbms_session *session);
void session_cancel(void *self);

/* backup.c: tasks for the command line */
int backup_provide(struct sqlite *s, struct mk_error *err);

/* queue.c: from the workers to the threads */
void queue_submit(void *self, struct mk_sql_request *r);
int queue_start(struct sqlite *s, struct mk_error *err);
void queue_stop(struct sqlite *s);

#endif
