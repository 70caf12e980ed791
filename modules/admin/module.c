/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Category module: the modules of this node, their options and their handlers of hooks. */
#include "config.h"

#include "internal.h"

static const char sdl[] =
    "extend type AdminQuery { \"Modules of this node\" module: ModuleAdminQuery }\n"
    "extend type AdminMutation { \"Modules of this node\" module: ModuleAdminMutation }\n"
    "\"An option of a module\"\n"
    "type ModuleSetting {\n"
    "  name: String!\n"
    "  \"What may be written\" allowed: String!\n"
    "  \"Null: none\" preset: String\n"
    "  \"In force; null: a secret\" value: String\n"
    "  \"Taken over by a reload; else a changed one needs a restart of the module\" reloadable: Boolean!\n"
    "  required: Boolean!\n"
    "  \"May be set for one host\" perHost: Boolean!\n"
    "  help: String!\n"
    "  \"What to use instead\" deprecated: String\n"
    "}\n"
    "\"A module\"\n"
    "type LoadedModule {\n"
    "  name: String!\n"
    "  version: String\n"
    "  summary: String\n"
    "  \"loaded, running, stopping; available: not loaded\" state: String!\n"
    "  \"Not in the configuration: others need it\" neededOnly: Boolean\n"
    "  depends: [String!]\n"
    "  after: [String!]\n"
    "  provides: [String!]\n"
    "  options: [ModuleSetting!]\n"
    "}\n"
    "\"A handler of a hook\"\n"
    "type HookHandler { hook: String! module: String! priority: Int! function: String! file: String! line: Int! }\n"
    "\"Modules of this node\"\n"
    "type ModuleAdminQuery @protected {\n"
    "  \"The modules in the order in which they were started\"\n"
    "  list(\"Those that are installed and not loaded as well\" available: Boolean = false): [LoadedModule!]\n"
    "    @protected(type: GLOBAL)\n"
    "  \"A module that is loaded\" describe(name: String!): LoadedModule @protected(type: GLOBAL)\n"
    "  \"The handlers of all hooks in the order in which they are called\"\n"
    "  hooks(\"Only of this hook\" hook: String, \"Only of this module\" module: String): [HookHandler!]\n"
    "    @protected(type: GLOBAL)\n"
    "}\n"
    "\"Modules of this node\"\n"
    "type ModuleAdminMutation @protected {\n"
    "  \"Load a module; its options are read from the configuration file\"\n"
    "  load(name: String!): String @protected(type: GLOBAL)\n"
    "  \"Unload a module that nobody needs\" unload(name: String!): String @protected(type: GLOBAL)\n"
    "  \"Unload a module and load it from its file again\" reload(name: String!): String @protected(type: GLOBAL)\n"
    "}\n";

/* What is read on the main thread, for an answer here. */
struct reading {
    struct mk_gql_field *f;
    const char *name, *hook;    /* wanted; NULL: all */
    bool available, one;
    json_t *list;
};

static json_t *
names(const char *const *list)
{
    json_t *array = json_array();

    for (; list && *list; list++)
        json_array_append_new(array, json_string(*list));
    return array;
}

static json_t *
text_or_null(struct mk_buf *text)
{
    return json_str(mk_buf_str(text));
}

static json_t *
setting(const struct mk_option *o, const void *conf)
{
    bool secret = o->type == MK_TYPE_SECRET;
    struct mk_buf allowed = {0}, value = {0};
    json_t *s;

    mk_option_allowed(o, &allowed);
    if (!secret && conf)
        mk_option_text(o, conf, &value);
    s = json_pack("{s:s,s:o,s:s?,s:o,s:b,s:b,s:b,s:s,s:s?}", "name", o->name, "allowed", text_or_null(&allowed), "preset",
                  secret ? NULL : o->preset, "value", secret || !conf ? json_null() : text_or_null(&value), "reloadable",
                  (o->flags & MK_OPT_RELOADABLE) != 0, "required", (o->flags & MK_OPT_REQUIRED) != 0, "perHost",
                  (o->flags & MK_OPT_PER_HOST) != 0, "help", o->help ? o->help : "", "deprecated", o->deprecated);
    mk_buf_release(&allowed);
    mk_buf_release(&value);
    return s;
}

static json_t *
settings(const struct mk_module_info *m)
{
    json_t *list = json_array();

    for (const struct mk_option *o = m->options; o && o->type != MK_TYPE_END; o++)
        json_array_append_new(list, setting(o, m->conf));
    return list;
}

static void
read_module(const struct mk_module_info *m, void *arg)
{
    struct reading *r = arg;

    if (r->name && strcmp(r->name, m->name) != 0)
        return;
    json_array_append_new(
        r->list, json_pack("{s:s,s:s,s:s,s:s,s:b,s:o,s:o,s:o,s:o}", "name", m->name, "version", m->version ? m->version : "",
                           "summary", m->summary ? m->summary : "", "state", m->state, "neededOnly", m->needed_only,
                           "depends", names(m->depends), "after", names(m->after), "provides", names(m->provides),
                           "options", settings(m)));
}

