/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The list as rows: MongooseIM's privacy list of the name 'blocking'. */
#include "internal.h"

#define OWNER "server = ? AND username = ?"
#define LIST_ID "(SELECT id FROM privacy_list WHERE " OWNER " AND name = 'blocking')"

static const struct {
    size_t at;
    const char *sql;
} texts[] = {
    {offsetof(struct blocking, sql.load),
     "SELECT d.value FROM privacy_list l JOIN privacy_list_data d ON d.id = l.id WHERE l.server = ? "
     "AND l.username = ? AND l.name = 'blocking' AND d.t = 'j' AND d.action IN ('b', 'd')"},
    {offsetof(struct blocking, sql.make),
     "INSERT INTO privacy_list (server, username, name) VALUES (?, ?, 'blocking') "
     "ON CONFLICT (server, username, name) DO NOTHING"},
    {offsetof(struct blocking, sql.make_default),
     "INSERT INTO privacy_default_list (server, username, name) VALUES (?, ?, 'blocking') "
     "ON CONFLICT (server, username) DO UPDATE SET name = excluded.name"},
    {offsetof(struct blocking, sql.add),
     "INSERT INTO privacy_list_data (id, t, value, action, ord, match_all, match_iq, match_message, "
     "match_presence_in, match_presence_out) SELECT l.id, 'j', CAST(? AS text), 'b', "
     "(SELECT COALESCE(MAX(d.ord), 0) + 1 FROM privacy_list_data d WHERE d.id = l.id), "
     "TRUE, FALSE, FALSE, FALSE, FALSE FROM privacy_list l WHERE l.server = ? AND l.username = ? "
     "AND l.name = 'blocking' AND NOT EXISTS (SELECT 1 FROM privacy_list_data d WHERE d.id = l.id "
     "AND d.t = 'j' AND d.value = ?)"},
    {offsetof(struct blocking, sql.remove),
     "DELETE FROM privacy_list_data WHERE id = " LIST_ID " AND t = 'j' AND value = ?"},
    {offsetof(struct blocking, sql.clear), "DELETE FROM privacy_list_data WHERE id = " LIST_ID},
    {offsetof(struct blocking, sql.wipe[0]),
     "DELETE FROM privacy_list_data WHERE id IN (SELECT id FROM privacy_list WHERE " OWNER ")"},
    {offsetof(struct blocking, sql.wipe[1]), "DELETE FROM privacy_list WHERE " OWNER},
    {offsetof(struct blocking, sql.wipe[2]), "DELETE FROM privacy_default_list WHERE " OWNER},
};

void
sql_prepare(struct blocking *b)
{
    for (size_t i = 0; i < MK_COUNT(texts); i++) {
        struct mk_sql_stmt **stmt = (struct mk_sql_stmt **)(void *)((char *)b + texts[i].at);

        *stmt = b->db->prepare(b->db->self, b->module, texts[i].sql);
    }
}

/* NULL: the request failed. */
static struct list *
read_list(struct blocking *b, const struct mk_jid *account, struct mk_sql_result *result)
{
    struct mk_buf jids = {0};
    struct list *list;

    if (b->db->status(result) != MK_SQL_OK) {
        mk_log(b->module, MK_LOG_WARN, "blocking.sql", "the list of '%.*s' cannot be used: %s",
               MK_STR_ARG(mk_jid_bare(account)), b->db->error(result));
        return NULL;
    }
    while (b->db->next(result)) {
        struct mk_str jid = b->db->get_text(result, 0);

        mk_buf_add(&jids, &jid, sizeof(jid));
    }
    list = list_new((const struct mk_str *)(void *)jids.data, jids.len / sizeof(struct mk_str));
    mk_buf_release(&jids);
    return list;
}

static void
on_loaded(struct mk_sql_result *result, void *arg)
{
    struct entry *e = arg;

    entry_loaded(e, read_list(e->lane->blocking, e->account, result));
}

void
sql_load(struct entry *e)
{
    struct blocking *b = e->lane->blocking;
    char *key = mk_str_dup(mk_jid_bare(e->account));

    mk_sql_exec(b->db, b->sql.load, key, on_loaded, e, MK_SQL_V_TEXT(mk_jid_domain(e->account)),
                MK_SQL_V_TEXT(mk_jid_local(e->account)));
    mk_free(key);
}

static void
on_changed(struct mk_sql_result *result, void *arg)
{
    struct change *c = arg;

    c->now = read_list(c->blocking, c->account, result);
    change_stored(c);
}

void
sql_change(struct change *c)
{
    struct blocking *b = c->blocking;
    struct mk_sql_batch *batch = b->db->batch(b->db->self, b->module);
    struct mk_sql_value server = MK_SQL_V_TEXT(mk_jid_domain(c->account));
    struct mk_sql_value user = MK_SQL_V_TEXT(mk_jid_local(c->account));
    char *key = mk_str_dup(mk_jid_bare(c->account));

    if (c->block) {
        mk_sql_add(b->db, batch, b->sql.make, server, user);
        mk_sql_add(b->db, batch, b->sql.make_default, server, user);
    } else if (c->all) {
        mk_sql_add(b->db, batch, b->sql.clear, server, user);
    }
    for (size_t i = 0; i < c->count; i++) {
        struct mk_sql_value jid = MK_SQL_V_TEXT(mk_jid_text(c->jids[i]));

        if (c->block)
            mk_sql_add(b->db, batch, b->sql.add, jid, server, user, jid);
        else
            mk_sql_add(b->db, batch, b->sql.remove, server, user, jid);
    }
    mk_sql_add(b->db, batch, b->sql.load, server, user);
    b->db->batch_run(batch, key, on_changed, c);
    mk_free(key);
}

void
sql_account_remove(struct mk_ev_account_remove *ev, void *arg)
{
    struct blocking *b = arg;
    const struct mk_sql_value values[] = {MK_SQL_V_TEXT(ev->domain), MK_SQL_V_TEXT(ev->user)};

    for (size_t i = 0; i < MK_COUNT(b->sql.wipe); i++) {
        if (ev->batch)
            b->db->batch_add(ev->batch, b->sql.wipe[i], values, MK_COUNT(values));
        else
            b->db->exec(b->db->self, b->sql.wipe[i], values, MK_COUNT(values), NULL, NULL, NULL);
    }
}
