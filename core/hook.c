/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Hook chains: published as immutable arrays under RCU, fired without a lock. A chain that a handler
 * holds goes on by the place of that handler in the order, not by an index, so that handlers may
 * come and go meanwhile.
 */
#include "config.h"

#include "hook-internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include <meerkat/metrics.h>
#include <meerkat/worker.h>

#include "log-internal.h"
#include "module-internal.h"

/* Of so many firings one is timed: looking at the clock costs as much as many a handler. */
#define TIMED 1024

struct handler {
    struct mk_module *module;
    struct mk_histogram seconds;    /* of its module */
    int prio;
    unsigned order;         /* of the module, then of registration */
    unsigned serial;
    mk_any_fn fn;
    void *arg;
    const char *fn_name, *file;
    int line;
    bool removed;           /* atomic */
    struct named_hook *hook;
};

struct chain {
    size_t count;
    struct handler *list[];
};

struct named_hook {
    struct mk_hook pub;     /* first: what modules have a pointer to */
    struct named_hook *next;
    char *name;
    enum mk_hook_kind kind;
    size_t handler_size;    /* the largest event that a handler was compiled for */
    size_t size;            /* of whoever fires; 0: nobody yet */
    struct mk_hook_hold_ops hold;
    bool can_hold;
    void *hold_arg;
    struct mk_module *owner;        /* who fires it; NULL: the core */
};

/* On the stack of a firing. */
struct firing {
    struct named_hook *hook;
    struct handler *current;
    struct mk_hold *hold;
};

struct mk_hold {
    struct named_hook *hook;
    struct mk_hook_head *ev;
    struct mk_module *module;
    struct mk_worker *worker;
    int prio;
    unsigned order, serial;
};

static struct named_hook *hooks;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned serial;
static __thread unsigned firings;

static struct named_hook *
find(const char *name, enum mk_hook_kind kind)
{
    struct named_hook *h;

    for (h = hooks; h && strcmp(h->name, name) != 0; h = h->next)
        ;
    if (!h) {
        h = mk_zalloc(sizeof(*h));
        h->name = mk_strdup(name);
        h->kind = kind;
        h->next = hooks;
        hooks = h;
    }
    return h;
}

static int
compare(const struct handler *a, int prio, unsigned order, unsigned number)
{
    if (a->prio != prio)
        return a->prio > prio ? -1 : 1;
    if (a->order != order)
        return a->order < order ? -1 : 1;
    return a->serial < number ? -1 : a->serial > number;
}

static void
publish(struct named_hook *h, struct chain *now)
{
    struct chain *old = (struct chain *)h->pub.chain;

    __atomic_store_n(&h->pub.chain, now, __ATOMIC_RELEASE);
    if (old)
        mk_rcu_defer(mk_free, old);
}

static void
remove_handler(void *thing)
{
    struct handler *gone = thing;
    struct named_hook *h = gone->hook;
    const struct chain *old;
    struct chain *now = NULL;
    size_t kept = 0;

    pthread_mutex_lock(&lock);
    __atomic_store_n(&gone->removed, true, __ATOMIC_RELEASE);
    old = h->pub.chain;
    if (old->count > 1) {
        now = mk_alloc(sizeof(*now) + (old->count - 1) * sizeof(now->list[0]));
        for (size_t i = 0; i < old->count; i++) {
            if (old->list[i] != gone)
                now->list[kept++] = old->list[i];
        }
        now->count = kept;
    }
    publish(h, now);
    pthread_mutex_unlock(&lock);
    mk_rcu_defer(mk_free, gone);
}

static void
insert_handler(struct named_hook *h, struct handler *made)
{
    const struct chain *old = h->pub.chain;
    size_t count = old ? old->count : 0, i = 0;
    struct chain *now = mk_alloc(sizeof(*now) + (count + 1) * sizeof(now->list[0]));

    for (; i < count && compare(old->list[i], made->prio, made->order, made->serial) < 0; i++)
        now->list[i] = old->list[i];
    now->list[i] = made;
    for (; i < count; i++)
        now->list[i + 1] = old->list[i];
    now->count = count + 1;
    publish(h, now);
}

