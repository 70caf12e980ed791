/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Words of the query language (specification §2.1): names, numbers, strings, punctuation. */
#include "config.h"

#include <stdio.h>

#include "lexer.h"

static bool
is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool
is_name_start(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* The byte there, -1 behind the end. */
static int
byte_at(const struct gql_lexer *l, size_t at)
{
    return at < l->source.len ? (unsigned char)l->source.p[at] : -1;
}

/* The code point that begins there; `bytes` gets its length. */
static unsigned
code_at(const struct gql_lexer *l, size_t at, unsigned *bytes)
{
    const unsigned char *p = (const unsigned char *)l->source.p + at;

    if (p[0] < 0x80) {
        *bytes = 1;
        return p[0];
    }
    if (p[0] < 0xe0) {
        *bytes = 2;
        return (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
    }
    if (p[0] < 0xf0) {
        *bytes = 3;
        return (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
    }
    *bytes = 4;
    return (p[0] & 0x07u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
}

static struct gql_token
wrong(struct gql_lexer *l, size_t at, const char *text)
{
    l->error_at = (uint32_t)at;
    snprintf(l->error, sizeof(l->error), "%s", text);
    return (struct gql_token){.kind = GQL_T_WRONG, .at = (uint32_t)at};
}

/* `text` with the character there behind it, as people can read it. */
static struct gql_token
wrong_character(struct gql_lexer *l, size_t at, const char *text)
{
    unsigned bytes, code;

    if (at >= l->source.len)
        return wrong(l, at, "");
    code = code_at(l, at, &bytes);
    wrong(l, at, "");
    if (code == '"')
        snprintf(l->error, sizeof(l->error), "%s: '\"'.", text);
    else if (code >= 0x20 && code < 0x7f)
        snprintf(l->error, sizeof(l->error), "%s: \"%c\".", text, (int)code);
    else
        snprintf(l->error, sizeof(l->error), "%s: U+%04X.", text, code);
    return (struct gql_token){.kind = GQL_T_WRONG, .at = (uint32_t)at};
}

static struct gql_token
wrong_number(struct gql_lexer *l, size_t at, const char *text)
{
    struct gql_token t = wrong_character(l, at, text);

    if (at >= l->source.len)
        snprintf(l->error, sizeof(l->error), "%s: <EOF>.", text);
    return t;
}

/* Digits from `at` on; false: there is none. */
static bool
digits(const struct gql_lexer *l, size_t *at)
{
    if (!is_digit(byte_at(l, *at)))
        return false;
    while (is_digit(byte_at(l, *at)))
        ++*at;
    return true;
}

static struct gql_token
lex_number(struct gql_lexer *l, size_t start)
{
    static const char expected[] = "Invalid number, expected digit but got";
    struct gql_token t = {.kind = GQL_T_INT, .at = (uint32_t)start};
    size_t at = start + (byte_at(l, start) == '-');

    if (byte_at(l, at) == '0') {
        if (is_digit(byte_at(l, ++at)))
            return wrong_number(l, at, "Invalid number, unexpected digit after 0");
    } else if (!digits(l, &at)) {
        return wrong_number(l, at, expected);
    }
    if (byte_at(l, at) == '.') {
        t.kind = GQL_T_FLOAT;
        at++;
        if (!digits(l, &at))
            return wrong_number(l, at, expected);
    }
    if (byte_at(l, at) == 'e' || byte_at(l, at) == 'E') {
        t.kind = GQL_T_FLOAT;
        at++;
        at += byte_at(l, at) == '+' || byte_at(l, at) == '-';
        if (!digits(l, &at))
            return wrong_number(l, at, expected);
    }
    if (byte_at(l, at) == '.' || is_name_start(byte_at(l, at)))
        return wrong_number(l, at, expected);
    t.text = (struct mk_str){l->source.p + start, at - start};
    l->position = (uint32_t)at;
    return t;
}

/* -- strings --------------------------------------------------------------------------------- */

static size_t
put_utf8(char *out, unsigned code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

static int
hex_digit(int c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool
is_scalar_value(long code)
{
    return code >= 0 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
}

/* Four hexadecimal digits there, or -1. */
static long
hex4(const struct gql_lexer *l, size_t at)
{
    long code = 0;

    for (size_t i = 0; i < 4; i++) {
        int digit = hex_digit(byte_at(l, at + i));

        if (digit < 0)
            return -1;
        code = code << 4 | digit;
    }
    return code;
}

/* \u{…}: the code point, or -1; `size` gets how much of the source was looked at. */
static long
braced_escape(const struct gql_lexer *l, size_t at, size_t *size)
{
    long point = 0;

    *size = 3;
    while (*size < 12) {
        int c = byte_at(l, at + (*size)++), digit;

        if (c == '}')
            return *size < 5 ? -1 : point;
        digit = hex_digit(c);
        if (digit < 0)
            return -1;
        point = point << 4 | digit;
    }
    return -1;
}

/* \uXXXX, also as a pair of surrogates. */
static long
fixed_escape(const struct gql_lexer *l, size_t at, size_t *size)
{
    long code = hex4(l, at + 2), low;

    *size = 6;
    if (code < 0xd800 || code > 0xdbff)
        return code;
    if (byte_at(l, at + 6) != '\\' || byte_at(l, at + 7) != 'u')
        return -1;
    low = hex4(l, at + 8);
    if (low < 0xdc00 || low > 0xdfff)
        return -1;
    *size = 12;
    return 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
}

/* Whole characters of the source, `size` bytes at most. */
static struct mk_str
piece(const struct gql_lexer *l, size_t at, size_t size)
{
    if (size > l->source.len - at)
        size = l->source.len - at;
    while (size && at + size < l->source.len && (l->source.p[at + size] & 0xc0) == 0x80)
        size++;
    return (struct mk_str){l->source.p + at, size};
}

static void
wrong_escape(struct gql_lexer *l, size_t at, size_t size, const char *what)
{
    struct mk_str s = piece(l, at, size);

    wrong(l, at, "");
    snprintf(l->error, sizeof(l->error), "Invalid %s escape sequence: \"%.*s\".", what,
             MK_STR_ARG(s));
}

/* Decodes the escape at `*at` to `out`: the bytes written, 0 when it is none. */
static size_t
escape(struct gql_lexer *l, size_t *at, char *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    int c = byte_at(l, *at + 1);
    const char *known = c > 0 ? strchr(from, c) : NULL;
    size_t size;
    long code;

    if (known) {
        *out = to[known - from];
        *at += 2;
        return 1;
    }
    if (c != 'u') {
        wrong_escape(l, *at, 2, "character");
        return 0;
    }
    code = byte_at(l, *at + 2) == '{' ? braced_escape(l, *at, &size) : fixed_escape(l, *at, &size);
    if (!is_scalar_value(code)) {
        wrong_escape(l, *at, size, "Unicode");
        return 0;
    }
    *at += size;
    return put_utf8(out, (unsigned)code);
}

/* The end of the literal without looking at what it says: escapes never make it longer. */
static size_t
string_room(const struct gql_lexer *l, size_t at)
{
    size_t start = at;
    int c;

    while ((c = byte_at(l, at)) >= 0 && c != '"' && c != '\n' && c != '\r')
        at += c == '\\' ? 2 : 1;
    return at - start;
}

static struct gql_token
lex_string(struct gql_lexer *l, size_t start)
{
    size_t at = start + 1, len = 0, n;
    char *out = gql_alloc(l->arena, string_room(l, at) + 1);
    int c;

    while ((c = byte_at(l, at)) != '"') {
        if (c < 0 || c == '\n' || c == '\r')
            return wrong(l, at, "Unterminated string.");
        if (c != '\\') {
            out[len++] = (char)c;
            at++;
            continue;
        }
        n = escape(l, &at, out + len);
        if (n == 0)
            return (struct gql_token){.kind = GQL_T_WRONG, .at = l->error_at};
        len += n;
    }
    l->position = (uint32_t)at + 1;
    return (struct gql_token){GQL_T_STRING, (uint32_t)start, {out, len}};
}

static bool
is_quotes(const struct gql_lexer *l, size_t at)
{
    return byte_at(l, at) == '"' && byte_at(l, at + 1) == '"' && byte_at(l, at + 2) == '"';
}

struct line {
    size_t start, len;
    bool blank;
};

/* The line of `text` that begins at `at`. */
static struct line
line_at(struct mk_str text, size_t at)
{
    struct line line = {at, 0, true};

    while (at < text.len && text.p[at] != '\n') {
        line.blank &= text.p[at] == ' ' || text.p[at] == '\t';
        at++;
    }
    line.len = at - line.start;
    return line;
}

static size_t
indent_of(struct mk_str text, struct line line)
{
    size_t n = 0;

    while (n < line.len && (text.p[line.start + n] == ' ' || text.p[line.start + n] == '\t'))
        n++;
    return n;
}

/* BlockStringValue of the specification (§2.9.4), in place. */
static size_t
dedent(char *data, size_t len)
{
    struct mk_str text = {data, len};
    size_t common = SIZE_MAX, out = 0, first = SIZE_MAX, last = 0, n = 0;

    for (size_t at = 0; at <= len; n++) {
        struct line line = line_at(text, at);
        size_t indent = indent_of(text, line);

        at = line.start + line.len + 1;
        if (line.blank)
            continue;
        first = first == SIZE_MAX ? n : first;
        last = n;
        if (n > 0 && indent < common)
            common = indent;
    }
    n = 0;
    for (size_t at = 0; at <= len && first != SIZE_MAX && n <= last; n++) {
        struct line line = line_at(text, at);
        size_t cut = n == 0 ? 0 : common < line.len ? common : line.len;

        at = line.start + line.len + 1;
        if (n < first)
            continue;
        if (n > first)
            data[out++] = '\n';
        memmove(data + out, data + line.start + cut, line.len - cut);
        out += line.len - cut;
    }
    return out;
}

static struct gql_token
lex_block_string(struct gql_lexer *l, size_t start)
{
    size_t at = start + 3, len = 0, end = at;
    char *out;

    while (end < l->source.len && !is_quotes(l, end))
        end += byte_at(l, end) == '\\' && is_quotes(l, end + 1) ? 4 : 1;
    if (end >= l->source.len)
        return wrong(l, l->source.len, "Unterminated string.");
    out = gql_alloc(l->arena, end - at + 1);
    while (at < end) {
        if (byte_at(l, at) == '\\' && is_quotes(l, at + 1))
            at++;
        if (byte_at(l, at) == '\r') {
            at += byte_at(l, at + 1) == '\n';
            out[len++] = '\n';
        } else {
            out[len++] = l->source.p[at];
        }
        at++;
        /* The three quotes of an escape are copied by the rounds that follow. */
    }
    l->position = (uint32_t)end + 3;
    return (struct gql_token){GQL_T_BLOCK_STRING, (uint32_t)start, {out, dedent(out, len)}};
}

/* -- everything ------------------------------------------------------------------------------ */

static size_t
skip_ignored(const struct gql_lexer *l, size_t at)
{
    for (;; at++) {
        int c = byte_at(l, at);

        if (c == '#') {
            while (byte_at(l, at + 1) >= 0 && byte_at(l, at + 1) != '\n' &&
                   byte_at(l, at + 1) != '\r')
                at++;
        } else if (c == 0xef && byte_at(l, at + 1) == 0xbb && byte_at(l, at + 2) == 0xbf) {
            at += 2; /* a byte order mark */
        } else if (c != ' ' && c != '\t' && c != '\n' && c != '\r' && c != ',') {
            return at;
        }
    }
}

static struct gql_token
lex_name(struct gql_lexer *l, size_t start)
{
    size_t at = start;

    while (is_name_start(byte_at(l, at)) || is_digit(byte_at(l, at)))
        at++;
    l->position = (uint32_t)at;
    return (struct gql_token){GQL_T_NAME, (uint32_t)start, {l->source.p + start, at - start}};
}

struct gql_token
gql_lex(struct gql_lexer *l)
{
    static const char marks[] = "!$&():=@[]{|}";
    static const enum gql_token_kind kinds[] = {
        GQL_T_BANG,    GQL_T_DOLLAR, GQL_T_AMP,    GQL_T_PAREN_L,   GQL_T_PAREN_R,
        GQL_T_COLON,   GQL_T_EQUALS, GQL_T_AT,     GQL_T_BRACKET_L, GQL_T_BRACKET_R,
        GQL_T_BRACE_L, GQL_T_PIPE,   GQL_T_BRACE_R};
    size_t at = skip_ignored(l, l->position);
    int c = byte_at(l, at);
    const char *mark = c > 0 ? strchr(marks, c) : NULL;

    if (c < 0) {
        l->position = (uint32_t)at;
        return (struct gql_token){.kind = GQL_T_EOF, .at = (uint32_t)at};
    }
    if (mark) {
        l->position = (uint32_t)at + 1;
        return (struct gql_token){.kind = kinds[mark - marks], .at = (uint32_t)at};
    }
    if (is_name_start(c))
        return lex_name(l, at);
    if (c == '"')
        return is_quotes(l, at) ? lex_block_string(l, at) : lex_string(l, at);
    if (is_digit(c) || c == '-')
        return lex_number(l, at);
    if (c == '.' && byte_at(l, at + 1) == '.' && byte_at(l, at + 2) == '.') {
        l->position = (uint32_t)at + 3;
        return (struct gql_token){.kind = GQL_T_SPREAD, .at = (uint32_t)at};
    }
    if (c == '\'')
        return wrong(
            l, at,
            "Unexpected single quote character ('), did you mean to use a double quote (\")?");
    return wrong_character(l, at, "Unexpected character");
}

const char *
gql_token_name(enum gql_token_kind kind)
{
    static const char *const names[] = {
        [GQL_T_EOF] = "<EOF>",       [GQL_T_BANG] = "\"!\"",
        [GQL_T_DOLLAR] = "\"$\"",    [GQL_T_AMP] = "\"&\"",
        [GQL_T_PAREN_L] = "\"(\"",   [GQL_T_PAREN_R] = "\")\"",
        [GQL_T_SPREAD] = "\"...\"",  [GQL_T_COLON] = "\":\"",
        [GQL_T_EQUALS] = "\"=\"",    [GQL_T_AT] = "\"@\"",
        [GQL_T_BRACKET_L] = "\"[\"", [GQL_T_BRACKET_R] = "\"]\"",
        [GQL_T_BRACE_L] = "\"{\"",   [GQL_T_PIPE] = "\"|\"",
        [GQL_T_BRACE_R] = "\"}\"",   [GQL_T_NAME] = "Name",
        [GQL_T_INT] = "Int",         [GQL_T_FLOAT] = "Float",
        [GQL_T_STRING] = "String",   [GQL_T_BLOCK_STRING] = "BlockString",
        [GQL_T_WRONG] = "",
    };

    return names[kind];
}

struct gql_location
gql_locate(struct mk_str source, uint32_t at)
{
    struct gql_location where = {1, 1};

    for (size_t i = 0; i < at && i < source.len; i++) {
        unsigned char c = (unsigned char)source.p[i];

        if (c == '\n' || (c == '\r' && !(i + 1 < source.len && source.p[i + 1] == '\n'))) {
            where.line++;
            where.column = 1;
        } else if ((c & 0xc0) != 0x80 && c != '\r') {
            where.column += c >= 0xf0 ? 2 : 1;
        }
    }
    return where;
}
