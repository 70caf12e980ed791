/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Service discovery (XEP-0030), entity capabilities of the server (XEP-0115), contact addresses (XEP-0157). */
#include <meerkat/c2s.h>
#include <meerkat/crypto.h>
#include <meerkat/disco.h>
#include <meerkat/meerkat.h>
#include <meerkat/roster.h>

#include <stdlib.h>

#define NS_INFO "http://jabber.org/protocol/disco#info"
#define NS_ITEMS "http://jabber.org/protocol/disco#items"
#define NS_CAPS "http://jabber.org/protocol/caps"
#define NS_DATA "jabber:x:data"
#define FORM_TYPE "http://jabber.org/network/serverinfo"

struct disco_conf {
    char *name;
    char *caps_node;
    struct mk_option_list abuse, admin, security, support;
};

struct disco {
    struct mk_module *module;
    const struct mk_roster *roster;     /* NULL: nobody sees anybody but themselves */
    struct mk_hook *info, *items;
};

static const struct mk_option options[] = {
    MK_OPTION_STRING(struct disco_conf, name, "Meerkat", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                     "name of the server in its identity"),
    MK_OPTION_STRING(struct disco_conf, caps_node, "https://meerkat.im", MK_OPT_RELOADABLE,
                     "node of the server's capabilities: names the software"),
    MK_OPTION_LIST(struct disco_conf, abuse, "", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                   "URIs to report abuse to, such as mailto:abuse@example.org"),
    MK_OPTION_LIST(struct disco_conf, admin, "", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                   "URIs of the administrators"),
    MK_OPTION_LIST(struct disco_conf, security, "", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                   "URIs to report security problems to"),
    MK_OPTION_LIST(struct disco_conf, support, "", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                   "URIs to ask for help"),
    MK_OPTION_END};

/* -- the host (XEP-0030 §3, XEP-0157) ------------------------------------------------------------ */

struct field {
    const char *var;
    const struct mk_option_list *values;
};

/* In the order that XEP-0115 §5.1 wants. */
static void
form_fields(const struct disco_conf *conf, struct field out[4])
{
    out[0] = (struct field){"abuse-addresses", &conf->abuse};
    out[1] = (struct field){"admin-addresses", &conf->admin};
    out[2] = (struct field){"security-addresses", &conf->security};
    out[3] = (struct field){"support-addresses", &conf->support};
}

static bool
has_form(const struct disco_conf *conf)
{
    return conf->abuse.count || conf->admin.count || conf->security.count || conf->support.count;
}

static void
write_form(struct mk_xml *x, const struct disco_conf *conf)
{
    struct field fields[4];

    if (!has_form(conf))
        return;
    form_fields(conf, fields);
    mk_xml_open(x, "x", NS_DATA);
    mk_xml_attr(x, "type", "result");
    mk_xml_open(x, "field", NULL);
    mk_xml_attr(x, "var", "FORM_TYPE");
    mk_xml_attr(x, "type", "hidden");
    mk_xml_leaf(x, "value", NULL, MK_STR(FORM_TYPE));
    mk_xml_close(x);
    for (size_t i = 0; i < MK_COUNT(fields); i++) {
        if (fields[i].values->count == 0)
            continue;
        mk_xml_open(x, "field", NULL);
        mk_xml_attr(x, "var", fields[i].var);
        for (size_t v = 0; v < fields[i].values->count; v++)
            mk_xml_leaf(x, "value", NULL, mk_str_of(fields[i].values->items[v]));
        mk_xml_close(x);
    }
    mk_xml_close(x);
}

static void
write_identity(struct mk_xml *x, const char *category, const char *type, const char *name)
{
    mk_xml_open(x, "identity", NULL);
    mk_xml_attr(x, "category", category);
    mk_xml_attr(x, "type", type);
    mk_xml_attr(x, "name", name);
    mk_xml_close(x);
}

static void
write_feature(const char *ns, void *arg)
{
    mk_xml_open(arg, "feature", NULL);
    mk_xml_attr(arg, "var", ns);
    mk_xml_close(arg);
}

/* -- capabilities (XEP-0115 §5) ------------------------------------------------------------------- */

