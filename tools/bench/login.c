/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * Scenario login: a storm.  Every session connects, logs in, becomes available, closes its stream
 * and begins again; what is measured is the time from connect() to its own presence coming back.
 */
#include "bench.h"

static void
hello(const struct client *c, char *out, size_t size)
{
    (void)c;
    snprintf(out, size, "L\n");
}

static bool
fire(struct client *c)
{
    struct bench *b = c->bench;

    b->tally.sent++;
    b->tally.due++;
    client_start(c);
    return false;
}

static int
start(struct bench *b)
{
    for (unsigned i = 0; i < b->nclients; i++)
        bench_ready(b, &b->clients[i]);
    return 0;
}

static void
online(struct client *c)
{
    bench_delivered(c->bench, c->started);
    client_finish(c);
}

static void
gone(struct client *c)
{
    if (c->bench->loading)
        bench_ready(c->bench, c);
}

const struct scenario scenario_login = {
    .name = "login",
    .unit = "log-in, from connect to the echo of the initial presence",
    .sessions = 20,
    .window = 1,
    .may_share = true,
    .storm = true,
    .hello = hello,
    .start = start,
    .online = online,
    .gone = gone,
    .fire = fire,
};
