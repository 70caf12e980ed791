/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * A new configuration while the modules run: everything is parsed and checked before anything is put in force.
 * What a reload cannot change keeps its old value, and the log names it.
 */
#include "config.h"

#include "loader-internal.h"

#include <meerkat/worker.h>

#include "log-internal.h"
#include "option-internal.h"

struct mki_reload {
    struct mki_conf **fresh;    /* by position of the module */
    struct mk_buf notes;        /* lines for the log */
};

void
mki_keep_fixed(const struct mk_option *options, const char *section, const void *old, void *now,
               struct mk_buf *notes)
{
    for (const struct mk_option *o = options; o && o->type != MK_TYPE_END; o++) {
        if ((o->flags & MK_OPT_RELOADABLE) || mki_option_same(o, old, now))
            continue;
        mki_option_copy(o, now, old);
        mk_buf_printf(notes, "[%s] '%s' has changed in the file: the old value stays in force until a "
                      "restart\n", section, o->name);
    }
}

void
mki_log_notes(struct mk_buf *notes)
{
    const char *line = mk_buf_cstr(notes), *end;

    for (; (end = strchr(line, '\n')); line = end + 1)
        mki_log(MK_LOG_WARN, "config.restart", "%.*s", (int)(end - line), line);
}

static void *
conf_dup(const struct mk_module_def *def, const void *from)
{
    void *conf = mk_zalloc(def->conf_size);

    for (const struct mk_option *o = def->options; o && o->type != MK_TYPE_END; o++)
        mki_option_copy(o, conf, from);
    return conf;
}

/* The same for what a host overrides, or did override. */
static void
keep_fixed_host(const struct mk_module *m, struct mki_conf *now, size_t i, struct mk_buf *notes)
{
    const void *old = m->conf->hosts[i] ? m->conf->hosts[i] : m->conf->common;
    char *section = mk_printf_new("module:%s@%s", m->def.name, mk_host_name(mk_host_nth(i)));
    size_t before = notes->len;

    if (!now->hosts[i] && m->conf->hosts[i]) {
        /* The section is gone, but values of it may have to stay. */
        now->hosts[i] = conf_dup(&m->def, now->common);
        mki_keep_fixed(m->def.options, section, old, now->hosts[i], notes);
        if (notes->len == before) {
            mki_option_free(m->def.options, now->hosts[i]);
            mk_free(now->hosts[i]);
            now->hosts[i] = NULL;
        }
    } else if (now->hosts[i]) {
        mki_keep_fixed(m->def.options, section, old, now->hosts[i], notes);
    }
    mk_free(section);
}

/* The file is right by itself; is it with the values that stay as they are? */
static void
check_kept(struct mki_ini *ini, const struct mk_module *m, const struct mki_conf *now)
{
    char *section = mk_printf_new("module:%s", m->def.name);

    (void)mki_conf_check(ini, &m->def, now->common, section, NULL);
    for (size_t i = 0; i < now->host_count; i++) {
        if (now->hosts[i])
            (void)mki_conf_check(ini, &m->def, now->hosts[i], section, mk_host_name(mk_host_nth(i)));
    }
    mk_free(section);
}

static void
keep_fixed_module(struct mki_ini *ini, const struct mk_module *m, struct mki_conf *now,
                  struct mk_buf *notes)
{
    char *section = mk_printf_new("module:%s", m->def.name);
    size_t before = notes->len;

    mki_keep_fixed(m->def.options, section, m->conf->common, now->common, notes);
    for (size_t i = 0; i < now->host_count; i++)
        keep_fixed_host(m, now, i, notes);
    if (notes->len != before)
        check_kept(ini, m, now);
    mk_free(section);
}

/* Sections for hosts that the server will have after a restart. */
static void
check_new_hosts(struct mki_ini *ini, const struct mk_module_def *def,
                const struct mk_option_list *hosts, const struct mk_option_list *wanted)
{
    for (size_t i = 0; i < wanted->count; i++) {
        void *conf;
        bool known = false;

        for (size_t k = 0; k < hosts->count && !known; k++)
            known = strcmp(hosts->items[k], wanted->items[i]) == 0;
        conf = known ? NULL : mki_ini_conf_host(ini, def, wanted->items[i]);
        if (conf)
            mki_option_free(def->options, conf);
        mk_free(conf);
    }
}

/* A module of the file that is not loaded: its options are checked all the same. */
static void
check_new_module(struct mki_ini *ini, const char *name, const struct mk_option_list *path,
                 const struct mk_option_list *wanted, struct mk_buf *notes)
{
    char *section = mk_printf_new("module:%s", name);
    struct mk_error err;
    struct mk_module *m = mki_module_open(name, path, &err);

    if (m) {
        m->conf = mki_ini_conf(ini, &m->def, wanted);
        mki_module_close(m);
        mk_buf_printf(notes, "[%s] is not loaded: load the module, or restart\n", section);
    } else {
        mki_ini_error(ini, mki_ini_place(ini, section, NULL), "[%s] %s", section, err.text);
    }
    mki_ini_use(ini, section);
    mk_free(section);
}

static void
note_gone(const struct mki_ini *ini, const struct mk_module *m, struct mk_buf *notes)
{
    char *section = mk_printf_new("module:%s", m->def.name);

    if (!m->needed_only && !mki_ini_has(ini, section))
        mk_buf_printf(notes, "[%s] is gone from the file: unload the module, or restart\n", section);
    mk_free(section);
}

struct mki_reload *
mki_reload_prepare(struct mki_ini *ini, const struct mk_option_list *path,
                   const struct mk_option_list *hosts, const struct mk_option_list *wanted)
{
    struct mki_reload *r = mk_zalloc(sizeof(*r));
    size_t count = mki_module_count();
    const char *name;

    r->fresh = mk_zalloc((count + 1) * sizeof(*r->fresh));
    for (size_t i = 0; i < count; i++) {
        const struct mk_module *m = mki_module_nth(i);

        r->fresh[i] = mki_ini_conf(ini, &m->def, hosts);
        check_new_hosts(ini, &m->def, hosts, wanted);
        note_gone(ini, m, &r->notes);
    }
    for (size_t n = 0; (name = mki_ini_module(ini, n)); n++) {
        if (!mki_module_find(name))
            check_new_module(ini, name, path, wanted, &r->notes);
    }
    mki_ini_unused(ini, wanted);
    for (size_t i = 0; i < count && ini->error_count == 0; i++)
        keep_fixed_module(ini, mki_module_nth(i), r->fresh[i], &r->notes);
    return r;
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

    old->def = m->def;
    old->conf = m->conf;
    __atomic_store_n(&m->conf, now, __ATOMIC_RELEASE);
    mk_rcu_defer(old_conf_free, old);
    if (m->def.reloaded && m->state == MKI_STARTED)
        m->def.reloaded(m);
}

static void
release(struct mki_reload **reload)
{
    mk_free((*reload)->fresh);
    mk_buf_release(&(*reload)->notes);
    mk_free(*reload);
    *reload = NULL;
}

void
mki_reload_commit(struct mki_reload **reload)
{
    for (size_t i = 0; i < mki_module_count(); i++)
        swap_conf(mki_module_nth(i), (*reload)->fresh[i]);
    mki_log_notes(&(*reload)->notes);
    release(reload);
}

void
mki_reload_discard(struct mki_reload **reload)
{
    for (size_t i = 0; i < mki_module_count(); i++)
        mki_conf_free(&mki_module_nth(i)->def, (*reload)->fresh[i]);
    release(reload);
}
