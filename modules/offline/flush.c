/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Stored messages go to a session that came online: a page is read, given to the session, removed from the
 * table, and then the next one, so that only a page is in memory and only what was delivered is removed.
 *
 * Once and not twice: an account has one home worker on a node, which runs one flush of it at a time; a second session
 * that comes online meanwhile waits for its end and finds the table empty. Between nodes the key (account,
 * "flush") in the table "offline" decides. The rows go before the next page is read; while the database refuses that, it
 * is tried again and nothing else is delivered. Only a node that is killed between the delivery of a
 * page and the commit of its removal delivers it again.
 *
 * Nothing stays behind: a session is in the router's table, available and with its priority, before its flush reads the
 * first page. A message is stored because the router found no such session. Say that its INSERT commits
 * after the last SELECT of a flush was answered, so that the flush missed it. Then the callback of the INSERT runs after the
 * session was entered in the table, and it looks there (flush_if_online): it finds the session, or the session
 * has gone and the message rightly stays. Either a flush runs, which is told to run once more, or a new one
 * begins. On the same node this is all, since the table is read where it is written. On another node the entry may arrive
 * after that look; so an account is remembered for some seconds after its last message and looked at again
 * (account.c). When the session turns out to live on another node, that node is asked to flush by a record (account,
 * "kick") in the table "offline", which is removed at once.
 */
#include "config.h"

#include "internal.h"

#define NS_PING "urn:xmpp:ping"
#define RETRY_FIRST_MS 1000
#define RETRY_LAST_MS 30000
#define CLAIM_MS 5000
#define RETARGETS_MAX 8         /* sessions that may turn out not to want the messages */

struct message {
    int64_t id;
    struct mk_stanza *stanza;   /* NULL: expired, only to be removed */
};

/* The circle that a flush goes through; each step begins with the answer to the one before. */
enum step {
    STEP_SELECT,                /* read a page; the first time only to see whether there is one */
    STEP_CLAIM,                 /* among the nodes */
    STEP_DELIVER,
    STEP_REMOVE,
    STEP_CONFIRM,               /* let the client catch up */
    STEP_RETARGET,              /* the session does not take them: is there another? */
    STEP_END,
};

struct flush {
    struct account *account;
    void (*go)(struct flush *f, enum step step);
    mk_session_id target;
    bool claimed, claim_asked;
    bool more;                  /* there are rows behind this page */
    int64_t after_stamp, after_id;      /* the place of the last row read */
    struct message *page;
    size_t count, delivered;
    size_t rows;                /* of a page: fewer when so many were too much for one answer */
    size_t unconfirmed;         /* bytes since the client last answered a ping */
    unsigned retargets;
    struct mk_timer *timer;     /* of a retry; not ours once it has fired */
    uint64_t retry_ms;
    enum step retry_step;
    bool confirmed;
};

static struct offline *
self_of(const struct flush *f)
{
    return f->account->self;
}

static void
clear_page(struct flush *f)
{
    for (size_t i = 0; i < f->count; i++)
        mk_stanza_unref(&f->page[i].stanza);
    mk_free(f->page);
    f->page = NULL;
    f->count = f->delivered = 0;
}

void
flush_free(struct flush *f)
{
    if (!f)
        return;
    clear_page(f);
    mk_free(f);
}

/* -- who can take messages ------------------------------------------------------------------ */

struct choice {
    mk_session_id not;          /* has been tried */
    struct mk_resource best;
    bool found;
};

static bool
better(const struct mk_resource *r, void *arg)
{
    struct choice *c = arg;

    if (!(r->flags & MK_RESOURCE_AVAILABLE) || r->priority < 0 || r->session == c->not)
        return true;
    /* One of this node, one that is connected, one of higher priority: in this order. */
    if (!c->found || (c->best.node != 0 && r->node == 0) ||
        ((c->best.node == 0) == (r->node == 0) &&
         (((c->best.flags & MK_RESOURCE_DETACHED) && !(r->flags & MK_RESOURCE_DETACHED)) ||
          (((c->best.flags ^ r->flags) & MK_RESOURCE_DETACHED) == 0 &&
           r->priority > c->best.priority))))
        c->best = *r;
    c->found = true;
    return true;
}

