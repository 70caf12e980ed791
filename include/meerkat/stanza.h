/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Stanzas (RFC 6120 §8) and the other elements of a stream. A stanza is immutable and reference counted and
 * may be shared by threads; whoever wants another addressee or another child makes a new one, which
 * shares the bytes of the children.
 *
 * The children exist as the bytes that came in and as a list of their names; the tree is built only when
 * somebody looks into a child (mk_stanza_child).
 */
#ifndef MEERKAT_STANZA_H
#define MEERKAT_STANZA_H

#include <meerkat/base.h>
#include <meerkat/jid.h>
#include <meerkat/worker.h>
#include <meerkat/xml.h>

MK_BEGIN

struct mk_stanza;

#define MK_NS_CLIENT "jabber:client"
#define MK_NS_STANZAS "urn:ietf:params:xml:ns:xmpp-stanzas"
#define MK_NS_STREAM "http://etherx.jabber.org/streams"

enum mk_stanza_kind {
    MK_MESSAGE,
    MK_PRESENCE,
    MK_IQ,
    MK_NONZA,           /* any other element on a stream: <auth/>, <r/>, <enable/> … */
};

enum mk_stanza_type {
    MK_TYPE_NONE,       /* presence: available; message: normal; nonza */
    MK_TYPE_ERROR,
    /* message */
    MK_TYPE_CHAT,
    MK_TYPE_GROUPCHAT,
    MK_TYPE_HEADLINE,
    MK_TYPE_NORMAL,     /* written out; equal to MK_TYPE_NONE for a message */
    /* presence */
    MK_TYPE_UNAVAILABLE,
    MK_TYPE_SUBSCRIBE,
    MK_TYPE_SUBSCRIBED,
    MK_TYPE_UNSUBSCRIBE,
    MK_TYPE_UNSUBSCRIBED,
    MK_TYPE_PROBE,
    /* iq */
    MK_TYPE_GET,
    MK_TYPE_SET,
    MK_TYPE_RESULT,
    MK_TYPE_UNKNOWN,    /* a word that RFC 6121 does not know */
};

/* Stanza error conditions of RFC 6120 §8.3.3, each with the error type that the RFC gives it. */
#define MK_STANZA_ERRORS(X)                                                                \
    X(BAD_REQUEST, "bad-request", "modify")                                                \
    X(CONFLICT, "conflict", "cancel")                                                      \
    X(FEATURE_NOT_IMPLEMENTED, "feature-not-implemented", "cancel")                        \
    X(FORBIDDEN, "forbidden", "auth")                                                      \
    X(GONE, "gone", "cancel")                                                              \
    X(INTERNAL_SERVER_ERROR, "internal-server-error", "cancel")                            \
    X(ITEM_NOT_FOUND, "item-not-found", "cancel")                                          \
    X(JID_MALFORMED, "jid-malformed", "modify")                                            \
    X(NOT_ACCEPTABLE, "not-acceptable", "modify")                                          \
    X(NOT_ALLOWED, "not-allowed", "cancel")                                                \
    X(NOT_AUTHORIZED, "not-authorized", "auth")                                            \
    X(POLICY_VIOLATION, "policy-violation", "modify")                                      \
    X(RECIPIENT_UNAVAILABLE, "recipient-unavailable", "wait")                              \
    X(REDIRECT, "redirect", "modify")                                                      \
    X(REGISTRATION_REQUIRED, "registration-required", "auth")                              \
    X(REMOTE_SERVER_NOT_FOUND, "remote-server-not-found", "cancel")                        \
    X(REMOTE_SERVER_TIMEOUT, "remote-server-timeout", "wait")                              \
    X(RESOURCE_CONSTRAINT, "resource-constraint", "wait")                                  \
    X(SERVICE_UNAVAILABLE, "service-unavailable", "cancel")                                \
    X(SUBSCRIPTION_REQUIRED, "subscription-required", "auth")                              \
    X(UNDEFINED_CONDITION, "undefined-condition", "cancel")                                \
    X(UNEXPECTED_REQUEST, "unexpected-request", "wait")

