/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Operations, their fields, and who waits for whom. */
#include "config.h"

#include <stdio.h>

#include <meerkat/log.h>

#include "exec.h"

/* Fields that are executed one after the other. */
struct sequence {
    struct exec *exec;
    struct counter counter;
    struct place *at;
    const struct gql_type *type;
    json_t *object;
    struct gql_group *next;
    bool running;
    struct sequence *other; /* of the same execution */
};

/* -- plans ----------------------------------------------------------------------------------- */

struct gql_plan *
gql_plan_new(const struct gql_view *view, struct mk_str source)
{
    struct gql_plan *p = mk_zalloc(sizeof(*p));

    p->refs = 1;
    p->schema = gql_schema_ref(view->schema);
    p->view = view;
    p->source = mk_str_dup(source);
    return p;
}

struct gql_plan *
gql_plan_ref(struct gql_plan *p)
{
    p->refs++;
    return p;
}

void
gql_plan_unref(struct gql_plan **plan)
{
    struct gql_plan *p = *plan;

    *plan = NULL;
    if (!p || --p->refs > 0)
        return;
    mk_jid_unref((struct mk_jid **)(uintptr_t)&p->viewer.user);
    json_decref(p->variables);
    gql_arena_release(&p->arena);
    gql_schema_unref(&p->schema);
    mk_free(p->source);
    mk_free(p);
}

bool
gql_category_is_enabled(const struct gql_plan *p, const struct gql_type *t,
                        const struct gql_field_def *def)
{
    if (!p->categories || !t->root || def->part->base)
        return true;
    for (size_t i = 0; i < p->categories->count; i++) {
        if (strcmp(p->categories->items[i], def->name) == 0)
            return true;
    }
    return false;
}

/* -- the beginning and the end --------------------------------------------------------------- */

void
gql_running_init(struct gql_running *r)
{
    r->first = NULL;
    r->last = &r->first;
}

static void
enlist(struct exec *e)
{
    struct gql_running *r = e->plan->running;

    if (!r)
        return;
    e->begun = r->tick;
    e->link = r->last;
    *r->last = e;
    r->last = &e->next;
    if (r->begun)
        r->begun(r);
}

static void
delist(struct exec *e)
{
    if (!e->link)
        return;
    *e->link = e->next;
    if (e->next)
        e->next->link = e->link;
    else
        e->plan->running->last = e->link;
    e->link = NULL;
    e->next = NULL;
}

struct exec *
exec_new(struct gql_plan *plan, gql_done_fn done, void *arg)
{
    struct exec *e = mk_zalloc(sizeof(*e));

    e->plan = gql_plan_ref(plan);
    e->errors.source = plan->doc->source;
    e->root.nullable = true;
    e->serial = plan->operation->operation == GQL_MUTATION;
    e->done = done;
    e->arg = arg;
    enlist(e);
    return e;
}

static void
respond(struct exec *e)
{
    json_t *response = json_object();

    delist(e);
    if (e->errors.list)
        json_object_set_new(response, "errors", e->errors.list);
    json_object_set_new(response, "data", e->data ? e->data : json_null());
    e->errors.list = NULL;
    e->data = NULL;
    e->done(response, e->arg);
}

static void
finish(struct exec *e)
{
    struct gql_running *late = e->expired ? e->plan->running : NULL;

    if (!e->expired)
        respond(e);
    json_decref(e->event);
    gql_plan_unref(&e->plan);
    gql_arena_release(&e->arena);
    mk_free(e);
    if (late && late->late)
        late->late(late, -1);
}

static void sequence_go(struct sequence *q);

void
counter_leave(struct exec *e, struct counter *c)
{
    MK_ASSERT(c->pending > 0);
    if (--c->pending > 0)
        return;
    if (c->sequence)
        sequence_go(c->sequence);
    else
        finish(e);
}

/* -- fields ---------------------------------------------------------------------------------- */

bool
part_enter(const struct gql_part *part)
{
    if (!part->module)
        return true;
    if (gql_part_is_gone(part))
        return false;
    /* Whoever unloads the module waits, after it has set `gone`, for this worker to be out of every
     * callback. */
    mk_module_enter(part->module);
    return true;
}

void
part_leave(const struct gql_part *part)
{
    if (part->module)
        mk_module_leave(part->module);
}

void
tell_gone(struct exec *e, struct place *at, struct gql_group *g)
{
    exec_fail(e, at, g, "module_unloaded",
              "Module '%s', which this field belongs to, is being unloaded.", g->def->part->name);
}

