/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Passwords for modules with a protocol of their own: the same backends and limits as for streams.
 * A name without an account takes as long as a wrong password does.
 */
#include "config.h"

#include "internal.h"

struct check {
    struct sasl *sasl;
    struct mk_module *asker;
    struct mk_host *host;
    struct mk_buf user, password;
    char *account;
    char *address; /* NULL: does not count */
    size_t backend;
    mk_sasl_check_fn fn;
    void *arg;
};

static void
finish(struct check *c, enum mk_sasl_check_result result)
{
    struct mk_module *own = c->sasl->module, *asker = c->asker;

    if (result == MK_SASL_OK)
        throttle_succeeded(c->sasl, c->account);
    else if (result == MK_SASL_WRONG)
        throttle_failed(c->sasl, c->address, c->account);
    c->fn(result, c->arg);
    wipe_buf(&c->password);
    mk_buf_release(&c->user);
    mk_free(c->account);
    mk_free(c->address);
    mk_free(c);
    mk_module_leave(own);
    mk_module_leave(asker);
}

static void
work_waste(void *arg)
{
    struct check *c = arg;
    unsigned char out[MK_DIGEST_MAX];

    mk_pbkdf2(MK_SHA1, mk_buf_str(&c->password), MK_STR("nobody's salt 16"),
              ask_iterations(c->sasl, c->host), out);
}

static void
on_wasted(void *arg)
{
    finish(arg, MK_SASL_WRONG);
}

static void ask(struct check *c);

static void
on_checked(enum mk_auth_result result, void *arg)
{
    struct check *c = arg;

    if (result == MK_AUTH_NO_ACCOUNT) {
        c->backend++;
        ask(c);
    } else if (result == MK_AUTH_OK) {
        finish(c, MK_SASL_OK);
    } else if (result == MK_AUTH_UNAVAILABLE || result == MK_AUTH_BUSY) {
        finish(c, MK_SASL_UNAVAILABLE);
    } else {
        finish(c, MK_SASL_WRONG);
    }
}

static void
ask(struct check *c)
{
    const struct mk_auth *auth;

    if (c->backend < c->sasl->backend_count) {
        auth = c->sasl->backends[c->backend];
        auth->check(auth->self, c->host, mk_buf_str(&c->user), mk_buf_str(&c->password), on_checked,
                    c);
    } else if (mk_offload(c->sasl->module, work_waste, on_wasted, c) < 0) {
        finish(c, MK_SASL_UNAVAILABLE);
    }
}

static bool
is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0 ||
           strncmp(address, "::ffff:127.", 11) == 0;
}

static const char *
counted(struct sasl *sasl, const char *address)
{
    return address && *address && throttle_counts(sasl, is_loopback(address)) ? address : NULL;
}

static bool
svc_is_locked(void *self, const char *address, const char *account)
{
    return throttle_is_locked(self, counted(self, address), account);
}

static void
svc_failed(void *self, const char *address, const char *account)
{
    throttle_failed(self, counted(self, address), account);
}

static void
svc_check(void *self, struct mk_module *m, const struct mk_sasl_check *what, mk_sasl_check_fn fn,
          void *arg)
{
    struct sasl *sasl = self;
    const char *address = counted(sasl, what->address);
    char *account = mk_printf_new("%.*s@%s", MK_STR_ARG(what->user), mk_host_name(what->host));
    struct check *c;

    if (throttle_is_locked(sasl, address, account)) {
        mk_free(account);
        fn(MK_SASL_LOCKED, arg);
        return;
    }
    c = mk_zalloc(sizeof(*c));
    *c = (struct check){
        .sasl = sasl, .asker = m, .host = what->host, .account = account, .fn = fn, .arg = arg};
    c->address = mk_strdup(address);
    mk_buf_add_str(&c->user, what->user);
    mk_buf_add_str(&c->password, what->password);
    mk_module_enter(m);
    mk_module_enter(sasl->module);
    ask(c);
}

void
password_table(struct mk_sasl *table)
{
    table->check = svc_check;
    table->is_locked = svc_is_locked;
    table->failed = svc_failed;
}