static void
read_file(const char *name, void *arg)
{
    struct reading *r = arg;

    json_array_append_new(r->list, json_pack("{s:s,s:s}", "name", name, "state", "available"));
}

static void
read_modules(void *arg)
{
    struct reading *r = arg;

    mk_module_each(read_module, r);
    if (r->available)
        mk_module_each_file(read_file, r);
}

static void
read_hook(const struct mk_hook_info *h, void *arg)
{
    struct reading *r = arg;

    if ((r->hook && strcmp(r->hook, h->hook) != 0) || (r->name && strcmp(r->name, h->module) != 0))
        return;
    json_array_append_new(r->list, json_pack("{s:s,s:s,s:i,s:s,s:s,s:i}", "hook", h->hook, "module", h->module,
                                             "priority", h->priority, "function", h->function, "file", h->file, "line",
                                             h->line));
}

static void
read_hooks(void *arg)
{
    mk_hook_each(read_hook, arg);
}

static void
on_read(void *arg)
{
    struct reading *r = arg;

    if (!r->one)
        mk_gql_answer(r->f, json_incref(r->list));
    else if (json_array_size(r->list))
        mk_gql_answer(r->f, json_incref(json_array_get(r->list, 0)));
    else
        mk_gql_fail(r->f, "not_loaded", "There is no such module, or it is not loaded");
    json_decref(r->list);
    mk_free(r);
}

static void
read_on_main(struct admin *a, mk_task_fn work, const struct reading *what)
{
    struct reading *r = mk_alloc(sizeof(*r));

    *r = *what;
    r->list = json_array();
    mk_on_main(a->module, work, on_read, r);
}

static void
list_modules(struct mk_gql_field *f, void *arg)
{
    read_on_main(arg, read_modules, &(struct reading){.f = f, .available = mk_gql_bool(f, "available", false)});
}

static void
describe(struct mk_gql_field *f, void *arg)
{
    read_on_main(arg, read_modules, &(struct reading){.f = f, .name = mk_gql_string(f, "name"), .one = true});
}

static void
hooks(struct mk_gql_field *f, void *arg)
{
    read_on_main(arg, read_hooks,
                 &(struct reading){.f = f, .hook = mk_gql_string(f, "hook"), .name = mk_gql_string(f, "module")});
}

/* -- changes ---------------------------------------------------------------------------------- */

struct change {
    struct admin *admin;
    struct mk_gql_field *f;
    const char *what;
};

static void
on_changed(const struct mk_error *err, void *arg)
{
    struct change *c = arg;
    const char *name = mk_gql_string(c->f, "name");

    if (err) {
        mk_gql_answer(c->f, c->f->api->error("module_error", err->text, json_pack("{s:s}", "module", name)));
    } else {
        mk_log(c->admin->module, MK_LOG_INFO, "admin.module", "module '%s' was %s by an administrator", name, c->what);
        answer_text(c->f, "Module %s was %s", name, c->what);
    }
    mk_free(c);
}

static struct change *
change_new(struct mk_gql_field *f, struct admin *a, const char *what)
{
    struct change *c = mk_alloc(sizeof(*c));

    *c = (struct change){a, f, what};
    return c;
}

static void
load(struct mk_gql_field *f, void *arg)
{
    struct admin *a = arg;

    mk_admin_module_load(a->module, mk_gql_string(f, "name"), on_changed, change_new(f, a, "loaded"));
}

/* It would wait for this answer to be given. */
static bool
is_self(struct mk_gql_field *f, const struct admin *a)
{
    if (strcmp(mk_gql_string(f, "name"), mk_module_name(a->module)) != 0)
        return false;
    mk_gql_answer(f, f->api->error("module_error", "this module answers you: it can neither be unloaded nor reloaded so",
                                   json_pack("{s:s}", "module", mk_module_name(a->module))));
    return true;
}

static void
unload(struct mk_gql_field *f, void *arg)
{
    struct admin *a = arg;

    if (is_self(f, a))
        return;
    mk_admin_module_unload(a->module, mk_gql_string(f, "name"), on_changed, change_new(f, a, "unloaded"));
}

static void
reload(struct mk_gql_field *f, void *arg)
{
    struct admin *a = arg;

    if (is_self(f, a))
        return;
    mk_admin_module_reload(a->module, mk_gql_string(f, "name"), on_changed, change_new(f, a, "reloaded"));
}

static const struct mk_gql_resolver resolvers[] = {
    {"ModuleAdminQuery", "list", list_modules}, {"ModuleAdminQuery", "describe", describe},
    {"ModuleAdminQuery", "hooks", hooks},       {"ModuleAdminMutation", "load", load},
    {"ModuleAdminMutation", "unload", unload},  {"ModuleAdminMutation", "reload", reload},
    {0}};

int
module_category(struct admin *a, struct mk_error *err)
{
    return a->gql->add(a->gql->self, a->module, MK_GQL_ADMIN, sdl, resolvers, a, err);
}
