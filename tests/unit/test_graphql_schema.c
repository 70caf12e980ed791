/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Schemas of GraphQL: what a text may say, what each of the two shows, whom it lets in. */
#include "graphql.h"

static void
a_mistake_is_told_with_line_and_column(void **state)
{
    static const struct {
        const char *sdl, *why;
    } bad[] = {
        {"type A { b: B }", "line 1, column 13: Unknown type \"B\"."},
        {"type A { b: Int b: Int }", "line 1, column 17: Field \"A.b\" can only be defined once."},
        {"type A { b(c: Int c: Int): Int }",
         "line 1, column 19: Argument \"A.b.c\" can only be defined once."},
        {"enum A { B B }", "line 1, column 12: Enum value \"A.B\" can only be defined once."},
        {"type __A { b: Int }", "line 1, column 6: Name \"__A\" must not begin with \"__\""},
        {"type String { b: Int }",
         "line 1, column 6: There can be only one type named \"String\"."},
        {"union U = Int",
         "line 1, column 11: Union type U can only include Object types, it cannot include Int."},
        {"union U", "line 1, column 7: Union type U must define one or more member types."},
        {"enum E", "line 1, column 6: Enum type E must define one or more values."},
        {"input I", "line 1, column 7: Input Object type I must define one or more fields."},
        {"input I { i: I! }", "line 1, column 11: Cannot reference Input Object I within itself "
                              "through a series of non-null fields."},
        {"input I { j: J! } input J { i: I! }", "Cannot reference Input Object"},
        {"input I { y: Int! i: I = {y: 1} }",
         "line 1, column 26: The default value of i holds itself, without an end."},
        {"input I { j: [J] = [{}] } input J { i: I = {} }", "holds itself"},
        {"type A { b(c: A): Int }",
         "line 1, column 12: The type of A.b.c must be Input Type but got: A."},
        {"type A { b: I } input I { x: Int }",
         "line 1, column 10: The type of A.b must be Output Type but got: I."},
        {"interface I { x: Int } type A implements I & I { x: Int }",
         "Type A can only implement I once."},
        {"type A implements B { x: Int } type B { x: Int }",
         "Type A must only implement Interface types, it cannot implement B."},
        {"interface I implements J { x: Int } interface J implements I { x: Int }",
         "circular reference"},
        {"interface I { x: Int } interface J implements I { x: Int } type A implements J { x: Int "
         "}",
         "Type A must implement I because it is implemented by J."},
        {"interface I { x(a: Int): Int } type A implements I { x: Int }",
         "Interface field argument I.x(a:) expected but A.x does not provide it."},
        {"interface I { x: Int! } type A implements I { x: Int }",
         "Field A.x does not have the type that interface I gives it."},
        {"interface I { x: Int } type A implements I { x(a: Int!): Int }",
         "Argument A.x(a:) must not be required"},
        {"type A { b(c: Int! @deprecated): Int }",
         "Required argument or field A.b.c cannot be deprecated."},
        {"type A { b: Int @deprecated @deprecated }",
         "The directive \"@deprecated\" can only be used once at this location."},
        {"type A @deprecated { b: Int }", "Directive \"@deprecated\" may not be used on OBJECT."},
        {"scalar S @specifiedBy",
         "Argument \"url\" on directive \"@specifiedBy\" is required, but it was not provided."},
        {"type A @protected(type: DOMAIN) { b: Int }",
         "Type A can be protected as DEFAULT or GLOBAL"},
        {"type A { b: Int @protected(type: DOMAIN) }",
         "A.b is protected by domain, but no argument is named."},
        {"schema { query: A }", "line 1, column 1: the roots are given"},
        {"{ a }", "line 1, column 1: an operation or a fragment is no part of a schema"},
        {"extend enum String { A }",
         "Cannot extend SCALAR \"String\" as if it were of another kind."},
    };

    (void)state;
    for (size_t i = 0; i < MK_COUNT(bad); i++) {
        struct mk_error err = {""};

        assert_null(graphql_schema(bad[i].sdl, NULL, NULL, &err));
        if (!strstr(err.text, bad[i].why))
            fail_msg("'%s': '%s' instead of '%s'", bad[i].sdl, err.text, bad[i].why);
    }
}

static void
fn(struct mk_gql_field *f, void *arg)
{
    (void)arg;
    mk_gql_answer(f, NULL);
}

static void
a_function_needs_its_field(void **state)
{
    static const struct mk_gql_resolver strange[] = {{"A", "c", fn}, {NULL, NULL, NULL}};
    static const struct mk_gql_resolver foreign[] = {{"AdminQuery", "checkAuth", fn},
                                                     {NULL, NULL, NULL}};
    struct mk_error err;

    (void)state;
    assert_null(graphql_schema("type A { b: Int }", strange, NULL, &err));
    assert_non_null(strstr(err.text, "'A.c'"));
    assert_null(graphql_schema("type A { b: Int }", foreign, NULL, &err));
    assert_non_null(strstr(err.text, "'AdminQuery.checkAuth'"));
}

