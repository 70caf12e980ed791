/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Module cets around its replica: what its files share. Links live on one worker, the first; everything
 * that other workers touch as well is under the lock.
 */
#ifndef CETS_CETS_H
#define CETS_CETS_H

#include <pthread.h>
#include <sys/socket.h>

#include <meerkat/admin.h>
#include <meerkat/cets.h>
#include <meerkat/cluster.h>
#include <meerkat/discovery.h>
#include <meerkat/meerkat.h>
#include <meerkat/tables.h>

#include "replica.h"

struct ssl_ctx_st;
struct ssl_st;
struct ssl_session_st;

struct cets_conf {
    char *cluster, *listen, *advertise, *discovery, *secret;
    char *certificate, *key, *ca;
    uint64_t heartbeat, dead_after, grace, digest_every, handshake;
    uint64_t log_keep, log_max, queue_max;
};

struct watcher {
    struct watcher *next;
    struct mk_table *table;
    mk_table_watch_fn fn;
    void *arg;
};

struct mk_table {
    struct mk_table *next;
    struct cets *cets;
    unsigned index;
    struct mk_store *store;
    struct watcher *watchers;       /* under the lock */
};

/* Somebody who waits for a write. */
struct wait {
    struct cets *cets;
    struct mk_worker *worker;
    mk_table_fn fn;
    void *arg;
    enum mk_table_result result;
};

/* What went over the links with a node of this name. */
struct traffic {
    struct traffic *next;
    struct cets *cets;
    char *name;
    uint64_t in, out, links;        /* atomic */
};

/* A reload that another node waits for. */
struct reload_call {
    struct cets *cets;
    struct mk_cluster_call *call;
};

struct conn {
    struct conn *next;
    struct cets *cets;
    int fd;
    struct mk_fd *watch;
    unsigned watched;
    struct ssl_st *ssl;             /* NULL: in the clear, on loopback */
    bool dialled, connecting, handshaking;
    uint64_t since;
    struct link *link;              /* NULL before the connection stands */
    struct mk_buf in, out;
    size_t in_done, out_done;
    bool awake;                     /* under the lock: the replica or a queue has something */
    bool closing, greeted;
    struct traffic *traffic;        /* NULL before the greeting, or when there are too many names */
    char why[120];                  /* it closes */
    char name[MK_NODE_NAME_MAX + 1];    /* whom it was dialled for */
    char address[64];
};

/* A member as the discovery tells it. */
struct member {
    char name[MK_NODE_NAME_MAX + 1];
    char address[300];
    uint32_t number;
    uint64_t dial_at, backoff;
    uint64_t unreachable_since;     /* 0: linked, or not yet tried */
    bool reported, kept;
};

struct queue;

struct mk_cluster_channel {
    struct mk_cluster_channel *next;
    struct cets *cets;
    uint32_t id;
    char *name;
    mk_cluster_fn fn;               /* NULL: its module is gone */
    void (*on_void)(uint32_t node, bool gone, void *arg);   /* may be NULL */
    void *arg;
    struct mk_module *module;
};

struct cets {
    struct mk_module *module;
    struct mk_worker *worker;       /* of the links */
    const struct mk_discovery *discovery;
    pthread_mutex_t lock;
    pthread_cond_t farewell;
    bool gone;                      /* under the lock: it has left */
    struct replica *replica;        /* under the lock */
    struct mk_table *tables;
    struct queue *queues;           /* by peer; under the lock */
    uint64_t epochs;                /* numbers for them; under the lock */
    struct mk_cluster_channel *channels;    /* under the lock */
    struct mk_cluster_channel *reload_channel;
    bool flush_due;                 /* under the lock: a flush is on its way */
    bool joined;                    /* this node has its number */
    bool stopping;              /* atomic */
    bool refused;                   /* this node was told to stop */
    struct mk_tables tables_service;
    struct mk_cluster cluster_service;
    struct mk_cets overview_service;
    struct mk_listener *listener;
    struct ssl_ctx_st *server_tls, *client_tls;
    unsigned char psk[32];
    /* On the links' worker */
    struct conn *conns;
    size_t strangers;               /* connections without a greeting */
    struct member *members;
    size_t member_count;
    struct traffic *traffic;
    char own_address[300];          /* as the discovery has it; "" before */
    uint32_t number;
    uint64_t started;
    bool said_ready;
    struct mk_timer *tick, *dial;
    struct {
        struct mk_counter bytes_in, bytes_out, refused, requests_out, requests_in, lost, full;
        struct mk_counter repairs, restarts;
    } count;
};

/* cets.c */
void cets_locked(struct cets *c);
void cets_unlock(struct cets *c);

/* tables.c */
void tables_provide(struct cets *c);
void tables_changed(void *arg, unsigned table, const struct mk_entry *now, const struct mk_entry *old);
void tables_done(void *arg, void *waiter, enum mk_table_result result);
void tables_release(struct cets *c);

/* links.c: on the links' worker */
void links_accept(int fd, const struct sockaddr_storage *peer, void *arg);
void links_dial(struct cets *c, struct member *m);
void links_flush(void *cets);
void links_tick(struct cets *c);
void links_close_all(struct cets *c);
/* On the links' worker, under the lock or not. */
void links_end(struct conn *conn, const char *why);
/* Under the lock: there is something to send. Any worker. */
void links_wake(struct cets *c, struct conn *conn);
bool links_dialling(const struct cets *c, const char *name);

/* overview.c: service "cets" */
int overview_provide(struct cets *c, struct mk_error *err);

/* traffic.c: on the links' worker, not under the lock */
/* There is a new link with a node of this name; NULL: it is not counted. */
struct traffic *traffic_linked(struct cets *c, const char *name);
void traffic_release(struct cets *c);

/* reload.c */
int reload_init(struct cets *c, struct mk_error *err);
void reload_all(void *cets, struct mk_module *m, mk_cluster_reloaded_fn fn, void *arg);

/* tls.c */
int tls_init(struct cets *c, const struct cets_conf *conf, struct mk_error *err);
struct ssl_st *tls_new(struct cets *c, int fd, bool dialled);
void tls_release(struct cets *c);

/* messages.c: under the lock where it says so */
int messages_provide(struct cets *c, struct mk_error *err);
void messages_connected(struct cets *c, struct peer *p, struct conn *conn);    /* under the lock */
void messages_disconnected(struct cets *c, struct conn *conn);                  /* under the lock */
size_t messages_queued(const struct cets *c);                                   /* bytes; under the lock */
void messages_gone(struct cets *c, struct peer *p);                             /* under the lock */
/* Frames of the queue of this connection's peer, about `room` bytes; true: more is there. Under the lock. */
bool messages_pull(struct cets *c, struct conn *conn, struct mk_buf *out, size_t room);
/* Bytes of requests that wait for a node in this life. Under the lock. */
size_t messages_waiting(const struct cets *c, uint64_t incarnation);
/* -1: nonsense. Not under the lock. */
int messages_receive(struct cets *c, struct conn *conn, struct mk_str frame);
void messages_release(struct cets *c);

#endif
