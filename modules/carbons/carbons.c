/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Message carbons (XEP-0280): every device of a user sees both sides of a conversation. */
#include <meerkat/c2s.h>
#include <meerkat/meerkat.h>
#include <meerkat/router.h>
#include <meerkat/sm.h>
#include <meerkat/sasl.h>
#include <meerkat/tables.h>

#define NS_CARBONS "urn:xmpp:carbons:2"
#define NS_FORWARD "urn:xmpp:forward:0"
#define NS_MUC_USER "http://jabber.org/protocol/muc#user"

struct carbons {
    struct mk_module *module;
    const struct mk_sessions *sessions;
    const struct mk_tables *tables;
    unsigned slot;              /* of a session that wants copies: a pointer to this */
    int64_t enabled;            /* atomic: such sessions on this node */
    struct mk_counter copies[2];
};

enum direction { SENT, RECEIVED };
static const char *const names[] = {"sent", "received"};

/* -- which messages (§6) --------------------------------------------------------------------- */

static bool
is_invitation(const struct mk_stanza *st)
{
    const struct mk_node *x;

    if (mk_stanza_has(st, "x", "jabber:x:conference"))
        return true;
    x = mk_stanza_child(st, "x", NS_MUC_USER);
    return x && mk_node_child(x, "invite", NS_MUC_USER);
}

/* Receipts (XEP-0184), chat states (0085), markers (0333): conversation without words. */
static bool
is_conversation(const struct mk_stanza *st)
{
    static const char *const payloads[] = {"urn:xmpp:receipts",
                                           "http://jabber.org/protocol/chatstates",
                                           "urn:xmpp:chat-markers:0"};

    if (mk_stanza_has(st, "body", MK_NS_CLIENT))
        return true;
    for (size_t i = 0; i < MK_COUNT(payloads); i++) {
        if (mk_stanza_has(st, NULL, payloads[i]))
            return true;
    }
    return false;
}

static bool
is_eligible(const struct mk_stanza *st, enum direction way)
{
    enum mk_stanza_type type = mk_stanza_type(st);

    if (type != MK_TYPE_CHAT && type != MK_TYPE_NORMAL && type != MK_TYPE_NONE &&
        type != MK_TYPE_UNKNOWN)
        return false;
    /* <private/>, or a copy. */
    if (mk_stanza_has(st, NULL, NS_CARBONS) || mk_stanza_has(st, "no-copy", "urn:xmpp:hints"))
        return false;
    /* A room sends its private messages to all clients that are in it. */
    if (way == RECEIVED && mk_stanza_has(st, "x", NS_MUC_USER))
        return is_invitation(st);
    return type == MK_TYPE_CHAT || is_conversation(st) || is_invitation(st);
}

/* Without this check every message would look for the resources of its account. */
static bool
nobody_wants_copies(const struct carbons *c)
{
    return __atomic_load_n(&c->enabled, __ATOMIC_RELAXED) == 0 &&
           c->tables->node(c->tables->self) == 0;
}

/* -- copies ---------------------------------------------------------------------------------- */

struct copying {
    struct carbons *carbons;
    struct mk_stanza *original;
    struct mk_stanza *copy;         /* for the first; the others share its bytes */
    const struct mk_jid *account;
    enum direction way;
    const mk_session_id *have;      /* sessions that need no copy */
    size_t have_count;
    struct mk_str sender;           /* resource that sent it; p NULL: none of this account */
    bool available_only;
};

static struct mk_stanza *
wrap(const struct copying *job)
{
    struct mk_xml *x = mk_xml_new(NULL);
    enum mk_stanza_type type = mk_stanza_type(job->original);

    mk_xml_open(x, names[job->way], NS_CARBONS);
    mk_xml_open(x, "forwarded", NS_FORWARD);
    mk_xml_stanza(x, job->original);
    return mk_stanza_new(MK_MESSAGE, type == MK_TYPE_UNKNOWN ? MK_TYPE_NONE : type, job->account,
                         NULL, NULL, x);
}

static bool
needs_copy(const struct mk_resource *r, const struct copying *job)
{
    if (!(r->flags & MK_RESOURCE_CARBONS) ||
        (job->available_only && !(r->flags & MK_RESOURCE_AVAILABLE)) ||
        (job->sender.p && mk_str_eq(job->sender, r->resource)))
        return false;
    for (size_t i = 0; i < job->have_count; i++) {
        if (job->have[i] == r->session)
            return false;
    }
    return true;
}

