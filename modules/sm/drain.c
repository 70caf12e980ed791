/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Draining a node that goes on running. What a node does that stops is in handover.c. */
#include "internal.h"

#include <meerkat/admin.h>

#define LOOK_MS 20

struct drain {
    struct sm_module *m;
    struct mk_worker *back;
    uint64_t until;
    struct mk_timer *timer;
    struct sm_drained result;
    size_t workers;                 /* that still end sessions */
    uint64_t ended;                 /* atomic */
    sm_drained_fn fn;
    void *arg;
};

static void
tell(struct drain *d)
{
    mk_log(d->m->module, MK_LOG_INFO, "sm.drained", "drained: %llu sessions went to other nodes, %llu were ended",
           d->result.moved, d->result.ended);
    d->fn(&d->result, d->arg);
    mk_module_leave(d->m->module);
    mk_free(d);
}

static void
on_ended(void *arg)
{
    struct drain *d = arg;

    if (--d->workers)
        return;
    d->result.ended = __atomic_load_n(&d->ended, __ATOMIC_ACQUIRE);
    tell(d);
}

static void
end_one(struct mk_session *s, void *arg)
{
    struct drain *d = arg;

    __atomic_fetch_add(&d->ended, 1, __ATOMIC_RELEASE);
    mk_session_close(s, "system-shutdown", "this node is being emptied");
}

static void
end_rest(void *arg)
{
    struct drain *d = arg;

    mk_session_each(end_one, d);
    mk_post(d->m->module, d->back, on_ended, d);
}

static void
look(void *arg)
{
    struct drain *d = arg;

    if (__atomic_load_n(&d->m->to_drain, __ATOMIC_ACQUIRE) > 0 && mk_now_ms() < d->until)
        return;
    mk_timer_free(&d->timer);
    d->result.moved = (unsigned long long)__atomic_load_n(&d->m->drained, __ATOMIC_ACQUIRE);
    d->workers = mk_worker_count();
    for (size_t i = 0; i < mk_worker_count(); i++)
        mk_post(d->m->module, mk_worker_nth(i), end_rest, d);
}

static void
begin(void *arg)
{
    struct drain *d = arg;

    d->result.begun = d->m->cluster && sm_drain_begin(d->m);
}

static void
begun(void *arg)
{
    struct drain *d = arg;
    const struct sm_conf *conf = mk_module_conf(d->m->module, NULL);

    d->until = mk_now_ms() + conf->drain_timeout;
    if (d->result.begun)
        d->timer = mk_timer_every(d->m->module, LOOK_MS, look, d);
    else
        tell(d);
}

void
sm_drain_run(struct sm_module *m, sm_drained_fn fn, void *arg)
{
    struct drain *d = mk_zalloc(sizeof(*d));

    *d = (struct drain){.m = m, .back = mk_worker_self(), .fn = fn, .arg = arg};
    mk_module_enter(m->module);
    mk_on_main(m->module, begin, begun, d);
}

static const char *
is_draining(void *arg)
{
    struct sm_module *m = arg;

    return __atomic_load_n(&m->draining, __ATOMIC_ACQUIRE) ? "draining" : NULL;
}

int
sm_drain_init(struct sm_module *m, struct mk_error *err)
{
    if (mk_ready_add(m->module, "sessions", is_draining, m) < 0)
        return mk_fail(err, "the readiness check cannot be registered");
    return 0;
}
