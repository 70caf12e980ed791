/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * From the workers to the threads. One thread writes; what is known to read only goes to readers
 * beside it. Requests with the same key stay in order: reads always go to the same reader, but to
 * the writer while it has something of that key, and the writer begins a request only when the
 * readers are done with its key. Keys that share a slot are taken for one another, which is harmless.
 */
#include "config.h"

#include <stdio.h>

#include "priv.h"

/* -- where a request goes -------------------------------------------------------------------- */

static unsigned
slot_of(const struct mk_sql_request *r)
{
    return (unsigned)(r->hash % SLOTS);
}

/* Under the lock. */
static struct lane *
choose(struct sqlite *s, const struct mk_sql_request *r)
{
    size_t readers = s->lane_count - 1;

    if (readers == 0 || !run_only_reads(r))
        return &s->lanes[0];
    if (!r->keyed)
        return &s->lanes[1 + r->worker % readers];
    return s->writes[slot_of(r)] ? &s->lanes[0] : &s->lanes[1 + slot_of(r) % readers];
}

static void
enqueue(struct sqlite *s, struct mk_sql_request *r)
{
    struct lane *lane = choose(s, r);

    r->next = NULL;
    *lane->end = r;
    lane->end = &r->next;
    if (r->keyed)
        (lane == s->lanes ? s->writes : s->reads)[slot_of(r)]++;
    if (lane->idle) {
        lane->idle = false;
        pthread_cond_signal(&lane->wake);
    }
}

static void
refuse(struct sqlite *s, struct mk_sql_request *list)
{
    for (struct mk_sql_request *r = list; r; r = r->next)
        mk_sql_answer_fail(&r->answer, MK_SQL_UNAVAILABLE, "the server stops");
    s->front->finished(s->front->self, list);
}

/* What one turn of a worker's loop brought, under one lock. */
static void
hand_over(void *arg)
{
    struct gathered *g = arg;
    struct sqlite *s = g->sqlite;
    struct mk_sql_request *list = g->first, *next;
    bool stopping;

    g->first = NULL;
    g->end = &g->first;
    pthread_mutex_lock(&s->lock);
    stopping = s->stopping;
    for (struct mk_sql_request *r = stopping ? NULL : list; r; r = next) {
        next = r->next;
        enqueue(s, r);
    }
    pthread_mutex_unlock(&s->lock);
    if (stopping)
        refuse(s, list);
}

void
queue_submit(void *self, struct mk_sql_request *r)
{
    struct sqlite *s = self;
    struct gathered *g = &s->gathered[r->worker];

    if (!g->first)
        mk_defer(s->module, hand_over, g);
    r->next = NULL;
    *g->end = r;
    g->end = &r->next;
}

/* -- the threads ----------------------------------------------------------------------------- */

/* Requests in hand, and the slots of those that have a key: they outlive the requests. */
struct hand {
    struct mk_sql_request *list;
    size_t slot_count;
    uint16_t slots[WRITE_GROUP];
};

/* Under the lock: false when there is nothing and never will be. */
static bool
take(struct lane *lane, struct hand *hand)
{
    struct sqlite *s = lane->sqlite;
    size_t limit = lane == s->lanes ? WRITE_GROUP : READ_GROUP;
    struct mk_sql_request **end = &hand->list;

    while (!lane->first && !s->stopping) {
        lane->idle = true;
        pthread_cond_wait(&lane->wake, &s->lock);
    }
    lane->idle = false;
    hand->slot_count = 0;
    while (lane->first && limit-- > 0) {
        *end = lane->first;
        end = &lane->first->next;
        if (lane->first->keyed)
            hand->slots[hand->slot_count++] = (uint16_t)slot_of(lane->first);
        lane->first = lane->first->next;
    }
    *end = NULL;
    if (!lane->first)
        lane->end = &lane->first;
    return hand->list != NULL;
}

/* Reads that came before must be done; those that come now queue up behind us. */
static void
wait_for_reads(struct sqlite *s, const struct hand *hand)
{
    for (size_t i = 0; i < hand->slot_count; i++) {
        while (s->reads[hand->slots[i]])
            pthread_cond_wait(&s->reads_done, &s->lock);
    }
}

static void
done(struct sqlite *s, uint32_t *counts, const struct hand *hand)
{
    for (size_t i = 0; i < hand->slot_count; i++)
        counts[hand->slots[i]]--;
    if (counts == s->reads && hand->slot_count)
        pthread_cond_signal(&s->reads_done);
}

static void *
thread_main(void *arg)
{
    struct lane *lane = arg;
    struct sqlite *s = lane->sqlite;
    bool writes = lane == s->lanes;
    struct hand hand;

    pthread_mutex_lock(&s->lock);
    while (take(lane, &hand)) {
        if (writes)
            wait_for_reads(s, &hand);
        pthread_mutex_unlock(&s->lock);
        if (writes)
            run_group(&lane->db, hand.list);
        else
            run_reads(&lane->db, hand.list);
        s->front->finished(s->front->self, hand.list);
        pthread_mutex_lock(&s->lock);
        done(s, writes ? s->writes : s->reads, &hand);
    }
    pthread_mutex_unlock(&s->lock);
    db_close(&lane->db);
    return NULL;
}

int
queue_start(struct sqlite *s, struct mk_error *err)
{
    int rc = 0;

    for (size_t i = 0; i < s->lane_count && rc == 0; i++) {
        rc = mk_thread_start(&s->lanes[i].thread, i ? "sqlite-reader" : "sqlite-writer", thread_main, &s->lanes[i]);
        s->lanes[i].has_thread = rc == 0;
    }
    return rc ? mk_fail(err, "cannot start a thread: %s", strerror(rc)) : 0;
}

/* The threads finish what is queued first. */
void
queue_stop(struct sqlite *s)
{
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    for (size_t i = 0; i < s->lane_count; i++)
        pthread_cond_signal(&s->lanes[i].wake);
    pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; i < s->lane_count; i++) {
        if (s->lanes[i].has_thread)
            pthread_join(s->lanes[i].thread, NULL);
        s->lanes[i].has_thread = false;
    }
}
