/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Category stanza: messages and other stanzas in a user's name. */
#include "config.h"

#include <ctype.h>

#include "internal.h"

static const char shared_sdl[] = "type SendStanzaPayload { \"The stanza's id\" id: ID }\n";

static const char admin_sdl[] =
    "extend type AdminMutation { \"Stanzas in a user's name\" stanza: StanzaAdminMutation }\n"
    "extend type AdminSubscription { \"Stanzas that a user gets\" stanza: StanzaAdminSubscription }\n"
    "\"Stanzas in a user's name\"\n"
    "type StanzaAdminMutation @protected {\n"
    "  \"Send a chat message to a local or remote JID\"\n"
    "  sendMessage(from: JID!, to: JID!, body: String!): SendStanzaPayload @protected(type: DOMAIN, args: [\"from\"])\n"
    "  \"Send a headline\"\n"
    "  sendMessageHeadLine(from: JID!, to: JID!, subject: String, body: String): SendStanzaPayload\n"
    "    @protected(type: DOMAIN, args: [\"from\"])\n"
    "  \"Send any stanza; it says itself from whom and to whom\"\n"
    "  sendStanza(stanza: XmlElement): SendStanzaPayload @protected(type: GLOBAL)\n"
    "}\n"
    "\"Stanzas that a user gets\"\n"
    "type StanzaAdminSubscription @protected {\n"
    "  \"The messages that a user gets from now on, in a session of its own\"\n"
    "  subscribeForMessages(caller: JID!): StanzaMap @protected(type: DOMAIN, args: [\"caller\"])\n"
    "}\n";

static const char user_sdl[] =
    "extend type UserMutation { \"Your stanzas\" stanza: StanzaUserMutation }\n"
    "extend type UserSubscription { \"What you get\" stanza: StanzaUserSubscription }\n"
    "\"Your stanzas\"\n"
    "type StanzaUserMutation @protected {\n"
    "  \"Send a chat message to a local or remote JID; you may say from which resource\"\n"
    "  sendMessage(from: JID, to: JID!, body: String!): SendStanzaPayload\n"
    "  \"Send a headline\"\n"
    "  sendMessageHeadLine(from: JID, to: JID!, subject: String, body: String): SendStanzaPayload\n"
    "  \"Send any stanza; it says itself to whom\"\n"
    "  sendStanza(stanza: XmlElement): SendStanzaPayload\n"
    "}\n"
    "\"What you get\"\n"
    "type StanzaUserSubscription @protected {\n"
    "  \"The messages that you get from now on, in a session of its own\"\n"
    "  subscribeForMessages: StanzaMap\n"
    "}\n";

/* -- who sends --------------------------------------------------------------------------------- */

/* Waits until it is known that the sender is a user. */
struct draft {
    struct admin *admin;
    struct mk_gql_field *f;
    struct mk_stanza *stanza;
};

static void
on_sender(enum mk_auth_result result, const struct mk_auth *auth, void *arg)
{
    struct draft d = *(struct draft *)arg;

    mk_free(arg);
    if (auth) {
        send_as_user(d.admin, d.f, d.stanza);
        return;
    }
    if (result == MK_AUTH_NO_ACCOUNT)
        fail_about(d.f, "unknown_user", "jid", mk_jid_text(mk_stanza_from(d.stanza)).p, "Given user does not exist");
    else
        fail_auth(d.f, result);
    mk_stanza_unref(&d.stanza);
}

/* Takes `stanza`. A user who is logged in here exists. */
static void
send_draft(struct admin *a, struct mk_gql_field *f, struct mk_stanza *stanza)
{
    const struct mk_jid *from = mk_stanza_from(stanza);
    struct mk_host *host = mk_host_find(mk_jid_domain(from));
    struct draft *d;

    if (host && f->api->viewer(f)->who == MK_GQL_IS_USER) {
        send_as_user(a, f, stanza);
        return;
    }
    d = mk_alloc(sizeof(*d));
    *d = (struct draft){a, f, stanza};
    if (host)
        mk_auth_find(a->module, &a->auth, host, mk_jid_local(from), on_sender, d);
    else
        on_sender(MK_AUTH_NO_ACCOUNT, NULL, d);
}

/* Who sends: an administrator says it, a user is it and may add a resource. NULL after an error. Owned. */
static struct mk_jid *
sender_of(struct mk_gql_field *f, struct mk_jid *taken)
{
    const struct mk_gql_viewer *viewer = f->api->viewer(f);

    if (viewer->who != MK_GQL_IS_USER || (taken && mk_jid_same_bare(taken, viewer->user)))
        return taken;
    if (!taken)
        return mk_jid_ref(viewer->user);
    fail_about(f, "invalid_sender", "jid", mk_jid_text(taken).p, "Sender's JID is different from authenticated user's JID");
    mk_jid_unref(&taken);
    return NULL;
}

/* -- messages ---------------------------------------------------------------------------------- */

static void
new_id(char id[17])
{
    unsigned char bytes[8];
    struct mk_buf hex = {0};

    mk_random(bytes, sizeof(bytes));
    mk_hex_encode(&hex, (struct mk_str){(const char *)bytes, sizeof(bytes)});
    memcpy(id, mk_buf_cstr(&hex), 17);
    mk_buf_release(&hex);
}

