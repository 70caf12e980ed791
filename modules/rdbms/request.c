/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * A request's way: checked, copied, counted, given to the driver (or held until the tables are
 * there), and told to whoever asked, on the same worker. A request that took too long is told
 * "unavailable" then; it is freed, and leaves the limits, only when the driver gives it back.
 */
#include "config.h"

#include <time.h>

#include <meerkat/log.h>

#include "priv.h"

/* Of a clock that never jumps. */
static uint64_t
now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* -- making ---------------------------------------------------------------------------------- */

/* RFC 3629: shortest forms, no surrogates, nothing above U+10FFFF; and no NUL, which PostgreSQL
 * cannot store and SQLite would cut at. */
static bool
is_text(struct mk_str s)
{
    const unsigned char *p = (const unsigned char *)s.p;

    for (size_t i = 0; i < s.len;) {
        size_t more = p[i] < 0x80 ? 0 : p[i] < 0xe0 ? 1 : p[i] < 0xf0 ? 2 : 3;
        uint32_t c = more == 0 ? p[i] : p[i] & (0x3fu >> more);
        static const uint32_t least[] = {1, 0x80, 0x800, 0x10000};

        if ((p[i] >= 0x80 && p[i] < 0xc2) || p[i] > 0xf4 || s.len - i <= more)
            return false;
        for (size_t k = 1; k <= more; k++) {
            if ((p[i + k] & 0xc0) != 0x80)
                return false;
            c = c << 6 | (p[i + k] & 0x3f);
        }
        if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
            return false;
        i += more + 1;
    }
    return true;
}

static size_t
value_size(const struct mk_sql_value *v)
{
    return v->type == MK_SQL_TEXT || v->type == MK_SQL_BYTES ? v->s.len + 1 : 0;
}

/* Bytes that the values of a call need; says what is wrong with them. */
static const char *
measure(const struct call *call, size_t *values_out, size_t *bytes_out)
{
    size_t values = 0, bytes = 0;

    for (size_t i = 0; i < call->count; i++) {
        const struct mk_sql_step *step = &call->steps[i];

        for (uint32_t k = 0; k < step->text->params; k++) {
            const struct mk_sql_value *v = &step->values[k];

            if (v->type == MK_SQL_TEXT && !is_text(v->s))
                return "a text value is not UTF-8 or contains NUL";
            if (value_size(v) > INT32_MAX)
                return "a value is too large";
            bytes += value_size(v);
        }
        values += step->text->params;
    }
    *values_out = values;
    *bytes_out = bytes;
    return NULL;
}

/* One block: request, steps, values, bytes. `values` and `bytes` 0 leaves the steps out. */
static struct request *
request_new(struct rdbms *f, const struct call *call, size_t values, size_t bytes)
{
    size_t size = sizeof(struct request) + call->count * sizeof(struct mk_sql_step) +
                  values * sizeof(struct mk_sql_value) + bytes;
    struct request *q = mk_alloc(size);

    memset(q, 0, sizeof(*q));
    q->r.size = sizeof(q->r);
    q->r.worker = (uint32_t)mk_worker_index(mk_worker_self());
    q->rdbms = f;
    q->owner = call->owner;
    q->module = call->module;
    q->fn = call->fn;
    q->arg = call->arg;
    q->bytes = size;
    q->began = now_us();
    mk_module_enter(q->module);
    return q;
}

static void
copy_steps(struct request *q, const struct call *call, size_t values)
{
    struct mk_sql_step *steps = (struct mk_sql_step *)(q + 1);
    struct mk_sql_value *v = (struct mk_sql_value *)(steps + call->count);
    char *p = (char *)(v + values);

    for (size_t i = 0; i < call->count; i++) {
        steps[i] = (struct mk_sql_step){.text = call->steps[i].text, .values = v};
        for (uint32_t k = 0; k < call->steps[i].text->params; k++, v++) {
            *v = call->steps[i].values[k];
            if (value_size(v) == 0)
                continue;
            if (v->s.len)
                memcpy(p, v->s.p, v->s.len);
            p[v->s.len] = '\0';
            v->s.p = p;
            p += v->s.len + 1;
        }
    }
    q->r.steps = steps;
    q->r.step_count = call->count;
}

/* -- answering ------------------------------------------------------------------------------- */

static void
request_free(struct request *q)
{
    struct lane *lane = &q->rdbms->lanes[q->r.worker];

    if (q->counted) {
        *(q->older ? &q->older->newer : &lane->oldest) = q->newer;
        *(q->newer ? &q->newer->older : &lane->newest) = q->older;
        lane->count--;
        lane->bytes -= q->bytes;
        mk_gauge_add(q->rdbms->queue, -1);
    }
    mk_buf_release(&q->r.answer.cells);
    mk_module_leave(q->module);
    mk_free(q);
}

