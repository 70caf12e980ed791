/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Hooks: the order of handlers, who stops whom, coming and going in the middle, holding and resuming. */
#include "config.h"

#include "unit.h"

#define _LGPL_SOURCE
#include <urcu/urcu-memb.h>

#include "hook-internal.h"
#include "module-internal.h"
#include "worker-internal.h"

struct trace {
    char text[64];              /* one letter for each call */
    int kept, dropped, finished;
    enum mk_verdict verdict;
    struct mk_hold *hold;
};

struct mk_ev_test {
    struct mk_hook_head head;
    struct trace *trace;
    int value;
};
MK_FILTER(test_order, struct mk_ev_test)
MK_FILTER(test_stop, struct mk_ev_test)
MK_FILTER(test_change, struct mk_ev_test)
MK_FILTER(test_hold, struct mk_ev_test)
MK_FILTER(test_other, struct mk_ev_test)
MK_NOTICE(test_notice, struct mk_ev_test)
MK_FILTER(test_unheld, struct mk_ev_test)

struct mk_ev_test_large {
    struct mk_ev_test small;
    int more[10];
};

static struct mk_module one = {.magic = MKI_MODULE_STRUCT_MAGIC, .def = {.name = "one"}, .order = 1};
static struct mk_module two = {.magic = MKI_MODULE_STRUCT_MAGIC, .def = {.name = "two"}, .order = 2};

/* Takes back what a module registered, as the loader does. */
static void
forget(struct mk_module *m)
{
    while (!mki_list_empty(&m->owned)) {
        struct mki_owned *o = mki_container(m->owned.prev, struct mki_owned, link);

        mki_list_del(&o->link);
        o->undo(o->thing);
        mk_free(o);
    }
}

static int
begin(void **state)
{
    (void)state;
    mki_list_init(&one.owned);
    mki_list_init(&two.owned);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    forget(&two);
    forget(&one);
    assert_int_equal(one.busy, 0);
    return 0;
}

static void
note(struct trace *t, char letter)
{
    t->text[strlen(t->text)] = letter;
}

/* `arg` of most handlers: a letter to note, and the verdict. */
struct letter {
    char letter;
    enum mk_verdict verdict;
};

static enum mk_verdict
on_filter(struct mk_ev_test *ev, void *arg)
{
    const struct letter *l = arg;

    note(ev->trace, l->letter);
    return l->verdict;
}

static void
on_notice(struct mk_ev_test *ev, void *arg)
{
    note(ev->trace, ((const struct letter *)arg)->letter);
}

static struct letter a = {'a', MK_CONTINUE}, b = {'b', MK_CONTINUE}, c = {'c', MK_CONTINUE}, d = {'d', MK_CONTINUE},
                     e = {'e', MK_CONTINUE}, handled = {'h', MK_HANDLED}, deny = {'d', MK_DENY};

static void
higher_priorities_come_first_then_modules_then_registration(void **state)
{
    struct mk_hook *hook = mk_define_test_order(&one, NULL, NULL);
    struct trace t = {.kept = 0};
    struct mk_ev_test ev = {MK_EVENT(ev), .trace = &t};

    (void)state;
    assert_int_equal(mk_on(&two, test_order, MK_PRIO_NORMAL, on_filter, &d), 0);
    assert_int_equal(mk_on(&two, test_order, MK_PRIO_LAST, on_filter, &e), 0);
    assert_int_equal(mk_on(&one, test_order, MK_PRIO_NORMAL, on_filter, &b), 0);
    assert_int_equal(mk_on(&one, test_order, MK_PRIO_NORMAL, on_filter, &c), 0);
    assert_int_equal(mk_on(&two, test_order, MK_PRIO_FIRST, on_filter, &a), 0);
    assert_int_equal(mk_fire_test_order(hook, &ev), MK_CONTINUE);
    assert_string_equal(t.text, "abcde");
}

