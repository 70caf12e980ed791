/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Requests between nodes, as JSON: {"what": …, more}. A request to this node takes the same way without the link, so that
 * there is one function for both.
 */
#include "config.h"

#include <stdlib.h>

#include "internal.h"

struct node_request {
    struct admin *admin;
    json_t *request;
    struct mk_cluster_call *call;           /* NULL: asked here */
    /* asked here: */
    struct mk_worker *back;
    json_t *answer;
    node_done_fn done;
    void *arg;
};

static const struct {
    const char *what;
    void (*fn)(struct node_request *r);
} handlers[] = {
    {"look", on_look}, {"with_status", on_with_status}, {"kick", on_kick}, {"set_presence", on_set_presence},
    {"metrics", on_metrics},
};

const json_t *
node_request_value(const struct node_request *r, const char *name)
{
    return json_object_get(r->request, name);
}

struct admin *
node_request_admin(const struct node_request *r)
{
    return r->admin;
}

/* -- the side that answers ------------------------------------------------------------------- */

static void
finish_here(void *arg)
{
    struct node_request *r = arg;

    r->done(r->answer, r->arg);
    json_decref(r->answer);
    json_decref(r->request);
    mk_free(r);
}

void
node_answer(struct node_request *r, json_t *answer)
{
    char *text;

    r->answer = answer;
    if (!r->call) {
        if (r->back == mk_worker_self())
            finish_here(r);
        else
            mk_post(r->admin->module, r->back, finish_here, r);
        return;
    }
    text = answer ? json_dumps(answer, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    r->admin->cluster->answer(r->call, mk_str_of(text ? text : ""));
    free(text);
    json_decref(answer);
    json_decref(r->request);
    mk_module_leave(r->admin->module);
    mk_free(r);
}

static void
handle(struct node_request *r)
{
    const char *what = json_string_value(json_object_get(r->request, "what"));

    for (size_t i = 0; what && i < MK_COUNT(handlers); i++) {
        if (strcmp(what, handlers[i].what) == 0) {
            handlers[i].fn(r);
            return;
        }
    }
    node_answer(r, NULL);
}

static void
on_request(struct mk_cluster_call *call, uint32_t node, struct mk_str data, void *arg)
{
    struct node_request *r = mk_zalloc(sizeof(*r));

    (void)node;
    r->admin = arg;
    r->call = call;
    r->request = json_loadb(data.p ? data.p : "", data.len, 0, NULL);
    mk_module_enter(r->admin->module);
    handle(r);
}

/* -- the side that asks ---------------------------------------------------------------------- */

struct ask {
    struct admin *admin;
    node_done_fn done;
    void *arg;
};

static void
on_answer(enum mk_cluster_result result, struct mk_str answer, void *arg)
{
    struct ask ask = *(struct ask *)arg;
    json_t *value = result == MK_CLUSTER_ANSWERED && answer.len
                        ? json_loadb(answer.p, answer.len, JSON_DECODE_ANY, NULL) : NULL;

    mk_free(arg);
    ask.done(value, ask.arg);
    json_decref(value);
}

static void
ask_other(struct admin *a, uint32_t node, json_t *request, node_done_fn fn, void *arg)
{
    char *text = json_dumps(request, JSON_COMPACT);
    struct ask *ask = mk_alloc(sizeof(*ask));

    MK_ASSERT(text);
    *ask = (struct ask){a, fn, arg};
    a->cluster->send(a->channel, node, mk_str_of(text), on_answer, ask);
    free(text);
    json_decref(request);
}

void
node_ask(struct admin *a, uint32_t node, const char *what, json_t *request, node_done_fn fn, void *arg)
{
    struct node_request *r;

    json_object_set_new(request, "what", json_string(what));
    if (node) {
        ask_other(a, node, request, fn, arg);
        return;
    }
    r = mk_zalloc(sizeof(*r));
    *r = (struct node_request){.admin = a, .request = request, .back = mk_worker_self(), .done = fn, .arg = arg};
    handle(r);
}

/* -- who there is ----------------------------------------------------------------------------- */

struct naming {
    uint32_t *numbers;
    size_t count, max;
    const char *name;           /* wanted */
    uint32_t number;            /* wanted */
    char *found_name;
    bool found;
};

static bool
is_self(const struct mk_cluster_node *node)
{
    return strcmp(node->state, "self") == 0;
}

static bool
add_number(const struct mk_cluster_node *node, void *arg)
{
    struct naming *n = arg;

    if (!is_self(node) && strcmp(node->state, "gone") != 0)
        n->numbers[n->count++] = node->number;
    return n->count < n->max;
}

size_t
nodes_list(struct admin *a, uint32_t *out, size_t max)
{
    struct naming n = {.numbers = out, .count = 1, .max = max};

    out[0] = 0;
    if (a->cluster)
        a->cluster->each(a->cluster->self, add_number, &n);
    return n.count;
}

static bool
match_node(const struct mk_cluster_node *node, void *arg)
{
    struct naming *n = arg;

    if (is_self(node) || strcmp(node->state, "gone") == 0)
        return true;
    if (n->name ? strcmp(node->name, n->name) != 0 : node->number != n->number)
        return true;
    n->found = true;
    n->number = node->number;
    n->found_name = mk_strdup(node->name);
    return false;
}

char *
node_name(struct admin *a, uint32_t node)
{
    struct naming n = {.number = node};

    if (node == 0)
        return mk_strdup(mk_server_node());
    if (a->cluster)
        a->cluster->each(a->cluster->self, match_node, &n);
    return n.found ? n.found_name : mk_printf_new("%u", node);
}

bool
node_number(struct admin *a, const char *name, uint32_t *out)
{
    struct naming n = {.name = name};

    *out = 0;
    if (strcmp(name, mk_server_node()) == 0)
        return true;
    if (a->cluster)
        a->cluster->each(a->cluster->self, match_node, &n);
    mk_free(n.found_name);
    *out = n.number;
    return n.found;
}

int
nodes_init(struct admin *a, struct mk_error *err)
{
    a->cluster = mk_cluster_get(a->module);
    if (!a->cluster)
        return 0;
    a->channel = a->cluster->channel(a->cluster->self, a->module, "admin", on_request, a, err);
    return a->channel ? 0 : -1;
}
