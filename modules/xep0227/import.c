/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Task "import": users of files become accounts, some at a time. First the account (an existing one is left alone), then
 * all that it has in one transaction; an account whose data cannot be stored goes again, so that one can simply try once more.
 */
#include "config.h"

#include "internal.h"

#include <stdlib.h>

struct import {
    struct xep0227 *self;
    size_t argc, next_file;
    char *const *argv;
    struct parser *parser;
    size_t under_way;
    size_t made, there, failed, locked, taken, left;
    bool deferred;              /* pump will be called */
    struct progress progress;
    struct mk_error err;        /* of a file */
    bool bad;
};

/* A user on the way into the database. */
struct job {
    struct import *import;
    struct person *person;
    struct mk_host *host;
    struct mk_jid *account;
    const char *error;
    size_t taken, left;
    bool locked;                /* no password opens it */
};

static void pump(void *arg);

static void
tell(struct import *im, const struct person *p, const char *why)
{
    im->failed++;
    progress_end(&im->progress);
    fprintf(stderr, "%s@%s: %s\n", p->name, p->host, why);
}

static void
job_end(struct job *j, const char *why)
{
    struct import *im = j->import;

    if (why)
        tell(im, j->person, why);
    person_free(&j->person);
    mk_jid_unref(&j->account);
    mk_free(j);
    im->under_way--;
    /* Not from here: answers that come at once would nest. */
    if (!im->deferred)
        mk_defer(im->self->module, pump, im);
    im->deferred = true;
}

/* -- what an account has ------------------------------------------------------------------------- */

static void
on_taken_back(enum mk_auth_result result, void *arg)
{
    struct job *j = arg;

    (void)result;
    job_end(j, j->error);
}

static void
take_back(struct job *j, const char *why)
{
    const struct mk_auth *auth = j->import->self->auth;

    j->error = why;
    auth->remove(auth->self, j->host, mk_jid_local(j->account), on_taken_back, j);
}

static void
on_stored(struct mk_sql_result *result, void *arg)
{
    struct job *j = arg;
    struct import *im = j->import;
    enum mk_sql_status status = im->self->db->status(result);

    if (status != MK_SQL_OK) {
        if (status == MK_SQL_ERROR)
            mk_log(im->self->module, MK_LOG_ERROR, "xep0227.sql", "%s", im->self->db->error(result));
        take_back(j, "its data could not be stored");
        return;
    }
    im->made++;
    im->locked += j->locked;
    im->taken += j->taken;
    im->left += j->left;
    job_end(j, NULL);
}

/* -1: an element cannot be taken at all. */
static int
add_elements(struct job *j, struct mk_sql_batch *batch)
{
    for (size_t i = 0; i < j->person->count; i++) {
        struct mk_ev_account_import ev = {MK_EVENT(struct mk_ev_account_import),
                                          .host = j->host,
                                          .account = j->account,
                                          .element = j->person->elements[i],
                                          .batch = batch};
        enum mk_verdict verdict;

        if (mk_node_is(ev.element, "scram-credentials", NS_SCRAM))
            continue;
        verdict = mk_fire_account_import(j->import->self->import_hook, &ev);
        if (verdict == MK_DENY) {
            j->error = ev.error;
            return -1;
        }
        j->taken += ev.taken;
        j->left += verdict == MK_CONTINUE ? 1 : ev.left;
    }
    return 0;
}

static void
on_created(enum mk_auth_result result, void *arg)
{
    static const char *const why[] = {
        [MK_AUTH_UNAVAILABLE] = "the database does not answer", [MK_AUTH_BUSY] = "too much to do",
        [MK_AUTH_NOT_ALLOWED] = "its name or its password is not acceptable"};
    struct job *j = arg;
    const struct mk_rdbms *db = j->import->self->db;
    struct mk_sql_batch *batch;

    if (result == MK_AUTH_EXISTS) {
        j->import->there++;
        job_end(j, NULL);
        return;
    }
    if (result != MK_AUTH_OK) {
        job_end(j, result < MK_COUNT(why) && why[result] ? why[result] : "the account could not be made");
        return;
    }
    batch = db->batch(db->self, j->import->self->module);
    if (add_elements(j, batch) < 0) {
        db->batch_drop(batch);
        take_back(j, j->error ? j->error : "its data cannot be taken");
        return;
    }
    db->batch_run(batch, mk_jid_text(j->account).p, on_stored, j);
}

