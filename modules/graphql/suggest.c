/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* "Did you mean …?": names that resemble what was written. */
#include "config.h"

#include <ctype.h>
#include <strings.h>

#include "error.h"

#define LONGEST 64 /* names longer than that are nobody's typing mistake */
#define MOST 5

static unsigned
least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Insertions, deletions, substitutions, transpositions; a change of case alone counts as one. */
static unsigned
distance(struct mk_str a, struct mk_str b)
{
    unsigned rows[3][LONGEST + 1];

    if (a.len == b.len && strncasecmp(a.p, b.p, a.len) == 0)
        return memcmp(a.p, b.p, a.len) != 0;
    for (unsigned j = 0; j <= b.len; j++)
        rows[0][j] = j;
    for (unsigned i = 1; i <= a.len; i++) {
        unsigned *up = rows[(i - 1) % 3], *row = rows[i % 3];

        row[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            int x = tolower((unsigned char)a.p[i - 1]), y = tolower((unsigned char)b.p[j - 1]);

            row[j] = least(least(up[j], row[j - 1]) + 1, up[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == tolower((unsigned char)b.p[j - 2]) &&
                tolower((unsigned char)a.p[i - 2]) == y)
                row[j] = least(row[j], rows[(i - 2) % 3][j - 2] + 1);
        }
    }
    return rows[a.len % 3][b.len];
}

struct best {
    const char *names[MOST];
    unsigned distances[MOST];
    size_t count;
    size_t found;
};

static void
offer(struct best *best, const char *name, unsigned d)
{
    size_t at = best->count;

    best->found++;
    while (at > 0 && (best->distances[at - 1] > d ||
                      (best->distances[at - 1] == d && strcmp(best->names[at - 1], name) > 0)))
        at--;
    if (at == MOST)
        return;
    if (best->count < MOST)
        best->count++;
    for (size_t i = best->count - 1; i > at; i--) {
        best->names[i] = best->names[i - 1];
        best->distances[i] = best->distances[i - 1];
    }
    best->names[at] = name;
    best->distances[at] = d;
}

static void
print_best(struct mk_buf *out, const char *what, const struct best *best)
{
    size_t n = best->count;

    mk_buf_printf(out, " Did you mean %s%s", what, *what ? " " : "");
    for (size_t i = 0; i < n; i++) {
        if (i)
            mk_buf_add_cstr(out, i + 1 < n ? ", " : n > 2 ? ", or " : " or ");
        mk_buf_printf(out, "\"%s\"", best->names[i]);
    }
    mk_buf_add_byte(out, '?');
}

void
gql_suggest(struct mk_buf *out, const char *what, struct mk_str input, gql_option_fn next, void *at)
{
    struct best best = {.count = 0};
    unsigned threshold = (unsigned)(input.len * 2 / 5) + 1;
    const char *name;

    if (input.len > LONGEST)
        return;
    while ((name = next(&at))) {
        struct mk_str option = mk_str_of(name);
        unsigned d;

        if (option.len > LONGEST || option.len + threshold < input.len ||
            input.len + threshold < option.len)
            continue;
        d = distance(option, input);
        if (d <= threshold)
            offer(&best, name, d);
    }
    if (best.count)
        print_best(out, what, &best);
}
