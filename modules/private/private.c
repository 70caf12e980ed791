/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Private XML storage (XEP-0049): an account keeps one element for each namespace, which nobody else sees.
 */
#include "config.h"

#include "internal.h"

#define NS_PRIVATE "jabber:iq:private"
#define NS_MAX_CHARS 250        /* of the column */

static const struct mk_option options[] = {
    MK_OPTION_SIZE(struct private_conf, max_size, "64K", "1000", "16M",
                   MK_OPT_RELOADABLE | MK_OPT_PER_HOST, "largest element that is stored"),
    MK_OPTION_INT(struct private_conf, max_elements, "100", "1", "1000000",
                  MK_OPT_RELOADABLE | MK_OPT_PER_HOST, "elements that an account may store"),
    MK_OPTION_BOOL(struct private_conf, reserved, "yes", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                   "accept the namespaces that XEP-0049 reserves: jabber:…, http://jabber.org/…, "
                   "vcard-temp"),
    MK_OPTION_END};

MK_SQL_FILE(private_001, "001_private_storage.sql");

static const struct mk_sql_migration migrations[] = {{1, private_001}, {0, NULL}};

/* What an answer of the database needs. */
struct request {
    struct private *self;
    struct mk_iq *iq;
};

/* -- answers -------------------------------------------------------------------------------- */

static struct mk_iq *
end_request(struct request *r)
{
    struct mk_iq *iq = r->iq;

    mk_free(r);
    return iq;
}

static void
reply_failed(struct private *self, struct mk_iq *iq, const struct mk_sql_result *result)
{
    enum mk_sql_status status = self->db->status(result);

    if (status == MK_SQL_ERROR) {
        mk_log(self->module, MK_LOG_ERROR, "private.sql", "a request of '%.*s' failed: %s",
               MK_STR_ARG(mk_jid_bare(mk_iq_from(iq))), self->db->error(result));
        mk_iq_reply_error(iq, MK_ERR_INTERNAL_SERVER_ERROR, NULL);
        return;
    }
    mk_iq_reply_error(iq, MK_ERR_RESOURCE_CONSTRAINT, "the storage does not answer, try again");
}

static void
on_selected(struct mk_sql_result *result, void *arg)
{
    struct request *r = arg;
    struct private *self = r->self;
    struct mk_iq *iq = end_request(r);
    const struct mk_node *wanted = mk_node_child(mk_iq_child(iq), NULL, NULL);
    struct mk_xml *x;

    if (self->db->status(result) != MK_SQL_OK) {
        reply_failed(self, iq, result);
        return;
    }
    x = mk_xml_new(NULL);
    mk_xml_open(x, "query", NS_PRIVATE);
    if (!self->db->next(result)) {
        mk_xml_node(x, wanted);         /* §2.3: nothing stored, the element comes back as it is */
    } else if (mk_xml_parsed(x, self->db->get_text(result, 0), NULL) < 0) {
        mk_xml_free(&x);
        mk_log(self->module, MK_LOG_ERROR, "private.row",
               "the element '%s' of '%.*s' is not XML", mk_node_ns(wanted),
               MK_STR_ARG(mk_jid_bare(mk_iq_from(iq))));
        mk_iq_reply_error(iq, MK_ERR_INTERNAL_SERVER_ERROR, NULL);
        return;
    }
    mk_iq_reply_result(iq, x);
}

static void
on_stored(struct mk_sql_result *result, void *arg)
{
    struct request *r = arg;
    struct private *self = r->self;
    struct mk_iq *iq = end_request(r);

    if (self->db->status(result) != MK_SQL_OK) {
        reply_failed(self, iq, result);
    } else if (self->db->affected(result) == 0) {
        mk_counter_add(self->refused, 1);
        mk_iq_reply_error(iq, MK_ERR_POLICY_VIOLATION, "too many elements are stored");
    } else {
        mk_iq_reply_result(iq, NULL);
    }
}

/* -- requests ------------------------------------------------------------------------------- */

