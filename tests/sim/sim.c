/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Whole clusters of replicas in one thread, on a clock and a network that a seed makes: delays, cuts in one
 * direction or both, lost links, crashes, restarts, frozen and slow nodes, clocks that differ, twins of one name,
 * records that rot. After every run all that lives must be the same everywhere. A seed always gives the same run.
 *
 *   sim [--seeds N] [--first SEED] [--nodes N] [--verbose]
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#define _LGPL_SOURCE
#include <urcu/urcu-memb.h>

#include "internal-replica.h"

#define TABLES 3            /* the last one holds claims only */
#define CLAIMS (TABLES - 1)
#define GROUPS 6
#define KEYS 4
#define CELLS (GROUPS * KEYS)
#define MAX_NODES 128
#define STEP 5              /* ms */
#define RUN 12000
#define SETTLE 60000
#define CALM 2500

#define HEARTBEAT 300
#define DEAD_AFTER 1200
#define GRACE 2500
#define LOG_MAX (512u << 10)
#define LOG_MAX_HEAVY (64u << 10)
#define BURST 150

struct chunk {
    struct chunk *next;
    uint64_t at;
    bool end;               /* the other side closed */
    size_t len;
    char data[];
};

/* One direction of a connection, from `from`. */
struct end {
    int node;
    unsigned life;
    struct link *link;      /* NULL: closed at this end */
    bool awake, closing;
    struct chunk *first, **last;    /* on the way to the other end */
    uint64_t last_at;
    size_t bytes;
};

struct conn {
    struct conn *next;
    struct end ends[2];
};

struct cell {
    uint64_t version;       /* 0: no record */
};

/* What a watcher of a node has been told: seq by cell and owner. */
struct seen {
    uint64_t seq[TABLES][CELLS];
};

struct node {
    struct sim *sim;
    int index;
    bool up, twin;
    unsigned life;
    char name[16];
    uint16_t number;
    struct replica *replica;
    uint64_t frozen_until, next_tick, slow;
    int64_t skew;
    struct cell own[TABLES][CELLS];
    bool holds[CELLS];          /* claims that were granted to it */
    unsigned waiting;           /* calls of done that are owed */
    struct seen *seen;          /* by owner's number */
    uint64_t down_at;
};

struct sim {
    uint64_t seed, rng, now;
    int count, slots;
    bool verbose, calm, settle;
    struct node nodes[MAX_NODES];
    struct conn *conns;
    bool cut[MAX_NODES][MAX_NODES];
    uint64_t version;
    char *failure;
    uint64_t loss;              /* a crash is noticed by 100 - loss of 100 peers at once */
    uint64_t delay;
    bool rotted;
    size_t events;
};

struct waiting {
    struct node *node;
    unsigned life;
    int cell;                   /* a claim: its cell; else -1 */
    uint64_t seq;               /* else: what must be everywhere */
};

static void fail(struct sim *s, const char *fmt, ...) MK_PRINTF(2, 3);
static void
fail(struct sim *s, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    if (s->failure)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    s->failure = mk_strdup(text);
}

static void say(struct sim *s, const char *fmt, ...) MK_PRINTF(2, 3);
static void
say(struct sim *s, const char *fmt, ...)
{
    va_list ap;

    s->events++;
    if (!s->verbose)
        return;
    printf("%6llu  ", (unsigned long long)s->now);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
}

static uint64_t
rnd(struct sim *s, uint64_t below)
{
    s->rng ^= s->rng << 13;
    s->rng ^= s->rng >> 7;
    s->rng ^= s->rng << 17;
    return below ? (s->rng * 0x2545f4914f6cdd1du >> 11) % below : 0;
}

/* -- what replicas say ---------------------------------------------------------------------- */

static int
cell_of(const struct mk_entry *e)
{
    return (e->bytes[1] - 'a') * KEYS + (e->bytes[3] - 'a');
}

