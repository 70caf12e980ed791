/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The types of the API. All modules define into one universe of types; the two schemas are views of
 * it: what can be reached from their roots. A schema never changes once it is made; it is shared
 * between threads and counted.
 */
#ifndef GRAPHQL_SCHEMA_H
#define GRAPHQL_SCHEMA_H

#include <meerkat/graphql.h>

#include "ast.h"

enum gql_kind { GQL_K_SCALAR, GQL_K_OBJECT, GQL_K_INTERFACE, GQL_K_UNION, GQL_K_ENUM, GQL_K_INPUT };

struct gql_type;
struct gql_part;
struct gql_schema;

/* A type as it is referred to: [Name!]! */
struct gql_ref {
    enum gql_ref_kind kind;
    const struct gql_type *type; /* of GQL_NAMED */
    const struct gql_ref *of;
};

enum gql_protection { GQL_OPEN, GQL_PROTECT_DEFAULT, GQL_PROTECT_DOMAIN, GQL_PROTECT_GLOBAL };

struct gql_protect {
    enum gql_protection kind;
    size_t count;
    const char **args; /* "domain", "user.jid" */
};

/* An argument, or a field of an input object. */
struct gql_input_def {
    const char *name;
    const char *description; /* NULL: none; the same everywhere below */
    const char *deprecated;  /* NULL: it is not */
    const struct gql_ref *type;
    const struct gql_value *preset; /* NULL: none */
    const struct gql_part *part;
    uint32_t at;
    enum { GQL_NOT_CHECKED, GQL_BEING_CHECKED, GQL_CHECKED } presets; /* for circles of defaults */
    struct gql_input_def *next;
};

struct gql_field_def {
    const char *name;
    const char *description;
    const char *deprecated;
    const struct gql_ref *type;
    struct gql_input_def *args;
    struct gql_protect protect;
    const struct gql_part *part; /* who defined it */
    uint32_t at;
    mk_gql_fn fn; /* NULL: the member of the parent's value */
    struct gql_field_def *next;
};

struct gql_enum_value {
    const char *name;
    const char *description;
    const char *deprecated;
    const struct gql_part *part;
    uint32_t at;
    struct gql_enum_value *next;
};

/* How a scalar that we know is read and written. NULL from either: not such a value, `err` says
 * why; the value itself belongs behind it. */
struct gql_scalar_ops {
    const char *name;
    json_t *(*in)(const json_t *value, struct mk_error *err);
    json_t *(*out)(const json_t *value, struct mk_error *err);
};

/* An interface that a type has, or a type that a union or interface can be; where that is said. */
struct gql_member {
    const struct gql_type *type;
    const struct gql_part *part;
    uint32_t at;
};

struct gql_type {
    enum gql_kind kind;
    const char *name;
    const char *description;
    const char *specified_by;
    const struct gql_part *part;
    uint32_t at;
    bool root;      /* may stay without fields */
    unsigned views; /* of enum mk_gql_schema: where it can be seen */
    struct gql_field_def *fields;
    struct gql_input_def *inputs;
    struct gql_enum_value *values;
    struct gql_member *interfaces; /* of an object or interface */
    size_t interface_count;
    struct gql_member *possible; /* of an interface or union */
    size_t possible_count;
    struct gql_type *next; /* in the order of the texts */
    struct gql_protect protect;
    const struct gql_scalar_ops *ops; /* NULL: any JSON scalar */
    mk_gql_scalar_fn read;            /* of a module; NULL: none */
};

struct gql_directive_def {
    const char *name;
    const char *description;
    struct gql_input_def *args;
    bool repeatable;
    unsigned places; /* 1u << enum gql_place */
    const struct gql_part *part;
    uint32_t at;
    struct gql_directive_def *next;
};

enum gql_place {
    GQL_AT_QUERY,
    GQL_AT_MUTATION,
    GQL_AT_SUBSCRIPTION,
    GQL_AT_FIELD,
    GQL_AT_FRAGMENT_DEFINITION,
    GQL_AT_FRAGMENT_SPREAD,
    GQL_AT_INLINE_FRAGMENT,
    GQL_AT_VARIABLE_DEFINITION,
    GQL_AT_SCHEMA,
    GQL_AT_SCALAR,
    GQL_AT_OBJECT,
    GQL_AT_FIELD_DEFINITION,
    GQL_AT_ARGUMENT_DEFINITION,
    GQL_AT_INTERFACE,
    GQL_AT_UNION,
    GQL_AT_ENUM,
    GQL_AT_ENUM_VALUE,
    GQL_AT_INPUT_OBJECT,
    GQL_AT_INPUT_FIELD_DEFINITION,
    GQL_PLACES,
};
/* As in SDL and introspection: "FIELD_DEFINITION". */
extern const char *const gql_place_names[GQL_PLACES];

/* One of the two schemas. */
struct gql_view {
    struct gql_schema *schema;
    unsigned bit;                                 /* enum mk_gql_schema */
    const struct gql_type *roots[GQL_OPERATIONS]; /* NULL: no such operations */
    const struct gql_type **types;                /* all that can be seen, by name */
    size_t type_count;
};

