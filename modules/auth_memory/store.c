/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The accounts: a hash table under one lock. */
#include "config.h"

#include <stdlib.h>

#include "internal.h"

#define SALT_LEN 16

struct account {
    struct account *next;
    struct mk_host *host;
    char *user;
    struct mk_credentials cred;
};

void
store_derive(struct auth_memory *self, struct mk_str password, struct mk_credentials *out)
{
    memset(out, 0, sizeof(*out));
    for (int alg = 0; alg < MK_HASH_COUNT; alg++) {
        struct mk_scram_key *key = &out->keys[out->count];

        if (!(self->hashes & 1u << alg))
            continue;
        key->alg = (enum mk_hash_alg)alg;
        key->iterations = self->iterations;
        key->salt_len = SALT_LEN;
        mk_random(key->salt, SALT_LEN);
        mk_scram_derive(key, password);
        out->count++;
    }
}

/* Where the pointer to the account is, or would be. */
static struct account **
find(struct auth_memory *self, struct mk_host *host, struct mk_str user)
{
    struct account **slot = &self->buckets[mk_hash(user.p, user.len) % STORE_BUCKETS];

    while (*slot && ((*slot)->host != host || !mk_str_is(user, (*slot)->user)))
        slot = &(*slot)->next;
    return slot;
}

static void
account_free(struct account *a)
{
    mk_wipe(&a->cred, sizeof(a->cred));
    mk_free(a->user);
    mk_free(a);
}

bool
store_get(struct auth_memory *self, struct mk_host *host, struct mk_str user,
          struct mk_credentials *out)
{
    struct account *a;

    pthread_mutex_lock(&self->lock);
    a = *find(self, host, user);
    if (a)
        *out = a->cred;
    pthread_mutex_unlock(&self->lock);
    return a != NULL;
}

bool
store_put(struct auth_memory *self, struct mk_host *host, struct mk_str user,
          const struct mk_credentials *cred, enum store_mode mode)
{
    struct account **slot;
    bool ok;

    pthread_mutex_lock(&self->lock);
    slot = find(self, host, user);
    ok = mode == STORE_ANY || (*slot != NULL) == (mode == STORE_OLD);
    if (ok && !*slot) {
        *slot = mk_zalloc(sizeof(**slot));
        (*slot)->host = host;
        (*slot)->user = mk_str_dup(user);
    }
    if (ok)
        (*slot)->cred = *cred;
    pthread_mutex_unlock(&self->lock);
    return ok;
}

bool
store_drop(struct auth_memory *self, struct mk_host *host, struct mk_str user)
{
    struct account **slot, *a;

    pthread_mutex_lock(&self->lock);
    slot = find(self, host, user);
    a = *slot;
    if (a) {
        *slot = a->next;
        account_free(a);
    }
    pthread_mutex_unlock(&self->lock);
    return a != NULL;
}

size_t
store_count(struct auth_memory *self, struct mk_host *host)
{
    size_t count = 0;

    pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < STORE_BUCKETS; i++) {
        for (const struct account *a = self->buckets[i]; a; a = a->next)
            count += a->host == host;
    }
    pthread_mutex_unlock(&self->lock);
    return count;
}

static int
compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **
store_names(struct auth_memory *self, struct mk_host *host, struct mk_str after, size_t *count_out)
{
    char *from = mk_str_dup(after), **names = NULL;
    size_t count = 0;

    pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < STORE_BUCKETS; i++) {
        for (const struct account *a = self->buckets[i]; a; a = a->next) {
            if (a->host != host || strcmp(a->user, from) <= 0)
                continue;
            if ((count & (count - 1)) == 0)
                names = mk_realloc(names, (count ? 2 * count : 1) * sizeof(*names));
            names[count++] = mk_strdup(a->user);
        }
    }
    pthread_mutex_unlock(&self->lock);
    if (count)
        qsort(names, count, sizeof(*names), compare_names);
    mk_free(from);
    *count_out = count;
    return names;
}

void
store_clear(struct auth_memory *self)
{
    for (size_t i = 0; i < STORE_BUCKETS; i++) {
        while (self->buckets[i]) {
            struct account *a = self->buckets[i];

            self->buckets[i] = a->next;
            account_free(a);
        }
    }
}
