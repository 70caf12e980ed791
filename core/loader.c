/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The loader: what modules need, in which order they start, how they come and go. */
#include "config.h"

#include "loader-internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define _LGPL_SOURCE
#include <urcu/urcu-memb.h>

#include "iq-internal.h"
#include "log-internal.h"
#include "metrics-internal.h"
#include "server-internal.h"
#include "session-internal.h"
#include "worker-internal.h"

/* Of what clients have sent before a module is exchanged, to be dealt with. */
#define SETTLE_MS 200

static struct mk_module **modules;      /* in start order once sorted */
static size_t module_count;
static unsigned next_order = 1;
static uint64_t patience_ms = 10000;

size_t
mki_module_count(void)
{
    return module_count;
}

struct mk_module *
mki_module_nth(size_t n)
{
    return n < module_count ? modules[n] : NULL;
}

struct mk_module *
mki_module_find(const char *name)
{
    for (size_t i = 0; i < module_count; i++) {
        if (strcmp(modules[i]->def.name, name) == 0)
            return modules[i];
    }
    return NULL;
}

void
mki_modules_patience(uint64_t ms)
{
    patience_ms = ms;
}

static size_t
position(const struct mk_module *m)
{
    size_t i = 0;

    while (modules[i] != m)
        i++;
    return i;
}

/* -- dependencies --------------------------------------------------------------------------- */

struct loading {
    struct mki_ini *ini;
    const struct mk_option_list *path, *hosts;
    const struct mk_module *by;
};

static bool
in_list(const char *const *list, const char *name)
{
    for (; list && *list; list++) {
        if (strcmp(*list, name) == 0)
            return true;
    }
    return false;
}

/* The module that `name` means: by its own name or by a service it provides. */
static struct mk_module *
meant_by(const char *name)
{
    struct mk_module *m = mki_module_find(name);

    for (size_t i = 0; !m && i < module_count; i++) {
        if (in_list(modules[i]->def.provides, name))
            m = modules[i];
    }
    return m;
}

/* Opens a module and fills its configuration; NULL after an error in the list. */
static struct mk_module *
open_configured(const struct loading *l, const char *name)
{
    char *section = mk_printf_new("module:%s", name);
    char *wanted_by = l->by ? mk_printf_new("module:%s", l->by->def.name) : NULL;
    struct mk_error err;
    struct mk_module *m = mki_module_open(name, l->path, &err);

    if (!m) {
        if (l->by)
            mki_ini_error(l->ini, mki_ini_place(l->ini, wanted_by, NULL), "module '%s' needs '%s': %s",
                          l->by->def.name, name, err.text);
        else
            mki_ini_error(l->ini, mki_ini_place(l->ini, section, NULL), "[%s] %s", section, err.text);
        mki_ini_use(l->ini, section);
    } else {
        m->needed_only = !mki_ini_has(l->ini, section);
        m->conf = mki_ini_conf(l->ini, &m->def, l->hosts);
        m->state = MKI_CONFIGURED;
    }
    mk_free(section);
    mk_free(wanted_by);
    return m;
}

static void
load_one(const struct loading *l, const char *name)
{
    struct mk_module *m = open_configured(l, name);

    if (!m)
        return;
    modules = mk_realloc(modules, (module_count + 1) * sizeof(*modules));
    modules[module_count++] = m;
}

/* Calls fn for every module name that m's options of type module name. */
static void
each_named(const struct mk_module *m, void (*fn)(const char *name, void *arg), void *arg)
{
    for (const struct mk_option *o = m->def.options; o && o->type != MK_TYPE_END; o++) {
        const char *value;
        char name[128];
        const char *mark;

        if (o->type != MK_TYPE_MODULE)
            continue;
        value = *(char *const *)((const char *)m->conf->common + o->offset);
        mark = strstr(o->pattern, "%s");
        if (!value || !*value || !mark)
            continue;
        snprintf(name, sizeof(name), "%.*s%s%s", (int)(mark - o->pattern), o->pattern, value,
                 mark + 2);
        fn(name, arg);
    }
}

