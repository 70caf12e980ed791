/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Client streams: the hooks that module `c2s` fires, and its service "c2s" for modules that take part in the
 * negotiation of a stream (RFC 6120 §4): SASL, stream management, client state.
 */
#ifndef MEERKAT_C2S_H
#define MEERKAT_C2S_H

#include <meerkat/hook.h>
#include <meerkat/session.h>
#include <meerkat/stanza.h>

MK_BEGIN

enum mk_stream_flags {
    MK_STREAM_SECURE = 1u << 0,         /* TLS */
    MK_STREAM_DIRECT_TLS = 1u << 1,
    MK_STREAM_AUTHENTICATED = 1u << 2,
    MK_STREAM_BOUND = 1u << 3,
    MK_STREAM_LOOPBACK = 1u << 4,       /* the peer is on this machine */
    MK_STREAM_DETACHED = 1u << 5,       /* the connection is gone, the session is kept */
    MK_STREAM_REGISTERABLE = 1u << 6,   /* before log-in, in-band registration may be offered */
};

/* Stream features are being written: add yours to `features`. Cannot be held. */
struct mk_ev_stream_features {
    struct mk_hook_head head;
    struct mk_session *session;
    struct mk_xml *features;            /* inside <stream:features/> */
    unsigned flags;                     /* enum mk_stream_flags */
};
MK_NOTICE(stream_features, struct mk_ev_stream_features)

/*
 * An element that is no stanza. Unhandled: the stream ends with unsupported-stanza-type (before
 * authentication: not-authorized). Whoever needs time pauses the session. Cannot be held.
 */
struct mk_ev_stream_element {
    struct mk_hook_head head;
    struct mk_session *session;
    struct mk_stanza *stanza;
    unsigned flags;
};
MK_FILTER(stream_element, struct mk_ev_stream_element)

/*
 * An IQ before resource binding whose child is in a namespace that is allowed there (jabber:iq:register,
 * XEP-0077 §3.1): answer with service "c2s". Unhandled: not-authorized. Cannot be held: pause.
 */
MK_FILTER(stream_iq, struct mk_ev_stream_element)

/*
 * A stanza from a client or to one. user_send_*: after the checks of RFC 6120 §8.1.2.1 (`from` is
 * the full JID), before routing; may be held. MK_DENY answers with `error`.
 * user_receive_*: before it goes to the client; cannot be held; MK_DENY and MK_HANDLED drop it.
 * `stanza` is an owned reference of whoever fires: see mk_stanza_replace (router.h). `error` left at
 * MK_ERR_NONE means service-unavailable; `text` is borrowed until the firing, or mk_resume, returns.
 */
struct mk_ev_user {
    struct mk_hook_head head;
    struct mk_session *session;
    struct mk_stanza *stanza;
    enum mk_stanza_error error;
    const char *text;
};
MK_FILTER(user_send_message, struct mk_ev_user)
MK_FILTER(user_send_presence, struct mk_ev_user)
MK_FILTER(user_send_iq, struct mk_ev_user)
MK_FILTER(user_receive_message, struct mk_ev_user)
MK_FILTER(user_receive_presence, struct mk_ev_user)
MK_FILTER(user_receive_iq, struct mk_ev_user)

/* A session got its full JID (RFC 6120 §7) and is known to the router; told before the client knows. */
struct mk_ev_session {
    struct mk_hook_head head;
    struct mk_session *session;
    const char *reason;                 /* session_unbound: why, for the log; may be NULL */
};
MK_NOTICE(session_bound, struct mk_ev_session)
/* A bound session ends: fired once, whatever the cause, while its slots are still there; the router
 * does not find it any more. When we close the stream it comes before </stream:stream> is written. */
MK_NOTICE(session_unbound, struct mk_ev_session)

/*
 * Below the stanza hooks, for stream management (XEP-0198). Cannot be held.
 * session_in: each stanza that arrived (not nonzas), first of all.
 * session_out: each stanza on its way into the output. MK_HANDLED keeps it from being written (the
 * session is detached and the handler has a reference).
 * session_flush: the end of a loop turn in which stanzas were written, just before the bytes leave.
 * session_lost: the connection is gone. MK_HANDLED keeps the session, detached; else it ends.
 */
struct mk_ev_session_stanza {
    struct mk_hook_head head;
    struct mk_session *session;
    struct mk_stanza *stanza;
};
MK_NOTICE(session_in, struct mk_ev_session_stanza)
MK_FILTER(session_out, struct mk_ev_session_stanza)
MK_NOTICE(session_flush, struct mk_ev_session)
MK_FILTER(session_lost, struct mk_ev_session)
/* A connection was moved to this session (service "c2s", `move`): after `done`, before its input. */
MK_NOTICE(session_resumed, struct mk_ev_session)
/* All stanzas that came from this session are dealt with (mk_session_unsettle). */
MK_NOTICE(session_settled, struct mk_ev_session)

