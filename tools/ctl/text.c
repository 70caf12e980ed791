/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * Text: messages, names that are near, words wrapped to the terminal.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "ctl.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

static void
out_of_memory(void)
{
    fputs("meerkatctl: out of memory\n", stderr);
    exit(CTL_ERROR);
}

char *
format(const char *fmt, ...)
{
    va_list ap;
    char *text = NULL;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0)
        out_of_memory();
    return text;
}

char *
copy(const char *text)
{
    char *c = strdup(text);

    if (!c)
        out_of_memory();
    return c;
}

void *
grown(void *list, size_t count, size_t size)
{
    void *more = reallocarray(list, count + 1, size);

    if (!more)
        out_of_memory();
    return more;
}

/* The next character and its length; what is not UTF-8 counts as one byte that cannot be shown. */
static wchar_t
next_char(const char *text, size_t *len)
{
    mbstate_t state = {0};
    wchar_t c;
    size_t n = mbrtowc(&c, text, MB_LEN_MAX, &state);

    *len = n == 0 || n > MB_LEN_MAX ? 1 : n;
    return n > MB_LEN_MAX ? 0xfffd : c;
}

/* Control characters of both sets, and what turns the direction of writing around. */
static bool
is_order(wchar_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069);
}

void
put_clean(FILE *out, const char *text)
{
    size_t len;

    for (; *text; text += len) {
        wchar_t c = next_char(text, &len);

        if (c == '\n' || c == '\t')
            fputc(' ', out);
        else if (c == 0xfffd || is_order(c))
            fputc('?', out);
        else
            fwrite(text, 1, len, out);
    }
}

/* Text of several lines, the later ones deeper. */
static void
put_lines(FILE *out, const char *text)
{
    while (*text) {
        char *line = strndup(text, strcspn(text, "\n"));

        if (!line)
            out_of_memory();
        put_clean(out, line);
        free(line);
        text += strcspn(text, "\n");
        text += strspn(text, "\n");
        fputs(*text ? "\n    " : "", out);
    }
    fputc('\n', out);
}

void
complain(const char *fmt, ...)
{
    va_list ap;
    char *text = NULL;

    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    va_end(ap);
    fputs("meerkatctl: ", stderr);
    put_lines(stderr, text ? text : "out of memory");
    free(text);
}

size_t
text_width(const char *text)
{
    size_t width = 0, len;

    for (; *text; text += len) {
        wchar_t c = next_char(text, &len);
        int w = is_order(c) ? 1 : wcwidth(c);

        width += w < 0 ? 1 : (size_t)w;
    }
    return width;
}

static size_t
terminal_width(void)
{
    static size_t width;
    struct winsize size;
    const char *columns = getenv("COLUMNS");

    if (width)
        return width;
    if (columns && atoi(columns) > 0)
        width = (size_t)atoi(columns);
    else if ((ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ||
              ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0) && size.ws_col > 0)
        width = size.ws_col;
    else
        width = 80;
    width = width < 40 ? 40 : width > 120 ? 120 : width;
    return width;
}

static void
new_line(FILE *out, size_t indent)
{
    fprintf(out, "\n%*s", (int)indent, "");
}

void
put_wrapped(FILE *out, const char *text, size_t at, size_t indent)
{
    size_t width = terminal_width(), column = at;
    bool first = true;

    while (*text) {
        size_t space = strspn(text, " \t\r\n"), len;
        char *word;

        /* An empty line stays one; other line ends of a description are only how it was written. */
        if (!first && space > 1 && memchr(text, '\n', space) != memrchr(text, '\n', space)) {
            fputc('\n', out);
            new_line(out, indent);
            column = indent;
            first = true;
        }
        text += space;
        len = strcspn(text, " \t\r\n");
        if (!len)
            break;
        word = format("%.*s", (int)len, text);
        for (char *keep = word; (keep = strchr(keep, KEEP[0]));)
            *keep = ' ';
        if (!first && column + 1 + text_width(word) > width) {
            new_line(out, indent);
            column = indent;
            first = true;
        }
        if (!first)
            fputc(' ', out);
        put_clean(out, word);
        column += text_width(word) + !first;
        first = false;
        text += len;
        free(word);
    }
    fputc('\n', out);
}

/* Levenshtein's, without regard to case; names are short. */
unsigned
distance(const char *a, const char *b)
{
    enum { MAX = 64 };
    unsigned row[MAX + 1];
    size_t la = strlen(a), lb = strlen(b);

    if (la > MAX || lb > MAX)
        return UINT32_MAX;
    for (size_t j = 0; j <= lb; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        unsigned diagonal = row[0];

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            unsigned change = diagonal + (tolower((unsigned char)a[i - 1]) !=
                                          tolower((unsigned char)b[j - 1]));
            unsigned step = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;

            diagonal = row[j];
            row[j] = change < step ? change : step;
        }
    }
    return row[lb];
}

struct nearest
nearest_to(const char *wanted)
{
    return (struct nearest){.wanted = wanted, .distance = (unsigned)strlen(wanted) / 3 + 2};
}

void
nearest_try(struct nearest *n, const char *name)
{
    unsigned d = distance(n->wanted, name);

    /* The beginning of a name is meant for it, if it is more than a letter or two. */
    if (strlen(n->wanted) > 2 && strncasecmp(n->wanted, name, strlen(n->wanted)) == 0)
        d = 1;
    if (d < n->distance) {
        n->distance = d;
        n->found = name;
    }
}
