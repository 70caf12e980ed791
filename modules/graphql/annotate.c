/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* What the names of a document mean in a schema. */
#include "config.h"

#include "validate.h"

static struct gql_definition *
find_fragment(const struct gql_document *doc, struct mk_str name)
{
    for (struct gql_definition *d = doc->definitions; d; d = d->next) {
        if (d->kind == GQL_DEF_FRAGMENT && mk_str_eq(d->name, name))
            return d;
    }
    return NULL;
}

static const struct gql_type *
composite(const struct gql_type *t)
{
    return t && gql_is_composite(t) ? t : NULL;
}

/* As deep as the parser lets a document be. */
static void
annotate(const struct gql_view *v, const struct gql_document *doc, struct gql_selection *list,
         const struct gql_type *parent)
{
    for (struct gql_selection *s = list; s; s = s->next) {
        s->parent = parent;
        if (s->kind == GQL_SPREAD) {
            s->fragment = find_fragment(doc, s->name);
            continue;
        }
        if (s->kind == GQL_INLINE)
            s->type = s->condition ? composite(gql_view_type(v, s->condition->name)) : parent;
        else
            s->def = parent ? gql_view_field(v, parent, s->name) : NULL;
        if (s->def)
            s->type = composite(gql_ref_type(s->def->type));
        annotate(v, doc, s->selections, s->type);
    }
}

void
gql_annotate(const struct gql_view *v, struct gql_document *doc)
{
    for (struct gql_definition *d = doc->definitions; d; d = d->next) {
        if (d->kind == GQL_DEF_OPERATION)
            d->type = v->roots[d->operation];
        else if (d->kind == GQL_DEF_FRAGMENT)
            d->type = composite(gql_view_type(v, d->condition->name));
        annotate(v, doc, d->selections, d->type);
    }
}
