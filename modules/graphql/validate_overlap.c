/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Fields with one response key must be able to become one field (specification §5.3.2). The way of
 * graphql-js: selections of a level are compared with each other and with the fragments spread
 * there, every pair of fragments once; what is spent on it is bounded, for pairs grow faster than
 * documents.
 */
#include "config.h"

#include <stdio.h>

#include "rules.h"

#define NODES_MAX 20
#define REASON_MAX 400

/* A field of a level, and the type it is selected on. */
struct one {
    const struct gql_selection *field;
    const struct gql_type *parent; /* NULL: not known */
    struct one *next;
};

/* What is selected at one level: fields by response key, and the fragments spread. */
struct level {
    struct gql_names keys;      /* to the first struct one */
    struct gql_names fragments; /* to the definition, NULL: there is none */
};

struct conflict {
    struct mk_str key;
    char reason[REASON_MAX];
    uint32_t at[2][NODES_MAX];
    size_t count[2];
    struct conflict *next;
};

struct conflicts {
    struct conflict *first, **end;
};

/* Pairs that were compared: of fragments, or of a level and a fragment. */
struct pair {
    const void *a, *b;
    bool exclusive; /* only as if the two could never apply together */
    struct pair *chain;
};

#define PAIRS 1024 /* chains; the budget bounds what is in them */

struct overlap {
    struct rules *rules;
    struct pair *pairs[PAIRS];
};

/* False: it was compared already, at least so strictly. */
static bool
note_pair(struct overlap *o, const void *a, const void *b, bool exclusive)
{
    const void *key[2] = {a < b ? a : b, a < b ? b : a};
    struct pair **chain = &o->pairs[mk_hash(key, sizeof(key)) % PAIRS];

    for (struct pair *p = *chain; p; p = p->chain) {
        if (p->a != key[0] || p->b != key[1])
            continue;
        if (!p->exclusive || exclusive)
            return false;
        p->exclusive = false;
        return true;
    }
    {
        struct pair *p = GQL_NEW(o->rules->arena, struct pair);

        *p = (struct pair){key[0], key[1], exclusive, *chain};
        *chain = p;
    }
    return true;
}

/* -- levels ---------------------------------------------------------------------------------- */

static void
collect(struct overlap *o, struct level *l, const struct gql_selection *list)
{
    struct gql_arena *arena = o->rules->arena;

    for (const struct gql_selection *s = list; s; s = s->next) {
        if (s->kind == GQL_FIELD) {
            struct gql_name_entry *e = gql_names_put(&l->keys, gql_response_key(s));
            struct one *one = GQL_NEW(arena, struct one), *last = e->value;

            *one = (struct one){s, s->parent, NULL};
            if (!last) {
                one->next = one; /* a ring: `value` is the last, so that appending is quick */
            } else {
                one->next = last->next;
                last->next = one;
            }
            e->value = one;
        } else if (s->kind == GQL_SPREAD) {
            gql_names_put(&l->fragments, s->name)->value = s->fragment;
        } else {
            collect(o, l, s->selections);
        }
    }
}

static struct level *
level_new(struct overlap *o, const struct gql_selection *list)
{
    struct level *l = GQL_NEW(o->rules->arena, struct level);

    l->keys.arena = l->fragments.arena = o->rules->arena;
    collect(o, l, list);
    return l;
}

static struct level *
field_level(struct overlap *o, const struct gql_selection *s)
{
    struct gql_selection *field = (struct gql_selection *)(uintptr_t)s;

    if (!field->notes)
        field->notes = level_new(o, s->selections);
    return field->notes;
}

/* What validate_fragments.c has noted there is used no more. */
static struct level *
fragment_level(struct overlap *o, struct gql_definition *d)
{
    if (!d->notes)
        d->notes = level_new(o, d->selections);
    return d->notes;
}

/* -- are two fields the same? ---------------------------------------------------------------- */

static bool same_value(struct overlap *o, const struct gql_value *a, const struct gql_value *b);

static bool
same_items(struct overlap *o, const struct gql_value *a, const struct gql_value *b)
{
    const struct gql_value *y = b->items;
    size_t count = 0, other = 0;

    for (const struct gql_value *x = a->items; x; x = x->next) {
        count++;
        if (a->kind == GQL_LIST) {
            if (!y || !same_value(o, x, y))
                return false;
            y = y->next;
            continue;
        }
        /* The order of an object's fields says nothing. */
        for (y = b->items; y && !mk_str_eq(x->name, y->name); y = y->next) {
            if (!rules_spend(o->rules, 1))
                return true;
        }
        if (!y || !same_value(o, x, y))
            return false;
    }
    for (y = b->items; y; y = y->next)
        other++;
    return count == other;
}

static bool
same_value(struct overlap *o, const struct gql_value *a, const struct gql_value *b)
{
    if (!rules_spend(o->rules, 1))
        return true;
    if (a->kind != b->kind)
        return false;
    if (a->kind == GQL_LIST || a->kind == GQL_OBJECT)
        return same_items(o, a, b);
    return mk_str_eq(a->text, b->text) && a->block == b->block;
}

