/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Module xep0227: what its files share. */
#ifndef XEP0227_INTERNAL_H
#define XEP0227_INTERNAL_H

#include <stdio.h>

#include <meerkat/auth.h>
#include <meerkat/meerkat.h>
#include <meerkat/port.h>
#include <meerkat/rdbms.h>
#include <meerkat/task.h>

#define NS_PIE "urn:xmpp:pie:0"
#define NS_SCRAM "urn:xmpp:pie:0#scram"

struct xep0227_conf {
    uint64_t max_user;          /* bytes */
    int64_t parallel;
};

struct xep0227 {
    struct mk_module *module;
    const struct mk_rdbms *db;
    const struct mk_auth *auth;
    struct mk_task import_task, export_task;
    struct mk_hook *import_hook, *export_hook;
};

/* -- parse.c: a file, piece by piece */
struct person {
    char *host, *name;
    char *password;             /* NULL: none */
    size_t count;
    struct mk_node **elements;
};
void person_free(struct person **p);

enum parse_result { PARSE_MORE, PARSE_PERSON, PARSE_END, PARSE_BAD };
struct parser;
/* NULL with a reason. Owned. */
struct parser *parser_open(const char *file, size_t max_user, struct mk_error *err) MK_NODISCARD;
/* Reads until there is a person (owned), or a piece of the file has been read. */
enum parse_result parser_next(struct parser *p, struct person **person_out, struct mk_error *err) MK_NODISCARD;
/* How far it is, 0 to 1. */
double parser_progress(const struct parser *p);
void parser_free(struct parser **p);

/* -- credentials.c */
/* The keys among a person's elements, and ejabberd's form of a password. */
void credentials_read(const struct person *p, struct mk_credentials *out);
void credentials_write(struct mk_xml *x, const struct mk_credentials *cred);

/* -- progress.c: a bar on a terminal, a line now and then elsewhere */
struct progress {
    const char *what;
    uint64_t began, last;
    bool terminal;
};
void progress_begin(struct progress *p, const char *what);
void progress_show(struct progress *p, double done, size_t users);
void progress_end(struct progress *p);

/* -- import.c, export.c: the tasks */
int import_run(void *self, size_t argc, char *const *argv, struct mk_error *err);
int import_define(struct xep0227 *self);
int export_run(void *self, size_t argc, char *const *argv, struct mk_error *err);
int export_define(struct xep0227 *self);

#endif
