/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Nodes that were apart have not told each other what they changed. When one is lost without a word, or is back, the rosters in use here are
 * read anew, some at a time. What is known stays in force until then, also while the database does not answer.
 */
#include "internal.h"

#define AT_ONCE 16u
#define RETRY_MS 5000u

struct again {
    struct roster *roster;
    struct entry **entries;     /* of this worker, referenced */
    size_t count, next, under_way;
    bool once_more;             /* something happened meanwhile */
    struct mk_timer *timer;
    mk_task_fn go_on;
};

struct one {
    struct again *again;
    struct entry *entry;
};

static void
collect(struct again *a)
{
    struct roster *r = a->roster;

    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *s = &r->shards[i];

        pthread_mutex_lock(&s->lock);
        a->entries = mk_realloc(a->entries, (a->count + s->count + 1) * sizeof(*a->entries));
        for (size_t k = 0; k < s->bucket_count; k++) {
            for (struct entry *e = s->buckets[k]; e; e = e->next) {
                if (entry_home(e) != mk_worker_self() || !entry_now(e))
                    continue;
                e->refs++;
                a->entries[a->count++] = e;
            }
        }
        pthread_mutex_unlock(&s->lock);
    }
}

static void
on_read(enum mk_roster_result result, const struct mk_roster_item *item, void *arg)
{
    struct one *one = arg;
    struct again *a = one->again;

    (void)item;
    a->under_way--;
    if (result == MK_ROSTER_UNAVAILABLE) {
        /* Its place in the list is free: it was taken from there. */
        a->entries[--a->next] = one->entry;
        if (!a->timer)
            a->timer = mk_timer_new(a->roster->module, RETRY_MS, a->go_on, a);
    } else {
        entry_unref(one->entry);
    }
    mk_free(one);
    if (!a->timer)
        a->go_on(a);
}

static void
go_on(void *arg)
{
    struct again *a = arg;

    a->timer = NULL;
    while (a->next < a->count && a->under_way < AT_ONCE) {
        struct one *one = mk_alloc(sizeof(*one));

        *one = (struct one){a, a->entries[a->next++]};
        a->under_way++;
        change_reread(one->entry, on_read, one);
    }
    if (a->under_way || a->next < a->count)
        return;
    mk_free(a->entries);
    a->entries = NULL;
    a->count = a->next = 0;
    if (!a->once_more)
        return;
    a->once_more = false;
    collect(a);
    mk_defer(a->roster->module, go_on, a);
}

static void
on_node(const char *event, const void *payload, void *arg)
{
    const struct mk_event_node *ev = payload;
    struct roster *r = arg;
    struct again *a = &r->again[mk_worker_index(mk_worker_self())];

    (void)event;
    if (!ev->apart)
        return;
    if (a->entries) {
        a->once_more = true;
        return;
    }
    collect(a);
    go_on(a);
}

int
again_init(struct roster *r)
{
    r->again = mk_zalloc(mk_worker_count() * sizeof(*r->again));
    for (size_t i = 0; i < mk_worker_count(); i++) {
        r->again[i].roster = r;
        r->again[i].go_on = go_on;
        if (mk_subscribe(r->module, "node_joined", mk_worker_nth(i), on_node, r) < 0 ||
            mk_subscribe(r->module, "node_left", mk_worker_nth(i), on_node, r) < 0)
            return -1;
    }
    return 0;
}

void
again_free(struct roster *r)
{
    for (size_t i = 0; r->again && i < mk_worker_count(); i++) {
        struct again *a = &r->again[i];

        while (a->next < a->count)
            entry_unref(a->entries[a->next++]);
        mk_free(a->entries);
    }
    mk_free(r->again);
}
