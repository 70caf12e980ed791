/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Category offline of the GraphQL API: an administrator removes messages that wait, a part at a time. */
#include "config.h"

#include <meerkat/graphql.h>

#include "internal.h"

#define ROWS 1000
#define DAY_US (INT64_C(86400) * 1000000)

static const char sdl[] =
    "extend type AdminMutation { \"Messages that wait for users\" offline: OfflineAdminMutation }\n"
    "\"Messages that wait for users\"\n"
    "type OfflineAdminMutation @protected {\n"
    "  \"Remove the messages whose time is over\"\n"
    "  deleteExpiredMessages(domain: DomainName!): String @protected(type: DOMAIN, args: [\"domain\"])\n"
    "  \"Remove the messages that have waited for at least so many days\"\n"
    "  deleteOldMessages(domain: DomainName!, days: PosInt!): String @protected(type: DOMAIN, args: [\"domain\"])\n"
    "}\n";

struct deletion {
    struct offline *self;
    struct mk_gql_field *f;
    struct mk_sql_stmt *stmt;
    int64_t until;              /* µs */
    size_t count;
};

static void
finish(struct deletion *d, bool ok)
{
    char *text = mk_printf_new("Removed %zu messages", d->count);

    if (d->count)
        mk_log(d->self->module, MK_LOG_INFO, "offline.removed", "an administrator removed %zu messages of '%s'", d->count,
               mk_gql_string(d->f, "domain"));
    if (ok)
        mk_gql_answer(d->f, json_string(text));
    else
        mk_gql_fail(d->f, "server_error", "The storage does not answer: try again");
    mk_free(text);
    mk_free(d);
}

/* A part is gone (or, with no result, it begins): the next one. */
static void
step(struct mk_sql_result *result, void *arg)
{
    struct deletion *d = arg;
    const struct mk_rdbms *db = d->self->db;

    if (result && db->status(result) != MK_SQL_OK) {
        store_log(d->self, "removing messages", result);
        finish(d, false);
        return;
    }
    if (result) {
        d->count += db->affected(result);
        mk_counter_add(d->self->dropped[DROP_EXPIRED], db->affected(result));
        if (db->affected(result) < ROWS) {
            finish(d, true);
            return;
        }
    }
    mk_sql_exec(db, d->stmt, NULL, step, d, MK_SQL_V_CSTR(mk_gql_string(d->f, "domain")), MK_SQL_V_INT(d->until),
                MK_SQL_V_INT(ROWS));
}

static void
begin(struct mk_gql_field *f, struct offline *self, struct mk_sql_stmt *stmt, int64_t until)
{
    const char *domain = mk_gql_string(f, "domain");
    struct deletion *d;

    if (!mk_host_find(mk_str_of(domain))) {
        mk_gql_answer(f, f->api->error("domain_not_found", "Given domain does not exist",
                                       json_pack("{s:s}", "domain", domain)));
        return;
    }
    mk_gql_takes_long(f);
    d = mk_alloc(sizeof(*d));
    *d = (struct deletion){self, f, stmt, until, 0};
    step(NULL, d);
}

static void
delete_expired(struct mk_gql_field *f, void *arg)
{
    struct offline *self = arg;

    begin(f, self, self->sql.expired_of, mk_time_us());
}

static void
delete_old(struct mk_gql_field *f, void *arg)
{
    struct offline *self = arg;
    int64_t days = mk_gql_int(f, "days", 1);

    /* Before 1970 nothing can have come. */
    begin(f, self, self->sql.old_of, days > mk_time_us() / DAY_US ? 0 : mk_time_us() - days * DAY_US);
}

static const struct mk_gql_resolver resolvers[] = {
    {"OfflineAdminMutation", "deleteExpiredMessages", delete_expired},
    {"OfflineAdminMutation", "deleteOldMessages", delete_old},
    {0}};

int
offline_api(struct offline *self, struct mk_error *err)
{
    const struct mk_graphql *gql = mk_graphql_get(self->module);
    const struct mk_rdbms *db = self->db;

    if (!gql)
        return 0;
    self->sql.expired_of = db->prepare(
        db->self, self->module,
        "DELETE FROM offline_message WHERE id IN (SELECT id FROM offline_message WHERE server = ? AND "
        "expire IS NOT NULL AND expire <= ? LIMIT ?)");
    self->sql.old_of = db->prepare(
        db->self, self->module,
        "DELETE FROM offline_message WHERE id IN (SELECT id FROM offline_message WHERE server = ? AND "
        "timestamp <= ? LIMIT ?)");
    return gql->add(gql->self, self->module, MK_GQL_ADMIN, sdl, resolvers, self, err);
}
