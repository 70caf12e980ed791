/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Module http: what its files share. README.md tells how evhttp is used. */
#ifndef HTTP_INTERNAL_H
#define HTTP_INTERNAL_H

#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>

#include <meerkat/http.h>
#include <meerkat/meerkat.h>
#include <meerkat/tls.h>

#include "guard.h"

struct http_conf {
    struct mk_option_list listen, listen_tls;
    uint64_t max_header, max_body, max_buffered, max_queue;
    uint64_t request_timeout, idle_timeout, write_timeout, stop_timeout;
    int64_t max_connections, max_connections_address;
    struct mk_option_list trusted;
    struct mk_option_list cors;
    bool compression, access_log, server_header;
    uint64_t hsts;
};

#define MAX_LISTENERS 16
#define MAX_PARTS 8             /* of a pattern that vary */
#define MAX_PARAMETERS 128      /* of a query */
#define SWEEP_MS 200

struct http;
struct request;

/* -- route.c: which handler a path has */

struct route {
    char *pattern;
    unsigned methods;
    bool varies;                /* has parts in braces */
    struct mk_module *module;
    mk_http_fn fn;
    void *arg;
};

/* Of one place; published as a whole. */
struct routes {
    size_t count;
    struct route *list[];       /* what is more exact comes first */
};

struct site_metrics {
    struct mk_counter answers[5];       /* by class of status, 1xx first */
    struct mk_counter accepted, bytes_in, bytes_out, gone;
    struct mk_counter refused_connections, refused_address, refused_memory, refused_request, timeouts;
    struct mk_counter tls[2], tls_failed;       /* by version, 1.2 first; of all places together */
    struct mk_gauge connections;
    struct mk_histogram seconds;
};

/* A name of places: routes may be there before the listeners are. Never freed before the module goes. */
struct site {
    struct site *next;
    struct http *http;
    char *name;
    struct routes *routes;      /* RCU; NULL: none */
    struct place *place;        /* under http's lock */
    struct site_metrics metrics;
};

struct site *site_of(struct http *http, const char *name);
int route_add(struct http *http, struct mk_module *m, const char *place, const struct route *route,
              struct mk_error *err);
/* What varies in a path: the name in the pattern, and the value of the path. */
struct part {
    const char *name;
    size_t name_len;
    const char *value;
};
struct match {
    const struct route *route;  /* NULL: none */
    unsigned allowed;           /* methods that the path has; 0: there is no such path */
};
/* `path` as it was sent, up to the query. */
struct match route_find(const struct site *site, unsigned method, const char *path);
/* Splits `path` by the pattern: the parts, decoded in memory of their own (*memory_out, freed by mk_free). */
size_t route_parts(const struct route *route, const char *path, struct part parts[MAX_PARTS], char **memory_out);
void routes_free(struct http *http);

/* -- target.c: percent-encoding, paths, queries */

/* Decodes `in` to `out` (of len + 1 bytes); `plus`: + is a space. The length, or -1: malformed, or a NUL byte. */
ssize_t percent_decode(char *out, const char *in, size_t len, bool plus);
/* Is `word` in a header that lists words with parameters, and not with q=0? */
bool list_has(const char *list, const char *word);

struct parameter {
    const char *name, *value;
};

struct target {
    char *text;                 /* owned: as it was sent, cut at the query */
    const char *raw_path, *path;        /* as sent, and decoded; NULL: not parsed */
    char *path_memory;
    struct parameter *query;
    size_t query_count;
    char *query_memory;
};

/* Takes `text` apart; -1: the path or the query is no good. */
int target_parse(struct target *t) MK_NODISCARD;
void target_release(struct target *t);
const char *target_query(const struct target *t, const char *name);

/* What a worker has of this module, whichever the place. */
struct worker_state {
    struct conn *dirty;
    size_t buffered;            /* bytes of bodies */
    time_t date_of;
    char date[40];
};

