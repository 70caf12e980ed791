/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Service "auth": accounts and their keys. Several modules may provide it; who asks goes through them in
 * start order until one has the account. Names are prepared local parts. All calls are made on a
 * worker; the answer comes on the same worker, perhaps at once.
 */
#ifndef MEERKAT_AUTH_H
#define MEERKAT_AUTH_H

#include <meerkat/crypto.h>
#include <meerkat/hook.h>
#include <meerkat/module.h>

MK_BEGIN

struct mk_sql_batch;

enum mk_auth_result {
    MK_AUTH_OK,
    MK_AUTH_NO_ACCOUNT,
    MK_AUTH_EXISTS,             /* create: the name is taken */
    MK_AUTH_WRONG,              /* check: the password is not it */
    MK_AUTH_UNAVAILABLE,        /* the database does not answer: temporary */
    MK_AUTH_BUSY,               /* too much to do: temporary */
    MK_AUTH_NOT_ALLOWED,        /* this backend cannot, or the name or password is not acceptable */
};

#define MK_SCRAM_KEYS_MAX 5
struct mk_credentials {
    size_t count;
    struct mk_scram_key keys[MK_SCRAM_KEYS_MAX];    /* at most one a hash */
};

/* `cred` is valid during the call and NULL unless the result is MK_AUTH_OK. */
typedef void (*mk_auth_lookup_fn)(enum mk_auth_result result, const struct mk_credentials *cred,
                                  void *arg);
typedef void (*mk_auth_fn)(enum mk_auth_result result, void *arg);
/* Valid during the call; none and 0 unless the result is MK_AUTH_OK. */
typedef void (*mk_auth_list_fn)(enum mk_auth_result result, const struct mk_str *users, size_t count,
                                void *arg);
typedef void (*mk_auth_count_fn)(enum mk_auth_result result, uint64_t count, void *arg);

#define MK_AUTH_ABI 1
struct mk_auth {
    uint32_t size;
    void *self;
    void (*lookup)(void *self, struct mk_host *host, struct mk_str user, mk_auth_lookup_fn fn,
                   void *arg);
    /* Is this the password? Costly hashing is offloaded. */
    void (*check)(void *self, struct mk_host *host, struct mk_str user, struct mk_str password,
                  mk_auth_fn fn, void *arg);
    void (*create)(void *self, struct mk_host *host, struct mk_str user, struct mk_str password,
                   mk_auth_fn fn, void *arg);
    void (*set_password)(void *self, struct mk_host *host, struct mk_str user,
                         struct mk_str password, mk_auth_fn fn, void *arg);
    /* Removes the account and, in the same transaction, all that modules keep for it (see hook
     * account_remove); its sessions are closed. */
    void (*remove)(void *self, struct mk_host *host, struct mk_str user, mk_auth_fn fn, void *arg);
    /* The hashes that accounts of this backend have keys for (bits 1u << enum mk_hash_alg). */
    unsigned (*hashes)(void *self, struct mk_host *host);
    /* False: accounts come from elsewhere and create, set_password and remove say NOT_ALLOWED. */
    bool can_change;
    /* Iterations that new keys of this backend get: what a made-up account must show as well. NULL: 10000. */
    unsigned (*iterations)(void *self, struct mk_host *host);
    /*
     * Accounts of a host in the order of their names: those behind `after` (empty: from the first), `limit` at most. Either may
     * be NULL: this backend does not know who its accounts are.
     */
    void (*list)(void *self, struct mk_host *host, struct mk_str after, size_t limit,
                 mk_auth_list_fn fn, void *arg);
    void (*count)(void *self, struct mk_host *host, mk_auth_count_fn fn, void *arg);
    /* `create` with keys that exist already, in the place of a password; none at all: an account that no password opens. NULL:
     * this backend cannot. */
    void (*create_keys)(void *self, struct mk_host *host, struct mk_str user,
                        const struct mk_credentials *cred, mk_auth_fn fn, void *arg);
};

