/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Tasks "import" and "export": accounts, and what they have, in files of XEP-0227. */
#include "config.h"

#include "internal.h"

static const struct mk_option options[] = {
    MK_OPTION_SIZE(struct xep0227_conf, max_user, "256M", "64K", "16G", 0, "largest data of one user that a file may have"),
    MK_OPTION_INT(struct xep0227_conf, parallel, "64", "1", "10000", 0, "users that are read or written at a time"),
    MK_OPTION_END};

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct xep0227 *self = mk_zalloc(sizeof(*self));

    mk_module_set(m, self);
    self->module = m;
    if (!(self->db = mk_rdbms_get(m, err)) || !(self->auth = mk_service_get(m, "auth", MK_AUTH_ABI, err)))
        return -1;
    if (import_define(self) < 0 || export_define(self) < 0)
        return mk_fail(err, "the hooks could not be made");
    self->import_task = (struct mk_task){.size = sizeof(struct mk_task), .self = self, .usage = "FILE...", .min_args = 1,
                                         .max_args = SIZE_MAX, .run = import_run};
    self->export_task = (struct mk_task){.size = sizeof(struct mk_task), .self = self, .usage = "NEW-FILE|- [HOST...]",
                                         .min_args = 1, .max_args = SIZE_MAX, .run = export_run};
    if (mk_service_provide(m, "task_import", MK_TASK_ABI, &self->import_task, err) < 0)
        return -1;
    return mk_service_provide(m, "task_export", MK_TASK_ABI, &self->export_task, err);
}

static void
unload(struct mk_module *m)
{
    mk_free(mk_module_get(m));
}

MK_MODULE(.name = "xep0227", .version = "1.0", .summary = "accounts out of files and into them (XEP-0227)",
          .depends = (const char *const[]){"rdbms", "auth", NULL},
          .provides = (const char *const[]){"task_import", "task_export", NULL}, .options = options,
          .conf_size = sizeof(struct xep0227_conf), .init = init, .unload = unload);
