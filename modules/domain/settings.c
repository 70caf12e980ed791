/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* What the API reads and changes in domain_settings. A change is answered when all nodes act by it. */
#include "config.h"

#include "internal.h"

#define LIST_MAX 10000

void
fail_domain(struct mk_gql_field *f, const char *code, const char *message)
{
    const char *domain = mk_gql_string(f, "domain");

    mk_gql_answer(f, f->api->error(code, message, domain ? json_pack("{s:s}", "domain", domain) : NULL));
}

void
fail_sql(struct domain *self, struct mk_gql_field *f, const struct mk_sql_result *result)
{
    if (self->db->status(result) == MK_SQL_ERROR)
        mk_log(self->module, MK_LOG_ERROR, "domain.sql", "a request on domains failed: %s", self->db->error(result));
    fail_domain(f, "unavailable", "The storage does not answer: try again");
}

static json_t *
domain_object(struct mk_str name, struct mk_str host_type, enum status status, bool fixed)
{
    static const char *const names[] = {
        [STATUS_DISABLED] = "DISABLED", [STATUS_ENABLED] = "ENABLED", [STATUS_DELETING] = "DELETING"};

    return json_pack("{s:s%,s:s%,s:s,s:s}", "domain", name.p, name.len, "hostType", host_type.p, host_type.len, "status",
                     status <= STATUS_DELETING ? names[status] : "DISABLED", "type", fixed ? "STATIC" : "DYNAMIC");
}

/* A static domain is its own host type, as in MongooseIM. */
static bool
is_static(const char *domain)
{
    struct mk_host *host = mk_host_find(mk_str_of(domain));

    return host && mk_host_is_fixed(host);
}

/* A field about the domain of its argument, while the database is asked. */
struct request {
    struct domain *self;
    struct mk_gql_field *f;
    enum status status;         /* to be */
    bool wait;                  /* removal: answer when it is over */
};

static struct request *
request_new(struct domain *self, struct mk_gql_field *f)
{
    struct request *r = mk_zalloc(sizeof(*r));

    *r = (struct request){.self = self, .f = f};
    return r;
}

static void
select_domain(struct request *r, mk_sql_fn fn)
{
    const char *domain = mk_gql_string(r->f, "domain");

    mk_sql_exec(r->self->db, r->self->sql.select, domain, fn, r, MK_SQL_V_CSTR(domain));
}

/* -- reading ------------------------------------------------------------------------------------ */

/* The end of everything that answers with the domain as it is. */
static void
on_details(struct mk_sql_result *result, void *arg)
{
    struct request *r = arg;
    const struct mk_rdbms *db = r->self->db;

    if (db->status(result) != MK_SQL_OK)
        fail_sql(r->self, r->f, result);
    else if (!db->next(result))
        fail_domain(r->f, "not_found", "Given domain does not exist");
    else
        mk_gql_answer(r->f, domain_object(mk_str_of(mk_gql_string(r->f, "domain")), db->get_text(result, 0),
                                          (enum status)db->get_int(result, 1), false));
    mk_free(r);
}

void
settings_details(struct mk_gql_field *f, void *arg)
{
    const char *domain = mk_gql_string(f, "domain");

    if (is_static(domain))
        mk_gql_answer(f, domain_object(mk_str_of(domain), mk_str_of(domain), STATUS_ENABLED, true));
    else
        select_domain(request_new(arg, f), on_details);
}

struct listing {
    struct request *request;
    json_t *list;
};

static void
add_fixed(struct mk_host *host, void *arg)
{
    struct listing *l = arg;
    struct mk_str name = mk_str_of(mk_host_name(host));

    if (mk_host_is_fixed(host))
        json_array_append_new(l->list, domain_object(name, name, STATUS_ENABLED, true));
}

static void
add_all_fixed(void *arg)
{
    mk_host_each(add_fixed, arg);
}

static void
on_all(struct mk_sql_result *result, void *arg)
{
    struct listing l = *(struct listing *)arg;
    struct domain *self = l.request->self;
    const struct mk_rdbms *db = self->db;

    mk_free(arg);
    if (db->status(result) != MK_SQL_OK) {
        fail_sql(self, l.request->f, result);
    } else if (db->rows(result) > LIST_MAX) {
        mk_gql_fail(l.request->f, "too_many_items", "There are too many domains for one list");
    } else {
        while (db->next(result))
            json_array_append_new(l.list, domain_object(db->get_text(result, 0), db->get_text(result, 1),
                                                        (enum status)db->get_int(result, 2), false));
        mk_gql_answer(l.request->f, json_incref(l.list));
    }
    json_decref(l.list);
    mk_free(l.request);
}

static void
select_all(void *arg)
{
    struct listing *l = arg;
    struct domain *self = l->request->self;

    mk_sql_exec(self->db, self->sql.all, NULL, on_all, l, MK_SQL_V_INT(LIST_MAX + 1));
}

