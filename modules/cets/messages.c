/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Service "cluster": requests between nodes. Each direction between two nodes is one numbered sequence of items (requests
 * and answers), kept until the other end has them, whatever happens to links. A request is kept until it is
 * answered: when its node is gone, whoever asked is told. A node that had taken this one for gone begins a new sequence
 * when they meet again: then the old ones are over at both ends.
 */
#include "cets.h"
#include "wire.h"

enum {
    FRAME_REQUEST = FRAME_FOREIGN,  /* number, channel (32 bits), data */
    FRAME_ANSWER,                   /* number, number of the request, data */
    FRAME_ANSWERS,                  /* number, then numbers of requests whose answer is empty */
    FRAME_RECEIVED,                 /* number of the last item that came */
    FRAME_QUEUE,                    /* at the beginning of a link: send on from there; whose queues that is about */
};

#define HASH_MIN 64u

struct item {
    struct item *next;              /* in the queue */
    struct item *next_pending;      /* in the hash, of a request */
    uint64_t seq;
    struct cets *cets;
    struct mk_worker *worker;
    struct mk_cluster_channel *channel;
    mk_cluster_done_fn done;
    mk_task_fn came;                /* NULL: nobody asks whether the other end has it */
    void *arg;
    bool queued;                    /* the other end may not have it yet */
    bool answered;
    enum mk_cluster_result result;
    struct mk_buf answer;
    size_t len;
    char frame[];                   /* ready to send */
};

struct queue {
    struct queue *next;
    struct cets *cets;
    uint64_t incarnation;
    uint16_t number;
    uint64_t id, theirs;            /* of this queue, and of the one at the other end; 0: not known yet */
    uint64_t epoch;                 /* of what is under way: calls of an earlier one are void */
    struct conn *conn;              /* NULL: no link */
    struct item *first, **last;     /* what the other end may not have */
    struct item *unsent;            /* the first that this link has not seen */
    uint64_t next_seq;
    size_t bytes;
    struct item **pending;          /* requests without an answer, hashed by number */
    size_t pending_size, pending_count;
    struct mk_buf answers;          /* numbers of requests that are answered by nothing, not in the queue yet */
    uint64_t received;              /* the last item of the other end */
    bool received_due, greeted, hello_due;
};

/* A request of another node. */
struct mk_cluster_call {
    struct cets *cets;
    uint64_t incarnation, epoch, seq;
};

static uint32_t
channel_id(const char *name)
{
    uint32_t h = 0x811c9dc5u;

    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x01000193u;
    return h;
}

/* -- requests without an answer ------------------------------------------------------------- */

static struct item **
pending_slot(struct queue *q, uint64_t seq)
{
    return &q->pending[seq & (q->pending_size - 1)];
}

static void
pending_add(struct queue *q, struct item *item)
{
    if (q->pending_count >= q->pending_size) {
        size_t old = q->pending_size;
        struct item **from = q->pending;

        q->pending_size = old ? old * 4 : HASH_MIN;
        q->pending = mk_zalloc(q->pending_size * sizeof(struct item *));
        for (size_t i = 0; i < old; i++) {
            while (from[i]) {
                struct item *one = from[i], **to = pending_slot(q, one->seq);

                from[i] = one->next_pending;
                one->next_pending = *to;
                *to = one;
            }
        }
        mk_free(from);
    }
    item->next_pending = *pending_slot(q, item->seq);
    *pending_slot(q, item->seq) = item;
    q->pending_count++;
}

static struct item *
pending_take(struct queue *q, uint64_t seq)
{
    struct item **p, *item;

    if (!q->pending_count)
        return NULL;
    for (p = pending_slot(q, seq); *p && (*p)->seq != seq; p = &(*p)->next_pending)
        ;
    item = *p;
    if (item) {
        *p = item->next_pending;
        q->pending_count--;
    }
    return item;
}

static void
item_free(struct item *item)
{
    mk_buf_release(&item->answer);
    mk_free(item);
}

static void
tell_asker(void *arg)
{
    struct item *item = arg;

    item->done(item->result, mk_buf_str(&item->answer), item->arg);
    item_free(item);
}

