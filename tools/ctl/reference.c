/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * All that the API has, as Markdown: what modules of others add is in it as well.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "ctl.h"

#include <stdlib.h>
#include <string.h>

/* A description on one line, harmless in Markdown. */
static void
put_text(FILE *out, const char *before, const char *text)
{
    bool space = false;

    if (*text)
        fputs(before, out);
    for (; *text; text++) {
        if ((unsigned char)*text <= ' ') {
            space = true;
            continue;
        }
        if (space)
            fputc(' ', out);
        space = false;
        if (*text == '<' || *text == '*')
            fputc('\\', out);
        if (*text != '\x7f')
            fputc(*text, out);
    }
}

/* "name: Type = preset" */
static void
put_value(FILE *out, const json_t *value)
{
    char *type = type_text(json_object_get(value, "type"));
    const char *preset = member(value, "defaultValue");

    fprintf(out, "%s: %s%s", member(value, "name"), type, *preset ? " = " : "");
    put_clean(out, preset);
    free(type);
}

/* A field with its arguments, and what is said of both. */
static void
put_field(FILE *out, const char *kind, const json_t *field)
{
    const json_t *arguments = json_object_get(field, "args");
    char *type = type_text(json_object_get(field, "type"));
    json_t *one;
    size_t i;

    fprintf(out, "- %s`%s%s", kind, member(field, "name"), json_array_size(arguments) ? "(" : "");
    json_array_foreach (arguments, i, one) {
        fputs(i ? ", " : "", out);
        put_value(out, one);
    }
    fprintf(out, "%s: %s`", json_array_size(arguments) ? ")" : "", type);
    put_text(out, ": ", member(field, "description"));
    fputc('\n', out);
    json_array_foreach (arguments, i, one) {
        if (!*member(one, "description"))
            continue;
        fprintf(out, "  - `%s`", member(one, "name"));
        put_text(out, ": ", member(one, "description"));
        fputc('\n', out);
    }
    free(type);
}

static const char *const kinds[ROOTS] = {"query ", "mutation ", "subscription "};

static void
put_category(FILE *out, const char *name, const json_t *category)
{
    const json_t *commands = json_object_get(category, "commands");
    const char **names = sorted(commands);

    fprintf(out, "\n## %s\n\n", name);
    put_text(out, "", member(category, "description"));
    fputs(*member(category, "description") ? "\n\n" : "", out);
    for (int root = 0; root < ROOTS; root++) {
        for (const char **n = names; *n; n++) {
            const json_t *entry = json_object_get(commands, *n);

            if (json_integer_value(json_object_get(entry, "root")) == root)
                put_field(out, kinds[root], json_object_get(entry, "field"));
        }
    }
    free(names);
}

/* What the roots have beside categories, and which types are categories and so no types to tell of. */
static void
put_roots(FILE *out, const struct schema *schema, json_t *categories)
{
    for (int root = 0; root < ROOTS; root++) {
        const json_t *type = schema_type(schema, schema->roots[root]);
        json_t *field;
        size_t i;

        json_object_set_new(categories, schema->roots[root], json_true());
        json_array_foreach (json_object_get(type, "fields"), i, field) {
            const json_t *category = category_type(schema, field);

            if (category)
                json_object_set_new(categories, member(category, "name"), json_true());
            else
                put_field(out, kinds[root], field);
        }
    }
}

static const char *
name_of_kind(const json_t *type)
{
    static const char *const names[][2] = {{"OBJECT", "object"}, {"INPUT_OBJECT", "input"}, {"ENUM", "enum"},
                                           {"UNION", "union"}, {"INTERFACE", "interface"}, {"SCALAR", "scalar"}};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(member(type, "kind"), names[i][0]) == 0)
            return names[i][1];
    return "type";
}

static void
put_type(FILE *out, const json_t *type)
{
    json_t *one;
    size_t i;

    fprintf(out, "\n### %s (%s)\n\n", member(type, "name"), name_of_kind(type));
    put_text(out, "", member(type, "description"));
    fputs(*member(type, "description") ? "\n\n" : "", out);
    json_array_foreach (json_object_get(type, "fields"), i, one)
        put_field(out, "", one);
    json_array_foreach (json_object_get(type, "inputFields"), i, one) {
        fputs("- `", out);
        put_value(out, one);
        fputc('`', out);
        put_text(out, ": ", member(one, "description"));
        fputc('\n', out);
    }
    json_array_foreach (json_object_get(type, "enumValues"), i, one) {
        fprintf(out, "- `%s`", member(one, "name"));
        put_text(out, ": ", member(one, "description"));
        fputc('\n', out);
    }
    json_array_foreach (json_object_get(type, "possibleTypes"), i, one)
        fprintf(out, "- `%s`\n", member(one, "name"));
}

void
print_reference(FILE *out, const struct schema *schema)
{
    static const char standard[] = " Int Float String Boolean ID ";
    const char **names = sorted(schema->categories), **types = sorted(schema->types);
    json_t *categories = json_object();

    fputs("# The API\n\n", out);
    put_roots(out, schema, categories);
    for (const char **n = names; *n; n++)
        put_category(out, *n, json_object_get(schema->categories, *n));
    fputs("\n## Types\n", out);
    for (const char **n = types; *n; n++) {
        char *padded = format(" %s ", *n);

        if (strncmp(*n, "__", 2) != 0 && !strstr(standard, padded) && !json_object_get(categories, *n))
            put_type(out, schema_type(schema, *n));
        free(padded);
    }
    json_decref(categories);
    free(types);
    free(names);
}
