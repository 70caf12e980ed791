/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The vCard in files of XEP-0227. */
#include "config.h"

#include "internal.h"

#include <meerkat/port.h>

static enum mk_verdict
on_import(struct mk_ev_account_import *ev, void *arg)
{
    struct mk_xml *x;

    if (!mk_node_is(ev->element, "vCard", NS_VCARD))
        return MK_CONTINUE;
    x = mk_xml_new("");
    mk_xml_node(x, ev->element);
    vcard_add(arg, ev->batch, ev->account, ev->element, mk_xml_str(x));
    mk_xml_free(&x);
    ev->taken = 1;
    return MK_HANDLED;
}

struct export {
    struct vcard *self;
    struct mk_hold *hold;
};

static void
on_row(struct mk_sql_result *result, void *arg)
{
    struct export *e = arg;
    const struct mk_rdbms *db = e->self->db;
    struct mk_ev_account_export *ev = mk_hold_event(e->hold);
    bool good = db->status(result) == MK_SQL_OK;

    if (good && db->next(result)) {
        good = mk_xml_parsed(ev->xml, db->get_text(result, 0), NS_VCARD) == 0;
        ev->given++;
    }
    if (!good)
        ev->error = "the vCard cannot be read";
    mk_resume(&e->hold, good ? MK_CONTINUE : MK_DENY);
    mk_free(e);
}

static enum mk_verdict
on_export(struct mk_ev_account_export *ev, void *arg)
{
    struct vcard *self = arg;
    struct export *e = mk_alloc(sizeof(*e));

    *e = (struct export){self, mk_hold(&ev->head)};
    mk_sql_exec(self->db, self->select, NULL, on_row, e, MK_SQL_V_TEXT(mk_jid_domain(ev->account)),
                MK_SQL_V_TEXT(mk_jid_local(ev->account)));
    return MK_HANDLED;
}

int
vcard_port(struct vcard *self)
{
    return mk_on(self->module, account_import, MK_PRIO_NORMAL, on_import, self) |
           mk_on(self->module, account_export, MK_PRIO_NORMAL, on_export, self);
}
