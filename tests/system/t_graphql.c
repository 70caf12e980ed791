/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * For tests: a category of the API with every kind of type, resolvers that take their time, errors
 * inside lists, and a subscription. T_SDL: another text in place of it, to see it refused.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <meerkat/meerkat.h>
#include <meerkat/graphql.h>

#define WORKERS_MAX 64

struct waiting;

struct state {
    bool stopping; /* atomic */
    struct waiting *waiting[WORKERS_MAX];
    struct mk_module *module;
    const struct mk_graphql *gql;
    char log[4096];    /* what mutations did, in order */
    unsigned watching; /* subscriptions that have begun and not ended; atomic */
};

#ifndef T_SDL
static const char sdl[] =
    "extend type AdminQuery { \"For tests\" t: TQuery }\n"
    "extend type AdminMutation { t: TMutation }\n"
    "extend type AdminSubscription { t: TSubscription }\n"
    "extend type UserQuery { t: TUserQuery }\n"
    "enum TColor { RED GREEN BLUE @deprecated(reason: \"out of paint\") }\n"
    "interface TAnimal { name: String! }\n"
    "type TDog implements TAnimal { name: String! barks: Boolean }\n"
    "type TCat implements TAnimal { name: String! lives: Int slow: Int }\n"
    "union TPet = TDog | TCat\n"
    "scalar TEven\n"
    "input TPoint { x: Int! = 1 y: Float color: TColor = RED inner: TPoint users: [JID!] }\n"
    "type TItem { id: ID! text: String! slow: Int strict: Int! }\n"
    "type TQuery @protected {\n"
    "  echo(int: Int, float: Float, string: String, boolean: Boolean, id: ID, color: TColor, even: "
    "TEven, point: TPoint,\n"
    "    jid: JID, bare: BareJID, full: FullJID, user: UserName, domain: DomainName, resource: "
    "ResourceName, node: NodeName,\n"
    "    time: DateTime, xml: XmlElement, text: NonEmptyString, pos: PosInt, count: NonNegInt, "
    "list: [Int!], preset: Int = 7): String\n"
    "  slow(ms: PosInt!, long: Boolean = false): Int\n"
    "  \"Takes a thread of the offload pool, which is waited for when the module goes\" busy(ms: "
    "PosInt!): Int\n"
    "  pets: [TPet!]\n"
    "  animals: [TAnimal]\n"
    "  items: [TItem]\n"
    "  strict: TItem!\n"
    "  fails: String!\n"
    "  odd: TColor\n"
    "  watching: Int\n"
    "  log: String\n"
    "  asked: String\n"
    "  ofDomain(domain: DomainName, users: [JID!], point: TPoint): String @protected(type: DOMAIN, "
    "args: [\"domain\"])\n"
    "  ofUsers(users: [JID!]!): String @protected(type: DOMAIN, args: [\"users\"])\n"
    "  ofPoint(point: TPoint!): String @protected(type: DOMAIN, args: [\"point.users\"])\n"
    "  global: String @protected(type: GLOBAL)\n"
    "}\n"
    "type TMutation { note(text: String!, ms: PosInt): String }\n"
    "extend type UserSubscription { t: TSubscription }\n"
    "type TSubscription { ticks(count: PosInt!, ms: PosInt = 10, fail: Boolean = false, text: "
    "String, wait: PosInt = 5): TTick }\n"
    "type TTick { number: Int slow: Int text: String }\n"
    "type TUserQuery @protected { me: String asked: String }\n";
#else
static const char sdl[] = T_SDL;
#endif

/* -- answers --------------------------------------------------------------------------------- */

static json_t *
item(int id)
{
    return json_pack("{s:i, s:s, s:i}", "id", id, "text", "text", "strict", id);
}

static void
echo(struct mk_gql_field *f, void *arg)
{
    static const char *const names[] = {"int",    "float",    "string", "boolean", "id",   "color",
                                        "even",   "point",    "jid",    "bare",    "full", "user",
                                        "domain", "resource", "node",   "time",    "xml",  "text",
                                        "pos",    "count",    "list",   "preset"};
    json_t *all = json_object();
    char *text;

    (void)arg;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        json_object_set(all, names[i], (json_t *)f->api->argument(f, names[i]));
    text = json_dumps(all, JSON_COMPACT);
    mk_gql_answer(f, json_string(text));
    free(text);
    json_decref(all);
}

/* A field that is answered by a timer. The timers of a module go with it: whoever still waits is
 * answered in stop. */
struct waiting {
    struct state *state;
    struct mk_gql_field *field;
    struct mk_timer *timer;
    json_t *value;
    char note[200];
    struct waiting *next, **link; /* on its worker */
};

static void
forget(struct waiting *w)
{
    *w->link = w->next;
    if (w->next)
        w->next->link = w->link;
    mk_free(w);
}

static void
on_time(void *arg)
{
    struct waiting *w = arg;
    size_t len = strlen(w->state->log);

    if (*w->note)
        snprintf(w->state->log + len, sizeof(w->state->log) - len, "%s ", w->note);
    mk_gql_answer(w->field, w->value);
    forget(w);
}

