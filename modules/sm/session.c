/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The life of a session with stream management: <enable/>, the lost connection, the time-out, and
 * what becomes of that which its client has not acknowledged.
 */
#include "internal.h"

#define NS_DELAY "urn:xmpp:delay"

/* -- turning it on --------------------------------------------------------------------------- */

void
sm_failed(struct mk_xml *x, enum mk_stanza_error condition, const uint32_t *h)
{
    mk_xml_open(x, "failed", NS_SM);
    if (h)
        mk_xml_attr_int(x, "h", *h);
    mk_xml_leaf(x, mk_stanza_error_name(condition), MK_NS_STANZAS, MK_STR(""));
    mk_xml_close(x);
}

static struct sm *
make(struct sm_module *m, struct mk_session *s, const struct mk_node *request)
{
    const struct sm_conf *conf = sm_conf_of(m, s);
    const char *resume = mk_node_attr(request, "resume");
    struct sm *sm = mk_zalloc(sizeof(*sm));
    uint32_t wish;

    sm->module = m;
    sm->session = s;
    if (resume && (strcmp(resume, "true") == 0 || strcmp(resume, "1") == 0)) {
        sm->resume_max = (uint32_t)((conf->resume_timeout + 999) / 1000);
        if (sm_number(mk_node_attr(request, "max"), &wish) == 0 && wish > 0 &&
            wish < sm->resume_max)
            sm->resume_max = wish;
        mk_random(sm->token, sizeof(sm->token));
        sm->name = mk_session_get_id(s);
    }
    mk_session_slot_set(s, m->slot, sm);
    mk_gauge_add(m->metrics.enabled, 1);
    return sm;
}

void
sm_enable(struct sm_module *m, struct mk_session *s, const struct mk_node *request,
          struct mk_xml *x)
{
    const struct sm_conf *conf = sm_conf_of(m, s);
    char id[ID_TEXT_MAX];
    struct sm *sm;

    if (!(m->c2s->flags(s) & MK_STREAM_BOUND) || sm_of(m, s)) {
        sm_failed(x, MK_ERR_UNEXPECTED_REQUEST, NULL);
        return;
    }
    sm = make(m, s, request);
    mk_xml_open(x, "enabled", NS_SM);
    if (sm->resume_max) {
        sm_id_text(sm, id);
        mk_xml_attr(x, "id", id);
        mk_xml_attr(x, "resume", "true");
        mk_xml_attr_int(x, "max", sm->resume_max);
        if (conf->location && conf->location[0])
            mk_xml_attr(x, "location", conf->location);
    }
    mk_xml_close(x);
}

/* -- losing the connection ------------------------------------------------------------------- */

static void
expired(void *arg)
{
    struct sm *sm = arg;
    struct sm_module *m = sm->module;

    sm->timer = NULL;
    mk_counter_add(m->metrics.expired, 1);
    m->c2s->end(sm->session, "connection-timeout", NULL);
}

void
sm_wait(struct sm *sm)
{
    sm->timer = mk_timer_new(sm->module->module, (uint64_t)sm->resume_max * 1000, expired, sm);
}

static enum mk_verdict
on_lost(struct mk_ev_session *ev, void *arg)
{
    struct sm_module *m = arg;
    struct sm *sm = sm_of(m, ev->session);
    struct mk_resource r;

    if (!sm || sm->resume_max == 0 || sm->full)
        return MK_CONTINUE;
    sm_list_remove(sm);
    sm->asked = sm->answer_later = false;
    if (sm->resuming)
        sm_resume_cancel(sm);
    sm->detached = true;
    sm_wait(sm);
    mk_gauge_add(m->metrics.detached, 1);
    m->sessions->get(m->sessions->self, ev->session, &r);
    m->sessions->update(m->sessions->self, ev->session, r.priority, MK_RESOURCE_DETACHED, 0);
    mk_log(ev->session, MK_LOG_DEBUG, "sm.detached", "the connection is lost (%s): %u s to resume",
           ev->reason ? ev->reason : "", sm->resume_max);
    return MK_HANDLED;
}

/* -- the end --------------------------------------------------------------------------------- */

static void
remember(struct sm_module *m, const struct sm *sm)
{
    struct sm_lane *lane = sm_lane(m);
    struct sm_ended *e;

    if (m->remember == 0 || sm->resume_max == 0)
        return;
    e = &lane->ended[lane->ended_next];
    lane->ended_next = (lane->ended_next + 1) % m->remember;
    e->session = mk_session_get_id(sm->session);
    memcpy(e->token, sm->token, sizeof(e->token));
    e->account = mk_jid_hash_bare(mk_session_jid(sm->session));
    e->in = sm_handled(sm);
}

