/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Category vcard of the GraphQL API. Everybody may read vCards, as by XEP-0054; users write their own. */
#include "config.h"

#include <meerkat/graphql_user.h>

#include "fields.h"
#include "internal.h"

static const char shared_sdl[] =
    "enum PrivacyClassificationTags { PUBLIC PRIVATE CONFIDENTIAL }\n"
    "enum AddressTags { HOME WORK POSTAL PARCEL DOM PREF INTL }\n"
    "enum TelephoneTags { HOME WORK VOICE FAX PAGER MSG CELL VIDEO BBS MODEM ISDN PCS PREF }\n"
    "enum EmailTags { HOME WORK INTERNET PREF X400 }\n"
    "\"A picture, or where it is\" union Image = ImageData | External\n"
    "\"A sound, how it is spelt, or where it is\" union Sound = Phonetic | BinValue | External\n"
    "\"Somebody who acts for the user, or where that is\" union Agent = AgentVcard | External\n"
    "\"A vCard (XEP-0054)\"\n"
    "type Vcard { formattedName: String nameComponents: NameComponents nickname: [String] photo: [Image] birthday: [String]\n"
    "  address: [Address] label: [Label] telephone: [Telephone] email: [Email] jabberId: [String] mailer: [String]\n"
    "  timeZone: [String] geo: [GeographicalPosition] title: [String] role: [String] logo: [Image] agent: [Agent]\n"
    "  org: [Organization] categories: [Keyword] note: [String] prodId: [String] rev: [String] sortString: [String]\n"
    "  sound: [Sound] uid: [String] url: [String] desc: [String] class: [Privacy] key: [Key] }\n"
    "type Keyword { keyword: [String] }\n"
    "type NameComponents { family: String givenName: String middleName: String prefix: String suffix: String }\n"
    "type Address { tags: [AddressTags] pobox: String extadd: String street: String locality: String region: String\n"
    "  pcode: String country: String }\n"
    "type Label { tags: [AddressTags] line: [String] }\n"
    "type Telephone { tags: [TelephoneTags] number: String }\n"
    "type Email { tags: [EmailTags] userId: String }\n"
    "type ImageData { type: String \"Base64\" binValue: String }\n"
    "type External { \"An address\" extValue: String }\n"
    "type Phonetic { phonetic: String }\n"
    "type BinValue { \"Base64\" binValue: String }\n"
    "type AgentVcard { vcard: Vcard }\n"
    "type GeographicalPosition { lat: String lon: String }\n"
    "type Organization { orgname: String orgunit: [String] }\n"
    "type Privacy { tags: [PrivacyClassificationTags] }\n"
    "type Key { type: String credential: String }\n"
    "\"A vCard (XEP-0054)\"\n"
    "input VcardInput { formattedName: String! nameComponents: NameComponentsInput! nickname: [String] photo: [ImageInput!]\n"
    "  birthday: [String!] address: [AddressInput!] label: [LabelInput!] telephone: [TelephoneInput!] email: [EmailInput!]\n"
    "  jabberId: [String!] mailer: [String!] timeZone: [String!] geo: [GeographicalPositionInput!] title: [String!]\n"
    "  role: [String!] logo: [ImageInput!] agent: [AgentInput!] org: [OrganizationInput!] categories: [KeywordInput!]\n"
    "  note: [String!] prodId: [String!] rev: [String!] sortString: [String!] sound: [SoundInput!] uid: [String!]\n"
    "  url: [String!] desc: [String!] class: [PrivacyInput!] key: [KeyInput!] }\n"
    "input KeywordInput { keyword: [String!] }\n"
    "input NameComponentsInput { family: String givenName: String middleName: String prefix: String suffix: String }\n"
    "input AddressInput { tags: [AddressTags!] pobox: String extadd: String street: String locality: String region: String\n"
    "  pcode: String country: String }\n"
    "input LabelInput { tags: [AddressTags!] line: [String!]! }\n"
    "input TelephoneInput { tags: [TelephoneTags!] number: String! }\n"
    "input EmailInput { tags: [EmailTags!] userId: String! }\n"
    "input GeographicalPositionInput { lat: String! lon: String! }\n"
    "input OrganizationInput { orgname: String! orgunit: [String!] }\n"
    "input PrivacyInput { tags: [PrivacyClassificationTags!] }\n"
    "\"Either type and binValue, or extValue\" input ImageInput { type: String binValue: String extValue: String }\n"
    "\"One of the three\" input SoundInput { phonetic: String binValue: String extValue: String }\n"
    "\"One of the two\" input AgentInput { extValue: String vcard: VcardInput }\n"
    "input KeyInput { type: String credential: String! }\n";

static const char admin_sdl[] =
    "extend type AdminQuery { \"vCards\" vcard: VcardAdminQuery }\n"
    "extend type AdminMutation { \"vCards\" vcard: VcardAdminMutation }\n"
    "\"vCards\"\n"
    "type VcardAdminQuery @protected {\n"
    "  \"The vCard of a user\" getVcard(user: JID!): Vcard @protected(type: DOMAIN, args: [\"user\"])\n"
    "}\n"
    "\"vCards\"\n"
    "type VcardAdminMutation @protected {\n"
    "  \"Give a user another vCard\" setVcard(user: JID!, vcard: VcardInput!): Vcard @protected(type: DOMAIN, args: [\"user\"])\n"
    "}\n";

