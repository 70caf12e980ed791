/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The server's side of SCRAM (RFC 5802, RFC 7677) as pure functions: parsing what the client sends,
 * writing what the server answers, and the proofs. No state, no randomness, any thread.
 */
#ifndef SASL_SCRAM_H
#define SASL_SCRAM_H

#include <meerkat/crypto.h>

/* gs2-cbind-flag (RFC 5802 §6) */
enum scram_binding {
    SCRAM_NO_BINDING = 'n',     /* the client cannot bind to channels */
    SCRAM_BINDING_UNUSED = 'y', /* it could, but believes that the server cannot */
    SCRAM_BINDING_USED = 'p',
};

/* client-first-message; all slices point into the message. */
struct scram_first {
    enum scram_binding binding;
    struct mk_str binding_type; /* with SCRAM_BINDING_USED */
    struct mk_str gs2_header;   /* with the comma at its end */
    struct mk_str authzid;      /* escaped; empty: none */
    struct mk_str bare;         /* client-first-message-bare */
    struct mk_str username;     /* escaped */
    struct mk_str nonce;
};

/* client-final-message */
struct scram_final {
    struct mk_str binding; /* base64 as it came */
    struct mk_str nonce;
    struct mk_str without_proof; /* client-final-message-without-proof */
    unsigned char proof[MK_DIGEST_MAX];
};

int scram_parse_first(struct mk_str message, struct scram_first *out) MK_NODISCARD;
int scram_parse_final(struct mk_str message, enum mk_hash_alg alg,
                      struct scram_final *out) MK_NODISCARD;

/* Appends a saslname with =2C and =3D undone; -1 when it is not one. */
int scram_unescape(struct mk_buf *out, struct mk_str name) MK_NODISCARD;

/* Appends server-first-message. */
void scram_server_first(struct mk_buf *out, struct mk_str client_nonce, struct mk_str server_nonce,
                        const struct mk_scram_key *key);

/* Is `binding` of the client's last message what the header and the channel's data must give? */
bool scram_binding_matches(struct mk_str binding, struct mk_str gs2_header,
                           struct mk_str channel_data);

/* Is the nonce the client's followed by the server's? */
bool scram_nonce_matches(struct mk_str nonce, struct mk_str client, struct mk_str server);

/*
 * Checks the client's proof over AuthMessage = first.bare "," server_first "," final.without_proof
 * and fills `signature` (one digest) with ServerSignature. It takes as long for a wrong proof as
 * for a right one.
 */
bool scram_verify(const struct mk_scram_key *key, struct mk_str auth_message,
                  const unsigned char *proof, unsigned char *signature);

/* Appends server-final-message. */
void scram_server_final(struct mk_buf *out, enum mk_hash_alg alg, const unsigned char *signature);

#endif
