/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The INI file (inih): sections, includes, values from the environment and from files, --set. config-env.c has
 * whole options from the environment. All errors are gathered, each with its place; what the values mean is config-fill.c's.
 */
#include "config.h"

#include "config-internal.h"

#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <ini.h>

#include <meerkat/jid.h>

#include "log-internal.h"

#define MAX_DEPTH 8
#define MAX_VALUE_FILE 65536

/* A file being read; inih asks for its lines through next_line. */
struct source {
    struct mki_ini *ini;
    const struct source *parent;    /* that includes this one */
    FILE *stream;
    const char *file;
    dev_t dev;
    ino_t ino;
    int line;
    int depth;
    char *section;                  /* NULL: before the first */
    size_t indent;                  /* of the last key's line: what stands deeper goes on with its value */
    bool has_key;
    bool goes_on;                   /* the line that inih has now is such a one */
};

static void read_file(struct mki_ini *ini, const char *file, const struct source *parent);

void
mki_ini_error(struct mki_ini *ini, const struct mki_entry *e, const char *fmt, ...)
{
    char text[1024];
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

int
mki_ini_fail(struct mki_ini *ini, struct mk_error *err)
{
    const char *line = mk_buf_cstr(&ini->errors), *end;

    if (!ini->error_count)
        return 0;
    mk_fail(err, "%.*s%s", (int)strcspn(line, "\n"), line,
            ini->error_count > 1 ? " (and more, see the log)" : "");
    for (; (end = strchr(line, '\n')); line = end + 1)
        mki_log(MK_LOG_ERROR, "config.bad", "%.*s", (int)(end - line), line);
    return -1;
}

/* -- sections and entries ------------------------------------------------------------------- */

/* [ping] is short for [module:ping]; a host is written as the server compares it. */
static char *
canonical_section(const char *name)
{
    const char *at = strchr(name, '@');
    struct mk_buf out = {0}, host = {0};

    if (strcmp(name, "meerkat") == 0 || strcmp(name, "log") == 0)
        return mk_strdup(name);
    if (strncmp(name, "module:", 7) == 0)
        name += 7;
    mk_buf_printf(&out, "module:%.*s", at ? (int)(at - name) : (int)strlen(name), name);
    if (at) {
        bool good = mk_prep_domain(&host, mk_str_of(at + 1)) == 0;

        mk_buf_printf(&out, "@%s", good ? mk_buf_cstr(&host) : at + 1);
        mk_buf_release(&host);
    }
    return mk_buf_take(&out);
}

/* An entry of the files (not of --set) with this section and key (NULL: the section's own line). */
static const struct mki_entry *
find_in_files(const struct mki_ini *ini, const char *section, const char *key, const char *file)
{
    for (size_t i = 0; i < ini->count; i++) {
        const struct mki_entry *e = &ini->entries[i];

        if (e->line && !e->key == !key && strcmp(e->section, section) == 0 &&
            (!key || strcmp(e->key, key) == 0) && (!file || strcmp(e->file, file) == 0))
            return e;
    }
    return NULL;
}

/* `value` NULL: the line of the section. What the files say twice is a mistake; --set wins over them. */
struct mki_entry *
mki_ini_add(struct mki_ini *ini, const char *section, const char *key, const char *value,
            const char *file, int line)
{
    struct mki_entry e = {.section = canonical_section(section), .key = mk_strdup(key),
                          .value = mk_strdup(value), .file = mk_strdup(file), .line = line};
    const struct mki_entry *first =
        line ? find_in_files(ini, e.section, key, key ? NULL : file) : NULL;

    if (first && key)
        mki_ini_error(ini, &e, "[%s] '%s' is set already, at %s:%d", e.section, key, first->file,
                      first->line);
    else if (first)
        mki_ini_error(ini, &e, "[%s] stands in this file already, on line %d", e.section,
                      first->line);
    ini->entries = mk_realloc(ini->entries, (ini->count + 1) * sizeof(*ini->entries));
    ini->entries[ini->count++] = e;
    return &ini->entries[ini->count - 1];
}

/* -- values from elsewhere ------------------------------------------------------------------ */

/* One "${NAME}" or "${NAME:-default}"; `text` is what stands between the braces. */
static void
expand_variable(struct mki_ini *ini, const struct mki_entry *e, struct mk_str text, struct mk_buf *out)
{
    char *name = mk_str_dup(text), *preset = strstr(name, ":-");
    const char *found;

    if (preset) {
        *preset = '\0';
        preset += 2;
    }
    found = getenv(name);
    if (found || preset)
        mk_buf_add_cstr(out, found ? found : preset);
    else
        mki_ini_error(ini, e, "[%s] '%s': the environment has no '%s'; set it, or write "
                      "${%s:-default}", e->section, e->key, name, name);
    mk_free(name);
}

/* The value with its variables; "$${" stands for "${". NULL: there is none in it. */
static char *
expand_environment(struct mki_ini *ini, const struct mki_entry *e)
{
    struct mk_buf out = {0};
    const char *value = e->value, *open, *close;

    if (!strstr(value, "${"))
        return NULL;
    while ((open = strstr(value, "${"))) {
        if (open > value && open[-1] == '$') {
            mk_buf_add(&out, value, (size_t)(open - value));
            mk_buf_add_byte(&out, '{');
            value = open + 2;
            continue;
        }
        close = strchr(open, '}');
        if (!close) {
            mki_ini_error(ini, e, "[%s] '%s': '${' has no '}'; write '$${' for the characters "
                          "themselves", e->section, e->key);
            break;
        }
        mk_buf_add(&out, value, (size_t)(open - value));
        expand_variable(ini, e, (struct mk_str){open + 2, (size_t)(close - open - 2)}, &out);
        value = close + 1;
    }
    mk_buf_add_cstr(&out, value);
    return mk_buf_take(&out);
}

/* The content of a file without its last line end: for secrets. */
static char *
value_of_file(struct mki_ini *ini, const struct mki_entry *e, const char *name)
{
    char *folder = mk_strdup(e->file);
    char *file = *name == '/' || !e->line ? mk_strdup(name)
                                          : mk_printf_new("%s/%s", dirname(folder), name);
    FILE *f = fopen(file, "re");
    const char *why = f ? NULL : strerror(errno);
    struct mk_buf out = {0};
    char chunk[4096];
    size_t n;

    while (f && (n = fread(chunk, 1, sizeof(chunk), f)) > 0 && out.len < MAX_VALUE_FILE)
        mk_buf_add(&out, chunk, n);
    if (f && ferror(f))
        why = strerror(errno);
    else if (out.len >= MAX_VALUE_FILE)
        why = "it is larger than 64 KB";
    else if (out.len && memchr(out.data, '\0', out.len))
        why = "it has a zero byte in it";
    if (why)
        mki_ini_error(ini, e, "[%s] '%s': cannot use the content of '%s': %s", e->section, e->key,
                      file, why);
    if (f)
        fclose(f);
    while (out.len && (out.data[out.len - 1] == '\n' || out.data[out.len - 1] == '\r'))
        out.len--;
    mk_wipe(chunk, sizeof(chunk));
    mk_free(folder);
    mk_free(file);
    return mk_buf_take(&out);
}

static void
replace_value(struct mki_entry *e, char *value)
{
    mk_wipe(e->value, strlen(e->value));
    mk_free(e->value);
    e->value = value;
    e->outside = true;
}

/* When all lines of all values are there. */
static void
expand_values(struct mki_ini *ini)
{
    for (size_t i = 0; i < ini->count; i++) {
        struct mki_entry *e = &ini->entries[i];
        unsigned before = ini->error_count;
        char *value;

        if (!e->key)
            continue;
        /* What the environment says as a whole is meant as it stands: a password may have "${" in it. */
        if (!e->variable && (value = expand_environment(ini, e)))
            replace_value(e, value);
        if (ini->error_count == before && strncmp(e->value, "file:", 5) == 0)
            replace_value(e, value_of_file(ini, e, e->value + 5));
        /* It is an error already: nobody shall look at the value and find another. */
        e->bad = ini->error_count != before;
    }
}

/* -- lines ---------------------------------------------------------------------------------- */

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
            read_file(src->ini, found.gl_pathv[i], src);
        globfree(&found);
    } else if (!strpbrk(pattern, "*?[")) {
        mki_ini_error(src->ini, &at, "cannot include '%s': no such file", full);
    }
    mk_free(copy);
    mk_free(full);
}

