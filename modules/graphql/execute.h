/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Execution (specification §6) of an operation that was validated. Everything happens on one
 * worker; resolvers may answer later. The response is {"data": …, "errors": […]}.
 */
#ifndef GRAPHQL_EXECUTE_H
#define GRAPHQL_EXECUTE_H

#include "coerce.h"

struct exec;

/*
 * Executions that are under way on one worker, oldest first. Whoever keeps the list calls gql_expire
 * at each of its ticks; what has lasted too many of them is answered as it is, and what its
 * resolvers say afterwards is dropped.
 */
struct gql_running {
    struct exec *first, **last;
    unsigned tick;
    void (*begun)(struct gql_running *r); /* one more is in the list */
    /* +1: expired; -1: all its resolvers have answered after all */
    void (*late)(struct gql_running *r, int change);
};
void gql_running_init(struct gql_running *r);
/* The next tick: ends what began more than `ticks` ticks ago. */
void gql_expire(struct gql_running *r, unsigned ticks);

/* What is executed: made once, used by one execution or by all events of a subscription. */
struct gql_plan {
    unsigned refs;             /* this worker's */
    struct gql_schema *schema; /* referenced */
    const struct gql_view *view;
    struct gql_arena arena; /* of the document */
    char *source;           /* owned */
    struct gql_document *doc;
    const struct gql_definition *operation;
    json_t *variables; /* coerced */
    /* Who asks. The texts live in the arena. */
    struct mk_gql_viewer viewer;
    const struct mk_graphql *api;
    const struct mk_option_list *categories; /* that may be used; NULL: all */
    struct gql_running *running; /* borrowed: outlives its executions; NULL: they last for ever */
    /* Calls fn(arg) soon, so that a long list does not keep others waiting; NULL: do it at once. */
    void (*later)(struct gql_plan *p, void (*fn)(void *arg), void *arg);
};

/* May this field of a root be used? checkAuth and introspection always may. */
bool gql_category_is_enabled(const struct gql_plan *p, const struct gql_type *t,
                             const struct gql_field_def *def);

/* Owned; `view`'s schema gets a reference, `source` is copied. */
struct gql_plan *gql_plan_new(const struct gql_view *view, struct mk_str source);
struct gql_plan *gql_plan_ref(struct gql_plan *p);
void gql_plan_unref(struct gql_plan **p);

/* `response` is taken. */
typedef void (*gql_done_fn)(json_t *response, void *arg);

/* A query or mutation. Calls `done` exactly once, perhaps at once. */
void gql_execute(struct gql_plan *plan, gql_done_fn done, void *arg);

/*
 * A subscription: `event` gets a response for each value; `ended` once, when the resolver ends it
 * by itself, perhaps at once: with an error's response, or NULL. After gql_subscription_end nothing
 * is called any more. NULL: ended was called already.
 */
struct gql_subscription;
struct gql_subscription_ops {
    void (*event)(json_t *response, void *arg); /* taken */
    void (*ended)(json_t *response, void *arg); /* taken */
};
struct gql_subscription *gql_subscribe(struct gql_plan *plan, size_t queue_max,
                                       const struct gql_subscription_ops *ops, void *arg);
void gql_subscription_end(struct gql_subscription **s);
const struct gql_part *gql_subscription_part(const struct gql_subscription *s);

/* -- what service "graphql" offers to resolvers; their types are public ---- */
struct mk_module *gql_field_module(const struct mk_gql_field *f);
const struct mk_gql_viewer *gql_field_viewer(const struct mk_gql_field *f);
const json_t *gql_field_argument(const struct mk_gql_field *f, const char *name);
const json_t *gql_field_parent(const struct mk_gql_field *f);
void gql_field_answer(struct mk_gql_field *f, json_t *value);
bool gql_field_is_subscription(const struct mk_gql_field *f);
void gql_field_next(struct mk_gql_field *f, json_t *value);
void gql_field_on_end(struct mk_gql_field *f, mk_gql_fn fn, void *arg);
void gql_field_takes_long(struct mk_gql_field *f);

/* introspect.c: the fields __schema and __type. Owned. */
struct gql_fields;
json_t *gql_introspect(struct gql_plan *plan, const struct gql_field_def *root,
                       const struct gql_selection *const *nodes, size_t count, const json_t *args);

#endif