void
settings_all(struct mk_gql_field *f, void *arg)
{
    struct domain *self = arg;
    struct listing *l = mk_alloc(sizeof(*l));

    *l = (struct listing){request_new(self, f), json_array()};
    mk_on_main(self->module, add_all_fixed, select_all, l);
}

static bool
is_host_type(const struct domain *self, const char *name)
{
    const struct domain_conf *conf = mk_module_conf(self->module, NULL);

    for (size_t i = 0; i < conf->host_types.count; i++) {
        if (strcmp(conf->host_types.items[i], name) == 0)
            return true;
    }
    return false;
}

static void
on_names(struct mk_sql_result *result, void *arg)
{
    struct request *r = arg;
    const struct mk_rdbms *db = r->self->db;
    struct mk_str name;
    json_t *list;

    if (db->status(result) != MK_SQL_OK) {
        fail_sql(r->self, r->f, result);
    } else if (db->rows(result) > LIST_MAX) {
        mk_gql_fail(r->f, "too_many_items", "There are too many domains for one list");
    } else {
        list = json_array();
        while (db->next(result)) {
            name = db->get_text(result, 0);
            json_array_append_new(list, json_stringn(name.p, name.len));
        }
        mk_gql_answer(r->f, list);
    }
    mk_free(r);
}

void
settings_by_type(struct mk_gql_field *f, void *arg)
{
    const char *type = mk_gql_string(f, "hostType");
    struct domain *self = arg;

    if (is_host_type(self, type))
        mk_sql_exec(self->db, self->sql.of_type, NULL, on_names, request_new(self, f), MK_SQL_V_CSTR(type),
                    MK_SQL_V_INT(LIST_MAX + 1));
    else if (is_static(type))
        mk_gql_answer(f, json_pack("[s]", type));
    else
        mk_gql_fail(f, "unknown_host_type", "Given host type does not exist");
}

/* -- adding ------------------------------------------------------------------------------------- */

static void
synced(void *arg)
{
    select_domain(arg, on_details);
}

/* It is there already: that is fine when it is what was asked for. */
static void
on_existing(struct mk_sql_result *result, void *arg)
{
    struct request *r = arg;
    const struct mk_rdbms *db = r->self->db;

    if (db->status(result) != MK_SQL_OK || !db->next(result))
        fail_sql(r->self, r->f, result);
    else if (db->get_int(result, 1) == STATUS_DELETING)
        fail_domain(r->f, "deleted", "Given domain is being removed");
    else if (!mk_str_is(db->get_text(result, 0), mk_gql_string(r->f, "hostType")))
        fail_domain(r->f, "duplicate", "Domain already exists with another host type");
    else {
        synced(r);
        return;
    }
    mk_free(r);
}

static void
on_inserted(struct mk_sql_result *result, void *arg)
{
    struct request *r = arg;
    struct domain *self = r->self;

    switch (self->db->status(result)) {
    case MK_SQL_OK:
        mk_log(self->module, MK_LOG_INFO, "domain.added", "domain '%s' was added by an administrator",
               mk_gql_string(r->f, "domain"));
        sync_all(self, synced, r);
        break;
    case MK_SQL_DUPLICATE:
        select_domain(r, on_existing);
        break;
    default:
        fail_sql(self, r->f, result);
        mk_free(r);
    }
}

/* False: it was answered. */
static bool
may_change(struct domain *self, struct mk_gql_field *f, const char *host_type)
{
    if (is_static(mk_gql_string(f, "domain")))
        fail_domain(f, "static", "Domain is static");
    else if (host_type && !is_host_type(self, host_type))
        fail_domain(f, "unknown_host_type", "Given host type does not exist");
    else
        return true;
    return false;
}

void
settings_add(struct mk_gql_field *f, void *arg)
{
    const char *domain = mk_gql_string(f, "domain"), *type = mk_gql_string(f, "hostType");
    struct domain *self = arg;
    struct mk_sql_batch *batch;

    if (!may_change(self, f, type))
        return;
    if (strlen(domain) > 250) {
        fail_domain(f, "too_long", "The name is longer than 250 bytes");
        return;
    }
    batch = self->db->batch(self->db->self, self->module);
    mk_sql_add(self->db, batch, self->sql.insert, MK_SQL_V_CSTR(domain), MK_SQL_V_CSTR(type));
    mk_sql_add(self->db, batch, self->sql.event, MK_SQL_V_CSTR(domain));
    self->db->batch_run(batch, domain, on_inserted, request_new(self, f));
}

/* -- enabling and disabling ----------------------------------------------------------------------- */

/* Nothing was changed: there is none, or it is being removed. */
static void
on_not_changed(struct mk_sql_result *result, void *arg)
{
    struct request *r = arg;
    const struct mk_rdbms *db = r->self->db;

    if (db->status(result) != MK_SQL_OK)
        fail_sql(r->self, r->f, result);
    else if (!db->next(result))
        fail_domain(r->f, "not_found", "Given domain does not exist");
    else
        fail_domain(r->f, "deleted", "Given domain is being removed");
    mk_free(r);
}