static void
on_changed(void *arg, unsigned table, const struct mk_entry *now, const struct mk_entry *old)
{
    struct node *n = arg;
    const struct mk_entry *e = now ? now : old;
    int cell = cell_of(e);
    uint64_t *seen = &n->seen[e->owner].seq[table][cell];

    if (now && old && now->owner != old->owner) {
        if (!mk_entry_claim_wins(now, old, n->number))
            fail(n->sim, "%s loses its claim %d to %u, which has the later one", n->name, cell, now->owner);
        if (n->sim->calm && n->holds[cell])
            fail(n->sim, "%s loses its claim %d to %u, though all could see each other", n->name, cell, now->owner);
        n->holds[cell] = false;         /* a claim of ours was lost to another */
        n->own[CLAIMS][cell].version = 0;
        say(n->sim, "%s loses its claim %d to %u", n->name, cell, now->owner);
        return;
    }
    if (old && *seen != old->seq)
        fail(n->sim, "%s: a watcher hears of the end of what it has not seen", n->name);
    if (!old && *seen)
        fail(n->sim, "%s: a watcher hears of a new record in the place of one it knows", n->name);
    if (now && old && now->seq <= old->seq)
        fail(n->sim, "%s: cell %d of %u goes back from %llu to %llu", n->name, cell, e->owner,
             (unsigned long long)old->seq, (unsigned long long)now->seq);
    *seen = now ? now->seq : 0;
}

/* How far node `at` has applied what `n` wrote; 0 when it does not know this life of it. */
static uint64_t
applied_at(const struct node *n, const char *at)
{
    for (int i = 0; i < n->sim->slots; i++) {
        const struct node *m = &n->sim->nodes[i];

        if (!m->up || m == n || strcmp(m->name, at) != 0)
            continue;
        for (const struct peer *p = m->replica->peers; p; p = p->next) {
            if (strcmp(p->name, n->name) == 0 && p->incarnation == n->replica->config.incarnation)
                return p->applied;
        }
    }
    return 0;
}

/* OK: all who are linked and in sync have it. Time over: one of them has not said so. */
static void
check_told(struct node *n, uint64_t seq, enum mk_table_result result)
{
    bool all = true;

    for (const struct peer *p = n->replica->peers; p; p = p->next) {
        if (!p->link || !p->has_all)
            continue;
        all &= p->acked >= seq;
        if (result == MK_TABLE_OK && applied_at(n, p->name) < seq && n->sim->calm)
            fail(n->sim, "%s was told that all have %llu, and %s has not", n->name, (unsigned long long)seq, p->name);
    }
    if (result == MK_TABLE_TIMEOUT && all && n->sim->calm)
        fail(n->sim, "%s waited in vain for what all have", n->name);
}

static void
on_done(void *arg, void *waiter, enum mk_table_result result)
{
    struct waiting *w = waiter;
    struct node *n = arg;

    if (n->waiting == 0)
        fail(n->sim, "%s: somebody is told twice", n->name);
    n->waiting--;
    if (w->cell < 0 && n->life == w->life)
        check_told(n, w->seq, result);
    if (w->cell >= 0) {
        say(n->sim, "%s: claim %d: %d", n->name, w->cell, result);
        if (result == MK_TABLE_OK && n->own[CLAIMS][w->cell].version)
            n->holds[w->cell] = true;
    }
    mk_free(w);
}

static struct end *
end_of(struct link *link)
{
    return replica_link_driver(link);
}

static void
on_wake(void *arg, struct link *link)
{
    (void)arg;
    end_of(link)->awake = true;
}

static void
on_close(void *arg, struct link *link, const char *why)
{
    struct node *n = arg;

    end_of(link)->closing = true;
    say(n->sim, "%s closes a link: %s", n->name, why);
}

static void
on_note(void *arg, enum replica_note what, struct peer *peer, const char *text)
{
    static const char *const names[] = {"connected", "joined", "suspected", "left", "gone", "refused",
                                        "refused by", "duplicate", "repaired", "snapshot", "broken"};
    struct node *n = arg;
    struct peer_view v = {.name = "-"};

    if (peer)
        replica_peer_view(peer, &v);
    say(n->sim, "%s: %s %s %s", n->name, names[what], v.name, text ? text : "");
    if (what == REPLICA_BROKEN)
        fail(n->sim, "%s: broken: %s %s", n->name, v.name, text);
    if (what == REPLICA_REPAIRED && !n->sim->rotted)
        fail(n->sim, "%s: %s had to be repaired: %s", n->name, v.name, text);
    if (what == REPLICA_DUPLICATE)
        n->down_at = n->sim->now;
}

/* -- nodes ---------------------------------------------------------------------------------- */

