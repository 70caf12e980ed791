/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Reading and writing users.pass_details: see pass_details.h for the two forms. */
#include "config.h"

#include "pass_details.h"

#define MULTI "==MULTI_SCRAM==,"
#define SINGLE "==SCRAM==,"
#define PREFIX_LEN 10

static const char prefixes[MK_HASH_COUNT][PREFIX_LEN + 1] = {
    [MK_SHA1] = "===SHA1===",   [MK_SHA224] = "==SHA224==", [MK_SHA256] = "==SHA256==",
    [MK_SHA384] = "==SHA384==", [MK_SHA512] = "==SHA512==",
};

static bool
skip(struct mk_str *text, const char *prefix)
{
    size_t len = strlen(prefix);

    if (text->len < len || memcmp(text->p, prefix, len) != 0)
        return false;
    text->p += len;
    text->len -= len;
    return true;
}

/* Cuts the part before the next `separator` off `text`; the last part ends with the text. */
static struct mk_str
cut(struct mk_str *text, char separator)
{
    const char *end = text->len ? memchr(text->p, separator, text->len) : NULL;
    struct mk_str part = {text->p, end ? (size_t)(end - text->p) : text->len};
    size_t used = part.len + (end ? 1 : 0);

    text->p += used;
    text->len -= used;
    return part;
}

static int
parse_iterations(struct mk_str text, unsigned *out)
{
    unsigned n = 0;

    if (text.len < 1 || text.len > 8)
        return -1;
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return -1;
        n = n * 10 + (unsigned)(text.p[i] - '0');
    }
    if (n < 1 || n > PASS_DETAILS_ITERATIONS_MAX)
        return -1;
    *out = n;
    return 0;
}

/* Base64 of between `min` and `max` bytes into a field of a key. */
static int
parse_bytes(struct mk_str text, size_t min, size_t max, unsigned char *out, size_t *len_out)
{
    struct mk_buf raw = {0};
    int rc = -1;

    if (mk_base64_decode(&raw, text) == 0 && raw.len >= min && raw.len <= max && raw.len > 0) {
        memcpy(out, raw.data, raw.len);
        if (len_out)
            *len_out = raw.len;
        rc = 0;
    }
    if (raw.data)
        mk_wipe(raw.data, raw.cap);
    mk_buf_release(&raw);
    return rc;
}

static int
parse_key(struct mk_scram_key *key, struct mk_str salt, struct mk_str stored, struct mk_str server)
{
    size_t size = mk_digest_size(key->alg);

    if (parse_bytes(salt, 1, MK_SALT_MAX, key->salt, &key->salt_len) < 0 ||
        parse_bytes(stored, size, size, key->stored_key, NULL) < 0 ||
        parse_bytes(server, size, size, key->server_key, NULL) < 0)
        return -1;
    return 0;
}

static int
parse_entry(struct mk_str entry, unsigned iterations, struct mk_credentials *out)
{
    struct mk_scram_key *key;
    struct mk_str salt, stored, server;
    int alg = MK_HASH_COUNT;

    for (int i = 0; i < MK_HASH_COUNT && alg == MK_HASH_COUNT; i++) {
        if (skip(&entry, prefixes[i]))
            alg = i;
    }
    if (alg == MK_HASH_COUNT || out->count == MK_SCRAM_KEYS_MAX)
        return -1;
    for (size_t i = 0; i < out->count; i++) {
        if (out->keys[i].alg == (enum mk_hash_alg)alg)
            return -1;
    }
    key = &out->keys[out->count];
    key->alg = (enum mk_hash_alg)alg;
    key->iterations = iterations;
    salt = cut(&entry, '|');
    stored = cut(&entry, '|');
    server = entry;
    if (parse_key(key, salt, stored, server) < 0)
        return -1;
    out->count++;
    return 0;
}

static int
parse_multi(struct mk_str text, struct mk_credentials *out)
{
    unsigned iterations;

    if (parse_iterations(cut(&text, ','), &iterations) < 0 || text.len == 0)
        return -1;
    while (text.len) {
        if (parse_entry(cut(&text, ','), iterations, out) < 0)
            return -1;
    }
    return 0;
}

static int
parse_single(struct mk_str text, struct mk_credentials *out)
{
    struct mk_scram_key *key = &out->keys[0];
    struct mk_str stored = cut(&text, ','), server = cut(&text, ','), salt = cut(&text, ',');

    key->alg = MK_SHA1;
    if (parse_iterations(text, &key->iterations) < 0 || parse_key(key, salt, stored, server) < 0)
        return -1;
    out->count = 1;
    return 0;
}

int
pass_details_parse(struct mk_str text, struct mk_credentials *out)
{
    memset(out, 0, sizeof(*out));
    if (skip(&text, MULTI))
        return parse_multi(text, out);
    if (skip(&text, SINGLE))
        return parse_single(text, out);
    return -1;
}

static void
print_bytes(struct mk_buf *out, const unsigned char *bytes, size_t len)
{
    mk_base64_encode(out, (struct mk_str){(const char *)bytes, len});
}

static void
print_key(struct mk_buf *out, const struct mk_scram_key *key)
{
    size_t size = mk_digest_size(key->alg);

    mk_buf_add_byte(out, ',');
    mk_buf_add_cstr(out, prefixes[key->alg]);
    print_bytes(out, key->salt, key->salt_len);
    mk_buf_add_byte(out, '|');
    print_bytes(out, key->stored_key, size);
    mk_buf_add_byte(out, '|');
    print_bytes(out, key->server_key, size);
}

void
pass_details_print(struct mk_buf *out, const struct mk_credentials *cred)
{
    MK_ASSERT(cred->count > 0);
    mk_buf_printf(out, MULTI "%u", cred->keys[0].iterations);
    for (size_t i = 0; i < cred->count; i++)
        print_key(out, &cred->keys[i]);
}
