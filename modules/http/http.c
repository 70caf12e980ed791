/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Service "http": HTTP/1.1 for modules, by libevent's evhttp on the workers. */
#include "config.h"

#include "internal.h"

#define C struct http_conf

static const struct mk_option options[] = {
    MK_OPTION_ADDRESSES(C, listen, "127.0.0.1:5280", 0, "addresses to listen at, without TLS"),
    MK_OPTION_ADDRESSES(C, listen_tls, "", 0, "addresses to listen at with TLS, with the certificates of [tls]"),
    MK_OPTION_SIZE(C, max_header, "16K", "1K", "64K", MK_OPT_RELOADABLE,
                   "largest request line and headers together"),
    MK_OPTION_SIZE(C, max_body, "1M", "0", "1G", MK_OPT_RELOADABLE, "largest body of a request"),
    MK_OPTION_SIZE(C, max_buffered, "64M", "64K", "64G", MK_OPT_RELOADABLE,
                   "bytes of bodies that a worker holds; requests beyond are answered with 503"),
    MK_OPTION_SIZE(C, max_queue, "1M", "16K", "1G", MK_OPT_RELOADABLE,
                   "bytes of an answer in pieces that may wait for a client; at twice that it is cut"),
    MK_OPTION_PERIOD(C, request_timeout, "30s", "100ms", "1h", MK_OPT_RELOADABLE,
                     "how long a request may take from its first byte to its last"),
    MK_OPTION_PERIOD(C, idle_timeout, "60s", "100ms", "1d", MK_OPT_RELOADABLE,
                     "how long a connection may wait for a request"),
    MK_OPTION_PERIOD(C, write_timeout, "30s", "100ms", "1h", MK_OPT_RELOADABLE,
                     "how long a client may read nothing of its answer"),
    MK_OPTION_PERIOD(C, stop_timeout, "5s", "0", "1h", MK_OPT_RELOADABLE,
                     "how long answers under way may take when a place closes"),
    MK_OPTION_INT(C, max_connections, "4000", "0", "10000000", MK_OPT_RELOADABLE,
                  "connections of a place on one worker; more are answered with 503; 0: no limit"),
    MK_OPTION_INT(C, max_connections_address, "200", "0", "10000000", MK_OPT_RELOADABLE,
                  "connections at once from one address, or one IPv6 network of 64 bits; 0: no limit"),
    MK_OPTION_LIST(C, trusted, "127.0.0.1, ::1", MK_OPT_RELOADABLE, "addresses without that limit: proxies"),
    MK_OPTION_LIST(C, cors, "", MK_OPT_RELOADABLE,
                   "origins whose pages may ask here (https://example.org), or *; empty: none"),
    MK_OPTION_BOOL(C, compression, "yes", MK_OPT_RELOADABLE, "compress texts of 1 KB and more where the client takes it"),
    MK_OPTION_BOOL(C, access_log, "no", MK_OPT_RELOADABLE, "log each request; beyond log.rate they are counted"),
    MK_OPTION_BOOL(C, server_header, "no", MK_OPT_RELOADABLE, "tell clients what server this is"),
    MK_OPTION_PERIOD(C, hsts, "0", "0", "1000d", MK_OPT_RELOADABLE,
                     "with TLS: how long browsers shall come with TLS only (RFC 6797); 0: not said"),
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

static int
svc_files(void *self, struct mk_module *m, const char *place, const struct mk_http_static *files, size_t count,
          struct mk_error *err)
{
    return files_add(self, m, place, files, count, err);
}

static unsigned
svc_port(void *self, const char *place, bool tls)
{
    return place_port(self, place, tls);
}

static double
ask_buffered(void *arg)
{
    const struct http *http = arg;
    size_t sum = 0;

    for (size_t i = 0; i < mk_worker_count(); i++)
        sum += __atomic_load_n(&http->workers[i].buffered, __ATOMIC_RELAXED);
    return (double)sum;
}

static double
ask_buffered_limit(void *arg)
{
    const struct http *http = arg;

    return (double)conf_of(http)->max_buffered * (double)mk_worker_count();
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct http *http = mk_zalloc(sizeof(*http));

    mk_module_set(m, http);
    http->module = m;
    pthread_mutex_init(&http->lock, NULL);
    http->addresses = addresses_new();
    http->workers = mk_zalloc(mk_worker_count() * sizeof(*http->workers));
    http->tls = mk_service_get(m, "tls", MK_TLS_ABI, NULL);
    http->service = request_api;
    http->service.self = http;
    http->service.place = svc_place;
    http->service.route = svc_route;
    http->service.files = svc_files;
    http->service.port = svc_port;
    mk_gauge_ask(m, "http_buffered_bytes", NULL, "Memory of bodies of requests under way", ask_buffered, http);
    mk_gauge_ask(m, "http_buffered_limit_bytes", NULL, "What they may have", ask_buffered_limit, http);
    mk_on_turn_end(m, http_turn_end, http);
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
    addresses_free(http->addresses);
    mk_free(http->workers);
    pthread_mutex_destroy(&http->lock);
    mk_free(http);
}

MK_MODULE(.name = "http", .version = "1.0", .summary = "HTTP/1.1 for modules: routes, TLS, limits",
          .after = (const char *const[]){"tls", NULL}, .provides = (const char *const[]){"http", NULL},
          .options = options, .conf_size = sizeof(struct http_conf), .init = init, .start = start,
          .unload = unload);
