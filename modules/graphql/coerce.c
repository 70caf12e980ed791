/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Input coercion: literals, and the leaves of both literals and variables. coerce_variables.c has
 * the variables. */
#include "config.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "coerce.h"

/* -- leaves ---------------------------------------------------------------------------------- */

/* Adds ": " and the value as it was written. */
static void
tell_value(struct mk_error *err, const char *text)
{
    size_t len = strlen(err->text);

    snprintf(err->text + len, sizeof(err->text) - len, ": %s", text);
}

static const char *
next_value(void **at)
{
    const struct gql_enum_value *v = *at;

    *at = v ? (void *)(uintptr_t)v->next : NULL;
    return v ? v->name : NULL;
}

static json_t *
wrong_enum(const struct gql_type *t, struct mk_error *err, const char *fmt, const char *what,
           struct mk_str input)
{
    struct mk_buf text = {0};

    /* Both forms take a text and the type's name, in an order of their own. */
    if (fmt)
        mk_buf_printf(&text, "Enum \"%s\" cannot represent %s: %s.", t->name, fmt, what);
    else
        mk_buf_printf(&text, "Value \"%s\" does not exist in \"%s\" enum.", what, t->name);
    gql_suggest(&text, "the enum value", input, next_value, t->values);
    mk_fail(err, "%s", mk_buf_cstr(&text));
    mk_buf_release(&text);
    return NULL;
}

static json_t *
enum_literal(const struct gql_type *t, const struct gql_value *v, struct mk_error *err)
{
    struct mk_buf text = {0};
    json_t *made = NULL;

    gql_print_value(&text, v);
    if (v->kind != GQL_ENUM)
        wrong_enum(t, err, "non-enum value", mk_buf_cstr(&text), mk_buf_str(&text));
    else if (!gql_find_enum_value(t, v->text))
        wrong_enum(t, err, NULL, mk_buf_cstr(&text), v->text);
    else
        made = json_stringn(v->text.p, v->text.len);
    mk_buf_release(&text);
    return made;
}

static json_t *
enum_value(const struct gql_type *t, const json_t *v, struct mk_error *err)
{
    struct mk_str name = {json_string_value(v), json_string_length(v)};
    struct mk_buf text = {0};
    json_t *made = NULL;

    if (json_is_string(v) && gql_find_enum_value(t, name))
        return json_incref((json_t *)v);
    gql_inspect(&text, v);
    if (!json_is_string(v))
        made = wrong_enum(t, err, "non-string value", mk_buf_cstr(&text), mk_buf_str(&text));
    else
        made = wrong_enum(t, err, NULL, json_string_value(v), name);
    mk_buf_release(&text);
    return made;
}

/*
 * A literal as JSON. What no scalar of ours may be (an enum's name, a list) becomes null, which all
 * of them refuse; and so does a fraction, even .0, where a whole number is wanted.
 */
static json_t *
literal_json(const struct gql_type *t, const struct gql_value *v)
{
    char *text = mk_str_dup(v->text);
    json_t *made = NULL;
    double d;

    switch (v->kind) {
    case GQL_INT:
        errno = 0;
        if (strcmp(t->name, "ID") == 0) {
            made = json_string(text);
        } else {
            json_int_t n = strtoll(text, NULL, 10);

            made = errno ? json_real(text[0] == '-' ? -1e300 : 1e300) : json_integer(n);
        }
        break;
    case GQL_FLOAT:
        d = strtod(text, NULL);
        if (isfinite(d) && (!t->ops || strcmp(t->name, "Float") == 0))
            made = json_real(d);
        break;
    case GQL_STRING:
        made = json_stringn_nocheck(v->text.p, v->text.len);
        break;
    case GQL_BOOLEAN:
        made = json_boolean(mk_str_is(v->text, "true"));
        break;
    case GQL_ENUM:
        if (!t->ops)
            made = json_stringn(v->text.p, v->text.len);
        break;
    default:
        break;
    }
    mk_free(text);
    return made ? made : json_null();
}

