/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* What clients ask (RFC 6121 §2.1.3, §2.3, §2.5, §2.6) and are told (§2.1.6). */
#include "internal.h"

#include <stdio.h>

#define NS_ROSTER "jabber:iq:roster"

static const char *const subscriptions[] = {"none", "to", "from", "both"};

static void
write_item(struct mk_xml *x, const struct mk_roster_item *item)
{
    mk_xml_open(x, "item", NULL);
    if (item->flags & MK_ROSTER_APPROVED)
        mk_xml_attr(x, "approved", "true");
    if (item->flags & MK_ROSTER_ASK)
        mk_xml_attr(x, "ask", "subscribe");
    mk_xml_attr_jid(x, "jid", item->jid);
    if (*item->name)
        mk_xml_attr(x, "name", item->name);
    mk_xml_attr(x, "subscription", subscriptions[item->subscription & MK_SUB_BOTH]);
    for (size_t i = 0; i < item->group_count; i++)
        mk_xml_leaf(x, "group", NULL, mk_str_of(item->groups[i]));
    mk_xml_close(x);
}

/* -- pushes ----------------------------------------------------------------------------------- */

struct push {
    struct roster *roster;
    const struct mk_jid *account;
    struct mk_stanza *stanza;
    bool here;                  /* to sessions of this node alone */
};

static bool
push_to(const struct mk_resource *r, void *arg)
{
    const struct push *push = arg;
    const struct mk_sessions *sessions = push->roster->sessions;
    struct mk_jid *to;
    struct mk_stanza *st;

    if (!(r->flags & MK_RESOURCE_ROSTER) || (push->here && r->node) ||
        !(to = mk_jid_with_resource(push->account, r->resource)))
        return true;
    st = mk_stanza_readdress(push->stanza, push->account, to);
    sessions->send(sessions->self, r, st);
    mk_stanza_unref(&st);
    mk_jid_unref(&to);
    return true;
}

void
client_push(struct entry *e, const struct mk_roster_item *item, const struct mk_jid *removed, bool here)
{
    struct roster *r = e->roster;
    struct push push = {r, e->account, NULL, here};
    const struct snapshot *now = entry_now(e);
    struct mk_xml *x = mk_xml_new(NULL);
    char id[40];

    mk_xml_open(x, "query", NS_ROSTER);
    mk_xml_attr(x, "ver", now->version);
    if (item) {
        write_item(x, item);
    } else {
        mk_xml_open(x, "item", NULL);
        mk_xml_attr_jid(x, "jid", removed);
        mk_xml_attr(x, "subscription", "remove");
    }
    snprintf(id, sizeof(id), "push-%s", now->version);
    push.stanza = mk_stanza_new(MK_IQ, MK_TYPE_SET, e->account, NULL, id, x);
    r->sessions->each(r->sessions->self, e->account, push_to, &push);
    mk_stanza_unref(&push.stanza);
}

/* -- the roster (§2.1.3) ------------------------------------------------------------------------ */

/* From now on this session gets pushes. */
static void
mark_interested(struct roster *r, struct mk_session *s)
{
    struct mk_resource own;

    r->sessions->get(r->sessions->self, s, &own);
    r->sessions->update(r->sessions->self, s, own.priority, MK_RESOURCE_ROSTER, 0);
}

static void
reply_roster(struct mk_iq *iq, const struct snapshot *now)
{
    const char *known = mk_node_attr(mk_iq_child(iq), "ver");
    struct mk_xml *x;

    if (known && strcmp(known, now->version) == 0) {
        mk_iq_reply_result(iq, NULL);
        return;
    }
    x = mk_xml_new(NULL);
    mk_xml_open(x, "query", NS_ROSTER);
    if (known)
        mk_xml_attr(x, "ver", now->version);
    for (size_t i = 0; i < now->count; i++) {
        if (!(now->items[i].flags & MK_ROSTER_HIDDEN))
            write_item(x, &now->items[i]);
    }
    mk_iq_reply_result(iq, x);
}

/* A request that waits for the database. */
struct waiting {
    struct roster *roster;
    struct mk_worker *back;
    struct mk_iq *iq;
    struct entry *entry;
    enum mk_roster_result result;
};

static void
have_roster(void *arg)
{
    struct waiting *w = arg;
    struct mk_session *s = mk_iq_session(w->iq);

    if (s && w->result == MK_ROSTER_OK) {
        mark_interested(w->roster, s);
        reply_roster(w->iq, entry_now(w->entry));
    } else {
        mk_iq_reply_error(w->iq, MK_ERR_RESOURCE_CONSTRAINT, "the database does not answer");
    }
    entry_unref(w->entry);
    mk_free(w);
}

static void
was_read(enum mk_roster_result result, const struct mk_roster_item *item, void *arg)
{
    struct waiting *w = arg;

    (void)item;
    w->result = result;
    mk_post(w->roster->module, w->back, have_roster, w);
}

static enum mk_verdict
on_get(struct mk_iq *iq, void *arg)
{
    struct roster *r = arg;
    struct mk_session *s = mk_iq_session(iq);
    struct waiting *w;
    struct entry *e;

    if (mk_iq_addressee(iq) != MK_TO_SELF || !s) {
        mk_iq_reply_error(iq, MK_ERR_FORBIDDEN, NULL);
        return MK_HANDLED;
    }
    e = entry_get(r, mk_iq_account(iq));
    if (entry_now(e)) {
        mark_interested(r, s);
        reply_roster(iq, entry_now(e));
        entry_unref(e);
        return MK_HANDLED;
    }
    w = mk_zalloc(sizeof(*w));
    *w = (struct waiting){.roster = r, .back = mk_worker_self(), .iq = mk_iq_hold(iq), .entry = e};
    change_read(e, was_read, w);
    return MK_HANDLED;
}

