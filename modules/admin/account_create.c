/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Making an account: a name that any backend knows is taken; the first backend that can makes it. */
#include "config.h"

#include "internal.h"

struct creation {
    struct admin *admin;
    struct mk_host *host;
    char *user, *password;
    mk_auth_fn fn;
    void *arg;
};

static void
finish(enum mk_auth_result result, void *arg)
{
    struct creation *c = arg;

    c->fn(result, c->arg);
    mk_wipe(c->password, strlen(c->password));
    mk_free(c->password);
    mk_free(c->user);
    mk_free(c);
}

static void
on_found(enum mk_auth_result result, const struct mk_auth *found, void *arg)
{
    struct creation *c = arg;
    const struct mk_auth *auth;
    size_t i = 0;

    if (result != MK_AUTH_NO_ACCOUNT) {
        finish(found ? MK_AUTH_EXISTS : result, c);
        return;
    }
    while ((auth = mk_auth_nth(&c->admin->auth, i)) && !auth->can_change)
        i++;
    if (auth)
        auth->create(auth->self, c->host, mk_str_of(c->user), mk_str_of(c->password), finish, c);
    else
        finish(MK_AUTH_NOT_ALLOWED, c);
}

void
account_create(struct admin *a, struct mk_host *host, struct mk_str user, struct mk_str password, mk_auth_fn fn,
               void *arg)
{
    struct creation *c = mk_alloc(sizeof(*c));

    *c = (struct creation){a, host, mk_str_dup(user), mk_str_dup(password), fn, arg};
    mk_auth_find(a->module, &a->auth, host, user, on_found, c);
}
