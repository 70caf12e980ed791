/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The store of records: a hash table that readers walk without a lock, keyed by group. The records of a group are
 * entries of one hash, so that a group costs nothing of its own.
 *
 * It is cut into shards by the lowest bits of the hash; each is an array of words, its slots, that is probed one slot
 * after the other. A word holds where an entry is and a few more bits of its hash, so that a look-up touches one
 * line of slots and one entry, that which it looks for. A shard that is full, or nearly empty, is written anew in
 * another size: short work, because shards are many; who still reads the old one sees what was there when it began.
 */
#include "config.h"

#include <stdlib.h>

#define _LGPL_SOURCE
#include <urcu/urcu-memb.h>

#include <meerkat/store.h>

#define SHARDS 1024u
#define SLOTS_MIN 8u
#define SHRINK_BELOW 16     /* a shard shrinks when it has so many slots a record, or more */
#define AHEAD 8u            /* entries that are fetched while one of them is looked at */
#define LINE 64u            /* bytes of a line of the cache */

/* A slot: 16 bits of the hash, 48 of an address (all that user space has on x86-64 and arm64), or one of these: */
#define SLOT_EMPTY 0u
#define SLOT_TAKEN 1u       /* an entry was here */
#define SLOT_TAG_SHIFT 48
#define SLOT_ENTRY ((UINT64_C(1) << SLOT_TAG_SHIFT) - 1)

struct shard {
    uint64_t slots;         /* atomic: their address, which is that of a line, and the logarithm of their number */
    uint32_t live, used;    /* the writers': slots with entries, and those that are not empty */
};

struct mk_store {
    size_t count, bytes;    /* atomic */
    struct shard shards[SHARDS];
};

static bool
same(struct mk_str s, const char *bytes, size_t len)
{
    return s.len == len && (len == 0 || memcmp(s.p, bytes, len) == 0);
}

/* -- entries -------------------------------------------------------------------------------- */

struct mk_entry *
mk_entry_new(struct mk_str group, struct mk_str key, struct mk_str value, size_t extra)
{
    struct mk_entry *e = mk_alloc(sizeof(*e) + group.len + key.len + value.len + extra);
    char *p = e->bytes;

    MK_ASSERT(group.len <= MK_ENTRY_PART_MAX && key.len <= MK_ENTRY_PART_MAX &&
              value.len <= MK_ENTRY_VALUE_MAX);
    memset(e, 0, sizeof(*e));
    e->group_len = (uint16_t)group.len;
    e->key_len = (uint16_t)key.len;
    e->value_len = (uint32_t)value.len;
    if (group.len)
        memcpy(p, group.p, group.len);
    p += group.len;
    if (key.len)
        memcpy(p, key.p, key.len);
    p += key.len;
    if (value.len)
        memcpy(p, value.p, value.len);
    return e;
}

static void
free_retired(struct rcu_head *head)
{
    struct mk_entry *e = caa_container_of(head, struct mk_entry, retired);

    MK_TAKES_OVER(&free_retired);
    mk_free(e);
}

void
mk_entry_retire(struct mk_entry *e)
{
    MK_HANDS_OVER(&free_retired);
    urcu_memb_call_rcu(&e->retired, free_retired);
}

uint64_t
mk_entry_claim_time(const struct mk_entry *e)
{
    uint64_t time = 0;

    if (e->claimed)
        memcpy(&time, e->bytes + e->group_len + e->key_len + e->value_len, sizeof(time));
    return time;
}

bool
mk_entry_claim_wins(const struct mk_entry *a, const struct mk_entry *b, uint16_t self)
{
    uint64_t at = mk_entry_claim_time(a), bt = mk_entry_claim_time(b);
    uint16_t an = a->owner ? a->owner : self, bn = b->owner ? b->owner : self;

    return at != bt ? at < bt : an < bn;
}

/* -- slots ---------------------------------------------------------------------------------- */

static uint64_t
hash_of(struct mk_str group)
{
    return mk_hash(group.p, group.len);
}

static struct shard *
shard_of(const struct mk_store *store, uint64_t hash)
{
    return (struct shard *)&store->shards[hash % SHARDS];
}

