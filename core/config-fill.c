/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Entries of the INI file become structures, by the tables of options. */
#include "config.h"

#include "config-internal.h"

#include <libgen.h>

#include "option-internal.h"

bool
mki_ini_has(const struct mki_ini *ini, const char *section)
{
    for (size_t i = 0; i < ini->count; i++) {
        if (strcmp(ini->entries[i].section, section) == 0)
            return true;
    }
    return false;
}

const char *
mki_ini_module(const struct mki_ini *ini, size_t n)
{
    for (size_t i = 0; i < ini->count; i++) {
        const char *s = ini->entries[i].section;
        bool seen = false;

        if (strncmp(s, "module:", 7) != 0 || strchr(s, '@'))
            continue;
        for (size_t k = 0; k < i && !seen; k++)
            seen = strcmp(ini->entries[k].section, s) == 0;
        if (!seen && n-- == 0)
            return s + 7;
    }
    return NULL;
}

static struct mki_entry *
find_last(struct mki_ini *ini, const char *section, const char *key)
{
    struct mki_entry *found = NULL;

    for (size_t i = 0; section && i < ini->count; i++) {
        struct mki_entry *e = &ini->entries[i];

        if (strcmp(e->section, section) != 0 || !e->key || strcmp(e->key, key) != 0)
            continue;
        e->used = true;
        found = e;
    }
    return found;
}

const struct mki_entry *
mki_ini_place(const struct mki_ini *ini, const char *section, const char *key)
{
    const struct mki_entry *place = NULL, *head = NULL;

    for (size_t i = 0; i < ini->count; i++) {
        const struct mki_entry *e = &ini->entries[i];

        if (strcmp(e->section, section) != 0)
            continue;
        if (!e->key)
            head = head ? head : e;
        else if (key && strcmp(e->key, key) == 0)
            place = e;
    }
    return place ? place : head;
}

/* What was found and what is allowed; never a value that may be a secret. */
static void
bad_value(struct mki_ini *ini, const struct mki_entry *e, const struct mk_option *o, const char *why)
{
    struct mk_buf allowed = {0};

    mki_option_allowed(o, true, &allowed);
    if (o->type == MK_TYPE_SECRET)
        mki_ini_error(ini, e, "[%s] '%s' has a value that cannot be used", e->section, o->name);
    else if (e->outside)
        mki_ini_error(ini, e, "[%s] '%s': the value from the environment or a file cannot be used; "
                      "allowed: %s", e->section, o->name, mk_buf_cstr(&allowed));
    else
        mki_ini_error(ini, e, "[%s] '%s': %s; allowed: %s", e->section, o->name, why,
                      mk_buf_cstr(&allowed));
    mk_buf_release(&allowed);
}

static int
fill_preset(struct mki_ini *ini, const char *section, const struct mk_option *o, void *conf)
{
    struct mk_error err;

    if (o->flags & MK_OPT_REQUIRED)
        mki_ini_error(ini, mki_ini_place(ini, section, NULL), "[%s] needs '%s': %s", section, o->name,
                      o->help);
    else if (o->preset && mki_option_parse(o, o->preset, NULL, conf, &err) < 0)
        mki_ini_error(ini, NULL, "[%s] '%s': the default is wrong: %s", section, o->name, err.text);
    else
        return 0;
    return -1;
}

/* -1: the field has no value; that was told, now or before. */
static int
fill_one(struct mki_ini *ini, const char *section, const char *over, const struct mk_option *o,
         void *conf)
{
    struct mki_entry *e = find_last(ini, section, o->name);
    struct mki_entry *narrow = find_last(ini, over, o->name);
    struct mk_error err;
    char *folder;
    int rc;

    if (narrow && !(o->flags & MK_OPT_PER_HOST)) {
        mki_ini_error(ini, narrow, "[%s] '%s' cannot be set for a single host: set it in [%s]",
                      narrow->section, o->name, section);
        narrow = NULL;
    }
    if (narrow)
        e = narrow;
    if (!e)
        return fill_preset(ini, section, o, conf);
    /* An error already; and an error of [section] is told once, not again for each host. */
    if (e->bad)
        return -1;
    if (o->deprecated && !over)
        mk_log_module(mki_core_module(), MK_LOG_WARN, "config.deprecated", "%s:%d: '%s' is deprecated: %s",
                      e->file, e->line, o->name, o->deprecated);
    folder = mk_strdup(e->file);
    rc = mki_option_parse(o, e->value, e->line ? dirname(folder) : NULL, conf, &err);
    mk_free(folder);
    if (rc < 0) {
        bad_value(ini, e, o, err.text);
        e->bad = true;
    }
    return rc;
}

static void
unknown_key(struct mki_ini *ini, const struct mki_entry *e, const struct mk_option *options)
{
    const char *nearest = mki_option_nearest(options, e->key);
    char *variable = nearest && e->variable ? mki_variable_name(e->section, nearest) : NULL;

    if (variable)
        mki_ini_error(ini, e, "[%s] has no option '%s'; did you mean %s?", e->section, e->key, variable);
    else if (nearest)
        mki_ini_error(ini, e, "[%s] has no option '%s'; did you mean '%s'?", e->section, e->key,
                      nearest);
    else
        mki_ini_error(ini, e, "[%s] has no option '%s'", e->section, e->key);
    mk_free(variable);
}

