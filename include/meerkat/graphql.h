/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Service "graphql": the API of administrators and users (GraphQL, October 2021), whose schema modules put together. A module
 * adds types in the schema definition language and functions that resolve their fields; what it adds appears in introspection,
 * on the command line and in the documentation, and goes with the module.
 *
 *   static const char sdl[] =
 *       "extend type AdminQuery { clock: ClockQuery }\n"
 *       "\"What time it is\" type ClockQuery @protected {\n"
 *       "  \"The time at this node\" now(utc: Boolean = true): DateTime @protected(type: GLOBAL)\n"
 *       "}\n";
 *
 *   static void
 *   now(struct mk_gql_field *f, void *arg)
 *   {
 *       char text[MK_TIME_TEXT_MAX];
 *
 *       mk_time_text(mk_time_us(), text);
 *       mk_gql_answer(f, json_string(text));
 *   }
 *
 *   static const struct mk_gql_resolver resolvers[] = {{"ClockQuery", "now", now}, {0}};
 *
 *   static const char *const after[] = {"graphql", NULL};                in the descriptor; link with -ljansson
 *   gql = mk_graphql_get(m);                                             in init; NULL: no such API here
 *   if (gql && gql->add(gql->self, m, MK_GQL_ADMIN, sdl, resolvers, NULL, err) < 0)
 *       return -1;
 *
 * Values are JSON (jansson). A field without a resolver takes the member of its name from its parent's value (a
 * field of a type that has no members needs nothing: categories resolve by themselves). Lists, objects, unions ("__typename"
 * tells which) and null are what JSON says; a value that does not fit the schema is an error of that field alone.
 *
 * Resolvers run on the worker of the request and answer exactly once, at once or later on the same worker. A module is not unloaded
 * before it has answered; what the core takes back with a module (timers) will not do that for it, so answer such fields in `stop`. The fields of a
 * query run side by side, those of a mutation one after the other. One that takes longer than option `answer_timeout` is
 * answered for with an error; what it says later is dropped, but it still has to say it.
 */
#ifndef MEERKAT_GRAPHQL_H
#define MEERKAT_GRAPHQL_H

#include <jansson.h>

#include <meerkat/base.h>
#include <meerkat/jid.h>
#include <meerkat/module.h>

MK_BEGIN

enum mk_gql_schema {
    MK_GQL_ADMIN = 1u << 0,             /* roots AdminQuery, AdminMutation, AdminSubscription */
    MK_GQL_USER = 1u << 1,              /* roots UserQuery, UserMutation, UserSubscription */
};

enum mk_gql_who {
    MK_GQL_NOBODY,                      /* no credentials: introspection, and what is not protected */
    MK_GQL_IS_USER,
    MK_GQL_IS_DOMAIN_ADMIN,
    MK_GQL_IS_ADMIN,
};

struct mk_gql_viewer {
    uint32_t size;
    enum mk_gql_who who;
    const struct mk_jid *user;          /* a user's bare JID, else NULL */
    const char *domain;                 /* a domain administrator's, else NULL */
    const char *peer;                   /* where the request came from; "" for the Unix socket */
};

struct mk_gql_field;
typedef void (*mk_gql_fn)(struct mk_gql_field *f, void *arg);

struct mk_gql_resolver {
    const char *type;                   /* NULL ends the list */
    const char *field;
    mk_gql_fn fn;
};

/*
 * Reads a scalar's value as a client wrote it: returns the value that resolvers get (owned), or NULL with a reason. Only for
 * scalars that the module's own SDL declares; without one any JSON scalar is taken.
 */
typedef json_t *(*mk_gql_scalar_fn)(const json_t *value, struct mk_error *err);

enum mk_gql_domain_admin {
    MK_GQL_PASSWORD_RIGHT,
    MK_GQL_PASSWORD_WRONG,              /* or the domain has no administrator */
    MK_GQL_PASSWORD_UNKNOWN,            /* it cannot be found out now */
};
typedef void (*mk_gql_domain_admin_done_fn)(enum mk_gql_domain_admin result, void *done_arg);
typedef void (*mk_gql_domain_admin_fn)(const char *domain, const char *password, mk_gql_domain_admin_done_fn done,
                                       void *done_arg, void *arg);

