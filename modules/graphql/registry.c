/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Service "graphql": what modules add. The schema is made anew with every change and published under RCU; requests under way keep
 * the one that they began with.
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
                               !known ? NULL : v->who == MK_GQL_IS_ADMIN ? "ADMIN" : "DOMAIN_ADMIN"));
}

static void
user_auth(struct mk_gql_field *f, void *arg)
{
    const struct mk_gql_viewer *v = f->api->viewer(f);

    (void)arg;
    mk_gql_answer(f, json_pack("{s:s?, s:s}", "username", v->user ? mk_jid_text(v->user).p : NULL, "authStatus",
                               v->user ? "AUTHORIZED" : "UNAUTHORIZED"));
}

static const struct mk_gql_resolver base_resolvers[] = {
    {"AdminQuery", "checkAuth", admin_auth}, {"UserQuery", "checkAuth", user_auth}, {NULL, NULL, NULL}};

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

/* The parts that fit together, one after the other: what another part needs and is gone takes that one with it. */
static struct gql_schema *
make_what_fits(struct graphql *g)
{
    struct gql_part **fit = mk_alloc(g->part_count * sizeof(*fit));
    struct gql_schema *s = NULL;
    struct mk_error err;
    size_t count = 0;

    for (size_t i = 0; i < g->part_count; i++) {
        struct gql_schema *more;

        fit[count] = g->parts[i];
        more = gql_schema_new(fit, count + 1, NULL, &err);
        g->left_out[i] = !more;
        if (!more) {
            mk_log(g->module, MK_LOG_WARN, "graphql.left_out", "what module '%s' adds to the API is left out: %s",
                   g->parts[i]->name, err.text);
            continue;
        }
        count++;
        gql_schema_unref(&s);
        s = more;
    }
    mk_free(fit);
    return s;
}

static struct gql_schema *
make_all(struct graphql *g, struct mk_error *err)
{
    for (size_t i = 0; i < g->part_count; i++) {
        if (g->left_out[i])
            return NULL;
    }
    return gql_schema_new(g->parts, g->part_count, NULL, err);
}

static void
rebuild(struct graphql *g)
{
    struct gql_schema *s = make_all(g, NULL);

    publish(g, s ? s : make_what_fits(g));
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
    gql_part_unref(&a->part);
    mk_free(a);
}

/* Parts that do not fit today must not keep a good one from being added. */
static struct gql_schema *
try_with(struct graphql *g, struct gql_part *p, struct mk_error *err)
{
    struct gql_part **fit = mk_alloc((g->part_count + 1) * sizeof(*fit)), *culprit = NULL;
    struct gql_schema *s;
    size_t count = 0;

    for (size_t i = 0; i < g->part_count; i++) {
        if (!g->left_out[i])
            fit[count++] = g->parts[i];
    }
    fit[count++] = p;
    s = gql_schema_new(fit, count, &culprit, err);
    mk_free(fit);
    return s;
}

static int
svc_add(void *self, struct mk_module *m, unsigned schemas, const char *sdl, const struct mk_gql_resolver *resolvers,
        void *arg, struct mk_error *err)
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
    s = try_with(g, p, err);
    if (!s) {
        gql_part_unref(&p);
        return -1;
    }
    append(g, p);
    publish(g, s);
    /* It may be what others have missed. */
    for (size_t i = 0; i < g->part_count; i++) {
        if (g->left_out[i]) {
            publish(g, make_what_fits(g));
            break;
        }
    }
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
svc_scalar(void *self, struct mk_module *m, const char *name, mk_gql_scalar_fn fn, struct mk_error *err)
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
    s = make_all(g, err);
    if (!s) {
        p->readers = r->next;
        mk_free((char *)(uintptr_t)r->name);
        mk_free(r);
        return -1;
    }
    publish(g, s);
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
