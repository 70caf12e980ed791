/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Module cets: tables that every node of a cluster holds, and requests between nodes. This file ties the replica to
 * the discovery, the links and the log.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "cets.h"

#define TICK_MS 100u
#define DIAL_LATER_MS 30u
#define FAREWELL_S 3

/* -- what the replica says ------------------------------------------------------------------- */

static void
on_wake(void *arg, struct link *link)
{
    links_wake(arg, replica_link_driver(link));
}

static void
on_close(void *arg, struct link *link, const char *why)
{
    struct conn *conn = replica_link_driver(link);

    links_end(conn, why);
    links_wake(arg, conn);
}

static struct member *
member_named(struct cets *c, const char *name)
{
    for (size_t i = 0; i < c->member_count; i++) {
        if (strcmp(c->members[i].name, name) == 0)
            return &c->members[i];
    }
    return NULL;
}

static void
tell_event(const char *event, const char *name, const struct peer_view *v)
{
    struct mk_event_node ev = {.size = sizeof(ev)};

    snprintf(ev.name, sizeof(ev.name), "%s", name);
    if (v) {
        ev.number = v->number;
        ev.apart = v->apart;
        ev.records = v->records;
    }
    mk_publish(NULL, event, &ev, sizeof(ev));
}

/* Two nodes of one name or number: this one came later and must not go on. */
static void
be_refused(struct cets *c, const char *why)
{
    /* It stops already: a second time would be for one who is in a hurry. */
    if (c->refused)
        return;
    c->refused = true;
    mk_log(c->module, MK_LOG_ERROR, "cets.duplicate", "%s: this node stops", why);
    mk_admin_stop(c->module);
}

/* -- what must be the same on all nodes ---------------------------------------------------------- */

static int
compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* `key=a,b,c;`, sorted; takes the names. */
static void
add_names(struct mk_buf *out, const char *key, char **names, size_t count)
{
    qsort(names, count, sizeof(*names), compare_names);
    mk_buf_printf(out, "%s=", key);
    for (size_t i = 0; i < count; i++) {
        mk_buf_printf(out, "%s%s", i ? "," : "", names[i]);
        mk_free(names[i]);
    }
    mk_buf_add_byte(out, ';');
    mk_free(names);
}

/* All modules have opened their tables by now. */
static void
describe_self(struct replica *r)
{
    struct mk_buf info = {0};
    char **names = NULL;
    struct mk_host *h;
    size_t n = 0;

    mk_buf_printf(&info, "version=%s;", mk_server_version());
    for (; (h = mk_host_nth(n)); n++) {
        names = mk_realloc(names, (n + 1) * sizeof(*names));
        names[n] = mk_strdup(mk_host_name(h));
    }
    add_names(&info, "hosts", names, n);
    names = NULL;
    for (n = 0; n < replica_table_count(r); n++) {
        names = mk_realloc(names, (n + 1) * sizeof(*names));
        names[n] = mk_printf_new("%s/%u", replica_table_name(r, (unsigned)n),
                                 replica_table_version(r, (unsigned)n));
    }
    add_names(&info, "tables", names, n);
    replica_set_info(r, mk_buf_str(&info));
    mk_buf_release(&info);
}

/* The value of `key` in what a node showed. */
static struct mk_str
shown(struct mk_str info, const char *key)
{
    size_t len = strlen(key);

    while (info.len) {
        const char *end = memchr(info.p, ';', info.len);
        size_t part = end ? (size_t)(end - info.p) : info.len;

        if (part > len && memcmp(info.p, key, len) == 0 && info.p[len] == '=')
            return (struct mk_str){info.p + len + 1, part - len - 1};
        part += part < info.len;
        info.p += part;
        info.len -= part;
    }
    return (struct mk_str){0};
}

/* Users of a host that one node does not serve cannot be reached through it: an administrator must know. */
static void
compare_with(struct cets *c, const struct peer_view *v)
{
    static const char *const keys[] = {"hosts", "tables"};

    for (size_t i = 0; i < MK_COUNT(keys); i++) {
        struct mk_str theirs = shown(v->info, keys[i]), ours = shown(replica_info(c->replica), keys[i]);

        if (!mk_str_eq(theirs, ours))
            mk_log(c->module, MK_LOG_WARN, "cets.mismatch",
                   "node '%s' is configured otherwise: its %s are '%.*s', here '%.*s'", v->name, keys[i],
                   (int)theirs.len, theirs.p ? theirs.p : "", (int)ours.len, ours.p ? ours.p : "");
    }
}