/* Both the queue and the asker are done with it. The asker's module waits for that before it goes. */
static void
item_over(struct item *item, enum mk_cluster_result result)
{
    item->result = result;
    if (!item->done)
        item_free(item);
    else if (item->worker == mk_worker_self())
        mk_defer(item->channel->module, tell_asker, item);
    else
        mk_post(item->channel->module, item->worker, tell_asker, item);
}

/* -- queues --------------------------------------------------------------------------------- */

static struct queue *
queue_of_number(struct cets *c, uint32_t number)
{
    struct queue *q = c->queues;

    while (q && q->number != number)
        q = q->next;
    return q;
}

static struct queue *
queue_of_life(const struct cets *c, uint64_t incarnation)
{
    struct queue *q = c->queues;

    while (q && q->incarnation != incarnation)
        q = q->next;
    return q;
}

size_t
messages_waiting(const struct cets *c, uint64_t incarnation)
{
    const struct queue *q = queue_of_life(c, incarnation);

    return q ? q->bytes : 0;
}

static struct queue *
queue_of_conn(struct cets *c, const struct conn *conn)
{
    struct queue *q = c->queues;

    while (q && q->conn != conn)
        q = q->next;
    return q;
}

static void
append(struct queue *q, struct item *item)
{
    item->seq = q->next_seq++;
    item->queued = true;
    *q->last = item;
    q->last = &item->next;
    if (!q->unsent)
        q->unsent = item;
    q->bytes += item->len;
    if (q->conn)
        links_wake(q->cets, q->conn);
}

/* An item around a frame whose number, the first field, is filled in here. */
static struct item *
item_new(struct queue *q, unsigned type, struct mk_str head, struct mk_str data)
{
    size_t len = REPLICA_FRAME_HEAD + 8 + head.len + data.len;
    struct item *item = mk_alloc(sizeof(*item) + len);
    uint32_t frame = htole32((uint32_t)(len - 4));
    uint64_t seq = htole64(q->next_seq);
    char *p = item->frame;

    *item = (struct item){.cets = q->cets, .len = len};
    memcpy(p, &frame, 4);
    p[4] = (char)type;
    memcpy(p + 5, &seq, 8);
    p += 13;
    if (head.len)
        memcpy(p, head.p, head.len);
    if (data.len)
        memcpy(p + head.len, data.p, data.len);
    return item;
}

/* Nothing is under way any more: whoever asked is told. */
static void
queue_clear(struct queue *q)
{
    while (q->first) {
        struct item *item = q->first;

        q->first = item->next;
        item->queued = false;
        if (!item->done || item->answered)
            item_over(item, MK_CLUSTER_ANSWERED);
    }
    for (size_t i = 0; i < q->pending_size; i++) {
        while (q->pending[i]) {
            struct item *item = q->pending[i];

            q->pending[i] = item->next_pending;
            mk_counter_add(q->cets->count.lost, 1);
            item_over(item, MK_CLUSTER_LOST);
        }
    }
    mk_buf_clear(&q->answers);
    q->last = &q->first;
    q->unsent = NULL;
    q->pending_count = 0;
    q->bytes = 0;
    q->next_seq = 1;
    q->received = 0;
    q->received_due = false;
    q->epoch = ++q->cets->epochs;
}

static void
queue_free(struct queue *q)
{
    queue_clear(q);
    mk_free(q->pending);
    mk_buf_release(&q->answers);
    mk_free(q);
}

static struct queue *
queue_new(struct cets *c, const struct peer_view *v)
{
    struct queue *q = mk_zalloc(sizeof(*q));

    *q = (struct queue){.next = c->queues, .cets = c, .incarnation = v->incarnation, .number = v->number};
    queue_clear(q);
    q->id = q->epoch;
    c->queues = q;
    return q;
}

void
messages_connected(struct cets *c, struct peer *p, struct conn *conn)
{
    struct peer_view v;
    struct queue *q;

    replica_peer_view(p, &v);
    q = queue_of_life(c, v.incarnation);
    if (!q)
        q = queue_new(c, &v);
    q->conn = conn;
    q->greeted = false;
    q->hello_due = true;
    q->unsent = NULL;
    links_wake(c, conn);
}