static bool
choose(const struct account *a, mk_session_id not, struct mk_resource *out)
{
    const struct mk_sessions *sessions = a->self->sessions;
    struct choice c = {.not = not};

    sessions->each(sessions->self, a->jid, better, &c);
    *out = c.best;
    return c.found;
}

/* -- the end, and trying again --------------------------------------------------------------- */

static struct mk_str
group_of(const struct account *a)
{
    return mk_jid_bare(a->jid);
}

static void
end(struct flush *f)
{
    struct account *a = f->account;
    mk_session_id again = a->again;

    if (f->claim_asked)
        a->self->tables->remove(a->self->table, group_of(a), MK_STR("flush"), 0, NULL, NULL);
    a->flush = NULL;
    a->again = 0;
    flush_free(f);
    if (again && !is_stopping(a->self))
        flush_begin(a, again);
    else
        account_settle(a);
}

static void
on_retry(void *arg)
{
    struct flush *f = arg;
    struct mk_resource any;

    if (f->retry_step == STEP_SELECT && !choose(f->account, 0, &any))
        f->go(f, STEP_END);
    else
        f->go(f, f->retry_step);
}

static void
retry(struct flush *f, enum step step)
{
    f->retry_step = step;
    f->retry_ms = f->retry_ms ? f->retry_ms * 2 : RETRY_FIRST_MS;
    if (f->retry_ms > RETRY_LAST_MS)
        f->retry_ms = RETRY_LAST_MS;
    /* Nobody stops it: the flush lives until it fires, and with the module the core takes it. */
    f->timer = mk_timer_new(self_of(f)->module, f->retry_ms, on_retry, f);
}

/* -- a page --------------------------------------------------------------------------------- */

static struct mk_xml *
delay_of(const struct mk_host *host, int64_t stamp)
{
    struct mk_xml *x = mk_xml_new(NULL);
    char text[MK_TIME_TEXT_MAX];

    mk_time_text(stamp, text);
    mk_xml_open(x, "delay", NS_DELAY);
    mk_xml_attr(x, "from", mk_host_name(host));
    mk_xml_attr(x, "stamp", text);
    mk_xml_close(x);
    return x;
}

/* With addresses: a packet that another server wrote may lack them. */
static struct mk_stanza *
addressed(struct mk_stanza *taken, struct mk_str from_column, const struct mk_jid *account)
{
    const struct mk_jid *to = mk_stanza_to(taken);
    struct mk_jid *from = mk_jid_ref(mk_stanza_from(taken));
    struct mk_stanza *made = NULL;

    if (!from)
        from = mk_jid_parse(from_column);
    if (from && mk_stanza_kind(taken) == MK_MESSAGE)
        made = mk_stanza_readdress(taken, from, to ? to : account);
    mk_jid_unref(&from);
    mk_stanza_unref(&taken);
    return made;
}

struct mk_stanza *
flush_read_row(struct offline *self, const struct mk_sql_result *result, const struct mk_jid *account,
               const struct mk_host *host)
{
    const struct mk_rdbms *db = self->db;
    struct mk_stanza *st = mk_stanza_parse(db->get_text(result, 4)), *stamped;

    if (st)
        st = addressed(st, db->get_text(result, 3), account);
    if (!st) {
        mk_counter_add(self->dropped[DROP_UNREADABLE], 1);
        mk_log(self->module, MK_LOG_ERROR, "offline.row",
               "stored message %lld of '%.*s' is not a message: left in the table",
               (long long)db->get_int(result, 0), MK_STR_ARG(mk_jid_bare(account)));
        return NULL;
    }
    if (rule_stamp(st, mk_host_name(host)) >= 0)
        return st;              /* it was delivered before, to a session that did not get it */
    stamped = mk_stanza_append(st, delay_of(host, db->get_int(result, 1)));
    mk_stanza_unref(&st);
    return stamped;
}

