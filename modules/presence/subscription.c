/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Subscriptions (RFC 6121 §3). What a stanza means is decided by machine.c inside one change of the roster;
 * nothing is routed, delivered or answered before that change is stored.
 */
#include "internal.h"
#include "machine.h"

/* One stanza, from the hook to the stored change. */
struct subscribing {
    struct presence *presence;
    struct mk_worker *back;
    struct mk_hold *hold;
    struct mk_stanza *stanza;           /* bare `from` and `to` */
    const struct mk_jid *account;       /* whose roster: one of the two */
    const struct mk_jid *contact;
    bool outbound;
    unsigned actions;
    char *request;                      /* status text of a request */
    size_t auth_next;
    enum mk_roster_result result;
};

bool
is_subscription(enum mk_stanza_type type)
{
    return type == MK_TYPE_SUBSCRIBE || type == MK_TYPE_SUBSCRIBED || type == MK_TYPE_UNSUBSCRIBE ||
           type == MK_TYPE_UNSUBSCRIBED;
}

/* -- the change --------------------------------------------------------------------------------- */

static enum mk_roster_decision
decide(struct mk_roster_item *item, bool exists, void *arg)
{
    struct subscribing *sub = arg;
    enum mk_stanza_type type = mk_stanza_type(sub->stanza);
    struct sub_state state = {item->subscription, item->flags};

    /* A request from somebody who is not in the roster does not put them there (§3.1.3). */
    if (!exists && !sub->outbound)
        state.flags |= MK_ROSTER_HIDDEN;
    sub->actions = sub->outbound ? sub_outbound(&state, type) : sub_inbound(&state, type);
    if (!(sub->actions & SUB_CHANGED))
        return MK_ROSTER_KEEP;
    /* It stays hidden as long as there is nothing but the request. */
    if (state.subscription != MK_SUB_NONE || (state.flags & (MK_ROSTER_ASK | MK_ROSTER_APPROVED)))
        state.flags &= ~(unsigned)MK_ROSTER_HIDDEN;
    if ((state.flags & MK_ROSTER_HIDDEN) && !(state.flags & MK_ROSTER_PENDING_IN))
        return MK_ROSTER_DROP;
    item->subscription = state.subscription;
    item->flags = state.flags;
    item->request = state.flags & MK_ROSTER_PENDING_IN
                        ? (sub->request ? sub->request : item->request) : "";
    return MK_ROSTER_STORE;
}

/* -- what follows ------------------------------------------------------------------------------- */

struct spreading {
    const struct subscribing *sub;
    unsigned flag;
    enum mk_stanza_type type;           /* to the contact: MK_TYPE_UNAVAILABLE; MK_TYPE_NONE: deliver */
};

static bool
spread(const struct mk_resource *r, void *arg)
{
    struct spreading *s = arg;
    const struct subscribing *sub = s->sub;
    const struct mk_sessions *sessions = sub->presence->sessions;
    struct mk_jid *full;
    struct mk_stanza *st;

    if (!(r->flags & s->flag))
        return true;
    if (s->type == MK_TYPE_NONE) {
        sessions->send(sessions->self, r, sub->stanza);
        return true;
    }
    full = mk_jid_with_resource(sub->account, r->resource);
    if (full) {
        st = mk_stanza_new(MK_PRESENCE, s->type, full, sub->contact, NULL, NULL);
        mk_route(st);
        mk_stanza_unref(&st);
    }
    mk_jid_unref(&full);
    return true;
}

static void
spread_all(const struct subscribing *sub, unsigned flag, enum mk_stanza_type type)
{
    const struct mk_sessions *sessions = sub->presence->sessions;
    struct spreading s = {sub, flag, type};

    sessions->each(sessions->self, sub->account, spread, &s);
}

static void
reply_subscribed(const struct subscribing *sub)
{
    struct mk_stanza *st = mk_stanza_new(MK_PRESENCE, MK_TYPE_SUBSCRIBED, sub->account, sub->contact,
                                         mk_stanza_id(sub->stanza), NULL);

    mk_route(st);
    mk_stanza_unref(&st);
}

static void
route_probe(void *arg)
{
    struct mk_stanza *st = arg;

    mk_route(st);
    mk_stanza_unref(&st);
}

/*
 * Who has just been approved sees the presence of the other: sent to another server (§3.1.5), asked for by who was
 * approved on this one, so that it comes behind the approval and the push whatever the workers are.
 */