/* A scalar of a module: by its function, or any JSON scalar. */
static json_t *
module_scalar(const struct gql_type *t, const json_t *v, struct mk_error *err)
{
    if (json_is_array(v) || json_is_object(v) || json_is_null(v)) {
        mk_fail(err, "it is not a scalar");
        return NULL;
    }
    if (!t->read)
        return json_incref((json_t *)v);
    if (gql_part_is_gone(t->part)) {
        mk_fail(err, "its module is being unloaded");
        return NULL;
    }
    return t->read(v, err);
}

json_t *
gql_leaf_literal(const struct gql_type *t, const struct gql_value *v, struct mk_error *err)
{
    struct mk_error why = {""};
    struct mk_buf text = {0};
    json_t *json, *made;

    if (t->kind == GQL_K_ENUM)
        return enum_literal(t, v, err);
    json = literal_json(t, v);
    made = t->ops ? t->ops->in(json, &why) : module_scalar(t, json, &why);
    json_decref(json);
    if (made)
        return made;
    if (strcmp(t->name, "ID") == 0 && v->kind != GQL_STRING)
        mk_fail(&why, "ID cannot represent a non-string and non-integer value");
    gql_print_value(&text, v);
    if (t->ops)
        tell_value(&why, mk_buf_cstr(&text));
    if (t->ops)
        mk_fail(err, "%s", why.text);
    else
        mk_fail(err, "Expected value of type \"%s\", found %s; %s", t->name, mk_buf_cstr(&text),
                why.text);
    mk_buf_release(&text);
    return NULL;
}

json_t *
gql_leaf_value(const struct gql_type *t, const json_t *v, struct mk_error *err)
{
    struct mk_error why = {""};
    struct mk_buf text = {0};
    json_t *made;

    if (t->kind == GQL_K_ENUM)
        return enum_value(t, v, err);
    made = t->ops ? t->ops->in(v, &why) : module_scalar(t, v, &why);
    if (made)
        return made;
    gql_inspect(&text, v);
    if (t->ops)
        tell_value(&why, mk_buf_cstr(&text));
    if (t->ops)
        mk_fail(err, "%s", why.text);
    else
        mk_fail(err, "Expected type \"%s\". %s", t->name, why.text);
    mk_buf_release(&text);
    return NULL;
}

/* -- literals of any type -------------------------------------------------------------------- */

static const json_t *
variable_value(const json_t *variables, struct mk_str name)
{
    return variables ? json_object_getn(variables, name.p, name.len) : NULL;
}

static bool
is_missing(const struct gql_value *v, const json_t *variables)
{
    return v->kind == GQL_VARIABLE && !variable_value(variables, v->text);
}

static json_t *
list_literal(const struct gql_value *v, const struct gql_ref *item, const json_t *variables)
{
    json_t *list = json_array(), *one;

    if (v->kind != GQL_LIST) {
        one = gql_coerce_literal(v, item, variables);
        if (one && json_array_append_new(list, one) == 0)
            return list;
        json_decref(list);
        return NULL;
    }
    for (const struct gql_value *i = v->items; i; i = i->next) {
        if (is_missing(i, variables))
            one = item->kind == GQL_NON_NULL ? NULL : json_null();
        else
            one = gql_coerce_literal(i, item, variables);
        if (!one) {
            json_decref(list);
            return NULL;
        }
        json_array_append_new(list, one);
    }
    return list;
}

static const struct gql_value *
object_field(const struct gql_value *v, const char *name)
{
    const struct gql_value *found = NULL;

    for (const struct gql_value *i = v->items; i; i = i->next) {
        if (mk_str_is(i->name, name))
            found = i;
    }
    return found;
}

/* False: it does not fit. */
static bool
add_object_field(json_t *object, const struct gql_input_def *d, const struct gql_value *v,
                 const json_t *variables)
{
    json_t *made;

    if (!v || is_missing(v, variables)) {
        if (!d->preset)
            return d->type->kind != GQL_NON_NULL;
        made = gql_coerce_literal(d->preset, d->type, NULL);
    } else {
        made = gql_coerce_literal(v, d->type, variables);
    }
    return made && json_object_set_new(object, d->name, made) == 0;
}

