/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Sessions that go to another node: because their client resumes there, or because this node stops. The node that has the
 * session leads:
 *
 *   here                                          there
 *   input settled, no connection
 *   ADOPT (counters, state of the modules)  --->  a session without a connection, known to all nodes as the
 *                                                 one in force; what comes for it is kept behind the queue
 *   the record here goes; when every node   <---  its id
 *   has seen that, all that was sent here
 *   has arrived
 *   QUEUE (stanzas, in pieces)              --->  in front of what came meanwhile
 *   the session here vanishes               <---  done: the client may have it
 *
 * So no stanza is lost or doubled, and between two full JIDs order holds. A node that dies half-way through leaves the
 * session at the other one, with what it has got.
 */
#include "internal.h"

#include <unistd.h>

#define NS_STATE "urn:meerkat:session:0"
#define STATE_VERSION 1
#define PIECE (128u << 10)          /* bytes of a QUEUE after which there is another */
#define ARRIVAL_MS 10000u           /* the queue must have come by then */
#define AT_ONCE 64u                 /* sessions of a worker that leave at a time when the node stops */
#define NODES_MAX 256u
#define REFUSALS NODES_MAX          /* nodes that are asked in vain when this one stops */

enum request { TAKE = 1, ADOPT, QUEUE };
enum { ANSWER_OK = 1, ANSWER_NOT_FOUND, ANSWER_BUSY };

/* A session on its way out, on its worker. */
struct sm_leave {
    struct sm_module *m;
    struct sm *sm;                  /* NULL: it ended meanwhile */
    mk_session_id session, there;
    uint32_t node;
    uint32_t sent;                  /* entries of the queue that were sent */
    unsigned pieces;                /* QUEUE requests that are not answered */
    bool begun, out, failed;        /* ADOPT is sent; our record is gone */
    int8_t priority;
    uint16_t flags;
    struct mk_cluster_call *asker;  /* the TAKE that this answers; NULL: the node stops */
};

struct wire_state {
    uint8_t version;
    int8_t priority;
    uint16_t flags;
    uint32_t in, acked, resume_max;
    uint64_t name;
    unsigned char token[TOKEN_LEN];
    uint16_t jid_len, reserved[3];
};

/* A request of another node, while it goes to the worker that it is for. */
struct visitor {
    struct sm_module *m;
    struct mk_cluster_call *call;
    uint32_t node;
    mk_session_id session;
    size_t len;
    char data[];
};

static void
answer(struct sm_module *m, struct mk_cluster_call *call, uint8_t status, mk_session_id id)
{
    char data[1 + sizeof(id)] = {(char)status};

    memcpy(data + 1, &id, sizeof(id));
    m->cluster->answer(call, (struct mk_str){data, sizeof(data)});
}

static uint8_t
read_answer(enum mk_cluster_result result, struct mk_str data, mk_session_id *id)
{
    if (result != MK_CLUSTER_ANSWERED || data.len < 1 + sizeof(*id))
        return ANSWER_NOT_FOUND;
    memcpy(id, data.p + 1, sizeof(*id));
    return (uint8_t)data.p[0];
}

/* -- leaving --------------------------------------------------------------------------------- */

static void drain_go_on(struct sm_module *m);

static bool
can_leave(const struct sm *sm)
{
    return sm->resume_max && !sm->full && !sm->leaving && !sm->arriving && !sm->resuming;
}

static void
drain_add(struct mk_session *s, void *arg)
{
    struct sm_module *m = arg;
    struct sm_lane *lane = sm_lane(m);
    struct sm *sm = sm_of(m, s);
    size_t n = lane->drain_count;

    if (sm && sm->arriving && !sm->drain_later) {
        sm->drain_later = true;
        __atomic_fetch_add(&m->to_drain, 1, __ATOMIC_RELAXED);
    }
    if (!sm || !can_leave(sm))
        return;
    if ((n & (n - 1)) == 0)
        lane->drain = mk_realloc(lane->drain, (n ? n * 2 : 1) * sizeof(*lane->drain));
    lane->drain[lane->drain_count++] = mk_session_get_id(s);
}

