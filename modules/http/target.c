/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* What a request is about: its path and its query (RFC 3986), strictly. What a client sends wrong is refused, not guessed at. */
#include "config.h"

#include "internal.h"

#include <strings.h>

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

ssize_t
percent_decode(char *out, const char *in, size_t len, bool plus)
{
    char *to = out;

    for (size_t i = 0; i < len; i++) {
        int high, low;

        if (in[i] != '%') {
            *to++ = plus && in[i] == '+' ? ' ' : in[i];
            continue;
        }
        high = i + 2 < len ? hex_digit(in[i + 1]) : -1;
        low = high >= 0 ? hex_digit(in[i + 2]) : -1;
        if (low < 0 || (high | low) == 0)
            return -1;
        *to++ = (char)(high << 4 | low);
        i += 2;
    }
    *to = '\0';
    return to - out;
}

static bool
is_dots(const char *segment, size_t len)
{
    return (len == 1 && segment[0] == '.') || (len == 2 && segment[0] == '.' && segment[1] == '.');
}

/* Begins with a slash, is well encoded, goes nowhere up. */
static bool
path_is_good(const char *path, size_t len)
{
    char segment[512];
    size_t at = 1;

    if (len == 0 || path[0] != '/')
        return false;
    while (at <= len) {
        const char *end = memchr(path + at, '/', len - at);
        size_t n = end ? (size_t)(end - path) - at : len - at;
        ssize_t decoded;

        if (n >= sizeof(segment))
            return false;
        decoded = percent_decode(segment, path + at, n, false);
        if (decoded < 0 || is_dots(segment, (size_t)decoded))
            return false;
        at += n + 1;
    }
    return true;
}

/* Is the parameter q of an item zero? */
static bool
is_refused(const char *parameters, size_t len)
{
    const char *q = memmem(parameters, len, "q=", 2);

    if (!q)
        return false;
    for (q += 2; q < parameters + len; q++) {
        if (*q >= '1' && *q <= '9')
            return false;
    }
    return true;
}

bool
list_has(const char *list, const char *word)
{
    size_t want = strlen(word);

    while (list && *list) {
        size_t len, name;

        list += strspn(list, ", \t");
        len = strcspn(list, ",");
        name = strcspn(list, ";, \t");
        if (name == want && strncasecmp(list, word, want) == 0)
            return !is_refused(list + name, len - name);
        list += len;
    }
    return false;
}

/* -- the query --------------------------------------------------------------------------------- */

/* One "name=value"; the place behind what it wrote, NULL: malformed. */
static char *
take_parameter(struct target *t, const char *text, size_t len, char *to)
{
    const char *equals = memchr(text, '=', len);
    size_t name_len = equals ? (size_t)(equals - text) : len;
    struct parameter *p = &t->query[t->query_count];
    ssize_t n;

    p->name = to;
    n = percent_decode(to, text, name_len, true);
    if (n < 0)
        return NULL;
    to += n + 1;
    p->value = to;
    *to = '\0';
    n = equals ? percent_decode(to, equals + 1, len - name_len - 1, true) : 0;
    if (n < 0)
        return NULL;
    t->query_count++;
    return to + n + 1;
}

static int
take_query(struct target *t, const char *query)
{
    size_t parameters = 1;
    char *to;

    for (const char *p = query; *p; p++)
        parameters += *p == '&';
    if (parameters > MAX_PARAMETERS)
        return -1;
    t->query = mk_alloc(parameters * sizeof(*t->query));
    to = t->query_memory = mk_alloc(strlen(query) + 2 * parameters + 1);
    for (;;) {
        size_t len = strcspn(query, "&");

        if (len && !(to = take_parameter(t, query, len, to)))
            return -1;
        if (!query[len])
            return 0;
        query += len + 1;
    }
}

/* -- the whole ----------------------------------------------------------------------------------- */

/* Of "http://host/path" the path: whom it was sent to is no matter here. */
static char *
path_of(char *text)
{
    char *slashes = *text == '/' ? NULL : strstr(text, "://");

    if (!slashes)
        return text;
    slashes += 3 + strcspn(slashes + 3, "/?");
    return *slashes == '/' ? slashes : NULL;
}

int
target_parse(struct target *t)
{
    char *path = path_of(t->text), *query;
    size_t len;

    if (!path)
        return -1;
    query = strchr(path, '?');
    if (query)
        *query++ = '\0';
    t->raw_path = t->path = path;
    len = strlen(path);
    if (!path_is_good(path, len))
        return -1;
    if (strchr(path, '%')) {
        t->path = t->path_memory = mk_alloc(len + 1);
        if (percent_decode(t->path_memory, path, len, false) < 0)
            return -1;
    }
    return query ? take_query(t, query) : 0;
}

void
target_release(struct target *t)
{
    mk_free(t->text);
    mk_free(t->path_memory);
    mk_free(t->query_memory);
    mk_free(t->query);
    *t = (struct target){0};
}

const char *
target_query(const struct target *t, const char *name)
{
    for (size_t i = 0; i < t->query_count; i++) {
        if (strcmp(t->query[i].name, name) == 0)
            return t->query[i].value;
    }
    return NULL;
}
