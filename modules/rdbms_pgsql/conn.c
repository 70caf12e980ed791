/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * A connection in pipeline mode, on its worker. A request is its statements followed by one Sync:
 * for the server that is one transaction, all or nothing, committed at the Sync. Statements are
 * prepared when they are needed first, each before its request and with a Sync of its own.
 */
#include "config.h"

#include <stdio.h>

#include "priv.h"

/* Ticks that a server has for a statement whose time is over, before we hang up. */
#define STUCK_TICKS 3

void
queue_init(struct queue *q)
{
    *q = (struct queue){.end = &q->first};
}

void
queue_put(struct queue *q, struct mk_sql_request *r)
{
    r->next = NULL;
    *q->end = r;
    q->end = &r->next;
    q->count++;
}

static struct mk_sql_request *
queue_take(struct queue *q)
{
    struct mk_sql_request *r = q->first;

    q->first = r->next;
    if (!q->first)
        q->end = &q->first;
    q->count--;
    r->next = NULL;
    return r;
}

/* -- ends ------------------------------------------------------------------------------------ */

static void
fail_queue(struct conn *c, struct queue *q, const char *why)
{
    const struct mk_rdbms_front *front = c->lane->pgsql->front;
    struct mk_sql_request *list = q->first;

    queue_init(q);
    if (!list)
        return;
    for (struct mk_sql_request *r = list; r; r = r->next)
        mk_sql_answer_fail(&r->answer, MK_SQL_UNAVAILABLE, why);
    front->finished(front->self, list);
}

void
conn_fail_waiting(struct conn *c, const char *why)
{
    fail_queue(c, &c->waiting, why);
}

/* Closes the connection. What was sent may or may not have been done: it is never sent again. */
static void
hang_up(struct conn *c, const char *why)
{
    mk_fd_free(&c->watch);
    PQfinish(c->pg);
    c->pg = NULL;
    __atomic_sub_fetch(&c->lane->pgsql->open, 1, __ATOMIC_RELAXED);
    mk_free(c->prepared);
    c->prepared = NULL;
    c->prepared_count = 0;
    mk_free(c->preparing.ids);
    memset(&c->preparing, 0, sizeof(c->preparing));
    c->in_rows = false;
    c->retire = false;
    c->stuck = 0;
    fail_queue(c, &c->sent, why);
}

void
conn_lost(struct conn *c, const char *why)
{
    struct pgsql *p = c->lane->pgsql;
    char text[192];

    snprintf(text, sizeof(text), "%s", why);
    for (char *e = text; *e; e++)
        *e = *e == '\n' ? ' ' : *e;
    hang_up(c, "the connection was lost");
    if (c->lane->stopping)
        return;
    mk_counter_add(p->losses, 1);
    mk_log(p->module, MK_LOG_WARN, "rdbms_pgsql.lost", "lost a connection to the database: %s",
           text);
    if (__atomic_load_n(&p->away, __ATOMIC_ACQUIRE))
        conn_fail_waiting(c, "the database is not available");
    connect_want(c);
}

/* -- receiving ------------------------------------------------------------------------------- */

/* These say that the connection is of no use any more: a standby, or plans and statements that
 * have changed or gone behind our back. */
static bool
spoils_connection(const PGresult *res)
{
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

    return state && (strcmp(state, "25006") == 0 || strcmp(state, "0A000") == 0 ||
                     strcmp(state, "26000") == 0);
}

static void
on_error(struct conn *c, struct mk_sql_request *r, const PGresult *res)
{
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

    if (r->answer.status != MK_SQL_OK)
        return;
    answer_error(&r->answer, res);
    /* It was never prepared, and why tells more. */
    if (state && strcmp(state, "26000") == 0 && c->prepare_error[0])
        mk_sql_answer_fail(&r->answer, c->prepare_status, c->prepare_error);
    else
        c->retire |= spoils_connection(res);
    c->prepare_error[0] = '\0';
}

static void
on_rows(struct conn *c, struct mk_sql_request *r, const PGresult *res)
{
    struct mk_sql_answer *a = &r->answer;

    if (a->status != MK_SQL_OK)
        return;
    if (!c->in_rows && PQnfields(res) > 0)
        mk_sql_answer_columns(a, (unsigned)PQnfields(res));
    c->in_rows = true;
    if (!answer_rows(a, res))
        mk_sql_answer_fail(a, MK_SQL_ERROR, "the answer is larger than rdbms.result_size");
}

