/* SPDX-License-Identifier: Apache-2.0 */
/* Answers <ping xmlns='urn:example:ping'/> with a pong: the smallest useful module. */
#include <meerkat/meerkat.h>

#define NS "urn:example:ping"

static enum mk_verdict
on_ping(struct mk_iq *iq, void *arg)
{
    struct mk_xml *x = mk_xml_new(NULL);

    (void)arg;
    mk_xml_open(x, "pong", NS);
    mk_xml_attr_jid(x, "you", mk_iq_from(iq));
    mk_iq_reply_result(iq, x);
    return MK_HANDLED;
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    if (mk_on_iq(m, MK_IQ_GET, MK_TO_HOST, NS, "ping", on_ping, NULL) < 0)
        return mk_fail(err, "the handler could not be registered");
    return 0;
}

MK_MODULE(.name = "ping_example", .version = "1.0", .summary = "Example: answers a ping", .init = init);
