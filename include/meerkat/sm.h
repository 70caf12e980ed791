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

MK_END
#endif
