/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Claims: one member decides for each key, chosen by rendezvous hashing among those that are in sync. It gives the key
 * to one node until that node's record is here. Where two views of the membership had two deciders, both records meet in
 * the end: the lower (time, number) stays, the other's owner takes its own away.
 */
#include "internal-replica.h"

enum verdict { VERDICT_GRANTED = 1, VERDICT_TAKEN = 2, VERDICT_RETRY = 3 };

static uint64_t
fnv(uint64_t h, struct mk_str s)
{
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3u;
    return (h ^ 0xff) * 0x100000001b3u;
}

static uint64_t
weight(struct mk_str node, struct mk_str table, struct mk_str group, struct mk_str key)
{
    uint64_t h = fnv(fnv(fnv(fnv(0xcbf29ce484222325u, node), table), group), key);

    h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdu;
    return h ^ (h >> 33);
}

/* Who decides; NULL: this node. */
static struct peer *
decider(const struct replica *r, const char *table, struct mk_str group, struct mk_str key)
{
    struct mk_str t = mk_str_of(table);
    uint64_t best = weight(mk_str_of(r->name), t, group, key);
    struct peer *winner = NULL;

    for (struct peer *p = r->peers; p; p = p->next) {
        uint64_t w = weight(mk_str_of(p->name), t, group, key);

        if (p->state == PEER_JOINED && w > best) {
            best = w;
            winner = p;
        }
    }
    return winner;
}

/* -- reservations, as the decider ----------------------------------------------------------- */

static struct reservation **
reservation_of(struct replica *r, unsigned table, struct mk_str group, struct mk_str key)
{
    struct reservation **p = &r->reservations;

    while (*p && !((*p)->table == table && mk_str_eq((*p)->group, group) && mk_str_eq((*p)->key, key)))
        p = &(*p)->next;
    return p;
}

static void
reservation_drop(struct reservation **slot)
{
    struct reservation *gone = *slot;

    *slot = gone->next;
    mk_free(gone->bytes);
    mk_free(gone);
}

static char *
join(struct mk_str *group, struct mk_str *key, struct mk_str *value)
{
    struct mk_buf b = {0};
    size_t g = group->len, k = key->len;
    char *bytes;

    mk_buf_add_str(&b, *group);
    mk_buf_add_str(&b, *key);
    if (value)
        mk_buf_add_str(&b, *value);
    bytes = mk_buf_take(&b);
    group->p = bytes;
    key->p = bytes + g;
    if (value)
        value->p = bytes + g + k;
    return bytes;
}

static void
reserve(struct replica *r, unsigned table, struct mk_str group, struct mk_str key, struct peer *p)
{
    struct reservation *n = mk_zalloc(sizeof(*n));

    *n = (struct reservation){.next = r->reservations, .table = table, .group = group, .key = key,
                              .peer = p, .until = r->now + RESERVED_MS};
    n->bytes = join(&n->group, &n->key, NULL);
    r->reservations = n;
}

static enum verdict
decide(struct replica *r, struct peer *p, const char *name, unsigned table, struct mk_str group,
       struct mk_str key)
{
    struct reservation **there = reservation_of(r, table, group, key);

    if (decider(r, name, group, key) || !replica_ready(r) || p->state != PEER_JOINED)
        return VERDICT_RETRY;
    if (mk_store_find(r->tables[table].store, group, key))
        return VERDICT_TAKEN;
    if (*there)
        return (*there)->peer == p ? VERDICT_GRANTED : VERDICT_TAKEN;
    reserve(r, table, group, key, p);
    return VERDICT_GRANTED;
}

void
claim_receive(struct replica *r, struct link *link, struct reader *in)
{
    uint64_t id = get_u64(in);
    struct mk_str name = get_str(in), group = get_str(in), key = get_str(in);
    char *text = mk_str_dup(name);
    size_t at;

    if (!in->bad) {
        enum verdict v = decide(r, link->peer, text, replica_table(r, text, 1), group, key);

        at = frame_begin(&link->control, FRAME_CLAIM_ANSWER);
        put_u64(&link->control, id);
        put_u8(&link->control, v);
        frame_end(&link->control, at);
        wake(r, link);
    }
    mk_free(text);
}

/* -- claims, as the one who asks ------------------------------------------------------------- */

static void
claim_end(struct replica *r, struct claim **slot, enum mk_table_result result)
{
    struct claim *c = *slot;

    *slot = c->next;
    if (result != MK_TABLE_OK)
        r->out.done(r->out.arg, c->waiter, result);
    mk_free(c->bytes);
    mk_free(c);
}

/* It is ours to take. */
static void
claim_take(struct replica *r, struct claim **slot)
{
    struct claim *c = *slot;
    struct op op = {.kind = OP_PUT, .flags = OP_CLAIMED, .table = c->table, .time = c->wall,
                    .group = c->group, .key = c->key, .value = c->value};

    if (mk_store_find(r->tables[c->table].store, c->group, c->key)) {
        claim_end(r, slot, MK_TABLE_TAKEN);
        return;
    }
    own_put(r, &op);
    wait_for(r, c->waiter, c->deadline, true);
    claim_end(r, slot, MK_TABLE_OK);
}

