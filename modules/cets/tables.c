/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Service "tables" on top of the replica. Reads take no lock. */
#include "cets.h"

/* -- what the replica says ------------------------------------------------------------------- */

void
tables_changed(void *arg, unsigned table, const struct mk_entry *now, const struct mk_entry *old)
{
    struct cets *c = arg;
    struct mk_table *t = c->tables;
    struct mk_record a, b = {.lost = false};

    while (t && t->index != table)
        t = t->next;
    if (!t || !t->watchers)
        return;
    if (now)
        a = mk_entry_record(now);
    if (old)
        b = mk_entry_record(old);
    b.lost = replica_is_losing(c->replica);
    for (const struct watcher *w = t->watchers; w; w = w->next)
        w->fn(now ? &a : NULL, old ? &b : NULL, w->arg);
}

static void
tell_waiter(void *arg)
{
    struct wait *w = arg;

    w->fn(w->result, w->arg);
    mk_free(w);
}

static void
wait_over(struct wait *w, enum mk_table_result result)
{
    w->result = result;
    if (w->worker == mk_worker_self())
        mk_defer(w->cets->module, tell_waiter, w);
    else
        mk_post(w->cets->module, w->worker, tell_waiter, w);
}

void
tables_done(void *arg, void *waiter, enum mk_table_result result)
{
    (void)arg;
    wait_over(waiter, result);
}

/* -- writing -------------------------------------------------------------------------------- */

static struct wait *
wait_new(struct cets *c, mk_table_fn fn, void *arg)
{
    struct wait *w;

    if (!fn)
        return NULL;
    w = mk_alloc(sizeof(*w));
    *w = (struct wait){.cets = c, .worker = mk_worker_self(), .fn = fn, .arg = arg};
    return w;
}

static bool
fits(const struct mk_record *r)
{
    return r->group.len <= MK_ENTRY_PART_MAX && r->key.len <= MK_ENTRY_PART_MAX &&
           r->value.len <= MK_ENTRY_VALUE_MAX;
}

static void
svc_insert_many(struct mk_table *t, const struct mk_record *records, size_t n, uint64_t timeout_ms,
                mk_table_fn fn, void *arg)
{
    struct cets *c = t->cets;
    struct wait *w = wait_new(c, fn, arg);

    for (size_t i = 0; i < n; i++) {
        if (!fits(&records[i])) {
            if (w)
                wait_over(w, MK_TABLE_FULL);
            return;
        }
    }
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < n; i++) {
        if (i + MK_STORE_AHEAD < n)
            mk_store_prefetch(t->store, records[i + MK_STORE_AHEAD].group);
        replica_put(c->replica, t->index, records[i].group, records[i].key, records[i].value);
    }
    if (w)
        replica_wait(c->replica, w, mk_now_ms() + timeout_ms);
    pthread_mutex_unlock(&c->lock);
}

static void
svc_insert(struct mk_table *t, struct mk_str group, struct mk_str key, struct mk_str value,
           uint64_t timeout_ms, mk_table_fn fn, void *arg)
{
    struct mk_record r = {.group = group, .key = key, .value = value};

    svc_insert_many(t, &r, 1, timeout_ms, fn, arg);
}

static void
svc_remove(struct mk_table *t, struct mk_str group, struct mk_str key, uint64_t timeout_ms,
           mk_table_fn fn, void *arg)
{
    struct cets *c = t->cets;
    struct wait *w = wait_new(c, fn, arg);

    pthread_mutex_lock(&c->lock);
    replica_remove(c->replica, t->index, group, key);
    if (w)
        replica_wait(c->replica, w, mk_now_ms() + timeout_ms);
    pthread_mutex_unlock(&c->lock);
}

static void
ignore(enum mk_table_result result, void *arg)
{
    (void)result;
    (void)arg;
}

