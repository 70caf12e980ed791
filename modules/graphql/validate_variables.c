/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Variables: names, types, that they are defined and used, that they fit where they stand
 * (specification §5.8). */
#include "config.h"

#include "coerce.h"
#include "rules.h"

struct using
{
    struct rules *rules;
    const struct gql_definition *operation;
    struct gql_names defined; /* to struct defined */
    unsigned mark;
};

struct defined {
    const struct gql_variable *variable;
    const struct gql_ref *type; /* NULL: none that a variable can have */
    bool used;
    uint32_t at[16];
    size_t count;
};

/* Where a variable stands. */
struct position {
    const struct gql_ref *type; /* NULL: not known */
    bool has_default;
};

static bool
is_allowed(const struct defined *d, const struct position *p)
{
    if (p->type->kind == GQL_NON_NULL && d->type->kind != GQL_NON_NULL) {
        const struct gql_value *preset = d->variable->preset;

        if ((!preset || preset->kind == GQL_NULL) && !p->has_default)
            return false;
        return gql_ref_is_subtype(d->type, p->type->of);
    }
    return gql_ref_is_subtype(d->type, p->type);
}

static void
tell_undefined(struct using *u, const struct gql_value *v)
{
    const uint32_t at[] = {v->at, u->operation->at};
    struct mk_str name = u->operation->name;

    if (name.p)
        gql_report_at(u->rules->errors, "unbound_variable", at, 2,
                      "Variable \"$%.*s\" is not defined by operation \"%.*s\".",
                      MK_STR_ARG(v->text), MK_STR_ARG(name));
    else
        gql_report_at(u->rules->errors, "unbound_variable", at, 2,
                      "Variable \"$%.*s\" is not defined.", MK_STR_ARG(v->text));
}

static void
use_variable(struct using *u, const struct gql_value *v, const struct position *p)
{
    struct gql_name_entry *e = gql_names_find(&u->defined, v->text);
    struct defined *d = e ? e->value : NULL;
    struct mk_buf have = {0}, expected = {0};

    if (!d) {
        tell_undefined(u, v);
        return;
    }
    d->used = true;
    if (!d->type || !p->type || is_allowed(d, p))
        return;
    gql_print_ref(&have, d->type);
    gql_print_ref(&expected, p->type);
    gql_report_at(u->rules->errors, "param_mismatch", (uint32_t[]){d->variable->at, v->at}, 2,
                  "Variable \"$%.*s\" of type \"%s\" used in position expecting type \"%s\".",
                  MK_STR_ARG(v->text), mk_buf_cstr(&have), mk_buf_cstr(&expected));
    mk_buf_release(&have);
    mk_buf_release(&expected);
}

static void
use_value(struct using *u, const struct gql_value *v, const struct position *p)
{
    const struct gql_ref *nullable =
        p->type && p->type->kind == GQL_NON_NULL ? p->type->of : p->type;
    const struct gql_type *object =
        p->type && gql_ref_type(p->type)->kind == GQL_K_INPUT ? gql_ref_type(p->type) : NULL;

    if (v->kind == GQL_VARIABLE)
        use_variable(u, v, p);
    for (const struct gql_value *i = v->items; i; i = i->next) {
        struct position inner = {NULL, false};

        if (v->kind == GQL_LIST) {
            inner.type = nullable && nullable->kind == GQL_LIST_OF ? nullable->of : nullable;
        } else if (object) {
            const struct gql_input_def *d = gql_find_input(object->inputs, i->name);

            inner.type = d ? d->type : NULL;
            inner.has_default = d && d->preset;
        }
        use_value(u, i, &inner);
    }
}

static void
use_arguments(struct using *u, const struct gql_argument *list, const struct gql_input_def *defs)
{
    for (const struct gql_argument *a = list; a; a = a->next) {
        const struct gql_input_def *d = gql_find_input(defs, a->name);
        struct position p = {d ? d->type : NULL, d && d->preset};

        use_value(u, a->value, &p);
    }
}

