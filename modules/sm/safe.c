/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * acknowledge = safe: a message is acknowledged to its sender when a second node, the storage or the receiver's client has it.
 * Each has a guard until then, in the order of their coming; what is in front of the first may be acknowledged. A guard is
 * unsettled input of its session, so that resumption and the way to another node wait for it.
 */
#include "internal.h"

#define SWEEP_MS 1000u

struct sm_guard {
    struct sm *sm;              /* NULL: over, only fn has not come yet */
    struct mk_session *session; /* referenced, while sm is set */
    struct mk_safety *safety;
    struct sm_guard *prev, *next;           /* of the session */
    struct sm_guard *older, *newer;         /* of the lane */
    uint32_t index;             /* stanzas of the session before this one */
    uint64_t since;
};

static void
lane_remove(struct sm_lane *lane, struct sm_guard *g)
{
    if (g->older)
        g->older->newer = g->newer;
    else
        lane->oldest_guard = g->newer;
    if (g->newer)
        g->newer->older = g->older;
    else
        lane->newest_guard = g->older;
}

/* Takes a guard off its session, which may go on from here. */
static void
end_guard(struct sm_guard *g)
{
    struct sm *sm = g->sm;
    struct mk_session *s = g->session;

    lane_remove(sm_lane(sm->module), g);
    if (g->prev)
        g->prev->next = g->next;
    else
        sm->guards = g->next;
    if (g->next)
        g->next->prev = g->prev;
    else
        sm->last_guard = g->prev;
    sm->guard_count--;
    g->sm = NULL;
    g->session = NULL;
    mk_session_settle(s);
    mk_session_unref(&s);
}

/* Some of its input is safe now. */
static void
go_on(struct sm_module *m, mk_session_id id)
{
    struct mk_session *s = mk_session_find(id);
    struct sm *sm = s ? sm_of(m, s) : NULL;
    int64_t window;

    if (!sm)
        return;
    window = sm_conf_of(m, s)->max_unsettled;
    if (sm->answer_later && !sm->detached && !sm->resuming && !sm->leaving &&
        (int32_t)(sm_handled(sm) - sm->wanted) >= 0)
        sm_answer_late(sm);
    if (sm->input_paused && (int64_t)(sm->in - sm_handled(sm)) <= window / 2) {
        sm->input_paused = false;
        mk_session_unpause(s);
    }
}

static void
on_safe(void *arg)
{
    struct sm_guard *g = arg;
    struct sm *sm = g->sm;
    mk_session_id id;
    struct sm_module *m;

    mk_safety_unref(&g->safety);
    if (sm) {
        m = sm->module;
        id = mk_session_get_id(sm->session);
        end_guard(g);
        go_on(m, id);
    }
    mk_free(g);
}

/* Nobody waits any more. */
static void
give_up(struct sm_guard *g)
{
    end_guard(g);
    if (mk_safety_cancel(&g->safety))
        mk_free(g);
}

static void
sweep(void *arg)
{
    struct sm_lane *lane = arg;
    struct sm_module *m = lane->module;
    struct sm_guard *g;
    uint64_t now = mk_now_ms();
    mk_session_id id;

    lane->safe_timer = NULL;
    while ((g = lane->oldest_guard)) {
        uint64_t patience = sm_conf_of(m, g->session)->safe_timeout;

        if (patience == 0 || now - g->since < patience)
            break;
        id = mk_session_get_id(g->session);
        mk_counter_add(m->metrics.unsafe, 1);
        mk_log(g->session, MK_LOG_WARN, "sm.unsafe",
               "a message is acknowledged that no second node, no storage and no client has after %llu ms",
               (unsigned long long)(now - g->since));
        give_up(g);
        go_on(m, id);
    }
    if (lane->oldest_guard)
        lane->safe_timer = mk_timer_new(m->module, SWEEP_MS, sweep, lane);
}

void
sm_guard(struct sm *sm, struct mk_stanza *st)
{
    struct sm_module *m = sm->module;
    struct sm_lane *lane = sm_lane(m);
    struct sm_guard *g = mk_alloc(sizeof(*g));

    *g = (struct sm_guard){.sm = sm, .session = mk_session_ref(sm->session), .prev = sm->last_guard,
                           .older = lane->newest_guard, .index = sm->in, .since = mk_now_ms()};
    if (g->prev)
        g->prev->next = g;
    else
        sm->guards = g;
    sm->last_guard = g;
    sm->guard_count++;
    if (g->older)
        g->older->newer = g;
    else
        lane->oldest_guard = g;
    lane->newest_guard = g;
    if (!lane->safe_timer)
        lane->safe_timer = mk_timer_new(m->module, SWEEP_MS, sweep, lane);
    mk_session_unsettle(sm->session);
    g->safety = mk_stanza_when_safe(st, m->module, on_safe, g);
}

static void
nothing(void *arg)
{
    (void)arg;
}

void
sm_keep(struct sm_module *m, struct mk_session *s, struct mk_stanza *st)
{
    struct mk_safety *safety;

    if (!m->router || sm_conf_of(m, s)->acknowledge != SM_SAFE || mk_stanza_kind(st) != MK_MESSAGE)
        return;
    safety = mk_stanza_when_safe(st, m->module, nothing, NULL);
    m->router->keep(m->router->self, st);
    mk_safety_cancel(&safety);
}

uint32_t
sm_first_unsafe(const struct sm *sm)
{
    return sm->guards ? sm->guards->index : sm->in;
}

void
sm_guards_drop(struct sm *sm)
{
    while (sm->guards)
        give_up(sm->guards);
}
