/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * What module `presence` tells of the presence of this server's users (RFC 6121 §4). Both hooks fire on the
 * session's worker and cannot be held.
 */
#ifndef MEERKAT_PRESENCE_H
#define MEERKAT_PRESENCE_H

#include <meerkat/hook.h>
#include <meerkat/session.h>
#include <meerkat/stanza.h>

MK_BEGIN

struct mk_ev_presence {
    struct mk_hook_head head;
    struct mk_session *session;
    struct mk_stanza *stanza;       /* as the client sent it; of an end without a word one made for it */
    bool initial;                   /* available: the session was not available before (§4.2) */
    int8_t priority;                /* available: the one in force now */
    int8_t old_priority;            /* available, not initial: the one before */
};

/* A session is available now, or said so again; the router knows it with its priority already. This is
 * when stored messages are delivered. */
MK_NOTICE(presence_available, struct mk_ev_presence)
/* A session is not available any more: it said so, or it ended. Fired once for each initial presence. */
MK_NOTICE(presence_unavailable, struct mk_ev_presence)

#define MK_PRESENCE_ABI 1
/* Service "presence". */
struct mk_presence {
    uint32_t size;
    void *self;
    /* The presence a session of this worker sent last; NULL when it is not available. Borrowed. */
    struct mk_stanza *(*last)(void *self, const struct mk_session *s);
};

MK_END
#endif
