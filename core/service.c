/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Services by name; who got one uses its provider. Main thread, but for the router. */
#include "config.h"

#include <meerkat/router.h>

#include "log-internal.h"
#include "module-internal.h"

struct service {
    struct service *next;
    struct mk_module *provider;
    char *name;
    unsigned abi;
    const void *table;
};

static struct service *services, **services_end = &services;
static const struct mk_router *router;      /* atomic: the one service that the core uses */

static void
withdraw(void *thing)
{
    struct service *gone = thing;
    struct service **p = &services;

    while (*p != gone)
        p = &(*p)->next;
    *p = gone->next;
    if (!*p)
        services_end = p;
    if (router == gone->table)
        __atomic_store_n(&router, NULL, __ATOMIC_RELEASE);
    mk_free(gone->name);
    mk_free(gone);
}

int
mk_service_provide(struct mk_module *m, const char *name, unsigned abi, const void *table,
                   struct mk_error *err)
{
    struct service *s = mk_zalloc(sizeof(*s));

    (void)err;
    *s = (struct service){.provider = m, .name = mk_strdup(name), .abi = abi, .table = table};
    *services_end = s;
    services_end = &s->next;
    if (strcmp(name, "router") == 0)
        __atomic_store_n(&router, table, __ATOMIC_RELEASE);
    mki_own(m, withdraw, s);
    return 0;
}

static void
note_use(struct mk_module *m, struct mk_module *provider)
{
    for (size_t i = 0; i < m->use_count; i++) {
        if (m->uses[i] == provider)
            return;
    }
    if (m == provider)
        return;
    m->uses = mk_realloc(m->uses, (m->use_count + 1) * sizeof(*m->uses));
    m->uses[m->use_count++] = provider;
}

const void *
mk_service_nth(struct mk_module *m, const char *name, unsigned abi, size_t n)
{
    for (struct service *s = services; s; s = s->next) {
        if (strcmp(s->name, name) != 0 || s->abi != abi || n-- > 0)
            continue;
        note_use(m, s->provider);
        return s->table;
    }
    return NULL;
}

const void *
mk_service_get(struct mk_module *m, const char *name, unsigned abi, struct mk_error *err)
{
    const void *table = mk_service_nth(m, name, abi, 0);

    if (table)
        return table;
    for (struct service *s = services; s; s = s->next) {
        if (strcmp(s->name, name) == 0) {
            mk_fail(err, "service '%s' of module '%s' has interface %u, but %u is needed: rebuild the "
                    "module", name, mk_module_name(s->provider), s->abi, abi);
            return NULL;
        }
    }
    mk_fail(err, "no module provides service '%s'", name);
    return NULL;
}

struct mk_module *
mki_service_provider(const char *name)
{
    for (struct service *s = services; s; s = s->next) {
        if (strcmp(s->name, name) == 0)
            return s->provider;
    }
    return NULL;
}

void
mki_services_each(void (*fn)(const char *module, const char *name, unsigned abi, void *arg), void *arg)
{
    for (struct service *s = services; s; s = s->next)
        fn(mk_module_name(s->provider), s->name, s->abi, arg);
}

void
mki_services_forget(struct mk_module *m)
{
    mk_free(m->uses);
    m->uses = NULL;
    m->use_count = 0;
}

void
mk_route_from(struct mk_session *s, struct mk_stanza *st)
{
    const struct mk_router *r = __atomic_load_n(&router, __ATOMIC_ACQUIRE);

    if (r)
        r->route(r->self, s, st);
    else
        mki_log(MK_LOG_ERROR, "route.none", "a stanza is lost: no module routes");
}

void
mk_route(struct mk_stanza *st)
{
    mk_route_from(NULL, st);
}