static bool
copy_to(const struct mk_resource *r, void *arg)
{
    struct copying *job = arg;
    struct mk_stanza *st;
    struct mk_jid *to;

    if (!needs_copy(r, job) ||
        !(to = mk_jid_with_resource(job->account, r->resource)))
        return true;
    if (!job->copy)
        job->copy = wrap(job);
    st = mk_stanza_readdress(job->copy, job->account, to);
    mk_stanza_set_receivers(st, MK_RECEIVERS_NONE);
    job->carbons->sessions->send(job->carbons->sessions->self, r, st);
    mk_counter_add(job->carbons->copies[job->way], 1);
    mk_stanza_unref(&st);
    mk_jid_unref(&to);
    return true;
}

static void
copy_to_all(struct copying *job)
{
    const struct mk_sessions *sessions = job->carbons->sessions;

    sessions->each(sessions->self, job->account, copy_to, job);
    mk_stanza_unref(&job->copy);
}

/* §8. A message to an own resource goes to it as it is and to the others as received. */
static enum mk_verdict
on_send(struct mk_ev_user *ev, void *arg)
{
    struct copying job = {.carbons = arg, .original = ev->stanza, .way = SENT};
    const struct mk_jid *from = mk_session_jid(ev->session), *to = mk_stanza_to(ev->stanza);
    struct mk_jid *bare;

    if (nobody_wants_copies(arg) || !to || mk_jid_same_bare(from, to) ||
        !is_eligible(ev->stanza, SENT))
        return MK_CONTINUE;
    bare = mk_jid_bare_new(from);
    job.account = bare;
    job.sender = mk_jid_resource(from);
    copy_to_all(&job);
    mk_jid_unref(&bare);
    return MK_CONTINUE;
}

static void
received(struct copying *job)
{
    const struct mk_jid *from = mk_stanza_from(job->original);

    job->way = RECEIVED;
    if (!is_eligible(job->original, RECEIVED))
        return;
    if (from && mk_jid_same_bare(from, job->account))
        job->sender = mk_jid_resource(from);
    copy_to_all(job);
}

/* §7 */
static void
on_delivered(struct mk_ev_message_delivered *ev, void *arg)
{
    struct copying job = {.carbons = arg, .original = ev->stanza, .account = ev->account,
                          .have = ev->sessions, .have_count = ev->count};

    if (!nobody_wants_copies(arg))
        received(&job);
}

/*
 * Resources with a negative priority are told what goes to storage: it will not be delivered to
 * them.
 */
static enum mk_verdict
on_offline(struct mk_ev_route *ev, void *arg)
{
    struct copying job = {.carbons = arg, .original = ev->stanza, .available_only = true};
    struct mk_jid *bare;

    if (nobody_wants_copies(arg))
        return MK_CONTINUE;
    bare = mk_jid_bare_new(mk_stanza_to(ev->stanza));
    job.account = bare;
    received(&job);
    mk_jid_unref(&bare);
    return MK_CONTINUE;
}

/* §9: it has done its work. */
static enum mk_verdict
on_receive(struct mk_ev_user *ev, void *arg)
{
    (void)arg;
    if (mk_stanza_has(ev->stanza, "private", NS_CARBONS))
        mk_stanza_replace(&ev->stanza, mk_stanza_without(ev->stanza, "private", NS_CARBONS, NULL));
    return MK_CONTINUE;
}

/* -- on and off (§4, §5) --------------------------------------------------------------------- */

static void
session_gone(void *data)
{
    struct carbons *c = data;

    __atomic_fetch_sub(&c->enabled, 1, __ATOMIC_RELAXED);
}

static void
want_copies(struct carbons *c, struct mk_session *s)
{
    if (mk_session_slot(s, c->slot))
        return;
    __atomic_fetch_add(&c->enabled, 1, __ATOMIC_RELAXED);
    mk_session_slot_set(s, c->slot, c);
}

static void
turn(struct carbons *c, struct mk_session *s, bool on)
{
    struct mk_resource r;

    if (on == (mk_session_slot(s, c->slot) != NULL))
        return;
    c->sessions->get(c->sessions->self, s, &r);
    c->sessions->update(c->sessions->self, s, r.priority, on ? MK_RESOURCE_CARBONS : 0,
                        on ? 0 : MK_RESOURCE_CARBONS);
    if (on)
        want_copies(c, s);
    else
        mk_session_slot_set(s, c->slot, NULL);
}

