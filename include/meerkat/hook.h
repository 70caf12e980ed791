/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Hooks: ordered, synchronous chains on which features hang. A hook is one structure and one line
 * in the header of whoever owns it:
 *
 *   struct mk_ev_user_send { struct mk_hook_head head; struct mk_session *session; … };
 *   MK_FILTER(user_send_message, struct mk_ev_user_send)
 *
 * and a handler is registered in init by
 *
 *   mk_on(m, user_send_message, MK_PRIO_NORMAL, on_message, arg)
 *
 * A handler of the wrong type does not compile. Order: higher priority first, then the order in
 * which the modules were started, then the order of registration: always the same, and printed by
 * `meerkatctl hooks`. Handlers run on the worker that fires.
 *
 * There are two kinds. A *filter* asks for a verdict and stops at the first handler that does not
 * say MK_CONTINUE. A *notice* tells; all handlers run and none can stop it.
 *
 * A handler that must wait calls mk_hold(&ev->head), keeps the token and returns MK_HANDLED; later, on
 * the same worker, mk_resume(token, verdict) goes on behind it (MK_CONTINUE) or ends the chain.
 * Whoever fires has given a `finish` function that gets the final verdict in both cases. Hooks that
 * cannot be held say so in their header; mk_hold then returns NULL and the handler must decide now.
 *
 *   static void
 *   on_looked_up(struct mk_sql_result *result, void *arg)
 *   {
 *       struct lookup *l = arg;
 *       struct mk_ev_user *ev = mk_hold_event(l->hold);   (the session may have ended meanwhile)
 *
 *       ev->error = MK_ERR_FORBIDDEN;
 *       mk_resume(&l->hold, may_pass(l, result) ? MK_CONTINUE : MK_DENY);
 *       mk_free(l);
 *   }
 *
 *   static enum mk_verdict
 *   on_message(struct mk_ev_user *ev, void *arg)
 *   {
 *       …
 *       l->hold = mk_hold(&ev->head);
 *       mk_sql_exec(db, stmt, key, on_looked_up, l, …);
 *       return MK_HANDLED;
 *   }
 *
 * A held message makes its session's further input wait, so order holds.
 *
 * While a hook fires, a handler that is removed is not called any more, and one that is added is
 * called from the next firing on.
 */
#ifndef MEERKAT_HOOK_H
#define MEERKAT_HOOK_H

#include <meerkat/base.h>

MK_BEGIN

struct mk_module;
struct mk_worker;
struct mk_host;
struct mk_hold;

enum mk_verdict {
    MK_CONTINUE,    /* the next handler */
    MK_HANDLED,     /* stop: I have dealt with it (replied, swallowed, or hold a token) */
    MK_DENY,        /* stop: whoever fires answers with the event's error */
    MK_HELD,        /* only as a result of firing: the chain waits for mk_resume */
};

enum mk_prio {
    MK_PRIO_FIRST = 1000,   /* limits, stream management */
    MK_PRIO_EARLY = 500,    /* blocking, privacy */
    MK_PRIO_NORMAL = 0,
    MK_PRIO_LATE = -500,    /* carbons, archives */
    MK_PRIO_LAST = -1000,   /* default replies */
};

/* First member of every event. Set by MK_EVENT; the rest is the core's. */
struct mk_hook_head {
    uint32_t size;          /* of the event as whoever fires was compiled */
    uint32_t held;
    void *firing;
};
#define MK_EVENT(type) .head = {.size = sizeof(type)}

enum mk_hook_kind { MK_HOOK_FILTER, MK_HOOK_NOTICE };

/* Open for the inline test alone: a hook without handlers costs a load and a branch. */
struct mk_hook {
    const void *chain;
};

typedef void (*mk_any_fn)(void);

/* What whoever fires must say for a hook that handlers may hold. `keep` takes references to what the
 * event points to, `drop` gives them back; both get the core's copy of the event. `finish` gets the
 * final verdict of a chain that was held (and of none other). */
struct mk_hook_hold_ops {
    void (*keep)(void *ev);
    void (*drop)(void *ev);
    void (*finish)(void *ev, enum mk_verdict verdict, void *arg);
};

/* Used by the macros below. */
MK_API int mk_hook_add_(struct mk_module *m, const char *hook, enum mk_hook_kind kind, size_t size,
                        int prio, mk_any_fn fn, void *arg, const char *fn_name, const char *file,
                        int line) MK_NODISCARD;
MK_API struct mk_hook *mk_hook_define_(struct mk_module *m, const char *hook,
                                       enum mk_hook_kind kind, size_t size,
                                       const struct mk_hook_hold_ops *ops, void *ops_arg);
MK_API enum mk_verdict mk_hook_fire_(struct mk_hook *hook, struct mk_hook_head *ev);

