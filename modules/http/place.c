/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Places: named sets of listeners, with an evhttp on each worker that takes connections from the worker's own sockets. */
#include "config.h"

#include "internal.h"

#include <event2/bufferevent_ssl.h>
#include <openssl/ssl.h>

/* -- on a worker ------------------------------------------------------------------------------- */

static struct bufferevent *
new_tls(struct event_base *base, void *arg)
{
    struct lane *lane = arg;
    struct http *http = lane->place->http;
    SSL_CTX *ctx = http->tls->server(http->tls->self, NULL, false);
    SSL *ssl = ctx ? SSL_new(ctx) : NULL;
    struct bufferevent *bev;

    SSL_CTX_free(ctx);
    if (!ssl)
        return NULL;
    bev = bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
    if (bev)
        bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    else
        SSL_free(ssl);
    return bev;
}

static struct bufferevent *
new_plain(struct event_base *base, void *arg)
{
    (void)arg;
    return bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
}

static struct evhttp *
server_new(struct lane *lane, bool tls)
{
    struct evhttp *ev = evhttp_new(mk_worker_base(lane->worker));

    if (!ev)
        MK_BUG("evhttp cannot be made");
    evhttp_set_allowed_methods(ev, 0xffff);
    evhttp_set_default_content_type(ev, NULL);
    evhttp_set_gencb(ev, on_request, lane);
    evhttp_set_bevcb(ev, tls ? new_tls : new_plain, lane);
    evhttp_set_max_body_size(ev, (ev_ssize_t)lane->place->max_body);
    evhttp_set_max_headers_size(ev, 16384);
    return ev;
}

static void
accept_at(struct lane *lane, const struct place_listener *l)
{
    struct evhttp **ev = l->tls ? &lane->tls : &lane->plain;
    int fd = mk_listener_socket(l->socket, lane->worker);
    struct evconnlistener *accepting;

    if (fd < 0)
        return;
    if (!*ev)
        *ev = server_new(lane, l->tls);
    /* The socket is the core's: it is not closed with this. */
    accepting = evconnlistener_new(mk_worker_base(lane->worker), NULL, NULL, LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (!accepting || !evhttp_bind_listener(*ev, accepting))
        MK_BUG("evhttp does not listen");
}

static void
start_here(void *arg)
{
    struct place *place = arg;
    struct lane *lane = &place->lanes[mk_worker_index(mk_worker_self())];

    lane->place = place;
    lane->worker = mk_worker_self();
    for (size_t i = 0; i < place->count; i++)
        accept_at(lane, &place->listeners[i]);
}

static void
stop_here(void *arg)
{
    struct place *place = arg;
    struct lane *lane = &place->lanes[mk_worker_index(mk_worker_self())];

    if (lane->plain)
        evhttp_free(lane->plain);
    if (lane->tls)
        evhttp_free(lane->tls);
}

/* -- on the main thread -------------------------------------------------------------------------- */

static void
place_undo(void *thing)
{
    struct place *place = thing;

    pthread_mutex_lock(&place->http->lock);
    place->site->place = NULL;
    pthread_mutex_unlock(&place->http->lock);
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
    *place = (struct place){.site = site, .http = http, .owner = m, .max_body = what->max_body ? what->max_body : 1048576};
    place->lanes = mk_zalloc(mk_worker_count() * sizeof(*place->lanes));
    if (listen_all(place, what->plain, false, err) < 0 || listen_all(place, what->tls, true, err) < 0) {
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
