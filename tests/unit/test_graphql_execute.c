/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Execution of GraphQL: resolvers that answer late, in any order, wrongly, or not any more. */
#include "graphql.h"

static const char sdl[] =
    "extend type AdminQuery { c: Category now: Int later(n: Int = 0): Int strict: Int! list: "
    "[Item] lists: [[Int!]!] many(hole: Int): [Item!] }\n"
    "extend type AdminMutation { c: Category later(n: Int): Int strict(n: Int): Int! }\n"
    "extend type AdminSubscription { c: Source }\n"
    "type Category { now: Int later(n: Int): Int strict(n: Int): Int! item: Item strictItem: Item! "
    "}\n"
    "type Item { id: Int later: Int strict: Int! items: [Item!] }\n"
    "type Source { ticks(n: Int): Tick other: Tick } type Tick { n: Int later: Int }";

static struct mk_gql_field *late[256];
static size_t late_count;

static void
now(struct mk_gql_field *f, void *arg)
{
    (void)arg;
    mk_gql_answer(f, json_integer(1));
}

static void
later(struct mk_gql_field *f, void *arg)
{
    (void)arg;
    late[late_count++] = f;
}

static void
item(struct mk_gql_field *f, void *arg)
{
    (void)arg;
    mk_gql_answer(f, json_pack("{s:i, s:[{s:i}, {s:i}]}", "id", 1, "items", "id", 2, "id", 3));
}

static void
list(struct mk_gql_field *f, void *arg)
{
    (void)arg;
    mk_gql_answer(f, json_pack("[{s:i}, n, {s:i}]", "id", 1, "id", 2));
}

static void
lists(struct mk_gql_field *f, void *arg)
{
    (void)arg;
    mk_gql_answer(f, json_pack("[[i, i], [i, s], [i]]", 1, 2, 3, "x", 4));
}

/* Items 0 to 999, but for one. */
static void
many(struct mk_gql_field *f, void *arg)
{
    int64_t hole = mk_gql_int(f, "hole", -1);
    json_t *all = json_array();

    (void)arg;
    for (int i = 0; i < 1000; i++)
        json_array_append_new(all, i == hole ? json_null() : json_pack("{s:i}", "id", i));
    mk_gql_answer(f, all);
}

static const struct mk_gql_resolver resolvers[] = {{"AdminQuery", "now", now},
                                                   {"AdminQuery", "later", later},
                                                   {"AdminQuery", "strict", later},
                                                   {"AdminQuery", "list", list},
                                                   {"AdminQuery", "lists", lists},
                                                   {"AdminQuery", "many", many},
                                                   {"AdminMutation", "later", later},
                                                   {"AdminMutation", "strict", later},
                                                   {"Category", "now", now},
                                                   {"Category", "later", later},
                                                   {"Category", "strict", later},
                                                   {"Category", "item", item},
                                                   {"Category", "strictItem", item},
                                                   {"Item", "later", later},
                                                   {"Item", "strict", later},
                                                   {"Source", "ticks", later},
                                                   {"Tick", "later", later},
                                                   {NULL, NULL, NULL}};

static struct gql_schema *schema;
static struct gql_part *part;

static int
set_up(void **state)
{
    struct mk_error err = {""};

    (void)state;
    schema = graphql_schema(sdl, resolvers, &part, &err);
    if (!schema)
        print_error("%s\n", err.text);
    return schema ? 0 : -1;
}

static int
tear_down(void **state)
{
    (void)state;
    gql_part_unref(&part);
    gql_schema_unref(&schema);
    return 0;
}

/* Answers the n-th field that waits. */
static void
answer(size_t n, json_t *value)
{
    struct mk_gql_field *f = late[n];

    memmove(late + n, late + n + 1, (--late_count - n) * sizeof(*late));
    mk_gql_answer(f, value);
}

static void
assert_told(char **text, const char *expected)
{
    assert_int_equal(late_count, 0);
    assert_non_null(*text);
    assert_string_equal(*text, expected);
    free(*text);
    *text = NULL;
}

static void
a_query_asks_all_its_fields_at_once(void **state)
{
    char *text;

    (void)state;
    graphql_begin(schema, "{ a: later(n: 1) c { b: later(n: 2) now } d: later }", &text);
    assert_null(text);
    assert_int_equal(late_count, 3);
    assert_int_equal(mk_gql_int(late[1], "n", -1), 2);
    answer(2, json_integer(30));
    answer(0, json_integer(10));
    assert_null(text);
    answer(0, json_integer(20));
    assert_told(&text, "{\"data\":{\"a\":10,\"c\":{\"b\":20,\"now\":1},\"d\":30}}");
}

