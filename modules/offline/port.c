/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Waiting messages in files of XEP-0227. Each has a delay (XEP-0203) with the time at which it was stored; read back it keeps
 * its place and that time, and its time to live begins anew.
 */
#include "config.h"

#include "internal.h"
#include "rules.h"

#include <meerkat/port.h>

#define NS_PIE "urn:xmpp:pie:0"

/* -- in ---------------------------------------------------------------------------------------- */

/* Anybody's delay, when there is none of ours: the other server's. */
static int64_t
stamp_of(const struct mk_node *message, const struct mk_stanza *st, const char *host)
{
    int64_t at = rule_stamp(st, host);

    for (const struct mk_node *d = mk_node_child(message, "delay", NS_DELAY); d && at < 0; d = mk_node_next(d, "delay", NS_DELAY)) {
        const char *text = mk_node_attr(d, "stamp");

        if (!text || mk_time_parse(mk_str_of(text), &at) < 0)
            at = -1;
    }
    return at < 0 ? mk_time_us() : at;
}

static struct mk_stanza *
stanza_of(const struct mk_node *message, const struct mk_jid *account)
{
    struct mk_xml *x = mk_xml_new(NULL);
    struct mk_stanza *read, *made = NULL;

    mk_xml_node(x, message);
    read = mk_stanza_parse(mk_xml_str(x));
    mk_xml_free(&x);
    if (read && mk_stanza_kind(read) == MK_MESSAGE && mk_stanza_from(read))
        made = mk_stanza_readdress(read, mk_stanza_from(read), mk_stanza_to(read) ? mk_stanza_to(read) : account);
    mk_stanza_unref(&read);
    return made;
}

static bool
add_message(struct offline *self, struct mk_ev_account_import *ev, const struct mk_node *message)
{
    struct mk_stanza *st = stanza_of(message, ev->account);
    struct mk_sql_value values[STORE_VALUES];
    struct mk_buf xml = {0};

    if (!st)
        return false;
    store_values(self, ev->host, ev->account, st, stamp_of(message, st, mk_host_name(ev->host)), mk_time_us(), INT32_MAX, &xml,
                 values);
    self->db->batch_add(ev->batch, self->sql.insert, values, STORE_VALUES);
    mk_buf_release(&xml);
    mk_stanza_unref(&st);
    return true;
}

static enum mk_verdict
on_import(struct mk_ev_account_import *ev, void *arg)
{
    if (strcmp(mk_node_name(ev->element), "offline-messages") != 0)
        return MK_CONTINUE;
    for (const struct mk_node *m = mk_node_child(ev->element, NULL, NULL); m; m = mk_node_next(m, NULL, NULL)) {
        if (mk_node_is(m, "message", MK_NS_CLIENT) && add_message(arg, ev, m))
            ev->taken++;
        else
            ev->left++;
    }
    return MK_HANDLED;
}

/* -- out --------------------------------------------------------------------------------------- */

struct export {
    struct offline *self;
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
        mk_xml_open(ev->xml, "offline-messages", NS_PIE);
    while (good && db->next(result)) {
        struct mk_stanza *st = flush_read_row(e->self, result, ev->account, ev->host);

        if (st)
            mk_xml_stanza(ev->xml, st);
        ev->given += st != NULL;
        mk_stanza_unref(&st);
    }
    if (good && db->rows(result))
        mk_xml_close(ev->xml);
    if (!good)
        ev->error = "waiting messages cannot be read";
    mk_resume(&e->hold, good ? MK_CONTINUE : MK_DENY);
    mk_free(e);
}

static enum mk_verdict
on_export(struct mk_ev_account_export *ev, void *arg)
{
    struct offline *self = arg;
    struct export *e = mk_alloc(sizeof(*e));

    *e = (struct export){self, mk_hold(&ev->head)};
    mk_sql_exec(self->db, self->sql.all, NULL, on_rows, e, MK_SQL_V_TEXT(mk_jid_domain(ev->account)),
                MK_SQL_V_TEXT(mk_jid_local(ev->account)), MK_SQL_V_INT(mk_time_us()));
    return MK_HANDLED;
}

int
offline_port(struct offline *self)
{
    self->sql.all = self->db->prepare(self->db->self, self->module,
                                      "SELECT " ROW_COLUMNS " FROM offline_message WHERE server = ? AND username = ? AND "
                                      "(expire IS NULL OR expire > ?) ORDER BY timestamp, id");
    return mk_on(self->module, account_import, MK_PRIO_NORMAL, on_import, self) |
           mk_on(self->module, account_export, MK_PRIO_NORMAL, on_export, self);
}