static void
leave_end(struct sm_leave *l, uint8_t status)
{
    struct sm_module *m = l->m;
    bool drained = !l->asker;

    if (l->asker)
        answer(m, l->asker, status, l->there);
    mk_counter_add(status == ANSWER_OK ? m->metrics.left : m->metrics.stayed, 1);
    mk_free(l);
    mk_module_leave(m->module);
    if (drained) {
        __atomic_fetch_add(&m->drained, status == ANSWER_OK, __ATOMIC_RELAXED);
        __atomic_fetch_sub(&m->to_drain, 1, __ATOMIC_RELEASE);
        drain_go_on(m);
    }
}

static void
opened_again(struct mk_session *s, bool ok)
{
    (void)s;
    (void)ok;
}

static uint64_t *
refusal_bit(struct sm_module *m, uint32_t node, uint64_t *bit_out)
{
    *bit_out = UINT64_C(1) << (node % 64);
    return &m->refusers[node / 64 % MK_COUNT(m->refusers)];
}

/* Mostly it stops as well, and there are others. */
static void
note_refusal(struct sm_module *m, uint32_t node)
{
    uint64_t bit, *word = refusal_bit(m, node, &bit);

    __atomic_fetch_or(word, bit, __ATOMIC_RELAXED);
}

static bool
has_refused(struct sm_module *m, uint32_t node)
{
    uint64_t bit, *word = refusal_bit(m, node, &bit);

    return __atomic_load_n(word, __ATOMIC_RELAXED) & bit;
}

/* The other node did not take it: it waits here as before. */
static void
leave_failed(struct sm_leave *l)
{
    struct sm *sm = l->sm;
    struct sm_module *m = l->m;

    if (sm) {
        sm->leaving = NULL;
        if (l->out) {
            m->sessions->open(m->sessions->self, sm->session, opened_again);
            m->sessions->update(m->sessions->self, sm->session, l->priority, l->flags, 0);
        }
        sm_wait(sm);
        if (!l->asker)
            note_refusal(m, l->node);
        if (!l->asker && sm->refused++ < REFUSALS) {
            drain_add(sm->session, m);
            __atomic_fetch_add(&m->to_drain, 1, __ATOMIC_RELAXED);
        }
        mk_log(sm->session, MK_LOG_WARN, "sm.stays", "node %u did not take the session", l->node);
    }
    leave_end(l, ANSWER_NOT_FOUND);
}

/* It lives there now. What came here at the last moment goes after it. */
static void
leave_done(struct sm_leave *l)
{
    struct sm *sm = l->sm;
    struct sm_module *m = l->m;

    if (sm) {
        struct mk_session *s = sm->session;
        mk_session_id id = mk_session_get_id(s);
        struct sm_queue queue = sm->queue;

        sm->leaving = NULL;
        sm->queue = (struct sm_queue){0};
        mk_session_ref(s);
        m->c2s->vanish(s);
        for (uint32_t i = l->sent; i < queue.count; i++) {
            struct mk_stanza *st = sm_queue_at(&queue, i)->stanza;

            if (mk_stanza_given_up(st))
                mk_undelivered(id, st);
        }
        sm_queue_release(&queue, &sm_lane(m)->rings);
        mk_session_unref(&s);
    }
    leave_end(l, ANSWER_OK);
}

static void
on_piece(enum mk_cluster_result result, struct mk_str data, void *arg)
{
    struct sm_leave *l = arg;
    mk_session_id id;

    if (read_answer(result, data, &id) != ANSWER_OK)
        l->failed = true;
    if (--l->pieces > 0)
        return;
    if (l->failed)
        leave_failed(l);
    else
        leave_done(l);
}

static void
begin_piece(struct sm_leave *l, struct mk_buf *piece)
{
    piece->len = 0;
    mk_buf_add_byte(piece, QUEUE);
    mk_buf_add(piece, &l->there, sizeof(l->there));
    mk_buf_add_byte(piece, 0);
}

static void
send_piece(struct sm_leave *l, struct mk_buf *piece, bool last)
{
    piece->data[1 + sizeof(l->there)] = (char)last;
    l->pieces++;
    l->m->cluster->send(l->m->channel, l->node, mk_buf_str(piece), on_piece, l);
}

static void
add_entry(struct mk_buf *piece, const struct sm_entry *e)
{
    uint32_t age = (uint32_t)(mk_now_ms() / 1000) - e->at, len;
    size_t at;

    mk_buf_add(piece, &age, sizeof(age));
    at = piece->len;
    mk_buf_add(piece, &age, sizeof(len));
    mk_stanza_write(e->stanza, piece);
    len = (uint32_t)(piece->len - at - sizeof(len));
    memcpy(piece->data + at, &len, sizeof(len));
}

