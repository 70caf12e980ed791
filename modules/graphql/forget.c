/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * What must be forgotten when a password changes or an account goes: that the old one was right,
 * and the streams that were opened with it; on this node at once, on the others as soon as they
 * hear of it.
 */
#include "config.h"

#include "internal.h"

static void
forget(struct graphql *g, const char *account)
{
    remember_forget(g->remember, account);
    stream_end_account(g, account);
}

static void
on_password(struct mk_ev_account_password *ev, void *arg)
{
    struct graphql *g = arg;
    char *account = mk_printf_new("%.*s@%s", MK_STR_ARG(ev->user), mk_host_name(ev->host));

    forget(g, account);
    if (g->channel)
        g->cluster->send_all(g->channel, mk_str_of(account), NULL, NULL);
    mk_free(account);
}

static void
on_told(struct mk_cluster_call *call, uint32_t node, struct mk_str data, void *arg)
{
    struct graphql *g = arg;
    char *account = mk_str_dup(data);

    (void)node;
    forget(g, account);
    mk_free(account);
    g->cluster->answer(call, MK_STR(""));
}

int
forget_init(struct graphql *g, struct mk_error *err)
{
    g->cluster = mk_cluster_get(g->module);
    if (g->cluster) {
        g->channel =
            g->cluster->channel(g->cluster->self, g->module, "graphql_forget", on_told, g, err);
        if (!g->channel)
            return -1;
    }
    if (mk_on(g->module, account_password, MK_PRIO_NORMAL, on_password, g) < 0)
        return mk_fail(err, "cannot register the handlers of graphql");
    return 0;
}
