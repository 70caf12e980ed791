/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* What blocking means for stanzas (XEP-0191 §3): on the way in, out, and for presence that we send. */
#include "internal.h"

#include <meerkat/c2s.h>

enum { IN, OUT };

/* The server itself cannot be blocked: it carries everything. */
static bool
is_server(const struct mk_jid *jid)
{
    return mk_jid_is_domain(jid) && mk_host_find(mk_jid_domain(jid));
}

/* -- in -------------------------------------------------------------------------------------- */

static enum mk_verdict
refuse(struct mk_ev_route *ev, enum mk_stanza_error error)
{
    enum mk_stanza_type type = mk_stanza_type(ev->stanza);

    if (mk_stanza_kind(ev->stanza) == MK_PRESENCE || type == MK_TYPE_ERROR || type == MK_TYPE_RESULT)
        return MK_HANDLED;
    ev->error = error;
    return MK_DENY;
}

static enum mk_verdict
judge_in(struct blocking *b, struct mk_ev_route *ev, const struct list *list)
{
    const struct mk_jid *from = mk_stanza_from(ev->stanza);

    if (!list)
        return refuse(ev, MK_ERR_RESOURCE_CONSTRAINT);
    if (!list_blocks(list, from) || is_server(from))
        return MK_CONTINUE;
    mk_counter_add(b->dropped[IN], 1);
    return refuse(ev, MK_ERR_SERVICE_UNAVAILABLE);
}

/* A stanza that waits for a list to be read. */
struct held {
    struct blocking *blocking;
    struct entry *entry;
    struct mk_hold *hold;
};

static void
in_goes_on(struct list *list, void *arg)
{
    struct held *h = arg;
    struct mk_ev_route *ev = mk_hold_event(h->hold);

    mk_resume(&h->hold, judge_in(h->blocking, ev, list));
    entry_unpin(h->entry);
    mk_free(h);
}

static struct held *
hold(struct blocking *b, struct entry *e, struct mk_hook_head *head)
{
    struct held *h = mk_alloc(sizeof(*h));

    *h = (struct held){b, e, mk_hold(head)};
    MK_ASSERT(h->hold);
    entry_pin(e);
    return h;
}

static enum mk_verdict
on_account_in(struct mk_ev_route *ev, void *arg)
{
    struct blocking *b = arg;
    const struct mk_jid *to = mk_stanza_to(ev->stanza);
    struct entry *e;

    if (mk_jid_same_bare(mk_stanza_from(ev->stanza), to))
        return MK_CONTINUE;
    e = entry_need(lane_here(b), to);
    if (e->list)
        return e->list->count ? judge_in(b, ev, e->list) : MK_CONTINUE;
    entry_ask(e, in_goes_on, hold(b, e, &ev->head));
    return MK_HANDLED;
}

/* -- out ------------------------------------------------------------------------------------- */

static void
reply_blocked(struct mk_session *s, const struct mk_stanza *st)
{
    enum mk_stanza_type type = mk_stanza_type(st);
    struct mk_stanza *reply;
    struct mk_xml *x;

    if (type == MK_TYPE_ERROR || type == MK_TYPE_RESULT)
        return;
    x = mk_xml_new(NULL);
    mk_xml_open(x, "error", NULL);
    mk_xml_attr(x, "type", "cancel");
    mk_xml_leaf(x, "not-acceptable", MK_NS_STANZAS, MK_STR(""));
    mk_xml_leaf(x, "blocked", NS_BLOCKING ":errors", MK_STR(""));
    mk_xml_close(x);
    reply = mk_stanza_new(mk_stanza_kind(st), MK_TYPE_ERROR, mk_stanza_to(st), mk_stanza_from(st),
                          mk_stanza_id(st), x);
    mk_session_deliver(s, reply);
    mk_stanza_unref(&reply);
}

static enum mk_verdict
judge_out(struct blocking *b, struct mk_ev_user *ev, const struct list *list)
{
    const struct mk_jid *to = mk_stanza_to(ev->stanza);

    if (!list) {
        ev->error = MK_ERR_RESOURCE_CONSTRAINT;
        return MK_DENY;
    }
    if (!to || list->count == 0 || !list_blocks(list, to) || is_server(to) ||
        mk_jid_same_bare(to, mk_stanza_from(ev->stanza)))
        return MK_CONTINUE;
    mk_counter_add(b->dropped[OUT], 1);
    reply_blocked(ev->session, ev->stanza);
    return MK_HANDLED;
}

static void
out_goes_on(struct list *list, void *arg)
{
    struct held *h = arg;
    struct mk_ev_user *ev = mk_hold_event(h->hold);

    mk_resume(&h->hold, judge_out(h->blocking, ev, list));
    entry_unpin(h->entry);
    mk_free(h);
}

struct entry *
entry_of(struct blocking *b, struct mk_session *s)
{
    struct entry *e = mk_session_slot(s, b->slot);

    if (!e) {
        e = entry_need(lane_here(b), mk_session_jid(s));
        entry_pin(e);
        mk_session_slot_set(s, b->slot, e);
    }
    return e;
}

static enum mk_verdict
on_send(struct mk_ev_user *ev, void *arg)
{
    struct blocking *b = arg;
    struct entry *e = entry_of(b, ev->session);

    if (e->list)
        return e->list->count ? judge_out(b, ev, e->list) : MK_CONTINUE;
    entry_ask(e, out_goes_on, hold(b, e, &ev->head));
    return MK_HANDLED;
}

/* -- presence that the server sends for a user ------------------------------------------------- */

/* A session has sent something before its presence goes anywhere: so its list is known here. */
static enum mk_verdict
on_route(struct mk_ev_route *ev, void *arg)
{
    struct lane *lane = lane_here(arg);
    const struct mk_jid *from = mk_stanza_from(ev->stanza), *to = mk_stanza_to(ev->stanza);
    struct entry *e;

    if (MK_LIKELY(lane->blockers == 0) || lane->open || mk_stanza_kind(ev->stanza) != MK_PRESENCE ||
        mk_jid_same_bare(from, to))
        return MK_CONTINUE;
    e = entry_find(lane, from);
    if (!e || !e->list || !list_blocks(e->list, to) || is_server(to))
        return MK_CONTINUE;
    mk_counter_add(lane->blocking->dropped[OUT], 1);
    return MK_HANDLED;
}

int
filter_register(struct blocking *b)
{
    struct mk_module *m = b->module;

    if (mk_on(m, account_in, MK_PRIO_EARLY, on_account_in, b) < 0 ||
        mk_on(m, user_send_message, MK_PRIO_EARLY, on_send, b) < 0 ||
        mk_on(m, user_send_presence, MK_PRIO_EARLY, on_send, b) < 0 ||
        mk_on(m, user_send_iq, MK_PRIO_EARLY, on_send, b) < 0 ||
        mk_on(m, route_pre, MK_PRIO_EARLY, on_route, b) < 0)
        return -1;
    return 0;
}
