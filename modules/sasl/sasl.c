/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Log-in of clients: SASL (RFC 6120 §6), SASL2 (XEP-0388) with Bind 2 (XEP-0386), SCRAM with
 * channel binding (RFC 5802, RFC 7677, XEP-0440), PLAIN, EXTERNAL (XEP-0178), ANONYMOUS (XEP-0175).
 * internal.h says which file does what.
 */
#include "config.h"

#include <stdio.h>

#include "internal.h"

static const char *const plain_policies[] = {
    [PLAIN_NEVER] = "never", [PLAIN_LOOPBACK] = "loopback", [PLAIN_ALWAYS] = "always", NULL};

#define HOT (MK_OPT_RELOADABLE | MK_OPT_PER_HOST)

static const struct mk_option options[] = {
    MK_OPTION_LIST(struct sasl_conf, mechanisms, NULL, HOT,
                   "mechanisms to offer, by their SASL names; empty: all that are possible"),
    MK_OPTION_ENUM(struct sasl_conf, allow_plain_unencrypted, "loopback", plain_policies, HOT,
                   "from where PLAIN is accepted without TLS: never, loopback, always"),
    MK_OPTION_LIST(struct sasl_conf, external, "xmpp_address", HOT,
                   "names in a client's certificate that log it in: xmpp_address, email; empty: "
                   "none"),
    MK_OPTION_BOOL(struct sasl_conf, sasl2, "yes", HOT, "offer SASL2 and Bind 2 as well"),
    MK_OPTION_INT(struct sasl_conf, attempts, "5", "1", "1000", HOT,
                  "failed attempts after which a stream is closed"),
    MK_OPTION_INT(struct sasl_conf, address_failures, "50", "0", "1000000", MK_OPT_RELOADABLE,
                  "wrong passwords from one address in failure_period that lock it; 0: never"),
    MK_OPTION_INT(struct sasl_conf, account_failures, "20", "0", "1000000", MK_OPT_RELOADABLE,
                  "wrong passwords for one account in failure_period that lock it; 0: never"),
    MK_OPTION_PERIOD(struct sasl_conf, failure_period, "5m", "1s", "1d", MK_OPT_RELOADABLE,
                     "time in which wrong passwords are counted together"),
    MK_OPTION_PERIOD(struct sasl_conf, lock_period, "1m", "1s", "1d", MK_OPT_RELOADABLE,
                     "how long a locked address or account must wait"),
    MK_OPTION_BOOL(struct sasl_conf, throttle_loopback, "no", MK_OPT_RELOADABLE,
                   "count wrong passwords from this machine (a proxy on it, perhaps) by address"),
    MK_OPTION_INT(struct sasl_conf, throttle_entries, "16384", "64", "16777216", 0,
                  "addresses, and accounts, whose wrong passwords are remembered"),
    MK_OPTION_SECRET(struct sasl_conf, secret, NULL, 0,
                     "makes the salts of accounts that do not exist; the same on all nodes; empty: "
                     "kept in the database if there is one, else new at every start"),
    MK_OPTION_END};

const struct sasl_conf *
sasl_conf(const struct sasl *sasl, const struct mk_session *s)
{
    return mk_module_conf(sasl->module, mk_session_host(s));
}

static int
check(const void *conf, const char *host, struct mk_error *err)
{
    const struct sasl_conf *c = conf;

    (void)host;
    for (size_t i = 0; i < c->mechanisms.count; i++) {
        if (!mech_is_known(c->mechanisms.items[i]))
            return mk_fail(err, "unknown mechanism '%s' in option 'mechanisms'",
                           c->mechanisms.items[i]);
    }
    for (size_t i = 0; i < c->external.count; i++) {
        if (strcmp(c->external.items[i], "xmpp_address") != 0 &&
            strcmp(c->external.items[i], "email") != 0)
            return mk_fail(err, "unknown name '%s' in option 'external'", c->external.items[i]);
    }
    return 0;
}

