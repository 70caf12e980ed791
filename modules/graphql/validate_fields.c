/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Fields and types that are named: that they exist; that objects have selections, and others have
 * none (§5.3). */
#include "config.h"

#include "rules.h"

/* -- types ----------------------------------------------------------------------------------- */

struct type_list {
    const struct gql_view *view;
    size_t at;
};

static const char *
next_type(void **at)
{
    struct type_list *l = *at;

    return l->at < l->view->type_count ? l->view->types[l->at++]->name : NULL;
}

void
rules_known_type(struct rules *r, const struct gql_type_node *n)
{
    struct type_list list = {r->view, 0};
    struct mk_buf text = {0};

    while (n->kind != GQL_NAMED)
        n = n->of;
    if (gql_view_type(r->view, n->name))
        return;
    mk_buf_printf(&text, "Unknown type \"%.*s\".", MK_STR_ARG(n->name));
    gql_suggest(&text, "", n->name, next_type, &list);
    gql_report(r->errors, "type_not_found", n->at, "%s", mk_buf_cstr(&text));
    mk_buf_release(&text);
}

/* -- fields ---------------------------------------------------------------------------------- */

static const char *
next_field(void **at)
{
    const struct gql_field_def *f = *at;

    *at = f ? (void *)(uintptr_t)f->next : NULL;
    return f ? f->name : NULL;
}

/* A type on which the field exists, and on how many possible types that is so. */
struct candidate {
    const struct gql_type *type;
    size_t uses;
};

#define CANDIDATES 32

static void
note_candidate(struct candidate *list, size_t *count, const struct gql_type *t)
{
    for (size_t i = 0; i < *count; i++) {
        if (list[i].type == t) {
            list[i].uses++;
            return;
        }
    }
    if (*count < CANDIDATES)
        list[(*count)++] = (struct candidate){t, 1};
}

static bool
comes_first(const struct candidate *a, const struct candidate *b)
{
    if (a->uses != b->uses)
        return a->uses > b->uses;
    if (gql_type_implements(b->type, a->type))
        return true;
    return !gql_type_implements(a->type, b->type) && strcmp(a->type->name, b->type->name) < 0;
}

static size_t
find_candidates(struct rules *r, const struct gql_type *t, struct mk_str field,
                struct candidate *list)
{
    size_t count = 0;

    for (size_t i = 0; i < t->possible_count; i++) {
        const struct gql_type *p = t->possible[i].type;

        if (!(p->views & r->view->bit) || !gql_find_field(p, field))
            continue;
        note_candidate(list, &count, p);
        for (size_t k = 0; k < p->interface_count; k++) {
            if (gql_find_field(p->interfaces[k].type, field))
                note_candidate(list, &count, p->interfaces[k].type);
        }
    }
    for (size_t i = 1; i < count; i++) {
        for (size_t k = i; k > 0 && comes_first(&list[k], &list[k - 1]); k--) {
            struct candidate c = list[k];

            list[k] = list[k - 1];
            list[k - 1] = c;
        }
    }
    return count;
}

static void
print_candidates(struct mk_buf *out, const struct candidate *list, size_t count)
{
    size_t n = count > 5 ? 5 : count;

    mk_buf_add_cstr(out, " Did you mean to use an inline fragment on ");
    for (size_t i = 0; i < n; i++) {
        if (i)
            mk_buf_add_cstr(out, i + 1 < n ? ", " : n > 2 ? ", or " : " or ");
        mk_buf_printf(out, "\"%s\"", list[i].type->name);
    }
    mk_buf_add_byte(out, '?');
}

static void
tell_unknown(struct rules *r, const struct gql_selection *s)
{
    struct candidate candidates[CANDIDATES];
    size_t count = find_candidates(r, s->parent, s->name, candidates);
    struct mk_buf text = {0};

    mk_buf_printf(&text, "Cannot query field \"%.*s\" on type \"%s\".", MK_STR_ARG(s->name),
                  s->parent->name);
    if (count)
        print_candidates(&text, candidates, count);
    else
        gql_suggest(&text, "", s->name, next_field, s->parent->fields);
    gql_report(r->errors, "unknown_field", s->at, "%s", mk_buf_cstr(&text));
    mk_buf_release(&text);
}

void
rules_field(struct rules *r, const struct gql_selection *s)
{
    struct mk_buf type = {0};
    const struct gql_type *t;

    if (!s->parent)
        return;
    if (!s->def) {
        tell_unknown(r, s);
        return;
    }
    t = gql_ref_type(s->def->type);
    gql_print_ref(&type, s->def->type);
    if (gql_is_leaf(t) && s->braces_at)
        gql_report(r->errors, t->kind == GQL_K_ENUM ? "selection_on_enum" : "selection_on_scalar",
                   s->braces_at,
                   "Field \"%s\" must not have a selection since type \"%s\" has no subfields.",
                   s->def->name, mk_buf_cstr(&type));
    else if (!gql_is_leaf(t) && !s->braces_at)
        gql_report(r->errors, "fieldless_object", s->at,
                   "Field \"%s\" of type \"%s\" must have a selection of subfields. Did you mean "
                   "\"%s { ... }\"?",
                   s->def->name, mk_buf_cstr(&type), s->def->name);
    mk_buf_release(&type);
}
