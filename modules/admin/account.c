/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Category account: accounts of all backends. No answer and no log line has a password in it. */
#include "config.h"

#include "internal.h"

static const char admin_sdl[] =
    "extend type AdminQuery { \"Accounts\" account: AccountAdminQuery }\n"
    "extend type AdminMutation { \"Accounts\" account: AccountAdminMutation }\n"
    "type UserPayload { jid: JID! message: String! }\n"
    "type CheckPasswordPayload { correct: Boolean! message: String! }\n"
    "type CheckUserPayload { exist: Boolean! message: String! }\n"
    "\"What became of the lines of a file\"\n"
    "type ImportPayload {\n"
    "  status: String!\n"
    "  created: [JID!]\n"
    "  existing: [JID!]\n"
    "  notAllowed: [JID!]\n"
    "  invalidJID: [String!]\n"
    "  emptyPassword: [JID!]\n"
    "  invalidRecord: [String!]\n"
    "}\n"
    "\"Accounts\"\n"
    "type AccountAdminQuery @protected {\n"
    "  \"The accounts of a domain, ordered by name\"\n"
    "  listUsers(domain: DomainName!, \"At most so many\" limit: PosInt, \"How many to leave out before\" index: NonNegInt):\n"
    "    [String!] @protected(type: DOMAIN, args: [\"domain\"])\n"
    "  \"The number of accounts of a domain\"\n"
    "  countUsers(domain: DomainName!): Int @protected(type: DOMAIN, args: [\"domain\"])\n"
    "  \"Is this the password of the user?\"\n"
    "  checkPassword(user: JID!, password: String!): CheckPasswordPayload @protected(type: DOMAIN, args: [\"user\"])\n"
    "  \"Is this a hash of the user's password? Passwords are kept as keys of SCRAM, so this cannot be told.\"\n"
    "  checkPasswordHash(user: JID!, passwordHash: String!, \"md5 or sha\" hashMethod: String!): CheckPasswordPayload\n"
    "    @protected(type: DOMAIN, args: [\"user\"])\n"
    "  \"Is there such a user?\"\n"
    "  checkUser(user: JID!): CheckUserPayload @protected(type: DOMAIN, args: [\"user\"])\n"
    "}\n"
    "\"Accounts\"\n"
    "type AccountAdminMutation @protected {\n"
    "  \"Make an account; without a name it gets one\"\n"
    "  registerUser(domain: DomainName!, username: UserName, password: String!): UserPayload\n"
    "    @protected(type: DOMAIN, args: [\"domain\"])\n"
    "  \"Remove an account, all that is kept for it, and its sessions\"\n"
    "  removeUser(user: JID!): UserPayload @protected(type: DOMAIN, args: [\"user\"])\n"
    "  \"Shut a user out: the sessions end and the password becomes one that nobody knows\"\n"
    "  banUser(user: JID!, reason: String!): UserPayload @protected(type: DOMAIN, args: [\"user\"])\n"
    "  \"Give a user another password\"\n"
    "  changeUserPassword(user: JID!, newPassword: String!): UserPayload @protected(type: DOMAIN, args: [\"user\"])\n"
    "  \"Make the accounts of a CSV file on this server: lines of name, domain and password\"\n"
    "  importUsers(filename: NonEmptyString!): ImportPayload @protected(type: GLOBAL)\n"
    "}\n";

static const char user_sdl[] =
    "extend type UserQuery { \"Your account\" account: AccountUserQuery }\n"
    "extend type UserMutation { \"Your account\" account: AccountUserMutation }\n"
    "\"Your account\"\n"
    "type AccountUserQuery @protected { \"A placeholder: always null\" field: Boolean }\n"
    "\"Your account\"\n"
    "type AccountUserMutation @protected {\n"
    "  \"Remove your account and all that is kept for it\" unregister: String\n"
    "  \"Change your password\" changePassword(newPassword: String!): String\n"
    "}\n";

static const char *
jid_of(const struct account *account)
{
    return mk_jid_text(account->jid).p;
}