#define GQL_VIEWS 2

struct gql_schema {
    unsigned refs; /* atomic */
    struct gql_arena arena;
    struct gql_part **parts; /* that it is made of; referenced */
    size_t part_count;
    struct gql_type **types; /* by name */
    size_t type_count;
    size_t type_room;
    struct gql_type *first, *last; /* in the order of the texts */
    struct gql_directive_def *directives;
    struct gql_view views[GQL_VIEWS]; /* admin, user */
    /* On every type; on the query's root. */
    struct gql_field_def *typename_field, *schema_field, *type_field;
};

/* -- what a schema is made of: one call of `add` ---- */

struct gql_scalar_reader {
    const char *name; /* owned */
    mk_gql_scalar_fn fn;
    struct gql_scalar_reader *next;
};

struct gql_part {
    unsigned refs;            /* atomic */
    struct mk_module *module; /* NULL: the base, or a unit test */
    char *name;               /* the module's */
    unsigned schemas;
    char *sdl;
    struct gql_arena arena;
    struct gql_document *doc;
    const struct mk_gql_resolver *resolvers; /* borrowed: as long as the module is there */
    void *arg;
    struct gql_scalar_reader *readers;
    bool base;
    int gone; /* atomic: the module goes, none of its functions may be called any more */
};

/* Parses; NULL with a reason that has line and column. Owned. */
struct gql_part *gql_part_new(const char *name, unsigned schemas, const char *sdl,
                              struct mk_error *err) MK_NODISCARD;
struct gql_part *gql_part_ref(struct gql_part *p);
void gql_part_unref(struct gql_part **p);
static inline bool
gql_part_is_gone(const struct gql_part *p)
{
    return __atomic_load_n(&p->gone, __ATOMIC_ACQUIRE) != 0;
}

/*
 * Puts parts together; `culprit` (may be NULL) gets the part with the mistake. The first part must
 * be the base (gql_base_sdl). Owned.
 */
struct gql_schema *gql_schema_new(struct gql_part *const *parts, size_t count,
                                  struct gql_part **culprit, struct mk_error *err) MK_NODISCARD;
struct gql_schema *gql_schema_ref(struct gql_schema *s);
void gql_schema_unref(struct gql_schema **s);
const struct gql_view *gql_schema_view(const struct gql_schema *s, unsigned bit);

/* -- looking things up ---- */

struct gql_type *gql_find_type(const struct gql_schema *s, struct mk_str name);
/* Only what can be seen in a view. */
const struct gql_type *gql_view_type(const struct gql_view *v, struct mk_str name);
/* Fields as the specification has them: __typename too, and __schema and __type at the query's
 * root. */
const struct gql_field_def *gql_view_field(const struct gql_view *v, const struct gql_type *t,
                                           struct mk_str name);
struct gql_field_def *gql_find_field(const struct gql_type *t, struct mk_str name);
const struct gql_input_def *gql_find_input(const struct gql_input_def *list, struct mk_str name);
const struct gql_enum_value *gql_find_enum_value(const struct gql_type *t, struct mk_str name);
const struct gql_directive_def *gql_find_directive(const struct gql_schema *s, struct mk_str name);

static inline bool
gql_is_leaf(const struct gql_type *t)
{
    return t->kind == GQL_K_SCALAR || t->kind == GQL_K_ENUM;
}

static inline bool
gql_is_composite(const struct gql_type *t)
{
    return t->kind == GQL_K_OBJECT || t->kind == GQL_K_INTERFACE || t->kind == GQL_K_UNION;
}

static inline bool
gql_is_input(const struct gql_type *t)
{
    return t->kind == GQL_K_SCALAR || t->kind == GQL_K_ENUM || t->kind == GQL_K_INPUT;
}

/* The named type inside. */
const struct gql_type *gql_ref_type(const struct gql_ref *r);
bool gql_ref_equal(const struct gql_ref *a, const struct gql_ref *b);
/* May a value of type `sub` stand where `super` is expected? (specification §3.6.1) */
bool gql_ref_is_subtype(const struct gql_ref *sub, const struct gql_ref *super);
bool gql_type_has(const struct gql_type *abstract, const struct gql_type *t);
bool gql_type_implements(const struct gql_type *t, const struct gql_type *interface);
/* Is there an object that both can be, in this view? */
bool gql_types_overlap(const struct gql_view *v, const struct gql_type *a,
                       const struct gql_type *b);
void gql_print_ref(struct mk_buf *out, const struct gql_ref *r);
/* An argument or input field that must be given. */
static inline bool
gql_is_required(const struct gql_input_def *d)
{
    return d->type->kind == GQL_NON_NULL && !d->preset;
}

const char *gql_kind_name(enum gql_kind kind); /* "INPUT_OBJECT" */

/* The types that are always there: base.c. */
extern const char gql_base_sdl[];
/* scalars.c; NULL: not one of ours. */
const struct gql_scalar_ops *gql_scalar_ops(const char *name);

#endif
