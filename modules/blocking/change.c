/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* What clients ask (XEP-0191 §3): the list, block, unblock; and who is told of a change. */
#include "internal.h"

/* -- the list (§3.2) --------------------------------------------------------------------------- */

static void
write_item(struct mk_xml *x, struct mk_str jid)
{
    mk_xml_open(x, "item", NULL);
    mk_xml_attr_str(x, "jid", jid);
    mk_xml_close(x);
}

struct asked {
    struct blocking *blocking;
    struct entry *entry;
    struct mk_iq *iq;
};

static void
have_list(struct list *list, void *arg)
{
    struct asked *a = arg;
    struct blocking *b = a->blocking;
    struct mk_session *s = mk_iq_session(a->iq);
    struct mk_resource own;
    struct mk_xml *x;

    if (!list) {
        mk_iq_reply_error(a->iq, MK_ERR_RESOURCE_CONSTRAINT, "the storage does not answer, try again");
    } else {
        if (s) {                /* from now on it gets pushes */
            b->sessions->get(b->sessions->self, s, &own);
            b->sessions->update(b->sessions->self, s, own.priority, MK_RESOURCE_BLOCKLIST, 0);
        }
        x = mk_xml_new(NULL);
        mk_xml_open(x, "blocklist", NS_BLOCKING);
        for (size_t i = 0; i < list->count; i++)
            write_item(x, list->jids[i]);
        mk_iq_reply_result(a->iq, x);
    }
    entry_unpin(a->entry);
    mk_free(a);
}

static enum mk_verdict
on_get(struct mk_iq *iq, void *arg)
{
    struct blocking *b = arg;
    struct asked *a;

    if (mk_iq_addressee(iq) != MK_TO_SELF) {
        mk_iq_reply_error(iq, MK_ERR_FORBIDDEN, NULL);
        return MK_HANDLED;
    }
    a = mk_alloc(sizeof(*a));
    *a = (struct asked){b, entry_need(lane_here(b), mk_iq_account(iq)), mk_iq_hold(iq)};
    entry_pin(a->entry);
    entry_ask(a->entry, have_list, a);
    return MK_HANDLED;
}

/* -- telling ----------------------------------------------------------------------------------- */

static void
change_free(struct change *c)
{
    for (size_t i = 0; i < c->count; i++)
        mk_jid_unref(&c->jids[i]);
    mk_free(c->jids);
    mk_jid_unref(&c->account);
    list_unref(&c->before);
    list_unref(&c->now);
    mk_free(c);
}

/* §3.3, §3.4: all resources that have asked for the list. */
static bool
push_to(const struct mk_resource *r, void *arg)
{
    const struct change *c = arg;
    const struct mk_sessions *sessions = c->blocking->sessions;
    struct mk_jid *to;
    struct mk_stanza *st;
    struct mk_xml *x;
    char id[20] = "block-";

    if (!(r->flags & MK_RESOURCE_BLOCKLIST) || !(to = mk_jid_with_resource(c->account, r->resource)))
        return true;
    mk_random_id(id + 6, sizeof(id) - 6);
    x = mk_xml_new(NULL);
    mk_xml_open(x, c->block ? "block" : "unblock", NS_BLOCKING);
    for (size_t i = 0; i < c->count; i++)
        write_item(x, mk_jid_text(c->jids[i]));
    st = mk_stanza_new(MK_IQ, MK_TYPE_SET, c->account, to, id, x);
    sessions->send(sessions->self, r, st);
    mk_stanza_unref(&st);
    mk_jid_unref(&to);
    return true;
}

/* A contact whose presence subscription a change touches. */
struct contact {
    struct change *change;
    const struct mk_jid *jid;
};

static void
route_openly(struct blocking *b, struct mk_stanza *st)
{
    struct lane *lane = lane_here(b);

    lane->open = true;
    mk_route(st);
    lane->open = false;
}

struct again {
    struct blocking *blocking;
    struct mk_jid *to;
};

