/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * runner SCHEMA VALUES: answers requests, one {"query", "variables", "operationName"} a line, with
 * the engine of module graphql, without a server. SCHEMA is what a module would add, VALUES what
 * its fields have: {"Type.field": value}, where
 * {"$error": "text"} is an error. Fields called echo answer with their arguments, count counts,
 * later answers when all else is done, the last one first. With --base it prints the SDL that is
 * always there.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "exec.h"
#include "prepare.h"

#define LATER_MAX 100

static struct {
    json_t *values;
    json_int_t counted;
    struct mk_gql_field *later[LATER_MAX];
    size_t later_count;
    struct mk_gql_resolver *resolvers;
    struct mk_graphql api;
} all;

/* The value with errors where it says so. */
static json_t *
revive(const json_t *value)
{
    const char *key, *text = json_string_value(json_object_get(value, "$error"));
    json_t *made, *item;
    size_t i;

    if (text)
        return gql_error_value(NULL, text, NULL);
    if (json_is_array(value)) {
        made = json_array();
        json_array_foreach((json_t *)value, i, item) json_array_append_new(made, revive(item));
        return made;
    }
    if (!json_is_object(value))
        return json_incref((json_t *)value);
    made = json_object();
    json_object_foreach((json_t *)value, key, item) json_object_set_new(made, key, revive(item));
    return made;
}

static void
resolve_value(struct mk_gql_field *f, void *arg)
{
    const struct gql_group *g = ((struct field *)f)->group;
    char *name = mk_printf_new("%s.%s", g->owner->name, g->def->name);

    (void)arg;
    mk_gql_answer(f, revive(json_object_get(all.values, name)));
    mk_free(name);
}

static void
resolve_echo(struct mk_gql_field *f, void *arg)
{
    char *text = json_dumps(((struct field *)f)->args, JSON_COMPACT);

    (void)arg;
    mk_gql_answer(f, json_string(text));
    free(text);
}

static void
resolve_count(struct mk_gql_field *f, void *arg)
{
    (void)arg;
    mk_gql_answer(f, json_integer(++all.counted));
}

static void
resolve_later(struct mk_gql_field *f, void *arg)
{
    (void)arg;
    if (all.later_count == LATER_MAX)
        mk_gql_fail(f, NULL, "too many");
    else
        all.later[all.later_count++] = f;
}

/* -- the schema ------------------------------------------------------------------------------ */

static char *
read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct mk_buf b = {0};
    char piece[4096];
    size_t n;

    if (!f) {
        perror(path);
        exit(2);
    }
    while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
        mk_buf_add(&b, piece, n);
    fclose(f);
    return mk_buf_take(&b);
}

static mk_gql_fn
function_of(const char *type, const char *field)
{
    struct mk_buf key = {0};
    bool has_value;

    if (strcmp(field, "echo") == 0 || strcmp(field, "required") == 0 ||
        strcmp(field, "withDefault") == 0)
        return resolve_echo;
    if (strcmp(field, "count") == 0)
        return resolve_count;
    if (strcmp(field, "later") == 0)
        return resolve_later;
    mk_buf_printf(&key, "%s.%s", type, field);
    has_value = json_object_get(all.values, mk_buf_cstr(&key)) != NULL;
    mk_buf_release(&key);
    return has_value ? resolve_value : NULL;
}

/* A function for each field of the part that has none by nature. */
static void
give_functions(struct gql_part *p)
{
    struct mk_gql_resolver *list = NULL;
    size_t count = 0;

    for (const struct gql_definition *d = p->doc->definitions; d; d = d->next) {
        for (const struct gql_field_node *f = d->kind == GQL_DEF_OBJECT ? d->fields : NULL; f;
             f = f->next) {
            char *type = mk_str_dup(d->name), *field = mk_str_dup(f->name);
            mk_gql_fn fn = function_of(type, field);

            if (!fn) {
                mk_free(type);
                mk_free(field);
                continue;
            }
            list = mk_realloc(list, (count + 2) * sizeof(*list));
            list[count++] = (struct mk_gql_resolver){type, field, fn};
            list[count] = (struct mk_gql_resolver){NULL, NULL, NULL};
        }
    }
    p->resolvers = all.resolvers = list;
}

static json_t *
read_even(const json_t *value, struct mk_error *err)
{
    if (json_is_integer(value) && json_integer_value(value) % 2 == 0)
        return json_incref((json_t *)(uintptr_t)value);
    mk_fail(err, "it is odd");
    return NULL;
}

