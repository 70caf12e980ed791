/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* XEP-0160 §3 (which messages), XEP-0334 (hints), XEP-0203 (stamps), XEP-0023 (expiry). */
#include "config.h"

#include "rules.h"

#include <stdlib.h>

#define NS_HINTS "urn:xmpp:hints"
#define NS_EXPIRE "jabber:x:expire"

/* What says something only beside other content, or only at the moment. */
static bool
is_light(const char *name, const char *ns)
{
    static const char *const light[] = {
        "http://jabber.org/protocol/chatstates", "jabber:x:event", NS_HINTS, NS_DELAY,
        "jabber:x:delay", NS_EXPIRE, "urn:xmpp:sid:0", "urn:xmpp:carbons:2",
        "http://jabber.org/protocol/nick",
    };

    if (strcmp(ns, MK_NS_CLIENT) == 0)
        return strcmp(name, "thread") == 0;
    for (size_t i = 0; i < MK_COUNT(light); i++) {
        if (strcmp(ns, light[i]) == 0)
            return true;
    }
    return false;
}

static bool
has_content(const struct mk_stanza *st)
{
    const char *name, *ns;

    for (size_t i = 0; mk_stanza_nth(st, i, &name, &ns); i++) {
        if (!is_light(name, ns))
            return true;
    }
    return false;
}

enum rule
rule_of(const struct mk_stanza *st)
{
    switch (mk_stanza_type(st)) {
    case MK_TYPE_ERROR:
    case MK_TYPE_HEADLINE:
        return RULE_DROP;
    case MK_TYPE_GROUPCHAT:
        return RULE_REFUSE;
    default:
        break;
    }
    /* no-permanent-store speaks of archives: a message that waits may stay (XEP-0334 §4.2). */
    if (mk_stanza_has(st, "no-store", NS_HINTS))
        return mk_stanza_has(st, "body", MK_NS_CLIENT) ? RULE_REFUSE : RULE_DROP;
    if (mk_stanza_has(st, "store", NS_HINTS) || has_content(st))
        return RULE_KEEP;
    return RULE_DROP;
}

int64_t
rule_stamp(const struct mk_stanza *st, const char *host)
{
    const struct mk_node *delay;
    int64_t at;

    if (!mk_stanza_has(st, "delay", NS_DELAY))
        return -1;
    for (delay = mk_stanza_child(st, "delay", NS_DELAY); delay;
         delay = mk_node_next(delay, "delay", NS_DELAY)) {
        const char *from = mk_node_attr(delay, "from"), *stamp = mk_node_attr(delay, "stamp");

        if (from && stamp && strcmp(from, host) == 0 && mk_time_parse(mk_str_of(stamp), &at) == 0)
            return at;
    }
    return -1;
}

int64_t
rule_expiry(const struct mk_stanza *st)
{
    const struct mk_node *x;
    const char *text;
    char *end;
    long seconds;

    if (!mk_stanza_has(st, "x", NS_EXPIRE))
        return -1;
    x = mk_stanza_child(st, "x", NS_EXPIRE);
    text = mk_node_attr(x, "seconds");
    if (!text || *text < '0' || *text > '9')
        return -1;
    seconds = strtol(text, &end, 10);
    /* A hundred years and more are for ever. */
    if (*end || seconds < 0 || seconds > 3153600000L)
        return -1;
    return (int64_t)seconds * 1000000;
}
