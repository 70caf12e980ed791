/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Module last: what its files share. */
#ifndef LAST_INTERNAL_H
#define LAST_INTERNAL_H

#include <meerkat/auth.h>
#include <meerkat/graphql.h>
#include <meerkat/meerkat.h>
#include <meerkat/presence.h>
#include <meerkat/rdbms.h>
#include <meerkat/roster.h>
#include <meerkat/router.h>

struct last_conf {
    uint64_t max_status;
    int64_t max_listed;
};

struct last {
    struct mk_module *module;
    const struct mk_rdbms *db;
    const struct mk_sessions *sessions;
    const struct mk_roster *roster;     /* atomic; NULL: not loaded */
    struct mk_sql_stmt *select, *upsert, *remove;
    uint64_t started;                   /* ms of mk_now_ms */
    unsigned slot;                      /* of a session whose account is being removed: since when, in ms */
    /* api.c */
    struct mk_auth_backends auth;
    struct mk_sql_stmt *count, *some;
};

/* -- last.c */
/* The beginning of a text, not cut inside a character. */
struct mk_str last_cut(struct mk_str text, size_t max);
bool last_is_available(struct last *self, const struct mk_jid *account);

/* -- api.c: category last of the GraphQL API, where there is one */
int last_api(struct last *self, struct mk_error *err) MK_NODISCARD;

/* -- old.c: users who were not here for long */
void old_list(struct mk_gql_field *f, void *arg);
void old_remove(struct mk_gql_field *f, void *arg);
/* Names that one statement asks for. */
#define OLD_AT_ONCE 32

#endif
