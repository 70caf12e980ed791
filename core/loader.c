/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The loader: finds module files, checks descriptors, orders modules, runs their life cycle. */
#include "config.h"

#include "loader-internal.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define _LGPL_SOURCE
#include <urcu/urcu-memb.h>

#include "iq-internal.h"
#include "log-internal.h"
#include "metrics-internal.h"
#include "option-internal.h"
#include "worker-internal.h"

#define UNLOAD_WAIT_MS 10000

static struct mk_module **modules;      /* in start order once sorted */
static size_t module_count;
static unsigned next_order = 1;

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

/* -- files ---------------------------------------------------------------------------------- */

static char *
find_file(const char *name, const struct mk_option_list *path)
{
    for (size_t i = 0; i < path->count; i++) {
        char *file = mk_printf_new("%s/%s.so", path->items[i], name);

        if (access(file, R_OK) == 0)
            return file;
        mk_free(file);
    }
    return NULL;
}

#define PATH_BYTES 128

/*
 * A path to the descriptor that was never used before: the dynamic linker knows libraries by their
 * paths, and descriptor numbers come again. The number of this load is written with "/." and "/".
 */
static void
unique_path(char out[PATH_BYTES], int fd)
{
    static unsigned load;
    char *p = out + sprintf(out, "/proc/self");

    for (unsigned bits = ++load; bits; bits >>= 1)
        p += sprintf(p, bits & 1 ? "/." : "/");
    sprintf(p, "/fd/%d", fd);
}

/*
 * A private copy in memory is what gets mapped: overwriting the file must not pull the code away
 * from under us, and a reload must not be given the old mapping.
 */
static void *
open_copy(const char *file)
{
    char name[PATH_BYTES];
    struct stat st;
    void *dl = NULL;
    int from, to;
    off_t at = 0;

    if (getenv("MEERKAT_MODULES_IN_PLACE"))     /* for debuggers and sanitizers */
        return dlopen(file, RTLD_NOW | RTLD_LOCAL);
    from = open(file, O_RDONLY | O_CLOEXEC);
    to = memfd_create(strrchr(file, '/') + 1, MFD_CLOEXEC);
    if (from >= 0 && to >= 0 && fstat(from, &st) == 0) {
        while (at < st.st_size && sendfile(to, from, &at, (size_t)(st.st_size - at)) > 0)
            ;
        unique_path(name, to);
        if (at == st.st_size)
            dl = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    }
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    return dl ? dl : dlopen(file, RTLD_NOW | RTLD_LOCAL);
}

static int
check_def(const struct mk_module_def *def, const char *name, const char *file, struct mk_error *err)
{
    if (def->magic != MK_MODULE_MAGIC)
        return mk_fail(err, "'%s' is not a Meerkat module", file);
    if (def->abi_major != MK_ABI_MAJOR || def->abi_minor > MK_ABI_MINOR)
        return mk_fail(err, "'%s' was built for module interface %u.%u, this server has %u.%u: rebuild "
                       "the module", file, def->abi_major, def->abi_minor, MK_ABI_MAJOR,
                       MK_ABI_MINOR);
    if (def->size < offsetof(struct mk_module_def, check))
        return mk_fail(err, "'%s' has a descriptor of %u bytes: rebuild the module", file, def->size);
    if (!def->name || strcmp(def->name, name) != 0)
        return mk_fail(err, "'%s' calls itself '%s': the file's name must be the module's", file,
                       def->name ? def->name : "");
    return 0;
}

struct mk_module *
mki_module_open(const char *name, const struct mk_option_list *path, struct mk_error *err)
{
    const struct mk_module_def *def;
    struct mk_module *m = NULL;
    char *file = find_file(name, path);
    void *dl;

    if (!file) {
        mk_fail(err, "there is no module '%s' in the module path", name);
        return NULL;
    }
    dl = open_copy(file);
    if (!dl) {
        mk_fail(err, "cannot load '%s': %s", file, dlerror());
        goto out;
    }
    def = dlsym(dl, "mk_module_def");
    if (!def) {
        mk_fail(err, "'%s' is not a Meerkat module: it has no mk_module_def", file);
        goto out;
    }
    if (check_def(def, name, file, err) < 0)
        goto out;
    m = mk_zalloc(sizeof(*m));
    m->magic = MKI_MODULE_STRUCT_MAGIC;
    memcpy(&m->def, def, def->size < sizeof(m->def) ? def->size : sizeof(m->def));
    m->dl = dl;
    mki_list_init(&m->owned);
    m->log_level = (int)mki_log_level_of(name);
    dl = NULL;
out:
    if (dl)
        dlclose(dl);
    mk_free(file);
    return m;
}