void
messages_disconnected(struct cets *c, struct conn *conn)
{
    struct queue *q = queue_of_conn(c, conn);

    if (q)
        q->conn = NULL;
}

static void
tell_void(const struct queue *q, bool gone)
{
    for (const struct mk_cluster_channel *channel = q->cets->channels; channel; channel = channel->next) {
        if (channel->on_void)
            channel->on_void(q->number, gone, channel->arg);
    }
}

size_t
messages_queued(const struct cets *c)
{
    size_t bytes = 0;

    for (const struct queue *q = c->queues; q; q = q->next)
        bytes += q->bytes;
    return bytes;
}

void
messages_gone(struct cets *c, struct peer *p)
{
    struct peer_view v;
    struct queue **slot = &c->queues, *q;

    replica_peer_view(p, &v);
    while (*slot && (*slot)->incarnation != v.incarnation)
        slot = &(*slot)->next;
    q = *slot;
    if (!q)
        return;
    *slot = q->next;
    tell_void(q, true);
    queue_free(q);
}

static void
tell_came(const struct item *item)
{
    if (!item->came)
        return;
    if (item->worker == mk_worker_self())
        mk_defer(item->channel->module, item->came, item->arg);
    else
        mk_post(item->channel->module, item->worker, item->came, item->arg);
}

/* The other end has all up to `seq`. */
static int
received(struct queue *q, uint64_t seq)
{
    if (seq >= q->next_seq)
        return -1;
    while (q->first && q->first->seq <= seq) {
        struct item *item = q->first;

        if (q->unsent == item)
            q->unsent = item->next;
        q->first = item->next;
        if (!q->first)
            q->last = &q->first;
        item->next = NULL;
        item->queued = false;
        q->bytes -= item->len;
        tell_came(item);
        if (!item->done || item->answered)
            item_over(item, MK_CLUSTER_ANSWERED);
    }
    return 0;
}

static void
flush_answers(struct queue *q)
{
    struct item *item;

    if (!q->answers.len)
        return;
    item = item_new(q, FRAME_ANSWERS, (struct mk_str){0}, mk_buf_str(&q->answers));
    mk_buf_clear(&q->answers);
    append(q, item);
}

bool
messages_pull(struct cets *c, struct conn *conn, struct mk_buf *out, size_t room)
{
    struct queue *q = queue_of_conn(c, conn);
    size_t start = out->len, at;

    if (!q)
        return false;
    flush_answers(q);
    if (q->hello_due || q->received_due) {
        at = frame_begin(out, (enum frame)(q->hello_due ? FRAME_QUEUE : FRAME_RECEIVED));
        put_u64(out, q->received);
        if (q->hello_due) {
            put_u64(out, q->id);
            put_u64(out, q->theirs);
        }
        frame_end(out, at);
        q->hello_due = q->received_due = false;
    }
    if (!q->greeted)
        return false;
    while (q->unsent && out->len - start < room) {
        mk_buf_add(out, q->unsent->frame, q->unsent->len);
        q->unsent = q->unsent->next;
    }
    return q->unsent != NULL;
}

/* -- receiving ------------------------------------------------------------------------------ */

static void
answered(struct queue *q, uint64_t seq, struct mk_str data)
{
    struct item *item = pending_take(q, seq);

    if (!item)
        return;
    mk_buf_add_str(&item->answer, data);
    item->answered = true;
    if (!item->queued)
        item_over(item, MK_CLUSTER_ANSWERED);
}

/* The next item in order? A repeated one is dropped, a gap is an error. */
static int
in_order(struct queue *q, uint64_t seq)
{
    if (seq <= q->received)
        return 0;
    if (seq != q->received + 1)
        return -1;
    q->received = seq;
    q->received_due = true;
    links_wake(q->cets, q->conn);
    return 1;
}

