/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Discovery by a file that lists the nodes of the cluster, for clusters without a table of them in a database. It is looked at
 * now and then, off the workers, and read anew when it has changed. A file that cannot be read, or makes no sense, changes
 * nothing: the list that was read last stays.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <meerkat/discovery.h>
#include <meerkat/meerkat.h>

#define FILE_MAX (4u << 20)         /* bytes of a file that is read */
#define LINE_MAX_BYTES 1024u

struct conf {
    char *file;
    uint64_t interval;
};

static const struct mk_option options[] = {
    MK_OPTION_PATH(struct conf, file, NULL, MK_OPT_REQUIRED | MK_OPT_RELOADABLE,
                   "the file: a line NUMBER NAME IP:PORT for each node of the cluster, this one among them"),
    MK_OPTION_PERIOD(struct conf, interval, "2s", "100ms", "1h", MK_OPT_RELOADABLE,
                     "time between looks whether the file has changed"),
    MK_OPTION_END};

struct list {
    struct mk_discovered *nodes;
    size_t count, room;
};

/* One look at the file, off the workers. */
struct look {
    struct discovery *d;
    char *path;
    struct stat before, stat;
    bool changed;               /* `list` is what it says now */
    struct list list;
    char error[200];            /* "": none */
};

struct discovery {
    struct mk_module *module;
    struct mk_discovery service;
    struct mk_counter failures;
    struct mk_timer *timer;
    char *name;
    mk_discovery_fn fn;
    void *arg;
    struct list list;
    uint32_t number;            /* 0: this node was never in the list */
    struct stat stat;           /* of what was read last */
    char error[200];            /* of the last look, for the log */
    const char *trouble;        /* atomic */
    bool leaving;
};

/* -- the file --------------------------------------------------------------------------------- */

static void
list_free(struct list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        mk_free((char *)(uintptr_t)list->nodes[i].name);
        mk_free((char *)(uintptr_t)list->nodes[i].address);
    }
    mk_free(list->nodes);
    *list = (struct list){NULL, 0, 0};
}

/* "192.0.2.7:5290" or "[2001:db8::7]:5290". */
static bool
is_address(const char *text)
{
    const char *colon = strrchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : 0;
    struct in6_addr address;
    char host[64], *end;
    unsigned long port;

    if (!colon || len == 0 || len >= sizeof(host) || colon[1] < '0' || colon[1] > '9')
        return false;
    port = strtoul(colon + 1, &end, 10);
    if (*end || port == 0 || port > 65535)
        return false;
    memcpy(host, text, len);
    host[len] = '\0';
    if (host[0] != '[')
        return inet_pton(AF_INET, host, &address) == 1;
    if (host[len - 1] != ']')
        return false;
    host[len - 1] = '\0';
    return inet_pton(AF_INET6, host + 1, &address) == 1;
}

static const struct mk_discovered *
same_as(const struct list *list, const char *name, unsigned number)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->nodes[i].number == number || strcmp(list->nodes[i].name, name) == 0)
            return &list->nodes[i];
    }
    return NULL;
}

static void
list_add(struct list *list, const char *name, const char *address, unsigned number)
{
    if (list->count == list->room) {
        list->room = list->room ? list->room * 2 : 16;
        list->nodes = mk_realloc(list->nodes, list->room * sizeof(*list->nodes));
    }
    list->nodes[list->count++] = (struct mk_discovered){mk_strdup(name), mk_strdup(address), number};
}

/* One line without its end; NULL, or what is wrong with it. */
static const char *
take_line(struct list *list, char *line)
{
    char *save, *number, *name, *address, *end;
    unsigned long n;

    line[strcspn(line, "#\r")] = '\0';
    number = strtok_r(line, " \t", &save);
    if (!number)
        return NULL;
    name = strtok_r(NULL, " \t", &save);
    address = strtok_r(NULL, " \t", &save);
    if (!name || !address || strtok_r(NULL, " \t", &save))
        return "not NUMBER NAME IP:PORT";
    n = number[0] >= '0' && number[0] <= '9' ? strtoul(number, &end, 10) : 0;
    if (n == 0 || n > MK_NODE_NUMBER_MAX || *end)
        return "the number is not one from 1 to 65535";
    if (strlen(name) > MK_NODE_NAME_MAX)
        return "the name is too long";
    if (!is_address(address))
        return "the address is not IP:PORT";
    if (same_as(list, name, (unsigned)n))
        return "its name or its number is in an earlier line as well";
    list_add(list, name, address, (unsigned)n);
    return NULL;
}

static int
by_number(const void *a, const void *b)
{
    const struct mk_discovered *x = a, *y = b;

    return (x->number > y->number) - (x->number < y->number);
}

static void
read_lines(struct look *l, FILE *f)
{
    char line[LINE_MAX_BYTES];
    unsigned at = 0;
    const char *why;

    while (!l->error[0] && fgets(line, sizeof(line), f)) {
        size_t len = strlen(line);

        at++;
        if (len && line[len - 1] == '\n')
            line[len - 1] = '\0';
        why = len == sizeof(line) - 1 ? "too long" : take_line(&l->list, line);
        if (why)
            snprintf(l->error, sizeof(l->error), "line %u: %s", at, why);
    }
    if (ferror(f))
        snprintf(l->error, sizeof(l->error), "%s", strerror(errno));
    if (l->list.count)
        qsort(l->list.nodes, l->list.count, sizeof(*l->list.nodes), by_number);
    l->changed = !l->error[0];
}

