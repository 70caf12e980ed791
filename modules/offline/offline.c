/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Offline messages (XEP-0160): what comes for a user who is not there is kept in the table offline_message and
 * delivered when a session of the user becomes available. See the README for what is promised.
 */
#include "config.h"

#include "internal.h"

#define C struct offline_conf

static const struct mk_option options[] = {
    MK_OPTION_INT(C, max_messages, "1000", "1", "10000000", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                  "messages that may wait for an account; one more goes back to its sender"),
    MK_OPTION_PERIOD(C, max_age, "0", "0", NULL, MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                     "how long a message may wait before it is dropped; 0: for ever"),
    MK_OPTION_INT(C, page_size, "100", "1", "10000", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                  "messages read from the database at once for delivery"),
    MK_OPTION_SIZE(C, window, "256K", "10000", "1G", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                   "bytes delivered before the client must have answered a ping to get more"),
    MK_OPTION_PERIOD(C, ping_timeout, "30s", "100ms", "1h", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                     "how long to wait for that answer; what is left then stays stored"),
    MK_OPTION_INT(C, max_pending, "10000", "1", "10000000", MK_OPT_RELOADABLE,
                  "messages of a worker that may be on their way into the database"),
    MK_OPTION_PERIOD(C, sweep, "1h", "100ms", "30d", 0,
                     "how often messages that are too old are removed"),
    MK_OPTION_END};

#undef C

#define SWEEP_ROWS 1000         /* at once, so that nobody waits long for the database */

MK_SQL_FILE(offline_001, "001_offline_message.sql");

static const struct mk_sql_migration migrations[] = {{1, offline_001}, {0, NULL}};

/* -- messages that are too old -------------------------------------------------------------- */

struct sweeper {
    struct offline *self;
    void (*again)(struct offline *self);
};

static void
on_swept(struct mk_sql_result *result, void *arg)
{
    struct sweeper *sweeper = arg;
    struct offline *self = sweeper->self;
    void (*again)(struct offline *) = sweeper->again;

    mk_free(sweeper);
    if (self->db->status(result) != MK_SQL_OK) {
        store_log(self, "removing old messages", result);
        return;
    }
    mk_counter_add(self->dropped[DROP_EXPIRED], self->db->affected(result));
    if (self->db->affected(result) == SWEEP_ROWS && !is_stopping(self))
        again(self);
}

static void
sweep(struct offline *self)
{
    struct sweeper *sweeper = mk_alloc(sizeof(*sweeper));

    *sweeper = (struct sweeper){self, sweep};
    mk_sql_exec(self->db, self->sql.sweep, NULL, on_swept, sweeper, MK_SQL_V_INT(mk_time_us()),
                MK_SQL_V_INT(SWEEP_ROWS));
}

static void
on_sweep(void *arg)
{
    sweep(arg);
}

static void
start_sweeping(void *arg)
{
    struct offline *self = arg;

    self->lanes[0].sweep =
        mk_timer_every(self->module, conf_of(self, NULL)->sweep, on_sweep, self);
}

/* -- accounts that go ----------------------------------------------------------------------- */

static void
on_account_remove(struct mk_ev_account_remove *ev, void *arg)
{
    struct offline *self = arg;
    const struct mk_sql_value values[] = {MK_SQL_V_TEXT(ev->domain), MK_SQL_V_TEXT(ev->user)};
    struct mk_jid *jid = mk_jid_new(ev->user, ev->domain, MK_STR(""));

    if (ev->batch)
        self->db->batch_add(ev->batch, self->sql.purge, values, MK_COUNT(values));
    else
        self->db->exec(self->db->self, self->sql.purge, values, MK_COUNT(values), NULL, NULL, NULL);
    if (jid)
        account_forget(self, jid);
    mk_jid_unref(&jid);
}

/* -- life cycle ----------------------------------------------------------------------------- */

static void
prepare(struct offline *self)
{
    const struct mk_rdbms *db = self->db;
    struct mk_module *m = self->module;

    /* The quota is looked at by the statement itself, whichever nodes insert. */
    self->sql.insert = db->prepare(
        db->self, m,
        "INSERT INTO offline_message (timestamp, expire, server, username, from_jid, packet) "
        "SELECT CAST(? AS bigint), CAST(? AS bigint), CAST(? AS varchar(250)), "
        "CAST(? AS varchar(250)), CAST(? AS varchar(250)), CAST(? AS text) "
        "WHERE (SELECT count(*) FROM offline_message WHERE server = ? AND username = ?) < ?");
    self->sql.page = db->prepare(
        db->self, m,
        "SELECT " ROW_COLUMNS " FROM offline_message WHERE server = ? AND username = ? AND "
        "(timestamp > ? OR (timestamp = ? AND id > ?)) ORDER BY timestamp, id LIMIT ?");
    self->sql.remove = db->prepare(
        db->self, m,
        "DELETE FROM offline_message WHERE server = ? AND username = ? AND id IN "
        "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    self->sql.purge = db->prepare(
        db->self, m, "DELETE FROM offline_message WHERE server = ? AND username = ?");
    self->sql.sweep = db->prepare(
        db->self, m,
        "DELETE FROM offline_message WHERE id IN (SELECT id FROM offline_message WHERE "
        "expire IS NOT NULL AND expire <= ? LIMIT ?)");
    self->sql.count = db->prepare(
        db->self, m,
        "SELECT count(*) FROM offline_message WHERE server = ? AND username = ? AND "
        "(expire IS NULL OR expire > ?)");
    self->sql.headers = db->prepare(
        db->self, m,
        "SELECT id, timestamp, from_jid FROM offline_message WHERE server = ? AND username = ? AND "
        "(expire IS NULL OR expire > ?) ORDER BY timestamp, id LIMIT ?");
    self->sql.view = db->prepare(
        db->self, m,
        "SELECT " ROW_COLUMNS " FROM offline_message WHERE server = ? AND username = ? AND "
        "id = ? AND timestamp = ?");
    self->sql.remove_one = db->prepare(
        db->self, m,
        "DELETE FROM offline_message WHERE server = ? AND username = ? AND id = ? AND "
        "timestamp = ?");
}

