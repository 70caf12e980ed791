/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Asking the backends one after the other until one has the account. The session's input waits
 * meanwhile. When no backend knows the name, a check takes as long as a wrong password does.
 */
#include "config.h"

#include "internal.h"

#define DEFAULT_ITERATIONS 10000

struct ask {
    struct sasl *sasl;
    struct mk_session *session; /* reference */
    struct mk_host *host;
    struct mk_buf user;
    struct mk_buf password;
    bool is_check;
    size_t backend;      /* the one being asked */
    unsigned iterations; /* of the wasted derivation */
    ask_fn fn;
};

static void
finish(struct ask *ask, enum mk_auth_result result, const struct mk_credentials *cred)
{
    struct mk_session *s = ask->session;
    struct mk_module *m = ask->sasl->module;
    struct login *l = mk_session_is_closed(s) ? NULL : mk_session_slot(s, ask->sasl->slot);

    if (l) {
        l->busy = false;
        ask->fn(l, result, cred);
    }
    if (!mk_session_is_closed(s))
        mk_session_unpause(s);
    mk_session_unref(&s);
    wipe_buf(&ask->password);
    mk_buf_release(&ask->user);
    mk_free(ask);
    mk_module_leave(m);
}

static void
work_waste(void *arg)
{
    struct ask *ask = arg;
    unsigned char out[MK_DIGEST_MAX];

    mk_pbkdf2(MK_SHA1, mk_buf_str(&ask->password), MK_STR("nobody's salt 16"), ask->iterations,
              out);
}

static void
on_wasted(void *arg)
{
    finish(arg, MK_AUTH_NO_ACCOUNT, NULL);
}

static void
nobody_has_it(struct ask *ask)
{
    if (!ask->is_check)
        finish(ask, MK_AUTH_NO_ACCOUNT, NULL);
    else if (mk_offload(ask->sasl->module, work_waste, on_wasted, ask) < 0)
        finish(ask, MK_AUTH_BUSY, NULL);
}

static void ask_next(struct ask *ask);

static void
on_lookup(enum mk_auth_result result, const struct mk_credentials *cred, void *arg)
{
    struct ask *ask = arg;

    if (result != MK_AUTH_NO_ACCOUNT) {
        finish(ask, result, cred);
        return;
    }
    ask->backend++;
    ask_next(ask);
}

static void
on_check(enum mk_auth_result result, void *arg)
{
    on_lookup(result, NULL, arg);
}

static void
ask_next(struct ask *ask)
{
    const struct mk_auth *auth;

    if (ask->backend >= ask->sasl->backend_count) {
        nobody_has_it(ask);
        return;
    }
    auth = ask->sasl->backends[ask->backend];
    if (ask->is_check)
        auth->check(auth->self, ask->host, mk_buf_str(&ask->user), mk_buf_str(&ask->password),
                    on_check, ask);
    else
        auth->lookup(auth->self, ask->host, mk_buf_str(&ask->user), on_lookup, ask);
}

static struct ask *
begin(struct login *l, ask_fn fn)
{
    struct ask *ask = mk_zalloc(sizeof(*ask));

    ask->sasl = l->sasl;
    ask->session = mk_session_ref(l->session);
    ask->host = mk_session_host(l->session);
    ask->fn = fn;
    mk_module_enter(l->sasl->module);
    mk_buf_add_str(&ask->user, mk_buf_str(&l->user));
    l->busy = true;
    mk_session_pause(l->session);
    return ask;
}

void
ask_lookup(struct login *l, ask_fn fn)
{
    ask_next(begin(l, fn));
}

void
ask_check(struct login *l, struct mk_str password, ask_fn fn)
{
    struct ask *ask = begin(l, fn);

    ask->is_check = true;
    ask->iterations = ask_iterations(l->sasl, ask->host);
    mk_buf_add_str(&ask->password, password);
    ask_next(ask);
}

unsigned
ask_hashes(struct sasl *sasl, struct mk_host *host)
{
    unsigned bits = 0;

    for (size_t i = 0; i < sasl->backend_count; i++)
        bits |= sasl->backends[i]->hashes(sasl->backends[i]->self, host);
    return bits;
}

unsigned
ask_iterations(struct sasl *sasl, struct mk_host *host)
{
    for (size_t i = 0; i < sasl->backend_count; i++) {
        const struct mk_auth *auth = sasl->backends[i];

        if (MK_HAS(auth, iterations) && auth->iterations)
            return auth->iterations(auth->self, host);
    }
    return DEFAULT_ITERATIONS;
}
