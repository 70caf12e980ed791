/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* What goes along with a session to another node: its last presence, and who got directed presence. */
#include "internal.h"

#include <stdlib.h>

#define NS_STATE "urn:meerkat:presence:0"

static void
on_leaves(struct mk_ev_session_leaves *ev, void *arg)
{
    struct own *own = own_of(arg, ev->session);
    struct mk_buf text = {0};

    if (!own)
        return;
    mk_xml_open(ev->state, "presence", NS_STATE);
    mk_xml_attr_int(ev->state, "priority", own->priority);
    if (own->last) {
        mk_stanza_write(own->last, &text);
        mk_xml_leaf(ev->state, "last", NULL, mk_buf_str(&text));
        mk_buf_release(&text);
    }
    for (uint32_t i = 0; i < own->directed_count; i++)
        mk_xml_leaf(ev->state, "to", NULL, mk_jid_text(own->directed[i]));
    mk_xml_close(ev->state);
}

static void
on_arrives(struct mk_ev_session_arrives *ev, void *arg)
{
    struct presence *p = arg;
    const struct mk_node *state = mk_node_child(ev->state, "presence", NS_STATE), *last, *to;
    const char *priority = state ? mk_node_attr(state, "priority") : NULL;
    struct own *own;

    if (!state)
        return;
    own = mk_zalloc(sizeof(*own));
    own->priority = priority ? (int8_t)atoi(priority) : 0;
    last = mk_node_child(state, "last", NS_STATE);
    if (last)
        own->last = mk_stanza_parse(mk_node_text(last));
    for (to = mk_node_child(state, "to", NS_STATE); to; to = mk_node_next(to, "to", NS_STATE)) {
        struct mk_jid *jid = mk_jid_parse(mk_node_text(to));

        if (jid)
            directed_remember(own, jid);
        mk_jid_unref(&jid);
    }
    mk_session_slot_set(ev->session, p->slot, own);
}

int
travel_register(struct presence *p)
{
    if (mk_on(p->module, session_leaves, MK_PRIO_NORMAL, on_leaves, p) < 0)
        return -1;
    return mk_on(p->module, session_arrives, MK_PRIO_NORMAL, on_arrives, p);
}
