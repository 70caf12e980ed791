/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Accounts in the table `users` of the SQL database: service "auth". Only keys of SCRAM are kept.
 * The table and the text of pass_details are MongooseIM's, so that its database can be taken over.
 */
#include "config.h"

#include "internal.h"

static const struct mk_option options[] = {
    MK_OPTION_INT(struct auth_rdbms_conf, iterations, "10000", "4096", "1000000",
                  MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                  "PBKDF2 iterations of new keys; more is slower for attackers and for log-ins"),
    MK_OPTION_LIST(struct auth_rdbms_conf, hashes, "sha1, sha256, sha512",
                   MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                   "hashes to keep keys for: sha1, sha224, sha256, sha384, sha512"),
    MK_OPTION_END};

MK_SQL_FILE(auth_rdbms_001, "001_users.sql");

static const struct mk_sql_migration migrations[] = {{1, auth_rdbms_001}, {0, NULL}};

static const char *const hash_names[MK_HASH_COUNT] = {
    [MK_SHA1] = "sha1",     [MK_SHA224] = "sha224", [MK_SHA256] = "sha256",
    [MK_SHA384] = "sha384", [MK_SHA512] = "sha512",
};

static unsigned
hash_bit(const char *name)
{
    for (int i = 0; i < MK_HASH_COUNT; i++) {
        if (strcmp(name, hash_names[i]) == 0)
            return 1u << i;
    }
    return 0;
}

unsigned
conf_hashes(const struct auth_rdbms_conf *conf)
{
    unsigned bits = 0;

    for (size_t i = 0; i < conf->hashes.count; i++)
        bits |= hash_bit(conf->hashes.items[i]);
    return bits;
}

static unsigned
auth_hashes(void *self, struct mk_host *host)
{
    return conf_hashes(mk_module_conf(((struct auth_rdbms *)self)->module, host));
}

static unsigned
auth_iterations(void *self, struct mk_host *host)
{
    const struct auth_rdbms_conf *conf = mk_module_conf(((struct auth_rdbms *)self)->module, host);

    return (unsigned)conf->iterations;
}

static int
check(const void *conf, const char *host, struct mk_error *err)
{
    const struct auth_rdbms_conf *c = conf;

    (void)host;
    if (c->hashes.count == 0)
        return mk_fail(err, "option 'hashes' is empty: nobody could log in");
    for (size_t i = 0; i < c->hashes.count; i++) {
        if (!hash_bit(c->hashes.items[i]))
            return mk_fail(err, "unknown hash '%s' in option 'hashes'", c->hashes.items[i]);
    }
    return 0;
}

static void
prepare(struct auth_rdbms *self)
{
    const struct mk_rdbms *db = self->db;
    struct mk_module *m = self->module;

    self->select = db->prepare(
        db->self, m, "SELECT password, pass_details FROM users WHERE server = ? AND username = ?");
    self->insert = db->prepare(
        db->self, m,
        "INSERT INTO users (server, username, password, pass_details) VALUES (?, ?, '', ?)");
    self->update = db->prepare(
        db->self, m,
        "UPDATE users SET password = '', pass_details = ? WHERE server = ? AND username = ?");
    self->upgrade = db->prepare(db->self, m,
                                "UPDATE users SET password = '', pass_details = ? WHERE server = ? "
                                "AND username = ? AND pass_details IS NULL AND password = ?");
    self->remove = db->prepare(db->self, m, "DELETE FROM users WHERE server = ? AND username = ?");
    self->list = db->prepare(db->self, m,
                             "SELECT username FROM users WHERE server = ? AND username > ? "
                             "ORDER BY username LIMIT ?");
    self->count = db->prepare(db->self, m, "SELECT COUNT(*) FROM users WHERE server = ?");
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct auth_rdbms *self = mk_zalloc(sizeof(*self));

    mk_module_set(m, self);
    self->module = m;
    self->table = (struct mk_auth){
        .size = sizeof(struct mk_auth),
        .self = self,
        .lookup = account_lookup,
        .check = account_check,
        .create = account_create,
        .create_keys = account_create_keys,
        .set_password = account_set_password,
        .remove = account_remove,
        .hashes = auth_hashes,
        .can_change = true,
        .iterations = auth_iterations,
        .list = account_list,
        .count = account_count,
    };
    self->db = mk_service_get(m, "rdbms", MK_RDBMS_ABI, err);
    if (!self->db || self->db->schema(self->db->self, m, migrations, err) < 0)
        return -1;
    prepare(self);
    self->account_remove = mk_define_account_remove(m, NULL, NULL);
    self->account_password = mk_define_account_password(m, NULL, NULL);
    self->upgraded = mk_counter_new(m, "auth_rows_upgraded_total", NULL,
                                    "Accounts whose password was plain text and got keys instead");
    return mk_service_provide(m, "auth", MK_AUTH_ABI, &self->table, err);
}

static int
start(struct mk_module *m, struct mk_error *err)
{
    struct auth_rdbms *self = mk_module_get(m);

    (void)err;
    /* Workers may be at work with us already. */
    __atomic_store_n(&self->sessions, mk_service_nth(m, "sessions", MK_SESSIONS_ABI, 0),
                     __ATOMIC_RELEASE);
    return 0;
}

static void
unload(struct mk_module *m)
{
    mk_free(mk_module_get(m));
}

MK_MODULE(.name = "auth_rdbms", .version = "1.0",
          .summary = "accounts in the SQL database, as keys of SCRAM",
          .depends = (const char *const[]){"rdbms", NULL},
          .provides = (const char *const[]){"auth", NULL}, .options = options,
          .conf_size = sizeof(struct auth_rdbms_conf), .check = check, .init = init, .start = start,
          .unload = unload);
