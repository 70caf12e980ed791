/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Sessions: their ids, finding them, delivering to them from any thread. An id is the worker (8
 * bits), a generation (24) and an index (32): looking one up is two loads on its own worker.
 */
#include "config.h"

#include "session-internal.h"

#include <meerkat/iq.h>

#include "worker-internal.h"

#define SESSION_MAGIC 0x53657373u
#define GENERATION_MASK 0xffffffu
#define SLOTS_MAX 64
#define HOLD_MS 500

struct mk_session {
    uint32_t magic;
    uint32_t refs;
    mk_session_id id;
    struct mk_module *owner;
    const struct mk_session_ops *ops;
    void *data;
    struct mk_host *host;
    struct mk_jid *jid;
    char *peer;
    void **slots;
    uint8_t slot_count;
    bool closed;
    bool held;                  /* one of its pauses is mki_sessions_hold's */
    uint16_t pauses;
    uint32_t unsettled;
};

struct delivery {
    struct mki_item item;
    mk_session_id id;
    struct mk_stanza *st;
};

struct call {
    struct mki_item item;
    struct mk_module *module;
    mk_session_id id;
    mk_session_fn fn;
    void *arg;
};

static struct mk_hook *undelivered;

void
mki_session_hooks(void)
{
    undelivered = mk_define_undelivered(NULL, NULL, NULL);
}

/* -- ids ------------------------------------------------------------------------------------ */

static void
grow(struct mk_worker *w)
{
    uint32_t cap = w->session_cap ? w->session_cap * 2 : 64;

    w->sessions = mk_realloc(w->sessions, cap * sizeof(*w->sessions));
    w->generations = mk_realloc(w->generations, cap * sizeof(*w->generations));
    w->free_indexes = mk_realloc(w->free_indexes, cap * sizeof(*w->free_indexes));
    for (uint32_t i = cap; i-- > w->session_cap;) {
        w->sessions[i] = NULL;
        w->generations[i] = 0;
        w->free_indexes[w->session_free++] = i;
    }
    w->session_cap = cap;
}

static void
hold(struct mk_session *s)
{
    s->held = true;
    mk_session_pause(s);
}

static void
clear_slots(struct mk_session *s)
{
    for (unsigned i = 0; i < s->slot_count; i++)
        mk_session_slot_set(s, i, NULL);
}

struct mk_session *
mk_session_new(struct mk_module *owner, const struct mk_session_ops *ops, void *data)
{
    struct mk_worker *w = mk_worker_self();
    struct mk_session *s = mk_zalloc(sizeof(*s));
    uint32_t index;

    MK_ASSERT(w);
    if (w->session_free == 0)
        grow(w);
    index = w->free_indexes[--w->session_free];
    w->generations[index] = (w->generations[index] + 1) & GENERATION_MASK;
    if (w->generations[index] == 0)
        w->generations[index] = 1;
    w->sessions[index] = s;
    w->session_count++;
    s->magic = SESSION_MAGIC;
    s->refs = 1;
    s->id = (uint64_t)w->index << 56 | (uint64_t)w->generations[index] << 32 | index;
    s->owner = owner;
    s->ops = ops;
    s->data = data;
    if (w->holding)
        hold(s);
    return s;
}

struct mk_worker *
mk_session_id_worker(mk_session_id id)
{
    return mk_worker_nth((size_t)(id >> 56));
}

struct mk_session *
mk_session_find(mk_session_id id)
{
    struct mk_worker *w = mk_worker_self();
    uint32_t index = (uint32_t)id;

    if (!w || id >> 56 != w->index || index >= w->session_cap ||
        w->generations[index] != (id >> 32 & GENERATION_MASK))
        return NULL;
    return w->sessions[index];
}

void
mk_session_end(struct mk_session *s)
{
    struct mk_worker *w = mk_worker_self();
    uint32_t index = (uint32_t)s->id;

    MK_ASSERT(s->magic == SESSION_MAGIC && !s->closed);
    s->closed = true;
    w->sessions[index] = NULL;
    w->free_indexes[w->session_free++] = index;
    w->session_count--;
    clear_slots(s);
    if (s->ops->destroy)
        s->ops->destroy(s);
    s->data = NULL;
    mk_session_unref(&s);
}

struct mk_session *
mk_session_ref(struct mk_session *s)
{
    if (s)
        s->refs++;
    return s;
}

