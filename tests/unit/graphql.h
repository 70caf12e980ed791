/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* What unit tests of GraphQL share: schemas out of one text, requests and their answers. */
#ifndef UNIT_GRAPHQL_H
#define UNIT_GRAPHQL_H

#include <stdlib.h>

#include "unit.h"

#include "prepare.h"

static const struct mk_graphql graphql_api = {.size = sizeof(graphql_api),
                                              .answer = gql_field_answer,
                                              .argument = gql_field_argument,
                                              .parent = gql_field_parent,
                                              .viewer = gql_field_viewer,
                                              .error = gql_error_value,
                                              .is_subscription = gql_field_is_subscription,
                                              .next = gql_field_next,
                                              .on_end = gql_field_on_end,
                                              .takes_long = gql_field_takes_long};

static const struct gql_limits graphql_limits = {.max = {[GQL_MAX_QUERY] = 1000000,
                                                         [GQL_MAX_TOKENS] = 100000,
                                                         [GQL_MAX_DEPTH] = 50,
                                                         [GQL_MAX_FIELDS] = 10000,
                                                         [GQL_MAX_ALIASES] = 1000,
                                                         [GQL_MAX_COMPLEXITY] = 1000000,
                                                         [GQL_MAX_INTROSPECTION] = 2}};

/* The base with one more part; NULL with a reason. `part` (may be NULL) gets a reference. */
MK_UNUSED static struct gql_schema *
graphql_schema(const char *sdl, const struct mk_gql_resolver *resolvers, struct gql_part **part,
               struct mk_error *err)
{
    struct gql_part *parts[2] = {
        gql_part_new("base", MK_GQL_ADMIN | MK_GQL_USER, gql_base_sdl, err)};
    struct gql_schema *s = NULL;

    assert_non_null(parts[0]);
    parts[0]->base = true;
    parts[1] = gql_part_new("test", MK_GQL_ADMIN | MK_GQL_USER, sdl, err);
    if (parts[1]) {
        parts[1]->resolvers = resolvers;
        s = gql_schema_new(parts, 2, NULL, err);
    }
    if (part)
        *part = gql_part_ref(parts[1]);
    gql_part_unref(&parts[0]);
    gql_part_unref(&parts[1]);
    return s;
}

MK_UNUSED static struct gql_prepared
graphql_prepare(const struct gql_schema *s, const char *query, enum mk_gql_who who)
{
    struct mk_gql_viewer viewer = {.size = sizeof(viewer), .who = who, .domain = "localhost"};
    struct gql_request rq = {.query = mk_str_of(query),
                             .viewer = &viewer,
                             .api = &graphql_api,
                             .limits = &graphql_limits};
    struct gql_prepared p;

    gql_prepare(gql_schema_view(s, MK_GQL_ADMIN), &rq, &p);
    return p;
}

MK_UNUSED static void
graphql_on_done(json_t *response, void *arg)
{
    char **text = arg;

    assert_null(*text);
    *text = json_dumps(response, JSON_COMPACT);
    json_decref(response);
}

/* Begins; `text` (NULL before) gets the answer when it is there. */
MK_UNUSED static void
graphql_begin(const struct gql_schema *s, const char *query, char **text)
{
    struct gql_prepared p = graphql_prepare(s, query, MK_GQL_IS_ADMIN);

    *text = NULL;
    if (p.plan) {
        gql_execute(p.plan, graphql_on_done, text);
        gql_plan_unref(&p.plan);
    } else {
        graphql_on_done(json_pack("{s:o}", "errors", p.errors), text);
    }
}

/* For what is answered at once. */
MK_UNUSED static void
assert_answer(const struct gql_schema *s, const char *query, const char *expected)
{
    char *text;

    graphql_begin(s, query, &text);
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
}

#endif
