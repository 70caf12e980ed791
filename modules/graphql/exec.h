/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * What the files of execution share.
 *
 *   execute.c    operations, fields, and who waits for whom
 *   complete.c   values of resolvers become values of the response (specification §6.4.3), null
 * goes up subscribe.c  operations that answer many times
 */
#ifndef GRAPHQL_EXEC_H
#define GRAPHQL_EXEC_H

#include "collect.h"

struct sequence;
struct field;
struct portion;

/* A spot in the response, where a value goes. */
struct place {
    struct place *up; /* NULL: the whole of "data" */
    const char *key;  /* NULL: an index */
    size_t index;
    json_t *container; /* borrowed: in the response, as long as no place above is dead */
    bool nullable;
    bool dead; /* null has come here from below: what is inside is of no interest any more */
};

/* Something that ends when all that was begun in it has. */
struct counter {
    struct counter *up;
    unsigned pending;
    struct sequence *sequence; /* NULL: the execution's own */
};

struct exec {
    struct exec *next, **link; /* among those that are under way; link NULL: in no list */
    unsigned begun;            /* at this tick */
    bool expired;              /* it was answered, and is kept for resolvers that have not */
    struct field *waiting;     /* their fields */
    struct sequence *sequences;
    struct portion *portions; /* long lists */
    struct gql_plan *plan;
    struct gql_arena arena;
    struct counter counter;
    struct place root;
    json_t *data;
    struct gql_errors errors;
    bool serial; /* a mutation: categories and their fields one after the other */
    const struct gql_field_def *source; /* of a subscription: has the value `event` */
    json_t *event;
    gql_done_fn done;
    void *arg;
};

/* A field whose resolver is at work. */
struct field {
    struct mk_gql_field pub;
    struct exec *exec;
    struct field *next, **link; /* among those that wait in `exec` */
    struct counter *counter;
    struct place place;
    struct gql_group *group;
    json_t *args;   /* owned */
    json_t *parent; /* owned; NULL: a category or a root */
    bool answered;
    bool takes_long; /* it said so */
    struct gql_plan *plan;
    struct gql_subscription *subscription; /* NULL: it answers once */
};

/* execute.c */
struct exec *exec_new(struct gql_plan *plan, gql_done_fn done, void *arg);
void exec_run(struct exec *e); /* `done` may have been called, and e be gone */
void counter_leave(struct exec *e, struct counter *c);
/* Executes what is selected of an object; `value` NULL: a category or a root. */
void exec_object(struct exec *e, struct counter *c, struct place *at, const struct gql_type *t,
                 struct gql_group *groups, const json_t *value);
void exec_answer(struct field *f, json_t *value); /* taken */
/* False: its module goes. Otherwise the module is busy until part_leave. */
bool part_enter(const struct gql_part *part);
void part_leave(const struct gql_part *part);
void tell_gone(struct exec *e, struct place *at, struct gql_group *g);

/* complete.c; `at` must be in the arena where composite types are inside */
void exec_complete(struct exec *e, struct counter *c, struct place *at, const struct gql_ref *type,
                   struct gql_group *g, const json_t *value);
void exec_put(struct exec *e, struct place *at, json_t *value); /* taken */
/* Long lists that are not done yet end here. */
void exec_fail_portions(struct exec *e, const char *code, const char *message);
/* An error at this place; null goes there, or further up. */
void exec_fail(struct exec *e, struct place *at, struct gql_group *g, const char *code,
               const char *fmt, ...) MK_PRINTF(5, 6);
void exec_fail_at(struct exec *e, struct place *at, const uint32_t *where, size_t count,
                  const char *code, json_t *extensions, const char *message);
bool place_is_dead(const struct place *at);
/* Does a value of this type need a place that stays? */
static inline bool
needs_place(const struct gql_ref *type)
{
    return !gql_is_leaf(gql_ref_type(type));
}

#endif
