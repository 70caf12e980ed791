/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Discovery by the database: each node keeps its row in `discovery_nodes` fresh and reads those of the others. One
 * module for SQLite (nodes of one machine) and PostgreSQL. Time is the database's. Everything happens on the
 * worker that joined.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include <meerkat/discovery.h>
#include <meerkat/meerkat.h>
#include <meerkat/rdbms.h>

#define FAST_MS 250u        /* between looks while a cluster comes together */
#define FAST_FOR_MS 5000u

struct conf {
    uint64_t interval, expire;
};

static const struct mk_option options[] = {
    MK_OPTION_PERIOD(struct conf, interval, "5s", "200ms", "1h", 0,
                     "time between heartbeats of this node, and looks for the others"),
    MK_OPTION_PERIOD(struct conf, expire, "3m", "1s", "7d", 0,
                     "age of a heartbeat at which a node is taken out of the list"),
    MK_OPTION_END};

struct member {
    char *name, *address;
    uint32_t number;
    bool fresh;
};

struct discovery {
    struct mk_module *module;
    const struct mk_rdbms *db;
    struct mk_discovery service;
    struct {
        struct mk_sql_stmt *where, *read, *beat, *insert, *foreign, *holder, *expire, *leave;
    } sql;
    struct mk_counter failures;
    /* of the join */
    char *cluster, *name, *host, *address;
    unsigned port;
    mk_discovery_fn fn;
    void *arg;
    struct mk_timer *timer;
    uint32_t number;            /* 0: none yet */
    uint32_t last_number;       /* that it had when its row was lost */
    uint64_t fast_until;
    uint64_t contact_since;     /* when the database began to answer; 0: it does not */
    const char *trouble;        /* atomic */
    bool name_taken;            /* atomic; a living node of another cluster has our name */
    struct member *members;
    size_t count;
    bool leaving;
    void (*left)(void *arg);
    void *left_arg;
};

MK_SQL_FILE(discovery_nodes_001, "001_discovery_nodes.sql");
static const struct mk_sql_migration migrations[] = {{1, discovery_nodes_001}, {0, NULL}};

static void look(void *arg);

/* -- going well, or not ---------------------------------------------------------------------- */

static void
next_look(struct discovery *d, uint64_t after)
{
    if (d->leaving)
        return;
    d->timer = mk_timer_new(d->module, after, look, d);
}

static uint64_t
pause_of(const struct discovery *d)
{
    const struct conf *conf = mk_module_conf(d->module, NULL);

    return mk_now_ms() < d->fast_until && conf->interval > FAST_MS ? FAST_MS : conf->interval;
}

static bool
went_well(struct discovery *d, struct mk_sql_result *result)
{
    enum mk_sql_status status = d->db->status(result);

    if (status == MK_SQL_OK) {
        if (d->trouble)
            mk_log(d->module, MK_LOG_INFO, "discovery.back", "the database answers again");
        __atomic_store_n(&d->trouble, NULL, __ATOMIC_RELEASE);
        if (!d->contact_since)
            d->contact_since = mk_now_ms();
        return true;
    }
    mk_counter_add(d->failures, 1);
    if (!d->trouble)
        mk_log(d->module, MK_LOG_WARN, "discovery.trouble",
               "the database does not tell who is in the cluster: %s %s; the nodes that are known stay",
               mk_sql_status_name(status), d->db->error(result));
    __atomic_store_n(&d->trouble, mk_sql_status_name(status), __ATOMIC_RELEASE);
    d->contact_since = 0;
    return false;
}

/* -- the list ------------------------------------------------------------------------------- */

static void
forget_members(struct discovery *d)
{
    for (size_t i = 0; i < d->count; i++) {
        mk_free(d->members[i].name);
        mk_free(d->members[i].address);
    }
    mk_free(d->members);
    d->members = NULL;
    d->count = 0;
}

/* After an outage all rows are old, and nobody is dead for that: they have the time of two looks to write again. */
static void
keep_members(struct discovery *d, struct mk_sql_result *result)
{
    const struct conf *conf = mk_module_conf(d->module, NULL);
    bool early = mk_now_ms() - d->contact_since < 2 * conf->interval;

    forget_members(d);
    d->members = mk_zalloc((d->db->rows(result) + 1) * sizeof(*d->members));
    while (d->db->next(result)) {
        struct member *m = &d->members[d->count++];

        m->name = mk_str_dup(d->db->get_text(result, 0));
        m->number = (uint32_t)d->db->get_int(result, 1);
        m->address = mk_str_dup(d->db->get_text(result, 2));
        m->fresh = early || d->db->get_int(result, 3) * 1000 < (int64_t)conf->expire;
    }
}

