/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * What modules that provide "tables" (tables.h) keep records in: a hash table that readers walk without a lock
 * (liburcu) and whose writers take turns, each record one allocation. Nobody else needs this header.
 */
#ifndef MEERKAT_STORE_H
#define MEERKAT_STORE_H

#include <meerkat/base.h>
#include <meerkat/tables.h>

#include <urcu/call-rcu.h>

MK_BEGIN

struct mk_store;

/* A record as it is kept. Everything but `next`, `prev` and `marked` stays as it is once it was put; those three
 * belong to the writers. */
struct mk_entry {
    union {
        struct {
            struct mk_entry *next, *prev;   /* all records of one owner */
        };
        struct rcu_head retired;
    };
    uint64_t seq;           /* the owner's number of the operation that wrote it */
    uint32_t value_len;
    uint32_t place;         /* the store's */
    uint16_t group_len;
    uint16_t key_len;
    uint16_t owner;         /* the node's number; 0: this one */
    uint16_t table;         /* which of the writer's tables this is in */
    bool marked;
    bool grouped;           /* atomic: others of its group are there, or were */
    bool claimed;           /* made by a claim: 8 bytes of its time follow the value */
    char bytes[];           /* group, key, value */
};

#define MK_ENTRY_PART_MAX 65535u        /* bytes of a group or a key */
#define MK_ENTRY_VALUE_MAX (1u << 20)

static inline struct mk_str
mk_entry_group(const struct mk_entry *e)
{
    return (struct mk_str){e->bytes, e->group_len};
}

static inline struct mk_str
mk_entry_key(const struct mk_entry *e)
{
    return (struct mk_str){e->bytes + e->group_len, e->key_len};
}

static inline struct mk_str
mk_entry_value(const struct mk_entry *e)
{
    return (struct mk_str){e->bytes + e->group_len + e->key_len, e->value_len};
}

static inline struct mk_record
mk_entry_record(const struct mk_entry *e)
{
    return (struct mk_record){.group = mk_entry_group(e), .key = mk_entry_key(e),
                              .value = mk_entry_value(e), .node = e->owner};
}

/* An entry with these bytes; the other fields are zero. Owned until it is put. Any thread. */
MK_API struct mk_entry *mk_entry_new(struct mk_str group, struct mk_str key, struct mk_str value,
                                     size_t extra) MK_NODISCARD;
/* For one that is in no store any more: freed when no reader can see it. Any thread. */
MK_API void mk_entry_retire(struct mk_entry *e);

/* It grows and shrinks with its content. */
MK_API struct mk_store *mk_store_new(void) MK_NODISCARD;
/* Frees all entries too. No reader may be left. */
MK_API void mk_store_free(struct mk_store **store);

/* Writers; the caller sees to it that there is one at a time. */

/* Puts `e` (taken) in the place of the record of the same group, key and owner; returns that one, which the
 * caller retires, or NULL. */
MK_API struct mk_entry *mk_store_put(struct mk_store *store, struct mk_entry *e) MK_NODISCARD;
/* Brings what finds a group into the cache: for one that is about to be put, so many records ahead of it. */
#define MK_STORE_AHEAD 4u
MK_API void mk_store_prefetch(const struct mk_store *store, struct mk_str group);
/* Takes the owner's record out; NULL: there is none. The caller retires it. */
MK_API struct mk_entry *mk_store_take(struct mk_store *store, struct mk_str group, struct mk_str key,
                                      uint16_t owner) MK_NODISCARD;
/* Takes out one that is in the store; the caller retires it. */
MK_API void mk_store_drop(struct mk_store *store, struct mk_entry *e);

/* Readers: in a read section (any callback of the core). */

/* The first for which fn says false ends it. */
MK_API void mk_store_each_in(const struct mk_store *store, struct mk_str group,
                             bool (*fn)(const struct mk_record *r, void *arg), void *arg);
MK_API void mk_store_each(const struct mk_store *store, bool (*fn)(const struct mk_record *r, void *arg),
                          void *arg);
/* This node's own record of (group, key), else one of the lowest claim time and number; NULL: none. */
MK_API const struct mk_entry *mk_store_find(const struct mk_store *store, struct mk_str group,
                                            struct mk_str key);
/* The record of this owner. */
MK_API const struct mk_entry *mk_store_find_of(const struct mk_store *store, struct mk_str group,
                                               struct mk_str key, uint16_t owner);
MK_API size_t mk_store_count(const struct mk_store *store);
/* How many words the table takes that finds the records. */
MK_API size_t mk_store_slots(const struct mk_store *store);
/* When a claimed entry was made, ms; 0 for others. */
MK_API uint64_t mk_entry_claim_time(const struct mk_entry *e);
/* Which of two claimed entries holds the key: the lower (time, node). `self` is the number of this node. */
MK_API bool mk_entry_claim_wins(const struct mk_entry *a, const struct mk_entry *b, uint16_t self);
/* What the records take, without the table that finds them. */
MK_API size_t mk_store_bytes(const struct mk_store *store);

MK_END
#endif