static void
a_mutation_asks_one_field_after_the_other(void **state)
{
    char *text;

    (void)state;
    graphql_begin(schema, "mutation { a: later c { b: later x: now d: later } e: later }", &text);
    for (int i = 1; i <= 4; i++) {
        assert_int_equal(late_count, 1);
        assert_null(text);
        answer(0, json_integer(i));
    }
    assert_told(&text, "{\"data\":{\"a\":1,\"c\":{\"b\":2,\"x\":1,\"d\":3},\"e\":4}}");
}

static void
null_takes_what_is_still_waiting_with_it(void **state)
{
    char *text;

    (void)state;
    graphql_begin(schema, "{ c { later strict now item { later strict } } now }", &text);
    assert_int_equal(late_count, 4);
    answer(1, NULL);
    assert_null(text);
    answer(2, json_string("of no interest"));
    answer(1, graphql_api.error("x", "of no interest either", NULL));
    answer(0, json_integer(1));
    assert_told(&text, "{\"errors\":[{\"message\":\"Cannot return null for non-nullable field "
                       "Category.strict.\",\"locations\":"
                       "[{\"line\":1,\"column\":13}],\"path\":[\"c\",\"strict\"],\"extensions\":{"
                       "\"code\":\"null_value\"}}],"
                       "\"data\":{\"c\":null,\"now\":1}}");
}

static void
nothing_more_is_done_of_a_mutation_whose_data_is_null(void **state)
{
    char *text;

    (void)state;
    graphql_begin(schema, "mutation { c { strict } a: strict b: later }", &text);
    answer(0, json_integer(1));
    answer(0, graphql_api.error("no", "No.", json_pack("{s:i}", "n", 5)));
    assert_told(&text, "{\"errors\":[{\"message\":\"No.\",\"locations\":[{\"line\":1,\"column\":25}"
                       "],\"path\":[\"a\"],"
                       "\"extensions\":{\"n\":5,\"code\":\"no\"}}],\"data\":null}");
}

static int kept; /* executions that were answered, and whose fields are still waited for */

static void
on_late(struct gql_running *r, int change)
{
    (void)r;
    kept += change;
}

/* Begins, and lets three ticks pass, of which two are allowed. */
static void
begin_and_expire(struct gql_running *r, const char *query, char **text)
{
    struct gql_prepared p = graphql_prepare(schema, query, MK_GQL_IS_ADMIN);

    gql_running_init(r);
    r->late = on_late;
    *text = NULL;
    assert_non_null(p.plan);
    p.plan->running = r;
    gql_execute(p.plan, graphql_on_done, text);
    gql_plan_unref(&p.plan);
    gql_expire(r, 2);
    gql_expire(r, 2);
    assert_null(*text);
    gql_expire(r, 2);
    assert_non_null(*text);
    assert_int_equal(kept, 1);
    assert_null(r->first);
}

static void
what_is_not_answered_in_time_is_null_and_takes_with_it_what_cannot_be(void **state)
{
    struct gql_running running = {.tick = 0};
    char *text;

    (void)state;
    begin_and_expire(&running, "{ a: later b: later c { now strict item { later } } now }", &text);
    assert_non_null(strstr(text, "\"data\":{\"a\":null,\"b\":null,\"c\":null,\"now\":1}"));
    assert_non_null(strstr(text, "\"path\":[\"c\",\"strict\"],\"extensions\":{\"code\":\"timeout\"}"));
    free(text);
    /* Late answers, right or wrong, are dropped; the last one frees everything. */
    answer(3, json_integer(1));
    answer(0, json_string("wrong"));
    answer(1, graphql_api.error("x", "y", NULL));
    assert_int_equal(kept, 1);
    answer(0, NULL);
    assert_int_equal(kept, 0);
}

