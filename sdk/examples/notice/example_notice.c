/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * A category of the API (GraphQL): administrators put up a notice, and all users can read it. Shows a schema for
 * administrators and users, resolvers with arguments and errors, and a value that all workers read and few change.
 * It is in memory: a restart takes it away, as a reload of the module does.
 */
#include <meerkat/graphql.h>
#include <meerkat/meerkat.h>

struct notice_conf {
    int64_t max_length;
};

static const struct mk_option options[] = {
    MK_OPTION_INT(struct notice_conf, max_length, "200", "1", "100000", MK_OPT_RELOADABLE, "bytes that a notice may have"),
    MK_OPTION_END};

struct text {
    int64_t since;              /* µs since 1970 */
    char words[];
};

struct notice {
    struct mk_module *module;
    struct text *current;       /* atomic: read by all workers, replaced as a whole; NULL: none */
};

/* A description stands before what it describes; the command line and the console show it. Types may be used in both schemas. */
static const char shared_sdl[] =
    "\"What all users should know\"\n"
    "type Notice { text: NonEmptyString! \"When it was put up\" since: DateTime! }\n"
    "\"What all users should know\"\n"
    "type NoticeQuery @protected { \"The notice; null: there is none\" current: Notice }\n";

static const char admin_sdl[] =
    "extend type AdminQuery { \"What all users should know\" example_notice: NoticeQuery }\n"
    "extend type AdminMutation { \"What all users should know\" example_notice: NoticeMutation }\n"
    "\"What all users should know\"\n"
    "type NoticeMutation @protected {\n"
    "  \"Put up a notice in place of the one before\" set(text: NonEmptyString!): Notice @protected(type: GLOBAL)\n"
    "  \"Take the notice away; false: there was none\" clear: Boolean @protected(type: GLOBAL)\n"
    "}\n";

static const char user_sdl[] = "extend type UserQuery { \"What all users should know\" example_notice: NoticeQuery }\n";

/* -- the notice ----------------------------------------------------------------------------- */

/* Workers that still read the old one keep it until they are done. */
static bool
replace(struct notice *self, struct text *fresh)
{
    struct text *old = __atomic_exchange_n(&self->current, fresh, __ATOMIC_ACQ_REL);

    if (old)
        mk_rcu_defer(mk_free, old);
    return old != NULL;
}

/* The value of type Notice: its members have the names of the fields. A DateTime may be given as a number of µs. */
static json_t *
value_of(const struct text *text)
{
    return text ? json_pack("{s:s, s:I}", "text", text->words, "since", (json_int_t)text->since) : json_null();
}

/* -- resolvers: each answers once, on the worker of the request ----------------------------- */

static void
current(struct mk_gql_field *f, void *arg)
{
    struct notice *self = arg;

    mk_gql_answer(f, value_of(__atomic_load_n(&self->current, __ATOMIC_ACQUIRE)));
}

static void
set(struct mk_gql_field *f, void *arg)
{
    struct notice *self = arg;
    const struct notice_conf *conf = mk_module_conf(self->module, NULL);
    const char *words = mk_gql_string(f, "text");       /* never NULL: the schema says "!" */
    struct text *fresh;
    json_t *answer;

    if (strlen(words) > (size_t)conf->max_length) {
        mk_gql_fail(f, "notice_too_long", "The notice is too long");
        return;
    }
    fresh = mk_alloc(sizeof(*fresh) + strlen(words) + 1);
    fresh->since = mk_time_us();
    memcpy(fresh->words, words, strlen(words) + 1);
    /* Before others can see it: they may replace it, too. */
    answer = value_of(fresh);
    (void)replace(self, fresh);
    mk_gql_answer(f, answer);
}

static void
clear(struct mk_gql_field *f, void *arg)
{
    mk_gql_answer(f, json_boolean(replace(arg, NULL)));
}

static const struct mk_gql_resolver shared_resolvers[] = {{"NoticeQuery", "current", current}, {0}};
static const struct mk_gql_resolver admin_resolvers[] = {
    {"NoticeMutation", "set", set}, {"NoticeMutation", "clear", clear}, {0}};
/* The fields that lead to a category need no function. */
static const struct mk_gql_resolver no_resolvers[] = {{0}};

/* -- life cycle ----------------------------------------------------------------------------- */

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct notice *self = mk_zalloc(sizeof(*self));
    const struct mk_graphql *gql = mk_service_get(m, "graphql", MK_GRAPHQL_ABI, err);

    mk_module_set(m, self);
    self->module = m;
    if (!gql)
        return -1;
    if (gql->add(gql->self, m, MK_GQL_ADMIN | MK_GQL_USER, shared_sdl, shared_resolvers, self, err) < 0 ||
        gql->add(gql->self, m, MK_GQL_ADMIN, admin_sdl, admin_resolvers, self, err) < 0)
        return -1;
    return gql->add(gql->self, m, MK_GQL_USER, user_sdl, no_resolvers, self, err);
}

static void
unload(struct mk_module *m)
{
    struct notice *self = mk_module_get(m);

    mk_free(self->current);
    mk_free(self);
}

MK_MODULE(.name = "example_notice", .version = "1.0", .summary = "a notice for all users, in the API",
          .depends = (const char *const[]){"graphql", NULL}, .options = options,
          .conf_size = sizeof(struct notice_conf), .init = init, .unload = unload);