/* -- service "c2s": calls come on the session's worker -------------------------------------- */

/* `data` in these callbacks: what the caller gave. */
typedef void (*mk_c2s_bind_fn)(struct mk_session *s, enum mk_stanza_error error, void *data);
typedef void (*mk_c2s_move_fn)(struct mk_session *s, bool moved, void *data);

#define MK_C2S_ABI 1
struct mk_c2s {
    uint32_t size;
    unsigned (*flags)(const struct mk_session *s);          /* enum mk_stream_flags */
    /* Writes elements of the stream that are no stanzas; `xml` (built with namespace
     * "jabber:client") is taken. */
    void (*send)(struct mk_session *s, struct mk_xml *xml);
    /* The client is `account` (bare JID, borrowed). `anonymous` accounts live as long as the session. */
    void (*authenticated)(struct mk_session *s, const struct mk_jid *account);
    /* The next thing must be a new stream header (RFC 6120 §6.4.6). */
    void (*restart)(struct mk_session *s);
    /* Sends <stream:features/> now, without a restart (XEP-0388 §2.6.3). */
    void (*send_features)(struct mk_session *s);
    /*
     * Binds a resource (empty: the server makes one up). `done` runs on this worker, perhaps at once; error
     * MK_ERR_NONE: mk_session_jid is full and session_bound has been fired.
     */
    void (*bind)(struct mk_session *s, struct mk_str resource, mk_c2s_bind_fn done, void *data);
    /*
     * Moves the connection of `from` (authenticated, not bound) to session `to`, of whichever
     * worker, dropping a connection that `to` may still have. When it worked, `done` runs on the
     * worker of `to` with that session and true, and `from` is no more; else on this worker with
     * `from` (NULL when it has ended) and false. Input waits meanwhile and is read on at `to`.
     * Not from inside a hook that `from` fires on its input: pause it and post.
     */
    void (*move)(struct mk_session *from, mk_session_id to, mk_c2s_move_fn done, void *data);
    /*
     * Channel binding (RFC 5056): data of type "tls-exporter", "tls-server-end-point" or
     * "tls-unique"; -1 when this connection has none of that type.
     */
    int (*channel_binding)(const struct mk_session *s, const char *type,
                           struct mk_buf *out) MK_NODISCARD;
    /* The client's certificate in DER if it sent one that was verified, else -1. */
    int (*peer_certificate)(const struct mk_session *s, struct mk_buf *out) MK_NODISCARD;
    /* Address of the peer without the port, "" when unknown. Borrowed. */
    const char *(*peer_address)(const struct mk_session *s);
    /* Ends the session for good without session_lost being asked: `condition` NULL is a friendly end. */
    void (*end)(struct mk_session *s, const char *condition, const char *text);
    /* ms of mk_now_ms when bytes last came from the client. */
    uint64_t (*last_input)(const struct mk_session *s);
    /* Drops the connection as if it were lost (a dead peer): session_lost decides what follows. */
    void (*drop)(struct mk_session *s, const char *reason);
    /* As `end`, with an element of the application's own in the error (RFC 6120 §4.9.4); `app` is
     * taken. */
    void (*end_app)(struct mk_session *s, const char *condition, struct mk_xml *app);
    /* Sessions that go from node to node (module sm). `adopt` makes one of this worker that is bound to `jid`, has no
     * connection, and is not known to anybody yet. `vanish` ends one without a word: it is elsewhere now. */
    void *self;
    struct mk_session *(*adopt)(void *self, struct mk_host *host, const struct mk_jid *jid);
    /* The session that was adopted is known from now: session_bound is fired, and done(arg) as in mk_sessions.adopt. */
    void (*enter)(void *self, struct mk_session *s, int8_t priority, unsigned flags,
                  void (*done)(void *arg), void *arg);
    void (*vanish)(struct mk_session *s);
    /* No new connections from now on: this node is about to stop. Main thread. */
    void (*refuse_new)(void *self);
    /* Before authentication: `from` of the stream header, what the client says it is. NULL: nothing. Borrowed. */
    const struct mk_jid *(*claimed)(const struct mk_session *s);
    /* Port of the peer, 0 when unknown. */
    unsigned (*peer_port)(const struct mk_session *s);
    /*
     * A stanza as if the client of this session had sent it (hooks user_send_*, then routing), but not counted by stream
     * management. `from` must be the session's JID; `st` is borrowed. What the server answers at once (a refusal) is delivered
     * to the session. Sessions that `adopt` made are fine, entered or not, also with a bare JID; end those that were not entered with `vanish`.
     * `done` (NULL: nobody waits) runs on this worker, perhaps at once, when the hooks have decided: one at a time. `s` is
     * NULL then when it has ended.
     */
    void (*send_as)(struct mk_session *s, struct mk_stanza *st,
                    void (*done)(struct mk_session *s, enum mk_verdict verdict, void *data), void *data);
};

MK_END
#endif
