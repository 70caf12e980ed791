/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * kickUser, kickUserSession: a session ends at its node with the stream error <conflict/>, upon which clients do not
 * connect again by themselves, and the reason as its text. Also what is left of an account's sessions on other nodes when
 * it is removed: whoever keeps the accounts ends those of its own node.
 */
#include "config.h"

#include "internal.h"

/* -- at the session's node -------------------------------------------------------------------- */

struct ending {
    struct node_request *request;
    const char *condition, *reason;
};

static void
end_session(struct mk_session *s, void *arg)
{
    struct ending *e = arg;

    if (s)
        mk_session_close(s, e->condition, e->reason);
    node_answer(e->request, json_boolean(s != NULL));
    mk_free(e);
}

void
on_kick(struct node_request *r)
{
    struct admin *a = node_request_admin(r);
    mk_session_id id = (mk_session_id)json_integer_value(node_request_value(r, "id"));
    struct ending *e = mk_alloc(sizeof(*e));

    /* The texts live as long as the request, that is, until it is answered. */
    *e = (struct ending){.request = r,
                         .condition = json_is_true(node_request_value(r, "removed")) ? "not-authorized" : "conflict",
                         .reason = json_string_value(node_request_value(r, "reason"))};
    mk_session_post(a->module, id, end_session, e);
}

/* -- where it is asked ------------------------------------------------------------------------ */

struct kicks {
    json_t *list;
    size_t left;
    look_fn fn;
    void *arg;
};

struct one {
    struct kicks *kicks;
    json_t *result;             /* borrowed from the list */
};

static json_t *
kick_result(const char *jid, bool kicked)
{
    return kicked ? json_pack("{s:s,s:b,s:n,s:s}", "jid", jid, "kicked", 1, "code", "message", "Session kicked")
                  : json_pack("{s:s,s:b,s:s,s:s}", "jid", jid, "kicked", 0, "code", "no_session", "message",
                              "No active session");
}

static void
one_less(struct kicks *k)
{
    if (--k->left)
        return;
    k->fn(k->list, k->arg);
    mk_free(k);
}

static void
on_kicked(const json_t *answer, void *arg)
{
    struct one one = *(struct one *)arg;
    json_t *result = kick_result(json_string_value(json_object_get(one.result, "jid")), json_is_true(answer));

    mk_free(arg);
    json_object_update(one.result, result);
    json_decref(result);
    one_less(one.kicks);
}

void
kick(struct admin *a, const struct found *found, size_t count, const char *reason, look_fn fn, void *arg)
{
    struct kicks *k = mk_alloc(sizeof(*k));
    json_t *request;
    struct one *one;

    *k = (struct kicks){json_array(), count + 1, fn, arg};
    for (size_t i = 0; i < count; i++) {
        one = mk_alloc(sizeof(*one));
        one->kicks = k;
        one->result = kick_result(found[i].jid, false);
        json_array_append_new(k->list, one->result);
        request = json_pack("{s:I}", "id", (json_int_t)found[i].there);
        if (reason)
            json_object_set_new(request, "reason", json_string(reason));
        node_ask(a, found[i].node, "kick", request, on_kicked, one);
    }
    one_less(k);
}

/* -- fields ----------------------------------------------------------------------------------- */

static void
log_kick(struct admin *a, const struct mk_jid *jid, size_t count)
{
    mk_log(a->module, MK_LOG_INFO, "admin.kick", "an administrator ended %zu sessions of '%.*s'", count,
           MK_STR_ARG(mk_jid_text(jid)));
}

static void
on_all_kicked(json_t *list, void *arg)
{
    struct account *account = arg;

    mk_gql_answer(account->f, list);
    account_free(&account);
}

static void
on_found(enum mk_auth_result result, const struct mk_auth *auth, void *arg)
{
    struct account *account = arg;
    struct admin *a = account->admin;
    struct mk_gql_field *f = account->f;
    struct found *found;
    size_t count;

    (void)auth;
    found = found_of(a, account->jid, &count);
    if (result == MK_AUTH_NO_ACCOUNT && count == 0) {
        fail_about(f, "user_not_found", "jid", mk_jid_text(account->jid).p, "Given user does not exist");
        account_free(&account);
    } else {
        /* A failed look at the accounts is no reason to leave sessions alone. */
        log_kick(a, account->jid, count);
        kick(a, found, count, mk_gql_string(f, "reason"), on_all_kicked, account);
    }
    found_free(found, count);
}

void
session_kick_user(struct mk_gql_field *f, void *arg)
{
    struct account *account = account_new(arg, f, "user");

    if (account)
        account_find(account, on_found);
}

static void
on_one_kicked(json_t *list, void *arg)
{
    struct account *account = arg;

    mk_gql_answer(account->f, json_incref(json_array_get(list, 0)));
    json_decref(list);
    account_free(&account);
}

void
session_kick_user_session(struct mk_gql_field *f, void *arg)
{
    struct account *account = account_new(arg, f, "user");
    struct found *found;
    size_t count, i;

    if (!account)
        return;
    found = found_of(arg, account->jid, &count);
    for (i = 0; i < count && !mk_str_is(mk_jid_text(account->jid), found[i].jid); i++)
        ;
    if (i < count) {
        log_kick(arg, account->jid, 1);
        kick(arg, &found[i], 1, mk_gql_string(f, "reason"), on_one_kicked, account);
    } else {
        mk_gql_answer(f, kick_result(mk_jid_text(account->jid).p, false));
        account_free(&account);
    }
    found_free(found, count);
}

/* -- accounts that go -------------------------------------------------------------------------- */

static void
ended(const json_t *answer, void *arg)
{
    (void)answer;
    (void)arg;
}

static void
on_user_removed(const char *event, const void *payload, void *arg)
{
    const struct mk_event_user *ev = payload;
    struct mk_jid *jid = mk_jid_parse(mk_str_of(ev->user));
    struct admin *a = arg;
    struct found *found;
    size_t count;

    (void)event;
    if (!jid)
        return;
    found = found_of(a, jid, &count);
    for (size_t i = 0; i < count; i++) {
        if (found[i].node)
            node_ask(a, found[i].node, "kick",
                     json_pack("{s:I,s:b,s:s}", "id", (json_int_t)found[i].there, "removed", 1, "reason",
                               "the account was removed"), ended, NULL);
    }
    found_free(found, count);
    mk_jid_unref(&jid);
}

int
kick_init(struct admin *a)
{
    return mk_subscribe(a->module, "user_removed", NULL, on_user_removed, a);
}
