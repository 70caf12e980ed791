/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * SASL, client side: PLAIN (RFC 4616) and SCRAM (RFC 5802, 7677) without channel binding.
 *
 * The keys of the last exchange are kept: a user who logs in again under the same salt pays for
 * the key derivation once, so a storm of log-ins measures the server.  Names and passwords are
 * taken as they are (no SASLprep).
 */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#define SCRAM_TEXT 1024
#define SCRAM_MAX_ITERATIONS 10000000

struct scram {
    const EVP_MD *md;
    size_t len; /* of a hash */
    char nonce[33];
    char first_bare[SCRAM_TEXT];
    unsigned char salt[256];
    int salt_len;
    int iterations;
    unsigned char client_key[EVP_MAX_MD_SIZE], server_key[EVP_MAX_MD_SIZE];
    unsigned char signature[EVP_MAX_MD_SIZE]; /* what the server must prove */
};

static int
encode(const void *p, size_t len, char *out, size_t size)
{
    if (size < (len + 2) / 3 * 4 + 1)
        return -1;
    EVP_EncodeBlock((unsigned char *)out, p, (int)len);
    return 0;
}

/* Returns the length, or -1. */
static int
decode(const char *text, size_t len, unsigned char *out, size_t size)
{
    int n;

    if (len % 4 != 0 || len / 4 * 3 > size)
        return -1;
    n = EVP_DecodeBlock(out, (const unsigned char *)text, (int)len);
    while (n > 0 && len > 0 && text[--len] == '=')
        n--;
    return n;
}

struct scram *
scram_new(bool sha256)
{
    struct scram *s = bench_alloc(1, sizeof(*s));

    s->md = sha256 ? EVP_sha256() : EVP_sha1();
    s->len = (size_t)EVP_MD_get_size(s->md);
    return s;
}

void
scram_free(struct scram **s)
{
    if (*s != NULL)
        OPENSSL_cleanse(*s, sizeof(**s));
    free(*s);
    *s = NULL;
}

/* RFC 5802, section 5.1: ',' and '=' in a name are written as =2C and =3D. */
static void
put_saslname(char *out, size_t size, const char *user)
{
    size_t n = 0;

    for (; *user != '\0' && n + 4 < size; user++) {
        if (*user == ',' || *user == '=') {
            memcpy(out + n, *user == ',' ? "=2C" : "=3D", 3);
            n += 3;
        } else {
            out[n++] = *user;
        }
    }
    out[n] = '\0';
}

int
scram_first(struct scram *s, const char *user, char *out, size_t size)
{
    unsigned char raw[16];
    char name[512], text[SCRAM_TEXT + 8];

    if (RAND_bytes(raw, sizeof(raw)) != 1)
        return -1;
    for (size_t i = 0; i < sizeof(raw); i++)
        snprintf(s->nonce + 2 * i, 3, "%02x", raw[i]);
    put_saslname(name, sizeof(name), user);
    snprintf(s->first_bare, sizeof(s->first_bare), "n=%s,r=%s", name, s->nonce);
    snprintf(text, sizeof(text), "n,,%s", s->first_bare);
    return encode(text, strlen(text), out, size);
}

/* The value of attribute `key` in a list like "r=...,s=...,i=...". */
static bool
field(const char *list, char key, char *out, size_t size)
{
    const char *p = list;

    while (p != NULL && *p != '\0') {
        if (p[0] == key && p[1] == '=') {
            size_t len = strcspn(p + 2, ",");

            if (len >= size)
                return false;
            memcpy(out, p + 2, len);
            out[len] = '\0';
            return true;
        }
        p = strchr(p, ',');
        if (p != NULL)
            p++;
    }
    return false;
}

