/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Categories cets (as MongooseIM has it) and cluster, where module cets provides the tables. They are here and not there because
 * who routes needs the tables, and the API needs who routes.
 */
#include "config.h"

#include <stdlib.h>

#include <meerkat/cets.h>

#include "internal.h"

static const char sdl[] =
    "extend type AdminQuery { \"Replicated tables\" cets: CETSAdminQuery \"The nodes of the cluster\" cluster: ClusterAdminQuery }\n"
    "\"A replicated table\"\n"
    "type CETSTableInfo {\n"
    "  tableName: String\n"
    "  \"In words of 8 bytes\" memory: Int\n"
    "  \"Records of all nodes\" size: Int\n"
    "  \"The nodes that are in sync and have it\" nodes: [String]\n"
    "}\n"
    "\"The cluster as this node sees it: names of nodes and tables, sorted\"\n"
    "type CETSSystemInfo {\n"
    "  \"Nodes that can be reached, this one among them\" availableNodes: [String]\n"
    "  \"Nodes of the discovery that cannot be reached\" unavailableNodes: [String]\n"
    "  \"Nodes whose tables are in sync with this one's, this one among them\" joinedNodes: [String]\n"
    "  \"Nodes of the discovery\" discoveredNodes: [String]\n"
    "  \"Nodes that can be reached and that the discovery does not know\" remoteNodesWithoutDisco: [String]\n"
    "  \"Nodes with tables that this one does not have\" remoteNodesWithUnknownTables: [String]\n"
    "  \"These tables\" remoteUnknownTables: [String]\n"
    "  \"Nodes without a table that this one has\" remoteNodesWithMissingTables: [String]\n"
    "  \"These tables\" remoteMissingTables: [String]\n"
    "  \"Nodes that have a table in another version\" conflictNodes: [String]\n"
    "  \"These tables\" conflictTables: [String]\n"
    "  \"Did the last look at the discovery go well?\" discoveryWorks: Boolean\n"
    "}\n"
    "\"Replicated tables\"\n"
    "type CETSAdminQuery @protected {\n"
    "  \"The tables of this node\" tableInfo: [CETSTableInfo] @protected(type: GLOBAL)\n"
    "  \"The cluster as this node sees it\" systemInfo: CETSSystemInfo @protected(type: GLOBAL)\n"
    "}\n"
    "\"A node of the cluster, as this one sees it\"\n"
    "type ClusterNode {\n"
    "  name: String!\n"
    "  number: Int!\n"
    "  \"self, joined, connected (not in sync yet), suspected (its link is lost), gone, unreachable (only discovered)\"\n"
    "  state: String!\n"
    "  \"Where its links come in; null: not discovered\" address: String\n"
    "  \"Null: never linked\" version: String\n"
    "  \"Its records that are here\" records: Int!\n"
    "  \"Changes of this node that it has not confirmed\" lag: Int!\n"
    "}\n"
    "\"The nodes of the cluster\"\n"
    "type ClusterAdminQuery @protected {\n"
    "  \"The nodes of the cluster, this one first\" nodes: [ClusterNode!] @protected(type: GLOBAL)\n"
    "}\n"
    "\"How a node reloaded its configuration\"\n"
    "type ClusterReload { node: String! \"Null: it went well; else nothing was changed there\" error: String }\n";

#define RELOAD                                                                                     \
    "  \"Every node reads its configuration files again; a wrong one changes nothing at its node\"\n" \
    "  reload: [ClusterReload!] @protected(type: GLOBAL)\n"

/* -- lists of names ---------------------------------------------------------------------------- */

static int
compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A set of texts while it is made, then a sorted JSON list. */
struct names {
    char **list;
    size_t count;
};

static void
names_add(struct names *n, const char *name, size_t len)
{
    char *copy = mk_str_dup((struct mk_str){name, len});

    for (size_t i = 0; i < n->count; i++) {
        if (strcmp(n->list[i], copy) == 0) {
            mk_free(copy);
            return;
        }
    }
    n->list = mk_realloc(n->list, (n->count + 1) * sizeof(char *));
    n->list[n->count++] = copy;
}

static json_t *
names_take(struct names *n)
{
    json_t *list = json_array();

    if (n->count)
        qsort(n->list, n->count, sizeof(char *), compare);
    for (size_t i = 0; i < n->count; i++) {
        json_array_append_new(list, json_string(n->list[i]));
        mk_free(n->list[i]);
    }
    mk_free(n->list);
    *n = (struct names){0};
    return list;
}

/* -- tables of nodes: "name/version,name/version" ------------------------------------------------ */

