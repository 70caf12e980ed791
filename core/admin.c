/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* What administrators ask of the server and change (admin.h): the way to the main thread, modules, hooks, readiness. */
#include "config.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <event2/event.h>

#include <meerkat/admin.h>

#include "hook-internal.h"
#include "loader-internal.h"
#include "server-internal.h"
#include "worker-internal.h"

/* -- the main thread ------------------------------------------------------------------------ */

struct errand {
    struct errand *next;
    struct mk_module *module;
    struct mk_worker *worker;
    mk_task_fn work, done;
    mk_task_fn refuse;          /* instead of `work` when the server stops; NULL: `work` changes nothing */
    void *arg;
};

static pthread_mutex_t errands_lock = PTHREAD_MUTEX_INITIALIZER;
static struct errand *errands, **errands_end = &errands;

static void
errand_done(void *arg)
{
    struct errand *e = arg;

    e->done(e->arg);
    mk_module_leave(e->module);
    mk_free(e);
}

/* The first that may run now. A change must not come in the middle of another one. */
static struct errand *
take_errand(bool in_between, bool stopping)
{
    struct errand **p = &errands, *e;

    pthread_mutex_lock(&errands_lock);
    while ((e = *p) && e->refuse && in_between && !stopping)
        p = &e->next;
    if (e) {
        *p = e->next;
        if (!*p)
            errands_end = p;
    }
    pthread_mutex_unlock(&errands_lock);
    return e;
}

void
mki_errands_run(bool in_between)
{
    bool stopping = mki_server_is_stopping();
    struct errand *e;

    while ((e = take_errand(in_between, stopping))) {
        (e->refuse && stopping ? e->refuse : e->work)(e->arg);
        mk_post(NULL, e->worker, errand_done, e);
    }
}

static void
on_errands(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    mki_errands_run(false);
}

/* libevent's one-shot event wakes the main loop from any thread (it is made with locking). */
static void
send_errand(const struct errand *errand)
{
    struct errand *e = mk_alloc(sizeof(*e));
    struct timeval now = {0, 0};

    *e = *errand;
    e->worker = mk_worker_self();
    MK_ASSERT(e->worker);
    pthread_mutex_lock(&errands_lock);
    *errands_end = e;
    errands_end = &e->next;
    pthread_mutex_unlock(&errands_lock);
    if (event_base_once(mki_server_base(), -1, EV_TIMEOUT, on_errands, NULL, &now) < 0)
        MK_BUG("the main loop takes no events");
}

void
mk_on_main(struct mk_module *m, mk_task_fn work, mk_task_fn done, void *arg)
{
    mk_module_enter(m);
    send_errand(&(struct errand){.module = m, .work = work, .done = done, .arg = arg});
}

/* -- changes -------------------------------------------------------------------------------- */

struct change {
    char *what, *name;          /* name NULL: the configuration */
    mk_done_fn done;
    void *arg;
    struct mk_error err;
    int rc;
};

static void
change_run(void *arg)
{
    struct change *c = arg;

    c->rc = c->name ? mki_server_module(c->what, c->name, &c->err) : mki_server_reload(&c->err);
}

static void
change_refuse(void *arg)
{
    struct change *c = arg;

    c->rc = mk_fail(&c->err, "the server is stopping");
}

static void
change_done(void *arg)
{
    struct change *c = arg;

    c->done(c->rc < 0 ? &c->err : NULL, c->arg);
    mk_free(c->what);
    mk_free(c->name);
    mk_free(c);
}

static void
change(struct mk_module *m, const char *what, const char *name, mk_done_fn done, void *arg)
{
    struct change *c = mk_zalloc(sizeof(*c));

    *c = (struct change){.what = mk_strdup(what), .name = mk_strdup(name), .done = done, .arg = arg};
    /* A module that waits for this answer is busy only if it can be waited for: not when it is the one to go. */
    if (name && strcmp(name, mk_module_name(m)) == 0)
        m = NULL;
    mk_module_enter(m);
    send_errand(&(struct errand){
        .module = m, .work = change_run, .refuse = change_refuse, .done = change_done, .arg = c});
}

