/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Puts the parts of modules together: types, what extends them, resolvers, and what each schema can
 * see. */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>

#include "build.h"
#include "lexer.h"

void
build_fail(struct build *b, const struct gql_part *part, uint32_t at, const char *fmt, ...)
{
    char text[400];
    struct gql_location where;
    va_list args;

    if (b->failed)
        return;
    b->failed = true;
    b->culprit = part;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    where = gql_locate(part->doc->source, at);
    mk_fail(b->err, "schema, line %u, column %u: %s", where.line, where.column, text);
}

void *
build_grow(struct gql_arena *a, void *array, size_t count, size_t size)
{
    void *more;

    /* Full whenever the count is a power of two. */
    if (count & (count - 1))
        return array;
    more = gql_alloc(a, (count ? 2 * count : 1) * size);
    if (count)
        memcpy(more, array, count * size);
    return more;
}

/* -- types by name --------------------------------------------------------------------------- */

static const struct {
    const char *name;
    unsigned bit;
    enum gql_operation operation;
} roots[] = {
    {"AdminQuery", MK_GQL_ADMIN, GQL_QUERY},
    {"AdminMutation", MK_GQL_ADMIN, GQL_MUTATION},
    {"AdminSubscription", MK_GQL_ADMIN, GQL_SUBSCRIPTION},
    {"UserQuery", MK_GQL_USER, GQL_QUERY},
    {"UserMutation", MK_GQL_USER, GQL_MUTATION},
    {"UserSubscription", MK_GQL_USER, GQL_SUBSCRIPTION},
};

static unsigned
root_bit(const char *name)
{
    for (size_t i = 0; i < MK_COUNT(roots); i++) {
        if (strcmp(name, roots[i].name) == 0)
            return roots[i].bit;
    }
    return 0;
}

static enum gql_kind
type_kind(enum gql_definition_kind kind)
{
    switch (kind) {
    case GQL_DEF_OBJECT:
        return GQL_K_OBJECT;
    case GQL_DEF_INTERFACE:
        return GQL_K_INTERFACE;
    case GQL_DEF_UNION:
        return GQL_K_UNION;
    case GQL_DEF_ENUM:
        return GQL_K_ENUM;
    case GQL_DEF_INPUT:
        return GQL_K_INPUT;
    default:
        return GQL_K_SCALAR;
    }
}

static void
check_name(struct build *b, const struct gql_part *part, struct mk_str name, uint32_t at)
{
    if (!part->base && name.len >= 2 && memcmp(name.p, "__", 2) == 0)
        build_fail(
            b, part, at,
            "Name \"%.*s\" must not begin with \"__\", which is reserved by GraphQL introspection.",
            MK_STR_ARG(name));
}

static void
insert_type(struct gql_schema *s, struct gql_type *t)
{
    size_t at = s->type_count;

    if (s->type_count == s->type_room) {
        s->type_room = s->type_room ? 2 * s->type_room : 64;
        s->types = mk_realloc(s->types, s->type_room * sizeof(struct gql_type *));
    }
    for (; at > 0 && strcmp(s->types[at - 1]->name, t->name) > 0; at--)
        s->types[at] = s->types[at - 1];
    s->types[at] = t;
    s->type_count++;
    if (s->last)
        s->last->next = t;
    else
        s->first = t;
    s->last = t;
}

static void
define_type(struct build *b, const struct gql_part *part, const struct gql_definition *d)
{
    struct gql_type *t;

    check_name(b, part, d->name, d->name_at);
    if (gql_find_type(b->schema, d->name)) {
        build_fail(b, part, d->name_at, "There can be only one type named \"%.*s\".",
                   MK_STR_ARG(d->name));
        return;
    }
    t = GQL_NEW(&b->schema->arena, struct gql_type);
    t->kind = type_kind(d->kind);
    t->name = build_text(b, d->name);
    t->description = build_text(b, d->description);
    t->part = part;
    t->at = d->name_at;
    t->root = root_bit(t->name) != 0;
    t->ops = t->kind == GQL_K_SCALAR && part->base ? gql_scalar_ops(t->name) : NULL;
    insert_type(b->schema, t);
}

