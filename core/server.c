/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The server: reads the configuration, starts the modules, waits for signals, stops. */
#include "config.h"

#include "server-internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/event.h>
#define _LGPL_SOURCE
#include <urcu/urcu-memb.h>

#include <meerkat/admin.h>
#include <meerkat/jid.h>
#include <meerkat/task.h>

#include "loader-internal.h"
#include "log-internal.h"
#include "option-internal.h"
#include "session-internal.h"
#include "worker-internal.h"

static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const formats[] = {"text", "json", NULL};
static const char *const targets[] = {"stderr", "file", "syslog", "stdout", NULL};

#define C struct mki_core_conf
const struct mk_option mki_core_options[] = {
    MK_OPTION_LIST(C, hosts, "localhost", 0, "domains that this server serves"),
    MK_OPTION_STRING(C, node, "", 0, "name of this node; empty: the machine's name"),
    MK_OPTION_INT(C, workers, "0", "0", "255", 0, "threads that serve; 0: one for each processor"),
    MK_OPTION_PATH(C, state_dir, MK_STATEDIR, 0, "folder for what this node keeps"),
    MK_OPTION_LIST(C, module_path, MK_PKGLIBDIR, 0, "folders in which modules are looked for"),
    MK_OPTION_STRING(C, user, "", 0, "user to become after the ports are open"),
    MK_OPTION_STRING(C, group, "", 0, "group to become; empty: the user's"),
    MK_OPTION_BOOL(C, core_dumps, "no", 0, "leave a core file after a crash, as large as the system allows; it has secrets in it"),
    MK_OPTION_PATH(C, pid_file, "", 0, "file that gets the process number"),
    MK_OPTION_PATH(C, control, "", 0, "Unix socket for commands; empty: control.sock in state_dir"),
    MK_OPTION_PERIOD(C, stop_timeout, "10s", "0s", "10m", MK_OPT_RELOADABLE,
                     "how long a stop may take, of the server or of a module"),
    MK_OPTION_INT(C, offload_threads, "2", "1", "64", 0, "threads for hashing passwords and the like"),
    MK_OPTION_INT(C, offload_queue, "1000", "1", "1000000", 0, "jobs that may wait for these threads"),
    MK_OPTION_END};
#undef C

#define L struct mki_log_conf
const struct mk_option mki_log_options[] = {
    MK_OPTION_ENUM(L, level, "info", levels, MK_OPT_RELOADABLE, "lines below this level are not written"),
    MK_OPTION_LIST(L, levels, "", MK_OPT_RELOADABLE, "levels of single modules: module=level"),
    MK_OPTION_ENUM(L, format, "text", formats, MK_OPT_RELOADABLE, "how a line looks"),
    MK_OPTION_ENUM(L, target, "stderr", targets, MK_OPT_RELOADABLE, "where lines go"),
    MK_OPTION_PATH(L, file, "", MK_OPT_RELOADABLE, "the file for target = file"),
    MK_OPTION_INT(L, rate, "100", "0", "1000000", MK_OPT_RELOADABLE,
                  "lines of one event in ten seconds; more are counted instead; 0: no limit"),
    MK_OPTION_END};
#undef L

static struct {
    const struct mki_args *args;
    struct mki_core_conf conf;
    char node[256];
    struct event_base *base;
    bool stopping;
    bool ready;                 /* atomic: started, and not stopping */
    bool restart;               /* atomic: this stop is followed by another start */
    uint64_t started;
    /* --run and --print-schema: what is wanted besides the configuration, and how it ended. */
    const char *task;
    char *task_module;
    const char *schema;
    bool task_failed;
    struct mk_error task_error;
} server;

const char *
mk_server_version(void)
{
    return PACKAGE_VERSION;
}

const char *
mk_server_node(void)
{
    return server.node;
}

const char *
mk_state_dir(void)
{
    return server.conf.state_dir;
}

uint64_t
mk_server_uptime_ms(void)
{
    return mki_clock_ms() - server.started;
}

const char *
mki_server_not_ready(void *arg)
{
    (void)arg;
    if (__atomic_load_n(&server.ready, __ATOMIC_ACQUIRE))
        return NULL;
    return server.stopping ? "stopping" : "starting";
}

bool
mki_server_is_stopping(void)
{
    return server.stopping;
}

struct event_base *
mki_server_base(void)
{
    return server.base;
}

