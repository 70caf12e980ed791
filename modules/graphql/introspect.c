/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Introspection (specification §4): the fields __schema and __type, from the schema as it is in
 * memory. */
#include "config.h"

#include "collect.h"

enum meta {
    META_SCHEMA,
    META_TYPE,
    META_FIELD,
    META_INPUT,
    META_ENUM_VALUE,
    META_DIRECTIVE,
    META_COUNT
};

struct intro {
    struct gql_plan *plan;
    const struct gql_view *view;
    struct gql_arena arena;
    const struct gql_type *types[META_COUNT];
};

/* One thing of a schema. A type is a reference, for it may be wrapped. */
struct thing {
    enum meta meta;
    const void *is;
};

static json_t *describe(struct intro *in, struct thing t, struct gql_group *asked);

static json_t *
text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

static const struct gql_ref *
named(struct intro *in, const struct gql_type *t)
{
    struct gql_ref *r;

    if (!t)
        return NULL;
    r = GQL_NEW(&in->arena, struct gql_ref);
    r->kind = GQL_NAMED;
    r->type = t;
    return r;
}

static json_t *
type_of(struct intro *in, const struct gql_ref *r, struct gql_group *g)
{
    return r ? describe(in, (struct thing){META_TYPE, r}, g) : json_null();
}

static bool
wants_deprecated(struct intro *in, const struct gql_group *g)
{
    struct gql_argument_error err;
    json_t *args =
        gql_coerce_arguments(g->def->args, g->nodes[0]->arguments, 0, in->plan->variables, &err);
    bool wants = json_is_true(json_object_get(args, "includeDeprecated"));

    json_decref(args);
    return wants;
}

static json_t *
inputs_of(struct intro *in, const struct gql_input_def *d, struct gql_group *g)
{
    json_t *list = json_array();
    bool deprecated = wants_deprecated(in, g);

    for (; d; d = d->next) {
        if (!d->deprecated || deprecated)
            json_array_append_new(list, describe(in, (struct thing){META_INPUT, d}, g));
    }
    return list;
}

/* -- __Schema -------------------------------------------------------------------------------- */

static json_t *
schema_member(struct intro *in, const char *name, struct gql_group *g)
{
    const struct gql_view *v = in->view;
    json_t *list;

    if (strcmp(name, "queryType") == 0)
        return type_of(in, named(in, v->roots[GQL_QUERY]), g);
    if (strcmp(name, "mutationType") == 0)
        return type_of(in, named(in, v->roots[GQL_MUTATION]), g);
    if (strcmp(name, "subscriptionType") == 0)
        return type_of(in, named(in, v->roots[GQL_SUBSCRIPTION]), g);
    if (strcmp(name, "types") != 0 && strcmp(name, "directives") != 0)
        return json_null();
    list = json_array();
    for (size_t i = 0; *name == 't' && i < v->type_count; i++)
        json_array_append_new(list, type_of(in, named(in, v->types[i]), g));
    for (const struct gql_directive_def *d = v->schema->directives; *name == 'd' && d; d = d->next)
        json_array_append_new(list, describe(in, (struct thing){META_DIRECTIVE, d}, g));
    return list;
}

/* -- __Type ---------------------------------------------------------------------------------- */

static json_t *
fields_of(struct intro *in, const struct gql_type *t, struct gql_group *g)
{
    bool deprecated = wants_deprecated(in, g);
    json_t *list = json_array();

    for (const struct gql_field_def *f = t->fields; f; f = f->next) {
        if (!f->deprecated || deprecated)
            json_array_append_new(list, describe(in, (struct thing){META_FIELD, f}, g));
    }
    return list;
}

static json_t *
values_of(struct intro *in, const struct gql_type *t, struct gql_group *g)
{
    bool deprecated = wants_deprecated(in, g);
    json_t *list = json_array();

    for (const struct gql_enum_value *v = t->values; v; v = v->next) {
        if (!v->deprecated || deprecated)
            json_array_append_new(list, describe(in, (struct thing){META_ENUM_VALUE, v}, g));
    }
    return list;
}

static json_t *
members_of(struct intro *in, const struct gql_member *members, size_t count, struct gql_group *g)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++) {
        if (members[i].type->views & in->view->bit)
            json_array_append_new(list, type_of(in, named(in, members[i].type), g));
    }
    return list;
}

static json_t *
type_list(struct intro *in, const struct gql_type *t, const char *name, struct gql_group *g)
{
    bool has_fields = t->kind == GQL_K_OBJECT || t->kind == GQL_K_INTERFACE;

    if (strcmp(name, "fields") == 0 && has_fields)
        return fields_of(in, t, g);
    if (strcmp(name, "interfaces") == 0 && has_fields)
        return members_of(in, t->interfaces, t->interface_count, g);
    if (strcmp(name, "possibleTypes") == 0 &&
        (t->kind == GQL_K_INTERFACE || t->kind == GQL_K_UNION))
        return members_of(in, t->possible, t->possible_count, g);
    if (strcmp(name, "enumValues") == 0 && t->kind == GQL_K_ENUM)
        return values_of(in, t, g);
    if (strcmp(name, "inputFields") == 0 && t->kind == GQL_K_INPUT)
        return inputs_of(in, t->inputs, g);
    return json_null();
}

