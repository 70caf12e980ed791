/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The tables, which are MongooseIM's: rosterusers, rostergroups, roster_version. What those cannot say (a
 * pre-approval; that a contact whose request waits is in the roster as well) is in roster_flags.
 */
#include "internal.h"

#include <stdio.h>

enum column { COL_JID, COL_NICK, COL_SUBSCRIPTION, COL_ASK, COL_MESSAGE, COL_APPROVED, COL_SHOWN, COL_GROUP };

/* The letters: see README.md. */
static const char sub_letters[] = "NTFB";

static unsigned
sub_of(struct mk_str letter)
{
    const char *found = letter.len ? memchr(sub_letters, letter.p[0], 4) : NULL;

    return found ? (unsigned)(found - sub_letters) : MK_SUB_NONE;
}

static unsigned
ask_of(struct mk_str letter)
{
    switch (letter.len ? letter.p[0] : 'N') {
    case 'S':
    case 'O':
        return MK_ROSTER_ASK;
    case 'I':
        return MK_ROSTER_PENDING_IN;
    case 'B':
        return MK_ROSTER_ASK | MK_ROSTER_PENDING_IN;
    default:
        return 0;
    }
}

static const char *
ask_letter(unsigned flags)
{
    static const char *const letters[] = {"N", "O", "I", "B"};

    return letters[(flags & MK_ROSTER_ASK ? 1 : 0) + (flags & MK_ROSTER_PENDING_IN ? 2 : 0)];
}

/* Only a request: a client sees such a contact when it was put in the roster by hand. */
static bool
is_request_only(const struct mk_roster_item *item)
{
    return item->subscription == MK_SUB_NONE &&
           (item->flags & (MK_ROSTER_ASK | MK_ROSTER_PENDING_IN)) == MK_ROSTER_PENDING_IN;
}

void
sql_prepare(struct roster *r)
{
    static const char *const tables[] = {"rosterusers", "rostergroups", "roster_version",
                                         "roster_flags"};
    const struct mk_rdbms *db = r->db;
    char text[128];

    r->sql.load = db->prepare(
        db->self, r->module,
        "SELECT u.jid, u.nick, u.subscription, u.ask, u.askmessage, f.approved, f.shown, g.grp "
        "FROM rosterusers u "
        "LEFT JOIN roster_flags f ON f.server = u.server AND f.username = u.username AND f.jid = u.jid "
        "LEFT JOIN rostergroups g ON g.server = u.server AND g.username = u.username AND g.jid = u.jid "
        "WHERE u.server = ? AND u.username = ? ORDER BY u.jid, g.grp");
    r->sql.upsert = db->prepare(
        db->self, r->module,
        "INSERT INTO rosterusers (server, username, jid, nick, subscription, ask, askmessage) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (server, username, jid) DO UPDATE SET "
        "nick = excluded.nick, subscription = excluded.subscription, ask = excluded.ask, "
        "askmessage = excluded.askmessage");
    r->sql.remove = db->prepare(db->self, r->module, "DELETE FROM rosterusers WHERE server = ? AND username = ? AND jid = ?");
    r->sql.clear_groups = db->prepare(db->self, r->module, "DELETE FROM rostergroups WHERE server = ? AND username = ? AND jid = ?");
    r->sql.group = db->prepare(db->self, r->module, "INSERT INTO rostergroups (server, username, jid, grp) VALUES (?, ?, ?, ?)");
    r->sql.clear_flags = db->prepare(db->self, r->module, "DELETE FROM roster_flags WHERE server = ? AND username = ? AND jid = ?");
    r->sql.flags = db->prepare(
        db->self, r->module,
        "INSERT INTO roster_flags (server, username, jid, approved, shown) VALUES (?, ?, ?, ?, ?)");
    for (size_t i = 0; i < MK_COUNT(tables); i++) {
        snprintf(text, sizeof(text), "DELETE FROM %s WHERE server = ? AND username = ?", tables[i]);
        r->sql.wipe[i] = db->prepare(db->self, r->module, text);
    }
}

