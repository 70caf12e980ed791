/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * The stanzas of the load.  Their text starts with a marker by which the receiver knows what it
 * has: "~RRRR.SSSSS.NNNNNNNN~" (run, sender, number; hexadecimal), then padding up to --body.
 * The run is in it so that messages left in an offline store by an earlier run are not counted.
 */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#define NUMBER_LEN 8
#define SENDER_LEN 5

static void
put_hex(char *out, uint32_t value)
{
    static const char digits[] = "0123456789abcdef";

    for (int i = NUMBER_LEN - 1; i >= 0; i--) {
        out[i] = digits[value & 15];
        value >>= 4;
    }
}

static bool
get_hex(const char *p, unsigned len, uint32_t *value_out)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < len; i++) {
        char ch = p[i];

        if (ch >= '0' && ch <= '9')
            value = value << 4 | (uint32_t)(ch - '0');
        else if (ch >= 'a' && ch <= 'f')
            value = value << 4 | (uint32_t)(ch - 'a' + 10);
        else
            return false;
    }
    *value_out = value;
    return true;
}

/* start_tag: up to where the id attribute's value goes, then a newline, then the rest up to the
 * text, as in "<message id='\n'><body>". */
void
payload_init(struct payload *p, struct bench *b, unsigned sender, const char *start_tag)
{
    const char *cut = strchr(start_tag, '\n');
    size_t len = strlen(start_tag) + BENCH_MARK_LEN + SENDER_LEN + 2;

    p->head = bench_alloc(1, len);
    p->middle_at = (size_t)(cut - start_tag);
    memcpy(p->head, start_tag, p->middle_at);
    p->head_len = p->middle_at + (size_t)snprintf(p->head + p->middle_at, len - p->middle_at,
                                                  "%s%s%05x.", cut + 1, b->mark, sender);
}

void
payload_release(struct payload *p)
{
    free(p->head);
    memset(p, 0, sizeof(*p));
}

size_t
payload_build(struct bench *b, const struct payload *p, uint32_t number, const char *tail)
{
    size_t pad = b->opt.body - (BENCH_MARK_LEN + SENDER_LEN + 1 + NUMBER_LEN + 1);
    size_t middle = p->head_len - p->middle_at, tail_len = strlen(tail);
    char *out = b->scratch;

    memcpy(out, p->head, p->middle_at);
    out += p->middle_at;
    put_hex(out, number);
    out += NUMBER_LEN;
    memcpy(out, p->head + p->middle_at, middle);
    out += middle;
    put_hex(out, number);
    out += NUMBER_LEN;
    *out++ = '~';
    memcpy(out, b->padding, pad);
    out += pad;
    memcpy(out, tail, tail_len);
    return (size_t)(out - b->scratch) + tail_len;
}

bool
payload_read(const struct bench *b, const struct element *el, unsigned *sender_out,
             uint32_t *number_out)
{
    const char *p = memmem(el->p, el->len, b->mark, BENCH_MARK_LEN);

    if (p == NULL)
        return false;
    p += BENCH_MARK_LEN;
    if (el->p + el->len - p < SENDER_LEN + 1 + NUMBER_LEN)
        return false;
    return get_hex(p, SENDER_LEN, sender_out) &&
           get_hex(p + SENDER_LEN + 1, NUMBER_LEN, number_out) && *sender_out < b->nclients;
}
