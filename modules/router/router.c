/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Routing (RFC 6120 §10, RFC 6121 §8) and the service "sessions". Who is online is in the table
 * "sessions": group = bare JID, key = resource, value = struct entry.
 */
#include "internal.h"

#define MOVED (1u << 15)    /* entry.flags: it came from another node, whose record goes by itself */
#define KNOWN_MS 2000u      /* how long somebody waits for all nodes to know */

/* -- the table ------------------------------------------------------------------------------ */

static bool
read_entry(const struct mk_record *r, struct entry *out)
{
    if (r->value.len < sizeof(*out))
        return false;
    memcpy(out, r->value.p, sizeof(*out));
    return true;
}

static void
fill(const struct mk_record *r, const struct entry *e, struct mk_resource *out)
{
    out->session = r->node ? router_remote_id(r->node, e->session) : e->session;
    out->there = e->session;
    out->node = r->node;
    out->priority = e->priority;
    out->flags = e->flags;
    out->since = e->since;
    out->resource = r->key;
}

static void
write_entry(struct router *router, const struct mk_jid *jid, const struct entry *e, mk_table_fn fn,
            void *arg)
{
    router->tables->insert(router->table, mk_jid_bare(jid), mk_jid_resource(jid),
                           (struct mk_str){(const char *)e, sizeof(*e)}, KNOWN_MS, fn, arg);
}

/* Of two nodes that have the same resource the later one, as everybody sees it. */
static bool
is_later(struct router *router, const struct mk_record *a, const struct entry *a_entry,
         const struct mk_record *b, const struct entry *b_entry)
{
    uint32_t self;

    if (a_entry->since != b_entry->since)
        return a_entry->since > b_entry->since;
    self = router->tables->node(router->tables->self);
    return (a->node ? a->node : self) > (b->node ? b->node : self);
}

struct search {
    struct router *router;
    struct mk_str key;
    struct mk_record record;
    struct entry entry;
    bool found;
};

static bool
search_one(const struct mk_record *r, void *arg)
{
    struct search *s = arg;
    struct entry e;

    if (!mk_str_eq(r->key, s->key) || !read_entry(r, &e))
        return true;
    if (!s->found || is_later(s->router, r, &e, &s->record, &s->entry)) {
        s->record = *r;
        s->entry = e;
        s->found = true;
    }
    return true;
}

/* The record of a resource that is in force. While a session goes from one node to another both have one. */
static bool
search(struct router *router, struct mk_str group, struct mk_str key, struct search *s)
{
    *s = (struct search){.router = router, .key = key};
    if (router->cluster)
        router->tables->each_in(router->table, group, search_one, s);
    else
        s->found = router->tables->find(router->table, group, key, &s->record) &&
                   read_entry(&s->record, &s->entry);
    return s->found;
}

static pthread_mutex_t *
lock(struct router *router, const struct mk_jid *jid)
{
    pthread_mutex_t *mutex = &router->locks[mk_jid_hash_bare(jid) % LOCKS];

    pthread_mutex_lock(mutex);
    return mutex;
}

static void
close_older(struct mk_session *s, void *arg)
{
    (void)arg;
    if (s)
        mk_session_close(s, "conflict", "another client uses this resource");
}

/* Another node has bound a resource that is ours as well: the later one stays. */
static void
on_changed(const struct mk_record *now, const struct mk_record *old, void *arg)
{
    struct router *router = arg;
    struct mk_record own;
    struct entry mine, theirs;

    if (!now && old->lost && read_entry(old, &theirs) && theirs.flags & MK_RESOURCE_AVAILABLE)
        router_remote_lost(router, old);
    if (!now || !now->node || !read_entry(now, &theirs) ||
        !router->tables->find(router->table, now->group, now->key, &own) || own.node ||
        !read_entry(&own, &mine) || theirs.flags & MOVED)
        return;
    if (is_later(router, now, &theirs, &own, &mine))
        mk_session_post(router->module, mine.session, close_older, NULL);
}

/* The clocks of nodes differ: later than what is there, whatever they say. */
static void
become_latest(struct router *router, const struct mk_jid *jid, struct entry *e, struct search *older)
{
    if (search(router, mk_jid_bare(jid), mk_jid_resource(jid), older) &&
        older->entry.since >= e->since)
        e->since = older->entry.since + 1;
}