static void
answer_payload(struct account *account, const char *message)
{
    struct mk_str bare = mk_jid_bare(account->jid);

    mk_gql_answer(account->f, json_pack("{s:s%,s:s}", "jid", bare.p, bare.len, "message", message));
}

/* -- checks ----------------------------------------------------------------------------------- */

static void
on_checked(enum mk_auth_result result, void *arg)
{
    struct account *account = arg;
    bool right = result == MK_AUTH_OK;

    if (result == MK_AUTH_OK || result == MK_AUTH_WRONG)
        mk_gql_answer(account->f, json_pack("{s:b,s:s}", "correct", right, "message",
                                            right ? "Password is correct" : "Password is incorrect"));
    else
        fail_auth(account->f, result);
    account_free(&account);
}

static void
fail_missing(struct account *account, const char *code)
{
    fail_about(account->f, code, "jid", jid_of(account), "Given user does not exist");
    account_free(&account);
}

static void
check_found(enum mk_auth_result result, const struct mk_auth *auth, void *arg)
{
    struct account *account = arg;

    if (auth) {
        auth->check(auth->self, account->host, mk_jid_local(account->jid),
                    mk_str_of(mk_gql_string(account->f, "password")), on_checked, account);
    } else if (result == MK_AUTH_NO_ACCOUNT) {
        fail_missing(account, "user_does_not_exist");
    } else {
        fail_auth(account->f, result);
        account_free(&account);
    }
}

static void
check_password(struct mk_gql_field *f, void *arg)
{
    struct account *account = account_new(arg, f, "user");

    if (account)
        account_find(account, check_found);
}

static void
check_password_hash(struct mk_gql_field *f, void *arg)
{
    const char *method = mk_gql_string(f, "hashMethod"), *user = mk_gql_string(f, "user");

    (void)arg;
    if (strcmp(method, "md5") != 0 && strcmp(method, "sha") != 0)
        fail_about(f, "wrong_method", "jid", user, "Given hash method is incorrect");
    else
        fail_about(f, "wrong_user", "jid", user, "User doesn't exist or using SCRAM password");
}

static void
user_found(enum mk_auth_result result, const struct mk_auth *auth, void *arg)
{
    struct account *account = arg;

    if (auth || result == MK_AUTH_NO_ACCOUNT) {
        char *message = mk_printf_new("User %.*s %s", MK_STR_ARG(mk_jid_bare(account->jid)),
                                      auth ? "exists" : "does not exist");

        mk_gql_answer(account->f, json_pack("{s:b,s:s}", "exist", auth != NULL, "message", message));
        mk_free(message);
    } else {
        fail_auth(account->f, result);
    }
    account_free(&account);
}

static void
check_user(struct mk_gql_field *f, void *arg)
{
    struct account *account = account_new(arg, f, "user");

    if (account)
        account_find(account, user_found);
}

/* -- making ----------------------------------------------------------------------------------- */

static void
on_created(enum mk_auth_result result, void *arg)
{
    struct account *account = arg;
    struct admin *a = account->admin;
    char *message = NULL;

    switch (result) {
    case MK_AUTH_OK:
        message = mk_printf_new("User %s successfully registered", jid_of(account));
        mk_log(a->module, MK_LOG_INFO, "admin.registered", "account '%s' was made by an administrator", jid_of(account));
        answer_payload(account, message);
        break;
    case MK_AUTH_EXISTS:
        message = mk_printf_new("User %s already registered", jid_of(account));
        fail_about(account->f, "exists", "jid", jid_of(account), message);
        break;
    case MK_AUTH_NOT_ALLOWED:
        fail_about(account->f, "cannot_register", "jid", jid_of(account),
                   "The name or the password is not acceptable, or accounts of this domain are made elsewhere");
        break;
    default:
        fail_auth(account->f, result);
    }
    mk_free(message);
    account_free(&account);
}

