/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Counting and acknowledging (XEP-0198 §4). Stanzas cost a reference in a ring each. We ask (<r/>)
 * at the end of a loop turn when enough has been sent, and a sweep of the worker asks for the
 * rest: no session has a timer for this.
 */
#include "internal.h"

/* Something of its input is held. */
static bool
is_held(const struct sm *sm)
{
    return mk_session_unsettled(sm->session) > sm->guard_count;
}

uint32_t
sm_handled(const struct sm *sm)
{
    uint32_t dealt_with = is_held(sm) ? sm->settled : sm->in, safe = sm_first_unsafe(sm);

    return (int32_t)(safe - dealt_with) < 0 ? safe : dealt_with;
}

static void
send_empty(struct sm *sm, const char *name, const uint32_t *h)
{
    struct mk_xml *x = mk_xml_new(NULL);

    mk_xml_open(x, name, NS_SM);
    if (h)
        mk_xml_attr_int(x, "h", *h);
    mk_xml_close(x);
    sm->module->c2s->send(sm->session, x);
}

void
sm_answer(struct sm *sm)
{
    uint32_t h = sm_handled(sm);

    send_empty(sm, "a", &h);
    sm->told = h;
    sm->answer_later = h != sm->in;
    sm->wanted = sm->in;
}

void
sm_answer_late(struct sm *sm)
{
    sm_answer(sm);
    sm->answer_later = false;
}

void
sm_ask(struct sm *sm)
{
    sm->asked = true;
    sm->asked_at = mk_now_ms();
    send_empty(sm, "r", NULL);
}

/* -- sessions that must acknowledge something ------------------------------------------------ */

void
sm_list_remove(struct sm *sm)
{
    struct sm_lane *lane = sm_lane(sm->module);

    if (!sm->listed)
        return;
    sm->listed = false;
    if (sm->prev)
        sm->prev->next = sm->next;
    else
        lane->list = sm->next;
    if (sm->next)
        sm->next->prev = sm->prev;
}

/* We asked, and nothing at all came for too long, though we would have read it. */
static bool
is_dead(const struct sm *sm)
{
    uint64_t patience = sm_conf_of(sm->module, sm->session)->ack_timeout, since;

    if (!sm->asked || sm->detached || patience == 0 || mk_session_is_paused(sm->session))
        return false;
    since = sm->module->c2s->last_input(sm->session);
    if (since < sm->asked_at)
        since = sm->asked_at;
    return mk_now_ms() - since > patience;
}

static void
drop_dead(struct mk_session *s, void *arg)
{
    struct sm_module *m = arg;
    struct sm *sm = s ? sm_of(m, s) : NULL;

    if (!sm || !is_dead(sm))
        return;
    mk_counter_add(m->metrics.dead, 1);
    m->c2s->drop(s, "the client does not acknowledge");
}

static void
sweep_one(struct sm *sm)
{
    struct sm_module *m = sm->module;

    if (sm->queue.count == 0 && !sm->asked)
        sm_list_remove(sm);
    else if (!sm->asked)
        sm_ask(sm);
    else if (is_dead(sm))
        mk_session_post(m->module, mk_session_get_id(sm->session), drop_dead, m);
}

static void
sweep(void *arg)
{
    struct sm_lane *lane = arg;
    const struct sm_conf *conf = mk_module_conf(lane->module->module, NULL);
    struct sm *next;

    lane->timer = NULL;
    for (struct sm *sm = lane->list; sm; sm = next) {
        next = sm->next;
        sweep_one(sm);
    }
    if (lane->list)
        lane->timer = mk_timer_new(lane->module->module, conf->ack_delay, sweep, lane);
}

static void
list_add(struct sm *sm)
{
    struct sm_lane *lane = sm_lane(sm->module);

    sm->listed = true;
    sm->prev = NULL;
    sm->next = lane->list;
    if (sm->next)
        sm->next->prev = sm;
    lane->list = sm;
    if (!lane->timer) {
        const struct sm_conf *conf = mk_module_conf(lane->module->module, NULL);

        lane->timer = mk_timer_new(lane->module->module, conf->ack_delay, sweep, lane);
    }
}

/* -- stanzas to the client ------------------------------------------------------------------- */

static void
end_full(struct mk_session *s, void *arg)
{
    struct sm_module *m = arg;

    if (s)
        m->c2s->end(s, "resource-constraint", "too many stanzas are not acknowledged");
}

/* The session ends, but not under the feet of whoever delivers to it now. */
static void
became_full(struct sm *sm)
{
    struct sm_module *m = sm->module;

    sm->full = true;
    mk_counter_add(m->metrics.full, 1);
    mk_log(sm->session, MK_LOG_WARN, "sm.full",
           "the session ends: %u stanzas of %llu bytes are not acknowledged", sm->queue.count,
           (unsigned long long)sm->queue.bytes);
    mk_session_post(m->module, mk_session_get_id(sm->session), end_full, m);
}

static enum mk_verdict
on_out(struct mk_ev_session_stanza *ev, void *arg)
{
    struct sm_module *m = arg;
    struct sm *sm = sm_of(m, ev->session);
    const struct sm_conf *conf;

    if (!sm)
        return MK_CONTINUE;
    sm_queue_push(sm->arriving ? &sm->late : &sm->queue, &sm_lane(m)->rings, ev->stanza,
                  (uint32_t)(mk_now_ms() / 1000));
    conf = sm_conf_of(m, ev->session);
    if (MK_UNLIKELY((sm->queue.count > conf->max_stanzas || sm->queue.bytes > conf->max_bytes) &&
                    !sm->full))
        became_full(sm);
    if (sm->detached || sm->resuming)
        return MK_HANDLED;
    if (!sm->listed)
        list_add(sm);
    return MK_CONTINUE;
}