static void
say_when_ready(void *arg)
{
    struct cets *c = arg;
    size_t records = 0;
    bool ready;

    if (c->said_ready || c->stopping)
        return;
    pthread_mutex_lock(&c->lock);
    ready = c->joined && replica_ready(c->replica);
    for (const struct mk_table *t = c->tables; ready && t; t = t->next) {
        records += mk_store_count(t->store);
        tell_event("table_in_sync", replica_table_name(c->replica, t->index), NULL);
    }
    pthread_mutex_unlock(&c->lock);
    if (!ready)
        return;
    __atomic_store_n(&c->said_ready, true, __ATOMIC_RELEASE);
    mk_log(c->module, MK_LOG_INFO, "cets.in_sync", "in sync with the cluster after %llu ms: %zu records",
           (unsigned long long)(mk_now_ms() - c->started), records);
}

/* -- what happens to peers ------------------------------------------------------------------- */

static void
note_peer(struct cets *c, enum replica_note what, struct peer *peer)
{
    struct member *m;
    struct peer_view v;

    replica_peer_view(peer, &v);
    m = member_named(c, v.name);
    switch (what) {
    case REPLICA_CONNECTED:
        mk_log(c->module, MK_LOG_DEBUG, "cets.connected", "linked with node '%s'", v.name);
        break;
    case REPLICA_JOINED:
        if (m) {
            m->backoff = 0;
            m->unreachable_since = 0;
            m->reported = false;
        }
        mk_log(c->module, MK_LOG_INFO, "cets.joined", "node '%s' (number %u) joined after %llu ms: %zu records of its own",
               v.name, v.number, (unsigned long long)(mk_now_ms() - v.connected), v.records);
        compare_with(c, &v);
        tell_event("node_joined", v.name, &v);
        replica_peer_met(peer);
        mk_defer(c->module, say_when_ready, c);     /* not under the lock */
        break;
    case REPLICA_SUSPECTED:
        if (!c->stopping)
            mk_log(c->module, MK_LOG_WARN, "cets.suspected", "the link with node '%s' is lost", v.name);
        break;
    case REPLICA_LEFT:
    case REPLICA_GONE:
        mk_log(c->module, what == REPLICA_LEFT ? MK_LOG_INFO : MK_LOG_WARN, "cets.left",
               what == REPLICA_LEFT ? "node '%s' left" : "node '%s' is gone: its records are dropped",
               v.name);
        messages_gone(c, peer);
        v.apart = what == REPLICA_GONE;
        tell_event("node_left", v.name, &v);
        break;
    default:
        break;
    }
}

static void
on_note(void *arg, enum replica_note what, struct peer *peer, const char *text)
{
    struct cets *c = arg;
    struct peer_view v = {.name = "?"};

    if (peer)
        replica_peer_view(peer, &v);
    switch (what) {
    case REPLICA_REFUSED:
        mk_counter_add(c->count.refused, 1);
        mk_log(c->module, MK_LOG_WARN, "cets.refused", "a node was refused: %s", text);
        break;
    case REPLICA_REFUSED_BY:
        mk_log(c->module, MK_LOG_WARN, "cets.refused_by", "a node refuses this one: %s", text);
        break;
    case REPLICA_DUPLICATE:
        be_refused(c, text);
        break;
    case REPLICA_REPAIRED:
        mk_counter_add(c->count.repairs, 1);
        mk_log(c->module, MK_LOG_ERROR, "cets.repaired",
               "records of node '%s' differed and are fetched anew: %s", v.name, text);
        break;
    case REPLICA_SNAPSHOT:
        mk_counter_add(c->count.restarts, 1);
        break;
    case REPLICA_BROKEN:
        mk_log(c->module, MK_LOG_WARN, "cets.broken", "node '%s' sent %s", v.name, text);
        break;
    default:
        note_peer(c, what, peer);
    }
}

/* -- members -------------------------------------------------------------------------------- */

static bool
is_linked(struct cets *c, const char *name, bool *gone)
{
    struct peer *p = NULL;
    struct peer_view v;

    *gone = true;
    while ((p = replica_peer_next(c->replica, p))) {
        replica_peer_view(p, &v);
        if (strcmp(v.name, name) == 0) {
            *gone = v.state == PEER_GONE;
            return v.link != NULL;
        }
    }
    return false;
}

