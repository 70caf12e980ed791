/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* From a request to a plan: parsing, limits, validation, variables, permissions. Nothing has run
 * yet. */
#ifndef GRAPHQL_PREPARE_H
#define GRAPHQL_PREPARE_H

#include "execute.h"
#include "limits.h"

struct gql_request {
    struct mk_str query;
    const char *operation;   /* NULL: not named */
    const json_t *variables; /* NULL: none; else an object */
    const struct mk_gql_viewer *viewer;
    const struct mk_graphql *api;
    const struct gql_limits *limits;
    const struct mk_option_list
        *categories; /* that may be used; NULL: all. Stays as long as the plan. */
    struct gql_running *running; /* NULL: fields may take as long as they like */
    void (*later)(struct gql_plan *p, void (*fn)(void *arg), void *arg); /* may be NULL: execute.h */
};

enum gql_refusal {
    GQL_ACCEPTED,
    GQL_BAD_REQUEST, /* syntax, validation, variables */
    GQL_OVER_LIMIT,  /* `limit` says which */
    GQL_FORBIDDEN,   /* what is protected, for who asks */
};

struct gql_prepared {
    struct gql_plan *plan; /* owned; NULL when refused */
    enum gql_refusal refusal;
    enum gql_limit limit;
    json_t *errors; /* owned; NULL when accepted */
};

void gql_prepare(const struct gql_view *view, const struct gql_request *rq,
                 struct gql_prepared *out);

#endif
