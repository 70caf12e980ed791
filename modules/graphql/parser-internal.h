/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * What the parser's files share. After a mistake every further word is <wrong>, so that loops end
 * and nobody needs to ask; the first mistake is the one that is told.
 */
#ifndef GRAPHQL_PARSER_INTERNAL_H
#define GRAPHQL_PARSER_INTERNAL_H

#include "lexer.h"
#include "parser.h"

struct parser {
    struct gql_lexer lexer;
    struct gql_arena *arena;
    struct gql_token token;
    struct gql_token ahead;
    bool has_ahead;
    bool failed;
    unsigned depth;
    size_t tokens;
    const struct gql_parse_limits *limits;
    enum gql_parse_result result;
    struct gql_parse_error *error;
};

/* -- words (parser.c) ---- */

static inline bool
peek(const struct parser *p, enum gql_token_kind kind)
{
    return p->token.kind == kind;
}

void parse_advance(struct parser *p);
const struct gql_token *parse_lookahead(struct parser *p);
void parse_fail(struct parser *p, enum gql_parse_result result, uint32_t at, const char *fmt, ...)
    MK_PRINTF(4, 5);
void parse_unexpected(struct parser *p, const struct gql_token *t);
bool parse_expect(struct parser *p, enum gql_token_kind kind);
bool parse_optional(struct parser *p, enum gql_token_kind kind);
bool parse_peek_word(const struct parser *p, const char *word);
bool parse_optional_word(struct parser *p, const char *word);
bool parse_expect_word(struct parser *p, const char *word);
struct mk_str parse_name(struct parser *p);
/* Guards recursion: false when it is too deep. Each true needs parse_leave. */
bool parse_enter(struct parser *p);
void parse_leave(struct parser *p);

/* -- what both kinds of definitions are made of (parse_value.c) ---- */

struct gql_value *parse_value(struct parser *p, bool constant);
struct gql_argument *parse_arguments(struct parser *p, bool constant);
struct gql_directive *parse_directives(struct parser *p, bool constant);
struct gql_type_node *parse_type(struct parser *p);
struct gql_type_node *parse_named_type(struct parser *p);

/* -- definitions; the description, if any, has been read ---- */

struct gql_definition *parse_operation(struct parser *p); /* parse_query.c */
struct gql_definition *parse_fragment(struct parser *p);
struct gql_definition *parse_schema_definition(struct parser *p,
                                               bool extend); /* parse_sdl.c; NULL: is none */
struct mk_str parse_description(struct parser *p);

/* Puts a node behind the last of a list. */
#define PARSE_APPEND(end, node) \
    do {                        \
        *(end) = (node);        \
        (end) = &(node)->next;  \
    } while (0)

#endif