/* Between the look for others and our record another node's may have come, before there was one of ours for on_changed to find. */
static void
look_again(struct router *router, const struct mk_jid *jid, const struct entry *e)
{
    struct search now;

    if (router->cluster && search(router, mk_jid_bare(jid), mk_jid_resource(jid), &now) && now.record.node &&
        !(now.entry.flags & MOVED))
        mk_session_post(router->module, e->session, close_older, NULL);
}

static void
svc_open(void *self, struct mk_session *s, void (*done)(struct mk_session *s, bool ok))
{
    struct router *router = self;
    const struct mk_jid *jid = mk_session_jid(s);
    struct entry e = {.session = mk_session_get_id(s), .since = (uint64_t)mk_time_us() / 1000};
    pthread_mutex_t *mutex = lock(router, jid);
    struct search older;

    become_latest(router, jid, &e, &older);
    write_entry(router, jid, &e, NULL, NULL);
    look_again(router, jid, &e);
    pthread_mutex_unlock(mutex);
    /* It finds that its place is taken, and what it has not delivered goes to the new one. A node that has the older
     * one sees our record and closes it. */
    if (older.found && !older.record.node)
        mk_session_post(router->module, older.entry.session, close_older, NULL);
    mk_gauge_add(router->online, 1);
    done(s, true);
}

/* This node's record of the session's JID. Ids of sessions mean nothing at other nodes. */
static bool
own_record(struct router *router, const struct mk_session *s, struct mk_record *r, struct entry *out)
{
    const struct mk_jid *jid = mk_session_jid(s);

    return router->tables->find(router->table, mk_jid_bare(jid), mk_jid_resource(jid), r) &&
           r->node == 0 && read_entry(r, out);
}

/* The record of this session; false when another one has taken its place. */
static bool
own_entry(struct router *router, const struct mk_session *s, struct entry *out)
{
    struct mk_record r;

    return own_record(router, s, &r, out) && out->session == mk_session_get_id(s);
}

static void
svc_close(void *self, struct mk_session *s)
{
    struct router *router = self;
    const struct mk_jid *jid = mk_session_jid(s);
    pthread_mutex_t *mutex = lock(router, jid);
    struct entry e;

    mk_gauge_add(router->online, -1);
    if (own_entry(router, s, &e))
        router->tables->remove(router->table, mk_jid_bare(jid), mk_jid_resource(jid), 0, NULL, NULL);
    pthread_mutex_unlock(mutex);
}

/* Who waits until a change is known. */
struct known {
    void (*done)(void *arg);
    void *arg;
};

static void
on_known(enum mk_table_result result, void *arg)
{
    struct known k = *(struct known *)arg;

    (void)result;
    mk_free(arg);
    k.done(k.arg);
}

/* False: nothing had to be written, so that nobody will be told. With a cluster fn is told later, without the lock. */
static bool
update(struct router *router, struct mk_session *s, int8_t priority, unsigned set, unsigned clear,
       mk_table_fn fn, void *arg)
{
    pthread_mutex_t *mutex = lock(router, mk_session_jid(s));
    bool changed = false;
    struct entry e;
    uint16_t flags;

    if (own_entry(router, s, &e)) {
        flags = (uint16_t)((e.flags & ~clear) | set);
        changed = flags != e.flags || priority != e.priority;
    }
    if (changed) {
        e.flags = flags;
        e.priority = priority;
        write_entry(router, mk_session_jid(s), &e, fn, arg);
    }
    pthread_mutex_unlock(mutex);
    return changed;
}

static void
svc_update(void *self, struct mk_session *s, int8_t priority, unsigned set, unsigned clear)
{
    (void)update(self, s, priority, set, clear, NULL, NULL);
}

static void
svc_update_known(void *self, struct mk_session *s, int8_t priority, unsigned set, unsigned clear,
                 void (*done)(void *arg), void *arg)
{
    struct router *router = self;
    struct known *k;

    if (!router->cluster) {
        (void)update(router, s, priority, set, clear, NULL, NULL);
        done(arg);
        return;
    }
    k = mk_alloc(sizeof(*k));
    *k = (struct known){done, arg};
    if (!update(router, s, priority, set, clear, on_known, k))
        on_known(MK_TABLE_OK, k);
}

