/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * vCards (XEP-0054): an account keeps its own, everybody may read it. With it, the hash of the picture in
 * presence (XEP-0153) and the table that directory searches read.
 */
#include "config.h"

#include "internal.h"

#define C struct vcard_conf

static const struct mk_option options[] = {
    MK_OPTION_SIZE(C, max_size, "128K", "1000", "16M", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                   "largest vCard that is stored, picture included"),
    MK_OPTION_BOOL(C, avatar, "yes", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                   "add the hash of the picture to presence (XEP-0153)"),
    MK_OPTION_BOOL(C, search, "yes", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                   "keep the table vcard_search for directories"),
    MK_OPTION_STRING(C, server_name, NULL, MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                     "name in the server's own vCard; empty: it has none"),
    MK_OPTION_STRING(C, server_url, NULL, MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                     "address of a page about the server in its vCard"),
    MK_OPTION_END};

#undef C

MK_SQL_FILE(vcard_001, "001_vcard.sql");

static const struct mk_sql_migration migrations[] = {{1, vcard_001}, {0, NULL}};

struct request {
    struct vcard *self;
    struct mk_iq *iq;
};

static struct request *
hold_request(struct vcard *self, struct mk_iq *iq)
{
    struct request *r = mk_alloc(sizeof(*r));

    *r = (struct request){self, mk_iq_hold(iq)};
    return r;
}

static struct mk_iq *
end_request(struct request *r)
{
    struct mk_iq *iq = r->iq;

    mk_free(r);
    return iq;
}

static void
reply_failed(struct vcard *self, struct mk_iq *iq, const struct mk_sql_result *result)
{
    if (self->db->status(result) == MK_SQL_ERROR) {
        mk_log(self->module, MK_LOG_ERROR, "vcard.sql", "a request on the vCard of '%.*s' failed: %s",
               MK_STR_ARG(mk_jid_bare(mk_iq_account(iq))), self->db->error(result));
        mk_iq_reply_error(iq, MK_ERR_INTERNAL_SERVER_ERROR, NULL);
        return;
    }
    mk_iq_reply_error(iq, MK_ERR_RESOURCE_CONSTRAINT, "the storage does not answer, try again");
}

/* -- get ------------------------------------------------------------------------------------ */

static void
on_selected(struct mk_sql_result *result, void *arg)
{
    struct request *r = arg;
    struct vcard *self = r->self;
    struct mk_iq *iq = end_request(r);
    struct mk_xml *x;

    if (self->db->status(result) != MK_SQL_OK) {
        reply_failed(self, iq, result);
        return;
    }
    /* §3.3: an account without a vCard and no account at all look the same. */
    if (!self->db->next(result)) {
        mk_iq_reply_error(iq, MK_ERR_ITEM_NOT_FOUND, NULL);
        return;
    }
    x = mk_xml_new(NULL);
    if (mk_xml_parsed(x, self->db->get_text(result, 0), NS_VCARD) < 0) {
        mk_xml_free(&x);
        mk_log(self->module, MK_LOG_ERROR, "vcard.row", "the vCard of '%.*s' is not XML",
               MK_STR_ARG(mk_jid_bare(mk_iq_account(iq))));
        mk_iq_reply_error(iq, MK_ERR_INTERNAL_SERVER_ERROR, NULL);
        return;
    }
    mk_iq_reply_result(iq, x);
}

static void
get(struct vcard *self, struct mk_iq *iq)
{
    const struct mk_jid *account = mk_iq_account(iq);
    const struct mk_sql_value values[] = {MK_SQL_V_TEXT(mk_jid_domain(account)),
                                          MK_SQL_V_TEXT(mk_jid_local(account))};
    char *key = mk_str_dup(mk_jid_bare(account));

    self->db->exec(self->db->self, self->select, values, MK_COUNT(values), key, on_selected,
                   hold_request(self, iq));
    mk_free(key);
}

static void
get_server(struct mk_iq *iq, const struct vcard_conf *conf)
{
    struct mk_xml *x;

    if (!conf->server_name || !*conf->server_name) {
        mk_iq_reply_error(iq, MK_ERR_ITEM_NOT_FOUND, NULL);
        return;
    }
    x = mk_xml_new(NULL);
    mk_xml_open(x, "vCard", NS_VCARD);
    mk_xml_leaf(x, "FN", NULL, mk_str_of(conf->server_name));
    if (conf->server_url && *conf->server_url)
        mk_xml_leaf(x, "URL", NULL, mk_str_of(conf->server_url));
    mk_xml_close(x);
    mk_iq_reply_result(iq, x);
}

/* -- set ------------------------------------------------------------------------------------ */

static void
on_stored(struct mk_sql_result *result, void *arg)
{
    struct request *r = arg;
    struct vcard *self = r->self;
    struct mk_iq *iq = end_request(r);

    if (self->db->status(result) != MK_SQL_OK) {
        reply_failed(self, iq, result);
        return;
    }
    avatar_changed(self, mk_iq_account(iq), mk_iq_child(iq));
    mk_iq_reply_result(iq, NULL);
}

void
vcard_add(struct vcard *self, struct mk_sql_batch *batch, const struct mk_jid *account, const struct mk_node *card,
          struct mk_str text)
{
    const struct vcard_conf *conf = mk_module_conf(self->module, mk_host_find(mk_jid_domain(account)));
    const struct mk_rdbms *db = self->db;

    mk_sql_add(db, batch, self->upsert, MK_SQL_V_TEXT(mk_jid_local(account)),
               MK_SQL_V_TEXT(mk_jid_domain(account)), MK_SQL_V_TEXT(text));
    if (conf->search)
        search_add(self, batch, account, card);
    else
        mk_sql_add(db, batch, self->remove_index, MK_SQL_V_TEXT(mk_jid_domain(account)),
                   MK_SQL_V_TEXT(mk_jid_local(account)));
}

