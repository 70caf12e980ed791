/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Sessions of other nodes. A stanza for one is a request to its node, which answers when the stanza is safe there: the
 * client acknowledged it, it was written to one that does not acknowledge, stored, or sent on. Until then it is kept
 * here, and when the node goes it is routed anew.
 */
#include "internal.h"

/* A stanza on its way to another node. */
struct journey {
    struct router *router;
    mk_session_id session;
    struct mk_stanza *stanza;
    struct mk_safety *safety;       /* NULL: nobody waits for a second node to have it */
};

/* Before the XML: the session's id and whether others get the stanza too. */
#define HEAD (sizeof(mk_session_id) + 1)

/* One that came, until it is settled here. */
struct arrival {
    struct router *router;
    struct mk_cluster_call *call;
    mk_session_id session;
    bool report;                    /* others get it too: what cannot be delivered is their node's to know */
    size_t len;
    char xml[];
};

mk_session_id
router_remote_id(uint32_t node, mk_session_id there)
{
    uint64_t key[2] = {node, there};

    /* No worker has the number 255, so it finds nothing here. */
    return mk_hash(key, sizeof(key)) | 0xffull << 56;
}

/* -- sending -------------------------------------------------------------------------------- */

/* Two nodes have it: that one, and we until it is safe there. */
static void
on_came(void *arg)
{
    struct journey *j = arg;

    mk_safety_tell(j->safety);
    mk_safety_unref(&j->safety);
}

/* The session is still there, so to route it anew would bring it here again. Its sender may. */
static void
no_room(struct journey *j)
{
    if (mk_stanza_kind(j->stanza) == MK_PRESENCE)
        router_count(j->router, DROPPED);
    else
        router_reply(j->router, j->stanza, MK_ERR_RESOURCE_CONSTRAINT, "too much waits for the receiver's node");
}

static void
on_end(enum mk_cluster_result result, struct mk_str answer, void *arg)
{
    struct journey *j = arg;

    if ((result != MK_CLUSTER_ANSWERED || answer.len) && mk_stanza_given_up(j->stanza)) {
        if (result == MK_CLUSTER_FULL) {
            no_room(j);
        } else {
            mk_counter_add(j->router->returned, 1);
            mk_undelivered(j->session, j->stanza);
        }
    }
    mk_safety_unref(&j->safety);
    mk_stanza_unref(&j->stanza);
    mk_free(j);
}

void
router_remote_send(struct router *router, const struct mk_resource *r, struct mk_stanza *st)
{
    struct journey *j = mk_alloc(sizeof(*j));
    struct mk_buf data = {0};

    *j = (struct journey){router, r->session, mk_stanza_ref(st), mk_stanza_get_safety(st)};
    mk_buf_reserve(&data, 64 + mk_stanza_size(st));
    mk_buf_add(&data, &r->there, sizeof(r->there));
    mk_buf_add_byte(&data, !mk_stanza_is_alone(st));
    mk_stanza_write(st, &data);
    mk_counter_add(router->remote, 1);
    router->cluster->send_told(router->stanzas, r->node, mk_buf_str(&data), j->safety ? on_came : NULL, on_end, j);
    mk_buf_release(&data);
}

/* -- receiving ------------------------------------------------------------------------------ */

static void
on_settled(bool given_up, void *arg)
{
    struct arrival *a = arg;

    a->router->cluster->answer(a->call, given_up ? MK_STR("-") : (struct mk_str){0});
    mk_module_leave(a->router->module);
    mk_free(a);
}

/* On the session's worker, or on another when there is no such session any more. */
static void
arrived(void *arg)
{
    struct arrival *a = arg;
    struct mk_stanza *st = mk_stanza_parse((struct mk_str){a->xml, a->len});

    if (!st) {
        mk_log(a->router->module, MK_LOG_ERROR, "router.remote", "a stanza of another node cannot be read");
        on_settled(false, a);
        return;
    }
    mk_stanza_when_settled(st, a->report, on_settled, a);
    mk_deliver(a->session, st);
    mk_stanza_unref(&st);
}

