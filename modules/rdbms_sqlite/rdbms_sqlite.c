/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * SQLite for module rdbms: one file in WAL mode, one thread that writes and commits groups of
 * requests together, and readers beside it.
 */
#include "config.h"

#include "priv.h"

static const char *const synchronous_names[] = {"full", "normal", NULL};

static const struct mk_option options[] = {
    MK_OPTION_STRING(struct sqlite_conf, file, "meerkat.sqlite3", 0,
                     "the file; a relative path is below the state directory"),
    MK_OPTION_ENUM(struct sqlite_conf, synchronous, "full", synchronous_names, 0,
                   "full: what was committed survives a loss of power; normal: it survives a crash "
                   "of the server only, and writing is faster"),
    MK_OPTION_PERIOD(struct sqlite_conf, busy_timeout, "5s", "1ms", "10m", 0,
                     "how long to wait for another process that has locked the file"),
    MK_OPTION_INT(struct sqlite_conf, readers, "2", "0", "64", 0,
                  "threads that read beside the one that writes"),
    MK_OPTION_SIZE(struct sqlite_conf, max_size, "0", NULL, "1T", 0,
                   "largest size of the file, 0: no limit; beyond it writing fails as on a full disk"),
    MK_OPTION_END};

static int
check(const void *conf, const char *host, struct mk_error *err)
{
    const struct sqlite_conf *c = conf;

    (void)host;
    if (!c->file || !*c->file)
        return mk_fail(err, "option 'file' is empty");
    if (c->max_size && c->max_size < 65536)
        return mk_fail(err, "option 'max_size' is too small: at least 64K");
    return 0;
}

static bool
ready(void *self)
{
    return __atomic_load_n(&((struct sqlite *)self)->ready, __ATOMIC_ACQUIRE);
}

static size_t
connections(void *self)
{
    return __atomic_load_n(&((struct sqlite *)self)->connections, __ATOMIC_RELAXED);
}

static int
attach(void *self, const struct mk_rdbms_front *front, struct mk_error *err)
{
    struct sqlite *s = self;

    s->front = front;
    s->stopping = false;
    s->cancelled = false;
    return queue_start(s, err);
}

static void
detach(void *self)
{
    queue_stop(self);
}

static void
make_table(struct sqlite *s)
{
    s->table = (struct mk_rdbms_driver){
        .size = sizeof(s->table),
        .self = s,
        .name = "sqlite",
        .dialect = "sqlite",
        .serial = "integer PRIMARY KEY AUTOINCREMENT",
        .bytes = "blob",
        .now = "CURRENT_TIMESTAMP",
        .lock = "BEGIN IMMEDIATE",
        .attach = attach,
        .detach = detach,
        .submit = queue_submit,
        .ready = ready,
        .connections = connections,
        .open = session_open,
        .run = session_run,
        .close = session_close,
        .cancel = session_cancel,
    };
}

static void
make_lanes(struct sqlite *s, size_t readers)
{
    s->lane_count = readers + 1;
    s->lanes = mk_zalloc(s->lane_count * sizeof(*s->lanes));
    for (size_t i = 0; i < s->lane_count; i++) {
        s->lanes[i].sqlite = s;
        s->lanes[i].end = &s->lanes[i].first;
        s->lanes[i].db.sqlite = s;
        pthread_cond_init(&s->lanes[i].wake, NULL);
    }
    s->gathered = mk_zalloc(mk_worker_count() * sizeof(*s->gathered));
    for (size_t i = 0; i < mk_worker_count(); i++)
        s->gathered[i] = (struct gathered){.sqlite = s, .end = &s->gathered[i].first};
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    const struct sqlite_conf *conf = mk_module_conf(m, NULL);
    struct sqlite *s = mk_zalloc(sizeof(*s));

    mk_module_set(m, s);
    s->module = m;
    s->file = conf->file[0] == '/' ? mk_strdup(conf->file)
                                   : mk_printf_new("%s/%s", mk_state_dir(), conf->file);
    s->synchronous = synchronous_names[conf->synchronous];
    s->busy_timeout = (int)conf->busy_timeout;
    s->max_size = conf->max_size;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->reads_done, NULL);
    make_lanes(s, (size_t)conf->readers);
    make_table(s);
    s->commits = mk_counter_new(m, "rdbms_commits_total", NULL,
                                "Transactions committed to SQLite, each of one request or more");
    if (backup_provide(s, err) < 0)
        return -1;
    return mk_service_provide(m, "rdbms_driver", MK_RDBMS_DRIVER_ABI, &s->table, err);
}

static void
unload(struct mk_module *m)
{
    struct sqlite *s = mk_module_get(m);

    if (!s)
        return;
    for (size_t i = 0; i < s->lane_count; i++)
        pthread_cond_destroy(&s->lanes[i].wake);
    pthread_cond_destroy(&s->reads_done);
    pthread_mutex_destroy(&s->lock);
    mk_free(s->lanes);
    mk_free(s->gathered);
    mk_free(s->file);
    mk_free(s);
}

MK_MODULE(.name = "rdbms_sqlite", .version = "1.0", .summary = "SQLite for module rdbms",
          .provides = (const char *const[]){"rdbms_driver", "task_backup", "task_restore", NULL}, .options = options,
          .conf_size = sizeof(struct sqlite_conf), .check = check, .init = init, .unload = unload);
