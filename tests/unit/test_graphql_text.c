/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The text of GraphQL: words and their places, documents, what bounds them. */
#include "graphql.h"

#include "lexer.h"
#include "parser.h"

static void
words_are_told_apart(void **state)
{
    static const struct {
        const char *text;
        enum gql_token_kind kind;
        const char *value;
    } words[] = {{"name", GQL_T_NAME, "name"},
                 {"_9", GQL_T_NAME, "_9"},
                 {"0", GQL_T_INT, "0"},
                 {"-12", GQL_T_INT, "-12"},
                 {"1.50", GQL_T_FLOAT, "1.50"},
                 {"1e9", GQL_T_FLOAT, "1e9"},
                 {"-1.2E-3", GQL_T_FLOAT, "-1.2E-3"},
                 {"\"a\\u0062\\n\"", GQL_T_STRING, "ab\n"},
                 {"\"\"", GQL_T_STRING, ""},
                 {"\"\\u{10FFFF}\"", GQL_T_STRING, "\xf4\x8f\xbf\xbf"},
                 {"\"\"\"x\"\"\"", GQL_T_BLOCK_STRING, "x"},
                 {"\"\"\"\n  a\n    b\n\n  c\n\"\"\"", GQL_T_BLOCK_STRING, "a\n  b\n\nc"},
                 {"\"\"\"a\\\"\"\"b\"\"\"", GQL_T_BLOCK_STRING, "a\"\"\"b"},
                 {"\"\"\"a\r\nb\rc\"\"\"", GQL_T_BLOCK_STRING, "a\nb\nc"},
                 {"...", GQL_T_SPREAD, NULL},
                 {"", GQL_T_EOF, NULL}};

    (void)state;
    for (size_t i = 0; i < MK_COUNT(words); i++) {
        struct gql_arena arena = {NULL, 0};
        char *source = mk_printf_new("\xef\xbb\xbf # comment\n,\t %s ", words[i].text);
        struct gql_lexer l = {.source = mk_str_of(source), .arena = &arena};
        struct gql_token t = gql_lex(&l);

        assert_int_equal(t.kind, words[i].kind);
        if (words[i].value)
            assert_str_is(t.text, words[i].value);
        assert_int_equal(gql_lex(&l).kind, GQL_T_EOF);
        gql_arena_release(&arena);
        mk_free(source);
    }
}

static void
columns_count_what_people_count(void **state)
{
    struct mk_str text = MK_STR("a\r\nb\rc\n\xc3\xa9\xf0\x9f\x98\x80x");
    static const struct {
        uint32_t at;
        unsigned line, column;
    } places[] = {{0, 1, 1}, {3, 2, 1}, {5, 3, 1}, {7, 4, 1}, {9, 4, 2}, {13, 4, 4}, {14, 4, 5}};

    (void)state;
    for (size_t i = 0; i < MK_COUNT(places); i++) {
        struct gql_location where = gql_locate(text, places[i].at);

        assert_int_equal(where.line, places[i].line);
        assert_int_equal(where.column, places[i].column);
    }
}

static enum gql_parse_result
parse(const char *text, size_t tokens, unsigned depth, struct gql_parse_error *error)
{
    struct gql_parse_limits limits = {tokens, depth};
    struct gql_arena arena = {NULL, 0};
    struct gql_document *doc;
    enum gql_parse_result result = gql_parse(&arena, mk_str_of(text), &limits, &doc, error);

    assert_true((result == GQL_PARSED) == (doc != NULL));
    gql_arena_release(&arena);
    return result;
}

static void
a_document_is_bounded_in_words_and_depth(void **state)
{
    static const char *const opening[] = {"{a", "{a(b:[", "{a(b:{c:", "query($a:["};
    struct gql_parse_error error;
    struct mk_buf text = {0};

    (void)state;
    assert_int_equal(parse("{ a b c }", 5, 10, &error), GQL_PARSED);
    assert_int_equal(parse("{ a b c }", 4, 10, &error), GQL_PARSE_TOKENS);
    assert_int_equal(error.at, 8);
    assert_int_equal(parse("{ a { b } }", 0, 2, &error), GQL_PARSED);
    assert_int_equal(parse("{ a { b } }", 0, 1, &error), GQL_PARSE_DEPTH);
    for (size_t i = 0; i < MK_COUNT(opening); i++) {
        mk_buf_clear(&text);
        mk_buf_add_cstr(&text, opening[i]);
        for (size_t k = 0; k < 1000000; k++)
            mk_buf_add_cstr(&text, i == 0 ? "{a" : i == 2 ? "{c:" : "[");
        assert_int_equal(parse(mk_buf_cstr(&text), 0, 200, &error), GQL_PARSE_DEPTH);
    }
    mk_buf_release(&text);
}

static void
mistakes_are_told_where_they_are(void **state)
{
    static const struct {
        const char *text, *why;
        uint32_t at;
    } bad[] = {
        {"{ a", "Syntax Error: Expected Name, found <EOF>.", 3},
        {"{ a(b: ) }", "Syntax Error: Unexpected \")\".", 7},
        {"{ a(b: 1.) }", "Syntax Error: Invalid number, expected digit but got: \")\".", 9},
        {"{ a(b: \"x) }", "Syntax Error: Unterminated string.", 12},
        {"{ a(b: \"\\q\") }", "Syntax Error: Invalid character escape sequence: \"\\q\".", 8},
        {"{ a } }", "Syntax Error: Unexpected \"}\".", 6},
        {"type T { a Int }", "Syntax Error: Expected \":\", found Name \"Int\".", 11},
        {"enum E { true }",
         "Syntax Error: Name \"true\" is reserved and cannot be used for an enum value.", 9}};

    (void)state;
    for (size_t i = 0; i < MK_COUNT(bad); i++) {
        struct gql_parse_error error;

        assert_int_equal(parse(bad[i].text, 0, 50, &error), GQL_PARSE_SYNTAX);
        assert_string_equal(error.text, bad[i].why);
        assert_int_equal(error.at, bad[i].at);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_told_apart),
        cmocka_unit_test(columns_count_what_people_count),
        cmocka_unit_test(a_document_is_bounded_in_words_and_depth),
        cmocka_unit_test(mistakes_are_told_where_they_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
