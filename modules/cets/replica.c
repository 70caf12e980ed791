/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The replica: tables, this node's own operations, and who waits for them. */
#include "internal-replica.h"

#include <meerkat/meerkat.h>

/* -- records of an owner -------------------------------------------------------------------- */

void
records_add(struct records *list, struct mk_entry *e)
{
    e->next = NULL;
    e->prev = list->last;
    if (list->last)
        list->last->next = e;
    else
        list->first = e;
    list->last = e;
    list->count++;
}

/* Snapshots under way step over it. */
void
records_remove(struct replica *r, struct records *list, struct mk_entry *e)
{
    if (list == &r->own) {
        for (struct link *link = r->links; link; link = link->next) {
            if (link->walk == e)
                link->walk = e->next;
        }
    }
    if (e->prev)
        e->prev->next = e->next;
    else
        list->first = e->next;
    if (e->next)
        e->next->prev = e->prev;
    else
        list->last = e->prev;
    list->count--;
}

/* A number names one version of one record of its owner: the sum of them all, mixed, names the set. */
static uint64_t
mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

void
digest_add(struct digest *d, const struct mk_entry *e)
{
    d->count++;
    d->sum += mix(e->seq);
}

void
digest_remove(struct digest *d, const struct mk_entry *e)
{
    d->count--;
    d->sum -= mix(e->seq);
}

struct mk_entry *
entry_from(const struct op *op, unsigned table, uint64_t seq, uint16_t owner)
{
    bool claimed = op->flags & OP_CLAIMED;
    struct mk_entry *e = mk_entry_new(op->group, op->key, op->value, claimed ? 8 : 0);

    e->table = (uint16_t)table;
    e->seq = seq;
    e->owner = owner;
    e->claimed = claimed;
    if (claimed)
        memcpy(e->bytes + op->group.len + op->key.len + op->value.len, &op->time, 8);
    return e;
}

/* -- tables --------------------------------------------------------------------------------- */

struct table *
table_at(struct replica *r, unsigned table)
{
    MK_ASSERT(table < r->table_count);
    return &r->tables[table];
}

void
wake(struct replica *r, struct link *link)
{
    if (link->woken || link->closing)
        return;
    link->woken = true;
    r->out.wake(r->out.arg, link);
}

/* An operation of ours goes to all who listen. */
static uint64_t
publish(struct replica *r, const struct op *op)
{
    uint64_t seq = oplog_add(&r->log, op);

    for (struct link *link = r->links; link; link = link->next) {
        if (link->flowing)
            wake(r, link);
    }
    if (r->log.bytes > r->config.log_keep)
        log_trim(r);
    return seq;
}

unsigned
replica_table(struct replica *r, const char *name, unsigned version)
{
    uint32_t v = htole32(version);
    struct op op = {.kind = OP_TABLE, .group = mk_str_of(name), .value = {(const char *)&v, 4}};

    for (unsigned i = 0; i < r->table_count; i++) {
        if (strcmp(r->tables[i].name, name) == 0)
            return i;
    }
    MK_ASSERT(r->table_count < UINT16_MAX);
    r->tables = mk_realloc(r->tables, (r->table_count + 1) * sizeof(*r->tables));
    r->tables[r->table_count] = (struct table){.name = mk_strdup(name), .version = version,
                                               .store = mk_store_new()};
    op.table = (unsigned)r->table_count++;
    publish(r, &op);
    return op.table;
}

unsigned
replica_table_count(const struct replica *r)
{
    return (unsigned)r->table_count;
}

const char *
replica_table_name(const struct replica *r, unsigned table)
{
    return r->tables[table].name;
}

unsigned
replica_table_version(const struct replica *r, unsigned table)
{
    return r->tables[table].version;
}

struct mk_store *
replica_store(const struct replica *r, unsigned table)
{
    return r->tables[table].store;
}

/* -- own operations ------------------------------------------------------------------------- */

static void
own_replaced(struct replica *r, struct table *t, const struct mk_entry *now, struct mk_entry *old)
{
    if (old) {
        records_remove(r, &r->own, old);
        digest_remove(&t->own, old);
    }
    r->out.changed(r->out.arg, (unsigned)(t - r->tables), now, old);
    if (old)
        mk_entry_retire(old);
}

void
own_put(struct replica *r, const struct op *op)
{
    struct table *t = table_at(r, op->table);
    struct mk_entry *e = entry_from(op, op->table, r->log.next, 0), *old;

    old = mk_store_put(t->store, e);
    records_add(&r->own, e);
    digest_add(&t->own, e);
    publish(r, op);
    own_replaced(r, t, e, old);
}

void
own_remove(struct replica *r, unsigned table, struct mk_str group, struct mk_str key)
{
    struct table *t = table_at(r, table);
    struct mk_entry *old = mk_store_take(t->store, group, key, 0);
    struct op op = {.kind = OP_REMOVE, .table = table, .group = group, .key = key};

    if (!old)
        return;
    publish(r, &op);
    own_replaced(r, t, NULL, old);
}

