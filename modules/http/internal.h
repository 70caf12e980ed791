/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Module http: what its files share. */
#ifndef HTTP_INTERNAL_H
#define HTTP_INTERNAL_H

#include <arpa/inet.h>
#include <pthread.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>

#include <meerkat/http.h>
#include <meerkat/meerkat.h>
#include <meerkat/tls.h>

struct http_conf {
    struct mk_option_list listen, listen_tls;
};

#define MAX_LISTENERS 16
#define MAX_PARTS 16            /* of a pattern that vary */
#define MAX_PARAMETERS 128      /* of a query */

struct http;

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

/* A name of places: routes may be there before the listeners are. Never freed before the module goes. */
struct site {
    struct site *next;
    struct http *http;
    char *name;
    struct routes *routes;      /* RCU; NULL: none */
    struct place *place;        /* under http's lock */
};

struct site *site_of(struct http *http, const char *name);
int route_add(struct http *http, struct mk_module *m, const char *place, const struct route *route,
              struct mk_error *err);
/* What varies in a path: the name's place in the pattern, and the value's in the path. */
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
/* Splits `path` by the pattern: the parts, with values decoded in memory of their own (*memory_out, freed by mk_free). */
size_t route_parts(const struct route *route, const char *path, struct part parts[MAX_PARTS], char **memory_out);
void routes_free(struct http *http);

/* -- text.c: percent-encoding */

/* Decodes `in` to `out` (of len + 1 bytes); `plus`: + is a space. The length, or -1: malformed, or a NUL byte. */
ssize_t percent_decode(char *out, const char *in, size_t len, bool plus);
/* A path that may be answered: begins with a slash, is well encoded, goes nowhere up. */
bool path_is_good(const char *path, size_t len);

/* -- place.c: listeners */

struct lane {                   /* what a place has on one worker */
    struct place *place;
    struct mk_worker *worker;
    struct evhttp *plain, *tls;
};

struct place {
    struct site *site;
    struct http *http;
    struct mk_module *owner;
    uint64_t max_body;
    size_t count;
    struct place_listener {
        struct mk_listener *socket;
        bool tls;
    } listeners[MAX_LISTENERS];
    struct lane *lanes;
};

int place_open(struct http *http, struct mk_module *m, const struct mk_http_place *what, struct mk_error *err);
unsigned place_port(struct http *http, const char *name, bool tls);

/* -- request.c, answer.c */

struct parameter {
    const char *name, *value;
};

struct request {
    struct mk_http_request base;
    struct lane *lane;
    struct evhttp_request *ev;
    struct mk_module *module;   /* whose work it is; NULL: ours */
    unsigned method;
    bool head, started, gone, tls, is_unix, secure;
    char peer[INET6_ADDRSTRLEN];
    bool *answered;             /* told while the handler runs; else NULL */
    char *path;                 /* decoded */
    char *raw_path;
    struct part parts[MAX_PARTS];
    size_t part_count;
    char *part_memory;
    char *query_memory;
    struct parameter *query;
    size_t query_count;
    mk_http_fn on_gone;
    void *on_gone_arg;
};

extern const struct mk_http request_api;
void on_request(struct evhttp_request *ev, void *lane);
void request_free(struct request *rq);
/* An answer of our own, as JSON: {"error": "…"}. */
void answer_error(struct request *rq, int status);
void answer_set_header(struct mk_http_request *rq, const char *name, const char *value);
void answer_whole(struct mk_http_request *rq, int status, const char *type, struct mk_str body);
void answer_start(struct mk_http_request *rq, int status, const char *type);
bool answer_write(struct mk_http_request *rq, struct mk_str data);
void answer_end(struct mk_http_request *rq);
void answer_on_gone(struct mk_http_request *rq, mk_http_fn fn, void *arg);

struct http {
    struct mk_module *module;
    const struct mk_tls *tls;
    struct mk_http service;
    pthread_mutex_t lock;       /* of the sites' places: for `port` */
    struct site *sites;
};

static inline const struct http_conf *
conf_of(const struct http *http)
{
    return mk_module_conf(http->module, NULL);
}

#endif