struct http {
    struct mk_module *module;
    const struct mk_tls *tls;
    struct mk_http service;
    pthread_mutex_t lock;       /* of the sites' places: for `port` */
    struct site *sites;
    struct addresses *addresses;
    struct worker_state *workers;
};

static inline const struct http_conf *
conf_of(const struct http *http)
{
    return mk_module_conf(http->module, NULL);
}

/* -- place.c: listeners */

struct lane {                   /* what a place has on one worker */
    struct place *place;
    struct mk_worker *worker;
    size_t index;               /* of the worker */
    struct evhttp *plain, *tls;
    struct evhttp_bound_socket *bound[MAX_LISTENERS];
    struct evhttp *bound_to[MAX_LISTENERS];
    size_t bound_count;
    struct conn *conns;
    size_t conn_count;
    struct conn *newborn;       /* accepted in this turn */
    unsigned accepts;
    bool resting, draining;
    struct conn *current;       /* whose request evhttp gets now */
    struct mk_timer *sweep;
};

struct place {
    struct site *site;
    struct http *http;
    struct mk_module *owner;
    uint64_t max_body;          /* 0: that of [http] */
    size_t count;
    struct place_listener {
        struct mk_listener *socket;
        bool tls;
    } listeners[MAX_LISTENERS];
    size_t conns;               /* of all lanes; atomic */
    struct lane *lanes;
};

int place_open(struct http *http, struct mk_module *m, const struct mk_http_place *what, struct mk_error *err);
unsigned place_port(struct http *http, const char *name, bool tls);
/* Listens, or not, for a while. */
void lane_listen(struct lane *lane, bool on);

/* -- conn.c: a connection */

enum conn_state {
    CONN_HEAD,                  /* a head is waited for */
    CONN_BODY,
    CONN_BUSY,                  /* evhttp has a request, which is not answered and written yet */
    CONN_LINGER,                /* evhttp is done with it: what still comes is dropped, so that the answer is read */
};

struct conn {
    struct conn *next, **link;  /* in its lane */
    struct lane *lane;
    struct bufferevent *bev;    /* a reference of ours beside evhttp's */
    struct evhttp_connection *ev;       /* from the first request on, until evhttp lets it go */
    struct evbuffer_cb_entry *watch;
    int fd;
    enum conn_state state;
    bool tls, is_unix, loopback, closed, inside, counted;
    char peer[INET6_ADDRSTRLEN];
    struct in6_addr from;       /* as it is counted */
    uint64_t since;             /* ms: of the state; in the first two, of the first byte if there is one */
    int64_t began;              /* µs: the first byte of the request; 0: none yet */
    struct guard_scan scan;
    struct guard_head head;
    struct guard_chunks chunks;
    size_t let_in;              /* bytes of the head that evhttp gets */
    char *target;               /* of its request */
    struct evbuffer *kept;      /* the head while its body comes in */
    struct evbuffer *later;     /* requests behind the one under way */
    struct mk_buf body;
    size_t buffered;            /* of the body, in the worker's sum */
    int error;                  /* the request is none: this is the answer to it */
    uint64_t dropped;           /* bytes, after an error */
    struct request *rq;         /* not answered yet */
    uint64_t queued, written;   /* bytes */
    bool dirty;                 /* in the list of those with something to write */
    struct conn *next_dirty;
    struct {                    /* evhttp's, until the first request */
        bufferevent_data_cb read, write;
        bufferevent_event_cb event;
        void *arg;
    } young;
};

struct bufferevent *conn_new_plain(struct event_base *base, void *lane);
struct bufferevent *conn_new_tls(struct event_base *base, void *lane);
/* evhttp has handed over a request of this connection. */
void conn_request(struct conn *c, struct evhttp_connection *ev, struct evhttp_request *rq);
/* Its request waits for an answer: tell when the client goes. */
void conn_watch(struct conn *c);
/* Something was written: it goes at the end of the turn. `before`: what had been waiting. */
void conn_wrote(struct conn *c, size_t before);
size_t conn_waiting(const struct conn *c);
void conn_cut(struct conn *c);
void lane_sweep(void *lane);
/* No connection waits any more for a request; those that have one go with its answer. */
void lane_drain(struct lane *lane);
void lane_cut_all(struct lane *lane);
void http_turn_end(void *http);

