/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Category metric: what /metrics tells Prometheus, in the types of MongooseIM. A name is a list: "global", the name, and each label as
 * key=value. Values are whole numbers there, so times ("…_seconds") become microseconds. A histogram knows how many values were
 * in each of its buckets: percentiles are the upper ends of buckets, and the smallest value is not known.
 */
#include "config.h"

#include "internal.h"

#define LABELS_MAX 8

static const char sdl[] =
    "extend type AdminQuery { \"Metrics\" metric: MetricAdminQuery }\n"
    "\"Kinds of metrics; this server has histogram, counter and gauge\"\n"
    "enum MetricType { histogram counter spiral gauge merged_inet_stats rdbms_stats vm_stats_memory vm_system_info\n"
    "  probe_queues cets_system }\n"
    "union MetricResult = HistogramMetric | CounterMetric | SpiralMetric | GaugeMetric | MergedInetStatsMetric |\n"
    "  RDBMSStatsMetric | VMStatsMemoryMetric | VMSystemInfoMetric | ProbeQueuesMetric | CETSSystemMetric\n"
    "type HistogramMetric { name: [String] type: MetricType n: Int mean: Int min: Int max: Int median: Int p50: Int p75: Int\n"
    "  p90: Int p95: Int p99: Int p999: Int }\n"
    "type CounterMetric { name: [String] type: MetricType value: Int ms_since_reset: Int }\n"
    "type GaugeMetric { name: [String] type: MetricType value: Int }\n"
    "type SpiralMetric { name: [String] type: MetricType one: Int count: Int }\n"
    "type MergedInetStatsMetric { name: [String] type: MetricType connections: Int recv_cnt: Int recv_max: Int\n"
    "  recv_oct: Int send_cnt: Int send_max: Int send_oct: Int send_pend: Int }\n"
    "type RDBMSStatsMetric { name: [String] type: MetricType workers: Int recv_cnt: Int recv_max: Int recv_oct: Int\n"
    "  send_cnt: Int send_max: Int send_oct: Int send_pend: Int }\n"
    "type VMStatsMemoryMetric { name: [String] type: MetricType total: Int processes_used: Int atom_used: Int binary: Int\n"
    "  ets: Int system: Int }\n"
    "type VMSystemInfoMetric { name: [String] type: MetricType port_count: Int port_limit: Int process_count: Int\n"
    "  process_limit: Int ets_limit: Int }\n"
    "type ProbeQueuesMetric { name: [String] type: MetricType fsm: Int regular: Int total: Int }\n"
    "type CETSSystemMetric { name: [String] type: MetricType available_nodes: Int unavailable_nodes: Int joined_nodes: Int\n"
    "  remote_nodes_without_disco: Int remote_nodes_with_unknown_tables: Int remote_unknown_tables: Int\n"
    "  remote_nodes_with_missing_tables: Int remote_missing_tables: Int conflict_nodes: Int conflict_tables: Int\n"
    "  discovered_nodes: Int discovery_works: Int }\n"
    "type MetricDictEntry { key: String value: Int }\n"
    "type MetricDictResult { name: [String] dict: [MetricDictEntry] }\n"
    "type MetricNodeResult { node: String result: [MetricDictResult] }\n"
    "\"Metrics. A name is a list that begins with \\\"global\\\"; the beginning of one gives all below it, \\\"_\\\" stands for any part, none for all.\"\n"
    "type MetricAdminQuery @protected {\n"
    "  \"Metrics of this node\" getMetrics(name: [String]): [MetricResult] @protected(type: GLOBAL)\n"
    "  \"Metrics of this node as keys and values\"\n"
    "  getMetricsAsDicts(name: [String], \"Only these keys\" keys: [String]): [MetricDictResult] @protected(type: GLOBAL)\n"
    "  \"Metrics of all nodes, or of some, as keys and values\"\n"
    "  getClusterMetricsAsDicts(name: [String], keys: [String], \"Names of nodes\" nodes: [String]): [MetricNodeResult]\n"
    "    @protected(type: GLOBAL)\n"
    "}\n";

/* -- names ------------------------------------------------------------------------------------ */

