/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Last activity (XEP-0012): when an account was online last, for those who may see its presence, and how long the
 * server has been running. What a client says of itself it answers itself: that request has its full JID.
 */
#include "config.h"

#include "internal.h"

#define NS_LAST "jabber:iq:last"

static const struct mk_option options[] = {
    MK_OPTION_SIZE(struct last_conf, max_status, "1K", "0", "64K",
                   MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                   "bytes kept of the status that a user leaves behind"),
    MK_OPTION_INT(struct last_conf, max_listed, "10000", "1", "1000000", MK_OPT_RELOADABLE,
                  "users that listOldUsers may list, and removeOldUsers may remove at once"),
    MK_OPTION_END};

/* A removal that took longer has failed. */
#define REMOVAL_MS 60000

MK_SQL_FILE(last_001, "001_last.sql");

static const struct mk_sql_migration migrations[] = {{1, last_001}, {0, NULL}};

struct request {
    struct last *self;
    struct mk_iq *iq;
};

static struct mk_iq *
end_request(struct request *r)
{
    struct mk_iq *iq = r->iq;

    mk_free(r);
    return iq;
}

/* -- answers -------------------------------------------------------------------------------- */

static void
reply(struct mk_iq *iq, int64_t seconds, struct mk_str status)
{
    struct mk_xml *x = mk_xml_new(NULL);

    mk_xml_open(x, "query", NS_LAST);
    mk_xml_attr_int(x, "seconds", seconds < 0 ? 0 : seconds);
    mk_xml_text(x, status);
    mk_xml_close(x);
    mk_iq_reply_result(iq, x);
}

static void
on_selected(struct mk_sql_result *result, void *arg)
{
    struct request *r = arg;
    struct last *self = r->self;
    struct mk_iq *iq = end_request(r);

    switch (self->db->status(result)) {
    case MK_SQL_OK:
        if (self->db->next(result))
            reply(iq, mk_time_us() / 1000000 - self->db->get_int(result, 0),
                  self->db->get_text(result, 1));
        else
            mk_iq_reply_error(iq, MK_ERR_ITEM_NOT_FOUND, "never seen");
        break;
    case MK_SQL_ERROR:
        mk_log(self->module, MK_LOG_ERROR, "last.sql", "last activity of '%.*s' not read: %s",
               MK_STR_ARG(mk_jid_bare(mk_iq_account(iq))), self->db->error(result));
        mk_iq_reply_error(iq, MK_ERR_INTERNAL_SERVER_ERROR, NULL);
        break;
    default:
        mk_iq_reply_error(iq, MK_ERR_RESOURCE_CONSTRAINT, "the storage does not answer, try again");
    }
}

static bool
find_available(const struct mk_resource *r, void *arg)
{
    *(bool *)arg = (r->flags & MK_RESOURCE_AVAILABLE) != 0;
    return !*(bool *)arg;
}

bool
last_is_available(struct last *self, const struct mk_jid *account)
{
    bool found = false;

    self->sessions->each(self->sessions->self, account, find_available, &found);
    return found;
}

/* Who asks may know. `r` has the held request. */
static void
answer(struct request *r)
{
    struct last *self = r->self;
    const struct mk_jid *account = mk_iq_account(r->iq);
    char *key;

    if (last_is_available(self, account)) {
        reply(end_request(r), 0, MK_STR(""));
        return;
    }
    key = mk_str_dup(mk_jid_bare(account));
    mk_sql_exec(self->db, self->select, key, on_selected, r, MK_SQL_V_TEXT(mk_jid_domain(account)),
                MK_SQL_V_TEXT(mk_jid_local(account)));
    mk_free(key);
}

static void
on_item(enum mk_roster_result result, const struct mk_roster_item *item, void *arg)
{
    struct request *r = arg;

    if (result == MK_ROSTER_OK && (item->subscription & MK_SUB_FROM))
        answer(r);
    else if (result == MK_ROSTER_UNAVAILABLE)
        mk_iq_reply_error(end_request(r), MK_ERR_RESOURCE_CONSTRAINT,
                          "the storage does not answer, try again");
    else
        mk_iq_reply_error(end_request(r), MK_ERR_FORBIDDEN, NULL);
}

/* -- requests ------------------------------------------------------------------------------- */

static enum mk_verdict
on_account(struct mk_iq *iq, void *arg)
{
    struct last *self = arg;
    const struct mk_roster *roster = __atomic_load_n(&self->roster, __ATOMIC_ACQUIRE);
    bool own = mk_jid_same_bare(mk_iq_from(iq), mk_iq_account(iq));
    struct mk_jid *asks;
    struct request *r;

    if (!own && !roster) {
        mk_iq_reply_error(iq, MK_ERR_FORBIDDEN, NULL);
        return MK_HANDLED;
    }
    r = mk_alloc(sizeof(*r));
    *r = (struct request){self, mk_iq_hold(iq)};
    if (own) {
        answer(r);
        return MK_HANDLED;
    }
    asks = mk_jid_bare_new(mk_iq_from(r->iq));
    roster->item(roster->self, mk_iq_account(r->iq), asks, on_item, r);
    mk_jid_unref(&asks);
    return MK_HANDLED;
}

static enum mk_verdict
on_host(struct mk_iq *iq, void *arg)
{
    const struct last *self = arg;

    reply(iq, (int64_t)((mk_now_ms() - self->started) / 1000), MK_STR(""));
    return MK_HANDLED;
}

/* -- keeping -------------------------------------------------------------------------------- */

struct mk_str
last_cut(struct mk_str text, size_t max)
{
    if (text.len > max) {
        text.len = max;
        while (text.len && ((unsigned char)text.p[text.len] & 0xc0) == 0x80)
            text.len--;
    }
    return text;
}