static bool
is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* On the pool: files may be slow. */
static void
look_at_file(void *arg)
{
    struct look *l = arg;
    FILE *f = fopen(l->path, "re");

    if (!f || fstat(fileno(f), &l->stat) < 0)
        snprintf(l->error, sizeof(l->error), "%s", strerror(errno));
    else if (!S_ISREG(l->stat.st_mode) || l->stat.st_size > (off_t)FILE_MAX)
        snprintf(l->error, sizeof(l->error), "not a file of at most %u bytes", FILE_MAX);
    else if (!is_same(&l->before, &l->stat))
        read_lines(l, f);
    if (f)
        fclose(f);
}

/* -- the service ------------------------------------------------------------------------------ */

static void look(void *arg);

static void
next_look(struct discovery *d)
{
    const struct conf *conf = mk_module_conf(d->module, NULL);

    if (!d->leaving)
        d->timer = mk_timer_new(d->module, conf->interval, look, d);
}

/* Said once for each kind of trouble, and when it is over. */
static void
note(struct discovery *d, const struct look *l)
{
    const char *trouble = l->error[0] ? "the file cannot be read" : d->number ? NULL : "this node is not in the file";

    if (l->error[0]) {
        mk_counter_add(d->failures, 1);
        if (strcmp(l->error, d->error) != 0)
            mk_log(d->module, MK_LOG_ERROR, "discovery.trouble", "'%s': %s; the nodes that are known stay", l->path, l->error);
    } else if (d->error[0]) {
        mk_log(d->module, MK_LOG_INFO, "discovery.back", "'%s' can be read again", l->path);
    }
    snprintf(d->error, sizeof(d->error), "%s", l->error);
    __atomic_store_n(&d->trouble, trouble, __ATOMIC_RELEASE);
}

static const struct mk_discovered *
own_line(const struct discovery *d)
{
    for (size_t i = 0; i < d->list.count; i++) {
        if (strcmp(d->list.nodes[i].name, d->name) == 0)
            return &d->list.nodes[i];
    }
    return NULL;
}

static void
take_list(struct discovery *d, struct look *l)
{
    const struct mk_discovered *own;

    list_free(&d->list);
    d->list = l->list;
    l->list = (struct list){NULL, 0, 0};
    d->stat = l->stat;
    own = own_line(d);
    if (own)
        d->number = own->number;
    else
        mk_log(d->module, MK_LOG_ERROR, "discovery.missing", d->number ?
               "'%s' has no line for this node, '%s', any more; it goes on" :
               "'%s' has no line for this node, '%s': it waits for one", l->path, d->name);
    mk_log(d->module, MK_LOG_INFO, "discovery.read", "'%s' has %zu nodes", l->path, d->list.count);
}

static void
looked(void *arg)
{
    struct look *l = arg;
    struct discovery *d = l->d;

    if (!d->leaving) {
        if (l->changed)
            take_list(d, l);
        note(d, l);
        if (!l->error[0])
            d->fn(d->list.nodes, d->list.count, d->number, d->arg);
        next_look(d);
    }
    list_free(&l->list);
    mk_free(l->path);
    mk_free(l);
}

static void
look(void *arg)
{
    struct discovery *d = arg;
    const struct conf *conf = mk_module_conf(d->module, NULL);
    struct look *l = mk_zalloc(sizeof(*l));

    d->timer = NULL;
    l->d = d;
    l->path = mk_strdup(conf->file);
    l->before = d->stat;
    if (mk_offload(d->module, look_at_file, looked, l) == 0)
        return;
    mk_free(l->path);
    mk_free(l);
    next_look(d);
}

static void
svc_join(void *self, struct mk_module *m, const struct mk_discovery_self *node, mk_discovery_fn fn, void *arg)
{
    struct discovery *d = self;

    (void)m;
    MK_ASSERT(!d->fn);
    d->name = mk_strdup(node->name);
    d->fn = fn;
    d->arg = arg;
    look(d);
}

static void
svc_leave(void *self, void (*done)(void *arg), void *arg)
{
    struct discovery *d = self;

    d->leaving = true;
    mk_timer_free(&d->timer);
    mk_defer(d->module, done, arg);
}

static const char *
svc_trouble(void *self)
{
    return __atomic_load_n(&((struct discovery *)self)->trouble, __ATOMIC_ACQUIRE);
}

/* -- life cycle ------------------------------------------------------------------------------- */

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct discovery *d = mk_zalloc(sizeof(*d));

    mk_module_set(m, d);
    d->module = m;
    d->failures = mk_counter_new(m, "discovery_failures_total", NULL, "Looks at the file of nodes that failed");
    d->service = (struct mk_discovery){.size = sizeof(d->service), .self = d, .join = svc_join, .leave = svc_leave,
                                       .trouble = svc_trouble};
    return mk_service_provide(m, "discovery", MK_DISCOVERY_ABI, &d->service, err);
}

static void
unload(struct mk_module *m)
{
    struct discovery *d = mk_module_get(m);

    if (!d)
        return;
    list_free(&d->list);
    mk_free(d->name);
    mk_free(d);
}

MK_MODULE(.name = "discovery_file", .version = "1.0", .summary = "Finds the nodes of a cluster in a file",
          .provides = (const char *const[]){"discovery", NULL}, .options = options, .conf_size = sizeof(struct conf),
          .init = init, .unload = unload);
