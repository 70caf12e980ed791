/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The log: levels, forms of a line, and the rate limit of each event. */
#include "config.h"

#include "unit.h"

#include <stdlib.h>
#include <unistd.h>

#include "base-internal.h"
#include "log-internal.h"
#include "module-internal.h"

static char path[] = "/tmp/test_log_XXXXXX";
static char content[1 << 20];

/* What was written since the last call. */
static const char *
written(void)
{
    FILE *f = fopen(path, "r");
    size_t n;

    assert_non_null(f);
    n = fread(content, 1, sizeof(content) - 1, f);
    content[n] = '\0';
    fclose(f);
    assert_int_equal(truncate(path, 0), 0);
    return content;
}

static unsigned
lines(const char *text)
{
    unsigned n = 0;

    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static void
configure(struct mki_log_settings settings)
{
    settings.target = MKI_LOG_FILE;
    settings.file = path;
    assert_int_equal(mki_log_configure(&settings, NULL), 0);
    written();
}

static void
more_lines_than_the_rate_are_counted_and_told_of(void **state)
{
    (void)state;
    configure((struct mki_log_settings){.level = MK_LOG_INFO, .rate = 3});
    mki_now_set(1000000);
    for (int i = 0; i < 10; i++)
        mki_log(MK_LOG_INFO, "rate.one", "number %d", i);
    assert_int_equal(lines(written()), 3);
    assert_non_null(strstr(content, "number 2"));
    assert_null(strstr(content, "number 3"));
    /* Each event has a count of its own. */
    mki_log(MK_LOG_INFO, "rate.two", "other");
    assert_int_equal(lines(written()), 1);
    /* The next ten seconds. */
    mki_now_set(1010000);
    for (int i = 10; i < 15; i++)
        mki_log(MK_LOG_INFO, "rate.one", "number %d", i);
    assert_int_equal(lines(written()), 3);
    assert_non_null(strstr(content, "number 10 (7 more like this were left out) [rate.one]"));
    assert_non_null(strstr(content, "number 11 [rate.one]"));
    /* And when it had been quiet in between. */
    mki_now_set(1200000);
    mki_log(MK_LOG_INFO, "rate.one", "number 15");
    assert_non_null(strstr(written(), "number 15 (2 more like this were left out)"));
    mki_now_set(0);
}

static void
no_rate_is_no_limit(void **state)
{
    (void)state;
    configure((struct mki_log_settings){.level = MK_LOG_INFO, .rate = 0});
    for (int i = 0; i < 1000; i++)
        mki_log(MK_LOG_INFO, "rate.none", "x");
    assert_int_equal(lines(written()), 1000);
}

/* Many events share the places of the counts: none may take the limit away from another. */
static void
other_events_do_not_lift_a_limit(void **state)
{
    char name[32];

    (void)state;
    configure((struct mki_log_settings){.level = MK_LOG_INFO, .rate = 5});
    mki_now_set(2000000);
    for (int i = 0; i < 50; i++) {
        mki_log(MK_LOG_INFO, "rate.mixed", "mine");
        for (int k = 0; k < 150; k++) {
            snprintf(name, sizeof(name), "rate.other%d", k);
            mki_log(MK_LOG_INFO, name, "theirs");
        }
    }
    assert_int_equal(lines(written()), 151 * 5);
    mki_now_set(0);
}

static struct mk_module loud = {.magic = MKI_MODULE_STRUCT_MAGIC, .def = {.name = "loud"}};

static void
lines_below_the_level_are_not_written(void **state)
{
    static const struct mki_log_override over[] = {{"loud", MK_LOG_DEBUG}, {"quiet", MK_LOG_ERROR}};

    (void)state;
    configure((struct mki_log_settings){.level = MK_LOG_WARN, .override_count = 2, .overrides = over});
    assert_int_equal(mki_log_level_of("loud"), MK_LOG_DEBUG);
    assert_int_equal(mki_log_level_of("quiet"), MK_LOG_ERROR);
    assert_int_equal(mki_log_level_of("any"), MK_LOG_WARN);
    mki_log(MK_LOG_INFO, "level.low", "x");
    mki_log(MK_LOG_WARN, "level.high", "y");
    assert_null(strstr(written(), "level.low"));
    assert_non_null(strstr(content, " warn  core: y [level.high]\n"));
    loud.log_level = MK_LOG_ERROR;
    assert_false(mk_log_enabled(&loud, MK_LOG_WARN));
    mk_log(&loud, MK_LOG_WARN, "level.module", "x");
    assert_string_equal(written(), "");
    loud.log_level = MK_LOG_DEBUG;
    mk_log(&loud, MK_LOG_DEBUG, "level.module", "x");
    assert_non_null(strstr(written(), " debug loud: x [level.module]\n"));
}

/* What a peer sends must not make a second line, or end a string of JSON. */
static void
one_line_is_one_line_whatever_is_in_it(void **state)
{
    char large[9000];

    (void)state;
    configure((struct mki_log_settings){.level = MK_LOG_INFO});
    mki_log(MK_LOG_INFO, "line", "a\nb\tc\x7f\x1b[1m '%s'", "2026 error core: forged\n");
    assert_int_equal(lines(written()), 1);
    assert_null(strchr(content, '\x1b'));
    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    mki_log(MK_LOG_INFO, "line", "%s", large);
    assert_int_equal(lines(written()), 1);
    assert_true(strlen(content) < 4100);
    configure((struct mki_log_settings){.level = MK_LOG_INFO, .format = MKI_LOG_JSON});
    mki_log(MK_LOG_INFO, "line", "a\nb\"c\\");
    assert_non_null(strstr(written(), "\"module\":\"core\",\"event\":\"line\",\"text\":\"a\\u000ab\\\"c\\\\\"}\n"));
    assert_int_equal(content[0], '{');
    memset(large, '\x01', sizeof(large) - 1);
    mki_log(MK_LOG_INFO, "line", "%s", large);
    assert_int_equal(lines(written()), 1);
    assert_string_equal(content + strlen(content) - 3, "\"}\n");
}

static void
a_target_that_cannot_be_opened_leaves_the_old_one(void **state)
{
    struct mki_log_settings bad = {.level = MK_LOG_INFO, .target = MKI_LOG_FILE, .file = "/nowhere/at/all"};
    struct mk_error err;

    (void)state;
    configure((struct mki_log_settings){.level = MK_LOG_INFO});
    assert_int_equal(mki_log_configure(&bad, &err), -1);
    assert_string_equal(err.text, "cannot open the log file '/nowhere/at/all': No such file or directory");
    mki_log(MK_LOG_INFO, "target", "still here");
    assert_non_null(strstr(written(), "still here"));
}

static void
after_a_rotation_the_file_is_opened_anew(void **state)
{
    char old[64];

    (void)state;
    configure((struct mki_log_settings){.level = MK_LOG_INFO});
    snprintf(old, sizeof(old), "%s.old", path);
    assert_int_equal(rename(path, old), 0);
    assert_int_equal(mki_log_reopen(NULL), 0);
    mki_log(MK_LOG_INFO, "target", "in the new one");
    assert_non_null(strstr(written(), "in the new one"));
    unlink(old);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_lines_than_the_rate_are_counted_and_told_of),
        cmocka_unit_test(no_rate_is_no_limit),
        cmocka_unit_test(other_events_do_not_lift_a_limit),
        cmocka_unit_test(lines_below_the_level_are_not_written),
        cmocka_unit_test(one_line_is_one_line_whatever_is_in_it),
        cmocka_unit_test(a_target_that_cannot_be_opened_leaves_the_old_one),
        cmocka_unit_test(after_a_rotation_the_file_is_opened_anew),
    };
    int fd = mkstemp(path), failed;

    if (fd < 0)
        return 1;
    close(fd);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
