/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Presence for everybody who may see it: initial (RFC 6121 §4.2), changed (§4.4), unavailable (§4.5), also when
 * a session ends without a word. All receivers share the payload.
 */
#include "internal.h"

/* One broadcast, while the roster may have to be read. */
struct broadcast {
    struct broadcast *next;             /* in a queue */
    struct presence *presence;
    struct mk_session *session;         /* referenced; NULL: it has ended */
    struct mk_stanza *stanza;           /* from the full JID, without `to` */
    struct mk_hold *hold;
    enum mk_verdict verdict;
    bool done;
    int8_t priority;
    uint32_t node;                      /* it goes to this one only; 0: to all */
};

struct own *
own_of(struct presence *p, const struct mk_session *s)
{
    return mk_session_slot(s, p->slot);
}

struct own *
own_need(struct presence *p, struct mk_session *s)
{
    struct own *own = own_of(p, s);

    if (!own) {
        own = mk_zalloc(sizeof(*own));
        mk_session_slot_set(s, p->slot, own);
    }
    return own;
}

bool
is_over(struct presence *p, const struct mk_session *s)
{
    const struct own *own = own_of(p, s);

    return mk_session_is_closed(s) || (own && own->over);
}

void
own_free(void *data)
{
    struct own *own = data;

    mk_stanza_unref(&own->last);
    for (size_t i = 0; i < own->directed_count; i++)
        mk_jid_unref(&own->directed[i]);
    mk_free(own->directed);
    mk_free(own);
}

/* -- sending ------------------------------------------------------------------------------------ */

static void
send_copy(struct mk_stanza *st, const struct mk_jid *to)
{
    struct mk_stanza *copy = mk_stanza_readdress(st, mk_stanza_from(st), to);

    mk_route(copy);
    mk_stanza_unref(&copy);
}

static void
send_to_all(const struct broadcast *b, const struct mk_roster_item *items, size_t count)
{
    struct mk_jid *account = mk_jid_bare_new(mk_stanza_from(b->stanza));

    send_copy(b->stanza, account);
    for (size_t i = 0; i < count; i++) {
        if (items[i].subscription & MK_SUB_FROM)
            send_copy(b->stanza, items[i].jid);
    }
    mk_jid_unref(&account);
}

/* §3.1.3: a request that came while nobody was there. */
static void
deliver_request(struct mk_session *s, const struct mk_roster_item *item)
{
    struct mk_jid *account = mk_jid_bare_new(mk_session_jid(s));
    struct mk_xml *x = NULL;
    struct mk_stanza *st;

    if (*item->request) {
        x = mk_xml_new(NULL);
        mk_xml_leaf(x, "status", NULL, mk_str_of(item->request));
    }
    st = mk_stanza_new(MK_PRESENCE, MK_TYPE_SUBSCRIBE, item->jid, account, NULL, x);
    mk_session_deliver(s, st);
    mk_stanza_unref(&st);
    mk_jid_unref(&account);
}

/* §4.2.2, §4.3: who is there, and who wants to see us. */
static void
look_around(const struct broadcast *b, const struct mk_roster_item *items, size_t count)
{
    const struct mk_jid *self = mk_session_jid(b->session);
    struct mk_jid *account = mk_jid_bare_new(self);

    probe_resources(b->presence, account, self);
    for (size_t i = 0; i < count; i++) {
        if (items[i].subscription & MK_SUB_TO)
            probe_send(self, items[i].jid);
        if (items[i].flags & MK_ROSTER_PENDING_IN)
            deliver_request(b->session, &items[i]);
    }
    mk_jid_unref(&account);
}

/* -- available ------------------------------------------------------------------------------------ */

static void
become_available(struct broadcast *b, const struct mk_roster_item *items, size_t count)
{
    struct presence *p = b->presence;
    struct mk_ev_presence ev = {MK_EVENT(ev), .session = b->session, .stanza = b->stanza,
                                .priority = b->priority};
    struct own *own = own_need(p, b->session);

    ev.initial = !own->last;
    ev.old_priority = own->priority;
    mk_stanza_unref(&own->last);
    own->last = mk_stanza_ref(b->stanza);
    own->priority = b->priority;
    p->sessions->update(p->sessions->self, b->session, b->priority, MK_RESOURCE_AVAILABLE, 0);
    send_to_all(b, items, count);
    if (ev.initial)
        look_around(b, items, count);
    mk_fire_presence_available(p->hooks.available, &ev);
}

