/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Routes: which handler a method and a path have. A place's routes are one list, the more exact before the less, copied
 * and published whenever a module comes or goes; requests read it without a lock.
 */
#include "config.h"

#include "internal.h"

#include <ctype.h>

/* The next segment of a path or pattern: from *at to the slash or the end. False: there is none. */
static bool
next_segment(const char **at, struct mk_str *out)
{
    const char *end;

    if (**at != '/')
        return false;
    end = strchrnul(*at + 1, '/');
    *out = (struct mk_str){*at + 1, (size_t)(end - *at - 1)};
    *at = end;
    return true;
}

enum kind { LITERAL, NAMED, REST };

static enum kind
kind_of(struct mk_str segment)
{
    if (mk_str_is(segment, "{*}"))
        return REST;
    return segment.len > 2 && segment.p[0] == '{' ? NAMED : LITERAL;
}

/* -- the order ------------------------------------------------------------------------------- */

/* Below 0: `a` is more exact, or sorts before; 0: both mean the same paths. */
static int
compare(const char *a, const char *b)
{
    struct mk_str x, y;
    bool more_x, more_y;

    for (;;) {
        int order;

        more_x = next_segment(&a, &x);
        more_y = next_segment(&b, &y);
        if (!more_x || !more_y)
            return more_x - more_y;
        order = (int)kind_of(x) - (int)kind_of(y);
        if (order)
            return order;
        if (kind_of(x) != LITERAL)
            continue;
        order = memcmp(x.p, y.p, x.len < y.len ? x.len : y.len);
        if (order || x.len != y.len)
            return order ? order : x.len < y.len ? -1 : 1;
    }
}

static int
check_pattern(const char *pattern, bool *varies_out, struct mk_error *err)
{
    const char *at = pattern;
    struct mk_str s;
    size_t parts = 0;

    if (*pattern != '/')
        return mk_fail(err, "route '%s' does not begin with a slash", pattern);
    while (next_segment(&at, &s)) {
        enum kind kind = kind_of(s);

        if (kind == REST && *at)
            return mk_fail(err, "in route '%s' something follows {*}", pattern);
        if (kind == NAMED && s.p[s.len - 1] != '}')
            return mk_fail(err, "in route '%s' a brace is not closed", pattern);
        if (kind == LITERAL && (memchr(s.p, '{', s.len) || memchr(s.p, '}', s.len) || memchr(s.p, '%', s.len)))
            return mk_fail(err, "in route '%s' a part in braces is not a whole segment", pattern);
        parts += kind != LITERAL;
    }
    *varies_out = parts > 0;
    return parts > MAX_PARTS ? mk_fail(err, "route '%s' has more than %d parts", pattern, MAX_PARTS) : 0;
}

/* -- the list ---------------------------------------------------------------------------------- */

static void
publish(struct site *site, struct routes *now)
{
    struct routes *old = site->routes;

    __atomic_store_n(&site->routes, now, __ATOMIC_RELEASE);
    if (old)
        mk_rcu_defer(mk_free, old);
}

static void
route_free(void *thing)
{
    struct route *r = thing;

    mk_free(r->pattern);
    mk_free(r);
}

struct registered {
    struct site *site;
    struct route *route;
};

static void
route_undo(void *thing)
{
    struct registered *gone = thing;
    const struct routes *old = gone->site->routes;
    struct routes *now = mk_alloc(sizeof(*now) + old->count * sizeof(now->list[0]));

    now->count = 0;
    for (size_t i = 0; i < old->count; i++) {
        if (old->list[i] != gone->route)
            now->list[now->count++] = old->list[i];
    }
    publish(gone->site, now);
    mk_rcu_defer(route_free, gone->route);
    mk_free(gone);
}

static struct mk_counter
counter(struct site *s, const char *name, const char *label, const char *help)
{
    char *labels = mk_printf_new("place=\"%s\"%s", s->name, label);
    struct mk_counter c = mk_counter_new(s->http->module, name, labels, help);

    mk_free(labels);
    return c;
}

static void
make_metrics(struct site *s)
{
    static const char answers[] = "Requests that were answered", refused[] = "Connections and requests over a limit";
    struct site_metrics *m = &s->metrics;
    char *place = mk_printf_new("place=\"%s\"", s->name);

    for (size_t i = 0; i < MK_COUNT(m->answers); i++) {
        char label[] = ",status=\"0xx\"";

        label[9] = (char)('1' + i);
        m->answers[i] = counter(s, "http_requests_total", label, answers);
    }
    m->accepted = counter(s, "http_connections_total", "", "Connections that were accepted");
    m->bytes_in = counter(s, "http_received_bytes_total", "", "Bytes from clients");
    m->bytes_out = counter(s, "http_sent_bytes_total", "", "Bytes to clients");
    m->gone = counter(s, "http_requests_abandoned_total", "", "Requests whose client went before the answer");
    m->timeouts = counter(s, "http_timeouts_total", "", "Connections cut because a request or an answer took too long");
    m->refused_connections = counter(s, "http_refused_total", ",reason=\"connections\"", refused);
    m->refused_address = counter(s, "http_refused_total", ",reason=\"address\"", refused);
    m->refused_memory = counter(s, "http_refused_total", ",reason=\"memory\"", refused);
    m->refused_request = counter(s, "http_refused_total", ",reason=\"malformed\"", refused);
    m->tls[0] = mk_counter_new(s->http->module, "tls_handshakes_total", "for=\"http\",version=\"1.2\"",
                               "Connections that began TLS");
    m->tls[1] = mk_counter_new(s->http->module, "tls_handshakes_total", "for=\"http\",version=\"1.3\"",
                               "Connections that began TLS");
    m->tls_failed = mk_counter_new(s->http->module, "tls_failures_total", "for=\"http\"",
                                   "Connections on which TLS failed");
    m->connections = mk_gauge_new(s->http->module, "http_open_connections", place, "Connections that are open");
    m->seconds = mk_histogram_new(s->http->module, "http_request_seconds", place,
                                  "Time from the first byte of a request to its answer", 16, 0.000001);
    mk_free(place);
}

