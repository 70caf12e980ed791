/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Category private of the GraphQL API: the same elements, under the same limits, as clients keep. */
#include "config.h"

#include <meerkat/graphql_user.h>

#include "internal.h"

static const char admin_sdl[] =
    "extend type AdminQuery { \"What clients keep for users\" private: PrivateAdminQuery }\n"
    "extend type AdminMutation { \"What clients keep for users\" private: PrivateAdminMutation }\n"
    "\"What clients keep for users\"\n"
    "type PrivateAdminQuery @protected {\n"
    "  \"The element of this namespace; when none is kept, an empty one\"\n"
    "  getPrivate(user: JID!, element: String!, nameSpace: NonEmptyString!): XmlElement\n"
    "    @protected(type: DOMAIN, args: [\"user\"])\n"
    "}\n"
    "\"What clients keep for users\"\n"
    "type PrivateAdminMutation @protected {\n"
    "  \"Keep an element in the place of the one with the same namespace\"\n"
    "  setPrivate(user: JID!, elementString: XmlElement!): XmlElement @protected(type: DOMAIN, args: [\"user\"])\n"
    "}\n";

static const char user_sdl[] =
    "extend type UserQuery { \"What your clients keep\" private: PrivateUserQuery }\n"
    "extend type UserMutation { \"What your clients keep\" private: PrivateUserMutation }\n"
    "\"What your clients keep\"\n"
    "type PrivateUserQuery @protected {\n"
    "  \"The element of this namespace; when none is kept, an empty one\"\n"
    "  getPrivate(element: String!, nameSpace: NonEmptyString!): XmlElement\n"
    "}\n"
    "\"What your clients keep\"\n"
    "type PrivateUserMutation @protected {\n"
    "  \"Keep an element in the place of the one with the same namespace\"\n"
    "  setPrivate(elementString: XmlElement!): XmlElement\n"
    "}\n";

static void
fail_sql(struct mk_gql_user *user, const struct mk_sql_result *result)
{
    const struct private *self = user->arg;

    if (self->db->status(result) == MK_SQL_ERROR)
        mk_log(self->module, MK_LOG_ERROR, "private.sql", "a request for '%.*s' failed: %s",
               MK_STR_ARG(mk_jid_text(user->jid)), self->db->error(result));
    mk_gql_user_fail(user, "unavailable", "The storage does not answer: try again");
}

static const char *
user_argument(const struct mk_gql_field *f)
{
    return f->api->viewer(f)->who == MK_GQL_IS_USER ? NULL : "user";
}

/* -- get -------------------------------------------------------------------------------------- */

/* XEP-0049 §2.3: what is not there is an element without content. A name that no element can have is nothing. */
static json_t *
empty_element(const char *name, const char *ns)
{
    struct mk_buf text = {0};
    struct mk_node *node;
    json_t *value = NULL;

    mk_buf_printf(&text, "<%s xmlns='", name);
    mk_xml_escape(&text, mk_str_of(ns));
    mk_buf_add_cstr(&text, "'/>");
    node = mk_node_parse(mk_buf_str(&text), NULL);
    if (node && mk_node_is(node, name, ns))
        value = json_stringn(text.data, text.len);
    mk_node_free(&node);
    mk_buf_release(&text);
    return value;
}

static void
on_selected(struct mk_sql_result *result, void *arg)
{
    struct mk_gql_user *user = arg;
    const struct private *self = user->arg;
    struct mk_str data;

    if (self->db->status(result) != MK_SQL_OK) {
        fail_sql(user, result);
        return;
    }
    if (self->db->next(result)) {
        data = self->db->get_text(result, 0);
        mk_gql_answer(user->f, json_stringn(data.p, data.len));
    } else {
        mk_gql_answer(user->f, empty_element(mk_gql_string(user->f, "element"), mk_gql_string(user->f, "nameSpace")));
    }
    mk_gql_user_free(&user);
}

