/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The mechanisms there are, and which of them a client may use on its stream. */
#include "config.h"

#include "internal.h"

/* XEP-0178 §2 puts EXTERNAL first: a client that showed a certificate means to use it. */
const struct mech mechs[MECH_COUNT] = {
    {"EXTERNAL", MECH_EXTERNAL, MK_SHA1, false, external_step},
    {"SCRAM-SHA-512-PLUS", MECH_SCRAM, MK_SHA512, true, scram_step},
    {"SCRAM-SHA-384-PLUS", MECH_SCRAM, MK_SHA384, true, scram_step},
    {"SCRAM-SHA-256-PLUS", MECH_SCRAM, MK_SHA256, true, scram_step},
    {"SCRAM-SHA-224-PLUS", MECH_SCRAM, MK_SHA224, true, scram_step},
    {"SCRAM-SHA-1-PLUS", MECH_SCRAM, MK_SHA1, true, scram_step},
    {"SCRAM-SHA-512", MECH_SCRAM, MK_SHA512, false, scram_step},
    {"SCRAM-SHA-384", MECH_SCRAM, MK_SHA384, false, scram_step},
    {"SCRAM-SHA-256", MECH_SCRAM, MK_SHA256, false, scram_step},
    {"SCRAM-SHA-224", MECH_SCRAM, MK_SHA224, false, scram_step},
    {"SCRAM-SHA-1", MECH_SCRAM, MK_SHA1, false, scram_step},
    {"PLAIN", MECH_PLAIN, MK_SHA1, false, plain_step},
    {"ANONYMOUS", MECH_ANONYMOUS, MK_SHA1, false, anonymous_step},
};

static const struct mech *
by_name(const char *name)
{
    for (size_t i = 0; i < MECH_COUNT; i++) {
        if (strcmp(mechs[i].name, name) == 0)
            return &mechs[i];
    }
    return NULL;
}

bool
mech_is_known(const char *name)
{
    return by_name(name) != NULL;
}

void
bindings_each(struct sasl *sasl, struct mk_session *s, void (*fn)(const char *type, void *arg),
              void *arg)
{
    static const char *const types[] = {"tls-exporter", "tls-server-end-point", "tls-unique"};

    for (size_t i = 0; i < MK_COUNT(types); i++) {
        struct mk_buf data = {0};

        if (sasl->c2s->channel_binding(s, types[i], &data) == 0)
            fn(types[i], arg);
        wipe_buf(&data);
    }
}

static void
note_binding(const char *type, void *arg)
{
    (void)type;
    *(bool *)arg = true;
}

static bool
is_wanted(const struct sasl_conf *conf, const struct mech *mech)
{
    for (size_t i = 0; i < conf->mechanisms.count; i++) {
        if (strcmp(conf->mechanisms.items[i], mech->name) == 0)
            return true;
    }
    return conf->mechanisms.count == 0;
}

static bool
plain_allowed(const struct sasl_conf *conf, unsigned flags)
{
    if (flags & MK_STREAM_SECURE || conf->allow_plain_unencrypted == PLAIN_ALWAYS)
        return true;
    return conf->allow_plain_unencrypted == PLAIN_LOOPBACK && flags & MK_STREAM_LOOPBACK;
}

/* What the answers for all mechanisms depend on, found out once. */
struct situation {
    struct sasl *sasl;
    struct mk_session *session;
    const struct sasl_conf *conf;
    unsigned flags;
    unsigned hashes;
    bool bindable;
};

static void
look(struct situation *now, struct sasl *sasl, struct mk_session *s)
{
    *now = (struct situation){
        .sasl = sasl,
        .session = s,
        .conf = sasl_conf(sasl, s),
        .flags = sasl->c2s->flags(s),
        .hashes = ask_hashes(sasl, mk_session_host(s)),
    };
    if (now->flags & MK_STREAM_SECURE)
        bindings_each(sasl, s, note_binding, &now->bindable);
}

static bool
is_possible(const struct situation *now, const struct mech *mech)
{
    const struct mk_auth_anonymous *anonymous = now->sasl->anonymous;

    switch (mech->kind) {
    case MECH_SCRAM:
        return now->hashes & 1u << mech->hash && (!mech->plus || now->bindable);
    case MECH_PLAIN:
        return now->sasl->backend_count > 0 && plain_allowed(now->conf, now->flags);
    case MECH_EXTERNAL:
        return now->flags & MK_STREAM_SECURE && external_possible(now->sasl, now->session);
    case MECH_ANONYMOUS:
        return anonymous && anonymous->enabled(anonymous->self, mk_session_host(now->session));
    }
    return false;
}

unsigned
mechs_offered(struct sasl *sasl, struct mk_session *s)
{
    struct situation now;
    unsigned offered = 0;

    look(&now, sasl, s);
    for (size_t i = 0; i < MECH_COUNT; i++) {
        if (is_wanted(now.conf, &mechs[i]) && is_possible(&now, &mechs[i]))
            offered |= 1u << i;
    }
    return offered;
}

bool
mechs_have_plus(unsigned offered)
{
    for (size_t i = 0; i < MECH_COUNT; i++) {
        if (mechs[i].plus && offered & 1u << i)
            return true;
    }
    return false;
}

const struct mech *
mech_find(struct sasl *sasl, struct mk_session *s, const char *name, enum failure *why_out)
{
    const struct mech *mech = name ? by_name(name) : NULL;
    struct situation now;

    *why_out = FAIL_INVALID_MECHANISM;
    if (!mech)
        return NULL;
    look(&now, sasl, s);
    if (!is_wanted(now.conf, mech)) {
        *why_out = FAIL_MECHANISM_TOO_WEAK;
        return NULL;
    }
    if (mech->kind == MECH_PLAIN && !plain_allowed(now.conf, now.flags)) {
        *why_out = FAIL_ENCRYPTION_REQUIRED;
        return NULL;
    }
    return is_possible(&now, mech) ? mech : NULL;
}