/* What an administrator looks for: known, and not to be reached. */
static void
report_unreachable(struct cets *c, struct member *m, uint64_t now)
{
    const struct cets_conf *conf = mk_module_conf(c->module, NULL);

    if (!m->unreachable_since)
        m->unreachable_since = now;
    if (m->reported || now - m->unreachable_since < conf->grace)
        return;
    m->reported = true;
    mk_log(c->module, MK_LOG_WARN, "cets.unreachable", "node '%s' is known at %s and cannot be reached",
           m->name, m->address);
}

static void
dial_members(struct cets *c)
{
    uint64_t now = mk_now_ms();

    for (size_t i = 0; i < c->member_count; i++) {
        struct member *m = &c->members[i];
        bool gone, linked;

        pthread_mutex_lock(&c->lock);
        linked = is_linked(c, m->name, &gone);
        pthread_mutex_unlock(&c->lock);
        if (linked)
            continue;
        report_unreachable(c, m, now);
        if (now >= m->dial_at && !links_dialling(c, m->name))
            links_dial(c, m);
    }
}

static void
on_tick(void *arg)
{
    struct cets *c = arg;

    if (!c->joined || c->stopping)
        return;
    pthread_mutex_lock(&c->lock);
    replica_tick(c->replica, mk_now_ms(), (uint64_t)mk_time_us() / 1000);
    pthread_mutex_unlock(&c->lock);
    links_tick(c);
    dial_members(c);
    say_when_ready(c);
}

static void
on_dial(void *arg)
{
    struct cets *c = arg;

    c->dial = NULL;
    dial_members(c);
}

static void
take_member(struct cets *c, const struct mk_discovered *d)
{
    struct member *m = member_named(c, d->name);

    if (!m) {
        c->members = mk_realloc(c->members, (c->member_count + 1) * sizeof(*c->members));
        m = &c->members[c->member_count++];
        *m = (struct member){.number = d->number};
        snprintf(m->name, sizeof(m->name), "%s", d->name);
        /* Of nodes that find each other in the same moment the lower name dials at once, the other a little later, so that
         * there is one link. It does so: a node that has been there for long looks at its list seldom. */
        if (strcmp(mk_server_node(), d->name) > 0) {
            m->dial_at = mk_now_ms() + DIAL_LATER_MS;
            if (!c->dial)
                c->dial = mk_timer_new(c->module, DIAL_LATER_MS, on_dial, c);
        }
    }
    if (strcmp(m->address, d->address) != 0) {
        snprintf(m->address, sizeof(m->address), "%s", d->address);
        m->backoff = 0;
        m->reported = false;
    }
    m->number = d->number;
    m->kept = true;
}

static void
expect_members(struct cets *c)
{
    const char **names = mk_alloc((c->member_count + 1) * sizeof(*names));

    for (size_t i = 0; i < c->member_count; i++)
        names[i] = c->members[i].name;
    pthread_mutex_lock(&c->lock);
    replica_expect(c->replica, names, c->member_count, mk_now_ms());
    pthread_mutex_unlock(&c->lock);
    mk_free(names);
}

static bool
is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strncmp(address, "[::1]", 5) == 0 || strncmp(address, "localhost:", 10) == 0;
}

/* The usual mistake of the first cluster of several machines: `listen` was left as it is. */
static void
take_own_address(struct cets *c, const char *address)
{
    const struct cets_conf *conf = mk_module_conf(c->module, NULL);

    if (strcmp(c->own_address, address) == 0)
        return;
    snprintf(c->own_address, sizeof(c->own_address), "%s", address);
    if (is_loopback(conf->listen) && !is_loopback(address))
        mk_log(c->module, MK_LOG_WARN, "cets.listen",
               "other nodes are told to reach this one at %s, but it listens on '%s' only: set 'listen'", address, conf->listen);
}

/* The discovery's list. Whoever is linked stays a member of ours, listed or not: a database tears nothing apart. */
static void
on_discovered(const struct mk_discovered *nodes, size_t count, uint32_t own, void *arg)
{
    struct cets *c = arg;
    size_t kept = 0;

    if (own == 0 || c->stopping)
        return;
    if (!c->joined) {
        __atomic_store_n(&c->number, own, __ATOMIC_RELAXED);
        pthread_mutex_lock(&c->lock);
        replica_set_number(c->replica, (uint16_t)own);
        pthread_mutex_unlock(&c->lock);
        c->joined = true;
        mk_log(c->module, MK_LOG_INFO, "cets.number", "this is node '%s', number %u of cluster '%s'",
               mk_server_node(), own, ((const struct cets_conf *)mk_module_conf(c->module, NULL))->cluster);
    } else if (own != c->number) {
        be_refused(c, "the discovery has given this node's number to another");
        return;
    }
    for (size_t i = 0; i < c->member_count; i++)
        c->members[i].kept = false;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(nodes[i].name, mk_server_node()) != 0)
            take_member(c, &nodes[i]);
        else
            take_own_address(c, nodes[i].address);
    }
    for (size_t i = 0; i < c->member_count; i++) {
        if (c->members[i].kept)
            c->members[kept++] = c->members[i];
    }
    c->member_count = kept;
    expect_members(c);
    dial_members(c);
    say_when_ready(c);
}