/* The slots of a shard, as they are now. None: NULL. */
struct slots {
    uint64_t *list;
    size_t count;
};

static struct slots
slots_of(const struct shard *shard)
{
    uint64_t word = __atomic_load_n(&shard->slots, __ATOMIC_ACQUIRE);

    if (!word)
        return (struct slots){NULL, 0};
    return (struct slots){(uint64_t *)(uintptr_t)(word & ~(uint64_t)(LINE - 1)), (size_t)1 << (word & (LINE - 1))};
}

/* What waits behind the slots until nobody reads them. */
struct retired_slots {
    struct rcu_head head;
    uint64_t *list;
};

static struct slots
slots_new(size_t least)
{
    struct slots s = {NULL, SLOTS_MIN};
    size_t size;

    while (s.count < least)
        s.count *= 2;
    size = s.count * sizeof(*s.list) + sizeof(struct retired_slots);
    s.list = aligned_alloc(LINE, (size + LINE - 1) / LINE * LINE);
    MK_ASSERT(s.list);
    memset(s.list, 0, s.count * sizeof(*s.list));
    return s;
}

static void
slots_free(struct rcu_head *head)
{
    MK_TAKES_OVER(&slots_free);
    free(caa_container_of(head, struct retired_slots, head)->list);
}

static void
slots_retire(struct slots s)
{
    struct retired_slots *r;

    if (!s.list)
        return;
    r = (struct retired_slots *)(void *)(s.list + s.count);
    r->list = s.list;
    MK_HANDS_OVER(&slots_free);
    urcu_memb_call_rcu(&r->head, slots_free);
}

static uint64_t
load(const uint64_t *slot)
{
    return __atomic_load_n(slot, __ATOMIC_ACQUIRE);
}

static void
set(uint64_t *slot, uint64_t word)
{
    __atomic_store_n(slot, word, __ATOMIC_RELEASE);
}

/* NULL: none. */
static struct mk_entry *
entry_in(uint64_t word)
{
    return (word & SLOT_ENTRY) > SLOT_TAKEN ? (struct mk_entry *)(uintptr_t)(word & SLOT_ENTRY) : NULL;
}

/* The tag and the place come from different bits of the hash, and neither from those that chose the shard. */
static size_t
home_of(const struct slots *s, uint32_t upper)
{
    return upper & (s->count - 1);
}

/* A walk through the slots where entries of one hash may be. */
struct probe {
    struct slots slots;
    size_t at;              /* the next to be looked at */
    uint64_t tag;
};

static struct probe
probe_begin(const struct mk_store *store, uint64_t hash)
{
    struct probe p = {.slots = slots_of(shard_of(store, hash)), .tag = (hash >> 16) << SLOT_TAG_SHIFT};

    p.at = home_of(&p.slots, (uint32_t)(hash >> 32));
    return p;
}

/* The next entry that may be one, in slot `at` - 1; NULL: there is no more. There is always an empty slot. */
static struct mk_entry *
probe_next(struct probe *p)
{
    uint64_t word;

    if (!p->slots.list)
        return NULL;
    while ((word = load(&p->slots.list[p->at & (p->slots.count - 1)])) != SLOT_EMPTY) {
        struct mk_entry *e = entry_in(word);

        p->at++;
        if (e && (word & ~SLOT_ENTRY) == p->tag) {
            __builtin_prefetch((const char *)e + LINE);
            return e;
        }
    }
    return NULL;
}

static uint64_t *
slot_before(const struct probe *p)
{
    return &p->slots.list[(p->at - 1) & (p->slots.count - 1)];
}

/* The first that can take an entry whose walk begins at `at`. */
static uint64_t *
free_slot(const struct slots *s, size_t at)
{
    while (entry_in(s->list[at & (s->count - 1)]))
        at++;
    return &s->list[at & (s->count - 1)];
}

/* -- the size of a shard -------------------------------------------------------------------- */