/* While a text is being prepared for `r`. */
static void
on_prepare(struct conn *c, const PGresult *res)
{
    struct mk_sql_answer why = {0};

    if (PQresultStatus(res) != PGRES_FATAL_ERROR)
        return;
    c->prepared[c->preparing.ids[c->preparing.first]] = 0;
    answer_error(&why, res);
    c->prepare_status = why.status;     /* perhaps only too slow: the next request prepares it anew */
    memcpy(c->prepare_error, why.error, sizeof(c->prepare_error));
}

/* A Sync was reached: a text has been prepared, or the oldest request is over. */
static void
on_sync(struct conn *c, struct queue *done)
{
    struct mk_sql_request *r = c->sent.first;

    if (r->driver[0]) {
        r->driver[0]--;
        c->preparing.first++;
        if (--c->preparing.count == 0)
            c->preparing.first = 0;
        return;
    }
    c->stuck = 0;
    queue_put(done, queue_take(&c->sent));
}

static void
on_result(struct conn *c, const PGresult *res, struct queue *done)
{
    struct mk_sql_request *r = c->sent.first;

    if (PQresultStatus(res) == PGRES_PIPELINE_SYNC) {
        on_sync(c, done);
        return;
    }
    if (r->driver[0]) {
        on_prepare(c, res);
        return;
    }
    switch (PQresultStatus(res)) {
    case PGRES_SINGLE_TUPLE:
        on_rows(c, r, res);
        break;
    case PGRES_TUPLES_OK:
        on_rows(c, r, res);
        r->answer.affected += answer_affected(res);
        break;
    case PGRES_COMMAND_OK:
        r->answer.affected += answer_affected(res);
        break;
    case PGRES_PIPELINE_ABORTED:    /* behind a failed statement of the same request */
        break;
    default:
        on_error(c, r, res);
    }
}

static void
receive(struct conn *c)
{
    const struct mk_rdbms_front *front = c->lane->pgsql->front;
    struct queue done;
    unsigned nothing = 0;

    queue_init(&done);
    /* Two times nothing in a row: libpq has no more than that. */
    while (c->sent.first && nothing < 2) {
        PGresult *res;

        /* Row by row, so that a result that is too large is not gathered first. It says no where a
         * result has begun already. */
        (void)PQsetSingleRowMode(c->pg);
        if (PQisBusy(c->pg))
            break;
        res = PQgetResult(c->pg);
        if (!res) {
            c->in_rows = false;
            nothing++;
            continue;
        }
        nothing = 0;
        on_result(c, res, &done);
        PQclear(res);
    }
    if (done.first)
        front->finished(front->self, done.first);
}

/* -- sending --------------------------------------------------------------------------------- */

static void
note_preparing(struct conn *c, uint32_t id)
{
    struct preparing *g = &c->preparing;

    if (id >= c->prepared_count) {
        size_t count = id + 32;

        c->prepared = mk_realloc(c->prepared, count);
        memset(c->prepared + c->prepared_count, 0, count - c->prepared_count);
        c->prepared_count = count;
    }
    c->prepared[id] = 1;
    if (g->first + g->count == g->cap) {
        g->cap = g->cap ? g->cap * 2 : 16;
        g->ids = mk_realloc(g->ids, g->cap * sizeof(*g->ids));
    }
    g->ids[g->first + g->count++] = id;
}

static bool
prepare_steps(struct conn *c, struct mk_sql_request *r)
{
    for (size_t i = 0; i < r->step_count; i++) {
        struct mk_sql_text *text = r->steps[i].text;
        const struct pg_text *t;

        if (text->id < c->prepared_count && c->prepared[text->id])
            continue;
        t = text_of(c->lane->pgsql, text);
        if (!PQsendPrepare(c->pg, t->name, t->sql, 0, NULL) || !PQpipelineSync(c->pg))
            return false;
        note_preparing(c, text->id);
        r->driver[0]++;
    }
    return true;
}

/* The arrays that libpq wants for the values of a statement, in one piece of memory. */
struct bound {
    const char **values;
    int *lengths;
    int *formats;
    char (*numbers)[24];
};

