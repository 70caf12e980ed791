/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Service "rdbms": asynchronous SQL for modules, over a driver (<meerkat/rdbms_driver.h>) that is a
 * module of its own. This file is the module's life; see request.c for the way of a request and
 * migrate.c for the tables.
 */
#include "config.h"

#include "priv.h"

static const struct mk_option options[] = {
    MK_OPTION_MODULE(struct conf, driver, "sqlite", "rdbms_%s", 0,
                     "the database: sqlite or pgsql; its settings are in [rdbms_sqlite] or "
                     "[rdbms_pgsql]"),
    MK_OPTION_PERIOD(struct conf, timeout, "10s", "50ms", "10m", 0,
                     "how long a request may take before whoever asked is told 'unavailable'"),
    MK_OPTION_INT(struct conf, queue, "10000", "1", "10000000", MK_OPT_RELOADABLE,
                  "requests under way on one worker; more are answered 'busy'"),
    MK_OPTION_SIZE(struct conf, queue_size, "64M", "64K", "1T", MK_OPT_RELOADABLE,
                   "bytes of the requests under way on one worker; more are answered 'busy'"),
    MK_OPTION_SIZE(struct conf, result_size, "16M", "1K", "1G", MK_OPT_RELOADABLE,
                   "bytes of the rows of one answer; a larger one is an error"),
    MK_OPTION_END};

static bool
ready(void *self)
{
    struct rdbms *f = self;

    return __atomic_load_n(&f->pending, __ATOMIC_ACQUIRE) == 0 && f->driver->ready(f->driver->self);
}

static const char *
not_ready(void *arg)
{
    struct rdbms *f = arg;

    if (__atomic_load_n(&f->stopping, __ATOMIC_ACQUIRE))
        return "stopping";
    if (!f->driver->ready(f->driver->self))
        return "the database does not answer";
    return ready(f) ? NULL : "tables are being made";
}

static double
ask_connections(void *arg)
{
    struct rdbms *f = arg;

    return (double)f->driver->connections(f->driver->self);
}

static double
ask_limit(void *arg)
{
    const struct rdbms *f = arg;

    return (double)(((const struct conf *)mk_module_conf(f->module, NULL))->queue * (int64_t)f->lane_count);
}

static void
make_metrics(struct rdbms *f)
{
    for (int i = MK_SQL_OK; i <= MK_SQL_ERROR; i++) {
        char *label = mk_printf_new("status=\"%s\"", mk_sql_status_name((enum mk_sql_status)i));

        f->status[i] = mk_counter_new(f->module, "rdbms_requests_total", label,
                                      "SQL requests that were answered");
        mk_free(label);
    }
    f->timeouts = mk_counter_new(f->module, "rdbms_timeouts_total", NULL,
                                 "SQL requests that took longer than rdbms.timeout");
    f->seconds = mk_histogram_new(f->module, "rdbms_request_seconds", NULL,
                                  "Time from a SQL request to its answer", 16, 0.000001);
    f->queue = mk_gauge_new(f->module, "rdbms_queue", NULL, "SQL requests under way");
    mk_gauge_ask(f->module, "rdbms_queue_limit", NULL, "SQL requests that may be under way", ask_limit, f);
    mk_gauge_ask(f->module, "rdbms_connections", NULL, "Open connections to the database",
                 ask_connections, f);
}

static void
make_lanes(struct rdbms *f)
{
    f->lane_count = mk_worker_count();
    f->lanes = mk_zalloc(f->lane_count * sizeof(*f->lanes));
    for (size_t i = 0; i < f->lane_count; i++) {
        f->lanes[i].rdbms = f;
        f->lanes[i].held_end = &f->lanes[i].held;
    }
}

static void
make_table(struct rdbms *f)
{
    f->api = (struct mk_rdbms){
        .size = sizeof(f->api),
        .self = f,
        .dialect = f->driver->dialect,
        .schema = migrate_schema,
        .prepare = stmt_prepare,
        .exec = request_exec,
        .batch = batch_new,
        .batch_add = batch_add,
        .batch_run = batch_run,
        .batch_drop = batch_drop,
        .ready = ready,
        .print_schema = migrate_print,
    };
    result_functions(&f->api);
    f->front = (struct mk_rdbms_front){.size = sizeof(f->front),
                                       .self = f,
                                       .finished = request_finished,
                                       .changed = migrate_poke};
}

/* Several drivers may be loaded; the configuration says which one counts. */
static const struct mk_rdbms_driver *
find_driver(struct mk_module *m, const char *name, struct mk_error *err)
{
    const struct mk_rdbms_driver *d;

    for (size_t n = 0; (d = mk_service_nth(m, "rdbms_driver", MK_RDBMS_DRIVER_ABI, n)); n++) {
        if (strcmp(d->name, name) == 0)
            return d;
    }
    mk_fail(err, "module 'rdbms_%s' is no driver that this version can use", name);
    return NULL;
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    const struct conf *conf = mk_module_conf(m, NULL);
    const struct mk_rdbms_driver *driver = find_driver(m, conf->driver, err);
    struct rdbms *f;

    if (!driver)
        return -1;
    f = mk_zalloc(sizeof(*f));
    mk_module_set(m, f);
    f->module = m;
    f->driver = driver;
    make_lanes(f);
    make_table(f);
    make_metrics(f);
    migrate_init(f);
    if (mk_ready_add(m, "database", not_ready, f) < 0)
        return mk_fail(err, "cannot add the check of readiness");
    return mk_service_provide(m, "rdbms", MK_RDBMS_ABI, &f->api, err);
}

static int
start(struct mk_module *m, struct mk_error *err)
{
    struct rdbms *f = mk_module_get(m);

    if (f->driver->attach(f->driver->self, &f->front, err) < 0)
        return -1;
    return migrate_start(f, err);
}

static void
stop(struct mk_module *m)
{
    struct rdbms *f = mk_module_get(m);

    __atomic_store_n(&f->stopping, true, __ATOMIC_RELEASE);
    migrate_stop(f);
    request_release_held(f);
    f->driver->detach(f->driver->self);
}

static void
unload(struct mk_module *m)
{
    struct rdbms *f = mk_module_get(m);

    if (!f)
        return;
    migrate_release(f);
    stmts_free(f);
    mk_free(f->lanes);
    mk_free(f);
}

MK_MODULE(.name = "rdbms", .version = "1.0",
          .summary = "asynchronous SQL for modules, with migrations of their tables",
          .provides = (const char *const[]){"rdbms", NULL}, .options = options,
          .conf_size = sizeof(struct conf), .init = init, .start = start, .stop = stop,
          .unload = unload);
