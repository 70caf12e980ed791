/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Client state indication (XEP-0352): a client that nobody looks at is not woken for what can
 * wait. What waits is passed on, in order, before the next thing that cannot.
 */
#include <meerkat/c2s.h>
#include <meerkat/sm.h>
#include <meerkat/meerkat.h>
#include <meerkat/sasl.h>

#define NS_CSI "urn:xmpp:csi:0"
#define NS_CHATSTATES "http://jabber.org/protocol/chatstates"
#define NS_CARBONS "urn:xmpp:carbons:2"
#define NS_MUC_USER "http://jabber.org/protocol/muc#user"
#define NS_PUBSUB_EVENT "http://jabber.org/protocol/pubsub#event"

struct csi_conf {
    int64_t max_stanzas;
    uint64_t max_bytes;
};

struct csi {
    struct mk_module *module;
    unsigned slot;
    struct mk_gauge inactive;
    struct mk_counter replaced, dropped;
};

struct held {
    uint64_t sender;            /* hash of the full JID of a presence; 0: nothing replaces it */
    struct mk_stanza *stanza;
};

/* A session whose client is inactive. */
struct quiet {
    struct csi *csi;
    struct held *list;          /* oldest first */
    size_t count, cap;
    uint64_t bytes;
    bool flushing;
};

static const struct mk_option options[] = {
    MK_OPTION_INT(struct csi_conf, max_stanzas, "200", "1", "10000",
                  MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                  "stanzas held back for an inactive client; then all of them are passed on"),
    MK_OPTION_SIZE(struct csi_conf, max_bytes, "128K", "1000", "100M",
                   MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                   "bytes held back for an inactive client; then all of them are passed on"),
    MK_OPTION_END};

static struct quiet *
quiet_of(const struct csi *csi, const struct mk_session *s)
{
    return mk_session_slot(s, csi->slot);
}

static void
quiet_free(void *data)
{
    struct quiet *q = data;

    for (size_t i = 0; i < q->count; i++)
        mk_stanza_unref(&q->list[i].stanza);
    mk_gauge_add(q->csi->inactive, -1);
    mk_free(q->list);
    mk_free(q);
}

/* -- holding back ---------------------------------------------------------------------------- */

static void
flush(struct mk_session *s, struct quiet *q)
{
    q->flushing = true;
    for (size_t i = 0; i < q->count; i++) {
        mk_session_deliver(s, q->list[i].stanza);
        mk_stanza_unref(&q->list[i].stanza);
    }
    q->flushing = false;
    q->count = 0;
    q->bytes = 0;
}

static void
drop_older(struct quiet *q, uint64_t sender)
{
    for (size_t i = 0; i < q->count; i++) {
        if (q->list[i].sender != sender)
            continue;
        q->bytes -= mk_stanza_size(q->list[i].stanza);
        mk_stanza_unref(&q->list[i].stanza);
        q->count--;
        memmove(&q->list[i], &q->list[i + 1], (q->count - i) * sizeof(q->list[0]));
        mk_counter_add(q->csi->replaced, 1);
        return;
    }
}

static void
hold_back(struct mk_session *s, struct quiet *q, struct mk_stanza *st, uint64_t sender)
{
    const struct csi_conf *conf = mk_module_conf(q->csi->module, mk_session_host(s));

    if (sender)
        drop_older(q, sender);
    if (q->count == q->cap) {
        q->cap = q->cap ? q->cap * 2 : 8;
        q->list = mk_realloc(q->list, q->cap * sizeof(q->list[0]));
    }
    q->list[q->count++] = (struct held){sender, mk_stanza_ref(st)};
    q->bytes += mk_stanza_size(st);
    if (q->count > (size_t)conf->max_stanzas || q->bytes > conf->max_bytes)
        flush(s, q);
}

/* -- what can wait --------------------------------------------------------------------------- */

/* The answer to joining a room, or a word about oneself there. */
static bool
is_about_client(const struct mk_stanza *st)
{
    const struct mk_node *x = mk_stanza_child(st, "x", NS_MUC_USER);

    for (const struct mk_node *n = mk_node_child(x, "status", NS_MUC_USER); n;
         n = mk_node_next(n, "status", NS_MUC_USER)) {
        const char *code = mk_node_attr(n, "code");

        if (code && strcmp(code, "110") == 0)
            return true;
    }
    return false;
}