enum mk_stanza_error {
    MK_ERR_NONE,
#define X(id, name, type) MK_ERR_##id,
    MK_STANZA_ERRORS(X)
#undef X
};
MK_API const char *mk_stanza_error_name(enum mk_stanza_error e);
MK_API const char *mk_stanza_error_type(enum mk_stanza_error e);

/* -- reading (any thread that holds a reference) ------------------------------------------- */

MK_API struct mk_stanza *mk_stanza_ref(const struct mk_stanza *st);
MK_API void mk_stanza_unref(struct mk_stanza **st);

MK_API enum mk_stanza_kind mk_stanza_kind(const struct mk_stanza *st);
MK_API enum mk_stanza_type mk_stanza_type(const struct mk_stanza *st);
MK_API const struct mk_jid *mk_stanza_from(const struct mk_stanza *st);    /* NULL: none */
MK_API const struct mk_jid *mk_stanza_to(const struct mk_stanza *st);      /* NULL: none */
MK_API const char *mk_stanza_id(const struct mk_stanza *st);               /* NULL: none */
MK_API const char *mk_stanza_lang(const struct mk_stanza *st);             /* NULL: none */
/* Name and namespace of the element itself: "message" and "jabber:client", or a nonza's. */
MK_API const char *mk_stanza_name(const struct mk_stanza *st);
MK_API const char *mk_stanza_ns(const struct mk_stanza *st);
/* Attribute of a nonza (of stanzas only those that have no function of their own). NULL: none. */
MK_API const char *mk_stanza_attr(const struct mk_stanza *st, const char *name);
/* Bytes of the element on the wire, as a measure for limits and shapers. */
MK_API size_t mk_stanza_size(const struct mk_stanza *st);

/* Is there a child element with this name and namespace (NULL: any)? Does not build the tree. */
MK_API bool mk_stanza_has(const struct mk_stanza *st, const char *name, const char *ns);
/* Name and namespace of the n-th child element; false behind the last. Does not build the tree. */
MK_API bool mk_stanza_nth(const struct mk_stanza *st, size_t n, const char **name_out,
                          const char **ns_out);
/* The whole element as a tree whose root has the children (its attributes only for a nonza). */
MK_API const struct mk_node *mk_stanza_node(const struct mk_stanza *st);
/* First child element with this name and namespace (NULL: any), as a tree that lives as long as the stanza. NULL: none.
 * The first call parses the children: ask mk_stanza_has first where most stanzas have no such child. */
MK_API const struct mk_node *mk_stanza_child(const struct mk_stanza *st, const char *name,
                                             const char *ns);
/* The bytes of the children: well-formed by themselves inside an element of jabber:client. */
MK_API struct mk_str mk_stanza_inner(const struct mk_stanza *st);
/* In an error stanza: the condition, or MK_ERR_UNDEFINED_CONDITION. */
MK_API enum mk_stanza_error mk_stanza_get_error(const struct mk_stanza *st);

/* Appends the whole element as XML. */
MK_API void mk_stanza_write(const struct mk_stanza *st, struct mk_buf *out);

/* -- making (any thread; results are owned) ------------------------------------------------ */

/*
 * `content` is taken (NULL: no children). JIDs and id are borrowed and may be NULL; what is given to mk_route
 * must have `from`. An answer to a message:
 *
 *   x = mk_xml_new(NULL);
 *   mk_xml_leaf(x, "body", NULL, MK_STR("hello"));
 *   st = mk_stanza_new(MK_MESSAGE, MK_TYPE_CHAT, mk_stanza_to(question), mk_stanza_from(question), NULL, x);
 *   mk_route(st);
 *   mk_stanza_unref(&st);
 */
MK_API struct mk_stanza *mk_stanza_new(enum mk_stanza_kind kind, enum mk_stanza_type type,
                                       const struct mk_jid *from, const struct mk_jid *to,
                                       const char *id, struct mk_xml *content) MK_NODISCARD;