static int
request_received(struct cets *c, struct queue *q, struct reader *in)
{
    uint64_t seq = get_u64(in);
    uint32_t id = get_u32(in);
    int fresh = in->bad ? -1 : in_order(q, seq);
    struct mk_cluster_channel *channel = c->channels;
    struct mk_cluster_call *call;
    uint32_t number = q->number;

    if (fresh <= 0) {
        pthread_mutex_unlock(&c->lock);
        return fresh;
    }
    mk_counter_add(c->count.requests_in, 1);
    while (channel && channel->id != id)
        channel = channel->next;
    call = mk_alloc(sizeof(*call));
    *call = (struct mk_cluster_call){c, q->incarnation, q->epoch, seq};
    if (channel && channel->fn) {
        mk_module_enter(channel->module);
        pthread_mutex_unlock(&c->lock);
        channel->fn(call, number, (struct mk_str){in->p, (size_t)(in->end - in->p)}, channel->arg);
        mk_module_leave(channel->module);
        return 0;
    }
    pthread_mutex_unlock(&c->lock);
    c->cluster_service.answer(call, (struct mk_str){0});
    return 0;
}

/* How far the other end has got, at the beginning of a link. */
static int
greeting_received(struct queue *q, struct reader *in)
{
    uint64_t seq = get_u64(in), theirs = get_u64(in), ours = get_u64(in);

    if (in->bad || theirs == 0)
        return -1;
    if (q->theirs && q->theirs != theirs) {
        tell_void(q, false);
        queue_clear(q);
    }
    q->theirs = theirs;
    if (received(q, ours == q->id ? seq : 0) < 0)
        return -1;
    q->greeted = true;
    q->unsent = q->first;
    links_wake(q->cets, q->conn);
    return 0;
}

int
messages_receive(struct cets *c, struct conn *conn, struct mk_str frame)
{
    struct reader in = {frame.p, frame.p + frame.len, false};
    unsigned type = get_u8(&in);
    struct queue *q;
    int rc = 0;
    uint64_t seq;

    pthread_mutex_lock(&c->lock);
    q = queue_of_conn(c, conn);
    if (!q) {
        rc = -1;
    } else if (type == FRAME_REQUEST) {
        return request_received(c, q, &in);     /* it gives the lock back */
    } else if (type == FRAME_ANSWER || type == FRAME_ANSWERS) {
        rc = in_order(q, get_u64(&in));
        while (rc > 0 && !in.bad && (in.p < in.end || type == FRAME_ANSWER)) {
            seq = get_u64(&in);
            if (!in.bad)
                answered(q, seq, type == FRAME_ANSWER ? (struct mk_str){in.p, (size_t)(in.end - in.p)} :
                                                        (struct mk_str){0});
            if (type == FRAME_ANSWER)
                break;
        }
        rc = in.bad ? -1 : rc;
    } else if (type == FRAME_RECEIVED) {
        seq = get_u64(&in);
        rc = in.bad ? -1 : received(q, seq);
    } else if (type == FRAME_QUEUE) {
        rc = greeting_received(q, &in);
    }
    pthread_mutex_unlock(&c->lock);
    return rc < 0 ? -1 : 0;
}

/* -- the service ---------------------------------------------------------------------------- */

/* The asker does not wait any longer; the request still goes out. */
static void
abandon(struct item *item)
{
    struct item *end = mk_zalloc(sizeof(*end));

    *end = (struct item){.cets = item->cets, .channel = item->channel, .worker = item->worker,
                         .done = item->done, .arg = item->arg, .answer = item->answer};
    item->done = NULL;
    item->came = NULL;
    item->answer = (struct mk_buf){0};
    item_over(end, item->answered ? MK_CLUSTER_ANSWERED : MK_CLUSTER_LOST);
    if (!item->queued)
        item_free(item);
}

static void
abandon_all(struct queue *q, const struct mk_cluster_channel *channel)
{
    /* Answered, though the other end has not said yet that it came: in the queue alone. */
    for (struct item *item = q->first; item; item = item->next) {
        if (item->answered && item->done && item->channel == channel)
            abandon(item);
    }
    for (size_t i = 0; i < q->pending_size; i++) {
        struct item **p = &q->pending[i];

        while (*p) {
            struct item *item = *p;

            if (item->channel == channel) {
                *p = item->next_pending;
                q->pending_count--;
                abandon(item);
            } else {
                p = &item->next_pending;
            }
        }
    }
}