static bool
goes_with_chat_state(const char *name, const char *ns)
{
    return strcmp(ns, NS_CHATSTATES) == 0 || strcmp(ns, "urn:xmpp:hints") == 0 ||
           strcmp(ns, "urn:xmpp:sid:0") == 0 || strcmp(name, "thread") == 0;
}

/* Chat states and nothing else (XEP-0085 §5.5), possibly inside a carbon copy. */
static bool
is_chat_state(const struct mk_stanza *st)
{
    const struct mk_node *carbon, *n;
    const char *name, *ns;

    if (mk_stanza_has(st, NULL, NS_CHATSTATES)) {
        for (size_t i = 0; mk_stanza_nth(st, i, &name, &ns); i++) {
            if (!goes_with_chat_state(name, ns))
                return false;
        }
        return true;
    }
    carbon = mk_stanza_child(st, NULL, NS_CARBONS);
    n = mk_node_child(mk_node_child(carbon, "forwarded", NULL), "message", MK_NS_CLIENT);
    if (!n || !mk_node_child(n, NULL, NS_CHATSTATES))
        return false;
    for (n = mk_node_child(n, NULL, NULL); n; n = mk_node_next(n, NULL, NULL)) {
        if (!goes_with_chat_state(mk_node_name(n), mk_node_ns(n)))
            return false;
    }
    return true;
}

static enum mk_verdict
on_presence(struct mk_ev_user *ev, void *arg)
{
    struct quiet *q = quiet_of(arg, ev->session);
    const struct mk_jid *from = mk_stanza_from(ev->stanza);
    struct mk_str text;

    if (MK_LIKELY(!q) || q->flushing)
        return MK_CONTINUE;
    if (!from ||
        (mk_stanza_type(ev->stanza) != MK_TYPE_NONE &&
         mk_stanza_type(ev->stanza) != MK_TYPE_UNAVAILABLE) ||
        is_about_client(ev->stanza)) {
        flush(ev->session, q);
        return MK_CONTINUE;
    }
    text = mk_jid_text(from);
    hold_back(ev->session, q, ev->stanza, mk_hash(text.p, text.len) | 1);
    return MK_HANDLED;
}

static enum mk_verdict
on_message(struct mk_ev_user *ev, void *arg)
{
    struct csi *csi = arg;
    struct quiet *q = quiet_of(csi, ev->session);

    if (MK_LIKELY(!q) || q->flushing)
        return MK_CONTINUE;
    if (is_chat_state(ev->stanza)) {
        mk_counter_add(csi->dropped, 1);
        return MK_HANDLED;
    }
    if (mk_stanza_type(ev->stanza) == MK_TYPE_HEADLINE &&
        mk_stanza_has(ev->stanza, "event", NS_PUBSUB_EVENT)) {
        hold_back(ev->session, q, ev->stanza, 0);
        return MK_HANDLED;
    }
    flush(ev->session, q);
    return MK_CONTINUE;
}

static enum mk_verdict
on_iq(struct mk_ev_user *ev, void *arg)
{
    struct quiet *q = quiet_of(arg, ev->session);

    if (MK_UNLIKELY(q != NULL) && !q->flushing)
        flush(ev->session, q);
    return MK_CONTINUE;
}

/* -- the client's state ---------------------------------------------------------------------- */

static void
become_inactive(struct csi *csi, struct mk_session *s)
{
    struct quiet *q;

    if (quiet_of(csi, s))
        return;
    q = mk_zalloc(sizeof(*q));
    q->csi = csi;
    mk_session_slot_set(s, csi->slot, q);
    mk_gauge_add(csi->inactive, 1);
}

static void
become_active(struct csi *csi, struct mk_session *s)
{
    struct quiet *q = quiet_of(csi, s);

    if (!q)
        return;
    flush(s, q);
    mk_session_slot_set(s, csi->slot, NULL);
}

