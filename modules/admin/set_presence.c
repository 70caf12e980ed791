/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* setPresence: presence as if the client of a session had sent it, at the node of the session. */
#include "config.h"

#include "internal.h"

/* -- at the session's node -------------------------------------------------------------------- */

static struct mk_stanza *
presence_of(const struct node_request *r, const struct mk_session *s)
{
    static const char *const children[] = {"show", "status"};
    const json_t *priority = node_request_value(r, "priority");
    struct mk_xml *x = mk_xml_new(NULL);
    char number[24];

    for (size_t i = 0; i < MK_COUNT(children); i++) {
        const char *text = json_string_value(node_request_value(r, children[i]));

        if (text)
            mk_xml_leaf(x, children[i], NULL, mk_str_of(text));
    }
    if (json_is_integer(priority)) {
        snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(priority));
        mk_xml_leaf(x, "priority", NULL, mk_str_of(number));
    }
    return mk_stanza_new(MK_PRESENCE, json_is_true(node_request_value(r, "available")) ? MK_TYPE_NONE : MK_TYPE_UNAVAILABLE,
                         mk_session_jid(s), NULL, NULL, x);
}

static void
set_here(struct mk_session *s, void *arg)
{
    struct node_request *r = arg;
    struct mk_stanza *st;

    if (!s || !mk_session_is_bound(s)) {
        node_answer(r, json_false());
        return;
    }
    st = presence_of(r, s);
    node_request_admin(r)->c2s->send_as(s, st, NULL, NULL);
    mk_stanza_unref(&st);
    node_answer(r, json_true());
}

void
on_set_presence(struct node_request *r)
{
    mk_session_post(node_request_admin(r)->module, (mk_session_id)json_integer_value(node_request_value(r, "id")),
                    set_here, r);
}

/* -- the field -------------------------------------------------------------------------------- */

static void
on_set(const json_t *answer, void *arg)
{
    struct account *account = arg;
    const char *jid = mk_jid_text(account->jid).p;

    if (json_is_true(answer))
        mk_gql_answer(account->f, json_pack("{s:s,s:s}", "jid", jid, "message", "Presence set successfully"));
    else
        fail_about(account->f, "no_session", "jid", jid, "Given user session does not exist");
    account_free(&account);
}

/* What may be shown is in RFC 6121 §4.7.2.1; "online" is no word of it, but its absence. */
static json_t *
request_of(struct mk_gql_field *f, const struct found *found)
{
    static const char *const shows[][2] = {{"AWAY", "away"}, {"CHAT", "chat"}, {"DND", "dnd"}, {"XA", "xa"}};
    const char *show = mk_gql_string(f, "show"), *status = mk_gql_string(f, "status");
    int64_t priority = mk_gql_int(f, "priority", 0);
    json_t *request = json_pack("{s:I,s:b}", "id", (json_int_t)found->there, "available",
                                strcmp(mk_gql_string(f, "type"), "AVAILABLE") == 0);

    for (size_t i = 0; show && i < MK_COUNT(shows); i++) {
        if (strcmp(show, shows[i][0]) == 0)
            json_object_set_new(request, "show", json_string(shows[i][1]));
    }
    if (status)
        json_object_set_new(request, "status", json_string(status));
    if (json_is_integer(f->api->argument(f, "priority")))
        json_object_set_new(request, "priority", json_integer(priority));
    return request;
}

void
session_set_presence(struct mk_gql_field *f, void *arg)
{
    const char *type = mk_gql_string(f, "type");
    int64_t priority = mk_gql_int(f, "priority", 0);
    struct account *account = account_new(arg, f, "user");
    struct found *found;
    size_t count, i;

    if (!account)
        return;
    if (mk_jid_is_bare(account->jid)) {
        fail_about(f, "empty_resource", "jid", mk_jid_text(account->jid).p, "The resource is missing");
        account_free(&account);
        return;
    }
    if (strcmp(type, "AVAILABLE") != 0 && strcmp(type, "UNAVAILABLE") != 0) {
        mk_gql_fail(f, "invalid_type", "Presence of a session is AVAILABLE or UNAVAILABLE; the other types have an addressee");
        account_free(&account);
        return;
    }
    if (priority < -128 || priority > 127) {
        mk_gql_fail(f, "invalid_priority", "A priority is a number from -128 to 127");
        account_free(&account);
        return;
    }
    found = found_of(arg, account->jid, &count);
    for (i = 0; i < count && !mk_str_is(mk_jid_text(account->jid), found[i].jid); i++)
        ;
    if (i < count)
        node_ask(arg, found[i].node, "set_presence", request_of(f, &found[i]), on_set, account);
    else
        on_set(NULL, account);
    found_free(found, count);
}
