/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The functions of service "auth". What needs PBKDF2 goes to the offload pool. */
#include "config.h"

#include "internal.h"

enum kind { CHECK, CREATE, SET_PASSWORD };

struct request {
    struct auth_memory *self;
    enum kind kind;
    struct mk_host *host;
    struct mk_buf user;
    struct mk_buf password; /* prepared */
    struct mk_credentials cred;
    bool ok;
    mk_auth_fn fn;
    void *arg;
};

static void
finish(struct request *r, enum mk_auth_result result)
{
    r->fn(result, r->arg);
    if (r->password.data)
        mk_wipe(r->password.data, r->password.cap);
    mk_buf_release(&r->password);
    mk_buf_release(&r->user);
    mk_wipe(r, sizeof(*r));
    mk_free(r);
}

static void
tell(struct auth_memory *self, const char *event, struct mk_host *host, struct mk_str user)
{
    struct mk_event_user ev = {.size = sizeof(ev)};
    struct mk_buf text = {0};

    mk_buf_printf(&text, "%.*s@%s", MK_STR_ARG(user), mk_host_name(host));
    memcpy(ev.user, text.data, text.len < sizeof(ev.user) ? text.len : sizeof(ev.user) - 1);
    mk_publish(self->module, event, &ev, sizeof(ev));
    mk_buf_release(&text);
}

static void
fire_password(struct auth_memory *self, struct mk_host *host, struct mk_str user)
{
    struct mk_ev_account_password ev = {MK_EVENT(struct mk_ev_account_password), .host = host, .user = user};

    mk_fire_account_password(self->account_password, &ev);
}

/* -- on the offload pool ---- */

static void
work(void *arg)
{
    struct request *r = arg;
    struct mk_scram_key *key = &r->cred.keys[0], mine;
    size_t size;

    if (r->kind != CHECK) {
        store_derive(r->self, mk_buf_str(&r->password), &r->cred);
        return;
    }
    mine = *key;
    size = mk_digest_size(key->alg);
    mk_scram_derive(&mine, mk_buf_str(&r->password));
    r->ok = mk_str_eq_secret((struct mk_str){(const char *)mine.stored_key, size},
                             (struct mk_str){(const char *)key->stored_key, size});
    mk_wipe(&mine, sizeof(mine));
}

static void
done(void *arg)
{
    struct request *r = arg;
    struct mk_str user = mk_buf_str(&r->user);

    switch (r->kind) {
    case CHECK:
        finish(r, r->ok ? MK_AUTH_OK : MK_AUTH_WRONG);
        break;
    case CREATE:
        r->ok = store_put(r->self, r->host, user, &r->cred, STORE_NEW);
        if (r->ok)
            tell(r->self, "user_created", r->host, user);
        finish(r, r->ok ? MK_AUTH_OK : MK_AUTH_EXISTS);
        break;
    case SET_PASSWORD:
        r->ok = store_put(r->self, r->host, user, &r->cred, STORE_OLD);
        if (r->ok)
            fire_password(r->self, r->host, user);
        finish(r, r->ok ? MK_AUTH_OK : MK_AUTH_NO_ACCOUNT);
        break;
    }
}

/* -- service "auth" ---- */

/* Ends with fn for a password that cannot be one: `bad` is the answer then. */
static void
begin(struct auth_memory *self, enum kind kind, struct mk_host *host, struct mk_str user,
      struct mk_str password, const struct mk_credentials *cred, mk_auth_fn fn, void *arg)
{
    struct request *r = mk_zalloc(sizeof(*r));

    r->self = self;
    r->kind = kind;
    r->host = host;
    r->fn = fn;
    r->arg = arg;
    if (cred)
        r->cred = *cred;
    mk_buf_add_str(&r->user, user);
    if (mk_prep_password(&r->password, password) < 0 || r->password.len == 0)
        finish(r, kind == CHECK ? MK_AUTH_WRONG : MK_AUTH_NOT_ALLOWED);
    else if (mk_offload(self->module, work, done, r) < 0)
        finish(r, MK_AUTH_BUSY);
}

static void
lookup(void *self, struct mk_host *host, struct mk_str user, mk_auth_lookup_fn fn, void *arg)
{
    struct mk_credentials cred;

    if (store_get(self, host, user, &cred))
        fn(MK_AUTH_OK, &cred, arg);
    else
        fn(MK_AUTH_NO_ACCOUNT, NULL, arg);
    mk_wipe(&cred, sizeof(cred));
}