static void
run(struct private *self, struct mk_iq *iq, struct mk_sql_stmt *stmt,
    const struct mk_sql_value *values, size_t n, mk_sql_fn fn)
{
    struct request *r = mk_alloc(sizeof(*r));
    char *key = mk_str_dup(mk_jid_bare(mk_iq_from(iq)));

    *r = (struct request){self, mk_iq_hold(iq)};
    self->db->exec(self->db->self, stmt, values, n, key, fn, r);
    mk_free(key);
}

static bool
is_reserved(const char *ns)
{
    return strncmp(ns, "jabber:", 7) == 0 || strncmp(ns, "http://jabber.org/", 18) == 0 ||
           strcmp(ns, "vcard-temp") == 0;
}

/* The column takes no more, and a namespace that was cut would be another one. */
static bool
fits_column(const char *ns)
{
    size_t chars = 0;

    for (; *ns; ns++)
        chars += ((unsigned char)*ns & 0xc0) != 0x80;
    return chars <= NS_MAX_CHARS;
}

bool
private_can_keep(const char *ns, const struct private_conf *conf)
{
    return *ns && strcmp(ns, NS_PRIVATE) != 0 && fits_column(ns) && (conf->reserved || !is_reserved(ns));
}

/* The element asked for or given: exactly one, with a namespace of its own. Answers when it is not so. */
static const struct mk_node *
find_element(struct mk_iq *iq, const struct private_conf *conf)
{
    const struct mk_node *e = mk_node_child(mk_iq_child(iq), NULL, NULL);
    bool get = mk_iq_type(iq) == MK_TYPE_GET;
    const char *ns;

    if (!e) {
        mk_iq_reply_error(iq, get ? MK_ERR_BAD_REQUEST : MK_ERR_NOT_ACCEPTABLE,
                          "an element with a namespace of its own is needed");
        return NULL;
    }
    ns = mk_node_ns(e);
    if (!*ns || strcmp(ns, NS_PRIVATE) == 0 || !fits_column(ns)) {
        mk_iq_reply_error(iq, MK_ERR_NOT_ACCEPTABLE, "the element's namespace cannot be used");
        return NULL;
    }
    if (mk_node_next(e, NULL, NULL)) {
        mk_iq_reply_error(iq, get ? MK_ERR_BAD_REQUEST : MK_ERR_NOT_ACCEPTABLE,
                          "one element at a time");
        return NULL;
    }
    if (!conf->reserved && is_reserved(ns)) {
        mk_iq_reply_error(iq, MK_ERR_NOT_ACCEPTABLE, "the namespace is reserved");
        return NULL;
    }
    return e;
}

static void
get(struct private *self, struct mk_iq *iq, const struct mk_node *element)
{
    const struct mk_jid *from = mk_iq_from(iq);
    const struct mk_sql_value values[] = {MK_SQL_V_TEXT(mk_jid_domain(from)),
                                          MK_SQL_V_TEXT(mk_jid_local(from)),
                                          MK_SQL_V_CSTR(mk_node_ns(element))};

    run(self, iq, self->select, values, MK_COUNT(values), on_selected);
}

static void
set(struct private *self, struct mk_iq *iq, const struct mk_node *element,
    const struct private_conf *conf)
{
    struct mk_str server = mk_jid_domain(mk_iq_from(iq)), user = mk_jid_local(mk_iq_from(iq));
    struct mk_str ns = mk_str_of(mk_node_ns(element)), data;
    struct mk_xml *x = mk_xml_new("");

    mk_xml_node(x, element);
    data = mk_xml_str(x);
    if (data.len > conf->max_size) {
        mk_counter_add(self->refused, 1);
        mk_iq_reply_error(iq, MK_ERR_POLICY_VIOLATION, "the element is too large");
    } else {
        const struct mk_sql_value values[] = {
            MK_SQL_V_TEXT(server), MK_SQL_V_TEXT(user), MK_SQL_V_TEXT(ns),
            MK_SQL_V_TEXT(data),   MK_SQL_V_TEXT(server), MK_SQL_V_TEXT(user),
            MK_SQL_V_TEXT(ns),     MK_SQL_V_INT(conf->max_elements)};

        run(self, iq, self->upsert, values, MK_COUNT(values), on_stored);
    }
    mk_xml_free(&x);
}

