/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * A session is one end that stanzas come from and go to: a client's stream, for the modules that
 * work on it. It lives on one worker and is touched there alone; everybody else knows its id, which
 * may be kept as long as one likes and never names another session.
 */
#ifndef MEERKAT_SESSION_H
#define MEERKAT_SESSION_H

#include <meerkat/base.h>
#include <meerkat/hook.h>
#include <meerkat/jid.h>
#include <meerkat/stanza.h>

MK_BEGIN

struct mk_session;
struct mk_module;
struct mk_host;
typedef uint64_t mk_session_id;         /* 0: none */

/* What the module that owns the sessions (c2s) does for them. Calls come on the session's worker. */
struct mk_session_ops {
    uint32_t size;
    /* A stanza for this session, after routing. `st` is borrowed. */
    void (*deliver)(struct mk_session *s, struct mk_stanza *st);
    /* End it: `condition` is a stream error of RFC 6120 §4.9.3 or NULL; `text` may be NULL. */
    void (*close)(struct mk_session *s, const char *condition, const char *text);
    /* Its memory goes now; give back `data`. */
    void (*destroy)(struct mk_session *s);
    /* The last of its pauses (iq.h) ended: input may go on. */
    void (*resumed)(struct mk_session *s);
    /* The last of its unsettled stanzas was settled. May be NULL. */
    void (*settled)(struct mk_session *s);
};

/* -- for the module that owns sessions ------------------------------------------------------ */

/* On this worker. `data` is the owner's. Owned until mk_session_end. */
MK_API struct mk_session *mk_session_new(struct mk_module *owner, const struct mk_session_ops *ops,
                                         void *data) MK_NODISCARD;
MK_API void *mk_session_data(const struct mk_session *s);
MK_API void mk_session_set_data(struct mk_session *s, void *data);
MK_API void mk_session_set_host(struct mk_session *s, struct mk_host *host);
/* After authentication the bare JID, after binding the full one. Takes a reference of its own. */
MK_API void mk_session_set_jid(struct mk_session *s, const struct mk_jid *jid);
/* The peer's address for the log ("192.0.2.1:50000"); copied. */
MK_API void mk_session_set_peer(struct mk_session *s, const char *peer);
/*
 * Ends it: from now its id finds nothing; slots are freed, `destroy` is called, and its memory goes
 * when the last reference does.
 */
MK_API void mk_session_end(struct mk_session *s);

/* -- for everybody on the session's worker -------------------------------------------------- */

MK_API mk_session_id mk_session_get_id(const struct mk_session *s);
MK_API const struct mk_jid *mk_session_jid(const struct mk_session *s);    /* NULL before log-in */
MK_API struct mk_host *mk_session_host(const struct mk_session *s);        /* NULL before the header */
MK_API const char *mk_session_peer(const struct mk_session *s);
MK_API bool mk_session_is_bound(const struct mk_session *s);
MK_API bool mk_session_is_closed(const struct mk_session *s);              /* mk_session_end was called */
/* Keeps the memory (not the life) of a session over an asynchronous step on its worker. */
MK_API struct mk_session *mk_session_ref(struct mk_session *s);
MK_API void mk_session_unref(struct mk_session **s);
/* Sends a stanza to the client as it is: through the same door as routed ones. `st` is borrowed. */
MK_API void mk_session_deliver(struct mk_session *s, struct mk_stanza *st);
MK_API void mk_session_close(struct mk_session *s, const char *condition, const char *text);

/*
 * A stanza of this session's input is not dealt with yet: a hook chain or an IQ is held, or it waits behind one.
 * It must not be acknowledged to the client (XEP-0198 §4) before it is settled. Counted: whoever holds
 * a stanza for this session calls unsettle once and settle once, even when the session has ended
 * meanwhile (then with a reference). NULL is fine. On the session's worker.
 */
MK_API void mk_session_unsettle(struct mk_session *s);
MK_API void mk_session_settle(struct mk_session *s);
MK_API unsigned mk_session_unsettled(const struct mk_session *s);

/* -- for everybody, any thread ------------------------------------------------------------- */

/*
 * The session of this id if it lives and this worker owns it, else NULL.
 */
MK_API struct mk_session *mk_session_find(mk_session_id id);
/*
 * Delivers to a session of this node wherever it lives; `st` is borrowed. Order from one worker to one session holds. When
 * it turns out to be gone, the notice `undelivered` fires on the session's former worker.
 */
MK_API void mk_deliver(mk_session_id id, struct mk_stanza *st);
/* Calls fn(session, arg) on the session's worker; with NULL when it is gone. */
typedef void (*mk_session_fn)(struct mk_session *s, void *arg);
MK_API void mk_session_post(struct mk_module *m, mk_session_id id, mk_session_fn fn, void *arg);
/* The worker that an id belongs to. */
MK_API struct mk_worker *mk_session_id_worker(mk_session_id id);
/* Calls fn for every session of this worker that is bound. Worker. */
MK_API void mk_session_each(mk_session_fn fn, void *arg);
/* The same for every session that `owner` has made here, bound or not. */
MK_API void mk_session_each_of(struct mk_module *owner, mk_session_fn fn, void *arg);

/* Fired by the core, cannot be held: a stanza whose session was gone when it arrived, or that its session gives
 * back (mk_undelivered). Whoever routes deals with it as if the session had never been there. */
struct mk_ev_undelivered {
    struct mk_hook_head head;
    mk_session_id session;
    struct mk_stanza *stanza;
};
MK_NOTICE(undelivered, struct mk_ev_undelivered)
/* For whoever owns or queues for a session: this stanza does not reach it. `st` is borrowed; ask
 * mk_stanza_given_up first. Worker. */
MK_API void mk_undelivered(mk_session_id id, struct mk_stanza *st);

/* -- slots: a module's own data at an object ----------------------------------------------- */

enum mk_slot_object { MK_SLOT_SESSION, MK_SLOT_HOST };
typedef void (*mk_slot_free_fn)(void *data);
/* A slot for this module, in init: -1 when there is none left. The data is freed by `free_fn` (on the session's worker;
 * not called for NULL) with the object or the module. */
MK_API int mk_slot_register(struct mk_module *m, enum mk_slot_object what, mk_slot_free_fn free_fn,
                            unsigned *slot_out) MK_NODISCARD;
MK_API void mk_session_slot_set(struct mk_session *s, unsigned slot, void *data);  /* frees the old */
MK_API void *mk_session_slot(const struct mk_session *s, unsigned slot);
MK_API void *mk_session_slot_take(struct mk_session *s, unsigned slot);            /* owned; slot empty */
MK_API void mk_host_slot_set(struct mk_host *h, unsigned slot, void *data);        /* main thread */
MK_API void *mk_host_slot(const struct mk_host *h, unsigned slot);

MK_END
#endif
