/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The INI file (inih): sections, includes, values from the environment and from files, --set. All
 * errors are gathered, each with its place; nothing is applied here.
 */
#include "config.h"

#include "config-internal.h"

#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>

#include <ini.h>

#include "option-internal.h"

#define MAX_DEPTH 8
#define MAX_VALUE_FILE 65536

/* Where a file is being read; inih asks for lines through next_line. */
struct source {
    struct mki_ini *ini;
    FILE *stream;
    const char *file;
    int line;
    int depth;
    char section[256];
};

static void read_file(struct mki_ini *ini, const char *file, int depth);

void
mki_ini_error(struct mki_ini *ini, const struct mki_entry *e, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (e && e->line)
        mk_buf_printf(&ini->errors, "%s:%d: %s\n", e->file, e->line, text);
    else if (e)
        mk_buf_printf(&ini->errors, "%s: %s\n", e->file, text);
    else
        mk_buf_printf(&ini->errors, "%s\n", text);
    ini->error_count++;
}

/* [ping] is short for [module:ping]. */
static char *
canonical_section(const char *name)
{
    if (strcmp(name, "meerkat") == 0 || strcmp(name, "log") == 0 || strncmp(name, "module:", 7) == 0)
        return mk_strdup(name);
    return mk_printf_new("module:%s", name);
}

static struct mki_entry *
add_entry(struct mki_ini *ini, const char *section, const char *key, char *value, const char *file,
          int line)
{
    struct mki_entry *e;

    ini->entries = mk_realloc(ini->entries, (ini->count + 1) * sizeof(*ini->entries));
    e = &ini->entries[ini->count++];
    *e = (struct mki_entry){.section = canonical_section(section), .key = mk_strdup(key),
                            .value = value, .file = mk_strdup(file), .line = line};
    return e;
}

/* ${NAME} and ${NAME:-default} anywhere in a value. */
static char *
expand_environment(struct mki_ini *ini, const struct mki_entry *at, const char *value)
{
    struct mk_buf out = {0};

    while (*value) {
        const char *open = strstr(value, "${"), *close = open ? strchr(open, '}') : NULL;
        char *name, *preset;
        const char *found;

        if (!close) {
            mk_buf_add_cstr(&out, value);
            break;
        }
        mk_buf_add(&out, value, (size_t)(open - value));
        name = mk_str_dup((struct mk_str){open + 2, (size_t)(close - open - 2)});
        preset = strstr(name, ":-");
        if (preset) {
            *preset = '\0';
            preset += 2;
        }
        found = getenv(name);
        if (found || preset)
            mk_buf_add_cstr(&out, found ? found : preset);
        else
            mki_ini_error(ini, at, "the environment has no '%s'", name);
        mk_free(name);
        value = close + 1;
    }
    return mk_buf_take(&out);
}

/* The content of a file without its last line end: for secrets. */
static char *
value_of_file(struct mki_ini *ini, const struct mki_entry *at, const char *file)
{
    struct mk_buf out = {0};
    FILE *f = fopen(file, "re");
    char chunk[4096];
    size_t n;

    if (!f) {
        mki_ini_error(ini, at, "cannot read '%s': %s", file, strerror(errno));
        return mk_strdup("");
    }
    while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0 && out.len < MAX_VALUE_FILE)
        mk_buf_add(&out, chunk, n);
    if (ferror(f) || out.len >= MAX_VALUE_FILE)
        mki_ini_error(ini, at, "cannot use '%s' as a value: %s", file,
                      ferror(f) ? "it cannot be read" : "it is too large");
    fclose(f);
    while (out.len && (out.data[out.len - 1] == '\n' || out.data[out.len - 1] == '\r'))
        out.len--;
    return mk_buf_take(&out);
}

static void
add_value(struct mki_ini *ini, const char *section, const char *key, const char *value,
          const char *file, int line)
{
    struct mki_entry at = {.file = (char *)file, .line = line};
    char *expanded = expand_environment(ini, &at, value);

    if (strncmp(expanded, "file:", 5) == 0) {
        char *content = value_of_file(ini, &at, expanded + 5);

        mk_free(expanded);
        expanded = content;
    }
    add_entry(ini, section, key, expanded, file, line);
}