/* The resource's flag came along with the session. */
static void
on_arrives(struct mk_ev_session_arrives *ev, void *arg)
{
    struct carbons *c = arg;

    if (ev->flags & MK_RESOURCE_CARBONS)
        want_copies(c, ev->session);
}

static enum mk_verdict
on_request(struct mk_iq *iq, struct carbons *c, bool on)
{
    struct mk_session *s = mk_iq_session(iq);

    if (!s)
        return MK_DENY;
    turn(c, s, on);
    mk_iq_reply_result(iq, NULL);
    return MK_HANDLED;
}

static enum mk_verdict
on_enable(struct mk_iq *iq, void *arg)
{
    return on_request(iq, arg, true);
}

static enum mk_verdict
on_disable(struct mk_iq *iq, void *arg)
{
    return on_request(iq, arg, false);
}

static void
on_bind2_features(struct mk_ev_sasl2_features *ev, void *arg)
{
    (void)arg;
    mk_xml_open(ev->inside, "feature", NULL);
    mk_xml_attr(ev->inside, "var", NS_CARBONS);
    mk_xml_close(ev->inside);
}

static void
on_bind2_bound(struct mk_ev_sasl2_done *ev, void *arg)
{
    if (mk_node_child(ev->request, "enable", NS_CARBONS))
        turn(arg, ev->session, true);
}

/* -- life cycle ------------------------------------------------------------------------------ */

static int
register_handlers(struct carbons *c)
{
    struct mk_module *m = c->module;

    if (mk_on(m, user_send_message, MK_PRIO_LATE, on_send, c) < 0 ||
        mk_on(m, user_receive_message, MK_PRIO_LATE, on_receive, c) < 0 ||
        mk_on(m, message_delivered, MK_PRIO_LATE, on_delivered, c) < 0 ||
        mk_on(m, message_offline, MK_PRIO_FIRST, on_offline, c) < 0 ||
        mk_on(m, bind2_features, MK_PRIO_NORMAL, on_bind2_features, c) < 0 ||
        mk_on(m, bind2_bound, MK_PRIO_NORMAL, on_bind2_bound, c) < 0)
        return -1;
    if (mk_on_iq(m, MK_IQ_SET, MK_TO_SELF, NS_CARBONS, "enable", on_enable, c) < 0 ||
        mk_on_iq(m, MK_IQ_SET, MK_TO_SELF, NS_CARBONS, "disable", on_disable, c) < 0 ||
        mk_feature_add(m, MK_TO_HOST, NS_CARBONS) < 0)
        return -1;
    return 0;
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct carbons *c = mk_zalloc(sizeof(*c));

    mk_module_set(m, c);
    c->module = m;
    c->sessions = mk_service_get(m, "sessions", MK_SESSIONS_ABI, err);
    c->tables = mk_service_get(m, "tables", MK_TABLES_ABI, err);
    if (!c->sessions || !c->tables)
        return -1;
    c->copies[SENT] = mk_counter_new(m, "carbons_total", "direction=\"sent\"",
                                     "Copies of messages to other clients of the same user");
    c->copies[RECEIVED] = mk_counter_new(m, "carbons_total", "direction=\"received\"",
                                         "Copies of messages to other clients of the same user");
    if (mk_slot_register(m, MK_SLOT_SESSION, session_gone, &c->slot) < 0 ||
        mk_on(m, session_arrives, MK_PRIO_NORMAL, on_arrives, c) < 0 ||
        register_handlers(c) < 0)
        return mk_fail(err, "cannot register the handlers of carbons");
    return 0;
}

static void
adopt(struct mk_session *s, void *arg)
{
    struct carbons *c = arg;
    struct mk_resource r;

    c->sessions->get(c->sessions->self, s, &r);
    if (r.flags & MK_RESOURCE_CARBONS)
        want_copies(c, s);
}

static void
adopt_all(void *arg)
{
    mk_session_each(adopt, arg);
}

/* After a reload: sessions keep what they have turned on, for the resource's flag is still there. */
static int
start(struct mk_module *m, struct mk_error *err)
{
    (void)err;
    mk_workers_run(adopt_all, mk_module_get(m));
    return 0;
}

static void
unload(struct mk_module *m)
{
    mk_free(mk_module_get(m));
}

MK_MODULE(.name = "carbons", .version = "1.0", .summary = "XEP-0280: message carbons",
          .depends = (const char *const[]){"c2s", NULL},
          .after = (const char *const[]){"sasl", NULL}, .init = init, .start = start, .unload = unload);
