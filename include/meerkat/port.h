/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Hooks for accounts that come out of files and go into them (XEP-0227). A module that keeps something for an account
 * writes it as the element that the standard names and reads it again; whoever walks through files and accounts (module
 * xep0227) knows none of these elements. Both are fired on a worker, in a task: modules are initialised, not started.
 */
#ifndef MEERKAT_PORT_H
#define MEERKAT_PORT_H

#include <meerkat/hook.h>
#include <meerkat/jid.h>
#include <meerkat/xml.h>

MK_BEGIN

struct mk_sql_batch;

/*
 * An element of a user comes in. Whoever keeps such things adds its statements to `batch` and returns MK_HANDLED; or
 * MK_DENY with `error`, and the account is not taken. The account is new: nothing is kept for it yet, but an element may come
 * more than once. Cannot be held.
 */
struct mk_ev_account_import {
    struct mk_hook_head head;
    struct mk_host *host;
    const struct mk_jid *account;       /* bare */
    const struct mk_node *element;
    struct mk_sql_batch *batch;
    size_t taken;                       /* out: how many things were in it */
    size_t left;                        /* out: how many could not be taken */
    const char *error;                  /* out, with MK_DENY; a literal */
};
MK_FILTER(account_import, struct mk_ev_account_import)

/* All that is kept for an account goes out: add its elements to `xml` and say MK_CONTINUE; MK_DENY with `error` when it cannot
 * be read. May be held. */
struct mk_ev_account_export {
    struct mk_hook_head head;
    struct mk_host *host;
    const struct mk_jid *account;       /* bare */
    struct mk_xml *xml;                 /* inside the user's element */
    size_t given;                       /* out: how many things */
    const char *error;
    void *job;                          /* of whoever fires */
};
MK_FILTER(account_export, struct mk_ev_account_export)

MK_END
#endif
