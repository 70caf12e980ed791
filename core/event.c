/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Events: facts that are posted to whoever has subscribed, each on the worker of its choice. */
#include "config.h"

#include <pthread.h>

#define _LGPL_SOURCE
#include <urcu/urcu-memb.h>

#include <meerkat/hook.h>
#include <meerkat/worker.h>

#include "module-internal.h"

struct subscriber {
    struct subscriber *next;
    struct mk_module *module;
    struct mk_worker *worker;
    char *event;
    mk_event_fn fn;
    void *arg;
    bool gone;
    uint32_t refs;
};

struct message {
    struct subscriber *to;
    _Alignas(8) char payload[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct subscriber *subscribers;

static void
unref(struct subscriber *s)
{
    if (__atomic_fetch_sub(&s->refs, 1, __ATOMIC_ACQ_REL) == 1) {
        mk_free(s->event);
        mk_free(s);
    }
}

static void
unsubscribe(void *thing)
{
    struct subscriber *gone = thing;

    pthread_mutex_lock(&lock);
    for (struct subscriber **p = &subscribers; *p; p = &(*p)->next) {
        if (*p == gone) {
            *p = gone->next;
            break;
        }
    }
    __atomic_store_n(&gone->gone, true, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&lock);
    unref(gone);
}

int
mk_subscribe(struct mk_module *m, const char *event, struct mk_worker *w, mk_event_fn fn, void *arg)
{
    struct subscriber *s = mk_zalloc(sizeof(*s));

    *s = (struct subscriber){.module = m, .worker = w, .event = mk_strdup(event), .fn = fn,
                             .arg = arg, .refs = 1};
    pthread_mutex_lock(&lock);
    s->next = subscribers;
    subscribers = s;
    pthread_mutex_unlock(&lock);
    mki_own(m, unsubscribe, s);
    return 0;
}

static void
deliver(void *arg)
{
    struct message *msg = arg;

    if (!__atomic_load_n(&msg->to->gone, __ATOMIC_ACQUIRE))
        msg->to->fn(msg->to->event, msg->payload, msg->to->arg);
    unref(msg->to);
    mk_free(msg);
}

static void
send(struct subscriber *s, const void *payload, size_t size)
{
    struct message *msg = mk_alloc(sizeof(*msg) + size);
    struct mk_worker *w = s->worker ? s->worker : mk_worker_self();

    msg->to = s;
    if (size)
        memcpy(msg->payload, payload, size);
    __atomic_fetch_add(&s->refs, 1, __ATOMIC_RELAXED);
    mk_post(s->module, w ? w : mk_worker_nth(0), deliver, msg);
}

void
mk_publish(struct mk_module *m, const char *event, const void *payload, size_t size)
{
    (void)m;
    if (!__atomic_load_n(&subscribers, __ATOMIC_RELAXED) || mk_worker_count() == 0)
        return;
    pthread_mutex_lock(&lock);
    for (struct subscriber *s = subscribers; s; s = s->next) {
        if (strcmp(s->event, event) == 0)
            send(s, payload, size);
    }
    pthread_mutex_unlock(&lock);
}

bool
mk_event_wanted(const char *event)
{
    bool wanted = false;

    if (!__atomic_load_n(&subscribers, __ATOMIC_RELAXED))
        return false;
    pthread_mutex_lock(&lock);
    for (struct subscriber *s = subscribers; s && !wanted; s = s->next)
        wanted = strcmp(s->event, event) == 0;
    pthread_mutex_unlock(&lock);
    return wanted;
}
