/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The costly part: PBKDF2, on the offload pool. */
#include "config.h"

#include "internal.h"

static void
work_keys(void *arg)
{
    struct op *op = arg;

    memset(&op->cred, 0, sizeof(op->cred));
    for (int alg = 0; alg < MK_HASH_COUNT; alg++) {
        struct mk_scram_key *key = &op->cred.keys[op->cred.count];

        if (!(op->hashes & 1u << alg))
            continue;
        key->alg = (enum mk_hash_alg)alg;
        key->iterations = op->iterations;
        key->salt_len = SALT_LEN;
        mk_random(key->salt, SALT_LEN);
        mk_scram_derive(key, mk_buf_str(&op->password));
        op->cred.count++;
    }
}

/* Any key of an account tells whether the password is it; the first is the cheapest. */
static bool
key_matches(const struct mk_scram_key *key, struct mk_str password)
{
    size_t size = mk_digest_size(key->alg);
    struct mk_scram_key mine = *key;
    bool same;

    mk_scram_derive(&mine, password);
    same = mk_str_eq_secret((struct mk_str){(const char *)mine.stored_key, size},
                            (struct mk_str){(const char *)key->stored_key, size});
    mk_wipe(&mine, sizeof(mine));
    return same;
}

static void
work_match(void *arg)
{
    struct op *op = arg;

    op->matches = key_matches(&op->cred.keys[0], mk_buf_str(&op->password));
    if (!op->matches && op->other.len)
        op->matches = key_matches(&op->cred.keys[0], mk_buf_str(&op->other));
}

int
derive_keys(struct op *op, mk_task_fn next)
{
    return mk_offload(op->self->module, work_keys, next, op);
}

int
derive_match(struct op *op, mk_task_fn next)
{
    return mk_offload(op->self->module, work_match, next, op);
}

bool
plain_matches(const struct op *op, struct mk_str stored)
{
    struct mk_str mine = mk_buf_str(&op->password);
    struct mk_buf prepared = {0};
    bool same = mk_str_eq_secret(stored, mine);

    if (!same && op->other.len)
        same = mk_str_eq_secret(stored, mk_buf_str(&op->other));
    if (!same && mk_prep_password(&prepared, stored) == 0)
        same = mk_str_eq_secret(mk_buf_str(&prepared), mine);
    if (prepared.data)
        mk_wipe(prepared.data, prepared.cap);
    mk_buf_release(&prepared);
    return same;
}
