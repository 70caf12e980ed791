/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Requests of the server's own. The id names the worker that asked, so that an answer finds it. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include <meerkat/router.h>
#include <meerkat/worker.h>

#include "iq-internal.h"
#include "worker-internal.h"

struct request {
    struct mki_list link;
    struct mk_module *module;
    struct mk_jid *peer;        /* who may answer */
    char id[48];
    struct mk_timer *timer;
    mk_iq_answer_fn fn;
    void *arg;
};

struct passed {
    struct mk_stanza *st;
};

static void
finish(struct request *r, struct mk_stanza *answer)
{
    mki_list_del(&r->link);
    mk_timer_free(&r->timer);
    r->fn(answer, r->arg);
    mk_module_leave(r->module);
    mk_jid_unref(&r->peer);
    mk_free(r);
}

static void
on_timeout(void *arg)
{
    struct request *r = arg;

    r->timer = NULL;
    finish(r, NULL);
}

void
mk_iq_request(struct mk_module *m, enum mk_stanza_type type, const struct mk_jid *from,
              const struct mk_jid *to, struct mk_xml *content, uint64_t timeout_ms,
              mk_iq_answer_fn fn, void *arg)
{
    struct mk_worker *w = mk_worker_self();
    struct request *r = mk_zalloc(sizeof(*r));
    struct mk_stanza *st;
    char secret[17];

    MK_ASSERT(w && (type == MK_TYPE_GET || type == MK_TYPE_SET));
    mk_random_id(secret, sizeof(secret));
    snprintf(r->id, sizeof(r->id), "mk%u-%llu-%s", w->index, (unsigned long long)++w->next_request,
             secret);
    r->module = m;
    r->peer = mk_jid_ref(to);
    r->fn = fn;
    r->arg = arg;
    mk_module_enter(m);
    mki_list_add_tail(&w->requests, &r->link);
    r->timer = mk_timer_new(m, timeout_ms, on_timeout, r);
    st = mk_stanza_new(MK_IQ, type, from, to, r->id, content);
    mk_route(st);
    mk_stanza_unref(&st);
}

static void
answer_here(struct mk_worker *w, struct mk_stanza *st)
{
    const char *id = mk_stanza_id(st);

    for (struct mki_list *l = w->requests.next; l != &w->requests; l = l->next) {
        struct request *r = mki_container(l, struct request, link);

        if (strcmp(r->id, id) == 0 && mk_jid_equal(r->peer, mk_stanza_from(st))) {
            finish(r, st);
            return;
        }
    }
}

static void
answer_there(void *arg)
{
    struct passed *p = arg;

    answer_here(mk_worker_self(), p->st);
    mk_stanza_unref(&p->st);
    mk_free(p);
}

bool
mk_iq_answered(struct mk_stanza *st)
{
    const char *id = mk_stanza_id(st);
    struct mk_worker *w;
    struct passed *p;
    unsigned index;
    int used = 0;

    if (!id || mk_stanza_kind(st) != MK_IQ ||
        (mk_stanza_type(st) != MK_TYPE_RESULT && mk_stanza_type(st) != MK_TYPE_ERROR) ||
        sscanf(id, "mk%u-%n", &index, &used) != 1 || used == 0)
        return false;
    w = mk_worker_nth(index);
    if (!w)
        return false;
    if (w == mk_worker_self()) {
        answer_here(w, st);
        return true;
    }
    p = mk_alloc(sizeof(*p));
    p->st = mk_stanza_ref(st);
    mk_post(NULL, w, answer_there, p);
    return true;
}

void
mki_requests_forget(struct mk_worker *w, struct mk_module *m)
{
    for (struct mki_list *l = w->requests.next, *next; l != &w->requests; l = next) {
        struct request *r = mki_container(l, struct request, link);

        next = l->next;
        if (r->module == m)
            finish(r, NULL);
    }
}
