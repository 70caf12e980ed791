/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The store of records: a lock-free hash table keyed by group. The records of a group are entries with equal
 * keys in the table, so that a group costs nothing of its own.
 */
#include "config.h"

#include <pthread.h>

#define _LGPL_SOURCE
#include <urcu/urcu-memb.h>

#include <meerkat/store.h>
#include <meerkat/worker.h>

#define BUCKETS_MIN 64
#define SHRINK_BELOW 16     /* the table shrinks when it has so many buckets a record, or more */

struct mk_store {
    struct cds_lfht *table;
    size_t count, bytes;    /* atomic */
    bool grow;
    /* The writers' */
    size_t buckets;
    bool has_sizer;         /* `sizer` must be joined */
    pthread_t sizer;
    bool sizing;            /* atomic: it is at work */
};

struct wanted {
    struct mk_str group, key;
    uint16_t owner;
};

static struct mk_entry *
entry_of(struct cds_lfht_node *node)
{
    return caa_container_of(node, struct mk_entry, node);
}

static bool
same(struct mk_str s, const char *bytes, size_t len)
{
    return s.len == len && (len == 0 || memcmp(s.p, bytes, len) == 0);
}

static int
is_in_group(struct cds_lfht_node *node, const void *key)
{
    const struct mk_entry *e = entry_of(node);

    return same(*(const struct mk_str *)key, e->bytes, e->group_len);
}

static int
is_wanted(struct cds_lfht_node *node, const void *key)
{
    const struct mk_entry *e = entry_of(node);
    const struct wanted *w = key;

    return e->owner == w->owner && same(w->key, e->bytes + e->group_len, e->key_len) &&
           same(w->group, e->bytes, e->group_len);
}

/* -- entries -------------------------------------------------------------------------------- */

struct mk_entry *
mk_entry_new(struct mk_str group, struct mk_str key, struct mk_str value, size_t extra)
{
    struct mk_entry *e = mk_alloc(sizeof(*e) + group.len + key.len + value.len + extra);
    char *p = e->bytes;

    MK_ASSERT(group.len <= MK_ENTRY_PART_MAX && key.len <= MK_ENTRY_PART_MAX &&
              value.len <= MK_ENTRY_VALUE_MAX);
    memset(e, 0, sizeof(*e));
    e->group_len = (uint16_t)group.len;
    e->key_len = (uint16_t)key.len;
    e->value_len = (uint32_t)value.len;
    if (group.len)
        memcpy(p, group.p, group.len);
    p += group.len;
    if (key.len)
        memcpy(p, key.p, key.len);
    p += key.len;
    if (value.len)
        memcpy(p, value.p, value.len);
    return e;
}

static void
free_retired(struct rcu_head *head)
{
    struct mk_entry *e = caa_container_of(head, struct mk_entry, retired);

    MK_TAKES_OVER(&is_wanted);
    mk_free(e);
}

void
mk_entry_retire(struct mk_entry *e)
{
    MK_HANDS_OVER(&is_wanted);
    urcu_memb_call_rcu(&e->retired, free_retired);
}

uint64_t
mk_entry_claim_time(const struct mk_entry *e)
{
    uint64_t time = 0;

    if (e->claimed)
        memcpy(&time, e->bytes + e->group_len + e->key_len + e->value_len, sizeof(time));
    return time;
}

bool
mk_entry_claim_wins(const struct mk_entry *a, const struct mk_entry *b, uint16_t self)
{
    uint64_t at = mk_entry_claim_time(a), bt = mk_entry_claim_time(b);
    uint16_t an = a->owner ? a->owner : self, bn = b->owner ? b->owner : self;

    return at != bt ? at < bt : an < bn;
}

/* -- the size of the table ------------------------------------------------------------------ */

/*
 * The library would do this by itself (CDS_LFHT_AUTO_RESIZE), but up to 0.13 a race in it stops that for ever when its
 * thread is done before the one that woke it goes on: then every look-up walks through thousands of records.
 */
