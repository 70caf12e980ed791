/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The subscription states of RFC 6121 Appendix A as pure functions: what a stanza does to an item of the
 * roster, and what must be sent.
 */
#ifndef PRESENCE_MACHINE_H
#define PRESENCE_MACHINE_H

#include <meerkat/roster.h>
#include <meerkat/stanza.h>

/* The bits of MK_ROSTER_ASK, MK_ROSTER_PENDING_IN, MK_ROSTER_APPROVED; others are left alone. */
struct sub_state {
    unsigned subscription;
    unsigned flags;
};

enum sub_action {
    SUB_CHANGED = 1u << 0,          /* the item is not what it was: store it */
    SUB_PASS = 1u << 1,             /* outbound: route it; inbound: deliver it to the clients */
    SUB_SEND_AVAILABLE = 1u << 2,   /* the contact may see us from now on: send current presence */
    SUB_SEND_UNAVAILABLE = 1u << 3, /* not any more: send unavailable */
    SUB_REPLY_SUBSCRIBED = 1u << 4, /* inbound: answer at once */
};

/* A stanza of the account's own client to the contact (Appendix A.2). `type` is one of the four. */
unsigned sub_outbound(struct sub_state *s, enum mk_stanza_type type);
/* A stanza of the contact to the account (Appendix A.3). */
unsigned sub_inbound(struct sub_state *s, enum mk_stanza_type type);

#endif
