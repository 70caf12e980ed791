/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Arguments of fields and directives, and directives themselves (specification §5.4, §5.7). */
#include "config.h"

#include "rules.h"

#define REPEATED_MAX 16 /* locations of one name */

const char *
rules_next_input(void **at)
{
    const struct gql_input_def *d = *at;

    *at = d ? (void *)(uintptr_t)d->next : NULL;
    return d ? d->name : NULL;
}

/* Names of arguments that stand more than once, all their places in one error. */
struct repeated {
    uint32_t at[REPEATED_MAX];
    size_t count;
};

static void
check_unique(struct rules *r, const struct gql_argument *list)
{
    struct gql_names known = {.arena = r->arena};

    for (const struct gql_argument *a = list; a; a = a->next) {
        struct gql_name_entry *e = gql_names_put(&known, a->name);
        struct repeated *n = e->value;

        if (!n)
            n = e->value = GQL_NEW(r->arena, struct repeated);
        if (n->count < REPEATED_MAX)
            n->at[n->count++] = a->at;
    }
    for (const struct gql_name_entry *e = known.first; e; e = e->next) {
        const struct repeated *n = e->value;

        if (n->count > 1)
            gql_report_at(r->errors, "not_unique", n->at, n->count,
                          "There can be only one argument named \"%.*s\".", MK_STR_ARG(e->name));
    }
}

/* `owner`: `field "T.f"` or `directive "@d"`. */
static void
check_known(struct rules *r, const struct gql_argument *list, const struct gql_input_def *defs,
            const char *owner)
{
    for (const struct gql_argument *a = list; a; a = a->next) {
        struct mk_buf text = {0};

        if (gql_find_input(defs, a->name))
            continue;
        mk_buf_printf(&text, "Unknown argument \"%.*s\" on %s.", MK_STR_ARG(a->name), owner);
        gql_suggest(&text, "", a->name, rules_next_input, (void *)(uintptr_t)defs);
        gql_report(r->errors, "unknown_argument", a->at, "%s", mk_buf_cstr(&text));
        mk_buf_release(&text);
    }
}

static void
check_values(struct rules *r, const struct gql_argument *list, const struct gql_input_def *defs)
{
    for (const struct gql_argument *a = list; a; a = a->next) {
        const struct gql_input_def *d = gql_find_input(defs, a->name);

        rules_value(r, a->value, d ? d->type : NULL);
    }
}

static bool
is_given(const struct gql_argument *list, const char *name)
{
    while (list && !mk_str_is(list->name, name))
        list = list->next;
    return list != NULL;
}

static void
check_required(struct rules *r, const struct gql_argument *list, const struct gql_input_def *defs,
               const char *owner, uint32_t at)
{
    for (const struct gql_input_def *d = defs; d; d = d->next) {
        struct mk_buf type = {0};

        if (!gql_is_required(d) || is_given(list, d->name))
            continue;
        gql_print_ref(&type, d->type);
        gql_report(r->errors, "missing_non_null_param", at,
                   "%s argument \"%s\" of type \"%s\" is required, but it was not provided.", owner,
                   d->name, mk_buf_cstr(&type));
        mk_buf_release(&type);
    }
}

void
rules_field_arguments(struct rules *r, const struct gql_selection *s)
{
    struct mk_buf owner = {0};

    check_unique(r, s->arguments);
    check_values(r, s->arguments, s->def ? s->def->args : NULL);
    if (!s->def || !s->arguments)
        return;
    mk_buf_printf(&owner, "field \"%s.%s\"", s->parent->name, s->def->name);
    check_known(r, s->arguments, s->def->args, mk_buf_cstr(&owner));
    mk_buf_release(&owner);
}

void
rules_required_arguments(struct rules *r, const struct gql_selection *s)
{
    struct mk_buf owner = {0};

    if (!s->def || !s->def->args)
        return;
    mk_buf_printf(&owner, "Field \"%s\"", s->def->name);
    check_required(r, s->arguments, s->def->args, mk_buf_cstr(&owner), s->at);
    mk_buf_release(&owner);
}

/* -- directives ------------------------------------------------------------------------------ */

static void
check_directive(struct rules *r, const struct gql_directive *d, enum gql_place place)
{
    const struct gql_directive_def *def = gql_find_directive(r->view->schema, d->name);
    struct mk_buf owner = {0};

    check_unique(r, d->arguments);
    check_values(r, d->arguments, def ? def->args : NULL);
    if (!def) {
        gql_report(r->errors, "unknown_directive", d->at, "Unknown directive \"@%.*s\".",
                   MK_STR_ARG(d->name));
        return;
    }
    if (!(def->places & 1u << place))
        gql_report(r->errors, "misplaced_directive", d->at,
                   "Directive \"@%s\" may not be used on %s.", def->name, gql_place_names[place]);
    mk_buf_printf(&owner, "directive \"@%s\"", def->name);
    check_known(r, d->arguments, def->args, mk_buf_cstr(&owner));
    mk_buf_clear(&owner);
    mk_buf_printf(&owner, "Directive \"@%s\"", def->name);
    check_required(r, d->arguments, def->args, mk_buf_cstr(&owner), d->at);
    mk_buf_release(&owner);
}

void
rules_directives(struct rules *r, const struct gql_directive *list, enum gql_place place)
{
    struct gql_names known = {.arena = r->arena};

    for (const struct gql_directive *d = list; d && !r->errors->full; d = d->next) {
        const struct gql_directive_def *def = gql_find_directive(r->view->schema, d->name);
        struct gql_name_entry *e = gql_names_put(&known, d->name);

        check_directive(r, d, place);
        if (e->value && def && !def->repeatable)
            gql_report_at(r->errors, "directives_not_unique",
                          (uint32_t[]){((struct gql_directive *)e->value)->at, d->at}, 2,
                          "The directive \"@%s\" can only be used once at this location.",
                          def->name);
        else
            e->value = (void *)(uintptr_t)d;
    }
}