static void
use_directives(struct using *u, const struct gql_directive *list)
{
    for (const struct gql_directive *d = list; d; d = d->next) {
        const struct gql_directive_def *def = gql_find_directive(u->rules->view->schema, d->name);

        use_arguments(u, d->arguments, def ? def->args : NULL);
    }
}

/* Fragments are gone through once for each operation, which may be many times in all. */
static void
use_selections(struct using *u, const struct gql_selection *list)
{
    for (const struct gql_selection *s = list; s; s = s->next) {
        if (!rules_spend(u->rules, 1))
            return;
        use_arguments(u, s->arguments, s->def ? s->def->args : NULL);
        use_directives(u, s->directives);
        use_selections(u, s->selections);
        if (s->kind == GQL_SPREAD && s->fragment && s->fragment->mark != u->mark) {
            s->fragment->mark = u->mark;
            use_directives(u, s->fragment->directives);
            use_selections(u, s->fragment->selections);
        }
    }
}

/* -- definitions ----------------------------------------------------------------------------- */

static void
print_type_node(struct mk_buf *out, const struct gql_type_node *n)
{
    if (n->kind == GQL_NAMED) {
        mk_buf_add_str(out, n->name);
        return;
    }
    if (n->kind == GQL_LIST_OF)
        mk_buf_add_byte(out, '[');
    print_type_node(out, n->of);
    mk_buf_add_byte(out, n->kind == GQL_LIST_OF ? ']' : '!');
}

static void
define(struct using *u, const struct gql_variable *v)
{
    struct rules *r = u->rules;
    const struct gql_ref *type = gql_resolve_ref(r->arena, r->view, v->type);
    struct gql_name_entry *e = gql_names_put(&u->defined, v->name);
    struct defined *d = e->value;
    struct mk_buf text = {0};

    rules_known_type(r, v->type);
    if (type && !gql_is_input(gql_ref_type(type))) {
        print_type_node(&text, v->type);
        gql_report(r->errors, "not_input_type", v->type->at,
                   "Variable \"$%.*s\" cannot be non-input type \"%s\".", MK_STR_ARG(v->name),
                   mk_buf_cstr(&text));
        mk_buf_release(&text);
    }
    if (v->preset)
        rules_value(r, v->preset, type);
    rules_directives(r, v->directives, GQL_AT_VARIABLE_DEFINITION);
    if (!d)
        d = e->value = GQL_NEW(r->arena, struct defined);
    d->variable = v;
    d->type = type;
    if (d->count < MK_COUNT(d->at))
        d->at[d->count++] = v->name_at;
}

void
rules_variables(struct rules *r, struct gql_definition *op)
{
    struct using u = {
        .rules = r, .operation = op, .mark = ++r->doc->marks, .defined = {.arena = r->arena}};

    for (const struct gql_variable *v = op->variables; v; v = v->next)
        define(&u, v);
    for (const struct gql_name_entry *e = u.defined.first; e; e = e->next) {
        const struct defined *d = e->value;

        if (d->count > 1)
            gql_report_at(r->errors, "not_unique", d->at, d->count,
                          "There can be only one variable named \"$%.*s\".", MK_STR_ARG(e->name));
    }
    use_directives(&u, op->directives);
    use_selections(&u, op->selections);
    for (const struct gql_variable *v = op->variables; v && !r->aborted; v = v->next) {
        const struct defined *d = gql_names_find(&u.defined, v->name)->value;

        if (d->used)
            continue;
        if (op->name.p)
            gql_report(r->errors, "unused_variable", v->at,
                       "Variable \"$%.*s\" is never used in operation \"%.*s\".",
                       MK_STR_ARG(v->name), MK_STR_ARG(op->name));
        else
            gql_report(r->errors, "unused_variable", v->at, "Variable \"$%.*s\" is never used.",
                       MK_STR_ARG(v->name));
    }
}