static void
hash_feature(const char *ns, void *arg)
{
    mk_buf_printf(arg, "%s<", ns);
}

static int
by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void
hash_values(struct mk_buf *b, const struct field *field)
{
    size_t count = field->values->count;
    const char **sorted;

    if (count == 0)
        return;
    sorted = mk_alloc(count * sizeof(*sorted));
    memcpy(sorted, field->values->items, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), by_text);
    mk_buf_printf(b, "%s<", field->var);
    for (size_t i = 0; i < count; i++)
        mk_buf_printf(b, "%s<", sorted[i]);
    mk_free(sorted);
}

/* The verification string, base64. */
static void
caps_ver(const struct disco_conf *conf, struct mk_buf *out)
{
    unsigned char digest[MK_DIGEST_MAX];
    struct field fields[4];
    struct mk_buf b = {0};

    mk_buf_printf(&b, "server/im//%s<", conf->name);
    mk_feature_each(MK_TO_HOST, hash_feature, &b);
    if (has_form(conf)) {
        mk_buf_add_cstr(&b, FORM_TYPE "<");
        form_fields(conf, fields);
        for (size_t i = 0; i < MK_COUNT(fields); i++)
            hash_values(&b, &fields[i]);
    }
    mk_digest(MK_SHA1, mk_buf_str(&b), digest);
    mk_base64_encode(out, (struct mk_str){(const char *)digest, mk_digest_size(MK_SHA1)});
    mk_buf_release(&b);
}

static void
on_features(struct mk_ev_stream_features *ev, void *arg)
{
    struct disco *d = arg;
    const struct disco_conf *conf = mk_module_conf(d->module, mk_session_host(ev->session));
    struct mk_buf ver = {0};

    if (!(ev->flags & MK_STREAM_AUTHENTICATED))
        return;
    caps_ver(conf, &ver);
    mk_xml_open(ev->features, "c", NS_CAPS);
    mk_xml_attr(ev->features, "hash", "sha-1");
    mk_xml_attr(ev->features, "node", conf->caps_node);
    mk_xml_attr_str(ev->features, "ver", mk_buf_str(&ver));
    mk_xml_close(ev->features);
    mk_buf_release(&ver);
}

/* Is it the node under which our capabilities are asked for? */
static bool
is_caps_node(const struct disco_conf *conf, const char *node)
{
    size_t len = strlen(conf->caps_node);
    struct mk_buf ver = {0};
    bool is;

    if (strncmp(node, conf->caps_node, len) != 0 || node[len] != '#')
        return false;
    caps_ver(conf, &ver);
    is = mk_str_is(mk_buf_str(&ver), node + len + 1);
    mk_buf_release(&ver);
    return is;
}

/* -- answering ------------------------------------------------------------------------------------ */

static struct mk_xml *
begin(struct mk_iq *iq, const char *ns)
{
    struct mk_xml *x = mk_xml_new(NULL);

    mk_xml_open(x, "query", ns);
    mk_xml_attr(x, "node", mk_node_attr(mk_iq_child(iq), "node"));
    return x;
}

static void
answer_host(struct disco *d, struct mk_iq *iq)
{
    const struct disco_conf *conf = mk_module_conf(d->module, mk_iq_host(iq));
    struct mk_xml *x = begin(iq, NS_INFO);

    write_identity(x, "server", "im", conf->name);
    mk_feature_each(MK_TO_HOST, write_feature, x);
    write_form(x, conf);
    mk_iq_reply_result(iq, x);
}

static void
answer_account(struct mk_iq *iq)
{
    struct mk_xml *x = begin(iq, NS_INFO);

    write_identity(x, "account", "registered", NULL);
    mk_feature_each(MK_TO_BARE, write_feature, x);
    mk_iq_reply_result(iq, x);
}

