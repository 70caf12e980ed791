/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* From a request to a plan. */
#include "config.h"

#include <stdio.h>

#include "parser.h"
#include "prepare.h"
#include "protect.h"
#include "validate.h"

#define PARSE_DEPTH \
    200 /* of braces and brackets: bounds the stack, beyond any limit that makes sense */
#define VALIDATION_ERRORS 100

static void
refuse(struct gql_prepared *out, struct gql_errors *errors, enum gql_refusal refusal)
{
    out->refusal = refusal;
    out->errors = errors->list;
    errors->list = NULL;
    gql_plan_unref(&out->plan);
}

static void
refuse_limit(struct gql_prepared *out, struct gql_errors *errors, enum gql_limit limit)
{
    out->limit = limit;
    refuse(out, errors, GQL_OVER_LIMIT);
}

static bool
parse(struct gql_prepared *out, const struct gql_limits *limits, struct gql_errors *errors)
{
    const struct gql_parse_limits parse_limits = {.tokens = limits->max[GQL_MAX_TOKENS],
                                                  .depth = PARSE_DEPTH};
    struct gql_plan *plan = out->plan;
    struct gql_parse_error why;
    enum gql_parse_result result =
        gql_parse(&plan->arena, errors->source, &parse_limits, &plan->doc, &why);
    const char *code = result == GQL_PARSE_TOKENS  ? gql_limit_codes[GQL_MAX_TOKENS]
                       : result == GQL_PARSE_DEPTH ? gql_limit_codes[GQL_MAX_DEPTH]
                                                   : why.code;

    if (result == GQL_PARSED)
        return true;
    gql_report(errors, code, why.at, "%s", why.text);
    if (result == GQL_PARSE_SYNTAX)
        refuse(out, errors, GQL_BAD_REQUEST);
    else
        refuse_limit(out, errors, result == GQL_PARSE_TOKENS ? GQL_MAX_TOKENS : GQL_MAX_DEPTH);
    return false;
}

static bool
pick_operation(struct gql_plan *plan, const char *name, struct gql_errors *errors)
{
    const struct gql_definition *found = NULL;
    static const char *const words[] = {"query", "mutation", "subscription"};

    for (const struct gql_definition *d = plan->doc->definitions; d; d = d->next) {
        if (d->kind != GQL_DEF_OPERATION || (name && !mk_str_is(d->name, name)))
            continue;
        if (found) {
            gql_report_at(errors, "more_than_one_operation", NULL, 0,
                          "Must provide operation name if query contains multiple operations.");
            return false;
        }
        found = d;
    }
    plan->operation = found;
    if (!found && name)
        gql_report_at(errors, "operation_not_found", NULL, 0, "Unknown operation named \"%.100s\".",
                      name);
    else if (!found)
        gql_report_at(errors, "operation_not_found", NULL, 0, "Must provide an operation.");
    else if (!plan->view->roots[found->operation])
        gql_report(errors, "unsupported_operation", found->at,
                   "Schema is not configured to execute %s operation.", words[found->operation]);
    return gql_errors_count(errors) == 0;
}

static void
set_viewer(struct gql_plan *plan, const struct gql_request *rq)
{
    plan->viewer = *rq->viewer;
    plan->viewer.user = mk_jid_ref(rq->viewer->user);
    plan->viewer.domain =
        rq->viewer->domain ? gql_copy(&plan->arena, mk_str_of(rq->viewer->domain)) : NULL;
    plan->viewer.peer = gql_copy(&plan->arena, mk_str_of(rq->viewer->peer ? rq->viewer->peer : ""));
    plan->api = rq->api;
    plan->categories = rq->categories;
    plan->running = rq->running;
    plan->later = rq->later;
}

static bool
check_source(struct gql_prepared *out, const struct gql_request *rq, struct gql_errors *errors)
{
    if (rq->query.len > rq->limits->max[GQL_MAX_QUERY]) {
        gql_report_at(errors, gql_limit_codes[GQL_MAX_QUERY], NULL, 0,
                      "The query has %zu bytes; %zu are allowed.", rq->query.len,
                      rq->limits->max[GQL_MAX_QUERY]);
        refuse_limit(out, errors, GQL_MAX_QUERY);
        return false;
    }
    if (!mk_utf8_valid(rq->query)) {
        gql_report_at(errors, "scanner_error", NULL, 0,
                      "Syntax Error: The query is not valid UTF-8.");
        refuse(out, errors, GQL_BAD_REQUEST);
        return false;
    }
    return true;
}

void
gql_prepare(const struct gql_view *view, const struct gql_request *rq, struct gql_prepared *out)
{
    struct gql_errors errors = {.max = VALIDATION_ERRORS};
    struct gql_plan *plan;

    *out = (struct gql_prepared){.refusal = GQL_ACCEPTED};
    if (!check_source(out, rq, &errors))
        return;
    plan = out->plan = gql_plan_new(view, rq->query);
    errors.source = (struct mk_str){plan->source, rq->query.len};
    set_viewer(plan, rq);
    if (!parse(out, rq->limits, &errors))
        return;
    gql_annotate(view, plan->doc);
    if (!gql_validate(view, plan->doc, &errors) || !pick_operation(plan, rq->operation, &errors)) {
        refuse(out, &errors, GQL_BAD_REQUEST);
        return;
    }
    plan->variables =
        gql_coerce_variables(view, plan->doc, plan->operation, rq->variables, &errors);
    if (!plan->variables)
        refuse(out, &errors, GQL_BAD_REQUEST);
    else if (!gql_within_limits(plan, rq->limits, &out->limit, &errors))
        refuse_limit(out, &errors, out->limit);
    else if (!gql_is_permitted(plan, &errors))
        refuse(out, &errors, GQL_FORBIDDEN);
}
