/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Accounts in memory: service "auth" for tests and trials. They come from the configuration and
 * from whoever creates them at run time, are known to this node alone, and are gone when it stops.
 */
#include "config.h"

#include "internal.h"

static const struct mk_option options[] = {
    MK_OPTION_LIST(struct auth_memory_conf, accounts, NULL, 0,
                   "accounts to begin with: user:password for every host, or user@host:password"),
    MK_OPTION_INT(struct auth_memory_conf, iterations, "4096", "1", "1000000", 0,
                  "PBKDF2 iterations of the keys"),
    MK_OPTION_LIST(struct auth_memory_conf, hashes, "sha1, sha256, sha512", 0,
                   "hashes to keep keys for: sha1, sha224, sha256, sha384, sha512"),
    MK_OPTION_END};

static unsigned
hash_bit(const char *name)
{
    static const char *const names[MK_HASH_COUNT] = {
        [MK_SHA1] = "sha1",     [MK_SHA224] = "sha224", [MK_SHA256] = "sha256",
        [MK_SHA384] = "sha384", [MK_SHA512] = "sha512",
    };

    for (int i = 0; i < MK_HASH_COUNT; i++) {
        if (strcmp(name, names[i]) == 0)
            return 1u << i;
    }
    return 0;
}

static int
check(const void *conf, const char *host, struct mk_error *err)
{
    const struct auth_memory_conf *c = conf;

    (void)host;
    if (c->hashes.count == 0)
        return mk_fail(err, "option 'hashes' is empty: nobody could log in");
    for (size_t i = 0; i < c->hashes.count; i++) {
        if (!hash_bit(c->hashes.items[i]))
            return mk_fail(err, "unknown hash '%s' in option 'hashes'", c->hashes.items[i]);
    }
    return 0;
}

/* One item of `accounts`. The password must not be shown, so errors name the item by number. */
static int
add_item(struct auth_memory *self, const char *item, size_t number, struct mk_error *err)
{
    const char *colon = strchr(item, ':'), *at = strchr(item, '@');
    struct mk_str name = {item, colon ? (size_t)(colon - item) : 0};
    struct mk_buf user = {0}, password = {0};
    struct mk_credentials cred;
    struct mk_host *only = NULL, *host;
    int rc = 0;

    if (at && at < colon) {
        only = mk_host_find((struct mk_str){at + 1, (size_t)(colon - at - 1)});
        name.len = (size_t)(at - item);
    }
    if (!colon || mk_prep_local(&user, name) < 0 || user.len == 0 ||
        mk_prep_password(&password, mk_str_of(colon + 1)) < 0 || password.len == 0 ||
        (at && at < colon && !only)) {
        rc = mk_fail(err, "item %zu of option 'accounts' is not user:password", number + 1);
    } else {
        store_derive(self, mk_buf_str(&password), &cred);
        for (size_t n = 0; (host = mk_host_nth(n)); n++) {
            if (!only || host == only)
                (void)store_put(self, host, mk_buf_str(&user), &cred, STORE_ANY);
        }
        mk_wipe(&cred, sizeof(cred));
    }
    if (password.data)
        mk_wipe(password.data, password.cap);
    mk_buf_release(&password);
    mk_buf_release(&user);
    return rc;
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    const struct auth_memory_conf *conf = mk_module_conf(m, NULL);
    struct auth_memory *self = mk_zalloc(sizeof(*self));

    mk_module_set(m, self);
    self->module = m;
    self->iterations = (unsigned)conf->iterations;
    for (size_t i = 0; i < conf->hashes.count; i++)
        self->hashes |= hash_bit(conf->hashes.items[i]);
    pthread_mutex_init(&self->lock, NULL);
    for (size_t i = 0; i < conf->accounts.count; i++) {
        if (add_item(self, conf->accounts.items[i], i, err) < 0)
            return -1;
    }
    self->account_remove = mk_define_account_remove(m, NULL, NULL);
    self->account_password = mk_define_account_password(m, NULL, NULL);
    request_table(self);
    return mk_service_provide(m, "auth", MK_AUTH_ABI, &self->table, err);
}

static int
start(struct mk_module *m, struct mk_error *err)
{
    struct auth_memory *self = mk_module_get(m);

    (void)err;
    /* Workers may be at work with us already. */
    __atomic_store_n(&self->sessions, mk_service_nth(m, "sessions", MK_SESSIONS_ABI, 0),
                     __ATOMIC_RELEASE);
    return 0;
}

static void
unload(struct mk_module *m)
{
    struct auth_memory *self = mk_module_get(m);

    if (!self)
        return;
    store_clear(self);
    pthread_mutex_destroy(&self->lock);
    mk_free(self);
}

MK_MODULE(.name = "auth_memory", .version = "1.0",
          .summary = "accounts in memory, for tests and trials",
          .provides = (const char *const[]){"auth", NULL}, .options = options,
          .conf_size = sizeof(struct auth_memory_conf), .check = check, .init = init,
          .start = start, .unload = unload);
