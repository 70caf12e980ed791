/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * What modules add to service discovery (XEP-0030), which module `disco` answers. Features are added by
 * mk_feature_add and mk_on_iq (iq.h); here are nodes and items. Both hooks fire on the worker of
 * whoever asks and cannot be held.
 */
#ifndef MEERKAT_DISCO_H
#define MEERKAT_DISCO_H

#include <meerkat/hook.h>
#include <meerkat/jid.h>
#include <meerkat/module.h>
#include <meerkat/xml.h>

MK_BEGIN

struct mk_ev_disco {
    struct mk_hook_head head;
    struct mk_host *host;
    const struct mk_jid *account;       /* NULL: the host is asked */
    const struct mk_jid *from;
    const char *node;                   /* NULL: none (disco_items only) */
    struct mk_xml *out;                 /* inside <query/>: add <identity/>, <feature/>, <item/> */
    bool found;                         /* a handler knows the node: else item-not-found */
};
/* Somebody asks about a node. */
MK_NOTICE(disco_info, struct mk_ev_disco)
/* Somebody asks for the items of a host, an account, or a node of one. */
MK_NOTICE(disco_items, struct mk_ev_disco)

MK_END
#endif
