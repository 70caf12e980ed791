/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Category server: this node. The commands for clusters of Erlang nodes are here under their names; nodes of Meerkat find each other
 * by themselves, so they say what is to be done instead, or that it is done already.
 */
#include "config.h"

#include "internal.h"

static const char sdl[] =
    "extend type AdminQuery { \"This node\" server: ServerAdminQuery }\n"
    "extend type AdminMutation { \"This node\" server: ServerAdminMutation }\n"
    "enum StatusCode { RUNNING NOT_RUNNING }\n"
    "enum LogLevel { NONE EMERGENCY ALERT CRITICAL ERROR WARNING NOTICE INFO DEBUG ALL }\n"
    "\"Something that must be so before this node may be sent users\"\n"
    "type ReadinessCheck { name: String! ready: Boolean! \"Why not\" reason: String }\n"
    "\"How this node does\"\n"
    "type Status {\n"
    "  \"RUNNING, or NOT_RUNNING while it starts and stops\" statusCode: StatusCode\n"
    "  message: String\n"
    "  version: String\n"
    "  \"Always null: packages know their version\" commitHash: String\n"
    "  \"Name of this node\" node: String\n"
    "  uptimeSeconds: Int\n"
    "  \"May it be sent users?\" ready: Boolean\n"
    "  checks: [ReadinessCheck!]\n"
    "}\n"
    "\"This node\"\n"
    "type ServerAdminQuery @protected {\n"
    "  \"How this node does\" status: Status @protected(type: GLOBAL)\n"
    "  \"From which level on lines are logged\" getLoglevel: LogLevel @protected(type: GLOBAL)\n"
    "  \"An error: nodes need no cookie\" getCookie: String @protected(type: GLOBAL)\n"
    "}\n"
    "\"This node\"\n"
    "type ServerAdminMutation @protected {\n"
    "  \"Nodes join by themselves: tells whether this one is there\"\n"
    "  joinCluster(node: String!): String @protected(type: GLOBAL)\n"
    "  \"A node leaves when it stops: see stop\" leaveCluster: String @protected(type: GLOBAL)\n"
    "  \"Dead nodes go by themselves: tells whether this one is gone\"\n"
    "  removeFromCluster(node: String!): String @protected(type: GLOBAL)\n"
    "  \"Stop this node in order and start it again\" restart: String @protected(type: GLOBAL)\n"
    "  \"Stop this node in order; in a cluster sessions go to other nodes\" stop: String @protected(type: GLOBAL)\n"
    "  \"The same as removeFromCluster\" removeNode(node: String!): String @protected(type: GLOBAL)\n"
    "  \"Log from this level on, until the configuration is reloaded. There are DEBUG, INFO, WARNING and ERROR; "
    "another one means the next that shows no more.\"\n"
    "  setLoglevel(level: LogLevel!): String @protected(type: GLOBAL)\n"
    "}\n";

/* -- status ----------------------------------------------------------------------------------- */

struct status {
    json_t *checks;
    bool running;
};

static void
add_check(const char *name, const char *why, void *arg)
{
    struct status *s = arg;

    if (strcmp(name, "server") == 0)
        s->running = !why;
    json_array_append_new(s->checks, json_pack("{s:s,s:b,s:s?}", "name", name, "ready", !why, "reason", why));
}

static void
status(struct mk_gql_field *f, void *arg)
{
    struct status s = {json_array(), false};
    bool ready = mk_ready_each(add_check, &s);
    char *message = mk_printf_new("meerkat %s is %s on node %s", mk_server_version(),
                                  s.running ? "running" : "not running", mk_server_node());

    (void)arg;
    mk_gql_answer(f, json_pack("{s:s,s:s,s:s,s:n,s:s,s:I,s:b,s:o}", "statusCode", s.running ? "RUNNING" : "NOT_RUNNING",
                               "message", message, "version", mk_server_version(), "commitHash", "node",
                               mk_server_node(), "uptimeSeconds", (json_int_t)(mk_server_uptime_ms() / 1000), "ready",
                               ready, "checks", s.checks));
    mk_free(message);
}

/* -- the log ---------------------------------------------------------------------------------- */

static const char *const own_levels[] = {
    [MK_LOG_DEBUG] = "DEBUG", [MK_LOG_INFO] = "INFO", [MK_LOG_WARN] = "WARNING", [MK_LOG_ERROR] = "ERROR"};

static const struct {
    const char *name;
    enum mk_log_level level;
} levels[] = {
    {"ALL", MK_LOG_DEBUG},      {"DEBUG", MK_LOG_DEBUG},    {"INFO", MK_LOG_INFO},
    {"NOTICE", MK_LOG_WARN},    {"WARNING", MK_LOG_WARN},   {"ERROR", MK_LOG_ERROR},
    {"CRITICAL", MK_LOG_ERROR}, {"ALERT", MK_LOG_ERROR},    {"EMERGENCY", MK_LOG_ERROR},
};