static void
on_stanza(struct mk_cluster_call *call, uint32_t node, struct mk_str data, void *arg)
{
    struct router *router = arg;
    struct arrival *a;
    struct mk_worker *w;

    (void)node;
    if (data.len < HEAD) {
        router->cluster->answer(call, (struct mk_str){0});
        return;
    }
    a = mk_alloc(sizeof(*a) + data.len);
    *a = (struct arrival){.router = router, .call = call, .len = data.len - HEAD,
                           .report = data.p[HEAD - 1]};
    memcpy(&a->session, data.p, sizeof(a->session));
    memcpy(a->xml, data.p + HEAD, a->len);
    mk_module_enter(router->module);
    w = mk_session_id_worker(a->session);
    if (w == mk_worker_self())
        arrived(a);
    else
        mk_post(router->module, w ? w : mk_worker_self(), arrived, a);
}

/* -- resources whose node died ---------------------------------------------------------------- */

struct lost {
    struct router *router;
    struct mk_jid *jid;
    uint64_t best;          /* of all nodes, the highest weight … */
    bool ours;              /* … is ours */
};

/* The same on every node. */
static uint64_t
weight(const char *node, struct mk_str jid)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (; *node; node++)
        h = (h ^ (unsigned char)*node) * 0x100000001b3u;
    for (size_t i = 0; i < jid.len; i++)
        h = (h ^ (unsigned char)jid.p[i]) * 0x100000001b3u;
    return h ^ h >> 29;
}

static bool
weigh(const struct mk_cluster_node *node, void *arg)
{
    struct lost *l = arg;
    bool self = strcmp(node->state, "self") == 0;
    uint64_t w = weight(node->name, mk_jid_text(l->jid));

    if ((self || strcmp(node->state, "joined") == 0) && w >= l->best) {
        l->best = w;
        l->ours = self;
    }
    return true;
}

static void
tell_lost(void *arg)
{
    struct lost *l = arg;
    struct router *router = l->router;
    struct mk_ev_resource_lost ev = {MK_EVENT(ev), .jid = l->jid};
    struct mk_resource r;

    router->cluster->each(router->cluster->self, weigh, l);
    /* Its user may be back already, elsewhere. */
    if (l->ours && !router_find(router, l->jid, &r))
        mk_fire_resource_lost(router->hooks.lost, &ev);
    mk_jid_unref(&l->jid);
    mk_free(l);
}

void
router_remote_lost(struct router *router, const struct mk_record *record)
{
    struct mk_buf text = {0};
    struct mk_jid *jid;
    struct lost *l;

    mk_buf_add_str(&text, record->group);
    mk_buf_add_byte(&text, '/');
    mk_buf_add_str(&text, record->key);
    jid = mk_jid_parse(mk_buf_str(&text));
    mk_buf_release(&text);
    if (!jid)
        return;
    l = mk_zalloc(sizeof(*l));
    *l = (struct lost){.router = router, .jid = jid};
    mk_post(router->module, mk_worker_nth(mk_jid_hash_bare(jid) % mk_worker_count()), tell_lost, l);
}

int
router_remote_init(struct router *router, struct mk_module *m, struct mk_error *err)
{
    router->cluster = mk_cluster_get(m);
    if (!router->cluster)
        return 0;
    router->remote = mk_counter_new(m, "router_remote_total", NULL, "Stanzas sent to sessions of other nodes");
    router->returned = mk_counter_new(m, "router_returned_total", NULL,
                                      "Stanzas that came back because their node went, and were routed anew");
    router->stanzas = router->cluster->channel(router->cluster->self, m, "stanza", on_stanza, router, err);
    if (!router->stanzas || router_end_init(router, err) < 0)
        return -1;
    return router_keep_init(router, err);
}
