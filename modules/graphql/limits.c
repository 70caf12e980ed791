/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * What an operation would cost. Each fragment is reckoned once, however often it is used, so that
 * fragments which double each other are found out in a time that depends on the text alone.
 */
#include "config.h"

#include <stdio.h>

#include "collect.h"
#include "limits.h"

#define ITEMS 10 /* that a list is reckoned with where no argument says how many */
#define MOST (SIZE_MAX / 4)

const char *const gql_limit_names[GQL_LIMITS] = {
    [GQL_MAX_QUERY] = "query",
    [GQL_MAX_TOKENS] = "tokens",
    [GQL_MAX_DEPTH] = "depth",
    [GQL_MAX_FIELDS] = "fields",
    [GQL_MAX_ALIASES] = "aliases",
    [GQL_MAX_COMPLEXITY] = "complexity",
    [GQL_MAX_INTROSPECTION] = "introspection",
};

const char *const gql_limit_codes[GQL_LIMITS] = {
    [GQL_MAX_QUERY] = "query_too_long",
    [GQL_MAX_TOKENS] = "too_many_tokens",
    [GQL_MAX_DEPTH] = "query_too_deep",
    [GQL_MAX_FIELDS] = "too_many_fields",
    [GQL_MAX_ALIASES] = "too_many_aliases",
    [GQL_MAX_COMPLEXITY] = "query_too_complex",
    [GQL_MAX_INTROSPECTION] = "introspection_too_deep",
};

struct cost {
    size_t depth, fields, aliases, complexity, introspection;
    uint32_t introspection_at; /* the field __schema or __type of that */
};

/* Of fragments, by definition. */
struct known {
    const struct gql_definition *fragment;
    struct cost cost;
    struct known *next;
};

struct reckoning {
    const struct gql_plan *plan;
    struct gql_arena arena;
    struct known *known;
};

static size_t
plus(size_t a, size_t b)
{
    return a + b > MOST ? MOST : a + b;
}

static size_t
times(size_t a, size_t b)
{
    return b && a > MOST / b ? MOST : a * b;
}

static void
add(struct cost *to, const struct cost *more)
{
    to->depth = more->depth > to->depth ? more->depth : to->depth;
    if (more->introspection > to->introspection) {
        to->introspection = more->introspection;
        to->introspection_at = more->introspection_at;
    }
    to->fields = plus(to->fields, more->fields);
    to->aliases = plus(to->aliases, more->aliases);
    to->complexity = plus(to->complexity, more->complexity);
}

static bool
is_list(const struct gql_ref *r)
{
    while (r->kind == GQL_NON_NULL)
        r = r->of;
    return r->kind == GQL_LIST_OF;
}

/* The argument `limit`, where a field has one. */
static size_t
items_of(struct reckoning *r, const struct gql_selection *s)
{
    const struct gql_input_def *limit = gql_find_input(s->def->args, MK_STR("limit"));
    struct gql_argument_error err;
    json_t *args =
        limit ? gql_coerce_arguments(s->def->args, s->arguments, 0, r->plan->variables, &err)
              : NULL;
    const json_t *value = json_object_get(args, "limit");
    size_t items = ITEMS;

    if (json_is_integer(value) && json_integer_value(value) >= 0)
        items = (size_t)json_integer_value(value);
    json_decref(args);
    return items ? items : 1;
}

static struct cost reckon(struct reckoning *r, const struct gql_selection *list);

static struct cost
reckon_field(struct reckoning *r, const struct gql_selection *s)
{
    struct cost inside = reckon(r, s->selections);
    bool meta = s->def->part->base && strncmp(s->parent->name, "__", 2) == 0;

    inside.depth++;
    inside.fields = plus(inside.fields, 1);
    if (s->alias.p && !mk_str_eq(s->alias, s->name))
        inside.aliases = plus(inside.aliases, 1);
    if (is_list(s->def->type) && s->selections && !meta)
        inside.complexity = times(inside.complexity, items_of(r, s));
    inside.complexity = plus(inside.complexity, 1);
    /* As graphql-js counts: lists of the schema in lists of the schema. */
    if (meta &&
        (strcmp(s->def->name, "fields") == 0 || strcmp(s->def->name, "interfaces") == 0 ||
         strcmp(s->def->name, "possibleTypes") == 0 || strcmp(s->def->name, "inputFields") == 0))
        inside.introspection++;
    if (s->def == r->plan->schema->schema_field || s->def == r->plan->schema->type_field)
        inside.introspection_at = s->at;
    return inside;
}

static struct cost
reckon_fragment(struct reckoning *r, const struct gql_definition *d)
{
    struct known *k = r->known;

    while (k && k->fragment != d)
        k = k->next;
    if (!k) {
        k = GQL_NEW(&r->arena, struct known);
        k->fragment = d;
        k->next = r->known;
        r->known = k;
        k->cost = reckon(r, d->selections);
    }
    return k->cost;
}

static struct cost
reckon(struct reckoning *r, const struct gql_selection *list)
{
    struct cost cost = {0};

    for (const struct gql_selection *s = list; s; s = s->next) {
        struct cost one = {0};

        if (s->kind == GQL_FIELD && s->def && s->parent)
            one = reckon_field(r, s);
        else if (s->kind == GQL_INLINE)
            one = reckon(r, s->selections);
        else if (s->kind == GQL_SPREAD && s->fragment)
            one = reckon_fragment(r, s->fragment);
        add(&cost, &one);
    }
    return cost;
}

bool
gql_within_limits(const struct gql_plan *plan, const struct gql_limits *limits,
                  enum gql_limit *limit, struct gql_errors *errors)
{
    static const char *const texts[GQL_LIMITS] = {
        [GQL_MAX_DEPTH] = "The operation is %zu levels deep; %zu are allowed.",
        [GQL_MAX_FIELDS] = "The operation selects %zu fields; %zu are allowed.",
        [GQL_MAX_ALIASES] = "The operation has %zu aliases; %zu are allowed.",
        [GQL_MAX_COMPLEXITY] = "The operation's complexity is %zu; %zu is allowed.",
        [GQL_MAX_INTROSPECTION] = "Maximum introspection depth exceeded",
    };
    struct reckoning r = {.plan = plan};
    struct cost cost = reckon(&r, plan->operation->selections);
    const size_t have[GQL_LIMITS] = {
        [GQL_MAX_DEPTH] = cost.depth,
        [GQL_MAX_FIELDS] = cost.fields,
        [GQL_MAX_ALIASES] = cost.aliases,
        [GQL_MAX_COMPLEXITY] = cost.complexity,
        [GQL_MAX_INTROSPECTION] = cost.introspection,
    };
    char text[200];

    gql_arena_release(&r.arena);
    for (size_t i = 0; i < GQL_LIMITS; i++) {
        if (!texts[i] || have[i] <= limits->max[i])
            continue;
        *limit = (enum gql_limit)i;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(text, sizeof(text), texts[i], have[i], limits->max[i]);
#pragma GCC diagnostic pop
        gql_report_path(errors, gql_limit_codes[i],
                        i == GQL_MAX_INTROSPECTION ? &cost.introspection_at : &plan->operation->at,
                        1, NULL, NULL, text);
        return false;
    }
    return true;
}
