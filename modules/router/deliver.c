/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Delivering to an account: RFC 6121 §8.5, by kind of address, kind and type of stanza. */
#include "internal.h"

/* Resources that an account has at most as a rule: for so many nothing is allocated. */
#define FEW 8

struct targets {
    struct mk_resource few[FEW];
    struct mk_resource *list;
    size_t count, room;
    int highest;
};

static void
grow(struct targets *t)
{
    struct mk_resource *old = t->list;

    t->room *= 2;
    t->list = mk_alloc(t->room * sizeof(*t->list));
    memcpy(t->list, old, t->count * sizeof(*old));
    if (old != t->few)
        mk_free(old);
}

static bool
gather(const struct mk_resource *r, void *arg)
{
    struct targets *t = arg;

    if (!(r->flags & MK_RESOURCE_AVAILABLE))
        return true;
    if (t->count == t->room)
        grow(t);
    t->list[t->count++] = *r;
    if (r->priority > t->highest)
        t->highest = r->priority;
    return true;
}

static void
find_targets(struct router *router, const struct mk_jid *account, struct targets *t)
{
    t->list = t->few;
    t->room = FEW;
    t->count = 0;
    t->highest = -129;
    router->sessions.each(router, account, gather, t);
}

static void
release_targets(struct targets *t)
{
    if (t->list != t->few)
        mk_free(t->list);
}

static void
tell_delivered(struct router *router, struct mk_stanza *st, const mk_session_id *ids, size_t count)
{
    struct mk_ev_message_delivered ev = {MK_EVENT(ev), .stanza = st, .sessions = ids,
                                         .count = count};
    struct mk_jid *bare;

    if (!router->hooks.delivered->chain)
        return;
    bare = mk_jid_bare_new(mk_stanza_to(st));
    ev.account = bare;
    mk_fire_message_delivered(router->hooks.delivered, &ev);
    mk_jid_unref(&bare);
}

/* A message for several: one that loses it must not make the others get it again. */
static struct mk_stanza *
for_several(struct mk_stanza *st, size_t count)
{
    struct mk_stanza *copy;

    if (count < 2 || mk_stanza_kind(st) != MK_MESSAGE)
        return mk_stanza_ref(st);
    copy = mk_stanza_readdress(st, mk_stanza_from(st), mk_stanza_to(st));
    mk_stanza_set_receivers(copy, (unsigned)count);
    return copy;
}

/* Leaves those that have a priority of at least `lowest`. */
static void
choose(struct targets *t, int lowest)
{
    size_t kept = 0;

    for (size_t i = 0; i < t->count; i++) {
        if (t->list[i].priority >= lowest)
            t->list[kept++] = t->list[i];
    }
    t->count = kept;
}

static bool
is_elsewhere(const struct targets *t)
{
    for (size_t i = 0; i < t->count; i++) {
        if (t->list[i].node)
            return true;
    }
    return false;
}

static void
send_to(struct router *router, struct mk_stanza *st, const struct targets *t)
{
    mk_session_id few[FEW], *ids = few;
    struct mk_stanza *copy;

    if (t->count == 0) {
        /* A message has its own end. */
        if (mk_stanza_kind(st) != MK_MESSAGE || mk_stanza_type(st) == MK_TYPE_HEADLINE)
            router_count(router, DROPPED);
        return;
    }
    if (t->count > FEW)
        ids = mk_alloc(t->count * sizeof(*ids));
    copy = for_several(st, t->count);
    if (router->keep && !is_elsewhere(t))
        router_keep(router, copy);
    for (size_t i = 0; i < t->count; i++) {
        ids[i] = t->list[i].session;
        router->sessions.send(router, &t->list[i], copy);
    }
    if (mk_stanza_kind(st) == MK_MESSAGE)
        tell_delivered(router, copy, ids, t->count);
    mk_stanza_unref(&copy);
    if (ids != few)
        mk_free(ids);
}

/* To all resources of the account with at least this priority. */
static void
send_to_all(struct router *router, struct mk_stanza *st, int lowest)
{
    struct targets t;

    find_targets(router, mk_stanza_to(st), &t);
    choose(&t, lowest);
    send_to(router, st, &t);
    release_targets(&t);
}

/* To those with the highest priority that is not negative; false: there is none. */
static bool
send_to_highest(struct router *router, struct mk_stanza *st)
{
    struct targets t;

    find_targets(router, mk_stanza_to(st), &t);
    choose(&t, t.highest < 0 ? 0 : t.highest);
    send_to(router, st, &t);
    release_targets(&t);
    return t.count > 0;
}

