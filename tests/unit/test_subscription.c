/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* RFC 6121 Appendix A, table by table: each of the nine states, what follows, and whether it goes on. */
#include "unit.h"

#include "machine.h"

/* The states of Appendix A.1. */
enum state { NONE, OUT, IN, OUT_IN, TO, TO_IN, FROM, FROM_OUT, BOTH, STATES };

static const struct sub_state states[STATES] = {
    [NONE] = {MK_SUB_NONE, 0},
    [OUT] = {MK_SUB_NONE, MK_ROSTER_ASK},
    [IN] = {MK_SUB_NONE, MK_ROSTER_PENDING_IN},
    [OUT_IN] = {MK_SUB_NONE, MK_ROSTER_ASK | MK_ROSTER_PENDING_IN},
    [TO] = {MK_SUB_TO, 0},
    [TO_IN] = {MK_SUB_TO, MK_ROSTER_PENDING_IN},
    [FROM] = {MK_SUB_FROM, 0},
    [FROM_OUT] = {MK_SUB_FROM, MK_ROSTER_ASK},
    [BOTH] = {MK_SUB_BOTH, 0},
};

struct table {
    const char *name;
    unsigned (*machine)(struct sub_state *s, enum mk_stanza_type type);
    enum mk_stanza_type type;
    enum state next[STATES];        /* in the order of enum state */
    bool pass[STATES];
};

static const struct table tables[] = {
    {"A.2.1", sub_outbound, MK_TYPE_SUBSCRIBE,
     {OUT, OUT, OUT_IN, OUT_IN, TO, TO_IN, FROM_OUT, FROM_OUT, BOTH}, {1, 1, 1, 1, 1, 1, 1, 1, 1}},
    {"A.2.2", sub_outbound, MK_TYPE_UNSUBSCRIBE,
     {NONE, NONE, IN, IN, NONE, IN, FROM, FROM, FROM}, {1, 1, 1, 1, 1, 1, 1, 1, 1}},
    {"A.2.4", sub_outbound, MK_TYPE_UNSUBSCRIBED,
     {NONE, OUT, NONE, OUT, TO, TO, NONE, OUT, TO}, {0, 0, 1, 1, 0, 1, 1, 1, 1}},
    {"A.3.1", sub_inbound, MK_TYPE_SUBSCRIBE,
     {IN, OUT_IN, IN, OUT_IN, TO_IN, TO_IN, FROM, FROM_OUT, BOTH}, {1, 1, 0, 0, 1, 0, 0, 0, 0}},
    {"A.3.2", sub_inbound, MK_TYPE_UNSUBSCRIBE,
     {NONE, OUT, NONE, OUT, TO, TO, NONE, OUT, TO}, {0, 0, 1, 1, 0, 1, 1, 1, 1}},
    {"A.3.3", sub_inbound, MK_TYPE_SUBSCRIBED,
     {NONE, TO, IN, TO_IN, TO, TO_IN, FROM, BOTH, BOTH}, {0, 1, 0, 1, 0, 0, 0, 1, 0}},
    {"A.3.4", sub_inbound, MK_TYPE_UNSUBSCRIBED,
     {NONE, NONE, IN, IN, NONE, IN, FROM, FROM, FROM}, {0, 1, 0, 1, 1, 1, 0, 1, 1}},
};

static void
every_state_follows_the_tables_of_appendix_a(void **fixture)
{
    (void)fixture;
    for (size_t t = 0; t < MK_COUNT(tables); t++) {
        for (size_t i = 0; i < STATES; i++) {
            struct sub_state s = states[i];
            unsigned actions = tables[t].machine(&s, tables[t].type);
            const struct sub_state *next = &states[tables[t].next[i]];

            if (s.subscription != next->subscription || s.flags != next->flags ||
                !!(actions & SUB_PASS) != tables[t].pass[i])
                fail_msg("%s, state %zu: subscription %u flags %u actions %u", tables[t].name, i,
                         s.subscription, s.flags, actions);
            assert_int_equal(!!(actions & SUB_CHANGED), tables[t].next[i] != i);
        }
    }
}