static int
on_entry(void *user, const char *section, const char *key, const char *value)
{
    struct source *src = user;
    struct mki_entry at = {.file = (char *)src->file, .line = src->line};
    struct mki_entry *last = src->ini->count ? &src->ini->entries[src->ini->count - 1] : NULL;

    if (!*section) {
        mki_ini_error(src->ini, &at, "'%s' stands before any [section]", key);
        return 1;
    }
    /* inih gives the lines of a long value one by one. */
    if (last && last->key && strcmp(last->key, key) == 0 && last->line != src->line &&
        isspace((unsigned char)src->section[0])) {
        char *joined = mk_printf_new("%s %s", last->value, value);

        mk_free(last->value);
        last->value = joined;
        return 1;
    }
    add_value(src->ini, section, key, value, src->file, src->line);
    return 1;
}

static void
include(struct source *src, const char *pattern)
{
    struct mki_entry at = {.file = (char *)src->file, .line = src->line};
    char *copy = mk_strdup(src->file), *full;
    glob_t found;

    full = *pattern == '/' ? mk_strdup(pattern) : mk_printf_new("%s/%s", dirname(copy), pattern);
    if (src->depth >= MAX_DEPTH) {
        mki_ini_error(src->ini, &at, "files include each other more than %d deep", MAX_DEPTH);
    } else if (glob(full, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++)
            read_file(src->ini, found.gl_pathv[i], src->depth + 1);
        globfree(&found);
    } else if (!strpbrk(pattern, "*?[")) {
        mki_ini_error(src->ini, &at, "cannot include '%s': no such file", full);
    }
    mk_free(copy);
    mk_free(full);
}

/* inih's reader: counts lines, notes sections, and takes @include lines out. */
static char *
next_line(char *line, int size, void *user)
{
    struct source *src = user;
    struct mki_entry at = {.file = (char *)src->file};
    char *p, *end;

    if (!fgets(line, size, src->stream))
        return NULL;
    at.line = ++src->line;
    if (!strchr(line, '\n') && !feof(src->stream)) {
        int c;

        mki_ini_error(src->ini, &at, "the line is longer than %d characters: continue it on the "
                      "next line, indented", size - 2);
        while ((c = fgetc(src->stream)) != EOF && c != '\n')
            ;
        line[0] = '\0';
    }
    src->section[0] = line[0];
    for (p = line; isspace((unsigned char)*p); p++)
        ;
    end = strpbrk(p, "\r\n");
    if (*p == '[' && strchr(p, ']')) {
        struct mk_str name = {p + 1, strcspn(p + 1, "]")};
        char *copy = mk_str_dup(name);

        add_entry(src->ini, copy, NULL, NULL, src->file, src->line);
        mk_free(copy);
    } else if (strncmp(p, "@include", 8) == 0 && isspace((unsigned char)p[8])) {
        if (end)
            *end = '\0';
        for (p += 9; isspace((unsigned char)*p); p++)
            ;
        p = mk_strdup(p);
        line[0] = '\0';
        include(src, p);
        mk_free(p);
    }
    return line;
}

static void
read_file(struct mki_ini *ini, const char *file, int depth)
{
    struct source src = {.ini = ini, .file = file, .depth = depth};
    struct mki_entry at = {.file = (char *)file};
    int bad;

    src.stream = fopen(file, "re");
    if (!src.stream) {
        mki_ini_error(ini, &at, "cannot read it: %s", strerror(errno));
        return;
    }
    bad = ini_parse_stream(next_line, &src, on_entry, &src);
    at.line = bad;
    if (bad > 0)
        mki_ini_error(ini, &at, "neither '[section]' nor 'key = value' nor a comment");
    else if (bad < 0)
        mki_ini_error(ini, &at, "cannot be read");
    fclose(src.stream);
}

static void
read_set(struct mki_ini *ini, const char *set)
{
    struct mki_entry at = {.file = (char *)"--set"};
    const char *equals = strchr(set, '=');
    const char *dot = NULL;
    char *section, *key, *file;

    /* The last dot before '=' that is followed by a key: hosts have dots as well. */
    for (const char *p = set; equals && p < equals; p++) {
        if (*p == '.')
            dot = p;
    }
    if (!dot || dot == set || dot + 1 == equals) {
        mki_ini_error(ini, &at, "'%s' is not section.key=value", set);
        return;
    }
    section = mk_str_dup((struct mk_str){set, (size_t)(dot - set)});
    key = mk_str_dup((struct mk_str){dot + 1, (size_t)(equals - dot - 1)});
    file = mk_printf_new("--set %s.%s", section, key);
    add_entry(ini, section, NULL, NULL, file, 0);
    add_value(ini, section, key, equals + 1, file, 0);
    mk_free(section);
    mk_free(key);
    mk_free(file);
}

struct mki_ini *
mki_ini_read(const char *file, char *const *sets, size_t set_count)
{
    struct mki_ini *ini = mk_zalloc(sizeof(*ini));

    if (file)
        read_file(ini, file, 0);
    for (size_t i = 0; i < set_count; i++)
        read_set(ini, sets[i]);
    return ini;
}

