/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* /metrics: everything that modules count, for Prometheus and whoever speaks its formats. */
#include "config.h"

#include "internal.h"

#include <strings.h>

struct metrics_conf {
    struct mk_option_list listen;
    char *token;
};

struct metrics {
    struct mk_module *module;
    const struct mk_http *http;
    struct process process;
    struct lag lag;
};

#define C struct metrics_conf

static const struct mk_option options[] = {
    MK_OPTION_ADDRESSES(C, listen, "", 0, "addresses of a place of its own; empty: at those of [http]"),
    MK_OPTION_SECRET(C, token, NULL, MK_OPT_RELOADABLE,
                     "whoever asks must show this (Authorization: Bearer …); empty: anybody may ask"),
    MK_OPTION_END};

#undef C

#define OPEN_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define PLAIN_TYPE "text/plain; version=0.0.4; charset=utf-8"

static bool
may_ask(struct mk_http_request *rq, const char *token)
{
    const char *shown = mk_http_header(rq, "Authorization");

    if (!token || !*token)
        return true;
    return shown && strncasecmp(shown, "Bearer ", 7) == 0 && mk_str_eq_secret(mk_str_of(shown + 7), mk_str_of(token));
}

static void
add(const struct mk_metric *metric, void *arg)
{
    format_add(arg, metric);
}

static void
on_metrics(struct mk_http_request *rq, void *arg)
{
    struct metrics *self = arg;
    const struct metrics_conf *conf = mk_module_conf(self->module, NULL);
    struct format f;

    if (!may_ask(rq, conf->token)) {
        mk_http_set_header(rq, "WWW-Authenticate", "Bearer");
        mk_http_answer(rq, 401, "text/plain", MK_STR("a token is needed\n"));
        return;
    }
    process_refresh(&self->process);
    format_begin(&f, format_wants_open(mk_http_header(rq, "Accept")));
    mk_metric_each(add, &f);
    format_end(&f);
    if (f.refused)
        mk_log(self->module, MK_LOG_ERROR, "metrics.name", "%u metrics have names or labels that Prometheus does not take",
               f.refused);
    mk_http_set_header(rq, "Cache-Control", "no-store");
    mk_http_answer(rq, 200, f.open ? OPEN_TYPE : PLAIN_TYPE, mk_buf_str(&f.out));
    format_release(&f);
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    const struct metrics_conf *conf = mk_module_conf(m, NULL);
    struct metrics *self = mk_zalloc(sizeof(*self));

    mk_module_set(m, self);
    self->module = m;
    self->http = mk_http_get(m, err);
    if (!self->http)
        return -1;
    process_init(&self->process, m);
    lag_init(&self->lag, m);
    return mk_http_route(self->http, m, conf->listen.count ? "metrics" : "public", MK_HTTP_GET, "/metrics", on_metrics,
                         self, err);
}

static int
start(struct mk_module *m, struct mk_error *err)
{
    const struct metrics_conf *conf = mk_module_conf(m, NULL);
    struct metrics *self = mk_module_get(m);
    const struct mk_http_place place = {.size = sizeof(place), .name = "metrics", .plain = &conf->listen};

    lag_start(&self->lag);
    return conf->listen.count ? self->http->place(self->http->self, m, &place, err) : 0;
}

static void
stop(struct mk_module *m)
{
    struct metrics *self = mk_module_get(m);

    lag_stop(&self->lag);
}

static void
unload(struct mk_module *m)
{
    struct metrics *self = mk_module_get(m);

    lag_release(&self->lag);
    mk_free(self);
}

MK_MODULE(.name = "metrics", .version = "1.0", .summary = "/metrics for Prometheus, in its text format and OpenMetrics 1.0",
          .depends = (const char *const[]){"http", NULL}, .options = options, .conf_size = sizeof(struct metrics_conf),
          .init = init, .start = start, .stop = stop, .unload = unload);