/* "[section]", perhaps with a comment behind it. */
static void
read_section(struct source *src, const char *text)
{
    struct mki_entry at = {.file = (char *)src->file, .line = src->line};
    const char *end = strchr(text, ']'), *behind = end ? end + 1 + strspn(end + 1, " \t") : NULL;

    src->has_key = false;
    mk_free(src->section);
    src->section = NULL;
    if (!end || end == text + 1 || (*behind && *behind != ';' && *behind != '#')) {
        mki_ini_error(src->ini, &at, "'%.100s' is not a [section]", text);
        src->section = mk_strdup("");
        return;
    }
    src->section = mk_str_dup((struct mk_str){text + 1, (size_t)(end - text - 1)});
    mki_ini_add(src->ini, src->section, NULL, NULL, src->file, src->line);
}

/* Does inih find a key here: '=' or ':' before a comment? */
static bool
has_key(const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '=' || *p == ':')
            return p != text;
        if (*p == ';' && isspace((unsigned char)p[-1]))
            return false;
    }
    return false;
}

/* A line that begins something new, `text` without white space around it. False: inih need not see it. */
static bool
begin_line(struct source *src, const char *text)
{
    struct mki_entry at = {.file = (char *)src->file, .line = src->line};

    src->has_key = false;
    if (*text == '[') {
        read_section(src, text);
    } else if (strncmp(text, "@include", 8) == 0 && (!text[8] || isspace((unsigned char)text[8]))) {
        for (text += 8; isspace((unsigned char)*text); text++)
            ;
        include(src, text);
    } else if (!has_key(text)) {
        /* Not the text itself: it may be the rest of a secret. */
        mki_ini_error(src->ini, &at, "neither '[section]' nor 'key = value' nor a comment");
    } else if (!src->section) {
        mki_ini_error(src->ini, &at, "'%.*s' stands before any [section]",
                      (int)strcspn(text, " \t=:"), text);
    } else {
        return src->has_key = *src->section;
    }
    return false;
}

