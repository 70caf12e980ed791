/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * The request for a command: variables for what was given, and every field of the result.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "ctl.h"

#include <stdlib.h>
#include <string.h>

#define LEVELS 2            /* how often a type may stand below itself */
#define DOCUMENT_MAX 65536  /* types that know each other all around would never come to an end */

struct writer {
    FILE *out;
    const struct schema *schema;
    json_t *path;           /* how often each type is on the way down */
};

static bool
is_kind(const json_t *type, const char *kind)
{
    return strcmp(member(type, "kind"), kind) == 0;
}

static bool
is_leaf(const json_t *type)
{
    return is_kind(type, "SCALAR") || is_kind(type, "ENUM");
}

static bool
wants_arguments(const json_t *field)
{
    json_t *one;
    size_t i;

    json_array_foreach (json_object_get(field, "args"), i, one)
        if (is_non_null(json_object_get(one, "type")) &&
            json_is_null(json_object_get(one, "defaultValue")))
            return true;
    return false;
}

static void put_selection(struct writer *w, const json_t *type);

/*
 * `seen` (or NULL): the types of the fields of fragments beside this one, by name. Two of one name and different types may
 * not stand in one answer, so the later gets another name.
 */
static void
put_field(struct writer *w, const json_t *of, const json_t *field, json_t *seen)
{
    const char *name = member(field, "name");
    const json_t *type = json_object_get(field, "type");
    char *text = type_text(type);
    const char *other = seen ? member(seen, name) : "";

    if (*other && strcmp(other, text) != 0)
        fprintf(w->out, " %s_%s: %s", member(of, "name"), name, name);
    else
        fprintf(w->out, " %s", name);
    if (seen && !*other)
        json_object_set_new(seen, name, json_string(text));
    free(text);
    type = inner_type(w->schema, type);
    if (!is_leaf(type))
        put_selection(w, type);
}

/* All that can be had without arguments, but what is in `without`; something in any case. */
static void
put_fields(struct writer *w, const json_t *type, json_t *seen, const json_t *without)
{
    unsigned count = 0;
    json_t *field;
    size_t i;

    json_array_foreach (json_object_get(type, "fields"), i, field) {
        if (wants_arguments(field) || named(without, member(field, "name")))
            continue;
        put_field(w, type, field, seen);
        count++;
    }
    if (!count)
        fputs(" __typename", w->out);
}

/* Of a union or an interface: what all have, then each member's own. */
static void
put_members(struct writer *w, const json_t *type)
{
    const json_t *common = json_object_get(type, "fields");
    json_t *one, *seen = json_object();
    size_t i;

    fputs(" __typename", w->out);
    if (json_array_size(common))
        put_fields(w, type, seen, NULL);
    json_array_foreach (json_object_get(type, "possibleTypes"), i, one) {
        const json_t *possible = schema_type(w->schema, member(one, "name"));

        fprintf(w->out, " ... on %s {", member(possible, "name"));
        put_fields(w, possible, seen, common);
        fputs(" }", w->out);
    }
    json_decref(seen);
}

static void
put_selection(struct writer *w, const json_t *type)
{
    const char *name = member(type, "name");
    json_int_t times = json_integer_value(json_object_get(w->path, name));

    fputs(" {", w->out);
    json_object_set_new(w->path, name, json_integer(times + 1));
    if (times >= LEVELS || ftell(w->out) > DOCUMENT_MAX)
        fputs(" __typename", w->out);
    else if (is_kind(type, "UNION") || is_kind(type, "INTERFACE"))
        put_members(w, type);
    else
        put_fields(w, type, NULL, NULL);
    json_object_set_new(w->path, name, json_integer(times));
    fputs(" }", w->out);
}

static void
put_variables(FILE *out, const json_t *field, const json_t *variables)
{
    const char *separator = "(";
    json_t *one;
    size_t i;

    json_array_foreach (json_object_get(field, "args"), i, one) {
        char *type;

        if (!json_object_get(variables, member(one, "name")))
            continue;
        type = type_text(json_object_get(one, "type"));
        fprintf(out, "%s$%s: %s", separator, member(one, "name"), type);
        free(type);
        separator = ", ";
    }
    fputs(*separator == '(' ? "" : ")", out);
}

static void
put_arguments(FILE *out, const json_t *variables)
{
    const char *separator = "(", *name;
    json_t *one;

    json_object_foreach ((json_t *)variables, name, one) {
        fprintf(out, "%s%s: $%s", separator, name, name);
        separator = ", ";
    }
    fputs(*separator == '(' ? "" : ")", out);
}

char *
document_for(const struct schema *schema, const char *category, const char *name,
             const json_t *entry, const json_t *variables)
{
    static const char *const operations[ROOTS] = {"query", "mutation", "subscription"};
    const json_t *field = json_object_get(entry, "field");
    const json_t *type = inner_type(schema, json_object_get(field, "type"));
    struct writer w = {.schema = schema, .path = json_object()};
    char *text = NULL;
    size_t len;

    w.out = open_memstream(&text, &len);
    if (!w.out)
        return NULL;
    fputs(operations[json_integer_value(json_object_get(entry, "root"))], w.out);
    put_variables(w.out, field, variables);
    fprintf(w.out, " { %s { %s", category, name);
    put_arguments(w.out, variables);
    if (!is_leaf(type))
        put_selection(&w, type);
    fputs(" } }", w.out);
    json_decref(w.path);
    if (fclose(w.out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
