/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Rules about a document. */
#include "config.h"

#include "validate.h"

static void
check(struct gql_errors *e, const struct gql_selection *list, unsigned depth)
{
    for (const struct gql_selection *s = list; s; s = s->next) {
        if (s->kind == GQL_FIELD && s->parent && !s->def)
            gql_report(e, "unknown_field", s->at, "Cannot query field \"%.*s\" on type \"%s\".", MK_STR_ARG(s->name),
                       s->parent->name);
        if (s->kind == GQL_SPREAD && !s->fragment)
            gql_report(e, "unknown_fragment", s->at, "Unknown fragment \"%.*s\".", MK_STR_ARG(s->name));
        if (depth > 200) {
            gql_report(e, "cycles_in_fragments", s->at, "Too deep.");
            return;
        }
        check(e, s->selections, depth + 1);
    }
}

bool
gql_validate(const struct gql_view *v, struct gql_document *doc, struct gql_errors *errors)
{
    (void)v;
    for (const struct gql_definition *d = doc->definitions; d; d = d->next)
        check(errors, d->selections, 0);
    return gql_errors_count(errors) == 0;
}
