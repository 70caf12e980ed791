/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Passwords that were right a moment ago: for how long, for whom, how many. */
#include "unit.h"

#include "remember.h"

static void
note(struct remember *r, const char *account, const char *password, uint64_t until)
{
    remember_note(r, account, password, remember_mark(r), until);
}

static void
a_password_is_remembered_for_its_account_and_its_time(void **state)
{
    struct remember *r = remember_new(64);

    (void)state;
    note(r, "a@x", "secret", 100);
    assert_true(remember_knows(r, "a@x", "secret", 99));
    assert_false(remember_knows(r, "a@x", "secret", 100));
    assert_false(remember_knows(r, "a@x", "Secret", 1));
    assert_false(remember_knows(r, "a@x", "", 1));
    assert_false(remember_knows(r, "b@x", "secret", 1));
    assert_false(remember_knows(r, "a@xs", "ecret", 1));
    note(r, "a@x", "other", 100);
    assert_false(remember_knows(r, "a@x", "secret", 1));
    assert_true(remember_knows(r, "a@x", "other", 1));
    remember_free(&r);
    assert_null(r);
}

static void
what_is_forgotten_is_forgotten(void **state)
{
    struct remember *r = remember_new(64);
    uint64_t mark;

    (void)state;
    note(r, "a@x", "secret", 100);
    note(r, "b@x", "secret", 100);
    remember_forget(r, "a@x");
    assert_false(remember_knows(r, "a@x", "secret", 1));
    assert_true(remember_knows(r, "b@x", "secret", 1));
    /* The old password was found to be right, but the new one was set before that could be noted.
     */
    mark = remember_mark(r);
    remember_forget(r, "a@x");
    remember_note(r, "a@x", "secret", mark, 100);
    assert_false(remember_knows(r, "a@x", "secret", 1));
    remember_free(&r);
}

static void
a_full_table_takes_the_place_of_what_ends_first(void **state)
{
    struct remember *r = remember_new(4);
    char account[16];
    unsigned known = 0;

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        snprintf(account, sizeof(account), "u%u@x", i);
        note(r, account, "secret", 1000 + i);
        assert_true(remember_knows(r, account, "secret", 1));
    }
    for (unsigned i = 0; i < 100; i++) {
        snprintf(account, sizeof(account), "u%u@x", i);
        known += remember_knows(r, account, "secret", 1);
    }
    assert_int_equal(known, 4);
    remember_free(&r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_password_is_remembered_for_its_account_and_its_time),
        cmocka_unit_test(what_is_forgotten_is_forgotten),
        cmocka_unit_test(a_full_table_takes_the_place_of_what_ends_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