/* Everybody has seen that the record here is gone: the queue is whole. */
static void
on_left(void *arg)
{
    struct sm_leave *l = arg;
    struct mk_buf piece = {0};

    if (!l->sm) {
        leave_end(l, ANSWER_NOT_FOUND);
        return;
    }
    begin_piece(l, &piece);
    for (l->sent = 0; l->sent < l->sm->queue.count; l->sent++) {
        if (piece.len > PIECE) {
            send_piece(l, &piece, false);
            begin_piece(l, &piece);
        }
        add_entry(&piece, sm_queue_at(&l->sm->queue, l->sent));
    }
    send_piece(l, &piece, true);
    mk_buf_release(&piece);
}

static void
on_adopted(enum mk_cluster_result result, struct mk_str data, void *arg)
{
    struct sm_leave *l = arg;
    uint8_t status = read_answer(result, data, &l->there);

    if (!l->sm || status != ANSWER_OK) {
        leave_failed(l);
        return;
    }
    l->out = true;
    l->m->sessions->leave(l->m->sessions->self, l->sm->session, on_left, l);
}

static void
ask_to_adopt(struct sm_leave *l)
{
    struct sm *sm = l->sm;
    struct sm_module *m = l->m;
    const struct mk_jid *jid = mk_session_jid(sm->session);
    struct mk_str text = mk_jid_text(jid);
    struct mk_xml *state = mk_xml_new(NULL);
    struct mk_ev_session_leaves ev = {MK_EVENT(ev), .session = sm->session, .state = state};
    struct wire_state w = {.version = STATE_VERSION, .in = sm->in, .acked = sm->queue.acked,
                           .resume_max = sm->resume_max, .name = sm->name,
                           .jid_len = (uint16_t)text.len};
    struct mk_buf data = {0};
    struct mk_resource r;

    l->begun = true;
    mk_xml_open(state, "state", NS_STATE);
    mk_fire_session_leaves(m->leaves, &ev);
    mk_xml_close(state);
    m->sessions->get(m->sessions->self, sm->session, &r);
    w.priority = l->priority = r.priority;
    w.flags = l->flags = r.flags;
    memcpy(w.token, sm->token, TOKEN_LEN);
    mk_buf_add_byte(&data, ADOPT);
    mk_buf_add(&data, &w, sizeof(w));
    mk_buf_add_str(&data, text);
    mk_buf_add_str(&data, mk_xml_str(state));
    m->cluster->send(m->channel, l->node, mk_buf_str(&data), on_adopted, l);
    mk_buf_release(&data);
    mk_xml_free(&state);
}

void
sm_leave_settled(struct sm *sm)
{
    if (!sm->leaving->begun)
        ask_to_adopt(sm->leaving);
}

void
sm_leave_cancel(struct sm *sm)
{
    struct sm_leave *l = sm->leaving;

    sm->leaving = NULL;
    l->sm = NULL;
    /* Nothing is under way that would come back to it. */
    if (!l->begun)
        leave_end(l, ANSWER_NOT_FOUND);
}

static void
leave(struct sm *sm, uint32_t node, struct mk_cluster_call *asker)
{
    struct sm_leave *l = mk_zalloc(sizeof(*l));
    struct sm_module *m = sm->module;
    struct mk_session *s = sm->session;
    bool ended;

    mk_module_enter(m->module);
    *l = (struct sm_leave){.m = m, .sm = sm, .session = mk_session_get_id(sm->session), .node = node,
                           .asker = asker};
    sm->leaving = l;
    if (!sm->detached) {
        mk_session_ref(s);
        m->c2s->drop(s, "the session goes to another node");
        ended = mk_session_is_closed(s);
        mk_session_unref(&s);
        /* Its stream was about to end: sm_leave_cancel has said so. */
        if (ended)
            return;
    }
    mk_timer_free(&sm->timer);
    if (mk_session_unsettled(sm->session) == 0)
        ask_to_adopt(l);
}

/* -- a client that resumes elsewhere ----------------------------------------------------------- */

