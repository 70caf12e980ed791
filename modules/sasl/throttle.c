/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Too many wrong passwords from one address, or for one account, lock it for a while. */
#include "config.h"

#include "internal.h"

static const struct sasl_conf *
conf_of(const struct sasl *sasl)
{
    return mk_module_conf(sasl->module, NULL);
}

static uint64_t
account_key(const char *account)
{
    return mk_hash(account, strlen(account));
}

bool
throttle_counts(const struct sasl *sasl, bool local)
{
    return !local || conf_of(sasl)->throttle_loopback;
}

bool
throttle_is_locked(struct sasl *sasl, const char *address, const char *account)
{
    uint64_t now = mk_now_ms();

    if (address && mk_throttle_is_locked(sasl->addresses, mk_throttle_address_key(address), now)) {
        mk_counter_add(sasl->throttled_address, 1);
        return true;
    }
    if (account && mk_throttle_is_locked(sasl->accounts, account_key(account), now)) {
        mk_counter_add(sasl->throttled_account, 1);
        return true;
    }
    return false;
}

void
throttle_failed(struct sasl *sasl, const char *address, const char *account)
{
    const struct sasl_conf *conf = conf_of(sasl);
    struct mk_throttle_limit limit = {
        .failures = (uint32_t)conf->address_failures,
        .period_ms = conf->failure_period,
        .lock_ms = conf->lock_period,
    };
    unsigned long long seconds = limit.lock_ms / 1000;

    if (address &&
        mk_throttle_fail(sasl->addresses, mk_throttle_address_key(address), &limit, mk_now_ms()))
        mk_log(sasl->module, MK_LOG_WARN, "sasl.throttle_address",
               "too many failed log-ins from '%s', no more for %llu s", address, seconds);
    limit.failures = (uint32_t)conf->account_failures;
    if (account && mk_throttle_fail(sasl->accounts, account_key(account), &limit, mk_now_ms()))
        mk_log(sasl->module, MK_LOG_WARN, "sasl.throttle_account",
               "too many failed log-ins as '%s', no more for %llu s", account, seconds);
}

void
throttle_succeeded(struct sasl *sasl, const char *account)
{
    mk_throttle_clear(sasl->accounts, account_key(account));
}