static void
init_metrics(struct sasl *sasl)
{
    static const char *const outcomes[OUT_COUNT] = {
        [OUT_SUCCESS] = "success",
        [OUT_FAILURE] = "failure",
        [OUT_ABORTED] = "aborted",
        [OUT_TEMPORARY] = "temporary",
    };
    char labels[96];

    for (size_t i = 0; i < MECH_COUNT; i++) {
        for (size_t o = 0; o < OUT_COUNT; o++) {
            snprintf(labels, sizeof(labels), "mechanism=\"%s\",result=\"%s\"", mechs[i].name,
                     outcomes[o]);
            sasl->logins[i][o] = mk_counter_new(sasl->module, "sasl_logins_total", labels,
                                                "Log-ins of clients that ended, by result");
        }
    }
    for (size_t f = 0; f < FAIL_COUNT; f++) {
        snprintf(labels, sizeof(labels), "condition=\"%s\"", failure_name((enum failure)f));
        sasl->refused[f] = mk_counter_new(sasl->module, "sasl_refused_total", labels,
                                          "Log-ins refused before a mechanism was at work");
    }
    sasl->throttled_address =
        mk_counter_new(sasl->module, "sasl_throttled_total", "by=\"address\"",
                       "Log-ins refused because there were too many wrong passwords");
    sasl->throttled_account =
        mk_counter_new(sasl->module, "sasl_throttled_total", "by=\"account\"",
                       "Log-ins refused because there were too many wrong passwords");
}

/* In init, for clients may be there as soon as c2s has started, which is before we do. */
static int
find_backends(struct sasl *sasl, struct mk_error *err)
{
    struct mk_module *m = sasl->module;
    const struct mk_auth *auth;

    for (size_t n = 0; (auth = mk_service_nth(m, "auth", MK_AUTH_ABI, n)); n++) {
        if (n == BACKENDS_MAX)
            return mk_fail(err, "more than %d modules provide accounts", BACKENDS_MAX);
        sasl->backends[sasl->backend_count++] = auth;
    }
    sasl->anonymous = mk_service_nth(m, "auth_anonymous", MK_AUTH_ANONYMOUS_ABI, 0);
    if (sasl->backend_count == 0 && !sasl->anonymous)
        return mk_fail(err, "no module provides accounts: enable 'auth_rdbms' or another");
    return 0;
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct sasl *sasl = mk_zalloc(sizeof(*sasl));
    const struct sasl_conf *conf = mk_module_conf(m, NULL);

    mk_module_set(m, sasl);
    sasl->module = m;
    sasl->addresses = mk_throttle_new((size_t)conf->throttle_entries);
    sasl->accounts = mk_throttle_new((size_t)conf->throttle_entries);
    sasl->c2s = mk_service_get(m, "c2s", MK_C2S_ABI, err);
    if (!sasl->c2s || find_backends(sasl, err) < 0 || secret_init(sasl, err) < 0)
        return -1;
    if (mk_slot_register(m, MK_SLOT_SESSION, login_free, &sasl->slot) < 0 || sasl1_init(sasl) < 0)
        return mk_fail(err, "cannot register the handlers of SASL");
    init_metrics(sasl);
    return sasl2_init(sasl, err);
}

static int
start(struct mk_module *m, struct mk_error *err)
{
    (void)err;
    secret_start(mk_module_get(m));
    return 0;
}

static void
unload(struct mk_module *m)
{
    struct sasl *sasl = mk_module_get(m);

    if (!sasl)
        return;
    secret_free(sasl);
    mk_throttle_free(&sasl->addresses);
    mk_throttle_free(&sasl->accounts);
    mk_free(sasl);
}

MK_MODULE(.name = "sasl", .version = "1.0",
          .summary = "RFC 6120 §6, XEP-0388, XEP-0386: log-in of clients",
          .depends = (const char *const[]){"c2s", NULL},
          .after = (const char *const[]){"auth", "auth_anonymous", "rdbms", NULL},
          .provides = (const char *const[]){"sasl", NULL}, .options = options,
          .conf_size = sizeof(struct sasl_conf), .check = check, .init = init, .start = start,
          .unload = unload);
