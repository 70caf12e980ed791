/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Fragments: names, types, use, circles (specification §5.5). */
#include "config.h"

#include "rules.h"

#define NESTED_MAX 500 /* fragments, and braces in them, in each other */

/* -- circles and depth ----------------------------------------------------------------------- */

struct spread {
    const struct gql_selection *selection;
    struct spread *next;
};

/* What is known of a fragment; at its definition's `notes`. */
struct fragment {
    struct gql_definition *definition;
    struct spread *spreads;
    bool visited;
    size_t path_index; /* plus one; 0: not on the path */
    size_t nested;     /* how deep it goes, fragments inside and all */
};

struct circles {
    struct rules *rules;
    const struct gql_selection *path[NESTED_MAX + 1];
    size_t depth;
    bool too_deep;
};

static void
collect_spreads(struct rules *r, const struct gql_selection *list, struct spread ***end)
{
    for (const struct gql_selection *s = list; s; s = s->next) {
        if (s->kind == GQL_SPREAD) {
            struct spread *p = GQL_NEW(r->arena, struct spread);

            p->selection = s;
            **end = p;
            *end = &p->next;
        }
        collect_spreads(r, s->selections, end);
    }
}

static struct fragment *
fragment_of(struct rules *r, struct gql_definition *d)
{
    struct fragment *f = d->notes;
    struct spread **end;

    if (f)
        return f;
    f = GQL_NEW(r->arena, struct fragment);
    f->definition = d;
    d->notes = f;
    end = &f->spreads;
    collect_spreads(r, d->selections, &end);
    return f;
}

static void
tell_circle(struct circles *c, const struct gql_selection *s, size_t start)
{
    struct mk_buf via = {0};
    uint32_t at[32];
    size_t n = 0;

    for (size_t i = start; i < c->depth; i++) {
        const struct gql_selection *p = c->path[i];

        if (i + 1 < c->depth && via.len < 600)
            mk_buf_printf(&via, "%s\"%.*s\"", via.len ? ", " : " via ", MK_STR_ARG(p->name));
        if (n < MK_COUNT(at))
            at[n++] = p->at;
    }
    gql_report_at(c->rules->errors, "cycles_in_fragments", at, n,
                  "Cannot spread fragment \"%.*s\" within itself%s.", MK_STR_ARG(s->name),
                  via.len ? mk_buf_cstr(&via) : "");
    mk_buf_release(&via);
}

static void
find_circles(struct circles *c, struct fragment *f)
{
    if (f->visited || c->too_deep)
        return;
    f->visited = true;
    f->path_index = c->depth + 1;
    for (const struct spread *p = f->spreads; p && !c->too_deep; p = p->next) {
        struct fragment *inner =
            p->selection->fragment ? fragment_of(c->rules, p->selection->fragment) : NULL;

        if (!inner)
            continue;
        if (c->depth >= NESTED_MAX) {
            c->too_deep = true;
            return;
        }
        c->path[c->depth++] = p->selection;
        if (inner->path_index)
            tell_circle(c, p->selection, inner->path_index - 1);
        else
            find_circles(c, inner);
        c->depth--;
    }
    f->path_index = 0;
}

static size_t nested(struct rules *r, const struct gql_selection *list, size_t above);

static size_t
fragment_nested(struct rules *r, struct gql_definition *d, size_t above)
{
    struct fragment *f = fragment_of(r, d);

    if (!f->nested)
        f->nested = nested(r, d->selections, above) + 1;
    return f->nested;
}

/* How deep selections go; more than the maximum ends the search. There are no circles any more. */
static size_t
nested(struct rules *r, const struct gql_selection *list, size_t above)
{
    size_t deepest = 0;

    for (const struct gql_selection *s = list; s && above + deepest <= NESTED_MAX; s = s->next) {
        size_t inside = 0;

        if (s->kind == GQL_SPREAD && s->fragment)
            inside = fragment_nested(r, s->fragment, above + 1);
        else if (s->selections)
            inside = nested(r, s->selections, above + 1) + 1;
        deepest = inside > deepest ? inside : deepest;
    }
    return deepest;
}

static bool
too_deep(struct rules *r)
{
    gql_report_at(r->errors, "query_too_deep", NULL, 0,
                  "Fragments are nested deeper than %d levels. Validation aborted.", NESTED_MAX);
    return false;
}