static void
load_named(const char *name, void *arg)
{
    if (!mki_module_find(name))
        load_one(arg, name);
}

static void
load_depends(const struct loading *l, const struct mk_module *m)
{
    for (const char *const *d = m->def.depends; d && *d; d++) {
        if (!meant_by(*d))
            load_one(l, *d);
    }
}

/* What the modules from the `from`th on need; the list grows on the way. What options name comes first: it may
 * provide a service that others need. */
static void
load_needed(struct loading *l, size_t from)
{
    size_t named = from, needed = from;

    while (needed < module_count) {
        if (named < module_count) {
            l->by = modules[named];
            each_named(modules[named++], load_named, l);
        } else {
            l->by = modules[needed++];
            load_depends(l, l->by);
        }
    }
    l->by = NULL;
}

/* -- order ---------------------------------------------------------------------------------- */

enum { UNSEEN, VISITING, PLACED };

struct sorting {
    struct mk_module **out;
    size_t count;
    char *seen;                 /* by position in modules */
    struct mk_module **path;    /* of modules being visited */
    size_t depth;
    struct mk_error *err;
    struct mk_module *circle;   /* one of it */
};

static void visit(struct sorting *s, struct mk_module *m);

static void
visit_named(const char *name, void *arg)
{
    struct mk_module *m = mki_module_find(name);

    if (m)
        visit(arg, m);
}

static void
visit_all_of(struct sorting *s, const char *name)
{
    struct mk_module *m = mki_module_find(name);

    if (m) {
        visit(s, m);
        return;
    }
    for (size_t i = 0; i < module_count; i++) {
        if (in_list(modules[i]->def.provides, name))
            visit(s, modules[i]);
    }
}

/* `m` needs something that needs `m`. */
static void
tell_circle(struct sorting *s, struct mk_module *m)
{
    struct mk_buf names = {0};
    size_t i = 0;

    while (s->path[i] != m)
        i++;
    for (; i < s->depth; i++)
        mk_buf_printf(&names, "'%s' needs or follows ", s->path[i]->def.name);
    mk_fail(s->err, "modules wait for each other in a circle: %s'%s'", mk_buf_cstr(&names),
            m->def.name);
    mk_buf_release(&names);
    s->circle = m;
}

static void
visit(struct sorting *s, struct mk_module *m)
{
    size_t at = position(m);

    if (s->circle || s->seen[at] == PLACED)
        return;
    if (s->seen[at] == VISITING) {
        tell_circle(s, m);
        return;
    }
    s->seen[at] = VISITING;
    s->path[s->depth++] = m;
    each_named(m, visit_named, s);
    for (const char *const *d = m->def.depends; d && *d; d++)
        visit_all_of(s, *d);
    for (const char *const *d = m->def.after; d && *d; d++)
        visit_all_of(s, *d);
    s->depth--;
    s->seen[at] = PLACED;
    s->out[s->count++] = m;
}

/* Puts what is needed before what needs it, and changes as little as possible else. */
static int
sort_modules(struct mki_ini *ini)
{
    struct mk_error err;
    struct sorting s = {.err = &err};

    s.out = mk_zalloc((module_count + 1) * sizeof(*s.out));
    s.path = mk_zalloc((module_count + 1) * sizeof(*s.path));
    s.seen = mk_zalloc(module_count + 1);
    for (size_t i = 0; i < module_count; i++)
        visit(&s, modules[i]);
    if (s.circle) {
        char *section = mk_printf_new("module:%s", s.circle->def.name);

        mki_ini_error(ini, mki_ini_place(ini, section, NULL), "%s", err.text);
        mk_free(section);
        mk_free(s.out);
    } else {
        mk_free(modules);
        modules = s.out;
    }
    mk_free(s.seen);
    mk_free(s.path);
    return s.circle ? -1 : 0;
}

static int
by_name(const void *a, const void *b)
{
    return strcmp((*(struct mk_module *const *)a)->def.name, (*(struct mk_module *const *)b)->def.name);
}