static void
count_things(struct offline *self)
{
    static const char *const why[DROP_COUNT] = {
        [DROP_QUOTA] = "reason=\"quota\"",
        [DROP_DATABASE] = "reason=\"database\"",
        [DROP_BUSY] = "reason=\"busy\"",
        [DROP_NO_ACCOUNT] = "reason=\"no_account\"",
        [DROP_RULE] = "reason=\"rule\"",
        [DROP_EXPIRED] = "reason=\"expired\"",
        [DROP_UNREADABLE] = "reason=\"unreadable\"",
    };

    self->stored = mk_counter_new(self->module, "offline_stored_total", NULL,
                                  "Messages stored for users who were offline");
    self->delivered = mk_counter_new(self->module, "offline_delivered_total", NULL,
                                     "Stored messages delivered");
    for (int i = 0; i < DROP_COUNT; i++)
        self->dropped[i] = mk_counter_new(self->module, "offline_dropped_total", why[i],
                                          "Messages for offline users that were not kept");
}

static int
get_services(struct offline *self, struct mk_error *err)
{
    struct mk_module *m = self->module;

    self->db = mk_rdbms_get(m, err);
    if (!self->db || self->db->schema(self->db->self, m, migrations, err) < 0)
        return -1;
    self->sessions = mk_service_get(m, "sessions", MK_SESSIONS_ABI, err);
    self->tables = mk_service_get(m, "tables", MK_TABLES_ABI, err);
    if (!self->sessions || !self->tables)
        return -1;
    self->table = self->tables->open(self->tables->self, m, "offline", 1, err);
    if (!self->table)
        return -1;
    return self->tables->watch(self->tables->self, m, self->table, flush_on_table, self);
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct offline *self = mk_zalloc(sizeof(*self));

    mk_module_set(m, self);
    self->module = m;
    self->lanes = mk_zalloc(mk_worker_count() * sizeof(*self->lanes));
    if (get_services(self, err) < 0)
        return -1;
    prepare(self);
    count_things(self);
    if (mk_on(m, message_offline, MK_PRIO_LAST, store_on_offline, self) < 0 ||
        mk_on(m, presence_available, MK_PRIO_LATE, flush_on_available, self) < 0 ||
        mk_on(m, account_remove, MK_PRIO_NORMAL, on_account_remove, self) < 0 || offline_port(self) < 0 ||
        retrieve_init(self) < 0 || mk_feature_add(m, MK_TO_HOST, "msgoffline") < 0)
        return mk_fail(err, "a handler could not be registered");
    return offline_api(self, err);
}

static int
start(struct mk_module *m, struct mk_error *err)
{
    struct offline *self = mk_module_get(m);

    (void)err;
    /* Workers may be at work with us already; each is complete when it is seen. */
    for (size_t i = 0; i < AUTH_MAX; i++)
        __atomic_store_n(&self->auth[i], mk_service_nth(m, "auth", MK_AUTH_ABI, i),
                         __ATOMIC_RELEASE);
    mk_post(m, mk_worker_nth(0), start_sweeping, self);
    return 0;
}

static void
stop(struct mk_module *m)
{
    struct offline *self = mk_module_get(m);

    __atomic_store_n(&self->stopping, true, __ATOMIC_RELAXED);
}

static void
unload(struct mk_module *m)
{
    struct offline *self = mk_module_get(m);

    if (!self)
        return;
    accounts_free(self);
    mk_free(self);
}

MK_MODULE(.name = "offline", .version = "1.0",
          .summary = "messages for users who are offline (XEP-0160, XEP-0013)",
          .depends = (const char *const[]){"rdbms", "router", "auth", "tables", NULL},
          .after = (const char *const[]){"presence", "graphql", NULL}, .options = options,
          .conf_size = sizeof(struct offline_conf), .init = init, .start = start, .stop = stop,
          .unload = unload);
