/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Sessions that go from one node of a cluster to another (XEP-0198 §5: resumption anywhere; a node that stops). Module
 * `sm` carries what the client has not acknowledged, the counters and the resource's flags and priority; what else
 * a module keeps at a session it writes and reads in these hooks. They fire on the session's worker and cannot be held.
 */
#ifndef MEERKAT_SM_H
#define MEERKAT_SM_H

#include <meerkat/hook.h>
#include <meerkat/session.h>
#include <meerkat/xml.h>

MK_BEGIN

struct mk_ev_session_leaves {
    struct mk_hook_head head;
    struct mk_session *session;
    struct mk_xml *state;           /* add one element in a namespace of your own */
};
/* All input is dealt with and there is no connection: the last moment to send something to the session as well. */
MK_NOTICE(session_leaves, struct mk_ev_session_leaves)

struct mk_ev_session_arrives {
    struct mk_hook_head head;
    struct mk_session *session;
    const struct mk_node *state;    /* what the modules of the other node wrote, whose version may be another */
    unsigned flags;                 /* enum mk_resource_flags */
};
/* Told before anybody can send to the session. */
MK_NOTICE(session_arrives, struct mk_ev_session_arrives)

/* How draining ended: what went to other nodes, and what was ended because it could not. */
struct mk_drained {
    uint32_t size;
    bool begun;                     /* false: there is no other node, nothing was done */
    uint64_t moved, ended;
};

#define MK_SM_ABI 1
/* Service "sm". */
struct mk_sm {
    uint32_t size;
    void *self;
    /*
     * Empties this node, for maintenance: it takes no new clients from now on and is not ready any more; sessions that can
     * resume go to other nodes; within option drain_timeout, then those that are left end, as when the server stops. Only a
     * restart makes it serve again. fn runs once, on this worker. Worker.
     */
    void (*drain)(void *self, void (*fn)(const struct mk_drained *drained, void *arg), void *arg);
};

MK_END
#endif