static bool
is_ok(struct roster *r, const struct mk_jid *account, const struct mk_sql_result *result)
{
    enum mk_sql_status status = r->db->status(result);

    if (status == MK_SQL_OK)
        return true;
    mk_counter_add(r->failures, 1);
    if (status != MK_SQL_BUSY && status != MK_SQL_UNAVAILABLE)
        mk_log(r->module, MK_LOG_ERROR, "roster.sql", "a request on the roster of '%.*s' failed: %s",
               MK_STR_ARG(mk_jid_text(account)), r->db->error(result));
    return false;
}

/* -- reading ----------------------------------------------------------------------------------- */

/* Rows are one a contact and group, those of a contact together. */
struct reading {
    struct mk_roster_item *items;
    size_t count, cap;
    const char **groups;        /* of the last item */
    size_t group_cap;
};

static void
add_group(struct reading *in, struct mk_str name)
{
    struct mk_roster_item *item = &in->items[in->count - 1];

    if (item->group_count == in->group_cap) {
        in->group_cap = in->group_cap ? in->group_cap * 2 : 4;
        in->groups = mk_realloc(in->groups, in->group_cap * sizeof(*in->groups));
    }
    in->groups[item->group_count++] = mk_str_dup(name);
    item->groups = in->groups;
}

static void
add_item(struct roster *r, struct reading *in, const struct mk_sql_result *row, struct mk_jid *jid)
{
    const struct mk_rdbms *db = r->db;
    struct mk_roster_item *item;

    if (in->count == in->cap) {
        in->cap = in->cap ? in->cap * 2 : 16;
        in->items = mk_realloc(in->items, in->cap * sizeof(*in->items));
    }
    item = &in->items[in->count++];
    *item = (struct mk_roster_item){
        .size = sizeof(*item),
        .jid = jid,
        .name = mk_str_dup(db->get_text(row, COL_NICK)),
        .request = mk_str_dup(db->get_text(row, COL_MESSAGE)),
        .subscription = sub_of(db->get_text(row, COL_SUBSCRIPTION)),
        .flags = ask_of(db->get_text(row, COL_ASK)),
    };
    if (db->get_int(row, COL_APPROVED))
        item->flags |= MK_ROSTER_APPROVED;
    if (is_request_only(item) && !db->get_int(row, COL_SHOWN))
        item->flags |= MK_ROSTER_HIDDEN;
    in->groups = NULL;
    in->group_cap = 0;
}

static void
read_row(struct roster *r, const struct mk_jid *account, struct reading *in, const struct mk_sql_result *row)
{
    struct mk_jid *jid = mk_jid_parse(r->db->get_text(row, COL_JID));

    if (!jid) {
        mk_log(r->module, MK_LOG_WARN, "roster.row", "a contact of '%.*s' is left out: its JID is malformed",
               MK_STR_ARG(mk_jid_text(account)));
        return;
    }
    if (in->count && mk_jid_equal(in->items[in->count - 1].jid, jid))
        mk_jid_unref(&jid);
    else
        add_item(r, in, row, jid);
    if (!r->db->is_null(row, COL_GROUP))
        add_group(in, r->db->get_text(row, COL_GROUP));
}

static void
reading_free(struct reading *in)
{
    for (size_t i = 0; i < in->count; i++) {
        struct mk_roster_item *item = &in->items[i];
        struct mk_jid *jid = (struct mk_jid *)item->jid;

        for (size_t g = 0; g < item->group_count; g++)
            mk_free((char *)item->groups[g]);
        mk_free((void *)item->groups);
        mk_free((char *)item->name);
        mk_free((char *)item->request);
        mk_jid_unref(&jid);
    }
    mk_free(in->items);
}

