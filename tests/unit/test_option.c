/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Options: what each type takes and refuses, bounds, copies, suggestions, tables that are wrong. */
#include "config.h"

#include "unit.h"

#include "option-internal.h"

static const char *const colours[] = {"red", "green", NULL};

struct conf {
    bool flag;
    int64_t number;
    int colour;
    uint64_t period, size;
    char *text, *path, *secret;
    struct mk_jid *jid;
    struct mk_option_list list, addresses;
};

static const struct mk_option options[] = {
    MK_OPTION_BOOL(struct conf, flag, "no", 0, "a flag"),
    MK_OPTION_INT(struct conf, number, "5", "-10", "10", MK_OPT_RELOADABLE, "a number"),
    MK_OPTION_ENUM(struct conf, colour, "red", colours, 0, "a colour"),
    MK_OPTION_PERIOD(struct conf, period, "1m", "1s", "1d", 0, "a period"),
    MK_OPTION_SIZE(struct conf, size, "1K", "1K", "1T", 0, "a size"),
    MK_OPTION_STRING(struct conf, text, NULL, 0, "a text"),
    MK_OPTION_PATH(struct conf, path, NULL, 0, "a path"),
    MK_OPTION_SECRET(struct conf, secret, NULL, 0, "a secret"),
    MK_OPTION_JID(struct conf, jid, NULL, 0, "a JID"),
    MK_OPTION_LIST(struct conf, list, NULL, 0, "a list"),
    MK_OPTION_ADDRESSES(struct conf, addresses, NULL, 0, "addresses"),
    MK_OPTION_END};

static const struct mk_option *
option(const char *name)
{
    const struct mk_option *o = options;

    while (strcmp(o->name, name) != 0)
        o++;
    return o;
}

/* Parses into an otherwise empty structure; the caller frees it. */
static int
parse(const char *name, const char *text, struct conf *conf, struct mk_error *err)
{
    memset(conf, 0, sizeof(*conf));
    return mki_option_parse(option(name), text, "/base", conf, err);
}

static void
is_refused(const char *name, const char *text, const char *why)
{
    struct mk_error err = {""};
    struct conf conf;

    if (parse(name, text, &conf, &err) == 0)
        fail_msg("%s = '%s' was accepted", name, text);
    if (!strstr(err.text, why))
        fail_msg("%s = '%s': '%s' does not say '%s'", name, text, err.text, why);
    mki_option_free(options, &conf);
}

static void
periods_are_sums_of_numbers_with_units(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"10s", 10000}, {"1", 1000}, {"1500ms", 1500}, {"5m", 300000}, {"1h 30m", 5400000},
                {"1h30m", 5400000}, {"1d", 86400000}, {"1m  1s ", 61000}};
    static const char *const bad[] = {"", "s", "-1s", "+1s", "1x", "1 s", "1.5s", "10 10", "1m 5",
                                      "5 1m", "1sec", "1mss", "1minutes", "0x10", "1s,2s",
                                      "99999999999999999999s", "99999999999999999d"};
    struct conf conf;

    (void)state;
    for (size_t i = 0; i < MK_COUNT(good); i++) {
        assert_int_equal(parse("period", good[i].text, &conf, NULL), 0);
        assert_int_equal(conf.period, good[i].ms);
    }
    for (size_t i = 0; i < MK_COUNT(bad); i++)
        is_refused("period", bad[i], "is not a period");
    is_refused("period", "999ms", "'999ms' is too small");
    is_refused("period", "1d 1ms", "is too large");
    assert_int_equal(parse("period", "1000ms", &conf, NULL), 0);
    assert_int_equal(parse("period", "24h", &conf, NULL), 0);
}

static void
sizes_are_bytes_in_powers_of_two(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"4096", 4096}, {"4096B", 4096}, {"1K", 1024}, {"1KB", 1024}, {"3M", 3 << 20},
                {"1G", 1u << 30}, {"2GB", 2ull << 30}, {"1T", 1ull << 40}, {"1M 1K", (1 << 20) + 1024}};
    static const char *const bad[] = {"", "K", "1k", "1Q", "1 K", "-1K", "1KBB", "1KiB", "1.5M", "1K 1",
                                      "18446744073709551616", "99999999T"};
    struct conf conf;

    (void)state;
    for (size_t i = 0; i < MK_COUNT(good); i++) {
        assert_int_equal(parse("size", good[i].text, &conf, NULL), 0);
        assert_int_equal(conf.size, good[i].bytes);
    }
    for (size_t i = 0; i < MK_COUNT(bad); i++)
        is_refused("size", bad[i], "is not a size");
    is_refused("size", "1023", "is too small");
    is_refused("size", "1T 1B", "is too large");
    /* As large as a sum may get without turning over. */
    is_refused("size", "8388607T 1023G", "is too large");
    is_refused("size", "8388607T 1024G", "is not a size");
}

