/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The connections of a worker. Requests with the same key always take the same one. */
#include "config.h"

#include "priv.h"

#define TICK_MS 1000

static void
send_all(void *arg)
{
    struct lane *lane = arg;

    lane->deferred = false;
    for (size_t i = 0; i < lane->pgsql->conn_count; i++) {
        struct conn *c = &lane->conns[i];

        if (c->pg && c->waiting.first)
            conn_send(c);
    }
}

/* Without a key: the connection with the least to do, of those that are open. */
static struct conn *
choose(struct lane *lane, const struct mk_sql_request *r)
{
    size_t n = lane->pgsql->conn_count;
    struct conn *best = NULL;

    if (r->keyed)
        return &lane->conns[r->hash % n];
    for (size_t i = 0; i < n; i++) {
        struct conn *c = &lane->conns[(lane->next + i) % n];

        if (!best || (c->pg && !best->pg) ||
            (!c->pg == !best->pg &&
             c->waiting.count + c->sent.count < best->waiting.count + best->sent.count))
            best = c;
    }
    lane->next++;
    return best;
}

void
lane_submit(void *self, struct mk_sql_request *r)
{
    struct pgsql *p = self;
    struct lane *lane = &p->lanes[r->worker];
    struct conn *c = choose(lane, r);

    queue_put(&c->waiting, r);
    if (lane->stopping)
        conn_fail_waiting(c, "the server stops");
    else if (!c->pg && __atomic_load_n(&p->away, __ATOMIC_ACQUIRE))
        conn_fail_waiting(c, "the database is not available");
    else if (c->pg && !lane->deferred) {
        lane->deferred = true;
        mk_defer(p->module, send_all, lane);
    }
}

static void
tick(void *arg)
{
    struct lane *lane = arg;

    for (size_t i = 0; i < lane->pgsql->conn_count; i++)
        conn_tick(&lane->conns[i]);
}

static void
start(void *arg)
{
    struct lane *lane = arg;

    lane->timer = mk_timer_every(lane->pgsql->module, TICK_MS, tick, lane);
}

void
lanes_start(struct pgsql *p)
{
    for (size_t i = 0; i < p->lane_count; i++)
        mk_post(p->module, mk_worker_nth(i), start, &p->lanes[i]);
    /* The first of each worker, then the second of each: all have one soon. */
    for (size_t k = 0; k < p->conn_count; k++) {
        for (size_t i = 0; i < p->lane_count; i++)
            connect_want(&p->lanes[i].conns[k]);
    }
}

static void
away(void *arg)
{
    struct lane *lane = arg;

    for (size_t i = 0; i < lane->pgsql->conn_count; i++) {
        if (!lane->conns[i].pg)
            conn_fail_waiting(&lane->conns[i], "the database is not available");
    }
}

void
lanes_away(struct pgsql *p)
{
    for (size_t i = 0; i < p->lane_count; i++)
        mk_post(p->module, mk_worker_nth(i), away, &p->lanes[i]);
}

static void
stop(void *arg)
{
    struct lane *lane = arg;
    struct pgsql *p = lane->pgsql;

    lane->stopping = true;
    mk_timer_free(&lane->timer);
    for (size_t i = 0; i < p->conn_count; i++) {
        if (lane->conns[i].pg)
            conn_lost(&lane->conns[i], "the server stops");
        conn_fail_waiting(&lane->conns[i], "the server stops");
    }
    pthread_mutex_lock(&p->lock);
    if (--p->lanes_left == 0)
        pthread_cond_signal(&p->stopped);
    pthread_mutex_unlock(&p->lock);
}

void
lanes_stop(struct pgsql *p)
{
    p->lanes_left = p->lane_count;
    for (size_t i = 0; i < p->lane_count; i++)
        mk_post(p->module, mk_worker_nth(i), stop, &p->lanes[i]);
    pthread_mutex_lock(&p->lock);
    while (p->lanes_left)
        pthread_cond_wait(&p->stopped, &p->lock);
    pthread_mutex_unlock(&p->lock);
}
