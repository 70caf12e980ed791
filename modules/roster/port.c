/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The roster in files of XEP-0227: the query as a client gets it, and a presence of type subscribe for each request that
 * waits for an answer.
 */
#include "config.h"

#include "internal.h"

#include <meerkat/port.h>

#define NS_ROSTER "jabber:iq:roster"
#define NS_PIE "urn:xmpp:pie:0"
#define GROUPS_MAX 100

static const char *const subscriptions[] = {
    [MK_SUB_NONE] = "none", [MK_SUB_TO] = "to", [MK_SUB_FROM] = "from", [MK_SUB_BOTH] = "both"};

/* -- in ---------------------------------------------------------------------------------------- */

static bool
has_group(const char *const *groups, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(groups[i], name) == 0)
            return true;
    }
    return false;
}

static size_t
read_groups(const struct mk_node *element, char **groups)
{
    size_t count = 0;

    for (const struct mk_node *g = mk_node_child(element, "group", NS_ROSTER); g && count < GROUPS_MAX;
         g = mk_node_next(g, "group", NS_ROSTER)) {
        char *name = mk_str_dup(mk_node_text(g));

        if (*name && !has_group((const char *const *)groups, count, name))
            groups[count++] = name;
        else
            mk_free(name);
    }
    return count;
}

static const char *
attr_or_empty(const struct mk_node *n, const char *name)
{
    const char *value = mk_node_attr(n, name);

    return value ? value : "";
}

static bool
add_item(struct roster *r, struct mk_ev_account_import *ev, const struct mk_node *element)
{
    struct mk_jid *jid = mk_jid_parse(mk_str_of(attr_or_empty(element, "jid")));
    struct mk_jid *bare = jid ? mk_jid_bare_new(jid) : NULL;
    const char *subscription = attr_or_empty(element, "subscription");
    char *groups[GROUPS_MAX];
    struct mk_roster_item item = {.size = sizeof(item), .jid = bare, .name = attr_or_empty(element, "name"), .request = ""};
    bool good = bare && strcmp(subscription, "remove") != 0;

    if (good) {
        for (unsigned i = 0; i < MK_COUNT(subscriptions); i++)
            item.subscription = strcmp(subscription, subscriptions[i]) == 0 ? i : item.subscription;
        if (strcmp(attr_or_empty(element, "ask"), "subscribe") == 0)
            item.flags |= MK_ROSTER_ASK;
        if (strcmp(attr_or_empty(element, "approved"), "true") == 0 || strcmp(attr_or_empty(element, "approved"), "1") == 0)
            item.flags |= MK_ROSTER_APPROVED;
        item.group_count = read_groups(element, groups);
        item.groups = (const char *const *)groups;
        sql_add_item(r, ev->batch, ev->account, &item);
        for (size_t i = 0; i < item.group_count; i++)
            mk_free(groups[i]);
    }
    mk_jid_unref(&jid);
    mk_jid_unref(&bare);
    return good;
}

/* A request of somebody who may be in the roster already: then that item stays what it is. */
static void
add_request(struct roster *r, struct mk_ev_account_import *ev)
{
    struct mk_jid *jid = mk_jid_parse(mk_str_of(attr_or_empty(ev->element, "from")));
    struct mk_jid *bare = jid ? mk_jid_bare_new(jid) : NULL;
    const struct mk_node *status = mk_node_child(ev->element, "status", NULL);

    if (bare) {
        const struct mk_sql_value server = MK_SQL_V_TEXT(mk_jid_domain(ev->account));
        const struct mk_sql_value user = MK_SQL_V_TEXT(mk_jid_local(ev->account));
        const struct mk_sql_value contact = MK_SQL_V_TEXT(mk_jid_text(bare));

        mk_sql_add(r->db, ev->batch, r->sql.show, server, user, contact);
        mk_sql_add(r->db, ev->batch, r->sql.pending, server, user, contact,
                   MK_SQL_V_TEXT(status ? mk_node_text(status) : MK_STR("")));
        ev->taken++;
    } else {
        ev->left++;
    }
    mk_jid_unref(&jid);
    mk_jid_unref(&bare);
}

/* Prosody leaves the namespace of the file. */
static bool
is_request(const struct mk_node *e)
{
    return strcmp(mk_node_name(e), "presence") == 0 && strcmp(attr_or_empty(e, "type"), "subscribe") == 0 &&
           (strcmp(mk_node_ns(e), MK_NS_CLIENT) == 0 || strcmp(mk_node_ns(e), NS_PIE) == 0);
}