static void
register_user(struct mk_gql_field *f, void *arg)
{
    const char *domain = mk_gql_string(f, "domain"), *name = mk_gql_string(f, "username");
    const char *password = mk_gql_string(f, "password");
    struct mk_host *host = domain_argument(f, "domain", "cannot_register");
    struct account *account;
    char made[21];

    if (!host)
        return;
    if (!name) {
        mk_random_id(made, sizeof(made));
        name = made;
    }
    account = mk_zalloc(sizeof(*account));
    *account = (struct account){.admin = arg, .f = f, .host = host,
                                .jid = mk_jid_new(mk_str_of(name), mk_str_of(domain), (struct mk_str){0})};
    if (!account->jid) {
        mk_gql_fail(f, "invalid_jid", "This is no JID of a user");
        account_free(&account);
    } else if (!*password) {
        fail_about(f, "cannot_register", "jid", jid_of(account), "Empty password");
        account_free(&account);
    } else {
        account_create(arg, host, mk_jid_local(account->jid), mk_str_of(password), on_created, account);
    }
}

/* -- removing --------------------------------------------------------------------------------- */

static bool
is_own(const struct account *account)
{
    return account->f->api->viewer(account->f)->who == MK_GQL_IS_USER;
}

static void
on_removed(enum mk_auth_result result, void *arg)
{
    struct account *account = arg;
    struct admin *a = account->admin;
    char *message;

    if (result == MK_AUTH_OK) {
        message = mk_printf_new("User %.*s successfully unregistered", MK_STR_ARG(mk_jid_bare(account->jid)));
        mk_log(a->module, MK_LOG_INFO, "admin.removed", "account '%.*s' was removed by %s",
               MK_STR_ARG(mk_jid_bare(account->jid)), is_own(account) ? "its user" : "an administrator");
        if (is_own(account))
            answer_text(account->f, "%s", message);
        else
            answer_payload(account, message);
        mk_free(message);
    } else if (result == MK_AUTH_NOT_ALLOWED || result == MK_AUTH_NO_ACCOUNT) {
        fail_about(account->f, "not_allowed", "jid", jid_of(account), "The account cannot be removed");
    } else {
        fail_auth(account->f, result);
    }
    account_free(&account);
}

static void
remove_found(enum mk_auth_result result, const struct mk_auth *auth, void *arg)
{
    struct account *account = arg;

    if (auth)
        auth->remove(auth->self, account->host, mk_jid_local(account->jid), on_removed, account);
    else if (result == MK_AUTH_NO_ACCOUNT)
        fail_missing(account, account->host ? "not_allowed" : "invalid_jid");
    else
        on_removed(result, account);
}

static void
remove_user(struct mk_gql_field *f, void *arg)
{
    struct account *account = account_new(arg, f, "user");

    if (account)
        account_find(account, remove_found);
}

static void
unregister(struct mk_gql_field *f, void *arg)
{
    struct account *account = account_new(arg, f, NULL);

    if (account)
        account_find(account, remove_found);
}

/* -- passwords -------------------------------------------------------------------------------- */

static void
on_changed(enum mk_auth_result result, void *arg)
{
    struct account *account = arg;
    struct admin *a = account->admin;

    if (result == MK_AUTH_OK) {
        mk_log(a->module, MK_LOG_INFO, "admin.password", "the password of '%.*s' was changed by %s",
               MK_STR_ARG(mk_jid_bare(account->jid)), is_own(account) ? "its user" : "an administrator");
        if (is_own(account))
            answer_text(account->f, "Password changed");
        else
            answer_payload(account, "Password changed");
    } else if (result == MK_AUTH_NOT_ALLOWED) {
        fail_about(account->f, "not_allowed", "jid", jid_of(account), "Password change not allowed");
    } else {
        fail_auth(account->f, result);
    }
    account_free(&account);
}