static const char *const table_names[TABLES] = {"sessions", "rooms", "claims"};

/* Some clusters write more at once than their logs may hold. */
static bool
is_heavy(const struct sim *s)
{
    return s->seed % 16 == 0;
}

static size_t
log_max(const struct sim *s)
{
    return is_heavy(s) ? LOG_MAX_HEAVY : LOG_MAX;
}

static void
node_start(struct sim *s, struct node *n)
{
    struct replica_config config = {
        .cluster = "c", .name = n->name, .number = n->number,
        .incarnation = rnd(s, 1u << 30) * 256 + (uint64_t)n->index + 1,
        .start = (uint64_t)((int64_t)s->now + 1000000 + n->skew), .info = MK_STR("info"),
        .heartbeat = HEARTBEAT, .dead_after = DEAD_AFTER, .grace = GRACE, .digest_every = 1000,
        .log_keep = 16 << 10, .log_max = log_max(s)};
    struct replica_out out = {n, on_changed, on_done, on_wake, on_close, on_note};
    int first = (int)rnd(s, TABLES);

    n->up = true;
    n->life++;
    n->down_at = 0;
    n->waiting = 0;
    n->frozen_until = 0;
    memset(n->own, 0, sizeof(n->own));
    memset(n->holds, 0, sizeof(n->holds));
    n->seen = mk_zalloc((MAX_NODES + 1) * sizeof(*n->seen));
    n->replica = replica_new(&config, &out);
    /* Nodes number their tables differently; the numbers here are looked up by name. */
    for (int i = 0; i < TABLES; i++)
        (void)replica_table(n->replica, table_names[(i + first) % TABLES], 1);
    say(s, "%s starts (life %u)", n->name, n->life);
}

static unsigned
table_number(struct node *n, int table)
{
    return replica_table(n->replica, table_names[table], 1);
}

static void
send_bytes(struct sim *s, struct end *e, const char *data, size_t len, bool end)
{
    struct chunk *c = mk_alloc(sizeof(*c) + len);
    uint64_t at = s->now + 1 + rnd(s, s->delay) + s->nodes[e->node].slow;

    if (at < e->last_at)
        at = e->last_at;
    e->last_at = at;
    *c = (struct chunk){.at = at, .end = end, .len = len};
    if (len)
        memcpy(c->data, data, len);
    *e->last = c;
    e->last = &c->next;
    e->bytes += len;
}

static void
drop_chunks(struct end *e)
{
    while (e->first) {
        struct chunk *c = e->first;

        e->first = c->next;
        mk_free(c);
    }
    e->last = &e->first;
    e->bytes = 0;
}

/* This end closes; what was sent before still goes out. */
static void
end_close(struct sim *s, struct end *e, bool tell)
{
    struct node *n = &s->nodes[e->node];
    struct link *link = e->link;

    if (!link)
        return;
    e->link = NULL;
    e->closing = e->awake = false;
    replica_link_down(n->replica, link, s->now);
    if (tell)
        send_bytes(s, e, NULL, 0, true);
}

static void
node_stop(struct sim *s, struct node *n, bool leave)
{
    say(s, "%s %s", n->name, leave ? "leaves" : "crashes");
    if (leave)
        replica_leave(n->replica);
    for (struct conn *c = s->conns; c; c = c->next) {
        for (int i = 0; i < 2; i++) {
            struct end *e = &c->ends[i];
            struct mk_buf out = {0};

            if (e->node != n->index || !e->link)
                continue;
            if (leave) {
                while (replica_pull(n->replica, e->link, &out, 1 << 20, false, s->now) &&
                       e->link->at.seq < n->replica->log.next)
                    ;
                send_bytes(s, e, out.data, out.len, false);
                mk_buf_release(&out);
            }
            end_close(s, e, leave || rnd(s, 100) >= s->loss);
        }
    }
    n->up = false;
    /* Whoever waited goes with it. */
    for (struct waiter *w = n->replica->waiters; w; w = w->next)
        mk_free(w->cookie);
    for (struct claim *c = n->replica->claims; c; c = c->next)
        mk_free(c->waiter);
    replica_free(&n->replica);
    mk_free(n->seen);
    n->seen = NULL;
}

/* -- the network ---------------------------------------------------------------------------- */