static json_t *
object_literal(const struct gql_value *v, const struct gql_type *t, const json_t *variables)
{
    json_t *object;

    if (v->kind != GQL_OBJECT)
        return NULL;
    for (const struct gql_value *i = v->items; i; i = i->next) {
        if (!gql_find_input(t->inputs, i->name))
            return NULL;
    }
    object = json_object();
    for (const struct gql_input_def *d = t->inputs; d; d = d->next) {
        if (!add_object_field(object, d, object_field(v, d->name), variables)) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

json_t *
gql_coerce_literal(const struct gql_value *v, const struct gql_ref *type, const json_t *variables)
{
    const json_t *value;

    if (v->kind == GQL_VARIABLE) {
        value = variable_value(variables, v->text);
        if (!value || (json_is_null(value) && type->kind == GQL_NON_NULL))
            return NULL;
        return json_incref((json_t *)value);
    }
    if (type->kind == GQL_NON_NULL) {
        if (v->kind == GQL_NULL)
            return NULL;
        type = type->of;
    }
    if (v->kind == GQL_NULL)
        return json_null();
    if (type->kind == GQL_LIST_OF)
        return list_literal(v, type->of, variables);
    if (type->type->kind == GQL_K_INPUT)
        return object_literal(v, type->type, variables);
    return gql_is_leaf(type->type) ? gql_leaf_literal(type->type, v, NULL) : NULL;
}

/* -- arguments ------------------------------------------------------------------------------- */

static const struct gql_argument *
find_argument(const struct gql_argument *list, const char *name)
{
    while (list && !mk_str_is(list->name, name))
        list = list->next;
    return list;
}

static bool
wrong_argument(struct gql_argument_error *err, uint32_t at, const struct gql_input_def *d,
               const char *what, const char *rest)
{
    struct mk_buf type = {0};

    gql_print_ref(&type, d->type);
    err->at = at;
    snprintf(err->text, sizeof(err->text), "Argument \"%s\" of %s type \"%s\" %s", d->name, what,
             mk_buf_cstr(&type), rest);
    mk_buf_release(&type);
    return false;
}

/* Nothing was given for it. */
static bool
default_argument(json_t *into, const struct gql_input_def *d, uint32_t at,
                 const struct gql_value *v, struct gql_argument_error *err)
{
    char rest[200] = "was not provided.";

    if (d->preset)
        return json_object_set_new(into, d->name, gql_coerce_literal(d->preset, d->type, NULL)) ==
               0;
    if (d->type->kind != GQL_NON_NULL)
        return true;
    if (v)
        snprintf(rest, sizeof(rest),
                 "was provided the variable \"$%.*s\" which was not provided a runtime value.",
                 MK_STR_ARG(v->text));
    return wrong_argument(err, at, d, "required", rest);
}

static bool
add_argument(json_t *into, const struct gql_input_def *d, const struct gql_argument *a, uint32_t at,
             const json_t *variables, struct gql_argument_error *err)
{
    const struct gql_value *v = a ? a->value : NULL;
    struct mk_buf text = {0};
    json_t *made;

    if (!v)
        return default_argument(into, d, at, NULL, err);
    if (is_missing(v, variables))
        return default_argument(into, d, v->at, v, err);
    if (d->type->kind == GQL_NON_NULL &&
        (v->kind == GQL_NULL ||
         (v->kind == GQL_VARIABLE && json_is_null(variable_value(variables, v->text)))))
        return wrong_argument(err, v->at, d, "non-null", "must not be null.");
    made = gql_coerce_literal(v, d->type, variables);
    if (made)
        return json_object_set_new(into, d->name, made) == 0;
    gql_print_value(&text, v);
    err->at = v->at;
    snprintf(err->text, sizeof(err->text), "Argument \"%s\" has invalid value %s.", d->name,
             mk_buf_cstr(&text));
    mk_buf_release(&text);
    return false;
}

json_t *
gql_coerce_arguments(const struct gql_input_def *defs, const struct gql_argument *args, uint32_t at,
                     const json_t *variables, struct gql_argument_error *err)
{
    json_t *made = json_object();

    for (const struct gql_input_def *d = defs; d; d = d->next) {
        if (!add_argument(made, d, find_argument(args, d->name), at, variables, err)) {
            json_decref(made);
            return NULL;
        }
    }
    return made;
}