static void
define_types(struct build *b, const struct gql_part *part)
{
    for (const struct gql_definition *d = part->doc->definitions; d; d = d->next) {
        if (d->kind == GQL_DEF_OPERATION || d->kind == GQL_DEF_FRAGMENT)
            build_fail(b, part, d->at, "an operation or a fragment is no part of a schema");
        else if (d->kind == GQL_DEF_SCHEMA)
            build_fail(b, part, d->at,
                       "the roots are given: extend AdminQuery, UserMutation and so on");
        else if (d->kind != GQL_DEF_DIRECTIVE && !d->extend)
            define_type(b, part, d);
        else if (d->kind == GQL_DEF_DIRECTIVE && !part->base)
            build_fail(b, part, d->at, "a module cannot define directives");
    }
}

/* -- what is in them ------------------------------------------------------------------------- */

static const struct gql_ref *
resolve_ref(struct build *b, const struct gql_part *part, const struct gql_type_node *n)
{
    struct gql_ref *r = GQL_NEW(&b->schema->arena, struct gql_ref);

    r->kind = n->kind;
    if (n->kind != GQL_NAMED) {
        r->of = resolve_ref(b, part, n->of);
        return r;
    }
    r->type = gql_find_type(b->schema, n->name);
    if (!r->type)
        build_fail(b, part, n->at, "Unknown type \"%.*s\".", MK_STR_ARG(n->name));
    return r;
}

/* Appends to `list`, in which names must differ; `owner` is for the message. */
static void
add_input(struct build *b, const struct gql_part *part, const struct gql_input_node *n,
          struct gql_input_def **list, const char *owner, enum gql_place place)
{
    struct gql_input_def *d = GQL_NEW(&b->schema->arena, struct gql_input_def);
    struct build_marks marks = {0};

    check_name(b, part, n->name, n->at);
    if (gql_find_input(*list, n->name))
        build_fail(b, part, n->at, "%s \"%s.%.*s\" can only be defined once.",
                   place == GQL_AT_ARGUMENT_DEFINITION ? "Argument" : "Field", owner,
                   MK_STR_ARG(n->name));
    d->name = build_text(b, n->name);
    d->description = build_text(b, n->description);
    d->type = resolve_ref(b, part, n->type);
    d->preset = n->preset;
    d->part = part;
    d->at = n->at;
    build_directives(b, part, n->directives, place, &marks);
    d->deprecated = marks.deprecated;
    while (*list)
        list = &(*list)->next;
    *list = d;
}

static void
add_field(struct build *b, const struct gql_part *part, const struct gql_field_node *n,
          struct gql_type *t)
{
    struct gql_field_def *f = GQL_NEW(&b->schema->arena, struct gql_field_def), **end = &t->fields;
    struct build_marks marks = {0};
    char owner[160];

    check_name(b, part, n->name, n->at);
    if (gql_find_field(t, n->name))
        build_fail(b, part, n->at, "Field \"%s.%.*s\" can only be defined once.", t->name,
                   MK_STR_ARG(n->name));
    f->name = build_text(b, n->name);
    f->description = build_text(b, n->description);
    f->type = resolve_ref(b, part, n->type);
    f->part = part;
    f->at = n->at;
    snprintf(owner, sizeof(owner), "%.60s.%.60s", t->name, f->name);
    for (const struct gql_input_node *i = n->arguments; i; i = i->next)
        add_input(b, part, i, &f->args, owner, GQL_AT_ARGUMENT_DEFINITION);
    build_directives(b, part, n->directives, GQL_AT_FIELD_DEFINITION, &marks);
    f->deprecated = marks.deprecated;
    f->protect = marks.protect;
    while (*end)
        end = &(*end)->next;
    *end = f;
}