static void
get(struct mk_gql_user *user)
{
    struct private *self = user->arg;
    char *key = mk_str_dup(mk_jid_text(user->jid));

    mk_sql_exec(self->db, self->select, key, on_selected, user, MK_SQL_V_TEXT(mk_jid_domain(user->jid)),
                MK_SQL_V_TEXT(mk_jid_local(user->jid)), MK_SQL_V_CSTR(mk_gql_string(user->f, "nameSpace")));
    mk_free(key);
}

static void
get_private(struct mk_gql_field *f, void *arg)
{
    struct private *self = arg;

    mk_gql_user_find(f, &self->auth, user_argument(f), "not_found", get, self);
}

/* -- set -------------------------------------------------------------------------------------- */

static void
on_stored(struct mk_sql_result *result, void *arg)
{
    struct mk_gql_user *user = arg;
    struct private *self = user->arg;

    if (self->db->status(result) != MK_SQL_OK) {
        fail_sql(user, result);
    } else if (self->db->affected(result) == 0) {
        mk_counter_add(self->refused, 1);
        mk_gql_user_fail(user, "policy_violation", "Too many elements are stored");
    } else {
        mk_gql_answer(user->f, json_incref((json_t *)user->f->api->argument(user->f, "elementString")));
        mk_gql_user_free(&user);
    }
}

static void
store(struct mk_gql_user *user, const char *ns, struct mk_str data, int64_t max_elements)
{
    struct private *self = user->arg;
    struct mk_str server = mk_jid_domain(user->jid), name = mk_jid_local(user->jid);
    char *key = mk_str_dup(mk_jid_text(user->jid));

    mk_sql_exec(self->db, self->upsert, key, on_stored, user, MK_SQL_V_TEXT(server), MK_SQL_V_TEXT(name),
                MK_SQL_V_CSTR(ns), MK_SQL_V_TEXT(data), MK_SQL_V_TEXT(server), MK_SQL_V_TEXT(name), MK_SQL_V_CSTR(ns),
                MK_SQL_V_INT(max_elements));
    mk_free(key);
}

static void
set(struct mk_gql_user *user)
{
    struct private *self = user->arg;
    const struct private_conf *conf = mk_module_conf(self->module, user->host);
    struct mk_node *node = mk_node_parse(mk_str_of(mk_gql_string(user->f, "elementString")), NULL);
    struct mk_xml *x = mk_xml_new("");
    struct mk_str data = {0};

    if (node) {
        mk_xml_node(x, node);
        data = mk_xml_str(x);
    }
    if (!node || !private_can_keep(mk_node_ns(node), conf)) {
        mk_gql_user_fail(user, "not_acceptable", "An element with a namespace of its own is needed");
    } else if (data.len > conf->max_size) {
        mk_counter_add(self->refused, 1);
        mk_gql_user_fail(user, "policy_violation", "The element is too large");
    } else {
        store(user, mk_node_ns(node), data, conf->max_elements);
    }
    mk_xml_free(&x);
    mk_node_free(&node);
}

static void
set_private(struct mk_gql_field *f, void *arg)
{
    struct private *self = arg;

    mk_gql_user_find(f, &self->auth, user_argument(f), "not_found", set, self);
}

/* --------------------------------------------------------------------------------------------- */

static const struct mk_gql_resolver admin_resolvers[] = {
    {"PrivateAdminQuery", "getPrivate", get_private}, {"PrivateAdminMutation", "setPrivate", set_private}, {0}};

static const struct mk_gql_resolver user_resolvers[] = {
    {"PrivateUserQuery", "getPrivate", get_private}, {"PrivateUserMutation", "setPrivate", set_private}, {0}};

int
private_api(struct private *self, struct mk_error *err)
{
    const struct mk_graphql *gql = mk_graphql_get(self->module);

    if (!gql)
        return 0;
    if (gql->add(gql->self, self->module, MK_GQL_ADMIN, admin_sdl, admin_resolvers, self, err) < 0)
        return -1;
    return gql->add(gql->self, self->module, MK_GQL_USER, user_sdl, user_resolvers, self, err);
}