void
replica_put(struct replica *r, unsigned table, struct mk_str group, struct mk_str key,
            struct mk_str value)
{
    struct op op = {.kind = OP_PUT, .table = table, .group = group, .key = key, .value = value};

    own_put(r, &op);
}

void
replica_remove(struct replica *r, unsigned table, struct mk_str group, struct mk_str key)
{
    own_remove(r, table, group, key);
}

uint64_t
replica_seq(const struct replica *r)
{
    return r->log.next - 1;
}

/* -- waiting -------------------------------------------------------------------------------- */

/* The last operation that every joined peer has. */
static uint64_t
acked_by_all(const struct replica *r)
{
    uint64_t least = r->log.next - 1;

    for (const struct peer *p = r->peers; p; p = p->next) {
        if (p->link && p->has_all && p->acked < least)
            least = p->acked;
    }
    return least;
}

uint64_t
replica_lag(const struct replica *r)
{
    return r->log.next - 1 - acked_by_all(r);
}

void
waiters_check(struct replica *r)
{
    uint64_t acked;

    if (!r->waiters)
        return;
    acked = acked_by_all(r);
    while (r->waiters && r->waiters->seq <= acked) {
        struct waiter *w = r->waiters;

        r->waiters = w->next;
        if (!r->waiters)
            r->waiters_end = &r->waiters;
        r->out.done(r->out.arg, w->cookie, MK_TABLE_OK);
        mk_free(w);
    }
}

static void
waiters_tick(struct replica *r)
{
    struct waiter **p = &r->waiters, *w;

    while ((w = *p)) {
        if (w->deadline > r->now) {
            p = &w->next;
            continue;
        }
        *p = w->next;
        r->out.done(r->out.arg, w->cookie, MK_TABLE_TIMEOUT);
        mk_free(w);
    }
    r->waiters_end = p;
}

void
wait_for(struct replica *r, void *waiter, uint64_t deadline, bool alone)
{
    struct waiter *w;

    if (!waiter)
        return;
    w = mk_alloc(sizeof(*w));
    *w = (struct waiter){.cookie = waiter, .seq = r->log.next - 1, .deadline = deadline, .alone = alone};
    *r->waiters_end = w;
    r->waiters_end = &w->next;
    if (r->waiters == w)
        waiters_check(r);
}

void
wait_lost(struct replica *r, uint64_t seq)
{
    struct waiter **p = &r->waiters, *w;

    while ((w = *p) && (w->seq < seq || (w->seq == seq && !w->alone)))
        p = &w->next;
    if (!w || w->seq != seq)
        return;
    *p = w->next;
    if (!*p)
        r->waiters_end = p;
    r->out.done(r->out.arg, w->cookie, MK_TABLE_TAKEN);
    mk_free(w);
}

void
replica_wait(struct replica *r, void *waiter, uint64_t deadline)
{
    wait_for(r, waiter, deadline, false);
}

/* -- life ----------------------------------------------------------------------------------- */

void
replica_set_info(struct replica *r, struct mk_str info)
{
    mk_free(r->info);
    r->info = mk_str_dup(info);
    r->config.info = (struct mk_str){r->info, info.len};
}

struct mk_str
replica_info(const struct replica *r)
{
    return r->config.info;
}

struct replica *
replica_new(const struct replica_config *config, const struct replica_out *out)
{
    struct replica *r = mk_zalloc(sizeof(*r));

    r->config = *config;
    r->config.cluster = r->cluster = mk_strdup(config->cluster);
    r->config.name = r->name = mk_strdup(config->name);
    replica_set_info(r, config->info);
    r->out = *out;
    r->waiters_end = &r->waiters;
    oplog_init(&r->log, 1);
    return r;
}

void
replica_set_number(struct replica *r, uint16_t number)
{
    MK_ASSERT(!r->links);
    r->config.number = number;
}

void
replica_free(struct replica **slot)
{
    struct replica *r = *slot;

    if (!r)
        return;
    MK_ASSERT(!r->links);
    claims_release(r);
    while (r->waiters) {
        struct waiter *w = r->waiters;

        r->waiters = w->next;
        mk_free(w);
    }
    members_release(r);
    for (size_t i = 0; i < r->table_count; i++) {
        mk_store_free(&r->tables[i].store);
        mk_free(r->tables[i].name);
    }
    mk_free(r->tables);
    oplog_release(&r->log);
    mk_free(r->cluster);
    mk_free(r->name);
    mk_free(r->info);
    mk_free(r);
    *slot = NULL;
}

void
replica_tick(struct replica *r, uint64_t now, uint64_t wall)
{
    r->now = now;
    members_tick(r);
    waiters_tick(r);
    waiters_check(r);
    claims_tick(r, wall);
    if (now >= r->next_digest) {
        r->next_digest = now + r->config.digest_every;
        for (struct link *link = r->links; link; link = link->next) {
            if (!link->flowing)
                continue;
            link->digest_due = true;
            wake(r, link);
        }
    }
}

struct replica_counts
replica_counts(const struct replica *r)
{
    struct replica_counts counts = r->counts;

    counts.log_bytes = r->log.bytes;
    return counts;
}
