/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * A message for nobody: from the hook message_offline, which is held meanwhile, to the account's home worker, into the
 * database and back. The sender hears of it only when it could not be stored.
 */
#include "config.h"

#include "internal.h"

#define KNOWN_MS 10000          /* an account that exists is believed to for so long */

void
store_log(struct offline *self, const char *what, const struct mk_sql_result *result)
{
    enum mk_sql_status status = self->db->status(result);

    mk_log(self->module, status == MK_SQL_ERROR ? MK_LOG_ERROR : MK_LOG_WARN, "offline.sql",
           "%s failed: %s", what,
           status == MK_SQL_ERROR ? self->db->error(result) : mk_sql_status_name(status));
}

/* -- the end, back on the worker that routed ------------------------------------------------ */

static void
say_why(struct mk_ev_route *ev, enum drop why)
{
    switch (why) {
    case DROP_QUOTA:            /* XEP-0160 §2, step 3 */
        ev->error = MK_ERR_SERVICE_UNAVAILABLE;
        ev->text = "too many messages wait for this user already";
        break;
    case DROP_DATABASE:
    case DROP_BUSY:
        ev->error = MK_ERR_RESOURCE_CONSTRAINT;
        ev->text = "the message could not be stored, try again";
        break;
    default:
        ev->error = MK_ERR_SERVICE_UNAVAILABLE;
    }
}

static void
on_finished(void *arg)
{
    struct store *st = arg;

    if (!st->stored)
        say_why(mk_hold_event(st->hold), st->why);
    mk_resume(&st->hold, st->stored ? MK_HANDLED : MK_DENY);
    mk_jid_unref(&st->jid);
    mk_free(st);
}

static void
finish(struct store *st)
{
    struct offline *self = st->self;

    if (st->stored)
        mk_counter_add(self->stored, 1);
    else
        mk_counter_add(self->dropped[st->why], 1);
    self->lanes[mk_worker_index(mk_worker_self())].pending--;
    mk_stanza_unref(&st->stanza);
    mk_post(self->module, st->origin, on_finished, st);
}

static void
refuse(struct store *st, enum drop why)
{
    st->why = why;
    finish(st);
}

/* -- the database --------------------------------------------------------------------------- */

static void
on_inserted(struct mk_sql_result *result, void *arg)
{
    struct store *st = arg;
    struct offline *self = st->self;
    struct account *a = st->account;

    a->busy--;
    if (self->db->status(result) != MK_SQL_OK) {
        store_log(self, "storing a message", result);
        refuse(st, DROP_DATABASE);
    } else if (self->db->affected(result) == 0) {
        refuse(st, DROP_QUOTA);
    } else {
        st->stored = true;
        finish(st);
        flush_if_online(a);     /* why: see flush.c */
    }
    account_settle(a);
}

/*
 * When it was sent first, as a µs number that never repeats or goes back on this worker, so that messages of one
 * sender keep their order even when the clock is set. A message that comes back from a session that ended
 * keeps the time it had.
 */
static int64_t
stamp(struct store *st)
{
    struct lane *lane = st->account->lane;
    int64_t now = mk_time_us(), first = rule_stamp(st->stanza, mk_host_name(st->host));

    if (now <= lane->last_stamp)
        now = lane->last_stamp + 1;
    lane->last_stamp = now;
    return first >= 0 && first < now ? first : now;
}

static struct mk_sql_value
expiry(const struct offline *self, const struct mk_host *host, const struct mk_stanza *message, int64_t since)
{
    int64_t wish = rule_expiry(message);
    int64_t longest = (int64_t)conf_of(self, host)->max_age * 1000;

    if (wish < 0 || (longest && longest < wish))
        wish = longest ? longest : -1;
    return wish < 0 ? MK_SQL_V_NULL : MK_SQL_V_INT(since + wish);
}

/* The sender as the column takes it: cut where it does not fit. What counts is in the packet. */
static struct mk_str
from_column(const struct mk_jid *from)
{
    struct mk_str text = mk_jid_text(from);
    size_t chars = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (((unsigned char)text.p[i] & 0xc0) != 0x80 && ++chars > COLUMN_CHARS)
            text.len = i;
    }
    return text;
}

void
store_values(const struct offline *self, struct mk_host *host, const struct mk_jid *account,
             const struct mk_stanza *message, int64_t since, int64_t expire_from, int64_t max_messages, struct mk_buf *xml,
             struct mk_sql_value *values)
{
    const struct mk_sql_value server = MK_SQL_V_TEXT(mk_jid_domain(account));
    const struct mk_sql_value user = MK_SQL_V_TEXT(mk_jid_local(account));

