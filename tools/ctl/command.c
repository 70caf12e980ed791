/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * CATEGORY COMMAND --argument value: found in the schema, checked, sent, printed.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "ctl.h"

#include <stdlib.h>
#include <string.h>

static void
unknown(const char *what, const char *name, const json_t *among)
{
    struct nearest n = nearest_to(name);
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)among, key, value)
        nearest_try(&n, key);
    for (const struct builtin *b = builtins; b->name && strcmp(what, "category") == 0; b++)
        nearest_try(&n, b->name);
    if (n.found)
        complain("Unknown %s '%s'; did you mean '%s'?", what, name, n.found);
    else if (strcmp(what, "category") == 0)
        complain("Unknown category '%s': this node has it not, or its module is not loaded", name);
    else
        complain("Unknown %s '%s'", what, name);
}

int
command_find(const struct schema *schema, const char *category, const char *name,
             struct command *command)
{
    const json_t *commands =
        json_object_get(json_object_get(schema->categories, category), "commands");
    const json_t *entry = json_object_get(commands, name);

    if (!commands)
        unknown("category", category, schema->categories);
    else if (!entry)
        unknown("command", name, commands);
    if (!entry)
        return CTL_USAGE;
    *command = (struct command){.schema = schema,
                                .category = category,
                                .name = name,
                                .entry = entry,
                                .root = (enum root)json_integer_value(json_object_get(entry, "root")),
                                .field = json_object_get(entry, "field")};
    return CTL_OK;
}

bool
command_has(const void *arg, const char *argument)
{
    const struct command *command = arg;

    return named(json_object_get(command->field, "args"), argument) != NULL;
}

static void
unknown_argument(const struct command *command, const char *name)
{
    struct nearest n = nearest_to(name);
    json_t *one;
    size_t i;

    json_array_foreach (json_object_get(command->field, "args"), i, one)
        nearest_try(&n, member(one, "name"));
    if (n.found)
        complain("Unknown argument '%s' for command '%s'; did you mean '%s'?", name, command->name,
                 n.found);
    else
        complain("Unknown argument '%s' for command '%s'", name, command->name);
}

/* "password-file": the argument of that name has its value in a file. */
static const json_t *
in_file(const struct command *command, const char *name)
{
    size_t len = strlen(name);
    const json_t *found;
    char *stem;

    if (len <= 5 || strcmp(name + len - 5, "-file") != 0)
        return NULL;
    stem = format("%.*s", (int)(len - 5), name);
    found = named(json_object_get(command->field, "args"), stem);
    free(stem);
    return found;
}

/* The text of an argument. Owned; NULL: said why. */
static char *
text_of(const struct command *command, const struct cli_argument *a, const json_t **argument_out)
{
    *argument_out = named(json_object_get(command->field, "args"), a->name);
    if (*argument_out)
        return copy(a->value);
    *argument_out = in_file(command, a->name);
    if (*argument_out)
        return read_value_file(a->value, member(*argument_out, "name"));
    unknown_argument(command, a->name);
    return NULL;
}

static int
add_variable(const struct command *command, const struct cli_argument *a, json_t *variables)
{
    const json_t *argument;
    char *text = text_of(command, a, &argument), *why = NULL;
    const char *name = member(argument, "name");
    json_t *value = NULL;
    int rc = CTL_USAGE;

    if (!text)
        return CTL_USAGE;
    if (json_object_get(variables, name))
        complain("Argument '%s' of command '%s' is given twice", name, command->name);
    else
        value = value_parse(command->schema, json_object_get(argument, "type"), text, &why);
    if (why)
        complain("Invalid value '%.100s' of argument '%s' for command '%s': %s", text, name,
                 command->name, why);
    if (value && json_object_set_new(variables, name, value) == 0)
        rc = CTL_OK;
    free(why);
    free(text);
    return rc;
}

static int
check_missing(const struct command *command, const json_t *variables)
{
    char *missing = copy(""), *more;
    int rc = CTL_OK;
    json_t *one;
    size_t i;

    json_array_foreach (json_object_get(command->field, "args"), i, one) {
        const char *name = member(one, "name");

        if (!is_non_null(json_object_get(one, "type")) || json_object_get(variables, name) ||
            !json_is_null(json_object_get(one, "defaultValue")))
            continue;
        more = format("%s%s'%s'", missing, *missing ? ", " : "", name);
        free(missing);
        missing = more;
    }
    if (*missing) {
        complain("Missing mandatory arguments for command '%s': %s", command->name, missing);
        rc = CTL_USAGE;
    }
    free(missing);
    return rc;
}

static json_t *
read_arguments(const struct command *command, const struct cli *cli)
{
    json_t *variables = json_object();
    int rc = CTL_OK;

    for (size_t i = 0; i < cli->narguments && rc == CTL_OK; i++)
        rc = add_variable(command, &cli->arguments[i], variables);
    if (rc == CTL_OK)
        rc = check_missing(command, variables);
    if (rc == CTL_OK)
        return variables;
    json_decref(variables);
    fputc('\n', stderr);
    help_command(stderr, command);
    return NULL;
}

static int
send_command(struct node *node, const struct command *command, const char *document,
             const json_t *variables, enum ctl_output output)
{
    struct reply reply;
    int rc;

    if (command->root == ROOT_SUBSCRIPTION)
        return node_subscribe(node, document, variables, NULL);
    rc = node_ask(node, document, variables, NULL, false, &reply);
    if (rc == CTL_OK)
        rc = print_reply(&reply, output);
    reply_release(&reply);
    return rc;
}

int
command_run(struct node *node, const struct command *command, const struct cli *cli)
{
    json_t *variables = read_arguments(command, cli);
    char *document;
    int rc;

    if (!variables)
        return CTL_USAGE;
    document = document_for(command->schema, command->category, command->name, command->entry,
                            variables);
    rc = document ? send_command(node, command, document, variables, cli->output) : CTL_ERROR;
    free(document);
    json_decref(variables);
    return rc;
}

static int
with_category(struct node *node, struct cli *cli, const struct schema *schema)
{
    struct command command;
    int rc;

    if (cli->nwords == 1 && json_object_get(schema->categories, cli->words[0])) {
        help_category(stdout, schema, cli->words[0]);
        return flush_stdout();
    }
    if (cli->nwords > 2) {
        complain("Could not parse the command arguments: '%s' is no argument; they are written --name value",
                 cli->words[2]);
        return CTL_USAGE;
    }
    rc = command_find(schema, cli->words[0], cli->nwords > 1 ? cli->words[1] : "", &command);
    if (rc != CTL_OK) {
        fputc('\n', stderr);
        if (json_object_get(schema->categories, cli->words[0]))
            help_category(stderr, schema, cli->words[0]);
        else
            help_general(stderr, schema, NULL);
        return rc;
    }
    if (cli->help) {
        help_command(stdout, &command);
        return flush_stdout();
    }
    rc = cli_late_options(cli, command_has, &command);
    if (cli->timeout)
        node->timeout = cli->timeout;
    return rc == CTL_OK ? command_run(node, &command, cli) : rc;
}

int
command_main(struct node *node, struct cli *cli)
{
    struct schema schema;
    int rc = schema_load(node, &schema, false);

    if (rc == CTL_OK)
        rc = with_category(node, cli, &schema);
    schema_release(&schema);
    return rc;
}
