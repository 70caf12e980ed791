/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Sessions of this node, each on its own worker, a few in a row, so that a worker has its turn for others in between. */
#include "config.h"

#include "internal.h"

#define IN_A_ROW 256

struct visit {
    struct admin *admin;
    struct mk_worker *back;
    const mk_session_id *ids;
    visit_fn fn;
    mk_task_fn done;
    void *arg;
    size_t lanes;               /* that are not finished; on `back` */
};

/* The part of one worker. */
struct lane {
    struct visit *visit;
    struct mk_worker *worker;
    size_t *indexes;
    size_t count, next;
};

static void
lane_done(void *arg)
{
    struct lane *lane = arg;
    struct visit *v = lane->visit;

    mk_free(lane->indexes);
    mk_free(lane);
    if (--v->lanes)
        return;
    v->done(v->arg);
    mk_free(v);
}

static void
lane_run(void *arg)
{
    struct lane *lane = arg;
    struct visit *v = lane->visit;
    size_t end = lane->count - lane->next > IN_A_ROW ? lane->next + IN_A_ROW : lane->count;

    for (; lane->next < end; lane->next++) {
        size_t i = lane->indexes[lane->next];

        v->fn(mk_session_find(v->ids[i]), i, v->arg);
    }
    if (lane->next < lane->count)
        mk_post(v->admin->module, lane->worker, lane_run, lane);
    else
        mk_post(v->admin->module, v->back, lane_done, lane);
}

/* An id that no worker can have made goes to this one, which finds nothing. */
static struct mk_worker *
worker_of(mk_session_id id)
{
    struct mk_worker *w = mk_session_id_worker(id);

    return w ? w : mk_worker_self();
}

void
visit_sessions(struct admin *a, const mk_session_id *ids, size_t count, visit_fn fn, mk_task_fn done, void *arg)
{
    struct lane **lanes = mk_zalloc(mk_worker_count() * sizeof(struct lane *));
    struct visit *v = mk_alloc(sizeof(*v));
    struct lane *lane;
    size_t w;

    *v = (struct visit){.admin = a, .back = mk_worker_self(), .ids = ids, .fn = fn, .done = done, .arg = arg};
    for (size_t i = 0; i < count; i++) {
        w = mk_worker_index(worker_of(ids[i]));
        if (!lanes[w]) {
            lanes[w] = mk_zalloc(sizeof(struct lane));
            *lanes[w] = (struct lane){.visit = v, .worker = mk_worker_nth(w)};
            lanes[w]->indexes = mk_alloc(count * sizeof(size_t));
            v->lanes++;
        }
        lanes[w]->indexes[lanes[w]->count++] = i;
    }
    if (v->lanes == 0) {
        done(arg);
        mk_free(v);
    }
    for (w = 0; w < mk_worker_count(); w++) {
        if ((lane = lanes[w]))
            mk_post(a->module, lane->worker, lane_run, lane);
    }
    mk_free(lanes);
}