static void
svc_claim(struct mk_table *t, struct mk_str group, struct mk_str key, struct mk_str value,
          uint64_t timeout_ms, mk_table_fn fn, void *arg)
{
    struct cets *c = t->cets;
    struct mk_record r = {.group = group, .key = key, .value = value};
    struct wait *w = wait_new(c, fn ? fn : ignore, arg);
    uint64_t now = mk_now_ms();

    if (!fits(&r)) {
        wait_over(w, MK_TABLE_FULL);
        return;
    }
    pthread_mutex_lock(&c->lock);
    replica_claim(c->replica, t->index, group, key, value, w, now, now + timeout_ms,
                  (uint64_t)mk_time_us() / 1000);
    pthread_mutex_unlock(&c->lock);
}

/* -- reading -------------------------------------------------------------------------------- */

static bool
svc_find(const struct mk_table *t, struct mk_str group, struct mk_str key, struct mk_record *out)
{
    const struct mk_entry *e = mk_store_find(t->store, group, key);

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
    bool ready;

    pthread_mutex_lock(&t->cets->lock);
    ready = t->cets->joined && replica_ready(t->cets->replica);
    pthread_mutex_unlock(&t->cets->lock);
    return ready;
}

static uint32_t
svc_node(void *self)
{
    struct cets *c = self;

    return __atomic_load_n(&c->number, __ATOMIC_RELAXED);
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
make_table_metrics(struct mk_module *m, struct mk_table *t, const char *name)
{
    char *label = mk_printf_new("table=\"%s\"", name);

    mk_gauge_ask(m, "table_records", label, "Records of a table that are held here", ask_records, t);
    mk_gauge_ask(m, "table_bytes", label, "Memory of the records of a table", ask_bytes, t);
    mk_free(label);
}

static struct mk_table *
svc_open(void *self, struct mk_module *m, const char *name, unsigned version, struct mk_error *err)
{
    struct cets *c = self;
    struct mk_table *t;
    unsigned index;
    bool fresh = false;

    (void)m;
    pthread_mutex_lock(&c->lock);
    index = replica_table(c->replica, name, version);
    for (t = c->tables; t && t->index != index; t = t->next)
        ;
    if (!t && replica_table_version(c->replica, index) <= version) {
        t = mk_zalloc(sizeof(*t));
        *t = (struct mk_table){.next = c->tables, .cets = c, .index = index,
                               .store = replica_store(c->replica, index)};
        c->tables = t;
        fresh = true;
    } else if (!t || replica_table_version(c->replica, index) != version) {
        mk_fail(err, "table '%s' has version %u here, not %u", name,
                replica_table_version(c->replica, index), version);
        t = NULL;
    }
    pthread_mutex_unlock(&c->lock);
    /* Not under the lock: whoever reads metrics has theirs and asks for ours. */
    if (fresh)
        make_table_metrics(c->module, t, name);
    return t;
}

/* The module that watches goes. */
static void
unwatch(void *thing)
{
    struct watcher *gone = thing, **p;
    struct cets *c = gone->table->cets;

    pthread_mutex_lock(&c->lock);
    for (p = &gone->table->watchers; *p != gone; p = &(*p)->next)
        ;
    *p = gone->next;
    pthread_mutex_unlock(&c->lock);
    mk_free(gone);
}

static int
svc_watch(void *self, struct mk_module *m, struct mk_table *t, mk_table_watch_fn fn, void *arg)
{
    struct cets *c = self;
    struct watcher *w = mk_alloc(sizeof(*w));

    pthread_mutex_lock(&c->lock);
    *w = (struct watcher){.next = t->watchers, .table = t, .fn = fn, .arg = arg};
    t->watchers = w;
    pthread_mutex_unlock(&c->lock);
    mk_module_own(m, unwatch, w);
    return 0;
}

void
tables_provide(struct cets *c)
{
    c->tables_service = (struct mk_tables){.size = sizeof(c->tables_service),
                                           .self = c,
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
}

void
tables_release(struct cets *c)
{
    while (c->tables) {
        struct mk_table *t = c->tables;

        c->tables = t->next;
        mk_free(t);
    }
}
