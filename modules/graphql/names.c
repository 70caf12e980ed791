/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* A map from names. Few names are compared one by one; many have a table, keyed so that nobody can
 * aim at one chain. */
#include "config.h"

#include "names.h"

#define FEW 8

static struct gql_name_entry *
search(const struct gql_names *n, struct mk_str name, uint64_t hash)
{
    struct gql_name_entry *e = n->table ? n->table[hash & (n->room - 1)] : n->first;

    while (e && !mk_str_eq(e->name, name))
        e = n->table ? e->chain : e->next;
    return e;
}

struct gql_name_entry *
gql_names_find(const struct gql_names *n, struct mk_str name)
{
    return search(n, name, n->table ? mk_hash(name.p, name.len) : 0);
}

static void
grow(struct gql_names *n)
{
    n->room = n->count * 4;
    n->table = gql_alloc(n->arena, n->room * sizeof(struct gql_name_entry *));
    for (struct gql_name_entry *e = n->first; e; e = e->next) {
        struct gql_name_entry **chain;

        e->hash = mk_hash(e->name.p, e->name.len);
        chain = &n->table[e->hash & (n->room - 1)];
        e->chain = *chain;
        *chain = e;
    }
}

struct gql_name_entry *
gql_names_put(struct gql_names *n, struct mk_str name)
{
    uint64_t hash = n->table ? mk_hash(name.p, name.len) : 0;
    struct gql_name_entry *e = search(n, name, hash);

    if (e)
        return e;
    e = GQL_NEW(n->arena, struct gql_name_entry);
    e->name = name;
    e->hash = hash;
    if (n->last)
        n->last->next = e;
    else
        n->first = e;
    n->last = e;
    if (n->table) {
        e->chain = n->table[hash & (n->room - 1)];
        n->table[hash & (n->room - 1)] = e;
    }
    /* Always a power of two. */
    if (++n->count == FEW || (n->table && n->count == n->room))
        grow(n);
    return e;
}
