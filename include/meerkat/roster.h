/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Service "roster": who has whom as a contact, and who may see whom (RFC 6121 §2, §3). */
#ifndef MEERKAT_ROSTER_H
#define MEERKAT_ROSTER_H

#include <meerkat/hook.h>
#include <meerkat/jid.h>
#include <meerkat/module.h>

MK_BEGIN

/* Bits: MK_SUB_BOTH is TO and FROM. Seen from the account: FROM, the contact sees the account's presence. */
enum mk_subscription { MK_SUB_NONE = 0, MK_SUB_TO = 1, MK_SUB_FROM = 2, MK_SUB_BOTH = 3 };

enum mk_roster_item_flags {
    MK_ROSTER_ASK = 1u << 0,            /* pending out: we asked to subscribe (ask='subscribe') */
    MK_ROSTER_PENDING_IN = 1u << 1,     /* the contact asked; not answered yet */
    MK_ROSTER_APPROVED = 1u << 2,       /* pre-approved (RFC 6121 §3.4) */
    MK_ROSTER_HIDDEN = 1u << 3,         /* only a request of the contact: not in the roster that clients see */
};

struct mk_roster_item {
    uint32_t size;
    const struct mk_jid *jid;           /* bare, or of a domain */
    const char *name;                   /* "" when there is none */
    unsigned subscription;              /* enum mk_subscription */
    unsigned flags;                     /* enum mk_roster_item_flags */
    size_t group_count;
    const char *const *groups;
    const char *request;                /* status text of their request that waits; "" when there is none */
};

enum mk_roster_result {
    MK_ROSTER_OK,
    MK_ROSTER_ABSENT,                   /* no such item, or no such account */
    MK_ROSTER_FULL,                     /* the roster has as many items as it may have */
    MK_ROSTER_UNAVAILABLE,              /* the database does not answer: nothing was done */
    MK_ROSTER_BAD,                      /* a name, group or JID that is not allowed */
};

/* `items` (sorted by the bytes of the JID, with hidden ones) are valid until this callback of the core
 * returns (worker.h). */
typedef void (*mk_roster_list_fn)(enum mk_roster_result result, const struct mk_roster_item *items,
                                  size_t count, void *arg);
/* `item` is NULL unless the result is MK_ROSTER_OK; valid during the call. */
typedef void (*mk_roster_item_fn)(enum mk_roster_result result, const struct mk_roster_item *item,
                                  void *arg);

enum mk_roster_decision { MK_ROSTER_KEEP, MK_ROSTER_STORE, MK_ROSTER_DROP };
/*
 * What is to become of an item: changes `item` in place. When there is none (`exists` false) it is an empty
 * one with the contact's JID. The old strings may stay; new ones must live until `changed`.
 */
typedef enum mk_roster_decision (*mk_roster_decide_fn)(struct mk_roster_item *item, bool exists,
                                                       void *arg);

#define MK_ROSTER_ABI 1
struct mk_roster {
    uint32_t size;
    void *self;
    /* `account` is a bare JID of this server. Except for `change` the callback comes on this worker,
     * perhaps at once. */
    void (*list)(void *self, const struct mk_jid *account, mk_roster_list_fn fn, void *arg);
    void (*item)(void *self, const struct mk_jid *account, const struct mk_jid *contact,
                 mk_roster_item_fn fn, void *arg);
    /* What a client's roster set does (§2.3, §2.5), with pushes and presence; name and groups only. */
    void (*set)(void *self, const struct mk_jid *account, const struct mk_roster_item *item,
                mk_roster_item_fn fn, void *arg);
    void (*remove)(void *self, const struct mk_jid *account, const struct mk_jid *contact,
                   mk_roster_item_fn fn, void *arg);
    /* An administrator's doing: the item as it is, subscription and flags included, with a push; told nobody else. */
    void (*put)(void *self, const struct mk_jid *account, const struct mk_roster_item *item,
                mk_roster_item_fn fn, void *arg);
    /*
     * Reads, decides and stores as one step: changes of one account never overlap. Both functions are
     * called on the worker that deals with this account, whichever that is: `decide` unless the
     * roster cannot be read; `changed` (once, always) when the change is stored, before clients are
     * told of it, with the item as it is now; NULL when it went or the result is not MK_ROSTER_OK.
     */
    void (*change)(void *self, const struct mk_jid *account, const struct mk_jid *contact,
                   mk_roster_decide_fn decide, mk_roster_item_fn changed, void *arg);
};

enum mk_roster_why {
    MK_ROSTER_BY_USER,                  /* a client's request, or `set` and `remove` */
    MK_ROSTER_BY_SUBSCRIPTION,          /* `change` */
    MK_ROSTER_BY_ADMIN,                 /* `put` */
    MK_ROSTER_BY_REMOVAL,               /* the account was removed: told of each item, with `now` NULL */
};

/* An item changed, or went (`now` NULL), after it was stored; told on the worker that changed it. */
struct mk_ev_roster_changed {
    struct mk_hook_head head;
    enum mk_roster_why why;
    const struct mk_jid *account;
    const struct mk_roster_item *now;
    const struct mk_roster_item *old;   /* NULL: a new one */
};
MK_NOTICE(roster_changed, struct mk_ev_roster_changed)

MK_END
#endif
