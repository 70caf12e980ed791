/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Module presence: what its files share. */
#ifndef PRESENCE_INTERNAL_H
#define PRESENCE_INTERNAL_H

#include <meerkat/auth.h>
#include <meerkat/c2s.h>
#include <meerkat/meerkat.h>
#include <meerkat/presence.h>
#include <meerkat/roster.h>
#include <meerkat/router.h>
#include <meerkat/sm.h>

#define AUTH_MAX 8

struct presence_conf {
    int64_t max_directed;
};

struct presence {
    struct mk_module *module;
    const struct mk_sessions *sessions;
    const struct mk_roster *roster;     /* NULL: nobody has contacts */
    const struct mk_auth *auth[AUTH_MAX];
    size_t auth_count;
    struct mk_presence service;
    struct {
        struct mk_hook *available, *unavailable;
    } hooks;
    unsigned slot;                      /* of a session: struct own */
    struct mk_counter directed_refused, subscriptions;
    struct lost_queue *lost;            /* by worker */
};

struct broadcast;

/* Resources of a node that died, or sessions that a node which is back is to hear of; not all at once, for rosters must be read. */
struct lost_queue {
    struct broadcast *first, **last;
    unsigned under_way;
    bool running;
};

/* Of a session that has sent presence. */
struct own {
    struct mk_stanza *last;             /* NULL: not available */
    struct mk_jid **directed;           /* who got presence and is not in the roster (§4.6) */
    uint32_t directed_count;
    int8_t priority;
    bool over;                          /* the session has ended: nobody is to hear that it is available */
};

/* broadcast.c: presence of a session for all who may see it (§4.2, §4.4, §4.5). */
enum mk_verdict broadcast_on_send(struct presence *p, struct mk_ev_user *ev);
void broadcast_on_unbound(struct mk_ev_session *ev, void *arg);
void broadcast_on_lost(struct mk_ev_resource_lost *ev, void *arg);
int broadcast_init(struct presence *p) MK_NODISCARD;
void broadcast_release(struct presence *p);
struct own *own_of(struct presence *p, const struct mk_session *s);
/* The same, made when there is none yet. */
struct own *own_need(struct presence *p, struct mk_session *s);
/* It has ended while what it sent was held somewhere. */
bool is_over(struct presence *p, const struct mk_session *s);
void own_free(void *own);

/* directed.c (§4.6) */
enum mk_verdict directed_on_send(struct presence *p, struct mk_ev_user *ev);
void directed_remember(struct own *own, const struct mk_jid *to);
/* Everybody who is left hears `st` (unavailable), and is forgotten. */
void directed_end(struct own *own, struct mk_stanza *st);

/* travel.c: a session that goes to another node. */
int travel_register(struct presence *p) MK_NODISCARD;

/* probe.c (§4.3) */
/* Asks for the presence of `to` on behalf of `from`. */
void probe_send(const struct mk_jid *from, const struct mk_jid *to);
/* All available resources of `account` send their presence to `to`. */
void probe_resources(struct presence *p, const struct mk_jid *account, const struct mk_jid *to);
enum mk_verdict probe_on_account(struct presence *p, struct mk_ev_route *ev);
enum mk_verdict probe_on_receive(struct mk_ev_user *ev, void *arg);

/* subscription.c (§3) */
bool is_subscription(enum mk_stanza_type type);
enum mk_verdict subscription_on_send(struct presence *p, struct mk_ev_user *ev);
enum mk_verdict subscription_on_account(struct presence *p, struct mk_ev_route *ev);
void subscription_on_roster(struct mk_ev_roster_changed *ev, void *arg);

#endif