enum difference { SAME, OTHER_VERSION, ABSENT };

/* How `tables` has the table that `at` (`len` bytes: name/version) names. */
static enum difference
has_table(const char *tables, const char *at, size_t len)
{
    const char *slash = memchr(at, '/', len);
    size_t name = slash ? (size_t)(slash - at) : len;

    for (const char *p = tables; *p; p += strcspn(p, ","), p += *p == ',') {
        size_t n = strcspn(p, ",");

        if (n == len && memcmp(p, at, len) == 0)
            return SAME;
        if (n > name && memcmp(p, at, name) == 0 && p[name] == '/')
            return OTHER_VERSION;
    }
    return ABSENT;
}

struct differences {
    struct names unknown_nodes, unknown, missing_nodes, missing, conflict_nodes, conflict;
};

/* What is in `a` and not, or otherwise, in `b`. */
static void
compare_tables(const char *a, const char *b, const char *node, struct names *absent_nodes, struct names *absent,
               struct differences *d)
{
    size_t name;

    for (const char *p = a; *p; p += strcspn(p, ","), p += *p == ',') {
        name = strcspn(p, "/,");
        switch (has_table(b, p, strcspn(p, ","))) {
        case ABSENT:
            names_add(absent_nodes, node, strlen(node));
            names_add(absent, p, name);
            break;
        case OTHER_VERSION:
            names_add(&d->conflict_nodes, node, strlen(node));
            names_add(&d->conflict, p, name);
            break;
        default:
            break;
        }
    }
}

static bool
is_reachable(const struct mk_cets_node *n)
{
    return strcmp(n->state, "self") == 0 || strcmp(n->state, "joined") == 0 || strcmp(n->state, "connected") == 0;
}

static bool
is_joined(const struct mk_cets_node *n)
{
    return strcmp(n->state, "self") == 0 || strcmp(n->state, "joined") == 0;
}

/* -- systemInfo --------------------------------------------------------------------------------- */

static void
add_differences(const struct mk_cets_overview *o, json_t *info)
{
    const char *own = o->nodes[0].tables;
    struct differences d = {0};

    for (size_t i = 1; i < o->count; i++) {
        const struct mk_cets_node *n = &o->nodes[i];

        if (!is_reachable(n) || !*n->tables)
            continue;
        compare_tables(n->tables, own, n->name, &d.unknown_nodes, &d.unknown, &d);
        compare_tables(own, n->tables, n->name, &d.missing_nodes, &d.missing, &d);
    }
    json_object_set_new(info, "remoteNodesWithUnknownTables", names_take(&d.unknown_nodes));
    json_object_set_new(info, "remoteUnknownTables", names_take(&d.unknown));
    json_object_set_new(info, "remoteNodesWithMissingTables", names_take(&d.missing_nodes));
    json_object_set_new(info, "remoteMissingTables", names_take(&d.missing));
    json_object_set_new(info, "conflictNodes", names_take(&d.conflict_nodes));
    json_object_set_new(info, "conflictTables", names_take(&d.conflict));
}

static void
on_system(const struct mk_cets_overview *o, void *arg)
{
    struct names available = {0}, unavailable = {0}, joined = {0}, discovered = {0}, without = {0};
    json_t *info;

    for (size_t i = 0; i < o->count; i++) {
        const struct mk_cets_node *n = &o->nodes[i];

        if (is_reachable(n))
            names_add(&available, n->name, strlen(n->name));
        else if (n->discovered)
            names_add(&unavailable, n->name, strlen(n->name));
        if (is_joined(n))
            names_add(&joined, n->name, strlen(n->name));
        if (n->discovered)
            names_add(&discovered, n->name, strlen(n->name));
        else if (is_reachable(n) && i > 0)
            names_add(&without, n->name, strlen(n->name));
    }
    info = json_pack("{s:o,s:o,s:o,s:o,s:o,s:b}", "availableNodes", names_take(&available), "unavailableNodes",
                     names_take(&unavailable), "joinedNodes", names_take(&joined), "discoveredNodes",
                     names_take(&discovered), "remoteNodesWithoutDisco", names_take(&without), "discoveryWorks",
                     !o->trouble);
    add_differences(o, info);
    mk_gql_answer(arg, info);
}

static void
system_info(struct mk_gql_field *f, void *arg)
{
    struct admin *a = arg;

    a->cets->overview(a->cets->self, a->module, on_system, f);
}

/* -- tableInfo ---------------------------------------------------------------------------------- */

struct tables {
    struct mk_gql_field *f;
    json_t *list;
    json_t *versions;           /* the same with "/version" */
};