void
mk_server_status(const char *fmt, ...)
{
    char text[256] = "STATUS=";
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text + 7, sizeof(text) - 7, fmt, ap);
    va_end(ap);
    mki_notify(text);
}

/* -- configuration -------------------------------------------------------------------------- */

static int
log_level_named(const char *name)
{
    for (int i = 0; levels[i]; i++) {
        if (strcmp(levels[i], name) == 0)
            return i;
    }
    return -1;
}

/* Settings from [log]; what is wrong with them goes to the errors. */
static void
apply_log(struct mki_ini *ini, bool apply)
{
    const struct mki_entry *place = mki_ini_place(ini, "log", "levels");
    struct mki_log_conf conf = {0};
    struct mki_log_override overrides[64];
    struct mki_log_settings settings = {.overrides = overrides};
    struct mk_error err;

    if (mki_ini_fill(ini, "log", NULL, mki_log_options, &conf) < 0)
        goto out;
    settings.level = (enum mk_log_level)conf.level;
    settings.format = (enum mki_log_format)conf.format;
    settings.target = (enum mki_log_target)conf.target;
    settings.file = conf.file;
    settings.rate = conf.rate;
    for (size_t i = 0; i < conf.levels.count && i < MK_COUNT(overrides); i++) {
        char *equals = strchr(conf.levels.items[i], '=');
        int level = equals ? log_level_named(equals + 1) : -1;

        if (level < 0) {
            mki_ini_error(ini, place, "[log] 'levels': '%s' is not MODULE=debug, info, warn or error",
                          conf.levels.items[i]);
            continue;
        }
        *equals = '\0';
        overrides[settings.override_count++] =
            (struct mki_log_override){conf.levels.items[i], (enum mk_log_level)level};
    }
    if (settings.target == MKI_LOG_FILE && (!conf.file || !*conf.file))
        mki_ini_error(ini, mki_ini_place(ini, "log", "target"), "[log] 'target' = file needs 'file'");
    if (apply && ini->error_count == 0 && mki_log_configure(&settings, &err) < 0)
        mki_ini_error(ini, mki_ini_place(ini, "log", "file"), "[log] %s", err.text);
out:
    mki_option_free(mki_log_options, &conf);
}

static void
prepare_hosts(struct mki_ini *ini, struct mk_option_list *hosts)
{
    const struct mki_entry *place = mki_ini_place(ini, "meerkat", "hosts");

    for (size_t i = 0; i < hosts->count; i++) {
        struct mk_buf out = {0};

        if (mk_prep_domain(&out, mk_str_of(hosts->items[i])) < 0) {
            mki_ini_error(ini, place, "[meerkat] 'hosts': '%s' is not a domain", hosts->items[i]);
            mk_buf_release(&out);
            continue;
        }
        mk_free(hosts->items[i]);
        hosts->items[i] = mk_buf_take(&out);
        for (size_t k = 0; k < i; k++) {
            if (strcmp(hosts->items[k], hosts->items[i]) == 0)
                mki_ini_error(ini, place, "[meerkat] 'hosts' has '%s' twice", hosts->items[i]);
        }
    }
    if (hosts->count == 0)
        mki_ini_error(ini, place, "[meerkat] 'hosts' is empty: at least one domain is needed");
}

static void
fill_core(struct mki_ini *ini, struct mki_core_conf *conf)
{
    const struct mki_entry *place = mki_ini_place(ini, "meerkat", "hosts");

    (void)mki_ini_fill(ini, "meerkat", NULL, mki_core_options, conf);
    if (!place || !place->bad)
        prepare_hosts(ini, &conf->hosts);
}

static const char *
default_config(void)
{
    static const char installed[] = MK_SYSCONFDIR "/meerkat/meerkat.ini";

    return access(installed, R_OK) == 0 ? installed : NULL;
}

/* What the command line wants besides the configuration. */
static void
add_wanted(struct mki_ini *ini)
{
    if (server.task)
        mki_task_want(ini, &server.conf.module_path, server.task, &server.task_module);
    if (server.schema)
        mki_schema_want(ini, &server.conf.module_path, server.schema);
}

