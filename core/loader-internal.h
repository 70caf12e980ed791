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

/* Loads all modules of the INI file and what they need, fills their configuration. Errors are added to the list of `ini`. */
void mki_modules_load(struct mki_ini *ini, const struct mk_option_list *path,
                      const struct mk_option_list *hosts);
/* init and start of all in order. On failure everything is undone. */
int mki_modules_start(struct mk_error *err);
/* Reverse order. */
void mki_modules_stop(void);
void mki_modules_free(void);

/* One module at run time. */
int mki_module_add(const char *name, struct mki_ini *ini, const struct mk_option_list *path,
                   const struct mk_option_list *hosts, struct mk_error *err);
/* Does its file fit this server, and `ini` its options? Nothing is changed. */
int mki_module_try(const char *name, struct mki_ini *ini, const struct mk_option_list *path,
                   const struct mk_option_list *hosts, struct mk_error *err);
int mki_module_remove(const char *name, struct mk_error *err);

/* Checks a new configuration of all loaded modules and puts it in force; -1 with errors in the list of `ini` and nothing changed. */
int mki_modules_reconfigure(struct mki_ini *ini, const struct mk_option_list *hosts);

#endif
