/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * listOldUsers, removeOldUsers: the accounts of a domain, or of all, a few at a time: who is not online, and left before the given time
 * or never came. What a removal takes away is what service "auth" takes away.
 */
#include "config.h"

#include <meerkat/admin.h>

#include "internal.h"

struct old {
    struct last *self;
    struct mk_gql_field *f;
    bool remove;
    int64_t before;                     /* seconds since 1970 */
    size_t max;
    struct mk_host **hosts;
    size_t host_count, host, backend;
    char *after;                        /* the last name of the page before */
    bool last_page;
    json_t *list;
    /* a page */
    char *names[OLD_AT_ONCE];
    int64_t seconds[OLD_AT_ONCE];       /* 0: never */
    size_t count, next;
    mk_task_fn go_on;                   /* the next page */
};

static void
drop_page(struct old *o)
{
    for (size_t i = 0; i < o->count; i++)
        mk_free(o->names[i]);
    o->count = o->next = 0;
}

static void
finish(struct old *o, json_t *answer)
{
    mk_gql_answer(o->f, answer);
    drop_page(o);
    json_decref(o->list);
    mk_free(o->after);
    mk_free(o->hosts);
    mk_free(o);
}

static void
finish_failed(struct old *o)
{
    finish(o, o->f->api->error("unavailable", "The accounts cannot be read or removed now: try again", NULL));
}

/* -- those of a page that are old -------------------------------------------------------------- */

static void
add(struct old *o, size_t i)
{
    json_t *user = json_object();
    char *jid = mk_printf_new("%s@%s", o->names[i], mk_host_name(o->hosts[o->host]));

    json_object_set_new(user, "jid", json_string(jid));
    json_object_set_new(user, "timestamp", o->seconds[i] ? json_integer(o->seconds[i] * 1000000) : json_null());
    json_array_append_new(o->list, user);
    mk_free(jid);
}

/* One was removed (or the page begins): the next one. */
static void
take_next(enum mk_auth_result result, void *arg)
{
    struct old *o = arg;
    const struct mk_auth *auth = mk_auth_nth(&o->self->auth, o->backend);

    if (result == MK_AUTH_OK && o->next)
        add(o, o->next - 1);
    if (result != MK_AUTH_OK && result != MK_AUTH_NO_ACCOUNT) {
        finish_failed(o);
        return;
    }
    while (o->next < o->count && o->seconds[o->next] >= o->before)
        o->next++;
    if (o->next == o->count)
        o->go_on(o);
    else if (json_array_size(o->list) == o->max)
        finish(o, o->remove ? json_incref(o->list)
                            : o->f->api->error("too_many_items", "There are more than option 'max_listed' of module "
                                               "'last' allows", NULL));
    else if (o->next++, o->remove)
        auth->remove(auth->self, o->hosts[o->host], mk_str_of(o->names[o->next - 1]), take_next, o);
    else
        take_next(MK_AUTH_OK, o);
}

static void
on_seconds(struct mk_sql_result *result, void *arg)
{
    struct old *o = arg;
    const struct mk_rdbms *db = o->self->db;

    if (db->status(result) != MK_SQL_OK) {
        mk_log(o->self->module, MK_LOG_WARN, "last.sql", "last activities were not read: %s", db->error(result));
        finish_failed(o);
        return;
    }
    while (db->next(result)) {
        for (size_t i = 0; i < o->count; i++) {
            if (mk_str_is(db->get_text(result, 0), o->names[i]))
                o->seconds[i] = db->get_int(result, 1);
        }
    }
    take_next(MK_AUTH_OK, o);
}

static void
select_seconds(struct old *o)
{
    struct mk_sql_value values[1 + OLD_AT_ONCE] = {MK_SQL_V_CSTR(mk_host_name(o->hosts[o->host]))};

    for (size_t i = 0; i < OLD_AT_ONCE; i++)
        values[i + 1] = MK_SQL_V_CSTR(o->names[i < o->count ? i : 0]);
    o->self->db->exec(o->self->db->self, o->self->some, values, MK_COUNT(values), NULL, on_seconds, o);
}

