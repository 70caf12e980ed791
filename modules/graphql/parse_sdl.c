/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Definitions of a schema (specification §3): types, directives, and extensions of them. */
#include "config.h"

#include "parser-internal.h"

/* [first] NAME (separator NAME)*; a leading separator is allowed. */
static struct gql_name_node *
parse_names(struct parser *p, enum gql_token_kind separator)
{
    struct gql_name_node *first = NULL, **end = &first;

    (void)parse_optional(p, separator);
    do {
        struct gql_name_node *n = GQL_NEW(p->arena, struct gql_name_node);

        n->at = p->token.at;
        n->name = parse_name(p);
        PARSE_APPEND(end, n);
    } while (parse_optional(p, separator));
    return first;
}

static struct gql_input_node *
parse_inputs(struct parser *p, enum gql_token_kind open, enum gql_token_kind close)
{
    struct gql_input_node *first = NULL, **end = &first;

    if (!parse_optional(p, open))
        return NULL;
    do {
        struct gql_input_node *n = GQL_NEW(p->arena, struct gql_input_node);

        n->description = parse_description(p);
        n->at = p->token.at;
        n->name = parse_name(p);
        parse_expect(p, GQL_T_COLON);
        n->type = parse_type(p);
        if (parse_optional(p, GQL_T_EQUALS))
            n->preset = parse_value(p, true);
        n->directives = parse_directives(p, true);
        PARSE_APPEND(end, n);
    } while (!p->failed && !parse_optional(p, close));
    return first;
}

static struct gql_field_node *
parse_fields(struct parser *p, bool of_enum)
{
    struct gql_field_node *first = NULL, **end = &first;

    if (!parse_optional(p, GQL_T_BRACE_L))
        return NULL;
    do {
        struct gql_field_node *n = GQL_NEW(p->arena, struct gql_field_node);

        n->description = parse_description(p);
        n->at = p->token.at;
        if (of_enum && (parse_peek_word(p, "true") || parse_peek_word(p, "false") ||
                        parse_peek_word(p, "null")))
            parse_fail(p, GQL_PARSE_SYNTAX, n->at,
                       "Name \"%.*s\" is reserved and cannot be used for an enum value.",
                       MK_STR_ARG(p->token.text));
        n->name = parse_name(p);
        if (!of_enum) {
            n->arguments = parse_inputs(p, GQL_T_PAREN_L, GQL_T_PAREN_R);
            parse_expect(p, GQL_T_COLON);
            n->type = parse_type(p);
        }
        n->directives = parse_directives(p, true);
        PARSE_APPEND(end, n);
    } while (!p->failed && !parse_optional(p, GQL_T_BRACE_R));
    return first;
}

/* schema { query: Q } : the operation's word is the name, its type the type. */
static struct gql_field_node *
parse_roots(struct parser *p)
{
    struct gql_field_node *first = NULL, **end = &first;

    if (!parse_optional(p, GQL_T_BRACE_L))
        return NULL;
    do {
        struct gql_field_node *n = GQL_NEW(p->arena, struct gql_field_node);

        n->at = p->token.at;
        if (!parse_peek_word(p, "query") && !parse_peek_word(p, "mutation") &&
            !parse_peek_word(p, "subscription"))
            parse_unexpected(p, &p->token);
        n->name = parse_name(p);
        parse_expect(p, GQL_T_COLON);
        n->type = parse_named_type(p);
        PARSE_APPEND(end, n);
    } while (!p->failed && !parse_optional(p, GQL_T_BRACE_R));
    return first;
}

static void
parse_directive_definition(struct parser *p, struct gql_definition *d)
{
    parse_expect(p, GQL_T_AT);
    d->name_at = p->token.at;
    d->name = parse_name(p);
    d->inputs = parse_inputs(p, GQL_T_PAREN_L, GQL_T_PAREN_R);
    d->repeatable = parse_optional_word(p, "repeatable");
    parse_expect_word(p, "on");
    d->names = parse_names(p, GQL_T_PIPE);
}

static void
parse_body(struct parser *p, struct gql_definition *d)
{
    if (d->kind != GQL_DEF_SCHEMA) {
        d->name_at = p->token.at;
        d->name = parse_name(p);
    }
    if ((d->kind == GQL_DEF_OBJECT || d->kind == GQL_DEF_INTERFACE) &&
        parse_optional_word(p, "implements"))
        d->names = parse_names(p, GQL_T_AMP);
    d->directives = parse_directives(p, true);
    if (d->kind == GQL_DEF_SCHEMA)
        d->fields = parse_roots(p);
    else if (d->kind == GQL_DEF_OBJECT || d->kind == GQL_DEF_INTERFACE || d->kind == GQL_DEF_ENUM)
        d->fields = parse_fields(p, d->kind == GQL_DEF_ENUM);
    else if (d->kind == GQL_DEF_INPUT)
        d->inputs = parse_inputs(p, GQL_T_BRACE_L, GQL_T_BRACE_R);
    else if (d->kind == GQL_DEF_UNION && parse_optional(p, GQL_T_EQUALS))
        d->names = parse_names(p, GQL_T_PIPE);
    if ((d->extend && !d->names && !d->directives && !d->fields && !d->inputs) ||
        (d->kind == GQL_DEF_SCHEMA && !d->extend && !d->fields))
        parse_unexpected(p, &p->token);
}

static int
kind_of_word(struct mk_str word)
{
    static const struct {
        const char *word;
        enum gql_definition_kind kind;
    } words[] = {{"schema", GQL_DEF_SCHEMA}, {"scalar", GQL_DEF_SCALAR},
                 {"type", GQL_DEF_OBJECT},   {"interface", GQL_DEF_INTERFACE},
                 {"union", GQL_DEF_UNION},   {"enum", GQL_DEF_ENUM},
                 {"input", GQL_DEF_INPUT},   {"directive", GQL_DEF_DIRECTIVE}};

    for (size_t i = 0; i < MK_COUNT(words); i++) {
        if (mk_str_is(word, words[i].word))
            return (int)words[i].kind;
    }
    return -1;
}

struct gql_definition *
parse_schema_definition(struct parser *p, bool extend)
{
    const struct gql_token *word = extend ? parse_lookahead(p) : &p->token;
    struct gql_definition *d;
    int kind = word->kind == GQL_T_NAME ? kind_of_word(word->text) : -1;

    if (kind < 0 || (extend && kind == GQL_DEF_DIRECTIVE)) {
        parse_unexpected(p, word);
        return NULL;
    }
    d = GQL_NEW(p->arena, struct gql_definition);
    d->kind = (enum gql_definition_kind)kind;
    d->at = p->token.at;
    d->extend = extend;
    if (extend)
        parse_advance(p);
    parse_advance(p);
    if (kind == GQL_DEF_DIRECTIVE)
        parse_directive_definition(p, d);
    else
        parse_body(p, d);
    return d;
}
