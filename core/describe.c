/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* What the option tables say, as text for people: --describe and docs/modules. */
#include "config.h"

#include "server-internal.h"

#include <stdio.h>

#include "option-internal.h"

/* A table's cell ends at a bar. */
static void
put_cell(const char *text, FILE *out)
{
    for (; *text; text++) {
        if (*text == '|')
            fputc('\\', out);
        fputc(*text, out);
    }
}

static void
describe_option(const struct mk_option *o, FILE *out)
{
    struct mk_buf allowed = {0};

    mki_option_allowed(o, false, &allowed);
    fprintf(out, "| `%s` | ", o->name);
    put_cell(mk_buf_cstr(&allowed), out);
    mk_buf_release(&allowed);
    if (o->flags & MK_OPT_REQUIRED)
        fputs(" | required", out);
    else if (o->preset && *o->preset)
        fprintf(out, " | `%s`", o->preset);
    else
        fputs(" | empty", out);
    fprintf(out, " | %s | %s | ", (o->flags & MK_OPT_RELOADABLE) ? "yes" : "no",
            (o->flags & MK_OPT_PER_HOST) ? "yes" : "no");
    put_cell(o->help, out);
    if (o->deprecated) {
        fputs("; deprecated: ", out);
        put_cell(o->deprecated, out);
    }
    fputs(" |\n", out);
}

void
mki_describe_options(const struct mk_option *options, FILE *out)
{
    if (!options || options->type == MK_TYPE_END) {
        fputs("\nNo options.\n", out);
        return;
    }
    fputs("\n| option | allowed | default | reload | by host | meaning |\n"
          "| --- | --- | --- | --- | --- | --- |\n", out);
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
    fprintf(out, "# %s %s\n\n%s.\n", m->def.name, m->def.version ? m->def.version : "",
            m->def.summary ? m->def.summary : "");
    fprintf(out, "\nSection: `[%s]`\n", m->def.name);
    list_names("Needs", m->def.depends, out);
    list_names("Starts after", m->def.after, out);
    list_names("Provides", m->def.provides, out);
    mki_describe_options(m->def.options, out);
}