static bool
same_arguments(struct overlap *o, const struct gql_argument *a, const struct gql_argument *b)
{
    size_t count = 0, other = 0;

    for (const struct gql_argument *y = b; y; y = y->next)
        other++;
    for (const struct gql_argument *x = a; x; x = x->next, count++) {
        const struct gql_argument *y = b;

        while (y && !mk_str_eq(x->name, y->name))
            y = y->next;
        if (!y || !same_value(o, x->value, y->value))
            return false;
    }
    return count == other;
}

static bool
types_conflict(const struct gql_ref *a, const struct gql_ref *b)
{
    while (a->kind == b->kind && a->kind != GQL_NAMED) {
        a = a->of;
        b = b->of;
    }
    if (a->kind != b->kind)
        return true;
    return (gql_is_leaf(a->type) || gql_is_leaf(b->type)) && a->type != b->type;
}

/* -- conflicts ------------------------------------------------------------------------------- */

static struct conflict *
add_conflict(struct overlap *o, struct conflicts *into, const struct one *a, const struct one *b)
{
    struct conflict *c = GQL_NEW(o->rules->arena, struct conflict);

    c->key = gql_response_key(a->field);
    c->at[0][c->count[0]++] = a->field->at;
    c->at[1][c->count[1]++] = b->field->at;
    *into->end = c;
    into->end = &c->next;
    return c;
}

static void find_between(struct overlap *o, struct conflicts *into, bool exclusive, struct level *a,
                         struct level *b);
static void between_fragments(struct overlap *o, struct conflicts *into, bool exclusive,
                              struct gql_definition *a, struct gql_definition *b);

static void
with_fragment(struct overlap *o, struct conflicts *into, bool exclusive, struct level *l,
              struct gql_definition *d)
{
    struct level *other;

    if (!rules_spend(o->rules, 1) || !d || l->keys.count == 0 || !note_pair(o, l, d, exclusive))
        return;
    other = fragment_level(o, d);
    if (other == l)
        return;
    find_between(o, into, exclusive, l, other);
    for (const struct gql_name_entry *e = other->fragments.first; e; e = e->next)
        with_fragment(o, into, exclusive, l, e->value);
}

static void
between_fragments(struct overlap *o, struct conflicts *into, bool exclusive,
                  struct gql_definition *a, struct gql_definition *b)
{
    struct level *la, *lb;

    if (!rules_spend(o->rules, 2) || a == b || !a || !b || !note_pair(o, a, b, exclusive))
        return;
    la = fragment_level(o, a);
    lb = fragment_level(o, b);
    find_between(o, into, exclusive, la, lb);
    for (const struct gql_name_entry *e = lb->fragments.first; e; e = e->next)
        between_fragments(o, into, exclusive, a, e->value);
    for (const struct gql_name_entry *e = la->fragments.first; e; e = e->next)
        between_fragments(o, into, exclusive, e->value, b);
}

/* Fields of two fields that become one. */
static void
between_levels(struct overlap *o, struct conflicts *into, bool exclusive, struct level *a,
               struct level *b)
{
    find_between(o, into, exclusive, a, b);
    for (const struct gql_name_entry *e = b->fragments.first; e; e = e->next)
        with_fragment(o, into, exclusive, a, e->value);
    for (const struct gql_name_entry *e = a->fragments.first; e; e = e->next)
        with_fragment(o, into, exclusive, b, e->value);
    for (const struct gql_name_entry *e = a->fragments.first; e; e = e->next) {
        for (const struct gql_name_entry *k = b->fragments.first; k; k = k->next)
            between_fragments(o, into, exclusive, e->value, k->value);
    }
}

/* What lies behind a conflict of two fields: the conflicts of what they select. */
static void
take_inner(struct conflict *c, const struct conflict *inner)
{
    size_t len = 0;

    for (; inner; inner = inner->next) {
        if (len < REASON_MAX)
            len += (size_t)snprintf(c->reason + len, REASON_MAX - len,
                                    "%ssubfields \"%.*s\" conflict because %s", len ? " and " : "",
                                    MK_STR_ARG(inner->key), inner->reason);
        for (size_t side = 0; side < 2; side++) {
            for (size_t i = 0; i < inner->count[side] && c->count[side] < NODES_MAX; i++)
                c->at[side][c->count[side]++] = inner->at[side][i];
        }
    }
}

static void
compare_types(struct overlap *o, struct conflicts *into, const struct one *a, const struct one *b)
{
    struct mk_buf x = {0}, y = {0};
    struct conflict *c = add_conflict(o, into, a, b);

    gql_print_ref(&x, a->field->def->type);
    gql_print_ref(&y, b->field->def->type);
    snprintf(c->reason, sizeof(c->reason), "they return conflicting types \"%s\" and \"%s\"",
             mk_buf_cstr(&x), mk_buf_cstr(&y));
    mk_buf_release(&x);
    mk_buf_release(&y);
}