static void
take_here(struct mk_session *s, void *arg)
{
    struct visitor *v = arg;
    struct sm_module *m = v->m;
    struct sm *sm = s ? sm_of(m, s) : NULL;
    struct mk_str account = {v->data + TOKEN_LEN, v->len - TOKEN_LEN};

    if (!sm || !sm->resume_max || sm->full ||
        !sm_same_token(sm->token, (const unsigned char *)v->data) ||
        !mk_str_eq(account, mk_jid_bare(mk_session_jid(s))))
        answer(m, v->call, ANSWER_NOT_FOUND, 0);
    else if (!can_leave(sm))
        answer(m, v->call, ANSWER_BUSY, 0);
    else
        leave(sm, v->node, v->call);
    mk_free(v);
    mk_module_leave(m->module);
}

struct asking {
    struct mk_module *module;
    sm_taken_fn done;
    void *arg;
};

static void
on_take_answered(enum mk_cluster_result result, struct mk_str data, void *arg)
{
    struct asking a = *(struct asking *)arg;
    mk_session_id here = 0;
    uint8_t status = read_answer(result, data, &here);

    mk_free(arg);
    a.done(status == ANSWER_OK ? SM_TAKEN : status == ANSWER_BUSY ? SM_BUSY : SM_NOT_FOUND, here, a.arg);
    mk_module_leave(a.module);
}

void
sm_take(struct sm_module *m, uint32_t node, mk_session_id there, const unsigned char *token,
        const struct mk_jid *account, sm_taken_fn done, void *arg)
{
    struct asking *a = mk_alloc(sizeof(*a));
    struct mk_buf data = {0};

    mk_module_enter(m->module);
    *a = (struct asking){m->module, done, arg};
    mk_buf_add_byte(&data, TAKE);
    mk_buf_add(&data, &there, sizeof(there));
    mk_buf_add(&data, token, TOKEN_LEN);
    mk_buf_add_str(&data, mk_jid_bare(account));
    m->cluster->send(m->channel, node, mk_buf_str(&data), on_take_answered, a);
    mk_buf_release(&data);
}

/* -- arriving -------------------------------------------------------------------------------- */

/* The queue is here, or it will not come: the session is like any other from now. */
static void
arrived(struct sm *sm)
{
    struct sm_module *m = sm->module;
    struct sm_rings *rings = &sm_lane(m)->rings;

    for (uint32_t i = 0; i < sm->late.count; i++) {
        const struct sm_entry *e = sm_queue_at(&sm->late, i);

        sm_queue_push(&sm->queue, rings, e->stanza, e->at);
    }
    sm_queue_release(&sm->late, rings);
    sm->arriving = false;
    mk_timer_free(&sm->timer);
    sm_wait(sm);
    sm_drain_arrived(sm);
    mk_counter_add(m->metrics.arrived, 1);
    mk_log(sm->session, MK_LOG_DEBUG, "sm.arrived", "came from another node: %u stanzas wait for the client",
           sm->queue.count);
}

static void
arrival_over(void *arg)
{
    struct sm *sm = arg;

    sm->timer = NULL;
    mk_log(sm->session, MK_LOG_WARN, "sm.arrival", "the node that the session came from has not sent its stanzas");
    arrived(sm);
}

/* Everybody knows that the session is here. */
static void
on_known(void *arg)
{
    struct visitor *v = arg;

    answer(v->m, v->call, ANSWER_OK, v->session);
    mk_module_leave(v->m->module);
    mk_free(v);
}

static struct sm *
make_arrival(struct sm_module *m, struct mk_session *s, const struct wire_state *w)
{
    struct sm *sm = mk_zalloc(sizeof(*sm));

    sm->module = m;
    sm->session = s;
    sm->in = sm->settled = sm->told = w->in;
    sm->queue.acked = w->acked;
    sm->resume_max = w->resume_max;
    sm->name = w->name;
    memcpy(sm->token, w->token, TOKEN_LEN);
    sm->detached = sm->arriving = true;
    sm->timer = mk_timer_new(m->module, ARRIVAL_MS, arrival_over, sm);
    mk_session_slot_set(s, m->slot, sm);
    mk_gauge_add(m->metrics.enabled, 1);
    mk_gauge_add(m->metrics.detached, 1);
    return sm;
}

