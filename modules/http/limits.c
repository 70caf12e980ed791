/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Connections by address: a small table of those that have any. */
#include "config.h"

#include "internal.h"

#define BUCKETS 1024

struct entry {
    struct entry *next;
    int64_t count;
    struct in6_addr from;
};

struct addresses {
    pthread_mutex_t lock;       /* taken when a connection comes or goes, never for a request */
    struct entry *buckets[BUCKETS];
};

static struct entry **
find(struct addresses *a, const struct in6_addr *from)
{
    struct entry **p = &a->buckets[mk_hash(from, sizeof(*from)) % BUCKETS];

    while (*p && memcmp(&(*p)->from, from, sizeof(*from)) != 0)
        p = &(*p)->next;
    return p;
}

bool
address_enter(struct addresses *a, const struct in6_addr *from, int64_t limit)
{
    struct entry **p;
    bool fits;

    pthread_mutex_lock(&a->lock);
    p = find(a, from);
    fits = limit == 0 || !*p || (*p)->count < limit;
    if (fits && !*p) {
        *p = mk_zalloc(sizeof(**p));
        (*p)->from = *from;
    }
    if (fits)
        (*p)->count++;
    pthread_mutex_unlock(&a->lock);
    return fits;
}

void
address_leave(struct addresses *a, const struct in6_addr *from)
{
    struct entry **p, *gone;

    pthread_mutex_lock(&a->lock);
    p = find(a, from);
    gone = *p;
    if (gone && --gone->count <= 0) {
        *p = gone->next;
        mk_free(gone);
    }
    pthread_mutex_unlock(&a->lock);
}

struct addresses *
addresses_new(void)
{
    struct addresses *a = mk_zalloc(sizeof(*a));

    pthread_mutex_init(&a->lock, NULL);
    return a;
}

void
addresses_free(struct addresses *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        while (a->buckets[i]) {
            struct entry *gone = a->buckets[i];

            a->buckets[i] = gone->next;
            mk_free(gone);
        }
    }
    pthread_mutex_destroy(&a->lock);
    mk_free(a);
}
