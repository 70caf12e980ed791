/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * For tests: work on the offload pool that takes until a file is there (option `gate`). Messages with
 * <slow xmlns='test'/> are held so long on their way to an account.
 */
#include <unistd.h>

#include <meerkat/meerkat.h>
#include <meerkat/router.h>

struct slow_conf {
    char *gate;
};

static const struct mk_option options[] = {
    MK_OPTION_PATH(struct slow_conf, gate, NULL, MK_OPT_REQUIRED, "file that ends the work"),
    MK_OPTION_END};

struct job {
    struct mk_hold *hold;
    char *gate;
};

static void
work(void *arg)
{
    while (access(((struct job *)arg)->gate, F_OK) != 0)
        usleep(5000);
}

static void
done(void *arg)
{
    struct job *job = arg;

    mk_resume(&job->hold, MK_CONTINUE);
    mk_free(job->gate);
    mk_free(job);
}

static enum mk_verdict
on_account(struct mk_ev_route *ev, void *arg)
{
    struct mk_module *m = arg;
    const struct slow_conf *conf = mk_module_conf(m, NULL);
    struct job *job;

    if (!mk_stanza_has(ev->stanza, "slow", "test"))
        return MK_CONTINUE;
    job = mk_zalloc(sizeof(*job));
    job->hold = mk_hold(&ev->head);
    job->gate = mk_strdup(conf->gate);
    if (mk_offload(m, work, done, job) < 0)
        MK_BUG("the pool is full");
    return MK_HANDLED;
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    (void)err;
    return mk_on(m, account_in, MK_PRIO_NORMAL, on_account, m);
}

static void
stop(struct mk_module *m)
{
    mk_log(m, MK_LOG_INFO, "slow.stop", "told to stop");
}

MK_MODULE(.name = "t_slow", .version = "1.0", .summary = "slow work, for tests",
          .depends = (const char *const[]){"router", NULL}, .options = options,
          .conf_size = sizeof(struct slow_conf), .init = init, .stop = stop);
