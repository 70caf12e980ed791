/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * A module: one shared object that exports one descriptor, `mk_module_def`.
 *
 * Life of a module: loaded (descriptor read and checked, no code of it has run) → configured (the
 * options of ALL modules are parsed and checked) → init (registers hooks, IQ handlers, services) →
 * start (every module is in; open sockets, connect) → … → stop (take no new work, finish what is
 * under way) → unload (free what `m` holds). The core itself takes back, in reverse order, all that
 * was registered: hooks, events, IQ handlers, features, timers, descriptors, services, slots,
 * metrics. A failed init or start is undone by that same path. All five calls run on the main
 * thread, never on a worker; the workers run while a module is loaded or unloaded at run time: a
 * handler may be called as soon as it is registered, while init is still running. So make the
 * module's state first and register last.
 *
 * A reload unloads the old code and loads the new one; nothing of the old state is left. What clients
 * send waits meanwhile. A module that cannot be opened, or whose options are wrong, is refused before
 * the old one goes.
 *
 * A whole module:
 *
 *   #include <meerkat/meerkat.h>
 *
 *   static enum mk_verdict
 *   on_ping(struct mk_iq *iq, void *arg)
 *   {
 *       (void)arg;
 *       mk_iq_reply_result(iq, NULL);
 *       return MK_HANDLED;
 *   }
 *
 *   static int
 *   init(struct mk_module *m, struct mk_error *err)
 *   {
 *       (void)err;
 *       return mk_on_iq(m, MK_IQ_GET, MK_TO_HOST, "urn:example:ping", "ping", on_ping, NULL);
 *   }
 *
 *   MK_MODULE(.name = "example_ping", .version = "1.0", .summary = "answers pings", .init = init);
 */
#ifndef MEERKAT_MODULE_H
#define MEERKAT_MODULE_H

#include <meerkat/base.h>
#include <meerkat/option.h>
#include <meerkat/version.h>

MK_BEGIN

struct mk_module;
struct mk_host;

#define MK_MODULE_MAGIC 0x4d4b4d31u

struct mk_module_def {
    uint32_t magic;
    uint16_t abi_major;
    uint16_t abi_minor;
    uint32_t size;                      /* of this structure as the module was compiled */
    const char *name;                   /* [a-z][a-z0-9_]*, the file's name without .so */
    const char *version;
    const char *summary;                /* one line: what it does, its XEP or RFC */
    const char *const *depends;         /* NULL-terminated names of modules or services: started
                                         * before, needed */
    const char *const *after;           /* started before if they are enabled at all */
    const char *const *provides;        /* names of services */
    const struct mk_option *options;    /* ends with MK_OPTION_END */
    size_t conf_size;                   /* of the structure that `options` fill */
    /* Checks what no single option can say; `conf` is one generation for one host (or the default,
     * host NULL). Called for every generation before any is used. NULL: nothing to check. */
    int (*check)(const void *conf, const char *host, struct mk_error *err);
    /* Each of these may be NULL. -1 with a reason (mk_fail) keeps the module from being loaded, or the
     * node from starting; stop (after a failed start) and unload (after a failed init) are called then too. */
    int (*init)(struct mk_module *m, struct mk_error *err);
    int (*start)(struct mk_module *m, struct mk_error *err);
    void (*reloaded)(struct mk_module *m);  /* a new configuration is in force */
    void (*stop)(struct mk_module *m);
    void (*unload)(struct mk_module *m);    /* nobody can call the module any more: free its state */
};

/* The last line of a module's main file. Takes fields of struct mk_module_def; those left out are zero. */
#define MK_MODULE(...)                                                                     \
    extern const struct mk_module_def mk_module_def;                                       \
    MK_API const struct mk_module_def mk_module_def = {.magic = MK_MODULE_MAGIC,           \
                                                       .abi_major = MK_ABI_MAJOR,          \
                                                       .abi_minor = MK_ABI_MINOR,          \
                                                       .size = sizeof(struct mk_module_def), \
                                                       __VA_ARGS__}

/* The module's own state: set in init, freed by the module in unload. Any thread. */
MK_API void mk_module_set(struct mk_module *m, void *state);
MK_API void *mk_module_get(const struct mk_module *m);
MK_API const char *mk_module_name(const struct mk_module *m);

/*
 * The configuration in force for `host` (NULL: the default one). Borrowed until the running
 * callback returns: a reload may replace it then. `host` may be any host of this server. On the main
 * thread (init, start, reloaded, stop) it is valid until the call returns. Any worker.
 */
MK_API const void *mk_module_conf(const struct mk_module *m, const struct mk_host *host);

/*
 * Work under way that must come back before the module's code may go (a thread, a request to
 * somebody else). Each enter needs one leave. Timers, offloaded work, SQL and held hooks are counted
 * by the core already. Any thread.
 */
MK_API void mk_module_enter(struct mk_module *m);
MK_API void mk_module_leave(struct mk_module *m);

/*
 * Services: typed function tables, looked up by name. `table` must stay valid until the module is
 * unloaded. A module that got a service depends on its provider from then on: the provider is not
 * unloaded before it. Main thread, in init or start.
 */
MK_API int mk_service_provide(struct mk_module *m, const char *name, unsigned abi,
                              const void *table, struct mk_error *err) MK_NODISCARD;
MK_API const void *mk_service_get(struct mk_module *m, const char *name, unsigned abi,
                                  struct mk_error *err) MK_NODISCARD;
/* The n-th provider of a service that may have several (n from 0), or NULL. Main thread. */
MK_API const void *mk_service_nth(struct mk_module *m, const char *name, unsigned abi, size_t n);

/*
 * For services that keep something on behalf of a module that uses them (a callback, a watcher): undo(thing)
 * runs when `m` goes, in reverse order with all else that was registered for it, before its `unload`. Main thread.
 */
MK_API void mk_module_own(struct mk_module *m, void (*undo)(void *thing), void *thing);

/*
 * Virtual hosts: those of `meerkat.hosts`, and those that come and go while the server runs (admin.h; events "host_added" and
 * "host_removed"), which have no configuration of their own. A host stays valid until the server ends, even one that went.
 * mk_host_find takes a prepared domain. Any thread.
 */
MK_API struct mk_host *mk_host_find(struct mk_str domain);     /* NULL: not one of ours, or not any more */
MK_API struct mk_host *mk_host_nth(size_t n);          /* of the configuration; NULL behind the last */
MK_API const char *mk_host_name(const struct mk_host *host);
MK_API bool mk_host_is_fixed(const struct mk_host *host);      /* it is in the configuration */

/* Facts about this server. Any thread; borrowed for ever. */
MK_API const char *mk_server_version(void);
MK_API const char *mk_server_node(void);
MK_API const char *mk_state_dir(void);

/* A line for who waits for the server to be ready (systemd's STATUS=, the control socket). */
MK_API void mk_server_status(const char *fmt, ...) MK_PRINTF(1, 2);

MK_END
#endif