static struct member *
own_row(struct discovery *d)
{
    for (size_t i = 0; i < d->count; i++) {
        if (strcmp(d->members[i].name, d->name) == 0)
            return &d->members[i];
    }
    return NULL;
}

/* Rows count even when they are old: who wrote one may be alive while the database was not. */
static bool
is_free(const struct discovery *d, uint32_t number)
{
    for (size_t i = 0; i < d->count; i++) {
        if (d->members[i].number == number)
            return false;
    }
    return true;
}

/* A node that runs and whose row was lost must have its own again: with another it could not go on. */
static uint32_t
free_number(const struct discovery *d)
{
    if (d->last_number && is_free(d, d->last_number))
        return d->last_number;
    for (uint32_t n = 1; n <= MK_NODE_NUMBER_MAX; n++) {
        if (is_free(d, n))
            return n;
    }
    return 0;
}

static void
tell(struct discovery *d)
{
    struct mk_discovered *list = mk_zalloc((d->count + 1) * sizeof(*list));
    size_t count = 0;

    for (size_t i = 0; i < d->count; i++) {
        const struct member *m = &d->members[i];

        if (m->fresh && m->address[0] && m->number && m->number <= MK_NODE_NUMBER_MAX)
            list[count++] = (struct mk_discovered){m->name, m->address, m->number};
    }
    d->fn(list, count, d->number, d->arg);
    mk_free(list);
}

/* -- steps of a look ------------------------------------------------------------------------- */

static void
on_beat(struct mk_sql_result *result, void *arg)
{
    struct discovery *d = arg;

    if (!went_well(d, result)) {
        next_look(d, pause_of(d));
        return;
    }
    if (d->db->affected(result) == 0) {
        /* Somebody took us for dead. The number stays ours if nobody has it. */
        mk_log(d->module, MK_LOG_WARN, "discovery.expired", "this node's row was gone; it is written again");
        d->last_number = d->number;
        d->number = 0;
        look(d);
        return;
    }
    tell(d);
    next_look(d, pause_of(d));
}

static void
set_name_taken(struct discovery *d, bool taken)
{
    __atomic_store_n(&d->name_taken, taken, __ATOMIC_RELEASE);
}

/* Was it the number that another node took in this moment, or the name, that a node of another cluster has? */
static void
on_holder(struct mk_sql_result *result, void *arg)
{
    struct discovery *d = arg;

    if (!went_well(d, result)) {
        next_look(d, pause_of(d));
    } else if (!d->db->next(result)) {
        set_name_taken(d, false);
        next_look(d, 1 + (uint64_t)rand() % FAST_MS);
    } else {
        if (!d->name_taken)
            mk_log(d->module, MK_LOG_ERROR, "discovery.name_taken",
                   "cluster '%.*s' in the same database has a node '%s' as well: names of nodes must differ, "
                   "and this one waits until that is gone", MK_STR_ARG(d->db->get_text(result, 0)), d->name);
        set_name_taken(d, true);
        next_look(d, pause_of(d));
    }
}

static void
on_registered(struct mk_sql_result *result, void *arg)
{
    struct discovery *d = arg;

    if (d->db->status(result) == MK_SQL_DUPLICATE) {
        d->number = 0;
        mk_sql_exec(d->db, d->sql.holder, "discovery", on_holder, d, MK_SQL_V_CSTR(d->name),
                    MK_SQL_V_CSTR(d->cluster));
        return;
    }
    if (!went_well(d, result)) {
        d->number = 0;
        next_look(d, pause_of(d));
        return;
    }
    set_name_taken(d, false);
    d->fast_until = mk_now_ms() + FAST_FOR_MS;
    look(d);
}

