/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * Scenarios presence and fanout: one stanza that the server hands to n sessions.
 *
 * Sessions form groups of n + 1.  In `presence` all in a group are in each other's rosters and
 * everybody changes presence; in `fanout` only member 0 sends, and the others receive.  A sender
 * goes on when all n have received one of its `window` outstanding stanzas.
 */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#define GIVE_UP (5 * NSEC) /* a broadcast somebody never received is forgotten after this */

struct slot {
    uint32_t number;
    unsigned left; /* receivers still to hear of it; 0 = free */
    uint64_t at;
};

struct sender {
    struct payload *payloads; /* one, or with --via=directed one a receiver */
    unsigned npayloads;
    unsigned receivers;
    uint32_t next;
    struct slot *slots; /* window of them */
};

struct spread {
    struct sender *senders; /* by session; unused ones have no payload */
};

static const char presence_tail[] = "</status></presence>";
static const char message_tail[] = "</body></message>";

unsigned
group_size(const struct options *o)
{
    return o->contacts + 1;
}

static bool
sends(const struct options *o, unsigned index)
{
    return o->scenario == &scenario_presence || index % group_size(o) == 0;
}

/* Are these two in each other's rosters? */
bool
group_linked(const struct options *o, unsigned a, unsigned b)
{
    return a != b && a / group_size(o) == b / group_size(o) && (sends(o, a) || sends(o, b));
}

static int
check(struct options *o)
{
    unsigned size = group_size(o);
    unsigned rounded = o->sessions / size * size;

    if (o->contacts == 0) {
        fprintf(stderr, "meerkat-bench: --contacts must be at least 1\n");
        return -1;
    }
    if (rounded == 0) {
        fprintf(stderr,
                "meerkat-bench: %u sessions are too few for groups of %u (--contacts + 1)\n",
                o->sessions, size);
        return -1;
    }
    if (rounded != o->sessions)
        fprintf(stderr, "meerkat-bench: using %u sessions, a multiple of %u (--contacts + 1)\n",
                rounded, size);
    o->sessions = rounded;
    if (o->mechanism == MECH_ANONYMOUS && o->via != VIA_DIRECTED) {
        fprintf(stderr, "meerkat-bench: %s via %s needs accounts, not --mechanism=ANONYMOUS\n",
                o->scenario->name, via_name(o->via));
        return -1;
    }
    return 0;
}

static int
check_presence(struct options *o)
{
    if (o->via != VIA_PRESENCE) {
        fprintf(stderr, "meerkat-bench: --via is for the scenario fanout\n");
        return -1;
    }
    return check(o);
}

static bool
wants_roster(const struct options *o)
{
    return o->via == VIA_PRESENCE;
}

/* A headline goes to all resources of one account: all receivers of a group share one. */
static unsigned
account(const struct options *o, unsigned index)
{
    unsigned size = group_size(o);

    if (o->via != VIA_HEADLINE)
        return index;
    return index / size * 2 + (index % size != 0);
}

static void
hello(const struct client *c, char *out, size_t size)
{
    snprintf(out, size, "G %u\n", c->index / group_size(&c->bench->opt));
}

static struct slot *
free_slot(const struct bench *b, struct sender *s)
{
    for (unsigned i = 0; i < b->opt.window; i++)
        if (s->slots[i].left == 0)
            return &s->slots[i];
    return NULL;
}

static void
send_all(struct client *c, struct sender *s, uint32_t number)
{
    struct bench *b = c->bench;
    const char *tail = b->opt.via == VIA_PRESENCE ? presence_tail : message_tail;
    bool corked = c->conn.corked;

    if (s->npayloads > 1)
        c->conn.corked = true;
    for (unsigned i = 0; i < s->npayloads; i++) {
        size_t len = payload_build(b, &s->payloads[i], number, tail);

        if (client_send(c, b->scratch, len, 1) < 0)
            return;
    }
    c->conn.corked = corked;
    if (!corked && s->npayloads > 1 && conn_flush(c) < 0)
        client_fail(c, ERR_CLOSED, "cannot send");
}

