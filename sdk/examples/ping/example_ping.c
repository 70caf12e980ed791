/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The smallest module that does something: it answers an IQ of a namespace of its own. */
#include <meerkat/meerkat.h>

#define NS_PING "urn:example:ping"

static enum mk_verdict
on_ping(struct mk_iq *iq, void *arg)
{
    (void)arg;
    mk_iq_reply_result(iq, NULL);
    return MK_HANDLED;
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    (void)err;
    /* To the server and to one's own account; disco advertises the namespace. A refusal is in the log. */
    return mk_on_iq(m, MK_IQ_GET, MK_TO_HOST | MK_TO_SELF, NS_PING, "ping", on_ping, NULL);
}

MK_MODULE(.name = "example_ping", .version = "1.0", .summary = "answers <ping xmlns='urn:example:ping'/>",
          .init = init);