static void
send_text(struct admin *a, struct mk_gql_field *f, enum mk_stanza_type type)
{
    const char *subject = type == MK_TYPE_HEADLINE ? mk_gql_string(f, "subject") : NULL;
    const char *body = mk_gql_string(f, "body");
    struct mk_jid *from = sender_of(f, mk_gql_jid(f, "from")), *to = NULL;
    struct mk_stanza *st;
    struct mk_xml *x;
    char id[17];

    if (!from)
        return;
    to = mk_gql_jid(f, "to");
    x = mk_xml_new(NULL);
    if (subject)
        mk_xml_leaf(x, "subject", NULL, mk_str_of(subject));
    if (body)
        mk_xml_leaf(x, "body", NULL, mk_str_of(body));
    new_id(id);
    st = mk_stanza_new(MK_MESSAGE, type, from, to, id, x);
    mk_jid_unref(&from);
    mk_jid_unref(&to);
    send_draft(a, f, st);
}

static void
send_message(struct mk_gql_field *f, void *arg)
{
    send_text(arg, f, MK_TYPE_CHAT);
}

static void
send_headline(struct mk_gql_field *f, void *arg)
{
    send_text(arg, f, MK_TYPE_HEADLINE);
}

/* -- any stanza --------------------------------------------------------------------------------- */

/* The stanza of a text that may lack an id: it gets one, behind the element's name. NULL: it is none. */
static struct mk_stanza *
parse(const char *text, bool has_id)
{
    const char *name = strchr(text, '<'), *p;
    struct mk_buf with = {0};
    struct mk_stanza *st;
    char id[17];

    if (has_id || !name)
        return mk_stanza_parse(mk_str_of(text));
    for (p = name + 1; *p && !isspace((unsigned char)*p) && *p != '/' && *p != '>'; p++)
        ;
    new_id(id);
    mk_buf_add(&with, text, (size_t)(p - text));
    mk_buf_printf(&with, " id='%s'", id);
    mk_buf_add_cstr(&with, p);
    st = mk_stanza_parse(mk_buf_str(&with));
    mk_buf_release(&with);
    return st;
}

/* A JID of an attribute; `code` is answered when it is there and none. */
static bool
address_of(struct mk_gql_field *f, const struct mk_node *node, const char *name, const char *code, struct mk_jid **out)
{
    const char *text = mk_node_attr(node, name);

    *out = text ? mk_jid_parse(mk_str_of(text)) : NULL;
    if (text && !*out)
        fail_about(f, code, "jid", text, "This is no JID");
    return !text || *out;
}

static void
send_parsed(struct admin *a, struct mk_gql_field *f, const char *text, const struct mk_node *node)
{
    struct mk_jid *from = NULL, *to = NULL;
    struct mk_stanza *st = NULL;

    if (!address_of(f, node, "from", "invalid_sender", &from) || !address_of(f, node, "to", "invalid_recipient", &to)) {
        mk_jid_unref(&from);
        return;
    }
    if (!to)
        mk_gql_fail(f, "no_recipient", "Missing recipient JID");
    else if (!from && f->api->viewer(f)->who != MK_GQL_IS_USER)
        mk_gql_fail(f, "no_sender", "Missing sender JID");
    else if (!(st = parse(text, mk_node_attr(node, "id") != NULL)))
        mk_gql_fail(f, "invalid_stanza", "This is no message, presence or iq");
    if (!st) {
        mk_jid_unref(&from);
    } else if ((from = sender_of(f, from))) {
        send_draft(a, f, mk_stanza_readdress(st, from, to));
        mk_jid_unref(&from);
    }
    mk_stanza_unref(&st);
    mk_jid_unref(&to);
}

static void
send_stanza(struct mk_gql_field *f, void *arg)
{
    const char *text = mk_gql_string(f, "stanza");
    struct mk_node *node = text ? mk_node_parse(mk_str_of(text), MK_NS_CLIENT) : NULL;

    if (node)
        send_parsed(arg, f, text, node);
    else
        mk_gql_fail(f, "invalid_stanza", "This is no message, presence or iq");
    mk_node_free(&node);
}

/* ----------------------------------------------------------------------------------------------- */

static const struct mk_gql_resolver admin_resolvers[] = {
    {"StanzaAdminMutation", "sendMessage", send_message},
    {"StanzaAdminMutation", "sendMessageHeadLine", send_headline},
    {"StanzaAdminMutation", "sendStanza", send_stanza},
    {"StanzaAdminSubscription", "subscribeForMessages", stanza_subscribe},
    {0}};

static const struct mk_gql_resolver user_resolvers[] = {
    {"StanzaUserMutation", "sendMessage", send_message},
    {"StanzaUserMutation", "sendMessageHeadLine", send_headline},
    {"StanzaUserMutation", "sendStanza", send_stanza},
    {"StanzaUserSubscription", "subscribeForMessages", stanza_subscribe},
    {0}};

int
stanza_category(struct admin *a, struct mk_error *err)
{
    static const struct mk_gql_resolver none[] = {{0}};
    const struct mk_graphql *gql = a->gql;

    if (gql->add(gql->self, a->module, MK_GQL_ADMIN | MK_GQL_USER, shared_sdl, none, a, err) < 0 ||
        gql->add(gql->self, a->module, MK_GQL_ADMIN, admin_sdl, admin_resolvers, a, err) < 0)
        return -1;
    return gql->add(gql->self, a->module, MK_GQL_USER, user_sdl, user_resolvers, a, err);
}
