/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Parts and schemas as things that are counted, and what one can ask of a schema. */
#include "config.h"

#include <stdlib.h>

#include "lexer.h"
#include "parser.h"
#include "schema.h"

#define SDL_DEPTH 50

const char *const gql_place_names[GQL_PLACES] = {
    [GQL_AT_QUERY] = "QUERY",
    [GQL_AT_MUTATION] = "MUTATION",
    [GQL_AT_SUBSCRIPTION] = "SUBSCRIPTION",
    [GQL_AT_FIELD] = "FIELD",
    [GQL_AT_FRAGMENT_DEFINITION] = "FRAGMENT_DEFINITION",
    [GQL_AT_FRAGMENT_SPREAD] = "FRAGMENT_SPREAD",
    [GQL_AT_INLINE_FRAGMENT] = "INLINE_FRAGMENT",
    [GQL_AT_VARIABLE_DEFINITION] = "VARIABLE_DEFINITION",
    [GQL_AT_SCHEMA] = "SCHEMA",
    [GQL_AT_SCALAR] = "SCALAR",
    [GQL_AT_OBJECT] = "OBJECT",
    [GQL_AT_FIELD_DEFINITION] = "FIELD_DEFINITION",
    [GQL_AT_ARGUMENT_DEFINITION] = "ARGUMENT_DEFINITION",
    [GQL_AT_INTERFACE] = "INTERFACE",
    [GQL_AT_UNION] = "UNION",
    [GQL_AT_ENUM] = "ENUM",
    [GQL_AT_ENUM_VALUE] = "ENUM_VALUE",
    [GQL_AT_INPUT_OBJECT] = "INPUT_OBJECT",
    [GQL_AT_INPUT_FIELD_DEFINITION] = "INPUT_FIELD_DEFINITION",
};

const char *
gql_kind_name(enum gql_kind kind)
{
    static const char *const names[] = {
        [GQL_K_SCALAR] = "SCALAR", [GQL_K_OBJECT] = "OBJECT", [GQL_K_INTERFACE] = "INTERFACE",
        [GQL_K_UNION] = "UNION",   [GQL_K_ENUM] = "ENUM",     [GQL_K_INPUT] = "INPUT_OBJECT",
    };

    return names[kind];
}

/* -- parts ----------------------------------------------------------------------------------- */

struct gql_part *
gql_part_new(const char *name, unsigned schemas, const char *sdl, struct mk_error *err)
{
    static const struct gql_parse_limits limits = {.depth = SDL_DEPTH};
    struct gql_part *p = mk_zalloc(sizeof(*p));
    struct gql_parse_error why;
    struct gql_location where;

    p->refs = 1;
    p->name = mk_strdup(name);
    p->schemas = schemas;
    p->sdl = mk_strdup(sdl);
    if (!mk_utf8_valid(mk_str_of(p->sdl))) {
        mk_fail(err, "the schema is not valid UTF-8");
        gql_part_unref(&p);
        return NULL;
    }
    if (gql_parse(&p->arena, mk_str_of(p->sdl), &limits, &p->doc, &why) != GQL_PARSED) {
        where = gql_locate(mk_str_of(p->sdl), why.at);
        mk_fail(err, "schema, line %u, column %u: %s", where.line, where.column, why.text);
        gql_part_unref(&p);
    }
    return p;
}

struct gql_part *
gql_part_ref(struct gql_part *p)
{
    __atomic_fetch_add(&p->refs, 1, __ATOMIC_RELAXED);
    return p;
}

void
gql_part_unref(struct gql_part **part)
{
    struct gql_part *p = *part;

    *part = NULL;
    if (!p || __atomic_fetch_sub(&p->refs, 1, __ATOMIC_ACQ_REL) != 1)
        return;
    while (p->readers) {
        struct gql_scalar_reader *r = p->readers;

        p->readers = r->next;
        mk_free((char *)r->name);
        mk_free(r);
    }
    gql_arena_release(&p->arena);
    mk_free(p->name);
    mk_free(p->sdl);
    mk_free(p);
}

/* -- schemas --------------------------------------------------------------------------------- */

struct gql_schema *
gql_schema_ref(struct gql_schema *s)
{
    __atomic_fetch_add(&s->refs, 1, __ATOMIC_RELAXED);
    return s;
}

void
gql_schema_unref(struct gql_schema **schema)
{
    struct gql_schema *s = *schema;

    *schema = NULL;
    if (!s || __atomic_fetch_sub(&s->refs, 1, __ATOMIC_ACQ_REL) != 1)
        return;
    for (size_t i = 0; i < s->part_count; i++)
        gql_part_unref(&s->parts[i]);
    mk_free(s->parts);
    mk_free(s->types);
    gql_arena_release(&s->arena);
    mk_free(s);
}

const struct gql_view *
gql_schema_view(const struct gql_schema *s, unsigned bit)
{
    return &s->views[bit == MK_GQL_ADMIN ? 0 : 1];
}

