/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * Answers for people: a list of objects as columns, an object as lines, lists within it as tables below.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "ctl.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GAP 2
#define CELL_MAX 60

static bool
is_object_list(const json_t *value)
{
    json_t *one;
    size_t i;

    json_array_foreach (value, i, one)
        if (json_is_object(one))
            return true;
    return false;
}

/* A value in one cell; of objects in a list only how many there are. Owned. */
static char *
cell(const json_t *value)
{
    char *text = NULL;
    size_t len;
    FILE *out;
    json_t *one;
    size_t i;

    if (json_is_string(value))
        return copy(json_string_value(value));
    if (!value || json_is_null(value))
        return copy("-");
    if (is_object_list(value))
        return format("(%zu)", json_array_size(value));
    out = open_memstream(&text, &len);
    if (!out)
        return copy("?");
    if (json_is_array(value)) {
        json_array_foreach (value, i, one) {
            char *inner = cell(one);

            fprintf(out, "%s%s", i ? ", " : "", inner);
            free(inner);
        }
    } else {
        print_compact(out, value);
    }
    fclose(out);
    return text;
}

/* On a terminal a long text would push the others out of sight. */
static char *
short_cell(const json_t *value)
{
    char *text = cell(value);
    size_t at = 0;

    if (!isatty(STDOUT_FILENO) || text_width(text) <= CELL_MAX)
        return text;
    for (size_t n = 0; text[at] && n < CELL_MAX - 1; n++)
        for (at++; ((unsigned char)text[at] & 0xc0) == 0x80;)
            at++;
    text[at] = '\0';
    return text;
}

static void
put_cell(FILE *out, const char *text, size_t width, bool last)
{
    put_clean(out, text);
    if (!last)
        fprintf(out, "%*s", (int)(width + GAP - text_width(text)), "");
}

/* The columns: every key that a row has, in the order in which they appear. Values: the width. */
static json_t *
columns_of(const json_t *rows)
{
    json_t *columns = json_object(), *row, *value;
    const char *key;
    size_t i;

    json_array_foreach (rows, i, row) {
        json_object_foreach (row, key, value) {
            char *text = short_cell(value);
            size_t width = text_width(text), known;
            json_t *old = json_object_get(columns, key);

            known = old ? (size_t)json_integer_value(old) : text_width(key);
            if (!old || width > known)
                json_object_set_new(columns, key, json_integer((json_int_t)(width > known ? width : known)));
            free(text);
        }
    }
    return columns;
}

static void
put_columns(FILE *out, const json_t *rows)
{
    json_t *columns = columns_of(rows), *row, *width;
    const char *key;
    size_t i, n = 0, count = json_object_size(columns);

    json_object_foreach (columns, key, width)
        put_cell(out, key, (size_t)json_integer_value(width), ++n == count);
    fputc('\n', out);
    json_array_foreach (rows, i, row) {
        n = 0;
        json_object_foreach (columns, key, width) {
            char *text = short_cell(json_object_get(row, key));

            put_cell(out, text, (size_t)json_integer_value(width), ++n == count);
            free(text);
        }
        fputc('\n', out);
    }
    json_decref(columns);
}

static void
put_object(FILE *out, const json_t *object)
{
    size_t width = 0;
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)object, key, value)
        if (!is_object_list(value) && text_width(key) > width)
            width = text_width(key);
    json_object_foreach ((json_t *)object, key, value) {
        char *text;

        if (is_object_list(value))
            continue;
        text = cell(value);
        put_cell(out, key, width, false);
        put_cell(out, text, 0, true);
        fputc('\n', out);
        free(text);
    }
    json_object_foreach ((json_t *)object, key, value) {
        if (!is_object_list(value))
            continue;
        fputc('\n', out);
        put_clean(out, key);
        fputs(":\n", out);
        put_columns(out, value);
    }
}

static void
put_list(FILE *out, const json_t *list)
{
    json_t *one;
    size_t i;

    json_array_foreach (list, i, one) {
        char *text = cell(one);

        put_clean(out, text);
        fputc('\n', out);
        free(text);
    }
}

/* Out of the category and the command, which say nothing new. */
static const json_t *
unwrap(const json_t *data)
{
    for (int level = 0; level < 2 && json_is_object(data) && json_object_size(data) == 1; level++)
        data = json_object_iter_value(json_object_iter((json_t *)data));
    return data;
}

void
print_table(FILE *out, const json_t *data)
{
    const json_t *value = unwrap(data);

    if (!value || json_is_null(value))
        return;
    if (is_object_list(value))
        put_columns(out, value);
    else if (json_is_array(value))
        put_list(out, value);
    else if (json_is_object(value))
        put_object(out, value);
    else {
        char *text = cell(value);

        put_clean(out, text);
        fputc('\n', out);
        free(text);
    }
}