static void
answer_later(struct state *state, struct mk_gql_field *f, uint64_t ms, json_t *value,
             const char *note)
{
    struct waiting **list = &state->waiting[mk_worker_index(mk_worker_self())], *w;

    if (__atomic_load_n(&state->stopping, __ATOMIC_ACQUIRE)) {
        json_decref(value);
        mk_gql_fail(f, "stopping", "The module stops.");
        return;
    }
    w = mk_zalloc(sizeof(*w));
    w->state = state;
    w->field = f;
    w->value = value;
    snprintf(w->note, sizeof(w->note), "%s", note ? note : "");
    w->next = *list;
    w->link = list;
    if (w->next)
        w->next->link = &w->next;
    *list = w;
    w->timer = mk_timer_new(state->module, ms, on_time, w);
}

static void
stop_here(void *arg)
{
    struct state *state = arg;
    struct waiting **list = &state->waiting[mk_worker_index(mk_worker_self())];

    while (*list) {
        struct waiting *w = *list;

        mk_timer_free(&w->timer);
        json_decref(w->value);
        mk_gql_fail(w->field, "stopping", "The module stops.");
        forget(w);
    }
}

static void
stop(struct mk_module *m)
{
    struct state *state = mk_module_get(m);

    __atomic_store_n(&state->stopping, true, __ATOMIC_RELEASE);
    mk_workers_run(stop_here, state);
}

static void
slow(struct mk_gql_field *f, void *arg)
{
    int64_t ms = mk_gql_int(f, "ms", 1);

    if (mk_gql_bool(f, "long", false))
        mk_gql_takes_long(f);
    answer_later(arg, f, (uint64_t)ms, json_integer(ms), NULL);
}

struct nap {
    struct mk_gql_field *field;
    int64_t ms;
};

static void
work(void *arg)
{
    struct timespec time = {0, 1000000 * ((struct nap *)arg)->ms};

    nanosleep(&time, NULL);
}

static void
on_rested(void *arg)
{
    struct nap *nap = arg;

    mk_gql_answer(nap->field, json_integer(nap->ms));
    mk_free(nap);
}

static void
busy(struct mk_gql_field *f, void *arg)
{
    struct state *state = arg;
    struct nap *nap = mk_zalloc(sizeof(*nap));

    *nap = (struct nap){f, mk_gql_int(f, "ms", 1)};
    if (mk_offload(state->module, work, on_rested, nap) < 0) {
        mk_free(nap);
        mk_gql_fail(f, "busy", "Too much to do.");
    }
}

static void
slow_member(struct mk_gql_field *f, void *arg)
{
    const json_t *number = json_object_get(f->api->parent(f), "number");
    const json_t *wait = json_object_get(f->api->parent(f), "wait");

    answer_later(arg, f, wait ? (uint64_t)json_integer_value(wait) : 5, number ? json_copy((json_t *)number) : json_integer(9), NULL);
}

static void
pets(struct mk_gql_field *f, void *arg)
{
    (void)arg;
    mk_gql_answer(f, json_pack("[{s:s, s:s, s:b}, {s:s, s:s, s:i}]", "__typename", "TDog", "name",
                               "Rex", "barks", 1, "__typename", "TCat", "name", "Tom", "lives", 9));
}

static void
items(struct mk_gql_field *f, void *arg)
{
    (void)arg;
    mk_gql_answer(
        f, json_pack("[o, o, {s:i, s:n, s:i}, o]", item(1),
                     f->api->error("item_lost", "It is lost.", json_pack("{s:s}", "item", "two")),
                     "id", 3, "text", "strict", 3, item(4)));
}

static void
strict(struct mk_gql_field *f, void *arg)
{
    (void)arg;
    mk_gql_answer(f, json_pack("{s:i, s:s, s:o}", "id", 1, "text", "x", "strict",
                               f->api->error("bad", "No.", NULL)));
}

static void
fails(struct mk_gql_field *f, void *arg)
{
    (void)arg;
    mk_gql_fail(f, "failed", "It failed.");
}

static void
odd(struct mk_gql_field *f, void *arg)
{
    (void)arg;
    mk_gql_answer(f, json_string("PINK"));
}

static void
watching(struct mk_gql_field *f, void *arg)
{
    mk_gql_answer(
        f, json_integer(__atomic_load_n(&((struct state *)arg)->watching, __ATOMIC_ACQUIRE)));
}

static void
show_log(struct mk_gql_field *f, void *arg)
{
    mk_gql_answer(f, json_string(((struct state *)arg)->log));
}

static void
asked(struct mk_gql_field *f, void *arg)
{
    const struct mk_gql_viewer *v = f->api->viewer(f);

    (void)arg;
    mk_gql_answer(f, json_sprintf("%d %s %s", (int)v->who, v->domain ? v->domain : "-", v->peer));
}

static void
me(struct mk_gql_field *f, void *arg)
{
    (void)arg;
    mk_gql_answer(f, json_string(mk_jid_text(f->api->viewer(f)->user).p));
}

static void
fine(struct mk_gql_field *f, void *arg)
{
    (void)arg;
    mk_gql_answer(f, json_string("fine"));
}