/* -- unavailable ---------------------------------------------------------------------------------- */

/* The state of the session, at once; the contacts are told when the roster is there. */
static void
become_unavailable(struct presence *p, struct mk_session *s, struct own *own, struct mk_stanza *st)
{
    struct mk_ev_presence ev = {MK_EVENT(ev), .session = s, .stanza = st};

    mk_stanza_unref(&own->last);
    own->priority = 0;
    p->sessions->update(p->sessions->self, s, 0, 0, MK_RESOURCE_AVAILABLE);
    mk_fire_presence_unavailable(p->hooks.unavailable, &ev);
}

/* -- the roster ----------------------------------------------------------------------------------- */

static bool
is_available(const struct broadcast *b)
{
    return mk_stanza_type(b->stanza) == MK_TYPE_NONE;
}

static void
with_roster(struct broadcast *b, enum mk_roster_result result, const struct mk_roster_item *items,
            size_t count)
{
    b->verdict = MK_HANDLED;
    if (!is_available(b)) {
        send_to_all(b, items, count);
    } else if (is_over(b->presence, b->session)) {
        return;
    } else if (result == MK_ROSTER_OK) {
        become_available(b, items, count);
    } else {
        if (!own_of(b->presence, b->session) || !own_of(b->presence, b->session)->last)
            b->presence->sessions->update(b->presence->sessions->self, b->session, b->priority, 0,
                                          MK_RESOURCE_AVAILABLE);
        b->verdict = MK_DENY;
    }
}

static void
broadcast_free(struct broadcast *b)
{
    mk_session_unref(&b->session);
    mk_stanza_unref(&b->stanza);
    mk_free(b);
}

static void
on_roster(enum mk_roster_result result, const struct mk_roster_item *items, size_t count, void *arg)
{
    struct broadcast *b = arg;
    struct mk_ev_user *ev;

    with_roster(b, result, items, count);
    b->done = true;
    if (!b->hold)
        return;
    ev = mk_hold_event(b->hold);
    ev->error = MK_ERR_RESOURCE_CONSTRAINT;
    ev->text = "the roster cannot be read now";
    mk_resume(&b->hold, b->verdict);
    broadcast_free(b);
}

static void
on_roster_at_end(enum mk_roster_result result, const struct mk_roster_item *items, size_t count,
                 void *arg)
{
    with_roster(arg, result, items, count);
    broadcast_free(arg);
}

static struct broadcast *
broadcast_new(struct presence *p, struct mk_session *s, struct mk_stanza *st, int8_t priority)
{
    struct broadcast *b = mk_zalloc(sizeof(*b));

    b->presence = p;
    b->session = mk_session_ref(s);
    b->stanza = mk_stanza_ref(st);
    b->priority = priority;
    return b;
}

static void
list(struct presence *p, const struct mk_jid *jid, mk_roster_list_fn fn, void *arg)
{
    struct mk_jid *account;

    if (!p->roster) {
        fn(MK_ROSTER_OK, NULL, 0, arg);
        return;
    }
    account = mk_jid_bare_new(jid);
    p->roster->list(p->roster->self, account, fn, arg);
    mk_jid_unref(&account);
}

static void
on_known(void *arg)
{
    struct broadcast *b = arg;

    list(b->presence, mk_stanza_from(b->stanza), on_roster, b);
}

static enum mk_verdict
broadcast(struct presence *p, struct mk_ev_user *ev, int8_t priority)
{
    struct broadcast *b = broadcast_new(p, ev->session, ev->stanza, priority);
    const struct own *own = own_of(p, ev->session);
    enum mk_verdict verdict;

    /* Of two that come at the same time on different nodes, at least one must see the other: first be seen, then look. */
    if (is_available(b) && !(own && own->last))
        p->sessions->update_known(p->sessions->self, ev->session, priority, MK_RESOURCE_AVAILABLE, 0,
                                  on_known, b);
    else
        on_known(b);
    if (!b->done) {
        b->hold = mk_hold(&ev->head);
        return MK_HANDLED;
    }
    verdict = b->verdict;
    ev->error = MK_ERR_RESOURCE_CONSTRAINT;
    broadcast_free(b);
    return verdict;
}

