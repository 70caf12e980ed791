/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Service "cets": what a node knows of its cluster and of the replicated tables, for administrators. Whoever needs the tables
 * or the other nodes uses "tables" and "cluster".
 */
#ifndef MEERKAT_CETS_H
#define MEERKAT_CETS_H

#include <meerkat/base.h>
#include <meerkat/module.h>

MK_BEGIN

struct mk_cets_node {
    uint32_t size;
    const char *name;
    uint32_t number;
    /* "self", "joined", "connected" (not in sync yet), "suspected" (its link is lost), "gone", "unreachable" (it is only known
     * from the discovery) */
    const char *state;
    const char *address;                /* "" when the discovery does not know it */
    const char *version;                /* of its server; "" before it was ever linked */
    bool discovered;                    /* the discovery's list has it */
    uint64_t records;                   /* of its own, here */
    uint64_t lag;                       /* operations of this node that it has not confirmed */
    const char *tables;                 /* "name/version,name/version" as it shows them; "" before it was ever linked */
};

struct mk_cets_overview {
    uint32_t size;
    const struct mk_cets_node *nodes;   /* this one first */
    size_t count;
    const char *trouble;                /* the last look at the discovery; NULL: it went well */
};
/* `overview` is valid during the call. */
typedef void (*mk_cets_overview_fn)(const struct mk_cets_overview *overview, void *arg);

struct mk_cets_table {
    uint32_t size;
    const char *name;
    unsigned version;
    uint64_t records;                   /* of all nodes */
    uint64_t bytes;                     /* of memory for them */
};

#define MK_CETS_ABI 1
struct mk_cets {
    uint32_t size;
    void *self;
    /* fn is called once, on this worker, later. Module `m` is busy until then. Worker. */
    void (*overview)(void *self, struct mk_module *m, mk_cets_overview_fn fn, void *arg);
    /* fn is called once for each, in this call; it calls nothing of this service. Any thread. */
    void (*each_table)(void *self, void (*fn)(const struct mk_cets_table *table, void *arg), void *arg);
};

MK_END
#endif
