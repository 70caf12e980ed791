/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* libFuzzer target: JIDs. What is accepted is within the bounds, valid UTF-8, and prepared once and for all. */
#include "config.h"

#include <meerkat/jid.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_part(struct mk_str part)
{
    MK_ASSERT(part.len <= MK_JID_PART_MAX && mk_utf8_valid(part));
}

static void
check_prep(int (*prep)(struct mk_buf *out, struct mk_str in), struct mk_str in)
{
    struct mk_buf once = {0}, twice = {0};

    if (prep(&once, in) == 0 && prep(&twice, mk_buf_str(&once)) == 0)
        MK_ASSERT(mk_str_eq(mk_buf_str(&once), mk_buf_str(&twice)));
    mk_buf_release(&once);
    mk_buf_release(&twice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mk_str text = {(const char *)data, size};
    struct mk_jid *jid = mk_jid_parse(text), *again, *bare;

    check_prep(mk_prep_local, text);
    check_prep(mk_prep_resource, text);
    check_prep(mk_prep_password, text);
    if (!jid)
        return 0;
    check_part(mk_jid_local(jid));
    check_part(mk_jid_domain(jid));
    check_part(mk_jid_resource(jid));
    MK_ASSERT(mk_jid_domain(jid).len);
    again = mk_jid_parse(mk_jid_text(jid));
    MK_ASSERT(again && mk_jid_equal(jid, again) && mk_jid_hash_bare(jid) == mk_jid_hash_bare(again));
    bare = mk_jid_bare_new(jid);
    MK_ASSERT(mk_jid_is_bare(bare) && mk_jid_same_bare(bare, jid));
    mk_jid_unref(&bare);
    mk_jid_unref(&again);
    mk_jid_unref(&jid);
    return 0;
}