void
mki_ini_free(struct mki_ini **ini)
{
    if (!*ini)
        return;
    for (size_t i = 0; i < (*ini)->count; i++) {
        struct mki_entry *e = &(*ini)->entries[i];

        mk_free(e->section);
        mk_free(e->key);
        if (e->value)
            mk_wipe(e->value, strlen(e->value));
        mk_free(e->value);
        mk_free(e->file);
    }
    mk_free((*ini)->entries);
    mk_buf_release(&(*ini)->errors);
    mk_free(*ini);
    *ini = NULL;
}

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

static void
fill_one(struct mki_ini *ini, const char *section, const char *over, const struct mk_option *o,
         void *conf)
{
    struct mki_entry *e = find_last(ini, section, o->name);
    struct mki_entry *narrow = find_last(ini, over, o->name);
    struct mk_error err;
    char *folder;
    int rc;

    if (narrow && !(o->flags & MK_OPT_PER_HOST)) {
        mki_ini_error(ini, narrow, "'%s' cannot be set for a single host", o->name);
        narrow = NULL;
    }
    if (narrow)
        e = narrow;
    if (!e) {
        if (o->flags & MK_OPT_REQUIRED)
            mki_ini_error(ini, NULL, "[%s] needs '%s': %s", section, o->name, o->help);
        else if (o->preset && mki_option_parse(o, o->preset, NULL, conf, &err) < 0)
            mki_ini_error(ini, NULL, "[%s] '%s': the default is wrong: %s", section, o->name,
                          err.text);
        return;
    }
    if (o->deprecated && !over)
        mk_log_module(mki_core_module(), MK_LOG_WARN, "config.deprecated", "%s:%d: '%s' is deprecated: %s",
                      e->file, e->line, o->name, o->deprecated);
    folder = mk_strdup(e->file);
    rc = mki_option_parse(o, e->value, e->line ? dirname(folder) : NULL, conf, &err);
    mk_free(folder);
    if (rc < 0 && o->type == MK_TYPE_SECRET)
        mki_ini_error(ini, e, "'%s' has a value that cannot be used", o->name);
    else if (rc < 0)
        mki_ini_error(ini, e, "'%s': %s", o->name, err.text);
}

void
mki_ini_fill(struct mki_ini *ini, const char *section, const char *over,
             const struct mk_option *options, void *conf)
{
    for (const struct mk_option *o = options; o && o->type != MK_TYPE_END; o++)
        fill_one(ini, section, over, o, conf);
    for (size_t i = 0; i < ini->count; i++) {
        struct mki_entry *e = &ini->entries[i];
        const char *nearest;

        if (e->used || (strcmp(e->section, section) != 0 && !(over && strcmp(e->section, over) == 0)))
            continue;
        e->used = true;
        if (!e->key)
            continue;
        nearest = mki_option_nearest(options, e->key);
        if (nearest)
            mki_ini_error(ini, e, "[%s] has no option '%s'; did you mean '%s'?", e->section, e->key,
                          nearest);
        else
            mki_ini_error(ini, e, "[%s] has no option '%s'", e->section, e->key);
    }
}

static void *
fill_new(struct mki_ini *ini, const struct mk_module_def *def, const char *section,
         const char *over, const char *host)
{
    void *conf = mk_zalloc(def->conf_size);
    unsigned before = ini->error_count;
    struct mk_error err;

    mki_ini_fill(ini, section, over, def->options, conf);
    if (ini->error_count == before && def->check && def->check(conf, host, &err) < 0)
        mki_ini_error(ini, NULL, "[%s] %s", over ? over : section, err.text);
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
    for (size_t i = 0; i < hosts->count; i++) {
        char *over = mk_printf_new("module:%s@%s", def->name, hosts->items[i]);

        if (mki_ini_has(ini, over))
            conf->hosts[i] = fill_new(ini, def, section, over, hosts->items[i]);
        mk_free(over);
    }
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
mki_ini_unused(struct mki_ini *ini)
{
    for (size_t i = 0; i < ini->count; i++) {
        struct mki_entry *e = &ini->entries[i];
        const char *at;

        if (e->used)
            continue;
        at = strchr(e->section, '@');
        if (at)
            mki_ini_error(ini, e, "[%s]: '%s' is not one of meerkat.hosts, or its module is not enabled",
                          e->section, at + 1);
        else
            mki_ini_error(ini, e, "nothing uses [%s]%s%s", e->section, e->key ? " " : "",
                          e->key ? e->key : "");
        e->used = true;
    }
}
