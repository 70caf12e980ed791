/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * A second node for what only this one holds (sm.acknowledge = safe). A message for a session of this node is
 * sent to another one too, which keeps it until we say that it is settled here. When this node dies the other routes it
 * anew. What is kept for an account is at one node, so that its order is kept as well.
 *
 * What we have given away belongs to the worker that did so; what we keep is under a lock, for requests come on the
 * worker of the links.
 */
#include "internal.h"

#define NODES_MAX 256u
#define NODES_FRESH_MS 200u         /* how long the list of nodes is good */
#define HOMELESS_MS 1000u           /* messages that no node would keep are offered again after this time */
#define BUCKETS_MIN 64u
#define NS_DELAY "urn:xmpp:delay"

enum request { KEEP = 1, RELEASE };

/* Of what is kept, in front of the XML. */
#define HEAD (2 * sizeof(uint64_t))

/* -- given away ------------------------------------------------------------------------------- */

enum state { HOMELESS, SENT, KEPT };

/* A message that another node keeps for us. */
struct away {
    struct away *prev, *next;       /* of the lane, in the order of their coming */
    struct away *next_settled;
    struct keep_lane *lane;
    struct mk_safety *safety;       /* NULL: told */
    uint64_t id, account;
    uint32_t node;
    enum state state;
    bool settled;
    size_t len;
    char request[];                 /* as it is sent: kind, id, account, XML */
};

struct keep_lane {
    struct router *router;
    struct away *first, *last;
    struct away *settled;           /* atomic: pushed by any thread, taken by the worker */
    struct mk_timer *timer;         /* while something is homeless */
    uint64_t next_id;
    uint64_t nodes_at;
    size_t node_count;
    uint32_t nodes[NODES_MAX];
};

static struct keep_lane *
lane_here(struct router *router)
{
    return &router->keep->lanes[mk_worker_index(mk_worker_self())];
}

static bool
add_node(const struct mk_cluster_node *node, void *arg)
{
    struct keep_lane *lane = arg;

    if (strcmp(node->state, "joined") == 0)
        lane->nodes[lane->node_count++] = node->number;
    return lane->node_count < NODES_MAX;
}

/* The node for an account: the one with the highest weight, so that another node that comes moves few. 0: there is none. */
static uint32_t
choose(struct keep_lane *lane, uint64_t account)
{
    struct router *router = lane->router;
    uint64_t best = 0, now = mk_now_ms();
    uint32_t chosen = 0;

    if (now - lane->nodes_at > NODES_FRESH_MS) {
        lane->nodes_at = now;
        lane->node_count = 0;
        router->cluster->each(router->cluster->self, add_node, lane);
    }
    for (size_t i = 0; i < lane->node_count; i++) {
        uint64_t key[2] = {account, lane->nodes[i]}, weight = mk_hash(key, sizeof(key));

        if (!chosen || weight > best) {
            best = weight;
            chosen = lane->nodes[i];
        }
    }
    return chosen;
}

static void
away_free(struct away *a)
{
    if (a->prev)
        a->prev->next = a->next;
    else
        a->lane->first = a->next;
    if (a->next)
        a->next->prev = a->prev;
    else
        a->lane->last = a->prev;
    mk_safety_unref(&a->safety);
    mk_free(a);
}

static void offer(struct away *a);

static void
offer_again(void *arg)
{
    struct keep_lane *lane = arg;

    lane->timer = NULL;
    for (struct away *a = lane->first, *next; a; a = next) {
        next = a->next;
        if (a->state == HOMELESS)
            offer(a);
    }
}

static void
become_homeless(struct away *a)
{
    struct keep_lane *lane = a->lane;

    a->state = HOMELESS;
    lane->nodes_at = 0;
    if (!lane->timer)
        lane->timer = mk_timer_new(lane->router->module, HOMELESS_MS, offer_again, lane);
}

static void
release(struct keep_lane *lane, uint32_t node, struct mk_buf *ids)
{
    struct router *router = lane->router;

    router->cluster->send(router->keep->channel, node, mk_buf_str(ids), NULL, NULL);
    ids->len = 0;
}

static void
on_answer(enum mk_cluster_result result, struct mk_str answer, void *arg)
{
    struct away *a = arg;
    struct mk_buf ids = {0};
    bool kept = result == MK_CLUSTER_ANSWERED && answer.len == 0;

    if (kept && a->settled) {
        mk_buf_add_byte(&ids, RELEASE);
        mk_buf_add(&ids, &a->id, sizeof(a->id));
        release(a->lane, a->node, &ids);
        mk_buf_release(&ids);
    }
    if (a->settled) {
        away_free(a);
    } else if (kept) {
        a->state = KEPT;
        if (a->safety)
            mk_safety_tell(a->safety);
        mk_safety_unref(&a->safety);
    } else {
        become_homeless(a);
    }
}

