/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Probes (RFC 6121 §4.3). A probe to an account is checked against its roster and goes on to each available
 * resource, wherever that is; the worker of the resource answers in its client's place.
 */
#include "internal.h"

void
probe_send(const struct mk_jid *from, const struct mk_jid *to)
{
    struct mk_stanza *st = mk_stanza_new(MK_PRESENCE, MK_TYPE_PROBE, from, to, NULL, NULL);

    mk_route(st);
    mk_stanza_unref(&st);
}

struct asking {
    struct presence *presence;
    struct mk_stanza *probe;
    struct mk_str but;          /* resource that is not asked */
};

static bool
ask_resource(const struct mk_resource *r, void *arg)
{
    struct asking *a = arg;

    if ((r->flags & MK_RESOURCE_AVAILABLE) && !mk_str_eq(r->resource, a->but))
        a->presence->sessions->send(a->presence->sessions->self, r, a->probe);
    return true;
}

void
probe_resources(struct presence *p, const struct mk_jid *account, const struct mk_jid *to)
{
    struct asking a = {.presence = p};

    a.probe = mk_stanza_new(MK_PRESENCE, MK_TYPE_PROBE, to, account, NULL, NULL);
    if (mk_jid_same_bare(account, to))
        a.but = mk_jid_resource(to);
    p->sessions->each(p->sessions->self, account, ask_resource, &a);
    mk_stanza_unref(&a.probe);
}

/* On its way to a client: answered for it. */
enum mk_verdict
probe_on_receive(struct mk_ev_user *ev, void *arg)
{
    struct own *own;
    struct mk_stanza *st;

    if (mk_stanza_type(ev->stanza) != MK_TYPE_PROBE)
        return MK_CONTINUE;
    own = own_of(arg, ev->session);
    if (!own || !own->last)
        return MK_HANDLED;
    st = mk_stanza_readdress(own->last, mk_session_jid(ev->session), mk_stanza_from(ev->stanza));
    mk_route(st);
    mk_stanza_unref(&st);
    return MK_HANDLED;
}

/* -- to an account ------------------------------------------------------------------------------ */

struct checking {
    struct presence *presence;
    struct mk_stanza *probe;
};

static void
answer_with(enum mk_stanza_type type, const struct mk_stanza *probe)
{
    struct mk_jid *own = mk_jid_bare_new(mk_stanza_to(probe));
    struct mk_stanza *st = mk_stanza_new(MK_PRESENCE, type, own, mk_stanza_from(probe),
                                         mk_stanza_id(probe), NULL);

    mk_route(st);
    mk_stanza_unref(&st);
    mk_jid_unref(&own);
}

static bool
is_available(const struct mk_resource *r, void *arg)
{
    *(bool *)arg = r->flags & MK_RESOURCE_AVAILABLE;
    return !*(bool *)arg;
}

/* §4.3.2: those who may not see it hear that; of a stranger's server "unsubscribed". */
static void
checked(enum mk_roster_result result, const struct mk_roster_item *item, void *arg)
{
    struct checking *c = arg;
    bool ours = mk_host_find(mk_jid_domain(mk_stanza_from(c->probe))) != NULL, any = false;

    if (result == MK_ROSTER_OK && item && (item->subscription & MK_SUB_FROM)) {
        c->presence->sessions->each(c->presence->sessions->self, mk_stanza_to(c->probe),
                                    is_available, &any);
        if (any)
            probe_resources(c->presence, mk_stanza_to(c->probe), mk_stanza_from(c->probe));
        else if (!ours)
            answer_with(MK_TYPE_UNAVAILABLE, c->probe);
    } else if (!ours && (result == MK_ROSTER_OK || result == MK_ROSTER_ABSENT)) {
        answer_with(MK_TYPE_UNSUBSCRIBED, c->probe);
    }
    mk_stanza_unref(&c->probe);
    mk_free(c);
}

enum mk_verdict
probe_on_account(struct presence *p, struct mk_ev_route *ev)
{
    const struct mk_jid *from = mk_stanza_from(ev->stanza), *to = mk_stanza_to(ev->stanza);
    bool ours = mk_host_find(mk_jid_domain(from)) != NULL, any = false;
    struct mk_jid *account, *asker;
    struct checking *c;

    if (mk_jid_same_bare(from, to)) {
        probe_resources(p, to, from);
        return MK_HANDLED;
    }
    /* Nobody there: users of this server take that for granted, and the roster need not be read. */
    p->sessions->each(p->sessions->self, to, is_available, &any);
    if (!p->roster || (ours && !any))
        return MK_HANDLED;
    account = mk_jid_bare_new(to);
    asker = mk_jid_bare_new(from);
    c = mk_zalloc(sizeof(*c));
    c->presence = p;
    c->probe = mk_stanza_ref(ev->stanza);
    p->roster->item(p->roster->self, account, asker, checked, c);
    mk_jid_unref(&account);
    mk_jid_unref(&asker);
    return MK_HANDLED;
}