static const char user_sdl[] =
    "extend type UserQuery { \"vCards\" vcard: VcardUserQuery }\n"
    "extend type UserMutation { \"Your vCard\" vcard: VcardUserMutation }\n"
    "\"vCards\"\n"
    "type VcardUserQuery @protected { \"Your vCard, or that of another user\" getVcard(user: JID): Vcard }\n"
    "\"Your vCard\"\n"
    "type VcardUserMutation @protected { \"Another vCard for you\" setVcard(vcard: VcardInput!): Vcard }\n";

static void
fail_sql(struct mk_gql_user *user, const struct mk_sql_result *result)
{
    const struct vcard *self = user->arg;

    if (self->db->status(result) == MK_SQL_ERROR)
        mk_log(self->module, MK_LOG_ERROR, "vcard.sql", "a request on the vCard of '%.*s' failed: %s",
               MK_STR_ARG(mk_jid_text(user->jid)), self->db->error(result));
    mk_gql_user_fail(user, self->db->status(result) == MK_SQL_ERROR ? "internal" : "unavailable",
                     "The storage does not answer: try again");
}

/* -- get -------------------------------------------------------------------------------------- */

static void
on_selected(struct mk_sql_result *result, void *arg)
{
    struct mk_gql_user *user = arg;
    const struct vcard *self = user->arg;
    struct mk_node *card;

    if (self->db->status(result) != MK_SQL_OK) {
        fail_sql(user, result);
        return;
    }
    if (!self->db->next(result)) {
        mk_gql_user_fail(user, "vcard_not_found", "Vcard for user not found");
        return;
    }
    card = mk_node_parse(self->db->get_text(result, 0), NS_VCARD);
    if (!card) {
        mk_log(self->module, MK_LOG_ERROR, "vcard.row", "the vCard of '%.*s' is not XML",
               MK_STR_ARG(mk_jid_text(user->jid)));
        mk_gql_user_fail(user, "internal", "The vCard cannot be read");
        return;
    }
    mk_gql_answer(user->f, fields_read(card));
    mk_node_free(&card);
    mk_gql_user_free(&user);
}

static void
get(struct mk_gql_user *user)
{
    struct vcard *self = user->arg;
    char *key = mk_str_dup(mk_jid_text(user->jid));

    mk_sql_exec(self->db, self->select, key, on_selected, user, MK_SQL_V_TEXT(mk_jid_domain(user->jid)),
                MK_SQL_V_TEXT(mk_jid_local(user->jid)));
    mk_free(key);
}

static void
get_vcard(struct mk_gql_field *f, void *arg)
{
    struct vcard *self = arg;

    mk_gql_user_find(f, &self->auth, "user", "user_not_found", get, self);
}

/* -- set -------------------------------------------------------------------------------------- */

struct setting {
    struct mk_gql_user *user;
    struct mk_node *card;
};

static void
on_stored(struct mk_sql_result *result, void *arg)
{
    struct setting s = *(struct setting *)arg;
    struct vcard *self = s.user->arg;

    mk_free(arg);
    if (self->db->status(result) != MK_SQL_OK) {
        fail_sql(s.user, result);
    } else {
        avatar_changed(self, s.user->jid, s.card);
        mk_gql_answer(s.user->f, fields_read(s.card));
        mk_gql_user_free(&s.user);
    }
    mk_node_free(&s.card);
}

static void
set(struct mk_gql_user *user)
{
    struct vcard *self = user->arg;
    const struct vcard_conf *conf = mk_module_conf(self->module, user->host);
    struct mk_xml *x = mk_xml_new("");
    struct setting *s;
    struct mk_str text;

    fields_write(x, user->f->api->argument(user->f, "vcard"));
    text = mk_xml_str(x);
    if (text.len > conf->max_size) {
        mk_counter_add(self->refused, 1);
        mk_gql_user_fail(user, "policy_violation", "The vCard is too large");
    } else {
        s = mk_alloc(sizeof(*s));
        *s = (struct setting){user, mk_node_parse(text, NS_VCARD)};
        MK_ASSERT(s->card);
        vcard_store(self, user->jid, s->card, text, on_stored, s);
    }
    mk_xml_free(&x);
}

static void
set_vcard(struct mk_gql_field *f, void *arg)
{
    struct vcard *self = arg;
    bool own = f->api->viewer(f)->who == MK_GQL_IS_USER;

    mk_gql_user_find(f, &self->auth, own ? NULL : "user", "user_not_found", set, self);
}

/* --------------------------------------------------------------------------------------------- */

static const struct mk_gql_resolver admin_resolvers[] = {
    {"VcardAdminQuery", "getVcard", get_vcard}, {"VcardAdminMutation", "setVcard", set_vcard}, {0}};

static const struct mk_gql_resolver user_resolvers[] = {
    {"VcardUserQuery", "getVcard", get_vcard}, {"VcardUserMutation", "setVcard", set_vcard}, {0}};

static const struct mk_gql_resolver no_resolvers[] = {{0}};

int
vcard_api(struct vcard *self, struct mk_error *err)
{
    const struct mk_graphql *gql = mk_graphql_get(self->module);
    struct mk_module *m = self->module;

    if (!gql)
        return 0;
    if (gql->add(gql->self, m, MK_GQL_ADMIN | MK_GQL_USER, shared_sdl, no_resolvers, self, err) < 0 ||
        gql->add(gql->self, m, MK_GQL_ADMIN, admin_sdl, admin_resolvers, self, err) < 0)
        return -1;
    return gql->add(gql->self, m, MK_GQL_USER, user_sdl, user_resolvers, self, err);
}
