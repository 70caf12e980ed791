/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The SASL profile of RFC 6120 §6. */
#include "config.h"

#include "internal.h"

/* An element with data in base64; "=" stands for data of no length, nothing for no data
 * (§6.4.2). */
static void
send_data(struct sasl *sasl, struct mk_session *s, const char *name, struct mk_str data)
{
    struct mk_xml *x = mk_xml_new(NULL);
    struct mk_buf text = {0};

    if (data.p && data.len == 0)
        mk_buf_add_byte(&text, '=');
    else
        mk_base64_encode(&text, data);
    mk_xml_leaf(x, name, MK_NS_SASL, mk_buf_str(&text));
    sasl->c2s->send(s, x);
    mk_buf_release(&text);
}

static void
challenge(struct sasl *sasl, struct mk_session *s, struct mk_str data)
{
    send_data(sasl, s, "challenge", data);
}

static void
failure(struct sasl *sasl, struct mk_session *s, enum failure f, const char *text)
{
    struct mk_xml *x = mk_xml_new(NULL);

    mk_xml_open(x, "failure", MK_NS_SASL);
    mk_xml_leaf(x, failure_name(f), NULL, (struct mk_str){0});
    if (text) {
        mk_xml_open(x, "text", NULL);
        mk_xml_attr(x, "xml:lang", "en");
        mk_xml_text(x, mk_str_of(text));
        mk_xml_close(x);
    }
    mk_xml_close(x);
    sasl->c2s->send(s, x);
}

static void
success(struct sasl *sasl, struct mk_session *s, const struct mk_jid *account, struct mk_str data,
        struct mk_stanza *request)
{
    mk_stanza_unref(&request);
    sasl->c2s->authenticated(s, account);
    send_data(sasl, s, "success", data);
    sasl->c2s->restart(s);
}

static const struct profile sasl1 = {challenge, failure, success, .binds_to_claim = false};

static void
on_auth(struct login *l, struct mk_stanza *st)
{
    struct mk_str text = mk_node_text(mk_stanza_node(st));
    const char *mechanism = mk_stanza_attr(st, "mechanism");
    struct mk_buf raw = {0};
    struct mk_str data;

    if (mk_str_is(text, "="))
        text.len = 0;
    else if (text.len == 0)
        text.p = NULL;
    if (login_decode(text, &raw) < 0) {
        login_fail(l, &sasl1, FAIL_INCORRECT_ENCODING, NULL);
    } else {
        data = mk_buf_str(&raw);
        login_start(l, &sasl1, mechanism, text.p ? &data : NULL, NULL);
    }
    wipe_buf(&raw);
}

static void
on_response(struct login *l, struct mk_stanza *st)
{
    struct mk_str text = mk_node_text(mk_stanza_node(st));
    struct mk_buf raw = {0};

    if (mk_str_is(text, "="))
        text.len = 0;
    if (login_decode(text, &raw) < 0)
        login_fail(l, &sasl1, FAIL_INCORRECT_ENCODING, NULL);
    else
        login_answer(l, &sasl1, mk_buf_str(&raw));
    wipe_buf(&raw);
}

static enum mk_verdict
on_element(struct mk_ev_stream_element *ev, void *arg)
{
    const char *name = mk_stanza_name(ev->stanza);
    struct login *l;

    if (strcmp(mk_stanza_ns(ev->stanza), MK_NS_SASL) != 0 || ev->flags & MK_STREAM_AUTHENTICATED ||
        !mk_session_host(ev->session))
        return MK_CONTINUE;
    l = login_of(arg, ev->session);
    if (strcmp(name, "auth") == 0)
        on_auth(l, ev->stanza);
    else if (strcmp(name, "response") == 0)
        on_response(l, ev->stanza);
    else if (strcmp(name, "abort") == 0)
        login_fail(l, &sasl1, FAIL_ABORTED, NULL);
    else
        return MK_CONTINUE;
    return MK_HANDLED;
}

static void
on_binding(const char *type, void *arg)
{
    struct mk_xml *x = arg;

    mk_xml_open(x, "channel-binding", NULL);
    mk_xml_attr(x, "type", type);
    mk_xml_close(x);
}

/* <mechanisms/>, and what both profiles need: the types of channel binding (XEP-0440). */
static void
on_features(struct mk_ev_stream_features *ev, void *arg)
{
    struct sasl *sasl = arg;
    struct mk_xml *x = ev->features;
    unsigned offered;

    if (ev->flags & MK_STREAM_AUTHENTICATED || !mk_session_host(ev->session))
        return;
    offered = mechs_offered(sasl, ev->session);
    if (!offered)
        return;
    mk_xml_open(x, "mechanisms", MK_NS_SASL);
    for (size_t i = 0; i < MECH_COUNT; i++) {
        if (offered & 1u << i)
            mk_xml_leaf(x, "mechanism", NULL, mk_str_of(mechs[i].name));
    }
    mk_xml_close(x);
    if (!mechs_have_plus(offered))
        return;
    mk_xml_open(x, "sasl-channel-binding", "urn:xmpp:sasl-cb:0");
    bindings_each(sasl, ev->session, on_binding, x);
    mk_xml_close(x);
}

int
sasl1_init(struct sasl *sasl)
{
    if (mk_on(sasl->module, stream_features, MK_PRIO_EARLY, on_features, sasl) < 0 ||
        mk_on(sasl->module, stream_element, MK_PRIO_NORMAL, on_element, sasl) < 0)
        return -1;
    return 0;
}
