/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * libFuzzer target: GraphQL. The first byte says what the rest is: "S" the text of a schema,
 * otherwise a query, behind which a NUL and variables as JSON may follow. A query is answered, with
 * values that do not always fit; the answer is JSON, its errors lie inside the query, and a query
 * that is refused has errors. A schema that is accepted describes itself, and two schemas made of
 * one text say the same.
 */
#include "config.h"

#include <stdlib.h>

#include "lexer.h"
#include "prepare.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char sdl[] =
    "extend type AdminQuery { a(i: Int = 1, s: String, p: P, l: [Int!], e: E, j: JID, d: DateTime, "
    "x: XmlElement): T u: U n: N\n"
    "  list(limit: Int): [T!] strict: T! later(n: Int): T secret: String @protected(type: GLOBAL) "
    "}\n"
    "extend type AdminMutation { m(p: P!): T later: T }\n"
    "extend type AdminSubscription { s: T }\n"
    "interface N { id: ID } type T implements N { id: ID t: T s: String! l: [[Int]!] e: E u: U }\n"
    "type V implements N { id: ID v: Int } union U = T | V enum E { A B C @deprecated }\n"
    "input P { x: Int! y: [P!] z: E = A w: String = \"w\" }\n";

static struct gql_schema *schema;
static struct mk_gql_field *waiting[64];
static size_t waiting_count;
static unsigned choice;

/* Values that fit, and some that do not. */
static json_t *
value_of(unsigned depth)
{
    switch (depth == 0 ? 3 : choice++ % 6) {
    case 0:
        return json_pack("{s:s, s:s, s:o, s:s, s:s}", "__typename", "T", "id", "1", "t",
                         value_of(depth - 1), "s", "text", "e", "B");
    case 1:
        return json_pack("{s:s, s:i, s:[[i, n], n]}", "__typename", "V", "v", 5, "l", 1);
    case 2:
        return json_pack("[o, o]", value_of(depth - 1), value_of(depth - 1));
    case 3:
        return json_null();
    case 4:
        return gql_error_value("code", "message", json_pack("{s:i}", "more", 1));
    default:
        return json_string("D");
    }
}

static void
resolve(struct mk_gql_field *f, void *arg)
{
    (void)arg;
    mk_gql_answer(f, value_of(3));
}

static void
resolve_later(struct mk_gql_field *f, void *arg)
{
    (void)arg;
    if (waiting_count < MK_COUNT(waiting))
        waiting[waiting_count++] = f;
    else
        mk_gql_fail(f, NULL, "too many");
}

static void
resolve_stream(struct mk_gql_field *f, void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < choice % 4; i++)
        f->api->next(f, value_of(2));
    mk_gql_answer(f, value_of(2));
}

static const struct mk_gql_resolver resolvers[] = {{"AdminQuery", "a", resolve},
                                                   {"AdminQuery", "u", resolve},
                                                   {"AdminQuery", "n", resolve},
                                                   {"AdminQuery", "list", resolve},
                                                   {"AdminQuery", "strict", resolve},
                                                   {"AdminQuery", "later", resolve_later},
                                                   {"AdminMutation", "m", resolve},
                                                   {"AdminMutation", "later", resolve_later},
                                                   {"AdminSubscription", "s", resolve_stream},
                                                   {NULL, NULL, NULL}};

static const struct mk_graphql api = {.size = sizeof(api),
                                      .answer = gql_field_answer,
                                      .argument = gql_field_argument,
                                      .parent = gql_field_parent,
                                      .viewer = gql_field_viewer,
                                      .error = gql_error_value,
                                      .is_subscription = gql_field_is_subscription,
                                      .next = gql_field_next,
                                      .on_end = gql_field_on_end};

static struct gql_schema *
make_schema(const char *text, const struct mk_gql_resolver *list)
{
    struct gql_part *parts[2] = {
        gql_part_new("base", MK_GQL_ADMIN | MK_GQL_USER, gql_base_sdl, NULL)};
    struct gql_schema *s = NULL;
    struct mk_error err = {""};

    parts[0]->base = true;
    parts[1] = gql_part_new("more", MK_GQL_ADMIN, text, &err);
    if (parts[1]) {
        parts[1]->resolvers = list;
        s = gql_schema_new(parts, 2, NULL, &err);
    }
    /* A mistake is told with its place. */
    MK_ASSERT(s || strstr(err.text, "line ") || strstr(err.text, "UTF-8"));
    gql_part_unref(&parts[0]);
    gql_part_unref(&parts[1]);
    return s;
}

/* -- queries --------------------------------------------------------------------------------- */

static void
check_errors(const json_t *errors, struct mk_str query)
{
    struct gql_location end = gql_locate(query, (uint32_t)query.len);
    size_t i, k;
    json_t *error, *where;

    json_array_foreach((json_t *)(uintptr_t)errors, i, error)
    {
        MK_ASSERT(json_is_string(json_object_get(error, "message")));
        MK_ASSERT(json_is_string(json_object_get(json_object_get(error, "extensions"), "code")));
        json_array_foreach(json_object_get(error, "locations"), k, where)
        {
            json_int_t line = json_integer_value(json_object_get(where, "line"));

            MK_ASSERT(line >= 1 && line <= (json_int_t)end.line);
        }
    }
}

static void
check_response(json_t *response, struct mk_str query)
{
    char *text = json_dumps(response, JSON_COMPACT);

    MK_ASSERT(text);
    check_errors(json_object_get(response, "errors"), query);
    free(text);
    json_decref(response);
}

