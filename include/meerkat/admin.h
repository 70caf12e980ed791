/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The server as its administrators see it: modules, configuration, hooks, log, readiness. For modules that show it to them
 * (control socket, HTTP API). Modules are loaded, and the configuration is read, on the main thread alone: mk_on_main
 * gets there and back.
 */
#ifndef MEERKAT_ADMIN_H
#define MEERKAT_ADMIN_H

#include <meerkat/hook.h>
#include <meerkat/log.h>
#include <meerkat/module.h>
#include <meerkat/worker.h>

MK_BEGIN

/* Runs work(arg) on the main thread, then done(arg) on this worker. Module `m` is busy until then. Worker. */
MK_API void mk_on_main(struct mk_module *m, mk_task_fn work, mk_task_fn done, void *arg);

/* What changes the server: `done` runs on this worker, `err` is NULL when it went well. A module cannot unload or
 * reload itself, nor one that it needs. Worker. */
typedef void (*mk_done_fn)(const struct mk_error *err, void *arg);
MK_API void mk_admin_module_load(struct mk_module *m, const char *name, mk_done_fn done, void *arg);
MK_API void mk_admin_module_unload(struct mk_module *m, const char *name, mk_done_fn done, void *arg);
MK_API void mk_admin_module_reload(struct mk_module *m, const char *name, mk_done_fn done, void *arg);
MK_API void mk_admin_reload(struct mk_module *m, mk_done_fn done, void *arg);
/* As SIGTERM does: a moment later, so that an answer can still be written. Any thread. */
MK_API void mk_admin_stop(struct mk_module *m);
/*
 * The same, and then the program runs anew in this process, with the arguments it was started with. A server that has given up
 * its privileges ([meerkat] user) could not open its ports again: it ends with exit status 75 instead, upon which a
 * service manager starts it. Any thread.
 */
MK_API void mk_admin_restart(struct mk_module *m);

/* -- on the main thread; what is told is valid during the call ------------------------------- */

struct mk_module_info {
    uint32_t size;
    const char *name, *version, *summary;
    const char *state;                  /* "loaded", "running", "stopping" */
    bool needed_only;                   /* not in the configuration, loaded because others need it */
    const char *const *depends, *const *after, *const *provides;   /* NULL-terminated, or NULL */
    const struct mk_option *options;    /* NULL or ends with MK_OPTION_END */
    const void *conf;                   /* what is in force, without overrides of hosts */
};
/* In start order. */
MK_API void mk_module_each(void (*fn)(const struct mk_module_info *info, void *arg), void *arg);
/* The files of modules that are not loaded, by name. */
MK_API void mk_module_each_file(void (*fn)(const char *name, void *arg), void *arg);

struct mk_hook_info {
    uint32_t size;
    const char *hook, *module;
    int priority;
    const char *function, *file;
    int line;
};
/* Every handler of every hook, in the order of firing. */
MK_API void mk_hook_each(void (*fn)(const struct mk_hook_info *info, void *arg), void *arg);

/* Reads and checks the configuration as a reload would, and puts nothing in force: 0, or -1 with all errors, one a line. */
MK_API int mk_config_check(struct mk_buf *errors_out) MK_NODISCARD;

struct mk_config_value {
    uint32_t size;
    const char *section;                /* "meerkat", "log", "ping", "ping@example.org" */
    const char *key;
    const char *value;                  /* as text; NULL: a secret that is set */
    bool preset;                        /* equal to the default */
    const struct mk_option *option;
};
/* Every option of the core and of the modules that are loaded, as it is in force. */
MK_API void mk_config_each(void (*fn)(const struct mk_config_value *value, void *arg), void *arg);

/*
 * Hosts that are not in the configuration: a prepared domain is served from now on, or not any more (its sessions are closed with
 * <host-gone/>; accounts stay). Adding one that is there does nothing. All hosts, in the order in which they came.
 */
MK_API struct mk_host *mk_host_add(const char *domain);
MK_API int mk_host_remove(const char *domain, struct mk_error *err) MK_NODISCARD;
MK_API void mk_host_each(void (*fn)(struct mk_host *host, void *arg), void *arg);

/* Another general level of the log, until the configuration is reloaded; modules with a level of their own keep it. */
MK_API void mk_log_level_set(enum mk_log_level level);

/* -- any thread ------------------------------------------------------------------------------ */

/* The value of an option as text, as one would write it; appends nothing for a secret. `conf` is the structure. */
MK_API void mk_option_text(const struct mk_option *o, const void *conf, struct mk_buf *out);
/* Appends what values an option takes: "size, 1K to 64K". */
MK_API void mk_option_allowed(const struct mk_option *o, struct mk_buf *out);

/* The level of the log in force for a module; NULL: the general one. */
MK_API enum mk_log_level mk_log_level_get(const char *module);

struct mk_log_line {
    uint32_t size;
    uint64_t number;                    /* counts up from 1: where to go on the next time */
    int64_t when;                       /* µs since 1970 */
    enum mk_log_level level;
    const char *module, *event, *text;
    const char *jid, *peer;             /* NULL: none */
};
/* The last lines that were written (a few hundred are kept) with a number above `after`, oldest first, `max` at most. */
MK_API void mk_log_tail(uint64_t after, size_t max,
                        void (*fn)(const struct mk_log_line *line, void *arg), void *arg);

/* ms since the process started. */
MK_API uint64_t mk_server_uptime_ms(void);

/*
 * Readiness: may this node be sent users? Each check says what must be so: fn returns NULL, or why not, in a text that is valid
 * until the callback of the core returns. The core's own check "server" knows of starting and stopping. In init; fn runs on any
 * thread.
 */
typedef const char *(*mk_ready_fn)(void *arg);
MK_API int mk_ready_add(struct mk_module *m, const char *name, mk_ready_fn fn, void *arg) MK_NODISCARD;
/* Tells each check (`why` NULL: good; fn may be NULL); true when all are good. Any worker. */
MK_API bool mk_ready_each(void (*fn)(const char *name, const char *why, void *arg), void *arg);

MK_END
#endif
