/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Literals: that they fit the type of their place, and that a field of an object stands in it once
 * (§5.6). */
#include "config.h"

#include "coerce.h"
#include "rules.h"

static void
tell_unfit(struct rules *r, const struct gql_value *v, const struct gql_ref *type)
{
    struct mk_buf expected = {0}, found = {0};

    gql_print_ref(&expected, type);
    gql_print_value(&found, v);
    gql_report(r->errors, v->kind == GQL_NULL ? "non_null" : "type_mismatch", v->at,
               "Expected value of type \"%s\", found %s.", mk_buf_cstr(&expected),
               mk_buf_cstr(&found));
    mk_buf_release(&expected);
    mk_buf_release(&found);
}

static void
check_leaf(struct rules *r, const struct gql_value *v, const struct gql_ref *type)
{
    const struct gql_type *t = gql_ref_type(type);
    struct mk_error err;
    json_t *value;
    const char *code = "input_coercion";

    if (!gql_is_leaf(t)) {
        tell_unfit(r, v, type);
        return;
    }
    value = gql_leaf_literal(t, v, &err);
    if (t->kind == GQL_K_ENUM)
        code = v->kind == GQL_STRING ? "enum_string_literal" : "enum_not_found";
    if (!value)
        gql_report(r->errors, code, v->at, "%s", err.text);
    json_decref(value);
}

/* -- objects --------------------------------------------------------------------------------- */

static void
check_unique(struct rules *r, const struct gql_value *v)
{
    struct gql_names known = {.arena = r->arena};

    for (const struct gql_value *i = v->items; i && v->kind == GQL_OBJECT; i = i->next) {
        struct gql_name_entry *e = gql_names_put(&known, i->name);

        if (e->value)
            gql_report_at(r->errors, "not_unique",
                          (uint32_t[]){((struct gql_value *)e->value)->name_at, i->name_at}, 2,
                          "There can be only one input field named \"%.*s\".", MK_STR_ARG(i->name));
        else
            e->value = (void *)(uintptr_t)i;
    }
    for (const struct gql_value *i = v->items; i && !r->errors->full; i = i->next)
        check_unique(r, i);
}

static void
check_missing(struct rules *r, const struct gql_value *v, const struct gql_type *t)
{
    for (const struct gql_input_def *d = t->inputs; d; d = d->next) {
        const struct gql_value *i = v->items;
        struct mk_buf type = {0};

        while (i && !mk_str_is(i->name, d->name))
            i = i->next;
        if (i || !gql_is_required(d))
            continue;
        gql_print_ref(&type, d->type);
        gql_report(r->errors, "missing_non_null_param", v->at,
                   "Field \"%s.%s\" of required type \"%s\" was not provided.", t->name, d->name,
                   mk_buf_cstr(&type));
        mk_buf_release(&type);
    }
}

static void check(struct rules *r, const struct gql_value *v, const struct gql_ref *type);

static void
check_object(struct rules *r, const struct gql_value *v, const struct gql_type *t)
{
    check_missing(r, v, t);
    for (const struct gql_value *i = v->items; i && !r->errors->full; i = i->next) {
        const struct gql_input_def *d = gql_find_input(t->inputs, i->name);
        struct mk_buf text = {0};

        if (d) {
            check(r, i, d->type);
            continue;
        }
        mk_buf_printf(&text, "Field \"%.*s\" is not defined by type \"%s\".", MK_STR_ARG(i->name),
                      t->name);
        gql_suggest(&text, "", i->name, rules_next_input, t->inputs);
        gql_report(r->errors, "excess_fields_in_object", i->name_at, "%s", mk_buf_cstr(&text));
        mk_buf_release(&text);
    }
}

/* As deep as the parser lets a document be. */
static void
check(struct rules *r, const struct gql_value *v, const struct gql_ref *type)
{
    const struct gql_ref *nullable = type->kind == GQL_NON_NULL ? type->of : type;

    switch (v->kind) {
    case GQL_VARIABLE:
        break;
    case GQL_NULL:
        if (type->kind == GQL_NON_NULL)
            tell_unfit(r, v, type);
        break;
    case GQL_LIST:
        if (nullable->kind != GQL_LIST_OF)
            check_leaf(r, v, type);
        for (const struct gql_value *i = v->items;
             i && nullable->kind == GQL_LIST_OF && !r->errors->full; i = i->next)
            check(r, i, nullable->of);
        break;
    case GQL_OBJECT:
        if (gql_ref_type(type)->kind == GQL_K_INPUT)
            check_object(r, v, gql_ref_type(type));
        else
            check_leaf(r, v, type);
        break;
    default:
        check_leaf(r, v, type);
        break;
    }
}

void
rules_value(struct rules *r, const struct gql_value *v, const struct gql_ref *type)
{
    check_unique(r, v);
    if (type && gql_is_input(gql_ref_type(type)))
        check(r, v, type);
}
