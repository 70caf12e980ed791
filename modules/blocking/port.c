/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The block list in files of XEP-0227, as XEP-0191 writes it; read as a privacy list as well, which is how ejabberd keeps it. */
#include "config.h"

#include "internal.h"

#include <stdlib.h>

#include <meerkat/port.h>

#define NS_BLOCKING "urn:xmpp:blocking"
#define NS_PRIVACY "jabber:iq:privacy"

static void
take(struct blocking *b, struct mk_ev_account_import *ev, const char *text)
{
    const struct mk_sql_value server = MK_SQL_V_TEXT(mk_jid_domain(ev->account));
    const struct mk_sql_value user = MK_SQL_V_TEXT(mk_jid_local(ev->account));
    struct mk_jid *jid = text ? mk_jid_parse(mk_str_of(text)) : NULL;

    if (jid) {
        const struct mk_sql_value value = MK_SQL_V_TEXT(mk_jid_text(jid));

        if (ev->taken == 0) {
            mk_sql_add(b->db, ev->batch, b->sql.make, server, user);
            mk_sql_add(b->db, ev->batch, b->sql.make_default, server, user);
        }
        mk_sql_add(b->db, ev->batch, b->sql.add, value, server, user, value);
        ev->taken++;
    } else {
        ev->left++;
    }
    mk_jid_unref(&jid);
}

static const char *
attr(const struct mk_node *n, const char *name)
{
    const char *value = n ? mk_node_attr(n, name) : NULL;

    return value ? value : "";
}

/* The JIDs that the list in force denies altogether; all else of privacy lists is counted as left behind. */
static void
take_privacy(struct blocking *b, struct mk_ev_account_import *ev)
{
    const char *in_force = attr(mk_node_child(ev->element, "default", NS_PRIVACY), "name");
    const struct mk_node *list = mk_node_child(ev->element, "list", NS_PRIVACY);

    for (; list; list = mk_node_next(list, "list", NS_PRIVACY)) {
        const struct mk_node *item = mk_node_child(list, "item", NS_PRIVACY);
        bool ours = *in_force && strcmp(attr(list, "name"), in_force) == 0;

        for (; item; item = mk_node_next(item, "item", NS_PRIVACY)) {
            if (ours && strcmp(attr(item, "type"), "jid") == 0 && strcmp(attr(item, "action"), "deny") == 0 &&
                !mk_node_child(item, NULL, NULL))
                take(b, ev, mk_node_attr(item, "value"));
            else
                ev->left++;
        }
    }
}

static enum mk_verdict
on_import(struct mk_ev_account_import *ev, void *arg)
{
    struct blocking *b = arg;

    if (mk_node_is(ev->element, "query", NS_PRIVACY)) {
        take_privacy(b, ev);
        return MK_HANDLED;
    }
    if (!mk_node_is(ev->element, "blocklist", NS_BLOCKING))
        return MK_CONTINUE;
    for (const struct mk_node *item = mk_node_child(ev->element, "item", NS_BLOCKING); item;
         item = mk_node_next(item, "item", NS_BLOCKING))
        take(b, ev, mk_node_attr(item, "jid"));
    return MK_HANDLED;
}

struct export {
    struct blocking *blocking;
    struct mk_hold *hold;
};

static int
by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted by bytes, whatever the database's order is. */
static void
write_list(struct mk_ev_account_export *ev, const struct mk_rdbms *db, struct mk_sql_result *result)
{
    size_t count = db->rows(result), n = 0;
    char **jids = mk_zalloc((count + 1) * sizeof(*jids));

    while (db->next(result))
        jids[n++] = mk_str_dup(db->get_text(result, 0));
    qsort(jids, n, sizeof(*jids), by_text);
    mk_xml_open(ev->xml, "blocklist", NS_BLOCKING);
    for (size_t i = 0; i < n; i++) {
        mk_xml_open(ev->xml, "item", NULL);
        mk_xml_attr(ev->xml, "jid", jids[i]);
        mk_xml_close(ev->xml);
        mk_free(jids[i]);
    }
    mk_xml_close(ev->xml);
    mk_free(jids);
    ev->given += n;
}

static void
on_rows(struct mk_sql_result *result, void *arg)
{
    struct export *e = arg;
    const struct mk_rdbms *db = e->blocking->db;
    struct mk_ev_account_export *ev = mk_hold_event(e->hold);
    bool good = db->status(result) == MK_SQL_OK;

    if (good && db->rows(result))
        write_list(ev, db, result);
    if (!good)
        ev->error = "the block list cannot be read";
    mk_resume(&e->hold, good ? MK_CONTINUE : MK_DENY);
    mk_free(e);
}

static enum mk_verdict
on_export(struct mk_ev_account_export *ev, void *arg)
{
    struct blocking *b = arg;
    struct export *e = mk_alloc(sizeof(*e));

    *e = (struct export){b, mk_hold(&ev->head)};
    mk_sql_exec(b->db, b->sql.load, NULL, on_rows, e, MK_SQL_V_TEXT(mk_jid_domain(ev->account)),
                MK_SQL_V_TEXT(mk_jid_local(ev->account)));
    return MK_HANDLED;
}

int
port_init(struct blocking *b)
{
    return mk_on(b->module, account_import, MK_PRIO_NORMAL, on_import, b) |
           mk_on(b->module, account_export, MK_PRIO_NORMAL, on_export, b);
}
