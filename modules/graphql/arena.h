/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Memory that goes all at once: what belongs to one document, one request, one schema. */
#ifndef GRAPHQL_ARENA_H
#define GRAPHQL_ARENA_H

#include <meerkat/base.h>

struct gql_chunk;

/* All zero is empty and valid. */
struct gql_arena {
    struct gql_chunk *chunks;
    size_t used; /* of the first chunk */
};

/* Zeroed, aligned for anything. */
void *gql_alloc(struct gql_arena *a, size_t size) MK_NODISCARD;
/* A NUL-terminated copy. */
char *gql_copy(struct gql_arena *a, struct mk_str text) MK_NODISCARD;
void gql_arena_release(struct gql_arena *a);

#define GQL_NEW(arena, type) ((type *)gql_alloc((arena), sizeof(type)))

#endif