/* §4.7.2.3: an integer of one byte; -1 when it is something else. */
static int
read_priority(const struct mk_stanza *st, int8_t *out)
{
    const struct mk_node *node;
    struct mk_str text;
    bool negative;
    size_t i = 0;
    int value = 0;

    *out = 0;
    if (!mk_stanza_has(st, "priority", MK_NS_CLIENT))
        return 0;
    node = mk_stanza_child(st, "priority", MK_NS_CLIENT);
    text = mk_node_text(node);
    negative = text.len && text.p[0] == '-';
    if (text.len && (negative || text.p[0] == '+'))
        i = 1;
    if (i == text.len || text.len > i + 3)
        return text.len == 0 ? 0 : -1;
    for (; i < text.len; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return -1;
        value = value * 10 + (text.p[i] - '0');
    }
    value = negative ? -value : value;
    if (value < -128 || value > 127)
        return -1;
    *out = (int8_t)value;
    return 0;
}

enum mk_verdict
broadcast_on_send(struct presence *p, struct mk_ev_user *ev)
{
    struct own *own = own_of(p, ev->session);
    int8_t priority;

    if (is_over(p, ev->session))
        return MK_HANDLED;
    if (mk_stanza_type(ev->stanza) == MK_TYPE_UNAVAILABLE) {
        if (own)
            directed_end(own, ev->stanza);
        if (!own || !own->last)
            return MK_HANDLED;
        become_unavailable(p, ev->session, own, ev->stanza);
        return broadcast(p, ev, 0);
    }
    if (mk_stanza_type(ev->stanza) != MK_TYPE_NONE || read_priority(ev->stanza, &priority) < 0) {
        ev->error = MK_ERR_BAD_REQUEST;
        return MK_DENY;
    }
    return broadcast(p, ev, priority);
}

/* §4.5.2: whoever goes without a word is said to have gone. */
void
broadcast_on_unbound(struct mk_ev_session *ev, void *arg)
{
    struct presence *p = arg;
    struct own *own = own_need(p, ev->session);
    struct mk_stanza *st;

    own->over = true;
    st = mk_stanza_new(MK_PRESENCE, MK_TYPE_UNAVAILABLE, mk_session_jid(ev->session), NULL, NULL, NULL);
    directed_end(own, st);
    if (own->last) {
        become_unavailable(p, ev->session, own, st);
        list(p, mk_session_jid(ev->session), on_roster_at_end, broadcast_new(p, ev->session, st, 0));
    }
    mk_stanza_unref(&st);
}

/* -- nodes that die, and nodes that are back ------------------------------------------------------ */

#define LOST_AT_ONCE 32u

static void lost_go_on(struct presence *p);

struct visit {
    const struct broadcast *b;
    const struct mk_jid *contact;
};

static bool
visit_resource(const struct mk_resource *r, void *arg)
{
    const struct visit *v = arg;
    struct mk_jid *full;

    if (r->node != v->b->node || !(r->flags & MK_RESOURCE_AVAILABLE))
        return true;
    full = mk_jid_with_resource(v->contact, r->resource);
    if (full)
        send_copy(v->b->stanza, full);
    mk_jid_unref(&full);
    return true;
}

static void
visit_contact(const struct broadcast *b, const struct mk_jid *contact)
{
    const struct mk_sessions *sessions = b->presence->sessions;
    struct visit v = {b, contact};

    sessions->each(sessions->self, contact, visit_resource, &v);
}