static void
offer(struct away *a)
{
    struct router *router = a->lane->router;

    a->node = choose(a->lane, a->account);
    if (!a->node) {
        become_homeless(a);
        return;
    }
    a->state = SENT;
    mk_counter_add(router->keep->given, 1);
    router->cluster->send(router->keep->channel, a->node, (struct mk_str){a->request, a->len}, on_answer, a);
}

/* -- settled ---------------------------------------------------------------------------------- */

static void
add_release(struct keep_lane *lane, const struct away *a, uint32_t *node, struct mk_buf *ids)
{
    if (ids->len && (*node != a->node || ids->len > MK_CLUSTER_DATA_MAX / 2))
        release(lane, *node, ids);
    if (!ids->len)
        mk_buf_add_byte(ids, RELEASE);
    *node = a->node;
    mk_buf_add(ids, &a->id, sizeof(a->id));
}

static void
take_settled(void *arg)
{
    struct keep_lane *lane = arg;
    struct away *a = __atomic_exchange_n(&lane->settled, NULL, __ATOMIC_ACQUIRE), *next;
    struct mk_module *m = lane->router->module;
    struct mk_buf ids = {0};
    uint32_t node = 0;

    for (; a; a = next) {
        next = a->next_settled;
        a->settled = true;
        if (a->state == KEPT)
            add_release(lane, a, &node, &ids);
        if (a->state != SENT)
            away_free(a);
        mk_module_leave(m);
    }
    if (ids.len)
        release(lane, node, &ids);
    mk_buf_release(&ids);
}

