/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Requests whose fields are not answered in time: the client gets what there is. Each worker has a
 * list of what is under way, and a timer that counts ticks while there is something in it.
 */
#include "config.h"

#include "internal.h"

#define TICK_MIN_MS 10
#define TICK_MAX_MS 1000

struct overdue {
    struct gql_running list;
    struct graphql *graphql;
    struct mk_timer *timer; /* NULL: none runs */
    bool stopping;
};

static uint64_t
tick_ms(uint64_t timeout)
{
    uint64_t tick = timeout / 4;

    return tick < TICK_MIN_MS ? TICK_MIN_MS : tick > TICK_MAX_MS ? TICK_MAX_MS : tick;
}

static void on_tick(void *arg);

static void
arm(struct overdue *o)
{
    uint64_t timeout;

    if (o->timer || o->stopping)
        return;
    timeout = conf_of(o->graphql)->answer_timeout;
    if (timeout)
        o->timer = mk_timer_new(o->graphql->module, tick_ms(timeout), on_tick, o);
}

static void
on_tick(void *arg)
{
    struct overdue *o = arg;
    uint64_t timeout = conf_of(o->graphql)->answer_timeout;

    o->timer = NULL;
    gql_expire(&o->list, timeout ? (unsigned)(timeout / tick_ms(timeout)) : ~0u);
    if (o->list.first)
        arm(o);
}

static void
on_begun(struct gql_running *r)
{
    arm((struct overdue *)r);
}

/* A resolver that answers after all calls this module. */
static void
on_late(struct gql_running *r, int change)
{
    struct graphql *g = ((struct overdue *)r)->graphql;

    mk_gauge_add(g->late, change);
    if (change > 0) {
        mk_counter_add(g->timeouts, 1);
        mk_module_enter(g->module);
    } else {
        mk_module_leave(g->module);
    }
}

struct gql_running *
overdue_list(struct graphql *g)
{
    return &g->overdue[mk_worker_index(mk_worker_self())].list;
}

/* The core takes the timers back behind this, and there must not be new ones. */
static void
stop_here(void *arg)
{
    ((struct graphql *)arg)->overdue[mk_worker_index(mk_worker_self())].stopping = true;
}

void
overdue_stop(struct graphql *g)
{
    if (g->overdue)
        mk_workers_run(stop_here, g);
}

void
overdue_init(struct graphql *g)
{
    g->overdue = mk_zalloc(mk_worker_count() * sizeof(*g->overdue));
    for (size_t i = 0; i < mk_worker_count(); i++) {
        struct overdue *o = &g->overdue[i];

        gql_running_init(&o->list);
        o->list.begun = on_begun;
        o->list.late = on_late;
        o->graphql = g;
    }
}
