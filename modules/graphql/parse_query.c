/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Operations and fragments (specification §2.3 to §2.8). */
#include "config.h"

#include "parser-internal.h"

static struct gql_selection *parse_selections(struct parser *p);

static void
parse_field(struct parser *p, struct gql_selection *s)
{
    s->kind = GQL_FIELD;
    s->name_at = p->token.at;
    s->name = parse_name(p);
    if (parse_optional(p, GQL_T_COLON)) {
        s->alias = s->name;
        s->name_at = p->token.at;
        s->name = parse_name(p);
    }
    s->arguments = parse_arguments(p, false);
    s->directives = parse_directives(p, false);
    if (peek(p, GQL_T_BRACE_L)) {
        s->braces_at = p->token.at;
        s->selections = parse_selections(p);
    }
}

static void
parse_fragment_use(struct parser *p, struct gql_selection *s)
{
    bool on;

    parse_advance(p);
    on = parse_optional_word(p, "on");
    if (!on && peek(p, GQL_T_NAME)) {
        s->kind = GQL_SPREAD;
        s->name_at = p->token.at;
        s->name = parse_name(p);
        s->directives = parse_directives(p, false);
        return;
    }
    s->kind = GQL_INLINE;
    if (on)
        s->condition = parse_named_type(p);
    s->directives = parse_directives(p, false);
    s->braces_at = p->token.at;
    s->selections = parse_selections(p);
}

static struct gql_selection *
parse_selections(struct parser *p)
{
    struct gql_selection *first = NULL, **end = &first;

    if (!parse_expect(p, GQL_T_BRACE_L) || !parse_enter(p))
        return NULL;
    do {
        struct gql_selection *s = GQL_NEW(p->arena, struct gql_selection);

        s->at = p->token.at;
        if (peek(p, GQL_T_SPREAD))
            parse_fragment_use(p, s);
        else
            parse_field(p, s);
        PARSE_APPEND(end, s);
    } while (!p->failed && !parse_optional(p, GQL_T_BRACE_R));
    parse_leave(p);
    return first;
}

static struct gql_variable *
parse_variables(struct parser *p)
{
    struct gql_variable *first = NULL, **end = &first;

    if (!parse_optional(p, GQL_T_PAREN_L))
        return NULL;
    do {
        struct gql_variable *v = GQL_NEW(p->arena, struct gql_variable);

        v->at = p->token.at;
        (void)parse_description(p);
        parse_expect(p, GQL_T_DOLLAR);
        v->name_at = p->token.at;
        v->name = parse_name(p);
        parse_expect(p, GQL_T_COLON);
        v->type = parse_type(p);
        if (parse_optional(p, GQL_T_EQUALS))
            v->preset = parse_value(p, true);
        v->directives = parse_directives(p, true);
        PARSE_APPEND(end, v);
    } while (!p->failed && !parse_optional(p, GQL_T_PAREN_R));
    return first;
}

static enum gql_operation
operation_of(const struct parser *p)
{
    if (parse_peek_word(p, "mutation"))
        return GQL_MUTATION;
    return parse_peek_word(p, "subscription") ? GQL_SUBSCRIPTION : GQL_QUERY;
}

struct gql_definition *
parse_operation(struct parser *p)
{
    struct gql_definition *d = GQL_NEW(p->arena, struct gql_definition);

    d->kind = GQL_DEF_OPERATION;
    d->at = p->token.at;
    d->operation = operation_of(p);
    if (!peek(p, GQL_T_BRACE_L)) {
        parse_advance(p);
        d->name_at = p->token.at;
        if (peek(p, GQL_T_NAME))
            d->name = parse_name(p);
        d->variables = parse_variables(p);
        d->directives = parse_directives(p, false);
    }
    d->selections = parse_selections(p);
    return d;
}

struct gql_definition *
parse_fragment(struct parser *p)
{
    struct gql_definition *d = GQL_NEW(p->arena, struct gql_definition);

    d->kind = GQL_DEF_FRAGMENT;
    d->at = p->token.at;
    parse_advance(p);
    d->name_at = p->token.at;
    if (parse_peek_word(p, "on"))
        parse_unexpected(p, &p->token);
    d->name = parse_name(p);
    parse_expect_word(p, "on");
    d->condition = parse_named_type(p);
    d->directives = parse_directives(p, false);
    d->selections = parse_selections(p);
    return d;
}
