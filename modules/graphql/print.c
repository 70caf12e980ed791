/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Values in messages and in introspection. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "ast.h"
#include "error.h"

#define LONGEST 240 /* bytes of a value in a message */
#define ITEMS 10
#define NESTED 2

/* At most so much of a text as a message can bear, whole characters. */
static struct mk_str
some_of(struct mk_str s, size_t longest)
{
    if (s.len <= longest)
        return s;
    s.len = longest;
    while (s.len && (s.p[s.len] & 0xc0) == 0x80)
        s.len--;
    return s;
}

static void
print_string(struct mk_buf *out, struct mk_str s, size_t longest)
{
    struct mk_str some = some_of(s, longest);

    mk_buf_add_byte(out, '"');
    for (size_t i = 0; i < some.len; i++) {
        unsigned char c = (unsigned char)some.p[i];
        static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
        const char *known = c ? strchr(from, c) : NULL;

        if (known) {
            mk_buf_add_byte(out, '\\');
            mk_buf_add_byte(out, to[known - from]);
        } else if (c < 0x20 || c == 0x7f) {
            mk_buf_printf(out, "\\u%04X", c);
        } else {
            mk_buf_add_byte(out, (char)c);
        }
    }
    if (some.len < s.len)
        mk_buf_add_cstr(out, "…");
    mk_buf_add_byte(out, '"');
}

static void
print_value(struct mk_buf *out, const struct gql_value *v, size_t longest)
{
    if (v->kind == GQL_LIST || v->kind == GQL_OBJECT) {
        const char *const marks = v->kind == GQL_LIST ? "[]" : "{}";

        mk_buf_add_byte(out, marks[0]);
        for (const struct gql_value *i = v->items; i; i = i->next) {
            if (out->len > longest) {
                mk_buf_add_cstr(out, "…");
                break;
            }
            if (v->kind == GQL_OBJECT)
                mk_buf_printf(out, "%.*s: ", MK_STR_ARG(i->name));
            /* As deep as the parser lets a document be. */
            print_value(out, i, longest);
            if (i->next)
                mk_buf_add_cstr(out, ", ");
        }
        mk_buf_add_byte(out, marks[1]);
    } else if (v->kind == GQL_STRING) {
        print_string(out, v->text, longest);
    } else {
        if (v->kind == GQL_VARIABLE)
            mk_buf_add_byte(out, '$');
        mk_buf_add_str(out, some_of(v->text, longest));
    }
}

void
gql_print_value(struct mk_buf *out, const struct gql_value *v)
{
    print_value(out, v, out->len + LONGEST);
}

void
gql_print_literal(struct mk_buf *out, const struct gql_value *v)
{
    print_value(out, v, SIZE_MAX);
}

/* The shortest text that gives the same number again. */
static void
print_real(struct mk_buf *out, double d)
{
    char text[40];

    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, d);
        if (strtod(text, NULL) == d)
            break;
    }
    mk_buf_add_cstr(out, text);
}

static void inspect_array(struct mk_buf *out, const json_t *v, unsigned depth, size_t longest);

static void
inspect(struct mk_buf *out, const json_t *v, unsigned depth, size_t longest)
{
    const char *key;
    json_t *item;
    bool first = true;

    if (json_is_string(v)) {
        print_string(out, (struct mk_str){json_string_value(v), json_string_length(v)}, LONGEST);
    } else if (json_is_integer(v)) {
        mk_buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    } else if (json_is_real(v)) {
        print_real(out, json_real_value(v));
    } else if (json_is_boolean(v)) {
        mk_buf_add_cstr(out, json_is_true(v) ? "true" : "false");
    } else if (json_is_array(v)) {
        inspect_array(out, v, depth, longest);
    } else if (!json_is_object(v)) {
        mk_buf_add_cstr(out, "null");
    } else if (json_object_size(v) == 0) {
        mk_buf_add_cstr(out, "{}");
    } else if (depth > NESTED) {
        mk_buf_add_cstr(out, "[Object]");
    } else {
        json_object_foreach((json_t *)v, key, item)
        {
            if (out->len > longest)
                break;
            mk_buf_add_cstr(out, first ? "{ " : ", ");
            mk_buf_add_str(out, some_of(mk_str_of(key), LONGEST));
            mk_buf_add_cstr(out, ": ");
            inspect(out, item, depth + 1, longest);
            first = false;
        }
        mk_buf_add_cstr(out, " }");
    }
}

static void
inspect_array(struct mk_buf *out, const json_t *v, unsigned depth, size_t longest)
{
    size_t size = json_array_size(v), most = size < ITEMS ? size : ITEMS;

    if (size == 0) {
        mk_buf_add_cstr(out, "[]");
        return;
    }
    if (depth > NESTED) {
        mk_buf_add_cstr(out, "[Array]");
        return;
    }
    mk_buf_add_byte(out, '[');
    for (size_t i = 0; i < most && out->len <= longest; i++) {
        if (i)
            mk_buf_add_cstr(out, ", ");
        inspect(out, json_array_get(v, i), depth + 1, longest);
    }
    if (size > most)
        mk_buf_printf(out, ", ... %zu more item%s", size - most, size - most > 1 ? "s" : "");
    mk_buf_add_byte(out, ']');
}

void
gql_inspect(struct mk_buf *out, const json_t *value)
{
    inspect(out, value, 0, out->len + LONGEST);
}
