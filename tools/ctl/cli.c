/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * The words of the command line, before anything is known of what the node can do.
 *
 * Every option but --help and --version has a value, so that words fall into pairs without knowing the command. What
 * says where the node is counts as such wherever it stands; other names behind the command are its arguments, and where
 * it has no such one, options. Behind "--" all are arguments.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int
set_timeout(struct cli *cli, const char *value)
{
    char *end;

    errno = 0;
    cli->timeout = strtol(value, &end, 10);
    if (end == value || *end || errno || cli->timeout < 1 || cli->timeout > 86400) {
        complain("--timeout is a number of seconds, 1 to 86400, not '%s'", value);
        return CTL_USAGE;
    }
    return CTL_OK;
}

static int
set_output(struct cli *cli, const char *value)
{
    static const char *const names[] = {"json", "table", "raw"};

    for (unsigned i = 0; i < 3; i++) {
        if (strcmp(value, names[i]) == 0) {
            cli->output = (enum ctl_output)(OUTPUT_JSON + i);
            return CTL_OK;
        }
    }
    complain("--output is json, table or raw, not '%s'", value);
    return CTL_USAGE;
}

/* Where the node is: true when it was that. */
static bool
take_place(struct cli *cli, const char *name, const char *value)
{
    const char **at = strcmp(name, "socket") == 0 ? &cli->socket
                      : strcmp(name, "url") == 0 ? &cli->url
                      : strcmp(name, "ca") == 0  ? &cli->ca
                      : strcmp(name, "credentials-file") == 0 ? &cli->credentials_file
                                                              : NULL;

    if (at)
        *at = value;
    return at != NULL;
}

/* An option that a command may have as an argument of its own: true when it was one. */
static bool
take_form(struct cli *cli, const char *name, const char *value, int *rc)
{
    if (strcmp(name, "output") == 0)
        *rc = set_output(cli, value);
    else if (strcmp(name, "timeout") == 0)
        *rc = set_timeout(cli, value);
    else
        return false;
    return true;
}

static void
add_argument(struct cli *cli, char *name, const char *value)
{
    cli->arguments = grown(cli->arguments, cli->narguments, sizeof(*cli->arguments));
    cli->arguments[cli->narguments++] = (struct cli_argument){name, value};
}

static int
unknown_option(const char *name)
{
    static const char *const known[] = {"socket", "url", "credentials-file", "ca", "output",
                                        "timeout", "help", "version", NULL};
    struct nearest n = nearest_to(name);

    for (const char *const *k = known; *k; k++)
        nearest_try(&n, *k);
    if (n.found)
        complain("there is no option '--%s'; did you mean '--%s'?", name, n.found);
    else
        complain("there is no option '--%s'; --help shows all", name);
    return CTL_USAGE;
}

/* Is the command complete, so that what follows is its own? */
static bool
behind_command(const struct cli *cli)
{
    return cli->nwords >= 2 || (cli->nwords == 1 && builtin_find(cli->words[0]));
}

static int
take_option(struct cli *cli, const char *word, const char *next, bool all_arguments, int *used)
{
    const char *equals = strchr(word + 2, '=');
    char *name = format("%.*s", equals ? (int)(equals - word - 2) : (int)strlen(word + 2), word + 2);
    const char *value = equals ? equals + 1 : next;
    int rc = CTL_OK;

    *used = equals ? 1 : 2;
    if (!value) {
        complain("Could not parse the command arguments: '--%s' needs a value", name);
        rc = CTL_USAGE;
    } else if (!all_arguments && take_place(cli, name, value)) {
        ;
    } else if (behind_command(cli)) {
        add_argument(cli, name, value);
        return CTL_OK;
    } else if (!take_form(cli, name, value, &rc)) {
        rc = unknown_option(name);
    }
    free(name);
    return rc;
}

static int
take_word(struct cli *cli, const char *word)
{
    if (word[0] == '-' && word[1]) {
        complain("there is no option '%s'; --help shows all", word);
        return CTL_USAGE;
    }
    if (strcmp(word, "help") == 0 && cli->nwords == 0 && !cli->help) {
        cli->help = true;
        return CTL_OK;
    }
    cli->words = grown(cli->words, cli->nwords, sizeof(*cli->words));
    cli->words[cli->nwords++] = word;
    return CTL_OK;
}

int
cli_parse(struct cli *cli, int argc, char **argv)
{
    bool all_arguments = false;
    int rc = CTL_OK, used;

    for (int i = 1; i < argc && rc == CTL_OK; i += used) {
        const char *word = argv[i];

        used = 1;
        if (!all_arguments && strcmp(word, "--") == 0)
            all_arguments = true;
        else if (!all_arguments && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0))
            cli->help = true;
        else if (!all_arguments && cli->nwords == 0 &&
                 (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0))
            cli->version = true;
        else if (strncmp(word, "--", 2) == 0)
            rc = take_option(cli, word, argv[i + 1], all_arguments, &used);
        else
            rc = take_word(cli, word);
    }
    return rc;
}

int
cli_late_options(struct cli *cli, bool (*has)(const void *command, const char *name),
                 const void *command)
{
    size_t kept = 0;
    int rc = CTL_OK;

    for (size_t i = 0; i < cli->narguments; i++) {
        struct cli_argument *a = &cli->arguments[i];
        int bad = CTL_OK;

        if (has(command, a->name) || !take_form(cli, a->name, a->value, &bad))
            cli->arguments[kept++] = *a;
        else
            free(a->name);
        rc = rc == CTL_OK ? bad : rc;
    }
    cli->narguments = kept;
    return rc;
}

void
cli_release(struct cli *cli)
{
    for (size_t i = 0; i < cli->narguments; i++)
        free(cli->arguments[i].name);
    free(cli->arguments);
    free(cli->words);
}
