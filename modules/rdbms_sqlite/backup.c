/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Tasks "backup" and "restore": SQLite's own copying of a database that is in use, into a new file or back from one.
 * A backup is what was committed at one moment; nobody waits for it.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <meerkat/task.h>

#include "priv.h"

struct copying {
    struct sqlite *sqlite;
    const char *from, *to;
    bool into_new;              /* backup */
    struct mk_error err;
    bool failed;
};

static int
open_handle(const char *path, int flags, int busy_timeout, sqlite3 **out, struct mk_error *err)
{
    int rc = sqlite3_open_v2(path, out, flags, NULL);

    if (rc == SQLITE_OK) {
        sqlite3_busy_timeout(*out, busy_timeout);
        return 0;
    }
    mk_fail(err, "cannot open '%s': %s", path, *out ? sqlite3_errmsg(*out) : "no memory");
    sqlite3_close(*out);
    *out = NULL;
    return -1;
}

/* All of it, and every page as it should be. */
static int
check_database(sqlite3 *db, const char *path, struct mk_error *err)
{
    sqlite3_stmt *stmt = NULL;
    const char *text = "it cannot be read";
    int rc = 0;

    if (sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &stmt, NULL) == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
        text = (const char *)sqlite3_column_text(stmt, 0);
    if (!text || strcmp(text, "ok") != 0)
        rc = mk_fail(err, "'%s' is not a sound database: %.200s", path, text ? text : sqlite3_errmsg(db));
    sqlite3_finalize(stmt);
    stmt = NULL;
    if (rc == 0 && sqlite3_prepare_v2(db, "SELECT count(*) FROM meerkat_migrations", -1, &stmt, NULL) != SQLITE_OK)
        rc = mk_fail(err, "'%s' is no database of Meerkat's", path);
    sqlite3_finalize(stmt);
    return rc;
}

static int
copy_pages(sqlite3 *from, sqlite3 *to, const char *name, struct mk_error *err)
{
    sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
    int rc;

    if (!b)
        return mk_fail(err, "cannot write '%s': %s", name, sqlite3_errmsg(to));
    rc = sqlite3_backup_step(b, -1);
    if (sqlite3_backup_finish(b) != SQLITE_OK || rc != SQLITE_DONE)
        return mk_fail(err, "cannot write '%s': %s", name, sqlite3_errstr(rc));
    return 0;
}

static int
copy(const struct copying *c, const char *to_path, struct mk_error *err)
{
    sqlite3 *from = NULL, *to = NULL;
    int timeout = c->sqlite->busy_timeout, rc;

    rc = open_handle(c->from, SQLITE_OPEN_READWRITE, timeout, &from, err);
    if (rc == 0)
        rc = check_database(from, c->from, err);
    if (rc == 0)
        rc = open_handle(to_path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, timeout, &to, err);
    if (rc == 0)
        rc = copy_pages(from, to, to_path, err);
    if (rc == 0)
        rc = check_database(to, to_path, err);
    sqlite3_close(from);
    sqlite3_close(to);
    return rc;
}

/* A file with keys of accounts in it: mode 0600, and under its name only when it is whole. */
static int
copy_to_new(const struct copying *c, struct mk_error *err)
{
    char *part = mk_printf_new("%s.part", c->to);
    int fd = -1, rc = -1;

    if (access(c->to, F_OK) == 0)
        mk_fail(err, "'%s' is there already", c->to);
    else if ((fd = open(part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) < 0)
        mk_fail(err, "cannot make '%s': %s", part, strerror(errno));
    else
        rc = copy(c, part, err);
    if (rc == 0 && (fsync(fd) < 0 || rename(part, c->to) < 0))
        rc = mk_fail(err, "cannot make '%s': %s", c->to, strerror(errno));
    if (fd >= 0 && rc < 0)
        unlink(part);
    if (fd >= 0)
        close(fd);
    mk_free(part);
    return rc;
}

/* The file of the configuration gets the mode that the driver would give it. */
static int
copy_back(const struct copying *c, struct mk_error *err)
{
    int fd = open(c->to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd >= 0)
        close(fd);
    return copy(c, c->to, err);
}

static void
work(void *arg)
{
    struct copying *c = arg;

    c->failed = (c->into_new ? copy_to_new(c, &c->err) : copy_back(c, &c->err)) < 0;
}

static void
done(void *arg)
{
    struct copying *c = arg;
    struct stat st;

    if (!c->failed && stat(c->to, &st) == 0)
        printf("%s %s: %lld bytes\n", c->into_new ? "wrote" : "restored", c->to, (long long)st.st_size);
    mk_task_end(c->failed ? &c->err : NULL);
    mk_free(c);
}

static int
begin(struct sqlite *s, const char *from, const char *to, bool into_new, struct mk_error *err)
{
    struct copying *c = mk_zalloc(sizeof(*c));

    *c = (struct copying){.sqlite = s, .from = from, .to = to, .into_new = into_new};
    if (access(from, F_OK) < 0)
        mk_fail(err, "'%s': %s", from, strerror(errno));
    else if (mk_offload(s->module, work, done, c) < 0)
        mk_fail(err, "no thread is free for it");
    else
        return 0;
    mk_free(c);
    return -1;
}

static int
run_backup(void *self, size_t argc, char *const *argv, struct mk_error *err)
{
    (void)argc;
    return begin(self, ((struct sqlite *)self)->file, argv[0], true, err);
}

static int
run_restore(void *self, size_t argc, char *const *argv, struct mk_error *err)
{
    (void)argc;
    return begin(self, argv[0], ((struct sqlite *)self)->file, false, err);
}

int
backup_provide(struct sqlite *s, struct mk_error *err)
{
    s->backup = (struct mk_task){
        .size = sizeof(s->backup), .self = s, .usage = "NEW-FILE", .min_args = 1, .max_args = 1, .run = run_backup};
    s->restore = (struct mk_task){.size = sizeof(s->restore), .self = s, .usage = "FILE", .min_args = 1,
                                  .max_args = 1, .alone = true, .run = run_restore};
    if (mk_service_provide(s->module, "task_backup", MK_TASK_ABI, &s->backup, err) < 0)
        return -1;
    return mk_service_provide(s->module, "task_restore", MK_TASK_ABI, &s->restore, err);
}
