/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * SCRAM (RFC 5802, RFC 7677) with and without channel binding (RFC 5929, RFC 9266).
 *
 * Somebody without an account, or without a key of this hash, goes through the whole exchange with
 * a salt made from the name and a secret, and fails at its end like anybody with a wrong password.
 */
#include "config.h"

#include "internal.h"

#define NONCE_LEN 33 /* with the NUL */
#define FAKE_SALT_LEN 16

struct scram_state {
    struct mk_buf first;       /* client-first-message */
    struct scram_first parsed; /* points into it */
    char nonce[NONCE_LEN];     /* the server's part */
    struct mk_buf server_first;
    struct mk_buf channel_data;
    struct mk_scram_key key;
    bool fake;
};

void
scram_state_free(struct scram_state **state)
{
    struct scram_state *st = *state;

    if (!st)
        return;
    mk_buf_release(&st->first);
    mk_buf_release(&st->server_first);
    wipe_buf(&st->channel_data);
    mk_wipe(st, sizeof(*st));
    mk_free(st);
    *state = NULL;
}

/* -- the client's first message --------------------------------------------------------------- */

/*
 * RFC 5802 §6: does the client's flag fit the mechanism and the stream? 'y' from a client to which
 * we do offer channel binding means that somebody took it out of the list on the way.
 */
static bool
binding_fits(struct login *l, const struct scram_first *first, enum failure *why, const char **text)
{
    struct mk_buf type = {0};
    int rc;

    *why = FAIL_MALFORMED_REQUEST;
    *text = "the channel binding flag does not fit the mechanism";
    if (l->mech->plus != (first->binding == SCRAM_BINDING_USED))
        return false;
    if (first->binding == SCRAM_NO_BINDING)
        return true;
    if (first->binding == SCRAM_BINDING_UNUSED) {
        *why = FAIL_NOT_AUTHORIZED;
        *text = "channel binding was offered";
        return !mechs_have_plus(mechs_offered(l->sasl, l->session));
    }
    *text = "channel binding type not supported";
    mk_buf_add_str(&type, first->binding_type);
    rc = l->sasl->c2s->channel_binding(l->session, mk_buf_cstr(&type), &l->scram->channel_data);
    mk_buf_release(&type);
    return rc == 0;
}

static bool
read_names(struct login *l, const struct scram_first *first)
{
    struct mk_buf name = {0};
    bool ok;

    if (scram_unescape(&l->authzid, first->authzid) < 0 ||
        scram_unescape(&name, first->username) < 0) {
        mk_buf_release(&name);
        login_fail(l, l->profile, FAIL_MALFORMED_REQUEST, NULL);
        return false;
    }
    ok = login_set_user(l, mk_buf_str(&name));
    mk_buf_release(&name);
    return ok;
}

static void
fake_key(struct login *l, struct mk_scram_key *key)
{
    struct mk_host *host = mk_session_host(l->session);
    unsigned char mac[32];

    secret_mac(l->sasl, mk_hash_name(l->mech->hash), mk_buf_str(&l->user),
               mk_str_of(mk_host_name(host)), mac);
    key->alg = l->mech->hash;
    key->iterations = ask_iterations(l->sasl, host);
    key->salt_len = FAKE_SALT_LEN;
    memcpy(key->salt, mac, FAKE_SALT_LEN);
    mk_random(key->stored_key, sizeof(key->stored_key));
    mk_random(key->server_key, sizeof(key->server_key));
}

static const struct mk_scram_key *
key_of(const struct mk_credentials *cred, enum mk_hash_alg alg)
{
    for (size_t i = 0; cred && i < cred->count; i++) {
        if (cred->keys[i].alg == alg)
            return &cred->keys[i];
    }
    return NULL;
}

static void
on_keys(struct login *l, enum mk_auth_result result, const struct mk_credentials *cred)
{
    struct scram_state *st = l->scram;
    const struct mk_scram_key *key = key_of(cred, l->mech->hash);

    if (result == MK_AUTH_UNAVAILABLE || result == MK_AUTH_BUSY) {
        login_fail(l, l->profile, FAIL_TEMPORARY, NULL);
        return;
    }
    st->fake = !key;
    if (key)
        st->key = *key;
    else
        fake_key(l, &st->key);
    mk_random_id(st->nonce, sizeof(st->nonce));
    scram_server_first(&st->server_first, st->parsed.nonce, mk_str_of(st->nonce), &st->key);
    login_challenge(l, mk_buf_str(&st->server_first));
}

static void
first_message(struct login *l, struct mk_str data)
{
    struct scram_state *st = l->scram = mk_zalloc(sizeof(*st));
    enum failure why;
    const char *text;

    mk_buf_add_str(&st->first, data);
    if (scram_parse_first(mk_buf_str(&st->first), &st->parsed) < 0)
        login_fail(l, l->profile, FAIL_MALFORMED_REQUEST, NULL);
    else if (!binding_fits(l, &st->parsed, &why, &text))
        login_fail(l, l->profile, why, text);
    else if (read_names(l, &st->parsed))
        ask_lookup(l, on_keys);
}

/* -- the client's last message ---------------------------------------------------------------- */

static bool
proof_is_right(const struct scram_state *st, const struct scram_final *final,
               unsigned char *signature)
{
    struct mk_buf text = {0};
    bool right;

    mk_buf_add_str(&text, st->parsed.bare);
    mk_buf_add_byte(&text, ',');
    mk_buf_add_str(&text, mk_buf_str(&st->server_first));
    mk_buf_add_byte(&text, ',');
    mk_buf_add_str(&text, final->without_proof);
    right = scram_verify(&st->key, mk_buf_str(&text), final->proof, signature);
    mk_buf_release(&text);
    return right && !st->fake;
}

static void
final_message(struct login *l, struct mk_str data)
{
    struct scram_state *st = l->scram;
    struct scram_final final;
    struct mk_buf answer = {0};
    unsigned char signature[MK_DIGEST_MAX];
    bool right;

    if (scram_parse_final(data, l->mech->hash, &final) < 0) {
        login_fail(l, l->profile, FAIL_MALFORMED_REQUEST, NULL);
        return;
    }
    /* All of it is worked out whatever came before, so that the time tells nothing. */
    right = proof_is_right(st, &final, signature);
    right &= scram_nonce_matches(final.nonce, st->parsed.nonce, mk_str_of(st->nonce));
    right &=
        scram_binding_matches(final.binding, st->parsed.gs2_header, mk_buf_str(&st->channel_data));
    if (right) {
        scram_server_final(&answer, l->mech->hash, signature);
        login_succeed(l, mk_buf_str(&answer));
    } else {
        login_fail(l, l->profile, FAIL_NOT_AUTHORIZED, NULL);
    }
    mk_wipe(signature, sizeof(signature));
    mk_wipe(&final, sizeof(final));
    mk_buf_release(&answer);
}

void
scram_step(struct login *l, struct mk_str data)
{
    if (l->scram)
        final_message(l, data);
    else
        first_message(l, data);
}
