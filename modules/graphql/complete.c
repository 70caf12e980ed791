/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* What resolvers give becomes what the schema says (specification §6.4.3); what does not fit
 * becomes null and an error. */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>

#include "exec.h"

#define LOCATIONS_MAX 16
#define PORTION 200 /* items */

/* -- places ---------------------------------------------------------------------------------- */

bool
place_is_dead(const struct place *at)
{
    for (; at; at = at->up) {
        if (at->dead)
            return true;
    }
    return false;
}

void
exec_put(struct exec *e, struct place *at, json_t *value)
{
    if (!at->container)
        e->data = value;
    else if (at->key)
        json_object_set_new(at->container, at->key, value);
    else
        json_array_set_new(at->container, at->index, value);
}

static json_t *
path_of(const struct place *at)
{
    json_t *path = json_array();

    for (; at && at->container; at = at->up)
        json_array_insert_new(path, 0,
                              at->key ? json_string(at->key) : json_integer((json_int_t)at->index));
    return path;
}

/* Null goes to the nearest place that may have it. */
static void
put_null(struct exec *e, struct place *at)
{
    at->dead = true;
    while (!at->nullable) {
        at = at->up;
        at->dead = true;
    }
    if (!at->container) {
        json_decref(e->data);
        e->data = NULL;
    } else {
        exec_put(e, at, json_null());
    }
}

void
exec_fail_at(struct exec *e, struct place *at, const uint32_t *where, size_t count,
             const char *code, json_t *extensions, const char *message)
{
    gql_report_path(&e->errors, code, where, count, path_of(at), extensions, message);
    put_null(e, at);
}

static void
fail_group(struct exec *e, struct place *at, struct gql_group *g, const char *code,
           json_t *extensions, const char *message)
{
    uint32_t where[LOCATIONS_MAX];
    size_t n = 0;

    for (; n < g->count && n < LOCATIONS_MAX; n++)
        where[n] = g->nodes[n]->at;
    exec_fail_at(e, at, where, n, code, extensions, message);
}

void
exec_fail(struct exec *e, struct place *at, struct gql_group *g, const char *code, const char *fmt,
          ...)
{
    char text[600];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    fail_group(e, at, g, code, NULL, text);
}

/* -- values ---------------------------------------------------------------------------------- */

static void
fail_as_told(struct exec *e, struct place *at, struct gql_group *g, const json_t *content)
{
    json_t *extensions = json_copy(json_object_get(content, "extensions"));

    fail_group(e, at, g, json_string_value(json_object_get(content, "code")), extensions,
               json_string_value(json_object_get(content, "message")));
}

static void
complete_enum(struct exec *e, struct place *at, struct gql_group *g, const struct gql_type *t,
              const json_t *value)
{
    struct mk_str name = {json_string_value(value), json_string_length(value)};
    struct mk_buf text = {0};

    if (json_is_string(value) && gql_find_enum_value(t, name)) {
        exec_put(e, at, json_incref((json_t *)value));
        return;
    }
    gql_inspect(&text, value);
    exec_fail(e, at, g, "invalid_enum_output", "Enum \"%s\" cannot represent value: %s", t->name,
              mk_buf_cstr(&text));
    mk_buf_release(&text);
}

static void
complete_leaf(struct exec *e, struct place *at, struct gql_group *g, const struct gql_type *t,
              const json_t *value)
{
    struct mk_error err;
    struct mk_buf text = {0};
    json_t *out = NULL;

    if (t->kind == GQL_K_ENUM) {
        complete_enum(e, at, g, t, value);
        return;
    }
    if (t->ops)
        out = t->ops->out(value, &err);
    else if (!json_is_array(value) && !json_is_object(value))
        out = json_incref((json_t *)value);
    else
        mk_fail(&err, "%s cannot represent value", t->name);
    if (out) {
        exec_put(e, at, out);
        return;
    }
    gql_inspect(&text, value);
    exec_fail(e, at, g, "output_coerce", "%s: %s", err.text, mk_buf_cstr(&text));
    mk_buf_release(&text);
}

/* A long list is done in portions, between which others have their turn. */
struct portion {
    struct exec *exec;
    struct counter *counter;
    struct place *at;
    const struct gql_ref *item;
    struct gql_group *group;
    json_t *value, *list;
    size_t next, count;
    struct portion *other; /* of the same execution */
};

static void
complete_item(const struct portion *p, size_t i)
{
    struct place *there = GQL_NEW(&p->exec->arena, struct place);

    *there = (struct place){
        .up = p->at, .index = i, .container = p->list, .nullable = p->item->kind != GQL_NON_NULL};
    exec_complete(p->exec, p->counter, there, p->item, p->group, json_array_get(p->value, i));
}