static int
derive(struct scram *s, const unsigned char *salt, int salt_len, int iterations,
       const char *password)
{
    unsigned char salted[EVP_MAX_MD_SIZE];
    int n = (int)s->len;

    if (s->iterations == iterations && s->salt_len == salt_len &&
        memcmp(s->salt, salt, (size_t)salt_len) == 0)
        return 0;
    if (PKCS5_PBKDF2_HMAC(password, (int)strlen(password), salt, salt_len, iterations, s->md, n,
                          salted) != 1)
        return -1;
    HMAC(s->md, salted, n, (const unsigned char *)"Client Key", 10, s->client_key, NULL);
    HMAC(s->md, salted, n, (const unsigned char *)"Server Key", 10, s->server_key, NULL);
    OPENSSL_cleanse(salted, sizeof(salted));
    memcpy(s->salt, salt, (size_t)salt_len);
    s->salt_len = salt_len;
    s->iterations = iterations;
    return 0;
}

int
scram_respond(struct scram *s, const char *challenge, const char *password, char *out, size_t size)
{
    char server[SCRAM_TEXT], value[512], nonce[512], bare[600];
    char auth[3 * SCRAM_TEXT], proof64[128], final[SCRAM_TEXT];
    unsigned char salt[256], stored[EVP_MAX_MD_SIZE], sign[EVP_MAX_MD_SIZE];
    int n, salt_len, iterations;

    n = decode(challenge, strlen(challenge), (unsigned char *)server, sizeof(server) - 1);
    if (n < 0)
        return -1;
    server[n] = '\0';
    if (!field(server, 'r', nonce, sizeof(nonce)) ||
        strncmp(nonce, s->nonce, strlen(s->nonce)) != 0 ||
        !field(server, 's', value, sizeof(value)))
        return -1;
    salt_len = decode(value, strlen(value), salt, sizeof(salt));
    if (salt_len < 0 || !field(server, 'i', value, sizeof(value)))
        return -1;
    iterations = atoi(value);
    if (iterations < 1 || iterations > SCRAM_MAX_ITERATIONS ||
        derive(s, salt, salt_len, iterations, password) < 0)
        return -1;

    snprintf(bare, sizeof(bare), "c=biws,r=%s", nonce);
    n = snprintf(auth, sizeof(auth), "%s,%s,%s", s->first_bare, server, bare);
    if (n < 0 || (size_t)n >= sizeof(auth))
        return -1;
    EVP_Digest(s->client_key, s->len, stored, NULL, s->md, NULL);
    HMAC(s->md, stored, (int)s->len, (unsigned char *)auth, (size_t)n, sign, NULL);
    HMAC(s->md, s->server_key, (int)s->len, (unsigned char *)auth, (size_t)n, s->signature, NULL);
    for (size_t i = 0; i < s->len; i++)
        sign[i] ^= s->client_key[i];
    if (encode(sign, s->len, proof64, sizeof(proof64)) < 0)
        return -1;
    n = snprintf(final, sizeof(final), "%s,p=%s", bare, proof64);
    return encode(final, (size_t)n, out, size);
}

int
scram_verify(const struct scram *s, const char *success)
{
    char text[SCRAM_TEXT], value[256];
    unsigned char sign[256];
    int n;

    n = decode(success, strlen(success), (unsigned char *)text, sizeof(text) - 1);
    if (n < 0)
        return -1;
    text[n] = '\0';
    if (!field(text, 'v', value, sizeof(value)))
        return -1;
    n = decode(value, strlen(value), sign, sizeof(sign));
    if (n != (int)s->len || CRYPTO_memcmp(sign, s->signature, s->len) != 0)
        return -1;
    return 0;
}

int
plain_response(const char *user, const char *password, char *out, size_t size)
{
    char text[SCRAM_TEXT];
    size_t user_len = strlen(user), len = strlen(password);

    if (user_len + len + 2 > sizeof(text))
        return -1;
    text[0] = '\0';
    memcpy(text + 1, user, user_len + 1);
    memcpy(text + user_len + 2, password, len);
    return encode(text, user_len + len + 2, out, size);
}
