/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* What the core knows of a module. */
#ifndef MKI_MODULE_H
#define MKI_MODULE_H

#include <meerkat/log.h>
#include <meerkat/module.h>

#include "base-internal.h"

#define MKI_MODULE_STRUCT_MAGIC 0x4d6f6475u

enum mki_module_state {
    MKI_LOADED,
    MKI_CONFIGURED,
    MKI_INITED,
    MKI_STARTED,
    MKI_STOPPING,               /* it took back everything, but something is still under way */
    MKI_STOPPED,
};

/* One generation of a module's configuration: the default, and one for each host that overrides. */
struct mki_conf {
    void *common;
    size_t host_count;
    void **hosts;               /* by host index; NULL: the default */
};

/* Something that the core takes back when the module goes. */
struct mki_owned {
    struct mki_list link;
    void (*undo)(void *thing);
    void *thing;
};

struct mk_module {
    uint32_t magic;
    struct mk_module_def def;   /* a copy: fields that its compiler did not know are zero */
    void *dl;
    enum mki_module_state state;
    void *data;
    struct mki_conf *conf;      /* RCU */
    int log_level;              /* atomic */
    uint32_t busy;              /* atomic: work under way */
    bool stuck;                 /* it has ended, its work has not: nothing of it is freed any more */
    struct mki_list owned;      /* in order of registration; main thread */
    unsigned order;             /* position in the start order */
    struct mk_module **uses;    /* providers of the services it got */
    size_t use_count;
    bool needed_only;           /* not in the configuration, loaded as a dependency */
    bool settled;               /* started together with all that it needs */
};

/* The core as a module, for logs and metrics. */
struct mk_module *mki_core_module(void);

static inline enum mk_log_level
mki_module_log_level(const struct mk_module *m)
{
    return (enum mk_log_level)__atomic_load_n(&m->log_level, __ATOMIC_RELAXED);
}
/* Levels of all modules are asked for anew. */
void mki_log_levels_changed(void);

/* Registers something to take back. Main thread. */
void mki_own(struct mk_module *m, void (*undo)(void *thing), void *thing);
/* It was given back before. */
void mki_disown(struct mk_module *m, const void *thing);

/* -- the list of modules (loader.c), in start order; main thread */
size_t mki_module_count(void);
struct mk_module *mki_module_nth(size_t n);
struct mk_module *mki_module_find(const char *name);
void mki_conf_free(const struct mk_module_def *def, struct mki_conf *conf);

/* Services (service.c): who provides `name`, or NULL. */
struct mk_module *mki_service_provider(const char *name);
void mki_services_each(void (*fn)(const char *module, const char *name, unsigned abi, void *arg),
                       void *arg);
void mki_services_forget(struct mk_module *m);

#endif
