/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* How much a request may ask for. Each limit is an option, has its error, and is counted. */
#ifndef GRAPHQL_LIMITS_H
#define GRAPHQL_LIMITS_H

#include "execute.h"

enum gql_limit {
    GQL_MAX_QUERY,
    GQL_MAX_TOKENS,
    GQL_MAX_DEPTH,
    GQL_MAX_FIELDS,
    GQL_MAX_ALIASES,
    GQL_MAX_COMPLEXITY,
    GQL_MAX_INTROSPECTION,
    GQL_LIMITS,
};
extern const char *const gql_limit_names[GQL_LIMITS]; /* "depth" */
extern const char *const gql_limit_codes[GQL_LIMITS]; /* "query_too_deep" */

struct gql_limits {
    size_t max[GQL_LIMITS];
};

/* Of an operation whose document is valid. False: `limit` and an error say what is too much. */
bool gql_within_limits(const struct gql_plan *plan, const struct gql_limits *limits,
                       enum gql_limit *limit, struct gql_errors *errors) MK_NODISCARD;

#endif
