/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The registry of statements, by module and text. Main thread, in init; workers only read. */
#include "config.h"

#include "priv.h"

struct owner *
owner_of(struct rdbms *f, struct mk_module *m)
{
    const char *name = mk_module_name(m);
    struct owner *o, **end = &f->owners;

    for (; (o = *end); end = &o->next) {
        if (strcmp(o->name, name) == 0) {
            o->module = m;      /* it may have been loaded anew */
            return o;
        }
    }
    o = mk_zalloc(sizeof(*o));
    o->name = mk_strdup(name);
    o->module = m;
    /* Behind the others: the order of the modules is that of their tables. */
    *end = o;
    return o;
}

static uint32_t
count_params(const char *sql)
{
    uint32_t n = 0;

    for (size_t i = mk_sql_next_param(sql, 0); sql[i]; i = mk_sql_next_param(sql, i + 1))
        n++;
    return n;
}

/* A module that is loaded again gets the statements that it had: nothing grows by reloading. */
struct mk_sql_stmt *
stmt_prepare(void *self, struct mk_module *m, const char *sql)
{
    struct rdbms *f = self;
    struct owner *owner = owner_of(f, m);
    struct mk_sql_stmt *s;

    for (s = f->stmts; s; s = s->next) {
        if (s->owner == owner && strcmp(s->text.sql, sql) == 0)
            return s;
    }
    s = mk_zalloc(sizeof(*s));
    s->text = (struct mk_sql_text){.size = sizeof(s->text),
                                   .id = f->stmt_count++,
                                   .params = count_params(sql),
                                   .sql = mk_strdup(sql)};
    s->owner = owner;
    s->next = f->stmts;
    f->stmts = s;
    return s;
}

void
stmts_free(struct rdbms *f)
{
    while (f->stmts) {
        struct mk_sql_stmt *s = f->stmts;

        f->stmts = s->next;
        mk_free((char *)(uintptr_t)s->text.sql);
        mk_free(s);
    }
    while (f->owners) {
        struct owner *o = f->owners;

        f->owners = o->next;
        mk_free(o->name);
        mk_free(o);
    }
}