/* The next label of `kind="message",direction="in"` as "kind=message"; NULL behind the last. */
static json_t *
next_label(const char **p)
{
    const char *s = *p, *equal = s ? strchr(s, '=') : NULL, *end;
    struct mk_buf text = {0};
    json_t *label;

    if (!equal || equal[1] != '"' || !(end = strchr(equal + 2, '"')))
        return NULL;
    mk_buf_add(&text, s, (size_t)(equal + 1 - s));
    mk_buf_add(&text, equal + 2, (size_t)(end - equal - 2));
    label = json_str(mk_buf_str(&text));
    mk_buf_release(&text);
    *p = end[1] == ',' ? end + 2 : NULL;
    return label;
}

static json_t *
name_of(const struct mk_metric *m)
{
    json_t *name = json_pack("[s,s]", "global", m->name), *label;
    const char *labels = m->labels;

    while ((label = next_label(&labels)))
        json_array_append_new(name, label);
    return name;
}

static bool
matches(const json_t *name, const json_t *wanted)
{
    const json_t *part;
    size_t i;

    json_array_foreach(wanted, i, part) {
        const char *text = json_string_value(part), *ours = json_string_value(json_array_get(name, i));

        if (!ours || (text && strcmp(text, "_") != 0 && strcmp(text, ours) != 0))
            return false;
    }
    return true;
}

/* -- values ----------------------------------------------------------------------------------- */

static bool
is_time(const struct mk_metric *m)
{
    size_t len = strlen(m->name);

    return (len >= 8 && strcmp(m->name + len - 8, "_seconds") == 0) || strstr(m->name, "_seconds_total");
}

static json_t *
number(const struct mk_metric *m, double value)
{
    if (is_time(m))
        value *= 1e6;
    return json_integer((json_int_t)(value < 0 ? value - 0.5 : value + 0.5));
}

/* The upper end of the bucket in which a part of the values is complete; null: of the last, which has none. */
static json_t *
quantile(const struct mk_metric *m, double part)
{
    for (size_t i = 0; i < m->bucket_count; i++) {
        if ((double)m->buckets[i] >= part * (double)m->count)
            return m->count ? number(m, m->bounds[i]) : json_integer(0);
    }
    return json_null();
}

static json_t *
histogram(const struct mk_metric *m)
{
    static const struct {
        const char *key;
        double part;
    } parts[] = {{"max", 1},    {"median", 0.5}, {"p50", 0.5}, {"p75", 0.75},
                 {"p90", 0.9},  {"p95", 0.95},   {"p99", 0.99}, {"p999", 0.999}};
    json_t *o = json_pack("{s:s,s:s,s:I,s:o,s:n}", "__typename", "HistogramMetric", "type", "histogram", "n",
                          (json_int_t)m->count, "mean", number(m, m->count ? m->value / (double)m->count : 0), "min");

    for (size_t i = 0; i < MK_COUNT(parts); i++)
        json_object_set_new(o, parts[i].key, quantile(m, parts[i].part));
    return o;
}

static json_t *
metric_object(const struct mk_metric *m)
{
    switch (m->kind) {
    case MK_METRIC_HISTOGRAM:
        return histogram(m);
    case MK_METRIC_COUNTER:
        return json_pack("{s:s,s:s,s:o,s:I}", "__typename", "CounterMetric", "type", "counter", "value",
                         number(m, m->value), "ms_since_reset", (json_int_t)mk_server_uptime_ms());
    default:
        return json_pack("{s:s,s:s,s:o}", "__typename", "GaugeMetric", "type", "gauge", "value", number(m, m->value));
    }
}

struct gathering {
    const json_t *wanted;
    json_t *list;
};

static void
gather_one(const struct mk_metric *m, void *arg)
{
    struct gathering *g = arg;
    json_t *name = name_of(m), *o;

    if (matches(name, g->wanted)) {
        o = metric_object(m);
        json_object_set(o, "name", name);
        json_array_append_new(g->list, o);
    }
    json_decref(name);
}

static json_t *
gather(const json_t *wanted)
{
    struct gathering g = {wanted, json_array()};

    mk_metric_each(gather_one, &g);
    return g.list;
}

/* -- as keys and values ------------------------------------------------------------------------ */

