/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Directives in the text of a schema: @deprecated, @specifiedBy, @protected, and @use, which means
 * nothing here. */
#include "config.h"

#include "build.h"
#include "coerce.h"

static const struct gql_value *
value_of(const struct gql_directive *d, const char *name)
{
    for (const struct gql_argument *a = d->arguments; a; a = a->next) {
        if (mk_str_is(a->name, name))
            return a->value;
    }
    return NULL;
}

static void
check_arguments(struct build *b, const struct gql_part *part, const struct gql_directive *d,
                const struct gql_directive_def *def)
{
    for (const struct gql_argument *a = d->arguments; a; a = a->next) {
        const struct gql_input_def *in = gql_find_input(def->args, a->name);
        json_t *value;

        if (!in) {
            build_fail(b, part, a->at, "Unknown argument \"%.*s\" on directive \"@%s\".",
                       MK_STR_ARG(a->name), def->name);
            return;
        }
        for (const struct gql_argument *o = d->arguments; o != a; o = o->next) {
            if (mk_str_eq(o->name, a->name))
                build_fail(b, part, a->at, "There can be only one argument named \"%.*s\".",
                           MK_STR_ARG(a->name));
        }
        value = gql_coerce_literal(a->value, in->type, NULL);
        if (!value)
            build_fail(b, part, a->value->at, "the value of argument \"%s\" does not fit its type",
                       in->name);
        json_decref(value);
    }
    for (const struct gql_input_def *in = def->args; in; in = in->next) {
        if (gql_is_required(in) && !value_of(d, in->name))
            build_fail(b, part, d->at,
                       "Argument \"%s\" on directive \"@%s\" is required, but it was not provided.",
                       in->name, def->name);
    }
}

static void
read_protected(struct build *b, const struct gql_directive *d, struct gql_protect *protect)
{
    const struct gql_value *type = value_of(d, "type"), *args = value_of(d, "args");
    const struct gql_value *first = args && args->kind == GQL_LIST ? args->items : args;

    protect->kind = GQL_PROTECT_DEFAULT;
    if (type && mk_str_is(type->text, "DOMAIN"))
        protect->kind = GQL_PROTECT_DOMAIN;
    else if (type && mk_str_is(type->text, "GLOBAL"))
        protect->kind = GQL_PROTECT_GLOBAL;
    for (const struct gql_value *v = first; v; v = v->next) {
        protect->args =
            build_grow(&b->schema->arena, protect->args, protect->count, sizeof(*protect->args));
        protect->args[protect->count++] = build_text(b, v->text);
    }
}

static void
read_directive(struct build *b, const struct gql_directive *d, struct build_marks *marks)
{
    const struct gql_value *v;

    if (mk_str_is(d->name, "deprecated")) {
        v = value_of(d, "reason");
        marks->deprecated = v ? build_text(b, v->text) : "No longer supported";
    } else if (mk_str_is(d->name, "specifiedBy")) {
        v = value_of(d, "url");
        marks->specified_by = v ? build_text(b, v->text) : NULL;
    } else if (mk_str_is(d->name, "protected")) {
        read_protected(b, d, &marks->protect);
    }
}

void
build_directives(struct build *b, const struct gql_part *part, const struct gql_directive *list,
                 enum gql_place place, struct build_marks *marks)
{
    for (const struct gql_directive *d = list; d && !b->failed; d = d->next) {
        const struct gql_directive_def *def = gql_find_directive(b->schema, d->name);

        if (!def) {
            build_fail(b, part, d->at, "Unknown directive \"@%.*s\".", MK_STR_ARG(d->name));
            return;
        }
        if (!(def->places & 1u << place))
            build_fail(b, part, d->at, "Directive \"@%s\" may not be used on %s.", def->name,
                       gql_place_names[place]);
        for (const struct gql_directive *o = list; o != d && !def->repeatable; o = o->next) {
            if (mk_str_eq(o->name, d->name))
                build_fail(b, part, d->at,
                           "The directive \"@%s\" can only be used once at this location.",
                           def->name);
        }
        check_arguments(b, part, d, def);
        if (!b->failed)
            read_directive(b, d, marks);
    }
}