static enum mk_verdict
on_private(struct mk_iq *iq, void *arg)
{
    struct private *self = arg;
    const struct private_conf *conf = mk_module_conf(self->module, mk_iq_host(iq));
    const struct mk_node *element;

    if (mk_iq_addressee(iq) != MK_TO_SELF) {
        mk_iq_reply_error(iq, MK_ERR_FORBIDDEN, NULL);      /* §3 */
        return MK_HANDLED;
    }
    element = find_element(iq, conf);
    if (!element)
        return MK_HANDLED;
    if (mk_iq_type(iq) == MK_TYPE_GET)
        get(self, iq, element);
    else
        set(self, iq, element, conf);
    return MK_HANDLED;
}

static void
on_account_remove(struct mk_ev_account_remove *ev, void *arg)
{
    struct private *self = arg;
    const struct mk_sql_value values[] = {MK_SQL_V_TEXT(ev->domain), MK_SQL_V_TEXT(ev->user)};

    if (ev->batch)
        self->db->batch_add(ev->batch, self->remove, values, MK_COUNT(values));
    else
        self->db->exec(self->db->self, self->remove, values, MK_COUNT(values), NULL, NULL, NULL);
}

/* -- life cycle ----------------------------------------------------------------------------- */

static void
prepare(struct private *self)
{
    const struct mk_rdbms *db = self->db;
    struct mk_module *m = self->module;

    self->select = db->prepare(
        db->self, m,
        "SELECT data FROM private_storage WHERE server = ? AND username = ? AND namespace = ?");
    /* The limit is looked at by the statement itself, so that nothing comes in between. */
    self->upsert = db->prepare(
        db->self, m,
        "INSERT INTO private_storage (server, username, namespace, data) "
        "SELECT CAST(? AS varchar(250)), CAST(? AS varchar(250)), CAST(? AS varchar(250)), "
        "CAST(? AS text) WHERE (SELECT count(*) FROM private_storage WHERE server = ? AND "
        "username = ? AND namespace <> ?) < ? "
        "ON CONFLICT (server, username, namespace) DO UPDATE SET data = excluded.data");
    self->remove = db->prepare(db->self, m,
                               "DELETE FROM private_storage WHERE server = ? AND username = ?");
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct private *self = mk_zalloc(sizeof(*self));

    mk_module_set(m, self);
    self->module = m;
    self->db = mk_rdbms_get(m, err);
    if (!self->db || self->db->schema(self->db->self, m, migrations, err) < 0)
        return -1;
    prepare(self);
    self->refused = mk_counter_new(m, "private_refused_total", NULL,
                                   "Elements that were over a limit of private storage");
    if (mk_on_iq(m, MK_IQ_GET | MK_IQ_SET, MK_TO_BARE, NS_PRIVATE, "query", on_private, self) < 0 ||
        mk_on(m, account_remove, MK_PRIO_NORMAL, on_account_remove, self) < 0 || private_port(self) < 0)
        return mk_fail(err, "a handler could not be registered");
    return private_api(self, err);
}

static int
start(struct mk_module *m, struct mk_error *err)
{
    struct private *self = mk_module_get(m);

    (void)err;
    mk_auth_backends_get(m, &self->auth);
    return 0;
}

static void
unload(struct mk_module *m)
{
    mk_free(mk_module_get(m));
}

MK_MODULE(.name = "private", .version = "1.0",
          .summary = "private storage of clients' settings (XEP-0049)",
          .depends = (const char *const[]){"rdbms", "router", NULL},
          .after = (const char *const[]){"auth", "graphql", NULL}, .options = options,
          .conf_size = sizeof(struct private_conf), .init = init, .start = start, .unload = unload);
