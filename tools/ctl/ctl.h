/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * meerkatctl: what its files share.  The way of a command: cli.c reads the words, node.c finds the node, schema.c asks it
 * what it can do, value.c checks the arguments, document.c writes the request, http.c or stream.c sends it, output.c
 * prints what came.
 */
#ifndef CTL_H
#define CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <curl/curl.h>
#include <jansson.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

/* The exit status, a promise to scripts. */
enum ctl_exit {
    CTL_OK = 0,
    CTL_ERROR = 1,          /* the server's answer has errors */
    CTL_USAGE = 2,          /* it was asked the wrong way */
    CTL_UNREACHABLE = 3,
};

enum ctl_output {
    OUTPUT_DEFAULT,         /* JSON, unless the command has something better for people */
    OUTPUT_JSON,
    OUTPUT_TABLE,
    OUTPUT_RAW,
};

/* -- cli.c: the words of the command line. Strings are argv's own. */
struct cli_argument {
    char *name;             /* owned: without the dashes */
    const char *value;
};

struct cli {
    const char *socket, *url, *credentials_file, *ca;
    long timeout;           /* seconds; 0: the command's own */
    enum ctl_output output;
    bool help, version;
    const char **words;     /* CATEGORY COMMAND, or the name of a command without category and what follows */
    size_t nwords;
    struct cli_argument *arguments;
    size_t narguments;
};

int cli_parse(struct cli *cli, int argc, char **argv);      /* CTL_OK or CTL_USAGE */
/* Takes what was written behind the command and is none of its arguments (`has` tells) for an option. */
int cli_late_options(struct cli *cli, bool (*has)(const void *command, const char *name),
                     const void *command);
void cli_release(struct cli *cli);

/* -- node.c: where the node is, and as whom to ask it */
struct node {
    char *name;             /* for messages: the socket's path or the URL */
    char *socket;           /* NULL: by `url` */
    char *url;              /* of the API */
    char *user, *password;  /* NULL: none */
    const char *ca;         /* borrowed; NULL: the system's */
    long timeout;           /* seconds for one request */
    CURL *curl;
};

int node_init(struct node *node, const struct cli *cli);
void node_release(struct node *node);

/* -- http.c */
struct reply {
    long status;
    char *text;
    size_t len;
    json_t *json;           /* NULL: it was none */
};

/* Sets what all requests have in common; `body` must live as long as the request. */
struct curl_slist *node_prepare(struct node *node, const char *url, const char *body);
char *request_body(const char *document, const json_t *variables, const char *operation);
/* Says on stderr that the node was not reached, and why. */
int unreachable(const struct node *node, CURLcode code, const char *why);
/* POSTs the document. CTL_OK: there is a reply in JSON, which may be one of errors. `quiet`: says nothing. */
int node_ask(struct node *node, const char *document, const json_t *variables,
             const char *operation, bool quiet, struct reply *reply);
void reply_release(struct reply *reply);

/* -- stream.c: a subscription; prints one JSON a line until Ctrl-C. */
int node_subscribe(struct node *node, const char *document, const json_t *variables,
                   const char *operation);

/* -- schema.c: what the node can do */
enum root { ROOT_QUERY, ROOT_MUTATION, ROOT_SUBSCRIPTION, ROOTS };

struct schema {
    json_t *root;           /* __schema */
    json_t *types;          /* by name */
    const char *roots[ROOTS];
    json_t *categories;     /* name: {"description", "commands": {name: {"root": int, "field": …}}}, by name */
};

int schema_load(struct node *node, struct schema *schema, bool quiet);
void schema_release(struct schema *schema);
const json_t *schema_type(const struct schema *schema, const char *name);
/* A member that is a string, or "". */
const char *member(const json_t *object, const char *key);
/* One of a list of things that have names, or NULL. */
const json_t *named(const json_t *list, const char *name);
/* The type of a root's field that groups commands; NULL: it does not. */
const json_t *category_type(const struct schema *schema, const json_t *field);
bool is_non_null(const json_t *type);
/* The type inside of ! and []. */
const json_t *inner_type(const struct schema *schema, const json_t *type);
/* As SDL writes it: "[JID!]!". Owned. */
char *type_text(const json_t *type);

