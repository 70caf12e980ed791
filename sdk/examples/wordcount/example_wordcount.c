/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Counts the words that each user of this server sends, in an SQL table of its own, and tells users their count.
 * Shows a migration, statements that run beside the stanzas, an IQ that is answered when the
 * database has answered, and how what is kept for an account goes with the account.
 */
#include <meerkat/auth.h>
#include <meerkat/c2s.h>
#include <meerkat/meerkat.h>
#include <meerkat/rdbms.h>

#define NS_WORDCOUNT "urn:example:wordcount"

struct wordcount {
    struct mk_module *module;
    const struct mk_rdbms *db;
    struct mk_sql_stmt *add, *select, *remove;
};

/* The file's text becomes part of the module: it needs no file at run time. */
MK_SQL_FILE(wordcount_001, "001_wordcount.sql");

/* What was published once is never changed: a change of the tables is one more file, number 2. */
static const struct mk_sql_migration migrations[] = {{1, wordcount_001}, {0, NULL}};

/* -- counting ------------------------------------------------------------------------------- */

static int64_t
words_in(struct mk_str text)
{
    int64_t n = 0;
    bool inside = false;

    for (size_t i = 0; i < text.len; i++) {
        bool space = strchr(" \t\r\n", text.p[i]) != NULL;

        n += inside && space;
        inside = !space;
    }
    return n + inside;
}

static void
on_added(struct mk_sql_result *result, void *arg)
{
    struct wordcount *self = arg;

    /* Repeated lines of one event are counted by the log: a database that is away does not fill it. */
    if (self->db->status(result) != MK_SQL_OK)
        mk_log(self->module, MK_LOG_WARN, "wordcount.lost", "a message was not counted: %s",
               mk_sql_status_name(self->db->status(result)));
}

/*
 * The message goes on at once, whatever the database does. The key makes the statements of one account
 * keep their order: who asks for the count afterwards finds this message counted.
 */
static enum mk_verdict
on_message(struct mk_ev_user *ev, void *arg)
{
    struct wordcount *self = arg;
    const struct mk_jid *from = mk_session_jid(ev->session);
    const struct mk_node *body = mk_stanza_has(ev->stanza, "body", MK_NS_CLIENT)
                                     ? mk_stanza_child(ev->stanza, "body", MK_NS_CLIENT)
                                     : NULL;
    int64_t words = body ? words_in(mk_node_text(body)) : 0;
    char *key;

    if (words == 0 || mk_stanza_type(ev->stanza) == MK_TYPE_ERROR)
        return MK_CONTINUE;
    key = mk_str_dup(mk_jid_bare(from));
    mk_sql_exec(self->db, self->add, key, on_added, self, MK_SQL_V_TEXT(mk_jid_domain(from)),
                MK_SQL_V_TEXT(mk_jid_local(from)), MK_SQL_V_INT(words));
    mk_free(key);
    return MK_CONTINUE;
}

/* -- asking --------------------------------------------------------------------------------- */

struct request {
    struct wordcount *self;
    struct mk_iq *iq;
};

static void
on_selected(struct mk_sql_result *result, void *arg)
{
    struct request *r = arg;
    const struct mk_rdbms *db = r->self->db;
    struct mk_iq *iq = r->iq;
    struct mk_xml *x;
    bool found;

    mk_free(r);
    if (db->status(result) != MK_SQL_OK) {
        mk_iq_reply_error(iq, MK_ERR_RESOURCE_CONSTRAINT, "the storage does not answer, try again");
        return;
    }
    found = db->next(result);
    x = mk_xml_new(NULL);
    mk_xml_open(x, "count", NS_WORDCOUNT);
    mk_xml_attr_int(x, "words", found ? db->get_int(result, 0) : 0);
    mk_xml_attr_int(x, "messages", found ? db->get_int(result, 1) : 0);
    mk_xml_close(x);
    mk_iq_reply_result(iq, x);
}

/* Everybody may ask for their own count: MK_TO_SELF below sees to that. */
static enum mk_verdict
on_count(struct mk_iq *iq, void *arg)
{
    struct wordcount *self = arg;
    const struct mk_jid *account = mk_iq_account(iq);
    struct request *r = mk_alloc(sizeof(*r));
    char *key = mk_str_dup(mk_jid_bare(account));

    *r = (struct request){self, mk_iq_hold(iq)};
    mk_sql_exec(self->db, self->select, key, on_selected, r, MK_SQL_V_TEXT(mk_jid_domain(account)),
                MK_SQL_V_TEXT(mk_jid_local(account)));
    mk_free(key);
    return MK_HANDLED;
}

/* -- forgetting ----------------------------------------------------------------------------- */

static void
on_account_remove(struct mk_ev_account_remove *ev, void *arg)
{
    struct wordcount *self = arg;

    char *key;

    /* With the account, in its transaction. */
    if (ev->batch) {
        mk_sql_add(self->db, ev->batch, self->remove, MK_SQL_V_TEXT(ev->domain),
                   MK_SQL_V_TEXT(ev->user));
        return;
    }
    /* Accounts are not in SQL: alone, behind what was counted before. */
    key = mk_printf_new("%.*s@%.*s", MK_STR_ARG(ev->user), MK_STR_ARG(ev->domain));
    mk_sql_exec(self->db, self->remove, key, NULL, NULL, MK_SQL_V_TEXT(ev->domain),
                MK_SQL_V_TEXT(ev->user));
    mk_free(key);
}

/* -- life cycle ----------------------------------------------------------------------------- */

static void
prepare(struct wordcount *self)
{
    const struct mk_rdbms *db = self->db;

    self->add = db->prepare(db->self, self->module,
                            "INSERT INTO example_wordcount (server, username, words, messages) "
                            "VALUES (?, ?, ?, 1) ON CONFLICT (server, username) DO UPDATE SET "
                            "words = example_wordcount.words + excluded.words, "
                            "messages = example_wordcount.messages + 1");
    self->select = db->prepare(
        db->self, self->module,
        "SELECT words, messages FROM example_wordcount WHERE server = ? AND username = ?");
    self->remove = db->prepare(db->self, self->module,
                               "DELETE FROM example_wordcount WHERE server = ? AND username = ?");
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct wordcount *self = mk_zalloc(sizeof(*self));

    mk_module_set(m, self);
    self->module = m;
    self->db = mk_rdbms_get(m, err);
    if (!self->db || self->db->schema(self->db->self, m, migrations, err) < 0)
        return -1;
    prepare(self);
    /* Late: behind the filters, so that what they refuse does not count. */
    if (mk_on(m, user_send_message, MK_PRIO_LATE, on_message, self) < 0 ||
        mk_on_iq(m, MK_IQ_GET, MK_TO_SELF, NS_WORDCOUNT, "count", on_count, self) < 0 ||
        mk_on(m, account_remove, MK_PRIO_NORMAL, on_account_remove, self) < 0)
        return mk_fail(err, "a handler could not be registered");
    return 0;
}

static void
unload(struct mk_module *m)
{
    mk_free(mk_module_get(m));
}

MK_MODULE(.name = "example_wordcount", .version = "1.0", .summary = "counts the words that users send",
          .depends = (const char *const[]){"rdbms", "c2s", NULL}, .init = init, .unload = unload);
