/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Stream management (XEP-0198): acknowledgements in both directions, and resumption. */
#include "internal.h"

#include <unistd.h>

static const char *const acknowledge_choices[] = {"routed", "safe", NULL};

#define C struct sm_conf
static const struct mk_option options[] = {
    MK_OPTION_PERIOD(C, resume_timeout, "10m", "0", "1d", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                     "how long a session without a connection waits; 0: no resumption"),
    MK_OPTION_INT(C, max_stanzas, "1000", "10", "1000000", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                  "stanzas that a client may leave unacknowledged before its session ends"),
    MK_OPTION_SIZE(C, max_bytes, "1M", "10000", "1G", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                   "bytes that a client may leave unacknowledged before its session ends"),
    MK_OPTION_INT(C, ack_every, "20", "1", "10000", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                  "unacknowledged stanzas after which the client is asked"),
    MK_OPTION_PERIOD(C, ack_delay, "2s", "100ms", "1m", MK_OPT_RELOADABLE,
                     "how long fewer stanzas wait until the client is asked"),
    MK_OPTION_PERIOD(C, ack_timeout, "1m", "0", "1h", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                     "a client that was asked and is silent so long has lost its connection; 0: never"),
    MK_OPTION_INT(C, max_unsettled, "100", "1", "100000", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                  "stanzas taken from a client while an earlier one still waits for storage"),
    MK_OPTION_INT(C, remember, "1000", "0", "1000000", 0,
                  "ended sessions a worker remembers, to tell late clients what had arrived"),
    MK_OPTION_STRING(C, location, "", MK_OPT_RELOADABLE,
                     "HOST:PORT where clients should resume; empty: where they like"),
    MK_OPTION_PERIOD(C, drain_timeout, "8s", "0", "10m", MK_OPT_RELOADABLE,
                     "how long a node that stops hands its sessions to other nodes; keep it below stop_timeout"),
    MK_OPTION_ENUM(C, acknowledge, "routed", acknowledge_choices, MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                   "when a client's message is acknowledged to it: routed, or safe (a second node, the storage or the "
                   "receiver's client has it)"),
    MK_OPTION_PERIOD(C, safe_timeout, "30s", "0", "1h", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                     "a message that is not safe after this time is acknowledged all the same; 0: never"),
    MK_OPTION_END};
#undef C

/* -- features -------------------------------------------------------------------------------- */

static void
on_features(struct mk_ev_stream_features *ev, void *arg)
{
    (void)arg;
    if (ev->flags & MK_STREAM_AUTHENTICATED)
        mk_xml_leaf(ev->features, "sm", NS_SM, MK_STR(""));
}

static void
on_sasl2_features(struct mk_ev_sasl2_features *ev, void *arg)
{
    (void)arg;
    mk_xml_leaf(ev->inside, "sm", NS_SM, MK_STR(""));
}

static void
on_bind2_features(struct mk_ev_sasl2_features *ev, void *arg)
{
    (void)arg;
    mk_xml_open(ev->inside, "feature", NULL);
    mk_xml_attr(ev->inside, "var", NS_SM);
    mk_xml_close(ev->inside);
}

/* -- elements -------------------------------------------------------------------------------- */

static void
refuse(struct sm_module *m, struct mk_session *s)
{
    struct mk_xml *x = mk_xml_new(NULL);

    sm_failed(x, MK_ERR_UNEXPECTED_REQUEST, NULL);
    m->c2s->send(s, x);
}

static void
on_enable(struct sm_module *m, struct mk_session *s, struct mk_stanza *st)
{
    struct mk_xml *x = mk_xml_new(NULL);

    sm_enable(m, s, mk_stanza_node(st), x);
    m->c2s->send(s, x);
}

static enum mk_verdict
on_element(struct mk_ev_stream_element *ev, void *arg)
{
    struct sm_module *m = arg;
    const char *name = mk_stanza_name(ev->stanza);
    struct sm *sm;

    if (strcmp(mk_stanza_ns(ev->stanza), NS_SM) != 0 || !(ev->flags & MK_STREAM_AUTHENTICATED))
        return MK_CONTINUE;
    sm = sm_of(m, ev->session);
    if (sm && strcmp(name, "a") == 0)
        sm_on_a(sm, ev->stanza);
    else if (sm && strcmp(name, "r") == 0)
        sm_answer(sm);
    else if (strcmp(name, "enable") == 0)
        on_enable(m, ev->session, ev->stanza);
    else if (strcmp(name, "resume") == 0 && !(ev->flags & MK_STREAM_BOUND))
        sm_resume_start(m, ev->session, mk_stanza_node(ev->stanza), NULL);
    else
        refuse(m, ev->session);
    return MK_HANDLED;
}

/* -- in one round trip with the log-in ------------------------------------------------------- */

static enum mk_verdict
on_sasl2_resume(struct mk_ev_sasl2_resume *ev, void *arg)
{
    const struct mk_node *resume = mk_node_child(ev->authenticate, "resume", NS_SM);

    if (!resume)
        return MK_CONTINUE;
    sm_resume_start(arg, ev->session, resume, ev->login);
    return MK_HANDLED;
}

static void
on_bind2_bound(struct mk_ev_sasl2_done *ev, void *arg)
{
    const struct mk_node *enable = mk_node_child(ev->request, "enable", NS_SM);

    if (enable)
        sm_enable(arg, ev->session, enable, ev->inside);
}

/* -- life cycle ------------------------------------------------------------------------------ */

