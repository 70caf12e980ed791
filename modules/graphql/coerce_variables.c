/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Variables of an operation (specification §6.1.2): JSON from the client, checked and completed. */
#include "config.h"

#include "coerce.h"

/* Where in a variable's value something is: "contacts[2].jid". */
struct where {
    const struct where *up;
    const char *key; /* NULL: an index */
    size_t index;
};

struct reading {
    const struct gql_variable *variable;
    struct gql_errors *errors;
    bool wrong;
};

static void
print_where(struct mk_buf *out, const struct where *w)
{
    const struct where *list[32];
    size_t n = 0;

    for (; w; w = w->up) {
        if (n < MK_COUNT(list))
            list[n++] = w;
    }
    while (n--) {
        if (list[n]->key)
            mk_buf_printf(out, ".%s", list[n]->key);
        else
            mk_buf_printf(out, "[%zu]", list[n]->index);
    }
}

static json_t *
wrong(struct reading *r, const struct where *w, const json_t *value, const char *code,
      const char *text)
{
    struct mk_buf message = {0};

    mk_buf_printf(&message, "Variable \"$%.*s\" got invalid value ", MK_STR_ARG(r->variable->name));
    gql_inspect(&message, value);
    if (w) {
        mk_buf_printf(&message, " at \"%.*s", MK_STR_ARG(r->variable->name));
        print_where(&message, w);
        mk_buf_add_byte(&message, '"');
    }
    gql_report(r->errors, code, r->variable->at, "%s; %s", mk_buf_cstr(&message), text);
    mk_buf_release(&message);
    r->wrong = true;
    return NULL;
}

static json_t *coerce(struct reading *r, const json_t *value, const struct gql_ref *type,
                      const struct where *w);

static json_t *
coerce_list(struct reading *r, const json_t *value, const struct gql_ref *item,
            const struct where *w)
{
    json_t *list = json_array(), *one;

    if (!json_is_array(value)) {
        one = coerce(r, value, item, w);
        json_array_append_new(list, one ? one : json_null());
        return list;
    }
    for (size_t i = 0; i < json_array_size(value) && !r->errors->full; i++) {
        struct where here = {.up = w, .index = i};

        one = coerce(r, json_array_get(value, i), item, &here);
        json_array_append_new(list, one ? one : json_null());
    }
    return list;
}

static const char *
next_input(void **at)
{
    const struct gql_input_def *d = *at;

    *at = d ? (void *)(uintptr_t)d->next : NULL;
    return d ? d->name : NULL;
}

static void
tell_unknown_field(struct reading *r, const json_t *value, const char *key,
                   const struct gql_type *t, const struct where *w)
{
    struct mk_buf text = {0};

    mk_buf_printf(&text, "Field \"%.100s\" is not defined by type \"%s\".", key, t->name);
    gql_suggest(&text, "", mk_str_of(key), next_input, t->inputs);
    wrong(r, w, value, "excess_fields_in_object", mk_buf_cstr(&text));
    mk_buf_release(&text);
}

static void
coerce_field(struct reading *r, json_t *into, const json_t *value, const struct gql_input_def *d,
             const struct where *w)
{
    const json_t *given = json_object_get(value, d->name);
    struct where here = {.up = w, .key = d->name};
    struct mk_buf text = {0};
    json_t *made;

    if (given) {
        made = coerce(r, given, d->type, &here);
        json_object_set_new(into, d->name, made ? made : json_null());
    } else if (d->preset) {
        json_object_set_new(into, d->name, gql_coerce_literal(d->preset, d->type, NULL));
    } else if (d->type->kind == GQL_NON_NULL) {
        mk_buf_printf(&text, "Field \"%s\" of required type \"", d->name);
        gql_print_ref(&text, d->type);
        mk_buf_add_cstr(&text, "\" was not provided.");
        wrong(r, w, value, "missing_non_null_param", mk_buf_cstr(&text));
        mk_buf_release(&text);
    }
}

