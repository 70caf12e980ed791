/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Rules about a schema as a whole (specification §3): checked whenever a module adds to it. */
#include "config.h"

#include <stdio.h>

#include "build.h"
#include "coerce.h"

/* -- inputs ---------------------------------------------------------------------------------- */

static void
check_input(struct build *b, const struct gql_input_def *d, const char *owner)
{
    const struct gql_type *t = gql_ref_type(d->type);
    json_t *value;

    if (!gql_is_input(t)) {
        build_fail(b, d->part, d->at, "The type of %s.%s must be Input Type but got: %s.", owner,
                   d->name, t->name);
        return;
    }
    if (d->deprecated && gql_is_required(d))
        build_fail(b, d->part, d->at, "Required argument or field %s.%s cannot be deprecated.",
                   owner, d->name);
    if (!d->preset)
        return;
    value = gql_coerce_literal(d->preset, d->type, NULL);
    if (!value)
        build_fail(b, d->part, d->preset->at, "The default value of %s.%s does not fit its type.",
                   owner, d->name);
    json_decref(value);
}

static void
check_inputs(struct build *b, const struct gql_input_def *list, const char *owner)
{
    for (; list && !b->failed; list = list->next)
        check_input(b, list, owner);
}

/* -- circles of defaults ---------------------------------------------------------------------- */

static void check_preset(struct build *b, struct gql_input_def *d);

/* What a literal leaves out comes from the defaults of its type, and what those leave out too. */
static void
check_literal(struct build *b, const struct gql_value *v, const struct gql_ref *type)
{
    const struct gql_type *t = gql_ref_type(type);

    if (v->kind == GQL_LIST) {
        for (const struct gql_value *i = v->items; i; i = i->next)
            check_literal(b, i, type);
    }
    if (v->kind != GQL_OBJECT || t->kind != GQL_K_INPUT)
        return;
    for (struct gql_input_def *d = t->inputs; d && !b->failed; d = d->next) {
        const struct gql_value *i = v->items;

        while (i && !mk_str_is(i->name, d->name))
            i = i->next;
        if (i)
            check_literal(b, i, d->type);
        else
            check_preset(b, d);
    }
}

static void
check_preset(struct build *b, struct gql_input_def *d)
{
    if (!d->preset || d->presets == GQL_CHECKED)
        return;
    if (d->presets == GQL_BEING_CHECKED) {
        build_fail(b, d->part, d->preset->at,
                   "The default value of %s holds itself, without an end.", d->name);
        return;
    }
    d->presets = GQL_BEING_CHECKED;
    check_literal(b, d->preset, d->type);
    d->presets = GQL_CHECKED;
}

/* -- @protected ------------------------------------------------------------------------------ */

static bool
tells_a_domain(const struct gql_type *t)
{
    static const char *const names[] = {"JID", "BareJID", "FullJID", "DomainName"};

    for (size_t i = 0; i < MK_COUNT(names); i++) {
        if (strcmp(t->name, names[i]) == 0)
            return true;
    }
    return false;
}

/* "user.jid": an argument, or a field of it that is an input object. */
static bool
path_is_good(const struct gql_input_def *list, const char *path)
{
    for (;;) {
        size_t len = strcspn(path, ".");
        const struct gql_input_def *d = gql_find_input(list, (struct mk_str){path, len});

        if (!d)
            return false;
        if (!path[len])
            return tells_a_domain(gql_ref_type(d->type));
        list = gql_ref_type(d->type)->inputs;
        path += len + 1;
    }
}

static void
check_protect(struct build *b, const struct gql_field_def *f, const char *owner)
{
    if (f->protect.kind == GQL_PROTECT_DOMAIN && f->protect.count == 0)
        build_fail(b, f->part, f->at, "%s.%s is protected by domain, but no argument is named.",
                   owner, f->name);
    for (size_t i = 0; i < f->protect.count; i++) {
        if (!path_is_good(f->args, f->protect.args[i]))
            build_fail(b, f->part, f->at,
                       "%s.%s is protected by \"%s\", which is no argument that a JID or a domain "
                       "is given in.",
                       owner, f->name, f->protect.args[i]);
    }
}

/* -- objects and interfaces ------------------------------------------------------------------ */

static void
check_fields(struct build *b, const struct gql_type *t)
{
    if (!t->fields && !t->root)
        build_fail(b, t->part, t->at, "Type %s must define one or more fields.", t->name);
    if (t->protect.kind == GQL_PROTECT_DOMAIN || t->protect.count)
        build_fail(b, t->part, t->at,
                   "Type %s can be protected as DEFAULT or GLOBAL: it has no arguments.", t->name);
    for (const struct gql_field_def *f = t->fields; f && !b->failed; f = f->next) {
        const struct gql_type *type = gql_ref_type(f->type);
        char owner[160];

        if (!gql_is_leaf(type) && !gql_is_composite(type))
            build_fail(b, f->part, f->at, "The type of %s.%s must be Output Type but got: %s.",
                       t->name, f->name, type->name);
        snprintf(owner, sizeof(owner), "%.70s.%.70s", t->name, f->name);
        check_inputs(b, f->args, owner);
        check_protect(b, f, t->name);
    }
}

