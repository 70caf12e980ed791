/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Subscriptions (specification §6.2.3): one field gives values, and each of them is a response of
 * its own. Responses are made one after the other, so that they keep the order of the values; what
 * waits is bounded.
 */
#include "config.h"

#include <stdio.h>

#include "exec.h"

struct waiting {
    json_t *value;
    struct waiting *next;
};

struct gql_subscription {
    unsigned refs; /* the owner, and a response that is being made */
    struct gql_plan *plan;
    struct gql_arena arena;
    struct field *field; /* NULL: it never began */
    const struct gql_part *part;
    const struct gql_subscription_ops *ops;
    void *arg;
    mk_gql_fn on_end;
    void *on_end_arg;
    struct waiting *first, **last;
    size_t waiting, queue_max;
    bool making;   /* a response */
    bool starting; /* the resolver is being called */
    bool finished; /* nothing comes after what waits */
    bool ended;    /* nobody is told anything more */
    json_t *last_response;
};

static void
unref(struct gql_subscription *s)
{
    if (--s->refs > 0)
        return;
    while (s->first) {
        struct waiting *w = s->first;

        s->first = w->next;
        json_decref(w->value);
        mk_free(w);
    }
    json_decref(s->last_response);
    gql_plan_unref(&s->plan);
    gql_arena_release(&s->arena);
    mk_free(s);
}

static void go(struct gql_subscription *s);

static void
on_made(json_t *response, void *arg)
{
    struct gql_subscription *s = arg;

    s->making = false;
    if (s->ended)
        json_decref(response);
    else
        s->ops->event(response, s->arg);
    go(s);
    unref(s);
}

static void
make(struct gql_subscription *s, const struct gql_field_def *def, json_t *value)
{
    struct exec *e = exec_new(s->plan, on_made, s);

    s->refs++;
    s->making = true;
    e->source = def;
    e->event = value;
    exec_run(e);
}

/* Each response that is ready at once comes back here from inside: then the loop below goes on. */
static void
go(struct gql_subscription *s)
{
    if (s->starting)
        return;
    while (!s->making && !s->ended && s->first) {
        struct waiting *w = s->first;
        json_t *value = w->value;

        s->first = w->next;
        if (!s->first)
            s->last = &s->first;
        s->waiting--;
        mk_free(w);
        s->starting = true; /* on_made must not take the next one, we do */
        make(s, s->field->group->def, value);
        s->starting = false;
    }
    if (s->finished && !s->making && !s->first && !s->ended) {
        json_t *response = s->last_response;

        s->ended = true;
        s->last_response = NULL;
        s->ops->ended(response, s->arg);
    }
}

/* The resolver needs its field no more. */
static void
drop_field(struct gql_subscription *s)
{
    struct field *f = s->field;

    f->answered = true;
    json_decref(f->args);
    json_decref(f->parent);
    f->args = f->parent = NULL;
    part_leave(s->part);
}

static struct field *
field_of(struct mk_gql_field *f)
{
    return (struct field *)((char *)f - offsetof(struct field, pub));
}

static json_t *
error_response(struct gql_subscription *s, const json_t *content)
{
    struct exec e = {.plan = s->plan, .errors = {.source = s->plan->doc->source}};
    struct field *f = s->field;
    json_t *response = json_object();

    e.root.nullable = true;
    exec_fail_at(&e, &f->place, &f->group->nodes[0]->at, 1,
                 json_string_value(json_object_get(content, "code")),
                 json_copy(json_object_get(content, "extensions")),
                 json_string_value(json_object_get(content, "message")));
    json_object_set_new(response, "errors", e.errors.list);
    json_object_set_new(response, "data", json_null());
    return response;
}

static void
finish(struct gql_subscription *s, json_t *response)
{
    s->finished = true;
    s->last_response = response;
    go(s);
}

static bool
enqueue(struct gql_subscription *s, json_t *value)
{
    struct waiting *w;

    if (s->waiting >= s->queue_max)
        return false;
    w = mk_alloc(sizeof(*w));
    *w = (struct waiting){value, NULL};
    *s->last = w;
    s->last = &w->next;
    s->waiting++;
    return true;
}

void
gql_field_next(struct mk_gql_field *pub, json_t *value)
{
    struct gql_subscription *s = field_of(pub)->subscription;

    MK_ASSERT(s && !field_of(pub)->answered);
    s->refs++;
    if (s->finished || s->ended) {
        json_decref(value);
    } else if (!enqueue(s, value ? value : json_null())) {
        json_t *error =
            gql_error_value("too_slow", "Too many values wait for this subscription.", NULL);

        json_decref(value);
        finish(s, error_response(s, gql_error_content(error)));
        json_decref(error);
    } else {
        go(s);
    }
    unref(s);
}

void
gql_field_on_end(struct mk_gql_field *pub, mk_gql_fn fn, void *arg)
{
    struct gql_subscription *s = field_of(pub)->subscription;

    MK_ASSERT(s);
    s->on_end = fn;
    s->on_end_arg = arg;
}

