/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Category stat: numbers of the server and of a domain. "Online users" are sessions, as in MongooseIM. */
#include "config.h"

#include "internal.h"

static const char sdl[] =
    "extend type AdminQuery { \"Numbers\" stat: StatsAdminQuery }\n"
    "\"Numbers of the whole server\"\n"
    "type GlobalStats {\n"
    "  \"Since this node was started\" uptimeSeconds: Int\n"
    "  \"Accounts of all domains\" registeredUsers: Int\n"
    "  \"Sessions on this node\" onlineUsersNode: Int\n"
    "  \"Sessions on all nodes\" onlineUsers: Int\n"
    "  \"Connections of other servers to this one; null: nobody counts them\" incomingS2S: Int\n"
    "  \"Connections of this server to others; null: nobody counts them\" outgoingS2S: Int\n"
    "}\n"
    "\"Numbers of a domain\"\n"
    "type DomainStats {\n"
    "  \"Accounts\" registeredUsers: Int\n"
    "  \"Sessions on all nodes\" onlineUsers: Int\n"
    "}\n"
    "\"Numbers\"\n"
    "type StatsAdminQuery @protected {\n"
    "  \"Numbers of the whole server\" globalStats: GlobalStats @protected(type: GLOBAL)\n"
    "  \"Numbers of a domain\" domainStats(domain: DomainName!): DomainStats @protected(type: DOMAIN, args: [\"domain\"])\n"
    "}\n";

struct stats {
    struct admin *admin;
    struct mk_gql_field *f;
    struct mk_host *host;       /* NULL: of all */
    uint64_t accounts;
    struct scan scan;
};

static void
on_scanned(void *arg)
{
    struct stats *s = arg;
    const struct mk_sessions *sessions = s->admin->sessions;
    json_int_t total = (json_int_t)s->scan.total, accounts = (json_int_t)s->accounts;

    if (s->host)
        mk_gql_answer(s->f, json_pack("{s:I,s:I}", "registeredUsers", accounts, "onlineUsers", total));
    else
        mk_gql_answer(s->f, json_pack("{s:I,s:I,s:I,s:I}", "uptimeSeconds", (json_int_t)(mk_server_uptime_ms() / 1000),
                                      "registeredUsers", accounts, "onlineUsersNode", total, "onlineUsers",
                                      (json_int_t)sessions->count(sessions->self)));
    scan_release(&s->scan);
    mk_free(s);
}

static void
on_counted(enum mk_auth_result result, uint64_t count, void *arg)
{
    struct stats *s = arg;

    s->accounts = count;
    if (s->host)
        s->scan.domain = mk_host_name(s->host);
    else
        s->scan.here = true;
    if (result == MK_AUTH_OK && scan_sessions(s->admin, &s->scan, on_scanned, s) == 0)
        return;
    fail_auth(s->f, result == MK_AUTH_OK ? MK_AUTH_BUSY : result);
    mk_free(s);
}

static void
count(struct mk_gql_field *f, struct admin *a, struct mk_host *host)
{
    struct stats *s = mk_zalloc(sizeof(*s));

    *s = (struct stats){.admin = a, .f = f, .host = host};
    count_accounts(a, host, on_counted, s);
}

static void
global_stats(struct mk_gql_field *f, void *arg)
{
    count(f, arg, NULL);
}

static void
domain_stats(struct mk_gql_field *f, void *arg)
{
    struct mk_host *host = domain_argument(f, "domain", "not_found");

    if (host)
        count(f, arg, host);
}

static const struct mk_gql_resolver resolvers[] = {
    {"StatsAdminQuery", "globalStats", global_stats}, {"StatsAdminQuery", "domainStats", domain_stats}, {0}};

int
stat_category(struct admin *a, struct mk_error *err)
{
    return a->gql->add(a->gql->self, a->module, MK_GQL_ADMIN, sdl, resolvers, a, err);
}
