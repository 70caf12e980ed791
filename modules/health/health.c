/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Health: /healthz says that the process answers, /readyz whether users may be sent to this node. c2s and sm start after
 * this module and so stop before it: while they drain, /readyz says so.
 */
#include <jansson.h>

#include <meerkat/admin.h>
#include <meerkat/http.h>
#include <meerkat/meerkat.h>

static void
answer(struct mk_http_request *rq, int status, json_t *what)
{
    char *text = json_dumps(what, JSON_COMPACT);

    json_decref(what);
    if (!text)
        MK_BUG("an answer of ours is no JSON");
    mk_http_set_header(rq, "Cache-Control", "no-store");
    mk_http_answer(rq, status, "application/json", mk_str_of(text));
    free(text);
}

static void
on_healthz(struct mk_http_request *rq, void *arg)
{
    (void)arg;
    answer(rq, 200, json_pack("{s:s}", "status", "ok"));
}

struct told {
    json_t *checks, *reasons;
};

static void
tell_check(const char *name, const char *why, void *arg)
{
    struct told *told = arg;

    json_array_append_new(told->checks, json_string(name));
    if (why)
        json_object_set_new(told->reasons, name, json_string(why));
}

static void
on_readyz(struct mk_http_request *rq, void *arg)
{
    struct told told = {json_array(), json_object()};
    bool ready = mk_ready_each(tell_check, &told);

    (void)arg;
    answer(rq, ready ? 200 : 503, json_pack("{s:s, s:o, s:o}", "status", ready ? "ready" : "not ready", "reasons",
                                            told.reasons, "checks", told.checks));
}

static double
ask_ready(void *arg)
{
    (void)arg;
    return mk_ready_each(NULL, NULL);
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    const struct mk_http *http = mk_http_get(m, err);

    if (!http || mk_http_route(http, m, "public", MK_HTTP_GET, "/healthz", on_healthz, NULL, err) < 0)
        return -1;
    mk_gauge_ask(m, "ready", NULL, "Whether users may be sent to this node: 1 or 0", ask_ready, NULL);
    return mk_http_route(http, m, "public", MK_HTTP_GET, "/readyz", on_readyz, NULL, err);
}

MK_MODULE(.name = "health", .version = "1.0", .summary = "/healthz and /readyz for orchestrators and load balancers",
          .depends = (const char *const[]){"http", NULL}, .init = init);
