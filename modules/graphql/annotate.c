/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* What the names of a document mean in a schema. */
#include "config.h"

#include "names.h"
#include "validate.h"

static const struct gql_type *
composite(const struct gql_type *t)
{
    return t && gql_is_composite(t) ? t : NULL;
}

/* As deep as the parser lets a document be. */
static void
annotate(const struct gql_view *v, const struct gql_names *fragments, struct gql_selection *list,
         const struct gql_type *parent)
{
    for (struct gql_selection *s = list; s; s = s->next) {
        s->parent = parent;
        if (s->kind == GQL_SPREAD) {
            const struct gql_name_entry *e = gql_names_find(fragments, s->name);

            s->fragment = e ? e->value : NULL;
            continue;
        }
        if (s->kind == GQL_INLINE)
            s->type = s->condition ? composite(gql_view_type(v, s->condition->name)) : parent;
        else
            s->def = parent ? gql_view_field(v, parent, s->name) : NULL;
        if (s->def)
            s->type = composite(gql_ref_type(s->def->type));
        annotate(v, fragments, s->selections, s->type);
    }
}

void
gql_annotate(const struct gql_view *v, struct gql_document *doc)
{
    struct gql_names fragments = {.arena = doc->arena};

    for (struct gql_definition *d = doc->definitions; d; d = d->next) {
        struct gql_name_entry *e =
            d->kind == GQL_DEF_FRAGMENT ? gql_names_put(&fragments, d->name) : NULL;

        if (e && !e->value)
            e->value = d;
    }
    for (struct gql_definition *d = doc->definitions; d; d = d->next) {
        if (d->kind == GQL_DEF_OPERATION)
            d->type = v->roots[d->operation];
        else if (d->kind == GQL_DEF_FRAGMENT)
            d->type = composite(gql_view_type(v, d->condition->name));
        annotate(v, &fragments, d->selections, d->type);
    }
}