static struct mk_str
status_of(const struct mk_stanza *st, size_t max)
{
    const struct mk_node *status = st ? mk_stanza_child(st, "status", MK_NS_CLIENT) : NULL;

    return last_cut(status ? mk_node_text(status) : MK_STR(""), max);
}

static void
on_kept(struct mk_sql_result *result, void *arg)
{
    struct last *self = arg;

    if (self->db->status(result) != MK_SQL_OK)
        mk_log(self->module, MK_LOG_WARN, "last.lost", "a last activity was not kept: %s",
               self->db->status(result) == MK_SQL_ERROR
                   ? self->db->error(result)
                   : mk_sql_status_name(self->db->status(result)));
}

static bool
is_being_removed(struct last *self, const struct mk_session *s)
{
    uintptr_t since = (uintptr_t)mk_session_slot(s, self->slot);

    return since && mk_now_ms() - since < REMOVAL_MS;
}

static void
on_unavailable(struct mk_ev_presence *ev, void *arg)
{
    struct last *self = arg;
    const struct mk_jid *jid = mk_session_jid(ev->session);
    const struct last_conf *conf = mk_module_conf(self->module, mk_session_host(ev->session));
    char *key;

    if (last_is_available(self, jid) || is_being_removed(self, ev->session))
        return;
    key = mk_str_dup(mk_jid_bare(jid));
    mk_sql_exec(self->db, self->upsert, key, on_kept, self, MK_SQL_V_TEXT(mk_jid_domain(jid)),
                MK_SQL_V_TEXT(mk_jid_local(jid)), MK_SQL_V_INT(mk_time_us() / 1000000),
                MK_SQL_V_TEXT(status_of(ev->stanza, conf->max_status)));
    mk_free(key);
}

static void
mark(struct mk_session *s, void *arg)
{
    struct last *self = arg;

    if (s)
        mk_session_slot_set(s, self->slot, (void *)(uintptr_t)mk_now_ms());
}

static bool
mark_resource(const struct mk_resource *r, void *arg)
{
    struct last *self = arg;

    if (r->node == 0)
        mk_session_post(self->module, r->session, mark, self);
    return true;
}

/* Its sessions end because of it: they must not leave a row behind. */
static void
mark_sessions(struct last *self, const struct mk_ev_account_remove *ev)
{
    struct mk_jid *account = mk_jid_new(ev->user, ev->domain, (struct mk_str){NULL, 0});

    if (account)
        self->sessions->each(self->sessions->self, account, mark_resource, self);
    mk_jid_unref(&account);
}

static void
on_account_remove(struct mk_ev_account_remove *ev, void *arg)
{
    struct last *self = arg;
    const struct mk_sql_value values[] = {MK_SQL_V_TEXT(ev->domain), MK_SQL_V_TEXT(ev->user)};

    mark_sessions(self, ev);
    if (ev->batch)
        self->db->batch_add(ev->batch, self->remove, values, MK_COUNT(values));
    else
        self->db->exec(self->db->self, self->remove, values, MK_COUNT(values), NULL, NULL, NULL);
}

/* -- life cycle ----------------------------------------------------------------------------- */

static void
nothing_to_free(void *data)
{
    (void)data;
}

static void
prepare(struct last *self)
{
    const struct mk_rdbms *db = self->db;
    struct mk_module *m = self->module;

    self->select = db->prepare(
        db->self, m, "SELECT seconds, state FROM last WHERE server = ? AND username = ?");
    self->upsert = db->prepare(
        db->self, m,
        "INSERT INTO last (server, username, seconds, state) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (server, username) DO UPDATE SET seconds = excluded.seconds, "
        "state = excluded.state");
    self->remove = db->prepare(db->self, m, "DELETE FROM last WHERE server = ? AND username = ?");
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct last *self = mk_zalloc(sizeof(*self));

    mk_module_set(m, self);
    self->module = m;
    self->started = mk_now_ms();
    self->db = mk_rdbms_get(m, err);
    if (!self->db || self->db->schema(self->db->self, m, migrations, err) < 0)
        return -1;
    self->sessions = mk_service_get(m, "sessions", MK_SESSIONS_ABI, err);
    if (!self->sessions)
        return -1;
    prepare(self);
    if (mk_slot_register(m, MK_SLOT_SESSION, nothing_to_free, &self->slot) < 0 ||
        mk_on_iq(m, MK_IQ_GET, MK_TO_BARE, NS_LAST, "query", on_account, self) < 0 ||
        mk_on_iq(m, MK_IQ_GET, MK_TO_HOST, NS_LAST, "query", on_host, self) < 0 ||
        mk_on(m, presence_unavailable, MK_PRIO_NORMAL, on_unavailable, self) < 0 ||
        mk_on(m, account_remove, MK_PRIO_NORMAL, on_account_remove, self) < 0)
        return mk_fail(err, "a handler could not be registered");
    return last_api(self, err);
}

static int
start(struct mk_module *m, struct mk_error *err)
{
    struct last *self = mk_module_get(m);

    (void)err;
    mk_auth_backends_get(m, &self->auth);
    /* Workers may be at work with us already. */
    __atomic_store_n(&self->roster, mk_service_nth(m, "roster", MK_ROSTER_ABI, 0), __ATOMIC_RELEASE);
    return 0;
}

static void
unload(struct mk_module *m)
{
    mk_free(mk_module_get(m));
}

MK_MODULE(.name = "last", .version = "1.0", .summary = "last activity of accounts (XEP-0012), uptime",
          .depends = (const char *const[]){"rdbms", "router", NULL},
          .after = (const char *const[]){"roster", "presence", "auth", "graphql", NULL}, .options = options,
          .conf_size = sizeof(struct last_conf), .init = init, .start = start, .unload = unload);
