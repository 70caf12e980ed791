/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* SipHash-1-3 with a key of this process: strangers cannot make our tables degenerate. */
#include "config.h"

#include <pthread.h>

#include <meerkat/base.h>

static uint64_t key[2];
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static bool key_made;

static void
make_key(void)
{
    mk_random(key, sizeof(key));
    __atomic_store_n(&key_made, true, __ATOMIC_RELEASE);
}

static inline uint64_t
rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void
sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

uint64_t
mk_hash(const void *data, size_t len)
{
    const unsigned char *p = data;
    uint64_t last = (uint64_t)len << 56;
    uint64_t v[4];

    if (MK_UNLIKELY(!__atomic_load_n(&key_made, __ATOMIC_ACQUIRE)))
        pthread_once(&key_once, make_key);
    v[0] = key[0] ^ 0x736f6d6570736575u;
    v[1] = key[1] ^ 0x646f72616e646f6du;
    v[2] = key[0] ^ 0x6c7967656e657261u;
    v[3] = key[1] ^ 0x7465646279746573u;
    for (; len >= 8; len -= 8, p += 8) {
        uint64_t m;

        memcpy(&m, p, 8);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    for (size_t i = 0; i < len; i++)
        last |= (uint64_t)p[i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