static bool
is_flat_enough(struct rules *r)
{
    for (struct gql_definition *d = r->doc->definitions; d; d = d->next) {
        size_t deep =
            d->kind == GQL_DEF_FRAGMENT ? fragment_nested(r, d, 0) : nested(r, d->selections, 0);

        if (deep > NESTED_MAX)
            return false;
    }
    return true;
}

bool
rules_fragments(struct rules *r)
{
    struct circles *c = GQL_NEW(r->arena, struct circles);
    size_t before;

    r->fragments.arena = r->arena;
    for (struct gql_definition *d = r->doc->definitions; d; d = d->next) {
        struct gql_name_entry *e;

        if (d->kind != GQL_DEF_FRAGMENT)
            continue;
        e = gql_names_put(&r->fragments, d->name);
        if (e->value)
            gql_report_at(r->errors, "not_unique",
                          (uint32_t[]){((struct gql_definition *)e->value)->name_at, d->name_at}, 2,
                          "There can be only one fragment named \"%.*s\".", MK_STR_ARG(d->name));
        else
            e->value = d;
    }
    c->rules = r;
    before = gql_errors_count(r->errors);
    for (struct gql_definition *d = r->doc->definitions; d && !c->too_deep; d = d->next) {
        if (d->kind == GQL_DEF_FRAGMENT)
            find_circles(c, fragment_of(r, d));
    }
    if (c->too_deep)
        return too_deep(r);
    if (gql_errors_count(r->errors) > before)
        return false;
    return is_flat_enough(r) || too_deep(r);
}

/* -- use ------------------------------------------------------------------------------------- */

static void
use(struct rules *r, const struct gql_selection *list, unsigned mark)
{
    for (const struct gql_selection *s = list; s; s = s->next) {
        if (s->kind == GQL_SPREAD && s->fragment && s->fragment->mark != mark) {
            s->fragment->mark = mark;
            use(r, s->fragment->selections, mark);
        }
        use(r, s->selections, mark);
    }
}

void
rules_unused_fragments(struct rules *r)
{
    unsigned mark = ++r->doc->marks;

    for (const struct gql_definition *d = r->doc->definitions; d; d = d->next) {
        if (d->kind == GQL_DEF_OPERATION)
            use(r, d->selections, mark);
    }
    /* Of two with one name it is the first that is meant: the other's fault was told. */
    for (const struct gql_name_entry *e = r->fragments.first; e; e = e->next) {
        const struct gql_definition *d = e->value;

        if (d->mark != mark)
            gql_report(r->errors, "unused_fragment", d->at, "Fragment \"%.*s\" is never used.",
                       MK_STR_ARG(d->name));
    }
}

/* -- types ----------------------------------------------------------------------------------- */

void
rules_spread(struct rules *r, const struct gql_selection *s)
{
    const struct gql_type *t = s->fragment ? s->fragment->type : NULL;

    if (!s->fragment)
        gql_report(r->errors, "unknown_fragment", s->name_at, "Unknown fragment \"%.*s\".",
                   MK_STR_ARG(s->name));
    else if (t && s->parent && !gql_types_overlap(r->view, s->parent, t))
        gql_report(r->errors, "impossible_fragment", s->at,
                   "Fragment \"%.*s\" cannot be spread here as objects of type \"%s\" can never be "
                   "of type \"%s\".",
                   MK_STR_ARG(s->name), s->parent->name, t->name);
}

void
rules_inline(struct rules *r, const struct gql_selection *s)
{
    const struct gql_type *t = s->condition ? gql_view_type(r->view, s->condition->name) : NULL;

    if (!s->condition)
        return;
    rules_known_type(r, s->condition);
    if (t && !gql_is_composite(t))
        gql_report(r->errors, "fragment_on_leaf", s->condition->at,
                   "Fragment cannot condition on non composite type \"%s\".", t->name);
    else if (t && s->parent && !gql_types_overlap(r->view, s->parent, t))
        gql_report(
            r->errors, "impossible_fragment", s->at,
            "Fragment cannot be spread here as objects of type \"%s\" can never be of type \"%s\".",
            s->parent->name, t->name);
}

void
rules_fragment(struct rules *r, const struct gql_definition *d)
{
    const struct gql_type *t = gql_view_type(r->view, d->condition->name);

    rules_known_type(r, d->condition);
    if (t && !gql_is_composite(t))
        gql_report(r->errors, "fragment_on_leaf", d->condition->at,
                   "Fragment \"%.*s\" cannot condition on non composite type \"%s\".",
                   MK_STR_ARG(d->name), t->name);
}
