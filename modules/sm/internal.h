/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Module sm: what its files share. */
#ifndef SM_INTERNAL_H
#define SM_INTERNAL_H

#include <meerkat/c2s.h>
#include <meerkat/cluster.h>
#include <meerkat/meerkat.h>
#include <meerkat/router.h>
#include <meerkat/sasl.h>
#include <meerkat/sm.h>

#include "queue.h"

#define NS_SM "urn:xmpp:sm:3"
#define TOKEN_LEN 16            /* bytes that make a resumption id unguessable */
#define ID_TEXT_MAX (2 * (8 + TOKEN_LEN) + 1)

struct sm_conf {
    uint64_t resume_timeout;
    int64_t max_stanzas;
    uint64_t max_bytes;
    int64_t ack_every;
    uint64_t ack_delay, ack_timeout;
    int64_t max_unsettled;
    int64_t remember;
    char *location;
    uint64_t drain_timeout;
    int acknowledge;            /* enum sm_acknowledge */
    uint64_t safe_timeout;
};

enum sm_acknowledge { SM_ROUTED, SM_SAFE };

struct sm_resume;
struct sm_leave;
struct sm_guard;

/* A session with stream management. */
struct sm {
    struct sm_module *module;
    struct mk_session *session;
    struct sm_queue queue;      /* sent, not acknowledged */
    uint32_t in;                /* stanzas that came from the client */
    uint32_t settled;           /* of them, all up to here are dealt with when some are held */
    uint32_t told;              /* the last <a h/> that we sent */
    uint32_t resume_max;        /* seconds; 0: the session cannot be resumed */
    uint64_t asked_at;          /* ms */
    bool asked;                 /* an <r/> of ours is not answered */
    bool answer_later;          /* the client asked while something was unsettled … */
    uint32_t wanted;            /* … and so many had come */
    struct sm_guard *guards, *last_guard;   /* messages that are not safe yet (safe.c) */
    unsigned guard_count;
    bool detached;              /* no connection */
    bool full;                  /* over a limit: about to end */
    bool input_paused;          /* too much is unsettled */
    bool listed;                /* in the lane's list */
    bool arriving;              /* from another node: the queue is not here yet */
    bool drain_later;           /* … and this node stops meanwhile: it goes on when it has arrived */
    unsigned char token[TOKEN_LEN];
    uint64_t name;              /* in the id for resumption: the session's id where it began */
    struct sm_queue late;       /* arriving: what came here before the queue */
    struct sm_leave *leaving;   /* on the way to another node */
    unsigned refused;           /* nodes that did not take it when this one stopped */
    struct sm *prev, *next;     /* of the lane's list: sessions that must acknowledge something */
    struct mk_timer *timer;     /* detached: until it ends; arriving: until the queue must be here */
    struct sm_resume *resuming; /* has the connection, waits until all input is settled */
};

/* A session that has ended, for clients that come back too late (XEP-0198 §5: <failed h=''/>). */
struct sm_ended {
    mk_session_id session;
    unsigned char token[TOKEN_LEN];
    uint64_t account;           /* mk_jid_hash_bare */
    uint32_t in;
};

/* What a worker has. */
struct sm_lane {
    struct sm_module *module;
    struct sm_rings rings;
    struct sm *list;
    struct mk_timer *timer;     /* set while the list is not empty */
    struct sm_ended *ended;     /* a ring of conf->remember */
    size_t ended_next;
    struct sm_guard *oldest_guard, *newest_guard;
    struct mk_timer *safe_timer;    /* set while there is one */
    mk_session_id *drain;       /* stop: sessions that must go to other nodes */
    size_t drain_count, drain_next;
};

struct sm_module {
    struct mk_module *module;
    const struct mk_c2s *c2s;
    const struct mk_sessions *sessions;
    const struct mk_sasl *sasl;     /* NULL: there is none */
    unsigned slot;
    struct sm_lane *lanes;
    size_t remember;
    int ending;                     /* atomic: workers that still end sessions (stop) */
    const struct mk_cluster *cluster;   /* NULL: one node … */
    const struct mk_router *router;     /* … and this as well */
    struct mk_cluster_channel *channel;
    struct mk_hook *leaves, *arrives;
    struct mk_cluster_channel *drains;  /* requests to drain */
    bool draining;                  /* atomic: this node stops and takes no sessions */
    int64_t drained;                /* atomic: sessions that went to another node when this one stopped */
    int64_t to_drain;               /* atomic: sessions that are not at another node yet */
    uint32_t next_node, next_worker;    /* atomic: whose turn it is */
    uint64_t refusers[4];           /* atomic: bits of nodes that did not take a session when this one stopped */
    struct {
        struct mk_gauge enabled, detached;
        struct mk_counter resumed, refused, expired, full, rerouted, dead, left, arrived, stayed, unsafe;
    } metrics;
};

