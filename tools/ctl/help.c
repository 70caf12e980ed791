/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * Help at every level; what the node can do is in its own words.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "ctl.h"

#include <stdlib.h>
#include <string.h>

#define NAME_WIDTH_MAX 28

static const char *const options[][2] = {
    {"--socket PATH", "the node's socket [$MEERKAT_SOCKET, or " MK_STATEDIR "/api.sock]"},
    {"--url URL", "a node elsewhere: https://HOST:5551"},
    {"--credentials-file FILE", "for --url: a line USER:PASSWORD [$MEERKAT_USER and $MEERKAT_PASSWORD]"},
    {"--ca FILE", "for --url: certificates to trust [the system's]"},
    {"--output FORM", "json, table (for people) or raw (the answer as it came) [json]"},
    {"--timeout SECONDS", "how long an answer may take [60]"},
    {"-h, --help", "help, also behind a category or a command"},
    {"-V, --version", "the version"},
};

/* "  name   text", the text wrapped beside the names. */
static void
put_entry(FILE *out, const char *name, const char *text, size_t width)
{
    size_t at = text_width(name) + 2;

    fputs("  ", out);
    put_clean(out, name);
    if (!*text) {
        fputc('\n', out);
        return;
    }
    if (at > width + 2) {
        fprintf(out, "\n%*s", (int)width + 4, "");
    } else {
        fprintf(out, "%*s", (int)(width + 4 - at), "");
    }
    put_wrapped(out, text, width + 4, width + 4);
}

static size_t
widest(const json_t *names)
{
    size_t width = 0;
    const char *name;
    json_t *value;

    json_object_foreach ((json_t *)names, name, value)
        if (strlen(name) > width)
            width = strlen(name);
    return width > NAME_WIDTH_MAX ? NAME_WIDTH_MAX : width;
}

static int
by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char **
sorted(const json_t *object)
{
    const char **names = NULL, *name;
    size_t count = 0;
    json_t *value;

    json_object_foreach ((json_t *)object, name, value) {
        names = grown(names, count, sizeof(*names));
        names[count++] = name;
    }
    if (count)
        qsort(names, count, sizeof(*names), by_name);
    names = grown(names, count, sizeof(*names));
    names[count] = NULL;
    return names;
}

static void
put_categories(FILE *out, const struct schema *schema)
{
    const char **names = sorted(schema->categories);
    size_t width = widest(schema->categories);

    fputs("\nCategories:\n", out);
    for (const char **n = names; *n; n++)
        put_entry(out, *n, member(json_object_get(schema->categories, *n), "description"), width);
    free(names);
}

void
help_general(FILE *out, const struct schema *schema, const char *missing)
{
    fputs("Usage: meerkatctl [OPTION VALUE]... CATEGORY COMMAND [--ARGUMENT VALUE]...\n"
          "       meerkatctl [OPTION VALUE]... COMMAND\n\n"
          "Administers a Meerkat node. What it can do comes from the node.\n"
          "\"meerkatctl CATEGORY\" lists the commands of a category, \"meerkatctl CATEGORY COMMAND --help\"\n"
          "tells a command's arguments.\n", out);
    if (schema)
        put_categories(out, schema);
    else
        fprintf(out, "\nThe categories come from the node, and none answers at %s.\n", missing);
    fputs("\nCommands without category:\n", out);
    for (const struct builtin *b = builtins; b->name; b++)
        put_entry(out, b->name, b->summary, 10);
    fputs("\nOptions:\n", out);
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        put_entry(out, options[i][0], options[i][1], 23);
    fputs("\nExit status: 0 done, 1 the node answered with an error, 2 wrong usage, 3 the node was not reached.\n",
          out);
}

/* The first paragraph: a list of commands says no more of each. */
static char *
summary_of(const char *text)
{
    const char *end = strstr(text, "\n\n");

    return end ? format("%.*s", (int)(end - text), text) : copy(text);
}

void
help_category(FILE *out, const struct schema *schema, const char *category)
{
    const json_t *entry = json_object_get(schema->categories, category);
    const json_t *commands = json_object_get(entry, "commands");
    const char **names = sorted(commands);
    size_t width = widest(commands);

    fprintf(out, "Usage: meerkatctl %s COMMAND [--ARGUMENT VALUE]...\n", category);
    if (*member(entry, "description")) {
        fputc('\n', out);
        put_wrapped(out, member(entry, "description"), 0, 0);
    }
    fputs("\nCommands:\n", out);
    for (const char **n = names; *n; n++) {
        const json_t *field = json_object_get(json_object_get(commands, *n), "field");
        char *summary = summary_of(member(field, "description"));

        put_entry(out, *n, summary, width);
        free(summary);
    }
    fprintf(out, "\n\"meerkatctl %s COMMAND --help\" tells a command's arguments.\n", category);
    free(names);
}

/* -- a command */

