/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
#include "machine.h"

static unsigned
changed(const struct sub_state *now, struct sub_state before)
{
    return now->subscription != before.subscription || now->flags != before.flags ? SUB_CHANGED : 0;
}

/* A.2.1: we ask to see the contact. */
static void
out_subscribe(struct sub_state *s)
{
    if (!(s->subscription & MK_SUB_TO))
        s->flags |= MK_ROSTER_ASK;
}

/* A.2.2 */
static void
out_unsubscribe(struct sub_state *s)
{
    s->subscription &= ~(unsigned)MK_SUB_TO;
    s->flags &= ~(unsigned)MK_ROSTER_ASK;
}

/* A.2.3: an answer to a request, else an approval in advance (§3.4.2). */
static unsigned
out_subscribed(struct sub_state *s)
{
    if (s->flags & MK_ROSTER_PENDING_IN) {
        s->flags &= ~(unsigned)MK_ROSTER_PENDING_IN;
        s->subscription |= MK_SUB_FROM;
        return SUB_PASS | SUB_SEND_AVAILABLE;
    }
    if (!(s->subscription & MK_SUB_FROM))
        s->flags |= MK_ROSTER_APPROVED;
    return 0;
}

/* A.2.4: a request is refused, a subscription or an approval in advance taken back. */
static unsigned
out_unsubscribed(struct sub_state *s)
{
    bool had = s->subscription & MK_SUB_FROM, asked = s->flags & MK_ROSTER_PENDING_IN;

    s->subscription &= ~(unsigned)MK_SUB_FROM;
    s->flags &= ~(unsigned)(MK_ROSTER_PENDING_IN | MK_ROSTER_APPROVED);
    return (had || asked ? SUB_PASS : 0) | (had ? SUB_SEND_UNAVAILABLE : 0);
}

unsigned
sub_outbound(struct sub_state *s, enum mk_stanza_type type)
{
    struct sub_state before = *s;
    unsigned actions = SUB_PASS;

    switch (type) {
    case MK_TYPE_SUBSCRIBE:
        out_subscribe(s);
        break;
    case MK_TYPE_UNSUBSCRIBE:
        out_unsubscribe(s);
        break;
    case MK_TYPE_SUBSCRIBED:
        actions = out_subscribed(s);
        break;
    case MK_TYPE_UNSUBSCRIBED:
        actions = out_unsubscribed(s);
        break;
    default:
        return 0;
    }
    return actions | changed(s, before);
}

/* A.3.1: the contact asks to see us. */
static unsigned
in_subscribe(struct sub_state *s)
{
    if (s->subscription & MK_SUB_FROM)
        return SUB_REPLY_SUBSCRIBED;
    if (s->flags & MK_ROSTER_APPROVED) {
        s->flags &= ~(unsigned)(MK_ROSTER_APPROVED | MK_ROSTER_PENDING_IN);
        s->subscription |= MK_SUB_FROM;
        return SUB_REPLY_SUBSCRIBED | SUB_SEND_AVAILABLE;
    }
    if (s->flags & MK_ROSTER_PENDING_IN)
        return 0;
    s->flags |= MK_ROSTER_PENDING_IN;
    return SUB_PASS;
}

/* A.3.2 */
static unsigned
in_unsubscribe(struct sub_state *s)
{
    bool had = s->subscription & MK_SUB_FROM, asked = s->flags & MK_ROSTER_PENDING_IN;

    s->subscription &= ~(unsigned)MK_SUB_FROM;
    s->flags &= ~(unsigned)MK_ROSTER_PENDING_IN;
    return (had || asked ? SUB_PASS : 0) | (had ? SUB_SEND_UNAVAILABLE : 0);
}

/* A.3.3: only an answer to what we asked counts. */
static unsigned
in_subscribed(struct sub_state *s)
{
    if (!(s->flags & MK_ROSTER_ASK))
        return 0;
    s->flags &= ~(unsigned)MK_ROSTER_ASK;
    s->subscription |= MK_SUB_TO;
    return SUB_PASS;
}

/* A.3.4 */
static unsigned
in_unsubscribed(struct sub_state *s)
{
    if (!(s->flags & MK_ROSTER_ASK) && !(s->subscription & MK_SUB_TO))
        return 0;
    out_unsubscribe(s);
    return SUB_PASS;
}

unsigned
sub_inbound(struct sub_state *s, enum mk_stanza_type type)
{
    struct sub_state before = *s;
    unsigned actions;

    switch (type) {
    case MK_TYPE_SUBSCRIBE:
        actions = in_subscribe(s);
        break;
    case MK_TYPE_UNSUBSCRIBE:
        actions = in_unsubscribe(s);
        break;
    case MK_TYPE_SUBSCRIBED:
        actions = in_subscribed(s);
        break;
    case MK_TYPE_UNSUBSCRIBED:
        actions = in_unsubscribed(s);
        break;
    default:
        return 0;
    }
    return actions | changed(s, before);
}
