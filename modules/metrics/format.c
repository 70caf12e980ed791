/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Metrics as text: Prometheus 0.0.4 and OpenMetrics 1.0. Metrics come sorted by name, so that those of one name, a family,
 * stand together.
 */
#include "config.h"

#include "internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define PREFIX "meerkat_"

/* -- what is allowed ---------------------------------------------------------------------------- */

static size_t
name_length(const char *text, bool colons)
{
    size_t n = 0;

    while ((text[n] >= 'a' && text[n] <= 'z') || (text[n] >= 'A' && text[n] <= 'Z') || text[n] == '_' ||
           (colons && text[n] == ':') || (n > 0 && text[n] >= '0' && text[n] <= '9'))
        n++;
    return n;
}

/* The length of "…" with its quotes, 0: it is none. */
static size_t
value_length(const char *text)
{
    size_t n = 1;

    if (*text != '"')
        return 0;
    while (text[n] && text[n] != '"') {
        if (text[n] == '\n' || (text[n] == '\\' && !(text[n + 1] && strchr("\\\"n", text[n + 1]))))
            return 0;
        n += text[n] == '\\' ? 2 : 1;
    }
    return text[n] ? n + 1 : 0;
}

/* name="value",… with the values escaped. */
static bool
are_labels(const char *text)
{
    for (;;) {
        size_t n = name_length(text, false), v;

        if (n == 0 || text[n] != '=')
            return false;
        text += n + 1;
        v = value_length(text);
        if (v == 0)
            return false;
        text += v;
        if (!*text)
            return true;
        if (*text++ != ',')
            return false;
    }
}

static bool
is_good(const struct mk_metric *m)
{
    size_t n = name_length(m->name, true);

    return n > 0 && !m->name[n] && (!m->labels || are_labels(m->labels));
}

/* -- pieces ---------------------------------------------------------------------------------------- */

static void
add_integer(struct mk_buf *out, uint64_t n)
{
    char text[24], *p = text + sizeof(text);

    do
        *--p = (char)('0' + n % 10);
    while (n /= 10);
    mk_buf_add(out, p, (size_t)(text + sizeof(text) - p));
}

static void
add_number(struct mk_buf *out, double n)
{
    if (n >= 0 && n < 9007199254740992.0 && n == floor(n))
        add_integer(out, (uint64_t)n);
    else if (isinf(n))
        mk_buf_add_cstr(out, n > 0 ? "+Inf" : "-Inf");
    else if (isnan(n))
        mk_buf_add_cstr(out, "NaN");
    else
        mk_buf_printf(out, "%.15g", n);
}

static void
add_help(struct format *f, const char *text)
{
    for (; *text; text++) {
        if (*text == '\\')
            mk_buf_add_cstr(&f->out, "\\\\");
        else if (*text == '\n')
            mk_buf_add_cstr(&f->out, "\\n");
        else if (*text == '"' && f->open)
            mk_buf_add_cstr(&f->out, "\\\"");
        else
            mk_buf_add_byte(&f->out, *text);
    }
}

static bool
ends_with(struct mk_str text, const char *end)
{
    size_t len = strlen(end);

    return text.len > len && memcmp(text.p + text.len - len, end, len) == 0;
}

/* The unit that a family's name ends with, NULL: none. */
static const char *
unit_of(struct mk_str family)
{
    static const char *const units[] = {"seconds", "bytes", "ratio"};

    for (size_t i = 0; i < MK_COUNT(units); i++) {
        if (ends_with(family, units[i]) && family.p[family.len - strlen(units[i]) - 1] == '_')
            return units[i];
    }
    return NULL;
}

/* In OpenMetrics the family of a counter is named without the _total of its samples. */
static struct mk_str
family_of(const struct format *f, const struct mk_metric *m)
{
    struct mk_str name = mk_str_of(m->name);

    if (f->open && m->kind == MK_METRIC_COUNTER && ends_with(name, "_total"))
        name.len -= 6;
    return name;
}

