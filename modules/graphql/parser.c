/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The parser's words, and the document as a list of definitions. */
#include "config.h"

#include <stdio.h>

#include "parser-internal.h"

static struct gql_token
next_token(struct parser *p)
{
    struct gql_token t = {.kind = GQL_T_WRONG};

    if (p->failed)
        return t;
    t = gql_lex(&p->lexer);
    if (t.kind == GQL_T_WRONG) {
        parse_fail(p, GQL_PARSE_SYNTAX, p->lexer.error_at, "%s", p->lexer.error);
        p->error->code = "scanner_error";
    } else if (t.kind != GQL_T_EOF && ++p->tokens > p->limits->tokens && p->limits->tokens) {
        parse_fail(p, GQL_PARSE_TOKENS, t.at,
                   "Document contains more than %zu tokens. Parsing aborted.", p->limits->tokens);
        t.kind = GQL_T_WRONG;
    }
    return t;
}

void
parse_advance(struct parser *p)
{
    if (p->has_ahead) {
        p->token = p->ahead;
        p->has_ahead = false;
    } else {
        p->token = next_token(p);
    }
    if (p->failed)
        p->token.kind = GQL_T_WRONG;
}

const struct gql_token *
parse_lookahead(struct parser *p)
{
    if (!p->has_ahead)
        p->ahead = next_token(p);
    p->has_ahead = !p->failed;
    return &p->ahead;
}

void
parse_fail(struct parser *p, enum gql_parse_result result, uint32_t at, const char *fmt, ...)
{
    va_list args;
    int n;

    p->token.kind = GQL_T_WRONG;
    if (p->failed)
        return;
    p->failed = true;
    p->result = result;
    p->error->at = at;
    p->error->code = "parser_error";
    n = snprintf(p->error->text, sizeof(p->error->text), "Syntax Error: ");
    va_start(args, fmt);
    vsnprintf(p->error->text + n, sizeof(p->error->text) - (size_t)n, fmt, args);
    va_end(args);
}

/* As messages show a token: with its text where it has one. */
static const char *
describe(const struct gql_token *t, char *out, size_t size)
{
    struct mk_str text = t->text;
    size_t most = 80;

    if (t->kind < GQL_T_NAME)
        return gql_token_name(t->kind);
    if (text.len > most) {
        while (most && (text.p[most] & 0xc0) == 0x80)
            most--;
        text.len = most;
    }
    snprintf(out, size, "%s \"%.*s\"", gql_token_name(t->kind), MK_STR_ARG(text));
    return out;
}

void
parse_unexpected(struct parser *p, const struct gql_token *t)
{
    char text[128];

    parse_fail(p, GQL_PARSE_SYNTAX, t->at, "Unexpected %s.", describe(t, text, sizeof(text)));
}

bool
parse_expect(struct parser *p, enum gql_token_kind kind)
{
    char text[128];

    if (parse_optional(p, kind))
        return true;
    parse_fail(p, GQL_PARSE_SYNTAX, p->token.at, "Expected %s, found %s.", gql_token_name(kind),
               describe(&p->token, text, sizeof(text)));
    return false;
}

bool
parse_optional(struct parser *p, enum gql_token_kind kind)
{
    if (!peek(p, kind))
        return false;
    parse_advance(p);
    return true;
}

bool
parse_peek_word(const struct parser *p, const char *word)
{
    return peek(p, GQL_T_NAME) && mk_str_is(p->token.text, word);
}

bool
parse_optional_word(struct parser *p, const char *word)
{
    if (!parse_peek_word(p, word))
        return false;
    parse_advance(p);
    return true;
}

bool
parse_expect_word(struct parser *p, const char *word)
{
    char text[128];

    if (parse_optional_word(p, word))
        return true;
    parse_fail(p, GQL_PARSE_SYNTAX, p->token.at, "Expected \"%s\", found %s.", word,
               describe(&p->token, text, sizeof(text)));
    return false;
}

struct mk_str
parse_name(struct parser *p)
{
    struct mk_str name = p->token.text;

    return parse_expect(p, GQL_T_NAME) ? name : MK_STR("");
}

bool
parse_enter(struct parser *p)
{
    if (p->depth >= p->limits->depth) {
        parse_fail(p, GQL_PARSE_DEPTH, p->token.at,
                   "Document is nested deeper than %u levels. Parsing aborted.", p->limits->depth);
        return false;
    }
    p->depth++;
    return true;
}

void
parse_leave(struct parser *p)
{
    p->depth--;
}

struct mk_str
parse_description(struct parser *p)
{
    struct mk_str text = {NULL, 0};

    if (peek(p, GQL_T_STRING) || peek(p, GQL_T_BLOCK_STRING)) {
        text = p->token.text;
        parse_advance(p);
    }
    return text;
}

static struct gql_definition *
definition_of(struct parser *p)
{
    struct gql_definition *d = NULL;

    if (peek(p, GQL_T_BRACE_L) || parse_peek_word(p, "query") || parse_peek_word(p, "mutation") ||
        parse_peek_word(p, "subscription"))
        return parse_operation(p);
    if (parse_peek_word(p, "fragment"))
        return parse_fragment(p);
    if (parse_peek_word(p, "extend"))
        d = parse_schema_definition(p, true);
    else
        d = parse_schema_definition(p, false);
    if (!d)
        parse_unexpected(p, &p->token);
    return d;
}

static struct gql_definition *
parse_definition(struct parser *p)
{
    uint32_t at = p->token.at;
    struct mk_str description = parse_description(p);
    struct gql_definition *d;

    if (description.p && peek(p, GQL_T_BRACE_L))
        parse_fail(p, GQL_PARSE_SYNTAX, at,
                   "Unexpected description, descriptions are not supported on shorthand queries.");
    if (description.p && parse_peek_word(p, "extend"))
        parse_fail(p, GQL_PARSE_SYNTAX, at,
                   "Unexpected description, only GraphQL definitions support descriptions.");
    d = definition_of(p);
    if (d)
        d->description = description;
    return d;
}

enum gql_parse_result
gql_parse(struct gql_arena *arena, struct mk_str source, const struct gql_parse_limits *limits,
          struct gql_document **doc, struct gql_parse_error *error)
{
    struct parser p = {.lexer = {.source = source, .arena = arena},
                       .arena = arena,
                       .limits = limits,
                       .error = error};
    struct gql_document *made = GQL_NEW(arena, struct gql_document);
    struct gql_definition **end = &made->definitions, *d;

    *doc = NULL;
    made->source = source;
    made->arena = arena;
    parse_advance(&p);
    do {
        d = parse_definition(&p);
        if (d)
            PARSE_APPEND(end, d);
    } while (!p.failed && !peek(&p, GQL_T_EOF));
    made->tokens = p.tokens;
    if (p.failed)
        return p.result;
    *doc = made;
    return GQL_PARSED;
}