static void
add_value(struct build *b, const struct gql_part *part, const struct gql_field_node *n,
          struct gql_type *t)
{
    struct gql_enum_value *v = GQL_NEW(&b->schema->arena, struct gql_enum_value),
                          **end = &t->values;
    struct build_marks marks = {0};

    check_name(b, part, n->name, n->at);
    if (gql_find_enum_value(t, n->name))
        build_fail(b, part, n->at, "Enum value \"%s.%.*s\" can only be defined once.", t->name,
                   MK_STR_ARG(n->name));
    v->name = build_text(b, n->name);
    v->description = build_text(b, n->description);
    v->part = part;
    v->at = n->at;
    build_directives(b, part, n->directives, GQL_AT_ENUM_VALUE, &marks);
    v->deprecated = marks.deprecated;
    while (*end)
        end = &(*end)->next;
    *end = v;
}

static void
add_member(struct build *b, const struct gql_part *part, const struct gql_name_node *n,
           struct gql_type *t)
{
    bool interface = t->kind != GQL_K_UNION;
    struct gql_member **list = interface ? &t->interfaces : &t->possible;
    size_t *count = interface ? &t->interface_count : &t->possible_count;
    const struct gql_type *type = gql_find_type(b->schema, n->name);

    if (!type) {
        build_fail(b, part, n->at, "Unknown type \"%.*s\".", MK_STR_ARG(n->name));
        return;
    }
    for (size_t i = 0; i < *count; i++) {
        if ((*list)[i].type == type)
            build_fail(b, part, n->at,
                       interface ? "Type %s can only implement %s once."
                                 : "Union type %s can only include type %s once.",
                       t->name, type->name);
    }
    *list = build_grow(&b->schema->arena, *list, *count, sizeof(**list));
    (*list)[(*count)++] = (struct gql_member){type, part, n->at};
}

static void
fill_type(struct build *b, const struct gql_part *part, const struct gql_definition *d,
          struct gql_type *t)
{
    static const enum gql_place places[] = {
        [GQL_K_SCALAR] = GQL_AT_SCALAR,       [GQL_K_OBJECT] = GQL_AT_OBJECT,
        [GQL_K_INTERFACE] = GQL_AT_INTERFACE, [GQL_K_UNION] = GQL_AT_UNION,
        [GQL_K_ENUM] = GQL_AT_ENUM,           [GQL_K_INPUT] = GQL_AT_INPUT_OBJECT,
    };
    struct build_marks marks = {0};

    build_directives(b, part, d->directives, places[t->kind], &marks);
    if (marks.specified_by)
        t->specified_by = marks.specified_by;
    if (marks.protect.kind)
        t->protect = marks.protect;
    for (const struct gql_name_node *n = d->names; n; n = n->next)
        add_member(b, part, n, t);
    for (const struct gql_field_node *n = d->fields; n; n = n->next) {
        if (t->kind == GQL_K_ENUM)
            add_value(b, part, n, t);
        else
            add_field(b, part, n, t);
    }
    for (const struct gql_input_node *n = d->inputs; n; n = n->next)
        add_input(b, part, n, &t->inputs, t->name, GQL_AT_INPUT_FIELD_DEFINITION);
}

static void
fill_types(struct build *b, const struct gql_part *part)
{
    for (const struct gql_definition *d = part->doc->definitions; d && !b->failed; d = d->next) {
        struct gql_type *t;
        unsigned bit;

        if (d->kind == GQL_DEF_DIRECTIVE)
            continue;
        t = gql_find_type(b->schema, d->name);
        if (!t) {
            build_fail(b, part, d->name_at,
                       "Cannot extend type \"%.*s\" because it is not defined.",
                       MK_STR_ARG(d->name));
            return;
        }
        bit = root_bit(t->name);
        if (t->kind != type_kind(d->kind))
            build_fail(b, part, d->name_at,
                       "Cannot extend %s \"%s\" as if it were of another kind.",
                       gql_kind_name(t->kind), t->name);
        else if (bit && !(part->schemas & bit))
            build_fail(b, part, d->name_at, "\"%s\" belongs to a schema that was not asked for.",
                       t->name);
        else
            fill_type(b, part, d, t);
    }
}

