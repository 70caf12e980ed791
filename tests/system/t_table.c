/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Opens table MK_TABLE in version MK_VERSION. */
#include <meerkat/meerkat.h>
#include <meerkat/tables.h>

static int
init(struct mk_module *m, struct mk_error *err)
{
    const struct mk_tables *tables = mk_service_get(m, "tables", MK_TABLES_ABI, err);

    return tables && tables->open(tables->self, m, MK_TABLE, MK_VERSION, err) ? 0 : -1;
}

MK_MODULE(.name = MK_NAME, .version = "1.0", .summary = "a table for tests",
          .depends = (const char *const[]){"tables", NULL}, .init = init);
