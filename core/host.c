/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The virtual hosts: those of the configuration, and those that come and go while the server runs. A host's structure stays
 * until the end; one that went is only not found any more. Readers take no lock: they probe a table that the main
 * thread fills, and that gets a larger successor before it is half full.
 */
#include "config.h"

#include <meerkat/admin.h>
#include <meerkat/hook.h>

#include "log-internal.h"
#include "module-internal.h"
#include "session-internal.h"

#define SLOTS_MAX 64
#define TABLE_MIN 16u

struct mk_host {
    size_t index;
    char *name;
    size_t name_len;
    uint64_t hash;
    bool fixed;                 /* it is in the configuration */
    bool gone;                  /* atomic */
    void *slots[SLOTS_MAX];
};

struct table {
    struct table *older;        /* kept: somebody may still read it. Together they are as large as this one. */
    size_t mask;
    struct mk_host *places[];   /* atomic */
};

static struct mk_host **hosts;  /* all there ever were, by index; main thread */
static size_t host_count;
static size_t fixed_count;      /* of the configuration: the first ones */
static struct table *table;     /* atomic */

static void
enter(struct table *t, struct mk_host *host)
{
    size_t i = host->hash & t->mask;

    while (t->places[i])
        i = (i + 1) & t->mask;
    __atomic_store_n(&t->places[i], host, __ATOMIC_RELEASE);
}

static void
grow(size_t size)
{
    struct table *t = mk_zalloc(sizeof(*t) + size * sizeof(t->places[0]));

    t->older = table;
    t->mask = size - 1;
    for (size_t i = 0; i < host_count; i++)
        enter(t, hosts[i]);
    __atomic_store_n(&table, t, __ATOMIC_RELEASE);
}

static struct mk_host *
host_new(const char *name, bool fixed)
{
    struct mk_host *host = mk_zalloc(sizeof(*host));

    host->index = host_count;
    host->name = mk_strdup(name);
    host->name_len = strlen(name);
    host->hash = mk_hash(name, host->name_len);
    host->fixed = fixed;
    if (!table || (host_count + 1) * 2 > table->mask)
        grow(table ? (table->mask + 1) * 2 : TABLE_MIN);
    hosts = mk_realloc(hosts, (host_count + 1) * sizeof(struct mk_host *));
    hosts[host_count++] = host;
    enter(table, host);
    return host;
}

void
mki_hosts_set(const struct mk_option_list *names)
{
    for (size_t i = 0; i < names->count; i++)
        (void)host_new(names->items[i], true);
    fixed_count = names->count;
}

void
mki_hosts_free(void)
{
    for (size_t i = 0; i < host_count; i++) {
        mk_free(hosts[i]->name);
        mk_free(hosts[i]);
    }
    mk_free(hosts);
    hosts = NULL;
    host_count = fixed_count = 0;
    while (table) {
        struct table *older = table->older;

        mk_free(table);
        table = older;
    }
}

size_t
mki_host_count(void)
{
    return host_count;
}

struct mk_host *
mki_host_at(size_t index)
{
    return hosts[index];
}

size_t
mki_host_index(const struct mk_host *host)
{
    return host->index;
}

/* Also one that went. */
static struct mk_host *
find(struct mk_str domain)
{
    const struct table *t = __atomic_load_n(&table, __ATOMIC_ACQUIRE);
    uint64_t hash = mk_hash(domain.p, domain.len);
    struct mk_host *host;

    if (!t)
        return NULL;
    for (size_t i = hash & t->mask; (host = __atomic_load_n(&t->places[i], __ATOMIC_ACQUIRE)); i = (i + 1) & t->mask) {
        if (host->hash == hash && host->name_len == domain.len && memcmp(host->name, domain.p, domain.len) == 0)
            return host;
    }
    return NULL;
}

struct mk_host *
mk_host_find(struct mk_str domain)
{
    struct mk_host *host = find(domain);

    return host && !__atomic_load_n(&host->gone, __ATOMIC_ACQUIRE) ? host : NULL;
}

struct mk_host *
mk_host_nth(size_t n)
{
    return n < fixed_count ? hosts[n] : NULL;
}

const char *
mk_host_name(const struct mk_host *host)
{
    return host->name;
}

bool
mk_host_is_fixed(const struct mk_host *host)
{
    return host->fixed;
}

static void
tell(const char *event, const struct mk_host *host)
{
    struct mk_event_host e = {.size = sizeof(e), .host = (struct mk_host *)host};

    mk_publish(mki_core_module(), event, &e, sizeof(e));
}

struct mk_host *
mk_host_add(const char *domain)
{
    struct mk_host *host = find(mk_str_of(domain));

    if (!host)
        host = host_new(domain, false);
    else if (!__atomic_exchange_n(&host->gone, false, __ATOMIC_ACQ_REL))
        return host;
    mki_log(MK_LOG_INFO, "host.added", "domain '%s' is served from now on", domain);
    tell("host_added", host);
    return host;
}

int
mk_host_remove(const char *domain, struct mk_error *err)
{
    struct mk_host *host = find(mk_str_of(domain));

    if (!host || __atomic_load_n(&host->gone, __ATOMIC_ACQUIRE))
        return mk_fail(err, "there is no domain '%s'", domain);
    if (host->fixed)
        return mk_fail(err, "domain '%s' is in the configuration", domain);
    __atomic_store_n(&host->gone, true, __ATOMIC_RELEASE);
    mki_log(MK_LOG_INFO, "host.removed", "domain '%s' is not served any more", domain);
    tell("host_removed", host);
    return 0;
}

void
mk_host_each(void (*fn)(struct mk_host *host, void *arg), void *arg)
{
    for (size_t i = 0; i < host_count; i++) {
        if (!__atomic_load_n(&hosts[i]->gone, __ATOMIC_ACQUIRE))
            fn(hosts[i], arg);
    }
}

void
mk_host_slot_set(struct mk_host *h, unsigned slot, void *data)
{
    MK_ASSERT(slot < SLOTS_MAX);
    h->slots[slot] = data;
}

void *
mk_host_slot(const struct mk_host *h, unsigned slot)
{
    return slot < SLOTS_MAX ? h->slots[slot] : NULL;
}