static void
call_resolver(struct exec *e, struct counter *c, const struct place *at, struct gql_group *g,
              const json_t *value, json_t *args)
{
    struct field *f = GQL_NEW(&e->arena, struct field);

    f->pub.api = e->plan->api;
    f->exec = e;
    f->counter = c;
    f->place = *at;
    f->group = g;
    f->args = args;
    f->plan = e->plan;
    f->parent = json_incref((json_t *)value);
    if (!part_enter(g->def->part)) {
        tell_gone(e, &f->place, g);
        json_decref(f->args);
        json_decref(f->parent);
        return;
    }
    c->pending++;
    f->link = &e->waiting;
    f->next = e->waiting;
    if (f->next)
        f->next->link = &f->next;
    e->waiting = f;
    g->def->fn(&f->pub, g->def->part->arg);
}

/* A field without a function: a member of its parent's value, or a category, which has no value at
 * all. */
static void
resolve_member(struct exec *e, struct counter *c, struct place *at, struct gql_group *g,
               const json_t *value)
{
    const struct gql_ref *type = g->def->type;
    const struct gql_type *named = gql_ref_type(type);

    if (value) {
        exec_complete(e, c, at, type, g, json_object_get(value, g->def->name));
        return;
    }
    if (type->kind == GQL_NON_NULL)
        type = type->of;
    if (type->kind == GQL_NAMED && named->kind == GQL_K_OBJECT)
        exec_object(e, c, at, named, gql_collect_inside(e->plan, &e->arena, g, named), NULL);
    else
        exec_complete(e, c, at, g->def->type, g, NULL);
}

static void
meta_field(struct exec *e, struct place *at, const struct gql_type *t, struct gql_group *g,
           const json_t *args)
{
    if (g->def == e->plan->schema->typename_field)
        exec_put(e, at, json_string(t->name));
    else
        exec_put(e, at, gql_introspect(e->plan, g->def, g->nodes, g->count, args));
}

static bool
is_meta(const struct gql_schema *s, const struct gql_field_def *def)
{
    return def == s->typename_field || def == s->schema_field || def == s->type_field;
}

/* The arguments, NULL: they are wrong, and that was told. */
static json_t *
arguments_of(struct exec *e, struct place *at, struct gql_group *g)
{
    struct gql_argument_error err;
    json_t *args = gql_coerce_arguments(g->def->args, g->nodes[0]->arguments, g->nodes[0]->at,
                                        e->plan->variables, &err);

    if (!args)
        exec_fail_at(e, at, &err.at, 1, "input_coercion", NULL, err.text);
    return args;
}

static void
tell_disabled(struct exec *e, struct place *at, struct gql_group *g)
{
    char text[200];

    snprintf(text, sizeof(text), "Category %s is disabled.", g->def->name);
    exec_fail_at(e, at, &g->nodes[0]->at, 1, "category_disabled",
                 json_pack("{s:s}", "category", g->def->name), text);
}

static void
exec_field(struct exec *e, struct counter *c, struct place *up, json_t *object,
           const struct gql_type *t, struct gql_group *g, const json_t *value)
{
    struct place here = {.up = up, .key = g->key, .container = object}, *at = &here;
    json_t *args = NULL;

    here.nullable = g->def->type->kind != GQL_NON_NULL;
    if (needs_place(g->def->type)) {
        at = GQL_NEW(&e->arena, struct place);
        *at = here;
    }
    if (!gql_category_is_enabled(e->plan, t, g->def)) {
        tell_disabled(e, at, g);
        return;
    }
    if (g->def->args || g->def->fn) {
        args = arguments_of(e, at, g);
        if (!args)
            return;
    }
    if (e->source == g->def) {
        exec_complete(e, c, at, g->def->type, g, e->event);
    } else if (is_meta(e->plan->schema, g->def)) {
        meta_field(e, at, t, g, args);
    } else if (g->def->fn) {
        call_resolver(e, c, at, g, value, args);
        return;
    } else {
        resolve_member(e, c, at, g, value);
    }
    json_decref(args);
}

/* -- objects --------------------------------------------------------------------------------- */

static void
sequence_go(struct sequence *q)
{
    struct counter *up = q->counter.up;
    struct exec *e = q->exec;

    /* A resolver that answers at once comes back here from inside. */
    if (q->running)
        return;
    q->running = true;
    while (q->counter.pending == 0 && q->next) {
        struct gql_group *g = q->next;

        q->next = place_is_dead(q->at) ? NULL : g->next;
        if (place_is_dead(q->at))
            break;
        q->counter.pending++;
        if (g->def)
            exec_field(e, &q->counter, q->at, q->object, q->type, g, NULL);
        q->counter.pending--;
    }
    q->running = false;
    if (q->counter.pending == 0 && !q->next)
        counter_leave(e, up);
}

static void
exec_serially(struct exec *e, struct counter *c, struct place *at, const struct gql_type *t,
              json_t *object, struct gql_group *groups)
{
    struct sequence *q = GQL_NEW(&e->arena, struct sequence);

    q->exec = e;
    q->counter.up = c;
    q->counter.sequence = q;
    q->at = at;
    q->type = t;
    q->object = object;
    q->next = groups;
    q->other = e->sequences;
    e->sequences = q;
    c->pending++;
    sequence_go(q);
}