static bool
fire(struct client *c)
{
    struct bench *b = c->bench;
    struct spread *spread = b->load;
    struct sender *s = &spread->senders[c->index];
    struct slot *slot = free_slot(b, s);

    if (c->state != CLIENT_ONLINE || slot == NULL)
        return false;
    slot->number = s->next++;
    slot->left = s->receivers;
    slot->at = now_ns();
    b->tally.sent++;
    b->tally.due += s->receivers;
    send_all(c, s, slot->number);
    return c->state == CLIENT_ONLINE && free_slot(b, s) != NULL;
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
is_error(const struct element *el)
{
    char type[16];

    return element_attr(el, "type", type, sizeof(type)) && strcmp(type, "error") == 0;
}

static bool
stanza(struct client *c, const struct element *el)
{
    struct bench *b = c->bench;
    struct spread *spread = b->load;
    unsigned sender, size = group_size(&b->opt);
    struct sender *s;
    uint32_t number;

    if (spread == NULL || !payload_read(b, el, &sender, &number))
        return false;
    if (sender == c->index)
        return !is_error(el); /* the echo of a user's own presence */
    s = &spread->senders[sender];
    if (sender / size != c->index / size || s->payloads == NULL) {
        b->tally.strange++;
        return true;
    }
    for (unsigned i = 0; i < b->opt.window; i++) {
        struct slot *slot = &s->slots[i];

        if (slot->left == 0 || slot->number != number)
            continue;
        bench_delivered(b, slot->at);
        if (--slot->left == 0)
            pump(&b->clients[sender]);
        return true;
    }
    b->tally.disordered++;
    return true;
}

static void
set_up_payloads(struct bench *b, struct sender *s, unsigned index)
{
    unsigned size = group_size(&b->opt), first = index / size * size, n = 0;
    /* The floor is one stanza in, n out, whatever the server needs for it. */
    bool one = b->opt.via != VIA_DIRECTED || b->floor;
    char to[3100], start_tag[3300];

    s->npayloads = one ? 1 : s->receivers;
    s->payloads = bench_alloc(s->npayloads, sizeof(*s->payloads));
    if (b->opt.via == VIA_PRESENCE) {
        payload_init(&s->payloads[0], b, index, "<presence id='\n'><status>");
        return;
    }
    for (unsigned i = first + 1; i < first + size && n < s->npayloads; i++) {
        if (b->clients[i].state != CLIENT_ONLINE)
            continue;
        client_address(&b->clients[i], b->opt.via == VIA_HEADLINE, to, sizeof(to));
        snprintf(start_tag, sizeof(start_tag), "<message to='%s' type='headline' id='\n'><body>",
                 to);
        payload_init(&s->payloads[n++], b, index, start_tag);
    }
}

static int
start(struct bench *b)
{
    struct spread *spread = bench_alloc(1, sizeof(*spread));
    unsigned size = group_size(&b->opt), found = 0;

    spread->senders = bench_alloc(b->nclients, sizeof(*spread->senders));
    b->load = spread;
    for (unsigned i = 0; i < b->nclients; i++) {
        struct sender *s = &spread->senders[i];

        if (!sends(&b->opt, i) || b->clients[i].state != CLIENT_ONLINE)
            continue;
        for (unsigned m = i / size * size; m < i / size * size + size; m++)
            s->receivers += m != i && b->clients[m].state == CLIENT_ONLINE;
        if (s->receivers == 0)
            continue;
        s->slots = bench_alloc(b->opt.window, sizeof(*s->slots));
        set_up_payloads(b, s, i);
        found++;
    }
    if (found == 0) {
        fprintf(stderr, "meerkat-bench: no sender has a receiver online\n");
        return -1;
    }
    for (unsigned i = 0; i < b->nclients; i++)
        if (spread->senders[i].payloads != NULL)
            pump(&b->clients[i]);
    return 0;
}

static void
tick(struct bench *b)
{
    struct spread *spread = b->load;

    for (unsigned i = 0; spread != NULL && i < b->nclients; i++) {
        struct sender *s = &spread->senders[i];
        bool freed = false;

        for (unsigned w = 0; s->payloads != NULL && w < b->opt.window; w++) {
            if (s->slots[w].left > 0 && b->now > s->slots[w].at + GIVE_UP) {
                s->slots[w].left = 0;
                freed = true;
            }
        }
        if (freed)
            pump(&b->clients[i]);
    }
}

static void
release(struct bench *b)
{
    struct spread *spread = b->load;

    if (spread == NULL)
        return;
    for (unsigned i = 0; i < b->nclients; i++) {
        struct sender *s = &spread->senders[i];

        for (unsigned p = 0; p < s->npayloads; p++)
            payload_release(&s->payloads[p]);
        free(s->payloads);
        free(s->slots);
    }
    free(spread->senders);
    free(spread);
    b->load = NULL;
}

const struct scenario scenario_presence = {
    .name = "presence",
    .unit = "presence received by one contact",
    .sessions = 110,
    .contacts = 10,
    .window = 1,
    .check = check_presence,
    .wants_roster = wants_roster,
    .hello = hello,
    .start = start,
    .stanza = stanza,
    .fire = fire,
    .tick = tick,
    .release = release,
};

const struct scenario scenario_fanout = {
    .name = "fanout",
    .unit = "stanza received by one receiver",
    .contacts = 100,
    .window = 1,
    .check = check,
    .wants_roster = wants_roster,
    .account = account,
    .hello = hello,
    .start = start,
    .stanza = stanza,
    .fire = fire,
    .tick = tick,
    .release = release,
};
