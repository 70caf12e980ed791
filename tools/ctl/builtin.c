/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * Commands without category: the few that everybody needs, whatever modules the node has.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "ctl.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define POLL_MS 100

static const char status_query[] = "{ server { status { statusCode ready } } }";

static const char *
option(const struct cli *cli, const char *name)
{
    const char *value = NULL;

    for (size_t i = 0; i < cli->narguments; i++)
        if (strcmp(cli->arguments[i].name, name) == 0)
            value = cli->arguments[i].value;
    return value;
}

/* -- what stands for a command of a category */

static int
ask_command(struct node *node, const char *category, const char *name, struct reply *reply)
{
    struct schema schema;
    struct command command;
    int rc = schema_load(node, &schema, false);

    *reply = (struct reply){0};
    if (rc == CTL_OK && !json_object_get(json_object_get(json_object_get(schema.categories, category),
                                                         "commands"), name)) {
        complain("the node at %s has no command '%s %s'", node->name, category, name);
        rc = CTL_ERROR;
    }
    if (rc == CTL_OK && command_find(&schema, category, name, &command) == CTL_OK) {
        char *document = document_for(&schema, category, name, command.entry, NULL);

        rc = document ? node_ask(node, document, NULL, NULL, false, reply) : CTL_ERROR;
        free(document);
    }
    schema_release(&schema);
    return rc;
}

static int
run_command(struct node *node, const struct cli *cli, const char *category, const char *name)
{
    struct reply reply;
    int rc = ask_command(node, category, name, &reply);

    if (rc == CTL_OK)
        rc = print_reply(&reply, cli->output ? cli->output : OUTPUT_TABLE);
    reply_release(&reply);
    return rc;
}

static const json_t *
server_status(const struct reply *reply)
{
    return json_object_get(json_object_get(json_object_get(reply->json, "data"), "server"), "status");
}

static bool
is_running(const struct reply *reply)
{
    return strcmp(member(server_status(reply), "statusCode"), "RUNNING") == 0;
}

static int
run_status(struct node *node, const struct cli *cli)
{
    struct reply reply;
    int rc = ask_command(node, "server", "status", &reply);

    if (rc == CTL_OK)
        rc = print_reply(&reply, cli->output ? cli->output : OUTPUT_TABLE);
    if (rc == CTL_OK && !is_running(&reply))
        rc = CTL_ERROR;
    reply_release(&reply);
    return rc;
}

static int
run_stop(struct node *node, const struct cli *cli)
{
    return run_command(node, cli, "server", "stop");
}

static int
run_reload(struct node *node, const struct cli *cli)
{
    return run_command(node, cli, "config", "reload");
}

static int
run_ping(struct node *node, const struct cli *cli)
{
    struct reply reply;
    int rc = node_ask(node, "{ __typename }", NULL, NULL, false, &reply);

    if (rc == CTL_OK && cli->output > OUTPUT_TABLE)
        rc = print_reply(&reply, cli->output);
    else if (rc == CTL_OK && (rc = print_errors(&reply)) == CTL_OK)
        puts("pong");
    reply_release(&reply);
    return rc == CTL_OK ? flush_stdout() : rc;
}

static int
run_version(struct node *node, const struct cli *cli)
{
    struct reply reply;
    int rc;

    (void)cli;
    printf("meerkatctl %s\n", PACKAGE_VERSION);
    fflush(stdout);
    rc = node_ask(node, "{ server { status { version } } }", NULL, NULL, false, &reply);
    if (rc == CTL_OK)
        rc = print_errors(&reply);
    if (rc == CTL_OK)
        printf("meerkatd %s\n", member(server_status(&reply), "version"));
    reply_release(&reply);
    return rc == CTL_OK ? flush_stdout() : rc;
}

/* -- waiting */