static void
send_presence(struct mk_session *s, void *arg)
{
    struct again *a = arg;
    struct mk_stanza *last = s ? a->blocking->presence->last(a->blocking->presence->self, s) : NULL;

    if (last) {
        struct mk_stanza *st = mk_stanza_readdress(last, mk_session_jid(s), a->to);

        route_openly(a->blocking, st);
        mk_stanza_unref(&st);
    }
    mk_jid_unref(&a->to);
    mk_free(a);
}

/* To the contact the user goes offline, or comes back, with each resource. */
static bool
show_resource(const struct mk_resource *r, void *arg)
{
    const struct contact *to = arg;
    struct change *c = to->change;
    struct mk_jid *from;
    struct mk_stanza *st;

    if (!(r->flags & MK_RESOURCE_AVAILABLE))
        return true;
    if (!c->block) {
        struct again *a = mk_alloc(sizeof(*a));

        *a = (struct again){c->blocking, mk_jid_ref(to->jid)};
        mk_session_post(c->blocking->module, r->session, send_presence, a);
        return true;
    }
    from = mk_jid_with_resource(c->account, r->resource);
    if (!from)
        return true;
    st = mk_stanza_new(MK_PRESENCE, MK_TYPE_UNAVAILABLE, from, to->jid, NULL, NULL);
    route_openly(c->blocking, st);
    mk_stanza_unref(&st);
    mk_jid_unref(&from);
    return true;
}

static bool
touches(const struct change *c, const struct mk_jid *contact)
{
    for (size_t i = 0; i < c->count; i++) {
        if (mk_jid_same_bare(c->jids[i], contact) ||
            (mk_jid_is_domain(c->jids[i]) &&
             mk_str_eq(mk_jid_domain(c->jids[i]), mk_jid_domain(contact))))
            return true;
    }
    return false;
}

static void
have_roster(enum mk_roster_result result, const struct mk_roster_item *items, size_t count, void *arg)
{
    struct change *c = arg;
    const struct mk_sessions *sessions = c->blocking->sessions;

    for (size_t i = 0; result == MK_ROSTER_OK && i < count; i++) {
        struct contact to = {c, items[i].jid};
        bool was = list_blocks(c->before, to.jid), is = list_blocks(c->now, to.jid);

        if ((items[i].subscription & MK_SUB_FROM) && was != is && touches(c, to.jid))
            sessions->each(sessions->self, c->account, show_resource, &to);
    }
    change_free(c);
}

/* -- changing ---------------------------------------------------------------------------------- */

/* Back on the session's worker. */
static void
finish(void *arg)
{
    struct change *c = arg;
    struct blocking *b = c->blocking;

    if (c->error) {
        mk_iq_reply_error(c->iq, c->error, c->text);
        change_free(c);
        return;
    }
    mk_iq_reply_result(c->iq, NULL);
    b->sessions->each(b->sessions->self, c->account, push_to, c);
    if (c->all) {               /* presence: those that were blocked */
        c->jids = mk_realloc(c->jids, (c->before->count + 1) * sizeof(struct mk_jid *));
        for (size_t i = 0; i < c->before->count; i++) {
            struct mk_jid *jid = mk_jid_parse(c->before->jids[i]);

            if (jid)
                c->jids[c->count++] = jid;
        }
    }
    b->roster->list(b->roster->self, c->account, have_roster, c);
}

static void
go_back(struct change *c)
{
    entry_unpin(c->entry);
    mk_post(c->blocking->module, c->back, finish, c);
}

static void
on_all_told(enum mk_cluster_result result, struct mk_str answer, void *arg)
{
    (void)result;
    (void)answer;
    go_back(arg);
}

void
change_stored(struct change *c)
{
    if (c->now) {
        list_publish(c->blocking, c->account, c->now);
        if (c->blocking->cluster) {
            news_send(c->blocking, c->account, c->now, on_all_told, c);
            return;
        }
    } else {
        c->error = MK_ERR_RESOURCE_CONSTRAINT;
        c->text = "the storage does not answer, try again";
    }
    go_back(c);
}