/* Puts the current row into the page; the bytes of it. */
static size_t
read_row(struct flush *f, const struct mk_sql_result *result, int64_t now)
{
    struct offline *self = self_of(f);
    const struct mk_rdbms *db = self->db;
    struct message *m = &f->page[f->count];

    f->after_id = db->get_int(result, 0);
    f->after_stamp = db->get_int(result, 1);
    *m = (struct message){.id = f->after_id};
    if (!db->is_null(result, 2) && db->get_int(result, 2) <= now) {
        mk_counter_add(self->dropped[DROP_EXPIRED], 1);
        f->count++;
        return 0;
    }
    m->stanza = flush_read_row(self, result, f->account->jid, f->account->host);
    if (!m->stanza)
        return 0;
    f->count++;
    return mk_stanza_size(m->stanza);
}

/* Reads what fits. */
static void
read_page(struct flush *f, struct mk_sql_result *result)
{
    const struct mk_rdbms *db = self_of(f)->db;
    uint64_t window = conf_of(self_of(f), f->account->host)->window;
    size_t rows = db->rows(result), read = 0;
    int64_t now = mk_time_us();

    clear_page(f);
    f->page = mk_alloc((rows ? rows : 1) * sizeof(*f->page));
    while ((read == 0 || f->unconfirmed < window) && db->next(result)) {
        f->unconfirmed += read_row(f, result, now);
        read++;
    }
    f->more = read < rows || rows >= f->rows;
}

/* -- the steps ------------------------------------------------------------------------------ */

static void
on_selected(struct mk_sql_result *result, void *arg)
{
    struct flush *f = arg;
    struct offline *self = self_of(f);

    if (self->db->status(result) == MK_SQL_ERROR && f->rows > 1) {
        f->rows = f->rows / 4 + 1;      /* perhaps more bytes than an answer may have */
        f->go(f, STEP_SELECT);
        return;
    }
    if (self->db->status(result) != MK_SQL_OK) {
        store_log(self, "reading stored messages", result);
        retry(f, STEP_SELECT);
        return;
    }
    f->retry_ms = 0;
    if (!f->claimed) {
        f->go(f, self->db->rows(result) ? STEP_CLAIM : STEP_END);
        return;
    }
    read_page(f, result);
    if (f->count)
        f->go(f, STEP_DELIVER);
    else
        f->go(f, f->more ? STEP_SELECT : STEP_END);     /* no row that could be read */
}

static void
select_page(struct flush *f)
{
    struct account *a = f->account;
    struct offline *self = a->self;

    mk_sql_exec(self->db, self->sql.page, a->key, on_selected, f,
                MK_SQL_V_TEXT(mk_jid_domain(a->jid)), MK_SQL_V_TEXT(mk_jid_local(a->jid)),
                MK_SQL_V_INT(f->after_stamp), MK_SQL_V_INT(f->after_stamp),
                MK_SQL_V_INT(f->after_id),
                MK_SQL_V_INT(f->claimed ? (int64_t)f->rows : 1));
}

/* Is the claim one of this node? Then it is left from a flush that ended badly: only one runs here. */
static bool
is_own_claim(const struct account *a)
{
    const struct mk_tables *tables = a->self->tables;
    struct mk_record r;

    return tables->find(a->self->table, group_of(a), MK_STR("flush"), &r) && r.node == 0;
}

static void
on_claimed(enum mk_table_result result, void *arg)
{
    struct flush *f = arg;

    mk_module_leave(self_of(f)->module);
    if (result == MK_TABLE_TAKEN)
        f->claim_asked = false;
    f->claimed = result == MK_TABLE_OK || is_own_claim(f->account);
    f->claim_asked |= f->claimed;
    if (f->claimed)
        f->go(f, STEP_SELECT);
    else
        retry(f, STEP_SELECT);
}

static void
claim(struct flush *f)
{
    struct offline *self = self_of(f);

    f->claim_asked = true;
    mk_module_enter(self->module);
    self->tables->claim(self->table, group_of(f->account), MK_STR("flush"), MK_STR(""), CLAIM_MS,
                        on_claimed, f);
}