void
vcard_store(struct vcard *self, const struct mk_jid *account, const struct mk_node *card, struct mk_str text,
            mk_sql_fn fn, void *arg)
{
    struct mk_sql_batch *batch = self->db->batch(self->db->self, self->module);
    char *key = mk_str_dup(mk_jid_bare(account));

    vcard_add(self, batch, account, card, text);
    self->db->batch_run(batch, key, fn, arg);
    mk_free(key);
}

static void
set(struct vcard *self, struct mk_iq *iq, const struct vcard_conf *conf)
{
    struct mk_xml *x = mk_xml_new("");
    struct mk_str text;

    mk_xml_node(x, mk_iq_child(iq));
    text = mk_xml_str(x);
    if (text.len > conf->max_size) {
        mk_counter_add(self->refused, 1);
        mk_iq_reply_error(iq, MK_ERR_POLICY_VIOLATION, "the vCard is too large");
    } else {
        vcard_store(self, mk_iq_account(iq), mk_iq_child(iq), text, on_stored, hold_request(self, iq));
    }
    mk_xml_free(&x);
}

/* -- handlers ------------------------------------------------------------------------------- */

static enum mk_verdict
on_vcard(struct mk_iq *iq, void *arg)
{
    struct vcard *self = arg;
    const struct vcard_conf *conf = mk_module_conf(self->module, mk_iq_host(iq));

    if (mk_iq_type(iq) == MK_TYPE_SET) {
        if (mk_iq_addressee(iq) != MK_TO_SELF)
            mk_iq_reply_error(iq, MK_ERR_FORBIDDEN, NULL);      /* §3.2 */
        else
            set(self, iq, conf);
    } else if (mk_iq_addressee(iq) == MK_TO_HOST) {
        get_server(iq, conf);
    } else {
        get(self, iq);
    }
    return MK_HANDLED;
}

static void
remove_row(struct vcard *self, struct mk_ev_account_remove *ev, struct mk_sql_stmt *stmt)
{
    const struct mk_sql_value values[] = {MK_SQL_V_TEXT(ev->domain), MK_SQL_V_TEXT(ev->user)};

    if (ev->batch)
        self->db->batch_add(ev->batch, stmt, values, MK_COUNT(values));
    else
        self->db->exec(self->db->self, stmt, values, MK_COUNT(values), NULL, NULL, NULL);
}

static void
on_account_remove(struct mk_ev_account_remove *ev, void *arg)
{
    struct vcard *self = arg;

    remove_row(self, ev, self->remove);
    remove_row(self, ev, self->remove_index);
}

/* -- life cycle ----------------------------------------------------------------------------- */

static void
prepare(struct vcard *self)
{
    const struct mk_rdbms *db = self->db;
    struct mk_module *m = self->module;

    self->select =
        db->prepare(db->self, m, "SELECT vcard FROM vcard WHERE server = ? AND username = ?");
    self->upsert = db->prepare(db->self, m,
                               "INSERT INTO vcard (username, server, vcard) VALUES (?, ?, ?) "
                               "ON CONFLICT (server, username) DO UPDATE SET vcard = excluded.vcard");
    self->index = db->prepare(db->self, m, search_sql);
    self->remove = db->prepare(db->self, m, "DELETE FROM vcard WHERE server = ? AND username = ?");
    self->remove_index =
        db->prepare(db->self, m, "DELETE FROM vcard_search WHERE server = ? AND lusername = ?");
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct vcard *self = mk_zalloc(sizeof(*self));

    mk_module_set(m, self);
    self->module = m;
    self->db = mk_rdbms_get(m, err);
    if (!self->db || self->db->schema(self->db->self, m, migrations, err) < 0)
        return -1;
    self->sessions = mk_service_get(m, "sessions", MK_SESSIONS_ABI, err);
    if (!self->sessions || avatar_init(self, err) < 0)
        return -1;
    prepare(self);
    self->refused = mk_counter_new(m, "vcard_refused_total", NULL,
                                   "vCards that were larger than allowed");
    self->added = mk_counter_new(m, "vcard_presence_hashes_total", NULL,
                                 "Presence stanzas that got the hash of a picture");
    /* Early: whoever keeps or forwards presence must see it with the hash. */
    if (mk_slot_register(m, MK_SLOT_SESSION, mk_free, &self->slot) < 0 ||
        mk_on_iq(m, MK_IQ_GET | MK_IQ_SET, MK_TO_HOST | MK_TO_BARE, NS_VCARD, "vCard", on_vcard,
                 self) < 0 ||
        mk_on(m, user_send_presence, MK_PRIO_EARLY, avatar_on_presence, self) < 0 ||
        mk_on(m, account_remove, MK_PRIO_NORMAL, on_account_remove, self) < 0 || vcard_port(self) < 0)
        return mk_fail(err, "a handler could not be registered");
    return vcard_api(self, err);
}

static int
start(struct mk_module *m, struct mk_error *err)
{
    struct vcard *self = mk_module_get(m);

    (void)err;
    mk_auth_backends_get(m, &self->auth);
    return 0;
}

static void
unload(struct mk_module *m)
{
    mk_free(mk_module_get(m));
}

MK_MODULE(.name = "vcard", .version = "1.0",
          .summary = "vCards (XEP-0054) and the picture's hash in presence (XEP-0153)",
          .depends = (const char *const[]){"rdbms", "router", "c2s", NULL},
          .after = (const char *const[]){"auth", "cluster", "graphql", NULL}, .options = options,
          .conf_size = sizeof(struct vcard_conf), .init = init, .start = start, .unload = unload);
