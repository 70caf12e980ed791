/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The queue of unacknowledged stanzas: XEP-0198 §4 counts modulo 2^32. */
#include "unit.h"

#include "queue.h"

struct fixture {
    struct sm_rings rings;
    struct sm_queue queue;
};

static struct mk_stanza *
stanza(unsigned n)
{
    char id[16];

    snprintf(id, sizeof(id), "%u", n);
    return mk_stanza_new(MK_MESSAGE, MK_TYPE_CHAT, NULL, NULL, id, NULL);
}

static void
push(struct fixture *f, unsigned from, unsigned count)
{
    for (unsigned n = from; n < from + count; n++) {
        struct mk_stanza *st = stanza(n);

        sm_queue_push(&f->queue, &f->rings, st, n);
        mk_stanza_unref(&st);
    }
}

static void
check(const struct fixture *f, unsigned from, unsigned count)
{
    char id[16];

    assert_int_equal(f->queue.count, count);
    for (unsigned i = 0; i < count; i++) {
        const struct sm_entry *e = sm_queue_at(&f->queue, i);

        snprintf(id, sizeof(id), "%u", from + i);
        assert_string_equal(mk_stanza_id(e->stanza), id);
        assert_int_equal(e->at, from + i);
    }
}

static int
setup(void **state)
{
    *state = mk_zalloc(sizeof(struct fixture));
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    sm_queue_release(&f->queue, &f->rings);
    sm_rings_release(&f->rings);
    mk_free(f);
    return 0;
}

static void
test_order_while_growing(void **state)
{
    struct fixture *f = *state;

    push(f, 0, 10);
    assert_int_equal(sm_queue_ack(&f->queue, &f->rings, 7), 0);
    push(f, 10, 1000);
    check(f, 7, 1003);
    assert_int_equal(sm_queue_sent(&f->queue), 1010);
    assert_int_equal(sm_queue_ack(&f->queue, &f->rings, 1009), 0);
    check(f, 1009, 1);
}

static void
test_acknowledged_twice_is_fine_and_too_much_is_not(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(sm_queue_ack(&f->queue, &f->rings, 0), 0);
    assert_int_equal(sm_queue_ack(&f->queue, &f->rings, 1), -1);
    push(f, 0, 3);
    assert_int_equal(sm_queue_ack(&f->queue, &f->rings, 2), 0);
    assert_int_equal(sm_queue_ack(&f->queue, &f->rings, 2), 0);
    assert_int_equal(sm_queue_ack(&f->queue, &f->rings, 1), -1);
    assert_int_equal(sm_queue_ack(&f->queue, &f->rings, 4), -1);
    check(f, 2, 1);
}

static void
test_counter_wraps(void **state)
{
    struct fixture *f = *state;

    f->queue.acked = UINT32_MAX - 1;
    push(f, 0, 5);
    assert_int_equal(sm_queue_sent(&f->queue), 3);
    assert_int_equal(sm_queue_ack(&f->queue, &f->rings, 4), -1);
    assert_int_equal(sm_queue_ack(&f->queue, &f->rings, UINT32_MAX), 0);
    check(f, 1, 4);
    assert_int_equal(sm_queue_ack(&f->queue, &f->rings, UINT32_MAX - 1), -1);
    assert_int_equal(sm_queue_ack(&f->queue, &f->rings, 1), 0);
    check(f, 3, 2);
    assert_int_equal(sm_queue_ack(&f->queue, &f->rings, 3), 0);
    assert_int_equal(f->queue.count, 0);
    assert_int_equal(f->queue.acked, 3);
}

static void
test_empty_queue_holds_no_memory_and_the_ring_is_used_again(void **state)
{
    struct fixture *f = *state;
    const struct sm_entry *ring;

    push(f, 0, 1);
    ring = f->queue.ring;
    assert_int_equal(sm_queue_ack(&f->queue, &f->rings, 1), 0);
    assert_null(f->queue.ring);
    assert_int_equal(f->queue.bytes, 0);
    push(f, 1, 1);
    assert_ptr_equal(f->queue.ring, ring);
}

static void
test_bytes_are_those_of_the_stanzas(void **state)
{
    struct fixture *f = *state;
    uint64_t one;

    push(f, 0, 1);
    one = f->queue.bytes;
    assert_true(one > 0);
    push(f, 1, 3);
    assert_int_equal(f->queue.bytes, 4 * one);
    assert_int_equal(sm_queue_ack(&f->queue, &f->rings, 3), 0);
    assert_int_equal(f->queue.bytes, one);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order_while_growing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_acknowledged_twice_is_fine_and_too_much_is_not, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_counter_wraps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_empty_queue_holds_no_memory_and_the_ring_is_used_again,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_bytes_are_those_of_the_stanzas, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