static void
shard_resize(struct shard *shard)
{
    struct slots old = slots_of(shard), new = slots_new(2 * ((size_t)shard->live + 1));

    for (size_t i = 0; i < old.count; i++) {
        const struct mk_entry *e = entry_in(old.list[i]);
        const struct mk_entry *ahead = i + AHEAD < old.count ? entry_in(old.list[i + AHEAD]) : NULL;

        if (ahead)
            __builtin_prefetch(ahead);
        if (e)
            *free_slot(&new, home_of(&new, e->place)) = old.list[i];
    }
    shard->used = shard->live;
    __atomic_store_n(&shard->slots, (uintptr_t)new.list | (unsigned)__builtin_ctzll(new.count), __ATOMIC_RELEASE);
    slots_retire(old);
}

/* Before one more is put. */
static void
shard_make_room(struct shard *shard)
{
    size_t count = slots_of(shard).count;

    if (4 * ((size_t)shard->used + 1) > 3 * count)
        shard_resize(shard);
}

static void
shard_shrink(struct shard *shard)
{
    size_t count = slots_of(shard).count;

    if (count > SLOTS_MIN && (size_t)shard->live * SHRINK_BELOW <= count)
        shard_resize(shard);
}

/* -- the store ------------------------------------------------------------------------------ */

struct mk_store *
mk_store_new(void)
{
    return mk_zalloc(sizeof(struct mk_store));
}

void
mk_store_free(struct mk_store **store)
{
    if (!*store)
        return;
    for (size_t i = 0; i < SHARDS; i++) {
        struct slots s = slots_of(&(*store)->shards[i]);

        for (size_t j = 0; j < s.count; j++) {
            struct mk_entry *e = entry_in(s.list[j]);

            if (e)
                mk_entry_retire(e);
        }
        free(s.list);
    }
    mk_free(*store);
    *store = NULL;
}

static size_t
size_of(const struct mk_entry *e)
{
    return sizeof(*e) + e->group_len + e->key_len + e->value_len;
}

/* What came minus what went; either may be NULL. */
static void
account(struct mk_store *store, const struct mk_entry *now, const struct mk_entry *old)
{
    __atomic_fetch_add(&store->count, (size_t)(now != NULL) - (old != NULL), __ATOMIC_RELAXED);
    __atomic_fetch_add(&store->bytes, (now ? size_of(now) : 0) - (old ? size_of(old) : 0), __ATOMIC_RELAXED);
}

/* The entry that `e` takes the place of, and its slot; the others of its group are told that they are not alone. */
static struct mk_entry *
find_old(const struct mk_store *store, uint64_t hash, struct mk_entry *e, uint64_t **slot)
{
    struct mk_str group = mk_entry_group(e), key = mk_entry_key(e);
    struct probe p = probe_begin(store, hash);
    struct mk_entry *other, *old = NULL;

    while ((other = probe_next(&p))) {
        if (!same(group, other->bytes, other->group_len))
            continue;
        if (other->owner == e->owner && same(key, other->bytes + other->group_len, other->key_len)) {
            old = other;
            *slot = slot_before(&p);
        } else {
            e->grouped = true;
            __atomic_store_n(&other->grouped, true, __ATOMIC_RELAXED);
        }
    }
    return old;
}

static void
add(struct shard *shard, const struct mk_entry *e, uint64_t word)
{
    struct slots s;
    uint64_t *slot;

    shard_make_room(shard);
    s = slots_of(shard);
    slot = free_slot(&s, home_of(&s, e->place));
    shard->used += *slot == SLOT_EMPTY;
    shard->live++;
    set(slot, word);
}

struct mk_entry *
mk_store_put(struct mk_store *store, struct mk_entry *e)
{
    uint64_t hash = hash_of(mk_entry_group(e)), word = (hash >> 16) << SLOT_TAG_SHIFT | (uintptr_t)e;
    uint64_t *slot = NULL;
    struct mk_entry *old;

    MK_ASSERT((uint64_t)(uintptr_t)e <= SLOT_ENTRY);
    e->place = (uint32_t)(hash >> 32);
    old = find_old(store, hash, e, &slot);
    if (old)
        set(slot, word);
    else
        add(shard_of(store, hash), e, word);
    account(store, e, old);
    return old;
}