static void
make_room(struct bound *b, struct mk_buf *room, size_t params)
{
    mk_buf_clear(room);
    mk_buf_reserve(room, params * (sizeof(*b->values) + sizeof(*b->lengths) + sizeof(*b->formats) +
                                   sizeof(*b->numbers)) + 1);
    b->values = (const char **)(void *)room->data;
    b->lengths = (int *)(void *)(b->values + params);
    b->formats = b->lengths + params;
    b->numbers = (char (*)[24])(void *)(b->formats + params);
}

static void
bind(struct bound *b, const struct mk_sql_step *step)
{
    for (uint32_t i = 0; i < step->text->params; i++) {
        const struct mk_sql_value *v = &step->values[i];

        b->values[i] = v->s.p;
        b->lengths[i] = (int)v->s.len;
        b->formats[i] = v->type == MK_SQL_BYTES;
        if (v->type == MK_SQL_NULL)
            b->values[i] = NULL;
        if (v->type != MK_SQL_INT)
            continue;
        snprintf(b->numbers[i], sizeof(b->numbers[i]), "%lld", (long long)v->i);
        b->values[i] = b->numbers[i];
    }
}

static bool
send_step(struct conn *c, const struct mk_sql_step *step)
{
    const struct pg_text *t = text_of(c->lane->pgsql, step->text);
    struct bound b;

    make_room(&b, &c->lane->room, step->text->params);
    bind(&b, step);
    return PQsendQueryPrepared(c->pg, t->name, (int)step->text->params, b.values, b.lengths,
                               b.formats, 0);
}

static bool
send_request(struct conn *c, struct mk_sql_request *r)
{
    mk_sql_answer_reset(&r->answer);
    queue_put(&c->sent, r);
    if (!prepare_steps(c, r))
        return false;
    for (size_t i = 0; i < r->step_count; i++) {
        if (!send_step(c, &r->steps[i]))
            return false;
    }
    return PQpipelineSync(c->pg);
}

static void
watch(struct conn *c)
{
    int rc = PQflush(c->pg);

    if (rc < 0)
        conn_lost(c, PQerrorMessage(c->pg));
    else
        mk_fd_want(c->watch, rc > 0 ? MK_READ | MK_WRITE : MK_READ);
}

/* True when it was answered without the database. */
static bool
skip(struct conn *c, struct queue *skipped)
{
    struct mk_sql_request *r = c->waiting.first;

    if (!mk_sql_is_dead(r))
        return false;
    mk_sql_answer_fail(&r->answer, MK_SQL_UNAVAILABLE, "no answer in time");
    queue_put(skipped, queue_take(&c->waiting));
    return true;
}

void
conn_send(struct conn *c)
{
    struct pgsql *p = c->lane->pgsql;
    struct queue skipped;
    bool sent = true;

    queue_init(&skipped);
    while (c->waiting.first && c->sent.count < p->pipeline && !c->retire && sent) {
        if (!skip(c, &skipped))
            sent = send_request(c, queue_take(&c->waiting));
    }
    if (skipped.first)
        p->front->finished(p->front->self, skipped.first);
    if (!sent)
        conn_lost(c, PQerrorMessage(c->pg));
    else
        watch(c);
}

static void
on_ready(int fd, unsigned events, void *arg)
{
    struct conn *c = arg;

    (void)fd;
    if (events & MK_READ) {
        bool alive = PQconsumeInput(c->pg);

        receive(c);
        if (!alive || PQstatus(c->pg) == CONNECTION_BAD) {
            conn_lost(c, PQerrorMessage(c->pg));
            return;
        }
        if (c->retire && !c->sent.first) {
            conn_lost(c, "it is a standby now, or a statement is not valid any more");
            return;
        }
    }
    conn_send(c);
}

void
conn_connected(void *arg)
{
    struct conn *c = arg;
    struct lane *lane = c->lane;

    c->pg = c->fresh;
    c->fresh = NULL;
    c->since = mk_now_ms();
    c->watch = mk_fd_new(lane->pgsql->module, PQsocket(c->pg), MK_READ, on_ready, c);
    if (PQsetnonblocking(c->pg, 1) < 0 || !PQenterPipelineMode(c->pg))
        conn_lost(c, PQerrorMessage(c->pg));
    else
        conn_send(c);
}

/* The server should have ended it by statement_timeout long ago. */
void
conn_tick(struct conn *c)
{
    if (!c->pg || !c->sent.first || !mk_sql_is_dead(c->sent.first))
        return;
    if (++c->stuck >= STUCK_TICKS)
        conn_lost(c, "the server does not answer");
}