static void
on_status_set(struct mk_sql_result *result, void *arg)
{
    struct request *r = arg;
    struct domain *self = r->self;

    if (self->db->status(result) != MK_SQL_OK) {
        fail_sql(self, r->f, result);
        mk_free(r);
    } else if (self->db->affected(result) == 0) {
        select_domain(r, on_not_changed);
    } else {
        mk_log(self->module, MK_LOG_INFO, "domain.status", "domain '%s' was %s by an administrator",
               mk_gql_string(r->f, "domain"), r->status == STATUS_ENABLED ? "enabled" : "disabled");
        sync_all(self, synced, r);
    }
}

static void
set_status(struct mk_gql_field *f, struct domain *self, enum status status)
{
    const char *domain = mk_gql_string(f, "domain");
    struct mk_sql_batch *batch;
    struct request *r;

    if (!may_change(self, f, NULL))
        return;
    r = request_new(self, f);
    r->status = status;
    batch = self->db->batch(self->db->self, self->module);
    mk_sql_add(self->db, batch, self->sql.set_status, MK_SQL_V_INT(status), MK_SQL_V_CSTR(domain));
    mk_sql_add(self->db, batch, self->sql.event_of, MK_SQL_V_CSTR(domain), MK_SQL_V_INT(status));
    self->db->batch_run(batch, domain, on_status_set, r);
}

void
settings_enable(struct mk_gql_field *f, void *arg)
{
    set_status(f, arg, STATUS_ENABLED);
}

void
settings_disable(struct mk_gql_field *f, void *arg)
{
    set_status(f, arg, STATUS_DISABLED);
}

/* -- removing ------------------------------------------------------------------------------------ */

static void
answer_removed(struct request *r, const char *status)
{
    mk_gql_answer(r->f, json_pack("{s:s,s:s,s:s,s:s}", "domain", mk_gql_string(r->f, "domain"), "hostType",
                                  mk_gql_string(r->f, "hostType"), "status", status, "type", "DYNAMIC"));
}

static void
on_removed(bool ok, void *arg)
{
    struct request *r = arg;

    if (!ok)
        fail_domain(r->f, "unavailable", "Not everything of the domain could be removed: try again");
    else
        answer_removed(r, "DELETED");
    mk_free(r);
}

static void
nobody_waits(bool ok, void *arg)
{
    struct domain *self = arg;

    if (!ok)
        mk_log(self->module, MK_LOG_WARN, "domain.remains",
               "not everything of a domain could be removed: ask for its removal again");
}

static void
not_served(void *arg)
{
    struct request *r = arg;

    if (r->wait) {
        removal_run(r->self, mk_gql_string(r->f, "domain"), on_removed, r);
        return;
    }
    removal_run(r->self, mk_gql_string(r->f, "domain"), nobody_waits, r->self);
    answer_removed(r, "DELETING");
    mk_free(r);
}

static void
on_not_removed(struct mk_sql_result *result, void *arg)
{
    struct request *r = arg;
    const struct mk_rdbms *db = r->self->db;

    if (db->status(result) != MK_SQL_OK)
        fail_sql(r->self, r->f, result);
    else if (!db->next(result))
        fail_domain(r->f, "not_found", "Given domain does not exist");
    else
        fail_domain(r->f, "wrong_host_type", "Wrong host type was provided");
    mk_free(r);
}

static void
on_deleting(struct mk_sql_result *result, void *arg)
{
    struct request *r = arg;
    struct domain *self = r->self;

    if (self->db->status(result) != MK_SQL_OK) {
        fail_sql(self, r->f, result);
        mk_free(r);
    } else if (self->db->affected(result) < 2) {
        /* The event may have been written for a domain that was being removed before. */
        select_domain(r, on_not_removed);
    } else {
        mk_log(self->module, MK_LOG_INFO, "domain.removed", "domain '%s' is removed by an administrator",
               mk_gql_string(r->f, "domain"));
        sync_all(self, not_served, r);
    }
}

static void
begin_removal(struct mk_gql_field *f, struct domain *self, bool wait)
{
    const char *domain = mk_gql_string(f, "domain"), *type = mk_gql_string(f, "hostType");
    struct mk_sql_batch *batch;
    struct request *r;

    if (!may_change(self, f, type))
        return;
    r = request_new(self, f);
    r->wait = wait;
    batch = self->db->batch(self->db->self, self->module);
    mk_sql_add(self->db, batch, self->sql.begin_remove, MK_SQL_V_CSTR(domain), MK_SQL_V_CSTR(type));
    mk_sql_add(self->db, batch, self->sql.event_of, MK_SQL_V_CSTR(domain), MK_SQL_V_INT(STATUS_DELETING));
    self->db->batch_run(batch, domain, on_deleting, r);
}

void
settings_remove(struct mk_gql_field *f, void *arg)
{
    mk_gql_takes_long(f);
    begin_removal(f, arg, true);
}

void
settings_request_remove(struct mk_gql_field *f, void *arg)
{
    begin_removal(f, arg, false);
}
