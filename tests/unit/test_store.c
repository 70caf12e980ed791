/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The store of records: what was put is found, whatever the table does meanwhile, and the table keeps up with it. */
#include "config.h"

#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#define _LGPL_SOURCE
#include <urcu/urcu-memb.h>

#include <meerkat/store.h>

#define MANY 60000u
#define KEPT 1000u          /* that stay the whole time */
#define PATIENCE_MS 20000u

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
wait_buckets(struct mk_store *store, size_t least, size_t most)
{
    unsigned ms = 0;

    /* Whoever writes sees to the size: one record comes and goes. */
    for (; ms < PATIENCE_MS && (mk_store_buckets(store) < least || mk_store_buckets(store) > most); ms++) {
        put(store, MANY);
        take(store, MANY);
        usleep(1000);
    }
    assert_true(ms < PATIENCE_MS);
}

static void
test_table_keeps_up(void **state)
{
    struct mk_store *store = mk_store_new(true);
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
        wait_buckets(store, MANY / 2, 4 * MANY);
        for (unsigned n = 0; n < MANY; n++)
            assert_true(has(store, n));
        for (unsigned n = KEPT; n < MANY; n++)
            take(store, n);
        wait_buckets(store, 1, 32 * KEPT);
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
        struct mk_store *store = mk_store_new(true);

        for (unsigned n = 0; n < 130 + 40 * round; n++)
            put(store, n);
        mk_store_free(&store);
    }
    urcu_memb_barrier();
    urcu_memb_unregister_thread();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_keeps_up),
        cmocka_unit_test(test_free_at_any_moment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
