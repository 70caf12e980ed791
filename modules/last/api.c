/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Category last of the GraphQL API. What is told is what is stored: of a user who is online, the last time before. Users see of
 * others what XEP-0012 lets them see: of those whose presence they may see.
 */
#include "config.h"

#include <meerkat/graphql_user.h>

#include "internal.h"

static const char shared_sdl[] =
    "\"When a user was online last\"\n"
    "type LastActivity { user: JID! timestamp: DateTime! \"What the user said on leaving\" status: String! }\n";

static const char admin_sdl[] =
    "extend type AdminQuery { \"When users were online last\" last: LastAdminQuery }\n"
    "extend type AdminMutation { \"When users were online last\" last: LastAdminMutation }\n"
    "\"A user who was not online for long; timestamp null: never\"\n"
    "type OldUser { jid: JID! timestamp: DateTime }\n"
    "\"When users were online last\"\n"
    "type LastAdminQuery @protected {\n"
    "  \"When a user was online last\" getLast(user: JID!): LastActivity @protected(type: DOMAIN, args: [\"user\"])\n"
    "  \"The number of users who left after this time; without one, now\"\n"
    "  countActiveUsers(domain: DomainName!, timestamp: DateTime): Int @protected(type: DOMAIN, args: [\"domain\"])\n"
    "  \"Users of a domain, or of all, who are not online and were not since this time\"\n"
    "  listOldUsers(domain: DomainName, timestamp: DateTime!): [OldUser!] @protected(type: DOMAIN, args: [\"domain\"])\n"
    "}\n"
    "\"When users were online last\"\n"
    "type LastAdminMutation @protected {\n"
    "  \"Set when a user was online last; without a time, now\"\n"
    "  setLast(user: JID!, timestamp: DateTime, status: String!): LastActivity @protected(type: DOMAIN, args: [\"user\"])\n"
    "  \"Remove the accounts of users of a domain, or of all, who are not online and were not since this time; when there are many, only the first ones\"\n"
    "  removeOldUsers(domain: DomainName, timestamp: DateTime!): [OldUser!] @protected(type: DOMAIN, args: [\"domain\"])\n"
    "}\n";

static const char user_sdl[] =
    "extend type UserQuery { \"When users were online last\" last: LastUserQuery }\n"
    "extend type UserMutation { \"When you were online last\" last: LastUserMutation }\n"
    "\"When users were online last\"\n"
    "type LastUserQuery @protected {\n"
    "  \"When you, or a user whose presence you may see, were online last\" getLast(user: JID): LastActivity\n"
    "}\n"
    "\"When you were online last\"\n"
    "type LastUserMutation @protected {\n"
    "  \"Set when you were online last; without a time, now\" setLast(timestamp: DateTime, status: String!): LastActivity\n"
    "}\n";

static void
fail_sql(struct last *self, struct mk_gql_field *f, const struct mk_sql_result *result)
{
    if (self->db->status(result) == MK_SQL_ERROR)
        mk_log(self->module, MK_LOG_ERROR, "last.sql", "last activities were not read or written: %s",
               self->db->error(result));
    mk_gql_fail(f, "unavailable", "The storage does not answer: try again");
}

static char *
key_of(const struct mk_jid *jid)
{
    return mk_str_dup(mk_jid_bare(jid));
}

/* -- getLast ---------------------------------------------------------------------------------- */

static void
on_selected(struct mk_sql_result *result, void *arg)
{
    struct mk_gql_user *user = arg;
    struct last *self = user->arg;
    struct mk_str jid = mk_jid_text(user->jid), status;

    if (self->db->status(result) != MK_SQL_OK) {
        fail_sql(self, user->f, result);
    } else if (!self->db->next(result)) {
        mk_gql_user_fail(user, "last_not_found", "Given user's last info not found");
        return;
    } else {
        status = self->db->get_text(result, 1);
        mk_gql_answer(user->f, json_pack("{s:s%,s:I,s:s%}", "user", jid.p, jid.len, "timestamp",
                                         (json_int_t)(self->db->get_int(result, 0) * 1000000), "status",
                                         status.p ? status.p : "", status.len));
    }
    mk_gql_user_free(&user);
}

static void
select_last(struct mk_gql_user *user)
{
    struct last *self = user->arg;
    char *key = key_of(user->jid);

    mk_sql_exec(self->db, self->select, key, on_selected, user, MK_SQL_V_TEXT(mk_jid_domain(user->jid)),
                MK_SQL_V_TEXT(mk_jid_local(user->jid)));
    mk_free(key);
}

static void
get_last(struct mk_gql_field *f, void *arg)
{
    struct last *self = arg;

    mk_gql_user_find(f, &self->auth, "user", "user_does_not_exist", select_last, self);
}

/* The other one's roster says whether he lets this user see him. */
static void
on_item(enum mk_roster_result result, const struct mk_roster_item *item, void *arg)
{
    struct mk_gql_user *user = arg;

    if (result == MK_ROSTER_OK && (item->subscription & MK_SUB_FROM))
        select_last(user);
    else if (result == MK_ROSTER_UNAVAILABLE)
        mk_gql_user_fail(user, "unavailable", "The storage does not answer: try again");
    else
        mk_gql_user_fail(user, "no_permissions", "This user's presence is not for you");
}

static void
select_if_seen(struct mk_gql_user *user)
{
    struct last *self = user->arg;
    const struct mk_roster *roster = __atomic_load_n(&self->roster, __ATOMIC_ACQUIRE);
    const struct mk_jid *viewer = user->f->api->viewer(user->f)->user;

    if (mk_jid_same_bare(viewer, user->jid))
        select_last(user);
    else if (roster)
        roster->item(roster->self, user->jid, viewer, on_item, user);
    else
        mk_gql_user_fail(user, "no_permissions", "This user's presence is not for you");
}