static bool
wants_key(const json_t *keys, const char *key)
{
    const json_t *wanted;
    size_t i;

    if (json_array_size(keys) == 0)
        return true;
    json_array_foreach(keys, i, wanted) {
        if (json_is_string(wanted) && strcmp(json_string_value(wanted), key) == 0)
            return true;
    }
    return false;
}

static json_t *
dict_of(json_t *metric, const json_t *keys)
{
    json_t *dict = json_array(), *value;
    const char *key;

    json_object_foreach(metric, key, value) {
        if (json_is_integer(value) && wants_key(keys, key))
            json_array_append_new(dict, json_pack("{s:s,s:O}", "key", key, "value", value));
    }
    return json_pack("{s:O,s:o}", "name", json_object_get(metric, "name"), "dict", dict);
}

static json_t *
gather_dicts(const json_t *wanted, const json_t *keys)
{
    json_t *all = gather(wanted), *list = json_array(), *metric;
    size_t i;

    json_array_foreach(all, i, metric)
        json_array_append_new(list, dict_of(metric, keys));
    json_decref(all);
    return list;
}

void
on_metrics(struct node_request *r)
{
    node_answer(r, gather_dicts(node_request_value(r, "name"), node_request_value(r, "keys")));
}

/* -- fields ------------------------------------------------------------------------------------ */

static void
get_metrics(struct mk_gql_field *f, void *arg)
{
    (void)arg;
    mk_gql_answer(f, gather(f->api->argument(f, "name")));
}

static void
get_metrics_as_dicts(struct mk_gql_field *f, void *arg)
{
    (void)arg;
    mk_gql_answer(f, gather_dicts(f->api->argument(f, "name"), f->api->argument(f, "keys")));
}

struct asking {
    struct mk_gql_field *f;
    json_t *list;
    size_t left;
};

struct one_node {
    struct asking *ask;
    json_t *result;             /* borrowed from the list */
};

static void
one_less(struct asking *ask)
{
    if (--ask->left)
        return;
    mk_gql_answer(ask->f, ask->list);
    mk_free(ask);
}

static void
on_node(const json_t *answer, void *arg)
{
    struct one_node one = *(struct one_node *)arg;

    mk_free(arg);
    if (answer)
        json_object_set_new(one.result, "result", json_deep_copy(answer));
    one_less(one.ask);
}

static void
ask_node(struct admin *a, struct asking *ask, uint32_t node)
{
    const json_t *name = ask->f->api->argument(ask->f, "name"), *keys = ask->f->api->argument(ask->f, "keys");
    struct one_node *one = mk_alloc(sizeof(*one));
    char *called = node_name(a, node);

    *one = (struct one_node){ask, json_pack("{s:s,s:n}", "node", called, "result")};
    json_array_append_new(ask->list, one->result);
    ask->left++;
    node_ask(a, node, "metrics",
             json_pack("{s:o,s:o}", "name", name ? json_deep_copy(name) : json_null(), "keys",
                       keys ? json_deep_copy(keys) : json_null()), on_node, one);
    mk_free(called);
}

static void
get_cluster_metrics(struct mk_gql_field *f, void *arg)
{
    const json_t *names = f->api->argument(f, "nodes"), *name;
    struct asking *ask = mk_alloc(sizeof(*ask));
    uint32_t nodes[NODES_MAX];
    size_t count = 0, i;

    *ask = (struct asking){f, json_array(), 1};
    if (json_array_size(names) == 0)
        count = nodes_list(arg, nodes, NODES_MAX);
    json_array_foreach(names, i, name) {
        if (count < NODES_MAX && json_is_string(name) && node_number(arg, json_string_value(name), &nodes[count]))
            count++;
    }
    for (i = 0; i < count; i++)
        ask_node(arg, ask, nodes[i]);
    one_less(ask);
}

static const struct mk_gql_resolver resolvers[] = {
    {"MetricAdminQuery", "getMetrics", get_metrics},
    {"MetricAdminQuery", "getMetricsAsDicts", get_metrics_as_dicts},
    {"MetricAdminQuery", "getClusterMetricsAsDicts", get_cluster_metrics},
    {0}};

int
metric_category(struct admin *a, struct mk_error *err)
{
    return a->gql->add(a->gql->self, a->module, MK_GQL_ADMIN, sdl, resolvers, a, err);
}
