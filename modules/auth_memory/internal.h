/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* What the files of auth_memory share. */
#ifndef AUTH_MEMORY_INTERNAL_H
#define AUTH_MEMORY_INTERNAL_H

#include <pthread.h>

#include <meerkat/auth.h>
#include <meerkat/meerkat.h>
#include <meerkat/router.h>

#define STORE_BUCKETS 4096

struct auth_memory_conf {
    struct mk_option_list accounts;
    int64_t iterations;
    struct mk_option_list hashes;
};

struct account;

struct auth_memory {
    struct mk_module *module;
    const struct mk_sessions *sessions; /* NULL: nobody keeps them */
    struct mk_hook *account_remove, *account_password;
    unsigned iterations;
    unsigned hashes;      /* bits */
    pthread_mutex_t lock; /* over the buckets */
    struct account *buckets[STORE_BUCKETS];
    struct mk_auth table;
};

/* store.c: any thread */
enum store_mode { STORE_ANY, STORE_NEW, STORE_OLD };
void store_derive(struct auth_memory *self, struct mk_str password, struct mk_credentials *out);
bool store_get(struct auth_memory *self, struct mk_host *host, struct mk_str user,
               struct mk_credentials *out);
/* False: there is one already (STORE_NEW), or none (STORE_OLD). */
bool store_put(struct auth_memory *self, struct mk_host *host, struct mk_str user,
               const struct mk_credentials *cred, enum store_mode mode);
bool store_drop(struct auth_memory *self, struct mk_host *host, struct mk_str user);
size_t store_count(struct auth_memory *self, struct mk_host *host);
/* The names behind `after`, sorted; they and the list are owned. */
char **store_names(struct auth_memory *self, struct mk_host *host, struct mk_str after,
                   size_t *count_out);
void store_clear(struct auth_memory *self);

/* request.c: fills self->table. */
void request_table(struct auth_memory *self);

#endif
