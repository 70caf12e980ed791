/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Service "cluster": the other nodes, and requests to them. A server of one node has no such service:
 * modules that can do without ask mk_service_nth.
 *
 * A request to a node arrives once and in order with the others to it, over as many links as it takes. Who asked hears
 * of its end: an answer, or that the node is gone (then nobody knows how far it got).
 */
#ifndef MEERKAT_CLUSTER_H
#define MEERKAT_CLUSTER_H

#include <meerkat/base.h>
#include <meerkat/module.h>
#include <meerkat/worker.h>

MK_BEGIN

struct mk_cluster_channel;
struct mk_cluster_call;

enum mk_cluster_result {
    MK_CLUSTER_ANSWERED,
    MK_CLUSTER_LOST,        /* the node is gone, or has no such channel */
    MK_CLUSTER_FULL,        /* not sent: too much waits for that node */
};

/* A request of another node, on any worker. `data` is valid during the call; `call` is owned and
 * must be answered once, at once or later. */
typedef void (*mk_cluster_fn)(struct mk_cluster_call *call, uint32_t node, struct mk_str data,
                              void *arg);
/* The end of a request, on the worker that asked. */
typedef void (*mk_cluster_done_fn)(enum mk_cluster_result result, struct mk_str answer, void *arg);

struct mk_cluster_node {
    const char *name;
    const char *state;          /* "self", "joined", "connected", "suspected", "gone" */
    uint32_t number;
    uint64_t records;
};

/* How the reload of a node went: `error` NULL: well. */
struct mk_cluster_reload {
    const char *name;
    uint32_t number;
    const char *error;
};
/* All nodes, this one first; valid during the call. */
typedef void (*mk_cluster_reloaded_fn)(const struct mk_cluster_reload *nodes, size_t count, void *arg);

#define MK_CLUSTER_ABI 1
#define MK_CLUSTER_DATA_MAX (2u << 20)

struct mk_cluster {
    uint32_t size;
    void *self;
    /* Requests of this name come to fn until the module goes. In init. Borrowed. */
    struct mk_cluster_channel *(*channel)(void *self, struct mk_module *m, const char *name,
                                          mk_cluster_fn fn, void *arg, struct mk_error *err);
    /* Sends `data` (copied) to the node of this number. `done` may be NULL; it is called once, never before this
     * returns. Requests of one worker to one node keep their order. Worker. */
    void (*send)(struct mk_cluster_channel *channel, uint32_t node, struct mk_str data,
                 mk_cluster_done_fn done, void *arg);
    /* The same to every other node. `done` (may be NULL) is called once, when the last of them has answered or is gone;
     * its answer is empty. */
    void (*send_all)(struct mk_cluster_channel *channel, struct mk_str data, mk_cluster_done_fn done,
                     void *arg);
    /* Ends a request; `call` is taken. Any thread. */
    void (*answer)(struct mk_cluster_call *call, struct mk_str data);
    /* All nodes that are known, this one first; false from fn ends it. Any thread. */
    void (*each)(void *self, bool (*fn)(const struct mk_cluster_node *node, void *arg), void *arg);
    /* In sync with all nodes that can be reached. Any thread. */
    bool (*ready)(void *self);
    /* As `send`; came(arg) is called once before `done`, on the same worker, when the node has the request: from then two
     * nodes hold what is in it. Not called when the request is lost before. */
    void (*send_told)(struct mk_cluster_channel *channel, uint32_t node, struct mk_str data, mk_task_fn came,
                      mk_cluster_done_fn done, void *arg);
    /*
     * fn(node, gone, arg) when all that was under way between this node and that one is void: it is gone, or (gone = false)
     * it had taken this one for gone and has forgotten what it had of it. Until the module goes. fn runs on any worker,
     * under locks, and must only post. In init.
     */
    void (*on_void)(struct mk_cluster_channel *channel, void (*fn)(uint32_t node, bool gone, void *arg));
    /* Every node that is not gone reads its configuration anew (admin.h: mk_admin_reload). fn is called once, on this worker,
     * later, when all have answered or are gone. Module `m` is busy until then. Worker. */
    void (*reload)(void *self, struct mk_module *m, mk_cluster_reloaded_fn fn, void *arg);
};

/* The service, in init; NULL on a server of one node. */
static inline const struct mk_cluster *
mk_cluster_get(struct mk_module *m)
{
    return (const struct mk_cluster *)mk_service_nth(m, "cluster", MK_CLUSTER_ABI, 0);
}

MK_END
#endif
