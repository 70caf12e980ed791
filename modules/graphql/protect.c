/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * @protected, over the whole of the operation that would really be executed: fragments are
 * followed, what @skip and @include leave out is left out. One thing that is not allowed refuses
 * everything.
 */
#include "config.h"

#include <stdio.h>

#include "collect.h"
#include "protect.h"

struct checking {
    struct gql_plan *plan;
    struct gql_errors *errors;
    bool refused;
};

static void
refuse(struct checking *c, const struct gql_selection *s, const char *why)
{
    const struct gql_definition *op = c->plan->operation;
    struct mk_str name = op->name.p ? op->name : MK_STR("ROOT");
    char text[600];

    if (!c->refused) {
        snprintf(text, sizeof(text), "Cannot execute operation %.*s: %s", MK_STR_ARG(name), why);
        gql_report_path(c->errors, "no_permissions", &s->at, 1, json_pack("[s%]", name.p, name.len),
                        NULL, text);
    }
    c->refused = true;
}

/* -- whose is it? ---------------------------------------------------------------------------- */

/* Everything inside that tells a domain must tell this one; nothing at all tells none. */
static bool
is_in_domain(const json_t *value, const char *path, const char *domain)
{
    size_t len = strcspn(path, ".");
    struct mk_jid *jid;
    bool same;

    if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            if (!is_in_domain(json_array_get(value, i), path, domain))
                return false;
        }
        return json_array_size(value) > 0;
    }
    if (*path)
        return is_in_domain(json_object_getn(value, path, len), path + len + (path[len] == '.'),
                            domain);
    if (!json_is_string(value))
        return false;
    /* A domain is a JID of its own. */
    jid = mk_jid_parse((struct mk_str){json_string_value(value), json_string_length(value)});
    same = jid && mk_str_is(mk_jid_domain(jid), domain);
    mk_jid_unref(&jid);
    return same;
}

static void
check_domain(struct checking *c, const struct gql_selection *s, const struct gql_field_def *def)
{
    const struct gql_protect *p = &def->protect;
    struct gql_argument_error err;
    json_t *args = gql_coerce_arguments(def->args, s->arguments, s->at, c->plan->variables, &err);
    struct mk_buf bad = {0};

    for (size_t i = 0; i < p->count; i++) {
        if (!args || !is_in_domain(args, p->args[i], c->plan->viewer.domain))
            mk_buf_printf(&bad, "%s%s", bad.len ? ", " : "", p->args[i]);
    }
    json_decref(args);
    if (bad.len) {
        mk_buf_add_cstr(&bad, ": not in the domain of this administrator");
        refuse(c, s, mk_buf_cstr(&bad));
    }
    mk_buf_release(&bad);
}

static void
check_definition(struct checking *c, const struct gql_selection *s, const struct gql_type *parent,
                 const struct gql_field_def *def)
{
    enum mk_gql_who who = c->plan->viewer.who;
    enum gql_protection field = def->protect.kind, type = parent->protect.kind;
    char text[200];

    if ((field == GQL_OPEN && type == GQL_OPEN) || c->refused)
        return;
    if (who == MK_GQL_NOBODY) {
        refuse(c, s, "no credentials were given");
    } else if ((field == GQL_PROTECT_GLOBAL || type == GQL_PROTECT_GLOBAL) &&
               who != MK_GQL_IS_ADMIN) {
        snprintf(text, sizeof(text), "%s is for the administrator of the server", def->name);
        refuse(c, s, text);
    } else if (field == GQL_PROTECT_DOMAIN && who == MK_GQL_IS_DOMAIN_ADMIN) {
        check_domain(c, s, def);
    } else if (field == GQL_PROTECT_DOMAIN && who == MK_GQL_IS_USER) {
        refuse(c, s, "it is for administrators");
    }
}

/* Behind an interface each object has a field of its own. */
static void
check_field(struct checking *c, const struct gql_selection *s)
{
    if (s->def == c->plan->schema->typename_field)
        return;
    check_definition(c, s, s->parent, s->def);
    for (size_t i = 0; i < s->parent->possible_count; i++) {
        const struct gql_type *t = s->parent->possible[i].type;
        const struct gql_field_def *def = gql_find_field(t, s->name);

        if (def)
            check_definition(c, s, t, def);
    }
}

/* Each fragment once: it is the same wherever it is used. */
static void
check(struct checking *c, const struct gql_selection *list, unsigned mark)
{
    for (const struct gql_selection *s = list; s && !c->refused; s = s->next) {
        if (gql_is_skipped(s->directives, c->plan->variables))
            continue;
        if (s->kind == GQL_SPREAD) {
            if (s->fragment && s->fragment->mark != mark) {
                s->fragment->mark = mark;
                check(c, s->fragment->selections, mark);
            }
            continue;
        }
        if (s->kind == GQL_FIELD && s->def)
            check_field(c, s);
        check(c, s->selections, mark);
    }
}

bool
gql_is_permitted(struct gql_plan *plan, struct gql_errors *errors)
{
    struct checking c = {.plan = plan, .errors = errors};

    if (plan->viewer.who != MK_GQL_IS_ADMIN)
        check(&c, plan->operation->selections, ++plan->doc->marks);
    return !c.refused;
}
