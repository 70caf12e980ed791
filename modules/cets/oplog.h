/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The log of this node's operations, in the bytes in which they travel: each is encoded once, and a link
 * copies runs of them. Operations have consecutive numbers.
 */
#ifndef CETS_OPLOG_H
#define CETS_OPLOG_H

#include <meerkat/base.h>

enum op_kind { OP_PUT = 1, OP_REMOVE = 2, OP_TABLE = 3 };
enum op_flags { OP_CLAIMED = 1 };

/*
 * An operation: length of the whole (32 bits), kind, flags (8 each), table, length of group, length of key (16 each), then
 * for a claimed one its time (64 bits), group, key, value. OP_TABLE: group is the name, value the version (32 bits).
 */
#define OP_HEAD 12u

struct op {
    enum op_kind kind;
    unsigned flags;
    unsigned table;
    uint64_t time;
    struct mk_str group, key, value;
};

struct reader;
size_t op_size(const struct op *op);
void op_encode(const struct op *op, char *out);
/* 0; -1 when it is not one, the reader is then spoilt. An operation of unknown kind is read all the same. */
int op_decode(struct reader *in, struct op *out);

struct segment {
    struct segment *next;
    uint64_t first;         /* number of the first operation in it */
    uint32_t count;
    uint32_t len, cap;
    char data[];
};

struct oplog {
    struct segment *head, *tail;
    size_t bytes;           /* capacity of all segments */
    uint64_t next;          /* number of the next operation */
};

/* A place in the log: the next operation to send. `segment` NULL: the end of an empty log. */
struct cursor {
    struct segment *segment;
    uint32_t offset;
    uint64_t seq;
};

void oplog_init(struct oplog *log, uint64_t next);
void oplog_release(struct oplog *log);
/* Appends; returns its number. */
uint64_t oplog_add(struct oplog *log, const struct op *op);
/* The number of the oldest operation in it. */
uint64_t oplog_first(const struct oplog *log);
/* Sets a cursor on `seq`; false when it is not in the log any more (the next one to come is). */
bool oplog_seek(const struct oplog *log, uint64_t seq, struct cursor *out);
/* Appends operations from the cursor on, about `room` bytes but at least one; returns how many. */
uint32_t oplog_read(const struct oplog *log, struct cursor *at, struct mk_buf *out, size_t room);
/* Drops the oldest segment unless it is the only one; true when one went. */
bool oplog_drop(struct oplog *log);

#endif
