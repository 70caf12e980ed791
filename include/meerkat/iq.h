/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * IQ requests that this server answers itself, for a host or on behalf of an account
 * (RFC 6120 §8.2.3, RFC 6121 §8.5), by namespace and name of the child element.
 *
 *   mk_on_iq(m, MK_IQ_GET, MK_TO_HOST | MK_TO_SELF, "urn:xmpp:ping", "ping", on_ping, NULL)
 *
 * The namespace is advertised as a feature by disco as long as the handler is registered. A handler
 * answers exactly once (a second answer is a bug and aborts), now or, after mk_iq_hold, later on the same
 * worker. Until a held IQ of a local session is answered, that session's further input waits, so that
 * answers keep the order of requests.
 */
#ifndef MEERKAT_IQ_H
#define MEERKAT_IQ_H

#include <meerkat/base.h>
#include <meerkat/hook.h>
#include <meerkat/stanza.h>

MK_BEGIN

struct mk_iq;
struct mk_session;
struct mk_host;

enum mk_iq_types { MK_IQ_GET = 1u << 0, MK_IQ_SET = 1u << 1 };
enum mk_iq_to {
    MK_TO_HOST = 1u << 0,       /* the server's own domain */
    MK_TO_SELF = 1u << 1,       /* no `to`, or the sender's own bare JID */
    MK_TO_OTHER = 1u << 2,      /* the bare JID of another account of this server */
    MK_TO_BARE = MK_TO_SELF | MK_TO_OTHER,
    MK_TO_HIDDEN = 1u << 8,     /* do not advertise the namespace */
};

/* MK_HANDLED: answered or held. MK_CONTINUE: not mine, the next one. MK_DENY: answer not-allowed. */
typedef enum mk_verdict (*mk_iq_fn)(struct mk_iq *iq, void *arg);

/* `name` NULL: any element of the namespace. In init. */
MK_API int mk_on_iq(struct mk_module *m, unsigned types, unsigned to, const char *ns,
                    const char *name, mk_iq_fn fn, void *arg) MK_NODISCARD;

/* -- inside a handler, or with a held IQ: on its worker ------------------------------------- */

MK_API struct mk_stanza *mk_iq_stanza(const struct mk_iq *iq);
MK_API enum mk_stanza_type mk_iq_type(const struct mk_iq *iq);         /* MK_TYPE_GET or _SET */
MK_API const struct mk_jid *mk_iq_from(const struct mk_iq *iq);        /* never NULL */
/* The account asked: the bare JID in `to`, or the sender's own. NULL when a host is asked. */
MK_API const struct mk_jid *mk_iq_account(const struct mk_iq *iq);
MK_API struct mk_host *mk_iq_host(const struct mk_iq *iq);             /* asked, or the account's */
MK_API unsigned mk_iq_addressee(const struct mk_iq *iq);               /* one of enum mk_iq_to */
MK_API const struct mk_node *mk_iq_child(const struct mk_iq *iq);      /* the request element */
/* The local session that asked, NULL when it came from elsewhere or the session has ended. */
MK_API struct mk_session *mk_iq_session(const struct mk_iq *iq);

/* Answers; a held IQ is released by it and the pointer must not be used again. `content` is taken,
 * NULL: an empty result. `text` may be NULL. */
MK_API void mk_iq_reply_result(struct mk_iq *iq, struct mk_xml *content);
MK_API void mk_iq_reply_error(struct mk_iq *iq, enum mk_stanza_error e, const char *text);
/* Answers with an error whose content the module adds: `app` (taken) goes into <error/>. */
MK_API void mk_iq_reply_error_app(struct mk_iq *iq, enum mk_stanza_error e, struct mk_xml *app);
/* Keeps it for an answer later; the handler returns MK_HANDLED. Owned until answered. */
MK_API struct mk_iq *mk_iq_hold(struct mk_iq *iq) MK_NODISCARD;

/* -- for the router: answers `st` through the registered handlers; `session` may be NULL. When
 * there is none, replies service-unavailable. Worker. */
MK_API void mk_iq_dispatch(struct mk_stanza *st, struct mk_host *host, struct mk_session *session,
                           unsigned addressee);

/*
 * Requests of the server's own: sends an iq get or set and calls back with the answer (result or error), or
 * with NULL after `timeout_ms` or when the asking module goes. `content` is taken. The callback comes on this worker. `to` is a full
 * JID of a local session or anything the router can reach. Worker.
 */
typedef void (*mk_iq_answer_fn)(struct mk_stanza *answer, void *arg);
MK_API void mk_iq_request(struct mk_module *m, enum mk_stanza_type type, const struct mk_jid *from,
                          const struct mk_jid *to, struct mk_xml *content, uint64_t timeout_ms,
                          mk_iq_answer_fn fn, void *arg);
/* For the router: is this answer for mk_iq_request? Then it is consumed. Worker. */
MK_API bool mk_iq_answered(struct mk_stanza *st);

/* Holds the input of a session while something asynchronous is decided; counted. `pause` is told to
 * the owner through mk_session_is_paused and the function given here. For c2s and the core, which also
 * pauses all sessions while it reloads a module: an owner looks before it reads. */
MK_API void mk_session_pause(struct mk_session *s);
MK_API void mk_session_unpause(struct mk_session *s);
MK_API bool mk_session_is_paused(const struct mk_session *s);

/* -- service discovery (XEP-0030): what modules say of this server -------------------------- */

/* Advertises a feature of hosts or accounts (MK_TO_HOST, MK_TO_BARE) that no IQ handler implies. */
MK_API int mk_feature_add(struct mk_module *m, unsigned to, const char *ns) MK_NODISCARD;
/* Calls fn for each feature of an addressee, sorted, each once. Any worker. */
MK_API void mk_feature_each(unsigned to, void (*fn)(const char *ns, void *arg), void *arg);

MK_END
#endif
