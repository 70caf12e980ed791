/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Members: links that come and go, who they are, when a peer has joined, when it is gone. */
#include "internal-replica.h"

#include <stdio.h>

void
link_close(struct replica *r, struct link *link, const char *why)
{
    if (link->closing)
        return;
    link->closing = true;
    r->out.close(r->out.arg, link, why);
}

/* The link is not this peer's any more. */
static void
detach(struct replica *r, struct link *link)
{
    struct peer *p = link->peer;

    link->peer = NULL;
    link->flowing = false;
    link->snapping = false;
    link->walk = NULL;
    if (!p)
        return;
    p->link = NULL;
    p->has_all = false;
    p->down_since = r->now;
    claims_peer_lost(r, p);
}

/* All its records go, and what is known of its operations. */
void
peer_forget(struct replica *r, struct peer *p, enum replica_note why)
{
    if (p->state == PEER_GONE)
        return;
    if (p->link) {
        struct link *link = p->link;

        detach(r, link);
        link_close(r, link, "the node is gone");
    }
    r->losing = why == REPLICA_GONE;
    p->apart |= r->losing;
    while (p->records.first) {
        struct mk_entry *e = p->records.first;

        mk_store_drop(r->tables[e->table].store, e);
        records_remove(r, &p->records, e);
        r->out.changed(r->out.arg, e->table, NULL, e);
        mk_entry_retire(e);
    }
    r->losing = false;
    mk_free(p->digests);
    mk_free(p->map);
    p->digests = NULL;
    p->map = NULL;
    p->digests_len = p->map_len = 0;
    p->applied = 0;
    p->complete = false;
    p->acked = 0;
    p->state = PEER_GONE;
    r->out.note(r->out.arg, why, p, NULL);
    waiters_check(r);
}

void
peer_check_joined(struct replica *r, struct peer *p)
{
    if (p->state != PEER_CONNECTED || !p->complete || !p->has_all)
        return;
    p->state = PEER_JOINED;
    r->refused_since = 0;
    r->out.note(r->out.arg, REPLICA_JOINED, p, NULL);
    waiters_check(r);
}

/* -- greeting ------------------------------------------------------------------------------- */

struct hello {
    unsigned min, max, number;
    uint64_t incarnation, start;
    struct mk_str cluster, name, info;
};

void
hello_send(struct replica *r, struct link *link)
{
    size_t at = frame_begin(&link->control, FRAME_HELLO);

    put_u32(&link->control, HELLO_MAGIC);
    put_u16(&link->control, REPLICA_PROTOCOL_MIN);
    put_u16(&link->control, REPLICA_PROTOCOL_MAX);
    put_u16(&link->control, r->config.number);
    put_u64(&link->control, r->config.incarnation);
    put_u64(&link->control, r->config.start);
    put_str(&link->control, mk_str_of(r->config.cluster));
    put_str(&link->control, mk_str_of(r->config.name));
    put_str(&link->control, r->config.info);
    frame_end(&link->control, at);
    wake(r, link);
}

static void
state_send(struct replica *r, struct link *link)
{
    struct peer *p = link->peer;
    size_t at = frame_begin(&link->control, FRAME_STATE);

    put_u64(&link->control, p->incarnation);
    put_u64(&link->control, p->applied);
    put_u8(&link->control, p->complete);
    frame_end(&link->control, at);
    wake(r, link);
}

/* Why a node is refused, for it to know. */
enum refusal { REFUSAL_OTHER = 0, REFUSAL_ALIVE = 1 };      /* ALIVE: another life of it is connected */

static void
refuse(struct replica *r, struct link *link, enum refusal code, const char *text)
{
    size_t at = frame_begin(&link->control, FRAME_REFUSE);

    put_u8(&link->control, code);
    put_str(&link->control, mk_str_of(text));
    frame_end(&link->control, at);
    r->out.note(r->out.arg, REPLICA_REFUSED, NULL, text);
    link_close(r, link, text);
}

void
refused_receive(struct replica *r, struct link *link, struct reader *in)
{
    unsigned code = get_u8(in);
    struct mk_str why = get_str(in);
    char text[512];

    snprintf(text, sizeof(text), "%.*s", MK_STR_ARG(why));
    if (code == REFUSAL_ALIVE) {
        /* A former life of ours is taken for dead in time; a twin is not. */
        if (!r->refused_since)
            r->refused_since = r->now;
        if (r->now - r->refused_since >= 2 * r->config.dead_after)
            r->out.note(r->out.arg, REPLICA_DUPLICATE, NULL, text);
    }
    r->out.note(r->out.arg, REPLICA_REFUSED_BY, link->peer, text);
    link_close(r, link, text);
}

/* Is our life later than theirs? Both ends must come to the same answer. */
static bool
we_are_later(const struct replica *r, const struct hello *h)
{
    if (r->config.start != h->start)
        return r->config.start > h->start;
    return r->config.incarnation > h->incarnation;
}

static struct peer *
peer_named(const struct replica *r, struct mk_str name)
{
    struct peer *p = r->peers;

    while (p && !mk_str_is(name, p->name))
        p = p->next;
    return p;
}

