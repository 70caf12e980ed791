/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Module admin: what its files share. */
#ifndef ADMIN_INTERNAL_H
#define ADMIN_INTERNAL_H

#include <meerkat/admin.h>
#include <meerkat/auth.h>
#include <meerkat/c2s.h>
#include <meerkat/cluster.h>
#include <meerkat/graphql.h>
#include <meerkat/meerkat.h>
#include <meerkat/presence.h>
#include <meerkat/router.h>

struct admin_conf {
    int64_t max_items;
    uint64_t import_size;
};

struct mk_cets;

struct admin {
    struct mk_module *module;
    const struct mk_graphql *gql;
    const struct mk_sessions *sessions;
    const struct mk_c2s *c2s;
    const struct mk_presence *presence;     /* atomic; NULL: not loaded */
    const struct mk_cluster *cluster;       /* NULL: one node */
    struct mk_cluster_channel *channel;
    const struct mk_cets *cets;             /* NULL: tables of one node */
    struct mk_auth_backends auth;
    unsigned slot;                          /* of sessions that this module has made (stanza.c, subscribe.c) */
};

static inline size_t
max_items(const struct admin *a)
{
    const struct admin_conf *conf = mk_module_conf(a->module, NULL);

    return (size_t)conf->max_items;
}

/* -- answer.c: what resolvers have in common */

/* Answers with a text. */
void answer_text(struct mk_gql_field *f, const char *fmt, ...) MK_PRINTF(2, 3);
/* A JSON string of a slice; not UTF-8: null. */
json_t *json_str(struct mk_str s);
/* An error that says about which JID, domain or file it is (`what`: "jid", "domain"). */
json_t *error_about(struct mk_gql_field *f, const char *code, const char *what, const char *value, const char *message);
void fail_about(struct mk_gql_field *f, const char *code, const char *what, const char *value, const char *message);
/* What the database or the queue of costly work could not do. */
void fail_auth(struct mk_gql_field *f, enum mk_auth_result result);
/* The host of argument `name`, or NULL after an error with this code. */
struct mk_host *domain_argument(struct mk_gql_field *f, const char *name, const char *code);

/* The account of argument "user", or of the user who asks. Of a field that waits. */
struct account {
    struct admin *admin;
    struct mk_gql_field *f;
    struct mk_jid *jid;                     /* as given */
    struct mk_host *host;                   /* NULL: not one of ours */
    void (*next)(struct account *account);
};
/* NULL after an error. Owned. */
struct account *account_new(struct admin *a, struct mk_gql_field *f, const char *argument);
void account_free(struct account **account);
void account_find(struct account *account, mk_auth_find_fn fn);

/* -- nodes.c: what another node must be asked */

struct node_request;
/* `answer` is borrowed and NULL when the node is gone, or knows no such request. */
typedef void (*node_done_fn)(const json_t *answer, void *arg);
/* Asks a node (0: this one): `request` is taken; fn is called on this worker, perhaps at once. Worker. */
void node_ask(struct admin *a, uint32_t node, const char *what, json_t *request, node_done_fn fn, void *arg);
/* A request is answered once, on any worker. `answer` is taken. */
void node_answer(struct node_request *r, json_t *answer);
const json_t *node_request_value(const struct node_request *r, const char *name);
struct admin *node_request_admin(const struct node_request *r);
int nodes_init(struct admin *a, struct mk_error *err) MK_NODISCARD;
/* The numbers of the nodes that can be asked, this one (0) first, at most `max`. */
size_t nodes_list(struct admin *a, uint32_t *out, size_t max);
#define NODES_MAX 512
/* The name of a node by its number; owned. */
char *node_name(struct admin *a, uint32_t node);
/* False: there is no node of this name now. */
bool node_number(struct admin *a, const char *name, uint32_t *out);

/* Requests, by the file that answers them. */
void on_look(struct node_request *r);           /* look.c */
void on_with_status(struct node_request *r);    /* status.c */
void on_kick(struct node_request *r);           /* kick.c */
void on_set_presence(struct node_request *r);   /* set_presence.c */
void on_metrics(struct node_request *r);        /* metric.c */

/* -- scan.c: the table of all sessions, walked beside the workers */

struct found {
    char *jid;                              /* full */
    uint32_t node;
    mk_session_id there;
    int8_t priority;
    uint16_t flags;
    uint64_t since;
};