static int
compare(struct mk_str a, const char *b)
{
    size_t len = strlen(b);
    int order = memcmp(a.p, b, a.len < len ? a.len : len);

    return order ? order : (a.len > len) - (a.len < len);
}

struct gql_type *
gql_find_type(const struct gql_schema *s, struct mk_str name)
{
    size_t low = 0, high = s->type_count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = compare(name, s->types[middle]->name);

        if (order == 0)
            return s->types[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const struct gql_type *
gql_view_type(const struct gql_view *v, struct mk_str name)
{
    const struct gql_type *t = gql_find_type(v->schema, name);

    return t && (t->views & v->bit) ? t : NULL;
}

struct gql_field_def *
gql_find_field(const struct gql_type *t, struct mk_str name)
{
    for (struct gql_field_def *f = t->fields; f; f = f->next) {
        if (mk_str_is(name, f->name))
            return f;
    }
    return NULL;
}

const struct gql_field_def *
gql_view_field(const struct gql_view *v, const struct gql_type *t, struct mk_str name)
{
    const struct gql_schema *s = v->schema;

    if (name.len > 2 && name.p[0] == '_' && name.p[1] == '_') {
        if (mk_str_is(name, "__typename") && gql_is_composite(t))
            return s->typename_field;
        if (t == v->roots[GQL_QUERY] && mk_str_is(name, "__schema"))
            return s->schema_field;
        if (t == v->roots[GQL_QUERY] && mk_str_is(name, "__type"))
            return s->type_field;
    }
    return gql_find_field(t, name);
}

const struct gql_input_def *
gql_find_input(const struct gql_input_def *list, struct mk_str name)
{
    while (list && !mk_str_is(name, list->name))
        list = list->next;
    return list;
}

const struct gql_enum_value *
gql_find_enum_value(const struct gql_type *t, struct mk_str name)
{
    const struct gql_enum_value *v = t->values;

    while (v && !mk_str_is(name, v->name))
        v = v->next;
    return v;
}

const struct gql_directive_def *
gql_find_directive(const struct gql_schema *s, struct mk_str name)
{
    const struct gql_directive_def *d = s->directives;

    while (d && !mk_str_is(name, d->name))
        d = d->next;
    return d;
}

/* -- types ----------------------------------------------------------------------------------- */

const struct gql_type *
gql_ref_type(const struct gql_ref *r)
{
    while (r->kind != GQL_NAMED)
        r = r->of;
    return r->type;
}

bool
gql_ref_equal(const struct gql_ref *a, const struct gql_ref *b)
{
    while (a->kind == b->kind && a->kind != GQL_NAMED) {
        a = a->of;
        b = b->of;
    }
    return a->kind == b->kind && a->type == b->type;
}

bool
gql_type_has(const struct gql_type *abstract, const struct gql_type *t)
{
    for (size_t i = 0; i < abstract->possible_count; i++) {
        if (abstract->possible[i].type == t)
            return true;
    }
    return false;
}

bool
gql_type_implements(const struct gql_type *t, const struct gql_type *interface)
{
    for (size_t i = 0; i < t->interface_count; i++) {
        if (t->interfaces[i].type == interface)
            return true;
    }
    return false;
}

bool
gql_ref_is_subtype(const struct gql_ref *sub, const struct gql_ref *super)
{
    for (;;) {
        if (super->kind == GQL_NON_NULL) {
            if (sub->kind != GQL_NON_NULL)
                return false;
            super = super->of;
            sub = sub->of;
        } else if (sub->kind == GQL_NON_NULL) {
            sub = sub->of;
        } else if (super->kind == GQL_LIST_OF || sub->kind == GQL_LIST_OF) {
            if (super->kind != sub->kind)
                return false;
            super = super->of;
            sub = sub->of;
        } else {
            return sub->type == super->type || gql_type_has(super->type, sub->type) ||
                   gql_type_implements(sub->type, super->type);
        }
    }
}

static bool
can_be(const struct gql_type *t, const struct gql_type *object)
{
    return t == object || gql_type_has(t, object);
}

bool
gql_types_overlap(const struct gql_view *v, const struct gql_type *a, const struct gql_type *b)
{
    if (a == b)
        return true;
    if (a->kind == GQL_K_OBJECT)
        return can_be(b, a);
    for (size_t i = 0; i < a->possible_count; i++) {
        const struct gql_type *object = a->possible[i].type;

        if ((object->views & v->bit) && can_be(b, object))
            return true;
    }
    return false;
}

void
gql_print_ref(struct mk_buf *out, const struct gql_ref *r)
{
    /* Only so deep as a schema's text may nest. */
    if (r->kind == GQL_NAMED) {
        mk_buf_add_cstr(out, r->type->name);
        return;
    }
    if (r->kind == GQL_LIST_OF)
        mk_buf_add_byte(out, '[');
    gql_print_ref(out, r->of);
    mk_buf_add_byte(out, r->kind == GQL_LIST_OF ? ']' : '!');
}
