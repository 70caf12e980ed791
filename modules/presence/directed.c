/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Presence for one addressee (RFC 6121 §4.6): remembered, so that its end is told as well. */
#include "internal.h"

static size_t
find(const struct own *own, const struct mk_jid *to)
{
    size_t i = 0;

    while (i < own->directed_count && !mk_jid_equal(own->directed[i], to))
        i++;
    return i;
}

static void
forget(struct own *own, size_t i)
{
    mk_jid_unref(&own->directed[i]);
    own->directed[i] = own->directed[--own->directed_count];
}

/* Powers of two are the sizes at which the list grows. */
void
directed_remember(struct own *own, const struct mk_jid *to)
{
    size_t n = own->directed_count;

    if ((n & (n - 1)) == 0)
        own->directed = mk_realloc(own->directed, (n ? n * 2 : 1) * sizeof(*own->directed));
    own->directed[own->directed_count++] = mk_jid_ref(to);
}

enum mk_verdict
directed_on_send(struct presence *p, struct mk_ev_user *ev)
{
    const struct presence_conf *conf = mk_module_conf(p->module, NULL);
    const struct mk_jid *to = mk_stanza_to(ev->stanza);
    struct own *own = own_of(p, ev->session);
    size_t i = own ? find(own, to) : 0;

    if (is_over(p, ev->session))
        return MK_HANDLED;
    if (mk_stanza_type(ev->stanza) == MK_TYPE_UNAVAILABLE) {
        if (own && i < own->directed_count)
            forget(own, i);
        return MK_CONTINUE;
    }
    if (mk_stanza_type(ev->stanza) != MK_TYPE_NONE || (own && i < own->directed_count))
        return MK_CONTINUE;
    own = own_need(p, ev->session);
    if (own->directed_count >= (size_t)conf->max_directed) {
        mk_counter_add(p->directed_refused, 1);
        ev->error = MK_ERR_RESOURCE_CONSTRAINT;
        ev->text = "too many addressees of directed presence";
        return MK_DENY;
    }
    directed_remember(own, to);
    return MK_CONTINUE;
}

void
directed_end(struct own *own, struct mk_stanza *st)
{
    while (own->directed_count) {
        struct mk_stanza *copy = mk_stanza_readdress(st, mk_stanza_from(st), own->directed[0]);

        forget(own, 0);
        mk_route(copy);
        mk_stanza_unref(&copy);
    }
}
