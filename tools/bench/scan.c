/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * Finds the top-level elements of an XML stream by counting depth.
 *
 * It trusts the server: names are not matched, entities not resolved, encodings not checked.  It
 * does cope with any cut between two reads, with several stanzas in one, with '>' in attributes,
 * and with CDATA.  An element that lies in one read is handed out where it is, without a copy.
 */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

enum markup { MARKUP_OPEN, MARKUP_EMPTY, MARKUP_CLOSE, MARKUP_OTHER };

/* Behind the markup that starts at p ('<'), or NULL when its end has not come yet. */
static const char *
markup_end(const char *p, const char *end, enum markup *kind_out)
{
    const char *q;

    if (end - p < 2)
        return NULL;
    if (p[1] == '!' || p[1] == '?') {
        const char *stop = "?>";

        if (p[1] == '!') {
            if (end - p < 9)
                return NULL;
            stop = p[2] == '-' ? "-->" : p[2] == '[' ? "]]>" : ">";
        }
        *kind_out = MARKUP_OTHER;
        q = memmem(p + 2, (size_t)(end - p - 2), stop, strlen(stop));
        return q == NULL ? NULL : q + strlen(stop);
    }
    for (q = p + 1; q < end; q++) {
        if (*q == '>') {
            *kind_out = p[1] == '/' ? MARKUP_CLOSE : q[-1] == '/' ? MARKUP_EMPTY : MARKUP_OPEN;
            return q + 1;
        }
        if (*q == '\'' || *q == '"') {
            q = memchr(q + 1, *q, (size_t)(end - q - 1));
            if (q == NULL)
                return NULL;
        }
    }
    return NULL;
}

/* Keeps what is still needed of p[0..n) for the next read. */
static void
hold(struct scan *s, const char *p, size_t n, size_t pos)
{
    size_t from = s->depth >= 2 ? s->start : pos;
    size_t keep = n - from;

    if (keep == 0) {
        free(s->held);
        s->held = NULL;
        s->held_len = s->held_size = 0;
    } else if (p == s->held) {
        memmove(s->held, s->held + from, keep);
        s->held_len = keep;
    } else {
        s->held = bench_alloc(1, keep);
        memcpy(s->held, p + from, keep);
        s->held_len = s->held_size = keep;
    }
    s->start = 0;
    s->pos = pos - from;
}

static void
append(struct scan *s, const char *data, size_t len)
{
    if (s->held_len + len > s->held_size) {
        size_t size = (s->held_len + len) * 2;
        char *p = realloc(s->held, size);

        if (p == NULL)
            abort();
        s->held = p;
        s->held_size = size;
    }
    memcpy(s->held + s->held_len, data, len);
    s->held_len += len;
}

/* Counts one piece of markup; returns what fn did when it completes something. */
static int
account_markup(struct scan *s, enum markup kind, const char *base, struct element el, scan_fn fn,
               void *arg)
{
    switch (kind) {
    case MARKUP_OPEN:
        s->depth++;
        if (s->depth == 1)
            return fn(arg, SCAN_OPEN, &el);
        if (s->depth == 2)
            s->start = (size_t)(el.p - base);
        return 0;
    case MARKUP_EMPTY:
        return s->depth == 1 ? fn(arg, SCAN_ELEMENT, &el) : 0;
    case MARKUP_CLOSE:
        if (s->depth > 0)
            s->depth--;
        if (s->depth == 0)
            return fn(arg, SCAN_CLOSE, &el);
        if (s->depth == 1) {
            el.len += (size_t)(el.p - base) - s->start;
            el.p = base + s->start;
            return fn(arg, SCAN_ELEMENT, &el);
        }
        return 0;
    case MARKUP_OTHER:
        break;
    }
    return 0;
}