/* A line longer than inih takes is an error of its own; the rest of it is skipped. */
static void
check_length(struct source *src, char *line, int size)
{
    struct mki_entry at = {.file = (char *)src->file, .line = src->line};
    int c;

    if (strchr(line, '\n') || feof(src->stream))
        return;
    if (strlen(line) + 1 < (size_t)size) {
        mki_ini_error(src->ini, &at, "the line has a zero byte in it");
        line[0] = '\0';
        return;
    }
    mki_ini_error(src->ini, &at, "the line is longer than %d characters: continue it on the next "
                  "line, indented, or write file:PATH", size - 2);
    while ((c = fgetc(src->stream)) != EOF && c != '\n')
        ;
    line[0] = '\0';
}

/* inih does that for the first line of a value alone. */
static void
cut_comment(char *line)
{
    for (char *p = line + 1; *p; p++) {
        if (*p == ';' && isspace((unsigned char)p[-1])) {
            *p = '\0';
            return;
        }
    }
}

/* inih's reader. It gets keys with their values alone; the rest is dealt with here. */
static char *
next_line(char *line, int size, void *user)
{
    struct source *src = user;
    size_t indent, len;

    if (!fgets(line, size, src->stream))
        return NULL;
    src->line++;
    check_length(src, line, size);
    if (src->line == 1 && strncmp(line, "\xef\xbb\xbf", 3) == 0)
        memmove(line, line + 3, strlen(line + 3) + 1);
    for (len = strlen(line); len && isspace((unsigned char)line[len - 1]); len--)
        ;
    line[len] = '\0';
    indent = strspn(line, " \t");
    if (!line[indent] || line[indent] == ';' || line[indent] == '#') {
        line[0] = '\0';
        return line;
    }
    src->goes_on = src->has_key && indent > src->indent;
    if (src->goes_on) {
        cut_comment(line);
        return line;
    }
    memmove(line, line + indent, len - indent + 1);
    src->indent = indent;
    if (!begin_line(src, line))
        line[0] = '\0';
    return line;
}

