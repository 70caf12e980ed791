/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The virtual hosts: a fixed list, found by name. */
#include "config.h"

#include <meerkat/module.h>

#include "session-internal.h"

#define SLOTS_MAX 64

struct mk_host {
    size_t index;
    char *name;
    size_t name_len;
    void *slots[SLOTS_MAX];
};

static struct mk_host *hosts;
static size_t host_count;

void
mki_hosts_set(const struct mk_option_list *names)
{
    hosts = mk_zalloc((names->count + 1) * sizeof(*hosts));
    host_count = names->count;
    for (size_t i = 0; i < host_count; i++) {
        hosts[i].index = i;
        hosts[i].name = mk_strdup(names->items[i]);
        hosts[i].name_len = strlen(hosts[i].name);
    }
}

void
mki_hosts_free(void)
{
    for (size_t i = 0; i < host_count; i++)
        mk_free(hosts[i].name);
    mk_free(hosts);
    hosts = NULL;
    host_count = 0;
}

size_t
mki_host_count(void)
{
    return host_count;
}

size_t
mki_host_index(const struct mk_host *host)
{
    return host->index;
}

struct mk_host *
mk_host_find(struct mk_str domain)
{
    for (size_t i = 0; i < host_count; i++) {
        if (hosts[i].name_len == domain.len && memcmp(hosts[i].name, domain.p, domain.len) == 0)
            return &hosts[i];
    }
    return NULL;
}

struct mk_host *
mk_host_nth(size_t n)
{
    return n < host_count ? &hosts[n] : NULL;
}

const char *
mk_host_name(const struct mk_host *host)
{
    return host->name;
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