static void
a_mutation_that_takes_too_long_begins_nothing_more(void **state)
{
    struct gql_running running = {.tick = 0};
    char *text;

    (void)state;
    begin_and_expire(&running, "mutation { c { later b: later } a: later }", &text);
    assert_non_null(strstr(text, "\"data\":{\"c\":{\"later\":null,\"b\":null},\"a\":null}"));
    free(text);
    assert_int_equal(late_count, 1);
    answer(0, json_integer(1));
    assert_int_equal(late_count, 0);
    begin_and_expire(&running, "mutation { c { later } strict }", &text);
    assert_non_null(strstr(text, "\"data\":null"));
    free(text);
    answer(0, json_integer(1));
    assert_int_equal(late_count, 0);
    assert_int_equal(kept, 0);
}

static void
a_field_that_says_so_may_take_longer(void **state)
{
    struct gql_running running = {.tick = 0};
    struct gql_prepared p = graphql_prepare(schema, "mutation { a: later b: later }", MK_GQL_IS_ADMIN);
    char *text = NULL;

    (void)state;
    gql_running_init(&running);
    running.late = on_late;
    assert_non_null(p.plan);
    p.plan->running = &running;
    gql_execute(p.plan, graphql_on_done, &text);
    gql_plan_unref(&p.plan);
    mk_gql_takes_long(late[0]);
    for (int i = 0; i < 20; i++)
        gql_expire(&running, 2);
    assert_null(text);
    answer(0, json_integer(1));
    /* The next has not said so. */
    for (int i = 0; i < 4; i++)
        gql_expire(&running, 2);
    assert_non_null(strstr(text, "\"data\":{\"a\":1,\"b\":null}"));
    free(text);
    answer(0, json_integer(1));
    assert_int_equal(kept, 0);
}

static struct {
    void (*fn)(void *arg);
    void *arg;
} turns[4];
static size_t turn_count;

static void
next_turn(struct gql_plan *p, void (*fn)(void *arg), void *arg)
{
    (void)p;
    assert_true(turn_count < 4);
    turns[turn_count].fn = fn;
    turns[turn_count++].arg = arg;
}

static void
take_turn(void)
{
    assert_true(turn_count > 0);
    turn_count--;
    turns[turn_count].fn(turns[turn_count].arg);
}

static void
begin_in_turns(struct gql_running *r, const char *query, char **text)
{
    struct gql_prepared p = graphql_prepare(schema, query, MK_GQL_IS_ADMIN);

    gql_running_init(r);
    r->late = on_late;
    *text = NULL;
    assert_non_null(p.plan);
    p.plan->running = r;
    p.plan->later = next_turn;
    gql_execute(p.plan, graphql_on_done, text);
    gql_plan_unref(&p.plan);
    assert_null(*text);
    assert_int_equal(turn_count, 1);
}

static void
a_long_list_is_done_in_turns_and_all_there(void **state)
{
    struct gql_running running = {.tick = 0};
    unsigned count = 1;
    json_t *answer;
    char *text;

    (void)state;
    begin_in_turns(&running, "{ many { id } now }", &text);
    while (!text) {
        take_turn();
        count++;
    }
    assert_true(count > 3);
    answer = json_loads(text, 0, NULL);
    assert_int_equal(json_array_size(json_object_get(json_object_get(answer, "data"), "many")), 1000);
    assert_non_null(strstr(text, "{\"id\":0},{\"id\":1},"));
    assert_non_null(strstr(text, ",{\"id\":998},{\"id\":999}],\"now\":1}"));
    json_decref(answer);
    free(text);
}

static void
a_long_list_ends_where_null_takes_it(void **state)
{
    struct gql_running running = {.tick = 0};
    char *text;

    (void)state;
    begin_in_turns(&running, "{ many(hole: 500) { id } now }", &text);
    while (!text)
        take_turn();
    assert_int_equal(turn_count, 0);
    assert_non_null(strstr(text, "\"path\":[\"many\",500]"));
    assert_non_null(strstr(text, "\"data\":{\"many\":null,\"now\":1}"));
    free(text);
}

static void
a_long_list_that_is_not_done_in_time_is_null(void **state)
{
    struct gql_running running = {.tick = 0};
    char *text;

    (void)state;
    begin_in_turns(&running, "{ many { id later } now }", &text);
    while (late_count)
        answer(0, json_integer(1));
    gql_expire(&running, 0);
    assert_non_null(strstr(text, "\"data\":{\"many\":null,\"now\":1}"));
    assert_non_null(strstr(text, "\"path\":[\"many\"],\"extensions\":{\"code\":\"timeout\"}"));
    free(text);
    assert_int_equal(kept, 1);
    take_turn();
    assert_int_equal(kept, 0);
    assert_int_equal(late_count, 0);
}

