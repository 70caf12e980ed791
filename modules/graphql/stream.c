/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Subscriptions as server-sent events. Asked for by GET each event has an `id` and its `data`, as a
 * browser's EventSource wants it; asked for by POST the events have names (next, complete), as
 * clients of the "distinct connections" protocol want them.
 */
#include "config.h"

#include <stdlib.h>

#include "internal.h"

struct stream {
    struct stream *next, **link; /* among those of this worker */
    struct call *call;
    struct gql_subscription *subscription; /* NULL: it is being started, or has ended */
    struct mk_timer *keepalive;
    uint64_t id;
    bool named;    /* by POST */
    bool started;  /* the answer has begun */
    bool starting; /* the resolver is being called */
    bool over;     /* while starting: it must end as soon as that is done */
    json_t *last;  /* and with this */
};

/* -- writing --------------------------------------------------------------------------------- */

static void
begin_answer(struct stream *s)
{
    struct mk_http_request *rq = s->call->rq;

    if (s->started)
        return;
    s->started = true;
    mk_http_set_header(rq, "Cache-Control", "no-store");
    mk_http_start(rq, 200, "text/event-stream; charset=utf-8");
}

/* False: too much waits for this client. */
static bool
write_event(struct stream *s, json_t *response)
{
    char *text = json_dumps(response, JSON_COMPACT | JSON_REAL_PRECISION(17));
    struct mk_buf out = {0};
    bool good;

    json_decref(response);
    begin_answer(s);
    if (s->named)
        mk_buf_add_cstr(&out, "event: next\n");
    mk_buf_printf(&out, "id: %llu\ndata: ", (unsigned long long)++s->id);
    mk_buf_add_cstr(&out, text ? text : "null");
    mk_buf_add_cstr(&out, "\n\n");
    free(text);
    good = mk_http_write(s->call->rq, mk_buf_str(&out));
    mk_buf_release(&out);
    return good;
}

/* -- the end --------------------------------------------------------------------------------- */

static void
stream_free(struct stream *s)
{
    struct graphql *g = s->call->graphql;

    *s->link = s->next;
    if (s->next)
        s->next->link = s->link;
    mk_timer_free(&s->keepalive);
    __atomic_sub_fetch(&g->stream_count, 1, __ATOMIC_RELAXED);
    mk_gauge_add(g->subscriptions, -1);
    mk_free(s);
}

/* Ends it; `complete`: there is nothing more to come, which a client is told. */
static void
end(struct stream *s, bool complete)
{
    struct call *c = s->call;

    if (s->starting) {
        s->over = true;
        return;
    }
    gql_subscription_end(&s->subscription);
    mk_http_on_gone(c->rq, NULL, NULL);
    begin_answer(s);
    if (complete && s->named)
        (void)mk_http_write(c->rq, MK_STR("event: complete\ndata: \n\n"));
    stream_free(s);
    mk_http_end(c->rq);
    call_free(&c);
}

static void
end_slow(struct stream *s)
{
    mk_counter_add(s->call->graphql->slow, 1);
    end(s, false);
}

static void
on_gone(struct mk_http_request *rq, void *arg)
{
    (void)rq;
    end(arg, false);
}

static void
on_keepalive(void *arg)
{
    struct stream *s = arg;

    if (!mk_http_write(s->call->rq, MK_STR(":\n\n")))
        end_slow(s);
}

/* -- what the subscription says -------------------------------------------------------------- */

static void
on_event(json_t *response, void *arg)
{
    struct stream *s = arg;

    if (!write_event(s, response))
        end_slow(s);
}

/* A mistake before the first event is answered as any other request's would be. */
static void
end_with(struct stream *s, json_t *response)
{
    struct call *c = s->call;

    if (response && !s->started) {
        bool ran = json_object_get(response, "data") != NULL;

        gql_subscription_end(&s->subscription);
        mk_http_on_gone(c->rq, NULL, NULL);
        stream_free(s);
        call_answer(c, ran ? 200 : 400, response);
        return;
    }
    if (response)
        (void)write_event(s, response);
    end(s, true);
}

