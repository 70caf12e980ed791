/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Input coercion (specification §3, §6.1.2, §6.4.1): what clients wrote becomes what resolvers get.
 */
#ifndef GRAPHQL_COERCE_H
#define GRAPHQL_COERCE_H

#include "error.h"
#include "schema.h"

/* A literal of a scalar or an enum; NULL with the reason. Owned. */
json_t *gql_leaf_literal(const struct gql_type *t, const struct gql_value *v,
                         struct mk_error *err) MK_NODISCARD;
/* The same of JSON: a variable. */
json_t *gql_leaf_value(const struct gql_type *t, const json_t *v,
                       struct mk_error *err) MK_NODISCARD;

/*
 * A literal of any type, with the coerced variables (NULL: it is constant); NULL: it does not fit,
 * which validation has told where it could. Owned.
 */
json_t *gql_coerce_literal(const struct gql_value *v, const struct gql_ref *type,
                           const json_t *variables) MK_NODISCARD;

/* A type as it is written in a query, made in `arena`; NULL: there is no such type in the view. */
const struct gql_ref *gql_resolve_ref(struct gql_arena *arena, const struct gql_view *v,
                                      const struct gql_type_node *n);

/* An operation's variables from what the client sent (NULL: nothing); NULL: errors were reported.
 * Owned. */
json_t *gql_coerce_variables(const struct gql_view *v, struct gql_document *doc,
                             const struct gql_definition *operation, const json_t *given,
                             struct gql_errors *errors) MK_NODISCARD;

struct gql_argument_error {
    uint32_t at;
    char text[400];
};
/* The arguments of a field or directive; NULL: one is wrong. `at` is that of the field. Owned. */
json_t *gql_coerce_arguments(const struct gql_input_def *defs, const struct gql_argument *args,
                             uint32_t at, const json_t *variables,
                             struct gql_argument_error *err) MK_NODISCARD;

#endif
