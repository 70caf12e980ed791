/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * Completion: the shells' scripts are thin and ask "meerkatctl __complete WORD...", whose last word is the one under the
 * cursor. It prints what could stand there, one a line, with what it means behind a tab.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "ctl.h"

#include <stdlib.h>
#include <string.h>

static const char bash[] =
    "# Completion of meerkatctl for bash; made by: meerkatctl completion bash\n"
    "_meerkatctl() {\n"
    "    mapfile -t COMPREPLY < <(\"${COMP_WORDS[0]}\" __complete \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null | cut -f1)\n"
    "}\n"
    "complete -o default -F _meerkatctl meerkatctl\n";

static const char zsh[] =
    "#compdef meerkatctl\n"
    "# Completion of meerkatctl for zsh; made by: meerkatctl completion zsh\n"
    "_meerkatctl() {\n"
    "    local -a found names\n"
    "    local line\n"
    "    for line in ${(f)\"$(${words[1]} __complete ${(@Q)words[2,CURRENT]} 2>/dev/null)\"}; do\n"
    "        names+=(\"${line%%$'\\t'*}\")\n"
    "        found+=(\"${line/$'\\t'/  -- }\")\n"
    "    done\n"
    "    (( $#names )) && compadd -l -d found -a names || _files\n"
    "}\n"
    "compdef _meerkatctl meerkatctl\n";

static const char fish[] =
    "# Completion of meerkatctl for fish; made by: meerkatctl completion fish\n"
    "function __meerkatctl_complete\n"
    "    set -l words (commandline -opc)\n"
    "    set -e words[1]\n"
    "    meerkatctl __complete $words (commandline -ct) 2>/dev/null\n"
    "end\n"
    "complete -c meerkatctl -a '(__meerkatctl_complete)'\n";

const char *
completion_script(const char *shell)
{
    return strcmp(shell, "bash") == 0 ? bash
           : strcmp(shell, "zsh") == 0 ? zsh
           : strcmp(shell, "fish") == 0 ? fish
                                        : NULL;
}

struct completion {
    struct cli cli;             /* the words before the cursor */
    const char *word;           /* the one under it */
    const char *option;         /* whose value that is; NULL: none's */
    const char *before;         /* "--name=", when it stands in the same word */
};

static void
offer(const struct completion *c, const char *name, const char *what)
{
    size_t len = strcspn(what, "\n");
    char *line;

    if (strncmp(name, c->word, strlen(c->word)) != 0)
        return;
    line = format("%.*s", (int)len, what);
    put_clean(stdout, c->before ? c->before : "");
    put_clean(stdout, name);
    if (len)
        putchar('\t');
    put_clean(stdout, line);
    putchar('\n');
    free(line);
}

static void
offer_option(const struct completion *c, const char *name, const char *what)
{
    char *option = format("--%s", name);

    for (size_t i = 0; i < c->cli.narguments; i++)
        if (strcmp(c->cli.arguments[i].name, name) == 0)
            name = NULL, i = c->cli.narguments;
    if (name)
        offer(c, option, what);
    free(option);
}

static void
offer_general(const struct completion *c)
{
    static const char *const names[] = {"output", "timeout", "socket", "url", "credentials-file", "ca",
                                        "help", NULL};

    for (const char *const *n = names; *n && c->word[0] == '-'; n++)
        offer_option(c, *n, "");
}

static void
offer_builtin(const struct completion *c, const struct builtin *b)
{
    if (strcmp(b->name, "completion") == 0 && c->cli.nwords == 1) {
        offer(c, "bash", "");
        offer(c, "zsh", "");
        offer(c, "fish", "");
    }
    for (const char *const *o = b->options; *o; o++)
        offer_option(c, *o, "");
    offer_general(c);
}

static void
offer_categories(const struct completion *c, const struct schema *schema)
{
    const char *name;
    json_t *category;

    json_object_foreach (schema->categories, name, category)
        offer(c, name, member(category, "description"));
    for (const struct builtin *b = builtins; b->name; b++)
        offer(c, b->name, b->summary);
    offer_general(c);
}

static void
offer_commands(const struct completion *c, const struct schema *schema)
{
    const json_t *category = json_object_get(schema->categories, c->cli.words[0]);
    const char *name;
    json_t *entry;

    json_object_foreach (json_object_get(category, "commands"), name, entry)
        offer(c, name, member(json_object_get(entry, "field"), "description"));
    offer_general(c);
}