/* Its module goes: nobody hears of answers any more. */
static void
channel_closed(void *thing)
{
    struct mk_cluster_channel *channel = thing;

    pthread_mutex_lock(&channel->cets->lock);
    channel->fn = NULL;
    channel->on_void = NULL;
    for (struct queue *q = channel->cets->queues; q; q = q->next)
        abandon_all(q, channel);
    pthread_mutex_unlock(&channel->cets->lock);
}

static struct mk_cluster_channel *
svc_channel(void *self, struct mk_module *m, const char *name, mk_cluster_fn fn, void *arg,
            struct mk_error *err)
{
    struct cets *c = self;
    struct mk_cluster_channel *channel;
    uint32_t id = channel_id(name);

    pthread_mutex_lock(&c->lock);
    for (channel = c->channels; channel && channel->id != id; channel = channel->next)
        ;
    if (channel && (channel->fn || strcmp(channel->name, name) != 0)) {
        mk_fail(err, "channel '%s' of the cluster is in use as '%s'", name, channel->name);
        channel = NULL;
    } else {
        if (!channel) {
            channel = mk_zalloc(sizeof(*channel));
            channel->next = c->channels;
            channel->cets = c;
            channel->id = id;
            channel->name = mk_strdup(name);
            c->channels = channel;
        }
        channel->fn = fn;
        channel->arg = arg;
        channel->module = m;
    }
    pthread_mutex_unlock(&c->lock);
    if (channel)
        mk_module_own(m, channel_closed, channel);
    return channel;
}

/* A request that is not sent: told later all the same. */
static void
refuse(struct mk_cluster_channel *channel, mk_cluster_done_fn done, void *arg, enum mk_cluster_result result)
{
    struct item *item;

    if (!done)
        return;
    item = mk_zalloc(sizeof(*item));
    *item = (struct item){.cets = channel->cets, .channel = channel, .worker = mk_worker_self(),
                          .done = done, .arg = arg};
    item_over(item, result);
}

/* Puts a request into a queue; refused when that has `times` as much as may wait. Under the lock. */
static struct item *
request(struct mk_cluster_channel *channel, struct queue *q, struct mk_str data, unsigned times,
        mk_cluster_done_fn done, void *arg)
{
    struct cets *c = channel->cets;
    const struct cets_conf *conf = mk_module_conf(c->module, NULL);
    uint32_t id = htole32(channel->id);
    struct item *item;

    if (q->bytes + data.len > times * conf->queue_max || data.len > MK_CLUSTER_DATA_MAX) {
        mk_counter_add(c->count.full, 1);
        refuse(channel, done, arg, MK_CLUSTER_FULL);
        return NULL;
    }
    flush_answers(q);
    item = item_new(q, FRAME_REQUEST, (struct mk_str){(char *)&id, 4}, data);
    item->worker = mk_worker_self();
    item->channel = channel;
    item->done = done;
    item->arg = arg;
    append(q, item);
    if (done)
        pending_add(q, item);
    mk_counter_add(c->count.requests_out, 1);
    return item;
}

static void
svc_send_told(struct mk_cluster_channel *channel, uint32_t node, struct mk_str data, mk_task_fn came,
              mk_cluster_done_fn done, void *arg)
{
    struct cets *c = channel->cets;
    struct item *item;
    struct queue *q;

    pthread_mutex_lock(&c->lock);
    q = queue_of_number(c, node);
    if (q) {
        item = request(channel, q, data, 1, done, arg);
        if (item)
            item->came = came;
    } else {
        mk_counter_add(c->count.lost, 1);
        refuse(channel, done, arg, MK_CLUSTER_LOST);
    }
    pthread_mutex_unlock(&c->lock);
}

static void
svc_send(struct mk_cluster_channel *channel, uint32_t node, struct mk_str data,
         mk_cluster_done_fn done, void *arg)
{
    svc_send_told(channel, node, data, NULL, done, arg);
}

static void
svc_on_void(struct mk_cluster_channel *channel, void (*fn)(uint32_t node, bool gone, void *arg))
{
    pthread_mutex_lock(&channel->cets->lock);
    channel->on_void = fn;
    pthread_mutex_unlock(&channel->cets->lock);
}

