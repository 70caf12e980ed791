/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Service "discovery": which nodes a cluster has. A backend makes this node known, gives it a number that no
 * living member has, and tells the list of all members again and again. It says nothing about who can be
 * reached: that the module with the links finds out, and reports.
 */
#ifndef MEERKAT_DISCOVERY_H
#define MEERKAT_DISCOVERY_H

#include <meerkat/base.h>
#include <meerkat/module.h>

MK_BEGIN

#define MK_NODE_NAME_MAX 250            /* bytes, without the NUL */
#define MK_NODE_NUMBER_MAX 65535u

struct mk_discovered {
    const char *name;
    const char *address;    /* "192.0.2.7:5290" or "[2001:db8::7]:5290": where its links listen */
    uint32_t number;        /* 1 … MK_NODE_NUMBER_MAX */
};

/*
 * The members known now, this node among them, ordered by number; `own` is this node's number, 0 while it has none (the database
 * was never reached). Called on the worker that called `join`, after every look, whether something changed or not.
 * A look that failed is not told: the old list stays in force. The list is valid during the call.
 */
typedef void (*mk_discovery_fn)(const struct mk_discovered *nodes, size_t count, uint32_t own,
                                void *arg);

struct mk_discovery_self {
    const char *cluster;    /* clusters of other names in the same place are not seen */
    const char *name;       /* of this node; whoever else has it is replaced by this one */
    const char *host;       /* to be reached at; NULL: the address that faces the database or the other nodes */
    unsigned port;
};

#define MK_DISCOVERY_ABI 1
struct mk_discovery {
    uint32_t size;
    void *self;
    /* Begins; fn is called until `leave`, or until the module that called goes. The strings are copied. Worker. */
    void (*join)(void *self, struct mk_module *m, const struct mk_discovery_self *node,
                 mk_discovery_fn fn, void *arg);
    /* Takes this node out of the list and ends the calls; done(arg) runs on this worker when that is stored, or could not be
     * within a second or two. On the worker that called `join`. */
    void (*leave)(void *self, void (*done)(void *arg), void *arg);
    /* The last look at the list, for status pages: NULL when it went well, else why not. Any thread; the text is
     * valid until the callback of the core returns. */
    const char *(*trouble)(void *self);
};

MK_END
#endif
