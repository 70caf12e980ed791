/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Timers: a hierarchical wheel for each worker, four levels of 256 slots, a tick of 10 ms. libevent
 * wakes the worker only for the next tick that has work or where a level turns.
 */
#include "config.h"

#include "worker-internal.h"

#define TICK_MS 10

struct mk_timer {
    struct mki_list link;
    struct mk_module *module;
    struct mk_worker *worker;
    mk_task_fn fn;
    void *arg;
    uint64_t due;               /* ticks */
    uint64_t every;             /* ticks; 0: once */
    bool firing, freed;
};

static uint64_t
ticks_now(void)
{
    return mki_clock_ms() / TICK_MS;
}

static void
place(struct mki_wheel *wheel, struct mk_timer *t)
{
    uint64_t due = t->due > wheel->now ? t->due : wheel->now + 1;
    uint64_t distance = due - wheel->now;
    unsigned level = 0;

    while (level < MKI_WHEEL_LEVELS - 1 && distance >> (MKI_WHEEL_BITS * (level + 1)))
        level++;
    /* Beyond the last level: as far as it goes, and then placed again. */
    if (distance >> (MKI_WHEEL_BITS * MKI_WHEEL_LEVELS))
        due = wheel->now + (1ull << (MKI_WHEEL_BITS * MKI_WHEEL_LEVELS)) - 1;
    mki_list_add_tail(&wheel->slots[level][due >> (MKI_WHEEL_BITS * level) & (MKI_WHEEL_SLOTS - 1)],
                      &t->link);
}

/* Ticks until something may have to be done: a timer of the first level, or the turn of a level. */
static uint64_t
next_work(const struct mki_wheel *wheel)
{
    uint64_t at = wheel->now + 1;

    while ((at & (MKI_WHEEL_SLOTS - 1)) != 0) {
        if (!mki_list_empty(&wheel->slots[0][at & (MKI_WHEEL_SLOTS - 1)]))
            break;
        at++;
    }
    return at;
}

static void
arm(struct mk_worker *w)
{
    struct mki_wheel *wheel = &w->wheel;
    struct timeval tv;
    uint64_t at, now = mki_clock_ms();

    if (wheel->count == 0)
        return;
    at = next_work(wheel) * TICK_MS;
    at = at > now ? at - now : 0;
    tv.tv_sec = (time_t)(at / 1000);
    tv.tv_usec = (suseconds_t)(at % 1000 * 1000);
    event_add(wheel->tick, &tv);
    wheel->armed = true;
}

static void
fire(struct mk_worker *w, struct mk_timer *t)
{
    mki_list_del(&t->link);
    t->firing = true;
    mki_enter();
    t->fn(t->arg);
    mki_leave();
    t->firing = false;
    if (t->every && !t->freed) {
        t->due = w->wheel.now + t->every;
        place(&w->wheel, t);
        return;
    }
    w->wheel.count--;
    mk_free(t);
}

/* Timers of a higher level whose time comes nearer go down. */
static void
cascade(struct mki_wheel *wheel)
{
    for (unsigned level = 1; level < MKI_WHEEL_LEVELS; level++) {
        uint64_t index = wheel->now >> (MKI_WHEEL_BITS * level);
        struct mki_list *slot = &wheel->slots[level][index & (MKI_WHEEL_SLOTS - 1)], moved;

        mki_list_init(&moved);
        while (!mki_list_empty(slot)) {
            struct mki_list *l = slot->next;

            mki_list_del(l);
            mki_list_add_tail(&moved, l);
        }
        /* Due now exactly: `place` would move it one tick on. */
        wheel->now--;
        while (!mki_list_empty(&moved)) {
            struct mk_timer *t = mki_container(moved.next, struct mk_timer, link);

            mki_list_del(&t->link);
            place(wheel, t);
        }
        wheel->now++;
        if (index & (MKI_WHEEL_SLOTS - 1))
            return;
    }
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct mk_worker *w = arg;
    struct mki_wheel *wheel = &w->wheel;
    uint64_t until = ticks_now();

    (void)fd;
    (void)what;
    wheel->armed = false;
    while (wheel->now < until && wheel->count) {
        struct mki_list *slot;
        uint64_t next = next_work(wheel);

        if (next > until)
            break;
        wheel->now = next;
        if ((wheel->now & (MKI_WHEEL_SLOTS - 1)) == 0)
            cascade(wheel);
        slot = &wheel->slots[0][wheel->now & (MKI_WHEEL_SLOTS - 1)];
        while (!mki_list_empty(slot))
            fire(w, mki_container(slot->next, struct mk_timer, link));
    }
    arm(w);
}