static struct mk_histogram
seconds_of(struct mk_module *m)
{
    char *label = mk_printf_new("module=\"%s\"", mk_module_name(m));
    struct mk_histogram h = mk_histogram_new(m, "hook_seconds", label,
                                             "Time in a module's handlers, with what they cause, of every 1024th firing",
                                             250, 0.000000001);

    mk_free(label);
    return h;
}

int
mk_hook_add_(struct mk_module *m, const char *hook, enum mk_hook_kind kind, size_t size, int prio,
             mk_any_fn fn, void *arg, const char *fn_name, const char *file, int line)
{
    struct handler *made = mk_zalloc(sizeof(*made));
    struct named_hook *h;

    pthread_mutex_lock(&lock);
    h = find(hook, kind);
    if (h->kind != kind || (h->size && h->size < size)) {
        pthread_mutex_unlock(&lock);
        mk_free(made);
        mki_log(MK_LOG_ERROR, "hook.mismatch", "hook '%s' of module '%s' is another one here: rebuild "
                "the module", hook, mk_module_name(m));
        return -1;
    }
    *made = (struct handler){.module = m, .seconds = seconds_of(m), .prio = prio, .order = m->order, .serial = ++serial,
                             .fn = fn, .arg = arg, .fn_name = fn_name, .file = file, .line = line,
                             .hook = h};
    if (size > h->handler_size)
        h->handler_size = size;
    insert_handler(h, made);
    pthread_mutex_unlock(&lock);
    mki_own(m, remove_handler, made);
    return 0;
}

static void
undefine(void *thing)
{
    struct named_hook *h = thing;

    pthread_mutex_lock(&lock);
    h->can_hold = false;
    h->size = 0;
    h->owner = NULL;
    pthread_mutex_unlock(&lock);
}

struct mk_hook *
mk_hook_define_(struct mk_module *m, const char *hook, enum mk_hook_kind kind, size_t size,
                const struct mk_hook_hold_ops *ops, void *ops_arg)
{
    struct named_hook *h;

    pthread_mutex_lock(&lock);
    h = find(hook, kind);
    MK_ASSERT(h->kind == kind);
    h->size = size;
    h->owner = m;
    h->can_hold = ops != NULL;
    if (ops)
        h->hold = *ops;
    h->hold_arg = ops_arg;
    pthread_mutex_unlock(&lock);
    if (m)
        mki_own(m, undefine, h);
    return &h->pub;
}

static uint64_t
clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static enum mk_verdict
call(const struct named_hook *h, const struct handler *handler, struct mk_hook_head *ev)
{
    if (h->kind == MK_HOOK_FILTER)
        return ((enum mk_verdict(*)(void *, void *))handler->fn)(ev, handler->arg);
    ((void (*)(void *, void *))handler->fn)(ev, handler->arg);
    return MK_CONTINUE;
}

/* The handler may be gone when it returns: a module that ends itself. */
static enum mk_verdict
call_timed(const struct named_hook *h, const struct handler *handler, struct mk_hook_head *ev)
{
    struct mk_histogram seconds = handler->seconds;
    uint64_t begin = clock_ns();
    enum mk_verdict verdict = call(h, handler, ev);

    mk_histogram_add(seconds, clock_ns() - begin);
    return verdict;
}

/* Runs the chain from its `from`th handler on. Compiled twice, so that those that are not timed pay nothing. */
static inline __attribute__((always_inline)) enum mk_verdict
run_handlers(struct firing *firing, struct mk_hook_head *ev, size_t from, bool timed)
{
    struct named_hook *h = firing->hook;
    const struct chain *chain = __atomic_load_n(&h->pub.chain, __ATOMIC_ACQUIRE);

    for (size_t i = from; chain && i < chain->count; i++) {
        struct handler *handler = chain->list[i];
        enum mk_verdict verdict;

        if (__atomic_load_n(&handler->removed, __ATOMIC_ACQUIRE))
            continue;
        firing->current = handler;
        verdict = timed ? call_timed(h, handler, ev) : call(h, handler, ev);
        if (firing->hold)
            return MK_HELD;
        if (verdict != MK_CONTINUE)
            return verdict;
    }
    return MK_CONTINUE;
}