/*
 * An account goes: add the statements that remove what you keep for it to `batch` (NULL when the
 * backend is not in SQL: then run them yourself). Cannot be held.
 */
struct mk_ev_account_remove {
    struct mk_hook_head head;
    struct mk_host *host;
    struct mk_str user;                 /* prepared local part */
    struct mk_str domain;
    struct mk_sql_batch *batch;
};
MK_NOTICE(account_remove, struct mk_ev_account_remove)

/* An account has another password from now on, or is gone: what was found out about the old one is worth nothing any more. Fired
 * before who asked for it is answered. Cannot be held. */
struct mk_ev_account_password {
    struct mk_hook_head head;
    struct mk_host *host;
    struct mk_str user;                 /* prepared local part */
};
MK_NOTICE(account_password, struct mk_ev_account_password)

/* -- conveniences ----------------------------------------------------------------------------- */

/* All backends, in the order in which they are asked. Of a module's state, filled in start. */
#define MK_AUTH_BACKENDS_MAX 8
struct mk_auth_backends {
    const struct mk_auth *at[MK_AUTH_BACKENDS_MAX];     /* NULL behind the last; atomic: workers may be at work already */
};

static inline void
mk_auth_backends_get(struct mk_module *m, struct mk_auth_backends *out)
{
    for (unsigned i = 0; i < MK_AUTH_BACKENDS_MAX; i++)
        __atomic_store_n(&out->at[i], (const struct mk_auth *)mk_service_nth(m, "auth", MK_AUTH_ABI, i), __ATOMIC_RELEASE);
}

/* The n-th backend; NULL behind the last. */
static inline const struct mk_auth *
mk_auth_nth(const struct mk_auth_backends *b, size_t n)
{
    return n < MK_AUTH_BACKENDS_MAX ? __atomic_load_n(&b->at[n], __ATOMIC_ACQUIRE) : NULL;
}

/* `auth` has the account when the result is MK_AUTH_OK, else NULL; MK_AUTH_NO_ACCOUNT: nobody has it. */
typedef void (*mk_auth_find_fn)(enum mk_auth_result result, const struct mk_auth *auth, void *arg);

struct mk_auth_search_ {
    struct mk_module *m;
    const struct mk_auth_backends *backends;
    size_t next;
    struct mk_host *host;
    char *user;
    mk_auth_find_fn fn;
    void *arg;
};

static inline void
mk_auth_searched_(enum mk_auth_result result, const struct mk_credentials *cred, void *arg)
{
    struct mk_auth_search_ *s = (struct mk_auth_search_ *)arg;
    const struct mk_auth *auth = mk_auth_nth(s->backends, s->next);

    (void)cred;
    if (result == MK_AUTH_NO_ACCOUNT && auth) {
        s->next++;
        auth->lookup(auth->self, s->host, mk_str_of(s->user), mk_auth_searched_, s);
        return;
    }
    s->fn(result, result == MK_AUTH_OK ? mk_auth_nth(s->backends, s->next - 1) : NULL, s->arg);
    mk_module_leave(s->m);
    mk_free(s->user);
    mk_free(s);
}

/* Which backend has this account? fn is called on this worker, perhaps at once; `m` is busy until then. */
static inline void
mk_auth_find(struct mk_module *m, const struct mk_auth_backends *backends, struct mk_host *host,
             struct mk_str user, mk_auth_find_fn fn, void *arg)
{
    struct mk_auth_search_ *s = (struct mk_auth_search_ *)mk_alloc(sizeof(*s));

    s->m = m;
    s->backends = backends;
    s->next = 0;
    s->host = host;
    s->user = mk_str_dup(user);
    s->fn = fn;
    s->arg = arg;
    mk_module_enter(m);
    mk_auth_searched_(MK_AUTH_NO_ACCOUNT, NULL, s);
}

MK_END
#endif
