/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Which messages are kept, for how long, and when they were sent first. No state, any thread. */
#ifndef OFFLINE_RULES_H
#define OFFLINE_RULES_H

#include <meerkat/stanza.h>

#define NS_DELAY "urn:xmpp:delay"

enum rule {
    RULE_KEEP,
    RULE_DROP,      /* of no use later: nobody is told */
    RULE_REFUSE,    /* must not be kept, and the sender should know */
};
enum rule rule_of(const struct mk_stanza *st);

/* When our `host` stamped this message before (XEP-0203): µs since 1970, or -1 when it did not. */
int64_t rule_stamp(const struct mk_stanza *st, const char *host);

/* The sender's wish how long it is worth keeping (XEP-0023): µs, or -1. */
int64_t rule_expiry(const struct mk_stanza *st);

#endif
