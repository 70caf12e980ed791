/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Flexible offline message retrieval (XEP-0013): a client that asks before its first presence looks at its stored messages
 * and fetches and removes them itself; nothing is delivered to it unasked.
 */
#include "config.h"

#include "internal.h"

#include <stdio.h>
#include <stdlib.h>

#define NS_INFO "http://jabber.org/protocol/disco#info"
#define NS_ITEMS "http://jabber.org/protocol/disco#items"
#define NS_DATA "jabber:x:data"
#define HEADERS_MAX 1000        /* in one answer */
#define ITEMS_MAX 100           /* in one request */

/* The name of a message: sorts as the messages do, as §2.3 wants. */
#define NODE_MAX 48
#define NODE_FORMAT "%016llx-%lld"

struct request {
    struct offline *self;
    struct mk_iq *iq;
    struct mk_jid *jid;
    size_t left;                /* items that have not been dealt with */
    size_t rows;                /* read at once */
    enum mk_stanza_error error;
    int64_t after_stamp, after_id;
    void (*more)(struct request *r);
};

static struct request *
hold_request(struct offline *self, struct mk_iq *iq)
{
    struct request *r = mk_zalloc(sizeof(*r));

    r->self = self;
    r->iq = mk_iq_hold(iq);
    r->jid = mk_jid_bare_new(mk_iq_from(iq));
    return r;
}

static struct mk_iq *
end_request(struct request *r)
{
    struct mk_iq *iq = r->iq;

    mk_jid_unref(&r->jid);
    mk_free(r);
    return iq;
}

static bool
failed(struct request *r, const struct mk_sql_result *result)
{
    if (r->self->db->status(result) == MK_SQL_OK)
        return false;
    store_log(r->self, "a client's request", result);
    r->error = MK_ERR_RESOURCE_CONSTRAINT;
    return true;
}

static void
finish(struct request *r)
{
    enum mk_stanza_error error = r->error;
    struct mk_iq *iq = end_request(r);

    if (error)
        mk_iq_reply_error(iq, error, NULL);
    else
        mk_iq_reply_result(iq, NULL);
}

/* Runs a statement whose first two values are the account. */
static void
run(struct request *r, struct mk_sql_stmt *stmt, mk_sql_fn fn, const struct mk_sql_value *more,
    size_t n)
{
    const struct mk_rdbms *db = r->self->db;
    struct mk_sql_value values[8] = {MK_SQL_V_TEXT(mk_jid_domain(r->jid)),
                                     MK_SQL_V_TEXT(mk_jid_local(r->jid))};
    char *key = mk_str_dup(mk_jid_text(r->jid));

    MK_ASSERT(n <= MK_COUNT(values) - 2);
    if (n)
        memcpy(values + 2, more, n * sizeof(*more));
    db->exec(db->self, stmt, values, 2 + n, key, fn, r);
    mk_free(key);
}

static void
free_mark(void *mark)
{
    (void)mark;
}

/* This session fetches by itself from now on. */
static void
mark(struct offline *self, struct mk_iq *iq)
{
    static const char flexible;
    struct mk_session *s = mk_iq_session(iq);

    if (s)
        mk_session_slot_set(s, self->slot, (void *)(uintptr_t)&flexible);
}

/* -- disco ---------------------------------------------------------------------------------- */

static void
field(struct mk_xml *x, const char *var, const char *type, struct mk_str value)
{
    mk_xml_open(x, "field", NULL);
    mk_xml_attr(x, "var", var);
    mk_xml_attr(x, "type", type);
    mk_xml_leaf(x, "value", NULL, value);
    mk_xml_close(x);
}

static void
on_counted(struct mk_sql_result *result, void *arg)
{
    struct request *r = arg;
    const struct mk_rdbms *db = r->self->db;
    struct mk_xml *x;
    char number[24];

    if (failed(r, result)) {
        finish(r);
        return;
    }
    snprintf(number, sizeof(number), "%lld",
             db->next(result) ? (long long)db->get_int(result, 0) : 0);
    x = mk_xml_new(NULL);
    mk_xml_open(x, "query", NS_INFO);
    mk_xml_attr(x, "node", NS_OFFLINE);
    mk_xml_open(x, "identity", NULL);
    mk_xml_attr(x, "category", "automation");
    mk_xml_attr(x, "type", "message-list");
    mk_xml_close(x);
    mk_xml_open(x, "feature", NULL);
    mk_xml_attr(x, "var", NS_OFFLINE);
    mk_xml_close(x);
    mk_xml_open(x, "x", NS_DATA);
    mk_xml_attr(x, "type", "result");
    field(x, "FORM_TYPE", "hidden", MK_STR(NS_OFFLINE));
    field(x, "number_of_messages", "text-single", mk_str_of(number));
    mk_iq_reply_result(end_request(r), x);
}

