/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * meerkatctl: the command line of a node's administrators.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "ctl.h"

#include <langinfo.h>
#include <locale.h>
#include <string.h>

/* What the node says is UTF-8, also where (in a container) nobody has set a language. */
static void
set_locale(void)
{
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        setlocale(LC_CTYPE, "C.UTF-8");
}

/* Help without a category: with what the node offers, if it answers. */
static int
general_help(struct node *node, const struct cli *cli)
{
    struct schema schema = {0};
    int rc = node_init(node, cli);
    bool reached;

    if (rc != CTL_OK)
        return rc;
    node->timeout = 5;
    reached = schema_load(node, &schema, true) == CTL_OK;
    help_general(stdout, reached ? &schema : NULL, node->name);
    schema_release(&schema);
    rc = flush_stdout();
    return rc == CTL_OK && !cli->help ? CTL_USAGE : rc;
}

static int
run(struct node *node, struct cli *cli)
{
    const struct builtin *b = cli->nwords ? builtin_find(cli->words[0]) : NULL;
    int rc;

    if (cli->version) {
        puts("meerkatctl " PACKAGE_VERSION);
        return flush_stdout();
    }
    if (!cli->nwords)
        return general_help(node, cli);
    if (b)
        return builtin_main(b, node, cli);
    rc = node_init(node, cli);
    return rc == CTL_OK ? command_main(node, cli) : rc;
}

int
main(int argc, char **argv)
{
    struct node node = {0};
    struct cli cli = {0};
    int rc;

    set_locale();
    if (argc > 1 && strcmp(argv[1], "__complete") == 0)
        return complete_main(argc - 2, argv + 2);
    rc = cli_parse(&cli, argc, argv);
    if (rc == CTL_OK)
        rc = run(&node, &cli);
    node_release(&node);
    cli_release(&cli);
    return rc;
}