/* -- pages ------------------------------------------------------------------------------------- */

static bool
is_there(const struct mk_resource *r, void *arg)
{
    (void)r;
    *(bool *)arg = true;
    return false;
}

static bool
has_session(struct old *o, struct mk_str name)
{
    struct mk_jid *jid = mk_jid_new(name, mk_str_of(mk_host_name(o->hosts[o->host])), (struct mk_str){0});
    bool found = false;

    if (jid)
        o->self->sessions->each(o->self->sessions->self, jid, is_there, &found);
    mk_jid_unref(&jid);
    return found;
}

static void
on_page(enum mk_auth_result result, const struct mk_str *users, size_t count, void *arg)
{
    struct old *o = arg;

    if (result != MK_AUTH_OK) {
        finish_failed(o);
        return;
    }
    o->last_page = count < OLD_AT_ONCE;
    mk_free(o->after);
    o->after = count ? mk_str_dup(users[count - 1]) : mk_strdup("");
    for (size_t i = 0; i < count && i < OLD_AT_ONCE; i++) {
        if (has_session(o, users[i]))
            continue;
        o->seconds[o->count] = 0;
        o->names[o->count++] = mk_str_dup(users[i]);
    }
    if (o->count)
        select_seconds(o);
    else
        o->go_on(o);
}

static bool
can_list(const struct old *o, const struct mk_auth *auth)
{
    return MK_HAS(auth, list) && auth->list && (!o->remove || auth->can_change);
}

/* The next page of this backend, or the first one of the next backend, or host. */
static void
next_page(void *arg)
{
    struct old *o = arg;
    const struct mk_auth *auth;

    drop_page(o);
    if (o->last_page) {
        o->backend++;
        mk_free(o->after);
        o->after = mk_strdup("");
        o->last_page = false;
    }
    while (o->host < o->host_count) {
        auth = mk_auth_nth(&o->self->auth, o->backend);
        if (auth && can_list(o, auth)) {
            auth->list(auth->self, o->hosts[o->host], mk_str_of(o->after), OLD_AT_ONCE, on_page, o);
            return;
        }
        o->backend++;
        if (!auth) {
            o->host++;
            o->backend = 0;
        }
    }
    finish(o, json_incref(o->list));
}

/* -- the beginning ------------------------------------------------------------------------------ */

static void
add_host(struct mk_host *host, void *arg)
{
    struct old *o = arg;

    o->hosts = mk_realloc(o->hosts, (o->host_count + 1) * sizeof(struct mk_host *));
    o->hosts[o->host_count++] = host;
}

static void
add_hosts(void *arg)
{
    mk_host_each(add_host, arg);
}

static void
begin(struct mk_gql_field *f, struct last *self, bool remove)
{
    const struct last_conf *conf = mk_module_conf(self->module, NULL);
    const char *domain = mk_gql_string(f, "domain");
    struct mk_host *host = domain ? mk_host_find(mk_str_of(domain)) : NULL;
    struct old *o;
    int64_t us = 0;

    if (domain && !host) {
        mk_gql_answer(f, f->api->error("domain_not_found", "Given domain does not exist",
                                       json_pack("{s:s}", "domain", domain)));
        return;
    }
    /* The scalar has checked it. */
    if (mk_time_parse(mk_str_of(mk_gql_string(f, "timestamp")), &us) < 0)
        us = 0;
    o = mk_zalloc(sizeof(*o));
    *o = (struct old){.self = self, .f = f, .remove = remove, .before = us / 1000000, .list = json_array(),
                      .max = (size_t)conf->max_listed, .after = mk_strdup(""), .go_on = next_page};
    if (host) {
        add_host(host, o);
        next_page(o);
    } else {
        mk_on_main(self->module, add_hosts, next_page, o);
    }
}

void
old_list(struct mk_gql_field *f, void *arg)
{
    begin(f, arg, false);
}

void
old_remove(struct mk_gql_field *f, void *arg)
{
    mk_gql_takes_long(f);
    begin(f, arg, true);
}
