/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The types that are always there. __Meta is none: it holds the fields that no text defines on the
 * types that have them. */
#include "config.h"

#include "schema.h"

const char gql_base_sdl[] =
#include "base.graphql.h"
    ;
