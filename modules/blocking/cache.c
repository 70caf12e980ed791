/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The lists that a worker knows, by account. A worker reads a list when it needs it first; changes are
 * published to all workers, so what is known is what is stored.
 */
#include "internal.h"

#define FIRST_BUCKETS 64

struct lane *
lane_here(struct blocking *b)
{
    return &b->lanes[mk_worker_index(mk_worker_self())];
}

static struct entry **
bucket_of(const struct lane *lane, uint64_t hash)
{
    return &lane->buckets[hash & (lane->bucket_count - 1)];
}

static void
grow(struct lane *lane)
{
    struct lane wide = {.bucket_count = lane->bucket_count * 2};

    wide.buckets = mk_zalloc(wide.bucket_count * sizeof(*wide.buckets));
    for (size_t i = 0; i < lane->bucket_count; i++) {
        struct entry *next;

        for (struct entry *e = lane->buckets[i]; e; e = next) {
            struct entry **bucket = bucket_of(&wide, e->hash);

            next = e->next;
            e->next = *bucket;
            *bucket = e;
        }
    }
    mk_free(lane->buckets);
    lane->buckets = wide.buckets;
    lane->bucket_count = wide.bucket_count;
}

static void
set_list(struct entry *e, struct list *taken)
{
    if (e->list && e->list->count)
        e->lane->blockers--;
    if (taken && taken->count)
        e->lane->blockers++;
    list_unref(&e->list);
    e->list = taken;
}

static void
entry_free(struct entry *e)
{
    set_list(e, NULL);
    mk_jid_unref(&e->account);
    mk_free(e);
}

/* Forgets lists that nobody uses, going round, until there is room. */
static void
forget_some(struct lane *lane, size_t limit)
{
    for (size_t i = 0; i < lane->bucket_count && lane->count >= limit; i++) {
        struct entry **p = &lane->buckets[lane->hand++ & (lane->bucket_count - 1)];

        while (*p) {
            struct entry *e = *p;

            if (e->pins || e->loading) {
                p = &e->next;
                continue;
            }
            *p = e->next;
            lane->count--;
            entry_free(e);
        }
    }
}

struct entry *
entry_find(const struct lane *lane, const struct mk_jid *account)
{
    struct entry *e = *bucket_of(lane, mk_jid_hash_bare(account));

    while (e && !mk_jid_same_bare(e->account, account))
        e = e->next;
    return e;
}

struct entry *
entry_need(struct lane *lane, const struct mk_jid *account)
{
    const struct blocking_conf *conf = mk_module_conf(lane->blocking->module, NULL);
    struct entry *e = entry_find(lane, account), **bucket;

    if (e)
        return e;
    if (lane->count >= (size_t)conf->cached)
        forget_some(lane, (size_t)conf->cached);
    if (lane->count >= lane->bucket_count)
        grow(lane);
    e = mk_zalloc(sizeof(*e));
    e->lane = lane;
    e->hash = mk_jid_hash_bare(account);
    e->account = mk_jid_bare_new(account);
    e->last = &e->first;
    bucket = bucket_of(lane, e->hash);
    e->next = *bucket;
    *bucket = e;
    lane->count++;
    return e;
}

void
entry_pin(struct entry *e)
{
    e->pins++;
}

void
entry_unpin(struct entry *e)
{
    MK_ASSERT(e->pins);
    e->pins--;
}

/* Those who waited are told; they may ask again meanwhile. */
static void
tell(struct entry *e)
{
    struct waiter *w = e->first;
    struct list *list = list_ref(e->list);

    e->first = NULL;
    e->last = &e->first;
    while (w) {
        struct waiter *next = w->next;

        w->fn(list, w->arg);
        mk_free(w);
        w = next;
    }
    list_unref(&list);
}

void
entry_ask(struct entry *e, entry_fn fn, void *arg)
{
    struct waiter *w;

    if (e->list) {
        fn(e->list, arg);
        return;
    }
    w = mk_zalloc(sizeof(*w));
    w->fn = fn;
    w->arg = arg;
    *e->last = w;
    e->last = &w->next;
    if (e->loading)
        return;
    e->loading = true;
    mk_counter_add(e->lane->blocking->loads, 1);
    sql_load(e);
}

static void
reread(struct entry *e, struct list *taken)
{
    bool ok = taken != NULL;

    e->again = false;
    if (taken && e->list && !e->fresh)
        set_list(e, taken);
    else
        list_unref(&taken);
    again_read(e, ok);
}

void
entry_loaded(struct entry *e, struct list *taken)
{
    e->loading = false;
    if (e->again) {
        reread(e, taken);
        return;
    }
    if (e->list)                /* a change was faster, and is newer */
        list_unref(&taken);
    else if (taken)
        set_list(e, taken);
    entry_pin(e);
    tell(e);
    entry_unpin(e);
}

void
entry_reread(struct entry *e)
{
    e->loading = true;
    e->again = true;
    e->fresh = false;
    mk_counter_add(e->lane->blocking->loads, 1);
    sql_load(e);
}

void
entries_in_use(struct lane *lane, void (*fn)(struct entry *e, void *arg), void *arg)
{
    forget_some(lane, 0);
    for (size_t i = 0; i < lane->bucket_count; i++) {
        for (struct entry *e = lane->buckets[i]; e; e = e->next) {
            if (e->list && !e->loading)
                fn(e, arg);
        }
    }
}

/* -- changes --------------------------------------------------------------------------------- */

struct update {
    struct blocking *blocking;
    struct mk_jid *account;
    struct list *list;
};

static void
take_over(void *arg)
{
    struct update *u = arg;
    struct entry *e = entry_find(lane_here(u->blocking), u->account);

    if (e) {
        e->fresh = true;
        set_list(e, list_ref(u->list));
        entry_pin(e);
        tell(e);
        entry_unpin(e);
    }
    mk_jid_unref(&u->account);
    list_unref(&u->list);
    mk_free(u);
}

void
list_publish(struct blocking *b, const struct mk_jid *account, struct list *list)
{
    for (size_t i = 0; i < mk_worker_count(); i++) {
        struct update *u = mk_alloc(sizeof(*u));

        *u = (struct update){b, mk_jid_ref(account), list_ref(list)};
        if (mk_worker_nth(i) == mk_worker_self())
            take_over(u);
        else
            mk_post(b->module, mk_worker_nth(i), take_over, u);
    }
}

void
cache_init(struct blocking *b)
{
    b->lanes = mk_zalloc(mk_worker_count() * sizeof(*b->lanes));
    for (size_t i = 0; i < mk_worker_count(); i++) {
        b->lanes[i].blocking = b;
        b->lanes[i].bucket_count = FIRST_BUCKETS;
        b->lanes[i].buckets = mk_zalloc(FIRST_BUCKETS * sizeof(struct entry *));
    }
}

void
cache_free(struct blocking *b)
{
    for (size_t i = 0; b->lanes && i < mk_worker_count(); i++) {
        for (size_t k = 0; k < b->lanes[i].bucket_count; k++) {
            while (b->lanes[i].buckets[k]) {
                struct entry *e = b->lanes[i].buckets[k];

                b->lanes[i].buckets[k] = e->next;
                entry_free(e);
            }
        }
        mk_free(b->lanes[i].buckets);
    }
    mk_free(b->lanes);
}
