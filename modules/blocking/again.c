/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Nodes that were apart have not told each other what they changed. When one is lost without a word, or is back, the lists in use here are read
 * anew, some at a time; others are forgotten. What is known stays in force until then, also while the database does not answer.
 */
#include "internal.h"

#define AT_ONCE 16u
#define RETRY_MS 5000u

struct again {
    struct lane *lane;
    struct entry **entries;     /* pinned */
    size_t count, size, next, under_way;
    bool once_more;             /* something happened meanwhile */
    struct mk_timer *timer;
};

static void
add(struct entry *e, void *arg)
{
    struct again *a = arg;

    if (a->count == a->size) {
        a->size = a->size ? 2 * a->size : 64;
        a->entries = mk_realloc(a->entries, a->size * sizeof(*a->entries));
    }
    entry_pin(e);
    a->entries[a->count++] = e;
}

static void
go_on(void *arg)
{
    struct again *a = arg;

    a->timer = NULL;
    while (a->next < a->count && a->under_way < AT_ONCE) {
        struct entry *e = a->entries[a->next++];

        if (e->loading) {       /* by somebody else, and so now */
            entry_unpin(e);
            continue;
        }
        a->under_way++;
        entry_reread(e);
    }
    if (a->under_way || a->next < a->count)
        return;
    mk_free(a->entries);
    a->entries = NULL;
    a->count = a->size = a->next = 0;
    if (!a->once_more)
        return;
    a->once_more = false;
    entries_in_use(a->lane, add, a);
    mk_defer(a->lane->blocking->module, go_on, a);
}

void
again_read(struct entry *e, bool ok)
{
    struct again *a = e->lane->again;

    a->under_way--;
    if (ok) {
        entry_unpin(e);
    } else {
        /* Its place in the list is free: it was taken from there. */
        a->entries[--a->next] = e;
        if (!a->timer)
            a->timer = mk_timer_new(a->lane->blocking->module, RETRY_MS, go_on, a);
    }
    if (!a->timer)
        go_on(a);
}

static void
on_node(const char *event, const void *payload, void *arg)
{
    const struct mk_event_node *ev = payload;
    struct lane *lane = lane_here(arg);

    (void)event;
    if (!ev->apart)
        return;
    if (lane->again->entries) {
        lane->again->once_more = true;
        return;
    }
    entries_in_use(lane, add, lane->again);
    go_on(lane->again);
}

int
again_init(struct blocking *b)
{
    for (size_t i = 0; i < mk_worker_count(); i++) {
        b->lanes[i].again = mk_zalloc(sizeof(struct again));
        b->lanes[i].again->lane = &b->lanes[i];
        if (mk_subscribe(b->module, "node_joined", mk_worker_nth(i), on_node, b) < 0 ||
            mk_subscribe(b->module, "node_left", mk_worker_nth(i), on_node, b) < 0)
            return -1;
    }
    return 0;
}

void
again_free(struct blocking *b)
{
    for (size_t i = 0; b->lanes && i < mk_worker_count(); i++) {
        if (b->lanes[i].again)
            mk_free(b->lanes[i].again->entries);
        mk_free(b->lanes[i].again);
    }
}