/* Everything that can be known before a module runs. */
static struct mki_ini *
read_all(const struct mki_args *args, bool apply)
{
    const char *file = server.schema ? NULL : args->config ? args->config : default_config();
    struct mki_ini *ini = mki_ini_read(file, args->sets, args->set_count);

    fill_core(ini, &server.conf);
    apply_log(ini, apply);
    if (server.conf.node && *server.conf.node)
        snprintf(server.node, sizeof(server.node), "%s", server.conf.node);
    else
        gethostname(server.node, sizeof(server.node) - 1);
    if (!server.conf.state_dir)
        server.conf.state_dir = mk_strdup("");
    mki_hosts_set(&server.conf.hosts);
    add_wanted(ini);
    mki_modules_load(ini, &server.conf.module_path, &server.conf.hosts);
    mki_ini_unused(ini, &server.conf.hosts);
    return ini;
}

static int
report(struct mki_ini *ini)
{
    if (!ini->error_count)
        return 0;
    fprintf(stderr, "%smeerkatd: %u error%s in the configuration\n", mk_buf_cstr(&ini->errors),
            ini->error_count, ini->error_count == 1 ? "" : "s");
    return -1;
}

static void
forget_all(void)
{
    mki_modules_free();
    mki_hosts_free();
    mki_option_free(mki_core_options, &server.conf);
    memset(&server.conf, 0, sizeof(server.conf));
}

int
mki_server_check(const struct mki_args *args)
{
    struct mki_ini *ini = read_all(args, false);
    int rc = report(ini);

    if (rc == 0)
        printf("the configuration is good: %zu modules\n", mki_module_count());
    mki_ini_free(&ini);
    forget_all();
    return rc == 0 ? 0 : 1;
}

static int
describe_one(const char *name)
{
    struct mk_error err;
    struct mk_module *m = mki_module_open(name, &server.conf.module_path, &err);

    if (!m) {
        fprintf(stderr, "meerkatd: %s\n", err.text);
        return 1;
    }
    mki_describe_module(m, stdout);
    mki_module_close(m);
    return 0;
}

static void
describe_also(const char *name, void *arg)
{
    int *rc = arg;

    putchar('\n');
    *rc |= describe_one(name);
}

static void
describe_core(void)
{
    printf("# The core\n\n## Section [meerkat]\n");
    mki_describe_options(mki_core_options, stdout);
    printf("\n## Section [log]\n");
    mki_describe_options(mki_log_options, stdout);
}

int
mki_server_describe(const struct mki_args *args, const char *name)
{
    struct mki_ini *ini = mki_ini_read(NULL, args->sets, args->set_count);
    int rc = 0;

    fill_core(ini, &server.conf);
    if (name && strcmp(name, "meerkat") != 0 && strcmp(name, "log") != 0) {
        rc = describe_one(name);
    } else {
        describe_core();
        if (!name)
            mki_modules_each_file(&server.conf.module_path, describe_also, &rc);
    }
    mki_ini_free(&ini);
    forget_all();
    return rc;
}

/* -- running -------------------------------------------------------------------------------- */

void
mki_server_stop(void)
{
    server.stopping = true;
    event_base_loopbreak(server.base);
}

void
mki_server_restart(void)
{
    __atomic_store_n(&server.restart, true, __ATOMIC_RELEASE);
}

static struct mki_ini *
read_again(void)
{
    return mki_ini_read(server.args->config ? server.args->config : default_config(),
                        server.args->sets, server.args->set_count);
}

int
mk_config_check(struct mk_buf *errors_out)
{
    struct mki_ini *ini = read_again();
    struct mki_core_conf conf = {0};
    struct mki_reload *reload;
    int rc;

    fill_core(ini, &conf);
    apply_log(ini, false);
    reload = mki_reload_prepare(ini, &server.conf.module_path, &server.conf.hosts, &conf.hosts);
    mki_reload_discard(&reload);
    mk_buf_add_str(errors_out, mk_buf_str(&ini->errors));
    rc = ini->error_count ? -1 : 0;
    mki_option_free(mki_core_options, &conf);
    mki_ini_free(&ini);
    return rc;
}

struct config_each {
    void (*fn)(const struct mk_config_value *value, void *arg);
    void *arg;
};

static void
tell_options(struct config_each *each, const char *section, const struct mk_option *options, const void *conf)
{
    struct mk_buf text = {0};

    for (const struct mk_option *o = options; o && o->type != MK_TYPE_END; o++) {
        struct mk_config_value v = {.size = sizeof(v), .section = section, .key = o->name, .option = o};
        const char *const *secret = (const void *)((const char *)conf + o->offset);

        mk_buf_clear(&text);
        mk_option_text(o, conf, &text);
        v.value = o->type == MK_TYPE_SECRET && *secret && **secret ? NULL : mk_buf_cstr(&text);
        v.preset = v.value && mki_option_is_preset(o, conf);
        each->fn(&v, each->arg);
    }
    mk_buf_release(&text);
}

