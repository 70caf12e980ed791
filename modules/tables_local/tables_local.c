/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Service "tables" on one node: a store a table; writers take the table's mutex. */
#include <pthread.h>

#define _LGPL_SOURCE
#include <urcu/urcu-memb.h>

#include <meerkat/meerkat.h>
#include <meerkat/store.h>
#include <meerkat/tables.h>

struct watcher {
    struct watcher *next;
    struct mk_table *table;
    mk_table_watch_fn fn;
    void *arg;
};

struct mk_table {
    struct mk_table *next;
    char *name;
    unsigned version;
    struct mk_store *store;
    pthread_mutex_t lock;
    struct watcher *watchers;   /* under the lock */
};

struct local {
    struct mk_module *module;
    struct mk_table *tables;
    struct mk_tables service;
};

/* -- writing -------------------------------------------------------------------------------- */

/* `now` came, `old` went; either may be NULL. Under the lock. */
static void
tell(const struct mk_table *t, const struct mk_entry *now, struct mk_entry *old)
{
    struct mk_record a, b;

    if (now)
        a = mk_entry_record(now);
    if (old)
        b = mk_entry_record(old);
    for (const struct watcher *w = t->watchers; w; w = w->next)
        w->fn(now ? &a : NULL, old ? &b : NULL, w->arg);
    if (old)
        mk_entry_retire(old);
}

static void
put(struct mk_table *t, struct mk_str group, struct mk_str key, struct mk_str value)
{
    struct mk_entry *e = mk_entry_new(group, key, value, 0);

    tell(t, e, mk_store_put(t->store, e));
}

static void
done(mk_table_fn fn, enum mk_table_result result, void *arg)
{
    if (fn)
        fn(result, arg);
}

static bool
fits(struct mk_str group, struct mk_str key, struct mk_str value)
{
    return group.len <= MK_ENTRY_PART_MAX && key.len <= MK_ENTRY_PART_MAX &&
           value.len <= MK_ENTRY_VALUE_MAX;
}

static void
svc_insert(struct mk_table *t, struct mk_str group, struct mk_str key, struct mk_str value,
           uint64_t timeout_ms, mk_table_fn fn, void *arg)
{
    (void)timeout_ms;
    if (!fits(group, key, value)) {
        done(fn, MK_TABLE_FULL, arg);
        return;
    }
    pthread_mutex_lock(&t->lock);
    put(t, group, key, value);
    pthread_mutex_unlock(&t->lock);
    done(fn, MK_TABLE_OK, arg);
}

static void
svc_insert_many(struct mk_table *t, const struct mk_record *records, size_t n, uint64_t timeout_ms,
                mk_table_fn fn, void *arg)
{
    (void)timeout_ms;
    for (size_t i = 0; i < n; i++) {
        if (!fits(records[i].group, records[i].key, records[i].value)) {
            done(fn, MK_TABLE_FULL, arg);
            return;
        }
    }
    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < n; i++)
        put(t, records[i].group, records[i].key, records[i].value);
    pthread_mutex_unlock(&t->lock);
    done(fn, MK_TABLE_OK, arg);
}

static void
svc_remove(struct mk_table *t, struct mk_str group, struct mk_str key, uint64_t timeout_ms,
           mk_table_fn fn, void *arg)
{
    struct mk_entry *old;

    (void)timeout_ms;
    pthread_mutex_lock(&t->lock);
    old = mk_store_take(t->store, group, key, 0);
    if (old)
        tell(t, NULL, old);
    pthread_mutex_unlock(&t->lock);
    done(fn, MK_TABLE_OK, arg);
}

static void
svc_claim(struct mk_table *t, struct mk_str group, struct mk_str key, struct mk_str value,
          uint64_t timeout_ms, mk_table_fn fn, void *arg)
{
    bool taken;

    (void)timeout_ms;
    if (!fits(group, key, value)) {
        done(fn, MK_TABLE_FULL, arg);
        return;
    }
    pthread_mutex_lock(&t->lock);
    taken = mk_store_find_of(t->store, group, key, 0) != NULL;
    if (!taken)
        put(t, group, key, value);
    pthread_mutex_unlock(&t->lock);
    done(fn, taken ? MK_TABLE_TAKEN : MK_TABLE_OK, arg);
}

/* -- reading -------------------------------------------------------------------------------- */

static bool
svc_find(const struct mk_table *t, struct mk_str group, struct mk_str key, struct mk_record *out)
{
    const struct mk_entry *e = mk_store_find_of(t->store, group, key, 0);

    if (e)
        *out = mk_entry_record(e);
    return e != NULL;
}