static json_t *
coerce_object(struct reading *r, const json_t *value, const struct gql_type *t,
              const struct where *w)
{
    struct mk_buf text = {0};
    json_t *made, *item;
    const char *key;

    if (!json_is_object(value)) {
        mk_buf_printf(&text, "Expected type \"%s\" to be an object.", t->name);
        wrong(r, w, value, "type_mismatch", mk_buf_cstr(&text));
        mk_buf_release(&text);
        return NULL;
    }
    made = json_object();
    for (const struct gql_input_def *d = t->inputs; d; d = d->next)
        coerce_field(r, made, value, d, w);
    json_object_foreach((json_t *)value, key, item)
    {
        if (!gql_find_input(t->inputs, mk_str_of(key)))
            tell_unknown_field(r, value, key, t, w);
    }
    return made;
}

static json_t *
coerce(struct reading *r, const json_t *value, const struct gql_ref *type, const struct where *w)
{
    struct mk_error err;
    struct mk_buf text = {0};
    json_t *made;

    if (type->kind == GQL_NON_NULL && json_is_null(value)) {
        mk_buf_add_cstr(&text, "Expected non-nullable type \"");
        gql_print_ref(&text, type);
        mk_buf_add_cstr(&text, "\" not to be null.");
        wrong(r, w, value, "non_null", mk_buf_cstr(&text));
        mk_buf_release(&text);
        return NULL;
    }
    if (type->kind == GQL_NON_NULL)
        type = type->of;
    if (json_is_null(value))
        return json_null();
    if (type->kind == GQL_LIST_OF)
        return coerce_list(r, value, type->of, w);
    if (type->type->kind == GQL_K_INPUT)
        return coerce_object(r, value, type->type, w);
    made = gql_leaf_value(type->type, value, &err);
    return made ? made : wrong(r, w, value, "input_coercion", err.text);
}

const struct gql_ref *
gql_resolve_ref(struct gql_arena *arena, const struct gql_view *v, const struct gql_type_node *n)
{
    struct gql_ref *r = GQL_NEW(arena, struct gql_ref);

    r->kind = n->kind;
    if (n->kind == GQL_NAMED)
        r->type = gql_view_type(v, n->name);
    else
        r->of = gql_resolve_ref(arena, v, n->of);
    return n->kind == GQL_NAMED ? (r->type ? r : NULL) : (r->of ? r : NULL);
}

/* Tells about a variable whose type says that it must be there, with a value. */
static void
tell_missing(struct reading *r, const struct gql_ref *type, bool null)
{
    struct mk_buf text = {0};

    gql_print_ref(&text, type);
    if (null)
        gql_report(r->errors, "null_input", r->variable->at,
                   "Variable \"$%.*s\" of non-null type \"%s\" must not be null.",
                   MK_STR_ARG(r->variable->name), mk_buf_cstr(&text));
    else
        gql_report(r->errors, "missing_non_null_param", r->variable->at,
                   "Variable \"$%.*s\" of required type \"%s\" was not provided.",
                   MK_STR_ARG(r->variable->name), mk_buf_cstr(&text));
    mk_buf_release(&text);
    r->wrong = true;
}

static void
coerce_one(struct reading *r, json_t *into, const struct gql_ref *type, const json_t *value)
{
    struct mk_str name = r->variable->name;
    json_t *made = NULL;

    if (!value && r->variable->preset)
        made = gql_coerce_literal(r->variable->preset, type, NULL);
    else if (!value && type->kind == GQL_NON_NULL)
        tell_missing(r, type, false);
    else if (value && json_is_null(value) && type->kind == GQL_NON_NULL)
        tell_missing(r, type, true);
    else if (value)
        made = coerce(r, value, type, NULL);
    if (made)
        json_object_setn_new(into, name.p, name.len, made);
}

json_t *
gql_coerce_variables(const struct gql_view *v, struct gql_document *doc,
                     const struct gql_definition *operation, const json_t *given,
                     struct gql_errors *errors)
{
    struct reading r = {.errors = errors};
    json_t *made = json_object();

    for (const struct gql_variable *n = operation->variables; n; n = n->next) {
        const struct gql_ref *type = gql_resolve_ref(doc->arena, v, n->type);

        r.variable = n;
        if (type && gql_is_input(gql_ref_type(type)))
            coerce_one(&r, made, type,
                       given ? json_object_getn(given, n->name.p, n->name.len) : NULL);
    }
    if (!r.wrong)
        return made;
    json_decref(made);
    return NULL;
}
