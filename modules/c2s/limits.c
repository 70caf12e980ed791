/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Connections by address: a small table of those that have any. */
#include "internal.h"

#include <pthread.h>

#define BUCKETS 1024

struct entry {
    struct entry *next;
    int64_t count;
    char address[48];
};

struct address_count {
    pthread_mutex_t lock;       /* taken when a connection comes or goes, never for a stanza */
    struct entry *buckets[BUCKETS];
};

static struct entry **
find(struct address_count *table, const char *address)
{
    struct entry **p = &table->buckets[mk_hash(address, strlen(address)) % BUCKETS];

    while (*p && strcmp((*p)->address, address) != 0)
        p = &(*p)->next;
    return p;
}

static struct address_count *
table_of(struct c2s *c2s)
{
    return c2s->addresses;
}

bool
address_enter(struct c2s *c2s, const char *address, int64_t limit)
{
    struct address_count *table = table_of(c2s);
    struct entry **p;
    bool fits;

    pthread_mutex_lock(&table->lock);
    p = find(table, address);
    if (!*p) {
        *p = mk_zalloc(sizeof(**p));
        strncpy((*p)->address, address, sizeof((*p)->address) - 1);
    }
    fits = limit == 0 || (*p)->count < limit;
    (*p)->count += fits;
    pthread_mutex_unlock(&table->lock);
    return fits;
}

void
address_leave(struct c2s *c2s, const char *address)
{
    struct address_count *table = table_of(c2s);
    struct entry **p, *gone;

    pthread_mutex_lock(&table->lock);
    p = find(table, address);
    gone = *p;
    if (gone && --gone->count <= 0) {
        *p = gone->next;
        mk_free(gone);
    }
    pthread_mutex_unlock(&table->lock);
}

void
addresses_make(struct c2s *c2s)
{
    c2s->addresses = mk_zalloc(sizeof(*c2s->addresses));
    pthread_mutex_init(&c2s->addresses->lock, NULL);
}

void
addresses_free(struct c2s *c2s)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        while (c2s->addresses->buckets[i]) {
            struct entry *e = c2s->addresses->buckets[i];

            c2s->addresses->buckets[i] = e->next;
            mk_free(e);
        }
    }
    pthread_mutex_destroy(&c2s->addresses->lock);
    mk_free(c2s->addresses);
}
