/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Errors as clients get them. */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>

#include "error.h"
#include "lexer.h"

#define TEXT_MAX 1000
#define ERROR_KEY \
    "\xff"        \
    "error"

json_t *
gql_text(const char *text)
{
    size_t len = strlen(text), cut = len;
    json_t *s = json_string(text);

    /* A character of UTF-8 has four bytes at most. */
    while (!s && cut > 0 && len - cut < 4)
        s = json_stringn(text, --cut);
    return s ? s : json_string("this text is not valid UTF-8");
}

static json_t *
locations_of(struct mk_str source, const uint32_t *at, size_t count)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++) {
        struct gql_location where = gql_locate(source, at[i]);

        json_array_append_new(
            list, json_pack("{s:i, s:i}", "line", (int)where.line, "column", (int)where.column));
    }
    return list;
}

static void
append(struct gql_errors *e, json_t *error)
{
    if (!e->list)
        e->list = json_array();
    json_array_append_new(e->list, error);
}

void
gql_report_path(struct gql_errors *e, const char *code, const uint32_t *at, size_t count,
                json_t *path, json_t *extensions, const char *message)
{
    json_t *error = json_object();

    json_object_set_new(error, "message", gql_text(message));
    if (count)
        json_object_set_new(error, "locations", locations_of(e->source, at, count));
    if (path)
        json_object_set_new(error, "path", path);
    if (!extensions)
        extensions = json_object();
    if (code)
        json_object_set_new(extensions, "code", json_string(code));
    json_object_set_new(error, "extensions", extensions);
    append(e, error);
}

void
gql_report_at(struct gql_errors *e, const char *code, const uint32_t *at, size_t count,
              const char *fmt, ...)
{
    char text[TEXT_MAX];
    va_list args;

    if (e->full)
        return;
    if (e->max && gql_errors_count(e) >= e->max) {
        e->full = true;
        gql_report_path(e, "too_many_errors", NULL, 0, NULL, NULL,
                        "Too many validation errors, error limit reached. Validation aborted.");
        return;
    }
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    gql_report_path(e, code, at, count, NULL, NULL, text);
}

void
gql_errors_release(struct gql_errors *e)
{
    json_decref(e->list);
    e->list = NULL;
}

json_t *
gql_error_value(const char *code, const char *message, json_t *extensions)
{
    json_t *content = json_object(), *value = json_object();

    json_object_set_new(content, "code", gql_text(code ? code : "resolver_error"));
    json_object_set_new(content, "message", gql_text(message ? message : ""));
    if (extensions)
        json_object_set_new(content, "extensions", extensions);
    json_object_set_new_nocheck(value, ERROR_KEY, content);
    return value;
}

const json_t *
gql_error_content(const json_t *value)
{
    return json_is_object(value) && json_object_size(value) == 1 ? json_object_get(value, ERROR_KEY)
                                                                 : NULL;
}
