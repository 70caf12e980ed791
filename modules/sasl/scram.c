/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* SCRAM on the server's side: see scram.h. The grammar is RFC 5802 §7. */
#include "config.h"

#include <meerkat/jid.h>

#include "scram.h"

#define MESSAGE_MAX 8192 /* beyond all that a name, two nonces and extensions need */

/* Cuts the part before the next comma off `text`; false when there is no comma. */
static bool
cut(struct mk_str *text, struct mk_str *part)
{
    const char *comma = text->len ? memchr(text->p, ',', text->len) : NULL;

    if (!comma)
        return false;
    *part = (struct mk_str){text->p, (size_t)(comma - text->p)};
    text->p += part->len + 1;
    text->len -= part->len + 1;
    return true;
}

/* Like cut, but the last part needs no comma behind it. */
static struct mk_str
cut_last(struct mk_str *text)
{
    struct mk_str part;

    if (!cut(text, &part)) {
        part = *text;
        *text = (struct mk_str){text->p + text->len, 0};
    }
    return part;
}

/* The value of an attribute that must be there and not be empty: "n=value". */
static bool
value_of(struct mk_str attribute, char name, struct mk_str *value)
{
    if (attribute.len < 3 || attribute.p[0] != name || attribute.p[1] != '=')
        return false;
    *value = (struct mk_str){attribute.p + 2, attribute.len - 2};
    return true;
}

static bool
is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* cb-name: letters, digits, '.' and '-' */
static bool
is_binding_type(struct mk_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_alpha(s.p[i]) && !(s.p[i] >= '0' && s.p[i] <= '9') && s.p[i] != '.' &&
            s.p[i] != '-')
            return false;
    }
    return s.len > 0;
}

/* Printable ASCII; a comma cannot be in it any more. */
static bool
is_nonce(struct mk_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < 0x21 || s.p[i] > 0x7e)
            return false;
    }
    return s.len > 0;
}

/* What follows the known attributes: attr-val *("," attr-val), all ignored. */
static bool
extensions_ok(struct mk_str rest)
{
    while (rest.len) {
        struct mk_str ext = cut_last(&rest);

        if (ext.len < 3 || !is_alpha(ext.p[0]) || ext.p[1] != '=')
            return false;
    }
    return true;
}

static bool
is_message(struct mk_str s)
{
    return s.len > 0 && s.len <= MESSAGE_MAX && !memchr(s.p, 0, s.len) && mk_utf8_valid(s);
}

/* gs2-header: flag "," [authzid] ","; what follows stays in `text`. */
static int
parse_gs2(struct mk_str *text, struct scram_first *out)
{
    const char *start = text->p;
    struct mk_str flag, authzid;

    if (!cut(text, &flag) || flag.len == 0 || !cut(text, &authzid))
        return -1;
    if (flag.p[0] == SCRAM_BINDING_USED) {
        if (!value_of(flag, SCRAM_BINDING_USED, &out->binding_type) ||
            !is_binding_type(out->binding_type))
            return -1;
    } else if (flag.len != 1 ||
               (flag.p[0] != SCRAM_NO_BINDING && flag.p[0] != SCRAM_BINDING_UNUSED)) {
        return -1;
    }
    out->binding = (enum scram_binding)flag.p[0];
    if (authzid.len && !value_of(authzid, 'a', &out->authzid))
        return -1;
    out->gs2_header = (struct mk_str){start, (size_t)(text->p - start)};
    return 0;
}

int
scram_parse_first(struct mk_str message, struct scram_first *out)
{
    struct mk_str text = message, name, nonce;
    bool last;

    memset(out, 0, sizeof(*out));
    if (!is_message(message) || parse_gs2(&text, out) < 0)
        return -1;
    out->bare = text;
    /* "m=" in the place of the name is an extension that must be understood: it fails here. */
    if (!cut(&text, &name) || !value_of(name, 'n', &out->username))
        return -1;
    last = !memchr(text.p, ',', text.len);
    nonce = cut_last(&text);
    if (!value_of(nonce, 'r', &out->nonce) || !is_nonce(out->nonce))
        return -1;
    return last || (text.len && extensions_ok(text)) ? 0 : -1;
}