static bool
linked(struct node *a, struct node *b)
{
    struct peer *p = NULL;
    struct peer_view v;

    while ((p = replica_peer_next(a->replica, p))) {
        replica_peer_view(p, &v);
        if (strcmp(v.name, b->name) == 0)
            return v.link != NULL;
    }
    return false;
}

static bool
dialling(struct sim *s, struct node *a, struct node *b)
{
    for (struct conn *c = s->conns; c; c = c->next) {
        if (c->ends[0].node == a->index && c->ends[1].node == b->index && c->ends[0].link)
            return true;
    }
    return false;
}

static void
dial(struct sim *s, struct node *a, struct node *b)
{
    struct conn *c;

    if (!a->up || !b->up || a == b || linked(a, b) || dialling(s, a, b) ||
        s->cut[a->index][b->index] || s->cut[b->index][a->index])
        return;
    c = mk_zalloc(sizeof(*c));
    c->next = s->conns;
    s->conns = c;
    for (int i = 0; i < 2; i++) {
        struct end *e = &c->ends[i];
        struct node *n = i == 0 ? a : b;

        e->node = n->index;
        e->life = n->life;
        e->last = &e->first;
        e->link = replica_link_up(n->replica, i == 0, e, s->now);
        e->awake = true;
    }
}

static void
receive(struct sim *s, struct node *n, struct end *to, struct chunk *c)
{
    size_t at = 0;

    while (at < c->len && to->link) {
        uint32_t len;

        memcpy(&len, c->data + at, 4);
        replica_receive(n->replica, to->link, (struct mk_str){c->data + at + 4, len}, s->now);
        at += 4 + len;
    }
    if (c->end)
        end_close(s, to, false);
}

static void
deliver(struct sim *s, struct conn *c)
{
    for (int i = 0; i < 2; i++) {
        struct end *from = &c->ends[i], *to = &c->ends[1 - i];
        struct node *n = &s->nodes[to->node];

        if (s->cut[from->node][to->node] || n->frozen_until > s->now)
            continue;
        while (from->first && from->first->at <= s->now && !s->failure) {
            struct chunk *k = from->first;

            from->first = k->next;
            if (!from->first)
                from->last = &from->first;
            from->bytes -= k->len;
            if (to->link && n->up && n->life == to->life)
                receive(s, n, to, k);
            else if (from->link && from->link->closing == false)
                send_bytes(s, to, NULL, 0, true);      /* nobody there: a reset */
            mk_free(k);
        }
    }
}

static void
transmit(struct sim *s, struct conn *c)
{
    for (int i = 0; i < 2; i++) {
        struct end *e = &c->ends[i];
        struct node *n = &s->nodes[e->node];
        struct mk_buf out = {0};

        if (!e->link || n->frozen_until > s->now)
            continue;
        if (e->closing) {
            replica_pull(n->replica, e->link, &out, 0, false, s->now);
            send_bytes(s, e, out.data, out.len, false);
            end_close(s, e, true);
        } else if (e->awake && e->bytes < 64 << 10) {
            size_t room = 64 + rnd(s, 8000);

            e->awake = replica_pull(n->replica, e->link, &out, room, e->bytes < 16 << 10, s->now);
            if (rnd(s, 50) == 0) {
                /* A frame that a later version may send. */
                frame_end(&out, frame_begin(&out, 40));
            }
            if (out.len)
                send_bytes(s, e, out.data, out.len, false);
        }
        mk_buf_release(&out);
    }
}

static void
sweep_conns(struct sim *s)
{
    struct conn **p = &s->conns;

    while (*p) {
        struct conn *c = *p;

        if (c->ends[0].link || c->ends[1].link) {
            p = &c->next;
            continue;
        }
        *p = c->next;
        drop_chunks(&c->ends[0]);
        drop_chunks(&c->ends[1]);
        mk_free(c);
    }
}

/* -- what users and fate do ------------------------------------------------------------------ */

static struct waiting *
waiting(struct node *n, int cell)
{
    struct waiting *w = mk_zalloc(sizeof(*w));

    *w = (struct waiting){n, n->life, cell, n->replica->log.next - 1};
    n->waiting++;
    return w;
}

