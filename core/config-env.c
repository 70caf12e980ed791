/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Options from the environment: MEERKAT_SECTION__KEY, in capitals, with two underscores between the section and the
 * key; those of [meerkat] are MEERKAT__KEY. They win over the file, and --set wins over them. Variables without two
 * underscores are not ours: Kubernetes makes MEERKAT_PORT and others for a service of that name.
 */
#include "config.h"

#include "config-internal.h"

#include <ctype.h>

#include "option-internal.h"

#define PREFIX "MEERKAT_"
#define PREFIX_LEN (sizeof(PREFIX) - 1)

extern char **environ;

char *
mki_variable_name(const char *section, const char *key)
{
    struct mk_buf out = {0};

    if (strncmp(section, "module:", 7) == 0)
        section += 7;
    if (strcmp(section, "meerkat") == 0)
        section = "";
    mk_buf_printf(&out, PREFIX "%s%s%s", section, *section ? "__" : "_", key);
    for (size_t i = 0; i < out.len; i++)
        out.data[i] = (char)toupper((unsigned char)out.data[i]);
    return mk_buf_take(&out);
}

static char *
lower(const char *from, size_t len)
{
    char *text = mk_str_dup((struct mk_str){from, len});

    for (char *p = text; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return text;
}

/* "MEERKAT__HOSTS=…" has its two underscores at once: they begin at the end of the prefix. */
static void
read_variable(struct mki_ini *ini, const char *variable, size_t len)
{
    char *name = mk_str_dup((struct mk_str){variable, len}), *file = mk_printf_new("environment %s", name);
    struct mki_entry at = {.file = file}, *e;
    const char *rest = name + PREFIX_LEN - 1, *split = strstr(rest, "__");
    char *section = split == rest ? mk_strdup("meerkat") : lower(rest + 1, (size_t)(split - rest - 1));
    char *key = lower(split + 2, strlen(split + 2));
    char *wanted = mki_variable_name(section, key);

    if (!*section || !*key) {
        mki_ini_error(ini, &at, "this is not MEERKAT_SECTION__KEY");
    } else if (strcmp(wanted, name) != 0) {
        mki_ini_error(ini, &at, "an option is written %s", wanted);
    } else {
        mki_ini_add(ini, section, NULL, NULL, file, 0);
        e = mki_ini_add(ini, section, key, variable + len + 1, file, 0);
        e->variable = mk_strdup(name);
        e->outside = true;
    }
    mk_free(wanted);
    mk_free(section);
    mk_free(key);
    mk_free(file);
    mk_free(name);
}

void
mki_ini_read_environment(struct mki_ini *ini)
{
    for (char **p = environ; p && *p; p++) {
        size_t len = strcspn(*p, "=");
        const char *split;

        if (strncmp(*p, PREFIX, PREFIX_LEN) != 0 || !(*p)[len])
            continue;
        split = strstr(*p + PREFIX_LEN - 1, "__");
        if (split && split < *p + len)
            read_variable(ini, *p, len);
    }
}

void
mki_ini_check_environment(struct mki_ini *ini, const char *section, const struct mk_option *options)
{
    for (char **p = environ; p && *p; p++) {
        size_t len = strcspn(*p, "=");

        if (strncmp(*p, PREFIX, PREFIX_LEN) != 0)
            continue;
        for (const struct mk_option *o = options; o && o->type != MK_TYPE_END; o++) {
            char *right = mki_variable_name(section, o->name), *wrong = mk_strdup(right);
            char *split = strstr(wrong, "__");
            struct mki_entry at = {.file = wrong};

            memmove(split, split + 1, strlen(split));
            if (strlen(wrong) == len && strncmp(*p, wrong, len) == 0)
                mki_ini_error(ini, &at, "nothing reads this variable; did you mean %s?", right);
            mk_free(right);
            mk_free(wrong);
        }
    }
}
