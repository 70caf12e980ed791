/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Accounts that live as long as a session: names for SASL ANONYMOUS (RFC 4505, XEP-0175). */
#include "config.h"

#include <meerkat/auth_anonymous.h>
#include <meerkat/meerkat.h>

#define NAME_LEN 25 /* with the NUL; 36^24 is more than 2^120 */

struct auth_anonymous_conf {
    bool enabled;
};

static const struct mk_option options[] = {
    MK_OPTION_BOOL(struct auth_anonymous_conf, enabled, "no", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                   "may clients of this host log in without an account"),
    MK_OPTION_END};

struct auth_anonymous {
    struct mk_module *module;
    struct mk_auth_anonymous table;
};

static bool
is_enabled(void *self, struct mk_host *host)
{
    const struct auth_anonymous_conf *conf =
        mk_module_conf(((struct auth_anonymous *)self)->module, host);

    return conf->enabled;
}

static void
make_name(void *self, struct mk_host *host, char out[MK_ANONYMOUS_NAME_MAX])
{
    (void)self;
    (void)host;
    mk_random_id(out, NAME_LEN);
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct auth_anonymous *self = mk_zalloc(sizeof(*self));

    mk_module_set(m, self);
    self->module = m;
    self->table = (struct mk_auth_anonymous){
        .size = sizeof(struct mk_auth_anonymous),
        .self = self,
        .enabled = is_enabled,
        .name = make_name,
    };
    return mk_service_provide(m, "auth_anonymous", MK_AUTH_ANONYMOUS_ABI, &self->table, err);
}

static void
unload(struct mk_module *m)
{
    mk_free(mk_module_get(m));
}

MK_MODULE(.name = "auth_anonymous", .version = "1.0",
          .summary = "XEP-0175: log-in without an account",
          .provides = (const char *const[]){"auth_anonymous", NULL}, .options = options,
          .conf_size = sizeof(struct auth_anonymous_conf), .init = init, .unload = unload);
