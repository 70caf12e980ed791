/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Features that modules advertise (XEP-0030), those of IQ handlers included. */
#include "config.h"

#include <pthread.h>
#include <stdlib.h>

#include "iq-internal.h"
#include "module-internal.h"

struct feature {
    struct feature *next;
    unsigned to;
    char *ns;
};

struct found {
    const char **list;
    size_t count, cap;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct feature *features;

static void
withdraw(void *thing)
{
    struct feature *gone = thing, **p;

    pthread_mutex_lock(&lock);
    for (p = &features; *p != gone; p = &(*p)->next)
        ;
    *p = gone->next;
    pthread_mutex_unlock(&lock);
    mk_free(gone->ns);
    mk_free(gone);
}

int
mk_feature_add(struct mk_module *m, unsigned to, const char *ns)
{
    struct feature *f = mk_zalloc(sizeof(*f));

    f->to = to;
    f->ns = mk_strdup(ns);
    pthread_mutex_lock(&lock);
    f->next = features;
    features = f;
    pthread_mutex_unlock(&lock);
    mki_own(m, withdraw, f);
    return 0;
}

static void
add(const char *ns, void *arg)
{
    struct found *found = arg;

    if (found->count == found->cap) {
        found->cap = found->cap ? found->cap * 2 : 64;
        found->list = mk_realloc(found->list, found->cap * sizeof(*found->list));
    }
    found->list[found->count++] = ns;
}

static int
by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void
mk_feature_each(unsigned to, void (*fn)(const char *ns, void *arg), void *arg)
{
    struct found found = {NULL, 0, 0};

    pthread_mutex_lock(&lock);
    for (struct feature *f = features; f; f = f->next) {
        if (f->to & to)
            add(f->ns, &found);
    }
    mki_iq_features(to, add, &found);
    if (found.count)
        qsort(found.list, found.count, sizeof(*found.list), by_text);
    for (size_t i = 0; i < found.count; i++) {
        if (i == 0 || strcmp(found.list[i - 1], found.list[i]) != 0)
            fn(found.list[i], arg);
    }
    pthread_mutex_unlock(&lock);
    mk_free(found.list);
}