    mk_stanza_write(message, xml);
    memcpy(values, (struct mk_sql_value[STORE_VALUES]){
        MK_SQL_V_INT(since), expiry(self, host, message, expire_from), server, user,
        MK_SQL_V_TEXT(from_column(mk_stanza_from(message))), MK_SQL_V_TEXT(mk_buf_str(xml)), server, user,
        MK_SQL_V_INT(max_messages)}, STORE_VALUES * sizeof(*values));
}

static void
insert(struct store *st)
{
    struct offline *self = st->self;
    struct mk_sql_value values[STORE_VALUES];
    struct mk_buf xml = {0};
    int64_t since = stamp(st);

    store_values(self, st->host, st->jid, st->stanza, since, since, conf_of(self, st->host)->max_messages, &xml, values);
    st->account->busy++;
    self->db->exec(self->db->self, self->sql.insert, values, STORE_VALUES, st->account->key, on_inserted, st);
    mk_buf_release(&xml);
}

/* -- does the account exist? ---------------------------------------------------------------- */

static void
decide(struct account *a, bool exists)
{
    struct store *st = a->first;

    a->first = NULL;
    a->last = &a->first;
    if (exists)
        a->known_until = mk_now_ms() + KNOWN_MS;
    while (st) {
        struct store *next = st->next;

        if (exists)
            insert(st);
        else
            refuse(st, a->unsure ? DROP_DATABASE : DROP_NO_ACCOUNT);
        st = next;
    }
    account_settle(a);
}

static void
answered(struct account *a)
{
    if (--a->asking == 0)
        decide(a, a->found);
}

static void
on_lookup(enum mk_auth_result result, const struct mk_credentials *cred, void *arg)
{
    struct account *a = arg;

    (void)cred;
    mk_module_leave(a->self->module);
    if (result == MK_AUTH_OK)
        a->found = true;
    else if (result != MK_AUTH_NO_ACCOUNT)
        a->unsure = true;
    answered(a);
}

/* All backends at once: they may answer before `lookup` returns. */
static void
ask(struct account *a)
{
    struct offline *self = a->self;

    a->found = a->unsure = false;
    a->asking = 1;
    for (size_t i = 0; i < AUTH_MAX; i++) {
        const struct mk_auth *auth = __atomic_load_n(&self->auth[i], __ATOMIC_ACQUIRE);

        if (!auth)
            break;
        a->asking++;
        mk_module_enter(self->module);
        auth->lookup(auth->self, a->host, mk_jid_local(a->jid), on_lookup, a);
    }
    answered(a);
}

/* -- the way in ----------------------------------------------------------------------------- */

static void
on_arrived(void *arg)
{
    struct store *st = arg;
    struct offline *self = st->self;
    struct lane *lane = &self->lanes[mk_worker_index(mk_worker_self())];
    struct account *a;

    if (lane->pending++ >= conf_of(self, NULL)->max_pending) {
        refuse(st, DROP_BUSY);
        return;
    }
    a = account_get(self, st->jid, st->host);
    st->account = a;
    if (!a->asking && a->known_until > mk_now_ms()) {
        insert(st);
        return;
    }
    *a->last = st;
    a->last = &st->next;
    if (a->asking)
        return;
    ask(a);
}

enum mk_verdict
store_on_offline(struct mk_ev_route *ev, void *arg)
{
    struct offline *self = arg;
    enum rule rule = rule_of(ev->stanza);
    struct mk_hold *hold;
    struct store *st;

    if (rule != RULE_KEEP || !ev->host) {
        mk_counter_add(self->dropped[DROP_RULE], 1);
        return rule == RULE_DROP ? MK_HANDLED : MK_CONTINUE;
    }
    hold = mk_hold(&ev->head);
    if (!hold) {
        mk_counter_add(self->dropped[DROP_BUSY], 1);
        say_why(ev, DROP_BUSY);
        return MK_DENY;
    }
    st = mk_zalloc(sizeof(*st));
    st->self = self;
    st->hold = hold;
    st->origin = mk_worker_self();
    st->stanza = mk_stanza_ref(ev->stanza);
    st->jid = mk_jid_bare_new(mk_stanza_to(ev->stanza));
    st->host = ev->host;
    mk_post(self->module, account_home(st->jid), on_arrived, st);
    return MK_HANDLED;
}