static void
add_table(const struct mk_cets_table *table, void *arg)
{
    struct tables *t = arg;
    char *version = mk_printf_new("%s/%u", table->name, table->version);

    json_array_append_new(t->list, json_pack("{s:s,s:I,s:I}", "tableName", table->name, "memory",
                                             (json_int_t)(table->bytes / 8), "size", (json_int_t)table->records));
    json_array_append_new(t->versions, json_string(version));
    mk_free(version);
}

static void
on_nodes_of_tables(const struct mk_cets_overview *o, void *arg)
{
    struct tables *t = arg;
    json_t *table;
    size_t i;

    json_array_foreach(t->list, i, table) {
        const char *version = json_string_value(json_array_get(t->versions, i));
        struct names nodes = {0};

        for (size_t k = 0; k < o->count; k++) {
            const struct mk_cets_node *n = &o->nodes[k];

            if (k == 0 || (is_joined(n) && has_table(n->tables, version, strlen(version)) == SAME))
                names_add(&nodes, n->name, strlen(n->name));
        }
        json_object_set_new(table, "nodes", names_take(&nodes));
    }
    mk_gql_answer(t->f, t->list);
    json_decref(t->versions);
    mk_free(t);
}

static void
table_info(struct mk_gql_field *f, void *arg)
{
    struct admin *a = arg;
    struct tables *t = mk_alloc(sizeof(*t));

    *t = (struct tables){f, json_array(), json_array()};
    a->cets->each_table(a->cets->self, add_table, t);
    a->cets->overview(a->cets->self, a->module, on_nodes_of_tables, t);
}

/* -- nodes -------------------------------------------------------------------------------------- */

static void
on_nodes(const struct mk_cets_overview *o, void *arg)
{
    json_t *list = json_array();

    for (size_t i = 0; i < o->count; i++) {
        const struct mk_cets_node *n = &o->nodes[i];

        json_array_append_new(list, json_pack("{s:s,s:I,s:s,s:s?,s:s?,s:I,s:I}", "name", n->name, "number",
                                              (json_int_t)n->number, "state", n->state, "address",
                                              *n->address ? n->address : NULL, "version",
                                              *n->version ? n->version : NULL, "records", (json_int_t)n->records, "lag",
                                              (json_int_t)n->lag));
    }
    mk_gql_answer(arg, list);
}

static void
nodes(struct mk_gql_field *f, void *arg)
{
    struct admin *a = arg;

    a->cets->overview(a->cets->self, a->module, on_nodes, f);
}

/* -- reload ------------------------------------------------------------------------------------- */

static void
on_reloaded(const struct mk_cluster_reload *all, size_t count, void *arg)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:s,s:s?}", "node", all[i].name, "error", all[i].error));
    mk_gql_answer(arg, list);
}

static void
reload(struct mk_gql_field *f, void *arg)
{
    struct admin *a = arg;

    mk_log(a->module, MK_LOG_INFO, "admin.reload", "an administrator reloads the configuration of all nodes");
    a->cluster->reload(a->cluster->self, a->module, on_reloaded, f);
}

/* ------------------------------------------------------------------------------------------------ */

static const struct mk_gql_resolver resolvers[] = {
    {"CETSAdminQuery", "tableInfo", table_info},
    {"CETSAdminQuery", "systemInfo", system_info},
    {"ClusterAdminQuery", "nodes", nodes},
    {0}};

/* Module sm, where it is, has made the type with its command `drain`. */
static int
add_reload(struct admin *a, struct mk_error *err)
{
    static const char more[] = "extend type ClusterAdminMutation {" RELOAD "}\n";
    static const char whole[] = "extend type AdminMutation { \"The nodes of the cluster\" cluster: ClusterAdminMutation }\n"
                                "\"The nodes of the cluster\"\n"
                                "type ClusterAdminMutation @protected {" RELOAD "}\n";
    static const struct mk_gql_resolver own[] = {{"ClusterAdminMutation", "reload", reload}, {0}};

    if (a->gql->add(a->gql->self, a->module, MK_GQL_ADMIN, more, own, a, NULL) == 0)
        return 0;
    return a->gql->add(a->gql->self, a->module, MK_GQL_ADMIN, whole, own, a, err);
}

int
cets_category(struct admin *a, struct mk_error *err)
{
    a->cets = mk_service_nth(a->module, "cets", MK_CETS_ABI, 0);
    if (!a->cets)
        return 0;
    if (a->gql->add(a->gql->self, a->module, MK_GQL_ADMIN, sdl, resolvers, a, err) < 0)
        return -1;
    return add_reload(a, err);
}
