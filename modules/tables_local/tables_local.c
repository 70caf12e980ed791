/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Service "tables" on one node: records in lock-free hash tables (liburcu), keyed by group. A group
 * is an immutable array of records that a writer replaces as a whole; writers take the table's mutex.
 */
#include <pthread.h>

#define _LGPL_SOURCE
#include <urcu/urcu-memb.h>
#include <urcu/rculfhash.h>

#include <meerkat/meerkat.h>
#include <meerkat/tables.h>

struct record {
    uint32_t key_len, value_len;
    char bytes[];               /* key, value */
};

/* All records of a group; replaced, never changed. */
struct group {
    struct cds_lfht_node node;
    uint64_t hash;
    uint32_t name_len;
    uint32_t count;
    const char *name;           /* behind the records */
    struct record *records[];
};

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
    struct cds_lfht *groups;
    pthread_mutex_t lock;
    size_t count;               /* atomic */
    struct watcher *watchers;   /* under the lock */
};

struct local {
    struct mk_module *module;
    struct mk_table *tables;
    struct mk_tables service;
};

/* -- finding -------------------------------------------------------------------------------- */

static int
is_group(struct cds_lfht_node *node, const void *key)
{
    const struct group *g = caa_container_of(node, struct group, node);
    const struct mk_str *name = key;

    return g->name_len == name->len && memcmp(g->name, name->p, name->len) == 0;
}

static struct group *
find_at(const struct mk_table *t, struct mk_str name, uint64_t hash, struct cds_lfht_iter *iter)
{
    struct cds_lfht_node *node;

    cds_lfht_lookup(t->groups, hash, is_group, &name, iter);
    node = cds_lfht_iter_get_node(iter);
    MK_TAKES_OVER(t);
    return node ? caa_container_of(node, struct group, node) : NULL;
}

static const struct group *
find_group(const struct mk_table *t, struct mk_str name)
{
    struct cds_lfht_iter iter;

    return find_at(t, name, mk_hash(name.p, name.len), &iter);
}

static bool
has_key(const struct record *r, struct mk_str key)
{
    return r->key_len == key.len && memcmp(r->bytes, key.p, key.len) == 0;
}

static struct mk_record
show(const struct group *g, const struct record *r)
{
    return (struct mk_record){.group = {g->name, g->name_len},
                              .key = {r->bytes, r->key_len},
                              .value = {r->bytes + r->key_len, r->value_len},
                              .node = 0};
}

/* -- writing -------------------------------------------------------------------------------- */

static struct group *
make_group(struct mk_str name, uint64_t hash, uint32_t count)
{
    struct group *g = mk_alloc(sizeof(*g) + count * sizeof(g->records[0]) + name.len);
    char *copy = (char *)&g->records[count];

    cds_lfht_node_init(&g->node);
    g->hash = hash;
    g->count = count;
    g->name_len = (uint32_t)name.len;
    g->name = copy;
    if (name.len)
        memcpy(copy, name.p, name.len);
    return g;
}

static struct record *
make_record(struct mk_str key, struct mk_str value)
{
    struct record *r = mk_alloc(sizeof(*r) + key.len + value.len);

    r->key_len = (uint32_t)key.len;
    r->value_len = (uint32_t)value.len;
    if (key.len)
        memcpy(r->bytes, key.p, key.len);
    if (value.len)
        memcpy(r->bytes + key.len, value.p, value.len);
    return r;
}

static void
tell(const struct mk_table *t, const struct group *now, const struct record *made,
     const struct group *before, const struct record *gone)
{
    struct mk_record a, b;

    if (!t->watchers)
        return;
    if (made)
        a = show(now, made);
    if (gone)
        b = show(before, gone);
    for (const struct watcher *w = t->watchers; w; w = w->next)
        w->fn(made ? &a : NULL, gone ? &b : NULL, w->arg);
}

/* Puts `made` (NULL: nothing) in the place of the record with this key. Under the lock. */
static void
change(struct mk_table *t, struct mk_str name, struct mk_str key, struct record *made)
{
    uint64_t hash = mk_hash(name.p, name.len);
    struct cds_lfht_iter iter;
    struct group *old = find_at(t, name, hash, &iter), *now = NULL;
    struct record *gone = NULL;
    uint32_t count = old ? old->count : 0, kept = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (has_key(old->records[i], key))
            gone = old->records[i];
    }
    if (!made && !gone)
        return;
    count += (made != NULL) - (gone != NULL);
    if (count) {
        now = make_group(name, hash, count);
        for (uint32_t i = 0; old && i < old->count; i++) {
            if (old->records[i] != gone)
                now->records[kept++] = old->records[i];
        }
        if (made)
            now->records[kept++] = made;
    }
    MK_HANDS_OVER(t);
    if (old && now)
        cds_lfht_replace(t->groups, &iter, hash, is_group, &name, &now->node);
    else if (now)
        cds_lfht_add(t->groups, hash, &now->node);
    else
        cds_lfht_del(t->groups, &old->node);
    __atomic_fetch_add(&t->count, (size_t)((made != NULL) - (gone != NULL)), __ATOMIC_RELAXED);
    tell(t, now, made, old, gone);
    if (gone)
        mk_rcu_defer(mk_free, gone);
    if (old)
        mk_rcu_defer(mk_free, old);
}