/* -- life cycle ----------------------------------------------------------------------------- */

static double
count_bytes(void *arg)
{
    struct cets *c = arg;
    double bytes;

    pthread_mutex_lock(&c->lock);
    bytes = (double)replica_counts(c->replica).log_bytes;
    pthread_mutex_unlock(&c->lock);
    return bytes;
}

static double
count_lag(void *arg)
{
    struct cets *c = arg;
    double lag;

    pthread_mutex_lock(&c->lock);
    lag = (double)replica_lag(c->replica);
    pthread_mutex_unlock(&c->lock);
    return lag;
}

static double
count_joined(void *arg)
{
    struct cets *c = arg;
    struct peer *p = NULL;
    struct peer_view v;
    double joined = 0;

    pthread_mutex_lock(&c->lock);
    while ((p = replica_peer_next(c->replica, p))) {
        replica_peer_view(p, &v);
        joined += v.state == PEER_JOINED;
    }
    pthread_mutex_unlock(&c->lock);
    return joined;
}

static double
count_records(void *arg)
{
    struct cets *c = arg;
    size_t records = 0;

    pthread_mutex_lock(&c->lock);
    for (unsigned i = 0; i < replica_table_count(c->replica); i++)
        records += mk_store_count(replica_store(c->replica, i));
    pthread_mutex_unlock(&c->lock);
    return (double)records;
}

/* Once in sync is enough: those that run do not go away from their users while another joins. */
static const char *
not_ready(void *arg)
{
    struct cets *c = arg;

    if (__atomic_load_n(&c->stopping, __ATOMIC_ACQUIRE))
        return "leaving the cluster";
    return __atomic_load_n(&c->said_ready, __ATOMIC_ACQUIRE) ? NULL : "not in sync with the cluster yet";
}

static double
count_queued(void *arg)
{
    struct cets *c = arg;
    double bytes;

    pthread_mutex_lock(&c->lock);
    bytes = (double)messages_queued(c);
    pthread_mutex_unlock(&c->lock);
    return bytes;
}

static double
ask_queue_limit(void *arg)
{
    return (double)((const struct cets_conf *)mk_module_conf(((struct cets *)arg)->module, NULL))->queue_max;
}

static double
count_links(void *arg)
{
    struct cets *c = arg;
    struct peer *p = NULL;
    struct peer_view v;
    double links = 0;

    pthread_mutex_lock(&c->lock);
    while ((p = replica_peer_next(c->replica, p))) {
        replica_peer_view(p, &v);
        links += v.link != NULL;
    }
    pthread_mutex_unlock(&c->lock);
    return links;
}

static void
make_metrics(struct mk_module *m, struct cets *c)
{
    c->count.bytes_in = mk_counter_new(m, "cluster_bytes_received_total", NULL, "Bytes from other nodes");
    c->count.bytes_out = mk_counter_new(m, "cluster_bytes_sent_total", NULL, "Bytes to other nodes");
    c->count.refused = mk_counter_new(m, "cluster_refused_total", NULL, "Connections and nodes that were refused");
    c->count.requests_out = mk_counter_new(m, "cluster_requests_sent_total", NULL, "Requests to other nodes");
    c->count.requests_in = mk_counter_new(m, "cluster_requests_received_total", NULL, "Requests of other nodes");
    c->count.lost = mk_counter_new(m, "cluster_requests_lost_total", NULL,
                                   "Requests whose node went before it answered");
    c->count.full = mk_counter_new(m, "cluster_requests_refused_total", NULL,
                                   "Requests that found the queue of their node full");
    c->count.repairs = mk_counter_new(m, "cluster_repairs_total", NULL,
                                      "Times that records differed between nodes and were fetched anew");
    c->count.restarts = mk_counter_new(m, "cluster_snapshots_total", NULL,
                                       "Times that all records of this node were sent to another");
    mk_gauge_ask(m, "cluster_log_bytes", NULL, "Bytes of operations that are kept for other nodes", count_bytes, c);
    mk_gauge_ask(m, "cluster_lag", NULL, "Operations of this node that some other has not confirmed", count_lag, c);
    mk_gauge_ask(m, "cluster_records", NULL, "Records of all nodes that are held here", count_records, c);
    mk_gauge_ask(m, "cluster_links", NULL, "Links to other nodes that are open", count_links, c);
    mk_gauge_ask(m, "cluster_queue_bytes", NULL, "Bytes of requests that wait for other nodes", count_queued, c);
    mk_gauge_ask(m, "cluster_queue_limit_bytes", NULL, "Bytes of requests that may wait for one node", ask_queue_limit, c);
    mk_gauge_ask(m, "cluster_nodes_joined", NULL, "Other nodes that this one is in sync with", count_joined, c);
}