static void
get_last_as_user(struct mk_gql_field *f, void *arg)
{
    struct last *self = arg;

    mk_gql_user_find(f, &self->auth, "user", "user_does_not_exist", select_if_seen, self);
}

/* -- setLast ---------------------------------------------------------------------------------- */

/* The argument in µs; now when it is not given. */
static int64_t
time_argument(struct mk_gql_field *f)
{
    const char *text = mk_gql_string(f, "timestamp");
    int64_t us;

    return text && mk_time_parse(mk_str_of(text), &us) == 0 ? us : mk_time_us();
}

static void
on_set(struct mk_sql_result *result, void *arg)
{
    struct mk_gql_user *user = arg;
    struct last *self = user->arg;

    if (self->db->status(result) == MK_SQL_OK) {
        select_last(user);
        return;
    }
    fail_sql(self, user->f, result);
    mk_gql_user_free(&user);
}

/* The column is an integer of 32 bits. */
static void
upsert(struct mk_gql_user *user)
{
    struct last *self = user->arg;
    const struct last_conf *conf = mk_module_conf(self->module, user->host);
    int64_t seconds = time_argument(user->f) / 1000000;
    char *key = key_of(user->jid);

    if (seconds < 0 || seconds > INT32_MAX)
        mk_gql_user_fail(user, "bad_timestamp", "Times from 1970 to 2038 can be kept");
    else
        mk_sql_exec(self->db, self->upsert, key, on_set, user, MK_SQL_V_TEXT(mk_jid_domain(user->jid)),
                    MK_SQL_V_TEXT(mk_jid_local(user->jid)), MK_SQL_V_INT(seconds),
                    MK_SQL_V_TEXT(last_cut(mk_str_of(mk_gql_string(user->f, "status")), conf->max_status)));
    mk_free(key);
}

static void
set_last(struct mk_gql_field *f, void *arg)
{
    struct last *self = arg;
    bool own = f->api->viewer(f)->who == MK_GQL_IS_USER;

    mk_gql_user_find(f, &self->auth, own ? NULL : "user", "user_does_not_exist", upsert, self);
}

/* -- countActiveUsers --------------------------------------------------------------------------- */

struct counting {
    struct last *self;
    struct mk_gql_field *f;
};

static void
on_counted(struct mk_sql_result *result, void *arg)
{
    struct counting c = *(struct counting *)arg;

    mk_free(arg);
    if (c.self->db->status(result) == MK_SQL_OK && c.self->db->next(result))
        mk_gql_answer(c.f, json_integer(c.self->db->get_int(result, 0)));
    else
        fail_sql(c.self, c.f, result);
}

static void
count_active_users(struct mk_gql_field *f, void *arg)
{
    const char *domain = mk_gql_string(f, "domain");
    struct last *self = arg;
    struct counting *c;

    if (!mk_host_find(mk_str_of(domain))) {
        mk_gql_answer(f, f->api->error("domain_not_found", "Given domain does not exist",
                                       json_pack("{s:s}", "domain", domain)));
        return;
    }
    c = mk_alloc(sizeof(*c));
    *c = (struct counting){self, f};
    mk_sql_exec(self->db, self->count, NULL, on_counted, c, MK_SQL_V_CSTR(domain),
                MK_SQL_V_INT(time_argument(f) / 1000000));
}

/* ----------------------------------------------------------------------------------------------- */

static const struct mk_gql_resolver admin_resolvers[] = {
    {"LastAdminQuery", "getLast", get_last},
    {"LastAdminQuery", "countActiveUsers", count_active_users},
    {"LastAdminQuery", "listOldUsers", old_list},
    {"LastAdminMutation", "setLast", set_last},
    {"LastAdminMutation", "removeOldUsers", old_remove},
    {0}};

static const struct mk_gql_resolver user_resolvers[] = {
    {"LastUserQuery", "getLast", get_last_as_user}, {"LastUserMutation", "setLast", set_last}, {0}};

static const struct mk_gql_resolver no_resolvers[] = {{0}};

/* `username IN (?, ?, …)`: as many as old.c asks for at once. */
static void
prepare(struct last *self)
{
    const struct mk_rdbms *db = self->db;
    struct mk_buf text = {0};

    self->count = db->prepare(db->self, self->module, "SELECT COUNT(*) FROM last WHERE server = ? AND seconds > ?");
    mk_buf_add_cstr(&text, "SELECT username, seconds FROM last WHERE server = ? AND username IN (?");
    for (int i = 1; i < OLD_AT_ONCE; i++)
        mk_buf_add_cstr(&text, ", ?");
    mk_buf_add_cstr(&text, ")");
    self->some = db->prepare(db->self, self->module, mk_buf_cstr(&text));
    mk_buf_release(&text);
}

int
last_api(struct last *self, struct mk_error *err)
{
    const struct mk_graphql *gql = mk_graphql_get(self->module);
    struct mk_module *m = self->module;

    if (!gql)
        return 0;
    prepare(self);
    if (gql->add(gql->self, m, MK_GQL_ADMIN | MK_GQL_USER, shared_sdl, no_resolvers, self, err) < 0 ||
        gql->add(gql->self, m, MK_GQL_ADMIN, admin_sdl, admin_resolvers, self, err) < 0)
        return -1;
    return gql->add(gql->self, m, MK_GQL_USER, user_sdl, user_resolvers, self, err);
}
