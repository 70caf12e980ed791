/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * Arguments: text of the command line to JSON of the argument's type, checked before anything is sent. What only the server
 * can judge (is this a JID?) goes as text.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "ctl.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 32
#define WHOLE_MAX 9007199254740992LL    /* 2^53: as far as JSON's numbers are whole ones everywhere */

struct check {
    const struct schema *schema;
    char **why;
    unsigned depth;
};

/* Says what is wrong, once: the innermost place knows best. */
static json_t *PRINTF_LIKE(2, 3) wrong(struct check *c, const char *fmt, ...)
{
    va_list ap;

    if (*c->why)
        return NULL;
    va_start(ap, fmt);
    if (vasprintf(c->why, fmt, ap) < 0)
        *c->why = copy("out of memory");
    va_end(ap);
    return NULL;
}

static bool
is_kind(const json_t *type, const char *kind)
{
    return strcmp(member(type, "kind"), kind) == 0;
}

/* -- scalars: `value` is JSON, however it was written */

static json_t *
check_integer(struct check *c, json_t *value, const char *name)
{
    json_int_t n = json_integer_value(value);

    if (!json_is_integer(value) || n < -WHOLE_MAX || n > WHOLE_MAX)
        return wrong(c, "a whole number is needed");
    if (strcmp(name, "PosInt") == 0 && n < 1)
        return wrong(c, "a whole number above 0 is needed");
    if (strcmp(name, "NonNegInt") == 0 && n < 0)
        return wrong(c, "a whole number, 0 or above, is needed");
    return json_incref(value);
}

static bool
is_integer(const char *name)
{
    return strcmp(name, "Int") == 0 || strcmp(name, "PosInt") == 0 || strcmp(name, "NonNegInt") == 0;
}

static bool
is_boolean(const char *name)
{
    return strcmp(name, "Boolean") == 0 || strcmp(name, "Bool") == 0;
}

/* Scalars of the standard and those of which every server of this kind has the same idea. */
static json_t *
check_scalar(struct check *c, json_t *value, const char *name)
{
    if (is_integer(name))
        return check_integer(c, value, name);
    if (is_boolean(name))
        return json_is_boolean(value) ? json_incref(value) : wrong(c, "true or false is needed");
    if (strcmp(name, "Float") == 0)
        return json_is_number(value) ? json_incref(value) : wrong(c, "a number is needed");
    if (strcmp(name, "String") == 0 || strcmp(name, "NonEmptyString") == 0) {
        if (!json_is_string(value))
            return wrong(c, "text is needed");
        if (name[0] == 'N' && json_string_length(value) == 0)
            return wrong(c, "it may not be empty");
    }
    return json_is_object(value) || json_is_array(value) ? wrong(c, "a %s is needed", name)
                                                         : json_incref(value);
}

static char *
enum_names(const json_t *type)
{
    char *all = copy(""), *more;
    json_t *one;
    size_t i;

    json_array_foreach (json_object_get(type, "enumValues"), i, one) {
        more = format("%s%s%s", all, i ? ", " : "", member(one, "name"));
        free(all);
        all = more;
    }
    return all;
}

static json_t *
check_enum(struct check *c, json_t *value, const json_t *type)
{
    const json_t *values = json_object_get(type, "enumValues");
    const char *text = json_string_value(value);
    struct nearest n = nearest_to(text ? text : "");
    json_t *one;
    size_t i;
    char *names;

    if (text && named(values, text))
        return json_incref(value);
    json_array_foreach (values, i, one)
        nearest_try(&n, member(one, "name"));
    if (text && n.found)
        return wrong(c, "did you mean '%s'?", n.found);
    names = enum_names(type);
    wrong(c, "it is one of %s", names);
    free(names);
    return NULL;
}

/* -- lists and objects */

/* Puts the place (taken) before what is wrong there. */
static void
inside(struct check *c, char *place)
{
    char *inner = *c->why;

    *c->why = format("%s: %s", place, inner);
    free(inner);
    free(place);
}

static json_t *check_value(struct check *c, json_t *value, const json_t *type);

static json_t *
unknown_field(struct check *c, const json_t *fields, const char *key)
{
    struct nearest n = nearest_to(key);
    json_t *one;
    size_t i;

    json_array_foreach (fields, i, one)
        nearest_try(&n, member(one, "name"));
    if (n.found)
        return wrong(c, "there is no field '%s'; did you mean '%s'?", key, n.found);
    return wrong(c, "there is no field '%s'", key);
}

