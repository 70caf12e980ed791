/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Making connections, on a thread: looking up names blocks in libpq, and TLS takes its time. After a
 * failure it waits longer each time, by a random part of it, so that the nodes of a cluster do
 * not come back all at once.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <time.h>

#include "priv.h"

#define RETRY_MIN_MS 250
#define RETRY_MAX_MS 15000

int
connect_wait(struct pgsql *p, PGconn *pg, short events, int timeout)
{
    struct pollfd fds[] = {{.fd = PQsocket(pg), .events = events},
                           {.fd = p->cancel_fd, .events = POLLIN}};
    int rc;

    do
        rc = poll(fds, MK_COUNT(fds), timeout);
    while (rc < 0 && errno == EINTR);
    return rc <= 0 || fds[1].revents ? -1 : 0;
}

static void
ignore_notice(void *arg, const PGresult *res)
{
    (void)arg;
    (void)res;
}

static void
add_settings(struct pgsql *p, bool session, char *out, size_t size)
{
    /* Times without a zone are UTC in all of our tables. */
    snprintf(out, size, "-c timezone=UTC -c bytea_output=hex -c statement_timeout=%llu",
             session ? 0ULL : (unsigned long long)p->statement_timeout);
}

static int
negotiate(struct pgsql *p, PGconn *pg, struct mk_error *err)
{
    uint64_t end = mk_now_ms() + (uint64_t)p->connect_timeout;
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;

    while (state != PGRES_POLLING_OK) {
        uint64_t now = mk_now_ms();

        if (state == PGRES_POLLING_FAILED || PQstatus(pg) == CONNECTION_BAD)
            return mk_fail(err, "%s", PQerrorMessage(pg));
        if (now >= end || connect_wait(p, pg, state == PGRES_POLLING_READING ? POLLIN : POLLOUT,
                                       (int)(end - now)) < 0)
            return mk_fail(err, "no answer in time");
        state = PQconnectPoll(pg);
    }
    return 0;
}

/* libpq's messages have several lines. */
static void
one_line(char *text)
{
    size_t len = strlen(text);

    while (len && text[len - 1] == '\n')
        text[--len] = '\0';
    for (char *c = text; *c; c++)
        *c = *c == '\n' || *c == '\t' ? ' ' : *c;
}

PGconn *
connect_now(struct pgsql *p, bool session, struct mk_error *err)
{
    const char *keywords[PARAMS_MAX + 1], *values[PARAMS_MAX + 1];
    char settings[128];
    size_t n = p->param_count;
    PGconn *pg;

    add_settings(p, session, settings, sizeof(settings));
    memcpy(keywords, p->keywords, n * sizeof(*keywords));
    memcpy(values, p->values, n * sizeof(*values));
    keywords[n] = "options";
    values[n++] = settings;
    keywords[n] = values[n] = NULL;
    pg = PQconnectStartParams(keywords, values, 0);
    if (!pg) {
        mk_fail(err, "no memory");
        return NULL;
    }
    if (negotiate(p, pg, err) < 0) {
        PQfinish(pg);
        one_line(err->text);
        return NULL;
    }
    PQsetNoticeReceiver(pg, ignore_notice, NULL);
    return pg;
}

/* -- the thread ------------------------------------------------------------------------------ */

static void
retry_time(unsigned failures, struct timespec *at)
{
    uint64_t ms = (uint64_t)RETRY_MIN_MS << (failures > 7 ? 7 : failures);
    uint16_t dice;

    if (ms > RETRY_MAX_MS)
        ms = RETRY_MAX_MS;
    mk_random(&dice, sizeof(dice));
    ms = ms / 2 + dice % (ms / 2);
    clock_gettime(CLOCK_MONOTONIC, at);
    at->tv_sec += (time_t)(ms / 1000);
    at->tv_nsec += (long)(ms % 1000) * 1000000;
    if (at->tv_nsec >= 1000000000) {
        at->tv_sec++;
        at->tv_nsec -= 1000000000;
    }
}

