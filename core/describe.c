/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* What the option tables say, as text for people: --describe and docs/modules. */
#include "config.h"

#include "server-internal.h"

#include <stdio.h>

#include "option-internal.h"

static void
describe_option(const struct mk_option *o, FILE *out)
{
    fprintf(out, "| `%s` | %s", o->name, mki_option_type_name(o));
    if (o->type == MK_TYPE_ENUM) {
        fputs(":", out);
        for (const char *const *c = o->choices; *c; c++)
            fprintf(out, "%s %s", c == o->choices ? "" : ",", *c);
    }
    if (o->min || o->max)
        fprintf(out, ", %s to %s", o->min ? o->min : "…", o->max ? o->max : "…");
    fprintf(out, " | %s%s%s | %s%s%s%s%s |\n", o->preset ? "`" : "",
            o->preset ? o->preset : (o->flags & MK_OPT_REQUIRED) ? "required" : "",
            o->preset ? "`" : "", o->help,
            (o->flags & MK_OPT_RELOADABLE) ? "; reloadable" : "",
            (o->flags & MK_OPT_PER_HOST) ? "; may differ by host" : "",
            o->deprecated ? "; deprecated: " : "", o->deprecated ? o->deprecated : "");
}

void
mki_describe_options(const struct mk_option *options, FILE *out)
{
    if (!options || options->type == MK_TYPE_END) {
        fputs("\nNo options.\n", out);
        return;
    }
    fputs("\n| option | type | default | meaning |\n| --- | --- | --- | --- |\n", out);
    for (const struct mk_option *o = options; o->type != MK_TYPE_END; o++)
        describe_option(o, out);
}

static void
list_names(const char *what, const char *const *names, FILE *out)
{
    if (!names || !*names)
        return;
    fprintf(out, "\n%s:", what);
    for (; *names; names++)
        fprintf(out, " %s%s", *names, names[1] ? "," : "");
    fputc('\n', out);
}

void
mki_describe_module(const struct mk_module *m, FILE *out)
{
    fprintf(out, "# %s\n\n%s.\n", m->def.name, m->def.summary ? m->def.summary : "");
    fprintf(out, "\nSection: `[module:%s]`\n", m->def.name);
    list_names("Needs", m->def.depends, out);
    list_names("Starts after", m->def.after, out);
    list_names("Provides", m->def.provides, out);
    mki_describe_options(m->def.options, out);
}