/* A slot before an empty one can be empty too: no walk goes on behind it. */
static void
clear(struct shard *shard, const struct slots *s, size_t at)
{
    size_t mask = s->count - 1;

    set(&s->list[at & mask], SLOT_TAKEN);
    if (s->list[(at + 1) & mask] != SLOT_EMPTY)
        return;
    for (; s->list[at & mask] == SLOT_TAKEN; at--) {
        set(&s->list[at & mask], SLOT_EMPTY);
        shard->used--;
    }
}

void
mk_store_drop(struct mk_store *store, struct mk_entry *e)
{
    uint64_t hash = hash_of(mk_entry_group(e));
    struct shard *shard = shard_of(store, hash);
    struct probe p = probe_begin(store, hash);
    const struct mk_entry *found;

    do
        found = probe_next(&p);
    while (found && found != e);
    MK_ASSERT(found);
    clear(shard, &p.slots, p.at - 1);
    shard->live--;
    shard_shrink(shard);
    account(store, NULL, e);
}

struct mk_entry *
mk_store_take(struct mk_store *store, struct mk_str group, struct mk_str key, uint16_t owner)
{
    struct mk_entry *e = (struct mk_entry *)mk_store_find_of(store, group, key, owner);

    if (e)
        mk_store_drop(store, e);
    return e;
}

const struct mk_entry *
mk_store_find_of(const struct mk_store *store, struct mk_str group, struct mk_str key,
                 uint16_t owner)
{
    struct probe p = probe_begin(store, hash_of(group));
    const struct mk_entry *e;

    while ((e = probe_next(&p))) {
        if (e->owner == owner && same(key, e->bytes + e->group_len, e->key_len) && same(group, e->bytes, e->group_len))
            break;
    }
    return e;
}

void
mk_store_prefetch(const struct mk_store *store, struct mk_str group)
{
    struct probe p = probe_begin(store, hash_of(group));

    if (p.slots.list)
        __builtin_prefetch(&p.slots.list[p.at]);
}

void
mk_store_each_in(const struct mk_store *store, struct mk_str group,
                 bool (*fn)(const struct mk_record *r, void *arg), void *arg)
{
    struct probe p = probe_begin(store, hash_of(group));
    const struct mk_entry *e;

    while ((e = probe_next(&p))) {
        struct mk_record r;

        if (!same(group, e->bytes, e->group_len))
            continue;
        r = mk_entry_record(e);
        /* The walk ends with one that was always alone. */
        if (!fn(&r, arg) || !__atomic_load_n(&e->grouped, __ATOMIC_RELAXED))
            return;
    }
}

void
mk_store_each(const struct mk_store *store, bool (*fn)(const struct mk_record *r, void *arg), void *arg)
{
    for (size_t i = 0; i < SHARDS; i++) {
        struct slots s = slots_of(&store->shards[i]);

        for (size_t j = 0; j < s.count; j++) {
            const struct mk_entry *e = entry_in(load(&s.list[j]));
            struct mk_record r;

            if (!e)
                continue;
            r = mk_entry_record(e);
            if (!fn(&r, arg))
                return;
        }
    }
}

const struct mk_entry *
mk_store_find(const struct mk_store *store, struct mk_str group, struct mk_str key)
{
    struct probe p = probe_begin(store, hash_of(group));
    const struct mk_entry *e, *best = NULL;

    while ((e = probe_next(&p))) {
        if (!same(key, e->bytes + e->group_len, e->key_len) || !same(group, e->bytes, e->group_len))
            continue;
        if (e->owner == 0)
            return e;
        if (!best || mk_entry_claim_wins(e, best, 0))
            best = e;
    }
    return best;
}

size_t
mk_store_count(const struct mk_store *store)
{
    return __atomic_load_n(&store->count, __ATOMIC_RELAXED);
}

size_t
mk_store_bytes(const struct mk_store *store)
{
    return __atomic_load_n(&store->bytes, __ATOMIC_RELAXED);
}

size_t
mk_store_slots(const struct mk_store *store)
{
    size_t count = 0;

    for (size_t i = 0; i < SHARDS; i++)
        count += slots_of(&store->shards[i]).count;
    return count;
}
