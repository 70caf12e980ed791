/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * PostgreSQL for module rdbms: a few connections for each worker, non-blocking and in pipeline
 * mode, made again when they are lost.
 */
#include "config.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "priv.h"

static const char *const sslmodes[] = {"disable", "prefer", "require", "verify-ca", "verify-full",
                                       NULL};

static const struct mk_option options[] = {
    MK_OPTION_STRING(struct pgsql_conf, host, NULL, 0,
                     "name, address or folder of the Unix socket; several with commas; empty: the "
                     "local socket"),
    MK_OPTION_INT(struct pgsql_conf, port, "5432", "1", "65535", 0, "port, also of a Unix socket"),
    MK_OPTION_STRING(struct pgsql_conf, user, "meerkat", 0, "database user"),
    MK_OPTION_SECRET(struct pgsql_conf, password, NULL, 0, "password of the database user"),
    MK_OPTION_STRING(struct pgsql_conf, database, "meerkat", 0, "name of the database"),
    MK_OPTION_ENUM(struct pgsql_conf, sslmode, "prefer", sslmodes, 0,
                   "TLS, as libpq says it; verify-full is the only one that keeps everybody out"),
    MK_OPTION_PATH(struct pgsql_conf, sslrootcert, NULL, 0,
                   "file of the authorities that verify-ca and verify-full trust"),
    MK_OPTION_PATH(struct pgsql_conf, sslcert, NULL, 0, "file of our own certificate"),
    MK_OPTION_PATH(struct pgsql_conf, sslkey, NULL, 0, "file of its key"),
    MK_OPTION_INT(struct pgsql_conf, connections, "2", "1", "64", 0, "connections of each worker"),
    MK_OPTION_INT(struct pgsql_conf, pipeline, "64", "1", "10000", 0,
                  "requests on their way on a connection; more wait here"),
    MK_OPTION_PERIOD(struct pgsql_conf, connect_timeout, "5s", "100ms", "5m", 0,
                     "how long making a connection may take"),
    MK_OPTION_PERIOD(struct pgsql_conf, statement_timeout, "10s", "0", "1d", 0,
                     "the server gives a statement up after this time; 0: never"),
    MK_OPTION_END};

static int
attach(void *self, const struct mk_rdbms_front *front, struct mk_error *err)
{
    struct pgsql *p = self;

    p->front = front;
    if (connector_start(p, err) < 0)
        return -1;
    lanes_start(p);
    return 0;
}

static void
detach(void *self)
{
    struct pgsql *p = self;

    connector_stop(p);
    lanes_stop(p);
}

static bool
ready(void *self)
{
    struct pgsql *p = self;

    return !__atomic_load_n(&p->away, __ATOMIC_ACQUIRE) &&
           __atomic_load_n(&p->open, __ATOMIC_RELAXED) > 0;
}

static size_t
connections(void *self)
{
    return __atomic_load_n(&((struct pgsql *)self)->open, __ATOMIC_RELAXED);
}

static void
make_table(struct pgsql *p)
{
    p->table = (struct mk_rdbms_driver){
        .size = sizeof(p->table),
        .self = p,
        .name = "pgsql",
        .dialect = "pgsql",
        .serial = "bigserial PRIMARY KEY",
        .bytes = "bytea",
        .now = "(now() AT TIME ZONE 'utc')",
        /* Any number will do, if only all nodes take the same. */
        .lock = "BEGIN; SELECT pg_advisory_xact_lock(7813921046)",
        .attach = attach,
        .detach = detach,
        .submit = lane_submit,
        .ready = ready,
        .connections = connections,
        .open = session_open,
        .run = session_run,
        .close = session_close,
        .cancel = session_cancel,
    };
}

static void
make_lanes(struct pgsql *p)
{
    p->lane_count = mk_worker_count();
    p->lanes = mk_zalloc(p->lane_count * sizeof(*p->lanes));
    for (size_t i = 0; i < p->lane_count; i++) {
        p->lanes[i].pgsql = p;
        p->lanes[i].conns = mk_zalloc(p->conn_count * sizeof(struct conn));
        for (size_t k = 0; k < p->conn_count; k++) {
            struct conn *c = &p->lanes[i].conns[k];

            c->lane = &p->lanes[i];
            queue_init(&c->waiting);
            queue_init(&c->sent);
        }
    }
}

static void
make_locks(struct pgsql *p)
{
    pthread_condattr_t attr;

    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->stopped, NULL);
    pthread_mutex_init(&p->connector.lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&p->connector.wake, &attr);
    pthread_condattr_destroy(&attr);
}

static double
ask_limit(void *arg)
{
    const struct pgsql *p = arg;

    return (double)(p->conn_count * p->lane_count);
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    const struct pgsql_conf *conf = mk_module_conf(m, NULL);
    struct pgsql *p = mk_zalloc(sizeof(*p));

    mk_module_set(m, p);
    p->module = m;
    p->conn_count = (size_t)conf->connections;
    p->pipeline = (size_t)conf->pipeline;
    p->connect_timeout = (int)conf->connect_timeout;
    p->statement_timeout = conf->statement_timeout;
    make_locks(p);
    params_make(p, conf);
    make_lanes(p);
    make_table(p);
    p->connects = mk_counter_new(m, "rdbms_connects_total", NULL, "Connections made to PostgreSQL");
    p->losses = mk_counter_new(m, "rdbms_connections_lost_total", NULL,
                               "Connections to PostgreSQL that ended by themselves");
    mk_gauge_ask(m, "rdbms_connections_limit", NULL, "Connections to PostgreSQL that there shall be", ask_limit, p);
    p->cancel_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (p->cancel_fd < 0)
        return mk_fail(err, "cannot make an eventfd: %s", strerror(errno));
    return mk_service_provide(m, "rdbms_driver", MK_RDBMS_DRIVER_ABI, &p->table, err);
}

static void
unload(struct mk_module *m)
{
    struct pgsql *p = mk_module_get(m);

    if (!p)
        return;
    if (p->cancel_fd >= 0)
        close(p->cancel_fd);
    for (size_t i = 0; i < p->lane_count; i++) {
        mk_buf_release(&p->lanes[i].room);
        mk_free(p->lanes[i].conns);
    }
    mk_free(p->lanes);
    params_free(p);
    texts_free(p);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->stopped);
    pthread_mutex_destroy(&p->connector.lock);
    pthread_cond_destroy(&p->connector.wake);
    mk_free(p);
}

MK_MODULE(.name = "rdbms_pgsql", .version = "1.0", .summary = "PostgreSQL for module rdbms",
          .provides = (const char *const[]){"rdbms_driver", NULL}, .options = options,
          .conf_size = sizeof(struct pgsql_conf), .init = init, .unload = unload);
