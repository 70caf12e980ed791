/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The stanzas that a client has not acknowledged: a ring of references. Knows no sessions. */
#ifndef SM_QUEUE_H
#define SM_QUEUE_H

#include <meerkat/metrics.h>
#include <meerkat/stanza.h>

#define RING_SMALL 16           /* entries of a ring that the pool keeps */
#define RING_SPARES 128

struct sm_entry {
    struct mk_stanza *stanza;   /* referenced */
    uint32_t at;                /* seconds of mk_now_ms when it was sent */
};

/* Rings for queues that have something: an empty queue has none, and finds one here. */
struct sm_rings {
    struct sm_entry *spare[RING_SPARES];
    unsigned count;
    struct mk_gauge bytes;      /* of all queues */
};

/* All zero is an empty queue. What was sent is `acked + count`, modulo 2^32 (XEP-0198 §4). */
struct sm_queue {
    struct sm_entry *ring;
    uint32_t cap, head, count;
    uint32_t acked;             /* the client has this many */
    uint64_t bytes;
};

/* Takes a reference of its own. */
void sm_queue_push(struct sm_queue *q, struct sm_rings *rings, struct mk_stanza *st, uint32_t at);
/* The n-th from the oldest; n < count. Borrowed. */
const struct sm_entry *sm_queue_at(const struct sm_queue *q, uint32_t n);
/* The client has `h` stanzas: drops these. -1 when there were not so many. */
int sm_queue_ack(struct sm_queue *q, struct sm_rings *rings, uint32_t h) MK_NODISCARD;
static inline uint32_t
sm_queue_sent(const struct sm_queue *q)
{
    return q->acked + q->count;
}
/* Drops all. */
void sm_queue_release(struct sm_queue *q, struct sm_rings *rings);
void sm_rings_release(struct sm_rings *rings);

#endif