void
mk_admin_module_load(struct mk_module *m, const char *name, mk_done_fn done, void *arg)
{
    change(m, "load", name, done, arg);
}

void
mk_admin_module_unload(struct mk_module *m, const char *name, mk_done_fn done, void *arg)
{
    change(m, "unload", name, done, arg);
}

void
mk_admin_module_reload(struct mk_module *m, const char *name, mk_done_fn done, void *arg)
{
    change(m, "reload", name, done, arg);
}

void
mk_admin_reload(struct mk_module *m, mk_done_fn done, void *arg)
{
    change(m, "config", NULL, done, arg);
}

void
mk_admin_stop(struct mk_module *m)
{
    (void)m;
    kill(getpid(), SIGTERM);
}

void
mk_admin_restart(struct mk_module *m)
{
    mki_server_restart();
    mk_admin_stop(m);
}

/* -- what there is -------------------------------------------------------------------------- */

static const char *
state_name(const struct mk_module *m)
{
    if (m->state == MKI_STOPPING)
        return "stopping";
    return m->state == MKI_STARTED ? "running" : "loaded";
}

void
mk_module_each(void (*fn)(const struct mk_module_info *info, void *arg), void *arg)
{
    for (size_t i = 0; i < mki_module_count(); i++) {
        const struct mk_module *m = mki_module_nth(i);
        const struct mk_module_info info = {
            .size = sizeof(info), .name = m->def.name, .version = m->def.version,
            .summary = m->def.summary, .state = state_name(m), .needed_only = m->needed_only,
            .depends = m->def.depends, .after = m->def.after, .provides = m->def.provides,
            .options = m->def.options, .conf = m->conf ? m->conf->common : NULL};

        fn(&info, arg);
    }
}

struct hook_each {
    void (*fn)(const struct mk_hook_info *info, void *arg);
    void *arg;
};

static void
tell_hook(const char *hook, const char *module, int prio, const char *fn_name, const char *file, int line,
          void *arg)
{
    const struct hook_each *each = arg;
    const struct mk_hook_info info = {.size = sizeof(info), .hook = hook, .module = module,
                                      .priority = prio, .function = fn_name, .file = file, .line = line};

    each->fn(&info, each->arg);
}

void
mk_hook_each(void (*fn)(const struct mk_hook_info *info, void *arg), void *arg)
{
    struct hook_each each = {fn, arg};

    mki_hooks_each(tell_hook, &each);
}

/* -- readiness ------------------------------------------------------------------------------ */

struct check {
    struct check *next;
    char *name;
    mk_ready_fn fn;
    void *arg;
};

/* Taken to look as well: a check does not go while it is asked. */
static pthread_mutex_t checks_lock = PTHREAD_MUTEX_INITIALIZER;
static struct check *checks;

static void
check_gone(void *thing)
{
    struct check *gone = thing;
    struct check **p = &checks;

    pthread_mutex_lock(&checks_lock);
    while (*p != gone)
        p = &(*p)->next;
    *p = gone->next;
    pthread_mutex_unlock(&checks_lock);
    mk_free(gone->name);
    mk_free(gone);
}

int
mk_ready_add(struct mk_module *m, const char *name, mk_ready_fn fn, void *arg)
{
    struct check *c = mk_alloc(sizeof(*c));
    struct check **end = &checks;

    *c = (struct check){.name = mk_strdup(name), .fn = fn, .arg = arg};
    pthread_mutex_lock(&checks_lock);
    while (*end)
        end = &(*end)->next;
    *end = c;
    pthread_mutex_unlock(&checks_lock);
    mki_own(m, check_gone, c);
    return 0;
}

bool
mk_ready_each(void (*fn)(const char *name, const char *why, void *arg), void *arg)
{
    const char *why = mki_server_not_ready(NULL);
    bool ready = !why;

    if (fn)
        fn("server", why, arg);
    pthread_mutex_lock(&checks_lock);
    for (const struct check *c = checks; c; c = c->next) {
        why = c->fn(c->arg);
        ready = ready && !why;
        if (fn)
            fn(c->name, why, arg);
    }
    pthread_mutex_unlock(&checks_lock);
    return ready;
}