struct snapshot *
sql_read(struct roster *r, const struct mk_jid *account, struct mk_sql_result *result)
{
    struct reading in = {0};
    struct snapshot *now;

    while (r->db->next(result))
        read_row(r, account, &in, result);
    now = snapshot_new(in.items, in.count);
    reading_free(&in);
    return now;
}

struct snapshot *
sql_snapshot(struct roster *r, const struct mk_jid *account, struct mk_sql_result *result)
{
    if (!is_ok(r, account, result))
        return NULL;
    mk_counter_add(r->loads, 1);
    return sql_read(r, account, result);
}

static void
on_loaded(struct mk_sql_result *result, void *arg)
{
    struct op *op = arg;

    change_loaded(op, sql_snapshot(op->entry->roster, op->entry->account, result));
}

#define OF(account) MK_SQL_V_TEXT(mk_jid_domain(account)), MK_SQL_V_TEXT(mk_jid_local(account))
#define OWNER(e) OF((e)->account)

void
sql_load(struct op *op)
{
    struct roster *r = op->entry->roster;

    mk_sql_exec(r->db, r->sql.load, mk_jid_text(op->entry->account).p, on_loaded, op,
                OWNER(op->entry));
}

/* -- writing ----------------------------------------------------------------------------------- */

static enum mk_roster_result
result_of(enum mk_sql_status status)
{
    return status == MK_SQL_OK ? MK_ROSTER_OK
           : status == MK_SQL_FULL ? MK_ROSTER_FULL : MK_ROSTER_UNAVAILABLE;
}

static void
on_stored(struct mk_sql_result *result, void *arg)
{
    struct op *op = arg;
    struct roster *r = op->entry->roster;

    (void)is_ok(r, op->entry->account, result);
    change_stored(op, result_of(r->db->status(result)));
}

void
sql_add_item(struct roster *r, struct mk_sql_batch *batch, const struct mk_jid *account,
             const struct mk_roster_item *item)
{
    struct mk_sql_value jid = MK_SQL_V_TEXT(mk_jid_text(item->jid));
    bool shown = is_request_only(item) && !(item->flags & MK_ROSTER_HIDDEN);
    const char letter[] = {sub_letters[item->subscription & MK_SUB_BOTH], '\0'};

    mk_sql_add(r->db, batch, r->sql.clear_groups, OF(account), jid);
    mk_sql_add(r->db, batch, r->sql.clear_flags, OF(account), jid);
    mk_sql_add(r->db, batch, r->sql.upsert, OF(account), jid, MK_SQL_V_CSTR(item->name),
               MK_SQL_V_CSTR(letter), MK_SQL_V_CSTR(ask_letter(item->flags)),
               MK_SQL_V_CSTR(item->request));
    for (size_t i = 0; i < item->group_count; i++)
        mk_sql_add(r->db, batch, r->sql.group, OF(account), jid, MK_SQL_V_CSTR(item->groups[i]));
    if (shown || (item->flags & MK_ROSTER_APPROVED))
        mk_sql_add(r->db, batch, r->sql.flags, OF(account), jid,
                   MK_SQL_V_INT(!!(item->flags & MK_ROSTER_APPROVED)), MK_SQL_V_INT(shown));
}

void
sql_store(struct op *op)
{
    struct roster *r = op->entry->roster;
    struct mk_sql_batch *batch = r->db->batch(r->db->self, r->module);
    struct mk_sql_value jid = MK_SQL_V_TEXT(mk_jid_text(op->contact));

    if (op->decision == MK_ROSTER_STORE) {
        sql_add_item(r, batch, op->entry->account, &op->item);
    } else {
        mk_sql_add(r->db, batch, r->sql.clear_groups, OWNER(op->entry), jid);
        mk_sql_add(r->db, batch, r->sql.clear_flags, OWNER(op->entry), jid);
        mk_sql_add(r->db, batch, r->sql.remove, OWNER(op->entry), jid);
    }
    r->db->batch_run(batch, mk_jid_text(op->entry->account).p, on_stored, op);
}