static void
on_delivered(void *arg)
{
    struct flush *f = arg;

    f->go(f, f->delivered ? STEP_REMOVE : STEP_RETARGET);
}

/* Does this session take stored messages now? On its worker. */
static bool
wants(struct offline *self, const struct mk_session *s)
{
    struct mk_resource r;

    if (!mk_session_is_bound(s) || mk_session_slot(s, self->slot))
        return false;
    self->sessions->get(self->sessions->self, s, &r);
    return r.session == mk_session_get_id(s) && (r.flags & MK_RESOURCE_AVAILABLE) &&
           r.priority >= 0;
}

/* On the session's worker, to which the flush belongs until on_delivered. */
static void
deliver_page(struct mk_session *s, void *arg)
{
    struct flush *f = arg;
    struct offline *self = self_of(f);

    if (s && wants(self, s)) {
        for (size_t i = 0; i < f->count && !mk_session_is_closed(s); i++) {
            if (f->page[i].stanza) {
                mk_session_deliver(s, f->page[i].stanza);
                mk_counter_add(self->delivered, 1);
            }
            f->delivered = i + 1;
        }
    }
    mk_post(self->module, account_home(f->account->jid), on_delivered, f);
}

static void
on_removed(struct mk_sql_result *result, void *arg)
{
    struct flush *f = arg;
    struct offline *self = self_of(f);
    enum step next = STEP_SELECT;

    if (self->db->status(result) != MK_SQL_OK) {
        store_log(self, "removing delivered messages", result);
        retry(f, STEP_REMOVE);
        return;
    }
    f->retry_ms = 0;
    if (f->delivered < f->count)
        next = STEP_RETARGET;
    else if (!f->more)
        next = STEP_END;
    else if (f->unconfirmed >= conf_of(self, f->account->host)->window / 2)
        next = STEP_CONFIRM;
    f->go(f, next);
}

static void
remove_page(struct flush *f)
{
    struct account *a = f->account;
    const struct mk_rdbms *db = a->self->db;
    struct mk_sql_batch *batch = db->batch(db->self, a->self->module);

    for (size_t from = 0; from < f->delivered; from += DELETE_AT_ONCE) {
        struct mk_sql_value values[2 + DELETE_AT_ONCE] = {MK_SQL_V_TEXT(mk_jid_domain(a->jid)),
                                                          MK_SQL_V_TEXT(mk_jid_local(a->jid))};

        /* The last id fills what is left over. */
        for (size_t i = 0; i < DELETE_AT_ONCE; i++) {
            size_t at = from + i < f->delivered ? from + i : f->delivered - 1;

            values[2 + i] = MK_SQL_V_INT(f->page[at].id);
        }
        db->batch_add(batch, a->self->sql.remove, values, MK_COUNT(values));
    }
    db->batch_run(batch, a->key, on_removed, f);
}

static void
on_confirmed(void *arg)
{
    struct flush *f = arg;

    f->unconfirmed = 0;
    f->go(f, f->confirmed ? STEP_SELECT : STEP_RETARGET);
}

static void
on_pong(struct mk_stanza *answer, void *arg)
{
    struct flush *f = arg;

    f->confirmed = answer != NULL;
    mk_post(self_of(f)->module, account_home(f->account->jid), on_confirmed, f);
}

/* On the session's worker. Whatever the client answers, it has read what came before. */
static void
ping(struct mk_session *s, void *arg)
{
    struct flush *f = arg;
    struct offline *self = self_of(f);
    struct mk_xml *x;
    struct mk_jid *from;

    if (!s || !mk_session_is_bound(s)) {
        on_pong(NULL, f);
        return;
    }
    x = mk_xml_new(NULL);
    mk_xml_leaf(x, "ping", NS_PING, MK_STR(""));
    from = mk_jid_parse(mk_str_of(mk_host_name(f->account->host)));
    mk_iq_request(self->module, MK_TYPE_GET, from, mk_session_jid(s), x,
                  conf_of(self, f->account->host)->ping_timeout, on_pong, f);
    mk_jid_unref(&from);
}