static void
the_first_that_does_not_continue_stops_a_filter(void **state)
{
    struct mk_hook *hook = mk_define_test_stop(&one, NULL, NULL);
    struct trace t = {.kept = 0};
    struct mk_ev_test ev = {MK_EVENT(ev), .trace = &t};

    (void)state;
    assert_int_equal(mk_fire_test_stop(hook, &ev), MK_CONTINUE);
    assert_int_equal(mk_on(&one, test_stop, 3, on_filter, &a), 0);
    assert_int_equal(mk_on(&one, test_stop, 2, on_filter, &deny), 0);
    assert_int_equal(mk_on(&one, test_stop, 1, on_filter, &handled), 0);
    assert_int_equal(mk_fire_test_stop(hook, &ev), MK_DENY);
    assert_string_equal(t.text, "ad");
    assert_int_equal(mk_on(&one, test_stop, 4, on_filter, &handled), 0);
    assert_int_equal(mk_fire_test_stop(hook, &ev), MK_HANDLED);
    assert_string_equal(t.text, "adh");
}

static void
nobody_stops_a_notice(void **state)
{
    struct mk_hook *hook = mk_define_test_notice(&one, NULL, NULL);
    struct trace t = {.kept = 0};
    struct mk_ev_test ev = {MK_EVENT(ev), .trace = &t};

    (void)state;
    assert_int_equal(mk_on(&two, test_notice, 0, on_notice, &b), 0);
    assert_int_equal(mk_on(&one, test_notice, 0, on_notice, &a), 0);
    mk_fire_test_notice(hook, &ev);
    assert_string_equal(t.text, "ab");
}

static void
handlers_may_be_there_before_the_hook_is_defined_and_outlive_it(void **state)
{
    struct mk_hook *hook;
    struct trace t = {.kept = 0};
    struct mk_ev_test ev = {MK_EVENT(ev), .trace = &t};

    (void)state;
    assert_int_equal(mk_on(&two, test_other, 0, on_filter, &a), 0);
    hook = mk_define_test_other(&one, NULL, NULL);
    assert_int_equal(mk_fire_test_other(hook, &ev), MK_CONTINUE);
    forget(&one);
    assert_ptr_equal(mk_define_test_other(&one, NULL, NULL), hook);
    assert_int_equal(mk_fire_test_other(hook, &ev), MK_CONTINUE);
    assert_string_equal(t.text, "aa");
    forget(&two);
    assert_null(hook->chain);
}

static void
another_kind_or_a_larger_event_is_refused(void **state)
{
    (void)state;
    (void)mk_define_test_stop(&one, NULL, NULL);
    assert_int_equal(mk_hook_add_(&two, "test_stop", MK_HOOK_NOTICE, sizeof(struct mk_ev_test), 0, (mk_any_fn)on_notice, &a,
                                  "f", "f.c", 1), -1);
    assert_int_equal(mk_hook_add_(&two, "test_stop", MK_HOOK_FILTER, sizeof(struct mk_ev_test_large), 0,
                                  (mk_any_fn)on_filter, &a, "f", "f.c", 1), -1);
    assert_true(mki_list_empty(&two.owned));
}

/* Takes module two away, and adds a handler, in the middle of a firing. */
static enum mk_verdict
on_change(struct mk_ev_test *ev, void *arg)
{
    (void)arg;
    note(ev->trace, '!');
    forget(&two);
    if (mk_on(&one, test_change, -5, on_filter, &c) < 0)
        note(ev->trace, '?');
    return MK_CONTINUE;
}

static void
who_is_removed_in_the_middle_is_skipped_and_who_is_added_waits(void **state)
{
    struct mk_hook *hook = mk_define_test_change(&one, NULL, NULL);
    struct trace t = {.kept = 0};
    struct mk_ev_test ev = {MK_EVENT(ev), .trace = &t};

    (void)state;
    assert_int_equal(mk_on(&one, test_change, 10, on_change, NULL), 0);
    assert_int_equal(mk_on(&two, test_change, 5, on_filter, &d), 0);
    assert_int_equal(mk_on(&one, test_change, 0, on_filter, &b), 0);
    urcu_memb_read_lock();
    assert_int_equal(mk_fire_test_change(hook, &ev), MK_CONTINUE);
    urcu_memb_read_unlock();
    assert_string_equal(t.text, "!b");
    urcu_memb_read_lock();
    assert_int_equal(mk_fire_test_change(hook, &ev), MK_CONTINUE);
    urcu_memb_read_unlock();
    assert_string_equal(t.text, "!b!bc");
}

