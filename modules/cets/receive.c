/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* What comes in on a link: the operations and records of a peer, applied in its order. */
#include "internal-replica.h"

#include <stdio.h>

/* -- a peer's tables ------------------------------------------------------------------------ */

static void
map_table(struct replica *r, struct peer *p, unsigned theirs, struct mk_str name, unsigned version)
{
    char *text = mk_str_dup(name);

    if (theirs >= p->map_len) {
        p->map = mk_realloc(p->map, (theirs + 1) * sizeof(*p->map));
        while (p->map_len <= theirs)
            p->map[p->map_len++] = UINT16_MAX;
    }
    p->map[theirs] = replica_table(r, text, version);
    mk_free(text);
}

/* Our table for theirs; NULL: not told yet. */
static struct table *
mapped(struct replica *r, const struct peer *p, unsigned theirs)
{
    if (theirs >= p->map_len || p->map[theirs] == UINT16_MAX)
        return NULL;
    return &r->tables[p->map[theirs]];
}

struct digest *
peer_digest(struct replica *r, struct peer *p, unsigned table)
{
    if (table >= p->digests_len) {
        p->digests = mk_realloc(p->digests, r->table_count * sizeof(*p->digests));
        memset(p->digests + p->digests_len, 0, (r->table_count - p->digests_len) * sizeof(*p->digests));
        p->digests_len = r->table_count;
    }
    return &p->digests[table];
}

/* -- applying ------------------------------------------------------------------------------- */

static void
peer_put(struct replica *r, struct peer *p, struct table *t, const struct op *op, uint64_t seq)
{
    unsigned table = (unsigned)(t - r->tables);
    struct mk_entry *e = entry_from(op, table, seq, p->number), *old;
    struct digest *d = peer_digest(r, p, table);

    e->marked = p->mark;
    old = mk_store_put(t->store, e);
    records_add(&p->records, e);
    digest_add(d, e);
    if (old) {
        records_remove(r, &p->records, old);
        digest_remove(d, old);
    }
    r->out.changed(r->out.arg, table, e, old);
    if (old)
        mk_entry_retire(old);
    if (e->claimed)
        claim_seen(r, p, e);
}

static void
peer_drop(struct replica *r, struct peer *p, struct mk_entry *e)
{
    unsigned table = e->table;

    mk_store_drop(r->tables[table].store, e);
    records_remove(r, &p->records, e);
    digest_remove(peer_digest(r, p, table), e);
    r->out.changed(r->out.arg, table, NULL, e);
    mk_entry_retire(e);
}

static int
apply(struct replica *r, struct peer *p, const struct op *op, uint64_t seq)
{
    struct table *t;
    struct mk_entry *e;

    switch (op->kind) {
    case OP_TABLE:
        if (op->value.len < 4)
            return -1;
        map_table(r, p, op->table, op->group, (unsigned char)op->value.p[0]);
        return 0;
    case OP_PUT:
        t = mapped(r, p, op->table);
        if (!t)
            return -1;
        peer_put(r, p, t, op, seq);
        return 0;
    case OP_REMOVE:
        t = mapped(r, p, op->table);
        if (!t)
            return -1;
        e = (struct mk_entry *)mk_store_find_of(t->store, op->group, op->key, p->number);
        if (e)
            peer_drop(r, p, e);
        return 0;
    default:
        return 0;       /* of a later version: not for us */
    }
}

/* Moves `ahead`, which walks before the operations that are applied, by one. */
static void
look_ahead(struct replica *r, const struct peer *p, struct reader *ahead)
{
    const struct table *t;
    struct op op;

    if (ahead->p == ahead->end || op_decode(ahead, &op) < 0 || op.kind != OP_PUT)
        return;
    t = mapped(r, p, op.table);
    if (t)
        mk_store_prefetch(t->store, op.group);
}

static int
ops_receive(struct replica *r, struct peer *p, struct reader *in)
{
    uint64_t seq = get_u64(in);
    uint32_t count = get_u32(in);
    struct reader ahead = *in;
    struct op op;

    if (seq != p->applied + 1 || count == 0)
        return -1;
    for (unsigned i = 0; i < MK_STORE_AHEAD; i++)
        look_ahead(r, p, &ahead);
    for (; count; count--, seq++) {
        look_ahead(r, p, &ahead);
        if (op_decode(in, &op) < 0 || apply(r, p, &op, seq) < 0)
            return -1;
        p->applied = seq;
        r->counts.operations_in++;
    }
    p->link->ack_due = true;
    return 0;
}

/* -- snapshots ------------------------------------------------------------------------------ */

static int
snap_begin(struct replica *r, struct peer *p, struct reader *in)
{
    uint64_t seq = get_u64(in);
    unsigned tables = get_u16(in);

    for (unsigned i = 0; i < tables && !in->bad; i++) {
        unsigned version = get_u32(in);
        struct mk_str name = get_str(in);

        if (!in->bad)
            map_table(r, p, i, name, version);
    }
    if (in->bad || seq < p->applied)
        return -1;
    /* What an earlier snapshot left half done must not look new. */
    for (struct mk_entry *e = p->complete ? NULL : p->records.first; e; e = e->next)
        e->marked = p->mark;
    p->applied = seq;
    p->snapshot = seq;
    p->complete = false;
    p->mark = !p->mark;
    p->link->ack_due = true;
    return 0;
}

