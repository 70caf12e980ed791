/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * libFuzzer target: base64, the messages of SCRAM and the text of pass_details. The first byte
 * chooses; what parses must lie inside the input and survive being written again.
 */
#include "config.h"

#include "pass_details.h"
#include "scram.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_inside(struct mk_str part, struct mk_str whole)
{
    if (part.len)
        MK_ASSERT(part.p >= whole.p && part.p + part.len <= whole.p + whole.len);
}

static void
fuzz_base64(struct mk_str in)
{
    struct mk_buf raw = {0}, text = {0};

    if (mk_base64_decode(&raw, in) == 0) {
        mk_base64_encode(&text, mk_buf_str(&raw));
        MK_ASSERT(mk_str_eq(mk_buf_str(&text), in));
    }
    mk_buf_release(&raw);
    mk_buf_release(&text);
}

static void
fuzz_first(struct mk_str in)
{
    struct scram_first f;
    struct mk_buf name = {0};

    if (scram_parse_first(in, &f) == 0) {
        check_inside(f.username, in);
        check_inside(f.authzid, in);
        check_inside(f.nonce, in);
        check_inside(f.binding_type, in);
        MK_ASSERT(f.gs2_header.len + f.bare.len == in.len && f.username.len && f.nonce.len);
        if (scram_unescape(&name, f.username) == 0)
            MK_ASSERT(name.len <= f.username.len);
    }
    mk_buf_release(&name);
}

static void
fuzz_final(struct mk_str in, enum mk_hash_alg alg)
{
    struct scram_final f;

    if (scram_parse_final(in, alg, &f) < 0)
        return;
    check_inside(f.binding, in);
    check_inside(f.nonce, in);
    check_inside(f.without_proof, in);
    (void)scram_binding_matches(f.binding, MK_STR("n,,"), (struct mk_str){0});
    (void)scram_nonce_matches(f.nonce, MK_STR("abc"), MK_STR("def"));
}

static void
fuzz_details(struct mk_str in)
{
    struct mk_credentials a, b;
    struct mk_buf text = {0};

    if (pass_details_parse(in, &a) == 0) {
        MK_ASSERT(a.count > 0 && a.count <= MK_SCRAM_KEYS_MAX);
        pass_details_print(&text, &a);
        MK_ASSERT(pass_details_parse(mk_buf_str(&text), &b) == 0 && b.count == a.count);
    }
    mk_buf_release(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mk_str in;

    if (size < 1)
        return 0;
    in = (struct mk_str){(const char *)data + 1, size - 1};
    switch (data[0] & 3) {
    case 0:
        fuzz_base64(in);
        break;
    case 1:
        fuzz_first(in);
        break;
    case 2:
        fuzz_final(in, (enum mk_hash_alg)((data[0] >> 2) % MK_HASH_COUNT));
        break;
    case 3:
        fuzz_details(in);
        break;
    }
    return 0;
}
