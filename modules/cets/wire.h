/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Numbers and frames on a cluster link: little-endian, see docs/cluster-protocol.md. */
#ifndef CETS_WIRE_H
#define CETS_WIRE_H

#include <endian.h>
#include <string.h>

#include <meerkat/base.h>

enum frame {
    FRAME_HELLO = 1,
    FRAME_STATE = 2,
    FRAME_REFUSE = 3,
    FRAME_OPS = 4,
    FRAME_SNAP_BEGIN = 5,
    FRAME_SNAP = 6,
    FRAME_SNAP_END = 7,
    FRAME_ACK = 8,
    FRAME_PING = 9,
    FRAME_DIGEST = 10,
    FRAME_RESYNC = 11,
    FRAME_LEAVE = 12,
    FRAME_CLAIM = 13,
    FRAME_CLAIM_ANSWER = 14,
    FRAME_FOREIGN = 64,     /* from here on: not the replica's (messages.h) */
};

#define HELLO_MAGIC 0x54454b4du     /* "MKET" */

static inline void
put_u8(struct mk_buf *b, unsigned v)
{
    mk_buf_add_byte(b, (char)v);
}

static inline void
put_u16(struct mk_buf *b, unsigned v)
{
    uint16_t le = htole16((uint16_t)v);

    mk_buf_add(b, &le, sizeof(le));
}

static inline void
put_u32(struct mk_buf *b, uint32_t v)
{
    v = htole32(v);
    mk_buf_add(b, &v, sizeof(v));
}

static inline void
put_u64(struct mk_buf *b, uint64_t v)
{
    v = htole64(v);
    mk_buf_add(b, &v, sizeof(v));
}

/* Length in 16 bits, then the bytes. */
static inline void
put_str(struct mk_buf *b, struct mk_str s)
{
    put_u16(b, (unsigned)s.len);
    mk_buf_add_str(b, s);
}

static inline size_t
frame_begin(struct mk_buf *b, enum frame type)
{
    size_t at = b->len;

    put_u32(b, 0);
    put_u8(b, type);
    return at;
}

static inline void
frame_end(struct mk_buf *b, size_t at)
{
    uint32_t len = htole32((uint32_t)(b->len - at - 4));

    memcpy(b->data + at, &len, sizeof(len));
}

/* The first frame of these bytes, without its length: 1; 0: not whole yet; -1: empty, or longer than `max`. */
static inline int
frame_next(struct mk_str in, uint32_t max, struct mk_str *out)
{
    uint32_t len;

    if (in.len < 4)
        return 0;
    memcpy(&len, in.p, 4);
    len = le32toh(len);
    *out = (struct mk_str){in.p + 4, len};
    if (len == 0 || len > max)
        return -1;
    return in.len - 4 >= len;
}

/* Reading: everything behind the end is zero and sets `bad`. */
struct reader {
    const char *p, *end;
    bool bad;
};

static inline struct mk_str
get_bytes(struct reader *in, size_t len)
{
    struct mk_str s = {in->p, len};

    if ((size_t)(in->end - in->p) < len) {
        in->bad = true;
        return (struct mk_str){"", 0};
    }
    in->p += len;
    return s;
}

static inline unsigned
get_u8(struct reader *in)
{
    struct mk_str s = get_bytes(in, 1);

    return s.len ? (unsigned char)s.p[0] : 0;
}

static inline unsigned
get_u16(struct reader *in)
{
    struct mk_str s = get_bytes(in, 2);
    uint16_t v = 0;

    memcpy(&v, s.p, s.len);
    return le16toh(v);
}

static inline uint32_t
get_u32(struct reader *in)
{
    struct mk_str s = get_bytes(in, 4);
    uint32_t v = 0;

    memcpy(&v, s.p, s.len);
    return le32toh(v);
}

static inline uint64_t
get_u64(struct reader *in)
{
    struct mk_str s = get_bytes(in, 8);
    uint64_t v = 0;

    memcpy(&v, s.p, s.len);
    return le64toh(v);
}

static inline struct mk_str
get_str(struct reader *in)
{
    return get_bytes(in, get_u16(in));
}

#endif
