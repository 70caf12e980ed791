/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Places: named sets of listeners, with an evhttp on each worker that takes connections from the worker's own sockets. */
#include "config.h"

#include "internal.h"

#include <errno.h>
#include <stdio.h>

/* How long a listener rests when the process has no descriptors left. */
#define REST_MS 200

/* -- on a worker ------------------------------------------------------------------------------- */

void
lane_listen(struct lane *lane, bool on)
{
    for (size_t i = 0; i < lane->bound_count; i++) {
        struct evconnlistener *l = evhttp_bound_socket_get_listener(lane->bound[i]);

        if (on)
            evconnlistener_enable(l);
        else
            evconnlistener_disable(l);
    }
}

static void
rest_over(void *arg)
{
    struct lane *lane = arg;

    lane->resting = false;
    lane_listen(lane, true);
}

static void
on_accept_error(struct evconnlistener *l, void *arg)
{
    struct lane *lane = arg;
    int error = errno;
    struct mk_timer *timer;

    (void)l;
    if (lane->resting)
        return;
    mk_callback_begin();
    mk_log(lane->place->http->module, MK_LOG_ERROR, "http.accept", "cannot accept connections for '%s': %s",
           lane->place->site->name, strerror(error));
    lane->resting = true;
    lane_listen(lane, false);
    timer = mk_timer_new(lane->place->http->module, REST_MS, rest_over, lane);
    (void)timer;
    mk_callback_end();
}

static struct evhttp *
server_new(struct lane *lane, bool tls)
{
    struct evhttp *ev = evhttp_new(mk_worker_base(lane->worker));

    if (!ev)
        MK_BUG("evhttp cannot be made");
    /* Its limits are not used: nothing gets there that is over ours. */
    evhttp_set_allowed_methods(ev, 0xffff);
    evhttp_set_default_content_type(ev, NULL);
    evhttp_set_gencb(ev, on_request, lane);
    evhttp_set_bevcb(ev, tls ? conn_new_tls : conn_new_plain, lane);
    return ev;
}

