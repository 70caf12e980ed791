/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Changes on other nodes. Whoever has stored one tells all others before anybody is told of it: what they hold of this
 * roster they read anew. So what a client was told holds on every node.
 */
#include "internal.h"

struct news {
    struct roster *roster;
    struct mk_cluster_call *call;
};

static void
on_reloaded(enum mk_roster_result result, const struct mk_roster_item *item, void *arg)
{
    struct news *n = arg;

    (void)result;
    (void)item;
    n->roster->cluster->answer(n->call, (struct mk_str){0});
    mk_free(n);
}

static void
on_news(struct mk_cluster_call *call, uint32_t node, struct mk_str data, void *arg)
{
    struct roster *r = arg;
    struct mk_jid *account = mk_jid_parse(data);
    struct entry *e = account ? entry_find(r, account) : NULL;
    struct news *n;

    (void)node;
    mk_jid_unref(&account);
    if (!e) {
        r->cluster->answer(call, (struct mk_str){0});
        return;
    }
    n = mk_alloc(sizeof(*n));
    *n = (struct news){r, call};
    change_reload(e, on_reloaded, n);
    entry_unref(e);
}

static void
on_all_told(enum mk_cluster_result result, struct mk_str answer, void *arg)
{
    (void)result;
    (void)answer;
    change_told(arg);
}

void
news_send(struct op *op)
{
    struct roster *r = op->entry->roster;

    r->cluster->send_all(r->news, mk_jid_bare(op->entry->account), on_all_told, op);
}

int
news_init(struct roster *r, struct mk_error *err)
{
    r->cluster = mk_cluster_get(r->module);
    if (!r->cluster)
        return 0;
    r->news = r->cluster->channel(r->cluster->self, r->module, "roster", on_news, r, err);
    return r->news ? 0 : -1;
}
