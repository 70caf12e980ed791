/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* What the files that put a schema together share. After the first mistake `failed` is set and
 * nothing more is told. */
#ifndef GRAPHQL_BUILD_H
#define GRAPHQL_BUILD_H

#include "schema.h"

struct build {
    struct gql_schema *schema;
    struct gql_part *const *parts;
    size_t count;
    const struct gql_part *culprit;
    struct mk_error *err;
    bool failed;
};

/* The mistake at byte `at` of the part's text. */
void build_fail(struct build *b, const struct gql_part *part, uint32_t at, const char *fmt, ...)
    MK_PRINTF(4, 5);

/* build_directives.c: reads and checks the directives of one place. */
struct build_marks {
    const char *deprecated;
    const char *specified_by;
    struct gql_protect protect;
};
void build_directives(struct build *b, const struct gql_part *part,
                      const struct gql_directive *list, enum gql_place place,
                      struct build_marks *marks);

/* check.c: rules about a schema as a whole (specification §3). */
void build_check(struct build *b);

/* Grows an array of the arena by one: returns the room for it. */
void *build_grow(struct gql_arena *a, void *array, size_t count, size_t size);

static inline const char *
build_text(struct build *b, struct mk_str text)
{
    return text.p ? gql_copy(&b->schema->arena, text) : NULL;
}

#endif
