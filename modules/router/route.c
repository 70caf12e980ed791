/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The way of a stanza: whose is the domain, is it for the server or for an account, who may see it first. */
#include "internal.h"

void
router_reply(struct router *router, struct mk_stanza *st, enum mk_stanza_error error,
             const char *text)
{
    struct mk_stanza *reply = mk_stanza_error_reply(st, error ? error : MK_ERR_SERVICE_UNAVAILABLE,
                                                    text);

    router_count(router, reply ? RETURNED : DROPPED);
    /* Presence is not answered with errors, except where its hook says so (RFC 6121 §4). */
    if (reply)
        mk_route(reply);
    mk_stanza_unref(&reply);
}

/* -- holding -------------------------------------------------------------------------------- */

static void
hold_keep(void *arg)
{
    struct mk_ev_route *ev = arg;

    mk_stanza_ref(ev->stanza);
    mk_session_ref(ev->session);
    mk_session_unsettle(ev->session);
}

static void
hold_drop(void *arg)
{
    struct mk_ev_route *ev = arg;

    mk_stanza_unref(&ev->stanza);
    mk_session_settle(ev->session);
    mk_session_unref(&ev->session);
}

static struct queue **
find_queue(struct router *router, const struct mk_jid *account)
{
    struct queue **p = &router->queues[mk_worker_index(mk_worker_self())];

    while (*p && !mk_jid_same_bare((*p)->account, account))
        p = &(*p)->next;
    return p;
}

static void
begin_queue(struct router *router, const struct mk_jid *account)
{
    struct queue **p = find_queue(router, account);
    struct queue *q = mk_zalloc(sizeof(*q));

    MK_ASSERT(!*p);
    q->account = mk_jid_bare_new(account);
    q->last = &q->first;
    *p = q;
}

static void
wait_in(struct queue *q, struct mk_session *s, struct mk_stanza *st)
{
    struct waiting *w = mk_zalloc(sizeof(*w));

    w->session = mk_session_ref(s);
    w->stanza = mk_stanza_ref(st);
    mk_session_unsettle(s);
    *q->last = w;
    q->last = &w->next;
}

static void
settle_account(struct router *router, struct mk_ev_route *ev, enum mk_verdict verdict)
{
    if (verdict == MK_CONTINUE)
        router_to_account(router, ev);
    else if (verdict == MK_DENY)
        router_reply(router, ev->stanza, ev->error, ev->text);
    else
        router_count(router, TO_ACCOUNT);
}

/* Fires account_in; true when the chain is held now. */
static bool
ask_account(struct router *router, struct mk_session *s, struct mk_stanza *st, struct mk_host *host)
{
    struct mk_ev_route ev = {MK_EVENT(ev), .stanza = mk_stanza_ref(st), .session = s, .host = host};
    enum mk_verdict verdict = mk_fire_account_in(router->hooks.account, &ev);

    if (verdict != MK_HELD)
        settle_account(router, &ev, verdict);
    mk_stanza_unref(&ev.stanza);
    return verdict == MK_HELD;
}

/* What waited behind a held stanza follows in order, until the next one is held. */
static void
account_finish(void *arg, enum mk_verdict verdict, void *self)
{
    struct mk_ev_route *ev = arg;
    struct router *router = self;
    struct queue **p = find_queue(router, mk_stanza_to(ev->stanza)), *q = *p;
    bool held = false;

    settle_account(router, ev, verdict);
    while (q && q->first && !held) {
        struct waiting *w = q->first;

        q->first = w->next;
        if (!q->first)
            q->last = &q->first;
        held = ask_account(router, w->session && !mk_session_is_closed(w->session) ? w->session : NULL,
                           w->stanza, mk_host_find(mk_jid_domain(mk_stanza_to(w->stanza))));
        mk_session_settle(w->session);
        mk_session_unref(&w->session);
        mk_stanza_unref(&w->stanza);
        mk_free(w);
    }
    if (!q || held)
        return;
    p = find_queue(router, q->account);
    *p = q->next;
    mk_jid_unref(&q->account);
    mk_free(q);
}

static void
offline_finish(void *arg, enum mk_verdict verdict, void *self)
{
    struct mk_ev_route *ev = arg;

    if (verdict == MK_CONTINUE || verdict == MK_DENY)
        router_reply(self, ev->stanza, ev->error, ev->text);
    else
        router_count(self, STORED);
}

