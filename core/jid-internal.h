/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
#ifndef MKI_JID_H
#define MKI_JID_H

#include <meerkat/jid.h>

/*
 * One allocation: the text is "local@domain/resource" and a NUL. Lengths are of the parts; the
 * local part is absent when local_len is 0, the resource when the text ends with the bare JID.
 */
struct mk_jid {
    uint32_t refs;
    uint16_t local_len;
    uint16_t domain_len;
    uint16_t bare_len;
    uint16_t len;
    bool needs_escape;      /* in XML attributes */
    uint64_t hash_bare;
    char text[];
};

#endif
