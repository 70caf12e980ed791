/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The store of records: what was put is found, whatever the table does meanwhile, and the table keeps up with it. */
#include "config.h"

#include "unit.h"

#include <pthread.h>
#include <stdio.h>

#define _LGPL_SOURCE
#include <urcu/urcu-memb.h>

#include <meerkat/store.h>

#define MANY 60000u
#define KEPT 1000u          /* that stay the whole time */

static struct mk_str
name(unsigned n, char text[32])
{
    return (struct mk_str){text, (size_t)snprintf(text, 32, "user%u@localhost", n)};
}

static void
put(struct mk_store *store, unsigned n)
{
    char text[32];
    struct mk_entry *e = mk_entry_new(name(n, text), MK_STR("k"), MK_STR("v"), 0);

    assert_null(mk_store_put(store, e));
}

static bool
has(const struct mk_store *store, unsigned n)
{
    char text[32];

    return mk_store_find(store, name(n, text), MK_STR("k")) != NULL;
}

static void
take(struct mk_store *store, unsigned n)
{
    char text[32];
    struct mk_entry *e = mk_store_take(store, name(n, text), MK_STR("k"), 0);

    assert_non_null(e);
    mk_entry_retire(e);
}

struct tally {
    size_t count;
};

static bool
count_one(const struct mk_record *r, void *arg)
{
    (void)r;
    ((struct tally *)arg)->count++;
    return true;
}

struct reading {
    const struct mk_store *store;
    bool over;              /* atomic */
    unsigned missed;
};

/* Walks through those that stay. */
static void *
reader(void *arg)
{
    struct reading *r = arg;

    urcu_memb_register_thread();
    while (!__atomic_load_n(&r->over, __ATOMIC_ACQUIRE)) {
        for (unsigned n = 0; n < KEPT; n++) {
            urcu_memb_read_lock();
            r->missed += !has(r->store, n);
            urcu_memb_read_unlock();
        }
    }
    urcu_memb_unregister_thread();
    return NULL;
}

static void
test_table_keeps_up(void **state)
{
    struct mk_store *store = mk_store_new();
    struct reading r = {.store = store};
    pthread_t thread;

    (void)state;
    urcu_memb_register_thread();
    for (unsigned n = 0; n < KEPT; n++)
        put(store, n);
    assert_int_equal(pthread_create(&thread, NULL, reader, &r), 0);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned n = KEPT; n < MANY; n++)
            put(store, n);
        assert_int_equal(mk_store_count(store), MANY);
        assert_in_range(mk_store_slots(store), MANY, 4 * MANY);
        for (unsigned n = 0; n < MANY; n++)
            assert_true(has(store, n));
        for (unsigned n = KEPT; n < MANY; n++)
            take(store, n);
        assert_in_range(mk_store_slots(store), KEPT, 16 * KEPT);
    }
    __atomic_store_n(&r.over, true, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    assert_int_equal(r.missed, 0);
    mk_store_free(&store);
    urcu_memb_barrier();
    urcu_memb_unregister_thread();
}

/* Freed while its table grows. */
static void
test_free_at_any_moment(void **state)
{
    (void)state;
    urcu_memb_register_thread();
    for (unsigned round = 0; round < 50; round++) {
        struct mk_store *store = mk_store_new();

        for (unsigned n = 0; n < 130 + 40 * round; n++)
            put(store, n);
        mk_store_free(&store);
    }
    urcu_memb_barrier();
    urcu_memb_unregister_thread();
}

/* What a client may choose: many records of one group, others between them. */
static void
test_groups_are_whole(void **state)
{
    struct mk_store *store = mk_store_new();
    struct tally all = {0}, group = {0};
    char text[32];

    (void)state;
    urcu_memb_register_thread();
    for (unsigned n = 0; n < KEPT; n++) {
        put(store, n);
        assert_null(mk_store_put(store, mk_entry_new(MK_STR("room"), name(n, text), MK_STR(""), 0)));
    }
    for (unsigned n = 0; n < KEPT; n += 2) {
        mk_entry_retire(mk_store_take(store, MK_STR("room"), name(n, text), 0));
        take(store, n);
    }
    urcu_memb_read_lock();
    mk_store_each_in(store, MK_STR("room"), count_one, &group);
    mk_store_each(store, count_one, &all);
    assert_int_equal(group.count, KEPT / 2);
    assert_int_equal(all.count, KEPT);
    for (unsigned n = 0; n < KEPT; n++) {
        struct tally one = {0};

        mk_store_each_in(store, name(n, text), count_one, &one);
        assert_int_equal(one.count, n % 2);
        assert_int_equal(mk_store_find(store, MK_STR("room"), name(n, text)) != NULL, n % 2);
    }
    urcu_memb_read_unlock();
    mk_store_free(&store);
    urcu_memb_barrier();
    urcu_memb_unregister_thread();
}

/* One record beside another of its group, then without it, and an owner's beside another owner's. */
static void
test_two_of_a_group_are_both_seen(void **state)
{
    struct mk_store *store = mk_store_new();
    struct mk_entry *theirs = mk_entry_new(MK_STR("g"), MK_STR("a"), MK_STR("2"), 0);
    struct tally t = {0};

    (void)state;
    urcu_memb_register_thread();
    urcu_memb_read_lock();
    theirs->owner = 2;
    assert_null(mk_store_put(store, mk_entry_new(MK_STR("g"), MK_STR("a"), MK_STR("1"), 0)));
    assert_null(mk_store_put(store, theirs));
    mk_entry_retire(mk_store_put(store, mk_entry_new(MK_STR("g"), MK_STR("a"), MK_STR("3"), 0)));
    mk_store_each_in(store, MK_STR("g"), count_one, &t);
    assert_int_equal(t.count, 2);
    assert_ptr_equal(mk_store_find_of(store, MK_STR("g"), MK_STR("a"), 2), theirs);
    assert_memory_equal(mk_entry_value(mk_store_find(store, MK_STR("g"), MK_STR("a"))).p, "3", 1);
    mk_store_drop(store, theirs);
    mk_entry_retire(theirs);
    t.count = 0;
    mk_store_each_in(store, MK_STR("g"), count_one, &t);
    assert_int_equal(t.count, 1);
    assert_int_equal(mk_store_count(store), 1);
    urcu_memb_read_unlock();
    mk_store_free(&store);
    urcu_memb_barrier();
    urcu_memb_unregister_thread();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_keeps_up),
        cmocka_unit_test(test_free_at_any_moment),
        cmocka_unit_test(test_groups_are_whole),
        cmocka_unit_test(test_two_of_a_group_are_both_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