static void
log_failure(struct rdbms *f, const struct request *q)
{
    const struct mk_sql_answer *a = &q->r.answer;

    if (a->status == MK_SQL_OK || a->status == MK_SQL_DUPLICATE || a->status == MK_SQL_BUSY)
        return;
    mk_log(f->module, a->status == MK_SQL_UNAVAILABLE ? MK_LOG_WARN : MK_LOG_ERROR,
           a->status == MK_SQL_ERROR ? "rdbms.error"
           : a->status == MK_SQL_FULL ? "rdbms.full"
                                      : "rdbms.unavailable",
           "a request of module '%s' failed (%s): %s; statement: %.120s",
           mk_module_name(q->module), mk_sql_status_name(a->status), a->error,
           q->r.step_count ? q->r.steps[q->r.step_count - 1].text->sql : "none");
}

/* Calls back, once. `answer` is the request's own, or that of a time-out. */
static void
tell(struct request *q, struct mk_sql_answer *answer)
{
    struct rdbms *f = q->rdbms;
    struct mk_sql_result result = {.answer = answer};

    q->told = true;
    mk_counter_add(f->status[answer->status], 1);
    mk_histogram_add(f->seconds, now_us() - q->began);
    if (q->fn)
        q->fn(&result, q->arg);
    result_release(&result);
}

static void
request_end(struct request *q)
{
    if (!q->told) {
        log_failure(q->rdbms, q);
        tell(q, &q->r.answer);
    }
    request_free(q);
}

static void
deliver(void *arg)
{
    struct mk_sql_request *r = arg;

    while (r) {
        struct mk_sql_request *next = r->next;

        request_end((struct request *)r);
        r = next;
    }
}

/* Splits the list by worker and wakes each worker once. */
void
request_finished(void *self, struct mk_sql_request *list)
{
    struct rdbms *f = self;
    struct mk_worker *here = mk_worker_self();

    while (list) {
        uint32_t worker = list->worker;
        struct mk_sql_request *mine, **mine_end = &mine, *others, **others_end = &others;

        for (; list; list = list->next) {
            struct mk_sql_request ***end = list->worker == worker ? &mine_end : &others_end;

            **end = list;
            *end = &list->next;
        }
        *mine_end = NULL;
        *others_end = NULL;
        if (here && mk_worker_index(here) == worker)
            mk_defer(f->module, deliver, mine);
        else
            mk_post(f->module, mk_worker_nth(worker), deliver, mine);
        list = others;
    }
}

/* Answers a request that the driver never saw. */
static void
fail_later(struct request *q, enum mk_sql_status status, const char *why)
{
    mk_sql_answer_fail(&q->r.answer, status, why);
    q->r.next = NULL;
    mk_defer(q->rdbms->module, deliver, &q->r);
}

/* -- time-outs ------------------------------------------------------------------------------- */

/* Frees what nobody waits for any more at the old end of the held ones. */
static void
prune_held(struct lane *lane)
{
    while (lane->held && lane->held->dead) {
        struct mk_sql_request *r = lane->held;

        lane->held = r->next;
        if (!lane->held)
            lane->held_end = &lane->held;
        request_free((struct request *)r);
    }
}

static void
time_out(struct request *q)
{
    struct mk_sql_answer late = {0};

    mk_counter_add(q->rdbms->timeouts, 1);
    mk_sql_answer_fail(&late, MK_SQL_UNAVAILABLE, "no answer in time");
    mk_log(q->rdbms->module, MK_LOG_WARN, "rdbms.timeout",
           "no answer in time for a request of module '%s'; statement: %.120s",
           mk_module_name(q->module), q->r.steps[0].text->sql);
    __atomic_store_n(&q->r.dead, true, __ATOMIC_RELAXED);
    tell(q, &late);
}

static void on_timer(void *arg);

static void
arm(struct lane *lane, uint64_t now)
{
    struct request *q = lane->oldest;

    while (q && q->told)
        q = q->newer;
    if (!q || lane->timer)
        return;
    lane->timer = mk_timer_new(lane->rdbms->module, q->deadline > now ? q->deadline - now : 1,
                               on_timer, lane);
}

/* Requests end long before their deadline: so one timer a time-out, not one a request. */
static void
on_timer(void *arg)
{
    struct lane *lane = arg;
    uint64_t now = mk_now_ms();
    struct request *q = lane->oldest, *next;

    lane->timer = NULL;
    for (; q && q->deadline <= now; q = next) {
        next = q->newer;
        if (!q->told)
            time_out(q);
    }
    prune_held(lane);
    arm(lane, now);
}

