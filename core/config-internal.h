/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The INI file as a list of entries, and structures filled from it. */
#ifndef MKI_CONFIG_H
#define MKI_CONFIG_H

#include <meerkat/option.h>

#include "module-internal.h"

struct mki_entry {
    char *section;              /* canonical: "meerkat", "log", "module:ping", "module:ping@host" */
    char *key;                  /* NULL: the section's own line */
    char *value;
    char *file;
    int line;                   /* 0: from --set or the environment */
    char *variable;             /* of the environment that said it, or NULL */
    bool used;
    bool outside;               /* the value is from the environment or another file: never shown */
    bool bad;                   /* an error was told: the value is not looked at again */
};

struct mki_ini {
    struct mki_entry *entries;
    size_t count;
    struct mk_buf errors;       /* one line each */
    unsigned error_count;
};

/* Reads a file (NULL: none), then MEERKAT_SECTION__KEY variables of the environment, and then `sets` of the form
 * section.key=value; errors are gathered. Owned. */
struct mki_ini *mki_ini_read(const char *file, char *const *sets, size_t set_count) MK_NODISCARD;
void mki_ini_free(struct mki_ini **ini);
/* Adds an entry; `value` NULL: the line of the section; `line` 0: it wins over the file. Valid until the next call. */
struct mki_entry *mki_ini_add(struct mki_ini *ini, const char *section, const char *key, const char *value,
                              const char *file, int line);
/* Adds the options that the environment has. */
void mki_ini_read_environment(struct mki_ini *ini);
/* Adds "file:line: text" to the errors. `e` NULL: no place. */
void mki_ini_error(struct mki_ini *ini, const struct mki_entry *e, const char *fmt, ...)
    MK_PRINTF(3, 4);
bool mki_ini_has(const struct mki_ini *ini, const char *section);
/* Where a message about this key points: the key's line, else its section's, else NULL. Borrowed. */
const struct mki_entry *mki_ini_place(const struct mki_ini *ini, const char *section,
                                      const char *key);
/* 0 when there are no errors; else logs them all and fails with the first. */
int mki_ini_fail(struct mki_ini *ini, struct mk_error *err);
/* The n-th name of a module that has a section (without host), or NULL. */
const char *mki_ini_module(const struct mki_ini *ini, size_t n);

/*
 * Fills a zeroed structure from a section (and, over it, from `over`, which may be NULL), defaults first. Errors go to the
 * list. Entries are marked as used; unknown keys are errors with a suggestion. -1: a field has no value.
 */
int mki_ini_fill(struct mki_ini *ini, const char *section, const char *over,
                 const struct mk_option *options, void *conf);
/* Fills a whole generation for a module, for the hosts of `hosts`. Never NULL; look at error_count. */
struct mki_conf *mki_ini_conf(struct mki_ini *ini, const struct mk_module_def *def,
                              const struct mk_option_list *hosts);
/* The same for one host; NULL: it overrides nothing. */
void *mki_ini_conf_host(struct mki_ini *ini, const struct mk_module_def *def, const char *host);
/* Asks the module whether the values fit together; -1: an error was added. `section` for the message. */
int mki_conf_check(struct mki_ini *ini, const struct mk_module_def *def, const void *conf,
                   const char *section, const char *host);
/* Variables of the environment that look as if one '_' too few kept them from being an option of this table. */
void mki_ini_check_environment(struct mki_ini *ini, const char *section, const struct mk_option *options);
/* The variable for an option: MEERKAT_SECTION__KEY. Owned. */
char *mki_variable_name(const char *section, const char *key);
/* Marks a section, and its sections for single hosts, as used. */
void mki_ini_use(struct mki_ini *ini, const char *section);
/* Every entry that nobody used is an error. */
void mki_ini_unused(struct mki_ini *ini, const struct mk_option_list *hosts);

#endif
