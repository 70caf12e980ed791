/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * A bounded memory of failures by key (an address, an account). When there were too many within a
 * period, the key is locked for a while. When the table is full the oldest entries make room, so
 * that it never grows. Time is an argument. Any thread.
 */
#ifndef MEERKAT_THROTTLE_H
#define MEERKAT_THROTTLE_H

#include <meerkat/base.h>

MK_BEGIN

struct mk_throttle;

struct mk_throttle_limit {
    uint32_t failures; /* 0: no limit */
    uint64_t period_ms;
    uint64_t lock_ms;
};

/* `entries` is rounded up to what fits the table. */
MK_API struct mk_throttle *mk_throttle_new(size_t entries) MK_NODISCARD;
MK_API void mk_throttle_free(struct mk_throttle **t);

MK_API bool mk_throttle_is_locked(struct mk_throttle *t, uint64_t key, uint64_t now_ms);
/* Notes a failure; true when this one locked the key. */
MK_API bool mk_throttle_fail(struct mk_throttle *t, uint64_t key, const struct mk_throttle_limit *limit,
                   uint64_t now_ms);
MK_API void mk_throttle_clear(struct mk_throttle *t, uint64_t key);

/* The key of an address: an IPv6 network of 64 bits counts as one. */
MK_API uint64_t mk_throttle_address_key(const char *address);

MK_END
#endif