void
mki_modules_load(struct mki_ini *ini, const struct mk_option_list *path,
                 const struct mk_option_list *hosts)
{
    struct loading l = {ini, path, hosts, NULL};
    const char *name;

    for (size_t n = 0; (name = mki_ini_module(ini, n)); n++) {
        if (!mki_module_find(name))
            load_one(&l, name);
    }
    load_needed(&l, 0);
    /* The order of the file says nothing. */
    if (module_count)
        qsort(modules, module_count, sizeof(*modules), by_name);
    (void)sort_modules(ini);
}

/* -- life cycle ----------------------------------------------------------------------------- */

static void
forget_on_worker(struct mk_worker *w, void *arg)
{
    mki_enter();
    mki_requests_forget(w, arg);
    mki_timers_forget(w, arg);
    mki_fds_forget(w, arg);
    mki_leave();
}

static bool
wait_idle(struct mk_module *m)
{
    struct timespec nap = {0, 2000000};

    for (uint64_t waited = 0; __atomic_load_n(&m->busy, __ATOMIC_ACQUIRE); waited += 2) {
        if (waited > patience_ms)
            return false;
        /* What it waits for may be this very thread. */
        mki_errands_run(true);
        nanosleep(&nap, NULL);
    }
    return true;
}

/* No new work: nothing of the module is registered any more, and no worker is in it. */
static void
quiesce(struct mk_module *m)
{
    if (m->state == MKI_STARTED && m->def.stop)
        m->def.stop(m);
    while (!mki_list_empty(&m->owned)) {
        struct mki_owned *o = mki_container(m->owned.prev, struct mki_owned, link);

        mki_list_del(&o->link);
        o->undo(o->thing);
        mk_free(o);
    }
    mki_workers_barrier(forget_on_worker, m);
    m->state = MKI_STOPPING;
}

/*
 * The one way down, from whichever state. -1: something is still under way in it, so that its memory cannot be
 * freed; it can be tried again.
 */
static int
teardown(struct mk_module *m)
{
    if (m->state != MKI_STOPPING)
        quiesce(m);
    if (!wait_idle(m))
        return -1;
    mki_metrics_module_gone(m);
    /* What it has deferred runs its code: before its state goes, and before its code does. */
    urcu_memb_barrier();
    if (m->def.unload)
        m->def.unload(m);
    urcu_memb_barrier();
    m->state = MKI_STOPPED;
    return 0;
}

/* At the end of the server, or of a failed start: what does not end in time keeps its memory. */
static void
teardown_or_leave(struct mk_module *m)
{
    if (m->state != MKI_INITED && m->state != MKI_STARTED && m->state != MKI_STOPPING)
        return;
    if (teardown(m) == 0)
        return;
    mki_log(MK_LOG_ERROR, "module.busy",
            "module '%s' still has %u things under way; its memory stays", m->def.name, m->busy);
    m->stuck = true;
    m->state = MKI_STOPPED;
}

static int
init_one(struct mk_module *m, struct mk_error *err)
{
    /* A module that comes again keeps its place in the hooks. */
    if (!m->order)
        m->order = next_order++;
    m->state = MKI_INITED;
    if (m->def.init && m->def.init(m, err) < 0)
        return -1;
    return 0;
}

/* Marks what `m` cannot do without. */
static void
mark_needed(struct mk_module *m, bool *needed);

static void
mark_named(const char *name, void *arg)
{
    struct mk_module *m = mki_module_find(name);

    if (m)
        mark_needed(m, arg);
}

static void
mark_needed(struct mk_module *m, bool *needed)
{
    if (needed[position(m)])
        return;
    needed[position(m)] = true;
    each_named(m, mark_named, needed);
    for (const char *const *d = m->def.depends; d && *d; d++) {
        struct mk_module *named = mki_module_find(*d);

        for (size_t i = 0; i < module_count; i++) {
            if (named ? modules[i] == named : in_list(modules[i]->def.provides, *d))
                mark_needed(modules[i], needed);
        }
    }
}

static int
start_one(struct mk_module *m, struct mk_error *err)
{
    m->state = MKI_STARTED;
    return m->def.start ? m->def.start(m, err) : 0;
}