static int
adopt(struct visitor *v, const struct wire_state *w, const struct mk_jid *jid, struct mk_node *state)
{
    struct sm_module *m = v->m;
    struct mk_host *host = mk_host_find(mk_jid_domain(jid));
    struct mk_ev_session_arrives ev = {MK_EVENT(ev), .state = state, .flags = w->flags};

    if (!host || mk_jid_is_bare(jid))
        return -1;
    ev.session = m->c2s->adopt(m->c2s->self, host, jid);
    make_arrival(m, ev.session, w);
    mk_fire_session_arrives(m->arrives, &ev);
    v->session = mk_session_get_id(ev.session);
    m->c2s->enter(m->c2s->self, ev.session, w->priority, w->flags | MK_RESOURCE_DETACHED, on_known, v);
    return 0;
}

static void
adopt_here(void *arg)
{
    struct visitor *v = arg;
    struct mk_node *state = NULL;
    struct mk_jid *jid = NULL;
    struct wire_state w;
    size_t head;
    int rc = -1;

    if (v->len >= sizeof(w)) {
        memcpy(&w, v->data, sizeof(w));
        head = sizeof(w) + w.jid_len;
        if (w.version == STATE_VERSION && v->len > head && w.resume_max) {
            jid = mk_jid_parse((struct mk_str){v->data + sizeof(w), w.jid_len});
            state = mk_node_parse((struct mk_str){v->data + head, v->len - head}, MK_NS_CLIENT);
        }
    }
    if (jid && state && !__atomic_load_n(&v->m->draining, __ATOMIC_ACQUIRE))
        rc = adopt(v, &w, jid, state);
    mk_node_free(&state);
    mk_jid_unref(&jid);
    if (rc == 0)
        return;
    answer(v->m, v->call, ANSWER_NOT_FOUND, 0);
    mk_module_leave(v->m->module);
    mk_free(v);
}

static int
read_entries(struct sm *sm, struct mk_str data)
{
    uint32_t age, len, now = (uint32_t)(mk_now_ms() / 1000);
    struct mk_stanza *st;

    while (data.len) {
        if (data.len < 8)
            return -1;
        memcpy(&age, data.p, 4);
        memcpy(&len, data.p + 4, 4);
        if (len > data.len - 8)
            return -1;
        st = mk_stanza_parse((struct mk_str){data.p + 8, len});
        if (!st)
            return -1;
        sm_keep(sm->module, sm->session, st);
        sm_queue_push(&sm->queue, &sm_lane(sm->module)->rings, st, now - age);
        mk_stanza_unref(&st);
        data.p += 8 + len;
        data.len -= 8 + len;
    }
    return 0;
}

static void
queue_here(struct mk_session *s, void *arg)
{
    struct visitor *v = arg;
    struct sm_module *m = v->m;
    struct sm *sm = s ? sm_of(m, s) : NULL;
    uint8_t status = ANSWER_NOT_FOUND;

    if (sm && sm->arriving && v->len >= 1) {
        status = ANSWER_OK;
        if (read_entries(sm, (struct mk_str){v->data + 1, v->len - 1}) < 0)
            mk_log(s, MK_LOG_ERROR, "sm.queue", "stanzas of another node cannot be read");
        if (v->data[0])
            arrived(sm);
    }
    answer(m, v->call, status, v->session);
    mk_free(v);
    mk_module_leave(m->module);
}

static void
on_request(struct mk_cluster_call *call, uint32_t node, struct mk_str data, void *arg)
{
    struct sm_module *m = arg;
    enum request what = data.len ? (enum request)data.p[0] : 0;
    size_t head = what == ADOPT ? 1 : 1 + sizeof(mk_session_id);
    uint32_t turn;
    struct visitor *v;

    if (what < TAKE || what > QUEUE || data.len < head || (what == TAKE && data.len < head + TOKEN_LEN)) {
        answer(m, call, ANSWER_NOT_FOUND, 0);
        return;
    }
    v = mk_alloc(sizeof(*v) + data.len);
    *v = (struct visitor){.m = m, .call = call, .node = node, .len = data.len - head};
    if (what != ADOPT)
        memcpy(&v->session, data.p + 1, sizeof(v->session));
    memcpy(v->data, data.p + head, v->len);
    mk_module_enter(m->module);
    turn = __atomic_fetch_add(&m->next_worker, 1, __ATOMIC_RELAXED);
    if (what == TAKE)
        mk_session_post(m->module, v->session, take_here, v);
    else if (what == QUEUE)
        mk_session_post(m->module, v->session, queue_here, v);
    else
        mk_post(m->module, mk_worker_nth(turn % mk_worker_count()), adopt_here, v);
}

