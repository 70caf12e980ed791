/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Module domain: what its files share. */
#ifndef DOMAIN_INTERNAL_H
#define DOMAIN_INTERNAL_H

#include <meerkat/admin.h>
#include <meerkat/auth.h>
#include <meerkat/cluster.h>
#include <meerkat/graphql.h>
#include <meerkat/meerkat.h>
#include <meerkat/rdbms.h>

struct domain_conf {
    uint64_t poll, clean;
    struct mk_option_list host_types;
};

/* domain_settings.status, as MongooseIM has it */
enum status { STATUS_DISABLED, STATUS_ENABLED, STATUS_DELETING };

struct waiting;

struct domain {
    struct mk_module *module;
    const struct mk_rdbms *db;
    const struct mk_cluster *cluster;       /* NULL: one node */
    struct mk_cluster_channel *channel;
    struct mk_auth_backends auth;
    struct {
        struct mk_sql_stmt *last_event, *page, *events, *event, *clean;
        struct mk_sql_stmt *select, *of_type, *all, *insert, *set_status, *begin_remove, *remove, *event_of, *interrupted;
        struct mk_sql_stmt *admin, *set_admin, *remove_admin;
    } sql;
    bool loaded;                            /* atomic: all domains are known here */
    struct mk_counter changes;
    /* sync.c, on the first worker */
    struct mk_timer *poll_timer, *clean_timer, *retry;
    bool busy;
    bool resumed;                           /* interrupted removals were looked for */
    int64_t last_event;                     /* the highest number that was seen */
    int64_t clean_before;
    uint64_t last_good;                     /* ms: when the database answered last */
    struct waiting *first, *next_first;     /* for the round that runs; for the one after it */
    mk_task_fn begin;                       /* begins a round */
};

/* -- sync.c: the domains of the database are those that are served */
void sync_start(void *domain);
/* fn(arg) on this worker when this node and all others serve what is in the database now. Worker. */
void sync_all(struct domain *self, mk_task_fn fn, void *arg);
int sync_init(struct domain *self, struct mk_error *err) MK_NODISCARD;

/* -- settings.c: fields that read and change domain_settings */
void settings_details(struct mk_gql_field *f, void *arg);
void settings_all(struct mk_gql_field *f, void *arg);
void settings_by_type(struct mk_gql_field *f, void *arg);
void settings_add(struct mk_gql_field *f, void *arg);
void settings_enable(struct mk_gql_field *f, void *arg);
void settings_disable(struct mk_gql_field *f, void *arg);
void settings_remove(struct mk_gql_field *f, void *arg);
void settings_request_remove(struct mk_gql_field *f, void *arg);
/* Answers with an error about a domain. */
void fail_domain(struct mk_gql_field *f, const char *code, const char *message);
void fail_sql(struct domain *self, struct mk_gql_field *f, const struct mk_sql_result *result);

/* -- removal.c: the accounts of a domain that is not served any more, then its rows; fn(ok, arg) on this worker */
typedef void (*removal_fn)(bool ok, void *arg);
void removal_run(struct domain *self, const char *domain, removal_fn fn, void *arg);

static inline void
free_names(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        mk_free(names[i]);
    mk_free(names);
}

/* -- resume.c: removals that a node which is gone has left unfinished; once, on the first worker */
void resume_look(struct domain *self);

/* -- admins.c: the administrators of domains */
void admins_set_password(struct mk_gql_field *f, void *arg);
void admins_delete_password(struct mk_gql_field *f, void *arg);
/* For service "graphql": is this the password of `admin` at the domain? */
void admins_check(const char *domain, const char *password, mk_gql_domain_admin_done_fn done, void *done_arg, void *arg);

/* -- api.c */
int api_init(struct domain *self, struct mk_error *err) MK_NODISCARD;

#endif