static void
accept_at(struct lane *lane, const struct place_listener *l)
{
    struct evhttp **ev = l->tls ? &lane->tls : &lane->plain;
    int fd = mk_listener_socket(l->socket, lane->worker);
    struct evconnlistener *accepting;
    struct evhttp_bound_socket *bound;

    if (fd < 0)
        return;
    if (!*ev)
        *ev = server_new(lane, l->tls);
    /* The socket is the core's: it is not closed with this. */
    accepting = evconnlistener_new(mk_worker_base(lane->worker), NULL, NULL, LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    bound = accepting ? evhttp_bind_listener(*ev, accepting) : NULL;
    if (!bound)
        MK_BUG("evhttp does not listen");
    evconnlistener_set_error_cb(accepting, on_accept_error);
    lane->bound[lane->bound_count] = bound;
    lane->bound_to[lane->bound_count++] = *ev;
}

static struct lane *
lane_here(struct place *place)
{
    return &place->lanes[mk_worker_index(mk_worker_self())];
}

static void
start_here(void *arg)
{
    struct place *place = arg;
    struct lane *lane = lane_here(place);

    lane->place = place;
    lane->worker = mk_worker_self();
    lane->index = mk_worker_index(lane->worker);
    for (size_t i = 0; i < place->count; i++)
        accept_at(lane, &place->listeners[i]);
    lane->sweep = mk_timer_every(place->http->module, SWEEP_MS, lane_sweep, lane);
}

static void
drain_here(void *arg)
{
    struct lane *lane = lane_here(arg);

    while (lane->bound_count) {
        lane->bound_count--;
        evhttp_del_accept_socket(lane->bound_to[lane->bound_count], lane->bound[lane->bound_count]);
    }
    lane_drain(lane);
}

static void
cut_here(void *arg)
{
    lane_cut_all(lane_here(arg));
}

static void
stop_here(void *arg)
{
    struct lane *lane = lane_here(arg);

    MK_ASSERT(!lane->conns);
    mk_timer_free(&lane->sweep);
    if (lane->plain)
        evhttp_free(lane->plain);
    if (lane->tls)
        evhttp_free(lane->tls);
}

/* -- on the main thread -------------------------------------------------------------------------- */

static bool
wait_empty(struct place *place, uint64_t limit_ms)
{
    struct timespec nap = {0, 2000000};

    for (uint64_t waited = 0; __atomic_load_n(&place->conns, __ATOMIC_ACQUIRE); waited += 2) {
        if (waited > limit_ms)
            return false;
        nanosleep(&nap, NULL);
    }
    return true;
}

/* No new connections; those that have a request get its answer, within their time. */
static void
place_undo(void *thing)
{
    struct place *place = thing;
    struct http *http = place->http;

    pthread_mutex_lock(&http->lock);
    place->site->place = NULL;
    pthread_mutex_unlock(&http->lock);
    mk_workers_run(drain_here, place);
    if (!wait_empty(place, conf_of(http)->stop_timeout)) {
        mk_log(http->module, MK_LOG_WARN, "http.cut", "%zu connections to '%s' did not end in time and are cut",
               __atomic_load_n(&place->conns, __ATOMIC_RELAXED), place->site->name);
        /* A connection goes at the end of the turn in which it was cut. */
        do
            mk_workers_run(cut_here, place);
        while (!wait_empty(place, SWEEP_MS));
    }
    mk_workers_run(stop_here, place);
    mk_free(place->lanes);
    mk_free(place);
}

static int
listen_all(struct place *place, const struct mk_option_list *addresses, bool tls, struct mk_error *err)
{
    char what[64];

    /* Ours is "http" in the log, that of another module has its name. */
    snprintf(what, sizeof(what), "%s%s", place->owner == place->http->module ? "http" : place->site->name,
             tls ? " with TLS" : "");
    for (size_t i = 0; addresses && i < addresses->count; i++) {
        struct place_listener *l = &place->listeners[place->count];

        if (tls && !place->http->tls)
            return mk_fail(err, "TLS on '%s' needs certificates: see [tls]", addresses->items[i]);
        if (place->count == MAX_LISTENERS)
            return mk_fail(err, "more than %d addresses to listen at", MAX_LISTENERS);
        l->socket = mk_listen(place->owner, what, addresses->items[i], NULL, NULL, err);
        if (!l->socket)
            return -1;
        l->tls = tls;
        place->count++;
    }
    return 0;
}

int
place_open(struct http *http, struct mk_module *m, const struct mk_http_place *what, struct mk_error *err)
{
    struct site *site = site_of(http, what->name);
    struct place *place;

    if (site->place)
        return mk_fail(err, "place '%s' is open already", what->name);
    place = mk_zalloc(sizeof(*place));
    *place = (struct place){.site = site, .http = http, .owner = m, .max_body = what->max_body};
    place->lanes = mk_zalloc(mk_worker_count() * sizeof(*place->lanes));
    if (listen_all(place, what->plain, false, err) < 0 || listen_all(place, what->tls, true, err) < 0) {
        while (place->count)
            mk_listen_close(&place->listeners[--place->count].socket);
        mk_free(place->lanes);
        mk_free(place);
        return -1;
    }
    mk_workers_run(start_here, place);
    pthread_mutex_lock(&http->lock);
    site->place = place;
    pthread_mutex_unlock(&http->lock);
    mk_module_own(m, place_undo, place);
    return 0;
}

unsigned
place_port(struct http *http, const char *name, bool tls)
{
    unsigned port = 0;

    pthread_mutex_lock(&http->lock);
    for (const struct site *s = http->sites; s; s = s->next) {
        if (strcmp(s->name, name) != 0 || !s->place)
            continue;
        for (size_t i = 0; i < s->place->count && !port; i++) {
            if (s->place->listeners[i].tls == tls)
                port = mk_listener_port(s->place->listeners[i].socket);
        }
    }
    pthread_mutex_unlock(&http->lock);
    return port;
}