static int
snap_receive(struct replica *r, struct peer *p, struct reader *in)
{
    if (p->complete)
        return -1;
    while (in->p < in->end) {
        uint64_t seq = get_u64(in);
        struct mk_entry *e;
        struct table *t;
        struct op op;

        if (op_decode(in, &op) < 0 || op.kind != OP_PUT || seq > p->snapshot)
            return -1;
        t = mapped(r, p, op.table);
        if (!t)
            return -1;
        e = (struct mk_entry *)mk_store_find_of(t->store, op.group, op.key, p->number);
        if (e && e->seq >= seq)
            e->marked = p->mark;
        else
            peer_put(r, p, t, &op, seq);
        r->counts.snapshot_records_in++;
    }
    return 0;
}

/* What was here before and did not come again is gone. */
static int
snap_end(struct replica *r, struct peer *p, struct reader *in)
{
    struct mk_entry *e = p->records.first;

    if (get_u64(in) != p->snapshot || p->complete)
        return -1;
    while (e) {
        struct mk_entry *next = e->next;

        if (e->marked != p->mark)
            peer_drop(r, p, e);
        e = next;
    }
    p->complete = true;
    p->link->ack_due = true;
    peer_check_joined(r, p);
    return 0;
}

/* -- the rest ------------------------------------------------------------------------------- */

static void
resync(struct replica *r, struct peer *p, const char *text)
{
    r->counts.repairs++;
    p->complete = false;
    frame_end(&p->link->control, frame_begin(&p->link->control, FRAME_RESYNC));
    r->out.note(r->out.arg, REPLICA_REPAIRED, p, text);
    wake(r, p->link);
}

static int
digest_receive(struct replica *r, struct peer *p, struct reader *in)
{
    uint64_t seq = get_u64(in);
    unsigned tables = get_u16(in);
    char text[128];

    if (in->bad)
        return -1;
    if (seq != p->applied || !p->complete)
        return p->complete ? -1 : 0;
    for (unsigned i = 0; i < tables; i++) {
        struct digest theirs = {.count = get_u64(in), .sum = get_u64(in)};
        struct table *t = mapped(r, p, i);
        struct digest *ours;

        if (in->bad || !t)
            return -1;
        ours = peer_digest(r, p, (unsigned)(t - r->tables));
        if (ours->count == theirs.count && ours->sum == theirs.sum)
            continue;
        snprintf(text, sizeof(text), "table '%.60s': %llu records there, %llu here", t->name,
                 (unsigned long long)theirs.count, (unsigned long long)ours->count);
        resync(r, p, text);
        return 0;
    }
    return 0;
}

static int
state_receive(struct replica *r, struct link *link, struct reader *in)
{
    uint64_t incarnation = get_u64(in), applied = get_u64(in);
    bool complete = get_u8(in);

    if (in->bad || link->flowing)
        return -1;
    if (incarnation == r->config.incarnation && applied >= r->log.next)
        return -1;
    /* It has forgotten us, though we have not forgotten it. */
    if (applied < link->peer->acked)
        link->peer->apart = true;
    link_start(r, link, incarnation == r->config.incarnation && complete, applied);
    return 0;
}

static int
ack_receive(struct replica *r, struct link *link, struct reader *in)
{
    struct peer *p = link->peer;
    uint64_t applied = get_u64(in);
    bool complete = get_u8(in);

    if (in->bad || !link->flowing || applied >= r->log.next)
        return -1;
    if (applied > p->acked)
        p->acked = applied;
    if (complete && !p->has_all && applied >= link->snapshot && !link->snapping) {
        p->has_all = true;
        peer_check_joined(r, p);
    }
    waiters_check(r);
    return 0;
}

static int
dispatch(struct replica *r, struct link *link, enum frame type, struct reader *in)
{
    struct peer *p = link->peer;

    switch (type) {
    case FRAME_STATE:
        return state_receive(r, link, in);
    case FRAME_OPS:
        return ops_receive(r, p, in);
    case FRAME_SNAP_BEGIN:
        return snap_begin(r, p, in);
    case FRAME_SNAP:
        return snap_receive(r, p, in);
    case FRAME_SNAP_END:
        return snap_end(r, p, in);
    case FRAME_ACK:
        return ack_receive(r, link, in);
    case FRAME_DIGEST:
        return digest_receive(r, p, in);
    case FRAME_RESYNC:
        if (!link->flowing)
            return -1;
        link_snapshot(r, link);
        return 0;
    case FRAME_LEAVE:
        leave_receive(r, link);
        return 0;
    case FRAME_CLAIM:
        claim_receive(r, link, in);
        return in->bad ? -1 : 0;
    case FRAME_CLAIM_ANSWER:
        claim_answered(r, link, in);
        return in->bad ? -1 : 0;
    default:
        return 0;       /* a sign of life, or of a later version */
    }
}

void
replica_receive(struct replica *r, struct link *link, struct mk_str frame, uint64_t now)
{
    struct reader in = {frame.p, frame.p + frame.len, false};
    enum frame type = get_u8(&in);
    char text[64];

    r->now = now;
    link->last_in = now;
    if (link->closing)
        return;
    if (type == FRAME_REFUSE) {
        refused_receive(r, link, &in);
        return;
    }
    if (type == FRAME_HELLO && !link->peer) {
        hello_receive(r, link, &in);
        return;
    }
    if (!link->peer || type == FRAME_HELLO || dispatch(r, link, type, &in) < 0) {
        snprintf(text, sizeof(text), "a frame of type %d that makes no sense", (int)type);
        r->counts.broken++;
        r->out.note(r->out.arg, REPLICA_BROKEN, link->peer, text);
        link_close(r, link, text);
        return;
    }
    if (link->ack_due)
        wake(r, link);
}