static enum mk_verdict
on_import(struct mk_ev_account_import *ev, void *arg)
{
    if (is_request(ev->element)) {
        add_request(arg, ev);
        return MK_HANDLED;
    }
    if (!mk_node_is(ev->element, "query", NS_ROSTER))
        return MK_CONTINUE;
    for (const struct mk_node *e = mk_node_child(ev->element, "item", NS_ROSTER); e; e = mk_node_next(e, "item", NS_ROSTER)) {
        if (add_item(arg, ev, e))
            ev->taken++;
        else
            ev->left++;
    }
    return MK_HANDLED;
}

/* -- out --------------------------------------------------------------------------------------- */

struct export {
    struct roster *roster;
    struct mk_hold *hold;
};

static void
write_item(struct mk_xml *x, const struct mk_roster_item *item)
{
    mk_xml_open(x, "item", NULL);
    mk_xml_attr_jid(x, "jid", item->jid);
    mk_xml_attr(x, "name", *item->name ? item->name : NULL);
    mk_xml_attr(x, "subscription", subscriptions[item->subscription & MK_SUB_BOTH]);
    mk_xml_attr(x, "ask", item->flags & MK_ROSTER_ASK ? "subscribe" : NULL);
    mk_xml_attr(x, "approved", item->flags & MK_ROSTER_APPROVED ? "true" : NULL);
    for (size_t i = 0; i < item->group_count; i++)
        mk_xml_leaf(x, "group", NULL, mk_str_of(item->groups[i]));
    mk_xml_close(x);
}

static void
write_request(struct mk_xml *x, const struct mk_roster_item *item)
{
    mk_xml_open(x, "presence", MK_NS_CLIENT);
    mk_xml_attr(x, "type", "subscribe");
    mk_xml_attr_jid(x, "from", item->jid);
    if (*item->request)
        mk_xml_leaf(x, "status", NULL, mk_str_of(item->request));
    mk_xml_close(x);
}

static void
write_roster(struct mk_ev_account_export *ev, const struct snapshot *s)
{
    if (s->count)
        mk_xml_open(ev->xml, "query", NS_ROSTER);
    for (size_t i = 0; i < s->count; i++) {
        if (!(s->items[i].flags & MK_ROSTER_HIDDEN))
            write_item(ev->xml, &s->items[i]);
    }
    if (s->count)
        mk_xml_close(ev->xml);
    for (size_t i = 0; i < s->count; i++) {
        if (s->items[i].flags & MK_ROSTER_PENDING_IN)
            write_request(ev->xml, &s->items[i]);
    }
    ev->given += s->count;
}

static void
on_rows(struct mk_sql_result *result, void *arg)
{
    struct export *e = arg;
    struct roster *r = e->roster;
    struct mk_ev_account_export *ev = mk_hold_event(e->hold);
    bool good = r->db->status(result) == MK_SQL_OK;

    if (good) {
        struct snapshot *s = sql_read(r, ev->account, result);

        write_roster(ev, s);
        snapshot_free(s);
    } else {
        ev->error = "the roster cannot be read";
    }
    mk_resume(&e->hold, good ? MK_CONTINUE : MK_DENY);
    mk_free(e);
}

static enum mk_verdict
on_export(struct mk_ev_account_export *ev, void *arg)
{
    struct roster *r = arg;
    struct export *e = mk_alloc(sizeof(*e));

    *e = (struct export){r, mk_hold(&ev->head)};
    mk_sql_exec(r->db, r->sql.load, NULL, on_rows, e, MK_SQL_V_TEXT(mk_jid_domain(ev->account)),
                MK_SQL_V_TEXT(mk_jid_local(ev->account)));
    return MK_HANDLED;
}

int
port_init(struct roster *r)
{
    r->sql.pending = r->db->prepare(
        r->db->self, r->module,
        "INSERT INTO rosterusers (server, username, jid, nick, subscription, ask, askmessage) "
        "VALUES (?, ?, ?, '', 'N', 'I', ?) ON CONFLICT (server, username, jid) DO UPDATE SET "
        "ask = CASE WHEN rosterusers.ask IN ('O', 'S', 'B') THEN 'B' ELSE 'I' END, askmessage = excluded.askmessage");
    /* A contact that is there before the request is one that clients see. */
    r->sql.show = r->db->prepare(
        r->db->self, r->module,
        "INSERT INTO roster_flags (server, username, jid, approved, shown) SELECT server, username, jid, 0, 1 FROM rosterusers "
        "WHERE server = ? AND username = ? AND jid = ? ON CONFLICT (server, username, jid) DO UPDATE SET shown = 1");
    return mk_on(r->module, account_import, MK_PRIO_NORMAL, on_import, r) |
           mk_on(r->module, account_export, MK_PRIO_NORMAL, on_export, r);
}