/* With the time at which it was first sent (XEP-0203), unless it says one already. */
static struct mk_stanza *
with_delay(const struct sm_entry *e, struct mk_host *host)
{
    struct mk_stanza *st = e->stanza;
    int64_t age = (int64_t)((uint32_t)(mk_now_ms() / 1000) - e->at);
    char stamp[MK_TIME_TEXT_MAX];
    struct mk_xml *x;

    if (mk_stanza_kind(st) != MK_MESSAGE || mk_stanza_has(st, "delay", NS_DELAY))
        return mk_stanza_ref(st);
    mk_time_text((mk_time_us() / 1000000 - age) * 1000000, stamp);
    x = mk_xml_new(NULL);
    mk_xml_open(x, "delay", NS_DELAY);
    mk_xml_attr(x, "from", mk_host_name(host));
    mk_xml_attr(x, "stamp", stamp);
    return mk_stanza_append(st, x);
}

/*
 * Messages go on to another resource or to storage, requests are answered with an error, as if the
 * session had not been there; presence was for this session alone.
 */
static void
give_up(struct sm_module *m, struct mk_session *s, struct sm_queue *q)
{
    mk_session_id id = mk_session_get_id(s);

    for (uint32_t i = 0; i < q->count; i++) {
        const struct sm_entry *e = sm_queue_at(q, i);
        struct mk_stanza *st;

        if (mk_stanza_kind(e->stanza) == MK_PRESENCE || !mk_stanza_given_up(e->stanza))
            continue;
        mk_counter_add(m->metrics.rerouted, 1);
        st = with_delay(e, mk_session_host(s));
        mk_undelivered(id, st);
        mk_stanza_unref(&st);
    }
}

/* Takes stream management off a session that ends. */
static void
finish(struct sm_module *m, struct mk_session *s)
{
    struct sm *sm = mk_session_slot_take(s, m->slot);
    struct sm_queue queue, late;

    if (!sm)
        return;
    if (!sm->detached && !sm->resuming && sm->told != sm->in)
        sm_answer(sm);
    if (sm->input_paused)
        mk_session_unpause(s);
    remember(m, sm);
    queue = sm->queue;
    late = sm->late;
    sm->queue = sm->late = (struct sm_queue){0};
    sm_free(sm);
    give_up(m, s, &queue);
    give_up(m, s, &late);
    sm_queue_release(&queue, &sm_lane(m)->rings);
    sm_queue_release(&late, &sm_lane(m)->rings);
}

static void
on_unbound(struct mk_ev_session *ev, void *arg)
{
    finish(arg, ev->session);
}

/* A session's slot is freed, on its worker. */
void
sm_free(void *data)
{
    struct sm *sm = data;
    struct sm_module *m = sm->module;

    if (sm->resuming)
        sm_resume_cancel(sm);
    if (sm->leaving)
        sm_leave_cancel(sm);
    if (sm->drain_later)
        __atomic_fetch_sub(&m->to_drain, 1, __ATOMIC_RELEASE);
    sm_guards_drop(sm);
    sm_list_remove(sm);
    mk_timer_free(&sm->timer);
    sm_queue_release(&sm->queue, &sm_lane(m)->rings);
    sm_queue_release(&sm->late, &sm_lane(m)->rings);
    mk_gauge_add(m->metrics.enabled, -1);
    if (sm->detached)
        mk_gauge_add(m->metrics.detached, -1);
    mk_free(sm);
}

static void
end_one(struct mk_session *s, void *arg)
{
    struct sm_module *m = arg;

    if (sm_of(m, s))
        m->c2s->end(s, "system-shutdown", NULL);
}

void
sm_end_all(void *arg)
{
    struct sm_module *m = arg;

    mk_session_each(end_one, m);
    __atomic_fetch_sub(&m->ending, 1, __ATOMIC_RELEASE);
}

int
sm_session_init(struct sm_module *m)
{
    /*
     * Presence is told first, so that nobody sends to a session whose stanzas are on their way
     * elsewhere.
     */
    if (mk_on(m->module, session_lost, MK_PRIO_NORMAL, on_lost, m) < 0 ||
        mk_on(m->module, session_unbound, MK_PRIO_LATE, on_unbound, m) < 0)
        return -1;
    return 0;
}