/* Waits for a connection that is wanted, and after failures for the time to try. NULL: stop. */
static struct conn *
next_wanted(struct connector *k)
{
    struct timespec at;
    struct conn *c;
    int rc = 0;

    pthread_mutex_lock(&k->lock);
    while (!k->stopping && !k->wanted)
        pthread_cond_wait(&k->wake, &k->lock);
    if (k->failures)
        retry_time(k->failures, &at);
    while (!k->stopping && k->failures && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&k->wake, &k->lock, &at);
    c = k->stopping ? NULL : k->wanted;
    if (c)
        k->wanted = c->next_wanted;
    pthread_mutex_unlock(&k->lock);
    return c;
}

static void
failed(struct pgsql *p, struct conn *c, const struct mk_error *err)
{
    struct connector *k = &p->connector;
    bool stopping;

    pthread_mutex_lock(&k->lock);
    k->failures++;
    c->next_wanted = k->wanted;
    k->wanted = c;
    stopping = k->stopping;
    pthread_mutex_unlock(&k->lock);
    if (stopping)
        return;
    mk_log(p->module, MK_LOG_WARN, "rdbms_pgsql.connect", "cannot connect to the database: %s",
           err->text);
    if (!__atomic_exchange_n(&p->away, true, __ATOMIC_ACQ_REL))
        lanes_away(p);
}

static void
connected(struct pgsql *p, struct conn *c, PGconn *pg)
{
    bool was_away = __atomic_exchange_n(&p->away, false, __ATOMIC_ACQ_REL);

    pthread_mutex_lock(&p->connector.lock);
    p->connector.failures = 0;
    pthread_mutex_unlock(&p->connector.lock);
    mk_counter_add(p->connects, 1);
    __atomic_add_fetch(&p->open, 1, __ATOMIC_RELAXED);
    c->fresh = pg;
    mk_post(p->module, mk_worker_nth((size_t)(c->lane - p->lanes)), conn_connected, c);
    if (was_away) {
        mk_log(p->module, MK_LOG_INFO, "rdbms_pgsql.connected", "the database is there again");
        p->front->changed(p->front->self);
    }
}

static void *
thread_main(void *arg)
{
    struct pgsql *p = arg;
    struct conn *c;

    while ((c = next_wanted(&p->connector))) {
        struct mk_error err = {""};
        PGconn *pg = connect_now(p, false, &err);

        if (pg)
            connected(p, c, pg);
        else
            failed(p, c, &err);
    }
    return NULL;
}

void
connect_want(struct conn *c)
{
    struct connector *k = &c->lane->pgsql->connector;
    struct conn **end = &k->wanted;

    pthread_mutex_lock(&k->lock);
    while (*end)
        end = &(*end)->next_wanted;
    c->next_wanted = NULL;
    *end = c;
    /* A connection that ends as soon as it is made is not to be made over and over again. */
    if (c->since && mk_now_ms() - c->since < 1000)
        k->failures++;
    pthread_cond_signal(&k->wake);
    pthread_mutex_unlock(&k->lock);
}

int
connector_start(struct pgsql *p, struct mk_error *err)
{
    int rc = mk_thread_start(&p->connector.thread, "pgsql-connector", thread_main, p);

    p->connector.has_thread = rc == 0;
    return rc ? mk_fail(err, "cannot start a thread: %s", strerror(rc)) : 0;
}

void
connector_stop(struct pgsql *p)
{
    struct connector *k = &p->connector;

    if (!k->has_thread)
        return;
    pthread_mutex_lock(&k->lock);
    k->stopping = true;
    pthread_cond_signal(&k->wake);
    pthread_mutex_unlock(&k->lock);
    session_cancel(p);
    pthread_join(k->thread, NULL);
    k->has_thread = false;
}