static void
svc_adopt(void *self, struct mk_session *s, int8_t priority, unsigned flags,
          void (*done)(void *arg), void *arg)
{
    struct router *router = self;
    const struct mk_jid *jid = mk_session_jid(s);
    struct entry e = {.session = mk_session_get_id(s), .since = (uint64_t)mk_time_us() / 1000,
                      .priority = priority, .flags = (uint16_t)(flags | MOVED)};
    struct known *k = mk_alloc(sizeof(*k));
    pthread_mutex_t *mutex = lock(router, jid);
    struct search older;

    *k = (struct known){done, arg};
    become_latest(router, jid, &e, &older);
    write_entry(router, jid, &e, on_known, k);
    pthread_mutex_unlock(mutex);
    if (older.found && !older.record.node)
        mk_session_post(router->module, older.entry.session, close_older, NULL);
    mk_gauge_add(router->online, 1);
}

static void
svc_leave(void *self, struct mk_session *s, void (*done)(void *arg), void *arg)
{
    struct router *router = self;
    const struct mk_jid *jid = mk_session_jid(s);
    struct known *k = mk_alloc(sizeof(*k));
    pthread_mutex_t *mutex = lock(router, jid);
    struct entry e;
    bool ours = own_entry(router, s, &e);

    *k = (struct known){done, arg};
    mk_gauge_add(router->online, -1);
    if (ours)
        router->tables->remove(router->table, mk_jid_bare(jid), mk_jid_resource(jid), KNOWN_MS, on_known, k);
    pthread_mutex_unlock(mutex);
    if (!ours)
        on_known(MK_TABLE_OK, k);
}

static void
svc_get(void *self, const struct mk_session *s, struct mk_resource *out)
{
    struct router *router = self;
    struct mk_record r;
    struct entry e;

    memset(out, 0, sizeof(*out));
    if (own_record(router, s, &r, &e))
        fill(&r, &e, out);
}

/* Records of an account at most as a rule. */
#define FEW 8

struct visit {
    struct router *router;
    size_t count;           /* records of the account; the first FEW of them: */
    struct mk_record records[FEW];
    bool (*fn)(const struct mk_resource *r, void *arg);
    void *arg;
};

static bool
visit_one(const struct mk_record *r, void *arg)
{
    struct visit *v = arg;
    struct mk_resource out;
    struct entry e;
    struct search s;

    if (!read_entry(r, &e))
        return true;
    if (v->count > 1 && search(v->router, r->group, r->key, &s) && s.record.node != r->node)
        return true;
    fill(r, &e, &out);
    return v->fn(&out, v->arg);
}

static bool
gather_one(const struct mk_record *r, void *arg)
{
    struct visit *v = arg;

    if (v->count < FEW)
        v->records[v->count] = *r;
    v->count++;
    return true;
}

/* In a cluster a resource may have two records for a moment: so all are seen before the first is told. */
static void
svc_each(void *self, const struct mk_jid *account,
         bool (*fn)(const struct mk_resource *r, void *arg), void *arg)
{
    struct router *router = self;
    struct visit v;

    v.router = router;
    v.count = 0;
    v.fn = fn;
    v.arg = arg;
    router->tables->each_in(router->table, mk_jid_bare(account), router->cluster ? gather_one : visit_one, &v);
    if (v.count > FEW)
        router->tables->each_in(router->table, mk_jid_bare(account), visit_one, &v);
    for (size_t i = 0; v.count <= FEW && i < v.count; i++) {
        if (!visit_one(&v.records[i], &v))
            return;
    }
}

struct tour {
    bool (*fn)(struct mk_str account, const struct mk_resource *r, void *arg);
    void *arg;
};

static bool
tour_one(const struct mk_record *r, void *arg)
{
    const struct tour *t = arg;
    struct mk_resource out;
    struct entry e;

    if (!read_entry(r, &e))
        return true;
    fill(r, &e, &out);
    return t->fn(r->group, &out, t->arg);
}

static void
svc_each_session(void *self, bool (*fn)(struct mk_str account, const struct mk_resource *r, void *arg),
                 void *arg)
{
    struct router *router = self;
    struct tour t = {fn, arg};

    router->tables->each(router->table, tour_one, &t);
}

static void
svc_send(void *self, const struct mk_resource *r, struct mk_stanza *st)
{
    router_count(self, r->node ? TO_NODE : TO_SESSION);
    if (r->node)
        router_remote_send(self, r, st);
    else
        mk_deliver(r->session, st);
}

static size_t
svc_count(void *self)
{
    struct router *router = self;

    return router->tables->count(router->table);
}