static void
fields_inside_lists_are_asked_with_their_own_object(void **state)
{
    char *text;

    (void)state;
    graphql_begin(schema, "{ list { later } c { item { items { later id } } } }", &text);
    assert_int_equal(late_count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_true(json_is_integer(json_object_get(graphql_api.parent(late[i]), "id")));
    while (late_count) {
        json_int_t id = json_integer_value(json_object_get(graphql_api.parent(late[0]), "id"));

        answer(0, json_integer(10 * id));
    }
    assert_told(
        &text,
        "{\"data\":{\"list\":[{\"later\":10},null,{\"later\":20}],\"c\":{\"item\":{\"items\":"
        "[{\"later\":20,\"id\":2},{\"later\":30,\"id\":3}]}}}}");
}

static void
a_list_of_strict_items_is_null_when_one_is_wrong(void **state)
{
    (void)state;
    assert_answer(schema, "{ lists }",
                  "{\"errors\":[{\"message\":\"Int cannot represent non-integer value: "
                  "\\\"x\\\"\",\"locations\":[{\"line\":1,\"column\":3}],"
                  "\"path\":[\"lists\",1,1],\"extensions\":{\"code\":\"output_coerce\"}}],\"data\":"
                  "{\"lists\":null}}");
}

static void
what_belongs_to_a_module_that_goes_is_not_called(void **state)
{
    char *text;

    (void)state;
    /* A module of its own: nothing of it is looked at but that it is there. */
    part->module = (struct mk_module *)&part;
    part->gone = 1;
    graphql_begin(schema, "{ now c { item { id } } }", &text);
    part->module = NULL;
    part->gone = 0;
    assert_non_null(strstr(text, "\"code\":\"module_unloaded\""));
    assert_non_null(strstr(text, "\"data\":{\"now\":null,\"c\":{\"item\":null}}"));
    free(text);
}

/* -- subscriptions --------------------------------------------------------------------------- */

struct told {
    struct mk_buf events; /* one a line */
    unsigned ended;
    struct gql_subscription *end_it; /* at the next event */
};

static void
on_event(json_t *response, void *arg)
{
    struct told *t = arg;
    char *text = json_dumps(response, JSON_COMPACT);

    mk_buf_printf(&t->events, "%s\n", text);
    free(text);
    json_decref(response);
    gql_subscription_end(&t->end_it);
}

static void
on_ended(json_t *response, void *arg)
{
    struct told *t = arg;

    if (response)
        on_event(response, arg);
    t->ended++;
}

static const struct gql_subscription_ops ops = {on_event, on_ended};

static struct gql_subscription *
subscribe(const char *query, size_t queue, struct told *t)
{
    struct gql_prepared p = graphql_prepare(schema, query, MK_GQL_IS_ADMIN);
    struct gql_subscription *s;

    assert_non_null(p.plan);
    s = gql_subscribe(p.plan, queue, &ops, t);
    gql_plan_unref(&p.plan);
    return s;
}

static void
next_tick(struct mk_gql_field *f, int n)
{
    f->api->next(f, json_pack("{s:i}", "n", n));
}

static void
on_end(struct mk_gql_field *f, void *arg)
{
    (void)f;
    ++*(unsigned *)arg;
}

static void
events_come_in_the_order_of_their_values(void **state)
{
    struct told t = {.ended = 0};
    struct gql_subscription *s = subscribe("subscription { c { ticks { n later } } }", 10, &t);
    struct mk_gql_field *f = late[0];

    (void)state;
    assert_true(f->api->is_subscription(f));
    late_count = 0;
    next_tick(f, 1);
    next_tick(f, 2);
    next_tick(f, 3);
    /* One after the other, however late. */
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(late_count, 1);
        answer(0, json_integer(10 * i));
    }
    mk_gql_answer(f, NULL);
    assert_int_equal(t.ended, 1);
    assert_string_equal(mk_buf_cstr(&t.events),
                        "{\"data\":{\"c\":{\"ticks\":{\"n\":1,\"later\":10}}}}\n"
                        "{\"data\":{\"c\":{\"ticks\":{\"n\":2,\"later\":20}}}}\n"
                        "{\"data\":{\"c\":{\"ticks\":{\"n\":3,\"later\":30}}}}\n");
    gql_subscription_end(&s);
    mk_buf_release(&t.events);
}