static enum mk_verdict
on_element(struct mk_ev_stream_element *ev, void *arg)
{
    const char *name = mk_stanza_name(ev->stanza);

    if (strcmp(mk_stanza_ns(ev->stanza), NS_CSI) != 0 || !(ev->flags & MK_STREAM_AUTHENTICATED))
        return MK_CONTINUE;
    if (strcmp(name, "inactive") == 0)
        become_inactive(arg, ev->session);
    else if (strcmp(name, "active") == 0)
        become_active(arg, ev->session);
    else
        return MK_CONTINUE;
    return MK_HANDLED;
}

/* XEP-0198 does not bring the state back: whoever resumes is active (§5.1). */
/* What was kept back goes along with the rest: who resumes is active (XEP-0352 §5). */
static void
on_leaves(struct mk_ev_session_leaves *ev, void *arg)
{
    become_active(arg, ev->session);
}

static void
on_resumed(struct mk_ev_session *ev, void *arg)
{
    become_active(arg, ev->session);
}

static void
on_features(struct mk_ev_stream_features *ev, void *arg)
{
    (void)arg;
    if (ev->flags & MK_STREAM_AUTHENTICATED)
        mk_xml_leaf(ev->features, "csi", NS_CSI, MK_STR(""));
}

static void
on_bind2_features(struct mk_ev_sasl2_features *ev, void *arg)
{
    (void)arg;
    mk_xml_open(ev->inside, "feature", NULL);
    mk_xml_attr(ev->inside, "var", NS_CSI);
    mk_xml_close(ev->inside);
}

static void
on_bind2_bound(struct mk_ev_sasl2_done *ev, void *arg)
{
    if (mk_node_child(ev->request, "inactive", NS_CSI))
        become_inactive(arg, ev->session);
}

/* -- life cycle ------------------------------------------------------------------------------ */

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct csi *csi = mk_zalloc(sizeof(*csi));

    mk_module_set(m, csi);
    csi->module = m;
    csi->inactive = mk_gauge_new(m, "csi_inactive_sessions", NULL,
                                 "Sessions whose client is inactive");
    csi->replaced = mk_counter_new(m, "csi_replaced_total", NULL,
                                   "Presence that a newer one replaced before it was sent");
    csi->dropped = mk_counter_new(m, "csi_dropped_total", NULL,
                                  "Chat states that inactive clients were spared");
    if (mk_slot_register(m, MK_SLOT_SESSION, quiet_free, &csi->slot) < 0 ||
        mk_on(m, user_receive_presence, MK_PRIO_LAST, on_presence, csi) < 0 ||
        mk_on(m, user_receive_message, MK_PRIO_LAST, on_message, csi) < 0 ||
        mk_on(m, user_receive_iq, MK_PRIO_LAST, on_iq, csi) < 0 ||
        mk_on(m, stream_element, MK_PRIO_NORMAL, on_element, csi) < 0 ||
        mk_on(m, stream_features, MK_PRIO_NORMAL, on_features, csi) < 0 ||
        mk_on(m, session_resumed, MK_PRIO_NORMAL, on_resumed, csi) < 0 ||
        mk_on(m, session_leaves, MK_PRIO_NORMAL, on_leaves, csi) < 0 ||
        mk_on(m, bind2_features, MK_PRIO_NORMAL, on_bind2_features, csi) < 0 ||
        mk_on(m, bind2_bound, MK_PRIO_NORMAL, on_bind2_bound, csi) < 0)
        return mk_fail(err, "cannot register the handlers of client states");
    return 0;
}

static void
wake_one(struct mk_session *s, void *arg)
{
    become_active(arg, s);
}

static void
wake_all(void *arg)
{
    mk_session_each(wake_one, arg);
}

static void
stop(struct mk_module *m)
{
    for (size_t i = 0; i < mk_worker_count(); i++)
        mk_post(m, mk_worker_nth(i), wake_all, mk_module_get(m));
}

static void
unload(struct mk_module *m)
{
    mk_free(mk_module_get(m));
}

MK_MODULE(.name = "csi", .version = "1.0", .summary = "XEP-0352: client state indication",
          .depends = (const char *const[]){"c2s", NULL},
          .after = (const char *const[]){"sasl", NULL}, .options = options,
          .conf_size = sizeof(struct csi_conf), .init = init, .stop = stop, .unload = unload);
