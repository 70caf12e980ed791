/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Routing (RFC 6121 §8): what modules call, the hooks that module `router` fires on the way, and the
 * service "sessions", which knows every bound resource of the cluster.
 */
#ifndef MEERKAT_ROUTER_H
#define MEERKAT_ROUTER_H

#include <meerkat/hook.h>
#include <meerkat/session.h>
#include <meerkat/stanza.h>

MK_BEGIN

/*
 * Sends a stanza on its way. It must have `from`; without `to` it is for the sender's own account.
 * Errors go back to `from`. `st` is borrowed. mk_route_from says on whose input this happens, so
 * that a held IQ makes that session wait (NULL: nobody's). Worker.
 */
MK_API void mk_route(struct mk_stanza *st);
MK_API void mk_route_from(struct mk_session *s, struct mk_stanza *st);

/* What the module that routes provides as service "router"; everybody else calls mk_route. */
#define MK_ROUTER_ABI 1
struct mk_router {
    uint32_t size;
    void *self;
    void (*route)(void *self, struct mk_session *s, struct mk_stanza *st);
    /* Has another node hold this stanza as well, until it is settled here: for whoever queues for a session a stanza that
     * came otherwise than by routing. Does nothing when nobody has asked for its safety. Worker. */
    void (*keep)(void *self, struct mk_stanza *st);
};

/*
 * The hooks of a stanza on its way. `stanza` is an owned reference of whoever fires: a handler may put
 * another in its place with mk_stanza_replace. MK_DENY answers with `error` (service-unavailable when unset)
 * unless the stanza must not be answered; MK_HANDLED swallows it. `text` is borrowed until the firing, or
 * mk_resume, returns.
 */
struct mk_ev_route {
    struct mk_hook_head head;
    struct mk_stanza *stanza;
    struct mk_session *session;     /* on whose input, or NULL */
    struct mk_host *host;           /* of `to`; NULL when it is not ours */
    enum mk_stanza_error error;
    const char *text;
};

/* mk_stanza_replace(&ev->stanza, made): handlers behind this one, and the receiver, see `made` (taken). */
MK_API void mk_stanza_replace(struct mk_stanza **slot, struct mk_stanza *taken);

/* Every stanza, first. Cannot be held. */
MK_FILTER(route_pre, struct mk_ev_route)
/* A stanza for an account of ours (bare or full `to`), before any session sees it: blocking, subscriptions.
 * May be held; later stanzas from this worker to the same account then wait too. */
MK_FILTER(account_in, struct mk_ev_route)
/* A stanza for one of our domains that is not an IQ request. Unhandled: dropped, or an error for messages. */
MK_FILTER(host_in, struct mk_ev_route)
/* A message that no session of the account could take (RFC 6121 §8.5.2.2). May be held. Unhandled: service-unavailable. */
MK_FILTER(message_offline, struct mk_ev_route)
/* A stanza for a domain that is not ours: components, other servers. Unhandled: remote-server-not-found. */
MK_FILTER(route_remote, struct mk_ev_route)

/* A message that went to one or more sessions of an account: `stanza` as delivered. */
struct mk_ev_message_delivered {
    struct mk_hook_head head;
    struct mk_stanza *stanza;
    const struct mk_jid *account;       /* bare */
    /* Sessions that got it, as in mk_resource. */
    const mk_session_id *sessions;
    size_t count;
};
MK_NOTICE(message_delivered, struct mk_ev_message_delivered)

/* A resource that was available at a node that died, so that nobody has told. Fired by one node of the cluster, on
 * any of its workers. */
struct mk_ev_resource_lost {
    struct mk_hook_head head;
    const struct mk_jid *jid;           /* full */
};
MK_NOTICE(resource_lost, struct mk_ev_resource_lost)

/* -- service "sessions" --------------------------------------------------------------------- */

enum mk_resource_flags {
    MK_RESOURCE_AVAILABLE = 1u << 0,    /* has sent initial presence */
    MK_RESOURCE_ROSTER = 1u << 1,       /* has asked for the roster: gets pushes (RFC 6121 §2.1.6) */
    MK_RESOURCE_CARBONS = 1u << 2,      /* XEP-0280 enabled */
    MK_RESOURCE_BLOCKLIST = 1u << 3,    /* has asked for the block list: gets pushes */
    MK_RESOURCE_DETACHED = 1u << 4,     /* no connection now, may resume (XEP-0198) */
};

struct mk_resource {
    mk_session_id session;              /* no other resource has it; of another node it finds no session here */
    uint32_t node;                      /* 0: this one */
    int8_t priority;
    uint16_t flags;                     /* enum mk_resource_flags */
    uint64_t since;                     /* ms of the wall clock: when it was bound */
    struct mk_str resource;             /* valid until the callback of the core returns (worker.h) */
    mk_session_id there;                /* the session's id at its node */
};

#define MK_SESSIONS_ABI 1
struct mk_sessions {
    uint32_t size;
    void *self;
    /* Enters a session whose full JID is set. An older session with the same JID is closed with
     * <conflict/>. `done` runs on this worker, perhaps at once; false: could not. */
    void (*open)(void *self, struct mk_session *s, void (*done)(struct mk_session *s, bool ok));
    void (*close)(void *self, struct mk_session *s);
    /* Changes priority and flags of a session of this worker: flags = (flags & ~clear) | set. */
    void (*update)(void *self, struct mk_session *s, int8_t priority, unsigned set, unsigned clear);
    void (*get)(void *self, const struct mk_session *s, struct mk_resource *out);
    /*
     * Calls fn for every resource of the account in force at this moment, on all nodes; false from
     * fn ends it. The record is borrowed during the call. Any worker.
     */
    void (*each)(void *self, const struct mk_jid *account,
                 bool (*fn)(const struct mk_resource *r, void *arg), void *arg);
    /* A stanza to one resource wherever it is, without the rules of §8 (pushes, carbons). */
    void (*send)(void *self, const struct mk_resource *r, struct mk_stanza *st);
    /* Number of sessions in the cluster. */
    size_t (*count)(void *self);
    /* As `update`; done(arg) on this worker, perhaps at once, when every node knows it, or does not answer. */
    void (*update_known)(void *self, struct mk_session *s, int8_t priority, unsigned set,
                         unsigned clear, void (*done)(void *arg), void *arg);
    /*
     * A session that goes to another node (module sm) is entered there by `adopt`, as the one in force from then, and
     * then taken out at its old node by `leave`. done(arg) comes on this worker when every node knows it, or does not
     * answer. What others sent to the session at its old node has arrived there when `leave` is done.
     */
    void (*adopt)(void *self, struct mk_session *s, int8_t priority, unsigned flags,
                  void (*done)(void *arg), void *arg);
    void (*leave)(void *self, struct mk_session *s, void (*done)(void *arg), void *arg);
    /*
     * Calls fn for every session of the cluster, in no order, with the text of its account; false from fn ends it. One that
     * moves between nodes may be told of both. This walks a large table: not on a worker but in a job of mk_offload, between
     * mk_callback_begin and mk_callback_end.
     */
    void (*each_session)(void *self,
                         bool (*fn)(struct mk_str account, const struct mk_resource *r, void *arg),
                         void *arg);
    /*
     * Ends a resource wherever it is: its stream with this error (a condition of RFC 6120 §4.9.3) and text (may be NULL).
     * done(found, arg) (may be NULL) is called once, later, on this worker; not found: it was gone already, or so is its node.
     * Strings are copied. Worker.
     */
    void (*end)(void *self, const struct mk_resource *r, const char *condition, const char *text,
                void (*done)(bool found, void *arg), void *arg);
};

MK_END
#endif