static void
what_waits_at_the_end_is_still_told(void **state)
{
    struct told t = {.ended = 0};
    struct gql_subscription *s = subscribe("subscription { c { ticks { later } } }", 10, &t);
    struct mk_gql_field *f = late[0];

    (void)state;
    late_count = 0;
    next_tick(f, 1);
    next_tick(f, 2);
    mk_gql_fail(f, "over", "Over.");
    assert_int_equal(t.ended, 0);
    answer(0, json_integer(1));
    answer(0, json_integer(2));
    assert_int_equal(t.ended, 1);
    assert_non_null(
        strstr(mk_buf_cstr(&t.events), "\"later\":2}}}}\n{\"errors\":[{\"message\":\"Over.\""));
    gql_subscription_end(&s);
    mk_buf_release(&t.events);
}

static void
a_client_that_goes_ends_it_at_any_moment(void **state)
{
    struct told t = {.ended = 0};
    unsigned ends = 0;
    struct gql_subscription *s = subscribe("subscription { c { ticks { n later } } }", 10, &t);
    struct mk_gql_field *f = late[0];

    (void)state;
    late_count = 0;
    f->api->on_end(f, on_end, &ends);
    next_tick(f, 1);
    next_tick(f, 2);
    /* A response is under way, and another value waits. */
    gql_subscription_end(&s);
    assert_int_equal(ends, 1);
    answer(0, json_integer(1));
    assert_int_equal(t.events.len, 0);

    s = subscribe("subscription { c { ticks { n } } }", 10, &t);
    f = late[0];
    late_count = 0;
    f->api->on_end(f, on_end, &ends);
    t.end_it = s;
    next_tick(f, 1);
    assert_int_equal(ends, 2);
    assert_int_equal(t.ended, 0);
    mk_buf_release(&t.events);
}

static void
a_client_that_is_too_slow_is_cut(void **state)
{
    struct told t = {.ended = 0};
    unsigned ends = 0;
    struct gql_subscription *s = subscribe("subscription { c { ticks { later } } }", 2, &t);
    struct mk_gql_field *f = late[0];

    (void)state;
    late_count = 0;
    f->api->on_end(f, on_end, &ends);
    for (int i = 0; i < 5; i++)
        next_tick(f, i);
    while (late_count)
        answer(0, json_integer(0));
    assert_int_equal(t.ended, 1);
    assert_non_null(strstr(mk_buf_cstr(&t.events), "\"code\":\"too_slow\""));
    gql_subscription_end(&s);
    assert_int_equal(ends, 1);
    mk_buf_release(&t.events);
}

static void
a_subscription_has_one_source(void **state)
{
    struct told t = {.ended = 0};

    (void)state;
    assert_null(subscribe("subscription { c { ticks { n } other { n } } }", 2, &t));
    assert_int_equal(t.ended, 1);
    assert_non_null(strstr(mk_buf_cstr(&t.events), "\"code\":\"unsupported_operation\""));
    mk_buf_release(&t.events);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_query_asks_all_its_fields_at_once),
        cmocka_unit_test(a_mutation_asks_one_field_after_the_other),
        cmocka_unit_test(null_takes_what_is_still_waiting_with_it),
        cmocka_unit_test(nothing_more_is_done_of_a_mutation_whose_data_is_null),
        cmocka_unit_test(what_is_not_answered_in_time_is_null_and_takes_with_it_what_cannot_be),
        cmocka_unit_test(a_mutation_that_takes_too_long_begins_nothing_more),
        cmocka_unit_test(a_field_that_says_so_may_take_longer),
        cmocka_unit_test(a_long_list_is_done_in_turns_and_all_there),
        cmocka_unit_test(a_long_list_ends_where_null_takes_it),
        cmocka_unit_test(a_long_list_that_is_not_done_in_time_is_null),
        cmocka_unit_test(fields_inside_lists_are_asked_with_their_own_object),
        cmocka_unit_test(a_list_of_strict_items_is_null_when_one_is_wrong),
        cmocka_unit_test(what_belongs_to_a_module_that_goes_is_not_called),
        cmocka_unit_test(events_come_in_the_order_of_their_values),
        cmocka_unit_test(what_waits_at_the_end_is_still_told),
        cmocka_unit_test(a_client_that_goes_ends_it_at_any_moment),
        cmocka_unit_test(a_client_that_is_too_slow_is_cut),
        cmocka_unit_test(a_subscription_has_one_source),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