static inline struct evbuffer *
input_of(const struct conn *c)
{
    return bufferevent_get_input(c->bev);
}

static inline const struct http_conf *
conn_conf(const struct conn *c)
{
    return conf_of(c->lane->place->http);
}

static inline struct site_metrics *
metrics_of(const struct conn *c)
{
    return &c->lane->place->site->metrics;
}

/* -- intake.c: what comes in on a connection, until evhttp may have it */

/* The low-water mark of a bufferevent that evhttp must not read: never reached. */
#define INTAKE_CLOSED SIZE_MAX

/* On a bufferevent's input. */
void intake_callback(struct evbuffer *in, const struct evbuffer_cb_info *info, void *conn);
/* Looks at what is in the input. */
void intake_take(struct conn *c);
/* What came is no request: this is the answer, and the connection ends. */
void intake_fail(struct conn *c, int status);
void intake_drop_body(struct conn *c);
void intake_drain(struct evbuffer *b);

/* -- limits.c: connections by address */
struct addresses *addresses_new(void);
void addresses_free(struct addresses *a);
/* `from`: an IPv6 network of 64 bits, or an IPv4 address. */
bool address_enter(struct addresses *a, const struct in6_addr *from, int64_t limit);
void address_leave(struct addresses *a, const struct in6_addr *from);

/* -- request.c, answer.c */

struct request {
    struct mk_http_request base;
    struct http *http;
    struct site *site;
    struct conn *conn;          /* NULL: the client has gone */
    struct evhttp_request *ev;
    struct mk_module *module;   /* whose work it is; NULL: ours */
    unsigned method;
    bool head, old, started, preflight;
    bool tls, is_unix, secure;
    bool *answered;             /* told while the handler runs; else NULL */
    int64_t began;              /* µs */
    struct target target;
    struct mk_timer *gone_timer;
    struct part parts[MAX_PARTS];
    size_t part_count;
    char *part_memory;
    struct mk_buf body;
    size_t buffered;
    size_t worker;
    size_t sent;                /* bytes of the answer's body, for the log */
    int status;
    mk_http_fn on_gone;
    void *on_gone_arg;
    char peer[INET6_ADDRSTRLEN];
};

extern const struct mk_http request_api;
void on_request(struct evhttp_request *ev, void *lane);
void request_free(struct request *rq);
/* The client has gone. */
void request_gone(struct request *rq);
/* An answer of our own, as JSON: {"error": "…"}. */
void answer_error(struct request *rq, int status);
void answer_set_header(struct mk_http_request *rq, const char *name, const char *value);
void answer_whole(struct mk_http_request *rq, int status, const char *type, struct mk_str body);
/* The same of what is compressed already (`encoding`: "gzip") or must not be (NULL). */
void answer_plain(struct request *rq, int status, const char *type, const char *encoding, struct mk_str body);
void answer_start(struct mk_http_request *rq, int status, const char *type);
bool answer_write(struct mk_http_request *rq, struct mk_str data);
void answer_end(struct mk_http_request *rq);
void answer_on_gone(struct mk_http_request *rq, mk_http_fn fn, void *arg);

/* -- gzip.c */
bool type_is_text(const char *type);
bool client_takes_gzip(const struct request *rq);
/* Appends; -1: it does not work, or does not pay. Any thread. */
int gzip(struct mk_buf *out, struct mk_str in, int level) MK_NODISCARD;

/* -- files.c */
int files_add(struct http *http, struct mk_module *m, const char *place, const struct mk_http_static *files,
              size_t count, struct mk_error *err);

static inline int64_t
clock_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

#endif
