/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * TLS 1.3 on the links. Both ends prove themselves: by certificates of one authority, or by a secret that all nodes
 * share and that becomes the external key of the handshake (RFC 8446 §2.2), so that it is bound to the channel
 * and never sent.
 */
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <meerkat/crypto.h>

#include "cets.h"

#define IDENTITY "meerkat"

static const unsigned char suite[2] = {0x13, 0x01};     /* TLS_AES_128_GCM_SHA256 */

static struct cets *
cets_of(SSL *ssl)
{
    return SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
}

static SSL_SESSION *
session_of(SSL *ssl)
{
    struct cets *c = cets_of(ssl);
    SSL_SESSION *s = SSL_SESSION_new();
    const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, suite);

    if (s && cipher && SSL_SESSION_set1_master_key(s, c->psk, sizeof(c->psk)) == 1 &&
        SSL_SESSION_set_cipher(s, cipher) == 1 &&
        SSL_SESSION_set_protocol_version(s, TLS1_3_VERSION) == 1)
        return s;
    SSL_SESSION_free(s);
    return NULL;
}

static int
use_session(SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *id_len,
            SSL_SESSION **session)
{
    (void)md;
    *id = (const unsigned char *)IDENTITY;
    *id_len = sizeof(IDENTITY) - 1;
    *session = session_of(ssl);
    return *session != NULL;
}

static int
find_session(SSL *ssl, const unsigned char *id, size_t id_len, SSL_SESSION **session)
{
    *session = NULL;
    if (id_len == sizeof(IDENTITY) - 1 && memcmp(id, IDENTITY, id_len) == 0)
        *session = session_of(ssl);
    return 1;
}

static SSL_CTX *
context(struct cets *c, const struct cets_conf *conf, bool dialling, struct mk_error *err)
{
    SSL_CTX *ctx = SSL_CTX_new(dialling ? TLS_client_method() : TLS_server_method());
    char why[256];

    if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1)
        goto failed;
    SSL_CTX_set_app_data(ctx, c);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (conf->certificate) {
        if (SSL_CTX_use_certificate_chain_file(ctx, conf->certificate) != 1 ||
            SSL_CTX_use_PrivateKey_file(ctx, conf->key, SSL_FILETYPE_PEM) != 1 ||
            SSL_CTX_load_verify_locations(ctx, conf->ca, NULL) != 1)
            goto failed;
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        return ctx;
    }
    if (SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") != 1)
        goto failed;
    if (dialling)
        SSL_CTX_set_psk_use_session_callback(ctx, use_session);
    else
        SSL_CTX_set_psk_find_session_callback(ctx, find_session);
    /* Without the key there is no certificate either: the handshake fails. */
    SSL_CTX_set_verify(ctx, dialling ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    return ctx;

failed:
    ERR_error_string_n(ERR_get_error(), why, sizeof(why));
    ERR_clear_error();
    SSL_CTX_free(ctx);
    mk_fail(err, "TLS of the cluster links: %s", why);
    return NULL;
}

int
tls_init(struct cets *c, const struct cets_conf *conf, struct mk_error *err)
{
    unsigned char digest[MK_DIGEST_MAX];

    if (!conf->secret && !conf->certificate)
        return 0;
    if (conf->secret) {
        mk_hmac(MK_SHA256, mk_str_of(conf->secret), MK_STR("meerkat cluster link"), digest);
        memcpy(c->psk, digest, sizeof(c->psk));
        mk_wipe(digest, sizeof(digest));
    }
    c->server_tls = context(c, conf, false, err);
    c->client_tls = c->server_tls ? context(c, conf, true, err) : NULL;
    return c->client_tls ? 0 : -1;
}

struct ssl_st *
tls_new(struct cets *c, int fd, bool dialled)
{
    SSL *ssl = SSL_new(dialled ? c->client_tls : c->server_tls);

    if (!ssl || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    if (dialled)
        SSL_set_connect_state(ssl);
    else
        SSL_set_accept_state(ssl);
    return ssl;
}

void
tls_release(struct cets *c)
{
    SSL_CTX_free(c->server_tls);
    SSL_CTX_free(c->client_tls);
    mk_wipe(c->psk, sizeof(c->psk));
}