static inline struct sm_lane *
sm_lane(struct sm_module *m)
{
    return &m->lanes[mk_worker_index(mk_worker_self())];
}

static inline const struct sm_conf *
sm_conf_of(const struct sm_module *m, const struct mk_session *s)
{
    return mk_module_conf(m->module, mk_session_host(s));
}

static inline struct sm *
sm_of(const struct sm_module *m, const struct mk_session *s)
{
    return mk_session_slot(s, m->slot);
}

/* ack.c: counters, requests, limits */
/* What may be acknowledged: everything, or everything before the first that is not dealt with. */
uint32_t sm_handled(const struct sm *sm);
void sm_answer(struct sm *sm);
/* What the client asked for while something was unsettled. */
void sm_answer_late(struct sm *sm);
void sm_ask(struct sm *sm);
void sm_on_a(struct sm *sm, struct mk_stanza *st);
void sm_too_high(struct sm_module *m, struct mk_session *s, uint32_t h, uint32_t sent);
int sm_number(const char *text, uint32_t *out) MK_NODISCARD;
void sm_list_remove(struct sm *sm);
int sm_ack_init(struct sm_module *m) MK_NODISCARD;

/* safe.c: messages that must be safe before they are acknowledged */
/* Of a message that comes, before it is counted and before anybody else has it. */
void sm_guard(struct sm *sm, struct mk_stanza *st);
/* How many stanzas are in front of the first that is not safe. */
uint32_t sm_first_unsafe(const struct sm *sm);
void sm_guards_drop(struct sm *sm);
/* A stanza that came with its session from another node: a second node holds it as well. */
void sm_keep(struct sm_module *m, struct mk_session *s, struct mk_stanza *st);

/* session.c: turning on, losing the connection, the end */
/* Appends <enabled/> and what follows from it, or the reason why not. */
void sm_enable(struct sm_module *m, struct mk_session *s, const struct mk_node *request,
               struct mk_xml *x);
void sm_failed(struct mk_xml *x, enum mk_stanza_error condition, const uint32_t *h);
void sm_free(void *data);
/* Waits for its client, as long as was agreed. */
void sm_wait(struct sm *sm);
/* Ends the sessions of this worker that the module looks after. */
void sm_end_all(void *arg);
int sm_session_init(struct sm_module *m) MK_NODISCARD;

/* handover.c: sessions go to other nodes */
int sm_handover_init(struct sm_module *m, struct mk_error *err) MK_NODISCARD;
/* All input of a session that wants to leave is settled. */
void sm_leave_settled(struct sm *sm);
/* The session ends before it has left. */
void sm_leave_cancel(struct sm *sm);
/* A session that was on its way here when this node was told to stop goes on. */
void sm_drain_arrived(struct sm *sm);
/* Everybody goes to another node; waits for it. Main thread. */
void sm_drain(struct sm_module *m);
/* Refuses new clients and begins to hand sessions over; false: there is no other node. Main thread. */
bool sm_drain_begin(struct sm_module *m);

/* drain.c */
struct sm_drained {
    bool begun;                         /* false: there is no other node, nothing was done */
    unsigned long long moved, ended;
};
typedef void (*sm_drained_fn)(const struct sm_drained *drained, void *arg);
/*
 * Empties this node, for maintenance: it takes no new clients from now on and is not ready any more; sessions that can resume go to
 * other nodes; those that are left after option drain_timeout end, as when the server stops. Only a restart makes it serve
 * again. fn runs once, on this worker. Worker.
 */
void sm_drain_run(struct sm_module *m, sm_drained_fn fn, void *arg);
int sm_drain_init(struct sm_module *m, struct mk_error *err) MK_NODISCARD;

/* api.c: category cluster of the GraphQL API, as far as it is ours */
int sm_api(struct sm_module *m, struct mk_error *err) MK_NODISCARD;
enum sm_taken { SM_TAKEN, SM_NOT_FOUND, SM_BUSY };
typedef void (*sm_taken_fn)(enum sm_taken result, mk_session_id here, void *arg);
/* Asks a node for its session `there`, if that has this token; done is told on this worker what it is called here. */
void sm_take(struct sm_module *m, uint32_t node, mk_session_id there, const unsigned char *token,
             const struct mk_jid *account, sm_taken_fn done, void *arg);
bool sm_same_token(const unsigned char *a, const unsigned char *b);

/* resume.c */
void sm_id_text(const struct sm *sm, char out[ID_TEXT_MAX]);
void sm_resume_start(struct sm_module *m, struct mk_session *s, const struct mk_node *request,
                     struct mk_sasl2 *login);
/* All input is settled now. */
void sm_resume_complete(struct sm *sm);
/* The connection that resumed is gone again before it was told. */
void sm_resume_cancel(struct sm *sm);

#endif