static void
numbers_and_words_are_exact(void **state)
{
    static const char *const bad[] = {"", "five", "5x", "0x5", "5.0", "1e1", "- 5", "99999999999999999999"};
    static const char *const not_bool[] = {"", "Yes", "y", "2", "enabled"};
    struct conf conf;

    (void)state;
    assert_int_equal(parse("number", "-10", &conf, NULL), 0);
    assert_int_equal(conf.number, -10);
    assert_int_equal(parse("number", "10", &conf, NULL), 0);
    is_refused("number", "-11", "is too small");
    is_refused("number", "11", "is too large");
    for (size_t i = 0; i < MK_COUNT(bad); i++)
        is_refused("number", bad[i], "is not a whole number");
    for (size_t i = 0; i < MK_COUNT(not_bool); i++)
        is_refused("flag", not_bool[i], "is not yes or no");
    assert_int_equal(parse("flag", "on", &conf, NULL), 0);
    assert_true(conf.flag);
    assert_int_equal(parse("flag", "0", &conf, NULL), 0);
    assert_false(conf.flag);
    assert_int_equal(parse("colour", "green", &conf, NULL), 0);
    assert_int_equal(conf.colour, 1);
    is_refused("colour", "Green", "is none of the choices");
}

static void
addresses_become_their_canonical_form(void **state)
{
    static const struct {
        const char *text, *is;
    } good[] = {{"5222", "*:5222"}, {"*:5222", "*:5222"}, {"0", "*:0"}, {"65535", "*:65535"},
                {"127.0.0.1:5222", "127.0.0.1:5222"}, {"localhost:5222", "127.0.0.1:5222"},
                {"[::1]:5222", "[::1]:5222"}, {"[::]:05222", "[::]:5222"}};
    static const char *const bad[] = {"65536", "-1", ":5222", "host:5222", "127.0.0.1", "127.0.0.1:", "::1:5222",
                                      "[::1]", "[::1:5222", "[127.0.0.1]:5", "256.0.0.1:5", "1:2:3", "x",
                                      "127.0.0.1:5222x", "*:*"};
    struct conf conf;

    (void)state;
    for (size_t i = 0; i < MK_COUNT(good); i++) {
        assert_int_equal(parse("addresses", good[i].text, &conf, NULL), 0);
        assert_int_equal(conf.addresses.count, 1);
        assert_string_equal(conf.addresses.items[0], good[i].is);
        mki_option_free(options, &conf);
    }
    for (size_t i = 0; i < MK_COUNT(bad); i++)
        is_refused("addresses", bad[i], "is not an address");
    is_refused("addresses", "5222, nothing", "'nothing' is not an address");
}

static void
lists_take_commas_and_white_space(void **state)
{
    struct conf conf;

    (void)state;
    assert_int_equal(parse("list", " a,b , c\td,,e\n", &conf, NULL), 0);
    assert_int_equal(conf.list.count, 5);
    assert_string_equal(conf.list.items[2], "c");
    assert_string_equal(conf.list.items[4], "e");
    mki_option_free(options, &conf);
    assert_int_equal(parse("list", " , ", &conf, NULL), 0);
    assert_int_equal(conf.list.count, 0);
}

static void
paths_begin_at_the_file_that_names_them(void **state)
{
    struct conf conf;

    (void)state;
    assert_int_equal(parse("path", "a/b", &conf, NULL), 0);
    assert_string_equal(conf.path, "/base/a/b");
    mki_option_free(options, &conf);
    assert_int_equal(parse("path", "/a", &conf, NULL), 0);
    assert_string_equal(conf.path, "/a");
    mki_option_free(options, &conf);
    assert_int_equal(parse("path", "", &conf, NULL), 0);
    assert_string_equal(conf.path, "");
    mki_option_free(options, &conf);
    assert_int_equal(mki_option_parse(option("path"), "a", NULL, &conf, NULL), 0);
    assert_string_equal(conf.path, "a");
    mki_option_free(options, &conf);
}

/* A value of each type, and another. */
static const char *const values[][2] = {{"yes", "no"}, {"1", "2"}, {"red", "green"}, {"1s", "2s"}, {"1K", "2K"},
                                        {"a", "b"}, {"a", "b"}, {"a", "b"}, {"a@b", "b@b"},
                                        {"a, b", "a"}, {"1, 2", "1, 3"}};

static void
a_copy_is_the_same_and_stands_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < MK_COUNT(values); i++) {
        struct conf one = {0}, other = {0};

        assert_int_equal(mki_option_parse(&options[i], values[i][0], NULL, &one, NULL), 0);
        assert_int_equal(mki_option_parse(&options[i], values[i][1], NULL, &other, NULL), 0);
        assert_false(mki_option_same(&options[i], &one, &other));
        mki_option_copy(&options[i], &other, &one);
        assert_true(mki_option_same(&options[i], &one, &other));
        mki_option_free(options, &one);
        memset(&one, 0, sizeof(one));
        assert_int_equal(mki_option_parse(&options[i], values[i][0], NULL, &one, NULL), 0);
        assert_true(mki_option_same(&options[i], &one, &other));
        mki_option_free(options, &one);
        mki_option_free(options, &other);
    }
}

