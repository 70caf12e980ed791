/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The domains that are enabled in the database are those that are served. At the start all are read; from then on a round looks
 * at the changes behind the last one that was seen. Who changes something has rounds run on all nodes at once; the timer is for what
 * others write into the database.
 *
 * Transactions may commit in another order than that of the numbers they got, so each round looks again at the last ones: what is in force
 * is read from the settings, and to apply it twice does no harm. A node that could not reach the database for so long that changes may
 * have been cleaned away reads everything again.
 */
#include "config.h"

#include <stdlib.h>

#include "internal.h"

#define PAGE 1000
#define AGAIN 100               /* numbers */
#define RETRY_MS 1000

struct waiting {
    struct waiting *next;
    struct domain *self;
    struct mk_worker *back;
    mk_task_fn fn;
    void *arg;
    struct mk_cluster_call *call;       /* another node asks: answered instead */
};

/* A round: what the database said, for the main thread. */
struct round {
    struct domain *self;
    bool all;                   /* everything was read: what is not in the list goes */
    bool more;                  /* there are more changes */
    int64_t last_id;            /* where the next page begins */
    int64_t last_event;
    char **names;
    bool *enabled;
    size_t count;
    mk_sql_fn on_events;
};

static void
round_clear(struct round *r)
{
    free_names(r->names, r->count);
    mk_free(r->enabled);
    r->names = NULL;
    r->enabled = NULL;
    r->count = 0;
}

static void
round_add(struct round *r, struct mk_str name, bool enabled)
{
    if ((r->count & (r->count - 1)) == 0) {
        size_t cap = r->count ? 2 * r->count : 1;

        r->names = mk_realloc(r->names, cap * sizeof(char *));
        r->enabled = mk_realloc(r->enabled, cap * sizeof(bool));
    }
    r->names[r->count] = mk_str_dup(name);
    r->enabled[r->count++] = enabled;
}

/* -- on the main thread ------------------------------------------------------------------------ */

static int
compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Those that are served and not in the database (any more). */
static void
drop_unlisted(struct mk_host *host, void *arg)
{
    struct round *r = arg;
    const char *name = mk_host_name(host);
    struct mk_error err;

    if (mk_host_is_fixed(host) || (r->count && bsearch(&name, r->names, r->count, sizeof(char *), compare)))
        return;
    if (mk_host_remove(name, &err) < 0)
        mk_log(r->self->module, MK_LOG_ERROR, "domain.stays", "%s", err.text);
}

static void
apply_one(struct round *r, const char *name, bool enabled)
{
    struct mk_host *host = mk_host_find(mk_str_of(name));
    struct mk_error err;

    if (host && mk_host_is_fixed(host)) {
        mk_log(r->self->module, MK_LOG_WARN, "domain.static",
               "domain '%s' is in the database and in the configuration: it is served as configured", name);
        return;
    }
    if (enabled == (host != NULL))
        return;
    mk_counter_add(r->self->changes, 1);
    if (enabled)
        (void)mk_host_add(name);
    else if (mk_host_remove(name, &err) < 0)
        mk_log(r->self->module, MK_LOG_ERROR, "domain.stays", "%s", err.text);
}

static void
apply(void *arg)
{
    struct round *r = arg;

    if (r->all) {
        if (r->count)
            qsort(r->names, r->count, sizeof(char *), compare);
        mk_host_each(drop_unlisted, r);
    }
    for (size_t i = 0; i < r->count; i++)
        apply_one(r, r->names[i], r->enabled[i]);
}

/* -- rounds, on the first worker ---------------------------------------------------------------- */

static void
answer(void *arg)
{
    struct waiting *w = arg;

    w->fn(w->arg);
    mk_free(w);
}

static void
serve(struct domain *self)
{
    struct waiting *w = self->first;

    self->first = NULL;
    while (w) {
        struct waiting *next = w->next;

        if (w->call) {
            self->cluster->answer(w->call, (struct mk_str){0});
            mk_module_leave(self->module);
            mk_free(w);
        } else {
            mk_post(self->module, w->back, answer, w);
        }
        w = next;
    }
}

/* True: the database did not answer. */
static bool
failed(struct domain *self, const struct mk_sql_result *result)
{
    enum mk_sql_status status = self->db->status(result);

    if (status == MK_SQL_OK) {
        self->last_good = mk_now_ms();
        return false;
    }
    mk_log(self->module, status == MK_SQL_ERROR ? MK_LOG_ERROR : MK_LOG_WARN, "domain.sql",
           "the domains were not read from the database: %s",
           status == MK_SQL_ERROR ? self->db->error(result) : mk_sql_status_name(status));
    return true;
}

static void
begin_later(void *arg)
{
    struct domain *self = arg;

    self->retry = NULL;
    if (!self->busy)
        self->begin(self);
}

/* Who waited is told; who came meanwhile gets the next round. */
static void
end_round(struct round *r, bool ok)
{
    struct domain *self = r->self;

    if (ok)
        self->last_event = r->last_event > self->last_event ? r->last_event : self->last_event;
    round_clear(r);
    mk_free(r);
    self->busy = false;
    if (ok) {
        __atomic_store_n(&self->loaded, true, __ATOMIC_RELEASE);
        resume_look(self);
    }
    serve(self);
    if (self->next_first)
        self->begin(self);
    else if (!ok && !self->retry)
        self->retry = mk_timer_new(self->module, RETRY_MS, begin_later, self);
}

static void
ask_events(struct round *r)
{
    struct domain *self = r->self;

    mk_sql_exec(self->db, self->sql.events, NULL, r->on_events, r, MK_SQL_V_INT(r->last_id), MK_SQL_V_INT(PAGE));
}