static void
show_presence(const struct subscribing *sub)
{
    bool ours = mk_host_find(mk_jid_domain(sub->contact)) != NULL;

    if ((sub->actions & SUB_SEND_AVAILABLE) && !ours)
        probe_resources(sub->presence, sub->account, sub->contact);
    if ((sub->actions & SUB_PASS) && !sub->outbound && ours &&
        mk_stanza_type(sub->stanza) == MK_TYPE_SUBSCRIBED)
        mk_defer(sub->presence->module, route_probe,
                 mk_stanza_new(MK_PRESENCE, MK_TYPE_PROBE, sub->account, sub->contact, NULL, NULL));
}

/* A request is for whoever is available, the rest for those that have the roster (§3.1.3, §3.1.6). */
static void
act(const struct subscribing *sub)
{
    unsigned whom = mk_stanza_type(sub->stanza) == MK_TYPE_SUBSCRIBE ? MK_RESOURCE_AVAILABLE
                                                                     : MK_RESOURCE_ROSTER;

    if (sub->actions & SUB_SEND_UNAVAILABLE)
        spread_all(sub, MK_RESOURCE_AVAILABLE, MK_TYPE_UNAVAILABLE);
    if ((sub->actions & SUB_PASS) && sub->outbound)
        mk_route(sub->stanza);
    else if (sub->actions & SUB_PASS)
        spread_all(sub, whom, MK_TYPE_NONE);
    if (sub->actions & SUB_REPLY_SUBSCRIBED)
        reply_subscribed(sub);
    show_presence(sub);
}

/* -- the end ------------------------------------------------------------------------------------ */

static void
resume(void *arg)
{
    struct subscribing *sub = arg;
    struct mk_ev_user *user;
    struct mk_ev_route *route;

    if (sub->outbound) {
        user = mk_hold_event(sub->hold);
        user->error = MK_ERR_RESOURCE_CONSTRAINT;
        user->text = "the change cannot be stored now";
    } else {
        route = mk_hold_event(sub->hold);
        route->error = MK_ERR_RESOURCE_CONSTRAINT;
        route->text = "the change cannot be stored now";
    }
    mk_resume(&sub->hold, sub->result == MK_ROSTER_OK ? MK_HANDLED : MK_DENY);
    mk_stanza_unref(&sub->stanza);
    mk_free(sub->request);
    mk_free(sub);
}

static void
changed(enum mk_roster_result result, const struct mk_roster_item *item, void *arg)
{
    struct subscribing *sub = arg;

    (void)item;
    sub->result = result;
    if (result == MK_ROSTER_OK) {
        mk_counter_add(sub->presence->subscriptions, 1);
        act(sub);
    }
    mk_post(sub->presence->module, sub->back, resume, sub);
}

static struct subscribing *
subscribing_new(struct presence *p, const struct mk_stanza *st, bool outbound)
{
    struct subscribing *sub = mk_zalloc(sizeof(*sub));
    struct mk_jid *from = mk_jid_bare_new(mk_stanza_from(st)), *to = mk_jid_bare_new(mk_stanza_to(st));

    sub->presence = p;
    sub->back = mk_worker_self();
    sub->outbound = outbound;
    sub->stanza = mk_stanza_readdress(st, from, to);
    sub->account = mk_stanza_from(sub->stanza);
    sub->contact = mk_stanza_to(sub->stanza);
    if (!outbound) {
        sub->account = mk_stanza_to(sub->stanza);
        sub->contact = mk_stanza_from(sub->stanza);
    }
    mk_jid_unref(&from);
    mk_jid_unref(&to);
    return sub;
}

static void
change(struct subscribing *sub)
{
    const struct mk_roster *roster = sub->presence->roster;

    roster->change(roster->self, sub->account, sub->contact, decide, changed, sub);
}

enum mk_verdict
subscription_on_send(struct presence *p, struct mk_ev_user *ev)
{
    struct subscribing *sub;

    if (!p->roster) {
        ev->error = MK_ERR_SERVICE_UNAVAILABLE;
        return MK_DENY;
    }
    if (mk_jid_same_bare(mk_stanza_from(ev->stanza), mk_stanza_to(ev->stanza)))
        return MK_HANDLED;
    sub = subscribing_new(p, ev->stanza, true);
    sub->hold = mk_hold(&ev->head);
    change(sub);
    return MK_HANDLED;
}

/* -- from contacts ------------------------------------------------------------------------------- */

