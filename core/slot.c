/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Slots: places for modules' data at sessions and hosts. */
#include "config.h"

#include <meerkat/session.h>

#include "session-internal.h"
#include "worker-internal.h"

#define SLOTS_MAX 64

struct slot {
    struct mk_module *module;
    enum mk_slot_object what;
    mk_slot_free_fn free_fn;
    unsigned index;
    bool used;
};

static struct slot session_slots[SLOTS_MAX], host_slots[SLOTS_MAX];

static void
clear_on_worker(struct mk_worker *w, void *arg)
{
    mki_sessions_clear_slot(w, ((struct slot *)arg)->index);
}

static void
unregister(void *thing)
{
    struct slot *slot = thing;

    if (slot->what == MK_SLOT_SESSION)
        mki_workers_barrier(clear_on_worker, slot);
    else
        for (size_t i = 0; i < mki_host_count(); i++)
            mk_host_slot_set(mki_host_at(i), slot->index, NULL);
    slot->free_fn = NULL;
    slot->used = false;
}

int
mk_slot_register(struct mk_module *m, enum mk_slot_object what, mk_slot_free_fn free_fn,
                 unsigned *slot_out)
{
    struct slot *slots = what == MK_SLOT_SESSION ? session_slots : host_slots;

    for (unsigned i = 0; i < SLOTS_MAX; i++) {
        if (slots[i].used)
            continue;
        slots[i] = (struct slot){.module = m, .what = what, .free_fn = free_fn, .index = i,
                                 .used = true};
        *slot_out = i;
        mki_own(m, unregister, &slots[i]);
        return 0;
    }
    return -1;
}

mk_slot_free_fn
mki_slot_free_of(unsigned slot)
{
    return session_slots[slot].free_fn;
}
