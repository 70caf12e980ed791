/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Rosters (RFC 6121 §2) in SQL, with those in use in memory. */
#include "internal.h"

MK_SQL_FILE(roster_001, "001_roster.sql");

static const struct mk_sql_migration migrations[] = {{1, roster_001}, {0, NULL}};

static const struct mk_option options[] = {
    MK_OPTION_INT(struct roster_conf, max_items, "5000", "1", "1000000", MK_OPT_RELOADABLE,
                  "contacts in one roster, those that only asked included"),
    MK_OPTION_INT(struct roster_conf, max_groups, "50", "0", "1000", MK_OPT_RELOADABLE,
                  "groups of one contact"),
    MK_OPTION_SIZE(struct roster_conf, max_name, "1023", "1", "65536", MK_OPT_RELOADABLE,
                   "bytes of the name of a contact or group"),
    MK_OPTION_END};

static void
session_gone(void *data)
{
    entry_unref(data);
}

static void
define_metrics(struct mk_module *m, struct roster *r)
{
    r->loads = mk_counter_new(m, "roster_loads_total", NULL, "Rosters read from the database");
    r->changes = mk_counter_new(m, "roster_changes_total", NULL, "Changes of rosters that were stored");
    r->failures = mk_counter_new(m, "roster_failures_total", NULL,
                                 "Requests on rosters that the database did not do");
    r->refused = mk_counter_new(m, "roster_refused_total", NULL,
                                "Changes refused because of a limit or a bad name");
    r->entries = mk_gauge_new(m, "rosters", NULL, "Rosters in memory");
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct roster *r = mk_zalloc(sizeof(*r));

    mk_module_set(m, r);
    r->module = m;
    cache_init(r);
    r->sessions = mk_service_get(m, "sessions", MK_SESSIONS_ABI, err);
    r->db = mk_rdbms_get(m, err);
    if (!r->sessions || !r->db || r->db->schema(r->db->self, m, migrations, err) < 0 ||
        news_init(r, err) < 0)
        return -1;
    sql_prepare(r);
    service_init(r);
    define_metrics(m, r);
    r->changed = mk_define_roster_changed(m, NULL, NULL);
    if (mk_slot_register(m, MK_SLOT_SESSION, session_gone, &r->slot) < 0 || client_register(r) < 0 ||
        mk_on(m, account_remove, MK_PRIO_NORMAL, farewell_on_remove, r) < 0 || port_init(r) < 0 || again_init(r) < 0)
        return mk_fail(err, "cannot register the handlers of roster");
    if (api_init(r, err) < 0)
        return -1;
    return mk_service_provide(m, "roster", MK_ROSTER_ABI, &r->service, err);
}

static int
start(struct mk_module *m, struct mk_error *err)
{
    struct roster *r = mk_module_get(m);

    (void)err;
    mk_auth_backends_get(m, &r->auth);
    return 0;
}

static void
unload(struct mk_module *m)
{
    struct roster *r = mk_module_get(m);

    again_free(r);
    cache_free(r);
    mk_free(r);
}

MK_MODULE(.name = "roster", .version = "1.0", .summary = "RFC 6121 §2: rosters, with versions and pre-approval",
          .depends = (const char *const[]){"rdbms", "sessions", "c2s", NULL},
          .after = (const char *const[]){"auth", "graphql", NULL},
          .provides = (const char *const[]){"roster", NULL}, .options = options,
          .conf_size = sizeof(struct roster_conf), .init = init, .start = start, .unload = unload);