struct scan {
    const char *domain;                     /* NULL: all; borrowed until done */
    const char *match;                      /* a part of the JID; NULL: all */
    bool available, here;                   /* only these */
    size_t keep;                            /* how many to keep, the first by JID */
    /* afterwards */
    size_t total;                           /* that matched */
    struct found *found;                    /* sorted */
    size_t count;
};
/* done(arg) on this worker; -1: too much is under way, nothing happens. */
int scan_sessions(struct admin *a, struct scan *scan, mk_task_fn done, void *arg) MK_NODISCARD;
void scan_release(struct scan *scan);

/* -- visit.c */

/* `s` NULL: it is gone. */
typedef void (*visit_fn)(struct mk_session *s, size_t index, void *arg);
/*
 * Calls fn for sessions of this node, each on its own worker (so several at a time), a few in a row; then done(arg)
 * on this worker. `ids` stay the caller's until then.
 */
void visit_sessions(struct admin *a, const mk_session_id *ids, size_t count, visit_fn fn, mk_task_fn done, void *arg);

/* -- look.c: what only a session's own node knows */

/* Makes a list of GraphQL's type Session of what was found: fn is called once, on this worker; `list` is taken. */
typedef void (*look_fn)(json_t *list, void *arg);
/* `found` stays until then. */
void look_at(struct admin *a, const struct found *found, size_t count, look_fn fn, void *arg);
/* The sessions of one account on all nodes, sorted by resource. Owned. */
struct found *found_of(struct admin *a, const struct mk_jid *account, size_t *count_out);
void found_free(struct found *found, size_t count);
/* A text of a client as it may go into an answer: at most 1023 bytes. */
json_t *client_text(struct mk_str text);

/* -- kick.c */

/* Ends sessions; fn as in look_at, with a list of KickUserResult. */
void kick(struct admin *a, const struct found *found, size_t count, const char *reason, look_fn fn, void *arg);
int kick_init(struct admin *a) MK_NODISCARD;

/* -- the categories: each adds its SDL and its resolvers */
int account_category(struct admin *a, struct mk_error *err) MK_NODISCARD;
int session_category(struct admin *a, struct mk_error *err) MK_NODISCARD;
int stanza_category(struct admin *a, struct mk_error *err) MK_NODISCARD;
int stat_category(struct admin *a, struct mk_error *err) MK_NODISCARD;
int server_category(struct admin *a, struct mk_error *err) MK_NODISCARD;
int metric_category(struct admin *a, struct mk_error *err) MK_NODISCARD;
int module_category(struct admin *a, struct mk_error *err) MK_NODISCARD;
int config_category(struct admin *a, struct mk_error *err) MK_NODISCARD;
int log_category(struct admin *a, struct mk_error *err) MK_NODISCARD;
int cets_category(struct admin *a, struct mk_error *err) MK_NODISCARD;

/* -- send.c */
void send_on_settled(struct mk_ev_session *ev, void *arg);

/* -- resolvers in files of their own */

/* account_list.c */
void account_list_users(struct mk_gql_field *f, void *arg);
void account_count_users(struct mk_gql_field *f, void *arg);
/* Sums over the hosts (NULL: all); fn on this worker. */
void count_accounts(struct admin *a, struct mk_host *host, mk_auth_count_fn fn, void *arg);
/* account_import.c */
void account_import_users(struct mk_gql_field *f, void *arg);
/* account_create.c: makes an account unless some backend has it. */
void account_create(struct admin *a, struct mk_host *host, struct mk_str user, struct mk_str password, mk_auth_fn fn,
                    void *arg);
/* status.c */
void session_list_users_with_status(struct mk_gql_field *f, void *arg);
void session_count_users_with_status(struct mk_gql_field *f, void *arg);
/* set_presence.c */
void session_set_presence(struct mk_gql_field *f, void *arg);
/* kick.c */
void session_kick_user(struct mk_gql_field *f, void *arg);
void session_kick_user_session(struct mk_gql_field *f, void *arg);
/* send.c: sends a stanza in a user's name; `from` is its own. Answers the field. Takes `stanza`. */
void send_as_user(struct admin *a, struct mk_gql_field *f, struct mk_stanza *stanza);
/* subscribe.c */
void stanza_subscribe(struct mk_gql_field *f, void *arg);
/* What a session that this module made gets: from the hook session_out. */
struct receiver {
    void (*deliver)(struct receiver *r, struct mk_stanza *st);
    void (*gone)(struct receiver *r);       /* the session ends: frees */
};
int receiver_init(struct admin *a) MK_NODISCARD;

#endif