static int64_t
now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int
seconds_of(const struct cli *cli, long otherwise, long *seconds_out)
{
    const char *text = option(cli, "wait");
    char *end;

    *seconds_out = otherwise;
    if (!text)
        return CTL_OK;
    errno = 0;
    *seconds_out = strtol(text, &end, 10);
    if (isdigit((unsigned char)*text) && !*end && !errno && *seconds_out <= 86400)
        return CTL_OK;
    complain("--wait is a number of seconds, 0 to 86400, not '%s'", text);
    return CTL_USAGE;
}

/* May it be sent users? A node that does not say (no such category, or not for everyone) may when it answers. */
static bool
has_started(struct node *node)
{
    struct reply reply;
    bool answers = node_ask(node, status_query, NULL, NULL, true, &reply) == CTL_OK;
    bool started = answers && (!server_status(&reply) ||
                               (is_running(&reply) &&
                                !json_is_false(json_object_get(server_status(&reply), "ready"))));

    reply_release(&reply);
    return started;
}

static bool
has_stopped(struct node *node)
{
    struct reply reply;
    bool gone = node_ask(node, "{ __typename }", NULL, NULL, true, &reply) == CTL_UNREACHABLE;

    reply_release(&reply);
    return gone;
}

/* Asks until it is so or the time is over; one question takes no longer than what is left. */
static int
wait_until(struct node *node, const struct cli *cli, bool (*is_so)(struct node *node), const char *what)
{
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    int64_t end, left;
    long seconds;

    if (seconds_of(cli, 60, &seconds) != CTL_OK)
        return CTL_USAGE;
    end = now_ms() + seconds * 1000;
    do {
        left = (end - now_ms()) / 1000;
        node->timeout = left < 1 ? 1 : left > 5 ? 5 : left;
        if (is_so(node)) {
            printf("%s\n", what);
            return flush_stdout();
        }
        nanosleep(&pause, NULL);
    } while (now_ms() < end);
    complain("the node at %s has not %s after %ld s", node->name, what, seconds);
    return CTL_ERROR;
}

static int
run_started(struct node *node, const struct cli *cli)
{
    return wait_until(node, cli, has_started, "started");
}

static int
run_stopped(struct node *node, const struct cli *cli)
{
    return wait_until(node, cli, has_stopped, "stopped");
}

/* -- graphql */

/* Behind comments and strings: the next token of one letter or a name, and its length; 0 at the end. */
static size_t
next_token(const char **at)
{
    const char *s = *at;
    size_t len;

    for (;;) {
        s += strspn(s, " \t\r\n,\xef\xbb\xbf");
        if (*s != '#')
            break;
        s += strcspn(s, "\r\n");
    }
    *at = s;
    if (strncmp(s, "\"\"\"", 3) == 0) {
        const char *end = strstr(s + 3, "\"\"\"");

        return end ? (size_t)(end + 3 - s) : strlen(s);
    }
    if (*s == '"') {
        for (len = 1; s[len] && s[len] != '"'; len++)
            if (s[len] == '\\' && s[len + 1])
                len++;
        return len + (s[len] == '"');
    }
    for (len = 0; isalnum((unsigned char)s[len]) || s[len] == '_';)
        len++;
    return len ? len : *s != '\0';
}

static bool
token_is(const char *at, size_t len, const char *text)
{
    return len == strlen(text) && strncmp(at, text, len) == 0;
}

/* Is the operation (the one of this name, or the first) a subscription? Those go another way. */
static bool
is_subscription(const char *document, const char *operation)
{
    unsigned depth = 0;
    bool subscription = false, start = true;
    size_t len;

    for (const char *at = document; (len = next_token(&at)); at += len) {
        if (*at == '{' || *at == '(')
            depth++;
        if ((*at == '}' || *at == ')') && depth > 0 && --depth == 0 && *at == '}')
            start = true;
        else if (depth == 0 && start) {
            subscription = token_is(at, len, "subscription");
            start = false;
            if (subscription && !operation)
                return true;
        } else if (depth == 0 && subscription && operation && token_is(at, len, operation))
            return true;
    }
    return false;
}

