/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * What the files of rules share. Messages and locations are those of graphql-js, for clients and
 * people know them.
 *
 *   validate.c             goes through the document and asks the others
 *   validate_operations.c  operations: names, subscriptions
 *   validate_fragments.c   fragments: names, types, use, circles
 *   validate_fields.c      fields: that they exist, that objects have selections and others have
 * none validate_arguments.c   arguments and directives validate_values.c      literals
 *   validate_variables.c   variables: types, use, where they stand
 *   validate_overlap.c     fields with one response key
 */
#ifndef GRAPHQL_RULES_H
#define GRAPHQL_RULES_H

#include "names.h"
#include "validate.h"

struct rules {
    const struct gql_view *view;
    struct gql_document *doc;
    struct gql_arena *arena;
    struct gql_errors *errors;
    struct gql_names fragments; /* to the definition; the first of a name */
    size_t budget;              /* of work that can grow faster than the document */
    bool aborted;
};

/* False: the budget is spent, which was told. */
bool rules_spend(struct rules *r, size_t cost) MK_NODISCARD;

void rules_operations(struct rules *r);
void rules_subscription(struct rules *r, const struct gql_definition *op);

/* False: fragments lie in each other so deep, or in circles, that no other rule can follow them. */
bool rules_fragments(struct rules *r) MK_NODISCARD;
void rules_unused_fragments(struct rules *r);
void rules_spread(struct rules *r, const struct gql_selection *s);
void rules_inline(struct rules *r, const struct gql_selection *s);
void rules_fragment(struct rules *r, const struct gql_definition *d);

void rules_field(struct rules *r, const struct gql_selection *s);
void rules_known_type(struct rules *r, const struct gql_type_node *n);

void rules_field_arguments(struct rules *r, const struct gql_selection *s);
/* Behind the selections inside, so that what is deeper is told first. */
void rules_required_arguments(struct rules *r, const struct gql_selection *s);
void rules_directives(struct rules *r, const struct gql_directive *list, enum gql_place place);

/* `type` NULL: it is not known. */
void rules_value(struct rules *r, const struct gql_value *v, const struct gql_ref *type);

void rules_variables(struct rules *r, struct gql_definition *op);

void rules_overlap(struct rules *r);

/* Names one by one, for gql_suggest. */
const char *rules_next_input(void **at);

#endif
