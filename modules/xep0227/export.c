/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Task "export": the accounts of all hosts, or of those named, in the order of their names. Several are read at a time; they
 * are written in order. The file is under its name only when it is whole.
 */
#include "config.h"

#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define PAGE 200

struct export {
    struct xep0227 *self;
    const char *file;           /* "-": standard output */
    char *part;
    FILE *out;
    struct mk_host **hosts;
    size_t host_count, host_at;
    bool host_open;
    char **page;                /* names that wait */
    size_t page_count, page_at;
    char *last;
    bool asking, listed;        /* of this host */
    struct job *first, **end;   /* under way, in the order of the names */
    size_t under_way;
    uint64_t total;
    size_t users, things;
    struct progress progress;
    struct mk_error err;
    bool bad;
    bool deferred;              /* pump will be called */
};

struct job {
    struct job *next;
    struct export *export;
    struct mk_host *host;
    struct mk_jid *account;
    struct mk_xml *xml;
    size_t given;
    bool done;
};

static void pump(void *arg);

/* Not at once: answers that come at once would nest. */
static void
go_on(struct export *ex)
{
    if (!ex->deferred)
        mk_defer(ex->self->module, pump, ex);
    ex->deferred = true;
}

static void
give_up(struct export *ex, const char *what, const char *detail)
{
    if (!ex->bad)
        mk_fail(&ex->err, "%s: %s", what, detail);
    ex->bad = true;
}

/* -- writing ------------------------------------------------------------------------------------ */

static void
put(struct export *ex, struct mk_str text)
{
    if (!ex->bad && fwrite(text.p, 1, text.len, ex->out) != text.len)
        give_up(ex, "cannot write", strerror(errno));
}

static void
job_free(struct job *j)
{
    mk_xml_free(&j->xml);
    mk_jid_unref(&j->account);
    mk_free(j);
}

/* What is ready, up to the first that is not. */
static void
write_ready(struct export *ex)
{
    while (ex->first && ex->first->done) {
        struct job *j = ex->first;

        put(ex, mk_xml_str(j->xml));
        put(ex, MK_STR("\n"));
        ex->users++;
        ex->things += j->given;
        if (!(ex->first = j->next))
            ex->end = &ex->first;
        ex->under_way--;
        job_free(j);
    }
}

/* -- one account -------------------------------------------------------------------------------- */

static void
job_done(struct job *j, const char *error)
{
    struct export *ex = j->export;

    if (error) {
        char *who = mk_str_dup(mk_jid_text(j->account));

        give_up(ex, who, error);
        mk_free(who);
    }
    j->done = true;
    go_on(ex);
}

static void
on_keys(enum mk_auth_result result, const struct mk_credentials *cred, void *arg)
{
    struct job *j = arg;
    struct mk_ev_account_export ev = {MK_EVENT(struct mk_ev_account_export),
                                      .host = j->host,
                                      .account = j->account,
                                      .xml = j->xml,
                                      .job = j};
    enum mk_verdict verdict;

    if (result != MK_AUTH_OK && result != MK_AUTH_NO_ACCOUNT) {
        job_done(j, "its keys cannot be read");
        return;
    }
    mk_xml_open(j->xml, "user", NULL);
    mk_xml_attr_str(j->xml, "name", mk_jid_local(j->account));
    if (cred)
        credentials_write(j->xml, cred);
    verdict = mk_fire_account_export(j->export->self->export_hook, &ev);
    if (verdict == MK_HELD)
        return;
    j->given = ev.given;
    job_done(j, verdict == MK_DENY ? ev.error ? ev.error : "it cannot be read" : NULL);
}

/* The event points to what the job keeps until it is done. */
static void
hold_nothing(void *ev)
{
    (void)ev;
}

static void
on_exported(void *arg, enum mk_verdict verdict, void *ops_arg)
{
    struct mk_ev_account_export *ev = arg;
    struct job *j = ev->job;

    (void)ops_arg;
    j->given = ev->given;
    job_done(j, verdict == MK_DENY ? ev->error ? ev->error : "it cannot be read" : NULL);
}

