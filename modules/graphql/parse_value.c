/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Values, arguments, directives, and types as they are referred to. */
#include "config.h"

#include "parser-internal.h"

/* Items up to `close`; the opening one has been read. */
static void
parse_items(struct parser *p, struct gql_value *into, enum gql_token_kind close, bool constant)
{
    struct gql_value **end = &into->items;

    if (!parse_enter(p))
        return;
    while (!p->failed && !parse_optional(p, close)) {
        uint32_t name_at = p->token.at;
        struct mk_str name = {NULL, 0};
        struct gql_value *v;

        if (into->kind == GQL_OBJECT) {
            name = parse_name(p);
            parse_expect(p, GQL_T_COLON);
        }
        v = parse_value(p, constant);
        v->name = name;
        v->name_at = name_at;
        PARSE_APPEND(end, v);
    }
    parse_leave(p);
}

static void
parse_variable_value(struct parser *p, struct gql_value *v, bool constant)
{
    struct gql_token dollar = p->token;

    parse_advance(p);
    v->kind = GQL_VARIABLE;
    if (constant && peek(p, GQL_T_NAME))
        parse_fail(p, GQL_PARSE_SYNTAX, dollar.at,
                   "Unexpected variable \"$%.*s\" in constant value.", MK_STR_ARG(p->token.text));
    else if (constant)
        parse_unexpected(p, &dollar);
    v->text = parse_name(p);
}

static enum gql_value_kind
word_kind(struct mk_str word)
{
    if (mk_str_is(word, "true") || mk_str_is(word, "false"))
        return GQL_BOOLEAN;
    return mk_str_is(word, "null") ? GQL_NULL : GQL_ENUM;
}

/* Never NULL, so that callers need not ask. */
struct gql_value *
parse_value(struct parser *p, bool constant)
{
    struct gql_value *v = GQL_NEW(p->arena, struct gql_value);
    struct gql_token t = p->token;

    v->at = t.at;
    v->text = t.text;
    switch (t.kind) {
    case GQL_T_BRACKET_L:
    case GQL_T_BRACE_L:
        v->kind = t.kind == GQL_T_BRACE_L ? GQL_OBJECT : GQL_LIST;
        parse_advance(p);
        parse_items(p, v, t.kind == GQL_T_BRACE_L ? GQL_T_BRACE_R : GQL_T_BRACKET_R, constant);
        return v;
    case GQL_T_DOLLAR:
        parse_variable_value(p, v, constant);
        return v;
    case GQL_T_INT:
        v->kind = GQL_INT;
        break;
    case GQL_T_FLOAT:
        v->kind = GQL_FLOAT;
        break;
    case GQL_T_STRING:
    case GQL_T_BLOCK_STRING:
        v->kind = GQL_STRING;
        v->block = t.kind == GQL_T_BLOCK_STRING;
        break;
    case GQL_T_NAME:
        v->kind = word_kind(t.text);
        break;
    default:
        parse_unexpected(p, &t);
        v->kind = GQL_NULL;
        return v;
    }
    parse_advance(p);
    return v;
}

struct gql_argument *
parse_arguments(struct parser *p, bool constant)
{
    struct gql_argument *first = NULL, **end = &first;

    if (!parse_optional(p, GQL_T_PAREN_L))
        return NULL;
    do {
        struct gql_argument *a = GQL_NEW(p->arena, struct gql_argument);

        a->at = p->token.at;
        a->name = parse_name(p);
        parse_expect(p, GQL_T_COLON);
        a->value = parse_value(p, constant);
        PARSE_APPEND(end, a);
    } while (!p->failed && !parse_optional(p, GQL_T_PAREN_R));
    return first;
}

struct gql_directive *
parse_directives(struct parser *p, bool constant)
{
    struct gql_directive *first = NULL, **end = &first;

    while (peek(p, GQL_T_AT)) {
        struct gql_directive *d = GQL_NEW(p->arena, struct gql_directive);

        d->at = p->token.at;
        parse_advance(p);
        d->name = parse_name(p);
        d->arguments = parse_arguments(p, constant);
        PARSE_APPEND(end, d);
    }
    return first;
}

struct gql_type_node *
parse_named_type(struct parser *p)
{
    struct gql_type_node *t = GQL_NEW(p->arena, struct gql_type_node);

    t->kind = GQL_NAMED;
    t->at = p->token.at;
    t->name = parse_name(p);
    return t;
}

struct gql_type_node *
parse_type(struct parser *p)
{
    struct gql_type_node *t, *outer;
    uint32_t at = p->token.at;

    if (peek(p, GQL_T_BRACKET_L) && parse_enter(p)) {
        t = GQL_NEW(p->arena, struct gql_type_node);
        t->kind = GQL_LIST_OF;
        t->at = at;
        parse_advance(p);
        t->of = parse_type(p);
        parse_expect(p, GQL_T_BRACKET_R);
        parse_leave(p);
    } else {
        t = parse_named_type(p);
    }
    if (!parse_optional(p, GQL_T_BANG))
        return t;
    outer = GQL_NEW(p->arena, struct gql_type_node);
    outer->kind = GQL_NON_NULL;
    outer->at = at;
    outer->of = t;
    return outer;
}