static void
register_node(struct discovery *d)
{
    const struct conf *conf = mk_module_conf(d->module, NULL);
    struct member *own = own_row(d);
    struct mk_sql_batch *batch = d->db->batch(d->db->self, d->module);

    d->number = own ? own->number : free_number(d);
    mk_sql_add(d->db, batch, d->sql.foreign, MK_SQL_V_CSTR(d->name), MK_SQL_V_CSTR(d->cluster),
               MK_SQL_V_INT((int64_t)conf->expire / 1000));
    if (own)
        mk_sql_add(d->db, batch, d->sql.beat, MK_SQL_V_CSTR(d->address), MK_SQL_V_CSTR(d->name),
                   MK_SQL_V_CSTR(d->cluster));
    else
        mk_sql_add(d->db, batch, d->sql.insert, MK_SQL_V_CSTR(d->cluster), MK_SQL_V_CSTR(d->name),
                   MK_SQL_V_INT(d->number), MK_SQL_V_CSTR(d->address));
    d->db->batch_run(batch, "discovery", on_registered, d);
}

/* After an outage all rows are old: nobody is thrown out before he had time to write again. */
static void
beat(struct discovery *d)
{
    const struct conf *conf = mk_module_conf(d->module, NULL);
    struct mk_sql_batch *batch;

    if (mk_now_ms() - d->contact_since > conf->expire) {
        batch = d->db->batch(d->db->self, d->module);
        mk_sql_add(d->db, batch, d->sql.expire, MK_SQL_V_CSTR(d->cluster), MK_SQL_V_CSTR(d->name),
                   MK_SQL_V_INT((int64_t)conf->expire / 1000));
        d->db->batch_run(batch, "discovery", NULL, NULL);
    }
    mk_sql_exec(d->db, d->sql.beat, "discovery", on_beat, d, MK_SQL_V_CSTR(d->address),
                MK_SQL_V_CSTR(d->name), MK_SQL_V_CSTR(d->cluster));
}

static void
on_read(struct mk_sql_result *result, void *arg)
{
    struct discovery *d = arg;
    struct member *own;

    if (!went_well(d, result)) {
        next_look(d, pause_of(d));
        return;
    }
    keep_members(d, result);
    own = own_row(d);
    if (own && d->number && own->number != d->number)
        d->number = own->number;    /* somebody else with our name: whoever uses this sees it */
    if (d->number)
        beat(d);
    else
        register_node(d);
}

static void
read_list(struct discovery *d)
{
    mk_sql_exec(d->db, d->sql.read, "discovery", on_read, d, MK_SQL_V_CSTR(d->cluster));
}

static void
set_address(struct discovery *d, struct mk_str host)
{
    bool v6 = memchr(host.p, ':', host.len) != NULL;

    mk_free(d->address);
    d->address = mk_printf_new(v6 ? "[%.*s]:%u" : "%.*s:%u", MK_STR_ARG(host), d->port);
}

/* What the database sees of us; nothing over a local socket. */
static void
on_where(struct mk_sql_result *result, void *arg)
{
    struct discovery *d = arg;

    if (!went_well(d, result)) {
        next_look(d, pause_of(d));
        return;
    }
    if (d->db->next(result) && !d->db->is_null(result, 0))
        set_address(d, d->db->get_text(result, 0));
    else
        set_address(d, MK_STR("127.0.0.1"));
    mk_log(d->module, MK_LOG_INFO, "discovery.address", "other nodes reach this one at %s", d->address);
    read_list(d);
}

static void
look(void *arg)
{
    struct discovery *d = arg;

    d->timer = NULL;
    if (d->leaving)
        return;
    if (!d->address)
        mk_sql_exec(d->db, d->sql.where, "discovery", on_where, d, MK_SQL_V_INT(0));
    else
        read_list(d);
}

/* -- the service ---------------------------------------------------------------------------- */

static void
svc_join(void *self, struct mk_module *m, const struct mk_discovery_self *node, mk_discovery_fn fn,
         void *arg)
{
    struct discovery *d = self;

    (void)m;
    MK_ASSERT(!d->fn);
    d->cluster = mk_strdup(node->cluster);
    d->name = mk_strdup(node->name);
    d->port = node->port;
    d->fn = fn;
    d->arg = arg;
    if (node->host)
        set_address(d, mk_str_of(node->host));
    look(d);
}

static void
on_left(struct mk_sql_result *result, void *arg)
{
    struct discovery *d = arg;

    (void)result;
    d->left(d->left_arg);
}