static void
answer_node(struct mk_iq *iq, struct mk_hook *hook, const char *ns, bool need_found)
{
    struct mk_ev_disco ev = {MK_EVENT(ev), .host = mk_iq_host(iq), .account = mk_iq_account(iq),
                             .from = mk_iq_from(iq), .node = mk_node_attr(mk_iq_child(iq), "node"),
                             .out = begin(iq, ns)};

    if (mk_iq_addressee(iq) == MK_TO_HOST)
        ev.account = NULL;
    /* Both hooks have the same type. */
    mk_fire_disco_items(hook, &ev);
    if (need_found && !ev.found) {
        mk_xml_free(&ev.out);
        mk_iq_reply_error(iq, MK_ERR_ITEM_NOT_FOUND, NULL);
    } else {
        mk_iq_reply_result(iq, ev.out);
    }
}

static void
answer(struct disco *d, struct mk_iq *iq)
{
    const struct mk_node *query = mk_iq_child(iq);
    const char *node = mk_node_attr(query, "node");
    bool items = mk_node_is(query, NULL, NS_ITEMS), host = mk_iq_addressee(iq) == MK_TO_HOST;

    if (node && !*node)
        node = NULL;
    if (items)
        answer_node(iq, d->items, NS_ITEMS, node != NULL);
    else if (node && !(host && is_caps_node(mk_module_conf(d->module, mk_iq_host(iq)), node)))
        answer_node(iq, d->info, NS_INFO, true);
    else if (host)
        answer_host(d, iq);
    else
        answer_account(iq);
}

/* -- who may ask about an account (XEP-0030 §8) ----------------------------------------------------- */

struct asking {
    struct disco *disco;
    struct mk_iq *iq;
};

static void
on_item(enum mk_roster_result result, const struct mk_roster_item *item, void *arg)
{
    struct asking *a = arg;

    if (result == MK_ROSTER_OK && item && (item->subscription & MK_SUB_FROM))
        answer(a->disco, a->iq);
    else
        mk_iq_reply_error(a->iq, MK_ERR_SERVICE_UNAVAILABLE, NULL);
    mk_free(a);
}

static void
ask_roster(struct disco *d, struct mk_iq *iq)
{
    struct asking *a = mk_alloc(sizeof(*a));
    struct mk_jid *contact = mk_jid_bare_new(mk_iq_from(iq)), *account;

    *a = (struct asking){d, mk_iq_hold(iq)};
    account = mk_jid_ref(mk_iq_account(a->iq));
    d->roster->item(d->roster->self, account, contact, on_item, a);
    mk_jid_unref(&account);
    mk_jid_unref(&contact);
}

static enum mk_verdict
on_query(struct mk_iq *iq, void *arg)
{
    struct disco *d = arg;

    if (mk_iq_addressee(iq) != MK_TO_OTHER)
        answer(d, iq);
    else if (d->roster)
        ask_roster(d, iq);
    else
        mk_iq_reply_error(iq, MK_ERR_SERVICE_UNAVAILABLE, NULL);
    return MK_HANDLED;
}

/* -- life cycle ----------------------------------------------------------------------------------- */

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct disco *d = mk_zalloc(sizeof(*d));
    unsigned all = MK_TO_HOST | MK_TO_BARE;

    mk_module_set(m, d);
    d->module = m;
    d->roster = mk_service_nth(m, "roster", MK_ROSTER_ABI, 0);
    d->info = mk_define_disco_info(m, NULL, NULL);
    d->items = mk_define_disco_items(m, NULL, NULL);
    if (mk_on_iq(m, MK_IQ_GET, all, NS_INFO, "query", on_query, d) < 0 ||
        mk_on_iq(m, MK_IQ_GET, all, NS_ITEMS, "query", on_query, d) < 0 ||
        mk_feature_add(m, MK_TO_HOST, NS_CAPS) < 0 ||
        mk_on(m, stream_features, MK_PRIO_LATE, on_features, d) < 0)
        return mk_fail(err, "cannot register the handlers of disco");
    return 0;
}

static void
unload(struct mk_module *m)
{
    mk_free(mk_module_get(m));
}

/* Modules that answer for nodes of their own come first. */
MK_MODULE(.name = "disco", .version = "1.0",
          .summary = "XEP-0030: service discovery; XEP-0115: capabilities of the server; XEP-0157",
          .depends = (const char *const[]){"c2s", NULL},
          .after = (const char *const[]){"roster", "offline", NULL}, .options = options,
          .conf_size = sizeof(struct disco_conf), .init = init, .unload = unload);