static void
on_headers(struct mk_sql_result *result, void *arg)
{
    struct request *r = arg;
    const struct mk_rdbms *db = r->self->db;
    struct mk_xml *x;
    char node[NODE_MAX];

    if (failed(r, result)) {
        finish(r);
        return;
    }
    x = mk_xml_new(NULL);
    mk_xml_open(x, "query", NS_ITEMS);
    mk_xml_attr(x, "node", NS_OFFLINE);
    while (db->next(result)) {
        snprintf(node, sizeof(node), NODE_FORMAT, (unsigned long long)db->get_int(result, 1),
                 (long long)db->get_int(result, 0));
        mk_xml_open(x, "item", NULL);
        mk_xml_attr_jid(x, "jid", r->jid);
        mk_xml_attr(x, "node", node);
        mk_xml_attr_str(x, "name", db->get_text(result, 2));
        mk_xml_close(x);
    }
    mk_iq_reply_result(end_request(r), x);
}

static bool
asks_for_node(const struct mk_iq *iq)
{
    const char *node = mk_node_attr(mk_iq_child(iq), "node");

    return node && strcmp(node, NS_OFFLINE) == 0;
}

static enum mk_verdict
on_info(struct mk_iq *iq, void *arg)
{
    struct offline *self = arg;
    const struct mk_sql_value now = MK_SQL_V_INT(mk_time_us());

    if (!asks_for_node(iq))
        return MK_CONTINUE;
    mark(self, iq);
    run(hold_request(self, iq), self->sql.count, on_counted, &now, 1);
    return MK_HANDLED;
}

static enum mk_verdict
on_items(struct mk_iq *iq, void *arg)
{
    struct offline *self = arg;
    const struct mk_sql_value more[] = {MK_SQL_V_INT(mk_time_us()), MK_SQL_V_INT(HEADERS_MAX)};

    if (!asks_for_node(iq))
        return MK_CONTINUE;
    mark(self, iq);
    run(hold_request(self, iq), self->sql.headers, on_headers, more, MK_COUNT(more));
    return MK_HANDLED;
}

/* -- fetching ------------------------------------------------------------------------------- */

/* The current row goes to the client, named so that it can be removed. */
static void
show(struct request *r, const struct mk_sql_result *result)
{
    const struct mk_rdbms *db = r->self->db;
    struct mk_session *s = mk_iq_session(r->iq);
    struct mk_stanza *st, *named;
    struct mk_xml *x;
    char node[NODE_MAX];

    r->after_id = db->get_int(result, 0);
    r->after_stamp = db->get_int(result, 1);
    if (!s || (!db->is_null(result, 2) && db->get_int(result, 2) <= mk_time_us()))
        return;
    st = flush_read_row(r->self, result, r->jid, mk_iq_host(r->iq));
    if (!st)
        return;
    snprintf(node, sizeof(node), NODE_FORMAT, (unsigned long long)r->after_stamp,
             (long long)r->after_id);
    x = mk_xml_new(NULL);
    mk_xml_open(x, "offline", NS_OFFLINE);
    mk_xml_open(x, "item", NULL);
    mk_xml_attr(x, "node", node);
    named = mk_stanza_append(st, x);
    mk_session_deliver(s, named);
    mk_stanza_unref(&named);
    mk_stanza_unref(&st);
}

static void
on_page(struct mk_sql_result *result, void *arg)
{
    struct request *r = arg;
    const struct mk_rdbms *db = r->self->db;

    if (db->status(result) == MK_SQL_ERROR && r->rows > 1) {
        r->rows = r->rows / 4 + 1;      /* perhaps more bytes than an answer may have */
        r->more(r);
        return;
    }
    if (failed(r, result) || db->rows(result) == 0 || !mk_iq_session(r->iq)) {
        finish(r);
        return;
    }
    while (db->next(result))
        show(r, result);
    r->more(r);
}

static void
fetch(struct request *r)
{
    const struct mk_sql_value more[] = {
        MK_SQL_V_INT(r->after_stamp), MK_SQL_V_INT(r->after_stamp), MK_SQL_V_INT(r->after_id),
        MK_SQL_V_INT((int64_t)r->rows)};

    run(r, r->self->sql.page, on_page, more, MK_COUNT(more));
}