static json_t *
type_member(struct intro *in, const struct gql_ref *r, const char *name, struct gql_group *g)
{
    if (r->kind != GQL_NAMED) {
        if (strcmp(name, "kind") == 0)
            return json_string(r->kind == GQL_LIST_OF ? "LIST" : "NON_NULL");
        return strcmp(name, "ofType") == 0 ? type_of(in, r->of, g) : json_null();
    }
    if (strcmp(name, "kind") == 0)
        return json_string(gql_kind_name(r->type->kind));
    if (strcmp(name, "name") == 0)
        return json_string(r->type->name);
    if (strcmp(name, "description") == 0)
        return text_or_null(r->type->description);
    if (strcmp(name, "specifiedByURL") == 0)
        return text_or_null(r->type->specified_by);
    return type_list(in, r->type, name, g);
}

/* -- the others ------------------------------------------------------------------------------ */

static json_t *
field_member(struct intro *in, const struct gql_field_def *f, const char *name, struct gql_group *g)
{
    if (strcmp(name, "name") == 0)
        return json_string(f->name);
    if (strcmp(name, "description") == 0)
        return text_or_null(f->description);
    if (strcmp(name, "args") == 0)
        return inputs_of(in, f->args, g);
    if (strcmp(name, "type") == 0)
        return type_of(in, f->type, g);
    if (strcmp(name, "isDeprecated") == 0)
        return json_boolean(f->deprecated != NULL);
    return text_or_null(f->deprecated);
}

static json_t *
input_member(struct intro *in, const struct gql_input_def *d, const char *name, struct gql_group *g)
{
    struct mk_buf text = {0};
    json_t *value;

    if (strcmp(name, "name") == 0)
        return json_string(d->name);
    if (strcmp(name, "description") == 0)
        return text_or_null(d->description);
    if (strcmp(name, "type") == 0)
        return type_of(in, d->type, g);
    if (strcmp(name, "isDeprecated") == 0)
        return json_boolean(d->deprecated != NULL);
    if (strcmp(name, "deprecationReason") == 0)
        return text_or_null(d->deprecated);
    if (!d->preset)
        return json_null();
    gql_print_literal(&text, d->preset);
    value = json_string(mk_buf_cstr(&text));
    mk_buf_release(&text);
    return value;
}

static json_t *
value_member(const struct gql_enum_value *v, const char *name)
{
    if (strcmp(name, "name") == 0)
        return json_string(v->name);
    if (strcmp(name, "description") == 0)
        return text_or_null(v->description);
    if (strcmp(name, "isDeprecated") == 0)
        return json_boolean(v->deprecated != NULL);
    return text_or_null(v->deprecated);
}

static json_t *
directive_member(struct intro *in, const struct gql_directive_def *d, const char *name,
                 struct gql_group *g)
{
    json_t *list;

    if (strcmp(name, "name") == 0)
        return json_string(d->name);
    if (strcmp(name, "description") == 0)
        return text_or_null(d->description);
    if (strcmp(name, "isRepeatable") == 0)
        return json_boolean(d->repeatable);
    if (strcmp(name, "args") == 0)
        return inputs_of(in, d->args, g);
    list = json_array();
    for (size_t i = 0; i < GQL_PLACES; i++) {
        if (d->places & 1u << i)
            json_array_append_new(list, json_string(gql_place_names[i]));
    }
    return list;
}

static json_t *
member(struct intro *in, struct thing t, struct gql_group *g)
{
    const char *name = g->def->name;

    if (g->def == in->plan->schema->typename_field)
        return json_string(in->types[t.meta]->name);
    switch (t.meta) {
    case META_SCHEMA:
        return schema_member(in, name, g);
    case META_TYPE:
        return type_member(in, t.is, name, g);
    case META_FIELD:
        return field_member(in, t.is, name, g);
    case META_INPUT:
        return input_member(in, t.is, name, g);
    case META_ENUM_VALUE:
        return value_member(t.is, name);
    default:
        return directive_member(in, t.is, name, g);
    }
}

/* As deep as the query is. */
static json_t *
describe(struct intro *in, struct thing t, struct gql_group *asked)
{
    json_t *object = json_object();

    for (struct gql_group *g = gql_collect_inside(in->plan, &in->arena, asked, in->types[t.meta]);
         g; g = g->next) {
        if (g->def)
            json_object_set_new(object, g->key, member(in, t, g));
    }
    return object;
}

json_t *
gql_introspect(struct gql_plan *plan, const struct gql_field_def *root,
               const struct gql_selection *const *nodes, size_t count, const json_t *args)
{
    static const char *const names[META_COUNT] = {
        [META_SCHEMA] = "__Schema",        [META_TYPE] = "__Type",
        [META_FIELD] = "__Field",          [META_INPUT] = "__InputValue",
        [META_ENUM_VALUE] = "__EnumValue", [META_DIRECTIVE] = "__Directive"};
    struct intro in = {.plan = plan, .view = plan->view};
    struct gql_group asked = {
        .def = root, .nodes = (const struct gql_selection **)(uintptr_t)nodes, .count = count};
    const char *name = json_string_value(json_object_get(args, "name"));
    json_t *result;

    for (size_t i = 0; i < META_COUNT; i++)
        in.types[i] = gql_find_type(plan->schema, mk_str_of(names[i]));
    if (root == plan->schema->schema_field)
        result = describe(&in, (struct thing){META_SCHEMA, plan->view}, &asked);
    else
        result = type_of(&in, named(&in, gql_view_type(plan->view, mk_str_of(name))), &asked);
    gql_arena_release(&in.arena);
    return result;
}
