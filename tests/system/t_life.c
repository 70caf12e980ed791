/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * For tests of the loader: a module that registers one of everything, tells the log of each step of
 * its life, and answers <life xmlns='test:life'/> with what it sees. The descriptor, and where it fails, come from
 * the command line of the compiler: T_NAME, T_VERSION, T_MAJOR, T_MINOR, T_MAGIC, T_DEPENDS, T_AFTER,
 * T_PROVIDES, T_USES, T_FAIL ("init" or "start").
 */
#include <meerkat/c2s.h>
#include <meerkat/meerkat.h>

#ifndef T_NAME
#define T_NAME "t_life"
#endif
#ifndef T_VERSION
#define T_VERSION "1"
#endif
#ifdef T_MAJOR
#undef MK_ABI_MAJOR
#define MK_ABI_MAJOR T_MAJOR
#endif
#ifdef T_MINOR
#undef MK_ABI_MINOR
#define MK_ABI_MINOR T_MINOR
#endif
#ifdef T_MAGIC
#undef MK_MODULE_MAGIC
#define MK_MODULE_MAGIC T_MAGIC
#endif
#ifndef T_DEPENDS
#define T_DEPENDS NULL
#endif
#ifndef T_AFTER
#define T_AFTER NULL
#endif
#ifndef T_PROVIDES
#define T_PROVIDES NULL
#endif
#ifndef T_USES
#define T_USES NULL
#endif
#ifndef T_FAIL
#define T_FAIL ""
#endif
#ifndef T_DEFAULT
#define T_DEFAULT "5"
#endif

static const char *const colours[] = {"red", "green", NULL};

struct conf {
    int64_t number, fixed;
    uint64_t pause;
    uint64_t size;
    int colour;
    char *secret;
    char *path;
    struct mk_jid *jid;
    struct mk_option_list list, addresses;
    bool flag;
};

static const struct mk_option options[] = {
    MK_OPTION_INT(struct conf, number, T_DEFAULT, "1", "10", MK_OPT_RELOADABLE | MK_OPT_PER_HOST, "reloadable"),
    MK_OPTION_INT(struct conf, fixed, "1", "0", "1000", MK_OPT_PER_HOST, "not reloadable"),
    MK_OPTION_PERIOD(struct conf, pause, "20ms", "10ms", "1h", 0, "of the timers"),
    MK_OPTION_SIZE(struct conf, size, "1K", "1K", "1T", 0, "of nothing"),
    MK_OPTION_ENUM(struct conf, colour, "red", colours, 0, "red | green"),
    MK_OPTION_SECRET(struct conf, secret, NULL, 0, "not shown"),
    MK_OPTION_PATH(struct conf, path, NULL, 0, "of nothing"),
    MK_OPTION_JID(struct conf, jid, NULL, 0, "of nobody"),
    MK_OPTION_LIST(struct conf, list, NULL, 0, "a list"),
    MK_OPTION_ADDRESSES(struct conf, addresses, NULL, 0, "a list of addresses"),
    MK_OPTION_BOOL(struct conf, flag, "no", 0, "yes or no"),
    MK_OPTION_END};

struct life {
    struct mk_module *module;
    struct mk_counter messages;
    unsigned slot;
    unsigned ticks;             /* atomic */
};

/* Counts the messages of a session in its slot, and all in the metric. */
static enum mk_verdict
on_message(struct mk_ev_user *ev, void *arg)
{
    struct life *life = arg;
    unsigned *count = mk_session_slot(ev->session, life->slot);

    if (!count) {
        count = mk_zalloc(sizeof(*count));
        mk_session_slot_set(ev->session, life->slot, count);
    }
    ++*count;
    mk_counter_add(life->messages, 1);
    return MK_CONTINUE;
}

static enum mk_verdict
on_life(struct mk_iq *iq, void *arg)
{
    struct life *life = arg;
    const struct conf *conf = mk_module_conf(life->module, mk_iq_host(iq));
    const unsigned *count = mk_iq_session(iq) ? mk_session_slot(mk_iq_session(iq), life->slot) : NULL;
    struct mk_xml *x = mk_xml_new(NULL);

    mk_xml_open(x, "life", "test:life");
    mk_xml_attr(x, "version", T_VERSION);
    mk_xml_attr_int(x, "number", conf->number);
    mk_xml_attr_int(x, "fixed", conf->fixed);
    mk_xml_attr_int(x, "messages", count ? *count : 0);
    mk_xml_attr_int(x, "ticks", __atomic_load_n(&life->ticks, __ATOMIC_RELAXED));
    mk_iq_reply_result(iq, x);
    return MK_HANDLED;
}

static void
on_tick(void *arg)
{
    __atomic_fetch_add(&((struct life *)arg)->ticks, 1, __ATOMIC_RELAXED);
}

static void
begin_ticks(void *arg)
{
    struct life *life = arg;
    const struct conf *conf = mk_module_conf(life->module, NULL);

    (void)!mk_timer_every(life->module, conf->pause, on_tick, life);
}

static int
fails(struct mk_module *m, const char *step, struct mk_error *err)
{
    mk_log(m, MK_LOG_INFO, "life", "step %s of %s", step, T_NAME " " T_VERSION);
    return strcmp(T_FAIL, step) == 0 ? mk_fail(err, "it was told to fail in %s", step) : 0;
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct life *life = mk_zalloc(sizeof(*life));

    life->module = m;
    mk_module_set(m, life);
    life->messages = mk_counter_new(m, "life_messages_total", NULL, "Messages that " T_NAME " saw");
    if (mk_slot_register(m, MK_SLOT_SESSION, mk_free, &life->slot) < 0 ||
        mk_on(m, user_send_message, MK_PRIO_NORMAL, on_message, life) < 0 ||
        mk_on_iq(m, MK_IQ_GET, MK_TO_HOST, "test:life", "life", on_life, life) < 0 ||
        mk_service_provide(m, "service_" T_NAME, 1, life, err) < 0)
        return -1;
    if (T_USES && !mk_service_get(m, T_USES, 1, err))
        return -1;
    return fails(m, "init", err);
}

static int
start(struct mk_module *m, struct mk_error *err)
{
    for (size_t i = 0; i < mk_worker_count(); i++)
        mk_post(m, mk_worker_nth(i), begin_ticks, mk_module_get(m));
    return fails(m, "start", err);
}

static void
reloaded(struct mk_module *m)
{
    fails(m, "reloaded", NULL);
}

static void
stop(struct mk_module *m)
{
    fails(m, "stop", NULL);
}

static void
unload(struct mk_module *m)
{
    fails(m, "unload", NULL);
    mk_free(mk_module_get(m));
}

MK_MODULE(.name = T_NAME, .version = T_VERSION, .summary = "one of everything, for tests",
          .depends = (const char *const[]){T_DEPENDS, NULL},
          .after = (const char *const[]){T_AFTER, NULL},
          .provides = (const char *const[]){"service_" T_NAME, T_PROVIDES, NULL}, .options = options,
          .conf_size = sizeof(struct conf), .init = init, .start = start, .reloaded = reloaded,
          .stop = stop, .unload = unload);
