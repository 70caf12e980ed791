/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* What needs the modules but no running node: --run and --print-schema. server.c has the way up and down. */
#include "config.h"

#include "server-internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <meerkat/rdbms.h>
#include <meerkat/task.h>
#include <meerkat/worker.h>

#include "loader-internal.h"
#include "option-internal.h"

#define TASK "task_"
#define TASK_LEN (sizeof(TASK) - 1)

/* -- finding -------------------------------------------------------------------------------- */

struct search {
    const struct mk_option_list *path;
    struct mki_ini *ini;
    const char *service;        /* NULL: list all tasks */
    char *found;                /* module */
    char *nearest;
    unsigned distance;
};

static void
look_at(struct search *s, const struct mk_module *m, const char *service)
{
    unsigned d;

    if (strncmp(service, TASK, TASK_LEN) != 0)
        return;
    if (!s->service) {
        printf("%-12s %s\n", service + TASK_LEN, m->def.summary);
        return;
    }
    if (strcmp(service, s->service) == 0 && !s->found)
        s->found = mk_strdup(m->def.name);
    d = mki_edit_distance(service, s->service);
    if (d >= s->distance)
        return;
    s->distance = d;
    mk_free(s->nearest);
    s->nearest = mk_strdup(service + TASK_LEN);
}

static void
look_into(const char *name, void *arg)
{
    struct search *s = arg;
    struct mk_module *m = mki_module_open(name, s->path, NULL);

    if (!m)
        return;
    for (const char *const *p = m->def.provides; p && *p; p++)
        look_at(s, m, *p);
    mki_module_close(m);
}

void
mki_task_list(const struct mk_option_list *path)
{
    struct search s = {.path = path};

    mki_modules_each_file(path, look_into, &s);
}

void
mki_task_want(struct mki_ini *ini, const struct mk_option_list *path, const char *name, char **module_out)
{
    char *service = mk_printf_new(TASK "%s", name);
    struct search s = {.path = path, .service = service, .distance = (unsigned)strlen(name) / 2 + 1};

    mki_modules_each_file(path, look_into, &s);
    if (s.found)
        mki_ini_add(ini, s.found, NULL, NULL, "--run", 0);
    else if (s.nearest)
        mki_ini_error(ini, NULL, "there is no task '%s'; did you mean '%s'?", name, s.nearest);
    else
        mki_ini_error(ini, NULL, "there is no task '%s' in the modules of the module path", name);
    *module_out = s.found;
    mk_free(s.nearest);
    mk_free(service);
}

/* -- running -------------------------------------------------------------------------------- */

struct running {
    const struct mk_task *task;
    size_t argc;
    char **argv;
};

static void
run_on_worker(void *arg)
{
    struct running *r = arg;
    struct mk_error err = {""};

    if (r->task->run(r->task->self, r->argc, r->argv, &err) < 0)
        mk_task_end(&err);
    mk_free(r);
}

/* Does somebody answer on the control socket? */
static bool
is_running(const char *control)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd, rc;

    if (strlen(control) >= sizeof(a.sun_path))
        return false;
    strcpy(a.sun_path, control);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    rc = connect(fd, (struct sockaddr *)&a, sizeof(a));
    close(fd);
    return rc == 0;
}

int
mki_task_begin(const char *name, const char *module, size_t argc, char **argv, const char *control,
               struct mk_error *err)
{
    struct mk_module *m = mki_module_find(module);
    char *service = mk_printf_new(TASK "%s", name);
    const struct mk_task *task = mk_service_get(mki_core_module(), service, MK_TASK_ABI, err);
    struct running *r;

    mk_free(service);
    if (!task)
        return -1;
    if (argc < task->min_args || argc > task->max_args)
        return mk_fail(err, "usage: meerkatd --run %s %s", name, task->usage);
    if (task->alone && is_running(control))
        return mk_fail(err, "a node is running here (%s): stop it first", control);
    r = mk_zalloc(sizeof(*r));
    *r = (struct running){task, argc, argv};
    mk_post(m, mk_worker_nth(0), run_on_worker, r);
    return 0;
}

/* -- the schema ----------------------------------------------------------------------------- */

static void
want_tables(const char *name, void *arg)
{
    struct search *s = arg;
    struct mk_module *m = mki_module_open(name, s->path, NULL);
    bool wants = false;

    if (!m)
        return;
    for (const char *const *d = m->def.depends; d && *d; d++)
        wants |= strcmp(*d, "rdbms") == 0;
    for (const char *const *d = m->def.after; d && *d; d++)
        wants |= strcmp(*d, "rdbms") == 0;
    if (wants)
        mki_ini_add(s->ini, name, NULL, NULL, "--print-schema", 0);
    mki_module_close(m);
}

void
mki_schema_want(struct mki_ini *ini, const struct mk_option_list *path, const char *driver)
{
    struct search s = {.path = path, .ini = ini};

    mki_ini_add(ini, "rdbms", "driver", driver, "--print-schema", 0);
    mki_modules_each_file(path, want_tables, &s);
}

static void
print_migration(const char *module, unsigned number, const char *sql, void *arg)
{
    (void)arg;
    printf("-- module %s, migration %u\n%s\n", module, number, sql);
}

int
mki_schema_print(struct mk_error *err)
{
    const struct mk_rdbms *db = mk_service_get(mki_core_module(), "rdbms", MK_RDBMS_ABI, err);

    if (!db)
        return -1;
    db->print_schema(db->self, print_migration, NULL);
    if (fflush(stdout) != 0)
        return mk_fail(err, "cannot write: %s", strerror(errno));
    return 0;
}
