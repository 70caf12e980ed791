/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Category session: who is online, on all nodes. */
#include "config.h"

#include "internal.h"

static const char shared_sdl[] =
    "\"A session of a user\"\n"
    "type Session {\n"
    "  \"Full JID\" user: JID!\n"
    "  \"c2s or c2s_tls; null: no connection at the moment\" connection: String\n"
    "  ip: String\n"
    "  port: Int\n"
    "  priority: Int\n"
    "  \"Name of the node where it is\" node: String\n"
    "  \"Seconds since it was bound\" uptime: Int\n"
    "}\n";

static const char admin_sdl[] =
    "extend type AdminQuery { \"Sessions of users, on all nodes\" session: SessionAdminQuery }\n"
    "extend type AdminMutation { \"Sessions of users, on all nodes\" session: SessionAdminMutation }\n"
    "\"How a user's presence may be set\"\n"
    "enum PresenceType { AVAILABLE ERROR PROBE SUBSCRIBE SUBSCRIBED UNAVAILABLE UNSUBSCRIBE UNSUBSCRIBED }\n"
    "\"What a user says of the own presence\"\n"
    "enum PresenceShow { ONLINE AWAY CHAT DND XA }\n"
    "\"A session that was to be ended\"\n"
    "type KickUserResult {\n"
    "  jid: JID!\n"
    "  kicked: Boolean!\n"
    "  \"Why not: no_session\" code: String\n"
    "  message: String!\n"
    "}\n"
    "type SessionPayload { jid: JID! message: String! }\n"
    "type UserStatus {\n"
    "  \"Full JID\" user: JID!\n"
    "  priority: Int\n"
    "  \"Text of the status, 1023 bytes at most\" text: String\n"
    "}\n"
    "\"Sessions of users, on all nodes\"\n"
    "type SessionAdminQuery @protected {\n"
    "  \"The sessions of a domain, or of all, ordered by JID\"\n"
    "  listSessions(domain: DomainName, \"At most so many\" limit: PosInt, \"How many to leave out before\" index: NonNegInt = 0,\n"
    "      \"Only those whose full JID has this in it\" match: NonEmptyString): [Session!]\n"
    "    @protected(type: DOMAIN, args: [\"domain\"])\n"
    "  \"The number of sessions of a domain, or of all\"\n"
    "  countSessions(domain: DomainName): Int @protected(type: DOMAIN, args: [\"domain\"])\n"
    "  \"The sessions of a user\"\n"
    "  listUserSessions(user: JID!): [Session!] @protected(type: DOMAIN, args: [\"user\"])\n"
    "  \"The number of sessions of a user\"\n"
    "  countUserResources(user: JID!): Int @protected(type: DOMAIN, args: [\"user\"])\n"
    "  \"The resource of the n-th session of a user\"\n"
    "  getUserResource(user: JID!, number: PosInt!): ResourceName @protected(type: DOMAIN, args: [\"user\"])\n"
    "  \"Sessions of a domain, or of all, whose presence is online, away, chat, dnd or xa\"\n"
    "  listUsersWithStatus(domain: DomainName, status: NonEmptyString!): [UserStatus!]\n"
    "    @protected(type: DOMAIN, args: [\"domain\"])\n"
    "  \"The number of sessions of a domain, or of all, with such presence\"\n"
    "  countUsersWithStatus(domain: DomainName, status: NonEmptyString!): Int\n"
    "    @protected(type: DOMAIN, args: [\"domain\"])\n"
    "}\n"
    "\"Sessions of users, on all nodes\"\n"
    "type SessionAdminMutation @protected {\n"
    "  \"End one session\"\n"
    "  kickUserSession(user: FullJID!, reason: String): KickUserResult @protected(type: DOMAIN, args: [\"user\"])\n"
    "  \"End all sessions of a user\"\n"
    "  kickUser(user: BareJID!, reason: String): [KickUserResult!] @protected(type: DOMAIN, args: [\"user\"])\n"
    "  \"Set the presence of a session, as if its client had sent it: type AVAILABLE or UNAVAILABLE\"\n"
    "  setPresence(user: JID!, type: PresenceType!, show: PresenceShow, status: String, priority: Int): SessionPayload\n"
    "    @protected(type: DOMAIN, args: [\"user\"])\n"
    "}\n";