/* Who sees us at that node was told that we had gone. */
static void
visit_node(const struct broadcast *b, const struct mk_roster_item *items, size_t count)
{
    struct own *own = own_of(b->presence, b->session);
    struct mk_jid *account;

    if (is_over(b->presence, b->session) || !own || own->last != b->stanza)
        return;         /* newer presence went to all */
    account = mk_jid_bare_new(mk_stanza_from(b->stanza));
    visit_contact(b, account);
    for (size_t i = 0; i < count; i++) {
        if (items[i].subscription & MK_SUB_FROM)
            visit_contact(b, items[i].jid);
    }
    mk_jid_unref(&account);
}

static bool
is_resource(const struct mk_resource *r, void *arg)
{
    struct mk_str *resource = arg;

    if (!mk_str_eq(r->resource, *resource))
        return true;
    *resource = (struct mk_str){0};
    return false;
}

/* Its node may be back, or it may be at another. */
static bool
is_back(const struct broadcast *b)
{
    const struct mk_jid *jid = mk_stanza_from(b->stanza);
    const struct mk_sessions *sessions = b->presence->sessions;
    struct mk_jid *account = mk_jid_bare_new(jid);
    struct mk_str resource = mk_jid_resource(jid);

    sessions->each(sessions->self, account, is_resource, &resource);
    mk_jid_unref(&account);
    return resource.len == 0;
}

static void
on_roster_of_lost(enum mk_roster_result result, const struct mk_roster_item *items, size_t count,
                  void *arg)
{
    struct broadcast *b = arg;
    struct presence *p = b->presence;

    (void)result;
    if (b->node)
        visit_node(b, items, count);
    else if (!is_back(b))
        send_to_all(b, items, count);
    broadcast_free(b);
    p->lost[mk_worker_index(mk_worker_self())].under_way--;
    lost_go_on(p);
}

static void
lost_go_on(struct presence *p)
{
    struct lost_queue *q = &p->lost[mk_worker_index(mk_worker_self())];

    /* A roster may be there at once: that call of ours goes on below. */
    if (q->running)
        return;
    q->running = true;
    while (q->first && q->under_way < LOST_AT_ONCE) {
        struct broadcast *b = q->first;

        q->first = b->next;
        q->under_way++;
        list(p, mk_stanza_from(b->stanza), on_roster_of_lost, b);
    }
    q->running = false;
}

static void
lost_add(struct presence *p, struct broadcast *b)
{
    struct lost_queue *q = &p->lost[mk_worker_index(mk_worker_self())];

    if (!q->first)
        q->last = &q->first;
    *q->last = b;
    q->last = &b->next;
}

void
broadcast_on_lost(struct mk_ev_resource_lost *ev, void *arg)
{
    struct presence *p = arg;
    struct mk_stanza *st = mk_stanza_new(MK_PRESENCE, MK_TYPE_UNAVAILABLE, ev->jid, NULL, NULL, NULL);

    lost_add(p, broadcast_new(p, NULL, st, 0));
    mk_stanza_unref(&st);
    lost_go_on(p);
}

struct back {
    struct presence *presence;
    uint32_t node;
};

static void
greet(struct mk_session *s, void *arg)
{
    const struct back *back = arg;
    struct own *own = own_of(back->presence, s);
    struct broadcast *b;

    if (!own || !own->last)
        return;
    b = broadcast_new(back->presence, s, own->last, own->priority);
    b->node = back->node;
    lost_add(back->presence, b);
}

/* A node is back that one of us had taken for dead, with its users: there too everybody does the same. */
static void
on_joined(const char *event, const void *payload, void *arg)
{
    const struct mk_event_node *ev = payload;
    struct back back = {arg, ev->number};

    (void)event;
    if (!ev->apart || ev->records == 0)
        return;
    mk_session_each(greet, &back);
    lost_go_on(arg);
}

int
broadcast_init(struct presence *p)
{
    for (size_t i = 0; i < mk_worker_count(); i++) {
        if (mk_subscribe(p->module, "node_joined", mk_worker_nth(i), on_joined, p) < 0)
            return -1;
    }
    return 0;
}

void
broadcast_release(struct presence *p)
{
    for (size_t i = 0; p->lost && i < mk_worker_count(); i++) {
        while (p->lost[i].first) {
            struct broadcast *b = p->lost[i].first;

            p->lost[i].first = b->next;
            broadcast_free(b);
        }
    }
    mk_free(p->lost);
}
