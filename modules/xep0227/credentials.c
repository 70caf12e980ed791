/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Keys of SCRAM in files: <scram-credentials/> of XEP-0227 (as Prosody writes it, too), and ejabberd's password attribute
 * "scram:…" with the same four values.
 */
#include "config.h"

#include "internal.h"

#include <stdlib.h>

#define ITERATIONS_MAX 10000000

static const char mechanism_prefix[] = "SCRAM-";

/* SHA-1, SHA-256 … ; -1: none of ours. */
static int
alg_named(const char *name)
{
    for (int i = 0; i < MK_HASH_COUNT; i++) {
        if (strcmp(mk_hash_name((enum mk_hash_alg)i), name) == 0)
            return i;
    }
    return -1;
}

static int
decode(struct mk_str text, size_t min, size_t max, unsigned char *out, size_t *len_out)
{
    struct mk_buf raw = {0};
    int rc = -1;

    /* White space around a value is a file's, not the value's. */
    while (text.len && strchr(" \t\r\n", *text.p))
        text = (struct mk_str){text.p + 1, text.len - 1};
    while (text.len && strchr(" \t\r\n", text.p[text.len - 1]))
        text.len--;
    if (mk_base64_decode(&raw, text) == 0 && raw.len >= min && raw.len <= max && raw.len > 0) {
        memcpy(out, raw.data, raw.len);
        if (len_out)
            *len_out = raw.len;
        rc = 0;
    }
    mk_buf_release(&raw);
    return rc;
}

struct texts {
    struct mk_str iterations, salt, stored, server;
};

static bool
key_read(struct mk_scram_key *key, const struct texts *t)
{
    size_t size = mk_digest_size(key->alg);

    return decode(t->salt, 1, MK_SALT_MAX, key->salt, &key->salt_len) == 0 &&
           decode(t->stored, size, size, key->stored_key, NULL) == 0 && decode(t->server, size, size, key->server_key, NULL) == 0;
}

/* What ejabberd 23 writes: base64 of base64. A key of the right size cannot be that. */
static bool
key_read_twice(struct mk_scram_key *key, const struct texts *t)
{
    const struct mk_str in[] = {t->salt, t->stored, t->server};
    unsigned char text[3][2 * MK_SALT_MAX];
    struct mk_str out[3];
    bool good = true;

    for (size_t i = 0; good && i < MK_COUNT(in); i++) {
        size_t len = 0;

        good = decode(in[i], 1, sizeof(text[i]), text[i], &len) == 0;
        out[i] = (struct mk_str){(const char *)text[i], len};
    }
    good = good && key_read(key, &(struct texts){.salt = out[0], .stored = out[1], .server = out[2]});
    mk_wipe(text, sizeof(text));
    return good;
}

/* One key a hash, the first that can be used. */
static void
add_key(struct mk_credentials *cred, int alg, const struct texts *t)
{
    struct mk_scram_key *key = &cred->keys[cred->count];
    char digits[16] = "";

    for (size_t i = 0; i < cred->count; i++) {
        if ((int)cred->keys[i].alg == alg)
            return;
    }
    if (alg < 0 || cred->count == MK_SCRAM_KEYS_MAX || t->iterations.len >= sizeof(digits))
        return;
    memcpy(digits, t->iterations.p, t->iterations.len);
    *key = (struct mk_scram_key){.alg = (enum mk_hash_alg)alg, .iterations = (unsigned)strtoul(digits, NULL, 10)};
    if (key->iterations >= 1 && key->iterations <= ITERATIONS_MAX && (key_read(key, t) || key_read_twice(key, t)))
        cred->count++;
}

static struct mk_str
child_text(const struct mk_node *n, const char *name)
{
    const struct mk_node *child = mk_node_child(n, name, NS_SCRAM);

    return child ? mk_node_text(child) : MK_STR("");
}

/* ejabberd: scram:STORED,SERVER,SALT,ITERATIONS, newer ones scram:HASH,STORED,… */
static void
read_ejabberd(const char *text, struct mk_credentials *out)
{
    char *copy = mk_strdup(text + strlen("scram:")), *save = NULL;
    const char *parts[5] = {NULL};
    size_t count = 0, at;
    int alg = MK_SHA1;

    for (char *part = strtok_r(copy, ",", &save); part && count < MK_COUNT(parts); part = strtok_r(NULL, ",", &save))
        parts[count++] = part;
    at = count == 5;
    if (at)
        alg = strcmp(parts[0], "sha512") == 0 ? MK_SHA512 : strcmp(parts[0], "sha256") == 0 ? MK_SHA256
              : strcmp(parts[0], "sha") == 0 ? MK_SHA1 : -1;
    if (count == 4 || count == 5)
        add_key(out, alg, &(struct texts){mk_str_of(parts[at + 3]), mk_str_of(parts[at + 2]), mk_str_of(parts[at]),
                                          mk_str_of(parts[at + 1])});
    mk_wipe(copy, strlen(text) - strlen("scram:"));
    mk_free(copy);
}

void
credentials_read(const struct person *p, struct mk_credentials *out)
{
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < p->count; i++) {
        const struct mk_node *n = p->elements[i];
        const char *mechanism = mk_node_attr(n, "mechanism");

        if (mk_node_is(n, "scram-credentials", NS_SCRAM) && mechanism &&
            strncmp(mechanism, mechanism_prefix, strlen(mechanism_prefix)) == 0)
            add_key(out, alg_named(mechanism + strlen(mechanism_prefix)),
                    &(struct texts){child_text(n, "iter-count"), child_text(n, "salt"), child_text(n, "stored-key"),
                                    child_text(n, "server-key")});
    }
    if (p->password && strncmp(p->password, "scram:", 6) == 0)
        read_ejabberd(p->password, out);
}

static void
write_bytes(struct mk_xml *x, const char *name, const unsigned char *bytes, size_t len)
{
    struct mk_buf text = {0};

    mk_base64_encode(&text, (struct mk_str){(const char *)bytes, len});
    mk_xml_leaf(x, name, NULL, mk_buf_str(&text));
    mk_wipe(text.data, text.len);
    mk_buf_release(&text);
}

void
credentials_write(struct mk_xml *x, const struct mk_credentials *cred)
{
    for (size_t i = 0; i < cred->count; i++) {
        const struct mk_scram_key *key = &cred->keys[i];
        size_t size = mk_digest_size(key->alg);
        char text[40];

        mk_xml_open(x, "scram-credentials", NS_SCRAM);
        snprintf(text, sizeof(text), "%s%s", mechanism_prefix, mk_hash_name(key->alg));
        mk_xml_attr(x, "mechanism", text);
        snprintf(text, sizeof(text), "%u", key->iterations);
        mk_xml_leaf(x, "iter-count", NULL, mk_str_of(text));
        write_bytes(x, "salt", key->salt, key->salt_len);
        write_bytes(x, "server-key", key->server_key, size);
        write_bytes(x, "stored-key", key->stored_key, size);
        mk_xml_close(x);
    }
}