/* What nodes show each other: a difference is named at the join. */
static void
make_replica(struct cets *c, const struct cets_conf *conf)
{
    struct replica_out out = {c, tables_changed, tables_done, on_wake, on_close, on_note};
    struct replica_config config = {.cluster = conf->cluster,
                                    .name = mk_server_node(),
                                    .start = (uint64_t)mk_time_us() / 1000,
                                    .heartbeat = conf->heartbeat,
                                    .dead_after = conf->dead_after,
                                    .grace = conf->grace,
                                    .digest_every = conf->digest_every,
                                    .log_keep = conf->log_keep,
                                    .log_max = conf->log_max};

    do
        mk_random(&config.incarnation, sizeof(config.incarnation));
    while (config.incarnation == 0);
    c->replica = replica_new(&config, &out);
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    const struct cets_conf *conf = mk_module_conf(m, NULL);
    struct cets *c = mk_zalloc(sizeof(*c));

    mk_module_set(m, c);
    c->module = m;
    c->worker = mk_worker_nth(0);
    c->started = mk_now_ms();
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->farewell, NULL);
    make_metrics(m, c);
    make_replica(c, conf);
    tables_provide(c);
    c->discovery = mk_service_get(m, "discovery", MK_DISCOVERY_ABI, err);
    if (!c->discovery || tls_init(c, conf, err) < 0 || messages_provide(c, err) < 0 ||
        overview_provide(c, err) < 0)
        return -1;
    if (mk_ready_add(m, "cluster", not_ready, c) < 0)
        return mk_fail(err, "cannot add the check of readiness");
    if (reload_init(c, err) < 0)
        return -1;
    return mk_service_provide(m, "tables", MK_TABLES_ABI, &c->tables_service, err);
}

static void
begin(void *arg)
{
    struct cets *c = arg;
    const struct cets_conf *conf = mk_module_conf(c->module, NULL);
    struct mk_discovery_self self = {.cluster = conf->cluster, .name = mk_server_node(),
                                     .host = conf->advertise, .port = mk_listener_port(c->listener)};

    c->tick = mk_timer_every(c->module, TICK_MS, on_tick, c);
    c->discovery->join(c->discovery->self, c->module, &self, on_discovered, c);
}

static int
start(struct mk_module *m, struct mk_error *err)
{
    const struct cets_conf *conf = mk_module_conf(m, NULL);
    struct cets *c = mk_module_get(m);

    describe_self(c->replica);
    c->listener = mk_listen(m, "cluster", conf->listen, links_accept, c, err);
    if (!c->listener)
        return -1;
    mk_post(m, c->worker, begin, c);
    return 0;
}

static void
gone(void *arg)
{
    struct cets *c = arg;

    pthread_mutex_lock(&c->lock);
    c->gone = true;
    pthread_cond_signal(&c->farewell);
    pthread_mutex_unlock(&c->lock);
}

/* Says goodbye to the peers and the discovery. */
static void
leave(void *arg)
{
    struct cets *c = arg;

    mk_timer_free(&c->tick);
    mk_timer_free(&c->dial);
    pthread_mutex_lock(&c->lock);
    replica_leave(c->replica);
    pthread_mutex_unlock(&c->lock);
    __atomic_store_n(&c->stopping, true, __ATOMIC_RELEASE);
    links_close_all(c);
    c->discovery->leave(c->discovery->self, gone, c);
}