static void
on_done(json_t *response, void *arg)
{
    *(json_t **)arg = response;
}

static void
on_event(json_t *response, void *arg)
{
    check_response(response, *(struct mk_str *)arg);
}

static void
on_ended(json_t *response, void *arg)
{
    if (response)
        check_response(response, *(struct mk_str *)arg);
}

static void
run(struct gql_plan *plan, struct mk_str query)
{
    static const struct gql_subscription_ops ops = {on_event, on_ended};
    struct gql_running running = {.tick = 0};
    struct gql_subscription *s;
    json_t *response = NULL;

    gql_running_init(&running);
    plan->running = &running;
    if (plan->operation->operation == GQL_SUBSCRIPTION) {
        s = gql_subscribe(plan, 2, &ops, &query);
        gql_subscription_end(&s);
        return;
    }
    gql_execute(plan, on_done, &response);
    /* Of some the time is over before all have answered. */
    for (unsigned i = choice % 3; waiting_count && i < 2; i++)
        mk_gql_answer(waiting[--waiting_count], value_of(2));
    if (choice % 2)
        gql_expire(&running, 0);
    while (waiting_count)
        mk_gql_answer(waiting[--waiting_count], value_of(2));
    MK_ASSERT(response && json_object_get(response, "data"));
    check_response(response, query);
}

static void
fuzz_query(struct mk_str text, unsigned who)
{
    static const struct gql_limits limits = {.max = {[GQL_MAX_QUERY] = 1000000,
                                                     [GQL_MAX_TOKENS] = 10000,
                                                     [GQL_MAX_DEPTH] = 30,
                                                     [GQL_MAX_FIELDS] = 1000,
                                                     [GQL_MAX_ALIASES] = 100,
                                                     [GQL_MAX_COMPLEXITY] = 5000,
                                                     [GQL_MAX_INTROSPECTION] = 2}};
    struct mk_gql_viewer viewer = {
        .size = sizeof(viewer), .who = (enum mk_gql_who)(who % 4), .domain = "localhost"};
    const char *nul = text.len ? memchr(text.p, '\0', text.len) : NULL;
    struct mk_str query = {text.p, nul ? (size_t)(nul - text.p) : text.len};
    json_t *variables = nul ? json_loadb(nul + 1, text.len - query.len - 1, 0, NULL) : NULL;
    struct gql_request rq = {.query = query,
                             .variables = json_is_object(variables) ? variables : NULL,
                             .viewer = &viewer,
                             .api = &api,
                             .limits = &limits};
    struct gql_prepared p;

    gql_prepare(gql_schema_view(schema, MK_GQL_ADMIN), &rq, &p);
    if (p.plan) {
        run(p.plan, query);
        gql_plan_unref(&p.plan);
    } else {
        MK_ASSERT(json_array_size(p.errors) > 0);
        check_errors(p.errors, query);
    }
    json_decref(p.errors);
    json_decref(variables);
}

/* -- schemas --------------------------------------------------------------------------------- */

static char *
introspect(struct gql_schema *s)
{
    static const char query[] = "{ __schema { queryType { name } types { kind name description "
                                "specifiedByURL fields(includeDeprecated: true) { name "
                                "args { name defaultValue type { kind name ofType { kind name } } "
                                "} type { name kind ofType { name } } } interfaces { name } "
                                "possibleTypes { name } enumValues(includeDeprecated: true) { name "
                                "} inputFields { name defaultValue } } directives { name } } }";
    static const struct gql_limits limits = {.max = {[GQL_MAX_QUERY] = 100000,
                                                     [GQL_MAX_TOKENS] = 1000,
                                                     [GQL_MAX_DEPTH] = 30,
                                                     [GQL_MAX_FIELDS] = 1000,
                                                     [GQL_MAX_ALIASES] = 100,
                                                     [GQL_MAX_COMPLEXITY] = 5000,
                                                     [GQL_MAX_INTROSPECTION] = 2}};
    static const struct mk_gql_viewer viewer = {.size = sizeof(viewer), .who = MK_GQL_NOBODY};
    struct gql_request rq = {
        .query = mk_str_of(query), .viewer = &viewer, .api = &api, .limits = &limits};
    struct gql_prepared p;
    json_t *response = NULL;
    char *text;

    gql_prepare(gql_schema_view(s, MK_GQL_ADMIN), &rq, &p);
    MK_ASSERT(p.plan);
    gql_execute(p.plan, on_done, &response);
    gql_plan_unref(&p.plan);
    MK_ASSERT(!json_object_get(response, "errors"));
    text = json_dumps(response, JSON_COMPACT);
    MK_ASSERT(text);
    json_decref(response);
    return text;
}

static void
fuzz_schema(struct mk_str text)
{
    char *copy = mk_str_dup(text);
    struct gql_schema *s = make_schema(copy, NULL), *again;
    char *one, *two;

    if (s) {
        again = make_schema(copy, NULL);
        MK_ASSERT(again);
        one = introspect(s);
        two = introspect(again);
        MK_ASSERT(strcmp(one, two) == 0);
        free(one);
        free(two);
        gql_schema_unref(&again);
    }
    gql_schema_unref(&s);
    mk_free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mk_str rest = {(const char *)data + 1, size - 1};

    if (size < 1)
        return 0;
    if (!schema)
        schema = make_schema(sdl, resolvers);
    MK_ASSERT(schema);
    choice = data[0];
    if (data[0] == 'S')
        fuzz_schema(rest);
    else
        fuzz_query(rest, data[0]);
    MK_ASSERT(waiting_count == 0);
    return 0;
}