static void
change_found(enum mk_auth_result result, const struct mk_auth *auth, void *arg)
{
    struct account *account = arg;

    if (auth)
        auth->set_password(auth->self, account->host, mk_jid_local(account->jid),
                           mk_str_of(mk_gql_string(account->f, "newPassword")), on_changed, account);
    else if (result == MK_AUTH_NO_ACCOUNT)
        fail_missing(account, account->host ? "not_allowed" : "invalid_jid");
    else
        on_changed(result, account);
}

static void
change(struct mk_gql_field *f, struct admin *a, const char *argument)
{
    struct account *account = account_new(a, f, argument);

    if (!account)
        return;
    if (*mk_gql_string(f, "newPassword")) {
        account_find(account, change_found);
        return;
    }
    fail_about(f, "empty_password", "jid", jid_of(account), "Empty password");
    account_free(&account);
}

static void
change_user_password(struct mk_gql_field *f, void *arg)
{
    change(f, arg, "user");
}

static void
change_password(struct mk_gql_field *f, void *arg)
{
    change(f, arg, NULL);
}

/* -- banning ---------------------------------------------------------------------------------- */

static void
on_banned(json_t *list, void *arg)
{
    struct account *account = arg;
    char *message = mk_printf_new("User %.*s successfully banned", MK_STR_ARG(mk_jid_bare(account->jid)));

    json_decref(list);
    mk_log(account->admin->module, MK_LOG_INFO, "admin.banned", "account '%.*s' was shut out by an administrator",
           MK_STR_ARG(mk_jid_bare(account->jid)));
    answer_payload(account, message);
    mk_free(message);
    account_free(&account);
}

/* The password first: nobody comes back in between. */
static void
on_locked(enum mk_auth_result result, void *arg)
{
    struct account *account = arg;
    struct found *found;
    size_t count;

    if (result != MK_AUTH_OK) {
        on_changed(result, account);
        return;
    }
    found = found_of(account->admin, account->jid, &count);
    kick(account->admin, found, count, mk_gql_string(account->f, "reason"), on_banned, account);
    found_free(found, count);
}

static void
ban_found(enum mk_auth_result result, const struct mk_auth *auth, void *arg)
{
    struct account *account = arg;
    char secret[65];

    if (auth) {
        mk_random_id(secret, sizeof(secret));
        auth->set_password(auth->self, account->host, mk_jid_local(account->jid), mk_str_of(secret), on_locked, account);
        mk_wipe(secret, sizeof(secret));
    } else if (result == MK_AUTH_NO_ACCOUNT) {
        fail_missing(account, "user_does_not_exist");
    } else {
        on_changed(result, account);
    }
}

static void
ban_user(struct mk_gql_field *f, void *arg)
{
    struct account *account = account_new(arg, f, "user");

    if (account)
        account_find(account, ban_found);
}

/* --------------------------------------------------------------------------------------------- */

static const struct mk_gql_resolver admin_resolvers[] = {
    {"AccountAdminQuery", "listUsers", account_list_users},
    {"AccountAdminQuery", "countUsers", account_count_users},
    {"AccountAdminQuery", "checkPassword", check_password},
    {"AccountAdminQuery", "checkPasswordHash", check_password_hash},
    {"AccountAdminQuery", "checkUser", check_user},
    {"AccountAdminMutation", "registerUser", register_user},
    {"AccountAdminMutation", "removeUser", remove_user},
    {"AccountAdminMutation", "banUser", ban_user},
    {"AccountAdminMutation", "changeUserPassword", change_user_password},
    {"AccountAdminMutation", "importUsers", account_import_users},
    {0}};

static const struct mk_gql_resolver user_resolvers[] = {
    {"AccountUserMutation", "unregister", unregister},
    {"AccountUserMutation", "changePassword", change_password},
    {0}};

int
account_category(struct admin *a, struct mk_error *err)
{
    const struct mk_graphql *gql = a->gql;

    if (gql->add(gql->self, a->module, MK_GQL_ADMIN, admin_sdl, admin_resolvers, a, err) < 0)
        return -1;
    return gql->add(gql->self, a->module, MK_GQL_USER, user_sdl, user_resolvers, a, err);
}