static enum mk_verdict
run_chain(struct named_hook *h, struct mk_hook_head *ev, size_t from)
{
    struct firing firing = {.hook = h};
    enum mk_verdict verdict;

    ev->firing = &firing;
    if (MK_LIKELY(++firings % TIMED != 0))
        verdict = run_handlers(&firing, ev, from, false);
    else
        verdict = run_handlers(&firing, ev, from, true);
    ev->firing = NULL;
    return verdict;
}

enum mk_verdict
mk_hook_fire_(struct mk_hook *hook, struct mk_hook_head *ev)
{
    return run_chain((struct named_hook *)hook, ev, 0);
}

struct mk_hold *
mk_hold(struct mk_hook_head *ev)
{
    struct firing *firing = ev->firing;
    struct handler *current = firing->current;
    struct mk_hold *hold;

    if (!firing->hook->can_hold || !mk_worker_self())
        return NULL;
    MK_ASSERT(!firing->hold);
    hold = mk_alloc(sizeof(*hold));
    *hold = (struct mk_hold){.hook = firing->hook, .module = current->module,
                             .worker = mk_worker_self(), .prio = current->prio,
                             .order = current->order, .serial = current->serial};
    if (ev->held) {
        /* Held before: the event is a copy already, and its references are kept. */
        hold->ev = ev;
    } else {
        hold->ev = mk_alloc(ev->size);
        memcpy(hold->ev, ev, ev->size);
        hold->ev->held = 1;
        firing->hook->hold.keep(hold->ev);
    }
    mk_module_enter(current->module);
    firing->hold = hold;
    return hold;
}

void *
mk_hold_event(struct mk_hold *hold)
{
    return hold->ev;
}

void
mk_resume(struct mk_hold **holdp, enum mk_verdict verdict)
{
    struct mk_hold *hold = *holdp;
    struct named_hook *h = hold->hook;
    struct mk_hook_head *ev = hold->ev;

    *holdp = NULL;
    MK_ASSERT(hold->worker == mk_worker_self());
    if (verdict == MK_CONTINUE) {
        const struct chain *chain = __atomic_load_n(&h->pub.chain, __ATOMIC_ACQUIRE);
        size_t from = 0;

        while (chain && from < chain->count &&
               compare(chain->list[from], hold->prio, hold->order, hold->serial) <= 0)
            from++;
        verdict = run_chain(h, ev, from);
    }
    mk_module_leave(hold->module);
    mk_free(hold);
    if (verdict == MK_HELD)
        return;
    h->hold.finish(ev, verdict, h->hold_arg);
    h->hold.drop(ev);
    mk_free(ev);
}

void
mki_hooks_each(void (*fn)(const char *hook, const char *module, int prio, const char *fn_name,
                          const char *file, int line, void *arg),
               void *arg)
{
    pthread_mutex_lock(&lock);
    for (struct named_hook *h = hooks; h; h = h->next) {
        const struct chain *chain = h->pub.chain;

        for (size_t i = 0; chain && i < chain->count; i++) {
            const struct handler *e = chain->list[i];

            fn(h->name, mk_module_name(e->module), e->prio, e->fn_name, e->file, e->line, arg);
        }
    }
    pthread_mutex_unlock(&lock);
}

void
mki_hooks_defined(void (*fn)(const char *hook, enum mk_hook_kind kind, const char *module, void *arg),
                  void *arg)
{
    pthread_mutex_lock(&lock);
    for (struct named_hook *h = hooks; h; h = h->next) {
        if (h->size)
            fn(h->name, h->kind, mk_module_name(h->owner), arg);
    }
    pthread_mutex_unlock(&lock);
}
