/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Service "graphql": what modules add. The schema is made anew with every change and published
 * under RCU; requests under way keep the one that they began with.
 */
#include "config.h"

#include "internal.h"

/* -- what is always there -------------------------------------------------------------------- */

static void
admin_auth(struct mk_gql_field *f, void *arg)
{
    const struct mk_gql_viewer *v = f->api->viewer(f);
    bool known = v->who != MK_GQL_NOBODY;

    (void)arg;
    mk_gql_answer(f, json_pack("{s:s?, s:s, s:s?}", "domain", v->domain, "authStatus",
                               known ? "AUTHORIZED" : "UNAUTHORIZED", "authType",
                               !known                      ? NULL
                               : v->who == MK_GQL_IS_ADMIN ? "ADMIN"
                                                           : "DOMAIN_ADMIN"));
}

static void
user_auth(struct mk_gql_field *f, void *arg)
{
    const struct mk_gql_viewer *v = f->api->viewer(f);

    (void)arg;
    mk_gql_answer(f, json_pack("{s:s?, s:s}", "username", v->user ? mk_jid_text(v->user).p : NULL,
                               "authStatus", v->user ? "AUTHORIZED" : "UNAUTHORIZED"));
}

static const struct mk_gql_resolver base_resolvers[] = {{"AdminQuery", "checkAuth", admin_auth},
                                                        {"UserQuery", "checkAuth", user_auth},
                                                        {NULL, NULL, NULL}};

/* -- putting it together --------------------------------------------------------------------- */

static void
free_schema(void *schema)
{
    struct gql_schema *s = schema;

    gql_schema_unref(&s);
}

static void
publish(struct graphql *g, struct gql_schema *s)
{
    struct gql_schema *old = __atomic_exchange_n(&g->schema, s, __ATOMIC_ACQ_REL);

    if (old)
        mk_rcu_defer(free_schema, old);
}

struct gql_schema *
registry_schema(struct graphql *g)
{
    return gql_schema_ref(__atomic_load_n(&g->schema, __ATOMIC_ACQUIRE));
}

/* Those that are not left out. */
static struct gql_schema *
make_of(struct graphql *g, struct gql_part *more, struct mk_error *err)
{
    struct gql_part **fit = mk_alloc((g->part_count + 1) * sizeof(*fit));
    struct gql_schema *s;
    size_t count = 0;

    for (size_t i = 0; i < g->part_count; i++) {
        if (!g->left_out[i])
            fit[count++] = g->parts[i];
    }
    if (more)
        fit[count++] = more;
    s = gql_schema_new(fit, count, NULL, err);
    mk_free(fit);
    return s;
}

static bool
some_are_left_out(const struct graphql *g)
{
    for (size_t i = 0; i < g->part_count; i++) {
        if (g->left_out[i])
            return true;
    }
    return false;
}

/*
 * As many parts as fit together: what another part needs and is gone takes that one with it, until
 * it is back. Each round may make room for the next.
 */
static struct gql_schema *
make_what_fits(struct graphql *g)
{
    struct gql_schema *s = NULL;
    bool more = true;

    for (size_t i = 0; i < g->part_count; i++)
        g->left_out[i] = true;
    while (more) {
        more = false;
        for (size_t i = 0; i < g->part_count; i++) {
            struct gql_schema *larger;

            if (!g->left_out[i])
                continue;
            larger = make_of(g, g->parts[i], NULL);
            if (!larger)
                continue;
            g->left_out[i] = false;
            more = true;
            gql_schema_unref(&s);
            s = larger;
        }
    }
    return s;
}

static void
tell_left_out(struct graphql *g)
{
    struct mk_error err = {""};

    for (size_t i = 0; i < g->part_count; i++) {
        struct gql_schema *s = g->left_out[i] ? make_of(g, g->parts[i], &err) : NULL;

        if (g->left_out[i])
            mk_log(g->module, MK_LOG_WARN, "graphql.left_out",
                   "what module '%s' adds to the API is left out: %s", g->parts[i]->name, err.text);
        gql_schema_unref(&s);
    }
}

/* After a part has gone. */
static void
rebuild(struct graphql *g)
{
    struct gql_schema *s = some_are_left_out(g) ? NULL : make_of(g, NULL, NULL);

    if (!s) {
        s = make_what_fits(g);
        tell_left_out(g);
    }
    publish(g, s);
}

static void
append(struct graphql *g, struct gql_part *p)
{
    g->parts = mk_realloc(g->parts, (g->part_count + 1) * sizeof(struct gql_part *));
    g->left_out = mk_realloc(g->left_out, (g->part_count + 1) * sizeof(bool));
    g->parts[g->part_count] = p;
    g->left_out[g->part_count++] = false;
}

static void
take_out(struct graphql *g, size_t at)
{
    gql_part_unref(&g->parts[at]);
    memmove(g->parts + at, g->parts + at + 1, (g->part_count - at - 1) * sizeof(struct gql_part *));
    memmove(g->left_out + at, g->left_out + at + 1, (g->part_count - at - 1) * sizeof(bool));
    g->part_count--;
}

/* What belongs to a part, and to whom. */
struct added {
    struct graphql *graphql;
    struct gql_part *part;
};

static void
undo_add(void *thing)
{
    struct added *a = thing;
    struct graphql *g = a->graphql;

    __atomic_store_n(&a->part->gone, 1, __ATOMIC_RELEASE);
    for (size_t i = 0; i < g->part_count; i++) {
        if (g->parts[i] != a->part)
            continue;
        take_out(g, i);
        rebuild(g);
        break;
    }
    stream_end_part(g, a->part);
    gql_part_unref(&a->part);
    mk_free(a);
}

