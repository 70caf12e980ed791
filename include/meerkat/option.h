/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Options: a table that says all there is to know of a module's settings. From it come parsing and
 * checking with file and line, `meerkatd --describe`, docs/modules/ and the annotated meerkat.ini.
 * The module's own structure is filled before `init` runs; a module never reads a file itself.
 *
 *   struct ping_conf { uint64_t interval; bool kill; };
 *   static const struct mk_option options[] = {
 *       MK_OPTION_PERIOD(struct ping_conf, interval, "60s", "1s", "1d", MK_OPT_RELOADABLE,
 *                        "how long a client may be silent before it is asked"),
 *       MK_OPTION_BOOL(struct ping_conf, kill, "yes", 0, "close a session that does not answer"),
 *       MK_OPTION_END};
 *
 * Field types: bool → bool, int → int64_t, string/path/secret → char *, enum → int (index of the
 * choice), period → uint64_t (milliseconds; "10s", "5m", "1h 30m", "250ms"; a bare number is in
 * seconds), size → uint64_t (bytes; "64K", "1M"), jid → struct mk_jid *, list and addresses →
 * struct mk_option_list. A wrong field type does not compile.
 */
#ifndef MEERKAT_OPTION_H
#define MEERKAT_OPTION_H

#include <meerkat/base.h>

MK_BEGIN

struct mk_jid;

enum mk_option_type {
    MK_TYPE_END,
    MK_TYPE_BOOL,
    MK_TYPE_INT,
    MK_TYPE_STRING,
    MK_TYPE_ENUM,
    MK_TYPE_PERIOD,
    MK_TYPE_SIZE,
    MK_TYPE_PATH,       /* relative paths are relative to the file that names them */
    MK_TYPE_JID,
    MK_TYPE_LIST,       /* comma or white space between the items */
    MK_TYPE_ADDRESSES,  /* list of ADDRESS:PORT, [IPV6]:PORT, *:PORT or PORT; port 0: any free one */
    MK_TYPE_SECRET,     /* a string that no log and no --describe ever shows */
    MK_TYPE_MODULE,     /* a string; the module named by `pattern` % value is loaded as a dependency */
};

enum mk_option_flags {
    MK_OPT_RELOADABLE = 1u << 0,    /* a reload takes it over; else a changed value needs a restart */
    MK_OPT_REQUIRED = 1u << 1,      /* no default: the administrator must say it */
    MK_OPT_PER_HOST = 1u << 2,      /* may be overridden in [module:NAME@host] */
};

struct mk_option_list {
    size_t count;
    char **items;                   /* NUL-terminated, canonical for addresses */
};

struct mk_option {
    const char *name;               /* key in the INI file, lower case with underscores */
    enum mk_option_type type;
    unsigned flags;                 /* enum mk_option_flags */
    size_t offset;                  /* of the field in the module's structure */
    const char *preset;             /* default as text; NULL: empty (or required) */
    const char *min;                /* as text of the type, or NULL */
    const char *max;
    const char *const *choices;     /* enum: NULL-terminated */
    const char *pattern;            /* module: "rdbms_%s" */
    const char *help;               /* one line */
    const char *deprecated;         /* "use x instead" or NULL */
};

#define MK_OPT_OFFSET_(st, f, ctype)                                                       \
    (offsetof(st, f) +                                                                     \
     0 * sizeof(char[__builtin_types_compatible_p(__typeof__(((st *)0)->f), ctype) ? 1 : -1]))

#define MK_OPTION_BOOL(st, f, def, fl, text) \
    {.name = #f, .type = MK_TYPE_BOOL, .flags = (fl), .offset = MK_OPT_OFFSET_(st, f, bool), \
     .preset = (def), .help = (text)}
#define MK_OPTION_INT(st, f, def, lo, hi, fl, text) \
    {.name = #f, .type = MK_TYPE_INT, .flags = (fl), .offset = MK_OPT_OFFSET_(st, f, int64_t), \
     .preset = (def), .min = (lo), .max = (hi), .help = (text)}
#define MK_OPTION_STRING(st, f, def, fl, text) \
    {.name = #f, .type = MK_TYPE_STRING, .flags = (fl), .offset = MK_OPT_OFFSET_(st, f, char *), \
     .preset = (def), .help = (text)}
#define MK_OPTION_ENUM(st, f, def, list, fl, text) \
    {.name = #f, .type = MK_TYPE_ENUM, .flags = (fl), .offset = MK_OPT_OFFSET_(st, f, int), \
     .preset = (def), .choices = (list), .help = (text)}
#define MK_OPTION_PERIOD(st, f, def, lo, hi, fl, text) \
    {.name = #f, .type = MK_TYPE_PERIOD, .flags = (fl), \
     .offset = MK_OPT_OFFSET_(st, f, uint64_t), \
     .preset = (def), .min = (lo), .max = (hi), .help = (text)}
#define MK_OPTION_SIZE(st, f, def, lo, hi, fl, text) \
    {.name = #f, .type = MK_TYPE_SIZE, .flags = (fl), .offset = MK_OPT_OFFSET_(st, f, uint64_t), \
     .preset = (def), .min = (lo), .max = (hi), .help = (text)}
#define MK_OPTION_PATH(st, f, def, fl, text) \
    {.name = #f, .type = MK_TYPE_PATH, .flags = (fl), .offset = MK_OPT_OFFSET_(st, f, char *), \
     .preset = (def), .help = (text)}
#define MK_OPTION_JID(st, f, def, fl, text) \
    {.name = #f, .type = MK_TYPE_JID, .flags = (fl), \
     .offset = MK_OPT_OFFSET_(st, f, struct mk_jid *), .preset = (def), .help = (text)}
#define MK_OPTION_LIST(st, f, def, fl, text) \
    {.name = #f, .type = MK_TYPE_LIST, .flags = (fl), \
     .offset = MK_OPT_OFFSET_(st, f, struct mk_option_list), .preset = (def), .help = (text)}
#define MK_OPTION_ADDRESSES(st, f, def, fl, text) \
    {.name = #f, .type = MK_TYPE_ADDRESSES, .flags = (fl), \
     .offset = MK_OPT_OFFSET_(st, f, struct mk_option_list), .preset = (def), .help = (text)}
#define MK_OPTION_SECRET(st, f, def, fl, text) \
    {.name = #f, .type = MK_TYPE_SECRET, .flags = (fl), .offset = MK_OPT_OFFSET_(st, f, char *), \
     .preset = (def), .help = (text)}
#define MK_OPTION_MODULE(st, f, def, pat, fl, text) \
    {.name = #f, .type = MK_TYPE_MODULE, .flags = (fl), .offset = MK_OPT_OFFSET_(st, f, char *), \
     .preset = (def), .pattern = (pat), .help = (text)}
#define MK_OPTION_END {.type = MK_TYPE_END}

MK_END
#endif