/* -- value.c */
/* What was written for an argument, as JSON (owned), or NULL with a reason (owned). */
json_t *value_parse(const struct schema *schema, const json_t *type, const char *text, char **why);

/* -- secret.c */
/* The content of a file without its last line end; "-" is standard input, asked for without echo at a terminal. NULL: it
 * has said why. */
char *read_value_file(const char *path, const char *what);

/* -- document.c */
char *document_for(const struct schema *schema, const char *category, const char *name,
                   const json_t *command, const json_t *variables);

/* -- command.c: a command of a category */
struct command {
    const struct schema *schema;
    const char *category, *name;
    const json_t *entry;    /* of the schema's categories */
    enum root root;
    const json_t *field;
};

/* CTL_USAGE with a message when there is no such thing. */
int command_find(const struct schema *schema, const char *category, const char *name,
                 struct command *command);
bool command_has(const void *command, const char *argument);
int command_run(struct node *node, const struct command *command, const struct cli *cli);
int command_main(struct node *node, struct cli *cli);

/* -- builtin.c: commands without category */
struct builtin {
    const char *name, *usage, *summary, *help;
    const char *const *options;         /* what it takes beside the general ones, NULL-terminated */
    unsigned max_words;
    bool alone;                         /* needs no node */
    int (*run)(struct node *node, const struct cli *cli);
};
extern const struct builtin builtins[];    /* ends with a name of NULL */
const struct builtin *builtin_find(const char *name);
int builtin_main(const struct builtin *b, struct node *node, struct cli *cli);

/* -- output.c */
void print_json(FILE *out, const json_t *value);        /* as MongooseIM does, two spaces a level */
void print_compact(FILE *out, const json_t *value);
/* Prints a reply in the form asked for; its errors also on stderr, as text. */
int print_reply(const struct reply *reply, enum ctl_output output);
/* Only the errors. CTL_OK: there are none. */
int print_errors(const struct reply *reply);
int flush_stdout(void);

/* -- table.c */
void print_table(FILE *out, const json_t *data);

/* -- help.c */
void help_general(FILE *out, const struct schema *schema, const char *missing);
void help_category(FILE *out, const struct schema *schema, const char *category);
void help_command(FILE *out, const struct command *command);
void help_builtin(FILE *out, const struct builtin *b);
/* The names of an object in order, NULL behind the last. Owned; the names are borrowed. */
const char **sorted(const json_t *object);

/* -- reference.c */
void print_reference(FILE *out, const struct schema *schema);

/* -- complete.c */
int complete_main(int argc, char **argv);
const char *completion_script(const char *shell);       /* NULL: not for this one */

/* -- text.c */
void complain(const char *fmt, ...) PRINTF_LIKE(1, 2);
char *format(const char *fmt, ...) PRINTF_LIKE(1, 2);   /* owned; out of memory ends the program */
char *copy(const char *text);
void *grown(void *list, size_t count, size_t size);     /* a list with room for one more */
void put_clean(FILE *out, const char *text);            /* without what a terminal could take for orders */
size_t text_width(const char *text);                    /* columns that put_clean needs */
#define KEEP "\x1f"         /* in text to wrap: a space that stays on its line */
/* Words of `text` from column `at` on, continued at column `indent`; ends with a line end. */
void put_wrapped(FILE *out, const char *text, size_t at, size_t indent);
unsigned distance(const char *a, const char *b);

/* The nearest of several names. */
struct nearest {
    const char *wanted;
    const char *found;      /* NULL: none is near */
    unsigned distance;
};
struct nearest nearest_to(const char *wanted);
void nearest_try(struct nearest *n, const char *name);

#endif
