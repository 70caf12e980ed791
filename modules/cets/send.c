/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* What goes out on a link: control first, then operations, then parts of a snapshot. */
#include "internal-replica.h"

#define SNAP_CHUNK (32u << 10)

/* All records that are there now; operations follow from here on. */
void
link_snapshot(struct replica *r, struct link *link)
{
    size_t at = frame_begin(&link->control, FRAME_SNAP_BEGIN);
    bool ok;

    put_u64(&link->control, r->log.next - 1);
    put_u16(&link->control, (unsigned)r->table_count);
    for (size_t i = 0; i < r->table_count; i++) {
        put_u32(&link->control, r->tables[i].version);
        put_str(&link->control, mk_str_of(r->tables[i].name));
    }
    frame_end(&link->control, at);
    ok = oplog_seek(&r->log, r->log.next, &link->at);
    MK_ASSERT(ok);
    link->snapping = true;
    link->snapshot = r->log.next - 1;
    link->walk = r->own.first;
    link->peer->has_all = false;
    r->counts.snapshots_out++;
    r->out.note(r->out.arg, REPLICA_SNAPSHOT, link->peer, NULL);
    wake(r, link);
}

/* The peer said what it has of us: all up to `applied` when `known`. */
void
link_start(struct replica *r, struct link *link, bool known, uint64_t applied)
{
    link->flowing = true;
    if (known && oplog_seek(&r->log, applied + 1, &link->at)) {
        link->snapping = false;
        link->peer->acked = applied;
        link->peer->has_all = true;
        peer_check_joined(r, link->peer);
        wake(r, link);
    } else {
        link->peer->acked = 0;
        link_snapshot(r, link);
    }
}

/* Makes the log small enough: what nobody needs goes; who is too far behind gets a snapshot. */
void
log_trim(struct replica *r)
{
    while (r->log.bytes > r->config.log_keep && r->log.head->next) {
        uint64_t next = r->log.head->next->first;
        bool needed = false;

        for (struct link *link = r->links; link; link = link->next)
            needed |= link->flowing && link->at.seq < next;
        if (needed && r->log.bytes <= r->config.log_max)
            return;
        for (struct link *link = r->links; link; link = link->next) {
            if (link->flowing && link->at.seq == next)
                link->at = (struct cursor){r->log.head->next, 0, next};
        }
        for (struct link *link = r->links; link && needed; link = link->next) {
            if (link->flowing && link->at.seq < next) {
                r->counts.log_restarts++;
                link_snapshot(r, link);
            }
        }
        oplog_drop(&r->log);
    }
}

static void
pull_ops(struct replica *r, struct link *link, struct mk_buf *out, size_t room)
{
    size_t start = out->len;

    while (out->len - start < room) {
        uint64_t first = link->at.seq;
        size_t at = frame_begin(out, FRAME_OPS);
        uint32_t count;

        put_u64(out, first);
        put_u32(out, 0);
        count = oplog_read(&r->log, &link->at, out, room - (out->len - start));
        if (!count) {
            out->len = at;
            return;
        }
        count = htole32(count);
        memcpy(out->data + at + REPLICA_FRAME_HEAD + 8, &count, 4);
        frame_end(out, at);
        r->counts.operations_out += le32toh(count);
    }
}

static void
snap_record(struct mk_buf *out, const struct mk_entry *e)
{
    struct op op = {.kind = OP_PUT,
                    .flags = e->claimed ? OP_CLAIMED : 0,
                    .table = e->table,
                    .time = mk_entry_claim_time(e),
                    .group = mk_entry_group(e),
                    .key = mk_entry_key(e),
                    .value = mk_entry_value(e)};
    size_t size = op_size(&op);

    put_u64(out, e->seq);
    mk_buf_reserve(out, size);
    op_encode(&op, out->data + out->len);
    out->len += size;
}

/* Records that were written after the snapshot began are operations: it ends at the first of them. */
static void
pull_snapshot(struct link *link, struct mk_buf *out, size_t room)
{
    size_t start = out->len;

    while (link->walk && link->walk->seq <= link->snapshot && out->len - start < room) {
        size_t at = frame_begin(out, FRAME_SNAP);

        do {
            snap_record(out, link->walk);
            link->walk = link->walk->next;
        } while (link->walk && link->walk->seq <= link->snapshot && out->len - at < SNAP_CHUNK);
        frame_end(out, at);
    }
    if (!link->walk || link->walk->seq > link->snapshot) {
        size_t at = frame_begin(out, FRAME_SNAP_END);

        put_u64(out, link->snapshot);
        frame_end(out, at);
        link->snapping = false;
        link->walk = NULL;
    }
}

/* What the records are at this point of the stream: all operations have been sent. */
static void
pull_digest(struct replica *r, struct link *link, struct mk_buf *out)
{
    size_t at = frame_begin(out, FRAME_DIGEST);

    put_u64(out, r->log.next - 1);
    put_u16(out, (unsigned)r->table_count);
    for (unsigned i = 0; i < r->table_count; i++) {
        put_u64(out, r->tables[i].own.count);
        put_u64(out, r->tables[i].own.sum);
    }
    frame_end(out, at);
    link->digest_due = false;
}

static void
pull_control(struct link *link, struct mk_buf *out)
{
    mk_buf_add(out, link->control.data, link->control.len);
    mk_buf_release(&link->control);
    if (link->flowing && link->ack_due) {
        size_t at = frame_begin(out, FRAME_ACK);

        put_u64(out, link->peer->applied);
        put_u8(out, link->peer->complete);
        frame_end(out, at);
        link->ack_due = false;
    }
    if (link->ping_due) {
        frame_end(out, frame_begin(out, FRAME_PING));
        link->ping_due = false;
    }
}

bool
link_has_more(const struct replica *r, const struct link *link)
{
    return link->control.len || link->ping_due ||
           (link->flowing && (link->ack_due || link->at.seq < r->log.next || link->snapping ||
                              link->digest_due));
}

bool
replica_pull(struct replica *r, struct link *link, struct mk_buf *out, size_t room, bool bulk,
             uint64_t now)
{
    size_t start = out->len;

    r->now = now;
    pull_control(link, out);
    if (link->flowing && !link->closing) {
        if (out->len - start < room)
            pull_ops(r, link, out, room - (out->len - start));
        if (bulk && link->snapping && out->len - start < room)
            pull_snapshot(link, out, room - (out->len - start));
        if (link->digest_due && !link->snapping && link->at.seq == r->log.next)
            pull_digest(r, link, out);
    }
    if (out->len > start)
        link->last_out = now;
    link->woken = link_has_more(r, link);
    return link->woken;
}