static void
add_head(struct format *f, const struct mk_metric *m, struct mk_str family)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    const char *unit = f->open ? unit_of(family) : NULL;

    mk_buf_clear(&f->family);
    mk_buf_add_cstr(&f->family, m->name);
    mk_buf_printf(&f->out, "# HELP " PREFIX "%.*s ", MK_STR_ARG(family));
    add_help(f, m->help ? m->help : "");
    mk_buf_printf(&f->out, "\n# TYPE " PREFIX "%.*s %s\n", MK_STR_ARG(family), kinds[m->kind]);
    if (unit)
        mk_buf_printf(&f->out, "# UNIT " PREFIX "%.*s %s\n", MK_STR_ARG(family), unit);
}

/* The name of a sample with its labels; `le` NULL: not a bucket. */
static void
add_sample(struct format *f, struct mk_str family, const char *suffix, const char *labels, const char *le)
{
    mk_buf_add(&f->out, PREFIX, sizeof(PREFIX) - 1);
    mk_buf_add_str(&f->out, family);
    mk_buf_add_cstr(&f->out, suffix);
    if (labels || le)
        mk_buf_add_byte(&f->out, '{');
    if (labels)
        mk_buf_add_cstr(&f->out, labels);
    if (le) {
        mk_buf_add_cstr(&f->out, labels ? ",le=\"" : "le=\"");
        mk_buf_add_cstr(&f->out, le);
        mk_buf_add_byte(&f->out, '"');
    }
    if (labels || le)
        mk_buf_add_byte(&f->out, '}');
    mk_buf_add_byte(&f->out, ' ');
}

static void
add_histogram(struct format *f, const struct mk_metric *m, struct mk_str family)
{
    char le[32];

    for (size_t i = 0; i < m->bucket_count; i++) {
        snprintf(le, sizeof(le), "%.12g", m->bounds[i]);
        /* OpenMetrics wants to see that it is a float. */
        if (!strpbrk(le, ".e"))
            strcat(le, ".0");
        add_sample(f, family, "_bucket", m->labels, le);
        add_integer(&f->out, m->buckets[i]);
        mk_buf_add_byte(&f->out, '\n');
    }
    add_sample(f, family, "_bucket", m->labels, "+Inf");
    add_integer(&f->out, m->count);
    mk_buf_add_byte(&f->out, '\n');
    add_sample(f, family, "_sum", m->labels, NULL);
    add_number(&f->out, m->value);
    mk_buf_add_byte(&f->out, '\n');
    add_sample(f, family, "_count", m->labels, NULL);
    add_integer(&f->out, m->count);
    mk_buf_add_byte(&f->out, '\n');
}

/* -- the whole ------------------------------------------------------------------------------------------- */

void
format_begin(struct format *f, bool open)
{
    *f = (struct format){.open = open};
    mk_buf_reserve(&f->out, 65536);
}

void
format_add(struct format *f, const struct mk_metric *m)
{
    struct mk_str family;

    if (!is_good(m)) {
        f->refused++;
        return;
    }
    family = family_of(f, m);
    if (strcmp(mk_buf_cstr(&f->family), m->name) != 0)
        add_head(f, m, family);
    if (m->kind == MK_METRIC_HISTOGRAM) {
        add_histogram(f, m, family);
        return;
    }
    add_sample(f, family, f->open && m->kind == MK_METRIC_COUNTER ? "_total" : "", m->labels, NULL);
    add_number(&f->out, m->value);
    mk_buf_add_byte(&f->out, '\n');
}

void
format_end(struct format *f)
{
    if (f->open)
        mk_buf_add_cstr(&f->out, "# EOF\n");
}

void
format_release(struct format *f)
{
    mk_buf_release(&f->out);
    mk_buf_release(&f->family);
}

/* The highest weight that a type has in an Accept header, below 0: it is not there. */
static double
weight_of(const char *accept, const char *type)
{
    double best = -1;

    while (*accept) {
        size_t len, name;
        const char *q;
        double weight = 1;

        accept += strspn(accept, ", \t");
        len = strcspn(accept, ",");
        name = strcspn(accept, ";, \t");
        q = memmem(accept, len, ";q=", 3);
        if (q)
            weight = strtod(q + 3, NULL);
        if (name == strlen(type) && strncasecmp(accept, type, name) == 0 && weight > best)
            best = weight;
        accept += len;
    }
    return best;
}

bool
format_wants_open(const char *accept)
{
    double open = accept ? weight_of(accept, "application/openmetrics-text") : 0;

    return open > 0 && open >= weight_of(accept, "text/plain");
}
