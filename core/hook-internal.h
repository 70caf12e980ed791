/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
#ifndef MKI_HOOK_H
#define MKI_HOOK_H

#include <meerkat/hook.h>

/* Calls fn for each handler of each hook, in the order of firing. Main thread. */
void mki_hooks_each(void (*fn)(const char *hook, const char *module, int prio, const char *fn_name,
                               const char *file, int line, void *arg),
                    void *arg);
/* Calls fn for each hook that somebody fires. Main thread. */
void mki_hooks_defined(void (*fn)(const char *hook, enum mk_hook_kind kind, const char *module,
                                  void *arg),
                       void *arg);

#endif
