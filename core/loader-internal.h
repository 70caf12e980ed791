/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Loading, starting, reloading and unloading modules. Main thread. */
#ifndef MKI_LOADER_H
#define MKI_LOADER_H

#include "config-internal.h"
#include "module-internal.h"

/* Opens and checks one module file; NULL with a reason. `path`: the module search path. */
struct mk_module *mki_module_open(const char *name, const struct mk_option_list *path,
                                  struct mk_error *err);
void mki_module_close(struct mk_module *m);
/* The names of all module files in the path. */
void mki_modules_each_file(const struct mk_option_list *path,
                           void (*fn)(const char *name, void *arg), void *arg);

/* Loads all modules of the INI file and what they need, fills their configuration. Errors are added to the list of `ini`. */
void mki_modules_load(struct mki_ini *ini, const struct mk_option_list *path,
                      const struct mk_option_list *hosts);
/* init and start of all in order. On failure everything is undone. */
int mki_modules_start(struct mk_error *err);
/* init of all, start only of module `name` (NULL: none) and what it depends on. */
int mki_modules_start_for(const char *name, struct mk_error *err);
/* Reverse order. */
void mki_modules_stop(void);
void mki_modules_free(void);

/* How long a module may take to end what is under way. */
void mki_modules_patience(uint64_t ms);

/* One module at run time. A failed call leaves the modules as they were; if something is still under way in a module after
 * the patience, mki_module_remove and mki_module_replace leave it stopped and can be called again. */
int mki_module_add(const char *name, struct mki_ini *ini, const struct mk_option_list *path,
                   const struct mk_option_list *hosts, struct mk_error *err);
int mki_module_remove(const char *name, struct mk_error *err);
/* Its file anew; when that one does not start, the old code starts again. */
int mki_module_replace(const char *name, struct mki_ini *ini, const struct mk_option_list *path,
                       const struct mk_option_list *hosts, struct mk_error *err);

/* A new configuration for all loaded modules (reconfigure.c): checked as a whole, errors in the list of `ini`; then
 * put in force or thrown away. `hosts` are the server's, `wanted` those of the file. */
struct mki_reload;
struct mki_reload *mki_reload_prepare(struct mki_ini *ini, const struct mk_option_list *path,
                                      const struct mk_option_list *hosts,
                                      const struct mk_option_list *wanted) MK_NODISCARD;
void mki_reload_commit(struct mki_reload **reload);
void mki_reload_discard(struct mki_reload **reload);
/* Gives `now` the values of `old` for options that a reload cannot change; each that differs adds a line to `notes`. */
void mki_keep_fixed(const struct mk_option *options, const char *section, const void *old, void *now,
                    struct mk_buf *notes);
/* Logs the lines of `notes` as warnings. */
void mki_log_notes(struct mk_buf *notes);

#endif
