/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* IQ requests to this server: the registry of handlers, dispatching, answering. */
#include "config.h"

#include "iq-internal.h"

#include <pthread.h>

#include <meerkat/router.h>
#include <meerkat/worker.h>

#include "module-internal.h"

struct handler {
    struct mk_module *module;
    unsigned types, to;
    char *ns;
    char *name;             /* NULL: any */
    mk_iq_fn fn;
    void *arg;
    bool removed;
};

struct registry {
    size_t count;
    struct handler *list[];
};

struct mk_iq {
    struct mk_stanza *stanza;
    struct mk_host *host;
    struct mk_session *session;     /* may be closed */
    struct mk_jid *account;
    const struct mk_node *child;
    struct mk_module *module;       /* of the handler that has it */
    unsigned addressee;
    bool answered;
    bool held;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct registry *registry;   /* RCU */

static void
publish(struct registry *now)
{
    struct registry *old = registry;

    __atomic_store_n(&registry, now, __ATOMIC_RELEASE);
    if (old)
        mk_rcu_defer(mk_free, old);
}

static void
handler_free(void *thing)
{
    struct handler *h = thing;

    mk_free(h->ns);
    mk_free(h->name);
    mk_free(h);
}

static void
unregister(void *thing)
{
    struct handler *gone = thing;
    struct registry *now;
    size_t kept = 0;

    pthread_mutex_lock(&lock);
    __atomic_store_n(&gone->removed, true, __ATOMIC_RELEASE);
    now = mk_alloc(sizeof(*now) + registry->count * sizeof(now->list[0]));
    for (size_t i = 0; i < registry->count; i++) {
        if (registry->list[i] != gone)
            now->list[kept++] = registry->list[i];
    }
    now->count = kept;
    publish(now);
    pthread_mutex_unlock(&lock);
    mk_rcu_defer(handler_free, gone);
}

int
mk_on_iq(struct mk_module *m, unsigned types, unsigned to, const char *ns, const char *name,
         mk_iq_fn fn, void *arg)
{
    struct handler *h = mk_zalloc(sizeof(*h));
    struct registry *now;
    size_t count;

    *h = (struct handler){.module = m, .types = types, .to = to, .ns = mk_strdup(ns),
                          .name = mk_strdup(name), .fn = fn, .arg = arg};
    pthread_mutex_lock(&lock);
    count = registry ? registry->count : 0;
    now = mk_alloc(sizeof(*now) + (count + 1) * sizeof(now->list[0]));
    if (count)
        memcpy(now->list, registry->list, count * sizeof(now->list[0]));
    now->list[count] = h;
    now->count = count + 1;
    publish(now);
    pthread_mutex_unlock(&lock);
    mki_own(m, unregister, h);
    return 0;
}

void
mki_iq_features(unsigned to, void (*fn)(const char *ns, void *arg), void *arg)
{
    const struct registry *r = __atomic_load_n(&registry, __ATOMIC_ACQUIRE);

    for (size_t i = 0; r && i < r->count; i++) {
        if ((r->list[i]->to & to) && !(r->list[i]->to & MK_TO_HIDDEN))
            fn(r->list[i]->ns, arg);
    }
}

void
mki_iq_each(void (*fn)(const char *module, unsigned types, unsigned to, const char *ns,
                       const char *name, void *arg),
            void *arg)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; registry && i < registry->count; i++) {
        const struct handler *h = registry->list[i];

        fn(mk_module_name(h->module), h->types, h->to, h->ns, h->name, arg);
    }
    pthread_mutex_unlock(&lock);
}

/* -- dispatching ---------------------------------------------------------------------------- */

static void
release(struct mk_iq *iq)
{
    mk_stanza_unref(&iq->stanza);
    mk_session_unref(&iq->session);
    mk_jid_unref(&iq->account);
}

static enum mk_verdict
call_handlers(struct mk_iq *iq, const char *name, const char *ns)
{
    const struct registry *r = __atomic_load_n(&registry, __ATOMIC_ACQUIRE);
    unsigned type = mk_stanza_type(iq->stanza) == MK_TYPE_GET ? MK_IQ_GET : MK_IQ_SET;

    for (size_t i = 0; r && i < r->count; i++) {
        struct handler *h = r->list[i];
        enum mk_verdict verdict;

        if (!(h->types & type) || !(h->to & iq->addressee) || strcmp(h->ns, ns) != 0 ||
            (h->name && strcmp(h->name, name) != 0) ||
            __atomic_load_n(&h->removed, __ATOMIC_ACQUIRE))
            continue;
        iq->module = h->module;
        verdict = h->fn(iq, h->arg);
        if (verdict != MK_CONTINUE)
            return verdict;
    }
    return MK_CONTINUE;
}