static void
a_schema_shows_what_its_roots_lead_to(void **state)
{
    struct gql_schema *s = graphql_schema("extend type AdminQuery { a: A } extend type UserQuery { "
                                          "b: B } type A { i: I } type B { c: Int }\n"
                                          "interface I { d: D } type J implements I { d: D } type "
                                          "D { e: Int } type Nobody { f: Int }",
                                          NULL, NULL, NULL);
    const struct gql_view *admin, *user;

    (void)state;
    assert_non_null(s);
    admin = gql_schema_view(s, MK_GQL_ADMIN);
    user = gql_schema_view(s, MK_GQL_USER);
    assert_non_null(gql_view_type(admin, MK_STR("D")));
    assert_non_null(gql_view_type(admin, MK_STR("J")));
    assert_null(gql_view_type(admin, MK_STR("B")));
    assert_null(gql_view_type(admin, MK_STR("Nobody")));
    assert_non_null(gql_view_type(user, MK_STR("B")));
    assert_null(gql_view_type(user, MK_STR("A")));
    assert_null(admin->roots[GQL_MUTATION]);
    assert_answer(s,
                  "{ __schema { mutationType { name } subscriptionType { name } } __type(name: "
                  "\"B\") { name } }",
                  "{\"data\":{\"__schema\":{\"mutationType\":null,\"subscriptionType\":null},\"__"
                  "type\":null}}");
    gql_schema_unref(&s);
}

static void
default_values_are_shown_as_one_writes_them(void **state)
{
    struct gql_schema *s =
        graphql_schema("extend type AdminQuery { a(i: Int = -1, f: Float = 1.50, s: String = "
                       "\"\\u00e9\\n\\\"\", l: [Int!] = [1, 2],\n"
                       "o: O = {x: {x: null, e: B}, e: A}, b: Boolean = true, n: Int = null): Int "
                       "} input O { x: O e: E } enum E { A B }",
                       NULL, NULL, NULL);

    (void)state;
    assert_answer(
        s, "{ __type(name: \"AdminQuery\") { fields { args { defaultValue } } } }",
        "{\"data\":{\"__type\":{\"fields\":[{\"args\":[]},{\"args\":[{\"defaultValue\":\"-1\"},{"
        "\"defaultValue\":\"1.50\"},"
        "{\"defaultValue\":\"\\\"\xc3\xa9\\\\n\\\\\\\"\\\"\"},{\"defaultValue\":\"[1, 2]\"},"
        "{\"defaultValue\":\"{x: {x: null, e: B}, e: "
        "A}\"},{\"defaultValue\":\"true\"},{\"defaultValue\":\"null\"}]}]}}}");
    gql_schema_unref(&s);
}

static enum gql_refusal
may(const struct gql_schema *s, const char *query, enum mk_gql_who who)
{
    struct gql_prepared p = graphql_prepare(s, query, who);

    gql_plan_unref(&p.plan);
    json_decref(p.errors);
    return p.refusal;
}

static void
what_is_protected_behind_an_interface_is_protected(void **state)
{
    static const char sdl[] =
        "extend type AdminQuery { i: I u: U open: A }\n"
        "interface I { x: Int } type A implements I { x: Int y: Int @protected }\n"
        "type B implements I { x: Int @protected(type: GLOBAL) } type C @protected(type: GLOBAL) { "
        "z: Int } union U = A | C";
    struct gql_schema *s = graphql_schema(sdl, NULL, NULL, NULL);

    (void)state;
    assert_non_null(s);
    assert_int_equal(may(s, "{ open { x } }", MK_GQL_NOBODY), GQL_ACCEPTED);
    assert_int_equal(may(s, "{ open { y } }", MK_GQL_NOBODY), GQL_FORBIDDEN);
    assert_int_equal(may(s, "{ i { x } }", MK_GQL_NOBODY), GQL_FORBIDDEN);
    assert_int_equal(may(s, "{ i { ... on A { x } } }", MK_GQL_NOBODY), GQL_ACCEPTED);
    assert_int_equal(may(s, "{ i { x } }", MK_GQL_IS_DOMAIN_ADMIN), GQL_FORBIDDEN);
    assert_int_equal(may(s, "{ u { ... on C { z } } }", MK_GQL_IS_DOMAIN_ADMIN), GQL_FORBIDDEN);
    assert_int_equal(may(s, "{ u { ...F } } fragment F on C { z }", MK_GQL_IS_DOMAIN_ADMIN),
                     GQL_FORBIDDEN);
    assert_int_equal(may(s, "{ u { ... on C @skip(if: true) { z } __typename } }", MK_GQL_NOBODY),
                     GQL_ACCEPTED);
    assert_int_equal(may(s, "{ u { ... on C { z } } i { x } }", MK_GQL_IS_ADMIN), GQL_ACCEPTED);
    gql_schema_unref(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mistake_is_told_with_line_and_column),
        cmocka_unit_test(a_function_needs_its_field),
        cmocka_unit_test(a_schema_shows_what_its_roots_lead_to),
        cmocka_unit_test(default_values_are_shown_as_one_writes_them),
        cmocka_unit_test(what_is_protected_behind_an_interface_is_protected),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