/* The main thread waits: when this returns the core takes descriptors and timers away. */
static void
stop(struct mk_module *m)
{
    struct cets *c = mk_module_get(m);
    struct timespec until;

    if (!c->listener)
        return;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += FAREWELL_S;
    mk_post(m, c->worker, leave, c);
    pthread_mutex_lock(&c->lock);
    while (!c->gone && pthread_cond_timedwait(&c->farewell, &c->lock, &until) == 0)
        ;
    if (!c->gone)
        mk_log(m, MK_LOG_WARN, "cets.farewell", "the database did not take this node off its list in time");
    pthread_mutex_unlock(&c->lock);
}

static void
unload(struct mk_module *m)
{
    struct cets *c = mk_module_get(m);

    tls_release(c);
    messages_release(c);
    traffic_release(c);
    tables_release(c);
    replica_free(&c->replica);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->farewell);
    mk_free(c->members);
    mk_free(c);
}

static int
check(const void *arg, const char *host, struct mk_error *err)
{
    const struct cets_conf *conf = arg;

    (void)host;
    if (!conf->certificate != !conf->key || !conf->certificate != !conf->ca)
        return mk_fail(err, "'certificate', 'key' and 'ca' go together");
    if (conf->secret && strlen(conf->secret) < 16)
        return mk_fail(err, "'secret' has %zu characters; at least 16 are needed", strlen(conf->secret));
    if (conf->dead_after < 2 * conf->heartbeat)
        return mk_fail(err, "'dead_after' must be at least twice 'heartbeat'");
    if (conf->log_max < conf->log_keep)
        return mk_fail(err, "'log_max' must not be less than 'log_keep'");
    return 0;
}

static const struct mk_option options[] = {
    MK_OPTION_STRING(struct cets_conf, cluster, "meerkat", 0,
                     "name of the cluster; nodes of other clusters are not seen"),
    MK_OPTION_STRING(struct cets_conf, listen, "127.0.0.1:5290", 0,
                     "where links of other nodes come in, ADDRESS:PORT; port 0 is any free one"),
    MK_OPTION_STRING(struct cets_conf, advertise, NULL, 0,
                     "IP address at which other nodes reach this one; empty: the one that faces the database"),
    MK_OPTION_MODULE(struct cets_conf, discovery, "rdbms", "discovery_%s", 0,
                     "how nodes find each other: rdbms or file"),
    MK_OPTION_SECRET(struct cets_conf, secret, NULL, 0,
                     "secret that all nodes share, of 16 characters or more: the key of TLS 1.3 on the links"),
    MK_OPTION_PATH(struct cets_conf, certificate, NULL, 0,
                   "this node's certificate for the links, PEM, instead of a secret"),
    MK_OPTION_PATH(struct cets_conf, key, NULL, 0, "its private key, PEM"),
    MK_OPTION_PATH(struct cets_conf, ca, NULL, 0, "certificates of whoever signs those of the nodes, PEM"),
    MK_OPTION_PERIOD(struct cets_conf, heartbeat, "1s", "50ms", "1m", 0, "time between signs of life on a link"),
    MK_OPTION_PERIOD(struct cets_conf, dead_after, "5s", "200ms", "10m", 0,
                     "time without any after which a link is given up"),
    MK_OPTION_PERIOD(struct cets_conf, grace, "5s", "100ms", "1h", 0,
                     "time without a link after which a node is gone, with all its records"),
    MK_OPTION_PERIOD(struct cets_conf, digest_every, "1m", "100ms", "1d", 0,
                     "time between comparisons of what nodes hold of each other"),
    MK_OPTION_PERIOD(struct cets_conf, handshake, "5s", "100ms", "5m", 0,
                     "time that a connection has to greet"),
    MK_OPTION_SIZE(struct cets_conf, log_keep, "8M", "64K", "16G", 0,
                   "operations kept for nodes that come back, so that they need no full copy"),
    MK_OPTION_SIZE(struct cets_conf, log_max, "256M", "64K", "64G", 0,
                   "operations kept for a slow node before it gets a full copy instead"),
    MK_OPTION_SIZE(struct cets_conf, queue_max, "64M", "64K", "16G", 0,
                   "bytes of requests that may wait for one node; more are refused, news for all nodes at twice as many"),
    MK_OPTION_END};

MK_MODULE(.name = "cets", .version = "1.0",
          .summary = "A cluster: replicated tables of who is online, and requests between nodes",
          .depends = (const char *const[]){"discovery", NULL},
          .provides = (const char *const[]){"tables", "cluster", "cets", NULL}, .options = options,
          .conf_size = sizeof(struct cets_conf), .check = check, .init = init, .start = start,
          .stop = stop, .unload = unload);