static int
on_entry(void *user, const char *section, const char *key, const char *value)
{
    struct source *src = user;
    struct mki_entry *last;
    char *joined;

    (void)section;      /* inih cuts long ones */
    if (!src->goes_on) {
        mki_ini_add(src->ini, src->section, key, value, src->file, src->line);
        return 1;
    }
    /* inih gives the lines of a long value one by one. */
    last = &src->ini->entries[src->ini->count - 1];
    joined = mk_printf_new("%s%s%s", last->value, *last->value ? " " : "", value);
    mk_wipe(last->value, strlen(last->value));
    mk_free(last->value);
    last->value = joined;
    return 1;
}

/* Is this file among those that are being read? */
static bool
is_open(const struct source *src, const struct stat *st)
{
    for (; src; src = src->parent) {
        if (src->dev == st->st_dev && src->ino == st->st_ino)
            return true;
    }
    return false;
}

static void
read_file(struct mki_ini *ini, const char *file, const struct source *parent)
{
    struct source src = {.ini = ini, .file = file, .parent = parent,
                         .depth = parent ? parent->depth + 1 : 0};
    struct mki_entry at = {.file = (char *)(parent ? parent->file : file),
                           .line = parent ? parent->line : 0};
    struct stat st;

    src.stream = fopen(file, "re");
    if (!src.stream || fstat(fileno(src.stream), &st) < 0) {
        mki_ini_error(ini, &at, "cannot read '%s': %s", file, strerror(errno));
    } else if (is_open(parent, &st)) {
        mki_ini_error(ini, &at, "'%s' is being read already: files include each other in a circle",
                      file);
    } else {
        src.dev = st.st_dev;
        src.ino = st.st_ino;
        if (ini_parse_stream(next_line, &src, on_entry, &src) != 0 && !ini->error_count)
            mki_ini_error(ini, &at, "cannot read '%s': it is not an INI file", file);
        if (ferror(src.stream))
            mki_ini_error(ini, &at, "cannot read '%s': %s", file, strerror(errno));
    }
    if (src.stream)
        fclose(src.stream);
    mk_free(src.section);
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
        mki_ini_error(ini, &at, "'%.*s' is not section.key=value", (int)strcspn(set, "="), set);
        return;
    }
    section = mk_str_dup((struct mk_str){set, (size_t)(dot - set)});
    key = mk_str_dup((struct mk_str){dot + 1, (size_t)(equals - dot - 1)});
    file = mk_printf_new("--set %s.%s", section, key);
    mki_ini_add(ini, section, NULL, NULL, file, 0);
    mki_ini_add(ini, section, key, equals + 1, file, 0);
    mk_free(section);
    mk_free(key);
    mk_free(file);
}

struct mki_ini *
mki_ini_read(const char *file, char *const *sets, size_t set_count)
{
    struct mki_ini *ini = mk_zalloc(sizeof(*ini));

    if (file)
        read_file(ini, file, NULL);
    mki_ini_read_environment(ini);
    for (size_t i = 0; i < set_count; i++)
        read_set(ini, sets[i]);
    expand_values(ini);
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
        mk_free(e->variable);
    }
    mk_free((*ini)->entries);
    mk_buf_release(&(*ini)->errors);
    mk_free(*ini);
    *ini = NULL;
}
