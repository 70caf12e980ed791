/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * Subscriptions for the scenarios that need rosters, made through XMPP itself (RFC 6121 section
 * 3), and only those that do not exist yet.  Contacts that are bench accounts but do not belong
 * to the group (from a run with another --contacts) are removed: they would get presence, too.
 */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#define SUB_TO 1u    /* we get their presence */
#define SUB_ASKED 2u /* and have asked for it */

#define MAX_ASKED 200        /* requests on their way at a time */
#define ASK_AGAIN (5 * NSEC) /* without any progress */

#define REMOVE_ID "bench-remove"

/* The session behind a JID when it is linked with c, else -1. */
static long
linked_session(const struct client *c, const char *jid)
{
    long i = options_account_of(&c->bench->opt, jid);

    if (i < 0 || i >= (long)c->bench->nclients ||
        !group_linked(&c->bench->opt, c->index, (unsigned)i))
        return -1;
    return i;
}

static uint8_t *
contact(struct client *c, unsigned index)
{
    return &c->contacts[index % group_size(&c->bench->opt)];
}

static void
take_item(struct client *c, const struct element *item, bool remove_strangers)
{
    char jid[3100], subscription[16] = "";
    long i;

    if (!element_attr(item, "jid", jid, sizeof(jid)))
        return;
    element_attr(item, "subscription", subscription, sizeof(subscription));
    i = linked_session(c, jid);
    if (i >= 0) {
        if (strcmp(subscription, "to") == 0 || strcmp(subscription, "both") == 0)
            *contact(c, (unsigned)i) |= SUB_TO;
        else
            *contact(c, (unsigned)i) &= (uint8_t)~SUB_TO;
    } else if (remove_strangers && options_account_of(&c->bench->opt, jid) >= 0) {
        client_sendf(c, 1,
                     "<iq type='set' id='" REMOVE_ID "'><query xmlns='jabber:iq:roster'>"
                     "<item jid='%s' subscription='remove'/></query></iq>",
                     jid);
    }
}

void
roster_loaded(struct client *c, const struct element *el)
{
    struct element item;
    size_t pos = 0;

    free(c->contacts);
    c->contacts = bench_alloc(group_size(&c->bench->opt), 1);
    while (element_next(el, "item", &pos, &item))
        take_item(c, &item, true);
}

static bool
answer_presence(struct client *c, const struct element *el)
{
    char type[16], from[3100];
    long i;

    if (!element_attr(el, "type", type, sizeof(type)) ||
        !element_attr(el, "from", from, sizeof(from)))
        return false;
    from[strcspn(from, "/")] = '\0';
    i = linked_session(c, from);
    if (i < 0)
        return false;
    if (strcmp(type, "subscribe") == 0)
        client_sendf(c, 1, "<presence to='%s' type='subscribed'/>", from);
    else if (strcmp(type, "subscribed") == 0)
        *contact(c, (unsigned)i) |= SUB_TO;
    else
        return false;
    return true;
}

/* Subscription requests and roster pushes; false = the caller should look at it, too. */
bool
roster_stanza(struct client *c, const struct element *el)
{
    struct element item;
    size_t pos = 0;
    char id[64];

    if (element_is(el, "presence"))
        return answer_presence(c, el);
    if (!element_is(el, "iq"))
        return false;
    /* The contact may have removed us in the meantime: an error is as good as a result. */
    if (element_attr(el, "id", id, sizeof(id)) && strcmp(id, REMOVE_ID) == 0)
        return true;
    if (element_has(el, "jabber:iq:roster"))
        while (element_next(el, "item", &pos, &item))
            take_item(c, &item, false);
    return false;
}

static void
ask(struct client *c, const struct client *whom)
{
    char jid[3100];

    client_address(whom, true, jid, sizeof(jid));
    client_sendf(c, 1, "<presence to='%s' type='subscribe'/>", jid);
}

/* One look at everybody: how many subscriptions are missing?  Asks for some of them. */
static unsigned
ask_some(struct bench *b, bool again)
{
    unsigned size = group_size(&b->opt), missing = 0, asked = 0;

    for (unsigned i = 0; i < b->nclients; i++) {
        struct client *c = &b->clients[i];

        for (unsigned m = 0; m < size && c->state == CLIENT_ONLINE; m++) {
            struct client *other = &b->clients[i / size * size + m];
            uint8_t *state = &c->contacts[m];

            if (!group_linked(&b->opt, i, other->index) || (*state & SUB_TO) ||
                other->state != CLIENT_ONLINE)
                continue;
            missing++;
            if (!again && (*state & SUB_ASKED)) {
                asked++;
            } else if (asked < MAX_ASKED) {
                asked++;
                *state |= SUB_ASKED;
                ask(c, other);
            }
        }
    }
    return missing;
}

int
roster_prepare(struct bench *b)
{
    unsigned missing = ask_some(b, false), last = missing;
    uint64_t progress = now_ns(), asked_again = progress;

    if (missing > 0 && !b->opt.quiet)
        fprintf(stderr, "%u subscriptions to make\n", missing);
    while (missing > 0 && !bench_stopped()) {
        bool again = false;

        bench_step(b, 20);
        if (missing < last) {
            last = missing;
            progress = asked_again = b->now;
        } else if (b->now > asked_again + ASK_AGAIN) {
            again = true;
            asked_again = b->now;
        }
        if (b->now > progress + (uint64_t)(b->opt.timeout * 1e9)) {
            bench_error(b, ERR_ROSTER, "%u subscriptions could not be made", missing);
            return -1;
        }
        missing = ask_some(b, again);
    }
    return 0;
}