void
mk_session_unref(struct mk_session **sp)
{
    struct mk_session *s = *sp;

    *sp = NULL;
    if (!s || --s->refs > 0)
        return;
    MK_ASSERT(s->magic == SESSION_MAGIC && s->closed);
    /* What was put there behind the end, by whoever had been waiting for something. */
    clear_slots(s);
    mk_jid_unref(&s->jid);
    mk_free(s->peer);
    mk_free(s->slots);
    s->magic = 0;
    mk_free(s);
}

void
mki_sessions_release(struct mk_worker *w)
{
    mk_free(w->sessions);
    mk_free(w->generations);
    mk_free(w->free_indexes);
}

/* -- properties ----------------------------------------------------------------------------- */

struct mk_module *
mki_session_owner(const struct mk_session *s)
{
    return s->owner;
}

void *
mk_session_data(const struct mk_session *s)
{
    return s->data;
}

void
mk_session_set_data(struct mk_session *s, void *data)
{
    s->data = data;
}

void
mk_session_set_host(struct mk_session *s, struct mk_host *host)
{
    s->host = host;
}

void
mk_session_set_jid(struct mk_session *s, const struct mk_jid *jid)
{
    struct mk_jid *old = s->jid;

    s->jid = mk_jid_ref(jid);
    mk_jid_unref(&old);
}

void
mk_session_set_peer(struct mk_session *s, const char *peer)
{
    mk_free(s->peer);
    s->peer = mk_strdup(peer);
}

mk_session_id
mk_session_get_id(const struct mk_session *s)
{
    return s->id;
}

const struct mk_jid *
mk_session_jid(const struct mk_session *s)
{
    return s->jid;
}

struct mk_host *
mk_session_host(const struct mk_session *s)
{
    return s->host;
}

const char *
mk_session_peer(const struct mk_session *s)
{
    return s->peer ? s->peer : "";
}

bool
mk_session_is_bound(const struct mk_session *s)
{
    return s->jid && !mk_jid_is_bare(s->jid);
}

bool
mk_session_is_closed(const struct mk_session *s)
{
    return s->closed;
}

/* -- pausing input -------------------------------------------------------------------------- */

void
mk_session_pause(struct mk_session *s)
{
    s->pauses++;
}

void
mk_session_unpause(struct mk_session *s)
{
    MK_ASSERT(s->pauses > 0);
    if (--s->pauses == 0 && !s->closed && s->ops->resumed)
        s->ops->resumed(s);
}

bool
mk_session_is_paused(const struct mk_session *s)
{
    return s->pauses > 0;
}

/* -- input that is not dealt with yet ------------------------------------------------------- */

void
mk_session_unsettle(struct mk_session *s)
{
    if (s)
        s->unsettled++;
}

void
mk_session_settle(struct mk_session *s)
{
    if (!s)
        return;
    MK_ASSERT(s->unsettled > 0);
    if (--s->unsettled == 0 && !s->closed && s->ops->settled)
        s->ops->settled(s);
}

unsigned
mk_session_unsettled(const struct mk_session *s)
{
    return s->unsettled;
}

/* -- while a module is exchanged ------------------------------------------------------------- */

static void
on_hold_end(void *arg)
{
    mki_sessions_go_on(arg, NULL);
}

void
mki_sessions_hold(struct mk_worker *w, void *unused)
{
    (void)unused;
    w->holding = true;
    for (uint32_t i = 0; i < w->session_cap; i++) {
        if (w->sessions[i])
            hold(w->sessions[i]);
    }
    w->hold_end = mk_timer_new(NULL, HOLD_MS, on_hold_end, w);
}

void
mki_sessions_go_on(struct mk_worker *w, void *unused)
{
    (void)unused;
    mk_timer_free(&w->hold_end);
    w->holding = false;
    mki_enter();
    for (uint32_t i = 0; i < w->session_cap; i++) {
        struct mk_session *s = w->sessions[i];

        if (!s || !s->held)
            continue;
        s->held = false;
        mk_session_ref(s);
        mk_session_unpause(s);
        mk_session_unref(&s);
    }
    mki_leave();
}

void
mki_sessions_count_unsettled(struct mk_worker *w, void *arg)
{
    size_t n = 0;

    for (uint32_t i = 0; i < w->session_cap; i++)
        n += w->sessions[i] && w->sessions[i]->unsettled > 0;
    __atomic_fetch_add((size_t *)arg, n, __ATOMIC_RELAXED);
}

