/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* For tests: <metric xmlns='meerkat:test' name='x_total'/> to a host gives the sum over all labels. */
#include <meerkat/meerkat.h>

struct sum {
    const char *name;
    double value;
};

static void
add(const struct mk_metric *metric, void *arg)
{
    struct sum *sum = arg;

    if (strcmp(metric->name, sum->name) == 0)
        sum->value += metric->value;
}

static enum mk_verdict
on_metric(struct mk_iq *iq, void *arg)
{
    const char *name = mk_node_attr(mk_iq_child(iq), "name");
    struct sum sum = {name ? name : "", 0};
    struct mk_xml *x = mk_xml_new(NULL);

    (void)arg;
    mk_metric_each(add, &sum);
    mk_xml_open(x, "metric", "meerkat:test");
    mk_xml_attr_int(x, "value", (int64_t)sum.value);
    mk_xml_close(x);
    mk_iq_reply_result(iq, x);
    return MK_HANDLED;
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    (void)err;
    return mk_on_iq(m, MK_IQ_GET, MK_TO_HOST | MK_TO_HIDDEN, "meerkat:test", "metric", on_metric, NULL);
}

MK_MODULE(.name = "t_metric", .version = "1.0", .summary = "tells tests of metrics", .init = init);