/* -- changes (§2.3, §2.5) ------------------------------------------------------------------------ */

static void
on_changed(enum mk_roster_result result, const struct mk_roster_item *item, void *arg)
{
    struct mk_iq *iq = arg;

    (void)item;
    switch (result) {
    case MK_ROSTER_OK:
        mk_iq_reply_result(iq, NULL);
        break;
    case MK_ROSTER_ABSENT:
        mk_iq_reply_error(iq, MK_ERR_ITEM_NOT_FOUND, NULL);
        break;
    case MK_ROSTER_FULL:
        mk_iq_reply_error(iq, MK_ERR_RESOURCE_CONSTRAINT, "the roster is full");
        break;
    case MK_ROSTER_BAD:
        mk_iq_reply_error(iq, MK_ERR_NOT_ACCEPTABLE, "a name or group is not acceptable");
        break;
    default:
        mk_iq_reply_error(iq, MK_ERR_RESOURCE_CONSTRAINT, "the database does not answer");
    }
}

/* `groups` has room for all of them. */
static void
read_item(const struct mk_node *node, struct mk_roster_item *item, const char **groups)
{
    const struct mk_node *group = mk_node_child(node, "group", NS_ROSTER);
    const char *name = mk_node_attr(node, "name");

    item->name = name ? name : "";
    item->request = "";
    item->groups = groups;
    for (; group; group = mk_node_next(group, "group", NS_ROSTER))
        groups[item->group_count++] = mk_str_dup(mk_node_text(group));
}

static size_t
count_groups(const struct mk_node *node)
{
    size_t count = 0;

    for (const struct mk_node *g = mk_node_child(node, "group", NS_ROSTER); g;
         g = mk_node_next(g, "group", NS_ROSTER))
        count++;
    return count;
}

static void
set_item(struct roster *r, struct mk_iq *iq, const struct mk_node *node, const struct mk_jid *jid)
{
    const char **groups = mk_alloc((count_groups(node) + 1) * sizeof(*groups));
    struct mk_roster_item item = {.size = sizeof(item), .jid = jid};

    read_item(node, &item, groups);
    r->service.set(r, mk_iq_account(iq), &item, on_changed, mk_iq_hold(iq));
    for (size_t i = 0; i < item.group_count; i++)
        mk_free((char *)groups[i]);
    mk_free(groups);
}

static void
change_item(struct roster *r, struct mk_iq *iq, const struct mk_node *node)
{
    const char *address = mk_node_attr(node, "jid"), *sub = mk_node_attr(node, "subscription");
    struct mk_jid *full = address ? mk_jid_parse(mk_str_of(address)) : NULL, *jid;

    if (!full) {
        mk_iq_reply_error(iq, address ? MK_ERR_JID_MALFORMED : MK_ERR_BAD_REQUEST, NULL);
        return;
    }
    jid = mk_jid_bare_new(full);
    if (mk_jid_equal(jid, mk_iq_account(iq)))
        mk_iq_reply_error(iq, MK_ERR_NOT_ALLOWED, "nobody is in their own roster");
    else if (sub && strcmp(sub, "remove") == 0)
        r->service.remove(r, mk_iq_account(iq), jid, on_changed, mk_iq_hold(iq));
    else
        set_item(r, iq, node, jid);
    mk_jid_unref(&jid);
    mk_jid_unref(&full);
}

static enum mk_verdict
on_set(struct mk_iq *iq, void *arg)
{
    const struct mk_node *item = mk_node_child(mk_iq_child(iq), NULL, NULL);

    if (mk_iq_addressee(iq) != MK_TO_SELF)
        mk_iq_reply_error(iq, MK_ERR_FORBIDDEN, NULL);
    else if (!item || !mk_node_is(item, "item", NS_ROSTER) || mk_node_next(item, NULL, NULL))
        mk_iq_reply_error(iq, MK_ERR_BAD_REQUEST, "there must be one item");
    else
        change_item(arg, iq, item);
    return MK_HANDLED;
}

/* -- sessions and features ----------------------------------------------------------------------- */

/* As long as somebody of the account is here its roster stays in memory. */
static void
on_bound(struct mk_ev_session *ev, void *arg)
{
    struct roster *r = arg;

    mk_session_slot_set(ev->session, r->slot, entry_get(r, mk_session_jid(ev->session)));
}

static void
on_features(struct mk_ev_stream_features *ev, void *arg)
{
    (void)arg;
    if (!(ev->flags & MK_STREAM_AUTHENTICATED))
        return;
    mk_xml_open(ev->features, "ver", "urn:xmpp:features:rosterver");
    mk_xml_close(ev->features);
    mk_xml_open(ev->features, "sub", "urn:xmpp:features:pre-approval");
    mk_xml_close(ev->features);
}

int
client_register(struct roster *r)
{
    struct mk_module *m = r->module;

    if (mk_on_iq(m, MK_IQ_GET, MK_TO_BARE, NS_ROSTER, "query", on_get, r) < 0 ||
        mk_on_iq(m, MK_IQ_SET, MK_TO_BARE, NS_ROSTER, "query", on_set, r) < 0 ||
        mk_on(m, session_bound, MK_PRIO_NORMAL, on_bound, r) < 0 ||
        mk_on(m, stream_features, MK_PRIO_LATE, on_features, r) < 0)
        return -1;
    return 0;
}