static void
write_one(struct sim *s, struct node *n, bool large)
{
    static char filler[4000];
    int table = (int)rnd(s, CLAIMS), cell = (int)rnd(s, CELLS);
    char group[2] = {'g', (char)('a' + cell / KEYS)}, key[2] = {'k', (char)('a' + cell % KEYS)};
    struct mk_str g = {group, 2}, k = {key, 2};
    char value[32 + sizeof(filler)];
    int len;

    if (rnd(s, 4) == 0) {
        replica_remove(n->replica, table_number(n, table), g, k);
        n->own[table][cell].version = 0;
    } else {
        len = snprintf(value, sizeof(value), "%llu.", (unsigned long long)++s->version);
        len += (int)rnd(s, !large && rnd(s, 8) ? 40 : sizeof(filler));
        memset(value + strlen(value), 'x', (size_t)len - strlen(value));
        replica_put(n->replica, table_number(n, table), g, k, (struct mk_str){value, (size_t)len});
        n->own[table][cell].version = s->version;
    }
    if (rnd(s, 5) == 0)
        replica_wait(n->replica, waiting(n, -1), s->now + 2000);
}

static void
write_something(struct sim *s, struct node *n)
{
    if (is_heavy(s) && rnd(s, 100) == 0) {
        for (int i = 0; i < BURST; i++)
            write_one(s, n, true);
    }
    write_one(s, n, false);
}

static void
claim_something(struct sim *s, struct node *n)
{
    int cell = (int)rnd(s, CELLS);
    char group[2] = {'g', (char)('a' + cell / KEYS)}, key[2] = {'k', (char)('a' + cell % KEYS)};
    struct mk_str g = {group, 2}, k = {key, 2};
    unsigned table = table_number(n, CLAIMS);

    if (n->own[CLAIMS][cell].version && mk_store_find_of(replica_store(n->replica, table), g, k, 0)) {
        if (n->holds[cell] && rnd(s, 3) == 0) {
            replica_remove(n->replica, table, g, k);
            n->holds[cell] = false;
            n->own[CLAIMS][cell].version = 0;
            say(s, "%s releases claim %d", n->name, cell);
        }
        return;
    }
    n->own[CLAIMS][cell].version = 1;
    replica_claim(n->replica, table, g, k, MK_STR("mine"), waiting(n, cell), s->now, s->now + 3000,
                  (uint64_t)((int64_t)s->now + 1000000 + n->skew));
}

/* A record of somebody else disappears without a trace, as a bug or a bad memory might have it. */
static void
rot(struct sim *s, struct node *n)
{
    for (struct peer *p = n->replica->peers; p; p = p->next) {
        struct mk_entry *e = p->records.first;

        if (!e || !p->link || !p->complete)
            continue;
        s->rotted = true;
        say(s, "a record of %s rots at %s", p->name, n->name);
        n->seen[e->owner].seq[e->table][cell_of(e)] = 0;
        mk_store_drop(n->replica->tables[e->table].store, e);
        records_remove(n->replica, &p->records, e);
        digest_remove(peer_digest(n->replica, p, e->table), e);
        mk_entry_retire(e);
        return;
    }
}

static struct node *
twin_of(struct sim *s, struct node *n)
{
    struct node *t = &s->nodes[s->slots];

    if (s->slots >= MAX_NODES)
        return NULL;
    *t = (struct node){.sim = s, .index = s->slots, .twin = true, .number = n->number,
                       .skew = n->skew};
    memcpy(t->name, n->name, sizeof(t->name));
    s->slots++;
    return t;
}