static void
conf_free_later(struct mk_module *m)
{
    mki_conf_free(&m->def, m->conf);
    m->conf = NULL;
}

void
mki_module_close(struct mk_module *m)
{
    mki_services_forget(m);
    if (m->stuck)
        return;
    conf_free_later(m);
    /* Mapped code stays by default: something may still point into it (an RCU callback, a message). */
    if (getenv("MEERKAT_DLCLOSE"))
        dlclose(m->dl);
    m->magic = 0;
    mk_free(m);
}

/* -- dependencies --------------------------------------------------------------------------- */

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

static struct mk_module *
load_one(const char *name, struct mki_ini *ini, const struct mk_option_list *path,
         const struct mk_option_list *hosts, const char *wanted_by)
{
    struct mk_error err;
    struct mk_module *m = mki_module_open(name, path, &err);

    if (!m) {
        if (wanted_by)
            mki_ini_error(ini, NULL, "module '%s' needs '%s': %s", wanted_by, name, err.text);
        else
            mki_ini_error(ini, NULL, "[module:%s]: %s", name, err.text);
        return NULL;
    }
    m->needed_only = wanted_by != NULL;
    m->conf = mki_ini_conf(ini, &m->def, hosts);
    m->state = MKI_CONFIGURED;
    modules = mk_realloc(modules, (module_count + 1) * sizeof(*modules));
    modules[module_count++] = m;
    return m;
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

struct loading {
    struct mki_ini *ini;
    const struct mk_option_list *path, *hosts;
    const char *by;
};

static void
load_named(const char *name, void *arg)
{
    struct loading *l = arg;

    if (!mki_module_find(name))
        load_one(name, l->ini, l->path, l->hosts, l->by);
}

static void
load_needed(struct mki_ini *ini, const struct mk_option_list *path,
            const struct mk_option_list *hosts, size_t from)
{
    /* The list grows while we walk it. First what options name: it may provide a service. */
    for (size_t i = from; i < module_count; i++) {
        struct loading l = {ini, path, hosts, modules[i]->def.name};

        each_named(modules[i], load_named, &l);
    }
    for (size_t i = from; i < module_count; i++) {
        struct loading l = {ini, path, hosts, modules[i]->def.name};

        for (const char *const *d = modules[i]->def.depends; d && *d; d++) {
            if (!meant_by(*d) && load_one(*d, ini, path, hosts, modules[i]->def.name))
                each_named(modules[module_count - 1], load_named, &l);
        }
    }
}

/* -- order ---------------------------------------------------------------------------------- */

enum { UNSEEN, VISITING, PLACED };

struct sorting {
    struct mk_module **out;
    size_t count;
    char *seen;                 /* by position in modules */
    struct mk_error *err;
    int rc;
};

static void visit(struct sorting *s, struct mk_module *m, const char *by);

static size_t
position(const struct mk_module *m)
{
    size_t i = 0;

    while (modules[i] != m)
        i++;
    return i;
}

static void
visit_named(const char *name, void *arg)
{
    struct sorting *s = arg;
    struct mk_module *m = mki_module_find(name);

    if (m)
        visit(s, m, "");
}

static void
visit_all_of(struct sorting *s, const char *name, const char *by)
{
    struct mk_module *m = mki_module_find(name);

    if (m) {
        visit(s, m, by);
        return;
    }
    for (size_t i = 0; i < module_count; i++) {
        if (in_list(modules[i]->def.provides, name))
            visit(s, modules[i], by);
    }
}

static void
visit(struct sorting *s, struct mk_module *m, const char *by)
{
    size_t at = position(m);

    if (s->rc < 0 || s->seen[at] == PLACED)
        return;
    if (s->seen[at] == VISITING) {
        s->rc = mk_fail(s->err, "modules need each other in a circle: '%s' and '%s'", by,
                        m->def.name);
        return;
    }
    s->seen[at] = VISITING;
    each_named(m, visit_named, s);
    for (const char *const *d = m->def.depends; d && *d; d++)
        visit_all_of(s, *d, m->def.name);
    for (const char *const *d = m->def.after; d && *d; d++)
        visit_all_of(s, *d, m->def.name);
    s->seen[at] = PLACED;
    s->out[s->count++] = m;
}

static int
by_name(const void *a, const void *b)
{
    return strcmp((*(struct mk_module *const *)a)->def.name, (*(struct mk_module *const *)b)->def.name);
}

static int
sort_modules(struct mk_error *err)
{
    struct sorting s = {.err = err};

    qsort(modules, module_count, sizeof(*modules), by_name);
    s.out = mk_zalloc((module_count + 1) * sizeof(*s.out));
    s.seen = mk_zalloc(module_count + 1);
    for (size_t i = 0; i < module_count; i++)
        visit(&s, modules[i], "");
    mk_free(s.seen);
    if (s.rc < 0) {
        mk_free(s.out);
        return -1;
    }
    mk_free(modules);
    modules = s.out;
    return 0;
}

void
mki_modules_load(struct mki_ini *ini, const struct mk_option_list *path,
                 const struct mk_option_list *hosts)
{
    struct mk_error err;
    const char *name;

    for (size_t n = 0; (name = mki_ini_module(ini, n)); n++) {
        if (!mki_module_find(name))
            load_one(name, ini, path, hosts, NULL);
    }
    load_needed(ini, path, hosts, 0);
    if (sort_modules(&err) < 0)
        mki_ini_error(ini, NULL, "%s", err.text);
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

    for (int waited = 0; __atomic_load_n(&m->busy, __ATOMIC_ACQUIRE); waited += 2) {
        if (waited > UNLOAD_WAIT_MS)
            return false;
        nanosleep(&nap, NULL);
    }
    return true;
}

/* The one way down, from whichever state. */
static void
teardown(struct mk_module *m)
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
    m->stuck = !wait_idle(m);
    if (m->stuck)
        mki_log(MK_LOG_ERROR, "module.busy",
                "module '%s' still has %u things under way; its memory stays", m->def.name, m->busy);
    mki_metrics_module_gone(m);
    /* What it has deferred runs its code: before its state goes, and before its code does. */
    urcu_memb_barrier();
    /* Of a stuck one somebody else still holds pointers, and will call back. */
    if (m->state >= MKI_INITED && m->def.unload && !m->stuck)
        m->def.unload(m);
    urcu_memb_barrier();
    m->state = MKI_STOPPED;
}