/*
 * Declares a filter: handler type mk_NAME_fn, mk_on(m, NAME, …), and for the owner
 * mk_define_NAME(m, hold_ops, arg) in init and mk_fire_NAME(hook, &ev).
 */
#define MK_FILTER(name, type)                                                              \
    typedef enum mk_verdict (*mk_##name##_fn)(type * ev, void *arg);                       \
    MK_HOOK_COMMON_(name, type, MK_HOOK_FILTER)                                            \
    MK_UNUSED static inline enum mk_verdict mk_fire_##name(struct mk_hook *hook, type *ev) \
    {                                                                                      \
        if (MK_LIKELY(!__atomic_load_n(&hook->chain, __ATOMIC_ACQUIRE)))                   \
            return MK_CONTINUE;                                                            \
        return mk_hook_fire_(hook, &ev->head);                                             \
    }

/* Declares a notice; handlers return nothing. */
#define MK_NOTICE(name, type)                                                              \
    typedef void (*mk_##name##_fn)(type * ev, void *arg);                                  \
    MK_HOOK_COMMON_(name, type, MK_HOOK_NOTICE)                                            \
    MK_UNUSED static inline void mk_fire_##name(struct mk_hook *hook, type *ev)            \
    {                                                                                      \
        if (__atomic_load_n(&hook->chain, __ATOMIC_ACQUIRE))                               \
            (void)mk_hook_fire_(hook, &ev->head);                                          \
    }

#define MK_HOOK_COMMON_(name, type, kind)                                                  \
    MK_UNUSED MK_NODISCARD static inline int mk_on_##name(                                 \
        struct mk_module *m, int prio, mk_##name##_fn fn, void *arg, const char *fn_name,  \
        const char *file, int line)                                                        \
    {                                                                                      \
        return mk_hook_add_(m, #name, kind, sizeof(type), prio, (mk_any_fn)fn, arg,        \
                            fn_name, file, line);                                          \
    }                                                                                      \
    MK_UNUSED static inline struct mk_hook *mk_define_##name(                              \
        struct mk_module *m, const struct mk_hook_hold_ops *ops, void *ops_arg)            \
    {                                                                                      \
        return mk_hook_define_(m, #name, kind, sizeof(type), ops, ops_arg);                \
    }

/* Registers a handler: 0, or -1 after an error line in the log (the hook is known with another kind or
 * a smaller event: rebuild the module). In init. */
#define mk_on(m, hook, prio, fn, arg) mk_on_##hook(m, prio, fn, arg, #fn, __FILE__, __LINE__)

/* Holds the chain that is firing `ev`; NULL where the hook cannot be held. The token is owned and must be
 * resumed exactly once, on this worker. If its session ends first, resuming still works and the
 * finisher sees a session that is closed. Worker, inside a handler. */
MK_API struct mk_hold *mk_hold(struct mk_hook_head *ev) MK_NODISCARD;
/* The core's copy of the event: change it here (deny condition, stanza) before resuming. Borrowed. */
MK_API void *mk_hold_event(struct mk_hold *hold);
MK_API void mk_resume(struct mk_hold **hold, enum mk_verdict verdict);

/*
 * Events: facts told after they happened, asynchronously, on a worker that the subscriber
 * chooses (NULL: the one that publishes, deferred). The payload is copied; it must hold no pointers that need freeing,
 * except NUL-terminated strings named in the event's header as copied.
 */
struct mk_event_user {          /* "user_created", "user_removed": by the modules with accounts */
    uint32_t size;
    char user[1024];            /* bare JID */
};
struct mk_event_session {       /* "session_opened", "session_closed" */
    uint32_t size;
    uint64_t session;
    char jid[3072];
};
struct mk_event_node {          /* "node_joined", "node_left", "table_in_sync" (name: the table) */
    uint32_t size;
    char name[256];
    uint32_t number;            /* of the node */
    /* It went without a word, or is back from such a time: what either has told the other in its last moments, or to nobody while they were
     * apart, may be missing. What a module keeps of what is stored must be read anew. */
    bool apart;
    uint64_t records;           /* "node_joined": those it has in tables */
};
struct mk_event_host {          /* "host_added", "host_removed": a host that is not in the configuration */
    uint32_t size;
    struct mk_host *host;
};
/* "config_reloaded" has no payload: NULL. `payload` is valid during the call. */
typedef void (*mk_event_fn)(const char *event, const void *payload, void *arg);
MK_API int mk_subscribe(struct mk_module *m, const char *event, struct mk_worker *w, mk_event_fn fn,
                        void *arg) MK_NODISCARD;
MK_API void mk_publish(struct mk_module *m, const char *event, const void *payload, size_t size);
MK_API bool mk_event_wanted(const char *event);     /* has anybody subscribed? */

MK_END
#endif
