/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Pings (XEP-0199) in both directions. Each worker looks at its sessions now and then; a client that has been
 * silent for `interval` is asked, and its connection is dropped when it says nothing for `timeout`.
 */
#include <meerkat/c2s.h>
#include <meerkat/meerkat.h>

#define NS_PING "urn:xmpp:ping"

struct ping_conf {
    uint64_t interval;
    uint64_t timeout;
};

struct ping {
    struct mk_module *module;
    const struct mk_c2s *c2s;
    unsigned slot;              /* of a session: set while an answer is due */
    struct mk_counter sent, dead;
    struct mk_histogram seconds;
};

static const struct mk_option options[] = {
    MK_OPTION_PERIOD(struct ping_conf, interval, "60s", "0", "1d", MK_OPT_RELOADABLE,
                     "a client that has been silent so long is asked whether it is there; 0: never"),
    MK_OPTION_PERIOD(struct ping_conf, timeout, "30s", "100ms", "1h", MK_OPT_RELOADABLE,
                     "a client that has not answered by then is taken for dead"),
    MK_OPTION_END};

/* -- asked ----------------------------------------------------------------------------------- */

static enum mk_verdict
on_ping(struct mk_iq *iq, void *arg)
{
    (void)arg;
    mk_iq_reply_result(iq, NULL);
    return MK_HANDLED;
}

/* -- asking ---------------------------------------------------------------------------------- */

struct asked {
    struct ping *ping;
    mk_session_id session;
    uint64_t at;
    int64_t at_us;
};

static void
on_answer(struct mk_stanza *answer, void *arg)
{
    struct asked *a = arg;
    struct ping *p = a->ping;
    struct mk_session *s = mk_session_find(a->session);
    int64_t passed = mk_time_us() - a->at_us;

    if (answer && passed >= 0)
        mk_histogram_add(p->seconds, (uint64_t)passed);
    if (s) {
        mk_session_slot_set(s, p->slot, NULL);
        /* Anything it says is a sign of life, an error as well. */
        if (!answer && p->c2s->last_input(s) < a->at && !(p->c2s->flags(s) & MK_STREAM_DETACHED)) {
            mk_counter_add(p->dead, 1);
            mk_log(s, MK_LOG_INFO, "ping.dead", "no answer to a ping");
            p->c2s->drop(s, "no answer to a ping");
        }
    }
    mk_free(a);
}

static void
ask(struct ping *p, struct mk_session *s, uint64_t timeout)
{
    struct mk_xml *x = mk_xml_new(NULL);
    struct asked *a = mk_alloc(sizeof(*a));
    struct mk_jid *host = mk_jid_parse(mk_str_of(mk_host_name(mk_session_host(s))));

    *a = (struct asked){p, mk_session_get_id(s), mk_now_ms(), mk_time_us()};
    mk_session_slot_set(s, p->slot, p);
    mk_counter_add(p->sent, 1);
    mk_xml_open(x, "ping", NS_PING);
    mk_iq_request(p->module, MK_TYPE_GET, host, mk_session_jid(s), x, timeout, on_answer, a);
    mk_jid_unref(&host);
}

struct sweep {
    struct ping *ping;
    struct ping_conf conf;
    uint64_t now;
};

static void
look_at(struct mk_session *s, void *arg)
{
    struct sweep *sweep = arg;
    struct ping *p = sweep->ping;

    if (!mk_session_slot(s, p->slot) && !(p->c2s->flags(s) & MK_STREAM_DETACHED) &&
        p->c2s->last_input(s) + sweep->conf.interval <= sweep->now)
        ask(p, s, sweep->conf.timeout);
}

/* Often enough that nobody waits much longer than `interval`. */
static void
sweep(void *arg)
{
    struct ping *p = arg;
    struct sweep s = {p, *(const struct ping_conf *)mk_module_conf(p->module, NULL), mk_now_ms()};
    uint64_t next = s.conf.interval / 4;
    struct mk_timer *timer;

    if (s.conf.interval)
        mk_session_each(look_at, &s);
    next = s.conf.interval == 0 || next > 5000 ? 5000 : next < 50 ? 50 : next;
    timer = mk_timer_new(p->module, next, sweep, p);
    (void)timer;
}

/* -- life cycle ------------------------------------------------------------------------------ */

static void
nothing_to_free(void *data)
{
    (void)data;
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct ping *p = mk_zalloc(sizeof(*p));

    mk_module_set(m, p);
    p->module = m;
    p->c2s = mk_service_get(m, "c2s", MK_C2S_ABI, err);
    if (!p->c2s)
        return -1;
    p->sent = mk_counter_new(m, "pings_sent_total", NULL, "Pings sent to silent clients");
    p->dead = mk_counter_new(m, "pings_unanswered_total", NULL,
                             "Connections dropped because a ping was not answered");
    p->seconds = mk_histogram_new(m, "c2s_round_trip_seconds", NULL,
                                  "Time from a ping to a client to its answer", 64, 0.000001);
    if (mk_slot_register(m, MK_SLOT_SESSION, nothing_to_free, &p->slot) < 0 ||
        mk_on_iq(m, MK_IQ_GET, MK_TO_HOST | MK_TO_SELF, NS_PING, "ping", on_ping, p) < 0)
        return mk_fail(err, "cannot register the handlers of ping");
    return 0;
}

static int
start(struct mk_module *m, struct mk_error *err)
{
    (void)err;
    for (size_t i = 0; i < mk_worker_count(); i++)
        mk_post(m, mk_worker_nth(i), sweep, mk_module_get(m));
    return 0;
}

static void
unload(struct mk_module *m)
{
    mk_free(mk_module_get(m));
}

MK_MODULE(.name = "ping", .version = "1.0", .summary = "XEP-0199: pings, answered and sent",
          .depends = (const char *const[]){"c2s", NULL}, .options = options,
          .conf_size = sizeof(struct ping_conf), .init = init, .start = start, .unload = unload);