static void
tell_module(struct config_each *each, const struct mk_module *m)
{
    tell_options(each, m->def.name, m->def.options, m->conf->common);
    for (size_t i = 0; i < m->conf->host_count; i++) {
        char *section = m->conf->hosts[i] ? mk_printf_new("%s@%s", m->def.name, mk_host_name(mk_host_nth(i)))
                                          : NULL;

        if (section)
            tell_options(each, section, m->def.options, m->conf->hosts[i]);
        mk_free(section);
    }
}

void
mk_config_each(void (*fn)(const struct mk_config_value *value, void *arg), void *arg)
{
    struct config_each each = {fn, arg};

    tell_options(&each, "meerkat", mki_core_options, &server.conf);
    for (size_t i = 0; i < mki_module_count(); i++)
        tell_module(&each, mki_module_nth(i));
}

struct file_each {
    void (*fn)(const char *name, void *arg);
    void *arg;
};

static void
tell_file(const char *name, void *arg)
{
    const struct file_each *each = arg;

    if (!mki_module_find(name))
        each->fn(name, each->arg);
}

void
mk_module_each_file(void (*fn)(const char *name, void *arg), void *arg)
{
    struct file_each each = {fn, arg};

    mki_modules_each_file(&server.conf.module_path, tell_file, &each);
}

/* All is parsed and checked, and the log opened, before anything is put in force. */
static int
reload_checked(struct mki_ini *ini, struct mki_core_conf *conf, struct mk_error *err)
{
    struct mk_buf notes = {0};
    struct mki_reload *reload;

    fill_core(ini, conf);
    apply_log(ini, false);
    reload = mki_reload_prepare(ini, &server.conf.module_path, &server.conf.hosts, &conf->hosts);
    if (ini->error_count == 0)
        apply_log(ini, true);
    if (mki_ini_fail(ini, err) < 0) {
        mki_reload_discard(&reload);
        return -1;
    }
    mki_keep_fixed(mki_core_options, "meerkat", &server.conf, conf, &notes);
    for (const struct mk_option *o = mki_core_options; o->type != MK_TYPE_END; o++) {
        if (o->flags & MK_OPT_RELOADABLE)
            mki_option_copy(o, &server.conf, conf);
    }
    mki_modules_patience(server.conf.stop_timeout);
    mki_log_notes(&notes);
    mk_buf_release(&notes);
    mki_reload_commit(&reload);
    return 0;
}

int
mki_server_reload(struct mk_error *err)
{
    struct mki_ini *ini;
    struct mki_core_conf conf = {0};
    int rc;

    mki_notify_reloading();
    ini = read_again();
    rc = reload_checked(ini, &conf, err);
    if (rc < 0) {
        mki_log(MK_LOG_ERROR, "config.kept", "the configuration was not reloaded, the old one stays in "
                "force: %u error%s", ini->error_count, ini->error_count == 1 ? "" : "s");
    } else {
        mki_log(MK_LOG_INFO, "config.reload", "the configuration was reloaded");
        mk_publish(mki_core_module(), "config_reloaded", NULL, 0);
    }
    mki_option_free(mki_core_options, &conf);
    mki_ini_free(&ini);
    mki_notify("READY=1");
    return rc;
}

int
mki_server_module(const char *what, const char *name, struct mk_error *err)
{
    struct mki_ini *ini;
    int rc;

    if (strcmp(what, "load") != 0 && strcmp(what, "unload") != 0 && strcmp(what, "reload") != 0)
        return mk_fail(err, "'%s' is not load, unload or reload", what);
    if (strcmp(what, "unload") == 0)
        return mki_module_remove(name, err);
    ini = read_again();
    rc = mki_ini_fail(ini, err);
    if (rc == 0 && strcmp(what, "load") == 0)
        rc = mki_module_add(name, ini, &server.conf.module_path, &server.conf.hosts, err);
    else if (rc == 0)
        rc = mki_module_replace(name, ini, &server.conf.module_path, &server.conf.hosts, err);
    mki_ini_free(&ini);
    return rc;
}