static void
get_loglevel(struct mk_gql_field *f, void *arg)
{
    (void)arg;
    mk_gql_answer(f, json_string(own_levels[mk_log_level_get(NULL)]));
}

struct levelling {
    struct admin *admin;
    struct mk_gql_field *f;
    enum mk_log_level level;
};

static void
set_level(void *arg)
{
    mk_log_level_set(((struct levelling *)arg)->level);
}

static void
on_level_set(void *arg)
{
    struct levelling *l = arg;

    mk_log(l->admin->module, MK_LOG_INFO, "admin.loglevel", "an administrator set the level of the log to %s",
           own_levels[l->level]);
    answer_text(l->f, "Log level successfully set to %s", own_levels[l->level]);
    mk_free(l);
}

static void
set_loglevel(struct mk_gql_field *f, void *arg)
{
    const char *name = mk_gql_string(f, "level");
    struct admin *a = arg;
    struct levelling *l;

    for (size_t i = 0; i < MK_COUNT(levels); i++) {
        if (strcmp(name, levels[i].name) == 0) {
            l = mk_alloc(sizeof(*l));
            *l = (struct levelling){a, f, levels[i].level};
            mk_on_main(a->module, set_level, on_level_set, l);
            return;
        }
    }
    mk_gql_fail(f, "invalid_level", "The log cannot be turned off: errors are always written");
}

/* -- stopping --------------------------------------------------------------------------------- */

static void
stop(struct mk_gql_field *f, void *arg)
{
    struct admin *a = arg;

    mk_log(a->module, MK_LOG_INFO, "admin.stop", "an administrator stops this node");
    answer_text(f, "Stop scheduled");
    mk_admin_stop(a->module);
}

static void
restart(struct mk_gql_field *f, void *arg)
{
    struct admin *a = arg;

    mk_log(a->module, MK_LOG_INFO, "admin.restart", "an administrator restarts this node");
    answer_text(f, "Restart scheduled");
    mk_admin_restart(a->module);
}

/* -- clusters of Erlang nodes ------------------------------------------------------------------ */

static void
get_cookie(struct mk_gql_field *f, void *arg)
{
    (void)arg;
    mk_gql_fail(f, "error", "There is no cookie: links between nodes are protected by option 'secret' or 'certificate' "
                            "of module 'cets'");
}

static void
join_cluster(struct mk_gql_field *f, void *arg)
{
    uint32_t number;

    if (node_number(arg, mk_gql_string(f, "node"), &number))
        mk_gql_fail(f, "already_joined", "This node is in the cluster already");
    else
        mk_gql_fail(f, "pang", "There is no such node. Nodes join by themselves: start it with the same database and "
                               "'cluster' in section [cets]");
}

static void
leave_cluster(struct mk_gql_field *f, void *arg)
{
    struct admin *a = arg;

    if (a->cluster)
        mk_gql_fail(f, "error", "A node leaves its cluster when it stops: use 'server stop'");
    else
        mk_gql_fail(f, "not_in_cluster", "This node is in no cluster");
}

struct searching {
    const char *name;
    const char *state;
};

static bool
search(const struct mk_cluster_node *node, void *arg)
{
    struct searching *s = arg;

    if (strcmp(node->name, s->name) != 0)
        return true;
    s->state = strcmp(node->state, "gone") == 0 ? "gone" : "alive";
    return false;
}

static void
remove_from_cluster(struct mk_gql_field *f, void *arg)
{
    struct admin *a = arg;
    struct searching s = {.name = mk_gql_string(f, "node")};

    if (a->cluster)
        a->cluster->each(a->cluster->self, search, &s);
    if (!s.state)
        mk_gql_fail(f, "not_in_cluster", "There is no such node in the cluster");
    else if (strcmp(s.state, "gone") == 0)
        answer_text(f, "Node %s is gone, and its records with it", s.name);
    else
        mk_gql_fail(f, "node_is_alive", "The node is alive: stop it; a dead one is removed by itself");
}

/* --------------------------------------------------------------------------------------------- */

static const struct mk_gql_resolver resolvers[] = {
    {"ServerAdminQuery", "status", status},
    {"ServerAdminQuery", "getLoglevel", get_loglevel},
    {"ServerAdminQuery", "getCookie", get_cookie},
    {"ServerAdminMutation", "joinCluster", join_cluster},
    {"ServerAdminMutation", "leaveCluster", leave_cluster},
    {"ServerAdminMutation", "removeFromCluster", remove_from_cluster},
    {"ServerAdminMutation", "removeNode", remove_from_cluster},
    {"ServerAdminMutation", "restart", restart},
    {"ServerAdminMutation", "stop", stop},
    {"ServerAdminMutation", "setLoglevel", set_loglevel},
    {0}};

int
server_category(struct admin *a, struct mk_error *err)
{
    return a->gql->add(a->gql->self, a->module, MK_GQL_ADMIN, sdl, resolvers, a, err);
}