static void
note(struct mk_gql_field *f, void *arg)
{
    answer_later(arg, f, (uint64_t)mk_gql_int(f, "ms", 1), json_string(mk_gql_string(f, "text")),
                 mk_gql_string(f, "text"));
}

/* -- a subscription -------------------------------------------------------------------------- */

struct ticks {
    struct state *state;
    struct mk_gql_field *field;
    struct mk_timer *timer;
    int64_t next, count, wait;
    bool fail;
    char *text;
};

static void
end_ticks(struct mk_gql_field *f, void *arg)
{
    struct ticks *t = arg;

    (void)f;
    mk_timer_free(&t->timer);
    mk_free(t->text);
    __atomic_sub_fetch(&t->state->watching, 1, __ATOMIC_ACQ_REL);
    mk_free(t);
}

static void
on_tick(void *arg)
{
    struct ticks *t = arg;
    struct mk_gql_field *f = t->field;

    if (t->next > t->count) {
        bool fail = t->fail;

        end_ticks(f, t);
        if (fail)
            mk_gql_fail(f, "over", "It is over.");
        else
            mk_gql_answer(f, NULL);
        return;
    }
    f->api->next(f, json_pack("{s:I, s:s?, s:I}", "number", t->next++, "text", t->text, "wait", t->wait));
}

static void
ticks(struct mk_gql_field *f, void *arg)
{
    struct ticks *t = mk_zalloc(sizeof(*t));

    *t = (struct ticks){.state = arg,
                        .field = f,
                        .next = 1,
                        .count = mk_gql_int(f, "count", 1),
                        .wait = mk_gql_int(f, "wait", 5),
                        .fail = mk_gql_bool(f, "fail", false),
                        .text = mk_strdup(mk_gql_string(f, "text"))};
    __atomic_add_fetch(&t->state->watching, 1, __ATOMIC_ACQ_REL);
    f->api->on_end(f, end_ticks, t);
    t->timer = mk_timer_every(t->state->module, (uint64_t)mk_gql_int(f, "ms", 10), on_tick, t);
}

/* -- administrators of domains --------------------------------------------------------------- */

static void
domain_admin(const char *domain, const char *password, mk_gql_domain_admin_done_fn done,
             void *done_arg, void *arg)
{
    char right[300];

    (void)arg;
    snprintf(right, sizeof(right), "of %s", domain);
    done(strcmp(password, right) == 0 ? MK_GQL_PASSWORD_RIGHT : MK_GQL_PASSWORD_WRONG, done_arg);
}

/* -- the module ------------------------------------------------------------------------------ */

static json_t *
read_even(const json_t *value, struct mk_error *err)
{
    if (json_is_integer(value) && json_integer_value(value) % 2 == 0)
        return json_integer(json_integer_value(value) / 2);
    mk_fail(err, "it is odd");
    return NULL;
}

static const struct mk_gql_resolver resolvers[] = {{"TQuery", "echo", echo},
                                                   {"TQuery", "slow", slow},
                                                   {"TQuery", "busy", busy},
                                                   {"TQuery", "pets", pets},
                                                   {"TQuery", "animals", pets},
                                                   {"TQuery", "items", items},
                                                   {"TQuery", "strict", strict},
                                                   {"TQuery", "fails", fails},
                                                   {"TQuery", "odd", odd},
                                                   {"TQuery", "watching", watching},
                                                   {"TQuery", "log", show_log},
                                                   {"TQuery", "asked", asked},
                                                   {"TQuery", "ofDomain", fine},
                                                   {"TQuery", "ofUsers", fine},
                                                   {"TQuery", "ofPoint", fine},
                                                   {"TQuery", "global", fine},
                                                   {"TCat", "slow", slow_member},
                                                   {"TItem", "slow", slow_member},
                                                   {"TTick", "slow", slow_member},
                                                   {"TMutation", "note", note},
                                                   {"TSubscription", "ticks", ticks},
                                                   {"TUserQuery", "me", me},
                                                   {"TUserQuery", "asked", asked},
                                                   {0}};
static const struct mk_gql_resolver none[] = {{0}};

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct state *state = mk_zalloc(sizeof(*state));
    bool whole = strstr(sdl, "TEven") != NULL;

    state->module = m;
    mk_module_set(m, state);
    state->gql = mk_graphql_get(m);
    if (!state->gql)
        return mk_fail(err, "there is no API");
    if (state->gql->add(state->gql->self, m, MK_GQL_ADMIN | MK_GQL_USER, sdl,
                        whole ? resolvers : none, state, err) < 0)
        return -1;
    if (!whole)
        return 0;
    if (state->gql->scalar(state->gql->self, m, "TEven", read_even, err) < 0)
        return -1;
    return state->gql->domain_admins(state->gql->self, m, domain_admin, state, err);
}

static void
unload(struct mk_module *m)
{
    mk_free(mk_module_get(m));
}

MK_MODULE(.name = MK_NAME, .version = "1.0", .summary = "a category for tests",
          .depends = (const char *const[]){"graphql", NULL}, .init = init, .stop = stop,
          .unload = unload);
