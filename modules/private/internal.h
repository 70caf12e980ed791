/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Module private: what its files share. */
#ifndef PRIVATE_INTERNAL_H
#define PRIVATE_INTERNAL_H

#include <meerkat/auth.h>
#include <meerkat/graphql.h>
#include <meerkat/meerkat.h>
#include <meerkat/rdbms.h>

struct private_conf {
    uint64_t max_size;
    int64_t max_elements;
    bool reserved;
};

struct private {
    struct mk_module *module;
    const struct mk_rdbms *db;
    struct mk_sql_stmt *select, *upsert, *remove, *all;
    struct mk_counter refused;
    struct mk_auth_backends auth;       /* for api.c */
};

/* -- private.c */
/* May an element of this namespace be kept? */
bool private_can_keep(const char *ns, const struct private_conf *conf);

/* -- port.c: XEP-0227 */
int private_port(struct private *self) MK_NODISCARD;

/* -- api.c: category private of the GraphQL API, where there is one */
int private_api(struct private *self, struct mk_error *err) MK_NODISCARD;

#endif
