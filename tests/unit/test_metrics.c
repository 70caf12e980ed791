/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Metrics: what threads count is added up, and names stay what they are when modules come and go. */
#include "config.h"

#include "unit.h"

#include <pthread.h>

#include <meerkat/metrics.h>

#include "metrics-internal.h"
#include "module-internal.h"

#define THREADS 4
#define ROUNDS 100000

static struct mk_module one = {.magic = MKI_MODULE_STRUCT_MAGIC, .def = {.name = "one"}};
static struct mk_module two = {.magic = MKI_MODULE_STRUCT_MAGIC, .def = {.name = "two"}};

struct wanted {
    const char *name, *labels;
    struct mk_metric found;     /* size 0: it is not there */
    double bounds[64];
    uint64_t buckets[64];
    unsigned count;
};

static void
look(const struct mk_metric *m, void *arg)
{
    struct wanted *w = arg;

    if (strcmp(m->name, w->name) != 0 || strcmp(m->labels ? m->labels : "", w->labels ? w->labels : "") != 0)
        return;
    w->found = *m;
    w->count++;
    for (size_t i = 0; i < m->bucket_count; i++) {
        w->bounds[i] = m->bounds[i];
        w->buckets[i] = m->buckets[i];
    }
}

static struct wanted
read_metric(const char *name, const char *labels)
{
    struct wanted w = {.name = name, .labels = labels};

    mk_metric_each(look, &w);
    return w;
}

static double
value_of(const char *name, const char *labels)
{
    struct wanted w = read_metric(name, labels);

    assert_int_equal(w.count, 1);
    assert_int_equal(w.found.size, sizeof(struct mk_metric));
    return w.found.value;
}

struct counting {
    struct mk_counter counter;
    struct mk_gauge gauge;
    pthread_barrier_t *here, *go;
};

static void *
count(void *arg)
{
    struct counting *c = arg;

    for (int i = 0; i < ROUNDS; i++) {
        mk_counter_add(c->counter, 1);
        mk_gauge_add(c->gauge, i % 2 ? 3 : -1);
    }
    pthread_barrier_wait(c->here);
    pthread_barrier_wait(c->go);
    mki_metrics_thread_end();
    return NULL;
}

static void
what_threads_count_is_added_up_while_they_run_and_after(void **state)
{
    struct counting c = {.counter = mk_counter_new(&one, "test_total", NULL, "a counter"),
                         .gauge = mk_gauge_new(&one, "test_gauge", NULL, "a gauge")};
    pthread_barrier_t here, go;
    pthread_t threads[THREADS];

    (void)state;
    pthread_barrier_init(&here, NULL, THREADS + 1);
    pthread_barrier_init(&go, NULL, THREADS + 1);
    c.here = &here;
    c.go = &go;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count, &c), 0);
    pthread_barrier_wait(&here);
    mk_counter_add(c.counter, 5);
    assert_true(value_of("test_total", NULL) == THREADS * ROUNDS + 5);
    assert_true(value_of("test_gauge", NULL) == THREADS * ROUNDS);
    pthread_barrier_wait(&go);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_true(value_of("test_total", NULL) == THREADS * ROUNDS + 5);
    mk_counter_add(c.counter, 1);
    assert_true(value_of("test_total", NULL) == THREADS * ROUNDS + 6);
    pthread_barrier_destroy(&here);
    pthread_barrier_destroy(&go);
}

static void
a_gauge_goes_down_as_well(void **state)
{
    struct mk_gauge g = mk_gauge_new(&one, "test_down", NULL, "a gauge");

    (void)state;
    mk_gauge_add(g, 2);
    mk_gauge_add(g, -5);
    assert_true(value_of("test_down", NULL) == -3);
}

static void
labels_tell_metrics_of_one_name_apart(void **state)
{
    struct mk_counter in = mk_counter_new(&one, "test_labels", "way=\"in\"", "h");
    struct mk_counter out = mk_counter_new(&one, "test_labels", "way=\"out\"", "h");
    struct mk_counter again = mk_counter_new(&one, "test_labels", "way=\"in\"", "h");

    (void)state;
    assert_int_equal(in.index, again.index);
    assert_int_not_equal(in.index, out.index);
    mk_counter_add(in, 1);
    mk_counter_add(again, 2);
    mk_counter_add(out, 10);
    assert_true(value_of("test_labels", "way=\"in\"") == 3);
    assert_true(value_of("test_labels", "way=\"out\"") == 10);
}

