/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* A batch collects the steps of a transaction; running it makes one request of them. */
#include "config.h"

#include "priv.h"

struct mk_sql_batch {
    struct rdbms *rdbms;
    struct owner *owner;        /* of the last statement */
    struct mk_module *module;
    struct mk_sql_step *steps;
    size_t count;
    size_t cap;
    const char *why;            /* a mistake that was seen already */
};

struct mk_sql_batch *
batch_new(void *self, struct mk_module *m)
{
    struct rdbms *f = self;
    struct mk_sql_batch *b = mk_zalloc(sizeof(*b));

    b->rdbms = f;
    b->module = m;
    return b;
}

/* Copies values into one block: the array, then the bytes. */
static struct mk_sql_value *
values_dup(const struct mk_sql_value *values, size_t n)
{
    size_t bytes = 0;
    struct mk_sql_value *copy;
    char *p;

    for (size_t i = 0; i < n; i++)
        bytes += values[i].type >= MK_SQL_TEXT ? values[i].s.len : 0;
    copy = mk_alloc(n * sizeof(*copy) + bytes + 1);
    p = (char *)(copy + n);
    for (size_t i = 0; i < n; i++) {
        copy[i] = values[i];
        if (values[i].type < MK_SQL_TEXT)
            continue;
        if (values[i].s.len)
            memcpy(p, values[i].s.p, values[i].s.len);
        copy[i].s.p = p;
        p += values[i].s.len;
    }
    return copy;
}

void
batch_add(struct mk_sql_batch *b, struct mk_sql_stmt *stmt, const struct mk_sql_value *values,
          size_t n)
{
    if (n != stmt->text.params) {
        b->why = "wrong number of values for a statement of a batch";
        return;
    }
    if (b->count == b->cap) {
        b->cap = b->cap ? b->cap * 2 : 8;
        b->steps = mk_realloc(b->steps, b->cap * sizeof(*b->steps));
    }
    b->owner = stmt->owner;
    b->steps[b->count++] =
        (struct mk_sql_step){.text = &stmt->text, .values = values_dup(values, n)};
}

void
batch_drop(struct mk_sql_batch *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->count; i++)
        mk_free((void *)(uintptr_t)b->steps[i].values);
    mk_free(b->steps);
    mk_free(b);
}

void
batch_run(struct mk_sql_batch *b, const char *key, mk_sql_fn fn, void *arg)
{
    struct call call = {.owner = b->owner,
                        .module = b->module,
                        .steps = b->steps,
                        .count = b->count,
                        .why = b->why,
                        .key = key,
                        .fn = fn,
                        .arg = arg};

    request_run(b->rdbms, &call);
    batch_drop(b);
}
