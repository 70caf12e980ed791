/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * What the modules that run have registered, as lines for the control socket: for people who look, and for
 * docs/modules. Fields are separated by tabs; the second is the module.
 */
#include "config.h"

#include "server-internal.h"

#include "hook-internal.h"
#include "iq-internal.h"
#include "metrics-internal.h"

static void
tell_handler(const char *hook, const char *module, int prio, const char *fn_name, const char *file,
             int line, void *arg)
{
    (void)fn_name;
    (void)file;
    (void)line;
    mk_buf_printf(arg, "handles\t%s\t%s\t%d\n", module, hook, prio);
}

static void
tell_hook(const char *hook, enum mk_hook_kind kind, const char *module, void *arg)
{
    mk_buf_printf(arg, "fires\t%s\t%s\t%s\n", module, hook,
                  kind == MK_HOOK_FILTER ? "filter" : "notice");
}

static void
tell_iq(const char *module, unsigned types, unsigned to, const char *ns, const char *name, void *arg)
{
    mk_buf_printf(arg, "iq\t%s\t%s\t%s\t%s%s\t%s%s%s\n", module, ns, name ? name : "*",
                  types & MK_IQ_GET ? "get " : "", types & MK_IQ_SET ? "set " : "",
                  to & MK_TO_HOST ? "host " : "", to & MK_TO_SELF ? "self " : "",
                  to & MK_TO_OTHER ? "other" : "");
}

static void
tell_metric(const char *module, const struct mk_metric *m, void *arg)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};

    mk_buf_printf(arg, "metric\t%s\t%s\t%s\t%s\t%s\n", module, m->name, kinds[m->kind],
                  m->labels ? m->labels : "", m->help ? m->help : "");
}

static void
tell_service(const char *module, const char *name, unsigned abi, void *arg)
{
    mk_buf_printf(arg, "service\t%s\t%s\t%u\n", module, name, abi);
}

void
mki_registry_tell(struct mk_buf *out)
{
    mki_hooks_defined(tell_hook, out);
    mki_hooks_each(tell_handler, out);
    mki_iq_each(tell_iq, out);
    mki_services_each(tell_service, out);
    mki_metrics_each(tell_metric, out);
    for (size_t i = 0; i < mki_module_count(); i++) {
        const struct mk_module *m = mki_module_nth(i);

        for (size_t k = 0; k < m->use_count; k++)
            mk_buf_printf(out, "uses\t%s\t%s\n", m->def.name, m->uses[k]->def.name);
    }
}