const struct mk_hook_hold_ops router_account_hold = {hold_keep, hold_drop, account_finish};
const struct mk_hook_hold_ops router_offline_hold = {hold_keep, hold_drop, offline_finish};

/* -- routing -------------------------------------------------------------------------------- */

static bool
is_request(const struct mk_stanza *st)
{
    return mk_stanza_kind(st) == MK_IQ &&
           (mk_stanza_type(st) == MK_TYPE_GET || mk_stanza_type(st) == MK_TYPE_SET);
}

static void
to_host(struct router *router, struct mk_session *s, struct mk_stanza *st, struct mk_host *host)
{
    struct mk_ev_route ev = {MK_EVENT(ev), .stanza = mk_stanza_ref(st), .session = s, .host = host};
    enum mk_verdict verdict;

    router_count(router, TO_HOST);
    if (is_request(st)) {
        mk_iq_dispatch(st, host, s, MK_TO_HOST);
    } else if (!mk_iq_answered(st)) {
        verdict = mk_fire_host_in(router->hooks.host, &ev);
        if (verdict == MK_DENY || (verdict == MK_CONTINUE && mk_stanza_kind(st) == MK_MESSAGE))
            router_reply(router, ev.stanza, ev.error, ev.text);
    }
    mk_stanza_unref(&ev.stanza);
}

static void
to_remote(struct router *router, struct mk_session *s, struct mk_stanza *st)
{
    struct mk_ev_route ev = {MK_EVENT(ev), .stanza = mk_stanza_ref(st), .session = s,
                             .error = MK_ERR_REMOTE_SERVER_NOT_FOUND};

    switch (mk_fire_route_remote(router->hooks.remote, &ev)) {
    case MK_CONTINUE:
    case MK_DENY:
        router_reply(router, ev.stanza, ev.error, ev.text);
        break;
    default:
        router_count(router, TO_DOMAIN);
        break;
    }
    mk_stanza_unref(&ev.stanza);
}

static void
to_local(struct router *router, struct mk_session *s, struct mk_stanza *st, struct mk_host *host)
{
    const struct mk_jid *to = mk_stanza_to(st);
    struct queue *q;

    if (mk_jid_local(to).len == 0) {
        to_host(router, s, st, host);
        return;
    }
    q = router->queues[mk_worker_index(mk_worker_self())] ? *find_queue(router, to) : NULL;
    if (q)
        wait_in(q, s, st);
    else if (ask_account(router, s, st, host))
        begin_queue(router, to);
}

void
router_route(void *self, struct mk_session *s, struct mk_stanza *st)
{
    struct router *router = self;
    struct mk_ev_route ev = {MK_EVENT(ev), .session = s};
    const struct mk_jid *to = mk_stanza_to(st);
    struct mk_host *host;

    MK_ASSERT(mk_stanza_from(st));
    if (to) {
        ev.stanza = mk_stanza_ref(st);
    } else {
        /* RFC 6120 §10.3: for the sender's own account. */
        struct mk_jid *own = mk_jid_bare_new(mk_stanza_from(st));

        ev.stanza = mk_stanza_readdress(st, mk_stanza_from(st), own);
        mk_jid_unref(&own);
        to = mk_stanza_to(ev.stanza);
    }
    host = mk_host_find(mk_jid_domain(to));
    ev.host = host;
    switch (mk_fire_route_pre(router->hooks.pre, &ev)) {
    case MK_CONTINUE:
        if (host)
            to_local(router, s, ev.stanza, host);
        else
            to_remote(router, s, ev.stanza);
        break;
    case MK_DENY:
        router_reply(router, ev.stanza, ev.error, ev.text);
        break;
    default:
        break;
    }
    mk_stanza_unref(&ev.stanza);
}

/* The session went away while the stanza was on its way: as if it had never been there. */
void
router_undelivered(struct mk_ev_undelivered *event, void *arg)
{
    struct router *router = arg;
    struct mk_stanza *st = event->stanza;
    struct mk_ev_route ev = {MK_EVENT(ev)};

    /* Presence to all resources has reached the others; the lost one does not want it any more. */
    if (!mk_stanza_to(st) || !mk_stanza_from(st) || mk_stanza_kind(st) == MK_PRESENCE)
        return;
    ev.host = mk_host_find(mk_jid_domain(mk_stanza_to(st)));
    if (!ev.host)
        return;
    ev.stanza = mk_stanza_ref(st);
    router_deliver_again(router, &ev);
    mk_stanza_unref(&ev.stanza);
}
