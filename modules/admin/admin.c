/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The administrators' and users' API as far as it is no single feature's: accounts, sessions, stanzas, numbers, the server, its
 * modules, configuration, log and metrics. Each category is a file.
 */
#include "config.h"

#include "internal.h"

static const struct mk_option options[] = {
    MK_OPTION_INT(struct admin_conf, max_items, "10000", "1", "1000000", MK_OPT_RELOADABLE,
                  "items that one answer may list; longer lists are asked for in parts"),
    MK_OPTION_SIZE(struct admin_conf, import_size, "16M", "1K", "1G", MK_OPT_RELOADABLE,
                   "largest file that importUsers reads"),
    MK_OPTION_END};

static int
add_categories(struct admin *a, struct mk_error *err)
{
    if (account_category(a, err) < 0 || session_category(a, err) < 0 || stanza_category(a, err) < 0 ||
        stat_category(a, err) < 0 || server_category(a, err) < 0 || metric_category(a, err) < 0 ||
        module_category(a, err) < 0 || config_category(a, err) < 0 || log_category(a, err) < 0 ||
        cets_category(a, err) < 0)
        return -1;
    return 0;
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct admin *a = mk_zalloc(sizeof(*a));

    mk_module_set(m, a);
    a->module = m;
    a->gql = mk_graphql_get(m);
    a->sessions = mk_service_get(m, "sessions", MK_SESSIONS_ABI, err);
    a->c2s = mk_service_get(m, "c2s", MK_C2S_ABI, err);
    if (!a->gql)
        return mk_fail(err, "there is no service 'graphql'");
    if (!a->sessions || !a->c2s || nodes_init(a, err) < 0)
        return -1;
    if (receiver_init(a) < 0 || kick_init(a) < 0)
        return mk_fail(err, "cannot register the handlers of admin");
    return add_categories(a, err);
}

static int
start(struct mk_module *m, struct mk_error *err)
{
    struct admin *a = mk_module_get(m);

    (void)err;
    mk_auth_backends_get(m, &a->auth);
    __atomic_store_n(&a->presence, mk_service_nth(m, "presence", MK_PRESENCE_ABI, 0), __ATOMIC_RELEASE);
    return 0;
}

static void
unload(struct mk_module *m)
{
    mk_free(mk_module_get(m));
}

MK_MODULE(.name = "admin", .version = "1.0",
          .summary = "the API of administrators and users: accounts, sessions, stanzas, the server",
          .depends = (const char *const[]){"graphql", "sessions", "c2s", NULL},
          .after = (const char *const[]){"auth", "presence", "cluster", "sm", NULL}, .options = options,
          .conf_size = sizeof(struct admin_conf), .init = init, .start = start, .unload = unload);
