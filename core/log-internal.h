/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The log's settings, and lines of the core itself. */
#ifndef MKI_LOG_H
#define MKI_LOG_H

#include <meerkat/log.h>

enum mki_log_format { MKI_LOG_TEXT, MKI_LOG_JSON };
enum mki_log_target { MKI_LOG_STDERR, MKI_LOG_FILE, MKI_LOG_SYSLOG, MKI_LOG_STDOUT };

struct mki_log_settings {
    enum mk_log_level level;
    enum mki_log_format format;
    enum mki_log_target target;
    const char *file;                   /* for MKI_LOG_FILE */
    int64_t rate;                       /* lines of one event in ten seconds; 0: no limit */
    size_t override_count;
    const struct mki_log_override {
        const char *module;
        enum mk_log_level level;
    } *overrides;
};

/* Takes over settings (copied) and opens the target anew; -1 when the file cannot be opened, and
 * then the old target stays. */
int mki_log_configure(const struct mki_log_settings *settings, struct mk_error *err);
/* Opens the file anew, after a rotation. */
int mki_log_reopen(struct mk_error *err);
/* The level for a module that is called so. */
enum mk_log_level mki_log_level_of(const char *module);

/* A line of the core; levels per module apply to the module name "core". */
void mki_log(enum mk_log_level level, const char *event, const char *fmt, ...) MK_PRINTF(3, 4);
/* The last words: straight to the target, no limits, no allocation. */
void mki_log_fatal(const char *fmt, ...) MK_PRINTF(1, 2) __attribute__((cold));
/* The descriptor lines go to, for the crash handler. */
int mki_log_fd(void);
/* Counts lines from now on. Main thread. */
void mki_log_metrics(void);

/* log-tail.c: the last lines, for whoever looks at them later. */
struct mk_log_line;
void mki_log_tail_add(struct mk_log_line *line);
void mki_log_tail_free(void);

#endif
