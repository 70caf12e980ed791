/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Presence and subscriptions (RFC 6121 §3, §4). */
#include "internal.h"

static const struct mk_option options[] = {
    MK_OPTION_INT(struct presence_conf, max_directed, "1000", "1", "100000", MK_OPT_RELOADABLE,
                  "addressees of directed presence that one session may have"),
    MK_OPTION_END};

static enum mk_verdict
on_send(struct mk_ev_user *ev, void *arg)
{
    enum mk_stanza_type type = mk_stanza_type(ev->stanza);

    if (!mk_stanza_to(ev->stanza))
        return broadcast_on_send(arg, ev);
    if (is_subscription(type))
        return subscription_on_send(arg, ev);
    return directed_on_send(arg, ev);
}

static enum mk_verdict
on_account(struct mk_ev_route *ev, void *arg)
{
    enum mk_stanza_type type;

    if (mk_stanza_kind(ev->stanza) != MK_PRESENCE)
        return MK_CONTINUE;
    type = mk_stanza_type(ev->stanza);
    if (is_subscription(type))
        return subscription_on_account(arg, ev);
    return type == MK_TYPE_PROBE ? probe_on_account(arg, ev) : MK_CONTINUE;
}

static struct mk_stanza *
svc_last(void *self, const struct mk_session *s)
{
    struct own *own = own_of(self, s);

    return own ? own->last : NULL;
}

static int
register_handlers(struct presence *p)
{
    struct mk_module *m = p->module;

    if (mk_slot_register(m, MK_SLOT_SESSION, own_free, &p->slot) < 0 ||
        mk_on(m, user_send_presence, MK_PRIO_NORMAL, on_send, p) < 0 ||
        mk_on(m, user_receive_presence, MK_PRIO_FIRST, probe_on_receive, p) < 0 ||
        mk_on(m, account_in, MK_PRIO_NORMAL, on_account, p) < 0 ||
        mk_on(m, session_unbound, MK_PRIO_NORMAL, broadcast_on_unbound, p) < 0 ||
        mk_on(m, resource_lost, MK_PRIO_NORMAL, broadcast_on_lost, p) < 0)
        return -1;
    if (travel_register(p) < 0 || broadcast_init(p) < 0)
        return -1;
    return p->roster ? mk_on(m, roster_changed, MK_PRIO_NORMAL, subscription_on_roster, p) : 0;
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct presence *p = mk_zalloc(sizeof(*p));

    mk_module_set(m, p);
    p->module = m;
    p->sessions = mk_service_get(m, "sessions", MK_SESSIONS_ABI, err);
    if (!p->sessions)
        return -1;
    p->roster = mk_service_nth(m, "roster", MK_ROSTER_ABI, 0);
    p->hooks.available = mk_define_presence_available(m, NULL, NULL);
    p->hooks.unavailable = mk_define_presence_unavailable(m, NULL, NULL);
    p->directed_refused = mk_counter_new(m, "presence_directed_refused_total", NULL,
                                         "Directed presence refused because of max_directed");
    p->subscriptions = mk_counter_new(m, "presence_subscriptions_total", NULL,
                                      "Stanzas of subscription that were dealt with");
    p->lost = mk_zalloc(mk_worker_count() * sizeof(*p->lost));
    if (register_handlers(p) < 0)
        return mk_fail(err, "cannot register the handlers of presence");
    p->service = (struct mk_presence){.size = sizeof(p->service), .self = p, .last = svc_last};
    return mk_service_provide(m, "presence", MK_PRESENCE_ABI, &p->service, err);
}

/* All backends are there now. */
static int
start(struct mk_module *m, struct mk_error *err)
{
    struct presence *p = mk_module_get(m);
    const struct mk_auth *auth;

    (void)err;
    while (p->auth_count < AUTH_MAX && (auth = mk_service_nth(m, "auth", MK_AUTH_ABI, p->auth_count)))
        p->auth[p->auth_count++] = auth;
    return 0;
}

static void
unload(struct mk_module *m)
{
    struct presence *p = mk_module_get(m);

    broadcast_release(p);
    mk_free(p);
}

MK_MODULE(.name = "presence", .version = "1.0",
          .summary = "RFC 6121 §3, §4: presence, probes, and the states of subscriptions",
          .depends = (const char *const[]){"sessions", "c2s", NULL},
          .after = (const char *const[]){"roster", NULL},
          .provides = (const char *const[]){"presence", NULL}, .options = options,
          .conf_size = sizeof(struct presence_conf), .init = init, .start = start, .unload = unload);