static int
read_variables(const struct cli *cli, json_t **variables_out)
{
    const char *text = option(cli, "variables");
    json_error_t error;

    *variables_out = NULL;
    if (!text)
        return CTL_OK;
    *variables_out = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (json_is_object(*variables_out))
        return CTL_OK;
    complain("--variables is a JSON object, like {\"user\": \"alice@localhost\"}%s%s",
             *variables_out ? "" : ": ", *variables_out ? "" : error.text);
    json_decref(*variables_out);
    return CTL_USAGE;
}

static int
run_graphql(struct node *node, const struct cli *cli)
{
    const char *given = cli->nwords > 1 ? cli->words[1] : NULL, *operation = option(cli, "operation");
    char *document;
    json_t *variables;
    struct reply reply;
    int rc;

    if (!given) {
        complain("graphql needs a document: meerkatctl graphql '{ checkAuth { authStatus } }'");
        return CTL_USAGE;
    }
    if (read_variables(cli, &variables) != CTL_OK)
        return CTL_USAGE;
    document = strcmp(given, "-") == 0 ? read_value_file("-", "document") : copy(given);
    if (!document) {
        rc = CTL_USAGE;
    } else if (is_subscription(document, operation)) {
        rc = node_subscribe(node, document, variables, operation);
    } else {
        rc = node_ask(node, document, variables, operation, false, &reply);
        if (rc == CTL_OK)
            rc = print_reply(&reply, cli->output);
        reply_release(&reply);
    }
    free(document);
    json_decref(variables);
    return rc;
}

static int
run_reference(struct node *node, const struct cli *cli)
{
    struct schema schema;
    int rc = schema_load(node, &schema, false);

    (void)cli;
    if (rc == CTL_OK)
        print_reference(stdout, &schema);
    schema_release(&schema);
    return rc == CTL_OK ? flush_stdout() : rc;
}

static int
run_completion(struct node *node, const struct cli *cli)
{
    const char *script = cli->nwords > 1 ? completion_script(cli->words[1]) : NULL;

    (void)node;
    if (!script) {
        complain("completion is for bash, zsh or fish: meerkatctl completion bash");
        return CTL_USAGE;
    }
    fputs(script, stdout);
    return flush_stdout();
}

/* -- what works on a node's files: its program does that, with the same configuration */

/* Beside this program where both are there (a build folder), else where it is installed. */
static const char *
server_program(void)
{
    static char path[4096];
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - sizeof("meerkatd"));
    char *slash;

    path[len < 0 ? 0 : len] = '\0';
    slash = strrchr(path, '/');
    if (slash) {
        memcpy(slash + 1, "meerkatd", sizeof("meerkatd"));
        if (access(path, X_OK) == 0)
            return path;
    }
    return MK_SBINDIR "/meerkatd";
}

static int
run_task(struct node *node, const struct cli *cli)
{
    const char *config = option(cli, "config"), *program = server_program();
    const char *argv[8] = {program};
    size_t n = 1;

    (void)node;
    if (cli->nwords < 2) {
        complain("%s needs a file: meerkatctl %s FILE", cli->words[0], cli->words[0]);
        return CTL_USAGE;
    }
    if (config) {
        argv[n++] = "--config";
        argv[n++] = config;
    }
    argv[n++] = "--run";
    argv[n++] = cli->words[0];
    argv[n++] = cli->words[1];
    execv(program, (char *const *)argv);
    complain("cannot run %s: %s", program, strerror(errno));
    return CTL_ERROR;
}

static const char *const no_options[] = {NULL};
static const char *const task_options[] = {"config", NULL};
static const char *const wait_options[] = {"wait", NULL};
static const char *const graphql_options[] = {"variables", "operation", NULL};