bool
router_find(struct router *router, const struct mk_jid *full, struct mk_resource *out)
{
    struct search s;

    if (!search(router, mk_jid_bare(full), mk_jid_resource(full), &s))
        return false;
    fill(&s.record, &s.entry, out);
    return true;
}

/* -- life cycle ----------------------------------------------------------------------------- */

static void
define_hooks(struct mk_module *m, struct router *router)
{
    router->hooks.pre = mk_define_route_pre(m, NULL, NULL);
    router->hooks.account = mk_define_account_in(m, &router_account_hold, router);
    router->hooks.host = mk_define_host_in(m, NULL, NULL);
    router->hooks.offline = mk_define_message_offline(m, &router_offline_hold, router);
    router->hooks.remote = mk_define_route_remote(m, NULL, NULL);
    router->hooks.lost = mk_define_resource_lost(m, NULL, NULL);
    router->hooks.delivered = mk_define_message_delivered(m, NULL, NULL);
}

static void
make_metrics(struct mk_module *m, struct router *router)
{
    static const char *const outcomes[] = {"outcome=\"session\"", "outcome=\"node\"", "outcome=\"host\"",
                                           "outcome=\"account\"", "outcome=\"domain\"", "outcome=\"stored\"",
                                           "outcome=\"returned\"", "outcome=\"dropped\""};

    router->online = mk_gauge_new(m, "sessions", NULL, "Sessions that are bound on this node");
    router->unroutable = mk_counter_new(m, "router_undeliverable_total", NULL,
                                        "Stanzas that found nobody to take them");
    for (size_t i = 0; i < OUTCOMES; i++)
        router->outcomes[i] = mk_counter_new(m, "router_outcomes_total", outcomes[i], "What became of stanzas");
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct router *router = mk_zalloc(sizeof(*router));

    mk_module_set(m, router);
    router->module = m;
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_init(&router->locks[i], NULL);
    router->queues = mk_zalloc(mk_worker_count() * sizeof(*router->queues));
    router->tables = mk_service_get(m, "tables", MK_TABLES_ABI, err);
    if (!router->tables)
        return -1;
    router->table = router->tables->open(router->tables->self, m, "sessions", 1, err);
    if (!router->table)
        return -1;
    define_hooks(m, router);
    make_metrics(m, router);
    router->sessions = (struct mk_sessions){.size = sizeof(router->sessions),
                                            .self = router,
                                            .open = svc_open,
                                            .close = svc_close,
                                            .update = svc_update,
                                            .get = svc_get,
                                            .each = svc_each,
                                            .send = svc_send,
                                            .count = svc_count,
                                            .update_known = svc_update_known,
                                            .adopt = svc_adopt,
                                            .leave = svc_leave,
                                            .each_session = svc_each_session,
                                            .end = router_end};
    router->service = (struct mk_router){.size = sizeof(router->service), .self = router,
                                         .route = router_route, .keep = router_keep};
    if (router_remote_init(router, m, err) < 0 ||
        router->tables->watch(router->tables->self, m, router->table, on_changed, router) < 0 ||
        mk_on(m, undelivered, MK_PRIO_LAST, router_undelivered, router) < 0 ||
        mk_service_provide(m, "sessions", MK_SESSIONS_ABI, &router->sessions, err) < 0 ||
        mk_service_provide(m, "router", MK_ROUTER_ABI, &router->service, err) < 0)
        return -1;
    return 0;
}

static void
unload(struct mk_module *m)
{
    struct router *router = mk_module_get(m);

    router_keep_release(router);
    mk_free(router->queues);
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_destroy(&router->locks[i]);
    mk_free(router);
}

static const struct mk_option options[] = {
    MK_OPTION_MODULE(struct router_conf, tables, "tables_local", "%s", 0,
                     "module that keeps the tables of who is online: tables_local for one node, cets for a cluster"),
    MK_OPTION_SIZE(struct router_conf, keep_size, "64M", "0", "64G", MK_OPT_RELOADABLE,
                   "bytes of messages that are kept for other nodes (sm.acknowledge = safe); more are refused"),
    MK_OPTION_END};

MK_MODULE(.name = "router", .version = "1.0", .summary = "Routing of stanzas (RFC 6121 §8), and who is online",
          .depends = (const char *const[]){"tables", NULL},
          .provides = (const char *const[]){"router", "sessions", NULL}, .options = options,
          .conf_size = sizeof(struct router_conf), .init = init, .unload = unload);
