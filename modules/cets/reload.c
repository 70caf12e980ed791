/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The configuration of all nodes is read anew: each says how that went. */
#include <meerkat/admin.h>

#include "cets.h"

/* -- here, for another node ------------------------------------------------------------------- */

static void
on_reloaded_for(const struct mk_error *err, void *arg)
{
    struct reload_call *r = arg;
    struct mk_str text = err ? mk_str_of(err->text) : (struct mk_str){0};

    r->cets->cluster_service.answer(r->call, text);
    mk_free(r);
}

static void
on_request(struct mk_cluster_call *call, uint32_t node, struct mk_str data, void *arg)
{
    struct cets *c = arg;
    struct reload_call *r = mk_alloc(sizeof(*r));

    (void)data;
    *r = (struct reload_call){c, call};
    mk_log(c->module, MK_LOG_INFO, "cets.reload", "the configuration is reloaded: node %u asks for it", node);
    mk_admin_reload(c->module, on_reloaded_for, r);
}

/* -- everywhere ------------------------------------------------------------------------------- */

/* On the worker that asked. */
struct reload {
    struct cets *cets;
    struct mk_module *module;
    mk_cluster_reloaded_fn fn;
    void *arg;
    struct mk_cluster_reload *nodes;    /* this one first; texts are owned */
    size_t count, left;
};

struct reload_one {
    struct reload *all;
    size_t index;
};

static void
one_less(struct reload *r)
{
    struct mk_module *m = r->module;

    if (--r->left > 0)
        return;
    r->fn(r->nodes, r->count, r->arg);
    for (size_t i = 0; i < r->count; i++) {
        mk_free((char *)(uintptr_t)r->nodes[i].name);
        mk_free((char *)(uintptr_t)r->nodes[i].error);
    }
    mk_free(r->nodes);
    mk_free(r);
    mk_module_leave(m);
}

static void
on_own(const struct mk_error *err, void *arg)
{
    struct reload *r = arg;

    r->nodes[0].error = err ? mk_strdup(err->text) : NULL;
    one_less(r);
}

static void
on_answer(enum mk_cluster_result result, struct mk_str answer, void *arg)
{
    struct reload_one one = *(struct reload_one *)arg;

    mk_free(arg);
    if (result != MK_CLUSTER_ANSWERED)
        one.all->nodes[one.index].error = mk_strdup("the node cannot be asked");
    else if (answer.len)
        one.all->nodes[one.index].error = mk_str_dup(answer);
    one_less(one.all);
}

static bool
add_node(const struct mk_cluster_node *node, void *arg)
{
    struct reload *r = arg;

    if (strcmp(node->state, "gone") == 0)
        return true;
    r->nodes = mk_realloc(r->nodes, (r->count + 1) * sizeof(*r->nodes));
    r->nodes[r->count++] = (struct mk_cluster_reload){mk_strdup(node->name), node->number, NULL};
    return true;
}

void
reload_all(void *self, struct mk_module *m, mk_cluster_reloaded_fn fn, void *arg)
{
    struct cets *c = self;
    struct reload *r = mk_alloc(sizeof(*r));

    *r = (struct reload){.cets = c, .module = m, .fn = fn, .arg = arg};
    mk_module_enter(m);
    c->cluster_service.each(c, add_node, r);
    r->left = r->count;
    for (size_t i = 1; i < r->count; i++) {
        struct reload_one *one = mk_alloc(sizeof(*one));

        *one = (struct reload_one){r, i};
        c->cluster_service.send(c->reload_channel, r->nodes[i].number, (struct mk_str){0}, on_answer, one);
    }
    mk_admin_reload(c->module, on_own, r);
}

int
reload_init(struct cets *c, struct mk_error *err)
{
    c->reload_channel = c->cluster_service.channel(c, c->module, "reload", on_request, c, err);
    return c->reload_channel ? 0 : -1;
}