const struct builtin builtins[] = {
    {"backup", "backup NEW-FILE [--config FILE]", "copy the SQLite database of this machine's node into a file",
     "The same as: meerkatd --run backup NEW-FILE. The node may run meanwhile. Of PostgreSQL: pg_dump.", task_options, 2, true,
     run_task},
    {"completion", "completion bash|zsh|fish", "print the completion script of a shell",
     "For bash: source <(meerkatctl completion bash)\n\n"
     "For zsh: source <(meerkatctl completion zsh), behind compinit\n\n"
     "For fish: meerkatctl completion fish | source",
     no_options, 2, true, run_completion},
    {"graphql", "graphql 'DOCUMENT' [--variables JSON] [--operation NAME]",
     "send a document: a query, a mutation or a subscription",
     "DOCUMENT is - to read it from standard input. --variables is a JSON object. --operation names the "
     "one to run, where the document has several. Events of a subscription are printed one a line, until "
     "Ctrl-C.",
     graphql_options, 2, false, run_graphql},
    {"ping", "ping", "does the node answer?", "Prints pong.", no_options, 1, false, run_ping},
    {"reference", "reference", "print all that the API has, as Markdown",
     "Categories, their fields, arguments and types, in the words of the node's modules, those of others too. With "
     "--url it is that of another node, or of the API of users.",
     no_options, 1, false, run_reference},
    {"reload", "reload", "read the configuration again",
     "The same as: meerkatctl config reload. With a mistake in the configuration nothing changes.",
     no_options, 1, false, run_reload},
    {"restore", "restore FILE [--config FILE]", "put a backup in the place of the SQLite database",
     "The same as: meerkatd --run restore FILE. The node must be stopped.", task_options, 2, true, run_task},
    {"started", "started [--wait SECONDS]", "wait until the node is ready for users",
     "Waits up to 60 seconds, or SECONDS (0: looks once). Exit status 1: it is not ready; \"status\" says "
     "why.",
     wait_options, 1, false, run_started},
    {"status", "status", "how the node is",
     "The same as: meerkatctl server status, as a table. Exit status 1: it answers, but does not run; 3: "
     "it does not answer.",
     no_options, 1, false, run_status},
    {"stop", "stop", "stop the node in order",
     "The same as: meerkatctl server stop. It answers at once; \"meerkatctl stopped\" waits for the end.",
     no_options, 1, false, run_stop},
    {"stopped", "stopped [--wait SECONDS]", "wait until the node is gone",
     "Waits up to 60 seconds, or SECONDS (0: looks once). Exit status 1: it still answers.",
     wait_options, 1, false, run_stopped},
    {"version", "version", "versions of this program and of the node",
     "The node's is that of \"server status\"; --version asks no node.", no_options, 1, false, run_version},
    {0},
};

const struct builtin *
builtin_find(const char *name)
{
    for (const struct builtin *b = builtins; b->name; b++)
        if (strcmp(b->name, name) == 0)
            return b;
    return NULL;
}

static bool
builtin_has(const void *arg, const char *name)
{
    const struct builtin *b = arg;

    for (const char *const *o = b->options; *o; o++)
        if (strcmp(*o, name) == 0)
            return true;
    return false;
}

static int
check_words(const struct builtin *b, const struct cli *cli)
{
    if (cli->nwords > b->max_words) {
        complain("Could not parse the command arguments: '%s'", cli->words[b->max_words]);
        return CTL_USAGE;
    }
    for (size_t i = 0; i < cli->narguments; i++) {
        struct nearest n = nearest_to(cli->arguments[i].name);

        if (builtin_has(b, cli->arguments[i].name))
            continue;
        for (const char *const *o = b->options; *o; o++)
            nearest_try(&n, *o);
        complain("Unknown argument '%s' for command '%s'%s%s%s", cli->arguments[i].name, b->name,
                 n.found ? "; did you mean '" : "", n.found ? n.found : "", n.found ? "'?" : "");
        return CTL_USAGE;
    }
    return CTL_OK;
}

int
builtin_main(const struct builtin *b, struct node *node, struct cli *cli)
{
    int rc;

    if (cli->help) {
        help_builtin(stdout, b);
        return flush_stdout();
    }
    rc = cli_late_options(cli, builtin_has, b);
    if (rc == CTL_OK)
        rc = check_words(b, cli);
    if (rc == CTL_OK && !b->alone)
        rc = node_init(node, cli);
    return rc == CTL_OK ? b->run(node, cli) : rc;
}
