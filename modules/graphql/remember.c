/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Passwords that were right a moment ago: a table of buckets by account, in which the oldest entry
 * makes room. */
#include "config.h"

#include <pthread.h>

#include <meerkat/crypto.h>

#include "remember.h"

#define WAYS 4
#define KEY_LEN 32
#define MAC_LEN 32

struct entry {
    uint64_t account; /* keyed hash; 0 with until 0: empty */
    uint64_t until_ms;
    unsigned char mac[MAC_LEN];
};

struct remember {
    pthread_mutex_t lock; /* held for a few comparisons */
    unsigned char key[KEY_LEN];
    uint64_t forgotten; /* how often something was */
    size_t buckets;
    struct entry table[];
};

struct remember *
remember_new(size_t entries)
{
    size_t buckets = 1;
    struct remember *r;

    while (buckets * WAYS < entries)
        buckets *= 2;
    r = mk_zalloc(sizeof(*r) + buckets * WAYS * sizeof(struct entry));
    r->buckets = buckets;
    mk_random(r->key, sizeof(r->key));
    pthread_mutex_init(&r->lock, NULL);
    return r;
}

void
remember_free(struct remember **remember)
{
    struct remember *r = *remember;

    *remember = NULL;
    if (!r)
        return;
    pthread_mutex_destroy(&r->lock);
    mk_wipe(r, sizeof(*r) + r->buckets * WAYS * sizeof(struct entry));
    mk_free(r);
}

static uint64_t
account_hash(const char *account)
{
    return mk_hash(account, strlen(account)) | 1;
}

static struct entry *
bucket_of(struct remember *r, uint64_t account)
{
    return &r->table[(account >> 1) % r->buckets * WAYS];
}

static void
make_mac(const struct remember *r, const char *account, const char *password,
         unsigned char out[MAC_LEN])
{
    struct mk_buf text = {0};

    /* A JID has no NUL. */
    mk_buf_add(&text, account, strlen(account) + 1);
    mk_buf_add_cstr(&text, password);
    mk_hmac(MK_SHA256, (struct mk_str){(const char *)r->key, KEY_LEN}, mk_buf_str(&text), out);
    mk_wipe(text.data, text.cap);
    mk_buf_release(&text);
}

static bool
same_mac(const unsigned char *a, const unsigned char *b)
{
    return mk_str_eq_secret((struct mk_str){(const char *)a, MAC_LEN},
                            (struct mk_str){(const char *)b, MAC_LEN});
}

bool
remember_knows(struct remember *r, const char *account, const char *password, uint64_t now_ms)
{
    uint64_t hash = account_hash(account);
    struct entry *bucket = bucket_of(r, hash);
    unsigned char mac[MAC_LEN];
    bool known = false;

    make_mac(r, account, password, mac);
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < WAYS; i++)
        known |= bucket[i].account == hash && bucket[i].until_ms > now_ms &&
                 same_mac(bucket[i].mac, mac);
    pthread_mutex_unlock(&r->lock);
    return known;
}

uint64_t
remember_mark(struct remember *r)
{
    uint64_t mark;

    pthread_mutex_lock(&r->lock);
    mark = r->forgotten;
    pthread_mutex_unlock(&r->lock);
    return mark;
}

/* The account's own old entry, or the one that ends first. */
static struct entry *
room_for(struct entry *bucket, uint64_t account)
{
    struct entry *room = bucket;

    for (size_t i = 0; i < WAYS; i++) {
        if (bucket[i].account == account)
            return &bucket[i];
        if (bucket[i].until_ms < room->until_ms)
            room = &bucket[i];
    }
    return room;
}

void
remember_note(struct remember *r, const char *account, const char *password, uint64_t mark,
              uint64_t until_ms)
{
    struct entry fresh = {.account = account_hash(account), .until_ms = until_ms};

    make_mac(r, account, password, fresh.mac);
    pthread_mutex_lock(&r->lock);
    if (r->forgotten == mark)
        *room_for(bucket_of(r, fresh.account), fresh.account) = fresh;
    pthread_mutex_unlock(&r->lock);
}

void
remember_forget(struct remember *r, const char *account)
{
    uint64_t hash = account_hash(account);
    struct entry *bucket = bucket_of(r, hash);

    pthread_mutex_lock(&r->lock);
    r->forgotten++;
    for (size_t i = 0; i < WAYS; i++) {
        if (bucket[i].account == hash)
            mk_wipe(&bucket[i], sizeof(bucket[i]));
    }
    pthread_mutex_unlock(&r->lock);
}
