/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* @protected: who may run an operation. */
#ifndef GRAPHQL_PROTECT_H
#define GRAPHQL_PROTECT_H

#include "execute.h"

/* Looks at all that the operation would run. False: an error says what may not be reached. */
bool gql_is_permitted(struct gql_plan *plan, struct gql_errors *errors) MK_NODISCARD;

#endif