/* No session takes this message (§8.5.2.2, §8.5.3.2). */
void
router_no_session(struct router *router, struct mk_ev_route *from)
{
    struct mk_ev_route ev = {MK_EVENT(ev), .stanza = mk_stanza_ref(from->stanza),
                             .session = from->session, .host = from->host,
                             .error = MK_ERR_SERVICE_UNAVAILABLE};
    enum mk_verdict verdict = mk_fire_message_offline(router->hooks.offline, &ev);

    if (verdict == MK_CONTINUE || verdict == MK_DENY) {
        mk_counter_add(router->unroutable, 1);
        router_reply(router, ev.stanza, ev.error, ev.text);
    } else if (verdict == MK_HANDLED) {
        router_count(router, STORED);
    }
    mk_stanza_unref(&ev.stanza);
}

/* §8.5.2: to the bare JID. */
static void
message_to_bare(struct router *router, struct mk_ev_route *ev)
{
    struct mk_stanza *st = ev->stanza;

    switch (mk_stanza_type(st)) {
    case MK_TYPE_GROUPCHAT:
        router_reply(router, st, MK_ERR_SERVICE_UNAVAILABLE, NULL);
        return;
    case MK_TYPE_ERROR:
        router_count(router, DROPPED);
        return;
    case MK_TYPE_HEADLINE:
        send_to_all(router, st, 0);
        return;
    default:
        if (!send_to_highest(router, st))
            router_no_session(router, ev);
    }
}

/* §8.5.3.2.1: to a full JID that nobody has. */
static void
message_to_nobody(struct router *router, struct mk_ev_route *ev)
{
    switch (mk_stanza_type(ev->stanza)) {
    case MK_TYPE_CHAT:
        message_to_bare(router, ev);
        return;
    case MK_TYPE_HEADLINE:
    case MK_TYPE_ERROR:
        router_count(router, DROPPED);
        return;
    default:
        mk_counter_add(router->unroutable, 1);
        router_reply(router, ev->stanza, MK_ERR_SERVICE_UNAVAILABLE, NULL);
    }
}

static bool
is_request(const struct mk_stanza *st)
{
    return mk_stanza_type(st) == MK_TYPE_GET || mk_stanza_type(st) == MK_TYPE_SET;
}

/* §8.5.2.1.3: the server answers on behalf of the account. */
static void
iq_to_bare(struct router *router, struct mk_ev_route *ev)
{
    struct mk_stanza *st = ev->stanza;
    bool own = mk_jid_same_bare(mk_stanza_from(st), mk_stanza_to(st));

    router_count(router, TO_ACCOUNT);
    if (is_request(st))
        mk_iq_dispatch(st, ev->host, ev->session, own ? MK_TO_SELF : MK_TO_OTHER);
    else
        mk_iq_answered(st);
}

static void
to_bare(struct router *router, struct mk_ev_route *ev)
{
    switch (mk_stanza_kind(ev->stanza)) {
    case MK_MESSAGE:
        message_to_bare(router, ev);
        return;
    case MK_IQ:
        iq_to_bare(router, ev);
        return;
    default:
        /* Subscriptions and probes were taken by the hook; what is left is for all (§8.5.2.1.2). */
        if (mk_stanza_type(ev->stanza) == MK_TYPE_NONE ||
            mk_stanza_type(ev->stanza) == MK_TYPE_UNAVAILABLE)
            send_to_all(router, ev->stanza, -128);
    }
}

void
router_deliver(struct router *router, struct mk_ev_route *ev)
{
    struct mk_stanza *st = ev->stanza;
    const struct mk_jid *to = mk_stanza_to(st);
    struct mk_resource r;

    if (mk_jid_is_bare(to)) {
        to_bare(router, ev);
        return;
    }
    if (router_find(router, to, &r)) {
        if (router->keep && !r.node)
            router_keep(router, st);
        router->sessions.send(router, &r, st);
        if (mk_stanza_kind(st) == MK_MESSAGE)
            tell_delivered(router, st, &r.session, 1);
        return;
    }
    switch (mk_stanza_kind(st)) {
    case MK_MESSAGE:
        message_to_nobody(router, ev);
        return;
    case MK_IQ:
        if (is_request(st))
            router_reply(router, st, MK_ERR_SERVICE_UNAVAILABLE, NULL);
        else
            router_count(router, mk_iq_answered(st) ? TO_ACCOUNT : DROPPED);
        return;
    default:
        router_count(router, DROPPED);
        return;
    }
}

/* Whether a normal message was for one resource alone is not asked when that had taken it and went. */
void
router_deliver_again(struct router *router, struct mk_ev_route *ev)
{
    const struct mk_jid *to = mk_stanza_to(ev->stanza);
    struct mk_resource r;

    if (mk_stanza_kind(ev->stanza) == MK_MESSAGE && !mk_jid_is_bare(to) &&
        mk_stanza_type(ev->stanza) != MK_TYPE_GROUPCHAT &&
        mk_stanza_type(ev->stanza) != MK_TYPE_HEADLINE && !router_find(router, to, &r))
        message_to_bare(router, ev);
    else
        router_deliver(router, ev);
}

void
router_to_account(struct router *router, struct mk_ev_route *ev)
{
    router_deliver(router, ev);
}
