/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * Scenario chat: sessions 2k and 2k+1 talk to each other.
 *
 * Each side may have `window` messages unanswered: it starts with that much credit, a send takes
 * one, and each message from the peer (every message answers one) gives one back.
 */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

struct side {
    struct payload payload;
    bool active;
    unsigned credit;
    uint32_t next_out, next_in;
};

struct chat {
    struct side *sides;
    uint64_t *sent_at; /* `slots` of them a side, by number */
    uint32_t slots;    /* a power of two */
};

static const char tail[] = "</body></message>";

static int
check(struct options *o)
{
    if (o->sessions % 2 != 0) {
        fprintf(stderr, "meerkat-bench: chat needs an even number of sessions, not %u\n",
                o->sessions);
        return -1;
    }
    if (o->to_bare && o->mechanism == MECH_ANONYMOUS) {
        fprintf(stderr, "meerkat-bench: --to=bare needs accounts, not --mechanism=ANONYMOUS\n");
        return -1;
    }
    return 0;
}

static void
hello(const struct client *c, char *out, size_t size)
{
    snprintf(out, size, "P %u\n", c->index / 2);
}

static struct side *
side_of(const struct client *c)
{
    struct chat *chat = c->bench->load;

    return &chat->sides[c->index];
}

static uint64_t *
sent_at(const struct chat *chat, unsigned index, uint32_t number)
{
    return &chat->sent_at[(size_t)index * chat->slots + (number & (chat->slots - 1))];
}

static bool
fire(struct client *c)
{
    struct bench *b = c->bench;
    struct side *side = side_of(c);
    size_t len;

    if (!side->active || side->credit == 0)
        return false;
    len = payload_build(b, &side->payload, side->next_out, tail);
    side->credit--;
    b->tally.sent++;
    b->tally.due++;
    *sent_at(b->load, c->index, side->next_out) = now_ns();
    side->next_out++;
    if (client_send(c, b->scratch, len, 1) < 0)
        return false;
    return side->credit > 0;
}

static void
pump(struct client *c)
{
    if (!c->bench->loading)
        return;
    if (c->bench->opt.rate > 0)
        bench_ready(c->bench, c);
    else
        while (fire(c))
            ;
}

static bool
stanza(struct client *c, const struct element *el)
{
    struct bench *b = c->bench;
    struct side *side;
    unsigned sender;
    uint32_t number;

    if (el->p[1] != 'm' || b->load == NULL || !payload_read(b, el, &sender, &number))
        return false;
    if (sender != (c->index ^ 1u)) {
        if (sender == c->index)
            return false; /* came back, as an error */
        b->tally.strange++;
        return true;
    }
    side = side_of(c);
    if (number < side->next_in) {
        b->tally.disordered++;
        return true;
    }
    side->next_in = number + 1;
    bench_delivered(b, *sent_at(b->load, sender, number));
    side->credit++;
    pump(c);
    return true;
}

static void
set_up_side(struct chat *chat, struct client *c, const struct client *peer)
{
    struct side *side = &chat->sides[c->index];
    char to[3100], start_tag[3300];

    client_address(peer, c->bench->opt.to_bare, to, sizeof(to));
    snprintf(start_tag, sizeof(start_tag), "<message to='%s' type='chat' id='\n'><body>", to);
    payload_init(&side->payload, c->bench, c->index, start_tag);
    side->active = true;
    side->credit = c->bench->opt.window;
}

static int
start(struct bench *b)
{
    struct chat *chat = bench_alloc(1, sizeof(*chat));
    unsigned pairs = 0;

    chat->slots = 4;
    while (chat->slots < 4 * b->opt.window)
        chat->slots *= 2;
    chat->sides = bench_alloc(b->nclients, sizeof(*chat->sides));
    chat->sent_at = bench_alloc((size_t)b->nclients * chat->slots, sizeof(*chat->sent_at));
    b->load = chat;
    for (unsigned i = 0; i + 1 < b->nclients; i += 2) {
        struct client *one = &b->clients[i], *two = &b->clients[i + 1];

        if (one->state != CLIENT_ONLINE || two->state != CLIENT_ONLINE)
            continue;
        set_up_side(chat, one, two);
        set_up_side(chat, two, one);
        pairs++;
    }
    if (pairs == 0) {
        fprintf(stderr, "meerkat-bench: no pair has both sides online\n");
        return -1;
    }
    for (unsigned i = 0; i < b->nclients; i++)
        if (chat->sides[i].active)
            pump(&b->clients[i]);
    return 0;
}

static void
gone(struct client *c)
{
    struct chat *chat = c->bench->load;

    if (chat == NULL)
        return;
    chat->sides[c->index].active = false;
    chat->sides[c->index ^ 1u].active = false;
}

static void
release(struct bench *b)
{
    struct chat *chat = b->load;

    if (chat == NULL)
        return;
    for (unsigned i = 0; i < b->nclients; i++)
        payload_release(&chat->sides[i].payload);
    free(chat->sides);
    free(chat->sent_at);
    free(chat);
    b->load = NULL;
}

const struct scenario scenario_chat = {
    .name = "chat",
    .unit = "message received by the peer",
    .sessions = 100,
    .window = 1,
    .check = check,
    .hello = hello,
    .start = start,
    .stanza = stanza,
    .gone = gone,
    .fire = fire,
    .release = release,
};