/* -- a node that stops -------------------------------------------------------------------------- */

struct nodes {
    struct sm_module *m;
    uint32_t list[NODES_MAX];
    size_t count;
};

static bool
add_node(const struct mk_cluster_node *node, void *arg)
{
    struct nodes *n = arg;

    if (strcmp(node->state, "joined") == 0 && !has_refused(n->m, node->number))
        n->list[n->count++] = node->number;
    return n->count < NODES_MAX;
}

static bool
drain_one(struct sm_module *m, mk_session_id id)
{
    struct mk_session *s = mk_session_find(id);
    struct sm *sm = s ? sm_of(m, s) : NULL;
    struct nodes nodes = {.m = m};

    m->cluster->each(m->cluster->self, add_node, &nodes);
    if (!sm || !can_leave(sm) || nodes.count == 0)
        return false;
    leave(sm, nodes.list[__atomic_fetch_add(&m->next_node, 1, __ATOMIC_RELAXED) % nodes.count], NULL);
    return true;
}

static void
drain_go_on(struct sm_module *m)
{
    struct sm_lane *lane = sm_lane(m);

    while (lane->drain_next < lane->drain_count) {
        if (drain_one(m, lane->drain[lane->drain_next++]))
            return;
        __atomic_fetch_sub(&m->to_drain, 1, __ATOMIC_RELEASE);
    }
}

/* A session that was on its way here when this node was told to stop: it was counted then. */
void
sm_drain_arrived(struct sm *sm)
{
    struct sm_module *m = sm->module;

    if (!sm->drain_later)
        return;
    sm->drain_later = false;
    if (!drain_one(m, mk_session_get_id(sm->session)))
        __atomic_fetch_sub(&m->to_drain, 1, __ATOMIC_RELEASE);
}

static void
drain_here(void *arg)
{
    struct sm_module *m = arg;
    struct sm_lane *lane = sm_lane(m);

    mk_session_each(drain_add, m);
    /* One for the worker itself was counted by sm_drain. */
    __atomic_fetch_add(&m->to_drain, (int64_t)lane->drain_count, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < AT_ONCE; i++)
        drain_go_on(m);
    __atomic_fetch_sub(&m->to_drain, 1, __ATOMIC_RELEASE);
}

bool
sm_drain_begin(struct sm_module *m)
{
    struct nodes nodes = {.m = m};

    m->cluster->each(m->cluster->self, add_node, &nodes);
    if (nodes.count == 0)
        return false;
    memset(m->refusers, 0, sizeof(m->refusers));
    __atomic_store_n(&m->draining, true, __ATOMIC_RELEASE);
    mk_server_status("draining: sessions go to other nodes");
    m->c2s->refuse_new(m->c2s->self);
    __atomic_store_n(&m->to_drain, (int64_t)mk_worker_count(), __ATOMIC_RELEASE);
    for (size_t i = 0; i < mk_worker_count(); i++)
        mk_post(m->module, mk_worker_nth(i), drain_here, m);
    return true;
}

void
sm_drain(struct sm_module *m)
{
    const struct sm_conf *conf = mk_module_conf(m->module, NULL);
    uint64_t until = mk_now_ms() + conf->drain_timeout;

    if (conf->drain_timeout == 0 || !sm_drain_begin(m))
        return;
    while (__atomic_load_n(&m->to_drain, __ATOMIC_ACQUIRE) > 0 && mk_now_ms() < until)
        usleep(1000);
    mk_log(m->module, MK_LOG_INFO, "sm.drained", "%lld sessions went to other nodes, %lld were left when time was over",
           (long long)__atomic_load_n(&m->drained, __ATOMIC_ACQUIRE), (long long)__atomic_load_n(&m->to_drain, __ATOMIC_ACQUIRE));
}

int
sm_handover_init(struct sm_module *m, struct mk_error *err)
{
    m->cluster = mk_cluster_get(m->module);
    if (!m->cluster)
        return 0;
    m->router = mk_service_get(m->module, "router", MK_ROUTER_ABI, err);
    if (!m->router)
        return -1;
    m->channel = m->cluster->channel(m->cluster->self, m->module, "sm", on_request, m, err);
    return m->channel ? 0 : -1;
}