/* NULL, or why this one cannot be let in. */
static const char *
objection(struct replica *r, const struct hello *h, char *text, size_t size)
{
    const struct peer *p = peer_named(r, h->name), *q = replica_peer_of(r, (uint16_t)h->number);

    if (p && p->incarnation != h->incarnation && p->link)
        snprintf(text, size, "node '%.*s' is connected in another life", MK_STR_ARG(h->name));
    else if (p && p->incarnation != h->incarnation && p->state != PEER_GONE && p->start > h->start)
        snprintf(text, size, "this life of node '%.*s' is over", MK_STR_ARG(h->name));
    else if (q && q != p && q->link)
        snprintf(text, size, "number %u is in use by node '%.200s'", h->number, q->name);
    else if (p && p->state != PEER_GONE && p->incarnation == h->incarnation && p->number != h->number)
        snprintf(text, size, "node '%.*s' has changed its number", MK_STR_ARG(h->name));
    else
        return NULL;
    return text;
}

/* The peer of this greeting; whoever it replaces is forgotten. */
static struct peer *
admit(struct replica *r, const struct hello *h)
{
    struct peer *p = peer_named(r, h->name), *q = replica_peer_of(r, (uint16_t)h->number);

    if (q && q != p)
        peer_forget(r, q, REPLICA_GONE);
    if (p && p->incarnation != h->incarnation)
        peer_forget(r, p, REPLICA_GONE);
    if (!p) {
        p = mk_zalloc(sizeof(*p));
        p->name = mk_str_dup(h->name);
        p->next = r->peers;
        p->state = PEER_GONE;
        r->peers = p;
    }
    p->number = (uint16_t)h->number;
    p->incarnation = h->incarnation;
    p->start = h->start;
    mk_free(p->info);
    p->info = mk_str_dup(h->info);
    p->info_len = h->info.len;
    return p;
}

/* Two links to one peer: both ends keep the one that the lower name dialled. A second one from the same side means
 * that this side has lost the first. */
static bool
keeps_old(const struct replica *r, const struct peer *p, const struct link *link)
{
    bool we_are_lower = strcmp(r->name, p->name) < 0;

    if (p->link->dialled == link->dialled)
        return false;
    return p->link->dialled == we_are_lower;
}

static void
attach(struct replica *r, struct link *link, struct peer *p)
{
    if (p->link) {
        struct link *old = p->link;

        if (keeps_old(r, p, link)) {
            old->ping_due = true;       /* if it is dead, let it be found soon */
            wake(r, old);
            link_close(r, link, "there is a link already");
            return;
        }
        detach(r, old);
        link_close(r, old, "replaced by another link");
    }
    link->peer = p;
    p->link = link;
    p->connected = r->now;
    p->state = PEER_CONNECTED;
    state_send(r, link);
    r->out.note(r->out.arg, REPLICA_CONNECTED, p, NULL);
}

static bool
is_ours(struct replica *r, struct link *link, const struct hello *h)
{
    char text[320];

    if (!mk_str_is(h->cluster, r->cluster)) {
        snprintf(text, sizeof(text), "cluster '%.*s' is not '%.100s'", (int)(h->cluster.len % 100),
                 h->cluster.p, r->cluster);
        refuse(r, link, REFUSAL_OTHER, text);
        return false;
    }
    if (h->min > REPLICA_PROTOCOL_MAX || h->max < REPLICA_PROTOCOL_MIN) {
        snprintf(text, sizeof(text), "protocol %u to %u, not %u to %u", h->min, h->max,
                 REPLICA_PROTOCOL_MIN, REPLICA_PROTOCOL_MAX);
        refuse(r, link, REFUSAL_OTHER, text);
        return false;
    }
    if (!mk_str_is(h->name, r->name) && h->number != r->config.number)
        return true;
    snprintf(text, sizeof(text), "two nodes are '%.*s', number %u, or '%.200s', number %u: the later must go",
             (int)(h->name.len < 64 ? h->name.len : 64), h->name.p, h->number, r->name,
             r->config.number);
    if (we_are_later(r, h)) {
        r->out.note(r->out.arg, REPLICA_DUPLICATE, NULL, text);
        link_close(r, link, text);
    } else {
        refuse(r, link, REFUSAL_OTHER, text);
    }
    return false;
}

void
hello_receive(struct replica *r, struct link *link, struct reader *in)
{
    uint32_t magic = get_u32(in);
    struct hello h = {.min = get_u16(in), .max = get_u16(in), .number = get_u16(in)};
    char text[512];
    const char *why;

    h.incarnation = get_u64(in);
    h.start = get_u64(in);
    h.cluster = get_str(in);
    h.name = get_str(in);
    h.info = get_str(in);
    if (in->bad || magic != HELLO_MAGIC || h.number == 0 || h.incarnation == 0 || h.name.len == 0) {
        r->counts.broken++;
        r->out.note(r->out.arg, REPLICA_BROKEN, NULL, "no greeting of a node");
        link_close(r, link, "no greeting of a node");
    } else if (h.incarnation == r->config.incarnation) {
        link_close(r, link, "this is ourselves");
    } else if (is_ours(r, link, &h)) {
        const struct peer *p = peer_named(r, h.name);
        bool alive = p && p->incarnation != h.incarnation && p->link;

        why = objection(r, &h, text, sizeof(text));
        if (why)
            refuse(r, link, alive ? REFUSAL_ALIVE : REFUSAL_OTHER, why);
        else
            attach(r, link, admit(r, &h));
    }
}