/* init of all that are configured and no more, and then start; of those only that are `needed`, unless it is NULL. */
static int
start_configured(const bool *needed, struct mk_error *err)
{
    struct mk_error why = {""};

    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < module_count; i++) {
            struct mk_module *m = modules[i];

            if (m->state != (pass == 0 ? MKI_CONFIGURED : MKI_INITED))
                continue;
            if (pass == 1 && needed && !needed[i])
                continue;
            if ((pass == 0 ? init_one(m, &why) : start_one(m, &why)) < 0)
                return mk_fail(err, "module '%s' cannot start: %s", m->def.name,
                               *why.text ? why.text : "it gives no reason");
        }
    }
    return 0;
}

static void
settle(bool tell)
{
    for (size_t i = 0; i < module_count; i++) {
        if (tell && !modules[i]->settled)
            mki_log(MK_LOG_INFO, "module.load", "loaded module '%s' %s", modules[i]->def.name,
                    modules[i]->def.version);
        modules[i]->settled = true;
    }
}

int
mki_modules_start(struct mk_error *err)
{
    if (start_configured(NULL, err) < 0) {
        mki_modules_stop();
        return -1;
    }
    settle(false);
    return 0;
}

int
mki_modules_start_for(const char *name, struct mk_error *err)
{
    bool *needed = mk_zalloc(module_count + 1);
    int rc;

    if (name)
        mark_needed(mki_module_find(name), needed);
    rc = start_configured(needed, err);
    mk_free(needed);
    if (rc < 0)
        mki_modules_stop();
    return rc;
}

void
mki_modules_stop(void)
{
    for (size_t i = module_count; i-- > 0;)
        teardown_or_leave(modules[i]);
}

void
mki_modules_free(void)
{
    while (module_count)
        mki_module_close(modules[--module_count]);
    mk_free(modules);
    modules = NULL;
}

/* -- one module at run time ----------------------------------------------------------------- */

static void
take_out(size_t at)
{
    memmove(modules + at, modules + at + 1, (module_count - at - 1) * sizeof(*modules));
    module_count--;
}

/* Undoes a load or a reload: all that did not get as far as to be settled. */
static void
drop_unsettled(void)
{
    for (size_t i = module_count; i-- > 0;) {
        struct mk_module *m = modules[i];

        if (m->settled)
            continue;
        teardown_or_leave(m);
        take_out(i);
        mki_module_close(m);
    }
}

int
mki_module_add(const char *name, struct mki_ini *ini, const struct mk_option_list *path,
               const struct mk_option_list *hosts, struct mk_error *err)
{
    struct loading l = {ini, path, hosts, NULL};
    const struct mk_module *there = mki_module_find(name);
    size_t before = module_count;

    if (there && there->state == MKI_STOPPING)
        return mk_fail(err, "module '%s' is still stopping: unload it first", name);
    if (there)
        return mk_fail(err, "module '%s' is loaded already", name);
    load_one(&l, name);
    load_needed(&l, before);
    if (ini->error_count == 0)
        (void)sort_modules(ini);
    if (mki_ini_fail(ini, err) < 0 || start_configured(NULL, err) < 0) {
        drop_unsettled();
        return -1;
    }
    settle(true);
    return 0;
}

static bool
another_provides(const struct mk_module *m, const char *service)
{
    bool found = false;

    for (size_t i = 0; i < module_count && !found; i++)
        found = modules[i] != m && in_list(modules[i]->def.provides, service);
    return found;
}

static int
check_unused(const struct mk_module *m, struct mk_error *err)
{
    for (size_t i = 0; i < module_count; i++) {
        const struct mk_module *other = modules[i];
        bool needs = in_list(other->def.depends, m->def.name);

        for (size_t k = 0; k < other->use_count; k++)
            needs |= other->uses[k] == m;
        for (const char *const *d = other->def.depends; d && *d && !needs; d++)
            needs = in_list(m->def.provides, *d) && !another_provides(m, *d);
        if (needs && other != m)
            return mk_fail(err, "module '%s' is needed by '%s'", m->def.name, other->def.name);
    }
    return 0;
}