/* -- holding; on a worker ------------------------------------------------------------------- */

static void
keep(void *ev)
{
    ((struct mk_ev_test *)ev)->trace->kept++;
}

static void
drop(void *ev)
{
    ((struct mk_ev_test *)ev)->trace->dropped++;
}

static void
finish(void *ev, enum mk_verdict verdict, void *arg)
{
    struct trace *t = ((struct mk_ev_test *)ev)->trace;

    note(t, *(const char *)arg);
    t->finished++;
    t->verdict = verdict;
}

static const struct mk_hook_hold_ops ops = {keep, drop, finish};

static enum mk_verdict
on_hold(struct mk_ev_test *ev, void *arg)
{
    (void)arg;
    note(ev->trace, 'H');
    ev->trace->hold = mk_hold(&ev->head);
    return ev->trace->hold ? MK_HANDLED : MK_CONTINUE;
}

/* What happened on the worker: asserting there would end the wrong thread. */
struct run {
    struct mk_hook *hook;
    void (*work)(struct run *r);
    struct trace trace;
    enum mk_verdict fired;
    unsigned busy;
    int value;
};

static void
run_on_worker(struct mk_worker *w, void *arg)
{
    struct run *r = arg;

    (void)w;
    mki_enter();
    r->work(r);
    mki_leave();
}

static void
fire_held(struct run *r)
{
    struct mk_ev_test ev = {MK_EVENT(ev), .trace = &r->trace, .value = 1};

    r->fired = mk_fire_test_hold(r->hook, &ev);
    r->busy = one.busy;
    /* The stack of whoever fired is gone when the chain goes on. */
    memset(&ev, 0xff, sizeof(ev));
}

static void
resume(struct run *r)
{
    ((struct mk_ev_test *)mk_hold_event(r->trace.hold))->value = 7;
    mk_resume(&r->trace.hold, MK_CONTINUE);
}

static void
deny_it(struct run *r)
{
    mk_resume(&r->trace.hold, MK_DENY);
}

static enum mk_verdict
on_value(struct mk_ev_test *ev, void *arg)
{
    *(int *)arg = ev->value;
    return MK_CONTINUE;
}

static void
on_worker(struct run *r, void (*work)(struct run *r))
{
    r->work = work;
    mki_workers_barrier(run_on_worker, r);
}

static void
a_held_chain_goes_on_behind_its_handler(void **state)
{
    static char mark = '.';
    struct run r = {.hook = mk_define_test_hold(&one, &ops, &mark)};
    int seen = 0;

    (void)state;
    assert_int_equal(mk_on(&one, test_hold, 2, on_filter, &a), 0);
    assert_int_equal(mk_on(&one, test_hold, 1, on_hold, NULL), 0);
    assert_int_equal(mk_on(&one, test_hold, 0, on_value, &seen), 0);
    on_worker(&r, fire_held);
    assert_int_equal(r.fired, MK_HELD);
    assert_int_equal(r.busy, 1);
    assert_string_equal(r.trace.text, "aH");
    assert_int_equal(r.trace.kept, 1);
    assert_int_equal(r.trace.finished + r.trace.dropped, 0);
    /* Comings and goings meanwhile do not make it lose its place. */
    assert_int_equal(mk_on(&two, test_hold, 5, on_filter, &e), 0);
    assert_int_equal(mk_on(&two, test_hold, -1, on_filter, &b), 0);
    on_worker(&r, resume);
    assert_string_equal(r.trace.text, "aHb.");
    assert_int_equal(r.trace.verdict, MK_CONTINUE);
    assert_int_equal(seen, 7);
    assert_int_equal(r.trace.finished, 1);
    assert_int_equal(r.trace.dropped, 1);
    assert_null(r.trace.hold);
}