static void
make_metrics(struct sm_module *m)
{
    struct mk_module *module = m->module;

    m->metrics.enabled = mk_gauge_new(module, "sm_sessions", NULL,
                                      "Sessions with stream management");
    m->metrics.detached = mk_gauge_new(module, "sm_detached_sessions", NULL,
                                       "Sessions that wait for their client to resume");
    m->metrics.resumed = mk_counter_new(module, "sm_resumed_total", NULL,
                                        "Sessions that were resumed");
    m->metrics.refused = mk_counter_new(module, "sm_resume_refused_total", NULL,
                                        "Attempts to resume that were refused");
    m->metrics.expired = mk_counter_new(module, "sm_expired_total", NULL,
                                        "Sessions that nobody resumed in time");
    m->metrics.full = mk_counter_new(module, "sm_overflows_total", NULL,
                                     "Sessions ended because too much was not acknowledged");
    m->metrics.rerouted = mk_counter_new(module, "sm_rerouted_stanzas_total", NULL,
                                         "Unacknowledged stanzas of ended sessions");
    m->metrics.left = mk_counter_new(module, "sm_sessions_left_total", NULL,
                                     "Sessions that went to another node");
    m->metrics.arrived = mk_counter_new(module, "sm_sessions_arrived_total", NULL,
                                        "Sessions that came from another node");
    m->metrics.stayed = mk_counter_new(module, "sm_sessions_stayed_total", NULL,
                                       "Attempts to hand a session to another node that failed");
    m->metrics.unsafe = mk_counter_new(module, "sm_unsafe_acknowledgements_total", NULL,
                                       "Messages that were acknowledged though nobody else had them in time");
    m->metrics.dead = mk_counter_new(module, "sm_ack_timeouts_total", NULL,
                                     "Connections dropped because the client did not acknowledge");
    for (size_t i = 0; i < mk_worker_count(); i++)
        m->lanes[i].rings.bytes = mk_gauge_new(module, "sm_waiting_bytes", NULL,
                                               "Stanzas that clients have not acknowledged");
}

static int
register_handlers(struct sm_module *m)
{
    struct mk_module *module = m->module;

    if (mk_on(module, stream_features, MK_PRIO_NORMAL, on_features, m) < 0 ||
        mk_on(module, stream_element, MK_PRIO_NORMAL, on_element, m) < 0)
        return -1;
    if (m->sasl && (mk_on(module, sasl2_features, MK_PRIO_NORMAL, on_sasl2_features, m) < 0 ||
                    mk_on(module, bind2_features, MK_PRIO_NORMAL, on_bind2_features, m) < 0 ||
                    mk_on(module, sasl2_resume, MK_PRIO_NORMAL, on_sasl2_resume, m) < 0 ||
                    mk_on(module, bind2_bound, MK_PRIO_FIRST, on_bind2_bound, m) < 0))
        return -1;
    return 0;
}

static int
init(struct mk_module *module, struct mk_error *err)
{
    const struct sm_conf *conf = mk_module_conf(module, NULL);
    struct sm_module *m = mk_zalloc(sizeof(*m));

    mk_module_set(module, m);
    m->module = module;
    m->remember = (size_t)conf->remember;
    m->lanes = mk_zalloc(mk_worker_count() * sizeof(*m->lanes));
    for (size_t i = 0; i < mk_worker_count(); i++) {
        m->lanes[i].module = m;
        m->lanes[i].ended = mk_zalloc((m->remember + 1) * sizeof(*m->lanes[i].ended));
    }
    m->c2s = mk_service_get(module, "c2s", MK_C2S_ABI, err);
    m->sessions = mk_service_get(module, "sessions", MK_SESSIONS_ABI, err);
    if (!m->c2s || !m->sessions)
        return -1;
    m->sasl = mk_service_get(module, "sasl", MK_SASL_ABI, NULL);
    make_metrics(m);
    if (mk_slot_register(module, MK_SLOT_SESSION, sm_free, &m->slot) < 0 || sm_ack_init(m) < 0 ||
        sm_session_init(m) < 0 || register_handlers(m) < 0)
        return mk_fail(err, "cannot register the handlers of stream management");
    m->leaves = mk_define_session_leaves(module, NULL, NULL);
    m->arrives = mk_define_session_arrives(module, NULL, NULL);
    if (sm_handover_init(m, err) < 0)
        return -1;
    if (sm_drain_init(m, err) < 0)
        return -1;
    return sm_api(m, err);
}

/*
 * Without us nobody looks after what is not acknowledged: such sessions go to another node, and those that
 * cannot end now, while others can still take what they have.
 */
static void
stop(struct mk_module *module)
{
    struct sm_module *m = mk_module_get(module);

    if (m->cluster)
        sm_drain(m);
    __atomic_store_n(&m->ending, (int)mk_worker_count(), __ATOMIC_RELEASE);
    for (size_t i = 0; i < mk_worker_count(); i++)
        mk_post(module, mk_worker_nth(i), sm_end_all, m);
    for (int ms = 0; ms < 5000 && __atomic_load_n(&m->ending, __ATOMIC_ACQUIRE) > 0; ms++)
        usleep(1000);
}

static void
unload(struct mk_module *module)
{
    struct sm_module *m = mk_module_get(module);

    if (!m)
        return;
    for (size_t i = 0; i < mk_worker_count(); i++) {
        sm_rings_release(&m->lanes[i].rings);
        mk_free(m->lanes[i].ended);
        mk_free(m->lanes[i].drain);
    }
    mk_free(m->lanes);
    mk_free(m);
}

MK_MODULE(.name = "sm", .version = "1.0",
          .summary = "XEP-0198: stream management, resumption of sessions",
          .depends = (const char *const[]){"c2s", NULL},
          .after = (const char *const[]){"sasl", "presence", "roster", "offline", "mam", "health", "graphql", NULL},
          .options = options, .conf_size = sizeof(struct sm_conf), .init = init, .stop = stop,
          .unload = unload);