struct site *
site_of(struct http *http, const char *name)
{
    struct site *s;

    for (s = http->sites; s; s = s->next) {
        if (strcmp(s->name, name) == 0)
            return s;
    }
    s = mk_zalloc(sizeof(*s));
    s->http = http;
    s->name = mk_strdup(name);
    make_metrics(s);
    pthread_mutex_lock(&http->lock);
    s->next = http->sites;
    http->sites = s;
    pthread_mutex_unlock(&http->lock);
    return s;
}

static int
refuse_twice(const struct routes *old, const struct route *route, struct mk_error *err)
{
    for (size_t i = 0; old && i < old->count; i++) {
        const struct route *r = old->list[i];

        if ((r->methods & route->methods) && compare(r->pattern, route->pattern) == 0)
            return mk_fail(err, "route '%s' is there already: module '%s' has it", route->pattern,
                           mk_module_name(r->module));
    }
    return 0;
}

int
route_add(struct http *http, struct mk_module *m, const char *place, const struct route *route,
          struct mk_error *err)
{
    struct site *site = site_of(http, place);
    const struct routes *old = site->routes;
    size_t count = old ? old->count : 0, at = 0;
    struct registered *registered;
    struct routes *now;
    struct route *r;
    bool varies = false;

    if (check_pattern(route->pattern, &varies, err) < 0 || refuse_twice(old, route, err) < 0)
        return -1;
    r = mk_alloc(sizeof(*r));
    *r = *route;
    r->pattern = mk_strdup(route->pattern);
    r->module = m;
    r->varies = varies;
    now = mk_alloc(sizeof(*now) + (count + 1) * sizeof(now->list[0]));
    while (at < count && compare(old->list[at]->pattern, r->pattern) <= 0)
        at++;
    for (size_t i = 0; i < count; i++)
        now->list[i + (i >= at)] = old->list[i];
    now->list[at] = r;
    now->count = count + 1;
    publish(site, now);
    registered = mk_alloc(sizeof(*registered));
    *registered = (struct registered){site, r};
    mk_module_own(m, route_undo, registered);
    return 0;
}

void
routes_free(struct http *http)
{
    while (http->sites) {
        struct site *s = http->sites;

        http->sites = s->next;
        mk_free(s->routes);
        mk_free(s->name);
        mk_free(s);
    }
}

/* -- a request ----------------------------------------------------------------------------------- */

static bool
is_same(struct mk_str pattern, struct mk_str segment)
{
    char decoded[512];
    ssize_t len;

    if (!memchr(segment.p, '%', segment.len))
        return mk_str_eq(pattern, segment);
    if (segment.len >= sizeof(decoded))
        return false;
    len = percent_decode(decoded, segment.p, segment.len, false);
    return len >= 0 && mk_str_eq(pattern, (struct mk_str){decoded, (size_t)len});
}

static bool
matches(const char *pattern, const char *path)
{
    struct mk_str p, s;

    for (;;) {
        bool more = next_segment(&pattern, &p);

        if (more && kind_of(p) == REST)
            return *path == '/';
        if (more != next_segment(&path, &s))
            return false;
        if (!more)
            return true;
        if (kind_of(p) == NAMED ? s.len == 0 : !is_same(p, s))
            return false;
    }
}

struct match
route_find(const struct site *site, unsigned method, const char *path)
{
    const struct routes *routes = __atomic_load_n(&site->routes, __ATOMIC_ACQUIRE);
    struct match match = {NULL, 0};

    for (size_t i = 0; routes && i < routes->count; i++) {
        const struct route *r = routes->list[i];

        if (!matches(r->pattern, path))
            continue;
        match.allowed |= r->methods;
        if (r->methods & method) {
            match.route = r;
            break;
        }
    }
    return match;
}

size_t
route_parts(const struct route *route, const char *path, struct part parts[MAX_PARTS], char **memory_out)
{
    size_t name_bytes = strlen(route->pattern) + 1, count = 0;
    char *memory = mk_alloc(name_bytes + strlen(path) + MAX_PARTS + 1), *to = memory + name_bytes;
    const char *at = memory;
    struct mk_str p, s;

    /* The names outlive the route. */
    memcpy(memory, route->pattern, name_bytes);
    while (next_segment(&at, &p)) {
        enum kind kind = kind_of(p);

        if (kind == REST)
            s = mk_str_of(path + 1);
        else
            next_segment(&path, &s);
        if (kind == LITERAL)
            continue;
        parts[count++] = (struct part){p.p + 1, p.len - 2, to};
        to += percent_decode(to, s.p, s.len, false) + 1;
    }
    *memory_out = memory;
    return count;
}