static struct gql_schema *
load(const char *path)
{
    struct gql_part *parts[2];
    struct gql_schema *schema = NULL;
    struct mk_error err;
    char *sdl = read_file(path);

    parts[0] = gql_part_new("base", MK_GQL_ADMIN | MK_GQL_USER, gql_base_sdl, &err);
    parts[1] = parts[0] ? gql_part_new("test", MK_GQL_ADMIN, sdl, &err) : NULL;
    if (parts[1]) {
        parts[0]->base = true;
        give_functions(parts[1]);
        parts[1]->readers = mk_alloc(sizeof(*parts[1]->readers));
        *parts[1]->readers = (struct gql_scalar_reader){mk_strdup("Even"), read_even, NULL};
        schema = gql_schema_new(parts, 2, NULL, &err);
    }
    if (!schema) {
        fprintf(stderr, "%s: %s\n", path, err.text);
        exit(2);
    }
    gql_part_unref(&parts[0]);
    gql_part_unref(&parts[1]);
    mk_free(sdl);
    return schema;
}

/* -- requests -------------------------------------------------------------------------------- */

static void
print(json_t *response)
{
    char *text = json_dumps(response, JSON_COMPACT | JSON_ENSURE_ASCII);

    puts(text ? text : "null");
    fflush(stdout);
    free(text);
    json_decref(response);
}

static void
on_done(json_t *response, void *arg)
{
    *(json_t **)arg = response;
}

static void
answer_later_ones(void)
{
    while (all.later_count) {
        struct mk_gql_field *f = all.later[--all.later_count];

        mk_gql_answer(f, json_incref((json_t *)(uintptr_t)gql_field_argument(f, "name")));
    }
}

static void
answer(const struct gql_view *view, const json_t *request)
{
    static const struct gql_limits limits = {.max = {[GQL_MAX_QUERY] = 1000000,
                                                     [GQL_MAX_TOKENS] = 100000,
                                                     [GQL_MAX_DEPTH] = 100,
                                                     [GQL_MAX_FIELDS] = 100000,
                                                     [GQL_MAX_ALIASES] = 100000,
                                                     [GQL_MAX_COMPLEXITY] = 1u << 30,
                                                     [GQL_MAX_INTROSPECTION] = 2}};
    static const struct mk_gql_viewer viewer = {.size = sizeof(viewer), .who = MK_GQL_IS_ADMIN};
    const json_t *query = json_object_get(request, "query");
    struct gql_request rq = {.query = {json_string_value(query), json_string_length(query)},
                             .operation =
                                 json_string_value(json_object_get(request, "operationName")),
                             .variables = json_object_get(request, "variables"),
                             .viewer = &viewer,
                             .api = &all.api,
                             .limits = &limits};
    struct gql_prepared p;
    json_t *response = NULL;

    all.counted = 0;
    gql_prepare(view, &rq, &p);
    if (p.refusal != GQL_ACCEPTED) {
        print(json_pack("{s:o}", "errors", p.errors));
        return;
    }
    if (p.plan->operation->operation == GQL_SUBSCRIPTION) {
        print(json_pack("{s:b}", "subscription", 1));
    } else {
        gql_execute(p.plan, on_done, &response);
        answer_later_ones();
        print(response);
    }
    gql_plan_unref(&p.plan);
}

int
main(int argc, char **argv)
{
    struct gql_schema *schema;
    char *line = NULL;
    size_t room = 0;

    if (argc == 2 && strcmp(argv[1], "--base") == 0) {
        puts(gql_base_sdl);
        return 0;
    }
    if (argc != 3) {
        fprintf(stderr, "usage: %s SCHEMA VALUES\n", argv[0]);
        return 2;
    }
    all.values = json_load_file(argv[2], 0, NULL);
    all.api = (struct mk_graphql){.size = sizeof(all.api),
                                  .answer = gql_field_answer,
                                  .argument = gql_field_argument,
                                  .parent = gql_field_parent,
                                  .viewer = gql_field_viewer,
                                  .error = gql_error_value};
    schema = load(argv[1]);
    while (getline(&line, &room, stdin) > 0) {
        json_t *request = json_loads(line, 0, NULL);

        answer(gql_schema_view(schema, MK_GQL_ADMIN), request);
        json_decref(request);
    }
    free(line);
    gql_schema_unref(&schema);
    json_decref(all.values);
    return 0;
}
