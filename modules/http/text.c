/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Percent-encoding (RFC 3986 §2.1), strictly: what a client sends wrong is refused, not guessed at. */
#include "config.h"

#include "internal.h"

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

bool
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