/* -- coming and going ------------------------------------------------------------------------ */

struct link *
replica_link_up(struct replica *r, bool dialled, void *driver, uint64_t now)
{
    struct link *link = mk_zalloc(sizeof(*link));

    r->now = now;
    *link = (struct link){.next = r->links, .driver = driver, .dialled = dialled, .last_in = now,
                          .last_out = now};
    r->links = link;
    hello_send(r, link);
    return link;
}

void
replica_link_down(struct replica *r, struct link *link, uint64_t now)
{
    struct link **slot = &r->links;
    struct peer *p = link->peer;

    r->now = now;
    while (*slot != link)
        slot = &(*slot)->next;
    *slot = link->next;
    detach(r, link);
    mk_buf_release(&link->control);
    mk_free(link);
    if (p) {
        bool joined = p->state == PEER_JOINED;

        p->state = PEER_SUSPECTED;
        if (joined)
            r->out.note(r->out.arg, REPLICA_SUSPECTED, p, NULL);
        waiters_check(r);
    }
}

void *
replica_link_driver(const struct link *link)
{
    return link->driver;
}

struct peer *
replica_link_peer(const struct link *link)
{
    return link->peer;
}

void
leave_receive(struct replica *r, struct link *link)
{
    peer_forget(r, link->peer, REPLICA_LEFT);
}

void
replica_leave(struct replica *r)
{
    r->leaving = true;
    for (struct link *link = r->links; link; link = link->next) {
        if (!link->peer)
            continue;
        frame_end(&link->control, frame_begin(&link->control, FRAME_LEAVE));
        wake(r, link);
    }
}

void
members_tick(struct replica *r)
{
    for (struct link *link = r->links; link; link = link->next) {
        if (link->closing)
            continue;
        if (r->now - link->last_in >= r->config.dead_after) {
            link_close(r, link, "no sign of life");
        } else if (r->now - link->last_out >= r->config.heartbeat) {
            link->ping_due = true;
            wake(r, link);
        }
    }
    for (struct peer *p = r->peers; p; p = p->next) {
        if (p->state == PEER_SUSPECTED && r->now - p->down_since >= r->config.grace)
            peer_forget(r, p, REPLICA_GONE);
    }
}

bool
replica_is_losing(const struct replica *r)
{
    return r->losing;
}

void
replica_expect(struct replica *r, const char *const *names, size_t count, uint64_t now)
{
    struct expected *list = mk_zalloc((count + 1) * sizeof(*list));

    r->now = now;
    for (size_t i = 0; i < count; i++) {
        list[i] = (struct expected){mk_strdup(names[i]), now};
        for (size_t j = 0; j < r->expected_count; j++) {
            if (strcmp(r->expected[j].name, names[i]) == 0)
                list[i].since = r->expected[j].since;
        }
    }
    for (size_t j = 0; j < r->expected_count; j++)
        mk_free(r->expected[j].name);
    mk_free(r->expected);
    r->expected = list;
    r->expected_count = count;
}

bool
replica_ready(const struct replica *r)
{
    if (r->refused_since)
        return false;
    for (const struct peer *p = r->peers; p; p = p->next) {
        if (p->link && p->state != PEER_JOINED)
            return false;
    }
    for (size_t i = 0; i < r->expected_count; i++) {
        const struct peer *p = peer_named(r, mk_str_of(r->expected[i].name));

        if (!(p && p->state == PEER_JOINED) && r->now - r->expected[i].since < r->config.grace)
            return false;
    }
    return true;
}

struct peer *
replica_peer_next(const struct replica *r, const struct peer *after)
{
    return after ? after->next : r->peers;
}

struct peer *
replica_peer_of(const struct replica *r, uint16_t number)
{
    struct peer *p = r->peers;

    while (p && (p->state == PEER_GONE || p->number != number))
        p = p->next;
    return p;
}

void
replica_peer_view(const struct peer *p, struct peer_view *out)
{
    *out = (struct peer_view){.name = p->name, .number = p->number, .incarnation = p->incarnation,
                              .state = p->state, .records = p->records.count, .applied = p->applied,
                              .acked = p->acked, .link = p->link, .info = {p->info, p->info_len},
                              .connected = p->connected, .apart = p->apart};
}

void
replica_peer_met(struct peer *p)
{
    p->apart = false;
}

void
members_release(struct replica *r)
{
    replica_expect(r, NULL, 0, 0);
    mk_free(r->expected);
    while (r->peers) {
        struct peer *p = r->peers;

        r->peers = p->next;
        mk_free(p->name);
        mk_free(p->info);
        mk_free(p->map);
        mk_free(p->digests);
        mk_free(p);
    }
}
