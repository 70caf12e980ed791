/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Goes through a document and asks the rules (specification §5). */
#include "config.h"

#include "rules.h"

#define BUDGET 500000u

bool
rules_spend(struct rules *r, size_t cost)
{
    if (r->aborted)
        return false;
    if (r->budget >= cost) {
        r->budget -= cost;
        return true;
    }
    r->aborted = true;
    gql_report_at(r->errors, "query_too_complex", NULL, 0,
                  "Validation takes too long. Validation aborted.");
    return false;
}

static void
check_selections(struct rules *r, const struct gql_selection *list)
{
    for (const struct gql_selection *s = list; s && !r->errors->full; s = s->next) {
        if (s->kind == GQL_SPREAD) {
            rules_spread(r, s);
            rules_directives(r, s->directives, GQL_AT_FRAGMENT_SPREAD);
        } else if (s->kind == GQL_INLINE) {
            rules_inline(r, s);
            rules_directives(r, s->directives, GQL_AT_INLINE_FRAGMENT);
            check_selections(r, s->selections);
        } else {
            rules_field(r, s);
            rules_field_arguments(r, s);
            rules_directives(r, s->directives, GQL_AT_FIELD);
            check_selections(r, s->selections);
            rules_required_arguments(r, s);
        }
    }
}

static void
check_definition(struct rules *r, struct gql_definition *d)
{
    static const enum gql_place places[] = {[GQL_QUERY] = GQL_AT_QUERY,
                                            [GQL_MUTATION] = GQL_AT_MUTATION,
                                            [GQL_SUBSCRIPTION] = GQL_AT_SUBSCRIPTION};

    if (d->kind == GQL_DEF_OPERATION) {
        rules_variables(r, d);
        if (d->operation == GQL_SUBSCRIPTION)
            rules_subscription(r, d);
        rules_directives(r, d->directives, places[d->operation]);
    } else if (d->kind == GQL_DEF_FRAGMENT) {
        rules_fragment(r, d);
        rules_directives(r, d->directives, GQL_AT_FRAGMENT_DEFINITION);
    }
    check_selections(r, d->selections);
}

bool
gql_validate(const struct gql_view *v, struct gql_document *doc, struct gql_errors *errors)
{
    struct rules r = {
        .view = v, .doc = doc, .arena = doc->arena, .errors = errors, .budget = BUDGET};

    rules_operations(&r);
    if (!rules_fragments(&r))
        return false;
    rules_unused_fragments(&r);
    for (struct gql_definition *d = doc->definitions; d && !errors->full; d = d->next)
        check_definition(&r, d);
    rules_overlap(&r);
    return gql_errors_count(errors) == 0;
}
