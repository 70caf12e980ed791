/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The accounts for which something is under way, by home worker. */
#include "config.h"

#include "internal.h"

#define LINGER_MS 10000         /* an account is remembered after it was last needed */
#define LINGER_MAX 10000        /* accounts of a worker that are remembered */

struct mk_worker *
account_home(const struct mk_jid *jid)
{
    return mk_worker_nth(mk_jid_hash_bare(jid) / 7 % mk_worker_count());
}

static struct account **
find(struct lane *lane, const struct mk_jid *jid)
{
    struct account **p = &lane->buckets[mk_jid_hash_bare(jid) & (lane->bucket_count - 1)];

    while (*p && !mk_jid_same_bare((*p)->jid, jid))
        p = &(*p)->next;
    return p;
}

static void
grow(struct lane *lane)
{
    struct account **old = lane->buckets;
    size_t old_count = lane->bucket_count;

    lane->bucket_count = old_count ? old_count * 2 : 64;
    lane->buckets = mk_zalloc(lane->bucket_count * sizeof(*lane->buckets));
    for (size_t i = 0; i < old_count; i++) {
        while (old[i]) {
            struct account *a = old[i], **p;

            old[i] = a->next;
            p = find(lane, a->jid);
            a->next = NULL;
            *p = a;
        }
    }
    mk_free(old);
}

struct account *
account_get(struct offline *self, const struct mk_jid *jid, struct mk_host *host)
{
    struct lane *lane = &self->lanes[mk_worker_index(mk_worker_self())];
    struct account **p, *a;

    if (lane->accounts >= lane->bucket_count)
        grow(lane);
    p = find(lane, jid);
    if (*p)
        return *p;
    a = mk_zalloc(sizeof(*a));
    a->self = self;
    a->lane = lane;
    a->jid = mk_jid_bare_new(jid);
    a->host = host;
    a->key = mk_str_dup(mk_jid_bare(jid));
    a->last = &a->first;
    *p = a;
    lane->accounts++;
    return a;
}

static void
release(struct account *a)
{
    struct account **p = find(a->lane, a->jid);

    *p = a->next;
    a->lane->accounts--;
    mk_timer_free(&a->linger);
    mk_jid_unref(&a->jid);
    mk_free(a->key);
    mk_free(a);
}

static bool
is_idle(const struct account *a)
{
    return !a->first && !a->asking && !a->busy && !a->flush;
}

static void
on_linger(void *arg)
{
    struct account *a = arg;

    a->linger = NULL;
    if (!is_idle(a))
        return;
    /* In a cluster the news that the user came online may have reached us after the message was
     * stored: see flush.c. */
    if (a->self->tables->node(a->self->tables->self) != 0)
        flush_if_online(a);
    if (is_idle(a))
        release(a);
}

void
account_settle(struct account *a)
{
    if (!is_idle(a))
        return;
    if (a->known_until <= mk_now_ms() || a->lane->accounts > LINGER_MAX)
        release(a);
    else if (!a->linger)
        a->linger = mk_timer_new(a->self->module, LINGER_MS, on_linger, a);
}

struct forget {
    struct offline *self;
    struct mk_jid *jid;
};

static void
on_forget(void *arg)
{
    struct forget *f = arg;
    struct lane *lane = &f->self->lanes[mk_worker_index(mk_worker_self())];
    struct account *a = lane->bucket_count ? *find(lane, f->jid) : NULL;

    if (a) {
        a->known_until = 0;
        account_settle(a);
    }
    mk_jid_unref(&f->jid);
    mk_free(f);
}

void
account_forget(struct offline *self, const struct mk_jid *jid)
{
    struct forget *f = mk_alloc(sizeof(*f));

    *f = (struct forget){self, mk_jid_bare_new(jid)};
    mk_post(self->module, account_home(jid), on_forget, f);
}

/* The module goes: no callback is under way, and timers are the core's to stop. */
void
accounts_free(struct offline *self)
{
    for (size_t w = 0; self->lanes && w < mk_worker_count(); w++) {
        struct lane *lane = &self->lanes[w];

        for (size_t i = 0; i < lane->bucket_count; i++) {
            while (lane->buckets[i]) {
                struct account *a = lane->buckets[i];

                lane->buckets[i] = a->next;
                flush_free(a->flush);
                mk_jid_unref(&a->jid);
                mk_free(a->key);
                mk_free(a);
            }
        }
        mk_free(lane->buckets);
    }
    mk_free(self->lanes);
}
