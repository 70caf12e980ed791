/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Log-in with SASL2 (XEP-0388) and Bind 2 (XEP-0386), for modules that let a client ask for
 * something in the same round trip: stream management, carbons, client state. Hooks fired by module
 * `sasl`, and its service "sasl".
 *
 * What happens after the password was right, in this order:
 *   1. the session is authenticated (mk_session_jid is the bare JID);
 *   2. sasl2_resume: a handler may continue an older session instead; then 3 does not happen;
 *   3. the client asked for Bind 2: a resource is bound (session_bound fires), then bind2_bound;
 *   4. sasl2_success, <success/>, <stream:features/>.
 */
#ifndef MEERKAT_SASL_H
#define MEERKAT_SASL_H

#include <meerkat/hook.h>
#include <meerkat/module.h>
#include <meerkat/session.h>
#include <meerkat/stanza.h>
#include <meerkat/xml.h>

MK_BEGIN

#define MK_NS_SASL "urn:ietf:params:xml:ns:xmpp-sasl"
#define MK_NS_SASL2 "urn:xmpp:sasl:2"
#define MK_NS_BIND2 "urn:xmpp:bind:0"

/* A log-in that succeeded and whose <success/> has not been sent. */
struct mk_sasl2;

/*
 * Features are being written: `inside` is the builder, inside the <inline/> of SASL2
 * (sasl2_features: add an element of your namespace) or of Bind 2 (bind2_features: add
 * <feature var='…'/>). Cannot be held.
 */
struct mk_ev_sasl2_features {
    struct mk_hook_head head;
    struct mk_session *session;
    struct mk_xml *inside;
};
MK_NOTICE(sasl2_features, struct mk_ev_sasl2_features)
MK_NOTICE(bind2_features, struct mk_ev_sasl2_features)

/*
 * A client is authenticated; `authenticate` is its request: look for your element in it. Cannot be
 * held.
 *
 * MK_CONTINUE: not asked for, or refused at once (then say so in `success`, the builder inside
 * <success/>). MK_HANDLED: you have taken `login` and will call resumed, not_resumed or abandon of
 * service "sasl" exactly once. If that takes time, pause the session meanwhile.
 */
struct mk_ev_sasl2_resume {
    struct mk_hook_head head;
    struct mk_session *session;
    const struct mk_node *authenticate;
    const struct mk_jid *account; /* bare JID */
    struct mk_xml *success;
    struct mk_sasl2 *login;
};
MK_FILTER(sasl2_resume, struct mk_ev_sasl2_resume)

/*
 * bind2_bound: a resource is bound; `request` is the client's <bind/>, `inside` the builder inside
 * <bound/>. Turn on what is asked for and add what your extension answers. Cannot be held.
 * sasl2_success: last of all; `request` is <authenticate/>, `inside` the builder inside <success/>.
 */
struct mk_ev_sasl2_done {
    struct mk_hook_head head;
    struct mk_session *session;
    const struct mk_node *request;
    struct mk_xml *inside;
};
MK_NOTICE(bind2_bound, struct mk_ev_sasl2_done)
MK_NOTICE(sasl2_success, struct mk_ev_sasl2_done)

enum mk_sasl_check_result {
    MK_SASL_OK,
    MK_SASL_WRONG,          /* the password, or there is no such account */
    MK_SASL_LOCKED,         /* too many were wrong: later */
    MK_SASL_UNAVAILABLE,    /* the accounts cannot be asked now */
};
typedef void (*mk_sasl_check_fn)(enum mk_sasl_check_result result, void *arg);

struct mk_sasl_check {
    struct mk_host *host;
    struct mk_str user;     /* prepared local part */
    struct mk_str password; /* as it was sent */
    const char *address;    /* of who asks, without port; NULL or "": counts for nobody */
};

#define MK_SASL_ABI 1
struct mk_sasl {
    uint32_t size;
    void *self;
    /* The builder inside <success/> of a log-in that a handler of sasl2_resume has taken;
     * borrowed. */
    struct mk_xml *(*success)(struct mk_sasl2 *login);
    /* Its <authenticate/>. Borrowed. */
    const struct mk_node *(*request)(const struct mk_sasl2 *login);
    /*
     * The connection belongs to session `to` now: sends <success/> with its full JID and the
     * features there. What the client has missed comes after this call. Takes `*login`. On the
     * worker of `to`.
     */
    void (*resumed)(void *self, struct mk_sasl2 **login, struct mk_session *to);
    /* It goes on as if nothing had been asked for: Bind 2 and so forth. Takes `*login`. On the
     * worker that fired sasl2_resume; fine when the session has ended meanwhile. */
    void (*not_resumed)(void *self, struct mk_sasl2 **login);
    /* There is no session any more that could be answered. Takes `*login`. Any thread. */
    void (*abandon)(void *self, struct mk_sasl2 **login);
    /*
     * For modules that have a protocol of their own (HTTP): is this the account's password? Under the same limits as log-ins
     * of streams: wrong passwords are counted, and a name without an account takes as long as another. fn is called once, on
     * this worker, perhaps at once. Worker.
     */
    void (*check)(void *self, struct mk_module *m, const struct mk_sasl_check *what, mk_sasl_check_fn fn, void *arg);
    /* The limits alone, for passwords that are no account's. `account` is any text that is no JID, or NULL. Any thread. */
    bool (*is_locked)(void *self, const char *address, const char *account);
    void (*failed)(void *self, const char *address, const char *account);
};

MK_END
#endif
