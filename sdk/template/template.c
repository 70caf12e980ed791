/* SPDX-License-Identifier: Apache-2.0 */
/* A module to begin with: one option, one handler, one line of log. */
#include <meerkat/meerkat.h>
#include <meerkat/router.h>

struct template_conf {
    bool enabled;
};

static const struct mk_option options[] = {
    MK_OPTION_BOOL(struct template_conf, enabled, "yes", MK_OPT_RELOADABLE, "do anything at all"),
    MK_OPTION_END};

/* What the module keeps while it is loaded. */
struct template {
    struct mk_module *module;
    struct mk_counter seen;
};

/* Every stanza on its way, on the worker that routes it. */
static enum mk_verdict
on_route(struct mk_ev_route *ev, void *arg)
{
    struct template *t = arg;
    const struct template_conf *conf = mk_module_conf(t->module, ev->host);

    if (conf->enabled)
        mk_counter_add(t->seen, 1);
    return MK_CONTINUE;
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct template *t = mk_zalloc(sizeof(*t));

    mk_module_set(m, t);
    t->module = m;
    t->seen = mk_counter_new(m, "template_stanzas_total", NULL, "Stanzas that passed the template");
    if (mk_on(m, route_pre, MK_PRIO_NORMAL, on_route, t) < 0)
        return mk_fail(err, "the handler could not be registered");
    mk_log(m, MK_LOG_INFO, "template.loaded", "hello");
    return 0;
}

static void
unload(struct mk_module *m)
{
    mk_free(mk_module_get(m));
}

MK_MODULE(.name = "template", .version = "1.0", .summary = "A module to begin with",
          .depends = (const char *const[]){"router", NULL}, .options = options,
          .conf_size = sizeof(struct template_conf), .init = init, .unload = unload);
