/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
#include "oplog.h"
#include "wire.h"

#include <meerkat/store.h>

#define SEGMENT (64u << 10)

/* -- operations as bytes -------------------------------------------------------------------- */

size_t
op_size(const struct op *op)
{
    return OP_HEAD + (op->flags & OP_CLAIMED ? 8 : 0) + op->group.len + op->key.len + op->value.len;
}

static char *
copy(char *to, struct mk_str s)
{
    if (s.len)
        memcpy(to, s.p, s.len);
    return to + s.len;
}

void
op_encode(const struct op *op, char *out)
{
    uint32_t len = htole32((uint32_t)op_size(op));
    uint16_t parts[3] = {htole16((uint16_t)op->table), htole16((uint16_t)op->group.len),
                         htole16((uint16_t)op->key.len)};
    uint64_t time = htole64(op->time);

    memcpy(out, &len, 4);
    out[4] = (char)op->kind;
    out[5] = (char)op->flags;
    memcpy(out + 6, parts, 6);
    out += OP_HEAD;
    if (op->flags & OP_CLAIMED) {
        memcpy(out, &time, 8);
        out += 8;
    }
    copy(copy(copy(out, op->group), op->key), op->value);
}

int
op_decode(struct reader *in, struct op *out)
{
    const char *start = in->p;
    uint32_t len = get_u32(in);
    size_t group, key, used;

    out->kind = get_u8(in);
    out->flags = get_u8(in);
    out->table = get_u16(in);
    group = get_u16(in);
    key = get_u16(in);
    out->time = out->flags & OP_CLAIMED ? get_u64(in) : 0;
    out->group = get_bytes(in, group);
    out->key = get_bytes(in, key);
    used = (size_t)(in->p - start);
    if (in->bad || len < used || len - used > MK_ENTRY_VALUE_MAX) {
        in->bad = true;
        return -1;
    }
    out->value = get_bytes(in, len - used);
    return in->bad ? -1 : 0;
}

/* -- the log -------------------------------------------------------------------------------- */

void
oplog_init(struct oplog *log, uint64_t next)
{
    *log = (struct oplog){.next = next};
}

void
oplog_release(struct oplog *log)
{
    while (log->head) {
        struct segment *s = log->head;

        log->head = s->next;
        mk_free(s);
    }
}

static struct segment *
segment_new(struct oplog *log, size_t need)
{
    size_t cap = need > SEGMENT ? need : SEGMENT;
    struct segment *s = mk_alloc(sizeof(*s) + cap);

    *s = (struct segment){.first = log->next, .cap = (uint32_t)cap};
    if (log->tail)
        log->tail->next = s;
    else
        log->head = s;
    log->tail = s;
    log->bytes += cap;
    return s;
}

uint64_t
oplog_add(struct oplog *log, const struct op *op)
{
    size_t size = op_size(op);
    struct segment *s = log->tail;

    if (!s || s->cap - s->len < size)
        s = segment_new(log, size);
    op_encode(op, s->data + s->len);
    s->len += (uint32_t)size;
    s->count++;
    return log->next++;
}

uint64_t
oplog_first(const struct oplog *log)
{
    return log->head ? log->head->first : log->next;
}

static uint32_t
size_at(const struct segment *s, uint32_t offset)
{
    uint32_t len;

    memcpy(&len, s->data + offset, sizeof(len));
    return le32toh(len);
}

bool
oplog_seek(const struct oplog *log, uint64_t seq, struct cursor *out)
{
    struct segment *s = log->head;

    if (seq < oplog_first(log) || seq > log->next)
        return false;
    while (s && s->next && seq >= s->next->first)
        s = s->next;
    *out = (struct cursor){s, 0, s ? s->first : seq};
    while (out->seq < seq) {
        out->offset += size_at(s, out->offset);
        out->seq++;
    }
    return true;
}

/* Moves on to the segment with the next operation; false at the end of the log. */
static bool
settle(const struct oplog *log, struct cursor *at)
{
    if (!at->segment && log->head)
        *at = (struct cursor){log->head, 0, at->seq};
    while (at->segment && at->offset == at->segment->len && at->segment->next)
        *at = (struct cursor){at->segment->next, 0, at->seq};
    return at->segment && at->offset < at->segment->len;
}

uint32_t
oplog_read(const struct oplog *log, struct cursor *at, struct mk_buf *out, size_t room)
{
    uint32_t from, count = 0;
    struct segment *s;

    if (!settle(log, at))
        return 0;
    s = at->segment;
    from = at->offset;
    if (s->len - from <= room) {
        count = (uint32_t)(s->first + s->count - at->seq);
        at->offset = s->len;
    } else {
        do {
            at->offset += size_at(s, at->offset);
            count++;
        } while (at->offset < s->len && at->offset + size_at(s, at->offset) - from <= room);
    }
    mk_buf_add(out, s->data + from, at->offset - from);
    at->seq += count;
    return count;
}

bool
oplog_drop(struct oplog *log)
{
    struct segment *s = log->head;

    if (!s || !s->next)
        return false;
    log->head = s->next;
    log->bytes -= s->cap;
    mk_free(s);
    return true;
}