int
mki_ini_fill(struct mki_ini *ini, const char *section, const char *over,
             const struct mk_option *options, void *conf)
{
    int rc = 0;

    for (const struct mk_option *o = options; o && o->type != MK_TYPE_END; o++)
        rc |= fill_one(ini, section, over, o, conf);
    for (size_t i = 0; i < ini->count; i++) {
        struct mki_entry *e = &ini->entries[i];

        if (e->used || (strcmp(e->section, section) != 0 && !(over && strcmp(e->section, over) == 0)))
            continue;
        e->used = true;
        if (e->key)
            unknown_key(ini, e, options);
    }
    if (!over)
        mki_ini_check_environment(ini, section, options);
    return rc;
}

int
mki_conf_check(struct mki_ini *ini, const struct mk_module_def *def, const void *conf,
               const char *section, const char *host)
{
    struct mk_error err = {""};

    if (!def->check || def->check(conf, host, &err) == 0)
        return 0;
    mki_ini_error(ini, mki_ini_place(ini, section, NULL), "[%s] %s", section, err.text);
    return -1;
}

static void *
fill_new(struct mki_ini *ini, const struct mk_module_def *def, const char *section,
         const char *over, const char *host)
{
    void *conf = mk_zalloc(def->conf_size);

    if (mki_ini_fill(ini, section, over, def->options, conf) == 0)
        (void)mki_conf_check(ini, def, conf, over ? over : section, host);
    return conf;
}

void *
mki_ini_conf_host(struct mki_ini *ini, const struct mk_module_def *def, const char *host)
{
    char *section = mk_printf_new("module:%s", def->name);
    char *over = mk_printf_new("module:%s@%s", def->name, host);
    void *conf = NULL;

    if (mki_ini_has(ini, over))
        conf = fill_new(ini, def, section, over, host);
    mk_free(section);
    mk_free(over);
    return conf;
}

struct mki_conf *
mki_ini_conf(struct mki_ini *ini, const struct mk_module_def *def, const struct mk_option_list *hosts)
{
    struct mki_conf *conf = mk_zalloc(sizeof(*conf));
    char *section = mk_printf_new("module:%s", def->name);

    conf->common = fill_new(ini, def, section, NULL, NULL);
    conf->host_count = hosts->count;
    conf->hosts = mk_zalloc((hosts->count + 1) * sizeof(*conf->hosts));
    for (size_t i = 0; i < hosts->count; i++)
        conf->hosts[i] = mki_ini_conf_host(ini, def, hosts->items[i]);
    mk_free(section);
    return conf;
}

void
mki_conf_free(const struct mk_module_def *def, struct mki_conf *conf)
{
    if (!conf)
        return;
    mki_option_free(def->options, conf->common);
    mk_free(conf->common);
    for (size_t i = 0; i < conf->host_count; i++) {
        if (conf->hosts[i])
            mki_option_free(def->options, conf->hosts[i]);
        mk_free(conf->hosts[i]);
    }
    mk_free(conf->hosts);
    mk_free(conf);
}

void
mki_ini_use(struct mki_ini *ini, const char *section)
{
    size_t len = strlen(section);

    for (size_t i = 0; i < ini->count; i++) {
        struct mki_entry *e = &ini->entries[i];

        e->used |= strncmp(e->section, section, len) == 0 &&
                   (!e->section[len] || e->section[len] == '@');
    }
}

/* [module:NAME@host] that nobody used: the host is wrong, or the module. */
static void
unused_host(struct mki_ini *ini, const struct mki_entry *e, const struct mk_option_list *hosts)
{
    const char *host = strchr(e->section, '@') + 1;
    struct mk_buf all = {0};

    for (size_t i = 0; i < hosts->count; i++) {
        if (strcmp(hosts->items[i], host) == 0) {
            mki_ini_error(ini, e, "[%s]: the module is not enabled; add [%.*s]", e->section,
                          (int)(host - 1 - e->section), e->section);
            mk_buf_release(&all);
            return;
        }
        mk_buf_printf(&all, "%s%s", i ? ", " : "", hosts->items[i]);
    }
    mki_ini_error(ini, e, "[%s]: '%s' is not one of the hosts; [meerkat] 'hosts' has: %s", e->section,
                  host, mk_buf_cstr(&all));
    mk_buf_release(&all);
}

void
mki_ini_unused(struct mki_ini *ini, const struct mk_option_list *hosts)
{
    for (size_t i = 0; i < ini->count; i++) {
        struct mki_entry *e = &ini->entries[i];

        if (e->used)
            continue;
        if (strchr(e->section, '@') && hosts->count)
            unused_host(ini, e, hosts);
        else
            mki_ini_error(ini, e, "nothing uses [%s]", e->section);
        mki_ini_use(ini, e->section);
    }
}