/* -- migrations not yet done ----------------------------------------------------------------- */

/* Keeps a request until the tables are there. */
static void
hold(struct lane *lane, struct request *q)
{
    q->r.next = NULL;
    *lane->held_end = &q->r;
    lane->held_end = &q->r.next;
}

/* Gives a request to the driver, or keeps or refuses it. */
static void
dispatch(struct rdbms *f, struct request *q)
{
    if (__atomic_load_n(&f->stopping, __ATOMIC_ACQUIRE)) {
        fail_later(q, MK_SQL_UNAVAILABLE, "the server stops");
    } else if (__atomic_load_n(&q->owner->state, __ATOMIC_ACQUIRE) == OWNER_FAILED) {
        fail_later(q, MK_SQL_ERROR, "the tables of the module could not be made");
    } else if (__atomic_load_n(&f->pending, __ATOMIC_ACQUIRE) == 0) {
        q->r.next = NULL;
        f->driver->submit(f->driver->self, &q->r);
    } else if (__atomic_load_n(&f->away, __ATOMIC_ACQUIRE)) {
        fail_later(q, MK_SQL_UNAVAILABLE, "the database is not available yet");
    } else {
        hold(&f->lanes[q->r.worker], q);
    }
}

static void
release_held(void *arg)
{
    struct lane *lane = arg;
    struct mk_sql_request *r = lane->held, *next;

    lane->held = NULL;
    lane->held_end = &lane->held;
    for (; r; r = next) {
        struct request *q = (struct request *)r;

        next = r->next;
        if (r->dead)
            request_free(q);
        else
            dispatch(lane->rdbms, q);
    }
}

void
request_release_held(struct rdbms *f)
{
    for (size_t i = 0; i < f->lane_count; i++)
        mk_post(f->module, mk_worker_nth(i), release_held, &f->lanes[i]);
}

/* -- running --------------------------------------------------------------------------------- */

static void
count_in(struct lane *lane, struct request *q, uint64_t timeout)
{
    uint64_t now = mk_now_ms();

    q->counted = true;
    q->deadline = now + timeout;
    q->older = lane->newest;
    *(lane->newest ? &lane->newest->newer : &lane->oldest) = q;
    lane->newest = q;
    lane->count++;
    lane->bytes += q->bytes;
    mk_gauge_add(lane->rdbms->queue, 1);
    arm(lane, now);
}

/* Answers without asking the database: a mistake, a limit, an empty transaction. */
static void
answer_at_once(struct rdbms *f, const struct call *call, enum mk_sql_status status,
               const char *why)
{
    struct call bare = *call;

    bare.count = 0;
    fail_later(request_new(f, &bare, 0, 0), status, why);
}

void
request_run(struct rdbms *f, const struct call *call)
{
    const struct conf *conf = mk_module_conf(f->module, NULL);
    struct lane *lane;
    size_t values = 0, bytes = 0;
    const char *why = call->why ? call->why : measure(call, &values, &bytes);
    struct request *q;

    MK_ASSERT(mk_worker_self());
    lane = &f->lanes[mk_worker_index(mk_worker_self())];
    if (why || call->count == 0) {
        answer_at_once(f, call, why ? MK_SQL_ERROR : MK_SQL_OK, why ? why : "");
        return;
    }
    /* One request may be as large as it likes when nothing else is under way. */
    if (lane->count >= (size_t)conf->queue ||
        (lane->count && lane->bytes + bytes > conf->queue_size)) {
        answer_at_once(f, call, MK_SQL_BUSY, "too many requests are under way");
        return;
    }
    q = request_new(f, call, values, bytes);
    copy_steps(q, call, values);
    q->r.answer.limit = conf->result_size;
    q->r.keyed = call->key != NULL;
    q->r.hash = call->key ? mk_hash(call->key, strlen(call->key)) : 0;
    count_in(lane, q, conf->timeout);
    dispatch(f, q);
}

void
request_exec(void *self, struct mk_sql_stmt *stmt, const struct mk_sql_value *values, size_t n,
             const char *key, mk_sql_fn fn, void *arg)
{
    struct mk_sql_step step = {.text = &stmt->text, .values = values};
    struct call call = {.owner = stmt->owner,
                        .module = stmt->owner->module,
                        .steps = &step,
                        .count = 1,
                        .key = key,
                        .fn = fn,
                        .arg = arg};

    if (n != stmt->text.params)
        call.why = "wrong number of values for a statement";
    request_run(self, &call);
}
