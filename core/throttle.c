/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Counting failures in a table of fixed size: buckets of eight entries, each group under a lock of
 * its own. */
#include "config.h"

#include <arpa/inet.h>
#include <pthread.h>

#include <meerkat/throttle.h>

#define WAYS 8
#define LOCKS 64

struct entry {
    uint64_t key;   /* 0: free */
    uint64_t since; /* when the period began */
    uint64_t locked_until;
    uint32_t failures;
};

struct mk_throttle {
    size_t mask; /* number of buckets - 1 */
    pthread_mutex_t locks[LOCKS];
    struct entry (*buckets)[WAYS];
};

struct mk_throttle *
mk_throttle_new(size_t entries)
{
    struct mk_throttle *t = mk_zalloc(sizeof(*t));
    size_t buckets = 1;

    while (buckets * WAYS < entries)
        buckets *= 2;
    t->mask = buckets - 1;
    t->buckets = mk_zalloc(buckets * sizeof(*t->buckets));
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_init(&t->locks[i], NULL);
    return t;
}

void
mk_throttle_free(struct mk_throttle **t)
{
    if (!*t)
        return;
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_destroy(&(*t)->locks[i]);
    mk_free((*t)->buckets);
    mk_free(*t);
    *t = NULL;
}

static size_t
bucket_of(const struct mk_throttle *t, uint64_t key)
{
    return (size_t)(key ^ key >> 32) & t->mask;
}

static struct entry *
find(struct mk_throttle *t, size_t bucket, uint64_t key)
{
    for (size_t i = 0; i < WAYS; i++) {
        if (t->buckets[bucket][i].key == key)
            return &t->buckets[bucket][i];
    }
    return NULL;
}

/* A free entry, or the one that matters least: locked ones stay as long as there are others. */
static struct entry *
make_room(struct mk_throttle *t, size_t bucket, uint64_t now)
{
    struct entry *best = &t->buckets[bucket][0];

    for (size_t i = 0; i < WAYS; i++) {
        struct entry *e = &t->buckets[bucket][i];
        bool locked = e->locked_until > now, best_locked = best->locked_until > now;

        if (e->key == 0)
            return e;
        if (locked != best_locked ? best_locked : e->since < best->since)
            best = e;
    }
    return best;
}

static uint64_t
real_key(uint64_t key)
{
    return key ? key : 1;
}

bool
mk_throttle_is_locked(struct mk_throttle *t, uint64_t key, uint64_t now_ms)
{
    size_t bucket = bucket_of(t, key = real_key(key));
    struct entry *e;
    bool locked;

    pthread_mutex_lock(&t->locks[bucket % LOCKS]);
    e = find(t, bucket, key);
    locked = e && e->locked_until > now_ms;
    pthread_mutex_unlock(&t->locks[bucket % LOCKS]);
    return locked;
}

/* One more failure of an entry; true when it is locked by it. */
static bool
count(struct entry *e, const struct mk_throttle_limit *limit, uint64_t now)
{
    if (e->locked_until > now)
        return false;
    if (now - e->since >= limit->period_ms) {
        e->since = now;
        e->failures = 0;
    }
    if (++e->failures < limit->failures)
        return false;
    e->locked_until = now + limit->lock_ms;
    e->since = now;
    e->failures = 0;
    return true;
}

bool
mk_throttle_fail(struct mk_throttle *t, uint64_t key, const struct mk_throttle_limit *limit, uint64_t now_ms)
{
    size_t bucket = bucket_of(t, key = real_key(key));
    struct entry *e;
    bool locked;

    if (limit->failures == 0)
        return false;
    pthread_mutex_lock(&t->locks[bucket % LOCKS]);
    e = find(t, bucket, key);
    if (!e) {
        e = make_room(t, bucket, now_ms);
        *e = (struct entry){.key = key, .since = now_ms};
    }
    locked = count(e, limit, now_ms);
    pthread_mutex_unlock(&t->locks[bucket % LOCKS]);
    return locked;
}

void
mk_throttle_clear(struct mk_throttle *t, uint64_t key)
{
    size_t bucket = bucket_of(t, key = real_key(key));
    struct entry *e;

    pthread_mutex_lock(&t->locks[bucket % LOCKS]);
    e = find(t, bucket, key);
    if (e)
        *e = (struct entry){0};
    pthread_mutex_unlock(&t->locks[bucket % LOCKS]);
}

uint64_t
mk_throttle_address_key(const char *address)
{
    struct in6_addr v6;

    if (strchr(address, ':') && inet_pton(AF_INET6, address, &v6) == 1 &&
        !IN6_IS_ADDR_V4MAPPED(&v6))
        return mk_hash(&v6, 8);
    return mk_hash(address, strlen(address));
}