static void
fate(struct sim *s)
{
    struct node *n = &s->nodes[rnd(s, (uint64_t)s->count)], *m = &s->nodes[rnd(s, (uint64_t)s->count)];
    struct conn *c = s->conns;

    switch (rnd(s, 14)) {
    case 0:
        if (n->up)
            node_stop(s, n, false);
        break;
    case 1:
        if (n->up)
            node_stop(s, n, true);
        break;
    case 2:
    case 3:
    case 4:
        if (!n->up)
            node_start(s, n);
        break;
    case 5:
        s->cut[n->index][m->index] = true;
        say(s, "cut %s to %s", n->name, m->name);
        break;
    case 6:
        s->cut[n->index][m->index] = s->cut[m->index][n->index] = true;
        say(s, "cut between %s and %s", n->name, m->name);
        break;
    case 7:
        for (int i = 0; i < s->count; i++)
            s->cut[n->index][i] = s->cut[i][n->index] = true;
        say(s, "%s is cut off", n->name);
        break;
    case 8:
    case 9:
        memset(s->cut, 0, sizeof(s->cut));
        say(s, "all cuts heal");
        break;
    case 10:
        n->frozen_until = s->now + rnd(s, 4000);
        say(s, "%s freezes until %llu", n->name, (unsigned long long)n->frozen_until);
        break;
    case 11:
        for (uint64_t skip = rnd(s, 6); c && c->next && skip; skip--)
            c = c->next;
        if (c && c->ends[0].link && !c->ends[0].closing) {
            say(s, "a link of %s is reset", s->nodes[c->ends[0].node].name);
            drop_chunks(&c->ends[0]);
            drop_chunks(&c->ends[1]);
            end_close(s, &c->ends[0], true);
        }
        break;
    case 12:
        if (n->up && rnd(s, 3) == 0)
            rot(s, n);
        else
            n->slow = rnd(s, 2) ? rnd(s, 300) : 0;
        break;
    default:
        if (n->up && rnd(s, 3) == 0 && (m = twin_of(s, n)))
            node_start(s, m);
    }
}

static void
calm_fate(struct sim *s)
{
    struct node *n = &s->nodes[rnd(s, (uint64_t)s->count)];

    if (!n->up)
        node_start(s, n);
    else
        n->slow = rnd(s, 2) ? rnd(s, 100) : 0;
}

/* -- checking ------------------------------------------------------------------------------- */

struct tally {
    struct sim *sim;
    struct node *at;
    int table;
    size_t found;
};

static struct node *
owner_node(struct sim *s, uint16_t number)
{
    for (int i = 0; i < s->slots; i++) {
        if (s->nodes[i].up && s->nodes[i].number == number)
            return &s->nodes[i];
    }
    return NULL;
}

static bool
check_record(const struct mk_record *r, void *arg)
{
    struct tally *t = arg;
    uint16_t number = (uint16_t)(r->node ? r->node : t->at->number);
    struct node *owner = owner_node(t->sim, number);
    const struct mk_entry *e = mk_store_find_of(replica_store(t->at->replica, table_number(t->at, t->table)), r->group,
                                                r->key, (uint16_t)r->node);
    const struct mk_entry *there;

    t->found++;
    if (!e) {
        fail(t->sim, "%s has a record that is not found", t->at->name);
        return false;
    }
    if (!owner) {
        fail(t->sim, "%s has a record of number %u, which is dead", t->at->name, number);
        return false;
    }
    there = mk_store_find_of(replica_store(owner->replica, table_number(owner, t->table)),
                             mk_entry_group(e), mk_entry_key(e), 0);
    if (!there || there->seq != e->seq || !mk_str_eq(mk_entry_value(there), mk_entry_value(e)))
        fail(t->sim, "%s has another record of %s than %s itself, table %d cell %d", t->at->name,
             owner->name, owner->name, t->table, cell_of(e));
    return !t->sim->failure;
}

static void
check_own(struct sim *s, struct node *n, int table)
{
    struct mk_store *store = replica_store(n->replica, table_number(n, table));

    for (int cell = 0; cell < CELLS; cell++) {
        char group[2] = {'g', (char)('a' + cell / KEYS)}, key[2] = {'k', (char)('a' + cell % KEYS)};
        const struct mk_entry *e = mk_store_find_of(store, (struct mk_str){group, 2},
                                                    (struct mk_str){key, 2}, 0);

        if (table == CLAIMS) {
            if (n->holds[cell] && !e)
                fail(s, "%s was granted claim %d and has no record of it", n->name, cell);
            continue;
        }
        if ((e != NULL) != (n->own[table][cell].version != 0) ||
            (e && strtoull(mk_entry_value(e).p, NULL, 10) != n->own[table][cell].version))
            fail(s, "%s does not have what it wrote: table %d cell %d", n->name, table, cell);
    }
}

