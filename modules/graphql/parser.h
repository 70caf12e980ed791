/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* From text to a document (specification, appendix B). */
#ifndef GRAPHQL_PARSER_H
#define GRAPHQL_PARSER_H

#include "ast.h"

struct gql_parse_limits {
    size_t tokens;  /* 0: any number */
    unsigned depth; /* of braces and brackets in each other; bounds the stack */
};

enum gql_parse_result {
    GQL_PARSED,
    GQL_PARSE_SYNTAX, /* `code` "parser_error" or "scanner_error" */
    GQL_PARSE_TOKENS, /* too many */
    GQL_PARSE_DEPTH,
};

struct gql_parse_error {
    uint32_t at;
    char text[256]; /* "Syntax Error: Expected Name, found "}"." */
    const char *code;
};

/*
 * Everything of the document is in `arena`, or points into `source`, which must be valid UTF-8,
 * shorter than 2^31 bytes, and stay. NULL in `doc` unless the result is GQL_PARSED.
 */
enum gql_parse_result gql_parse(struct gql_arena *arena, struct mk_str source,
                                const struct gql_parse_limits *limits, struct gql_document **doc,
                                struct gql_parse_error *error) MK_NODISCARD;

#endif