void
mk_iq_dispatch(struct mk_stanza *st, struct mk_host *host, struct mk_session *session,
               unsigned addressee)
{
    struct mk_iq iq = {.stanza = mk_stanza_ref(st), .host = host, .addressee = addressee,
                       .session = mk_session_ref(session)};
    const char *name, *ns, *more, *more_ns;
    enum mk_verdict verdict = MK_CONTINUE;

    if (addressee & MK_TO_BARE) {
        const struct mk_jid *to = mk_stanza_to(st);

        iq.account = mk_jid_bare_new(to ? to : mk_stanza_from(st));
    }
    /* RFC 6120 §8.2.3: exactly one child. */
    if (!mk_stanza_nth(st, 0, &name, &ns) || mk_stanza_nth(st, 1, &more, &more_ns))
        mk_iq_reply_error(&iq, MK_ERR_BAD_REQUEST, "a request has exactly one child");
    else
        verdict = call_handlers(&iq, name, ns);
    if (!iq.answered && !iq.held) {
        if (verdict == MK_DENY)
            mk_iq_reply_error(&iq, MK_ERR_NOT_ALLOWED, NULL);
        else
            mk_iq_reply_error(&iq, MK_ERR_SERVICE_UNAVAILABLE, NULL);
    }
    release(&iq);
}

struct mk_iq *
mk_iq_hold(struct mk_iq *iq)
{
    struct mk_iq *copy;

    if (iq->held)
        return iq;
    copy = mk_alloc(sizeof(*copy));
    iq->held = true;
    *copy = *iq;
    copy->stanza = mk_stanza_ref(iq->stanza);
    copy->session = mk_session_ref(iq->session);
    copy->account = mk_jid_ref(iq->account);
    mk_module_enter(iq->module);
    if (copy->session && !mk_session_is_closed(copy->session))
        mk_session_pause(copy->session);
    mk_session_unsettle(copy->session);
    return copy;
}

/* -- answering ------------------------------------------------------------------------------ */

static void
send_reply(struct mk_iq *iq, struct mk_stanza *reply)
{
    struct mk_session *s = iq->session;

    MK_ASSERT(!iq->answered);
    iq->answered = true;
    if (reply) {
        if (s && !mk_session_is_closed(s) && mk_session_is_bound(s))
            mk_session_deliver(s, reply);
        else
            mk_route(reply);
    }
    mk_stanza_unref(&reply);
    if (!iq->held)
        return;
    mk_session_settle(s);
    if (s && mk_session_is_paused(s))
        mk_session_unpause(s);
    mk_module_leave(iq->module);
    release(iq);
    mk_free(iq);
}

void
mk_iq_reply_result(struct mk_iq *iq, struct mk_xml *content)
{
    send_reply(iq, mk_stanza_result(iq->stanza, content));
}

void
mk_iq_reply_error(struct mk_iq *iq, enum mk_stanza_error e, const char *text)
{
    send_reply(iq, mk_stanza_error_reply(iq->stanza, e, text));
}

void
mk_iq_reply_error_app(struct mk_iq *iq, enum mk_stanza_error e, struct mk_xml *app)
{
    struct mk_xml *x = mk_xml_new(NULL);
    const struct mk_stanza *st = iq->stanza;

    mk_xml_open(x, "error", NULL);
    mk_xml_attr(x, "type", mk_stanza_error_type(e));
    mk_xml_leaf(x, mk_stanza_error_name(e), MK_NS_STANZAS, MK_STR(""));
    if (mk_xml_parsed(x, mk_xml_str(app), MK_NS_CLIENT) < 0)
        MK_BUG("an error's own element is not one element");
    mk_xml_close(x);
    mk_xml_free(&app);
    send_reply(iq, mk_stanza_new(MK_IQ, MK_TYPE_ERROR, mk_stanza_to(st), mk_stanza_from(st),
                                 mk_stanza_id(st), x));
}

/* -- reading -------------------------------------------------------------------------------- */

struct mk_stanza *
mk_iq_stanza(const struct mk_iq *iq)
{
    return iq->stanza;
}

enum mk_stanza_type
mk_iq_type(const struct mk_iq *iq)
{
    return mk_stanza_type(iq->stanza);
}

const struct mk_jid *
mk_iq_from(const struct mk_iq *iq)
{
    return mk_stanza_from(iq->stanza);
}

const struct mk_jid *
mk_iq_account(const struct mk_iq *iq)
{
    return iq->account;
}

struct mk_host *
mk_iq_host(const struct mk_iq *iq)
{
    return iq->host;
}

unsigned
mk_iq_addressee(const struct mk_iq *iq)
{
    return iq->addressee;
}

const struct mk_node *
mk_iq_child(const struct mk_iq *iq)
{
    return mk_stanza_child(iq->stanza, NULL, NULL);
}

struct mk_session *
mk_iq_session(const struct mk_iq *iq)
{
    return iq->session && !mk_session_is_closed(iq->session) ? iq->session : NULL;
}
