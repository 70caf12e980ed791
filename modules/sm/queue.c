/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
#include "queue.h"

static void
give_ring_back(struct sm_queue *q, struct sm_rings *rings)
{
    if (q->cap == RING_SMALL && rings->count < RING_SPARES)
        rings->spare[rings->count++] = q->ring;
    else
        mk_free(q->ring);
    q->ring = NULL;
    q->cap = q->head = 0;
}

static void
grow(struct sm_queue *q, struct sm_rings *rings)
{
    uint32_t cap = q->cap ? q->cap * 2 : RING_SMALL;
    struct sm_entry *ring;

    if (cap == RING_SMALL && rings->count)
        ring = rings->spare[--rings->count];
    else
        ring = mk_alloc(cap * sizeof(*ring));
    for (uint32_t i = 0; i < q->count; i++)
        ring[i] = q->ring[(q->head + i) & (q->cap - 1)];
    if (q->ring)
        give_ring_back(q, rings);
    q->ring = ring;
    q->cap = cap;
}

void
sm_queue_push(struct sm_queue *q, struct sm_rings *rings, struct mk_stanza *st, uint32_t at)
{
    if (MK_UNLIKELY(q->count == q->cap))
        grow(q, rings);
    q->ring[(q->head + q->count++) & (q->cap - 1)] = (struct sm_entry){mk_stanza_ref(st), at};
    q->bytes += mk_stanza_size(st);
    mk_gauge_add(rings->bytes, (int64_t)mk_stanza_size(st));
}

const struct sm_entry *
sm_queue_at(const struct sm_queue *q, uint32_t n)
{
    return &q->ring[(q->head + n) & (q->cap - 1)];
}

static void
drop(struct sm_queue *q, struct sm_rings *rings, uint32_t n)
{
    uint64_t before = q->bytes;

    for (uint32_t i = 0; i < n; i++) {
        struct sm_entry *e = &q->ring[(q->head + i) & (q->cap - 1)];

        q->bytes -= mk_stanza_size(e->stanza);
        mk_stanza_unref(&e->stanza);
    }
    mk_gauge_add(rings->bytes, -(int64_t)(before - q->bytes));
    q->count -= n;
    q->acked += n;
    if (q->count)
        q->head = (q->head + n) & (q->cap - 1);
    else if (q->ring)
        give_ring_back(q, rings);
}

int
sm_queue_ack(struct sm_queue *q, struct sm_rings *rings, uint32_t h)
{
    uint32_t n = h - q->acked;

    if (n > q->count)
        return -1;
    if (n)
        drop(q, rings, n);
    return 0;
}

void
sm_queue_release(struct sm_queue *q, struct sm_rings *rings)
{
    drop(q, rings, q->count);
}

void
sm_rings_release(struct sm_rings *rings)
{
    while (rings->count)
        mk_free(rings->spare[--rings->count]);
}
