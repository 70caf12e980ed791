/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Who answers for a message that several sessions were given. */
#include "unit.h"

static struct mk_stanza *
message(void)
{
    return mk_stanza_new(MK_MESSAGE, MK_TYPE_CHAT, NULL, NULL, "m", NULL);
}

static void
test_the_only_receiver_answers(void **state)
{
    struct mk_stanza *st = message();

    (void)state;
    assert_true(mk_stanza_given_up(st));
    mk_stanza_set_receivers(st, 1);
    assert_true(mk_stanza_given_up(st));
    mk_stanza_unref(&st);
}

static void
test_the_last_of_several_answers(void **state)
{
    struct mk_stanza *st = message();

    (void)state;
    mk_stanza_set_receivers(st, 3);
    assert_false(mk_stanza_given_up(st));
    assert_false(mk_stanza_given_up(st));
    assert_true(mk_stanza_given_up(st));
    mk_stanza_unref(&st);
}

static void
test_nobody_answers_for_a_copy(void **state)
{
    struct mk_stanza *st = message();

    (void)state;
    mk_stanza_set_receivers(st, MK_RECEIVERS_NONE);
    assert_false(mk_stanza_given_up(st));
    assert_false(mk_stanza_given_up(st));
    mk_stanza_unref(&st);
}

static void
test_another_address_is_another_message(void **state)
{
    struct mk_stanza *st = message(), *other;

    (void)state;
    mk_stanza_set_receivers(st, 2);
    other = mk_stanza_readdress(st, NULL, NULL);
    assert_true(mk_stanza_given_up(other));
    assert_false(mk_stanza_given_up(st));
    mk_stanza_unref(&other);
    mk_stanza_unref(&st);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_only_receiver_answers),
        cmocka_unit_test(test_the_last_of_several_answers),
        cmocka_unit_test(test_nobody_answers_for_a_copy),
        cmocka_unit_test(test_another_address_is_another_message),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