void
exec_object(struct exec *e, struct counter *c, struct place *at, const struct gql_type *t,
            struct gql_group *groups, const json_t *value)
{
    json_t *object = json_object();

    /* In the order of the query, whoever answers first. */
    for (struct gql_group *g = groups; g; g = g->next) {
        if (g->def)
            json_object_set_new(object, g->key, json_null());
    }
    exec_put(e, at, object);
    if (e->serial && !value) {
        exec_serially(e, c, at, t, object, groups);
        return;
    }
    for (struct gql_group *g = groups; g && !place_is_dead(at); g = g->next) {
        if (g->def)
            exec_field(e, c, at, object, t, g, value);
    }
}

void
exec_run(struct exec *e)
{
    const struct gql_type *t = e->plan->view->roots[e->plan->operation->operation];

    e->counter.pending = 1;
    if (t)
        exec_object(e, &e->counter, &e->root, t, gql_collect_root(e->plan, &e->arena, t), NULL);
    counter_leave(e, &e->counter);
}

void
gql_execute(struct gql_plan *plan, gql_done_fn done, void *arg)
{
    exec_run(exec_new(plan, done, arg));
}

/* -- what lasts too long --------------------------------------------------------------------- */

/* What would come after a field that is not answered does not happen. */
static void
tell_rest(struct exec *e, struct sequence *q)
{
    for (struct gql_group *g = q->next; g && !place_is_dead(q->at); g = g->next) {
        struct place *here = GQL_NEW(&e->arena, struct place);

        if (!g->def)
            continue;
        *here = (struct place){.up = q->at,
                               .key = g->key,
                               .container = q->object,
                               .nullable = g->def->type->kind != GQL_NON_NULL};
        exec_fail(e, here, g, "timeout",
                  "Not begun: what comes before it was not answered in time.");
    }
    q->next = NULL;
}

static void
expire(struct exec *e)
{
    e->expired = true;
    for (struct field *f = e->waiting; f; f = f->next) {
        if (f->group->def->part->module)
            mk_log(f->group->def->part->module, MK_LOG_WARN, "graphql.timeout",
                   "field '%s.%s' of the API was not answered in time", f->group->owner->name,
                   f->group->def->name);
        if (!place_is_dead(&f->place))
            exec_fail(e, &f->place, f->group, "timeout",
                      "Not answered in time; what it has begun may go on.");
    }
    exec_fail_portions(e, "timeout", "Not answered in time.");
    for (struct sequence *q = e->sequences; q; q = q->other)
        tell_rest(e, q);
    if (e->plan->running->late)
        e->plan->running->late(e->plan->running, 1);
    respond(e);
}

static bool
takes_long(const struct exec *e)
{
    for (const struct field *f = e->waiting; f; f = f->next) {
        if (f->takes_long)
            return true;
    }
    return false;
}

void
gql_expire(struct gql_running *r, unsigned ticks)
{
    r->tick++;
    while (r->first && r->tick - r->first->begun > ticks) {
        struct exec *e = r->first;

        if (takes_long(e)) {
            delist(e);
            enlist(e);
        } else {
            expire(e);
        }
    }
}

/* -- for resolvers --------------------------------------------------------------------------- */

static struct field *
field_of(const struct mk_gql_field *f)
{
    return (struct field *)((char *)(uintptr_t)f - offsetof(struct field, pub));
}

struct mk_module *
gql_field_module(const struct mk_gql_field *f)
{
    return field_of(f)->group->def->part->module;
}

const struct mk_gql_viewer *
gql_field_viewer(const struct mk_gql_field *f)
{
    return &field_of(f)->plan->viewer;
}

const json_t *
gql_field_argument(const struct mk_gql_field *f, const char *name)
{
    return json_object_get(field_of(f)->args, name);
}

const json_t *
gql_field_parent(const struct mk_gql_field *f)
{
    return field_of(f)->parent;
}

bool
gql_field_is_subscription(const struct mk_gql_field *f)
{
    return field_of(f)->subscription != NULL;
}

void
gql_field_takes_long(struct mk_gql_field *f)
{
    field_of(f)->takes_long = true;
}

void
exec_answer(struct field *f, json_t *value)
{
    struct exec *e = f->exec;
    struct counter *c = f->counter;

    MK_ASSERT(!f->answered);
    f->answered = true;
    *f->link = f->next;
    if (f->next)
        f->next->link = f->link;
    if (!e->expired && !place_is_dead(&f->place))
        exec_complete(e, c, &f->place, f->group->def->type, f->group, value);
    json_decref(value);
    json_decref(f->args);
    json_decref(f->parent);
    part_leave(f->group->def->part);
    counter_leave(e, c);
}
