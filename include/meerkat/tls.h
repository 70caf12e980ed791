/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Service "tls": certificates by host (section [tls]), chosen by SNI, reloaded without a restart. */
#ifndef MEERKAT_TLS_H
#define MEERKAT_TLS_H

#include <meerkat/base.h>
#include <meerkat/module.h>

MK_BEGIN

struct ssl_ctx_st;

#define MK_TLS_ABI 1
struct mk_tls {
    uint32_t size;
    void *self;
    /* A server's context in force now, for `alpn` ("xmpp-client", NULL: none asked for); SNI switches to the host's own
     * certificate. Asks clients for a certificate when `ask_certificate`. NULL: no certificate is configured.
     * Referenced: give it to SSL_new and free it with SSL_CTX_free. Any thread. */
    struct ssl_ctx_st *(*server)(void *self, const char *alpn, bool ask_certificate);
};

MK_END
#endif