#define MK_GRAPHQL_ABI 1
struct mk_graphql {
    uint32_t size;
    void *self;
    /*
     * Adds SDL to the schemas in `schemas` (enum mk_gql_schema). Types of the base (docs/graphql.md) may be used, and those of modules
     * that were started before: name them in `after`. The roots and other types are extended with "extend type". All modules and both
     * schemas share one set of types, each defined once; a schema shows what its roots lead to. Resolvers apply to the fields
     * that this call defines; each must exist. On a mistake -1, with the line and column in `sdl`, and nothing has changed. When a module
     * goes whose types another one uses, what that one has added is left out too, until they are back. In init.
     */
    int (*add)(void *self, struct mk_module *m, unsigned schemas, const char *sdl,
               const struct mk_gql_resolver *resolvers, void *arg, struct mk_error *err);
    int (*scalar)(void *self, struct mk_module *m, const char *name, mk_gql_scalar_fn fn,
                  struct mk_error *err);

    /* -- in a resolver, until it has answered. Borrowed from the field. */
    struct mk_module *(*module)(const struct mk_gql_field *f);      /* whose resolver this is */
    const struct mk_gql_viewer *(*viewer)(const struct mk_gql_field *f);
    /* The value of an argument after coercion, defaults included: NULL when it was not given, a JSON null when null was. */
    const json_t *(*argument)(const struct mk_gql_field *f, const char *name);
    /* The value of the object that this is a field of; NULL for categories and roots. */
    const json_t *(*parent)(const struct mk_gql_field *f);

    /* Answers; `value` is taken, NULL is null. */
    void (*answer)(struct mk_gql_field *f, json_t *value);
    /*
     * Something that can stand in place of any value, also inside lists and objects: null there, and an error with its path. `code` is
     * for programs ("user_not_found"); `extensions` (an object, taken, NULL: none) is told beside it. Owned.
     */
    json_t *(*error)(const char *code, const char *message, json_t *extensions);

    /*
     * Subscriptions: a field of a subscription's category is resolved once, and instead of answering gives a value whenever there is
     * one. It ends when the client goes (on_end is called, and f must not be used afterwards) or by `answer` (taken as the last value; an
     * error or NULL just ends it).
     */
    bool (*is_subscription)(const struct mk_gql_field *f);
    void (*next)(struct mk_gql_field *f, json_t *value);
    void (*on_end)(struct mk_gql_field *f, mk_gql_fn fn, void *arg);

    /*
     * The administrators of domains: fn says whether a password is that of `admin` at a domain (prepared). It answers by
     * done(result, done_arg) on the same worker, once, at once or later. One module knows them. In init.
     */
    int (*domain_admins)(void *self, struct mk_module *m, mk_gql_domain_admin_fn fn, void *arg, struct mk_error *err);

    /* This field goes through much and may take longer than option `answer_timeout`: its client waits. In a resolver. */
    void (*takes_long)(struct mk_gql_field *f);
};

/* What every field begins with. */
struct mk_gql_field {
    const struct mk_graphql *api;
};

/* The service, in init; NULL: this server has no such API. Name "graphql" in `after` of the descriptor. */
static inline const struct mk_graphql *
mk_graphql_get(struct mk_module *m)
{
    return (const struct mk_graphql *)mk_service_nth(m, "graphql", MK_GRAPHQL_ABI, 0);
}

static inline void
mk_gql_answer(struct mk_gql_field *f, json_t *value)
{
    f->api->answer(f, value);
}

static inline void
mk_gql_fail(struct mk_gql_field *f, const char *code, const char *message)
{
    f->api->answer(f, f->api->error(code, message, NULL));
}

static inline void
mk_gql_takes_long(struct mk_gql_field *f)
{
    if (MK_HAS(f->api, takes_long))
        f->api->takes_long(f);
}

/* An argument of a string type or enum; NULL: not given, or null. Borrowed from the field. */
static inline const char *
mk_gql_string(const struct mk_gql_field *f, const char *name)
{
    return json_string_value(f->api->argument(f, name));
}

/* An argument of an integer type, or `otherwise`. */
static inline int64_t
mk_gql_int(const struct mk_gql_field *f, const char *name, int64_t otherwise)
{
    const json_t *value = f->api->argument(f, name);

    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

static inline bool
mk_gql_bool(const struct mk_gql_field *f, const char *name, bool otherwise)
{
    const json_t *value = f->api->argument(f, name);

    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

/* An argument of scalar JID, BareJID or FullJID; NULL: not given, or null. Owned. */
static inline struct mk_jid *
mk_gql_jid(const struct mk_gql_field *f, const char *name)
{
    const char *text = mk_gql_string(f, name);

    return text ? mk_jid_parse(mk_str_of(text)) : NULL;
}

MK_END
#endif
