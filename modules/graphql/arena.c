/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Memory that goes all at once. */
#include "config.h"

#include "arena.h"

#define CHUNK 4000u
#define ALIGN 16u

struct gql_chunk {
    struct gql_chunk *next;
    size_t size;
    _Alignas(ALIGN) char data[];
};

static void
add_chunk(struct gql_arena *a, size_t size)
{
    struct gql_chunk *c = mk_zalloc(sizeof(*c) + size);

    c->size = size;
    c->next = a->chunks;
    a->chunks = c;
    a->used = 0;
}

void *
gql_alloc(struct gql_arena *a, size_t size)
{
    void *p;

    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (!a->chunks || a->chunks->size - a->used < size) {
        size_t more = a->chunks ? a->chunks->size * 2 : CHUNK;

        more = more > 64 * CHUNK ? 64 * CHUNK : more;
        add_chunk(a, size > more ? size : more);
    }
    p = a->chunks->data + a->used;
    a->used += size;
    return p;
}

char *
gql_copy(struct gql_arena *a, struct mk_str text)
{
    char *copy = gql_alloc(a, text.len + 1);

    if (text.len)
        memcpy(copy, text.p, text.len);
    return copy;
}

void
gql_arena_release(struct gql_arena *a)
{
    while (a->chunks) {
        struct gql_chunk *next = a->chunks->next;

        mk_free(a->chunks);
        a->chunks = next;
    }
    a->used = 0;
}