static void
on_ended(json_t *response, void *arg)
{
    struct stream *s = arg;

    if (s->starting) {
        s->over = true;
        s->last = response;
    } else {
        end_with(s, response);
    }
}

static const struct gql_subscription_ops ops = {on_event, on_ended};

/* -- the beginning --------------------------------------------------------------------------- */

static bool
is_full(struct graphql *g)
{
    int64_t count = __atomic_add_fetch(&g->stream_count, 1, __ATOMIC_RELAXED);

    if (count <= conf_of(g)->max_subscriptions)
        return false;
    __atomic_sub_fetch(&g->stream_count, 1, __ATOMIC_RELAXED);
    mk_counter_add(g->subscriptions_limited, 1);
    return true;
}

static struct stream *
stream_new(struct call *c)
{
    struct graphql *g = c->graphql;
    struct stream **list = &g->streams[mk_worker_index(mk_worker_self())];
    struct stream *s = mk_zalloc(sizeof(*s));

    s->call = c;
    s->named = mk_http_method(c->rq) == MK_HTTP_POST;
    s->next = *list;
    s->link = list;
    if (s->next)
        s->next->link = &s->next;
    *list = s;
    mk_gauge_add(g->subscriptions, 1);
    return s;
}

void
stream_start(struct call *c)
{
    const struct graphql_conf *conf = conf_of(c->graphql);
    struct stream *s;

    if (is_full(c->graphql)) {
        call_refuse_text(c, 503, "too_many_subscriptions",
                         "There are too many subscriptions, try again later.");
        return;
    }
    s = stream_new(c);
    s->starting = true;
    mk_http_on_gone(c->rq, on_gone, s);
    s->subscription = gql_subscribe(c->plan, (size_t)conf->subscription_queue, &ops, s);
    s->starting = false;
    if (s->over) {
        end_with(s, s->last);
        return;
    }
    begin_answer(s);
    if (conf->keepalive)
        s->keepalive = mk_timer_every(c->graphql->module, conf->keepalive, on_keepalive, s);
}

/* -- those of somebody ----------------------------------------------------------------------- */

struct ending {
    struct graphql *graphql;
    struct gql_part *part; /* NULL: of an account */
    char *account;
};

static bool
is_meant(const struct stream *s, const struct ending *e)
{
    if (e->part)
        return s->subscription && gql_subscription_part(s->subscription) == e->part;
    return s->call->viewer.user && mk_str_is(mk_jid_text(s->call->viewer.user), e->account);
}

static void
end_here(void *arg)
{
    struct ending *e = arg;
    struct stream *s = e->graphql->streams[mk_worker_index(mk_worker_self())];

    while (s) {
        struct stream *next = s->next;

        if (is_meant(s, e))
            end(s, true);
        s = next;
    }
    gql_part_unref(&e->part);
    mk_free(e->account);
    mk_free(e);
}

static void
end_everywhere(struct graphql *g, struct gql_part *part, const char *account)
{
    if (__atomic_load_n(&g->stream_count, __ATOMIC_RELAXED) == 0)
        return;
    for (size_t i = 0; i < mk_worker_count(); i++) {
        struct ending *e = mk_alloc(sizeof(*e));

        *e = (struct ending){g, part ? gql_part_ref(part) : NULL, mk_strdup(account)};
        mk_post(g->module, mk_worker_nth(i), end_here, e);
    }
}

void
stream_end_part(struct graphql *g, struct gql_part *part)
{
    end_everywhere(g, part, NULL);
}

void
stream_end_account(struct graphql *g, const char *account)
{
    end_everywhere(g, NULL, account);
}

static void
stop_here(void *arg)
{
    struct graphql *g = arg;
    struct stream **list = &g->streams[mk_worker_index(mk_worker_self())];

    while (*list)
        end(*list, true);
}

void
stream_stop(struct graphql *g)
{
    if (g->streams)
        mk_workers_run(stop_here, g);
}

int
stream_init(struct graphql *g, struct mk_error *err)
{
    (void)err;
    g->streams = mk_zalloc(mk_worker_count() * sizeof(struct stream *));
    return 0;
}