/* Nobody here holds it any more. On any thread. */
static void
on_settled(bool given_up, void *arg)
{
    struct away *a = arg;
    struct keep_lane *lane = a->lane;
    struct router *router = lane->router;
    struct mk_worker *w = mk_worker_nth((size_t)(lane - router->keep->lanes));
    struct away *head = __atomic_load_n(&lane->settled, __ATOMIC_RELAXED);

    (void)given_up;
    do
        a->next_settled = head;
    while (!__atomic_compare_exchange_n(&lane->settled, &head, a, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
    if (head)
        return;
    if (w == mk_worker_self())
        mk_defer(router->module, take_settled, lane);
    else
        mk_post(router->module, w, take_settled, lane);
}

void
router_keep(void *self, struct mk_stanza *st)
{
    struct router *router = self;
    uint64_t account = mk_jid_hash_bare(mk_stanza_to(st));
    struct mk_safety *safety;
    struct mk_buf request = {0};
    struct keep_lane *lane;
    struct away *a;

    if (!router->keep || !(safety = mk_stanza_get_safety(st)))
        return;
    if (mk_stanza_is_watched(st)) {     /* given away already, on an earlier way */
        mk_safety_unref(&safety);
        return;
    }
    lane = lane_here(router);
    mk_buf_reserve(&request, 32 + mk_stanza_size(st));
    mk_buf_add_byte(&request, KEEP);
    mk_buf_add(&request, &lane->next_id, sizeof(lane->next_id));
    mk_buf_add(&request, &account, sizeof(account));
    mk_stanza_write(st, &request);
    a = mk_alloc(sizeof(*a) + request.len);
    *a = (struct away){.prev = lane->last, .lane = lane, .safety = safety, .id = lane->next_id++,
                       .account = account, .len = request.len};
    memcpy(a->request, request.data, request.len);
    mk_buf_release(&request);
    if (a->prev)
        a->prev->next = a;
    else
        lane->first = a;
    lane->last = a;
    mk_module_enter(router->module);
    mk_stanza_when_settled(st, false, on_settled, a);
    offer(a);
}

struct voided {
    struct keep_lane *lane;
    uint32_t node;
};

/* What that node kept for us is kept by nobody. */
static void
give_anew(void *arg)
{
    struct voided *v = arg;
    struct keep_lane *lane = v->lane;

    lane->nodes_at = 0;
    for (struct away *a = lane->first, *next; a; a = next) {
        next = a->next;
        if (a->state == KEPT && a->node == v->node)
            offer(a);
    }
    mk_free(v);
}

/* -- kept for others -------------------------------------------------------------------------- */

struct kept {
    struct kept *prev, *next;       /* of its node, in the order of their coming */
    struct kept *next_hashed;
    struct router *router;
    uint64_t id, account;           /* account: a hash that its node made */
    int64_t at;                     /* us of the wall clock */
    size_t len;
    char xml[];
};

/* All that one node has given us. */
struct keeper {
    struct keeper *next;
    uint32_t node;
    struct kept *first, *last;
    struct kept **buckets;
    size_t bucket_count, count;
};

static struct keeper *
keeper_of(struct router *router, uint32_t node)
{
    struct keeper *k = router->keep->keepers;

    while (k && k->node != node)
        k = k->next;
    return k;
}

static struct keeper *
keeper_need(struct router *router, uint32_t node)
{
    struct keeper *k = keeper_of(router, node);

    if (k)
        return k;
    k = mk_zalloc(sizeof(*k));
    *k = (struct keeper){.next = router->keep->keepers, .node = node, .bucket_count = BUCKETS_MIN};
    k->buckets = mk_zalloc(k->bucket_count * sizeof(struct kept *));
    router->keep->keepers = k;
    return k;
}

static struct kept **
bucket_of(const struct keeper *k, uint64_t id)
{
    return &k->buckets[mk_hash(&id, sizeof(id)) & (k->bucket_count - 1)];
}

static void
grow(struct keeper *k)
{
    mk_free(k->buckets);
    k->bucket_count *= 4;
    k->buckets = mk_zalloc(k->bucket_count * sizeof(struct kept *));
    for (struct kept *e = k->first; e; e = e->next) {
        struct kept **bucket = bucket_of(k, e->id);

        e->next_hashed = *bucket;
        *bucket = e;
    }
}

static void
count_kept(struct router *router, const struct kept *e, int by)
{
    router->keep->bytes += by > 0 ? sizeof(*e) + e->len : -(sizeof(*e) + e->len);
    mk_gauge_add(router->keep->kept, by);
}

static void
keeper_add(struct keeper *k, struct kept *e)
{
    struct kept **bucket;

    if (k->count >= k->bucket_count)
        grow(k);
    bucket = bucket_of(k, e->id);
    e->next_hashed = *bucket;
    *bucket = e;
    e->prev = k->last;
    if (k->last)
        k->last->next = e;
    else
        k->first = e;
    k->last = e;
    k->count++;
    count_kept(e->router, e, 1);
}

static void
keeper_drop(struct keeper *k, uint64_t id)
{
    struct kept **p = bucket_of(k, id), *e;

    while (*p && (*p)->id != id)
        p = &(*p)->next_hashed;
    e = *p;
    if (!e)
        return;
    *p = e->next_hashed;
    if (e->prev)
        e->prev->next = e->next;
    else
        k->first = e->next;
    if (e->next)
        e->next->prev = e->prev;
    else
        k->last = e->prev;
    k->count--;
    count_kept(e->router, e, -1);
    mk_free(e);
}

static bool
take_in(struct router *router, uint32_t node, struct mk_str data)
{
    const struct router_conf *conf = mk_module_conf(router->module, NULL);
    struct kept *e;

    if (router->keep->bytes + data.len > conf->keep_size) {
        mk_counter_add(router->keep->full, 1);
        return false;
    }
    e = mk_alloc(sizeof(*e) + data.len);
    *e = (struct kept){.router = router, .at = mk_time_us(), .len = data.len - HEAD};
    memcpy(&e->id, data.p, sizeof(e->id));
    memcpy(&e->account, data.p + sizeof(e->id), sizeof(e->account));
    memcpy(e->xml, data.p + HEAD, e->len);
    keeper_add(keeper_need(router, node), e);
    return true;
}

static void
let_go(struct router *router, uint32_t node, struct mk_str ids)
{
    struct keeper *k = keeper_of(router, node);
    uint64_t id;

    for (; k && ids.len >= sizeof(id); ids.p += sizeof(id), ids.len -= sizeof(id)) {
        memcpy(&id, ids.p, sizeof(id));
        keeper_drop(k, id);
    }
}

static void
on_request(struct mk_cluster_call *call, uint32_t node, struct mk_str data, void *arg)
{
    struct router *router = arg;
    bool ok = true;

    pthread_mutex_lock(&router->keep->lock);
    if (data.len > 1 + HEAD && data.p[0] == KEEP)
        ok = take_in(router, node, (struct mk_str){data.p + 1, data.len - 1});
    else if (data.len > 1 && data.p[0] == RELEASE)
        let_go(router, node, (struct mk_str){data.p + 1, data.len - 1});
    pthread_mutex_unlock(&router->keep->lock);
    router->cluster->answer(call, ok ? (struct mk_str){0} : MK_STR("full"));
}

/* -- a node that died -------------------------------------------------------------------------- */

/* With the time at which it came here (XEP-0203), unless it says one already. */
static struct mk_stanza *
with_delay(struct mk_stanza *st, int64_t at)
{
    char stamp[MK_TIME_TEXT_MAX];
    struct mk_stanza *made;
    struct mk_xml *x;

    if (mk_stanza_has(st, "delay", NS_DELAY))
        return st;
    mk_time_text(at / 1000000 * 1000000, stamp);
    x = mk_xml_new(NULL);
    mk_xml_open(x, "delay", NS_DELAY);
    mk_xml_attr_str(x, "from", mk_jid_domain(mk_stanza_to(st)));
    mk_xml_attr(x, "stamp", stamp);
    made = mk_stanza_append(st, x);
    mk_stanza_unref(&st);
    return made;
}

static void
route_anew(void *arg)
{
    struct kept *e = arg;
    struct router *router = e->router;
    struct mk_stanza *st = mk_stanza_parse((struct mk_str){e->xml, e->len});

    if (st) {
        st = with_delay(st, e->at);
        mk_counter_add(router->keep->routed, 1);
        mk_undelivered(0, st);
        mk_stanza_unref(&st);
    } else {
        mk_log(router->module, MK_LOG_ERROR, "router.kept", "a message that another node gave us cannot be read");
    }
    mk_free(e);
}

static void
keeper_free(struct keeper *k)
{
    mk_free(k->buckets);
    mk_free(k);
}

/* An account's in order: all of it on one worker. */
static void
route_all(void *arg)
{
    struct keeper *k = arg;

    for (struct kept *e = k->first, *next; e; e = next) {
        next = e->next;
        mk_post(e->router->module, mk_worker_nth(e->account % mk_worker_count()), route_anew, e);
    }
    keeper_free(k);
}

static struct keeper *
keeper_take(struct router *router, uint32_t node)
{
    struct keeper **p, *k;

    pthread_mutex_lock(&router->keep->lock);
    for (p = &router->keep->keepers; *p && (*p)->node != node; p = &(*p)->next)
        ;
    k = *p;
    if (k)
        *p = k->next;
    for (struct kept *e = k ? k->first : NULL; e; e = e->next)
        count_kept(router, e, -1);
    pthread_mutex_unlock(&router->keep->lock);
    return k;
}

static void
drop_all(struct keeper *k)
{
    while (k->first) {
        struct kept *e = k->first;

        k->first = e->next;
        mk_free(e);
    }
    keeper_free(k);
}

/* A node is gone: what it gave us goes on. Or it has given to others what it had given us, when it had taken us for gone. */
static void
on_void(uint32_t node, bool gone, void *arg)
{
    struct router *router = arg;
    struct keeper *k = keeper_take(router, node);

    for (size_t i = 0; i < mk_worker_count(); i++) {
        struct voided *v = mk_alloc(sizeof(*v));

        *v = (struct voided){&router->keep->lanes[i], node};
        mk_post(router->module, mk_worker_nth(i), give_anew, v);
    }
    if (k && gone)
        mk_post(router->module, mk_worker_nth(0), route_all, k);
    else if (k)
        drop_all(k);
}

/* -- life cycle ------------------------------------------------------------------------------- */

int
router_keep_init(struct router *router, struct mk_error *err)
{
    struct mk_module *m = router->module;
    struct keeping *keep = mk_zalloc(sizeof(*keep));

    router->keep = keep;
    pthread_mutex_init(&keep->lock, NULL);
    keep->lanes = mk_zalloc(mk_worker_count() * sizeof(*keep->lanes));
    for (size_t i = 0; i < mk_worker_count(); i++)
        keep->lanes[i].router = router;
    keep->given = mk_counter_new(m, "router_kept_elsewhere_total", NULL,
                                 "Messages that were given to another node to keep until they are settled here");
    keep->kept = mk_gauge_new(m, "router_kept", NULL, "Messages that are kept for other nodes");
    keep->full = mk_counter_new(m, "router_keep_refused_total", NULL,
                                "Messages of other nodes that were not kept: too much is (keep_size)");
    keep->routed = mk_counter_new(m, "router_kept_routed_total", NULL,
                                  "Messages that were routed anew because the node that had given them died");
    keep->channel = router->cluster->channel(router->cluster->self, m, "keep", on_request, router, err);
    if (!keep->channel)
        return -1;
    router->cluster->on_void(keep->channel, on_void);
    return 0;
}

void
router_keep_release(struct router *router)
{
    struct keeping *keep = router->keep;

    if (!keep)
        return;
    for (size_t i = 0; i < mk_worker_count(); i++) {
        while (keep->lanes[i].first)
            away_free(keep->lanes[i].first);
    }
    while (keep->keepers) {
        struct keeper *k = keep->keepers;

        keep->keepers = k->next;
        drop_all(k);
    }
    pthread_mutex_destroy(&keep->lock);
    mk_free(keep->lanes);
    mk_free(keep);
    router->keep = NULL;
}