/* A request to all: how many have not ended. Lives on the worker that asked. */
struct round {
    size_t left;
    mk_cluster_done_fn done;
    void *arg;
};

static void
one_of_all(enum mk_cluster_result result, struct mk_str answer, void *arg)
{
    struct round *round = arg;

    (void)result;
    (void)answer;
    if (--round->left)
        return;
    round->done(MK_CLUSTER_ANSWERED, (struct mk_str){0}, round->arg);
    mk_free(round);
}

/* News of what has changed: nobody would tell that node again. Stanzas, which others can do without, leave room for it. */
static void
svc_send_all(struct mk_cluster_channel *channel, struct mk_str data, mk_cluster_done_fn done,
             void *arg)
{
    struct cets *c = channel->cets;
    struct round *round = NULL;

    if (done) {
        round = mk_alloc(sizeof(*round));
        *round = (struct round){1, done, arg};
    }
    pthread_mutex_lock(&c->lock);
    for (struct queue *q = c->queues; q; q = q->next) {
        if (round)
            round->left++;
        request(channel, q, data, 2, round ? one_of_all : NULL, round);
    }
    if (round)
        refuse(channel, one_of_all, round, MK_CLUSTER_ANSWERED);
    pthread_mutex_unlock(&c->lock);
}

static void
svc_answer(struct mk_cluster_call *call, struct mk_str data)
{
    struct cets *c = call->cets;
    uint64_t seq = htole64(call->seq);
    struct queue *q;

    pthread_mutex_lock(&c->lock);
    q = queue_of_life(c, call->incarnation);
    if (q && q->epoch != call->epoch)
        q = NULL;
    if (q && data.len == 0) {
        mk_buf_add(&q->answers, &seq, sizeof(seq));
        if (q->conn)
            links_wake(c, q->conn);
    } else if (q) {
        flush_answers(q);
        append(q, item_new(q, FRAME_ANSWER, (struct mk_str){(char *)&seq, 8}, data));
    }
    pthread_mutex_unlock(&c->lock);
    mk_free(call);
}

static void
svc_each(void *self, bool (*fn)(const struct mk_cluster_node *node, void *arg), void *arg)
{
    static const char *const states[] = {"connected", "joined", "suspected", "gone"};
    struct cets *c = self;
    struct mk_cluster_node node = {.name = mk_server_node(), .state = "self", .number = c->number};
    struct peer *p = NULL;
    struct peer_view v;
    bool on;

    pthread_mutex_lock(&c->lock);
    on = fn(&node, arg);
    while (on && (p = replica_peer_next(c->replica, p))) {
        replica_peer_view(p, &v);
        node = (struct mk_cluster_node){v.name, states[v.state], v.number, v.records};
        on = fn(&node, arg);
    }
    pthread_mutex_unlock(&c->lock);
}

static bool
svc_ready(void *self)
{
    struct cets *c = self;
    bool ready;

    pthread_mutex_lock(&c->lock);
    ready = c->joined && replica_ready(c->replica);
    pthread_mutex_unlock(&c->lock);
    return ready;
}

int
messages_provide(struct cets *c, struct mk_error *err)
{
    c->cluster_service = (struct mk_cluster){.size = sizeof(c->cluster_service),
                                             .self = c,
                                             .channel = svc_channel,
                                             .send = svc_send,
                                             .send_all = svc_send_all,
                                             .answer = svc_answer,
                                             .each = svc_each,
                                             .ready = svc_ready,
                                             .send_told = svc_send_told,
                                             .on_void = svc_on_void,
                                             .reload = reload_all};
    return mk_service_provide(c->module, "cluster", MK_CLUSTER_ABI, &c->cluster_service, err);
}

void
messages_release(struct cets *c)
{
    while (c->queues) {
        struct queue *q = c->queues;

        c->queues = q->next;
        queue_free(q);
    }
    while (c->channels) {
        struct mk_cluster_channel *channel = c->channels;

        c->channels = channel->next;
        mk_free(channel->name);
        mk_free(channel);
    }
}