/* -- accounts ----------------------------------------------------------------------------------- */

static void
create(struct job *j)
{
    const struct mk_auth *auth = j->import->self->auth;
    struct mk_credentials cred;
    struct mk_str user = mk_jid_local(j->account);

    credentials_read(j->person, &cred);
    if (cred.count == 0 && j->person->password && *j->person->password && strncmp(j->person->password, "scram:", 6) != 0) {
        auth->create(auth->self, j->host, user, mk_str_of(j->person->password), on_created, j);
    } else {
        j->locked = cred.count == 0;
        auth->create_keys(auth->self, j->host, user, &cred, on_created, j);
    }
    mk_wipe(&cred, sizeof(cred));
}

static void
begin(struct import *im, struct person *person)
{
    struct job *j = mk_zalloc(sizeof(*j));
    struct mk_jid *jid = mk_jid_new(mk_str_of(person->name), mk_str_of(person->host), MK_STR(""));

    *j = (struct job){.import = im, .person = person, .account = jid};
    im->under_way++;
    if (jid)
        j->host = mk_host_find(mk_jid_domain(jid));
    if (!jid || mk_jid_is_domain(jid))
        job_end(j, "this is no address");
    else if (!j->host)
        job_end(j, "this server does not serve that host");
    else
        create(j);
}

/* -- files -------------------------------------------------------------------------------------- */

static void
summary(const struct import *im)
{
    printf("imported %zu users with %zu things; %zu were there already", im->made, im->taken, im->there);
    if (im->failed)
        printf("; %zu failed", im->failed);
    if (im->locked)
        printf("; %zu have no password that is known", im->locked);
    if (im->left)
        printf("; %zu things were passed over", im->left);
    printf(" (%.1f s)\n", (double)(mk_now_ms() - im->progress.began) / 1000);
}

static void
end(struct import *im)
{
    struct mk_error err = im->err;

    progress_end(&im->progress);
    summary(im);
    fflush(stdout);
    if (!im->bad && im->failed)
        mk_fail(&err, "%zu users were not imported", im->failed);
    mk_task_end(im->bad || im->failed ? &err : NULL);
    parser_free(&im->parser);
    mk_free(im);
}

/* The next of the files; false: there is none, or it cannot be read. */
static bool
open_next(struct import *im)
{
    const struct xep0227_conf *conf = mk_module_conf(im->self->module, NULL);

    if (im->next_file == im->argc)
        return false;
    im->parser = parser_open(im->argv[im->next_file++], conf->max_user, &im->err);
    im->bad = !im->parser;
    return im->parser;
}

/* Reads as long as there is room for more jobs. False: nothing more to read. */
static bool
read_more(struct import *im, size_t room)
{
    struct person *person = NULL;

    if (im->bad || (!im->parser && !open_next(im)))
        return false;
    while (im->under_way < room) {
        switch (parser_next(im->parser, &person, &im->err)) {
        case PARSE_PERSON:
            begin(im, person);
            break;
        case PARSE_MORE:
            break;
        case PARSE_END:
            parser_free(&im->parser);
            if (!open_next(im))
                return false;
            break;
        case PARSE_BAD:
            im->bad = true;
            return false;
        }
    }
    return true;
}

static void
pump(void *arg)
{
    struct import *im = arg;
    const struct xep0227_conf *conf = mk_module_conf(im->self->module, NULL);
    bool more;

    im->deferred = false;
    more = read_more(im, (size_t)conf->parallel);
    if (im->parser)
        progress_show(&im->progress, ((double)im->next_file - 1 + parser_progress(im->parser)) / (double)im->argc, im->made + im->there);
    if (!more && im->under_way == 0 && !im->deferred)
        end(im);
}

int
import_run(void *self, size_t argc, char *const *argv, struct mk_error *err)
{
    struct xep0227 *x = self;
    struct import *im;

    if (!MK_HAS(x->auth, create_keys) || !x->auth->create_keys || !x->auth->can_change)
        return mk_fail(err, "accounts of this server are made elsewhere");
    im = mk_zalloc(sizeof(*im));
    *im = (struct import){.self = x, .argc = argc, .argv = argv};
    progress_begin(&im->progress, "import");
    pump(im);
    return 0;
}

int
import_define(struct xep0227 *self)
{
    self->import_hook = mk_define_account_import(self->module, NULL, NULL);
    return self->import_hook ? 0 : -1;
}
