/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * A bounded memory of failures by key (an address, an account). When there were too many within a
 * period, the key is locked for a while. When the table is full the oldest entries make room, so
 * that it never grows. Time is an argument. Any thread.
 */
#ifndef SASL_THROTTLE_H
#define SASL_THROTTLE_H

#include <meerkat/base.h>

struct throttle;

struct throttle_limit {
    uint32_t failures; /* 0: no limit */
    uint64_t period_ms;
    uint64_t lock_ms;
};

/* `entries` is rounded up to what fits the table. */
struct throttle *throttle_new(size_t entries) MK_NODISCARD;
void throttle_free(struct throttle **t);

bool throttle_is_locked(struct throttle *t, uint64_t key, uint64_t now_ms);
/* Notes a failure; true when this one locked the key. */
bool throttle_fail(struct throttle *t, uint64_t key, const struct throttle_limit *limit,
                   uint64_t now_ms);
void throttle_clear(struct throttle *t, uint64_t key);

/* The key of an address: an IPv6 network of 64 bits counts as one. */
uint64_t throttle_address_key(const char *address);

#endif