void
mki_server_tell(struct mk_buf *out)
{
    mk_buf_printf(out, "version\t%s\nnode\t%s\nuptime_ms\t%llu\nworkers\t%zu\n", PACKAGE_VERSION,
                  server.node, (unsigned long long)(mki_clock_ms() - server.started),
                  mk_worker_count());
    for (size_t i = 0; i < mki_module_count(); i++) {
        struct mk_module *m = mki_module_nth(i);

        mk_buf_printf(out, "module\t%s\t%s%s\n", m->def.name, m->def.version,
                      m->state == MKI_STOPPING ? "\tstopping" : "");
    }
}

static void
on_signal(evutil_socket_t sig, short what, void *arg)
{
    struct mk_error err;

    (void)what;
    (void)arg;
    if (sig == SIGHUP) {
        if (mki_log_reopen(&err) < 0)
            mki_log(MK_LOG_ERROR, "log.reopen", "%s", err.text);
        mki_server_reload(&err);
        return;
    }
    mki_log(MK_LOG_INFO, "server.signal", "stopping on signal %d", (int)sig);
    mki_server_stop();
}

/* A stop that takes too long is ended the hard way. */
static void
on_deadline(int sig)
{
    (void)sig;
    mki_log_fatal("the stop took too long");
    _exit(3);
}

static char *
control_path(void)
{
    return server.conf.control && *server.conf.control
               ? mk_strdup(server.conf.control)
               : mk_printf_new("%s/control.sock", server.conf.state_dir);
}

static int
start(struct mk_error *err)
{
    const struct mki_core_conf *conf = &server.conf;
    size_t count = (size_t)conf->workers;
    char *control;
    int rc;

    if (count == 0)
        count = (size_t)sysconf(_SC_NPROCESSORS_ONLN);
    mki_log_metrics();
    mki_raise_limits(conf->core_dumps);
    if (*conf->state_dir && (mki_make_dir(conf->state_dir, err) < 0 ||
                             mki_give(conf->state_dir, conf->user, conf->group, false, err) < 0))
        return -1;
    if (mki_act_as(conf->user, conf->group, err) < 0)
        return -1;
    if (mki_workers_start(count, err) < 0 ||
        mki_offload_start((size_t)server.conf.offload_threads, (size_t)server.conf.offload_queue,
                          err) < 0)
        return -1;
    mki_session_hooks();
    mki_modules_patience(server.conf.stop_timeout);
    if (mki_modules_start(err) < 0)
        return -1;
    control = control_path();
    rc = mki_control_start(server.base, control, err);
    mk_free(control);
    if (rc < 0 || mki_pid_file_write(conf->pid_file, err) < 0 ||
        mki_drop_privileges(conf->user, conf->group, err) < 0)
        return -1;
    return 0;
}

static void
stop(void)
{
    uint64_t limit = server.conf.stop_timeout;

    __atomic_store_n(&server.ready, false, __ATOMIC_RELEASE);
    if (__atomic_load_n(&server.restart, __ATOMIC_ACQUIRE))
        mki_notify_reloading();
    else
        mki_notify("STOPPING=1");
    signal(SIGALRM, on_deadline);
    alarm((unsigned)(limit / 1000 + 1));
    mki_control_stop();
    mki_modules_stop();
    mki_offload_stop();
    urcu_memb_barrier();
    mki_workers_stop();
    urcu_memb_barrier();
    if (!server.task && !server.schema)
        mki_pid_file_remove(server.conf.pid_file);
    alarm(0);
}

static void
wait_for_signals(void)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    struct event *events[MK_COUNT(signals)];

    for (size_t i = 0; i < MK_COUNT(signals); i++) {
        events[i] = evsignal_new(server.base, signals[i], on_signal, NULL);
        event_add(events[i], NULL);
    }
    if (!server.task) {
        mki_log(MK_LOG_INFO, "server.ready", "meerkatd %s is ready: %zu modules, %zu workers",
                PACKAGE_VERSION, mki_module_count(), mk_worker_count());
        mki_notify("READY=1");
        __atomic_store_n(&server.ready, true, __ATOMIC_RELEASE);
    }
    while (!server.stopping && event_base_dispatch(server.base) == 0)
        ;
    for (size_t i = 0; i < MK_COUNT(signals); i++)
        event_free(events[i]);
}

