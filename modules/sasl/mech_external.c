/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* EXTERNAL with a client's certificate (RFC 4422 appendix A, XEP-0178 §2). */
#include "config.h"

#include "certificate.h"
#include "internal.h"

/* The accounts of this host that a certificate stands for. */
struct accounts {
    const char *host;
    const struct mk_jid *wanted; /* NULL: any */
    size_t count;
    size_t xmpp_count;
    struct mk_jid *found; /* the first, or the one wanted; owned */
    struct mk_jid *by_email;
    size_t email_count;
};

static void
on_name(enum certificate_field field, struct mk_str name, void *arg)
{
    struct accounts *a = arg;
    struct mk_jid *jid = mk_jid_parse(name);
    bool is_email = field == CERTIFICATE_EMAIL;
    struct mk_jid **slot = is_email ? &a->by_email : &a->found;

    if (!jid || !mk_jid_is_bare(jid) || mk_jid_local(jid).len == 0 ||
        !mk_str_is(mk_jid_domain(jid), a->host) || (*slot && mk_jid_equal(*slot, jid))) {
        mk_jid_unref(&jid);
        return;
    }
    if (is_email)
        a->email_count++;
    else
        a->xmpp_count++;
    if (!*slot || (a->wanted && mk_jid_equal(a->wanted, jid))) {
        mk_jid_unref(slot);
        *slot = jid;
    } else {
        mk_jid_unref(&jid);
    }
}

static unsigned
fields_of(const struct sasl_conf *conf)
{
    unsigned fields = 0;

    for (size_t i = 0; i < conf->external.count; i++) {
        if (strcmp(conf->external.items[i], "xmpp_address") == 0)
            fields |= CERTIFICATE_XMPP_ADDRESS;
        else if (strcmp(conf->external.items[i], "email") == 0)
            fields |= CERTIFICATE_EMAIL;
    }
    return fields;
}

/* Fills `a` from the certificate of the connection; XMPP addresses win over e-mail addresses. */
static void
read_certificate(struct sasl *sasl, struct mk_session *s, struct accounts *a)
{
    unsigned fields = fields_of(sasl_conf(sasl, s));
    struct mk_buf der = {0};

    a->host = mk_host_name(mk_session_host(s));
    if (fields && sasl->c2s->peer_certificate(s, &der) == 0)
        certificate_names(mk_buf_str(&der), fields, on_name, a);
    mk_buf_release(&der);
    a->count = a->xmpp_count;
    if (a->xmpp_count == 0) {
        a->found = a->by_email;
        a->count = a->email_count;
        a->by_email = NULL;
    }
    mk_jid_unref(&a->by_email);
}

bool
external_possible(struct sasl *sasl, struct mk_session *s)
{
    struct accounts a = {0};
    bool possible;

    if (sasl->backend_count == 0)
        return false;
    read_certificate(sasl, s, &a);
    possible = a.count > 0;
    mk_jid_unref(&a.found);
    return possible;
}

static void
on_account(struct login *l, enum mk_auth_result result, const struct mk_credentials *cred)
{
    (void)cred;
    if (result == MK_AUTH_OK)
        login_succeed(l, (struct mk_str){0});
    else if (result == MK_AUTH_UNAVAILABLE || result == MK_AUTH_BUSY)
        login_fail(l, l->profile, FAIL_TEMPORARY, NULL);
    else
        login_fail(l, l->profile, FAIL_NOT_AUTHORIZED, "no such account");
}

void
external_step(struct login *l, struct mk_str data)
{
    struct accounts a = {0};
    struct mk_jid *wanted = data.len ? mk_jid_parse(data) : NULL;
    bool ok;

    if (data.len && !wanted) {
        login_fail(l, l->profile, FAIL_INVALID_AUTHZID, NULL);
        return;
    }
    a.wanted = wanted;
    read_certificate(l->sasl, l->session, &a);
    /* Without an authorization identity there must be one choice alone. */
    ok = a.found && (wanted ? mk_jid_equal(a.found, wanted) : a.count == 1);
    if (!ok)
        login_fail(l, l->profile, FAIL_INVALID_AUTHZID, NULL);
    else if (login_set_user(l, mk_jid_local(a.found)))
        ask_lookup(l, on_account);
    mk_jid_unref(&a.found);
    mk_jid_unref(&wanted);
}