static void
begin(struct export *ex, const char *name)
{
    struct mk_host *host = ex->hosts[ex->host_at];
    const struct mk_auth *auth = ex->self->auth;
    struct job *j = mk_zalloc(sizeof(*j));

    *j = (struct job){.export = ex, .host = host,
                      .account = mk_jid_new(mk_str_of(name), mk_str_of(mk_host_name(host)), MK_STR("")),
                      .xml = mk_xml_new(NS_PIE)};
    if (!j->account) {
        mk_log(ex->self->module, MK_LOG_WARN, "xep0227.name", "the account '%s' of '%s' is left out: this is no address", name,
               mk_host_name(host));
        job_free(j);
        return;
    }
    *ex->end = j;
    ex->end = &j->next;
    ex->under_way++;
    auth->lookup(auth->self, host, mk_jid_local(j->account), on_keys, j);
}

/* -- all of them -------------------------------------------------------------------------------- */

static void
forget_page(struct export *ex)
{
    for (size_t i = 0; i < ex->page_count; i++)
        mk_free(ex->page[i]);
    mk_free(ex->page);
    ex->page = NULL;
    ex->page_count = ex->page_at = 0;
}

static void
on_list(enum mk_auth_result result, const struct mk_str *users, size_t count, void *arg)
{
    struct export *ex = arg;

    ex->asking = false;
    forget_page(ex);
    if (result != MK_AUTH_OK)
        give_up(ex, "the accounts cannot be listed", mk_host_name(ex->hosts[ex->host_at]));
    else if (count == 0)
        ex->listed = true;
    ex->page = mk_zalloc((count + 1) * sizeof(*ex->page));
    for (size_t i = 0; result == MK_AUTH_OK && i < count; i++)
        ex->page[ex->page_count++] = mk_str_dup(users[i]);
    if (ex->page_count) {
        mk_free(ex->last);
        ex->last = mk_strdup(ex->page[ex->page_count - 1]);
    }
    go_on(ex);
}

static void
open_host(struct export *ex)
{
    struct mk_buf line = {0};

    mk_buf_add_cstr(&line, "<host jid='");
    mk_xml_escape(&line, mk_str_of(mk_host_name(ex->hosts[ex->host_at])));
    mk_buf_add_cstr(&line, "'>\n");
    put(ex, mk_buf_str(&line));
    mk_buf_release(&line);
    mk_free(ex->last);
    ex->last = mk_strdup("");
    ex->host_open = true;
    ex->listed = false;
}

/* Whole, and on the disk, before it gets its name. */
static void
close_file(struct export *ex)
{
    bool good = fflush(ex->out) == 0 && (!ex->part || fsync(fileno(ex->out)) == 0);

    if (ex->part && fclose(ex->out) != 0)
        good = false;
    if (!good || (ex->part && !ex->bad && rename(ex->part, ex->file) < 0))
        give_up(ex, "cannot write", strerror(errno));
    if (ex->part && ex->bad)
        unlink(ex->part);
}

static void
finish(struct export *ex)
{
    put(ex, MK_STR("</server-data>\n"));
    close_file(ex);
    progress_end(&ex->progress);
    if (!ex->bad)
        fprintf(ex->part ? stdout : stderr, "exported %zu users with %zu things (%.1f s)\n", ex->users, ex->things,
                (double)(mk_now_ms() - ex->progress.began) / 1000);
    mk_task_end(ex->bad ? &ex->err : NULL);
    forget_page(ex);
    mk_free(ex->last);
    mk_free(ex->hosts);
    mk_free(ex->part);
    mk_free(ex);
}

/* Starts what there is room for; true when nothing more comes from this host. */
static bool
start_more(struct export *ex)
{
    const struct xep0227_conf *conf = mk_module_conf(ex->self->module, NULL);
    const struct mk_auth *auth = ex->self->auth;

    while (ex->page_at < ex->page_count && ex->under_way < (size_t)conf->parallel)
        begin(ex, ex->page[ex->page_at++]);
    if (ex->page_at < ex->page_count || ex->asking)
        return false;
    if (!ex->listed) {
        ex->asking = true;
        auth->list(auth->self, ex->hosts[ex->host_at], mk_str_of(ex->last), PAGE, on_list, ex);
        return false;
    }
    return ex->under_way == 0;
}

