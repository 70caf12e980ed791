/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The log: one line is one write(2). Settings are swapped under a mutex that writers take for the
 * time of formatting the line's prefix; rate limits are counted with atomics.
 */
#include "config.h"

#include "log-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <meerkat/admin.h>
#include <meerkat/metrics.h>
#include <meerkat/session.h>

#include "base-internal.h"
#include "module-internal.h"
#include "session-internal.h"

#define LINE_MAX_BYTES 4000
#define RATE_SLOTS 1024
#define RATE_PROBES 16
#define RATE_WINDOW_MS 10000

struct rate {
    uint64_t event;             /* hash of the event id */
    uint64_t window;            /* number of the ten-second window */
    uint32_t count;
    uint32_t suppressed;
};

static struct mki_log_settings current = {.level = MK_LOG_INFO, .rate = 100};
static char *current_file;
static struct mki_log_override *current_overrides;
static int log_fd = STDERR_FILENO;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct rate rates[RATE_SLOTS];
static const char *const level_names[] = {"debug", "info", "warn", "error"};
static struct mk_counter lines[MK_COUNT(level_names)], left_out;

static int
open_target(enum mki_log_target target, const char *file, struct mk_error *err)
{
    int fd;

    if (target != MKI_LOG_FILE)
        return target == MKI_LOG_STDOUT ? STDOUT_FILENO : STDERR_FILENO;
    fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0)
        mk_fail(err, "cannot open the log file '%s': %s", file, strerror(errno));
    return fd;
}

static bool
is_standard(int fd)
{
    return fd == STDERR_FILENO || fd == STDOUT_FILENO;
}

static void
swap_target(int fd)
{
    int old = log_fd;

    __atomic_store_n(&log_fd, fd, __ATOMIC_SEQ_CST);
    if (!is_standard(old) && old != fd) {
        /* A writer may still be at it: keep the number, change what stands behind it. */
        dup2(fd, old);
        if (!is_standard(fd))
            close(fd);
        __atomic_store_n(&log_fd, is_standard(fd) ? fd : old, __ATOMIC_SEQ_CST);
    }
}

int
mki_log_configure(const struct mki_log_settings *settings, struct mk_error *err)
{
    struct mki_log_override *overrides;
    int fd = open_target(settings->target, settings->file, err);

    if (fd < 0)
        return -1;
    overrides = mk_zalloc((settings->override_count + 1) * sizeof(*overrides));
    for (size_t i = 0; i < settings->override_count; i++) {
        overrides[i].module = mk_strdup(settings->overrides[i].module);
        overrides[i].level = settings->overrides[i].level;
    }
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < current.override_count; i++)
        mk_free((char *)current_overrides[i].module);
    mk_free(current_overrides);
    mk_free(current_file);
    current = *settings;
    current.file = current_file = mk_strdup(settings->file);
    current.overrides = current_overrides = overrides;
    if (settings->target == MKI_LOG_SYSLOG)
        openlog("meerkatd", LOG_PID | LOG_NDELAY, LOG_DAEMON);
    swap_target(fd);
    pthread_mutex_unlock(&lock);
    mki_log_levels_changed();
    return 0;
}

int
mki_log_reopen(struct mk_error *err)
{
    int fd = open_target(current.target, current_file, err);

    if (fd < 0)
        return -1;
    pthread_mutex_lock(&lock);
    swap_target(fd);
    pthread_mutex_unlock(&lock);
    return 0;
}

enum mk_log_level
mki_log_level_of(const char *module)
{
    enum mk_log_level level;

    pthread_mutex_lock(&lock);
    level = current.level;
    for (size_t i = 0; i < current.override_count; i++) {
        if (strcmp(current_overrides[i].module, module) == 0)
            level = current_overrides[i].level;
    }
    pthread_mutex_unlock(&lock);
    return level;
}

enum mk_log_level
mk_log_level_get(const char *module)
{
    enum mk_log_level level;

    if (module)
        return mki_log_level_of(module);
    pthread_mutex_lock(&lock);
    level = current.level;
    pthread_mutex_unlock(&lock);
    return level;
}