static void
check_holders(struct sim *s, bool granted)
{
    for (int cell = 0; cell < CELLS; cell++) {
        char group[2] = {'g', (char)('a' + cell / KEYS)}, key[2] = {'k', (char)('a' + cell % KEYS)};
        int holders = 0;

        for (int i = 0; i < s->slots; i++) {
            struct node *n = &s->nodes[i];

            if (!n->up)
                continue;
            if (granted)
                holders += n->holds[cell];
            else
                holders += mk_store_find_of(replica_store(n->replica, table_number(n, CLAIMS)),
                                            (struct mk_str){group, 2}, (struct mk_str){key, 2}, 0) != NULL;
        }
        if (holders > 1)
            fail(s, "claim %d has %d holders", cell, holders);
    }
}

static void
check_bounds(struct sim *s, struct node *n)
{
    if (n->replica->log.bytes > log_max(s) + (128u << 10))
        fail(s, "%s: the log has %zu bytes", n->name, n->replica->log.bytes);
    for (struct link *l = n->replica->links; l; l = l->next) {
        if (l->control.len > 256u << 10)
            fail(s, "%s: %zu bytes wait on a link", n->name, l->control.len);
        if (!l->closing && s->now - l->last_in > DEAD_AFTER + 10 * STEP)
            fail(s, "%s: a link is kept without a sign of life", n->name);
    }
}

/* Everybody is linked with everybody and in sync: then what is there must be the same. */
static bool
is_settled(struct sim *s)
{
    for (int i = 0; i < s->slots; i++) {
        struct node *n = &s->nodes[i];
        int joined = 0, alive = 0;
        struct peer *p = NULL;
        struct peer_view v;

        if (!n->up)
            continue;
        for (int j = 0; j < s->slots; j++)
            alive += s->nodes[j].up && j != i;
        while ((p = replica_peer_next(n->replica, p))) {
            replica_peer_view(p, &v);
            joined += v.state == PEER_JOINED && v.acked == replica_seq(n->replica);
            if (v.state == PEER_SUSPECTED)
                return false;
        }
        if (joined != alive || n->waiting)
            return false;
    }
    return true;
}

static void
check_all(struct sim *s)
{
    for (int i = 0; i < s->slots && !s->failure; i++) {
        struct node *n = &s->nodes[i];

        if (!n->up)
            continue;
        for (int table = 0; table < TABLES; table++) {
            struct tally t = {s, n, table, 0};
            size_t expected = 0;

            check_own(s, n, table);
            mk_store_each(replica_store(n->replica, table_number(n, table)), check_record, &t);
            for (int j = 0; j < s->slots; j++) {
                struct node *m = &s->nodes[j];

                if (m->up)
                    expected += m->replica->tables[table_number(m, table)].own.count;
            }
            if (t.found != expected)
                fail(s, "%s has %zu records in table %d, all together %zu", n->name, t.found, table,
                     expected);
        }
        if (n->waiting)
            fail(s, "%s: %u callers were never told", n->name, n->waiting);
        check_bounds(s, n);
    }
    check_holders(s, false);
}

/* -- a run ---------------------------------------------------------------------------------- */

/* What a discovery would say. */
static void
discover(struct sim *s, struct node *n)
{
    const char *names[MAX_NODES];
    size_t count = 0;

    for (int i = 0; i < s->slots; i++) {
        if (s->nodes[i].up && strcmp(s->nodes[i].name, n->name) != 0)
            names[count++] = s->nodes[i].name;
    }
    replica_expect(n->replica, names, count, s->now);
}

static void
step_node(struct sim *s, struct node *n)
{
    if (!n->up || n->frozen_until > s->now)
        return;
    if (n->down_at) {
        node_stop(s, n, false);     /* it has found out that it is the later of two */
        return;
    }
    if (s->now >= n->next_tick) {
        n->next_tick = s->now + 50;
        discover(s, n);
        replica_tick(n->replica, s->now, (uint64_t)((int64_t)s->now + 1000000 + n->skew));
        for (int i = 0; i < 2 + s->slots / 4; i++)
            dial(s, n, &s->nodes[rnd(s, (uint64_t)s->slots)]);
        check_bounds(s, n);
    }
    if (s->settle)
        return;
    for (uint64_t i = rnd(s, 3); i; i--)
        write_something(s, n);
    if (rnd(s, 20) == 0)
        claim_something(s, n);
}

