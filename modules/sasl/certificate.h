/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The addresses that a client's certificate (in DER) names. The only file that knows X.509. */
#ifndef SASL_CERTIFICATE_H
#define SASL_CERTIFICATE_H

#include <meerkat/base.h>

#define CERTIFICATE_NAMES_MAX 32

enum certificate_field {
    CERTIFICATE_XMPP_ADDRESS = 1u << 0, /* otherName id-on-xmppAddr (RFC 6120 §13.7.1.4) */
    CERTIFICATE_EMAIL = 1u << 1,        /* rfc822Name */
};

/* Calls fn for each name of one of these fields in the certificate; the name is borrowed. */
void certificate_names(struct mk_str der, unsigned fields,
                       void (*fn)(enum certificate_field field, struct mk_str name, void *arg),
                       void *arg);

#endif