/* -- delivering ----------------------------------------------------------------------------- */

void
mk_session_deliver(struct mk_session *s, struct mk_stanza *st)
{
    MK_ASSERT(s->magic == SESSION_MAGIC);
    if (!s->closed)
        s->ops->deliver(s, st);
}

void
mk_session_close(struct mk_session *s, const char *condition, const char *text)
{
    if (!s->closed)
        s->ops->close(s, condition, text);
}

void
mk_undelivered(mk_session_id id, struct mk_stanza *st)
{
    struct mk_ev_undelivered ev = {MK_EVENT(ev), .session = id, .stanza = st};

    mk_fire_undelivered(undelivered, &ev);
}

static void
deliver_here(mk_session_id id, struct mk_stanza *st)
{
    struct mk_session *s = mk_session_find(id);

    if (s)
        mk_session_deliver(s, st);
    else if (mk_stanza_given_up(st))
        mk_undelivered(id, st);
}

static void
run_delivery(struct mki_item *item)
{
    struct delivery *d = mki_container(item, struct delivery, item);

    deliver_here(d->id, d->st);
    mk_stanza_unref(&d->st);
    mk_free(d);
}

void
mk_deliver(mk_session_id id, struct mk_stanza *st)
{
    struct mk_worker *w = mk_session_id_worker(id);
    struct delivery *d;

    if (!w)
        return;
    if (w == mk_worker_self()) {
        deliver_here(id, st);
        return;
    }
    d = mk_alloc(sizeof(*d));
    d->item.run = run_delivery;
    d->id = id;
    d->st = mk_stanza_ref(st);
    mki_inbox_put(&w->inbox, &d->item);
}

static void
run_call(struct mki_item *item)
{
    struct call *c = mki_container(item, struct call, item);

    c->fn(mk_session_find(c->id), c->arg);
    mk_module_leave(c->module);
    mk_free(c);
}

void
mk_session_post(struct mk_module *m, mk_session_id id, mk_session_fn fn, void *arg)
{
    struct mk_worker *w = mk_session_id_worker(id);
    struct call *c = mk_alloc(sizeof(*c));

    mk_module_enter(m);
    *c = (struct call){.item.run = run_call, .module = m, .id = id, .fn = fn, .arg = arg};
    if (!w)
        w = mk_worker_self() ? mk_worker_self() : mk_worker_nth(0);
    mki_inbox_put(&w->inbox, &c->item);
}

void
mk_session_each(mk_session_fn fn, void *arg)
{
    struct mk_worker *w = mk_worker_self();

    for (uint32_t i = 0; i < w->session_cap; i++) {
        if (w->sessions[i] && mk_session_is_bound(w->sessions[i]))
            fn(w->sessions[i], arg);
    }
}

void
mk_session_each_of(struct mk_module *owner, mk_session_fn fn, void *arg)
{
    struct mk_worker *w = mk_worker_self();

    for (uint32_t i = 0; i < w->session_cap; i++) {
        if (w->sessions[i] && w->sessions[i]->owner == owner)
            fn(w->sessions[i], arg);
    }
}

/* -- slots ---------------------------------------------------------------------------------- */

void
mk_session_slot_set(struct mk_session *s, unsigned slot, void *data)
{
    void *old = mk_session_slot_take(s, slot);

    if (old && mki_slot_free_of(slot))
        mki_slot_free_of(slot)(old);
    if (!data)
        return;
    MK_ASSERT(slot < SLOTS_MAX);
    if (slot >= s->slot_count) {
        s->slots = mk_realloc(s->slots, (slot + 1) * sizeof(*s->slots));
        while (s->slot_count <= slot)
            s->slots[s->slot_count++] = NULL;
    }
    s->slots[slot] = data;
}

void *
mk_session_slot(const struct mk_session *s, unsigned slot)
{
    return slot < s->slot_count ? s->slots[slot] : NULL;
}

void *
mk_session_slot_take(struct mk_session *s, unsigned slot)
{
    void *data = mk_session_slot(s, slot);

    if (data)
        s->slots[slot] = NULL;
    return data;
}

void
mki_sessions_clear_slot(struct mk_worker *w, unsigned slot)
{
    for (uint32_t i = 0; i < w->session_cap; i++) {
        if (w->sessions[i])
            mk_session_slot_set(w->sessions[i], slot, NULL);
    }
}
