/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* What the files of auth_rdbms share: its state, one request on an account, and key derivation. */
#ifndef AUTH_RDBMS_INTERNAL_H
#define AUTH_RDBMS_INTERNAL_H

#include <meerkat/auth.h>
#include <meerkat/meerkat.h>
#include <meerkat/rdbms.h>
#include <meerkat/router.h>

#define SALT_LEN 16 /* as MongooseIM has it */
#define NAME_MAX_CHARS 250

struct auth_rdbms_conf {
    int64_t iterations;
    struct mk_option_list hashes;
};

struct auth_rdbms {
    struct mk_module *module;
    const struct mk_rdbms *db;
    const struct mk_sessions *sessions; /* NULL: nobody keeps them */
    struct mk_hook *account_remove, *account_password;
    struct mk_sql_stmt *select, *insert, *update, *upgrade, *remove, *list, *count;
    struct mk_counter upgraded;
    struct mk_auth table;
};

enum op_kind { OP_LOOKUP, OP_CHECK, OP_CREATE, OP_SET_PASSWORD, OP_REMOVE };

/* One request, from the call to the callback. Lives on the worker that asked. */
struct op {
    struct auth_rdbms *self;
    enum op_kind kind;
    struct mk_host *host;
    struct mk_buf user;         /* prepared local part, with a NUL behind it */
    struct mk_buf key;          /* bare JID: orders requests, and names the account in the log */
    struct mk_buf password;     /* SASLprep: ours */
    struct mk_buf other;        /* resourceprep, when that is something else: MongooseIM's */
    struct mk_buf plain;        /* the row's plain text, which is about to be replaced */
    struct mk_credentials cred; /* of the row, or just derived */
    bool matches;               /* OP_CHECK: what the offloaded comparison found */
    unsigned hashes;            /* to derive, bits */
    unsigned iterations;
    mk_auth_fn fn;
    mk_auth_lookup_fn lookup_fn;
    void *arg;
};

/* op.c */
struct op *op_new(struct auth_rdbms *self, enum op_kind kind, struct mk_host *host,
                  struct mk_str user, void *arg);
/* Prepares a password for comparison and storage; -1 when it is not acceptable. */
int op_password(struct op *op, struct mk_str password) MK_NODISCARD;
/* Calls back and frees. */
void op_finish(struct op *op, enum mk_auth_result result);
void op_exec(struct op *op, struct mk_sql_stmt *stmt, const struct mk_sql_value *values, size_t n,
             mk_sql_fn fn);
/* MK_AUTH_OK when the database has done what it was asked; logs what an administrator must know. */
enum mk_auth_result op_status(struct op *op, const struct mk_sql_result *result);

/* derive.c: each calls `next` on this worker with op->cred or op->matches filled; -1: no room. */
int derive_keys(struct op *op, mk_task_fn next) MK_NODISCARD;
int derive_match(struct op *op, mk_task_fn next) MK_NODISCARD;
/* Compares with a row's plain text under either preparation. */
bool plain_matches(const struct op *op, struct mk_str stored);

/* account.c: the functions of service "auth". */
void account_lookup(void *self, struct mk_host *host, struct mk_str user, mk_auth_lookup_fn fn,
                    void *arg);
void account_check(void *self, struct mk_host *host, struct mk_str user, struct mk_str password,
                   mk_auth_fn fn, void *arg);
void account_create(void *self, struct mk_host *host, struct mk_str user, struct mk_str password,
                    mk_auth_fn fn, void *arg);
void account_create_keys(void *self, struct mk_host *host, struct mk_str user, const struct mk_credentials *cred,
                         mk_auth_fn fn, void *arg);
void account_set_password(void *self, struct mk_host *host, struct mk_str user,
                          struct mk_str password, mk_auth_fn fn, void *arg);

/* remove.c */
void account_remove(void *self, struct mk_host *host, struct mk_str user, mk_auth_fn fn, void *arg);
void announce(struct auth_rdbms *self, const char *event, const struct mk_buf *account);

/* list.c */
void account_list(void *self, struct mk_host *host, struct mk_str after, size_t limit,
                  mk_auth_list_fn fn, void *arg);
void account_count(void *self, struct mk_host *host, mk_auth_count_fn fn, void *arg);

/* auth_rdbms.c */
unsigned conf_hashes(const struct auth_rdbms_conf *conf);

#endif
