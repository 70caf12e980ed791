/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* For tests: a module that crashes when it is asked to, in the way it is asked to. */
#include <stdlib.h>

#include <meerkat/meerkat.h>

static int
overflow(volatile int depth)
{
    volatile char page[4096];

    page[0] = (char)depth;
    return depth + (depth < 1 << 30 ? overflow(depth + 1) : 0) + page[0];
}

static void
crash(const char *how)
{
    volatile int *nowhere = (int *)8;

    if (strcmp(how, "segv") == 0)
        *nowhere = 1;
    else if (strcmp(how, "abort") == 0)
        abort();
    else if (strcmp(how, "overflow") == 0)
        exit(overflow(0));
    else if (strcmp(how, "bug") == 0)
        MK_BUG("asked to have one");
}

static void
work(void *arg)
{
    crash(arg);
}

static void
done(void *arg)
{
    (void)arg;
}

static enum mk_verdict
on_crash(struct mk_iq *iq, void *arg)
{
    const char *how = mk_node_attr(mk_iq_child(iq), "how");
    const char *where = mk_node_attr(mk_iq_child(iq), "where");

    if (where && strcmp(where, "offload") == 0 && mk_offload(arg, work, done, (void *)"segv") == 0)
        return MK_HANDLED;
    crash(how);
    return MK_DENY;
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    (void)err;
    return mk_on_iq(m, MK_IQ_SET, MK_TO_HOST, "meerkat:test:crash", "crash", on_crash, m);
}

MK_MODULE(.name = "t_crash", .version = "1.0", .summary = "crashes on purpose", .init = init);
