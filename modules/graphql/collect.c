/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The fields of a selection. */
#include "config.h"

#include "build.h"
#include "collect.h"

struct collecting {
    struct gql_plan *plan;
    struct gql_arena *arena;
    const struct gql_type *type;
    unsigned mark; /* of fragments that were gone through already */
    struct gql_group *first, **end;
};

static bool
condition(const struct gql_directive *d, const json_t *variables)
{
    const struct gql_value *v = d->arguments ? d->arguments->value : NULL;

    if (!v)
        return false;
    if (v->kind == GQL_VARIABLE)
        return json_is_true(json_object_getn(variables, v->text.p, v->text.len));
    return mk_str_is(v->text, "true");
}

bool
gql_is_skipped(const struct gql_directive *list, const json_t *variables)
{
    for (const struct gql_directive *d = list; d; d = d->next) {
        if (mk_str_is(d->name, "skip") && condition(d, variables))
            return true;
        if (mk_str_is(d->name, "include") && !condition(d, variables))
            return true;
    }
    return false;
}

static struct gql_group *
group_of(struct collecting *c, const struct gql_selection *s)
{
    struct mk_str key = gql_response_key(s);
    struct gql_group *g;

    for (g = c->first; g; g = g->next) {
        if (mk_str_is(key, g->key))
            return g;
    }
    g = GQL_NEW(c->arena, struct gql_group);
    g->key = gql_copy(c->arena, key);
    g->owner = c->type;
    g->def = gql_view_field(c->plan->view, c->type, s->name);
    *c->end = g;
    c->end = &g->next;
    return g;
}

static bool
applies(const struct gql_type *condition, const struct gql_type *object)
{
    return !condition || condition == object || gql_type_has(condition, object);
}

/* As deep as fragments lie in each other, which the limits bound. */
static void
collect(struct collecting *c, const struct gql_selection *list)
{
    for (const struct gql_selection *s = list; s; s = s->next) {
        struct gql_definition *f = s->fragment;

        if (gql_is_skipped(s->directives, c->plan->variables))
            continue;
        if (s->kind == GQL_FIELD) {
            struct gql_group *g = group_of(c, s);

            g->nodes = build_grow(c->arena, g->nodes, g->count, sizeof(*g->nodes));
            g->nodes[g->count++] = s;
        } else if (s->kind == GQL_INLINE) {
            if (applies(s->type, c->type))
                collect(c, s->selections);
        } else if (f && f->mark != c->mark) {
            f->mark = c->mark;
            if (applies(f->type, c->type))
                collect(c, f->selections);
        }
    }
}

struct gql_group *
gql_collect(struct gql_plan *plan, struct gql_arena *arena, const struct gql_type *t,
            const struct gql_selection *const *nodes, size_t count)
{
    struct collecting c = {.plan = plan, .arena = arena, .type = t, .mark = ++plan->doc->marks};

    c.end = &c.first;
    for (size_t i = 0; i < count; i++)
        collect(&c, nodes[i]->selections);
    return c.first;
}

struct gql_group *
gql_collect_root(struct gql_plan *plan, struct gql_arena *arena, const struct gql_type *t)
{
    struct collecting c = {.plan = plan, .arena = arena, .type = t, .mark = ++plan->doc->marks};

    c.end = &c.first;
    collect(&c, plan->operation->selections);
    return c.first;
}

struct gql_group *
gql_collect_inside(struct gql_plan *plan, struct gql_arena *arena, struct gql_group *g,
                   const struct gql_type *t)
{
    if (g->inside_type != t) {
        g->inside = gql_collect(plan, arena, t, g->nodes, g->count);
        g->inside_type = t;
    }
    return g->inside;
}