static void
applied(void *arg)
{
    struct round *r = arg;

    round_clear(r);
    if (r->more)
        ask_events(r);
    else
        end_round(r, true);
}

static void
on_events(struct mk_sql_result *result, void *arg)
{
    struct round *r = arg;
    struct domain *self = r->self;
    const struct mk_rdbms *db = self->db;

    if (failed(self, result)) {
        end_round(r, false);
        return;
    }
    r->more = db->rows(result) == PAGE;
    while (db->next(result)) {
        r->last_id = db->get_int(result, 0);
        round_add(r, db->get_text(result, 1), !db->is_null(result, 2) && db->get_int(result, 2) == STATUS_ENABLED);
    }
    if (r->last_id > r->last_event)
        r->last_event = r->last_id;
    mk_on_main(self->module, apply, applied, r);
}

/* A page of all domains that are enabled. */
static void
on_page(struct mk_sql_result *result, void *arg)
{
    struct round *r = arg;
    struct domain *self = r->self;
    const struct mk_rdbms *db = self->db;

    if (failed(self, result)) {
        end_round(r, false);
        return;
    }
    while (db->next(result)) {
        r->last_id = db->get_int(result, 0);
        round_add(r, db->get_text(result, 1), true);
    }
    if (db->rows(result) == PAGE)
        mk_sql_exec(db, self->sql.page, NULL, on_page, r, MK_SQL_V_INT(r->last_id), MK_SQL_V_INT(PAGE));
    else
        mk_on_main(self->module, apply, applied, r);
}

static void
on_last_event(struct mk_sql_result *result, void *arg)
{
    struct round *r = arg;
    struct domain *self = r->self;

    if (failed(self, result)) {
        end_round(r, false);
        return;
    }
    r->last_event = self->db->next(result) ? self->db->get_int(result, 0) : 0;
    mk_sql_exec(self->db, self->sql.page, NULL, on_page, r, MK_SQL_V_INT(0), MK_SQL_V_INT(PAGE));
}

static void
begin_round(void *arg)
{
    struct domain *self = arg;
    const struct domain_conf *conf = mk_module_conf(self->module, NULL);
    struct round *r = mk_zalloc(sizeof(*r));
    bool loaded = __atomic_load_n(&self->loaded, __ATOMIC_ACQUIRE);

    self->busy = true;
    self->first = self->next_first;
    self->next_first = NULL;
    *r = (struct round){.self = self, .on_events = on_events, .last_event = self->last_event};
    if (loaded && mk_now_ms() - self->last_good < conf->clean / 2) {
        r->last_id = self->last_event - AGAIN;
        ask_events(r);
    } else {
        r->all = true;
        self->db->exec(self->db->self, self->sql.last_event, NULL, 0, NULL, on_last_event, r);
    }
}

static void
on_poll(void *arg)
{
    struct domain *self = arg;

    if (!self->busy)
        begin_round(self);
}

/* -- changes that nobody can have missed ---------------------------------------------------------- */

static void
on_cleaned(struct mk_sql_result *result, void *arg)
{
    (void)failed(arg, result);
}

static void
on_clean(void *arg)
{
    struct domain *self = arg;

    if (self->clean_before)
        mk_sql_exec(self->db, self->sql.clean, NULL, on_cleaned, self, MK_SQL_V_INT(self->clean_before));
    self->clean_before = self->last_event;
}

/* -- who waits ------------------------------------------------------------------------------------ */

static void
arrive(void *arg)
{
    struct waiting *w = arg;
    struct domain *self = w->self;

    /* The round that runs may have looked already. */
    w->next = self->next_first;
    self->next_first = w;
    if (!self->busy)
        begin_round(self);
}

static void
on_request(struct mk_cluster_call *call, uint32_t node, struct mk_str data, void *arg)
{
    struct domain *self = arg;
    struct waiting *w = mk_zalloc(sizeof(*w));

    (void)node;
    (void)data;
    *w = (struct waiting){.self = self, .call = call};
    mk_module_enter(self->module);
    mk_post(self->module, mk_worker_nth(0), arrive, w);
}

/* This node and the others, side by side. */
struct everywhere {
    unsigned left;
    mk_task_fn fn;
    void *arg;
};

static void
one_less(void *arg)
{
    struct everywhere e = *(struct everywhere *)arg;

    if (--((struct everywhere *)arg)->left)
        return;
    mk_free(arg);
    e.fn(e.arg);
}

static void
others_know(enum mk_cluster_result result, struct mk_str data, void *arg)
{
    (void)result;
    (void)data;
    one_less(arg);
}

void
sync_all(struct domain *self, mk_task_fn fn, void *arg)
{
    struct everywhere *e = mk_alloc(sizeof(*e));
    struct waiting *w = mk_zalloc(sizeof(*w));

    *e = (struct everywhere){1 + (self->cluster != NULL), fn, arg};
    *w = (struct waiting){.self = self, .back = mk_worker_self(), .fn = one_less, .arg = e};
    mk_post(self->module, mk_worker_nth(0), arrive, w);
    if (self->cluster)
        self->cluster->send_all(self->channel, (struct mk_str){0}, others_know, e);
}

void
sync_start(void *arg)
{
    struct domain *self = arg;
    const struct domain_conf *conf = mk_module_conf(self->module, NULL);

    self->poll_timer = mk_timer_every(self->module, conf->poll, on_poll, self);
    self->clean_timer = mk_timer_every(self->module, conf->clean, on_clean, self);
    on_poll(self);
}

int
sync_init(struct domain *self, struct mk_error *err)
{
    self->begin = begin_round;
    self->cluster = mk_cluster_get(self->module);
    if (!self->cluster)
        return 0;
    self->channel = self->cluster->channel(self->cluster->self, self->module, "domain", on_request, self, err);
    return self->channel ? 0 : -1;
}
