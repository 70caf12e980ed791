/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Hashes, and the keys of SCRAM (RFC 5802 §3), on top of OpenSSL. Any thread. */
#ifndef MEERKAT_CRYPTO_H
#define MEERKAT_CRYPTO_H

#include <meerkat/base.h>

MK_BEGIN

enum mk_hash_alg { MK_SHA1, MK_SHA224, MK_SHA256, MK_SHA384, MK_SHA512, MK_HASH_COUNT };
#define MK_DIGEST_MAX 64

MK_API size_t mk_digest_size(enum mk_hash_alg alg);
MK_API const char *mk_hash_name(enum mk_hash_alg alg);      /* "SHA-256" */
MK_API void mk_digest(enum mk_hash_alg alg, struct mk_str data, unsigned char *out);
MK_API void mk_hmac(enum mk_hash_alg alg, struct mk_str key, struct mk_str data,
                    unsigned char *out);
/* PBKDF2 with HMAC, one digest long. Takes long: see mk_offload. */
MK_API void mk_pbkdf2(enum mk_hash_alg alg, struct mk_str password, struct mk_str salt,
                      unsigned iterations, unsigned char *out);

#define MK_SALT_MAX 64
struct mk_scram_key {
    enum mk_hash_alg alg;
    unsigned iterations;
    size_t salt_len;
    unsigned char salt[MK_SALT_MAX];
    unsigned char stored_key[MK_DIGEST_MAX];    /* mk_digest_size(alg) bytes */
    unsigned char server_key[MK_DIGEST_MAX];
};
/* Fills stored_key and server_key from alg, iterations, salt and a prepared password. Takes long. */
MK_API void mk_scram_derive(struct mk_scram_key *key, struct mk_str password);

MK_END
#endif
