/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Properties of modules, and what the core takes back from them. */
#include "config.h"

#include "module-internal.h"

#define _LGPL_SOURCE
#include <urcu/urcu-memb.h>

#include "log-internal.h"
#include "session-internal.h"

static struct mk_module core = {.magic = MKI_MODULE_STRUCT_MAGIC,
                                .def = {.name = "core"},
                                .state = MKI_STARTED,
                                .log_level = MK_LOG_INFO,
                                .owned = {&core.owned, &core.owned}};

struct mk_module *
mki_core_module(void)
{
    return &core;
}

void
mki_log_levels_changed(void)
{
    __atomic_store_n(&core.log_level, (int)mki_log_level_of("core"), __ATOMIC_RELAXED);
    for (size_t i = 0; i < mki_module_count(); i++) {
        struct mk_module *m = mki_module_nth(i);

        __atomic_store_n(&m->log_level, (int)mki_log_level_of(m->def.name), __ATOMIC_RELAXED);
    }
}

void
mk_module_set(struct mk_module *m, void *state)
{
    MK_ASSERT(m->magic == MKI_MODULE_STRUCT_MAGIC);
    m->data = state;
}

void *
mk_module_get(const struct mk_module *m)
{
    return m->data;
}

const char *
mk_module_name(const struct mk_module *m)
{
    return m ? m->def.name : "core";
}

const void *
mk_module_conf(const struct mk_module *m, const struct mk_host *host)
{
    const struct mki_conf *conf = __atomic_load_n(&m->conf, __ATOMIC_ACQUIRE);

    size_t i = host ? mki_host_index(host) : SIZE_MAX;

    /* Hosts beyond those of the configuration have nothing of their own in it. */
    if (i < conf->host_count && conf->hosts[i])
        return conf->hosts[i];
    return conf->common;
}

void
mki_own(struct mk_module *m, void (*undo)(void *thing), void *thing)
{
    struct mki_owned *o = mk_alloc(sizeof(*o));

    o->undo = undo;
    o->thing = thing;
    mki_list_add_tail(&m->owned, &o->link);
}

void
mk_module_own(struct mk_module *m, void (*undo)(void *thing), void *thing)
{
    MK_ASSERT(m->magic == MKI_MODULE_STRUCT_MAGIC);
    mki_own(m, undo, thing);
}

void
mki_disown(struct mk_module *m, const void *thing)
{
    for (struct mki_list *l = m->owned.prev; l != &m->owned; l = l->prev) {
        struct mki_owned *o = mki_container(l, struct mki_owned, link);

        if (o->thing == thing) {
            mki_list_del(l);
            mk_free(o);
            return;
        }
    }
}
