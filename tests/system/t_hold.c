/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * For tests: a storage that takes its time. Messages with <hold xmlns='test'/> are held on their
 * way to an account, and presence when it comes from a client, until somebody sends <release xmlns='test'/>.
 */
#include <meerkat/c2s.h>
#include <meerkat/meerkat.h>
#include <meerkat/router.h>

#define MAX 1000

struct state {
    struct mk_module *module;
    struct {
        struct mk_hold *list[MAX];
        unsigned count;
    } lanes[64];
};

static enum mk_verdict
hold(struct state *state, struct mk_hook_head *head, struct mk_stanza *st)
{
    size_t lane = mk_worker_index(mk_worker_self());

    if (!mk_stanza_has(st, "hold", "test") || state->lanes[lane].count == MAX)
        return MK_CONTINUE;
    state->lanes[lane].list[state->lanes[lane].count++] = mk_hold(head);
    return MK_HANDLED;
}

static enum mk_verdict
on_account(struct mk_ev_route *ev, void *arg)
{
    if (mk_stanza_kind(ev->stanza) != MK_MESSAGE)
        return MK_CONTINUE;
    return hold(arg, &ev->head, ev->stanza);
}

static enum mk_verdict
on_presence(struct mk_ev_user *ev, void *arg)
{
    return hold(arg, &ev->head, ev->stanza);
}

static void
release(void *arg)
{
    struct state *state = arg;
    size_t lane = mk_worker_index(mk_worker_self());

    for (unsigned i = 0; i < state->lanes[lane].count; i++)
        mk_resume(&state->lanes[lane].list[i], MK_CONTINUE);
    state->lanes[lane].count = 0;
}

static enum mk_verdict
on_route(struct mk_ev_route *ev, void *arg)
{
    struct state *state = arg;

    if (!mk_stanza_has(ev->stanza, "release", "test"))
        return MK_CONTINUE;
    for (size_t i = 0; i < mk_worker_count(); i++)
        mk_post(state->module, mk_worker_nth(i), release, state);
    return MK_HANDLED;
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct state *state = mk_zalloc(sizeof(*state));

    (void)err;
    state->module = m;
    mk_module_set(m, state);
    if (mk_on(m, account_in, MK_PRIO_NORMAL, on_account, state) < 0 ||
        mk_on(m, user_send_presence, MK_PRIO_EARLY, on_presence, state) < 0)
        return -1;
    return mk_on(m, route_pre, MK_PRIO_NORMAL, on_route, state);
}

static void
unload(struct mk_module *m)
{
    mk_free(mk_module_get(m));
}

MK_MODULE(.name = "t_hold", .version = "1.0", .summary = "holds messages, for tests",
          .depends = (const char *const[]){"router", NULL}, .init = init, .unload = unload);