int
scan_feed(struct scan *s, const char *data, size_t len, scan_fn fn, void *arg)
{
    const char *p = data;
    size_t n = len, pos = 0;

    if (s->held_len > 0) {
        append(s, data, len);
        p = s->held;
        n = s->held_len;
        pos = s->pos;
    }
    while (pos < n) {
        const char *lt = memchr(p + pos, '<', n - pos);
        enum markup kind = MARKUP_OTHER;
        struct element el;
        const char *end;

        if (lt == NULL) {
            pos = n;
            break;
        }
        pos = (size_t)(lt - p);
        end = markup_end(lt, p + n, &kind);
        if (end == NULL)
            break;
        el.p = lt;
        el.len = (size_t)(end - lt);
        pos = (size_t)(end - p);
        if (account_markup(s, kind, p, el, fn, arg) != 0)
            return -1;
    }
    hold(s, p, n, pos);
    return 0;
}

/* From inside a callback: what follows is a new stream (or, for the relay, no stream). */
void
scan_restart(struct scan *s, unsigned depth)
{
    s->depth = depth;
}

void
scan_release(struct scan *s)
{
    free(s->held);
    memset(s, 0, sizeof(*s));
}

static bool
ends_name(char ch)
{
    return ch == ' ' || ch == '>' || ch == '/' || ch == '\t' || ch == '\n' || ch == '\r';
}

/* True when the tag at p ('<') has this local name. */
static bool
tag_is(const char *p, const char *end, const char *name)
{
    const char *start = p + 1, *q = start;
    size_t len = strlen(name);

    while (q < end && !ends_name(*q)) {
        if (*q == ':')
            start = q + 1;
        q++;
    }
    return (size_t)(q - start) == len && memcmp(start, name, len) == 0;
}

bool
element_is(const struct element *el, const char *name)
{
    return tag_is(el->p, el->p + el->len, name);
}

bool
element_has(const struct element *el, const char *text)
{
    return memmem(el->p, el->len, text, strlen(text)) != NULL;
}

bool
element_attr(const struct element *el, const char *name, char *out, size_t size)
{
    const char *end = el->p + el->len, *p = el->p + 1;
    size_t name_len = strlen(name);

    while (p < end && !ends_name(*p))
        p++;
    while (p < end && *p != '>') {
        const char *start = p, *eq, *value;

        while (p < end && *p != '=' && *p != '>')
            p++;
        eq = p;
        while (p < end && *p != '\'' && *p != '"' && *p != '>')
            p++;
        if (p >= end || *p == '>')
            return false;
        value = p + 1;
        p = memchr(value, *p, (size_t)(end - value));
        if (p == NULL)
            return false;
        while (start < eq && ends_name(*start))
            start++;
        while (eq > start && ends_name(eq[-1]))
            eq--;
        if ((size_t)(eq - start) == name_len && memcmp(start, name, name_len) == 0) {
            size_t len = (size_t)(p - value);

            if (len >= size)
                return false;
            memcpy(out, value, len);
            out[len] = '\0';
            return true;
        }
        p++;
    }
    return false;
}

bool
element_next(const struct element *el, const char *name, size_t *pos, struct element *out)
{
    const char *end = el->p + el->len, *p = el->p + *pos;

    while (p < end && (p = memchr(p, '<', (size_t)(end - p))) != NULL) {
        enum markup kind = MARKUP_OTHER;
        const char *stop = markup_end(p, end, &kind);

        if (stop == NULL)
            return false;
        if ((kind == MARKUP_OPEN || kind == MARKUP_EMPTY) && tag_is(p, end, name)) {
            out->p = p;
            out->len = (size_t)(stop - p);
            *pos = (size_t)(stop - el->p);
            return true;
        }
        p = stop;
    }
    return false;
}

bool
element_text(const struct element *el, const char *name, char *out, size_t size)
{
    struct element tag;
    const char *text, *lt;
    size_t pos = 0;

    if (!element_next(el, name, &pos, &tag))
        return false;
    text = el->p + pos;
    if (tag.p[tag.len - 2] == '/') {
        lt = text;
    } else {
        lt = memchr(text, '<', el->len - pos);
        if (lt == NULL)
            return false;
    }
    if ((size_t)(lt - text) >= size)
        return false;
    memcpy(out, text, (size_t)(lt - text));
    out[lt - text] = '\0';
    return true;
}
