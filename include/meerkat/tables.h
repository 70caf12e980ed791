/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Service "tables": records {group, key, value, owner} in memory, the same on every node. On one
 * node module tables_local provides it; in a cluster module cets replicates.
 *
 * A record is owned by the node that inserted it, and only that node changes or deletes it. A group
 * is what is looked up together: all resources of an account. Reads are local and lock-free: inside
 * a callback of the core (or between read_lock and read_unlock elsewhere) what is found stays valid.
 * Group, key and value are bytes; a group has at most 64 KiB, a key 64 KiB, a value 1 MiB.
 */
#ifndef MEERKAT_TABLES_H
#define MEERKAT_TABLES_H

#include <meerkat/base.h>
#include <meerkat/module.h>

MK_BEGIN

struct mk_table;

struct mk_record {
    struct mk_str group;
    struct mk_str key;
    struct mk_str value;
    uint32_t node;          /* the owner's number; 0: this node */
    bool lost;              /* for watchers, of one that went: its node died without a word */
};

enum mk_table_result {
    MK_TABLE_OK,
    MK_TABLE_TAKEN,         /* claim: somebody else holds it */
    MK_TABLE_TIMEOUT,       /* not every node confirmed in time; it goes on by itself */
    MK_TABLE_FULL,          /* a limit is reached: nothing was done */
};
typedef void (*mk_table_fn)(enum mk_table_result result, void *arg);

/* What happened to a record of any node; told on the worker that applied it, for hosts of this table's
 * watchers. `old` is NULL for a new one, `now` for one that went. Must be quick. */
typedef void (*mk_table_watch_fn)(const struct mk_record *now, const struct mk_record *old,
                                  void *arg);

#define MK_TABLES_ABI 1
struct mk_tables {
    uint32_t size;
    void *self;
    /* Opens a table; `version` is the version of its values' layout. In init. Borrowed. */
    struct mk_table *(*open)(void *self, struct mk_module *m, const char *name, unsigned version,
                             struct mk_error *err);
    int (*watch)(void *self, struct mk_module *m, struct mk_table *t, mk_table_watch_fn fn,
                 void *arg);
    /*
     * Inserts or replaces a record of this node. It can be read here at once. With `fn` the caller is told on this
     * worker when every joined node has applied it, or after `timeout_ms`. Worker.
     */
    void (*insert)(struct mk_table *t, struct mk_str group, struct mk_str key, struct mk_str value,
                   uint64_t timeout_ms, mk_table_fn fn, void *arg);
    void (*insert_many)(struct mk_table *t, const struct mk_record *records, size_t n,
                        uint64_t timeout_ms, mk_table_fn fn, void *arg);
    void (*remove)(struct mk_table *t, struct mk_str group, struct mk_str key, uint64_t timeout_ms,
                   mk_table_fn fn, void *arg);
    /* Inserts only if no node has this (group, key): decided by one member. */
    void (*claim)(struct mk_table *t, struct mk_str group, struct mk_str key, struct mk_str value,
                  uint64_t timeout_ms, mk_table_fn fn, void *arg);
    /* Reading. `find` gives one record of (group, key), this node's own first. `each_in` visits a
     * group, `each` everything (slow); false from fn ends it. Any worker. */
    bool (*find)(const struct mk_table *t, struct mk_str group, struct mk_str key,
                 struct mk_record *out);
    void (*each_in)(const struct mk_table *t, struct mk_str group,
                    bool (*fn)(const struct mk_record *r, void *arg), void *arg);
    void (*each)(const struct mk_table *t, bool (*fn)(const struct mk_record *r, void *arg),
                 void *arg);
    size_t (*count)(const struct mk_table *t);
    bool (*in_sync)(const struct mk_table *t);
    uint32_t (*node)(void *self);       /* this node's number; 0 on one node */
};

MK_END
#endif
