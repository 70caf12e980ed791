/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Operations: only they and fragments may be in a query, names differ, a subscription has one field
 * (§5.1, §5.2). */
#include "config.h"

#include "rules.h"

static void
not_executable(struct rules *r, const struct gql_definition *d)
{
    if (d->kind == GQL_DEF_SCHEMA)
        gql_report(r->errors, "not_executable", d->at, "The schema definition is not executable.");
    else
        gql_report(r->errors, "not_executable", d->at, "The \"%.*s\" definition is not executable.",
                   MK_STR_ARG(d->name));
}

void
rules_operations(struct rules *r)
{
    struct gql_names known = {.arena = r->arena};
    size_t count = 0;

    for (struct gql_definition *d = r->doc->definitions; d; d = d->next)
        count += d->kind == GQL_DEF_OPERATION;
    for (struct gql_definition *d = r->doc->definitions; d && !r->errors->full; d = d->next) {
        struct gql_name_entry *e;

        if (d->kind != GQL_DEF_OPERATION && d->kind != GQL_DEF_FRAGMENT)
            not_executable(r, d);
        if (d->kind != GQL_DEF_OPERATION)
            continue;
        if (!d->name.p) {
            if (count > 1)
                gql_report(r->errors, "unnamed_operation", d->at,
                           "This anonymous operation must be the only defined operation.");
            continue;
        }
        e = gql_names_put(&known, d->name);
        if (e->value) {
            const struct gql_definition *first = e->value;

            gql_report_at(r->errors, "not_unique", (uint32_t[]){first->name_at, d->name_at}, 2,
                          "There can be only one operation named \"%.*s\".", MK_STR_ARG(d->name));
        } else {
            e->value = d;
        }
    }
}

/* -- subscriptions --------------------------------------------------------------------------- */

struct root_fields {
    struct rules *rules;
    unsigned mark;
    struct gql_names keys; /* to the first field */
    uint32_t extra[16], meta[16];
    size_t extra_count, meta_count;
};

static void
note_field(struct root_fields *f, const struct gql_selection *s)
{
    struct gql_name_entry *e = gql_names_put(&f->keys, gql_response_key(s));

    e->value = (void *)(uintptr_t)s;
    if (e != f->keys.first && f->extra_count < MK_COUNT(f->extra))
        f->extra[f->extra_count++] = s->at;
    if (s->name.len > 1 && memcmp(s->name.p, "__", 2) == 0 && f->meta_count < MK_COUNT(f->meta))
        f->meta[f->meta_count++] = s->at;
}

static void
note_fields(struct root_fields *f, const struct gql_selection *list)
{
    for (const struct gql_selection *s = list; s; s = s->next) {
        if (s->kind == GQL_FIELD) {
            note_field(f, s);
        } else if (s->kind == GQL_INLINE) {
            note_fields(f, s->selections);
        } else if (s->fragment && s->fragment->mark != f->mark) {
            s->fragment->mark = f->mark;
            note_fields(f, s->fragment->selections);
        }
    }
}

void
rules_subscription(struct rules *r, const struct gql_definition *op)
{
    struct root_fields f = {.rules = r, .mark = ++r->doc->marks, .keys = {.arena = r->arena}};
    struct mk_buf who = {0};

    if (!op->type)
        return;
    note_fields(&f, op->selections);
    if (op->name.p)
        mk_buf_printf(&who, "Subscription \"%.*s\"", MK_STR_ARG(op->name));
    else
        mk_buf_add_cstr(&who, "Anonymous Subscription");
    if (f.extra_count)
        gql_report_at(r->errors, "single_field_subscription", f.extra, f.extra_count,
                      "%s must select only one top level field.", mk_buf_cstr(&who));
    if (f.meta_count)
        gql_report_at(r->errors, "single_field_subscription", f.meta, f.meta_count,
                      "%s must not select an introspection top level field.", mk_buf_cstr(&who));
    mk_buf_release(&who);
}