static void
buckets_are_powers_of_two_and_cumulative(void **state)
{
    struct mk_histogram h = mk_histogram_new(&one, "test_seconds", NULL, "h", 100, 0.001);
    static const uint64_t samples[] = {0, 100, 101, 200, 201, 1000, UINT64_C(1) << 40};
    struct wanted w;
    double sum = 0;

    (void)state;
    for (size_t i = 0; i < MK_COUNT(samples); i++) {
        mk_histogram_add(h, samples[i]);
        sum += (double)samples[i] * 0.001;
    }
    w = read_metric("test_seconds", NULL);
    assert_int_equal(w.found.kind, MK_METRIC_HISTOGRAM);
    assert_int_equal(w.found.bucket_count, 24);
    assert_true(w.bounds[0] == 0.1 && w.bounds[1] == 0.2 && w.bounds[3] == 0.8);
    assert_int_equal(w.buckets[0], 2);
    assert_int_equal(w.buckets[1], 4);
    assert_int_equal(w.buckets[2], 5);
    assert_int_equal(w.buckets[3], 5);
    assert_int_equal(w.buckets[4], 6);
    /* The largest is beyond all of them, in +Inf alone. */
    assert_int_equal(w.buckets[23], 6);
    assert_int_equal(w.found.count, 7);
    assert_true(w.found.value > sum - 0.01 && w.found.value < sum + 0.01);
}

static double
answer(void *arg)
{
    return *(const double *)arg;
}

static void
a_gauge_can_be_asked_for_until_its_module_goes(void **state)
{
    double value = 2.5;
    struct mk_gauge g;

    (void)state;
    mk_gauge_ask(&two, "test_asked", NULL, "h", answer, &value);
    assert_true(value_of("test_asked", NULL) == 2.5);
    mki_metrics_module_gone(&two);
    assert_int_equal(read_metric("test_asked", NULL).count, 0);
    /* Another version of it counts instead. */
    g = mk_gauge_new(&two, "test_asked", NULL, "h");
    mk_gauge_add(g, 4);
    assert_true(value_of("test_asked", NULL) == 4);
}

static void
a_module_that_comes_again_goes_on_counting(void **state)
{
    struct mk_counter c = mk_counter_new(&two, "test_again", NULL, "h");

    (void)state;
    mk_counter_add(c, 4);
    mki_metrics_module_gone(&two);
    assert_int_equal(read_metric("test_again", NULL).count, 0);
    /* A late count of an old mapping does no harm. */
    mk_counter_add(c, 1);
    c = mk_counter_new(&two, "test_again", NULL, "h");
    mk_counter_add(c, 1);
    assert_true(value_of("test_again", NULL) == 6);
}

static void
check_order(const struct mk_metric *m, void *arg)
{
    char *last = arg;

    assert_true(strcmp(last, m->name) <= 0);
    strcpy(last, m->name);
}

static void
they_are_told_in_the_order_of_their_names(void **state)
{
    char last[256] = "";

    (void)state;
    (void)mk_counter_new(&one, "test_b", NULL, "h");
    (void)mk_counter_new(&one, "test_a", NULL, "h");
    mk_metric_each(check_order, last);
}

static void
of_module(const char *module, const struct mk_metric *m, void *arg)
{
    if (strcmp(m->name, arg) == 0)
        assert_string_equal(module, "one");
}

static void
each_is_told_with_its_module(void **state)
{
    char name[] = "test_total";

    (void)state;
    mki_metrics_each(of_module, name);
}

/* The last test: no room is left for others. */
static void
when_there_is_no_room_left_nothing_wrong_is_told(void **state)
{
    struct mk_counter c = {1};
    char name[32];

    (void)state;
    for (int i = 0; i < 20000 && c.index; i++) {
        snprintf(name, sizeof(name), "test_many_%d", i);
        c = mk_counter_new(&one, name, NULL, "h");
        mk_counter_add(c, 1);
    }
    assert_int_equal(c.index, 0);
    mk_counter_add(c, 1000);
    assert_int_equal(read_metric(name, NULL).count, 0);
    assert_true(value_of("test_many_0", NULL) == 1);
    mk_histogram_add(mk_histogram_new(&one, "test_late", NULL, "h", 1, 1), 5);
    assert_int_equal(read_metric("test_late", NULL).count, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_threads_count_is_added_up_while_they_run_and_after),
        cmocka_unit_test(a_gauge_goes_down_as_well),
        cmocka_unit_test(labels_tell_metrics_of_one_name_apart),
        cmocka_unit_test(buckets_are_powers_of_two_and_cumulative),
        cmocka_unit_test(a_gauge_can_be_asked_for_until_its_module_goes),
        cmocka_unit_test(a_module_that_comes_again_goes_on_counting),
        cmocka_unit_test(they_are_told_in_the_order_of_their_names),
        cmocka_unit_test(each_is_told_with_its_module),
        cmocka_unit_test(when_there_is_no_room_left_nothing_wrong_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
