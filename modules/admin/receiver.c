/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Sessions that this module makes (service "c2s", adopt): client sessions like all others, only that nobody is connected. What
 * their client would get is taken at the last hook before the wire.
 */
#include "config.h"

#include "internal.h"

static enum mk_verdict
on_session_out(struct mk_ev_session_stanza *ev, void *arg)
{
    struct admin *a = arg;
    struct receiver *r = mk_session_slot(ev->session, a->slot);

    if (MK_LIKELY(!r))
        return MK_CONTINUE;
    r->deliver(r, ev->stanza);
    return MK_HANDLED;
}

static void
session_gone(void *data)
{
    struct receiver *r = data;

    r->gone(r);
}

int
receiver_init(struct admin *a)
{
    if (mk_slot_register(a->module, MK_SLOT_SESSION, session_gone, &a->slot) < 0)
        return -1;
    if (mk_on(a->module, session_settled, MK_PRIO_LATE, send_on_settled, a) < 0)
        return -1;
    return mk_on(a->module, session_out, MK_PRIO_FIRST, on_session_out, a);
}