static bool
is_there(const struct mk_resource *r, void *arg)
{
    (void)r;
    *(bool *)arg = true;
    return false;
}

/* §3.1.3, §8.5.1: a request to nobody is refused. */
static void
refuse(struct subscribing *sub)
{
    struct mk_stanza *st = mk_stanza_new(MK_PRESENCE, MK_TYPE_UNSUBSCRIBED, sub->account,
                                         sub->contact, mk_stanza_id(sub->stanza), NULL);

    mk_route(st);
    mk_stanza_unref(&st);
    sub->result = MK_ROSTER_OK;
    mk_post(sub->presence->module, sub->back, resume, sub);
}

/* No rows for an account that does not exist: all backends are asked. */
static void
looked_up(enum mk_auth_result result, const struct mk_credentials *cred, void *arg)
{
    struct subscribing *sub = arg;
    struct presence *p = sub->presence;
    const struct mk_auth *auth;

    (void)cred;
    if (result == MK_AUTH_NO_ACCOUNT && sub->auth_next < p->auth_count) {
        auth = p->auth[sub->auth_next++];
        auth->lookup(auth->self, mk_host_find(mk_jid_domain(sub->account)),
                     mk_jid_local(sub->account), looked_up, sub);
    } else if (result == MK_AUTH_OK) {
        change(sub);
    } else if (result == MK_AUTH_NO_ACCOUNT) {
        refuse(sub);
    } else {
        sub->result = MK_ROSTER_UNAVAILABLE;
        mk_post(p->module, sub->back, resume, sub);
    }
}

static void
read_request(struct subscribing *sub)
{
    const struct mk_node *status;

    if (mk_stanza_type(sub->stanza) != MK_TYPE_SUBSCRIBE ||
        !mk_stanza_has(sub->stanza, "status", MK_NS_CLIENT))
        return;
    status = mk_stanza_child(sub->stanza, "status", MK_NS_CLIENT);
    sub->request = mk_str_dup(mk_node_text(status));
}

enum mk_verdict
subscription_on_account(struct presence *p, struct mk_ev_route *ev)
{
    struct subscribing *sub;
    bool exists = false;

    if (!p->roster || mk_jid_same_bare(mk_stanza_from(ev->stanza), mk_stanza_to(ev->stanza)))
        return MK_HANDLED;
    p->sessions->each(p->sessions->self, mk_stanza_to(ev->stanza), is_there, &exists);
    sub = subscribing_new(p, ev->stanza, false);
    read_request(sub);
    sub->hold = mk_hold(&ev->head);
    if (exists || mk_stanza_type(ev->stanza) != MK_TYPE_SUBSCRIBE)
        change(sub);
    else
        looked_up(MK_AUTH_NO_ACCOUNT, NULL, sub);
    return MK_HANDLED;
}

/* -- a contact that goes (§2.5.2), all of them with the account ------------------------------------------------------------------ */

static void
route_as(const struct mk_jid *from, const struct mk_jid *to, enum mk_stanza_type type)
{
    struct mk_stanza *st = mk_stanza_new(MK_PRESENCE, type, from, to, NULL, NULL);

    mk_route(st);
    mk_stanza_unref(&st);
}

void
subscription_on_roster(struct mk_ev_roster_changed *ev, void *arg)
{
    struct subscribing sub = {.presence = arg, .account = ev->account};

    if ((ev->why != MK_ROSTER_BY_USER && ev->why != MK_ROSTER_BY_REMOVAL) || ev->now || !ev->old)
        return;
    sub.contact = ev->old->jid;
    if (ev->old->subscription & MK_SUB_FROM)
        spread_all(&sub, MK_RESOURCE_AVAILABLE, MK_TYPE_UNAVAILABLE);
    /* Sessions may have ended before, and then found no contacts to tell. */
    if ((ev->old->subscription & MK_SUB_FROM) && ev->why == MK_ROSTER_BY_REMOVAL)
        route_as(sub.account, sub.contact, MK_TYPE_UNAVAILABLE);
    if ((ev->old->subscription & MK_SUB_TO) || (ev->old->flags & MK_ROSTER_ASK))
        route_as(sub.account, sub.contact, MK_TYPE_UNSUBSCRIBE);
    if ((ev->old->subscription & MK_SUB_FROM) || (ev->old->flags & MK_ROSTER_PENDING_IN))
        route_as(sub.account, sub.contact, MK_TYPE_UNSUBSCRIBED);
}