static json_t *
check_fields(struct check *c, json_t *value, const json_t *fields)
{
    json_t *field, *one, *checked, *out = json_object();
    const char *key;
    size_t i;

    json_object_foreach (value, key, one)
        if (!named(fields, key))
            unknown_field(c, fields, key);
    json_array_foreach (fields, i, field) {
        const char *name = member(field, "name");
        const json_t *type = json_object_get(field, "type");

        one = json_object_get(value, name);
        if (!one && is_non_null(type) && json_is_null(json_object_get(field, "defaultValue")))
            wrong(c, "'%s' is missing", name);
        if (!one || *c->why)
            continue;
        checked = check_value(c, one, type);
        if (!checked)
            inside(c, format("in '%s'", name));
        else if (json_object_set_new(out, name, checked) < 0)
            wrong(c, "out of memory");
    }
    if (*c->why) {
        json_decref(out);
        return NULL;
    }
    return out;
}

static json_t *
check_list(struct check *c, json_t *value, const json_t *of)
{
    json_t *one, *checked, *out = json_array();
    size_t i;

    json_array_foreach (value, i, one) {
        checked = check_value(c, one, of);
        if (!checked)
            inside(c, format("number %zu", i + 1));
        if (!checked || json_array_append_new(out, checked) < 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

static json_t *
check_named(struct check *c, json_t *value, const char *name)
{
    const json_t *type = schema_type(c->schema, name);

    if (is_kind(type, "ENUM"))
        return check_enum(c, value, type);
    if (!is_kind(type, "INPUT_OBJECT"))
        return check_scalar(c, value, name);
    if (!json_is_object(value))
        return wrong(c, "a JSON object is needed, like {\"%s\": …}",
                     member(json_array_get(json_object_get(type, "inputFields"), 0), "name"));
    return check_fields(c, value, json_object_get(type, "inputFields"));
}

static json_t *
check_value(struct check *c, json_t *value, const json_t *type)
{
    json_t *result;

    if (is_non_null(type)) {
        if (json_is_null(value))
            return wrong(c, "it may not be null");
        type = json_object_get(type, "ofType");
    }
    if (json_is_null(value))
        return json_incref(value);
    if (++c->depth > DEPTH_MAX)
        return wrong(c, "it is too deep");
    if (!is_kind(type, "LIST"))
        result = check_named(c, value, member(type, "name"));
    else if (!json_is_array(value))
        result = wrong(c, "a JSON list is needed, like [\"…\", \"…\"]");
    else
        result = check_list(c, value, json_object_get(type, "ofType"));
    c->depth--;
    return result;
}

/* -- text of the command line */

static json_t *
number_of(const char *text, bool whole)
{
    json_t *value;
    char *end;

    errno = 0;
    if (whole) {
        long long n = strtoll(text, &end, 10);

        value = strspn(text, "+-0123456789") == strlen(text) && !errno ? json_integer(n) : NULL;
    } else {
        double d = strtod(text, &end);

        value = strspn(text, "+-.eE0123456789") == strlen(text) && !errno && isfinite(d) ? json_real(d)
                                                                                      : NULL;
    }
    if (end == text || *end) {
        json_decref(value);
        return NULL;
    }
    return value;
}

static json_t *
json_of(struct check *c, const char *text)
{
    json_error_t error;
    json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);

    return value ? value : wrong(c, "this is not JSON: %s", error.text);
}

/* As JSON that the type's own check will judge. */
static json_t *
read_text(struct check *c, const json_t *type, const char *text)
{
    const char *name;
    json_t *value;

    if (is_non_null(type))
        type = json_object_get(type, "ofType");
    name = member(type, "name");
    if (is_kind(type, "LIST") || is_kind(schema_type(c->schema, name), "INPUT_OBJECT"))
        return json_of(c, text);
    if (is_boolean(name) && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0))
        return json_boolean(text[0] == 't');
    value = is_integer(name) || strcmp(name, "Float") == 0 ? number_of(text, is_integer(name)) : NULL;
    if (!value)
        value = json_string(text);
    return value ? value : wrong(c, "it is not UTF-8");
}

json_t *
value_parse(const struct schema *schema, const json_t *type, const char *text, char **why)
{
    struct check c = {.schema = schema, .why = why};
    json_t *value, *checked;

    *why = NULL;
    value = read_text(&c, type, text);
    if (!value)
        return NULL;
    checked = check_value(&c, value, type);
    json_decref(value);
    return checked;
}