static bool
is_mandatory(const json_t *argument)
{
    return is_non_null(json_object_get(argument, "type")) &&
           json_is_null(json_object_get(argument, "defaultValue"));
}

static void
put_usage(FILE *out, const struct command *command)
{
    char *text = format("meerkatctl %s %s", command->category, command->name), *more;
    json_t *one;
    size_t i;

    json_array_foreach (json_object_get(command->field, "args"), i, one) {
        bool mandatory = is_mandatory(one);

        more = format("%s %s--%s" KEEP "VALUE%s", text, mandatory ? "" : "[", member(one, "name"),
                      mandatory ? "" : "]");
        free(text);
        text = more;
    }
    fputs("Usage: ", out);
    put_wrapped(out, text, 7, 11);
    free(text);
}

static void
put_argument(FILE *out, const json_t *argument, size_t width)
{
    char *type = type_text(json_object_get(argument, "type"));
    const char *text = member(argument, "description"), *preset = member(argument, "defaultValue");
    char *name = format("--%s", member(argument, "name"));

    /* The type has a line of its own; what it means follows. */
    fprintf(out, "  %-*s  %s%s%s\n", (int)width, name, type, *preset ? " = " : "", preset);
    if (*text) {
        fprintf(out, "%*s", (int)width + 6, "");
        put_wrapped(out, text, width + 6, width + 6);
    }
    free(name);
    free(type);
}

static void
put_arguments(FILE *out, const json_t *arguments)
{
    size_t width = 0, i;
    json_t *one;

    if (!json_array_size(arguments))
        return;
    json_array_foreach (arguments, i, one)
        if (strlen(member(one, "name")) + 2 > width)
            width = strlen(member(one, "name")) + 2;
    fputs("\nArguments (! = required):\n", out);
    json_array_foreach (arguments, i, one)
        put_argument(out, one, width);
}

static const char standard[] = " Int Float String Boolean ID ";

static void
put_enum(FILE *out, const json_t *type)
{
    char *text = copy("one of"), *more;
    json_t *one;
    size_t i;

    json_array_foreach (json_object_get(type, "enumValues"), i, one) {
        more = format("%s%s %s", text, i ? "," : "", member(one, "name"));
        free(text);
        text = more;
    }
    put_entry(out, member(type, "name"), text, 16);
    free(text);
}

static void put_types_of(FILE *out, const struct schema *schema, const json_t *things, json_t *told);

static void
put_input(FILE *out, const struct schema *schema, const json_t *type, json_t *told)
{
    const json_t *fields = json_object_get(type, "inputFields");
    char *text = copy("JSON {"), *more;
    json_t *one;
    size_t i;

    json_array_foreach (fields, i, one) {
        char *of = type_text(json_object_get(one, "type"));

        more = format("%s%s\"%s\":" KEEP "%s", text, i ? ", " : "", member(one, "name"), of);
        free(text);
        free(of);
        text = more;
    }
    more = format("%s}", text);
    put_entry(out, member(type, "name"), more, 16);
    free(more);
    free(text);
    put_types_of(out, schema, fields, told);
}

/* Says of each type that is not of the standard what is written for it. */
static void
put_types_of(FILE *out, const struct schema *schema, const json_t *things, json_t *told)
{
    json_t *one;
    size_t i;

    json_array_foreach (things, i, one) {
        const json_t *type = inner_type(schema, json_object_get(one, "type"));
        const char *name = member(type, "name"), *kind = member(type, "kind");
        char *padded = format(" %s ", name);

        bool known = strstr(standard, padded) || json_object_get(told, name) ||
                     (strcmp(kind, "SCALAR") == 0 && !*member(type, "description"));

        free(padded);
        if (known)
            continue;
        if (json_object_size(told) == 0)
            fputs("\nTypes:\n", out);
        json_object_set_new(told, name, json_true());
        if (strcmp(kind, "ENUM") == 0)
            put_enum(out, type);
        else if (strcmp(kind, "INPUT_OBJECT") == 0)
            put_input(out, schema, type, told);
        else
            put_entry(out, name, member(type, "description"), 16);
    }
}

void
help_command(FILE *out, const struct command *command)
{
    static const char *const kinds[ROOTS] = {"query", "mutation", "subscription"};
    const json_t *arguments = json_object_get(command->field, "args");
    char *type = type_text(json_object_get(command->field, "type"));
    json_t *told = json_object();

    put_usage(out, command);
    if (*member(command->field, "description")) {
        fputc('\n', out);
        put_wrapped(out, member(command->field, "description"), 0, 0);
    }
    put_arguments(out, arguments);
    put_types_of(out, command->schema, arguments, told);
    fprintf(out, "\nResult (%s): %s\n", kinds[command->root], type);
    json_decref(told);
    free(type);
}

void
help_builtin(FILE *out, const struct builtin *b)
{
    fprintf(out, "Usage: meerkatctl %s\n\n", b->usage);
    put_wrapped(out, b->help, 0, 0);
}