static void *
resize(void *arg)
{
    struct mk_store *store = arg;

    MK_TAKES_OVER(&store->sizing);
    urcu_memb_register_thread();
    cds_lfht_resize(store->table, store->buckets);
    urcu_memb_unregister_thread();
    __atomic_store_n(&store->sizing, false, __ATOMIC_RELEASE);
    return NULL;
}

static void
join_sizer(struct mk_store *store)
{
    if (store->has_sizer)
        pthread_join(store->sizer, NULL);
    store->has_sizer = false;
}

/* Takes time, so a thread of its own does it, meanwhile all goes on. */
static void
start_sizer(struct mk_store *store, size_t buckets)
{
    size_t before = store->buckets;

    join_sizer(store);
    store->buckets = buckets;
    store->sizing = true;
    MK_HANDS_OVER(&store->sizing);
    store->has_sizer = mk_thread_start(&store->sizer, "table-resize", resize, store) == 0;
    if (!store->has_sizer) {        /* the next record tries again */
        store->buckets = before;
        store->sizing = false;
    }
}

static void
check_size(struct mk_store *store)
{
    size_t count = store->count, buckets = BUCKETS_MIN;

    if (!store->grow || __atomic_load_n(&store->sizing, __ATOMIC_ACQUIRE))
        return;
    while (buckets < count)
        buckets *= 2;
    if (count > store->buckets ||
        (store->buckets > BUCKETS_MIN && count < store->buckets / SHRINK_BELOW))
        start_sizer(store, buckets);
}

/* -- the store ------------------------------------------------------------------------------ */

struct mk_store *
mk_store_new(bool grow)
{
    struct mk_store *store = mk_zalloc(sizeof(*store));

    store->grow = grow;
    store->buckets = BUCKETS_MIN;
    store->table = cds_lfht_new_flavor(BUCKETS_MIN, BUCKETS_MIN, 0, 0, &urcu_memb_flavor, NULL);
    MK_ASSERT(store->table);
    return store;
}

void
mk_store_free(struct mk_store **store)
{
    struct cds_lfht_iter iter;
    struct cds_lfht_node *node;

    if (!*store)
        return;
    join_sizer(*store);
    urcu_memb_read_lock();
    cds_lfht_for_each((*store)->table, &iter, node) {
        cds_lfht_del((*store)->table, node);
        mk_entry_retire(entry_of(node));
    }
    urcu_memb_read_unlock();
    cds_lfht_destroy((*store)->table, NULL);
    mk_free(*store);
    *store = NULL;
}

static uint64_t
hash_of(struct mk_str group)
{
    return mk_hash(group.p, group.len);
}

static size_t
size_of(const struct mk_entry *e)
{
    return sizeof(*e) + e->group_len + e->key_len + e->value_len;
}

/* What came minus what went; either may be NULL. */
static void
account(struct mk_store *store, const struct mk_entry *now, const struct mk_entry *old)
{
    __atomic_fetch_add(&store->count, (size_t)(now != NULL) - (old != NULL), __ATOMIC_RELAXED);
    __atomic_fetch_add(&store->bytes, (now ? size_of(now) : 0) - (old ? size_of(old) : 0), __ATOMIC_RELAXED);
    check_size(store);
}

/* The entry that `e` takes the place of; the others of its group are told that they are not alone. */
static bool
find_old(struct mk_store *store, uint64_t hash, struct mk_entry *e, struct cds_lfht_iter *old)
{
    struct mk_str group = mk_entry_group(e), key = mk_entry_key(e);
    struct cds_lfht_iter iter;
    struct cds_lfht_node *node;
    bool found = false;

    cds_lfht_lookup(store->table, hash, is_in_group, &group, &iter);
    while ((node = cds_lfht_iter_get_node(&iter))) {
        struct mk_entry *other = entry_of(node);

        if (other->owner == e->owner && same(key, other->bytes + other->group_len, other->key_len)) {
            *old = iter;
            found = true;
        } else {
            e->grouped = true;
            __atomic_store_n(&other->grouped, true, __ATOMIC_RELAXED);
        }
        cds_lfht_next_duplicate(store->table, is_in_group, &group, &iter);
    }
    return found;
}

