/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Words of the query language (specification §2.1). The source must be valid UTF-8. */
#ifndef GRAPHQL_LEXER_H
#define GRAPHQL_LEXER_H

#include "arena.h"

enum gql_token_kind {
    GQL_T_EOF,
    GQL_T_BANG,
    GQL_T_DOLLAR,
    GQL_T_AMP,
    GQL_T_PAREN_L,
    GQL_T_PAREN_R,
    GQL_T_SPREAD,
    GQL_T_COLON,
    GQL_T_EQUALS,
    GQL_T_AT,
    GQL_T_BRACKET_L,
    GQL_T_BRACKET_R,
    GQL_T_BRACE_L,
    GQL_T_PIPE,
    GQL_T_BRACE_R,
    GQL_T_NAME,
    GQL_T_INT,
    GQL_T_FLOAT,
    GQL_T_STRING,
    GQL_T_BLOCK_STRING,
    GQL_T_WRONG, /* not a word: the lexer's error says why */
};

struct gql_token {
    enum gql_token_kind kind;
    uint32_t at;
    struct mk_str text; /* name or number as written, string decoded */
};

struct gql_lexer {
    struct mk_str source;
    struct gql_arena *arena; /* for decoded strings */
    uint32_t position;
    uint32_t error_at;
    char error[160];
};

struct gql_token gql_lex(struct gql_lexer *l);
/* The kind as messages call it: "{", Name, <EOF>. */
const char *gql_token_name(enum gql_token_kind kind);

/* Line and column of a byte, from 1; columns count UTF-16 units, as other implementations do. */
struct gql_location {
    unsigned line, column;
};
struct gql_location gql_locate(struct mk_str source, uint32_t at);

#endif