static bool
all_done(const struct export *ex)
{
    const struct job *j = ex->first;

    while (j && j->done)
        j = j->next;
    return !j && !ex->asking;
}

/* True: nothing more comes. */
static bool
walk_hosts(struct export *ex)
{
    while (ex->host_at < ex->host_count) {
        if (!ex->host_open)
            open_host(ex);
        if (!start_more(ex))
            return false;
        put(ex, MK_STR("</host>\n"));
        ex->host_open = false;
        ex->host_at++;
    }
    return true;
}

static void
pump(void *arg)
{
    struct export *ex = arg;
    uint64_t total = ex->total > ex->users ? ex->total : ex->users;

    ex->deferred = false;
    write_ready(ex);
    progress_show(&ex->progress, total ? (double)ex->users / (double)total : 0, ex->users);
    /* After a failure those under way come back first. */
    if ((ex->bad || walk_hosts(ex)) && all_done(ex) && !ex->deferred) {
        write_ready(ex);
        finish(ex);
    }
}

/* -- the beginning ------------------------------------------------------------------------------- */

static int
open_file(struct export *ex, struct mk_error *err)
{
    int fd;

    if (strcmp(ex->file, "-") == 0) {
        ex->out = stdout;
        return 0;
    }
    if (access(ex->file, F_OK) == 0)
        return mk_fail(err, "'%s' is there already", ex->file);
    ex->part = mk_printf_new("%s.part", ex->file);
    /* Keys of accounts, and messages. */
    fd = open(ex->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || !(ex->out = fdopen(fd, "w")))
        return mk_fail(err, "cannot make '%s': %s", ex->part, strerror(errno));
    return 0;
}

static int
choose_hosts(struct export *ex, size_t argc, char *const *argv, struct mk_error *err)
{
    struct mk_host *host;

    while (mk_host_nth(ex->host_count))
        ex->host_count++;
    ex->hosts = mk_zalloc((ex->host_count + argc + 1) * sizeof(*ex->hosts));
    for (size_t i = 0; i < ex->host_count; i++)
        ex->hosts[i] = mk_host_nth(i);
    if (argc == 0)
        return 0;
    ex->host_count = 0;
    for (size_t i = 0; i < argc; i++) {
        struct mk_buf domain = {0};

        host = mk_prep_domain(&domain, mk_str_of(argv[i])) == 0 ? mk_host_find(mk_buf_str(&domain)) : NULL;
        mk_buf_release(&domain);
        if (!host)
            return mk_fail(err, "this server does not serve '%s'", argv[i]);
        ex->hosts[ex->host_count++] = host;
    }
    return 0;
}

static void
on_count(enum mk_auth_result result, uint64_t count, void *arg)
{
    struct export *ex = arg;

    if (result == MK_AUTH_OK)
        ex->total += count;
    if (++ex->host_at < ex->host_count) {
        ex->self->auth->count(ex->self->auth->self, ex->hosts[ex->host_at], on_count, ex);
        return;
    }
    ex->host_at = 0;
    go_on(ex);
}

int
export_run(void *self, size_t argc, char *const *argv, struct mk_error *err)
{
    struct xep0227 *x = self;
    struct export *ex;

    if (!MK_HAS(x->auth, count) || !x->auth->list || !x->auth->count)
        return mk_fail(err, "this server does not know who its accounts are");
    ex = mk_zalloc(sizeof(*ex));
    *ex = (struct export){.self = x, .file = argv[0]};
    ex->end = &ex->first;
    if (choose_hosts(ex, argc - 1, argv + 1, err) < 0 || open_file(ex, err) < 0) {
        mk_free(ex->hosts);
        mk_free(ex->part);
        mk_free(ex);
        return -1;
    }
    put(ex, MK_STR("<?xml version='1.0' encoding='UTF-8'?>\n<server-data xmlns='" NS_PIE "'>\n"));
    progress_begin(&ex->progress, "export");
    x->auth->count(x->auth->self, ex->hosts[0], on_count, ex);
    return 0;
}

int
export_define(struct xep0227 *self)
{
    static const struct mk_hook_hold_ops ops = {hold_nothing, hold_nothing, on_exported};

    self->export_hook = mk_define_account_export(self->module, &ops, NULL);
    return self->export_hook ? 0 : -1;
}
