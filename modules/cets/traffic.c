/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Metrics by the name of the peer. Whoever reads metrics holds their lock and asks for ours, so none is made under ours: on the
 * links' worker, at the greeting.
 */
#include "cets.h"

#include <stdio.h>

#define PEERS_MAX 256u      /* names of which there are metrics: nodes of an autoscaler may have ever new ones */

static size_t
name_count(const struct cets *c)
{
    size_t n = 0;

    for (const struct traffic *t = c->traffic; t; t = t->next)
        n++;
    return n;
}

static double
count_out(void *arg)
{
    return (double)__atomic_load_n(&((struct traffic *)arg)->out, __ATOMIC_RELAXED);
}

static double
count_in(void *arg)
{
    return (double)__atomic_load_n(&((struct traffic *)arg)->in, __ATOMIC_RELAXED);
}

static double
count_links(void *arg)
{
    return (double)__atomic_load_n(&((struct traffic *)arg)->links, __ATOMIC_RELAXED);
}

/* Under the lock: the peer of this name; NULL: it is gone. */
static struct peer *
peer_of(const struct traffic *t, struct peer_view *v)
{
    struct peer *p = NULL;

    while ((p = replica_peer_next(t->cets->replica, p))) {
        replica_peer_view(p, v);
        if (strcmp(v->name, t->name) == 0)
            return v->state == PEER_GONE ? NULL : p;
    }
    return NULL;
}

static double
ask_lag(void *arg)
{
    const struct traffic *t = arg;
    struct peer_view v;
    double lag = 0;

    pthread_mutex_lock(&t->cets->lock);
    if (peer_of(t, &v))
        lag = (double)(replica_seq(t->cets->replica) - v.acked);
    pthread_mutex_unlock(&t->cets->lock);
    return lag;
}

static double
ask_queue(void *arg)
{
    const struct traffic *t = arg;
    struct peer_view v;
    double bytes = 0;

    pthread_mutex_lock(&t->cets->lock);
    if (peer_of(t, &v))
        bytes = (double)messages_waiting(t->cets, v.incarnation);
    pthread_mutex_unlock(&t->cets->lock);
    return bytes;
}

static double
ask_joined(void *arg)
{
    const struct traffic *t = arg;
    struct peer_view v;
    bool joined;

    pthread_mutex_lock(&t->cets->lock);
    joined = peer_of(t, &v) && v.state == PEER_JOINED;
    pthread_mutex_unlock(&t->cets->lock);
    return joined;
}

static void
make_metrics(struct traffic *t)
{
    struct mk_module *m = t->cets->module;
    char labels[MK_NODE_NAME_MAX + 16];

    snprintf(labels, sizeof(labels), "node=\"%s\"", t->name);
    for (char *p = labels + 6; p[1]; p++)
        *p = *p == '"' || *p == '\\' || (unsigned char)*p < ' ' ? '_' : *p;
    mk_counter_ask(m, "cluster_peer_bytes_sent_total", labels, "Bytes to this node", count_out, t);
    mk_counter_ask(m, "cluster_peer_bytes_received_total", labels, "Bytes from this node", count_in, t);
    mk_counter_ask(m, "cluster_peer_links_total", labels, "Links made with this node: one, and one for each reconnection",
                   count_links, t);
    mk_gauge_ask(m, "cluster_peer_lag", labels, "Operations of this node here that that one has not confirmed", ask_lag, t);
    mk_gauge_ask(m, "cluster_peer_queue_bytes", labels, "Bytes of requests that wait for this node", ask_queue, t);
    mk_gauge_ask(m, "cluster_peer_joined", labels, "Is this node in sync?", ask_joined, t);
}

static struct traffic *
find(const struct cets *c, const char *name)
{
    struct traffic *t = c->traffic;

    while (t && strcmp(t->name, name) != 0)
        t = t->next;
    return t;
}

struct traffic *
traffic_linked(struct cets *c, const char *name)
{
    struct traffic *t = find(c, name);

    if (!t && name_count(c) < PEERS_MAX) {
        t = mk_zalloc(sizeof(*t));
        t->cets = c;
        t->name = mk_strdup(name);
        t->next = c->traffic;
        c->traffic = t;
        make_metrics(t);
    }
    if (t)
        __atomic_fetch_add(&t->links, 1, __ATOMIC_RELAXED);
    return t;
}

void
traffic_release(struct cets *c)
{
    while (c->traffic) {
        struct traffic *t = c->traffic;

        c->traffic = t->next;
        mk_free(t->name);
        mk_free(t);
    }
}
