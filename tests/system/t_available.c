/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * For tests: as much of presence as makes a resource available, with its priority, and tells
 * nobody.
 */
#include <stdlib.h>

#include <meerkat/c2s.h>
#include <meerkat/meerkat.h>
#include <meerkat/router.h>

static enum mk_verdict
on_presence(struct mk_ev_user *ev, void *arg)
{
    const struct mk_sessions *sessions = arg;
    const struct mk_node *n = mk_stanza_child(ev->stanza, "priority", MK_NS_CLIENT);
    char *text = n ? mk_str_dup(mk_node_text(n)) : NULL;

    if (mk_stanza_to(ev->stanza)) {
        mk_free(text);
        return MK_CONTINUE;
    }
    sessions->update(sessions->self, ev->session, (int8_t)(text ? atoi(text) : 0),
                     MK_RESOURCE_AVAILABLE, 0);
    mk_free(text);
    return MK_HANDLED;
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    const struct mk_sessions *sessions = mk_service_get(m, "sessions", MK_SESSIONS_ABI, err);

    if (!sessions)
        return -1;
    return mk_on(m, user_send_presence, MK_PRIO_NORMAL, on_presence, (void *)sessions);
}

MK_MODULE(.name = "t_available", .version = "1.0", .summary = "presence for tests",
          .depends = (const char *const[]){"c2s", NULL}, .init = init);
