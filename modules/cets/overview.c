/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Service "cets": the cluster as this node sees it. Nodes are gathered on the links' worker, which keeps the discovery's list. */
#include <meerkat/cets.h>

#include "cets.h"

struct gathering {
    struct cets *cets;
    struct mk_module *module;
    struct mk_worker *back;
    mk_cets_overview_fn fn;
    void *arg;
    struct mk_cets_node *nodes;         /* their texts are owned */
    size_t count;
    char *trouble;
};

/* -- nodes ------------------------------------------------------------------------------------ */

/* The value of `key` in what a node shows of itself ("version=…;hosts=…;tables=…;"). Owned. */
static char *
shown(struct mk_str info, const char *key)
{
    char *text = mk_str_dup(info), *save = NULL, *found = NULL;
    size_t len = strlen(key);

    for (char *part = strtok_r(text, ";", &save); part && !found; part = strtok_r(NULL, ";", &save)) {
        if (strncmp(part, key, len) == 0 && part[len] == '=')
            found = mk_strdup(part + len + 1);
    }
    mk_free(text);
    return found ? found : mk_strdup("");
}

static struct mk_cets_node *
add(struct gathering *g, const char *name, uint32_t number, const char *state, struct mk_str info)
{
    struct mk_cets_node *n;

    g->nodes = mk_realloc(g->nodes, (g->count + 1) * sizeof(*g->nodes));
    n = &g->nodes[g->count++];
    *n = (struct mk_cets_node){.size = sizeof(*n), .name = mk_strdup(name), .number = number, .state = state,
                               .address = mk_strdup(""), .version = shown(info, "version"),
                               .tables = shown(info, "tables")};
    return n;
}

static struct mk_cets_node *
find(struct gathering *g, const char *name)
{
    for (size_t i = 0; i < g->count; i++) {
        if (strcmp(g->nodes[i].name, name) == 0)
            return &g->nodes[i];
    }
    return NULL;
}

/* Under the lock. */
static void
add_linked(struct gathering *g)
{
    static const char *const states[] = {[PEER_CONNECTED] = "connected", [PEER_JOINED] = "joined",
                                         [PEER_SUSPECTED] = "suspected", [PEER_GONE] = "gone"};
    struct cets *c = g->cets;
    struct mk_cets_node *n = add(g, mk_server_node(), c->number, "self", replica_info(c->replica));
    struct peer *p = NULL;
    uint64_t peers = 0, all = 0;
    struct peer_view v;

    while ((p = replica_peer_next(c->replica, p))) {
        replica_peer_view(p, &v);
        n = add(g, v.name, v.number, states[v.state], v.info);
        n->records = v.records;
        n->lag = v.state == PEER_GONE ? 0 : replica_seq(c->replica) - v.acked;
        peers += v.records;
    }
    for (unsigned i = 0; i < replica_table_count(c->replica); i++)
        all += mk_store_count(replica_store(c->replica, i));
    g->nodes[0].records = all > peers ? all - peers : 0;
}

static void
add_discovered(struct gathering *g, const char *name, uint32_t number, const char *address)
{
    struct mk_cets_node *n = find(g, name);

    if (!n)
        n = add(g, name, number, "unreachable", (struct mk_str){0});
    n->discovered = true;
    mk_free((char *)(uintptr_t)n->address);
    n->address = mk_strdup(address);
}

static void
finish(void *arg)
{
    struct gathering *g = arg;
    const struct mk_cets_overview o = {.size = sizeof(o), .nodes = g->nodes, .count = g->count, .trouble = g->trouble};

    g->fn(&o, g->arg);
    for (size_t i = 0; i < g->count; i++) {
        mk_free((char *)(uintptr_t)g->nodes[i].name);
        mk_free((char *)(uintptr_t)g->nodes[i].address);
        mk_free((char *)(uintptr_t)g->nodes[i].version);
        mk_free((char *)(uintptr_t)g->nodes[i].tables);
    }
    mk_free(g->nodes);
    mk_free(g->trouble);
    mk_free(g);
}

static void
gather(void *arg)
{
    struct gathering *g = arg;
    struct cets *c = g->cets;

    pthread_mutex_lock(&c->lock);
    add_linked(g);
    pthread_mutex_unlock(&c->lock);
    if (*c->own_address)
        add_discovered(g, mk_server_node(), c->number, c->own_address);
    for (size_t i = 0; i < c->member_count; i++)
        add_discovered(g, c->members[i].name, c->members[i].number, c->members[i].address);
    g->trouble = mk_strdup(c->discovery->trouble(c->discovery->self));
    mk_post(g->module, g->back, finish, g);
}

static void
svc_overview(void *self, struct mk_module *m, mk_cets_overview_fn fn, void *arg)
{
    struct cets *c = self;
    struct gathering *g = mk_zalloc(sizeof(*g));

    *g = (struct gathering){.cets = c, .module = m, .back = mk_worker_self(), .fn = fn, .arg = arg};
    mk_post(m, c->worker, gather, g);
}

/* -- tables ----------------------------------------------------------------------------------- */

static void
svc_each_table(void *self, void (*fn)(const struct mk_cets_table *table, void *arg), void *arg)
{
    struct cets *c = self;
    unsigned count;

    /* Tables never go, nor do their names and stores; but the list of them may move. */
    pthread_mutex_lock(&c->lock);
    count = replica_table_count(c->replica);
    for (unsigned i = 0; i < count; i++) {
        const struct mk_store *store = replica_store(c->replica, i);
        struct mk_cets_table table = {.size = sizeof(table),
                                      .name = replica_table_name(c->replica, i),
                                      .version = replica_table_version(c->replica, i),
                                      .records = mk_store_count(store),
                                      .bytes = mk_store_bytes(store)};

        fn(&table, arg);
    }
    pthread_mutex_unlock(&c->lock);
}

int
overview_provide(struct cets *c, struct mk_error *err)
{
    c->overview_service = (struct mk_cets){.size = sizeof(c->overview_service), .self = c, .overview = svc_overview,
                                           .each_table = svc_each_table};
    return mk_service_provide(c->module, "cets", MK_CETS_ABI, &c->overview_service, err);
}
