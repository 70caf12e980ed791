/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* A map from names, in an arena: what documents have many of is found at once, whoever chose the
 * names. */
#ifndef GRAPHQL_NAMES_H
#define GRAPHQL_NAMES_H

#include "arena.h"

struct gql_name_entry {
    struct mk_str name;
    void *value;
    uint64_t hash;
    struct gql_name_entry *next; /* in the order of coming */
    struct gql_name_entry *chain;
};

/* All zero but the arena is empty and valid. */
struct gql_names {
    struct gql_arena *arena;
    struct gql_name_entry *first, *last;
    struct gql_name_entry **table;
    size_t count, room;
};

/* The entry of this name, NULL: there is none. */
struct gql_name_entry *gql_names_find(const struct gql_names *n, struct mk_str name);
/* The same; made, with a NULL value, where there was none. */
struct gql_name_entry *gql_names_put(struct gql_names *n, struct mk_str name);

#endif