static void
a_verdict_on_resuming_ends_the_chain(void **state)
{
    static char mark = '.';
    struct run r = {.hook = mk_define_test_hold(&one, &ops, &mark)};

    (void)state;
    assert_int_equal(mk_on(&one, test_hold, 1, on_hold, NULL), 0);
    assert_int_equal(mk_on(&one, test_hold, 0, on_filter, &b), 0);
    on_worker(&r, fire_held);
    on_worker(&r, deny_it);
    assert_string_equal(r.trace.text, "H.");
    assert_int_equal(r.trace.verdict, MK_DENY);
    assert_int_equal(r.trace.dropped, 1);
}

static void
a_chain_may_be_held_again_and_keeps_its_event_once(void **state)
{
    static char mark = '.';
    struct run r = {.hook = mk_define_test_hold(&one, &ops, &mark)};

    (void)state;
    assert_int_equal(mk_on(&one, test_hold, 1, on_hold, NULL), 0);
    assert_int_equal(mk_on(&two, test_hold, 0, on_hold, NULL), 0);
    on_worker(&r, fire_held);
    on_worker(&r, resume);
    assert_string_equal(r.trace.text, "HH");
    assert_int_equal(one.busy, 0);
    assert_int_equal(two.busy, 1);
    on_worker(&r, resume);
    assert_string_equal(r.trace.text, "HH.");
    assert_int_equal(r.trace.kept, 1);
    assert_int_equal(r.trace.dropped, 1);
    assert_int_equal(two.busy, 0);
}

static void
fire_unheld(struct run *r)
{
    struct mk_ev_test ev = {MK_EVENT(ev), .trace = &r->trace};

    r->fired = mk_fire_test_unheld(r->hook, &ev);
}

static void
a_hook_that_cannot_be_held_gives_no_token(void **state)
{
    struct run r = {.hook = mk_define_test_unheld(&one, NULL, NULL)};

    (void)state;
    assert_int_equal(mk_on(&one, test_unheld, 1, on_hold, NULL), 0);
    assert_int_equal(mk_on(&one, test_unheld, 0, on_filter, &b), 0);
    on_worker(&r, fire_unheld);
    assert_int_equal(r.fired, MK_CONTINUE);
    assert_string_equal(r.trace.text, "Hb");
}

struct seen {
    char text[256];
};

static void
tell(const char *hook, const char *module, int prio, const char *fn_name, const char *file, int line, void *arg)
{
    struct seen *s = arg;

    assert_non_null(strstr(file, "test_hook.c"));
    assert_true(line > 0);
    if (strcmp(hook, "test_order") == 0)
        snprintf(s->text + strlen(s->text), sizeof(s->text) - strlen(s->text), "%s %d %s;", module, prio, fn_name);
}

static void
the_chains_can_be_listed_in_the_order_of_calls(void **state)
{
    struct seen s = {""};

    (void)state;
    assert_int_equal(mk_on(&two, test_order, 0, on_filter, &a), 0);
    assert_int_equal(mk_on(&one, test_order, 0, on_filter, &a), 0);
    assert_int_equal(mk_on(&two, test_order, 9, on_hold, &a), 0);
    mki_hooks_each(tell, &s);
    assert_string_equal(s.text, "two 9 on_hold;one 0 on_filter;two 0 on_filter;");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(higher_priorities_come_first_then_modules_then_registration),
        TEST(the_first_that_does_not_continue_stops_a_filter),
        TEST(nobody_stops_a_notice),
        TEST(handlers_may_be_there_before_the_hook_is_defined_and_outlive_it),
        TEST(another_kind_or_a_larger_event_is_refused),
        TEST(who_is_removed_in_the_middle_is_skipped_and_who_is_added_waits),
        TEST(a_held_chain_goes_on_behind_its_handler),
        TEST(a_verdict_on_resuming_ends_the_chain),
        TEST(a_chain_may_be_held_again_and_keeps_its_event_once),
        TEST(a_hook_that_cannot_be_held_gives_no_token),
        TEST(the_chains_can_be_listed_in_the_order_of_calls),
    };
    int failed;

    urcu_memb_register_thread();
    if (mki_workers_start(1, NULL) < 0)
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    mki_workers_stop();
    urcu_memb_barrier();
    urcu_memb_unregister_thread();
    return failed;
}