static void
do_portion(void *arg)
{
    struct portion *p = arg;
    struct exec *e = p->exec;
    size_t end = p->count - p->next < PORTION ? p->count : p->next + PORTION;

    while (p->next < end && !e->expired && !place_is_dead(p->at)) {
        complete_item(p, p->next);
        /* What nobody else has goes at once, and not all of it at the end. */
        if (p->value->refcount == 1)
            json_array_set_new(p->value, p->next, json_null());
        p->next++;
    }
    if (p->next < p->count && p->next == end) {
        e->plan->later(e->plan, do_portion, p);
        return;
    }
    p->next = p->count;
    json_decref(p->value);
    counter_leave(e, p->counter);
}

void
exec_fail_portions(struct exec *e, const char *code, const char *message)
{
    for (struct portion *p = e->portions; p; p = p->other) {
        if (p->next < p->count && !place_is_dead(p->at))
            exec_fail(e, p->at, p->group, code, "%s", message);
    }
}

static void
complete_portions(struct exec *e, const struct portion *made)
{
    struct portion *p = GQL_NEW(&e->arena, struct portion);

    *p = *made;
    p->other = e->portions;
    e->portions = p;
    json_incref(p->value);
    p->counter->pending++;
    do_portion(p);
}

static void
complete_list(struct exec *e, struct counter *c, struct place *at, const struct gql_ref *item,
              struct gql_group *g, const json_t *value)
{
    size_t count = json_array_size(value);
    bool stays = needs_place(item);
    json_t *list;

    if (!json_is_array(value)) {
        exec_fail(e, at, g, "not_a_list",
                  "Expected Iterable, but did not find one for field \"%s.%s\".", g->owner->name,
                  g->def->name);
        return;
    }
    list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_null());
    exec_put(e, at, list);
    if (stays && count > PORTION && e->plan->later) {
        complete_portions(e, &(struct portion){.exec = e,
                                               .counter = c,
                                               .at = at,
                                               .item = item,
                                               .group = g,
                                               .value = (json_t *)value,
                                               .list = list,
                                               .count = count});
        return;
    }
    for (size_t i = 0; i < count && !at->dead; i++) {
        struct place here = {
            .up = at, .index = i, .container = list, .nullable = item->kind != GQL_NON_NULL};
        struct place *there = &here;

        if (stays) {
            there = GQL_NEW(&e->arena, struct place);
            *there = here;
        }
        exec_complete(e, c, there, item, g, json_array_get(value, i));
    }
}

/* Which object is it? NULL: that was told. */
static const struct gql_type *
runtime_type(struct exec *e, struct place *at, struct gql_group *g, const struct gql_type *t,
             const json_t *value)
{
    const char *name = json_string_value(json_object_get(value, "__typename"));
    const struct gql_type *object;

    if (t->kind == GQL_K_OBJECT)
        return t;
    object = name ? gql_view_type(e->plan->view, mk_str_of(name)) : NULL;
    if (object && gql_type_has(t, object))
        return object;
    if (!name)
        exec_fail(
            e, at, g, "resolver_error",
            "Abstract type \"%s\" must resolve to an Object type at runtime for field \"%s.%s\".",
            t->name, g->owner->name, g->def->name);
    else if (!object)
        exec_fail(e, at, g, "type_not_found",
                  "Abstract type \"%s\" was resolved to a type \"%.100s\" that does not exist "
                  "inside the schema.",
                  t->name, name);
    else
        exec_fail(e, at, g, "resolver_error",
                  "Runtime Object type \"%s\" is not a possible type for \"%s\".", object->name,
                  t->name);
    return NULL;
}

static void
complete_object(struct exec *e, struct counter *c, struct place *at, const struct gql_type *t,
                struct gql_group *g, const json_t *value)
{
    const struct gql_type *object;
    struct mk_buf text = {0};

    if (!json_is_object(value)) {
        gql_inspect(&text, value);
        exec_fail(e, at, g, "resolver_error", "Expected value of type \"%s\" but got: %s.", t->name,
                  mk_buf_cstr(&text));
        mk_buf_release(&text);
        return;
    }
    object = runtime_type(e, at, g, t, value);
    if (object)
        exec_object(e, c, at, object, gql_collect_inside(e->plan, &e->arena, g, object), value);
}

void
exec_complete(struct exec *e, struct counter *c, struct place *at, const struct gql_ref *type,
              struct gql_group *g, const json_t *value)
{
    const json_t *content = gql_error_content(value);

    if (content) {
        fail_as_told(e, at, g, content);
        return;
    }
    if (!value || json_is_null(value)) {
        if (type->kind == GQL_NON_NULL)
            exec_fail(e, at, g, "null_value", "Cannot return null for non-nullable field %s.%s.",
                      g->owner->name, g->def->name);
        else
            exec_put(e, at, json_null());
        return;
    }
    if (type->kind == GQL_NON_NULL)
        type = type->of;
    if (type->kind == GQL_LIST_OF)
        complete_list(e, c, at, type->of, g, value);
    else if (gql_is_leaf(type->type))
        complete_leaf(e, at, g, type->type, value);
    else
        complete_object(e, c, at, type->type, g, value);
}