/* A subscription's field answers: it ends. */
static void
answer_last(struct field *f, json_t *value)
{
    struct gql_subscription *s = f->subscription;
    const json_t *content = gql_error_content(value);

    MK_ASSERT(!f->answered);
    s->refs++;
    drop_field(s);
    if (s->finished || s->ended) {
        json_decref(value);
    } else if (content) {
        json_t *response = error_response(s, content);

        json_decref(value);
        finish(s, response);
    } else {
        if (value && !enqueue(s, value))
            json_decref(value);
        finish(s, NULL);
    }
    unref(s);
}

void
gql_field_answer(struct mk_gql_field *pub, json_t *value)
{
    struct field *f = field_of(pub);

    if (f->subscription)
        answer_last(f, value);
    else
        exec_answer(f, value);
}

/* Nobody wants its values any more. */
static void
leave_field(struct gql_subscription *s)
{
    mk_gql_fn fn = s->on_end;

    if (!s->field || s->field->answered)
        return;
    s->on_end = NULL;
    if (fn)
        fn(&s->field->pub, s->on_end_arg);
    if (!s->field->answered)
        drop_field(s);
}

/* -- the beginning --------------------------------------------------------------------------- */

static void
refuse(const struct gql_plan *plan, uint32_t at, const char *text,
       const struct gql_subscription_ops *ops, void *arg)
{
    struct gql_errors errors = {.source = plan->doc->source};

    gql_report(&errors, "unsupported_operation", at, "%s", text);
    ops->ended(json_pack("{s:o}", "errors", errors.list), arg);
}

/* The field that gives the values: the only one of a category, or a root's own. */
static struct gql_group *
find_source(struct gql_plan *plan, struct gql_arena *arena, struct place **up)
{
    const struct gql_type *t = plan->view->roots[GQL_SUBSCRIPTION];
    struct gql_group *g = t ? gql_collect_root(plan, arena, t) : NULL;

    *up = GQL_NEW(arena, struct place);
    (*up)->nullable = true;
    if (g && g->def && !gql_category_is_enabled(plan, t, g->def))
        return NULL;
    while (g && g->def && !g->next && !g->def->fn) {
        struct place *p = GQL_NEW(arena, struct place);

        t = gql_ref_type(g->def->type);
        if (t->kind != GQL_K_OBJECT)
            return NULL;
        *p = (struct place){
            .up = *up, .key = g->key, .container = plan->variables, .nullable = true};
        *up = p;
        g = gql_collect_inside(plan, arena, g, t);
    }
    return g && g->def && !g->next ? g : NULL;
}

static bool
start(struct gql_subscription *s, struct gql_group *g, struct place *up,
      struct gql_argument_error *err)
{
    struct field *f = GQL_NEW(&s->arena, struct field);

    f->pub.api = s->plan->api;
    f->plan = s->plan;
    f->subscription = s;
    f->group = g;
    /* The container only says that this is not the root: nothing is put there. */
    f->place =
        (struct place){.up = up, .key = g->key, .container = s->plan->variables, .nullable = true};
    f->args = gql_coerce_arguments(g->def->args, g->nodes[0]->arguments, g->nodes[0]->at,
                                   s->plan->variables, err);
    if (!f->args)
        return false;
    s->part = g->def->part;
    if (!part_enter(s->part)) {
        json_decref(f->args);
        err->at = g->nodes[0]->at;
        snprintf(err->text, sizeof(err->text), "The module of this field is being unloaded.");
        return false;
    }
    s->field = f;
    s->starting = true;
    g->def->fn(&f->pub, s->part->arg);
    s->starting = false;
    return true;
}

struct gql_subscription *
gql_subscribe(struct gql_plan *plan, size_t queue_max, const struct gql_subscription_ops *ops,
              void *arg)
{
    struct gql_subscription *s = mk_zalloc(sizeof(*s));
    struct gql_argument_error err;
    struct gql_subscription *made;
    struct place *up;
    struct gql_group *g;

    s->refs = 2;
    s->plan = gql_plan_ref(plan);
    s->last = &s->first;
    s->queue_max = queue_max;
    s->ops = ops;
    s->arg = arg;
    g = find_source(plan, &s->arena, &up);
    if (!g) {
        refuse(plan, plan->operation->at,
               "A subscription must select exactly one field of one category that is enabled.", ops,
               arg);
        s->ended = true;
    } else if (!start(s, g, up, &err)) {
        refuse(plan, err.at, err.text, ops, arg);
        s->ended = true;
    } else {
        go(s);
    }
    if (s->ended) {
        leave_field(s);
        unref(s);
    }
    made = s->ended ? NULL : s;
    unref(s);
    return made;
}

const struct gql_part *
gql_subscription_part(const struct gql_subscription *s)
{
    return s->part;
}

void
gql_subscription_end(struct gql_subscription **subscription)
{
    struct gql_subscription *s = *subscription;

    *subscription = NULL;
    if (!s)
        return;
    s->ended = true;
    leave_field(s);
    unref(s);
}