static int
init_one(struct mk_module *m, struct mk_error *err)
{
    m->order = next_order++;
    m->state = MKI_INITED;
    if (m->def.init && m->def.init(m, err) < 0)
        return -1;
    return 0;
}

static int
start_one(struct mk_module *m, struct mk_error *err)
{
    m->state = MKI_STARTED;
    return m->def.start ? m->def.start(m, err) : 0;
}

int
mki_modules_start(struct mk_error *err)
{
    struct mk_error why = {""};

    for (size_t pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < module_count; i++) {
            struct mk_module *m = modules[i];

            if ((pass == 0 ? init_one(m, &why) : start_one(m, &why)) == 0)
                continue;
            mk_fail(err, "module '%s' cannot start: %s", m->def.name, why.text);
            mki_modules_stop();
            return -1;
        }
    }
    return 0;
}

void
mki_modules_stop(void)
{
    for (size_t i = module_count; i-- > 0;) {
        if (modules[i]->state == MKI_INITED || modules[i]->state == MKI_STARTED)
            teardown(modules[i]);
    }
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

int
mki_module_add(const char *name, struct mki_ini *ini, const struct mk_option_list *path,
               const struct mk_option_list *hosts, struct mk_error *err)
{
    size_t before = module_count;
    struct mk_error why = {""};

    if (mki_module_find(name))
        return mk_fail(err, "module '%s' is loaded already", name);
    load_one(name, ini, path, hosts, NULL);
    load_needed(ini, path, hosts, before);
    if (ini->error_count) {
        mk_fail(err, "%s", mk_buf_cstr(&ini->errors));
        goto fail;
    }
    /* Needed ones were loaded behind the one that needs them. */
    for (size_t i = module_count; i-- > before;) {
        if (init_one(modules[i], &why) < 0 || start_one(modules[i], &why) < 0) {
            mk_fail(err, "module '%s' cannot start: %s", modules[i]->def.name, why.text);
            goto fail;
        }
    }
    mki_log(MK_LOG_INFO, "module.load", "loaded module '%s' %s", name,
            mki_module_find(name)->def.version);
    return 0;
fail:
    while (module_count > before) {
        struct mk_module *m = modules[--module_count];

        if (m->state == MKI_INITED || m->state == MKI_STARTED)
            teardown(m);
        mki_module_close(m);
    }
    return -1;
}

int
mki_module_try(const char *name, struct mki_ini *ini, const struct mk_option_list *path,
               const struct mk_option_list *hosts, struct mk_error *err)
{
    struct mk_module *m = mki_module_open(name, path, err);

    if (!m)
        return -1;
    m->conf = mki_ini_conf(ini, &m->def, hosts);
    mki_module_close(m);
    return ini->error_count ? mk_fail(err, "%s", mk_buf_cstr(&ini->errors)) : 0;
}

static int
check_unused(const struct mk_module *m, struct mk_error *err)
{
    for (size_t i = 0; i < module_count; i++) {
        const struct mk_module *other = modules[i];
        bool needs = in_list(other->def.depends, m->def.name);

        for (size_t k = 0; k < other->use_count; k++)
            needs |= other->uses[k] == m;
        if (needs && other != m)
            return mk_fail(err, "module '%s' is needed by '%s'", m->def.name, other->def.name);
    }
    return 0;
}

int
mki_module_remove(const char *name, struct mk_error *err)
{
    struct mk_module *m = mki_module_find(name);
    size_t at;

    if (!m)
        return mk_fail(err, "module '%s' is not loaded", name);
    if (check_unused(m, err) < 0)
        return -1;
    at = position(m);
    teardown(m);
    memmove(modules + at, modules + at + 1, (module_count - at - 1) * sizeof(*modules));
    module_count--;
    mki_log(MK_LOG_INFO, "module.unload", "unloaded module '%s'", name);
    mki_module_close(m);
    return 0;
}

/* -- reload --------------------------------------------------------------------------------- */

static void
warn_fixed(const struct mk_module *m, const void *old, const void *now)
{
    for (const struct mk_option *o = m->def.options; o && o->type != MK_TYPE_END; o++) {
        if (!(o->flags & MK_OPT_RELOADABLE) && !mki_option_same(o, old, now))
            mki_log(MK_LOG_WARN, "config.restart", "[module:%s] '%s' changed: it takes effect after a "
                    "restart of the module", m->def.name, o->name);
    }
}

struct old_conf {
    struct mk_module_def def;
    struct mki_conf *conf;
};

static void
old_conf_free(void *arg)
{
    struct old_conf *old = arg;

    mki_conf_free(&old->def, old->conf);
    mk_free(old);
}

static void
swap_conf(struct mk_module *m, struct mki_conf *now)
{
    struct old_conf *old = mk_alloc(sizeof(*old));

    warn_fixed(m, m->conf->common, now->common);
    old->def = m->def;
    old->conf = m->conf;
    __atomic_store_n(&m->conf, now, __ATOMIC_RELEASE);
    mk_rcu_defer(old_conf_free, old);
    if (m->def.reloaded)
        m->def.reloaded(m);
}

int
mki_modules_reconfigure(struct mki_ini *ini, const struct mk_option_list *hosts)
{
    struct mki_conf **fresh = mk_zalloc((module_count + 1) * sizeof(*fresh));
    const char *name;
    int rc = 0;

    for (size_t i = 0; i < module_count; i++)
        fresh[i] = mki_ini_conf(ini, &modules[i]->def, hosts);
    for (size_t n = 0; (name = mki_ini_module(ini, n)); n++) {
        char *section = mk_printf_new("module:%s", name);

        if (!mki_module_find(name)) {
            mki_log(MK_LOG_WARN, "config.restart", "[%s] is new: load the module, or restart",
                    section);
            for (size_t i = 0; i < ini->count; i++)
                ini->entries[i].used |= strncmp(ini->entries[i].section, section, strlen(section)) == 0;
        }
        mk_free(section);
    }
    mki_ini_unused(ini);
    if (ini->error_count)
        rc = -1;
    for (size_t i = 0; i < module_count; i++) {
        if (rc == 0)
            swap_conf(modules[i], fresh[i]);
        else
            mki_conf_free(&modules[i]->def, fresh[i]);
    }
    mk_free(fresh);
    return rc;
}