void
mk_log_level_set(enum mk_log_level level)
{
    pthread_mutex_lock(&lock);
    current.level = level;
    pthread_mutex_unlock(&lock);
    mki_log_levels_changed();
}

int
mki_log_fd(void)
{
    return log_fd;
}

void
mki_log_metrics(void)
{
    for (size_t i = 0; i < MK_COUNT(level_names); i++) {
        char *label = mk_printf_new("level=\"%s\"", level_names[i]);

        lines[i] = mk_counter_new(mki_core_module(), "log_lines_total", label, "Lines that were logged");
        mk_free(label);
    }
    left_out = mk_counter_new(mki_core_module(), "log_left_out_total", NULL,
                              "Lines that were not logged because there were too many of their kind");
    /* This thread has its numbers before it may log what is wrong with metrics. */
    mk_counter_add(left_out, 0);
}

/* The counts of an event. There are a few hundred events; should there be too many, two share a limit. */
static struct rate *
rate_of(uint64_t event)
{
    size_t home = (size_t)(event >> 8) % RATE_SLOTS;

    for (size_t i = 0; i < RATE_PROBES; i++) {
        struct rate *r = &rates[(home + i) % RATE_SLOTS];
        uint64_t there = 0;

        if (__atomic_compare_exchange_n(&r->event, &there, event, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED) ||
            there == event)
            return r;
    }
    return &rates[home];
}

/* True when the line may be written; *suppressed_out tells how many were not since the last one. */
static bool
within_rate(const char *event, uint32_t *suppressed_out)
{
    uint64_t window = mk_now_ms() / RATE_WINDOW_MS;
    struct rate *r;

    *suppressed_out = 0;
    if (current.rate <= 0)
        return true;
    r = rate_of(mk_hash(event, strlen(event)) | 1);
    if (__atomic_load_n(&r->window, __ATOMIC_RELAXED) != window &&
        __atomic_exchange_n(&r->window, window, __ATOMIC_RELAXED) != window) {
        *suppressed_out = __atomic_exchange_n(&r->suppressed, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&r->count, 0, __ATOMIC_RELAXED);
    }
    if (__atomic_fetch_add(&r->count, 1, __ATOMIC_RELAXED) < (uint64_t)current.rate)
        return true;
    __atomic_fetch_add(&r->suppressed, 1, __ATOMIC_RELAXED);
    return false;
}

static void
add_json(char *out, size_t size, size_t *len, const char *key, const char *value)
{
    size_t n = *len;

    n += (size_t)snprintf(out + n, size - n, "%s\"%s\":\"", n > 1 ? "," : "", key);
    for (; *value && n + 16 < size; value++) {
        unsigned char c = (unsigned char)*value;

        if (c == '"' || c == '\\')
            out[n++] = '\\';
        if (c < 0x20)
            n += (size_t)snprintf(out + n, size - n, "\\u%04x", c);
        else
            out[n++] = (char)c;
    }
    out[n++] = '"';
    *len = n;
}

struct line {
    enum mk_log_level level;
    const char *module;
    const char *jid;
    const char *peer;
    const char *event;
    const char *text;
};

static size_t
format_json(const struct line *l, const char *when, char *out, size_t size)
{
    size_t n = 1;

    out[0] = '{';
    add_json(out, size, &n, "time", when);
    add_json(out, size, &n, "level", level_names[l->level]);
    add_json(out, size, &n, "module", l->module);
    add_json(out, size, &n, "event", l->event);
    if (l->jid)
        add_json(out, size, &n, "jid", l->jid);
    if (l->peer && *l->peer)
        add_json(out, size, &n, "peer", l->peer);
    add_json(out, size, &n, "text", l->text);
    out[n++] = '}';
    out[n++] = '\n';
    return n;
}

static size_t
format_text(const struct line *l, const char *when, char *out, size_t size)
{
    size_t n = (size_t)snprintf(out, size - 1, "%s %-5s %s: %s", when, level_names[l->level],
                                l->module, l->text);

    if (n < size - 1 && (l->jid || (l->peer && *l->peer)))
        n += (size_t)snprintf(out + n, size - 1 - n, " (%s%s%s)", l->jid ? l->jid : "",
                              l->jid && l->peer && *l->peer ? ", " : "", l->peer ? l->peer : "");
    if (n < size - 1)
        n += (size_t)snprintf(out + n, size - 1 - n, " [%s]", l->event);
    if (n > size - 2)
        n = size - 2;
    /* One line is one line, whatever a peer put into it. */
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
            out[i] = '?';
    }
    out[n++] = '\n';
    return n;
}