/* The proof is the last attribute; base64 has no comma. */
static int
parse_proof(struct mk_str message, enum mk_hash_alg alg, struct scram_final *out)
{
    const char *comma = memrchr(message.p, ',', message.len);
    struct mk_str proof;
    struct mk_buf raw = {0};
    int rc = -1;

    if (!comma)
        return -1;
    out->without_proof = (struct mk_str){message.p, (size_t)(comma - message.p)};
    proof = (struct mk_str){comma + 1, message.len - out->without_proof.len - 1};
    if (value_of(proof, 'p', &proof) && mk_base64_decode(&raw, proof) == 0 &&
        raw.len == mk_digest_size(alg)) {
        memcpy(out->proof, raw.data, raw.len);
        rc = 0;
    }
    mk_buf_release(&raw);
    return rc;
}

int
scram_parse_final(struct mk_str message, enum mk_hash_alg alg, struct scram_final *out)
{
    struct mk_str text, part;

    memset(out, 0, sizeof(*out));
    if (!is_message(message) || parse_proof(message, alg, out) < 0)
        return -1;
    text = out->without_proof;
    if (!cut(&text, &part) || !value_of(part, 'c', &out->binding))
        return -1;
    part = cut_last(&text);
    if (!value_of(part, 'r', &out->nonce) || !is_nonce(out->nonce) || !extensions_ok(text))
        return -1;
    return 0;
}

int
scram_unescape(struct mk_buf *out, struct mk_str name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.p[i] == ',' || name.p[i] == '\0')
            return -1;
        if (name.p[i] != '=') {
            mk_buf_add_byte(out, name.p[i]);
            continue;
        }
        if (name.len - i < 3)
            return -1;
        if (memcmp(name.p + i, "=2C", 3) == 0)
            mk_buf_add_byte(out, ',');
        else if (memcmp(name.p + i, "=3D", 3) == 0)
            mk_buf_add_byte(out, '=');
        else
            return -1;
        i += 2;
    }
    return 0;
}

void
scram_server_first(struct mk_buf *out, struct mk_str client_nonce, struct mk_str server_nonce,
                   const struct mk_scram_key *key)
{
    mk_buf_add_cstr(out, "r=");
    mk_buf_add_str(out, client_nonce);
    mk_buf_add_str(out, server_nonce);
    mk_buf_add_cstr(out, ",s=");
    mk_base64_encode(out, (struct mk_str){(const char *)key->salt, key->salt_len});
    mk_buf_printf(out, ",i=%u", key->iterations);
}

bool
scram_binding_matches(struct mk_str binding, struct mk_str gs2_header, struct mk_str channel_data)
{
    struct mk_buf raw = {0}, text = {0};
    bool same;

    mk_buf_add_str(&raw, gs2_header);
    mk_buf_add_str(&raw, channel_data);
    mk_base64_encode(&text, mk_buf_str(&raw));
    same = mk_str_eq_secret(binding, mk_buf_str(&text));
    mk_buf_release(&raw);
    mk_buf_release(&text);
    return same;
}

bool
scram_nonce_matches(struct mk_str nonce, struct mk_str client, struct mk_str server)
{
    return nonce.len == client.len + server.len &&
           mk_str_eq_secret((struct mk_str){nonce.p, client.len}, client) &&
           mk_str_eq_secret((struct mk_str){nonce.p + client.len, server.len}, server);
}

bool
scram_verify(const struct mk_scram_key *key, struct mk_str auth_message, const unsigned char *proof,
             unsigned char *signature)
{
    size_t size = mk_digest_size(key->alg);
    struct mk_str stored = {(const char *)key->stored_key, size};
    unsigned char client_key[MK_DIGEST_MAX], hashed[MK_DIGEST_MAX];
    bool same;

    mk_hmac(key->alg, stored, auth_message, client_key);
    for (size_t i = 0; i < size; i++)
        client_key[i] ^= proof[i];
    mk_digest(key->alg, (struct mk_str){(const char *)client_key, size}, hashed);
    mk_hmac(key->alg, (struct mk_str){(const char *)key->server_key, size}, auth_message,
            signature);
    same = mk_str_eq_secret((struct mk_str){(const char *)hashed, size}, stored);
    mk_wipe(client_key, sizeof(client_key));
    mk_wipe(hashed, sizeof(hashed));
    return same;
}

void
scram_server_final(struct mk_buf *out, enum mk_hash_alg alg, const unsigned char *signature)
{
    mk_buf_add_cstr(out, "v=");
    mk_base64_encode(out, (struct mk_str){(const char *)signature, mk_digest_size(alg)});
}
