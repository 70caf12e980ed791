/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The log. A line has a level, a context (a module or a session, which adds the module's name, the
 * JID and the address), a stable event id that scripts may rely on, and a text for people.
 *
 *   mk_log(m, MK_LOG_WARN, "auth.fail", "no account '%s' at '%s'", user, host);
 *
 * Style: lower case, no full stop, subject in single quotes, what failed first. Never a stanza's
 * content, a password, a key or a token. Lines with one event id beyond `log.rate` in ten seconds
 * are counted instead of written. Any thread; never blocks on a lock of another thread for long.
 */
#ifndef MEERKAT_LOG_H
#define MEERKAT_LOG_H

#include <meerkat/base.h>

MK_BEGIN

struct mk_module;
struct mk_session;

enum mk_log_level {
    MK_LOG_DEBUG,   /* for developers */
    MK_LOG_INFO,    /* an administrator wants to know */
    MK_LOG_WARN,    /* will need action */
    MK_LOG_ERROR,   /* something is broken now */
};

MK_API void mk_log_module(struct mk_module *m, enum mk_log_level level, const char *event,
                          const char *fmt, ...) MK_PRINTF(4, 5);
MK_API void mk_log_session(struct mk_session *s, enum mk_log_level level, const char *event,
                           const char *fmt, ...) MK_PRINTF(4, 5);

/* True when a line of this level would be written for this module: guards costly arguments. */
MK_API bool mk_log_enabled(struct mk_module *m, enum mk_log_level level);

/* ctx: `struct mk_module *` or `struct mk_session *`. */
#define mk_log(ctx, level, event, ...)                                                     \
    _Generic((ctx), struct mk_module *: mk_log_module, struct mk_session *: mk_log_session) \
    (ctx, level, event, __VA_ARGS__)

MK_END
#endif
