/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Task "account": accounts made, changed and removed from the command line, without a running node. */
#include <meerkat/auth.h>
#include <meerkat/jid.h>
#include <meerkat/meerkat.h>
#include <meerkat/task.h>

#include <stdio.h>

#define LINE_BYTES 1100

struct accounts {
    struct mk_module *module;
    struct mk_task task;
    const struct mk_auth *auth;
    struct mk_jid *jid;
    struct mk_buf password;
    const char *done;           /* what to say at the end */
};

static const char *
reason_of(enum mk_auth_result result)
{
    switch (result) {
    case MK_AUTH_EXISTS:
        return "there is such an account already";
    case MK_AUTH_NO_ACCOUNT:
        return "there is no such account";
    case MK_AUTH_UNAVAILABLE:
        return "the database does not answer";
    case MK_AUTH_NOT_ALLOWED:
        return "the name or the password is not acceptable, or accounts of this server are made elsewhere";
    default:
        return "it was not possible";
    }
}

static void
on_done(enum mk_auth_result result, void *arg)
{
    struct accounts *self = arg;
    struct mk_str jid = mk_jid_text(self->jid);
    struct mk_error err;

    if (result == MK_AUTH_OK) {
        printf("%s %.*s\n", self->done, (int)jid.len, jid.p);
        mk_task_end(NULL);
        return;
    }
    mk_fail(&err, "%.*s: %s", (int)jid.len, jid.p, reason_of(result));
    mk_task_end(&err);
}

static int
read_password(struct accounts *self, struct mk_error *err)
{
    char line[LINE_BYTES];

    if (!fgets(line, sizeof(line), stdin))
        return mk_fail(err, "standard input has no line with the password");
    line[strcspn(line, "\r\n")] = '\0';
    mk_buf_add_cstr(&self->password, line);
    mk_wipe(line, sizeof(line));
    return self->password.len ? 0 : mk_fail(err, "the password is empty");
}

static int
run(void *arg, size_t argc, char *const *argv, struct mk_error *err)
{
    struct accounts *self = arg;
    bool add = strcmp(argv[0], "add") == 0, change = strcmp(argv[0], "password") == 0;
    struct mk_host *host;
    struct mk_str user;

    (void)argc;
    if (!add && !change && strcmp(argv[0], "remove") != 0)
        return mk_fail(err, "'%s' is not add, password or remove", argv[0]);
    self->jid = mk_jid_parse(mk_str_of(argv[1]));
    if (!self->jid || !mk_jid_is_bare(self->jid) || mk_jid_is_domain(self->jid))
        return mk_fail(err, "'%s' is not USER@HOST", argv[1]);
    if (!(host = mk_host_find(mk_jid_domain(self->jid))))
        return mk_fail(err, "'%s': this server does not serve that host", argv[1]);
    user = mk_jid_local(self->jid);
    if (!add && !change) {
        self->done = "removed account";
        self->auth->remove(self->auth->self, host, user, on_done, self);
        return 0;
    }
    if (read_password(self, err) < 0)
        return -1;
    self->done = add ? "made account" : "changed the password of account";
    (add ? self->auth->create : self->auth->set_password)(self->auth->self, host, user, mk_buf_str(&self->password),
                                                          on_done, self);
    return 0;
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct accounts *self = mk_zalloc(sizeof(*self));

    mk_module_set(m, self);
    self->module = m;
    self->auth = mk_service_get(m, "auth", MK_AUTH_ABI, err);
    if (!self->auth)
        return -1;
    self->task = (struct mk_task){.size = sizeof(self->task),
                                  .self = self,
                                  .usage = "add|password|remove USER@HOST",
                                  .min_args = 2,
                                  .max_args = 2,
                                  .run = run};
    return mk_service_provide(m, "task_account", MK_TASK_ABI, &self->task, err);
}

static void
unload(struct mk_module *m)
{
    struct accounts *self = mk_module_get(m);

    mk_jid_unref(&self->jid);
    if (self->password.len)
        mk_wipe(self->password.data, self->password.len);
    mk_buf_release(&self->password);
    mk_free(self);
}

MK_MODULE(.name = "accounts", .version = "1.0", .summary = "accounts from the command line, without a running node",
          .depends = (const char *const[]){"auth", NULL}, .provides = (const char *const[]){"task_account", NULL},
          .init = init, .unload = unload);