/* From XML text, for example out of storage; NULL when it is not one stanza or breaks a rule. */
MK_API struct mk_stanza *mk_stanza_parse(struct mk_str xml) MK_NODISCARD;
/* The same content with other addresses: shares the bytes. */
MK_API struct mk_stanza *mk_stanza_readdress(const struct mk_stanza *st, const struct mk_jid *from,
                                             const struct mk_jid *to) MK_NODISCARD;
/* The same with `more` (taken) appended to the children. */
MK_API struct mk_stanza *mk_stanza_append(const struct mk_stanza *st,
                                          struct mk_xml *more) MK_NODISCARD;
/* The same without the child elements of this name and namespace whose attribute `by` equals `by`
 * (NULL: all of them). Gives another reference when there are none. */
MK_API struct mk_stanza *mk_stanza_without(const struct mk_stanza *st, const char *name,
                                           const char *ns, const char *by) MK_NODISCARD;
/* Answers: addresses swapped, same id. NULL when the stanza must not be answered with an error
 * (it is one itself, or an iq result). `text` NULL: none. `content` is taken. */
MK_API struct mk_stanza *mk_stanza_error_reply(const struct mk_stanza *st, enum mk_stanza_error e,
                                               const char *text) MK_NODISCARD;
/*
 * Who answers for a stanza that is given to several sessions at once, or to one that need not get it. Whoever
 * makes it says so before anybody else has it; nobody: the number of receivers is one.
 */
#define MK_RECEIVERS_NONE 0u        /* a copy: the original is dealt with elsewhere (XEP-0280) */
MK_API void mk_stanza_set_receivers(struct mk_stanza *st, unsigned n);
/* A receiver cannot take it. True: none of the others has it either, so it must be dealt with. Each receiver
 * asks at most once. Any thread. */
MK_API bool mk_stanza_given_up(struct mk_stanza *st) MK_NODISCARD;
MK_API struct mk_stanza *mk_stanza_result(const struct mk_stanza *st,
                                          struct mk_xml *content) MK_NODISCARD;

/* Is there one receiver, as there mostly is? */
MK_API bool mk_stanza_is_alone(const struct mk_stanza *st);
/*
 * fn(given_up, arg) once when nobody holds this stanza any more, nor any that was made from it (readdressed, appended
 * to, shortened): it is delivered and acknowledged, stored, answered or given up. For whoever brings a stanza in and
 * must know when it is safe; before anybody else has it, and once. With `report`, its receiver does not deal with it when it
 * cannot take it (mk_stanza_given_up says false) and `given_up` says that this happened. fn runs on any thread and
 * must only post.
 */
typedef void (*mk_stanza_settled_fn)(bool given_up, void *arg);
MK_API void mk_stanza_when_settled(struct mk_stanza *st, bool report, mk_stanza_settled_fn fn,
                                   void *arg);
/* Is somebody told already? */
MK_API bool mk_stanza_is_watched(const struct mk_stanza *st);

/*
 * Safety: fn(arg) is called once, on this worker and never before this returns, when a second node has the stanza as well
 * (who sees to that says so: mk_safety_tell) or it is settled. Before anybody else has the stanza, and once. The handle is
 * owned: mk_safety_cancel or mk_safety_unref ends it. Worker.
 */
struct mk_safety;
MK_API struct mk_safety *mk_stanza_when_safe(struct mk_stanza *st, struct mk_module *m, mk_task_fn fn,
                                             void *arg) MK_NODISCARD;
/* True: fn is not called any more. */
MK_API bool mk_safety_cancel(struct mk_safety **safety);
/* For whoever holds a stanza and can have it held elsewhere too: the handle, owned, when somebody has asked (whether he was
 * told already or not), else NULL. Any thread. */
MK_API struct mk_safety *mk_stanza_get_safety(const struct mk_stanza *st) MK_NODISCARD;
MK_API void mk_safety_tell(struct mk_safety *safety);
MK_API void mk_safety_unref(struct mk_safety **safety);

/* The stanza as a forwarded child (XEP-0297, with its jabber:client namespace) in a builder. */
MK_API void mk_xml_stanza(struct mk_xml *x, const struct mk_stanza *st);

MK_END
#endif