static int
svc_add(void *self, struct mk_module *m, unsigned schemas, const char *sdl,
        const struct mk_gql_resolver *resolvers, void *arg, struct mk_error *err)
{
    struct graphql *g = self;
    struct gql_part *p = gql_part_new(mk_module_name(m), schemas, sdl, err);
    struct gql_schema *s;
    struct added *a;

    if (!p)
        return -1;
    p->module = m;
    p->resolvers = resolvers;
    p->arg = arg;
    /* Parts that do not fit today must not keep a good one from being added. */
    s = make_of(g, p, err);
    if (!s) {
        gql_part_unref(&p);
        return -1;
    }
    append(g, p);
    publish(g, s);
    /* It may be what others have missed. */
    if (some_are_left_out(g))
        publish(g, make_what_fits(g));
    a = mk_alloc(sizeof(*a));
    *a = (struct added){g, gql_part_ref(p)};
    mk_module_own(m, undo_add, a);
    return 0;
}

/* -- scalars --------------------------------------------------------------------------------- */

static struct gql_part *
part_of_scalar(struct graphql *g, const struct mk_module *m, const char *name)
{
    const struct gql_type *t = gql_find_type(g->schema, mk_str_of(name));

    if (!t || t->kind != GQL_K_SCALAR || t->part->module != m)
        return NULL;
    for (size_t i = 0; i < g->part_count; i++) {
        if (g->parts[i] == t->part)
            return g->parts[i];
    }
    return NULL;
}

static int
svc_scalar(void *self, struct mk_module *m, const char *name, mk_gql_scalar_fn fn,
           struct mk_error *err)
{
    struct graphql *g = self;
    struct gql_part *p = part_of_scalar(g, m, name);
    struct gql_scalar_reader *r;
    struct gql_schema *s;

    if (!p)
        return mk_fail(err, "scalar '%s' is not one that this module has added", name);
    r = mk_alloc(sizeof(*r));
    *r = (struct gql_scalar_reader){mk_strdup(name), fn, p->readers};
    p->readers = r;
    /* Defaults that its function refuses are a mistake of the text. */
    s = make_of(g, NULL, err);
    if (!s) {
        p->readers = r->next;
        mk_free((char *)(uintptr_t)r->name);
        mk_free(r);
        return -1;
    }
    publish(g, s);
    return 0;
}

/* -- administrators of domains --------------------------------------------------------------- */

struct domain_admins *
domain_admins_ref(struct graphql *g)
{
    struct domain_admins *d = __atomic_load_n(&g->domain_admins, __ATOMIC_ACQUIRE);

    if (d)
        __atomic_fetch_add(&d->refs, 1, __ATOMIC_RELAXED);
    return d;
}

void
domain_admins_unref(struct domain_admins **admins)
{
    struct domain_admins *d = *admins;

    *admins = NULL;
    if (d && __atomic_fetch_sub(&d->refs, 1, __ATOMIC_ACQ_REL) == 1)
        mk_free(d);
}

static void
free_domain_admins(void *admins)
{
    struct domain_admins *d = admins;

    domain_admins_unref(&d);
}

static void
undo_domain_admins(void *thing)
{
    struct domain_admins *d = thing;

    __atomic_store_n(&d->gone, 1, __ATOMIC_RELEASE);
    __atomic_store_n(&d->graphql->domain_admins, NULL, __ATOMIC_RELEASE);
    /* A worker may have read it and not counted itself yet. */
    mk_rcu_defer(free_domain_admins, d);
}

static int
svc_domain_admins(void *self, struct mk_module *m, mk_gql_domain_admin_fn fn, void *arg,
                  struct mk_error *err)
{
    struct graphql *g = self;
    struct domain_admins *d;

    if (g->domain_admins)
        return mk_fail(err, "module '%s' knows the administrators of domains already",
                       mk_module_name(g->domain_admins->module));
    d = mk_zalloc(sizeof(*d));
    *d = (struct domain_admins){.refs = 1, .graphql = g, .module = m, .fn = fn, .arg = arg};
    __atomic_store_n(&g->domain_admins, d, __ATOMIC_RELEASE);
    mk_module_own(m, undo_domain_admins, d);
    return 0;
}

/* -- life cycle ------------------------------------------------------------------------------ */

int
registry_init(struct graphql *g, struct mk_error *err)
{
    struct gql_part *base = gql_part_new("graphql", MK_GQL_ADMIN | MK_GQL_USER, gql_base_sdl, err);

    if (!base)
        return -1;
    base->base = true;
    base->resolvers = base_resolvers;
    append(g, base);
    g->schema = gql_schema_new(g->parts, 1, NULL, err);
    if (!g->schema)
        return -1;
    g->table = (struct mk_graphql){
        .size = sizeof(g->table),
        .self = g,
        .add = svc_add,
        .scalar = svc_scalar,
        .module = gql_field_module,
        .viewer = gql_field_viewer,
        .argument = gql_field_argument,
        .parent = gql_field_parent,
        .answer = gql_field_answer,
        .error = gql_error_value,
        .is_subscription = gql_field_is_subscription,
        .next = gql_field_next,
        .on_end = gql_field_on_end,
        .domain_admins = svc_domain_admins,
        .takes_long = gql_field_takes_long,
    };
    return mk_service_provide(g->module, "graphql", MK_GRAPHQL_ABI, &g->table, err);
}

void
registry_free(struct graphql *g)
{
    gql_schema_unref(&g->schema);
    for (size_t i = 0; i < g->part_count; i++)
        gql_part_unref(&g->parts[i]);
    mk_free(g->parts);
    mk_free(g->left_out);
}