/* A.2.3 with pre-approval (§3.4): where nobody asked, the approval waits. */
static void
an_approval_answers_a_request_or_waits_for_one(void **fixture)
{
    static const enum state answered[STATES] = {[IN] = FROM, [OUT_IN] = FROM_OUT, [TO_IN] = BOTH};
    (void)fixture;
    for (size_t i = 0; i < STATES; i++) {
        struct sub_state s = states[i];
        unsigned actions = sub_outbound(&s, MK_TYPE_SUBSCRIBED);

        if (states[i].flags & MK_ROSTER_PENDING_IN) {
            assert_int_equal(s.subscription, states[answered[i]].subscription);
            assert_int_equal(s.flags, states[answered[i]].flags);
            assert_int_equal(actions, SUB_CHANGED | SUB_PASS | SUB_SEND_AVAILABLE);
        } else if (states[i].subscription & MK_SUB_FROM) {
            assert_int_equal(actions, 0);
        } else {
            assert_int_equal(s.flags, states[i].flags | MK_ROSTER_APPROVED);
            assert_int_equal(actions, SUB_CHANGED);
        }
    }
}

static void
a_request_that_was_approved_in_advance_is_answered_and_not_shown(void **fixture)
{
    struct sub_state s = {MK_SUB_TO, MK_ROSTER_APPROVED};

    (void)fixture;
    assert_int_equal(sub_inbound(&s, MK_TYPE_SUBSCRIBE),
                     SUB_CHANGED | SUB_REPLY_SUBSCRIBED | SUB_SEND_AVAILABLE);
    assert_int_equal(s.subscription, MK_SUB_BOTH);
    assert_int_equal(s.flags, 0);
}

static void
an_approval_in_advance_can_be_taken_back_in_silence(void **fixture)
{
    struct sub_state s = {MK_SUB_NONE, MK_ROSTER_APPROVED};

    (void)fixture;
    assert_int_equal(sub_outbound(&s, MK_TYPE_UNSUBSCRIBED), SUB_CHANGED);
    assert_int_equal(s.flags, 0);
}

static void
a_request_of_who_may_see_us_already_is_answered_again(void **fixture)
{
    struct sub_state s = states[BOTH];

    (void)fixture;
    assert_int_equal(sub_inbound(&s, MK_TYPE_SUBSCRIBE), SUB_REPLY_SUBSCRIBED);
}

static void
who_may_not_see_us_any_more_is_told_that_we_are_gone(void **fixture)
{
    (void)fixture;
    for (size_t i = 0; i < STATES; i++) {
        struct sub_state out = states[i], in = states[i];
        bool had = states[i].subscription & MK_SUB_FROM;

        assert_int_equal(!!(sub_outbound(&out, MK_TYPE_UNSUBSCRIBED) & SUB_SEND_UNAVAILABLE), had);
        assert_int_equal(!!(sub_inbound(&in, MK_TYPE_UNSUBSCRIBE) & SUB_SEND_UNAVAILABLE), had);
    }
}

static void
hidden_items_stay_hidden_for_the_machine(void **fixture)
{
    struct sub_state s = {MK_SUB_NONE, MK_ROSTER_HIDDEN};

    (void)fixture;
    sub_inbound(&s, MK_TYPE_SUBSCRIBE);
    assert_int_equal(s.flags, MK_ROSTER_HIDDEN | MK_ROSTER_PENDING_IN);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_follows_the_tables_of_appendix_a),
        cmocka_unit_test(an_approval_answers_a_request_or_waits_for_one),
        cmocka_unit_test(a_request_that_was_approved_in_advance_is_answered_and_not_shown),
        cmocka_unit_test(an_approval_in_advance_can_be_taken_back_in_silence),
        cmocka_unit_test(a_request_of_who_may_see_us_already_is_answered_again),
        cmocka_unit_test(who_may_not_see_us_any_more_is_told_that_we_are_gone),
        cmocka_unit_test(hidden_items_stay_hidden_for_the_machine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