static const char user_sdl[] =
    "extend type UserQuery { \"Your sessions\" session: SessionUserQuery }\n"
    "\"Your sessions\"\n"
    "type SessionUserQuery @protected {\n"
    "  \"The resources of your sessions\" listResources: [ResourceName!]\n"
    "  \"The number of your sessions\" countResources: Int\n"
    "  \"Your sessions\" listSessions: [Session!]\n"
    "}\n";

/* -- of a domain ------------------------------------------------------------------------------ */

struct listing {
    struct admin *admin;
    struct mk_gql_field *f;
    struct scan scan;
    size_t index, limit;
    bool bounded;               /* the client named a limit */
};

static void
listing_free(struct listing *l)
{
    scan_release(&l->scan);
    mk_free(l);
}

static void
on_looked(json_t *list, void *arg)
{
    struct listing *l = arg;

    mk_gql_answer(l->f, list);
    listing_free(l);
}

static void
on_scanned(void *arg)
{
    struct listing *l = arg;
    size_t count = l->scan.count;

    if (!l->bounded && l->scan.total > count) {
        mk_gql_fail(l->f, "too_many_items", "There are more than option 'max_items' of module 'admin' allows: "
                                            "ask for a part with 'limit' and 'index'");
        listing_free(l);
        return;
    }
    if (l->index >= count)
        look_at(l->admin, NULL, 0, on_looked, l);
    else
        look_at(l->admin, l->scan.found + l->index, count - l->index, on_looked, l);
}

static void
list_sessions(struct mk_gql_field *f, void *arg)
{
    struct admin *a = arg;
    size_t max = max_items(a);
    int64_t limit = mk_gql_int(f, "limit", (int64_t)max), index = mk_gql_int(f, "index", 0);
    const char *domain = mk_gql_string(f, "domain");
    struct listing *l;

    if (domain && !domain_argument(f, "domain", "domain_not_found"))
        return;
    if ((uint64_t)limit > max || (uint64_t)index > 10 * max) {
        mk_gql_fail(f, "too_many_items", "'limit' or 'index' is larger than option 'max_items' of module 'admin' allows");
        return;
    }
    l = mk_zalloc(sizeof(*l));
    *l = (struct listing){.admin = a, .f = f, .index = (size_t)index, .limit = (size_t)limit,
                          .bounded = json_is_integer(f->api->argument(f, "limit")),
                          .scan = {.domain = domain, .match = mk_gql_string(f, "match"),
                                   .keep = (size_t)(index + limit)}};
    if (scan_sessions(a, &l->scan, on_scanned, l) < 0) {
        fail_auth(f, MK_AUTH_BUSY);
        mk_free(l);
    }
}

static void
on_counted(void *arg)
{
    struct listing *l = arg;

    mk_gql_answer(l->f, json_integer((json_int_t)l->scan.total));
    listing_free(l);
}

static void
count_sessions(struct mk_gql_field *f, void *arg)
{
    struct admin *a = arg;
    const char *domain = mk_gql_string(f, "domain");
    struct listing *l;

    if (!domain) {
        mk_gql_answer(f, json_integer((json_int_t)a->sessions->count(a->sessions->self)));
        return;
    }
    if (!domain_argument(f, "domain", "domain_not_found"))
        return;
    l = mk_zalloc(sizeof(*l));
    *l = (struct listing){.admin = a, .f = f, .scan = {.domain = domain}};
    if (scan_sessions(a, &l->scan, on_counted, l) < 0) {
        fail_auth(f, MK_AUTH_BUSY);
        mk_free(l);
    }
}

/* -- of a user --------------------------------------------------------------------------------- */

struct user_sessions {
    struct account *account;
    struct found *found;
    size_t count;
};

static void
on_user_looked(json_t *list, void *arg)
{
    struct user_sessions *u = arg;

    mk_gql_answer(u->account->f, list);
    account_free(&u->account);
    found_free(u->found, u->count);
    mk_free(u);
}

static void
answer_sessions(struct account *account)
{
    struct admin *a = account->admin;
    struct user_sessions *u = mk_alloc(sizeof(*u));

    u->account = account;
    u->found = found_of(a, account->jid, &u->count);
    look_at(a, u->found, u->count, on_user_looked, u);
}

static void
answer_count(struct account *account)
{
    size_t count;
    struct found *found = found_of(account->admin, account->jid, &count);

    found_free(found, count);
    mk_gql_answer(account->f, json_integer((json_int_t)count));
    account_free(&account);
}

