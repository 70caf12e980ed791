/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Rules about a document (specification §5). */
#ifndef GRAPHQL_VALIDATE_H
#define GRAPHQL_VALIDATE_H

#include "error.h"
#include "schema.h"

/* Notes at every selection what type it is on, which field or fragment it is. Needed by all that
 * comes after. */
void gql_annotate(const struct gql_view *v, struct gql_document *doc);

/* False: `errors` has them. The document must be annotated. */
bool gql_validate(const struct gql_view *v, struct gql_document *doc,
                  struct gql_errors *errors) MK_NODISCARD;

#endif