/* -- requests by name ----------------------------------------------------------------------- */

static int
parse_node(const char *node, int64_t *stamp, int64_t *id)
{
    char *end;

    if (!node || strlen(node) < 18 || strlen(node) >= NODE_MAX || node[16] != '-')
        return -1;
    *stamp = (int64_t)strtoull(node, &end, 16);
    if (end != node + 16)
        return -1;
    *id = strtoll(node + 17, &end, 10);
    return *end ? -1 : 0;
}

static void
one_done(struct request *r)
{
    if (--r->left == 0)
        finish(r);
}

static void
on_viewed(struct mk_sql_result *result, void *arg)
{
    struct request *r = arg;

    if (!failed(r, result)) {
        if (r->self->db->next(result))
            show(r, result);
        else if (!r->error)
            r->error = MK_ERR_ITEM_NOT_FOUND;
    }
    one_done(r);
}

static void
on_one_removed(struct mk_sql_result *result, void *arg)
{
    struct request *r = arg;

    if (!failed(r, result) && r->self->db->affected(result) == 0 && !r->error)
        r->error = MK_ERR_ITEM_NOT_FOUND;
    one_done(r);
}

static void
on_purged(struct mk_sql_result *result, void *arg)
{
    struct request *r = arg;

    (void)failed(r, result);
    finish(r);
}

/* <item action='view|remove' node='…'/>, several. True: answered or under way. */
static bool
by_name(struct offline *self, struct mk_iq *iq)
{
    const struct mk_node *item = mk_node_child(mk_iq_child(iq), "item", NS_OFFLINE), *i;
    const char *wanted = mk_iq_type(iq) == MK_TYPE_GET ? "view" : "remove";
    struct request *r;
    int64_t stamp, id;
    size_t count = 0;

    for (i = item; i; i = mk_node_next(i, "item", NS_OFFLINE)) {
        const char *action = mk_node_attr(i, "action");

        if (!action || strcmp(action, wanted) != 0 || ++count > ITEMS_MAX)
            return false;
    }
    if (!count)
        return false;
    r = hold_request(self, iq);
    r->left = count;
    for (i = item; i; i = mk_node_next(i, "item", NS_OFFLINE)) {
        const struct mk_sql_value *more;

        if (parse_node(mk_node_attr(i, "node"), &stamp, &id) < 0)
            stamp = id = -1;        /* there is none */
        more = (const struct mk_sql_value[]){MK_SQL_V_INT(id), MK_SQL_V_INT(stamp)};
        if (*wanted == 'v')
            run(r, self->sql.view, on_viewed, more, 2);
        else
            run(r, self->sql.remove_one, on_one_removed, more, 2);
    }
    return true;
}

static enum mk_verdict
on_offline(struct mk_iq *iq, void *arg)
{
    struct offline *self = arg;
    const struct mk_node *child = mk_iq_child(iq);
    struct request *r;

    mark(self, iq);
    if (mk_iq_type(iq) == MK_TYPE_GET && mk_node_child(child, "fetch", NS_OFFLINE)) {
        r = hold_request(self, iq);
        r->after_stamp = INT64_MIN;
        r->rows = (size_t)conf_of(self, mk_iq_host(iq))->page_size;
        r->more = fetch;
        fetch(r);
    } else if (mk_iq_type(iq) == MK_TYPE_SET && mk_node_child(child, "purge", NS_OFFLINE)) {
        run(hold_request(self, iq), self->sql.purge, on_purged, NULL, 0);
    } else if (!by_name(self, iq)) {
        mk_iq_reply_error(iq, MK_ERR_BAD_REQUEST, NULL);
    }
    return MK_HANDLED;
}

int
retrieve_init(struct offline *self)
{
    struct mk_module *m = self->module;

    /* Hidden: the features of service discovery itself are advertised by its own module. */
    if (mk_slot_register(m, MK_SLOT_SESSION, free_mark, &self->slot) < 0 ||
        mk_on_iq(m, MK_IQ_GET, MK_TO_SELF | MK_TO_HIDDEN, NS_INFO, "query", on_info, self) < 0 ||
        mk_on_iq(m, MK_IQ_GET, MK_TO_SELF | MK_TO_HIDDEN, NS_ITEMS, "query", on_items, self) < 0 ||
        mk_on_iq(m, MK_IQ_GET | MK_IQ_SET, MK_TO_SELF, NS_OFFLINE, "offline", on_offline, self) < 0)
        return -1;
    return mk_feature_add(m, MK_TO_HOST, NS_OFFLINE);
}