static void
svc_leave(void *self, void (*done)(void *arg), void *arg)
{
    struct discovery *d = self;

    d->leaving = true;
    mk_timer_free(&d->timer);
    d->left = done;
    d->left_arg = arg;
    mk_sql_exec(d->db, d->sql.leave, "discovery", on_left, d, MK_SQL_V_CSTR(d->name),
                MK_SQL_V_CSTR(d->cluster), MK_SQL_V_INT(d->number));
}

static const char *
svc_trouble(void *self)
{
    struct discovery *d = self;

    if (__atomic_load_n(&d->name_taken, __ATOMIC_ACQUIRE))
        return "another cluster has a node of this name";
    return __atomic_load_n(&d->trouble, __ATOMIC_ACQUIRE);
}

/* -- life cycle ----------------------------------------------------------------------------- */

/* The statement `before` NOW `after`, with the database's own clock in seconds. */
static struct mk_sql_stmt *
prepare(struct discovery *d, const char *before, const char *after)
{
    bool pgsql = strcmp(d->db->dialect, "pgsql") == 0;
    char *sql = mk_printf_new("%s%s%s", before,
                              pgsql ? "CAST(extract(epoch FROM now()) AS bigint)" :
                                      "CAST(strftime('%s', 'now') AS integer)",
                              after);
    struct mk_sql_stmt *stmt = d->db->prepare(d->db->self, d->module, sql);

    mk_free(sql);
    return stmt;
}

static void
prepare_all(struct discovery *d)
{
    const struct mk_rdbms *db = d->db;

    d->sql.where = db->prepare(db->self, d->module,
                               strcmp(db->dialect, "pgsql") == 0 ?
                                   "SELECT host(inet_client_addr()) WHERE 0 = ?" :
                                   "SELECT NULL WHERE 0 = ?");
    d->sql.read = prepare(d, "SELECT node_name, node_num, address, ",
                          " - updated_timestamp FROM discovery_nodes WHERE cluster_name = ? "
                          "ORDER BY node_num");
    d->sql.beat = prepare(d, "UPDATE discovery_nodes SET updated_timestamp = ",
                          ", address = ? WHERE node_name = ? AND cluster_name = ?");
    d->sql.insert = prepare(d, "INSERT INTO discovery_nodes (cluster_name, node_name, node_num, address, "
                               "updated_timestamp) VALUES (?, ?, ?, ?, ", ")");
    d->sql.foreign = prepare(d, "DELETE FROM discovery_nodes WHERE node_name = ? AND cluster_name <> ? "
                                "AND updated_timestamp < ", " - ?");
    d->sql.holder = db->prepare(db->self, d->module,
                                "SELECT cluster_name FROM discovery_nodes WHERE node_name = ? AND cluster_name <> ?");
    d->sql.expire = prepare(d, "DELETE FROM discovery_nodes WHERE cluster_name = ? AND node_name <> ? "
                               "AND updated_timestamp < ", " - ?");
    d->sql.leave = db->prepare(db->self, d->module,
                               "DELETE FROM discovery_nodes WHERE node_name = ? AND cluster_name = ? "
                               "AND node_num = ?");
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct discovery *d = mk_zalloc(sizeof(*d));

    mk_module_set(m, d);
    d->module = m;
    d->db = mk_rdbms_get(m, err);
    if (!d->db || d->db->schema(d->db->self, m, migrations, err) < 0)
        return -1;
    prepare_all(d);
    d->failures = mk_counter_new(m, "discovery_failures_total", NULL,
                                 "Looks for other nodes that the database did not answer");
    d->service = (struct mk_discovery){.size = sizeof(d->service), .self = d, .join = svc_join,
                                       .leave = svc_leave, .trouble = svc_trouble};
    return mk_service_provide(m, "discovery", MK_DISCOVERY_ABI, &d->service, err);
}

static void
unload(struct mk_module *m)
{
    struct discovery *d = mk_module_get(m);

    forget_members(d);
    mk_free(d->cluster);
    mk_free(d->name);
    mk_free(d->address);
    mk_free(d);
}

MK_MODULE(.name = "discovery_rdbms", .version = "1.0",
          .summary = "Finds the nodes of a cluster through the database", .depends = (const char *const[]){"rdbms", NULL},
          .provides = (const char *const[]){"discovery", NULL}, .options = options,
          .conf_size = sizeof(struct conf), .init = init, .unload = unload);