static void
check(void *self, struct mk_host *host, struct mk_str user, struct mk_str password, mk_auth_fn fn,
      void *arg)
{
    struct mk_credentials cred;

    if (!store_get(self, host, user, &cred)) {
        fn(MK_AUTH_NO_ACCOUNT, arg);
        return;
    }
    begin(self, CHECK, host, user, password, &cred, fn, arg);
    mk_wipe(&cred, sizeof(cred));
}

static void
create(void *self, struct mk_host *host, struct mk_str user, struct mk_str password, mk_auth_fn fn,
       void *arg)
{
    if (user.len == 0)
        fn(MK_AUTH_NOT_ALLOWED, arg);
    else
        begin(self, CREATE, host, user, password, NULL, fn, arg);
}

static void
set_password(void *self, struct mk_host *host, struct mk_str user, struct mk_str password,
             mk_auth_fn fn, void *arg)
{
    begin(self, SET_PASSWORD, host, user, password, NULL, fn, arg);
}

static void
close_session(struct mk_session *s, void *arg)
{
    (void)arg;
    if (s)
        mk_session_close(s, "not-authorized", "the account was removed");
}

static bool
on_resource(const struct mk_resource *r, void *arg)
{
    struct auth_memory *self = arg;

    if (r->node == 0)
        mk_session_post(self->module, r->session, close_session, NULL);
    return true;
}

static void
close_sessions(struct auth_memory *self, struct mk_host *host, struct mk_str user)
{
    const struct mk_sessions *sessions = __atomic_load_n(&self->sessions, __ATOMIC_ACQUIRE);
    struct mk_jid *jid = mk_jid_new(user, mk_str_of(mk_host_name(host)), (struct mk_str){0});

    if (jid && sessions)
        sessions->each(sessions->self, jid, on_resource, self);
    mk_jid_unref(&jid);
}

static void
remove_account(void *arg, struct mk_host *host, struct mk_str user, mk_auth_fn fn, void *fn_arg)
{
    struct auth_memory *self = arg;
    struct mk_ev_account_remove ev = {
        MK_EVENT(struct mk_ev_account_remove),
        .host = host,
        .user = user,
        .domain = mk_str_of(mk_host_name(host)),
    };
    char *copy;

    if (!store_drop(self, host, user)) {
        fn(MK_AUTH_NO_ACCOUNT, fn_arg);
        return;
    }
    copy = mk_str_dup(user);
    mk_fire_account_remove(self->account_remove, &ev);
    fire_password(self, host, mk_str_of(copy));
    tell(self, "user_removed", host, mk_str_of(copy));
    fn(MK_AUTH_OK, fn_arg); /* may free what `user` points to */
    close_sessions(self, host, mk_str_of(copy));
    mk_free(copy);
}

static void
list(void *self, struct mk_host *host, struct mk_str after, size_t limit, mk_auth_list_fn fn,
     void *arg)
{
    size_t count, shown;
    char **names = store_names(self, host, after, &count);
    struct mk_str *users = mk_alloc((count + 1) * sizeof(*users));

    shown = count < limit ? count : limit;
    for (size_t i = 0; i < shown; i++)
        users[i] = mk_str_of(names[i]);
    fn(MK_AUTH_OK, users, shown, arg);
    for (size_t i = 0; i < count; i++)
        mk_free(names[i]);
    mk_free(names);
    mk_free(users);
}

static void
count_accounts(void *self, struct mk_host *host, mk_auth_count_fn fn, void *arg)
{
    fn(MK_AUTH_OK, store_count(self, host), arg);
}

static unsigned
hashes(void *self, struct mk_host *host)
{
    (void)host;
    return ((struct auth_memory *)self)->hashes;
}

static unsigned
iterations(void *self, struct mk_host *host)
{
    (void)host;
    return ((struct auth_memory *)self)->iterations;
}

void
request_table(struct auth_memory *self)
{
    self->table = (struct mk_auth){
        .size = sizeof(struct mk_auth),
        .self = self,
        .lookup = lookup,
        .check = check,
        .create = create,
        .set_password = set_password,
        .remove = remove_account,
        .hashes = hashes,
        .can_change = true,
        .iterations = iterations,
        .list = list,
        .count = count_accounts,
    };
}