int
mki_server_run(const struct mki_args *args)
{
    struct mk_error err = {""};
    struct mki_ini *ini;
    int rc = 1;

    signal(SIGPIPE, SIG_IGN);
    mki_crash_install();
    server.args = args;
    server.started = mki_clock_ms();
    urcu_memb_register_thread();
    ini = read_all(args, true);
    if (report(ini) == 0) {
        server.base = event_base_new();
        if (!server.base)
            MK_BUG("no event loop");
        if (start(&err) == 0) {
            mki_ini_free(&ini);
            wait_for_signals();
            rc = 0;
        } else {
            mki_log(MK_LOG_ERROR, "server.start", "%s", err.text);
        }
        stop();
        event_base_free(server.base);
    }
    mki_ini_free(&ini);
    mki_log_tail_free();
    forget_all();
    if (rc == 0)
        mki_log(MK_LOG_INFO, "server.stopped", "meerkatd has stopped");
    urcu_memb_unregister_thread();
    return rc == 0 && __atomic_load_n(&server.restart, __ATOMIC_ACQUIRE) ? MKI_RUN_AGAIN : rc;
}

/* -- tasks ---------------------------------------------------------------------------------- */

static void
task_over(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    mki_server_stop();
}

void
mk_task_end(const struct mk_error *err)
{
    struct timeval now = {0, 0};

    server.task_failed = err != NULL;
    if (err)
        server.task_error = *err;
    if (event_base_once(server.base, -1, EV_TIMEOUT, task_over, NULL, &now) < 0)
        MK_BUG("the main loop takes no events");
}

/* As far up as a task needs it: as the user of the configuration, without ports. */
static int
start_task(size_t argc, char **argv, struct mk_error *err)
{
    const struct mki_core_conf *c = &server.conf;
    char *control = control_path();
    int rc = -1;

    if (server.task && *c->state_dir &&
        (mki_make_dir(c->state_dir, err) < 0 || mki_give(c->state_dir, c->user, c->group, false, err) < 0))
        goto out;
    if (mki_drop_privileges(c->user, c->group, err) < 0 || mki_workers_start(1, err) < 0 ||
        mki_offload_start((size_t)c->offload_threads, (size_t)c->offload_queue, err) < 0)
        goto out;
    mki_session_hooks();
    mki_modules_patience(c->stop_timeout);
    if (mki_modules_start_for(server.task_module, err) < 0)
        goto out;
    rc = server.task ? mki_task_begin(server.task, server.task_module, argc, argv, control, err)
                     : mki_schema_print(err);
out:
    mk_free(control);
    return rc;
}

/* `server.task` or `server.schema` says what. */
static int
run_task(const struct mki_args *args, size_t argc, char **argv)
{
    struct mk_error err = {""};
    struct mki_ini *ini;
    bool by_root = geteuid() == 0;
    int rc = 1;

    signal(SIGPIPE, SIG_IGN);
    mki_crash_install();
    server.args = args;
    server.stopping = false;
    server.task_failed = true;
    mk_fail(&server.task_error, "it was interrupted");
    urcu_memb_register_thread();
    ini = read_all(args, false);
    if (report(ini) == 0) {
        server.base = event_base_new();
        if (!server.base)
            MK_BUG("no event loop");
        rc = start_task(argc, argv, &err);
        mki_ini_free(&ini);
        if (rc == 0 && server.task) {
            wait_for_signals();
            err = server.task_error;
            rc = server.task_failed ? -1 : 0;
        }
        stop();
        event_base_free(server.base);
        if (rc < 0)
            fprintf(stderr, "meerkatd: %s\n", err.text);
        if (rc < 0 && by_root && geteuid() != 0 && strstr(err.text, strerror(EACCES)))
            fprintf(stderr, "meerkatd: a task is user '%s', who must be able to reach the file\n", server.conf.user);
    }
    mki_ini_free(&ini);
    forget_all();
    mk_free(server.task_module);
    server.task_module = NULL;
    urcu_memb_unregister_thread();
    return rc == 0 ? 0 : 1;
}

int
mki_server_schema(const struct mki_args *args, const char *driver)
{
    server.schema = driver;
    return run_task(args, 0, NULL);
}

int
mki_server_task(const struct mki_args *args, const char *name, size_t argc, char **argv)
{
    struct mki_ini *ini;

    if (name) {
        server.task = name;
        return run_task(args, argc, argv);
    }
    ini = mki_ini_read(NULL, args->sets, args->set_count);
    fill_core(ini, &server.conf);
    mki_task_list(&server.conf.module_path);
    mki_ini_free(&ini);
    forget_all();
    return 0;
}
