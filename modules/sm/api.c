/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* cluster drain of the GraphQL API: of this node or, over a channel of its own, of another. */
#include <jansson.h>

#include <meerkat/graphql.h>

#include "internal.h"

static const char sdl[] =
    "extend type AdminMutation { \"The nodes of the cluster\" cluster: ClusterAdminMutation }\n"
    "\"The nodes of the cluster\"\n"
    "type ClusterAdminMutation @protected {\n"
    "  \"Empty a node before maintenance: it takes no new clients, sessions that can resume go to other nodes, and what is left is ended\"\n"
    "  drain(\"Name; without one, this node\" node: String): String @protected(type: GLOBAL)\n"
    "}\n";

/* -- another node asks: the answer is "BEGUN MOVED ENDED" ----------------------------------------- */

struct request {
    struct sm_module *m;
    struct mk_cluster_call *call;
};

static void
on_drained_for(const struct sm_drained *d, void *arg)
{
    struct request r = *(struct request *)arg;
    char text[64];

    snprintf(text, sizeof(text), "%d %llu %llu", d->begun, d->moved, d->ended);
    mk_free(arg);
    r.m->cluster->answer(r.call, mk_str_of(text));
}

static void
on_request(struct mk_cluster_call *call, uint32_t node, struct mk_str data, void *arg)
{
    struct request *r = mk_alloc(sizeof(*r));

    (void)node;
    (void)data;
    *r = (struct request){arg, call};
    mk_log(r->m->module, MK_LOG_INFO, "sm.drain", "an administrator empties this node");
    sm_drain_run(r->m, on_drained_for, r);
}

/* -- the field ------------------------------------------------------------------------------------ */

static void
on_drained(const struct sm_drained *d, void *arg)
{
    struct mk_gql_field *f = arg;
    char *text;

    if (!d->begun) {
        mk_gql_fail(f, "not_possible", "There is no other node that could take the sessions");
        return;
    }
    text = mk_printf_new("Drained: %llu sessions went to other nodes, %llu were ended", d->moved, d->ended);
    mk_gql_answer(f, json_string(text));
    mk_free(text);
}

static void
on_answer(enum mk_cluster_result result, struct mk_str answer, void *arg)
{
    char *text = mk_str_dup(answer);
    struct sm_drained d = {0};
    int begun;

    if (result == MK_CLUSTER_ANSWERED && sscanf(text, "%d %llu %llu", &begun, &d.moved, &d.ended) == 3) {
        d.begun = begun;
        on_drained(&d, arg);
    } else {
        mk_gql_fail(arg, "node_is_gone", "The node went before it was done, or has no stream management");
    }
    mk_free(text);
}

struct search {
    const char *name;
    uint32_t number;
    bool found;
};

static bool
search(const struct mk_cluster_node *node, void *arg)
{
    struct search *s = arg;

    s->found = strcmp(node->name, s->name) == 0 && strcmp(node->state, "gone") != 0;
    s->number = node->number;
    return !s->found;
}

static void
drain(struct mk_gql_field *f, void *arg)
{
    struct sm_module *m = arg;
    struct search s = {.name = mk_gql_string(f, "node")};

    mk_gql_takes_long(f);
    if (!s.name || strcmp(s.name, mk_server_node()) == 0) {
        mk_log(m->module, MK_LOG_INFO, "sm.drain", "an administrator empties this node");
        sm_drain_run(m, on_drained, f);
        return;
    }
    m->cluster->each(m->cluster->self, search, &s);
    if (s.found)
        m->cluster->send(m->drains, s.number, MK_STR("drain"), on_answer, f);
    else
        mk_gql_fail(f, "not_in_cluster", "There is no such node in the cluster");
}

static const struct mk_gql_resolver resolvers[] = {{"ClusterAdminMutation", "drain", drain}, {0}};

int
sm_api(struct sm_module *m, struct mk_error *err)
{
    const struct mk_graphql *gql = mk_graphql_get(m->module);

    if (!m->cluster)
        return 0;
    m->drains = m->cluster->channel(m->cluster->self, m->module, "sm_drain", on_request, m, err);
    if (!m->drains)
        return -1;
    return gql ? gql->add(gql->self, m->module, MK_GQL_ADMIN, sdl, resolvers, m, err) : 0;
}
