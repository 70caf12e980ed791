/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * listUsersWithStatus, countUsersWithStatus: what a session shows is in its last presence, which its own node has. So each node looks
 * through its sessions and tells those that match.
 */
#include "config.h"

#include <pthread.h>

#include "internal.h"

/* -- at a node -------------------------------------------------------------------------------- */

struct looking {
    struct node_request *request;
    struct admin *admin;
    struct scan scan;
    mk_session_id *ids;
    const char *status;
    size_t limit;
    pthread_mutex_t lock;       /* workers look at their sessions at the same time */
    size_t count;
    json_t *users;
};

static struct mk_str
child_text(const struct mk_stanza *st, const char *name, const char *otherwise)
{
    const struct mk_node *child = mk_stanza_has(st, name, MK_NS_CLIENT) ? mk_stanza_child(st, name, MK_NS_CLIENT) : NULL;

    return child ? mk_node_text(child) : mk_str_of(otherwise);
}

static void
look_one(struct mk_session *s, size_t index, void *arg)
{
    struct looking *l = arg;
    const struct mk_presence *presence = __atomic_load_n(&l->admin->presence, __ATOMIC_ACQUIRE);
    const struct mk_stanza *last = s && presence ? presence->last(presence->self, s) : NULL;

    if (!last || !mk_str_is(child_text(last, "show", "online"), l->status))
        return;
    pthread_mutex_lock(&l->lock);
    if (l->count++ < l->limit)
        json_array_append_new(l->users, json_pack("[s,i,o]", l->scan.found[index].jid, l->scan.found[index].priority,
                                                  client_text(child_text(last, "status", ""))));
    pthread_mutex_unlock(&l->lock);
}

static void
looked(void *arg)
{
    struct looking *l = arg;

    node_answer(l->request, json_pack("{s:I,s:o}", "count", (json_int_t)l->count, "users", l->users));
    scan_release(&l->scan);
    mk_free(l->ids);
    pthread_mutex_destroy(&l->lock);
    mk_free(l);
}

static void
scanned(void *arg)
{
    struct looking *l = arg;

    l->ids = mk_alloc((l->scan.count + 1) * sizeof(*l->ids));
    for (size_t i = 0; i < l->scan.count; i++)
        l->ids[i] = l->scan.found[i].there;
    visit_sessions(l->admin, l->ids, l->scan.count, look_one, looked, l);
}

void
on_with_status(struct node_request *r)
{
    struct looking *l = mk_zalloc(sizeof(*l));

    l->request = r;
    l->admin = node_request_admin(r);
    l->status = json_string_value(node_request_value(r, "status"));
    l->limit = (size_t)json_integer_value(node_request_value(r, "limit"));
    l->users = json_array();
    l->scan = (struct scan){.domain = json_string_value(node_request_value(r, "domain")), .available = true,
                            .here = true, .keep = SIZE_MAX};
    pthread_mutex_init(&l->lock, NULL);
    if (!l->status || scan_sessions(l->admin, &l->scan, scanned, l) < 0) {
        node_answer(r, NULL);
        json_decref(l->users);
        pthread_mutex_destroy(&l->lock);
        mk_free(l);
    }
}

/* -- where it is asked ------------------------------------------------------------------------ */

struct asking {
    struct mk_gql_field *f;
    struct admin *admin;
    size_t left, silent;        /* nodes: that have not answered, that did not */
    size_t limit;
    json_int_t count;
    json_t *users;              /* NULL: they are only counted */
};

static void
finish(struct asking *ask)
{
    if (ask->silent)
        mk_gql_fail(ask->f, "busy", "Not every node has answered: try again");
    else if (!ask->users)
        mk_gql_answer(ask->f, json_integer(ask->count));
    else if ((size_t)ask->count > ask->limit)
        mk_gql_fail(ask->f, "too_many_items", "There are more than option 'max_items' of module 'admin' allows");
    else
        mk_gql_answer(ask->f, json_incref(ask->users));
    json_decref(ask->users);
    mk_free(ask);
}

static void
on_answer(const json_t *answer, void *arg)
{
    struct asking *ask = arg;
    const json_t *user;
    size_t i;

    if (!answer)
        ask->silent++;
    ask->count += json_integer_value(json_object_get(answer, "count"));
    if (ask->users) {
        json_array_foreach(json_object_get(answer, "users"), i, user)
            json_array_append_new(ask->users, json_pack("{s:O,s:O,s:O}", "user", json_array_get(user, 0), "priority",
                                                        json_array_get(user, 1), "text", json_array_get(user, 2)));
    }
    if (--ask->left == 0)
        finish(ask);
}

static void
ask_nodes(struct mk_gql_field *f, struct admin *a, bool list)
{
    struct asking *ask = mk_zalloc(sizeof(*ask));
    const char *domain = mk_gql_string(f, "domain");
    uint32_t nodes[NODES_MAX];
    size_t count = nodes_list(a, nodes, NODES_MAX);
    json_t *request;

    *ask = (struct asking){.f = f, .admin = a, .left = count, .limit = max_items(a),
                           .users = list ? json_array() : NULL};
    for (size_t i = 0; i < count; i++) {
        request = json_pack("{s:s,s:I}", "status", mk_gql_string(f, "status"), "limit",
                            (json_int_t)(list ? ask->limit : 0));
        if (domain)
            json_object_set_new(request, "domain", json_string(domain));
        node_ask(a, nodes[i], "with_status", request, on_answer, ask);
    }
}

static void
with_status(struct mk_gql_field *f, struct admin *a, bool list)
{
    if (mk_gql_string(f, "domain") && !domain_argument(f, "domain", "domain_not_found"))
        return;
    ask_nodes(f, a, list);
}

void
session_list_users_with_status(struct mk_gql_field *f, void *arg)
{
    with_status(f, arg, true);
}

void
session_count_users_with_status(struct mk_gql_field *f, void *arg)
{
    with_status(f, arg, false);
}