static void
answer_resource(struct account *account)
{
    int64_t number = mk_gql_int(account->f, "number", 1);
    size_t count;
    struct found *found = found_of(account->admin, account->jid, &count);

    if (number < 1 || (uint64_t)number > count)
        fail_about(account->f, "wrong_res_number", "jid", mk_jid_text(account->jid).p, "Wrong resource number");
    else
        mk_gql_answer(account->f, json_string(strchr(found[number - 1].jid, '/') + 1));
    found_free(found, count);
    account_free(&account);
}

static void
on_account(enum mk_auth_result result, const struct mk_auth *auth, void *arg)
{
    struct account *account = arg;

    (void)auth;
    if (result == MK_AUTH_NO_ACCOUNT)
        fail_about(account->f, "user_not_found", "jid", mk_jid_text(account->jid).p, "Given user does not exist");
    else if (result != MK_AUTH_OK)
        fail_auth(account->f, result);
    if (result == MK_AUTH_OK)
        account->next(account);
    else
        account_free(&account);
}

/* Somebody without an account may have sessions (anonymous ones); without either there is no such user. */
static void
of_user(struct mk_gql_field *f, struct admin *a, void (*answer)(struct account *account))
{
    struct account *account = account_new(a, f, "user");
    struct found *found;
    size_t count;

    if (!account)
        return;
    found = found_of(a, account->jid, &count);
    found_free(found, count);
    account->next = answer;
    if (count)
        answer(account);
    else
        account_find(account, on_account);
}

static void
list_user_sessions(struct mk_gql_field *f, void *arg)
{
    of_user(f, arg, answer_sessions);
}

static void
count_user_resources(struct mk_gql_field *f, void *arg)
{
    of_user(f, arg, answer_count);
}

static void
get_user_resource(struct mk_gql_field *f, void *arg)
{
    of_user(f, arg, answer_resource);
}

/* -- one's own ---------------------------------------------------------------------------------- */

static void
list_own_resources(struct mk_gql_field *f, void *arg)
{
    size_t count;
    struct found *found = found_of(arg, f->api->viewer(f)->user, &count);
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_string(strchr(found[i].jid, '/') + 1));
    found_free(found, count);
    mk_gql_answer(f, list);
}

static void
count_own_resources(struct mk_gql_field *f, void *arg)
{
    size_t count;
    struct found *found = found_of(arg, f->api->viewer(f)->user, &count);

    found_free(found, count);
    mk_gql_answer(f, json_integer((json_int_t)count));
}

static void
list_own_sessions(struct mk_gql_field *f, void *arg)
{
    struct account *account = account_new(arg, f, NULL);

    if (account)
        answer_sessions(account);
}

/* ----------------------------------------------------------------------------------------------- */

static const struct mk_gql_resolver admin_resolvers[] = {
    {"SessionAdminQuery", "listSessions", list_sessions},
    {"SessionAdminQuery", "countSessions", count_sessions},
    {"SessionAdminQuery", "listUserSessions", list_user_sessions},
    {"SessionAdminQuery", "countUserResources", count_user_resources},
    {"SessionAdminQuery", "getUserResource", get_user_resource},
    {"SessionAdminQuery", "listUsersWithStatus", session_list_users_with_status},
    {"SessionAdminQuery", "countUsersWithStatus", session_count_users_with_status},
    {"SessionAdminMutation", "kickUserSession", session_kick_user_session},
    {"SessionAdminMutation", "kickUser", session_kick_user},
    {"SessionAdminMutation", "setPresence", session_set_presence},
    {0}};

static const struct mk_gql_resolver user_resolvers[] = {
    {"SessionUserQuery", "listResources", list_own_resources},
    {"SessionUserQuery", "countResources", count_own_resources},
    {"SessionUserQuery", "listSessions", list_own_sessions},
    {0}};

int
session_category(struct admin *a, struct mk_error *err)
{
    static const struct mk_gql_resolver none[] = {{0}};
    const struct mk_graphql *gql = a->gql;

    if (gql->add(gql->self, a->module, MK_GQL_ADMIN | MK_GQL_USER, shared_sdl, none, a, err) < 0 ||
        gql->add(gql->self, a->module, MK_GQL_ADMIN, admin_sdl, admin_resolvers, a, err) < 0)
        return -1;
    return gql->add(gql->self, a->module, MK_GQL_USER, user_sdl, user_resolvers, a, err);
}
