/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Domains in the database: they come and go on all nodes while the server runs, and may have an administrator each. */
#include "config.h"

#include "internal.h"

static const struct mk_option options[] = {
    MK_OPTION_PERIOD(struct domain_conf, poll, "30s", "100ms", "1d", 0,
                     "how often the database is asked whether domains came or went"),
    MK_OPTION_PERIOD(struct domain_conf, clean, "1h", "1s", "30d", 0,
                     "how long the table of changes keeps them, at least"),
    MK_OPTION_LIST(struct domain_conf, host_types, "default", MK_OPT_RELOADABLE,
                   "names that may stand for the host type of a domain; all mean the same: the general configuration"),
    MK_OPTION_END};

MK_SQL_FILE(domain_001, "001_domains.sql");

static const struct mk_sql_migration migrations[] = {{1, domain_001}, {0, NULL}};

static void
prepare_sync(struct domain *self)
{
    const struct mk_rdbms *db = self->db;
    struct mk_module *m = self->module;

    self->sql.last_event = db->prepare(db->self, m, "SELECT COALESCE(MAX(id), 0) FROM domain_events");
    self->sql.page = db->prepare(
        db->self, m, "SELECT id, domain FROM domain_settings WHERE status = 1 AND id > ? ORDER BY id LIMIT ?");
    self->sql.events = db->prepare(
        db->self, m,
        "SELECT e.id, e.domain, s.status FROM domain_events e LEFT JOIN domain_settings s ON s.domain = e.domain "
        "WHERE e.id > ? ORDER BY e.id LIMIT ?");
    self->sql.event = db->prepare(db->self, m, "INSERT INTO domain_events (domain) VALUES (?)");
    /* Only for a domain that is so now: nothing has changed, nobody is told. */
    self->sql.event_of = db->prepare(
        db->self, m, "INSERT INTO domain_events (domain) SELECT domain FROM domain_settings WHERE domain = ? AND status = ?");
    self->sql.clean = db->prepare(db->self, m, "DELETE FROM domain_events WHERE id < ?");
}

static void
prepare_settings(struct domain *self)
{
    const struct mk_rdbms *db = self->db;
    struct mk_module *m = self->module;

    self->sql.select = db->prepare(db->self, m, "SELECT host_type, status FROM domain_settings WHERE domain = ?");
    self->sql.of_type = db->prepare(
        db->self, m, "SELECT domain FROM domain_settings WHERE host_type = ? AND status = 1 ORDER BY domain LIMIT ?");
    self->sql.all = db->prepare(
        db->self, m, "SELECT domain, host_type, status FROM domain_settings ORDER BY domain LIMIT ?");
    self->sql.insert = db->prepare(db->self, m, "INSERT INTO domain_settings (domain, host_type) VALUES (?, ?)");
    self->sql.set_status = db->prepare(
        db->self, m, "UPDATE domain_settings SET status = ? WHERE domain = ? AND status <> 2");
    self->sql.begin_remove = db->prepare(
        db->self, m, "UPDATE domain_settings SET status = 2 WHERE domain = ? AND host_type = ?");
    self->sql.interrupted = db->prepare(db->self, m, "SELECT domain FROM domain_settings WHERE status = 2 ORDER BY domain LIMIT 1000");
    self->sql.remove = db->prepare(db->self, m, "DELETE FROM domain_settings WHERE domain = ? AND status = 2");
    self->sql.admin = db->prepare(db->self, m, "SELECT pass_details FROM domain_admins WHERE domain = ?");
    self->sql.set_admin = db->prepare(
        db->self, m,
        "INSERT INTO domain_admins (domain, pass_details) VALUES (?, ?) "
        "ON CONFLICT (domain) DO UPDATE SET pass_details = excluded.pass_details");
    self->sql.remove_admin = db->prepare(db->self, m, "DELETE FROM domain_admins WHERE domain = ?");
}

static const char *
is_ready(void *arg)
{
    struct domain *self = arg;

    return __atomic_load_n(&self->loaded, __ATOMIC_ACQUIRE) ? NULL : "the domains are not read from the database yet";
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct domain *self = mk_zalloc(sizeof(*self));

    mk_module_set(m, self);
    self->module = m;
    self->db = mk_rdbms_get(m, err);
    if (!self->db || self->db->schema(self->db->self, m, migrations, err) < 0)
        return -1;
    prepare_sync(self);
    prepare_settings(self);
    self->changes = mk_counter_new(m, "domain_changes_total", NULL, "Domains that came or went while the server ran");
    if (sync_init(self, err) < 0 || mk_ready_add(m, "domains", is_ready, self) < 0)
        return -1;
    return api_init(self, err);
}

static int
start(struct mk_module *m, struct mk_error *err)
{
    struct domain *self = mk_module_get(m);

    (void)err;
    mk_auth_backends_get(m, &self->auth);
    mk_post(m, mk_worker_nth(0), sync_start, self);
    return 0;
}

static void
unload(struct mk_module *m)
{
    mk_free(mk_module_get(m));
}

MK_MODULE(.name = "domain", .version = "1.0", .summary = "domains in the database, and their administrators",
          .depends = (const char *const[]){"rdbms", NULL},
          .after = (const char *const[]){"auth", "cluster", "graphql", NULL}, .options = options,
          .conf_size = sizeof(struct domain_conf), .init = init, .start = start, .unload = unload);
