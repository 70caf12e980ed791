/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Category config: the configuration of this node. */
#include "config.h"

#include "internal.h"

static const char sdl[] =
    "extend type AdminQuery { \"The configuration of this node\" config: ConfigAdminQuery }\n"
    "extend type AdminMutation { \"The configuration of this node\" config: ConfigAdminMutation }\n"
    "type ConfigCheck { ok: Boolean! \"With file and line\" errors: [String!]! }\n"
    "\"An option as it is in force\"\n"
    "type ConfigValue {\n"
    "  \"meerkat, log, the name of a module, or module@host\" section: String!\n"
    "  key: String!\n"
    "  \"Null: a secret that is set\" value: String\n"
    "  \"It is what it would be without being set\" preset: Boolean!\n"
    "  help: String\n"
    "}\n"
    "\"The configuration of this node\"\n"
    "type ConfigAdminQuery @protected {\n"
    "  \"Read and check the configuration files as a reload would, and change nothing\" check: ConfigCheck\n"
    "    @protected(type: GLOBAL)\n"
    "  \"The options in force, without secrets\"\n"
    "  show(\"Only of this section\" section: String, \"Only what differs from the defaults\" changed: Boolean = false):\n"
    "    [ConfigValue!] @protected(type: GLOBAL)\n"
    "}\n"
    "\"The configuration of this node\"\n"
    "type ConfigAdminMutation @protected {\n"
    "  \"Read the configuration files again; a wrong one changes nothing\" reload: String @protected(type: GLOBAL)\n"
    "}\n";

struct reading {
    struct mk_gql_field *f;
    const char *section;
    bool changed;
    json_t *result;
};

/* -- check ------------------------------------------------------------------------------------ */

static void
work_check(void *arg)
{
    struct reading *r = arg;
    struct mk_buf errors = {0};
    bool ok = mk_config_check(&errors) == 0;
    json_t *list = json_array();
    char *text = mk_buf_take(&errors), *save = NULL;

    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        json_array_append_new(list, json_string(line));
    mk_free(text);
    r->result = json_pack("{s:b,s:o}", "ok", ok, "errors", list);
}

/* -- show ------------------------------------------------------------------------------------- */

static void
add_value(const struct mk_config_value *v, void *arg)
{
    struct reading *r = arg;

    if ((r->section && strcmp(r->section, v->section) != 0) || (r->changed && v->preset))
        return;
    json_array_append_new(r->result, json_pack("{s:s,s:s,s:s?,s:b,s:s?}", "section", v->section, "key", v->key, "value",
                                               v->value, "preset", v->preset, "help", v->option->help));
}

static void
work_show(void *arg)
{
    struct reading *r = arg;

    r->result = json_array();
    mk_config_each(add_value, r);
}

static void
on_read(void *arg)
{
    struct reading *r = arg;

    mk_gql_answer(r->f, r->result);
    mk_free(r);
}

static void
read_on_main(struct admin *a, mk_task_fn work, const struct reading *what)
{
    struct reading *r = mk_alloc(sizeof(*r));

    *r = *what;
    mk_on_main(a->module, work, on_read, r);
}

static void
check(struct mk_gql_field *f, void *arg)
{
    read_on_main(arg, work_check, &(struct reading){.f = f});
}

static void
show(struct mk_gql_field *f, void *arg)
{
    read_on_main(arg, work_show,
                 &(struct reading){.f = f, .section = mk_gql_string(f, "section"), .changed = mk_gql_bool(f, "changed", false)});
}

/* -- reload ----------------------------------------------------------------------------------- */

static void
on_reloaded(const struct mk_error *err, void *arg)
{
    struct mk_gql_field *f = arg;

    if (err)
        mk_gql_fail(f, "config_error", err->text);
    else
        answer_text(f, "The configuration was reloaded");
}

static void
reload(struct mk_gql_field *f, void *arg)
{
    struct admin *a = arg;

    mk_log(a->module, MK_LOG_INFO, "admin.reload", "an administrator reloads the configuration");
    mk_admin_reload(a->module, on_reloaded, f);
}

static const struct mk_gql_resolver resolvers[] = {{"ConfigAdminQuery", "check", check},
                                                   {"ConfigAdminQuery", "show", show},
                                                   {"ConfigAdminMutation", "reload", reload},
                                                   {0}};

int
config_category(struct admin *a, struct mk_error *err)
{
    return a->gql->add(a->gql->self, a->module, MK_GQL_ADMIN, sdl, resolvers, a, err);
}