struct mk_entry *
mk_store_put(struct mk_store *store, struct mk_entry *e)
{
    uint64_t hash = hash_of(mk_entry_group(e));
    struct wanted w = {mk_entry_group(e), mk_entry_key(e), e->owner};
    struct cds_lfht_iter iter;
    struct mk_entry *old = NULL;

    cds_lfht_node_init(&e->node);
    MK_HANDS_OVER(store);
    urcu_memb_read_lock();
    if (find_old(store, hash, e, &iter)) {
        old = entry_of(cds_lfht_iter_get_node(&iter));
        cds_lfht_replace(store->table, &iter, hash, is_wanted, &w, &e->node);
    } else {
        cds_lfht_add(store->table, hash, &e->node);
    }
    urcu_memb_read_unlock();
    account(store, e, old);
    return old;
}

void
mk_store_drop(struct mk_store *store, struct mk_entry *e)
{
    urcu_memb_read_lock();
    cds_lfht_del(store->table, &e->node);
    urcu_memb_read_unlock();
    account(store, NULL, e);
}

struct mk_entry *
mk_store_take(struct mk_store *store, struct mk_str group, struct mk_str key, uint16_t owner)
{
    struct mk_entry *e = (struct mk_entry *)mk_store_find_of(store, group, key, owner);

    if (e)
        mk_store_drop(store, e);
    return e;
}

const struct mk_entry *
mk_store_find_of(const struct mk_store *store, struct mk_str group, struct mk_str key,
                 uint16_t owner)
{
    struct wanted w = {group, key, owner};
    struct cds_lfht_iter iter;
    struct cds_lfht_node *node;

    urcu_memb_read_lock();
    cds_lfht_lookup(store->table, hash_of(group), is_wanted, &w, &iter);
    node = cds_lfht_iter_get_node(&iter);
    urcu_memb_read_unlock();
    MK_TAKES_OVER(store);
    return node ? entry_of(node) : NULL;
}

void
mk_store_each_in(const struct mk_store *store, struct mk_str group,
                 bool (*fn)(const struct mk_entry *e, void *arg), void *arg)
{
    struct cds_lfht_iter iter;
    struct cds_lfht_node *node;

    cds_lfht_lookup(store->table, hash_of(group), is_in_group, &group, &iter);
    while ((node = cds_lfht_iter_get_node(&iter))) {
        MK_TAKES_OVER(store);
        /* The rest of the chain is not looked at for one that was always alone. */
        if (!fn(entry_of(node), arg) || !__atomic_load_n(&entry_of(node)->grouped, __ATOMIC_RELAXED))
            return;
        cds_lfht_next_duplicate(store->table, is_in_group, &group, &iter);
    }
}

void
mk_store_each(const struct mk_store *store, bool (*fn)(const struct mk_entry *e, void *arg),
              void *arg)
{
    struct cds_lfht_iter iter;
    struct cds_lfht_node *node;

    cds_lfht_for_each(store->table, &iter, node) {
        MK_TAKES_OVER(store);
        if (!fn(entry_of(node), arg))
            return;
    }
}

struct search {
    struct mk_str key;
    const struct mk_entry *best;
};

static bool
consider(const struct mk_entry *e, void *arg)
{
    struct search *s = arg;

    if (!same(s->key, e->bytes + e->group_len, e->key_len))
        return true;
    if (e->owner == 0) {
        s->best = e;
        return false;
    }
    if (!s->best || mk_entry_claim_wins(e, s->best, 0))
        s->best = e;
    return true;
}

const struct mk_entry *
mk_store_find(const struct mk_store *store, struct mk_str group, struct mk_str key)
{
    struct search s = {key, NULL};

    mk_store_each_in(store, group, consider, &s);
    return s.best;
}

size_t
mk_store_count(const struct mk_store *store)
{
    return __atomic_load_n(&store->count, __ATOMIC_RELAXED);
}

size_t
mk_store_bytes(const struct mk_store *store)
{
    return __atomic_load_n(&store->bytes, __ATOMIC_RELAXED);
}

size_t
mk_store_buckets(const struct mk_store *store)
{
    return store->buckets;
}