/* From the start again: what was not delivered is still in the table. */
static void
retarget(struct flush *f)
{
    struct mk_resource other;

    clear_page(f);
    if (f->retargets++ == RETARGETS_MAX || !choose(f->account, f->target, &other) ||
        other.node != 0) {
        end(f);
        return;
    }
    f->target = other.session;
    f->after_stamp = INT64_MIN;
    f->unconfirmed = 0;
    select_page(f);
}

static void
go(struct flush *f, enum step step)
{
    struct offline *self = self_of(f);

    switch (step) {
    case STEP_SELECT:
        if (is_stopping(self))
            end(f);
        else
            select_page(f);
        break;
    case STEP_CLAIM:
        claim(f);
        break;
    case STEP_DELIVER:
        mk_session_post(self->module, f->target, deliver_page, f);
        break;
    case STEP_REMOVE:
        remove_page(f);
        break;
    case STEP_CONFIRM:
        mk_session_post(self->module, f->target, ping, f);
        break;
    case STEP_RETARGET:
        retarget(f);
        break;
    case STEP_END:
        end(f);
    }
}

/* -- beginning ------------------------------------------------------------------------------ */

void
flush_begin(struct account *a, mk_session_id target)
{
    struct flush *f;

    if (a->flush) {
        a->again = target;
        return;
    }
    f = mk_zalloc(sizeof(*f));
    f->account = a;
    f->go = go;
    f->target = target;
    f->after_stamp = INT64_MIN;
    f->rows = (size_t)conf_of(a->self, a->host)->page_size;
    a->flush = f;
    select_page(f);
}

void
flush_if_online(struct account *a)
{
    struct offline *self = a->self;
    struct mk_resource r;

    if (!choose(a, 0, &r))
        return;
    if (r.node == 0) {
        flush_begin(a, r.session);
        return;
    }
    self->tables->insert(self->table, group_of(a), MK_STR("kick"), MK_STR(""), 0, NULL, NULL);
    self->tables->remove(self->table, group_of(a), MK_STR("kick"), 0, NULL, NULL);
}

/* A wish to flush, on its way to the home worker. */
struct wish {
    struct offline *self;
    struct mk_jid *jid;
    struct mk_host *host;
    mk_session_id target;       /* 0: whichever lives here */
};

static void
on_wish(void *arg)
{
    struct wish *w = arg;
    struct account *a = account_get(w->self, w->jid, w->host);
    struct mk_resource r;

    if (!w->target && choose(a, 0, &r) && r.node == 0)
        w->target = r.session;
    if (w->target)
        flush_begin(a, w->target);
    else
        account_settle(a);
    mk_jid_unref(&w->jid);
    mk_free(w);
}

static void
wish(struct offline *self, const struct mk_jid *jid, struct mk_host *host, mk_session_id target)
{
    struct wish *w = mk_alloc(sizeof(*w));

    *w = (struct wish){self, mk_jid_bare_new(jid), host, target};
    mk_post(self->module, account_home(jid), on_wish, w);
}

void
flush_on_available(struct mk_ev_presence *ev, void *arg)
{
    struct offline *self = arg;

    if (ev->priority < 0 || (!ev->initial && ev->old_priority >= 0) ||
        mk_session_slot(ev->session, self->slot))
        return;
    wish(self, mk_session_jid(ev->session), mk_session_host(ev->session),
         mk_session_get_id(ev->session));
}

void
flush_on_table(const struct mk_record *now, const struct mk_record *old, void *arg)
{
    struct offline *self = arg;
    struct mk_jid *jid;
    struct mk_host *host;

    (void)old;
    if (!now || now->node == 0 || !mk_str_is(now->key, "kick"))
        return;
    jid = mk_jid_parse(now->group);
    host = jid ? mk_host_find(mk_jid_domain(jid)) : NULL;
    if (host)
        wish(self, jid, host, 0);
    mk_jid_unref(&jid);
}