static void
offer_values(const struct completion *c, const struct schema *schema, const json_t *argument)
{
    const json_t *type = json_object_get(argument, "type"), *one_type;
    json_t *one;
    size_t i;

    if (is_non_null(type))
        type = json_object_get(type, "ofType");
    one_type = schema_type(schema, member(type, "name"));
    json_array_foreach (json_object_get(one_type, "enumValues"), i, one)
        offer(c, member(one, "name"), member(one, "description"));
    if (strcmp(member(type, "name"), "Boolean") == 0 || strcmp(member(type, "name"), "Bool") == 0) {
        offer(c, "true", "");
        offer(c, "false", "");
    }
}

static void
offer_arguments(const struct completion *c, const struct schema *schema)
{
    const json_t *category = json_object_get(schema->categories, c->cli.words[0]);
    const json_t *entry = json_object_get(json_object_get(category, "commands"), c->cli.words[1]);
    const json_t *arguments = json_object_get(json_object_get(entry, "field"), "args");
    json_t *one;
    size_t i;

    if (c->option) {
        offer_values(c, schema, named(arguments, c->option));
        return;
    }
    json_array_foreach (arguments, i, one) {
        char *type = type_text(json_object_get(one, "type"));
        char *what = format("%s %s", type, member(one, "description"));

        offer_option(c, member(one, "name"), what);
        free(what);
        free(type);
    }
    offer_general(c);
}

static void
offer_what_fits(const struct completion *c)
{
    const struct builtin *b = c->cli.nwords ? builtin_find(c->cli.words[0]) : NULL;
    struct schema schema = {0};
    struct node node = {0};

    if (c->option && strcmp(c->option, "output") == 0) {
        offer(c, "json", "as the server answers");
        offer(c, "table", "for people");
        offer(c, "raw", "the answer as it came");
    }
    if (b && !c->option)
        offer_builtin(c, b);
    if (b || (c->option && c->cli.nwords < 2))
        return;
    if (node_init(&node, &c->cli) == CTL_OK) {
        node.timeout = 5;
        schema_load(&node, &schema, true);
    }
    if (c->cli.nwords == 0)
        offer_categories(c, &schema);
    else if (c->cli.nwords == 1)
        offer_commands(c, &schema);
    else
        offer_arguments(c, &schema);
    schema_release(&schema);
    node_release(&node);
}

/* bash takes "=" for a word of its own; without it the words are name and value all the same. */
static int
without_equals(int argc, char **argv)
{
    int kept = 0;

    for (int i = 0; i < argc; i++)
        if (i == argc - 1 || strcmp(argv[i], "=") != 0)
            argv[kept++] = argv[i];
    if (kept && strcmp(argv[kept - 1], "=") == 0)
        argv[kept - 1][0] = '\0';
    return kept;
}

/* An option whose value is not there yet: only the pairs before tell whether "--name" is a name. */
static const char *
pending(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) != 0 || !argv[i][2] || strcmp(argv[i], "--help") == 0 ||
            strchr(argv[i], '='))
            continue;
        if (i == argc - 1)
            return argv[i] + 2;
        i++;
    }
    return NULL;
}

int
complete_main(int argc, char **argv)
{
    struct completion c = {.word = ""};
    char *joined = NULL, *equals;
    int rc;

    argc = without_equals(argc, argv);
    if (argc > 0)
        c.word = argv[--argc];
    c.option = pending(argc, argv);
    equals = !c.option && strncmp(c.word, "--", 2) == 0 ? strchr(c.word, '=') : NULL;
    if (equals) {
        joined = format("%.*s", (int)(equals - c.word) + 1, c.word);
        c.word = equals + 1;
        c.before = joined;
        c.option = format("%.*s", (int)strlen(joined) - 3, joined + 2);
    }
    /* argv[-1] stands for the name of the program, which the parser leaves out. */
    rc = cli_parse(&c.cli, argc - (c.option && !equals) + 1, argv - 1);
    if (rc == CTL_OK)
        offer_what_fits(&c);
    if (equals)
        free((char *)c.option);
    free(joined);
    cli_release(&c.cli);
    return rc;
}