static struct mk_timer *
timer_add(struct mk_module *m, uint64_t after, uint64_t every, mk_task_fn fn, void *arg)
{
    struct mk_worker *w = mk_worker_self();
    struct mk_timer *t = mk_alloc(sizeof(*t));

    MK_ASSERT(w);
    if (w->wheel.count == 0)
        w->wheel.now = ticks_now();
    *t = (struct mk_timer){.module = m, .worker = w, .fn = fn, .arg = arg};
    t->due = ticks_now() + (after + TICK_MS - 1) / TICK_MS + 1;
    t->every = every ? (every + TICK_MS - 1) / TICK_MS : 0;
    mki_list_init(&t->link);
    place(&w->wheel, t);
    w->wheel.count++;
    /* A nearer timer than the one that is waited for. */
    arm(w);
    return t;
}

struct mk_timer *
mk_timer_new(struct mk_module *m, uint64_t after_ms, mk_task_fn fn, void *arg)
{
    return timer_add(m, after_ms, 0, fn, arg);
}

struct mk_timer *
mk_timer_every(struct mk_module *m, uint64_t every_ms, mk_task_fn fn, void *arg)
{
    return timer_add(m, every_ms, every_ms ? every_ms : 1, fn, arg);
}

void
mk_timer_free(struct mk_timer **timer)
{
    struct mk_timer *t = *timer;

    *timer = NULL;
    if (!t)
        return;
    MK_ASSERT(t->worker == mk_worker_self() || !mk_worker_self());
    if (t->firing) {
        t->freed = true;
        t->every = 0;
        return;
    }
    mki_list_del(&t->link);
    t->worker->wheel.count--;
    mk_free(t);
}

/* Calls fn for every timer; fn may free it. */
static void
each_timer(struct mk_worker *w, bool (*pick)(const struct mk_timer *t, void *arg), void *arg)
{
    for (unsigned level = 0; level < MKI_WHEEL_LEVELS; level++) {
        for (unsigned i = 0; i < MKI_WHEEL_SLOTS; i++) {
            struct mki_list *head = &w->wheel.slots[level][i];

            for (struct mki_list *l = head->next, *next; l != head; l = next) {
                struct mk_timer *t = mki_container(l, struct mk_timer, link);

                next = l->next;
                if (pick(t, arg))
                    mk_timer_free(&t);
            }
        }
    }
}

static bool
of_module(const struct mk_timer *t, void *arg)
{
    return t->module == arg;
}

static bool
any(const struct mk_timer *t, void *arg)
{
    (void)t;
    (void)arg;
    return true;
}

void
mki_timers_forget(struct mk_worker *w, struct mk_module *m)
{
    each_timer(w, of_module, m);
}

int
mki_wheel_init(struct mk_worker *w)
{
    for (unsigned level = 0; level < MKI_WHEEL_LEVELS; level++) {
        for (unsigned i = 0; i < MKI_WHEEL_SLOTS; i++)
            mki_list_init(&w->wheel.slots[level][i]);
    }
    w->wheel.now = ticks_now();
    w->wheel.tick = event_new(w->base, -1, 0, on_tick, w);
    return w->wheel.tick ? 0 : -1;
}

void
mki_wheel_release(struct mk_worker *w)
{
    each_timer(w, any, NULL);
    event_free(w->wheel.tick);
}
