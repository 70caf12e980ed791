/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Service "http": HTTP/1.1 for modules, by libevent's evhttp on the workers. */
#include "config.h"

#include "internal.h"

#define C struct http_conf

static const struct mk_option options[] = {
    MK_OPTION_ADDRESSES(C, listen, "*:5280", 0, "addresses to listen at, without TLS"),
    MK_OPTION_ADDRESSES(C, listen_tls, "", 0, "addresses to listen at with TLS"),
    MK_OPTION_END};

#undef C

static int
svc_place(void *self, struct mk_module *m, const struct mk_http_place *place, struct mk_error *err)
{
    return place_open(self, m, place, err);
}

static int
svc_route(void *self, struct mk_module *m, const char *place, unsigned methods, const char *pattern,
          mk_http_fn fn, void *arg, struct mk_error *err)
{
    const struct route route = {.pattern = (char *)(uintptr_t)pattern, .methods = methods, .fn = fn, .arg = arg};

    return route_add(self, m, place, &route, err);
}

static unsigned
svc_port(void *self, const char *place, bool tls)
{
    return place_port(self, place, tls);
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct http *http = mk_zalloc(sizeof(*http));

    mk_module_set(m, http);
    http->module = m;
    pthread_mutex_init(&http->lock, NULL);
    http->tls = mk_service_get(m, "tls", MK_TLS_ABI, NULL);
    http->service = request_api;
    http->service.self = http;
    http->service.place = svc_place;
    http->service.route = svc_route;
    http->service.port = svc_port;
    return mk_service_provide(m, "http", MK_HTTP_ABI, &http->service, err);
}

static int
start(struct mk_module *m, struct mk_error *err)
{
    struct http *http = mk_module_get(m);
    const struct http_conf *conf = conf_of(http);
    const struct mk_http_place place = {.size = sizeof(place), .name = "public", .plain = &conf->listen,
                                        .tls = &conf->listen_tls};

    return place_open(http, m, &place, err);
}

static void
unload(struct mk_module *m)
{
    struct http *http = mk_module_get(m);

    routes_free(http);
    pthread_mutex_destroy(&http->lock);
    mk_free(http);
}

MK_MODULE(.name = "http", .version = "1.0", .summary = "HTTP/1.1 for modules: routes, TLS, limits",
          .after = (const char *const[]){"tls", NULL}, .provides = (const char *const[]){"http", NULL},
          .options = options, .conf_size = sizeof(struct http_conf), .init = init, .start = start,
          .unload = unload);