static void
an_empty_value_can_be_copied(void **state)
{
    struct conf one = {0}, other = {0};

    (void)state;
    for (size_t i = 0; i < MK_COUNT(values); i++) {
        assert_int_equal(mki_option_parse(&options[i], values[i][0], NULL, &one, NULL), 0);
        mki_option_copy(&options[i], &one, &other);
        assert_true(mki_option_same(&options[i], &one, &other));
    }
    assert_memory_equal(&one, &other, sizeof(one));
}

static void
the_nearest_key_is_suggested_and_none_that_is_far(void **state)
{
    (void)state;
    assert_string_equal(mki_option_nearest(options, "numbr"), "number");
    assert_string_equal(mki_option_nearest(options, "adresses"), "addresses");
    assert_string_equal(mki_option_nearest(options, "color"), "colour");
    assert_null(mki_option_nearest(options, "zzzzzzzz"));
    assert_int_equal(mki_edit_distance("kitten", "sitting"), 3);
    assert_int_equal(mki_edit_distance("", "abc"), 3);
}

static void
what_is_allowed_can_be_said(void **state)
{
    static const struct {
        const char *name, *text;
    } all[] = {{"number", "whole number, -10 to 10"}, {"colour", "one of red, green"}, {"flag", "yes or no"},
               {"period", "period, 1s to 1d"}, {"secret", "secret"}};

    (void)state;
    for (size_t i = 0; i < MK_COUNT(all); i++) {
        struct mk_buf out = {0};

        mki_option_allowed(option(all[i].name), false, &out);
        assert_string_equal(mk_buf_cstr(&out), all[i].text);
        mk_buf_release(&out);
    }
}

static void
a_table_that_contradicts_itself_is_refused(void **state)
{
    static const struct {
        struct mk_option option;
        const char *why;
    } bad[] = {
        {MK_OPTION_INT(struct conf, number, "x", NULL, NULL, 0, "h"), "wrong default: 'x'"},
        {MK_OPTION_INT(struct conf, number, "11", "1", "10", 0, "h"), "wrong default: '11' is too large"},
        {MK_OPTION_INT(struct conf, number, "1", "one", "10", 0, "h"), "wrong minimum: 'one'"},
        {MK_OPTION_SIZE(struct conf, size, "1", NULL, "1Z", 0, "h"), "wrong maximum: '1Z'"},
        {MK_OPTION_ENUM(struct conf, colour, "blue", colours, 0, "h"), "wrong default: 'blue'"},
        {MK_OPTION_ENUM(struct conf, colour, "red", NULL, 0, "h"), "incomplete"},
        {MK_OPTION_INT(struct conf, number, "1", NULL, NULL, 0, NULL), "incomplete"},
        {MK_OPTION_MODULE(struct conf, text, "a", NULL, 0, "h"), "incomplete"},
    };
    const struct mk_option twice[] = {*option("number"), *option("number"), MK_OPTION_END};
    struct mk_error err;

    (void)state;
    assert_int_equal(mki_option_check_table(options, sizeof(struct conf), &err), 0);
    assert_int_equal(mki_option_check_table(NULL, 0, &err), 0);
    assert_int_equal(mki_option_check_table(options, 8, &err), -1);
    assert_int_equal(mki_option_check_table(twice, sizeof(struct conf), &err), -1);
    assert_non_null(strstr(err.text, "'number' is twice"));
    for (size_t i = 0; i < MK_COUNT(bad); i++) {
        const struct mk_option table[] = {bad[i].option, MK_OPTION_END};

        assert_int_equal(mki_option_check_table(table, sizeof(struct conf), &err), -1);
        if (!strstr(err.text, bad[i].why))
            fail_msg("'%s' does not say '%s'", err.text, bad[i].why);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(periods_are_sums_of_numbers_with_units),
        cmocka_unit_test(sizes_are_bytes_in_powers_of_two),
        cmocka_unit_test(numbers_and_words_are_exact),
        cmocka_unit_test(addresses_become_their_canonical_form),
        cmocka_unit_test(lists_take_commas_and_white_space),
        cmocka_unit_test(paths_begin_at_the_file_that_names_them),
        cmocka_unit_test(a_copy_is_the_same_and_stands_alone),
        cmocka_unit_test(an_empty_value_can_be_copied),
        cmocka_unit_test(the_nearest_key_is_suggested_and_none_that_is_far),
        cmocka_unit_test(what_is_allowed_can_be_said),
        cmocka_unit_test(a_table_that_contradicts_itself_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