/* Asks, or decides, or finds that it is too late. */
static void
claim_try(struct replica *r, struct claim **slot)
{
    struct claim *c = *slot;
    const char *name = r->tables[c->table].name;
    struct mk_buf *out;
    size_t at;

    if (mk_store_find(r->tables[c->table].store, c->group, c->key)) {
        claim_end(r, slot, MK_TABLE_TAKEN);
        return;
    }
    c->asked = decider(r, name, c->group, c->key);
    if (!c->asked) {
        if (*reservation_of(r, c->table, c->group, c->key))
            claim_end(r, slot, MK_TABLE_TAKEN);
        else if (replica_ready(r))
            claim_take(r, slot);
        return;         /* not in sync: again at the next tick */
    }
    out = &c->asked->link->control;
    at = frame_begin(out, FRAME_CLAIM);
    put_u64(out, c->id);
    put_str(out, mk_str_of(name));
    put_str(out, c->group);
    put_str(out, c->key);
    frame_end(out, at);
    wake(r, c->asked->link);
}

void
replica_claim(struct replica *r, unsigned table, struct mk_str group, struct mk_str key,
              struct mk_str value, void *waiter, uint64_t now, uint64_t deadline, uint64_t wall)
{
    struct claim *c = mk_zalloc(sizeof(*c));

    r->now = now;
    *c = (struct claim){.next = r->claims, .id = ++r->last_claim, .table = table, .group = group,
                        .key = key, .value = value, .waiter = waiter, .deadline = deadline,
                        .wall = wall};
    c->bytes = join(&c->group, &c->key, &c->value);
    r->claims = c;
    claim_try(r, &r->claims);
}

/* A node that joined while the answer was on its way may decide by now. */
static bool
still_decides(const struct replica *r, const struct peer *p, const struct claim *c)
{
    return replica_ready(r) && decider(r, r->tables[c->table].name, c->group, c->key) == p;
}

void
claim_answered(struct replica *r, struct link *link, struct reader *in)
{
    uint64_t id = get_u64(in);
    enum verdict verdict = get_u8(in);
    struct claim **p = &r->claims;

    while (*p && (*p)->id != id)
        p = &(*p)->next;
    if (in->bad || !*p || (*p)->asked != link->peer)
        return;
    if (verdict == VERDICT_TAKEN)
        claim_end(r, p, MK_TABLE_TAKEN);
    else if (verdict == VERDICT_GRANTED && still_decides(r, link->peer, *p))
        claim_take(r, p);
    else
        (*p)->asked = NULL;
}

/* Two have it: the higher (time, number) gives way. */
void
claim_seen(struct replica *r, struct peer *p, const struct mk_entry *e)
{
    struct mk_str group = mk_entry_group(e), key = mk_entry_key(e);
    struct mk_store *store = r->tables[e->table].store;
    const struct mk_entry *own = mk_store_find_of(store, group, key, 0);
    struct reservation **held = reservation_of(r, e->table, group, key);

    if (*held && (*held)->peer == p)
        reservation_drop(held);
    if (!own || !own->claimed || !mk_entry_claim_wins(e, own, r->config.number))
        return;
    r->counts.claims_lost++;
    wait_lost(r, own->seq);
    r->out.changed(r->out.arg, e->table, e, own);
    own_remove(r, e->table, group, key);
}

void
claims_peer_lost(struct replica *r, struct peer *p)
{
    struct reservation **slot = &r->reservations;

    for (struct claim *c = r->claims; c; c = c->next) {
        if (c->asked == p)
            c->asked = NULL;
    }
    while (*slot) {
        if ((*slot)->peer == p)
            reservation_drop(slot);
        else
            slot = &(*slot)->next;
    }
}

void
claims_tick(struct replica *r, uint64_t wall)
{
    struct reservation **held = &r->reservations;
    struct claim **slot = &r->claims;

    while (*held) {
        if ((*held)->until <= r->now)
            reservation_drop(held);
        else
            held = &(*held)->next;
    }
    while (*slot) {
        struct claim *c = *slot;

        if (c->deadline <= r->now) {
            claim_end(r, slot, MK_TABLE_TIMEOUT);
            continue;
        }
        if (!c->asked) {
            c->wall = wall;
            claim_try(r, slot);
        }
        if (*slot == c)
            slot = &c->next;
    }
}

void
claims_release(struct replica *r)
{
    while (r->claims) {
        struct claim *c = r->claims;

        r->claims = c->next;
        mk_free(c->bytes);
        mk_free(c);
    }
    while (r->reservations)
        reservation_drop(&r->reservations);
}
