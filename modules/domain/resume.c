/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Removals of domains that were interrupted, by the end of the node that was at it, are finished when a node starts. Should another node be at
 * the same one, both do what is left: that harms nothing.
 */
#include "config.h"

#include "internal.h"

struct resume {
    struct domain *self;
    char **names;
    size_t count, next;
    removal_fn on_removed;
};

static void
resume_free(struct resume *r)
{
    free_names(r->names, r->count);
    mk_module_leave(r->self->module);
    mk_free(r);
}

static void
remove_next(struct resume *r)
{
    if (r->next == r->count) {
        resume_free(r);
        return;
    }
    mk_log(r->self->module, MK_LOG_INFO, "domain.resumed", "the removal of domain '%s' was interrupted and goes on", r->names[r->next]);
    removal_run(r->self, r->names[r->next], r->on_removed, r);
}

static void
on_removed(bool ok, void *arg)
{
    struct resume *r = arg;

    if (!ok)
        mk_log(r->self->module, MK_LOG_WARN, "domain.remains", "not everything of domain '%s' could be removed: ask for its removal again",
               r->names[r->next]);
    r->next++;
    remove_next(r);
}

/* No node serves them now. */
static void
begin(void *arg)
{
    remove_next(arg);
}

static void
on_interrupted(struct mk_sql_result *result, void *arg)
{
    struct domain *self = arg;
    const struct mk_rdbms *db = self->db;
    struct resume *r;

    if (db->status(result) != MK_SQL_OK) {
        self->resumed = false;      /* after the next round */
        return;
    }
    if (db->rows(result) == 0)
        return;
    r = mk_zalloc(sizeof(*r));
    *r = (struct resume){.self = self, .on_removed = on_removed};
    mk_module_enter(self->module);
    r->names = mk_alloc(db->rows(result) * sizeof(char *));
    while (db->next(result))
        r->names[r->count++] = mk_str_dup(db->get_text(result, 0));
    sync_all(self, begin, r);
}

void
resume_look(struct domain *self)
{
    if (self->resumed)
        return;
    self->resumed = true;
    self->db->exec(self->db->self, self->sql.interrupted, NULL, 0, NULL, on_interrupted, self);
}