/* -- directives of the base ------------------------------------------------------------------ */

static unsigned
places_of(struct build *b, const struct gql_part *part, const struct gql_definition *d)
{
    unsigned places = 0;

    for (const struct gql_name_node *n = d->names; n; n = n->next) {
        size_t i = 0;

        while (i < GQL_PLACES && !mk_str_is(n->name, gql_place_names[i]))
            i++;
        if (i == GQL_PLACES)
            build_fail(b, part, n->at, "Syntax Error: Unexpected Name \"%.*s\".",
                       MK_STR_ARG(n->name));
        else
            places |= 1u << i;
    }
    return places;
}

static void
define_directives(struct build *b, const struct gql_part *part)
{
    struct gql_directive_def **end = &b->schema->directives;

    for (const struct gql_definition *n = part->doc->definitions; n; n = n->next) {
        struct gql_directive_def *d;

        if (n->kind != GQL_DEF_DIRECTIVE)
            continue;
        d = GQL_NEW(&b->schema->arena, struct gql_directive_def);
        d->name = build_text(b, n->name);
        d->description = build_text(b, n->description);
        d->repeatable = n->repeatable;
        d->places = places_of(b, part, n);
        d->part = part;
        d->at = n->at;
        *end = d;
        end = &d->next;
        for (const struct gql_input_node *i = n->inputs; i; i = i->next)
            add_input(b, part, i, &d->args, d->name, GQL_AT_ARGUMENT_DEFINITION);
    }
}

/* -- resolvers and scalars ------------------------------------------------------------------- */

static void
bind_resolvers(struct build *b, const struct gql_part *part)
{
    for (const struct mk_gql_resolver *r = part->resolvers; r && r->type; r++) {
        struct gql_type *t = gql_find_type(b->schema, mk_str_of(r->type));
        struct gql_field_def *f = t ? gql_find_field(t, mk_str_of(r->field)) : NULL;

        if (!f || t->kind != GQL_K_OBJECT || f->part != part)
            build_fail(b, part, 0,
                       "there is a function for field '%s.%s', which this text does not define",
                       r->type, r->field);
        else
            f->fn = r->fn;
    }
    for (const struct gql_scalar_reader *r = part->readers; r; r = r->next) {
        struct gql_type *t = gql_find_type(b->schema, mk_str_of(r->name));

        if (!t || t->kind != GQL_K_SCALAR || t->part != part)
            build_fail(b, part, 0,
                       "there is a function for scalar '%s', which this text does not define",
                       r->name);
        else
            t->read = r->fn;
    }
}

/* -- what a schema can see ------------------------------------------------------------------- */

static void see_type(const struct gql_type *type, unsigned bit);

static void
see_inputs(const struct gql_input_def *list, unsigned bit)
{
    for (; list; list = list->next)
        see_type(gql_ref_type(list->type), bit);
}

/* As deep as types lead to each other; the text of modules is not hostile. */
static void
see_type(const struct gql_type *type, unsigned bit)
{
    struct gql_type *t = (struct gql_type *)type;

    if (t->views & bit)
        return;
    t->views |= bit;
    for (const struct gql_field_def *f = t->fields; f; f = f->next) {
        see_type(gql_ref_type(f->type), bit);
        see_inputs(f->args, bit);
    }
    see_inputs(t->inputs, bit);
    for (size_t i = 0; i < t->interface_count; i++)
        see_type(t->interfaces[i].type, bit);
    for (size_t i = 0; i < t->possible_count; i++)
        see_type(t->possible[i].type, bit);
}

