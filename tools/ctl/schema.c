/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * What the node can do, from its introspection: the fields of the roots are categories, their fields commands.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "ctl.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char introspection[] =
    "{ __schema { queryType { name } mutationType { name } subscriptionType { name } types { kind name description"
    " fields(includeDeprecated: true) { name description args(includeDeprecated: true) { ...V } type { ...T } }"
    " inputFields { ...V }"
    " enumValues(includeDeprecated: true) { name description } possibleTypes { name } } } }"
    " fragment V on __InputValue { name description defaultValue type { ...T } }"
    " fragment T on __Type { kind name ofType { kind name ofType { kind name ofType { kind name"
    " ofType { kind name ofType { kind name ofType { kind name } } } } } } }";

const char *
member(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

const json_t *
named(const json_t *list, const char *name)
{
    size_t i;
    json_t *one;

    json_array_foreach (list, i, one)
        if (strcmp(member(one, "name"), name) == 0)
            return one;
    return NULL;
}

bool
is_non_null(const json_t *type)
{
    return strcmp(member(type, "kind"), "NON_NULL") == 0;
}

const json_t *
schema_type(const struct schema *schema, const char *name)
{
    return json_object_get(schema->types, name);
}

const json_t *
inner_type(const struct schema *schema, const json_t *type)
{
    while (json_is_object(json_object_get(type, "ofType")))
        type = json_object_get(type, "ofType");
    return schema_type(schema, member(type, "name"));
}

char *
type_text(const json_t *type)
{
    const char *kind = member(type, "kind");
    bool list = strcmp(kind, "LIST") == 0;
    char *inner, *text;

    if (!list && !is_non_null(type))
        return copy(member(type, "name"));
    inner = type_text(json_object_get(type, "ofType"));
    text = list ? format("[%s]", inner) : format("%s!", inner);
    free(inner);
    return text;
}

/* Names go into documents, and completion hands them to shells. */
static bool
is_name(const char *name)
{
    if (!isalpha((unsigned char)*name) && *name != '_')
        return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && *name != '_')
            return false;
    return true;
}

static bool
are_names(const json_t *list)
{
    size_t i;
    json_t *one;

    json_array_foreach (list, i, one)
        if (!is_name(member(one, "name")) || !are_names(json_object_get(one, "args")))
            return false;
    return true;
}

static bool
index_types(struct schema *schema)
{
    json_t *list = json_object_get(schema->root, "types"), *type;
    size_t i;

    schema->types = json_object();
    json_array_foreach (list, i, type) {
        if (!is_name(member(type, "name")) || !are_names(json_object_get(type, "fields")) ||
            !are_names(json_object_get(type, "inputFields")) ||
            !are_names(json_object_get(type, "enumValues")) ||
            !are_names(json_object_get(type, "possibleTypes")) ||
            json_object_set(schema->types, member(type, "name"), type) < 0)
            return false;
    }
    return json_array_size(list) > 0;
}

/* A root's field that groups commands: an object that wants nothing to be had. checkAuth is one by its form alone. */
const json_t *
category_type(const struct schema *schema, const json_t *field)
{
    const json_t *type = inner_type(schema, json_object_get(field, "type"));

    if (strcmp(member(type, "kind"), "OBJECT") != 0 || strcmp(member(field, "name"), "checkAuth") == 0 ||
        json_array_size(json_object_get(field, "args")) > 0)
        return NULL;
    return type;
}

static int
add_commands(json_t *category, enum root root, const json_t *type)
{
    json_t *commands = json_object_get(category, "commands"), *field;
    size_t i;

    json_array_foreach (json_object_get(type, "fields"), i, field) {
        json_t *entry;

        /* Of two with one name the query is meant. */
        if (json_object_get(commands, member(field, "name")))
            continue;
        entry = json_pack("{s:i, s:O}", "root", (int)root, "field", field);
        if (json_object_set_new(commands, member(field, "name"), entry) < 0)
            return -1;
    }
    return 0;
}

static int
add_category(struct schema *schema, enum root root, const json_t *field)
{
    const json_t *type = category_type(schema, field);
    json_t *category;
    const char *text;

    if (!type)
        return 0;
    category = json_object_get(schema->categories, member(field, "name"));
    if (!category) {
        category = json_pack("{s:s, s:{}}", "description", "", "commands");
        if (json_object_set_new(schema->categories, member(field, "name"), category) < 0)
            return -1;
    }
    text = *member(field, "description") ? member(field, "description") : member(type, "description");
    if (!*member(category, "description") &&
        json_object_set_new(category, "description", json_string(text)) < 0)
        return -1;
    return add_commands(category, root, type);
}

static int
find_categories(struct schema *schema)
{
    static const char *const keys[ROOTS] = {"queryType", "mutationType", "subscriptionType"};

    schema->categories = json_object();
    for (int root = 0; root < ROOTS; root++) {
        const char *name = member(json_object_get(schema->root, keys[root]), "name");
        const json_t *type = schema_type(schema, name);
        json_t *field;
        size_t i;

        schema->roots[root] = name;
        json_array_foreach (json_object_get(type, "fields"), i, field)
            if (add_category(schema, (enum root)root, field) < 0)
                return -1;
    }
    return 0;
}

int
schema_load(struct node *node, struct schema *schema, bool quiet)
{
    struct reply reply;
    int rc = node_ask(node, introspection, NULL, NULL, quiet, &reply);
    json_t *root = json_object_get(json_object_get(reply.json, "data"), "__schema");

    *schema = (struct schema){.root = json_incref(root)};
    if (rc == CTL_OK && !root) {
        rc = CTL_ERROR;
        if (!quiet)
            print_errors(&reply);
    } else if (rc == CTL_OK && (!index_types(schema) || find_categories(schema) < 0)) {
        rc = CTL_ERROR;
        if (!quiet)
            complain("%s answers with a schema that makes no sense", node->name);
    }
    reply_release(&reply);
    return rc;
}

void
schema_release(struct schema *schema)
{
    json_decref(schema->categories);
    json_decref(schema->types);
    json_decref(schema->root);
}
