/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The rosters in use on this node, by account. */
#include "internal.h"

#define FIRST_BUCKETS 16

void
cache_init(struct roster *r)
{
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&r->shards[i].lock, NULL);
        r->shards[i].bucket_count = FIRST_BUCKETS;
        r->shards[i].buckets = mk_zalloc(FIRST_BUCKETS * sizeof(struct entry *));
    }
}

void
cache_free(struct roster *r)
{
    for (size_t i = 0; i < SHARDS; i++) {
        MK_ASSERT(r->shards[i].count == 0);
        pthread_mutex_destroy(&r->shards[i].lock);
        mk_free(r->shards[i].buckets);
    }
}

static struct shard *
shard_of(struct roster *r, uint64_t hash)
{
    return &r->shards[hash % SHARDS];
}

static struct entry **
bucket_of(const struct shard *s, uint64_t hash)
{
    return &s->buckets[hash / SHARDS & (s->bucket_count - 1)];
}

static void
grow(struct shard *s)
{
    struct shard wide = {.bucket_count = s->bucket_count * 2};

    wide.buckets = mk_zalloc(wide.bucket_count * sizeof(*wide.buckets));
    for (size_t i = 0; i < s->bucket_count; i++) {
        struct entry *e, *next;

        for (e = s->buckets[i]; e; e = next) {
            struct entry **bucket = bucket_of(&wide, e->hash);

            next = e->next;
            e->next = *bucket;
            *bucket = e;
        }
    }
    mk_free(s->buckets);
    s->buckets = wide.buckets;
    s->bucket_count = wide.bucket_count;
}

static struct entry *
add(struct roster *r, struct shard *s, const struct mk_jid *account, uint64_t hash)
{
    struct entry *e = mk_zalloc(sizeof(*e)), **bucket;

    if (s->count >= s->bucket_count)
        grow(s);
    bucket = bucket_of(s, hash);
    e->roster = r;
    e->hash = hash;
    e->account = mk_jid_bare_new(account);
    e->last = &e->first;
    e->next = *bucket;
    *bucket = e;
    s->count++;
    mk_gauge_add(r->entries, 1);
    return e;
}

struct entry *
entry_get(struct roster *r, const struct mk_jid *account)
{
    uint64_t hash = mk_jid_hash_bare(account);
    struct shard *s = shard_of(r, hash);
    struct entry *e;

    pthread_mutex_lock(&s->lock);
    for (e = *bucket_of(s, hash); e && !mk_jid_same_bare(e->account, account); e = e->next)
        ;
    if (!e)
        e = add(r, s, account, hash);
    e->refs++;
    pthread_mutex_unlock(&s->lock);
    return e;
}

struct entry *
entry_find(struct roster *r, const struct mk_jid *account)
{
    uint64_t hash = mk_jid_hash_bare(account);
    struct shard *s = shard_of(r, hash);
    struct entry *e;

    pthread_mutex_lock(&s->lock);
    for (e = *bucket_of(s, hash); e && !mk_jid_same_bare(e->account, account); e = e->next)
        ;
    if (e)
        e->refs++;
    pthread_mutex_unlock(&s->lock);
    return e;
}

struct entry *
entry_ref(struct entry *e)
{
    struct shard *s = shard_of(e->roster, e->hash);

    pthread_mutex_lock(&s->lock);
    e->refs++;
    pthread_mutex_unlock(&s->lock);
    return e;
}

static void
entry_free(void *arg)
{
    struct entry *e = arg;

    snapshot_free(e->now);
    mk_jid_unref(&e->account);
    mk_free(e);
}

void
entry_unref(struct entry *e)
{
    struct shard *s = shard_of(e->roster, e->hash);
    struct entry **p;
    bool last;

    pthread_mutex_lock(&s->lock);
    last = --e->refs == 0;
    if (last) {
        for (p = bucket_of(s, e->hash); *p != e; p = &(*p)->next)
            ;
        *p = e->next;
        s->count--;
        mk_gauge_add(e->roster->entries, -1);
    }
    pthread_mutex_unlock(&s->lock);
    if (!last)
        return;
    MK_ASSERT(!e->first && !e->busy);
    /* Somebody may still look at its snapshot. */
    mk_rcu_defer(entry_free, e);
}

const struct snapshot *
entry_now(const struct entry *e)
{
    return __atomic_load_n(&e->now, __ATOMIC_ACQUIRE);
}

void
entry_set(struct entry *e, struct snapshot *taken)
{
    struct snapshot *old = __atomic_exchange_n(&e->now, taken, __ATOMIC_ACQ_REL);

    if (old)
        mk_rcu_defer(snapshot_free, old);
}

struct mk_worker *
entry_home(const struct entry *e)
{
    return mk_worker_nth(e->hash / SHARDS % mk_worker_count());
}
