/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Reading subjectAltName with OpenSSL. Whether the certificate is to be trusted was decided by
 * TLS. */
#include "config.h"

#include <openssl/objects.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "certificate.h"

/* The text of one name, if it is of a kind that we know. */
static bool
read_name(const GENERAL_NAME *name, enum certificate_field *field, struct mk_str *out)
{
    const ASN1_STRING *text = NULL;

    if (name->type == GEN_EMAIL) {
        *field = CERTIFICATE_EMAIL;
        text = name->d.rfc822Name;
    } else if (name->type == GEN_OTHERNAME &&
               OBJ_obj2nid(name->d.otherName->type_id) == NID_XmppAddr &&
               name->d.otherName->value->type == V_ASN1_UTF8STRING) {
        *field = CERTIFICATE_XMPP_ADDRESS;
        text = name->d.otherName->value->value.utf8string;
    }
    if (!text)
        return false;
    *out = (struct mk_str){(const char *)ASN1_STRING_get0_data(text),
                           (size_t)ASN1_STRING_length(text)};
    /* A NUL inside a name is somebody's trick to be read as another name. */
    return out->len > 0 && !memchr(out->p, 0, out->len);
}

void
certificate_names(struct mk_str der, unsigned fields,
                  void (*fn)(enum certificate_field field, struct mk_str name, void *arg),
                  void *arg)
{
    const unsigned char *p = (const unsigned char *)der.p;
    X509 *cert = d2i_X509(NULL, &p, (long)der.len);
    GENERAL_NAMES *names = cert ? X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL) : NULL;
    int count = names ? sk_GENERAL_NAME_num(names) : 0;

    for (int i = 0; i < count && i < CERTIFICATE_NAMES_MAX; i++) {
        enum certificate_field field;
        struct mk_str name;

        if (read_name(sk_GENERAL_NAME_value(names, i), &field, &name) && fields & field)
            fn(field, name, arg);
    }
    GENERAL_NAMES_free(names);
    X509_free(cert);
}