static void
write_line(const struct line *l)
{
    static const int priorities[] = {LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERR};
    char when[MK_TIME_TEXT_MAX], out[LINE_MAX_BYTES];
    size_t n;
    ssize_t done;

    mk_time_text(mk_time_us() / 1000 * 1000, when);
    n = current.format == MKI_LOG_JSON ? format_json(l, when, out, sizeof(out))
                                       : format_text(l, when, out, sizeof(out));
    if (current.target == MKI_LOG_SYSLOG) {
        /* It has a time and a level of its own. */
        const char *text = current.format == MKI_LOG_JSON ? out : out + strlen(when) + sizeof(" level ") - 1;

        syslog(priorities[l->level], "%.*s", (int)(n - 1 - (size_t)(text - out)), text);
        return;
    }
    done = write(log_fd, out, n);
    (void)done;         /* nowhere to tell */
}

static void
keep(const struct line *l)
{
    struct mk_log_line kept = {.size = sizeof(kept), .when = mk_time_us(), .level = l->level,
                               .module = l->module, .event = l->event, .text = l->text, .jid = l->jid,
                               .peer = l->peer && *l->peer ? l->peer : NULL};

    mki_log_tail_add(&kept);
}

static MK_PRINTF(2, 0) void
log_line(struct line *l, const char *fmt, va_list ap)
{
    char text[LINE_MAX_BYTES / 2];
    uint32_t suppressed;
    int n;

    if (!within_rate(l->event, &suppressed)) {
        mk_counter_add(left_out, 1);
        return;
    }
    n = vsnprintf(text, sizeof(text), fmt, ap);
    if (suppressed && n >= 0 && (size_t)n < sizeof(text))
        snprintf(text + n, sizeof(text) - (size_t)n, " (%u more like this were left out)",
                 suppressed);
    l->text = text;
    mk_counter_add(lines[l->level], 1);
    keep(l);
    write_line(l);
}

bool
mk_log_enabled(struct mk_module *m, enum mk_log_level level)
{
    return level >= mki_module_log_level(m);
}

void
mk_log_module(struct mk_module *m, enum mk_log_level level, const char *event, const char *fmt, ...)
{
    struct line l = {.level = level, .event = event};
    va_list ap;

    if (!mk_log_enabled(m, level))
        return;
    l.module = mk_module_name(m);
    va_start(ap, fmt);
    log_line(&l, fmt, ap);
    va_end(ap);
}

void
mk_log_session(struct mk_session *s, enum mk_log_level level, const char *event, const char *fmt,
               ...)
{
    struct mk_module *m = mki_session_owner(s);
    const struct mk_jid *jid = mk_session_jid(s);
    struct line l = {.level = level, .event = event};
    va_list ap;

    if (!mk_log_enabled(m, level))
        return;
    l.module = mk_module_name(m);
    l.jid = jid ? mk_jid_text(jid).p : NULL;
    l.peer = mk_session_peer(s);
    va_start(ap, fmt);
    log_line(&l, fmt, ap);
    va_end(ap);
}

void
mki_log(enum mk_log_level level, const char *event, const char *fmt, ...)
{
    struct line l = {.level = level, .module = "core", .event = event};
    va_list ap;

    if (level < mki_module_log_level(mki_core_module()))
        return;
    va_start(ap, fmt);
    log_line(&l, fmt, ap);
    va_end(ap);
}

void
mki_log_fatal(const char *fmt, ...)
{
    char text[512], out[768];
    ssize_t done;
    va_list ap;
    int n;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    n = snprintf(out, sizeof(out), "meerkatd: fatal: %s\n", text);
    done = write(log_fd, out, (size_t)n);
    (void)done;
    if (current.target == MKI_LOG_SYSLOG)
        syslog(LOG_CRIT, "%s", text);
}
