/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Private storage in files of XEP-0227: the elements of all namespaces in one query. */
#include "config.h"

#include "internal.h"

#include <meerkat/port.h>

#define NS_PRIVATE "jabber:iq:private"

static enum mk_verdict
on_import(struct mk_ev_account_import *ev, void *arg)
{
    struct private *self = arg;
    const struct private_conf *conf = mk_module_conf(self->module, ev->host);
    const struct mk_sql_value server = MK_SQL_V_TEXT(mk_jid_domain(ev->account));
    const struct mk_sql_value user = MK_SQL_V_TEXT(mk_jid_local(ev->account));

    if (!mk_node_is(ev->element, "query", NS_PRIVATE))
        return MK_CONTINUE;
    for (const struct mk_node *e = mk_node_child(ev->element, NULL, NULL); e; e = mk_node_next(e, NULL, NULL)) {
        const struct mk_sql_value ns = MK_SQL_V_CSTR(mk_node_ns(e));
        struct mk_xml *x = mk_xml_new("");

        if (private_can_keep(mk_node_ns(e), conf)) {
            mk_xml_node(x, e);
            /* Limits are for what clients store anew. */
            mk_sql_add(self->db, ev->batch, self->upsert, server, user, ns, MK_SQL_V_TEXT(mk_xml_str(x)), server, user, ns,
                       MK_SQL_V_INT(INT32_MAX));
            ev->taken++;
        } else {
            ev->left++;
        }
        mk_xml_free(&x);
    }
    return MK_HANDLED;
}

struct export {
    struct private *self;
    struct mk_hold *hold;
};

static void
on_rows(struct mk_sql_result *result, void *arg)
{
    struct export *e = arg;
    const struct mk_rdbms *db = e->self->db;
    struct mk_ev_account_export *ev = mk_hold_event(e->hold);
    bool good = db->status(result) == MK_SQL_OK;

    if (good && db->rows(result))
        mk_xml_open(ev->xml, "query", NS_PRIVATE);
    while (good && db->next(result)) {
        good = mk_xml_parsed(ev->xml, db->get_text(result, 0), "") == 0;
        ev->given++;
    }
    if (good && db->rows(result))
        mk_xml_close(ev->xml);
    if (!good)
        ev->error = "private storage cannot be read";
    mk_resume(&e->hold, good ? MK_CONTINUE : MK_DENY);
    mk_free(e);
}

static enum mk_verdict
on_export(struct mk_ev_account_export *ev, void *arg)
{
    struct private *self = arg;
    struct export *e = mk_alloc(sizeof(*e));

    *e = (struct export){self, mk_hold(&ev->head)};
    mk_sql_exec(self->db, self->all, NULL, on_rows, e, MK_SQL_V_TEXT(mk_jid_domain(ev->account)),
                MK_SQL_V_TEXT(mk_jid_local(ev->account)));
    return MK_HANDLED;
}

int
private_port(struct private *self)
{
    self->all = self->db->prepare(self->db->self, self->module,
                                  "SELECT data FROM private_storage WHERE server = ? AND username = ? ORDER BY namespace");
    return mk_on(self->module, account_import, MK_PRIO_NORMAL, on_import, self) |
           mk_on(self->module, account_export, MK_PRIO_NORMAL, on_export, self);
}
