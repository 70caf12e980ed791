/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The memory of wrong passwords: locks, periods, a table that is full. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <meerkat/throttle.h>

static const struct mk_throttle_limit limit = {.failures = 3, .period_ms = 1000, .lock_ms = 500};

static void
test_lock(void **state)
{
    struct mk_throttle *t = mk_throttle_new(64);

    (void)state;
    assert_false(mk_throttle_fail(t, 7, &limit, 100));
    assert_false(mk_throttle_fail(t, 7, &limit, 200));
    assert_false(mk_throttle_is_locked(t, 7, 200));
    assert_true(mk_throttle_fail(t, 7, &limit, 300));
    assert_true(mk_throttle_is_locked(t, 7, 799));
    assert_false(mk_throttle_fail(t, 7, &limit, 400));
    assert_false(mk_throttle_is_locked(t, 8, 300));
    assert_false(mk_throttle_is_locked(t, 7, 800));
    mk_throttle_free(&t);
    assert_null(t);
}

static void
test_period(void **state)
{
    struct mk_throttle *t = mk_throttle_new(1);

    (void)state;
    for (uint64_t now = 1; now < 20000; now += 600)
        assert_false(mk_throttle_fail(t, 7, &limit, now));
    mk_throttle_free(&t);
}

static void
test_clear_and_off(void **state)
{
    struct mk_throttle *t = mk_throttle_new(64);
    struct mk_throttle_limit off = limit;

    (void)state;
    (void)mk_throttle_fail(t, 7, &limit, 1);
    (void)mk_throttle_fail(t, 7, &limit, 1);
    mk_throttle_clear(t, 7);
    assert_false(mk_throttle_fail(t, 7, &limit, 1));
    off.failures = 0;
    for (int i = 0; i < 10; i++)
        assert_false(mk_throttle_fail(t, 9, &off, 1));
    assert_false(mk_throttle_is_locked(t, 9, 1));
    mk_throttle_free(&t);
}

/* A flood of other keys must not free a locked one as long as there is room beside it. */
static void
test_full(void **state)
{
    struct mk_throttle *t = mk_throttle_new(8);

    (void)state;
    for (int i = 0; i < 3; i++)
        (void)mk_throttle_fail(t, 7, &limit, 1);
    for (uint64_t key = 100; key < 1000; key++)
        assert_false(mk_throttle_fail(t, key, &limit, 2));
    assert_true(mk_throttle_is_locked(t, 7, 400));
    mk_throttle_free(&t);
}

static void
test_address(void **state)
{
    (void)state;
    assert_int_equal(mk_throttle_address_key("2001:db8::1"), mk_throttle_address_key("2001:db8::2:3"));
    assert_int_not_equal(mk_throttle_address_key("2001:db8::1"),
                         mk_throttle_address_key("2001:db8:0:1::1"));
    assert_int_not_equal(mk_throttle_address_key("192.0.2.1"), mk_throttle_address_key("192.0.2.2"));
    assert_int_not_equal(mk_throttle_address_key("::ffff:192.0.2.1"),
                         mk_throttle_address_key("::ffff:192.0.2.2"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock),          cmocka_unit_test(test_period),
        cmocka_unit_test(test_clear_and_off), cmocka_unit_test(test_full),
        cmocka_unit_test(test_address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