static void
have_list_at_home(struct list *list, void *arg)
{
    struct change *c = arg;
    const struct blocking_conf *conf = mk_module_conf(c->blocking->module, NULL);
    size_t fresh = 0;

    if (!list) {
        change_stored(c);
        return;
    }
    c->before = list_ref(list);
    for (size_t i = 0; c->block && i < c->count; i++)
        fresh += !list_has(list, mk_jid_text(c->jids[i]));
    if (fresh && list->count + fresh > (size_t)conf->max_items) {
        mk_counter_add(c->blocking->refused, 1);
        c->error = MK_ERR_POLICY_VIOLATION;
        c->text = "the list is full";
        go_back(c);
        return;
    }
    sql_change(c);
}

/* Changes of one account are made by one worker, one after another. */
static void
arrive_home(void *arg)
{
    struct change *c = arg;

    c->entry = entry_need(lane_here(c->blocking), c->account);
    entry_pin(c->entry);
    entry_ask(c->entry, have_list_at_home, c);
}

/* The JIDs of the items; the error when one is bad. */
static enum mk_stanza_error
read_items(const struct mk_node *request, struct change *c)
{
    size_t count = 0;

    for (const struct mk_node *n = mk_node_child(request, "item", NS_BLOCKING); n;
         n = mk_node_next(n, "item", NS_BLOCKING))
        count++;
    c->jids = mk_alloc((count + 1) * sizeof(struct mk_jid *));
    for (const struct mk_node *n = mk_node_child(request, "item", NS_BLOCKING); n;
         n = mk_node_next(n, "item", NS_BLOCKING)) {
        const char *text = mk_node_attr(n, "jid");
        struct mk_jid *jid = text ? mk_jid_parse(mk_str_of(text)) : NULL;

        if (!jid)
            return text ? MK_ERR_JID_MALFORMED : MK_ERR_BAD_REQUEST;
        c->jids[c->count++] = jid;
    }
    return MK_ERR_NONE;
}

static enum mk_verdict
on_set(struct mk_iq *iq, struct blocking *b, bool block)
{
    struct change *c = mk_zalloc(sizeof(*c));
    enum mk_stanza_error error;

    c->blocking = b;
    c->block = block;
    error = mk_iq_addressee(iq) == MK_TO_SELF ? read_items(mk_iq_child(iq), c) : MK_ERR_FORBIDDEN;
    c->all = !block && c->count == 0;
    if (!error && block && c->count == 0)
        error = MK_ERR_BAD_REQUEST;
    if (error) {
        mk_iq_reply_error(iq, error, NULL);
        change_free(c);
        return MK_HANDLED;
    }
    c->back = mk_worker_self();
    c->account = mk_jid_ref(mk_iq_account(iq));
    c->iq = mk_iq_hold(iq);
    mk_post(b->module, mk_worker_nth(mk_jid_hash_bare(c->account) % mk_worker_count()), arrive_home, c);
    return MK_HANDLED;
}

static enum mk_verdict
on_block(struct mk_iq *iq, void *arg)
{
    return on_set(iq, arg, true);
}

static enum mk_verdict
on_unblock(struct mk_iq *iq, void *arg)
{
    return on_set(iq, arg, false);
}

int
change_register(struct blocking *b)
{
    struct mk_module *m = b->module;

    if (mk_on_iq(m, MK_IQ_GET, MK_TO_BARE, NS_BLOCKING, "blocklist", on_get, b) < 0 ||
        mk_on_iq(m, MK_IQ_SET, MK_TO_BARE, NS_BLOCKING, "block", on_block, b) < 0 ||
        mk_on_iq(m, MK_IQ_SET, MK_TO_BARE, NS_BLOCKING, "unblock", on_unblock, b) < 0 ||
        mk_feature_add(m, MK_TO_HOST, NS_BLOCKING) < 0)
        return -1;
    return 0;
}