static bool
never_together(const struct one *a, const struct one *b)
{
    return a->parent != b->parent && a->parent && b->parent && a->parent->kind == GQL_K_OBJECT &&
           b->parent->kind == GQL_K_OBJECT;
}

static void
compare(struct overlap *o, struct conflicts *into, bool exclusive, const struct one *a,
        const struct one *b)
{
    const struct gql_selection *x = a->field, *y = b->field;
    const struct gql_field_def *dx = x->def, *dy = y->def;
    struct conflicts inner = {NULL, &inner.first};

    if (!rules_spend(o->rules, 2))
        return;
    if (dx == dy && !x->arguments && !y->arguments && !x->selections && !y->selections &&
        mk_str_eq(x->name, y->name))
        return;
    exclusive = exclusive || never_together(a, b);
    if (!exclusive && !mk_str_eq(x->name, y->name)) {
        struct conflict *c = add_conflict(o, into, a, b);

        snprintf(c->reason, sizeof(c->reason), "\"%.*s\" and \"%.*s\" are different fields",
                 MK_STR_ARG(x->name), MK_STR_ARG(y->name));
    } else if (!exclusive && !same_arguments(o, x->arguments, y->arguments)) {
        snprintf(add_conflict(o, into, a, b)->reason, REASON_MAX, "they have differing arguments");
    } else if (dx && dy && types_conflict(dx->type, dy->type)) {
        compare_types(o, into, a, b);
    } else if (x->selections && y->selections) {
        between_levels(o, &inner, exclusive, field_level(o, x), field_level(o, y));
        if (inner.first)
            take_inner(add_conflict(o, into, a, b), inner.first);
    }
}

static void
find_between(struct overlap *o, struct conflicts *into, bool exclusive, struct level *a,
             struct level *b)
{
    for (const struct gql_name_entry *e = a->keys.first; e && rules_spend(o->rules, 1);
         e = e->next) {
        const struct gql_name_entry *other = gql_names_find(&b->keys, e->name);
        const struct one *x = other ? ((struct one *)e->value)->next : NULL;

        for (bool again = x != NULL; again; x = x->next) {
            const struct one *y = ((struct one *)other->value)->next;

            for (bool more = true; more && !o->rules->aborted; y = y->next) {
                compare(o, into, exclusive, x, y);
                more = y != other->value;
            }
            again = x != e->value && !o->rules->aborted;
        }
    }
}

static void
find_within(struct overlap *o, struct conflicts *into, struct level *l)
{
    for (const struct gql_name_entry *e = l->keys.first; e; e = e->next) {
        const struct one *last = e->value;

        for (const struct one *x = last->next; x != last && !o->rules->aborted; x = x->next) {
            for (const struct one *y = x;;) {
                y = y->next;
                compare(o, into, false, x, y);
                if (y == last || o->rules->aborted)
                    break;
            }
        }
    }
    for (const struct gql_name_entry *e = l->fragments.first; e && !o->rules->aborted;
         e = e->next) {
        with_fragment(o, into, false, l, e->value);
        for (const struct gql_name_entry *k = e->next; k; k = k->next)
            between_fragments(o, into, false, e->value, k->value);
    }
}

static void
check_level(struct overlap *o, struct level *l)
{
    struct conflicts found = {NULL, &found.first};

    find_within(o, &found, l);
    for (const struct conflict *c = found.first; c; c = c->next) {
        uint32_t at[2 * NODES_MAX];

        memcpy(at, c->at[0], c->count[0] * sizeof(*at));
        memcpy(at + c->count[0], c->at[1], c->count[1] * sizeof(*at));
        gql_report_at(o->rules->errors, "conflicting_fields", at, c->count[0] + c->count[1],
                      "Fields \"%.*s\" conflict because %s. Use different aliases on the fields to "
                      "fetch both if this was "
                      "intentional.",
                      MK_STR_ARG(c->key), c->reason);
    }
}

static void
check_all(struct overlap *o, const struct gql_selection *list)
{
    for (const struct gql_selection *s = list; s && !o->rules->aborted && !o->rules->errors->full;
         s = s->next) {
        if (s->kind == GQL_FIELD && s->selections &&
            (s->selections->next || s->selections->kind == GQL_INLINE))
            check_level(o, field_level(o, s));
        check_all(o, s->selections);
    }
}

void
rules_overlap(struct rules *r)
{
    struct overlap *o = GQL_NEW(r->arena, struct overlap);

    o->rules = r;
    for (struct gql_definition *d = r->doc->definitions; d; d = d->next)
        d->notes = NULL;
    for (struct gql_definition *d = r->doc->definitions; d && !r->aborted && !r->errors->full;
         d = d->next) {
        if (!d->selections)
            continue;
        check_level(o, d->kind == GQL_DEF_FRAGMENT ? fragment_level(o, d)
                                                   : level_new(o, d->selections));
        check_all(o, d->selections);
    }
}