static void
step(struct sim *s)
{
    struct conn *c, *next;

    s->now += STEP;
    urcu_memb_read_lock();
    for (c = s->conns; c && !s->failure; c = next) {
        next = c->next;
        deliver(s, c);
    }
    for (int i = 0; i < s->slots && !s->failure; i++)
        step_node(s, &s->nodes[i]);
    for (c = s->conns; c; c = c->next)
        transmit(s, c);
    sweep_conns(s);
    if (!s->settle && rnd(s, 40) == 0) {
        if (s->calm)
            calm_fate(s);
        else
            fate(s);
    }
    if (s->calm)
        check_holders(s, true);
    urcu_memb_read_unlock();
}

static void
calm_down(struct sim *s)
{
    s->settle = true;
    memset(s->cut, 0, sizeof(s->cut));
    for (int i = 0; i < s->slots; i++) {
        s->nodes[i].frozen_until = 0;
        s->nodes[i].slow = 0;
    }
    say(s, "-- calm --");
}

static void
finish(struct sim *s)
{
    for (int i = 0; i < s->slots; i++) {
        if (s->nodes[i].up)
            node_stop(s, &s->nodes[i], false);
    }
    sweep_conns(s);
}

/* NULL, or why it failed (owned). */
static char *
run(uint64_t seed, int nodes, bool verbose, size_t *events)
{
    struct sim *s = mk_zalloc(sizeof(*s));
    uint64_t end = RUN, settled = 0;
    char *failure;

    s->seed = seed;
    s->rng = seed * 0x9e3779b97f4a7c15u + 1;
    s->verbose = verbose;
    s->count = nodes ? nodes : rnd(s, 40) == 0 ? 20 + (int)rnd(s, 31) : 3 + (int)rnd(s, 5);
    s->slots = s->count;
    s->calm = rnd(s, 4) == 0;
    s->loss = rnd(s, 3) ? 10 : 60;
    s->delay = 1 + rnd(s, 1 + rnd(s, 80));
    if (s->count > 12)
        end = RUN / 4;
    for (int i = 0; i < s->count; i++) {
        struct node *n = &s->nodes[i];

        *n = (struct node){.sim = s, .index = i, .number = (uint16_t)(i + 1),
                           .skew = (int64_t)rnd(s, 6000) - 3000};
        snprintf(n->name, sizeof(n->name), "n%d", i);
        if (i < 2 || rnd(s, 3))
            node_start(s, n);
    }
    while (s->now < end && !s->failure)
        step(s);
    calm_down(s);
    end = s->now + SETTLE;
    /* Long enough for two rounds of digests, which find whatever else differs. */
    while (s->now < end && !s->failure && settled < CALM / STEP) {
        step(s);
        settled = is_settled(s) ? settled + 1 : 0;
    }
    if (settled < CALM / STEP)
        fail(s, "the cluster does not come together within %d s", SETTLE / 1000);
    urcu_memb_read_lock();
    if (!s->failure)
        check_all(s);
    urcu_memb_read_unlock();
    finish(s);
    failure = s->failure;
    *events += s->events;
    mk_free(s);
    return failure;
}

int
main(int argc, char **argv)
{
    uint64_t seeds = 100, first = 1;
    size_t events = 0;
    int nodes = 0, failures = 0;
    bool verbose = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc)
            seeds = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--first") == 0 && i + 1 < argc)
            first = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--nodes") == 0 && i + 1 < argc)
            nodes = atoi(argv[++i]);
        else if (strcmp(argv[i], "--verbose") == 0)
            verbose = true;
        else
            return fprintf(stderr, "usage: sim [--seeds N] [--first SEED] [--nodes N] [--verbose]\n"), 2;
    }
    urcu_memb_register_thread();
    for (uint64_t seed = first; seed < first + seeds && !failures; seed++) {
        char *why = run(seed, nodes, verbose, &events);

        if (why) {
            printf("seed %llu: %s\n", (unsigned long long)seed, why);
            printf("its history: ./dev sim --verbose --seeds 1 --first %llu", (unsigned long long)seed);
            if (nodes)
                printf(" --nodes %d", nodes);
            putchar('\n');
            failures++;
            mk_free(why);
        }
    }
    printf("%s: %llu seeds from %llu, %zu events\n", failures ? "FAILED" : "ok",
           (unsigned long long)seeds, (unsigned long long)first, events);
    urcu_memb_barrier();
    urcu_memb_unregister_thread();
    return failures ? 1 : 0;
}