static void
done(mk_table_fn fn, enum mk_table_result result, void *arg)
{
    if (fn)
        fn(result, arg);
}

static void
svc_insert(struct mk_table *t, struct mk_str group, struct mk_str key, struct mk_str value,
           uint64_t timeout_ms, mk_table_fn fn, void *arg)
{
    (void)timeout_ms;
    pthread_mutex_lock(&t->lock);
    change(t, group, key, make_record(key, value));
    pthread_mutex_unlock(&t->lock);
    done(fn, MK_TABLE_OK, arg);
}

static void
svc_insert_many(struct mk_table *t, const struct mk_record *records, size_t n, uint64_t timeout_ms,
                mk_table_fn fn, void *arg)
{
    (void)timeout_ms;
    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < n; i++)
        change(t, records[i].group, records[i].key, make_record(records[i].key, records[i].value));
    pthread_mutex_unlock(&t->lock);
    done(fn, MK_TABLE_OK, arg);
}

static void
svc_remove(struct mk_table *t, struct mk_str group, struct mk_str key, uint64_t timeout_ms,
           mk_table_fn fn, void *arg)
{
    (void)timeout_ms;
    pthread_mutex_lock(&t->lock);
    change(t, group, key, NULL);
    pthread_mutex_unlock(&t->lock);
    done(fn, MK_TABLE_OK, arg);
}

static bool
find_record(const struct mk_table *t, struct mk_str group, struct mk_str key, struct mk_record *out)
{
    const struct group *g = find_group(t, group);

    for (uint32_t i = 0; g && i < g->count; i++) {
        if (has_key(g->records[i], key)) {
            *out = show(g, g->records[i]);
            return true;
        }
    }
    return false;
}

static void
svc_claim(struct mk_table *t, struct mk_str group, struct mk_str key, struct mk_str value,
          uint64_t timeout_ms, mk_table_fn fn, void *arg)
{
    struct mk_record there;
    bool taken;

    (void)timeout_ms;
    pthread_mutex_lock(&t->lock);
    taken = find_record(t, group, key, &there);
    if (!taken)
        change(t, group, key, make_record(key, value));
    pthread_mutex_unlock(&t->lock);
    done(fn, taken ? MK_TABLE_TAKEN : MK_TABLE_OK, arg);
}

/* -- reading -------------------------------------------------------------------------------- */

static void
svc_each_in(const struct mk_table *t, struct mk_str group,
            bool (*fn)(const struct mk_record *r, void *arg), void *arg)
{
    const struct group *g = find_group(t, group);

    for (uint32_t i = 0; g && i < g->count; i++) {
        struct mk_record r = show(g, g->records[i]);

        if (!fn(&r, arg))
            return;
    }
}

static void
svc_each(const struct mk_table *t, bool (*fn)(const struct mk_record *r, void *arg), void *arg)
{
    struct cds_lfht_iter iter;
    const struct group *g;

    cds_lfht_for_each_entry(t->groups, &iter, g, node) {
        for (uint32_t i = 0; i < g->count; i++) {
            struct mk_record r = show(g, g->records[i]);

            if (!fn(&r, arg))
                return;
        }
    }
}

static size_t
svc_count(const struct mk_table *t)
{
    return __atomic_load_n(&t->count, __ATOMIC_RELAXED);
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
    t->groups = cds_lfht_new_flavor(64, 64, 0, CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING,
                                    &urcu_memb_flavor, NULL);
    MK_ASSERT(t->groups);
    pthread_mutex_init(&t->lock, NULL);
    t->next = local->tables;
    local->tables = t;
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
                                        .find = find_record,
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
    struct cds_lfht_iter iter;
    struct group *g;

    urcu_memb_read_lock();
    cds_lfht_for_each_entry(t->groups, &iter, g, node) {
        cds_lfht_del(t->groups, &g->node);
        for (uint32_t i = 0; i < g->count; i++)
            mk_rcu_defer(mk_free, g->records[i]);
        mk_rcu_defer(mk_free, g);
    }
    urcu_memb_read_unlock();
    cds_lfht_destroy(t->groups, NULL);
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