static int
tell_busy(const struct mk_module *m, struct mk_error *err)
{
    return mk_fail(err, "module '%s' has stopped, but %u things are still under way in it: unload it "
                   "again later", m->def.name, m->busy);
}

int
mki_module_remove(const char *name, struct mk_error *err)
{
    struct mk_module *m = mki_module_find(name);

    if (!m)
        return mk_fail(err, "module '%s' is not loaded", name);
    if (check_unused(m, err) < 0)
        return -1;
    if (teardown(m) < 0)
        return tell_busy(m, err);
    take_out(position(m));
    mki_log(MK_LOG_INFO, "module.unload", "unloaded module '%s'", name);
    mki_module_close(m);
    return 0;
}

/* Puts `fresh` in the place of `old`, with what it needs more; -1: nothing has changed. */
static int
exchange(struct mk_module *old, struct mk_module *fresh, struct loading *l)
{
    size_t before = module_count;

    modules[position(old)] = fresh;
    fresh->order = old->order;
    l->by = fresh;
    each_named(fresh, load_named, l);
    load_depends(l, fresh);
    load_needed(l, before);
    if (l->ini->error_count == 0 && sort_modules(l->ini) == 0)
        return 0;
    modules[position(fresh)] = old;
    drop_unsettled();
    mki_module_close(fresh);
    return -1;
}

/* The new code does not start: the old one comes back. */
static void
bring_back(struct mk_module *old, size_t at, struct mk_error *err)
{
    struct mk_error first = *err, why;

    modules = mk_realloc(modules, (module_count + 1) * sizeof(*modules));
    memmove(modules + at + 1, modules + at, (module_count - at) * sizeof(*modules));
    modules[at] = old;
    module_count++;
    old->state = MKI_CONFIGURED;
    if (start_configured(NULL, &why) == 0) {
        mk_fail(err, "%s; the old one runs again", first.text);
        return;
    }
    old->settled = false;
    drop_unsettled();
    mk_fail(err, "%s; and the old one does not start again: %s", first.text, why.text);
}

/*
 * What clients send waits while there is neither the old code nor the new: it would go without it, past a filter or the storage.
 * What they have sent before is dealt with first, unless that takes long.
 */
static void
hold_input(void)
{
    struct timespec nap = {0, 2000000};
    size_t unsettled = 1;

    mki_workers_barrier(mki_sessions_hold, NULL);
    for (unsigned waited = 0; unsettled && waited < SETTLE_MS; waited += 2) {
        unsettled = 0;
        mki_workers_barrier(mki_sessions_count_unsettled, &unsettled);
        mki_errands_run(true);
        if (unsettled)
            nanosleep(&nap, NULL);
    }
}

/* Stops the old one and starts the new one. */
static int
swap(struct mk_module *old, struct mk_module *fresh, struct mk_error *err)
{
    size_t at;

    if (teardown(old) < 0) {
        modules[position(fresh)] = old;
        mki_module_close(fresh);
        drop_unsettled();
        return tell_busy(old, err);
    }
    if (start_configured(NULL, err) < 0) {
        at = position(fresh);
        for (size_t i = 0; i < position(fresh); i++)
            at -= !modules[i]->settled;
        drop_unsettled();
        bring_back(old, at, err);
        return -1;
    }
    settle(true);
    mki_module_close(old);
    return 0;
}

int
mki_module_replace(const char *name, struct mki_ini *ini, const struct mk_option_list *path,
                   const struct mk_option_list *hosts, struct mk_error *err)
{
    struct loading l = {ini, path, hosts, NULL};
    struct mk_module *old = mki_module_find(name), *fresh;
    int rc;

    if (!old)
        return mk_fail(err, "module '%s' is not loaded", name);
    if (check_unused(old, err) < 0)
        return -1;
    fresh = open_configured(&l, name);
    if (!fresh || exchange(old, fresh, &l) < 0)
        return mki_ini_fail(ini, err);
    hold_input();
    rc = swap(old, fresh, err);
    mki_workers_barrier(mki_sessions_go_on, NULL);
    return rc;
}
