/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Inside module rdbms_pgsql: what its files share. */
#ifndef MEERKAT_RDBMS_PGSQL_PRIV_H
#define MEERKAT_RDBMS_PGSQL_PRIV_H

#include <pthread.h>

#include <libpq-fe.h>

#include <meerkat/log.h>
#include <meerkat/metrics.h>
#include <meerkat/rdbms_driver.h>
#include <meerkat/worker.h>

struct pgsql_conf {
    char *host;
    int64_t port;
    char *user;
    char *password;
    char *database;
    int sslmode;
    char *sslrootcert;
    char *sslcert;
    char *sslkey;
    int64_t connections;            /* of a worker */
    int64_t pipeline;               /* requests under way on a connection */
    uint64_t connect_timeout;       /* ms */
    uint64_t statement_timeout;     /* ms */
};

/* A statement as PostgreSQL wants it. */
struct pg_text {
    struct pg_text *next;
    char name[16];
    char *sql;                      /* with $1, $2 … */
};

/* A queue of requests, linked by `next`. */
struct queue {
    struct mk_sql_request *first;
    struct mk_sql_request **end;
    size_t count;
};

/* Texts that this connection has sent to be prepared and not heard of yet, oldest first. */
struct preparing {
    uint32_t *ids;
    size_t first;
    size_t count;
    size_t cap;
};

/* A connection. It belongs to a worker; the connector only makes `fresh`. */
struct conn {
    struct lane *lane;
    struct conn *next_wanted;       /* under connector.lock */
    PGconn *fresh;
    PGconn *pg;                     /* NULL: not connected */
    struct mk_fd *watch;
    uint64_t since;                 /* ms */
    struct queue waiting;
    struct queue sent;
    struct preparing preparing;
    uint8_t *prepared;              /* by the id of the text */
    size_t prepared_count;
    char prepare_error[192];
    enum mk_sql_status prepare_status;
    bool in_rows;                   /* the rows of a statement have begun */
    bool retire;                    /* to be closed as soon as nothing is under way */
    unsigned stuck;                 /* ticks since nobody waits for the oldest any more */
};

/* What belongs to one worker. */
struct lane {
    struct pgsql *pgsql;
    struct conn *conns;
    size_t next;                    /* for requests without a key */
    struct mk_timer *timer;
    struct mk_buf room;             /* for the values of a statement */
    bool deferred;                  /* send_all is going to run */
    bool stopping;
};

/* Makes connections, since that can block: names are looked up, TLS is negotiated. */
struct connector {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct conn *wanted;
    unsigned failures;
    bool has_thread;
    bool stopping;
};

#define PARAMS_MAX 24

struct pgsql {
    struct mk_rdbms_driver table;   /* the service */
    struct mk_module *module;
    const struct mk_rdbms_front *front;
    const char *keywords[PARAMS_MAX];
    char *values[PARAMS_MAX];
    size_t param_count;
    size_t conn_count;              /* of a worker */
    size_t pipeline;
    int connect_timeout;            /* ms */
    uint64_t statement_timeout;     /* ms */
    struct lane *lanes;
    size_t lane_count;
    struct connector connector;
    struct pg_text *texts;          /* atomic: all that were made */
    int cancel_fd;                  /* readable: no waiting any more */
    bool away;                      /* atomic: the last attempt to connect failed */
    size_t open;                    /* atomic: connections */
    pthread_mutex_t lock;           /* for detach */
    pthread_cond_t stopped;
    size_t lanes_left;
    struct mk_counter connects;
    struct mk_counter losses;
};

/* params.c */
void params_make(struct pgsql *p, const struct pgsql_conf *conf);
void params_free(struct pgsql *p);
const struct pg_text *text_of(struct pgsql *p, struct mk_sql_text *text);
void texts_free(struct pgsql *p);

/* answer.c */
enum mk_sql_status status_of(const char *sqlstate);
/* Says why a statement failed, without values. */
void answer_error(struct mk_sql_answer *a, const PGresult *res);
/* False: the answer has become too large. */
bool answer_rows(struct mk_sql_answer *a, const PGresult *res);
size_t answer_affected(const PGresult *res);

/* connect.c */
/* Blocks. `session`: for migrations, without a time-out for statements. */
PGconn *connect_now(struct pgsql *p, bool session, struct mk_error *err);
/* Waits for the socket, `events` as for poll(); -1: time is over (ms; -1: never) or cancelled. */
int connect_wait(struct pgsql *p, PGconn *pg, short events, int timeout);
void connect_want(struct conn *c);
int connector_start(struct pgsql *p, struct mk_error *err);
void connector_stop(struct pgsql *p);

/* conn.c: on the worker */
void conn_connected(void *arg);         /* struct conn: `fresh` is there */
void conn_lost(struct conn *c, const char *why);
void conn_send(struct conn *c);
void conn_fail_waiting(struct conn *c, const char *why);
void conn_tick(struct conn *c);
void queue_init(struct queue *q);
void queue_put(struct queue *q, struct mk_sql_request *r);

/* lane.c */
void lane_submit(void *self, struct mk_sql_request *r);
void lanes_start(struct pgsql *p);
void lanes_away(struct pgsql *p);
void lanes_stop(struct pgsql *p);

/* session.c: for migrations */
enum mk_sql_status session_open(void *self, struct mk_rdbms_session **session_out,
                                struct mk_error *err);
enum mk_sql_status session_run(struct mk_rdbms_session *session, const char *sql,
                               struct mk_sql_answer *answer, struct mk_error *err);
void session_close(struct mk_rdbms_session *session);
void session_cancel(void *self);

#endif
