/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Service "auth_anonymous": accounts that are made up for one session (SASL ANONYMOUS, RFC
 * 4505). */
#ifndef MEERKAT_AUTH_ANONYMOUS_H
#define MEERKAT_AUTH_ANONYMOUS_H

#include <meerkat/base.h>
#include <meerkat/module.h>

MK_BEGIN

#define MK_ANONYMOUS_NAME_MAX 64

#define MK_AUTH_ANONYMOUS_ABI 1
struct mk_auth_anonymous {
    uint32_t size;
    void *self;
    /* May clients of this host come without an account? Any worker. */
    bool (*enabled)(void *self, struct mk_host *host);
    /* A new local part, prepared, that nobody has and nobody guesses. Any worker. */
    void (*name)(void *self, struct mk_host *host, char out[MK_ANONYMOUS_NAME_MAX]);
};

MK_END
#endif
