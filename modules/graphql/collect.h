/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The fields of a selection, fragments resolved, @skip and @include applied (specification §6.3.2).
 */
#ifndef GRAPHQL_COLLECT_H
#define GRAPHQL_COLLECT_H

#include "execute.h"

/* Selections with one response key: they are one field, whose own selections go together. */
struct gql_group {
    const char *key;
    const struct gql_field_def *def; /* of the object that it is selected on; NULL: it has none */
    const struct gql_type *owner;
    const struct gql_selection **nodes;
    size_t count;
    /* What was selected inside for the type that came last: lists ask again and again. */
    const struct gql_type *inside_type;
    struct gql_group *inside;
    struct gql_group *next;
};

/* What `nodes` select on an object of type `t`, in `arena`. */
struct gql_group *gql_collect(struct gql_plan *plan, struct gql_arena *arena,
                              const struct gql_type *t, const struct gql_selection *const *nodes,
                              size_t count);
/* The same of an operation's own selection. */
struct gql_group *gql_collect_root(struct gql_plan *plan, struct gql_arena *arena,
                                   const struct gql_type *t);
/* Of the selections inside a group, remembered there. */
struct gql_group *gql_collect_inside(struct gql_plan *plan, struct gql_arena *arena,
                                     struct gql_group *g, const struct gql_type *t);
/* Does @skip or @include leave this out? */
bool gql_is_skipped(const struct gql_directive *list, const json_t *variables);

#endif