static void
on_flush(struct mk_ev_session *ev, void *arg)
{
    struct sm_module *m = arg;
    struct sm *sm = sm_of(m, ev->session);
    const struct sm_conf *conf;

    if (!sm || sm->queue.count == 0 || sm->asked || sm->detached || sm->resuming)
        return;
    conf = sm_conf_of(m, ev->session);
    /* Without another node the client is who can make it safe. */
    if (sm->queue.count >= conf->ack_every || (conf->acknowledge == SM_SAFE && !m->cluster))
        sm_ask(sm);
}

/* -- stanzas from the client ----------------------------------------------------------------- */

static void
on_in(struct mk_ev_session_stanza *ev, void *arg)
{
    struct sm_module *m = arg;
    struct sm *sm = sm_of(m, ev->session);
    const struct sm_conf *conf;

    if (!sm)
        return;
    conf = sm_conf_of(m, ev->session);
    if (MK_LIKELY(!is_held(sm)))
        sm->settled = sm->in;
    if (conf->acknowledge == SM_SAFE && mk_stanza_kind(ev->stanza) == MK_MESSAGE &&
        mk_stanza_type(ev->stanza) != MK_TYPE_ERROR)
        sm_guard(sm, ev->stanza);
    sm->in++;
    /* A client that never stops would never see an acknowledgement. */
    if (mk_session_unsettled(ev->session) && sm->in - sm_handled(sm) >= conf->max_unsettled &&
        !sm->input_paused) {
        sm->input_paused = true;
        mk_session_pause(ev->session);
    }
}

static void
on_settled(struct mk_ev_session *ev, void *arg)
{
    struct sm *sm = sm_of(arg, ev->session);

    if (!sm)
        return;
    if (sm->input_paused) {
        sm->input_paused = false;
        mk_session_unpause(ev->session);
    }
    if (sm->leaving)
        sm_leave_settled(sm);
    else if (sm->resuming)
        sm_resume_complete(sm);
    else if (sm->answer_later && !sm->detached)
        sm_answer_late(sm);
}

/* -- acknowledgements of the client ---------------------------------------------------------- */

int
sm_number(const char *text, uint32_t *out)
{
    uint64_t n = 0;

    if (!text || !text[0])
        return -1;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || (n = n * 10 + (uint64_t)(*text - '0')) > UINT32_MAX)
            return -1;
    }
    *out = (uint32_t)n;
    return 0;
}

/* The common spelling, without building a tree; false: look closer. */
static bool
quick_h(struct mk_str xml, uint32_t *out)
{
    static const char begin[] = "<a xmlns='" NS_SM "' h='", *want = begin;
    size_t at = sizeof(begin) - 1, digits = 0;
    uint64_t n = 0;
    char quote;

    if (xml.len < at + 4)
        return false;
    for (size_t i = 0; i < at; i++) {
        if (xml.p[i] != want[i] && !(want[i] == '\'' && xml.p[i] == '"'))
            return false;
    }
    quote = xml.p[at - 1];
    for (; at < xml.len && xml.p[at] >= '0' && xml.p[at] <= '9' && digits < 10; at++, digits++)
        n = n * 10 + (uint64_t)(xml.p[at] - '0');
    if (digits == 0 || n > UINT32_MAX || at + 3 > xml.len || xml.p[at] != quote ||
        (xml.p[at + 1] != '/' && xml.p[at + 1] != '>'))
        return false;
    *out = (uint32_t)n;
    return true;
}

void
sm_too_high(struct sm_module *m, struct mk_session *s, uint32_t h, uint32_t sent)
{
    struct mk_xml *x = mk_xml_new(NULL);

    mk_xml_open(x, "handled-count-too-high", NS_SM);
    mk_xml_attr_int(x, "h", h);
    mk_xml_attr_int(x, "send-count", sent);
    mk_xml_close(x);
    m->c2s->end_app(s, "undefined-condition", x);
}

void
sm_on_a(struct sm *sm, struct mk_stanza *st)
{
    struct sm_module *m = sm->module;
    uint32_t h;

    if (!quick_h(mk_stanza_inner(st), &h) && sm_number(mk_stanza_attr(st, "h"), &h) < 0) {
        m->c2s->end(sm->session, "bad-format", "an acknowledgement needs a number");
        return;
    }
    if (sm_queue_ack(&sm->queue, &sm_lane(m)->rings, h) < 0) {
        sm_too_high(m, sm->session, h, sm_queue_sent(&sm->queue));
        return;
    }
    sm->asked = false;
}

int
sm_ack_init(struct sm_module *m)
{
    /* First of those that see what came, last of those that change what goes out. */
    if (mk_on(m->module, session_in, MK_PRIO_FIRST, on_in, m) < 0 ||
        mk_on(m->module, session_out, MK_PRIO_LATE, on_out, m) < 0 ||
        mk_on(m->module, session_flush, MK_PRIO_LAST, on_flush, m) < 0 ||
        mk_on(m->module, session_settled, MK_PRIO_NORMAL, on_settled, m) < 0)
        return -1;
    return 0;
}
