/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The last lines of the log, in memory: for administrators who look at the server and not at its file. */
#include "config.h"

#include <pthread.h>

#include <meerkat/admin.h>

#include "log-internal.h"

#define KEPT 512

/* A line and its texts are one allocation. */
static struct mk_log_line *ring[KEPT];
static uint64_t last;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static const char *
put(char **at, const char *text)
{
    size_t size;
    char *here = *at;

    if (!text)
        return NULL;
    size = strlen(text) + 1;
    memcpy(here, text, size);
    *at += size;
    return here;
}

static size_t
room(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static struct mk_log_line *
copy(const struct mk_log_line *line)
{
    struct mk_log_line *made = mk_alloc(sizeof(*made) + room(line->module) + room(line->event) +
                                        room(line->text) + room(line->jid) + room(line->peer));
    char *at = (char *)(made + 1);

    *made = *line;
    made->module = put(&at, line->module);
    made->event = put(&at, line->event);
    made->text = put(&at, line->text);
    made->jid = put(&at, line->jid);
    made->peer = put(&at, line->peer);
    return made;
}

void
mki_log_tail_add(struct mk_log_line *line)
{
    struct mk_log_line *made = copy(line), *old;

    pthread_mutex_lock(&lock);
    made->number = ++last;
    old = ring[made->number % KEPT];
    ring[made->number % KEPT] = made;
    pthread_mutex_unlock(&lock);
    mk_free(old);
}

void
mk_log_tail(uint64_t after, size_t max, void (*fn)(const struct mk_log_line *line, void *arg), void *arg)
{
    struct mk_log_line *found[KEPT];
    uint64_t first;
    size_t count = 0;

    pthread_mutex_lock(&lock);
    first = last > KEPT ? last - KEPT + 1 : 1;
    if (last >= max && first < last - max + 1)
        first = last - max + 1;
    if (first <= after)
        first = after + 1;
    for (uint64_t n = first; n <= last && max; n++)
        found[count++] = copy(ring[n % KEPT]);
    pthread_mutex_unlock(&lock);
    for (size_t i = 0; i < count; i++) {
        fn(found[i], arg);
        mk_free(found[i]);
    }
}

void
mki_log_tail_free(void)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < KEPT; i++) {
        mk_free(ring[i]);
        ring[i] = NULL;
    }
    last = 0;
    pthread_mutex_unlock(&lock);
}