static void
make_view(struct gql_schema *s, struct gql_view *v, unsigned bit)
{
    v->schema = s;
    v->bit = bit;
    for (size_t i = 0; i < MK_COUNT(roots); i++) {
        const struct gql_type *t = gql_find_type(s, mk_str_of(roots[i].name));

        /* A root that no module has put anything into is no root. */
        if (roots[i].bit != bit || !t || !t->fields)
            continue;
        v->roots[roots[i].operation] = t;
        see_type(t, bit);
    }
    for (const struct gql_directive_def *d = s->directives; d; d = d->next)
        see_inputs(d->args, bit);
    for (size_t i = 0; i < s->type_count; i++) {
        if (s->types[i]->part->base && (strncmp(s->types[i]->name, "__", 2) == 0))
            see_type(s->types[i], bit);
    }
    v->types = gql_alloc(&s->arena, s->type_count * sizeof(*v->types));
    for (size_t i = 0; i < s->type_count; i++) {
        if (s->types[i]->views & bit)
            v->types[v->type_count++] = s->types[i];
    }
}

/* Objects that have an interface, also where the interface came by another interface. */
static void
collect_possible(struct gql_schema *s)
{
    for (struct gql_type *t = s->first; t; t = t->next) {
        for (size_t k = 0; t->kind == GQL_K_OBJECT && k < t->interface_count; k++) {
            struct gql_type *interface = (struct gql_type *)t->interfaces[k].type;

            interface->possible =
                build_grow(&s->arena, interface->possible, interface->possible_count,
                           sizeof(*interface->possible));
            interface->possible[interface->possible_count++] =
                (struct gql_member){t, t->part, t->at};
        }
    }
}

/* The fields that no text defines on the types that have them. */
static void
take_meta_fields(struct gql_schema *s)
{
    struct gql_type *meta = gql_find_type(s, MK_STR("__Meta"));
    struct gql_field_def **all[] = {&s->typename_field, &s->schema_field, &s->type_field};
    size_t i = 0;

    for (struct gql_field_def *f = meta ? meta->fields : NULL; f && i < MK_COUNT(all); i++) {
        *all[i] = f;
        f = f->next;
        (*all[i])->next = NULL;
    }
    /* It is no type of the schema. */
    for (i = 0; i < s->type_count; i++) {
        if (s->types[i] != meta)
            continue;
        memmove(s->types + i, s->types + i + 1, (s->type_count - i - 1) * sizeof(*s->types));
        s->type_count--;
    }
}

struct gql_schema *
gql_schema_new(struct gql_part *const *parts, size_t count, struct gql_part **culprit,
               struct mk_error *err)
{
    struct gql_schema *s = mk_zalloc(sizeof(*s));
    struct build b = {.schema = s, .parts = parts, .count = count, .err = err};

    s->refs = 1;
    s->parts = mk_alloc((count + 1) * sizeof(*s->parts));
    for (size_t i = 0; i < count; i++)
        s->parts[s->part_count++] = gql_part_ref(parts[i]);
    for (size_t i = 0; i < count && !b.failed; i++)
        define_types(&b, parts[i]);
    if (!b.failed && count)
        define_directives(&b, parts[0]);
    for (size_t i = 0; i < count && !b.failed; i++)
        fill_types(&b, parts[i]);
    for (size_t i = 0; i < count && !b.failed; i++)
        bind_resolvers(&b, parts[i]);
    if (!b.failed) {
        collect_possible(s);
        build_check(&b);
    }
    if (b.failed) {
        for (size_t i = 0; culprit && i < count; i++) {
            if (parts[i] == b.culprit)
                *culprit = parts[i];
        }
        gql_schema_unref(&s);
        return NULL;
    }
    take_meta_fields(s);
    make_view(s, &s->views[0], MK_GQL_ADMIN);
    make_view(s, &s->views[1], MK_GQL_USER);
    return s;
}
