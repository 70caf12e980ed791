/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Blocking command (XEP-0191): nothing comes from, and goes to, those whom a user has blocked. */
#include "internal.h"

MK_SQL_FILE(blocking_001, "001_privacy_list.sql");

static const struct mk_sql_migration migrations[] = {{1, blocking_001}, {0, NULL}};

static const struct mk_option options[] = {
    MK_OPTION_INT(struct blocking_conf, max_items, "1000", "1", "100000", MK_OPT_RELOADABLE,
                  "JIDs that an account may block"),
    MK_OPTION_INT(struct blocking_conf, cached, "20000", "100", "100000000", MK_OPT_RELOADABLE,
                  "lists of accounts without a session that each worker remembers"),
    MK_OPTION_END};

static void
session_gone(void *data)
{
    entry_unpin(data);
}

static void
on_user_removed(const char *event, const void *payload, void *arg)
{
    const struct mk_event_user *ev = payload;
    struct mk_jid *account = mk_jid_parse(mk_str_of(ev->user));
    struct list *none = list_new(NULL, 0);

    (void)event;
    if (account)
        list_publish(arg, account, none);
    mk_jid_unref(&account);
    list_unref(&none);
}

static void
define_metrics(struct mk_module *m, struct blocking *b)
{
    static const char *const help = "Stanzas that a block list kept back";

    b->dropped[0] = mk_counter_new(m, "blocking_stanzas_total", "direction=\"in\"", help);
    b->dropped[1] = mk_counter_new(m, "blocking_stanzas_total", "direction=\"out\"", help);
    b->refused = mk_counter_new(m, "blocking_refused_total", NULL,
                                "Changes refused because the list is full");
    b->loads = mk_counter_new(m, "blocking_loads_total", NULL, "Block lists read from the database");
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct blocking *b = mk_zalloc(sizeof(*b));

    mk_module_set(m, b);
    b->module = m;
    cache_init(b);
    b->db = mk_rdbms_get(m, err);
    b->sessions = mk_service_get(m, "sessions", MK_SESSIONS_ABI, err);
    b->roster = mk_service_get(m, "roster", MK_ROSTER_ABI, err);
    b->presence = mk_service_get(m, "presence", MK_PRESENCE_ABI, err);
    if (!b->db || !b->sessions || !b->roster || !b->presence ||
        b->db->schema(b->db->self, m, migrations, err) < 0 || news_init(b, err) < 0)
        return -1;
    sql_prepare(b);
    define_metrics(m, b);
    if (mk_slot_register(m, MK_SLOT_SESSION, session_gone, &b->slot) < 0 || filter_register(b) < 0 ||
        change_register(b) < 0 || mk_on(m, account_remove, MK_PRIO_NORMAL, sql_account_remove, b) < 0 || port_init(b) < 0 || again_init(b) < 0 ||
        mk_subscribe(m, "user_removed", NULL, on_user_removed, b) < 0)
        return mk_fail(err, "cannot register the handlers of blocking");
    return 0;
}

static void
unload(struct mk_module *m)
{
    struct blocking *b = mk_module_get(m);

    again_free(b);
    cache_free(b);
    mk_free(b);
}

MK_MODULE(.name = "blocking", .version = "1.0", .summary = "block lists (XEP-0191)",
          .depends = (const char *const[]){"rdbms", "router", "roster", "presence", NULL},
          .options = options, .conf_size = sizeof(struct blocking_conf), .init = init, .unload = unload);
