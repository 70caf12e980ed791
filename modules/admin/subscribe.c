/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * subscribeForMessages: a session of the user, bound to a resource of its own and with priority 1, whose messages go to
 * the subscriber. Contacts see nothing of it: it sends no presence.
 */
#include "config.h"

#include "internal.h"

struct subscription {
    struct receiver receiver;
    struct admin *admin;
    struct mk_gql_field *f;     /* NULL: ended */
    mk_session_id session;
};

static json_t *
stanza_map(const struct mk_stanza *st)
{
    const struct mk_jid *from = mk_stanza_from(st);
    const char *id = mk_stanza_id(st);
    char time[MK_TIME_TEXT_MAX];
    struct mk_buf xml = {0};
    json_t *map = json_object();

    mk_time_text(mk_time_us(), time);
    mk_stanza_write(st, &xml);
    json_object_set_new(map, "sender", from ? json_str(mk_jid_text(from)) : json_null());
    json_object_set_new(map, "timestamp", json_string(time));
    json_object_set_new(map, "stanza_id", id ? json_string(id) : json_null());
    json_object_set_new(map, "stanza", json_str(mk_buf_str(&xml)));
    mk_buf_release(&xml);
    return map;
}

static void
on_deliver(struct receiver *r, struct mk_stanza *st)
{
    struct subscription *s = (struct subscription *)r;

    if (s->f && mk_stanza_kind(st) == MK_MESSAGE)
        s->f->api->next(s->f, stanza_map(st));
}

/* The session was ended: the account is removed, an administrator kicked it, the server stops. */
static void
on_gone(struct receiver *r)
{
    struct subscription *s = (struct subscription *)r;

    if (s->f)
        mk_gql_answer(s->f, NULL);
    mk_free(s);
}

/* The client has gone. */
static void
on_end(struct mk_gql_field *f, void *arg)
{
    struct subscription *s = arg;
    struct mk_session *session = mk_session_find(s->session);

    (void)f;
    s->f = NULL;
    if (session)
        s->admin->c2s->end(session, NULL, NULL);
}

static void
on_known(void *arg)
{
    (void)arg;
}

static void
subscribe(struct account *account)
{
    struct admin *a = account->admin;
    struct subscription *s = mk_zalloc(sizeof(*s));
    struct mk_session *session;
    struct mk_jid *jid;
    char name[37] = "sse-";

    mk_random_id(name + 4, sizeof(name) - 4);
    jid = mk_jid_with_resource(account->jid, mk_str_of(name));
    session = a->c2s->adopt(a->c2s->self, account->host, jid);
    *s = (struct subscription){{on_deliver, on_gone}, a, account->f, mk_session_get_id(session)};
    mk_session_slot_set(session, a->slot, s);
    account->f->api->on_end(account->f, on_end, s);
    a->c2s->enter(a->c2s->self, session, 1, MK_RESOURCE_AVAILABLE, on_known, NULL);
    mk_jid_unref(&jid);
    account_free(&account);
}

static void
on_account(enum mk_auth_result result, const struct mk_auth *auth, void *arg)
{
    struct account *account = arg;

    if (auth) {
        subscribe(account);
        return;
    }
    if (result == MK_AUTH_NO_ACCOUNT)
        fail_about(account->f, "unknown_user", "jid", mk_jid_text(account->jid).p, "Given user does not exist");
    else
        fail_auth(account->f, result);
    account_free(&account);
}

void
stanza_subscribe(struct mk_gql_field *f, void *arg)
{
    bool user = f->api->viewer(f)->who == MK_GQL_IS_USER;
    struct account *account = account_new(arg, f, user ? NULL : "caller");

    if (account)
        account_find(account, on_account);
}
