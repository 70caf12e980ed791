/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts the words that each user has sent, in a table of its own; the user may ask for the number. Shows a migration,
 * statements, an IQ that is answered later, and the removal of an account.
 */
#include <ctype.h>

#include <meerkat/auth.h>
#include <meerkat/c2s.h>
#include <meerkat/meerkat.h>
#include <meerkat/rdbms.h>

#define NS "urn:example:wordcount"

MK_SQL_FILE(wordcount_001, "001_wordcount.sql");

static const struct mk_sql_migration migrations[] = {{1, wordcount_001}, {0, NULL}};

struct wordcount {
    struct mk_module *module;
    const struct mk_rdbms *db;
    struct mk_sql_stmt *add, *get, *remove;
};

static int64_t
count_words(struct mk_str text)
{
    int64_t words = 0;
    bool inside = false;

    for (size_t i = 0; i < text.len; i++) {
        bool letter = !isspace((unsigned char)text.p[i]);

        words += letter && !inside;
        inside = letter;
    }
    return words;
}

/* Requests with the same key keep their order: a number that is asked for has what was sent before. */
static enum mk_verdict
on_message(struct mk_ev_user *ev, void *arg)
{
    struct wordcount *w = arg;
    const struct mk_jid *from = mk_session_jid(ev->session);
    const struct mk_node *body = mk_stanza_child(ev->stanza, "body", MK_NS_CLIENT);
    int64_t words = body ? count_words(mk_node_text(body)) : 0;

    if (words)
        mk_sql_exec(w->db, w->add, "wordcount", NULL, NULL, MK_SQL_V_TEXT(mk_jid_domain(from)),
                    MK_SQL_V_TEXT(mk_jid_local(from)), MK_SQL_V_INT(words));
    return MK_CONTINUE;
}

struct request {
    struct wordcount *wordcount;
    struct mk_iq *iq;
};

static void
on_answer(struct mk_sql_result *result, void *arg)
{
    struct request *r = arg;
    const struct mk_rdbms *db = r->wordcount->db;
    struct mk_xml *x;

    if (db->status(result) == MK_SQL_OK) {
        x = mk_xml_new(NULL);
        mk_xml_open(x, "words", NS);
        mk_xml_attr_int(x, "count", db->next(result) ? db->get_int(result, 0) : 0);
        mk_iq_reply_result(r->iq, x);
    } else {
        mk_iq_reply_error(r->iq, MK_ERR_RESOURCE_CONSTRAINT, "try again");
    }
    mk_free(r);
}

static enum mk_verdict
on_ask(struct mk_iq *iq, void *arg)
{
    struct wordcount *w = arg;
    struct request *r = mk_alloc(sizeof(*r));
    const struct mk_jid *from = mk_iq_from(iq);

    *r = (struct request){w, mk_iq_hold(iq)};
    mk_sql_exec(w->db, w->get, "wordcount", on_answer, r, MK_SQL_V_TEXT(mk_jid_domain(from)),
                MK_SQL_V_TEXT(mk_jid_local(from)));
    return MK_HANDLED;
}

/* In the same transaction as the account. */
static void
on_account_remove(struct mk_ev_account_remove *ev, void *arg)
{
    struct wordcount *w = arg;

    if (ev->batch)
        mk_sql_add(w->db, ev->batch, w->remove, MK_SQL_V_TEXT(ev->domain), MK_SQL_V_TEXT(ev->user));
    else
        mk_sql_exec(w->db, w->remove, "wordcount", NULL, NULL, MK_SQL_V_TEXT(ev->domain),
                    MK_SQL_V_TEXT(ev->user));
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct wordcount *w = mk_zalloc(sizeof(*w));

    mk_module_set(m, w);
    w->module = m;
    w->db = mk_rdbms_get(m, err);
    if (!w->db || w->db->schema(w->db->self, m, migrations, err) < 0)
        return -1;
    w->add = w->db->prepare(w->db->self, m,
                            "INSERT INTO wordcount (server, username, words) VALUES (?, ?, ?) ON CONFLICT "
                            "(server, username) DO UPDATE SET words = wordcount.words + excluded.words");
    w->get = w->db->prepare(w->db->self, m, "SELECT words FROM wordcount WHERE server = ? AND username = ?");
    w->remove = w->db->prepare(w->db->self, m, "DELETE FROM wordcount WHERE server = ? AND username = ?");
    if (mk_on(m, user_send_message, MK_PRIO_LATE, on_message, w) < 0 ||
        mk_on(m, account_remove, MK_PRIO_NORMAL, on_account_remove, w) < 0 ||
        mk_on_iq(m, MK_IQ_GET, MK_TO_SELF, NS, "words", on_ask, w) < 0)
        return mk_fail(err, "a handler could not be registered");
    return 0;
}

static void
unload(struct mk_module *m)
{
    mk_free(mk_module_get(m));
}

MK_MODULE(.name = "wordcount", .version = "1.0", .summary = "Example: counts the words of each user",
          .depends = (const char *const[]){"rdbms", "c2s", NULL}, .init = init, .unload = unload);