static void
check_same_arguments(struct build *b, const struct gql_type *t, const struct gql_field_def *f,
                     const struct gql_type *i, const struct gql_field_def *expected)
{
    for (const struct gql_input_def *a = expected->args; a; a = a->next) {
        const struct gql_input_def *have = gql_find_input(f->args, mk_str_of(a->name));

        if (!have)
            build_fail(
                b, f->part, f->at,
                "Interface field argument %s.%s(%s:) expected but %s.%s does not provide it.",
                i->name, expected->name, a->name, t->name, f->name);
        else if (!gql_ref_equal(have->type, a->type))
            build_fail(b, have->part, have->at,
                       "Argument %s.%s(%s:) must be of the type that interface %s gives it.",
                       t->name, f->name, a->name, i->name);
    }
    for (const struct gql_input_def *a = f->args; a; a = a->next) {
        if (!gql_find_input(expected->args, mk_str_of(a->name)) && gql_is_required(a))
            build_fail(
                b, a->part, a->at,
                "Argument %s.%s(%s:) must not be required, for interface %s does not have it.",
                t->name, f->name, a->name, i->name);
    }
}

static void
check_interface(struct build *b, const struct gql_type *t, const struct gql_member *m)
{
    const struct gql_type *i = m->type;

    if (i->kind != GQL_K_INTERFACE || i == t) {
        build_fail(b, m->part, m->at,
                   "Type %s must only implement Interface types, it cannot implement %s.", t->name,
                   i->name);
        return;
    }
    for (size_t k = 0; k < i->interface_count; k++) {
        const struct gql_type *above = i->interfaces[k].type;

        if (above == t)
            build_fail(b, m->part, m->at,
                       "Type %s cannot implement %s because it would create a circular reference.",
                       t->name, i->name);
        else if (!gql_type_implements(t, above))
            build_fail(b, m->part, m->at,
                       "Type %s must implement %s because it is implemented by %s.", t->name,
                       above->name, i->name);
    }
    for (const struct gql_field_def *f = i->fields; f && !b->failed; f = f->next) {
        const struct gql_field_def *have = gql_find_field(t, mk_str_of(f->name));

        if (!have)
            build_fail(b, m->part, m->at,
                       "Interface field %s.%s expected but %s does not provide it.", i->name,
                       f->name, t->name);
        else if (!gql_ref_is_subtype(have->type, f->type))
            build_fail(b, have->part, have->at,
                       "Field %s.%s does not have the type that interface %s gives it.", t->name,
                       f->name, i->name);
        else
            check_same_arguments(b, t, have, i, f);
    }
}

/* -- the rest -------------------------------------------------------------------------------- */

static void
check_union(struct build *b, const struct gql_type *t)
{
    if (t->possible_count == 0)
        build_fail(b, t->part, t->at, "Union type %s must define one or more member types.",
                   t->name);
    for (size_t i = 0; i < t->possible_count; i++) {
        if (t->possible[i].type->kind != GQL_K_OBJECT)
            build_fail(b, t->possible[i].part, t->possible[i].at,
                       "Union type %s can only include Object types, it cannot include %s.",
                       t->name, t->possible[i].type->name);
    }
}

struct circle {
    const struct gql_type *path[64];
    size_t depth;
};

/* An input object that must hold itself could never be given. */
static void
check_circle(struct build *b, struct circle *c, const struct gql_type *t)
{
    if (c->depth == MK_COUNT(c->path))
        return;
    c->path[c->depth++] = t;
    for (const struct gql_input_def *d = t->inputs; d && !b->failed; d = d->next) {
        const struct gql_type *inner = d->type->kind == GQL_NON_NULL ? d->type->of->type : NULL;

        if (!inner || inner->kind != GQL_K_INPUT)
            continue;
        if (inner == c->path[0])
            build_fail(b, d->part, d->at,
                       "Cannot reference Input Object %s within itself through a series of "
                       "non-null fields.",
                       inner->name);
        for (size_t i = 0; i < c->depth && inner; i++) {
            if (c->path[i] == inner)
                inner = NULL;
        }
        if (inner)
            check_circle(b, c, inner);
    }
    c->depth--;
}

static void
check_type(struct build *b, const struct gql_type *t)
{
    struct circle circle = {.depth = 0};

    switch (t->kind) {
    case GQL_K_OBJECT:
    case GQL_K_INTERFACE:
        check_fields(b, t);
        for (size_t i = 0; i < t->interface_count && !b->failed; i++)
            check_interface(b, t, &t->interfaces[i]);
        break;
    case GQL_K_UNION:
        check_union(b, t);
        break;
    case GQL_K_ENUM:
        if (!t->values)
            build_fail(b, t->part, t->at, "Enum type %s must define one or more values.", t->name);
        break;
    case GQL_K_INPUT:
        if (!t->inputs)
            build_fail(b, t->part, t->at, "Input Object type %s must define one or more fields.",
                       t->name);
        check_inputs(b, t->inputs, t->name);
        check_circle(b, &circle, t);
        break;
    case GQL_K_SCALAR:
        break;
    }
}

void
build_check(struct build *b)
{
    /* First, for no default can be looked at while one of them has no end. */
    for (size_t i = 0; i < b->schema->type_count; i++) {
        for (struct gql_input_def *d = b->schema->types[i]->inputs; d && !b->failed; d = d->next)
            check_preset(b, d);
    }
    for (size_t i = 0; i < b->schema->type_count && !b->failed; i++)
        check_type(b, b->schema->types[i]);
    for (const struct gql_directive_def *d = b->schema->directives; d && !b->failed; d = d->next)
        check_inputs(b, d->args, d->name);
}
