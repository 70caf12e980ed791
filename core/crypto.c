/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Hashes and SCRAM keys on OpenSSL. */
#include "config.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <meerkat/crypto.h>

static const struct {
    const char *name;
    size_t size;
    const EVP_MD *(*md)(void);
} algs[MK_HASH_COUNT] = {
    [MK_SHA1] = {"SHA-1", 20, EVP_sha1},       [MK_SHA224] = {"SHA-224", 28, EVP_sha224},
    [MK_SHA256] = {"SHA-256", 32, EVP_sha256}, [MK_SHA384] = {"SHA-384", 48, EVP_sha384},
    [MK_SHA512] = {"SHA-512", 64, EVP_sha512},
};

bool
mk_str_eq_secret(struct mk_str a, struct mk_str b)
{
    return a.len == b.len && CRYPTO_memcmp(a.p, b.p, a.len) == 0;
}

void
mk_wipe(void *ptr, size_t len)
{
    OPENSSL_cleanse(ptr, len);
}

size_t
mk_digest_size(enum mk_hash_alg alg)
{
    return algs[alg].size;
}

const char *
mk_hash_name(enum mk_hash_alg alg)
{
    return algs[alg].name;
}

void
mk_digest(enum mk_hash_alg alg, struct mk_str data, unsigned char *out)
{
    if (!EVP_Digest(data.len ? data.p : "", data.len, out, NULL, algs[alg].md(), NULL))
        MK_BUG("a digest failed");
}

void
mk_hmac(enum mk_hash_alg alg, struct mk_str key, struct mk_str data, unsigned char *out)
{
    if (!HMAC(algs[alg].md(), key.len ? key.p : "", (int)key.len,
              (const unsigned char *)(data.len ? data.p : ""), data.len, out, NULL))
        MK_BUG("an HMAC failed");
}

void
mk_pbkdf2(enum mk_hash_alg alg, struct mk_str password, struct mk_str salt, unsigned iterations,
          unsigned char *out)
{
    if (!PKCS5_PBKDF2_HMAC(password.len ? password.p : "", (int)password.len,
                           (const unsigned char *)salt.p, (int)salt.len, (int)iterations,
                           algs[alg].md(), (int)algs[alg].size, out))
        MK_BUG("PBKDF2 failed");
}

void
mk_scram_derive(struct mk_scram_key *key, struct mk_str password)
{
    unsigned char salted[MK_DIGEST_MAX], client[MK_DIGEST_MAX];
    size_t size = algs[key->alg].size;
    struct mk_str salted_str = {(const char *)salted, size};

    mk_pbkdf2(key->alg, password, (struct mk_str){(const char *)key->salt, key->salt_len},
              key->iterations, salted);
    mk_hmac(key->alg, salted_str, MK_STR("Client Key"), client);
    mk_digest(key->alg, (struct mk_str){(const char *)client, size}, key->stored_key);
    mk_hmac(key->alg, salted_str, MK_STR("Server Key"), key->server_key);
    mk_wipe(salted, sizeof(salted));
    mk_wipe(client, sizeof(client));
}