static void
svc_each_in(const struct mk_table *t, struct mk_str group,
            bool (*fn)(const struct mk_record *r, void *arg), void *arg)
{
    mk_store_each_in(t->store, group, fn, arg);
}

static void
svc_each(const struct mk_table *t, bool (*fn)(const struct mk_record *r, void *arg), void *arg)
{
    mk_store_each(t->store, fn, arg);
}

static size_t
svc_count(const struct mk_table *t)
{
    return mk_store_count(t->store);
}

static bool
svc_in_sync(const struct mk_table *t)
{
    (void)t;
    return true;
}

static uint32_t
svc_node(void *self)
{
    (void)self;
    return 0;
}

/* -- tables --------------------------------------------------------------------------------- */

static double
ask_records(void *arg)
{
    return (double)mk_store_count(((const struct mk_table *)arg)->store);
}

static double
ask_bytes(void *arg)
{
    return (double)mk_store_bytes(((const struct mk_table *)arg)->store);
}

static void
make_metrics(struct mk_module *m, struct mk_table *t, const char *name)
{
    char *label = mk_printf_new("table=\"%s\"", name);

    mk_gauge_ask(m, "table_records", label, "Records of a table that are held here", ask_records, t);
    mk_gauge_ask(m, "table_bytes", label, "Memory of the records of a table", ask_bytes, t);
    mk_free(label);
}

static struct mk_table *
svc_open(void *self, struct mk_module *m, const char *name, unsigned version, struct mk_error *err)
{
    struct local *local = self;
    struct mk_table *t;

    (void)m;
    for (t = local->tables; t && strcmp(t->name, name) != 0; t = t->next)
        ;
    if (t && t->version != version) {
        mk_fail(err, "table '%s' has version %u here, not %u", name, t->version, version);
        return NULL;
    }
    if (t)
        return t;
    t = mk_zalloc(sizeof(*t));
    t->name = mk_strdup(name);
    t->version = version;
    t->store = mk_store_new();
    pthread_mutex_init(&t->lock, NULL);
    t->next = local->tables;
    local->tables = t;
    make_metrics(local->module, t, name);
    return t;
}

/* The module that watches goes. */
static void
unwatch(void *thing)
{
    struct watcher *gone = thing, **p;

    pthread_mutex_lock(&gone->table->lock);
    for (p = &gone->table->watchers; *p != gone; p = &(*p)->next)
        ;
    *p = gone->next;
    pthread_mutex_unlock(&gone->table->lock);
    mk_free(gone);
}

static int
svc_watch(void *self, struct mk_module *m, struct mk_table *t, mk_table_watch_fn fn, void *arg)
{
    struct watcher *w = mk_alloc(sizeof(*w));

    (void)self;
    pthread_mutex_lock(&t->lock);
    *w = (struct watcher){.next = t->watchers, .table = t, .fn = fn, .arg = arg};
    t->watchers = w;
    pthread_mutex_unlock(&t->lock);
    mk_module_own(m, unwatch, w);
    return 0;
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct local *local = mk_zalloc(sizeof(*local));

    mk_module_set(m, local);
    local->module = m;
    local->service = (struct mk_tables){.size = sizeof(local->service),
                                        .self = local,
                                        .open = svc_open,
                                        .watch = svc_watch,
                                        .insert = svc_insert,
                                        .insert_many = svc_insert_many,
                                        .remove = svc_remove,
                                        .claim = svc_claim,
                                        .find = svc_find,
                                        .each_in = svc_each_in,
                                        .each = svc_each,
                                        .count = svc_count,
                                        .in_sync = svc_in_sync,
                                        .node = svc_node};
    return mk_service_provide(m, "tables", MK_TABLES_ABI, &local->service, err);
}

static void
free_table(struct mk_table *t)
{
    mk_store_free(&t->store);
    pthread_mutex_destroy(&t->lock);
    mk_free(t->name);
    mk_free(t);
}

static void
unload(struct mk_module *m)
{
    struct local *local = mk_module_get(m);

    while (local->tables) {
        struct mk_table *t = local->tables;

        local->tables = t->next;
        free_table(t);
    }
    urcu_memb_barrier();
    mk_free(local);
}

MK_MODULE(.name = "tables_local", .version = "1.0", .summary = "Tables in memory, on one node",
          .provides = (const char *const[]){"tables", NULL}, .init = init, .unload = unload);
