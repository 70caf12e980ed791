/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * A document as it was written: operations, fragments, and the definitions of a schema. Nodes live
 * in the arena of the parser, texts point into it or into the source. `at` is the byte of the
 * source where a node begins.
 */
#ifndef GRAPHQL_AST_H
#define GRAPHQL_AST_H

#include "arena.h"

struct gql_type;
struct gql_field_def;

enum gql_value_kind {
    GQL_VARIABLE,
    GQL_INT,
    GQL_FLOAT,
    GQL_STRING,
    GQL_BOOLEAN,
    GQL_NULL,
    GQL_ENUM,
    GQL_LIST,
    GQL_OBJECT,
};

struct gql_value {
    enum gql_value_kind kind;
    bool block; /* a block string */
    uint32_t at;
    uint32_t name_at;
    struct mk_str text;      /* name, digits, decoded string; "true" and "false" */
    struct mk_str name;      /* of the field, inside an object */
    struct gql_value *items; /* of a list or an object */
    struct gql_value *next;
};

enum gql_ref_kind { GQL_NAMED, GQL_LIST_OF, GQL_NON_NULL };

struct gql_type_node {
    enum gql_ref_kind kind;
    uint32_t at;
    struct mk_str name;
    struct gql_type_node *of;
};

struct gql_argument {
    uint32_t at;
    struct mk_str name;
    struct gql_value *value;
    struct gql_argument *next;
};

struct gql_directive {
    uint32_t at;
    struct mk_str name;
    struct gql_argument *arguments;
    struct gql_directive *next;
};

enum gql_selection_kind { GQL_FIELD, GQL_SPREAD, GQL_INLINE };

struct gql_selection {
    enum gql_selection_kind kind;
    uint32_t at;
    struct mk_str alias; /* p NULL: none */
    struct mk_str name;  /* of the field or fragment */
    uint32_t name_at;
    struct gql_type_node *condition; /* inline fragment: NULL when there is none */
    struct gql_argument *arguments;
    struct gql_directive *directives;
    uint32_t braces_at; /* 0: it has none */
    struct gql_selection *selections;
    struct gql_selection *next;
    void *notes; /* of whoever compares selections */
    /* Filled in by gql_annotate: NULL where the document is wrong. */
    const struct gql_type *parent;   /* the type that the selection is made on */
    const struct gql_field_def *def; /* of a field */
    const struct gql_type *type;     /* of what is selected inside: composite types only */
    struct gql_definition *fragment; /* of a spread */
};

struct gql_variable {
    uint32_t at;
    uint32_t name_at;
    struct mk_str name;
    struct gql_type_node *type;
    struct gql_value *preset; /* NULL: none */
    struct gql_directive *directives;
    struct gql_variable *next;
};

enum gql_operation { GQL_QUERY, GQL_MUTATION, GQL_SUBSCRIPTION, GQL_OPERATIONS };

/* -- schema definitions ---- */

struct gql_name_node {
    uint32_t at;
    struct mk_str name;
    struct gql_name_node *next;
};

/* An argument of a field or directive, or a field of an input object. */
struct gql_input_node {
    uint32_t at;
    struct mk_str name;
    struct mk_str description; /* p NULL: none */
    struct gql_type_node *type;
    struct gql_value *preset;
    struct gql_directive *directives;
    struct gql_input_node *next;
};

/* A field of an object or interface, or a value of an enum (then without type). */
struct gql_field_node {
    uint32_t at;
    struct mk_str name;
    struct mk_str description;
    struct gql_input_node *arguments;
    struct gql_type_node *type;
    struct gql_directive *directives;
    struct gql_field_node *next;
};

enum gql_definition_kind {
    GQL_DEF_OPERATION,
    GQL_DEF_FRAGMENT,
    GQL_DEF_SCHEMA,
    GQL_DEF_SCALAR,
    GQL_DEF_OBJECT,
    GQL_DEF_INTERFACE,
    GQL_DEF_UNION,
    GQL_DEF_ENUM,
    GQL_DEF_INPUT,
    GQL_DEF_DIRECTIVE,
};

struct gql_definition {
    enum gql_definition_kind kind;
    bool extend;
    bool repeatable; /* directive */
    uint32_t at;     /* the first word; behind a description */
    uint32_t name_at;
    struct mk_str name; /* p NULL: an operation without */
    struct mk_str description;
    struct gql_directive *directives;
    /* operations and fragments */
    enum gql_operation operation;
    struct gql_variable *variables;
    struct gql_type_node *condition;
    struct gql_selection *selections;
    const struct gql_type *type; /* filled in by gql_annotate: what is selected on */
    unsigned mark;               /* of whoever walks through fragments */
    void *notes;                 /* of whoever compares selections */
    /* definitions of a schema */
    struct gql_name_node *names;   /* interfaces, members of a union, locations of a directive */
    struct gql_field_node *fields; /* and values of an enum */
    struct gql_input_node *inputs; /* fields of an input object, arguments of a directive */
    struct gql_definition *next;
};

struct gql_document {
    struct mk_str source;
    struct gql_arena *arena;
    struct gql_definition *definitions;
    size_t tokens;
    unsigned marks; /* given out so far, to whoever walks through fragments */
};

static inline struct mk_str
gql_response_key(const struct gql_selection *field)
{
    return field->alias.p ? field->alias : field->name;
}

#endif
