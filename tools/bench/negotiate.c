/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * Logging in, one step at a time and never pipelined (RFC 6120, RFC 6121, XEP-0077, XEP-0198):
 * stream, STARTTLS, SASL, stream, bind, session where required, stream management, roster where
 * the scenario needs it, presence.  A session is online when its own presence comes back.
 */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#define NS_TLS "urn:ietf:params:xml:ns:xmpp-tls"
#define NS_SASL "urn:ietf:params:xml:ns:xmpp-sasl"
#define NS_BIND "urn:ietf:params:xml:ns:xmpp-bind"
#define NS_SESSION "urn:ietf:params:xml:ns:xmpp-session"
#define NS_SM "urn:xmpp:sm:3"

#define RAW_ROUND_BYTES 180 /* about what a client sends in one step of a log-in */

const char *
negotiate_state_name(enum client_state state)
{
    static const char *const names[] = {
        [CLIENT_OFF] = "off",
        [CLIENT_CONNECTING] = "connect",
        [CLIENT_TLS] = "TLS handshake",
        [CLIENT_FEATURES] = "stream features",
        [CLIENT_STARTTLS] = "STARTTLS",
        [CLIENT_REGISTER] = "registration",
        [CLIENT_AUTH] = "authentication",
        [CLIENT_BIND] = "resource binding",
        [CLIENT_SESSION] = "session",
        [CLIENT_SM] = "stream management",
        [CLIENT_ROSTER] = "roster",
        [CLIENT_PRESENCE] = "initial presence",
        [CLIENT_RAW_HELLO] = "hello to the relay",
        [CLIENT_RAW_ROUND] = "round trips to the relay",
        [CLIENT_ONLINE] = "online",
        [CLIENT_CLOSING] = "closing",
    };
    return names[state];
}

static void
copy_name(const struct element *tag, char *out, size_t size)
{
    size_t n = strcspn(tag->p + 1, " />\t\r\n");

    snprintf(out, size, "%.*s", (int)(n < size ? n : size - 1), tag->p + 1);
}

void
negotiate_condition(const struct element *el, char *out, size_t size)
{
    struct element tag = *el;
    const char *p = NULL;
    size_t pos = 0;

    snprintf(out, size, "undefined");
    if (!element_next(el, "error", &pos, &tag))
        pos = tag.len; /* a <failure/>: the whole element; its first child follows its tag */
    if (pos >= el->len) {
        p = memchr(el->p, '>', el->len);
        pos = p == NULL ? el->len : (size_t)(p - el->p) + 1;
    }
    p = pos < el->len ? memchr(el->p + pos, '<', el->len - pos) : NULL;
    if (p != NULL && p + 2 < el->p + el->len && p[1] != '/') {
        tag.p = p;
        tag.len = (size_t)(el->p + el->len - p);
        copy_name(&tag, out, size);
    }
}

static void
open_stream(struct client *c)
{
    scan_restart(&c->scan, 0);
    c->state = CLIENT_FEATURES;
    client_sendf(c, 0,
                 "<?xml version='1.0'?><stream:stream to='%s' version='1.0' xml:lang='en'"
                 " xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
                 c->bench->opt.domain);
}

static void
start_tls(struct client *c)
{
    c->state = CLIENT_TLS;
    if (conn_tls_start(c) < 0)
        client_fail(c, ERR_TLS, "cannot start TLS");
    else
        client_event(c, 0);
}

void
negotiate_connected(struct client *c)
{
    char hello[64];

    if (c->bench->floor) {
        c->state = CLIENT_RAW_HELLO;
        c->bench->scenario->hello(c, hello, sizeof(hello));
        client_send(c, hello, strlen(hello), 0);
    } else if (c->bench->opt.tls == TLS_DIRECT) {
        start_tls(c);
    } else {
        open_stream(c);
    }
}

void
negotiate_tls_done(struct client *c)
{
    open_stream(c);
}

/* How many times a log-in with these options waits for the server. */
static unsigned
round_trips(const struct options *o)
{
    unsigned n = 5; /* stream, auth, stream, bind, presence */

    n += o->mechanism == MECH_SCRAM_SHA_1 || o->mechanism == MECH_SCRAM_SHA_256;
    n += o->tls == TLS_STARTTLS;
    n += o->sm_every > 0;
    return n;
}

/* The relay answered the hello with one byte pair, or echoed (part of) a round. */
void
negotiate_raw(struct client *c, size_t len)
{
    static char filler[RAW_ROUND_BYTES];

    if (c->state == CLIENT_RAW_ROUND && len < c->raw_left) {
        c->raw_left -= len;
        return;
    }
    c->raw_round++;
    if (c->bench->scenario->storm && c->raw_round < round_trips(&c->bench->opt)) {
        c->state = CLIENT_RAW_ROUND;
        c->raw_left = sizeof(filler);
        memset(filler, 'x', sizeof(filler));
        client_send(c, filler, sizeof(filler), 0);
        return;
    }
    scan_restart(&c->scan, 1);
    client_online(c);
}

static bool
offers_mechanism(const struct element *el, const char *name)
{
    char tag[64];

    snprintf(tag, sizeof(tag), ">%s<", name);
    return element_has(el, NS_SASL) && element_has(el, tag);
}

static int
first_response(struct client *c, char *out, size_t size)
{
    const struct options *o = &c->bench->opt;
    char user[256];

    options_user(o, c->account, user, sizeof(user));
    out[0] = '\0';
    switch (o->mechanism) {
    case MECH_PLAIN:
        return plain_response(user, o->password, out, size);
    case MECH_SCRAM_SHA_1:
    case MECH_SCRAM_SHA_256:
        if (c->scram == NULL)
            c->scram = scram_new(o->mechanism == MECH_SCRAM_SHA_256);
        return scram_first(c->scram, user, out, size);
    case MECH_ANONYMOUS:
        break;
    }
    return 0;
}

static void
authenticate(struct client *c, const struct element *el)
{
    const char *name = mechanism_name(c->bench->opt.mechanism);
    char response[2048];

    if (!offers_mechanism(el, name)) {
        client_fail(c, ERR_AUTH, "the server does not offer SASL %s%s", name,
                    element_has(el, "<mechanism>") ? "" : " nor any mechanism (is TLS required?)");
        return;
    }
    if (first_response(c, response, sizeof(response)) < 0) {
        client_fail(c, ERR_AUTH, "cannot make a SASL response: name or password too long?");
        return;
    }
    c->state = CLIENT_AUTH;
    client_sendf(c, 0, "<auth xmlns='" NS_SASL "' mechanism='%s'>%s</auth>", name, response);
}

static void
escape(const char *text, char *out, size_t size)
{
    size_t n = 0;

    out[0] = '\0';
    for (; *text != '\0' && n + 7 < size; text++) {
        const char *with = *text == '<'    ? "&lt;"
                           : *text == '>'  ? "&gt;"
                           : *text == '&'  ? "&amp;"
                           : *text == '\'' ? "&apos;"
                           : *text == '"'  ? "&quot;"
                                           : NULL;
        if (with != NULL)
            n += (size_t)snprintf(out + n, size - n, "%s", with);
        else
            out[n++] = *text;
        out[n] = '\0';
    }
}

static void
register_account(struct client *c)
{
    char user[256], password[1024];

    options_user(&c->bench->opt, c->account, user, sizeof(user));
    escape(c->bench->opt.password, password, sizeof(password));
    c->state = CLIENT_REGISTER;
    client_sendf(c, 0,
                 "<iq type='set' id='reg'><query xmlns='jabber:iq:register'><username>%s"
                 "</username><password>%s</password></query></iq>",
                 user, password);
}

static void
bind_resource(struct client *c, const struct element *el)
{
    struct element session;
    size_t pos = 0;
    char rest[64] = "";

    if (!element_has(el, NS_BIND)) {
        client_fail(c, ERR_BIND, "the server does not offer resource binding");
        return;
    }
    /* RFC 3921 servers want a session; since RFC 6121 it is <optional/> or gone. */
    if (element_next(el, "session", &pos, &session) && session.p[session.len - 2] != '/')
        snprintf(rest, sizeof(rest), "%.*s", (int)sizeof(rest) - 1, el->p + pos);
    c->session_needed = pos > 0 && strstr(rest, "<optional") != rest;
    if (c->bench->opt.sm_every > 0 && !element_has(el, NS_SM)) {
        client_fail(c, ERR_SM, "the server does not offer stream management (" NS_SM ")");
        return;
    }
    c->state = CLIENT_BIND;
    client_sendf(c, 0,
                 "<iq type='set' id='bind'><bind xmlns='" NS_BIND "'><resource>b%.4s-%u</resource>"
                 "</bind></iq>",
                 c->bench->mark + 1, c->index);
}

static void
on_features(struct client *c, const struct element *el)
{
    if (!element_is(el, "features"))
        return;
    if (c->bench->opt.tls == TLS_STARTTLS && !c->tls_on) {
        if (!element_has(el, NS_TLS)) {
            client_fail(c, ERR_TLS, "the server does not offer STARTTLS");
            return;
        }
        c->state = CLIENT_STARTTLS;
        client_sendf(c, 0, "<starttls xmlns='" NS_TLS "'/>");
    } else if (c->registering) {
        register_account(c);
    } else if (!c->authenticated) {
        authenticate(c, el);
    } else {
        bind_resource(c, el);
    }
}

static void
on_challenge(struct client *c, const struct element *el)
{
    char text[2048], response[2048];

    if (!element_text(el, "challenge", text, sizeof(text)) || c->scram == NULL ||
        scram_respond(c->scram, text, c->bench->opt.password, response, sizeof(response)) < 0) {
        client_fail(c, ERR_AUTH, "the server's SASL challenge is not understood");
        return;
    }
    client_sendf(c, 0, "<response xmlns='" NS_SASL "'>%s</response>", response);
}

static void
on_auth(struct client *c, const struct element *el)
{
    char text[2048];

    if (element_is(el, "challenge")) {
        on_challenge(c, el);
    } else if (element_is(el, "failure")) {
        negotiate_condition(el, text, sizeof(text));
        client_fail(c, ERR_AUTH, "authentication refused: %.100s", text);
    } else if (element_is(el, "success")) {
        if (c->scram != NULL && (!element_text(el, "success", text, sizeof(text)) ||
                                 scram_verify(c->scram, text) < 0)) {
            client_fail(c, ERR_AUTH, "the server does not prove that it knows the password");
            return;
        }
        c->authenticated = true;
        open_stream(c);
    }
}

/* 1 = a result, 0 = not the answer to this id, -1 = an error, with its condition in out. */
static int
answer_to(const struct element *el, const char *id, char *out, size_t size)
{
    char value[64];

    if (!element_is(el, "iq") || !element_attr(el, "id", value, sizeof(value)) ||
        strcmp(value, id) != 0 || !element_attr(el, "type", value, sizeof(value)))
        return 0;
    if (strcmp(value, "result") == 0)
        return 1;
    if (strcmp(value, "error") != 0)
        return 0;
    negotiate_condition(el, out, size);
    return -1;
}

static void
send_presence(struct client *c)
{
    c->state = CLIENT_PRESENCE;
    client_sendf(c, 1, "<presence/>");
}

static void
after_sm(struct client *c)
{
    const struct scenario *s = c->bench->scenario;

    if (s->wants_roster == NULL || !s->wants_roster(&c->bench->opt)) {
        send_presence(c);
        return;
    }
    c->state = CLIENT_ROSTER;
    client_sendf(c, 1, "<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>");
}

static void
after_session(struct client *c)
{
    if (c->bench->opt.sm_every == 0) {
        after_sm(c);
        return;
    }
    c->state = CLIENT_SM;
    client_sendf(c, 0, "<enable xmlns='" NS_SM "'/>");
}

static void
on_bind(struct client *c, const struct element *el)
{
    char text[3100];
    int r = answer_to(el, "bind", text, sizeof(text));

    if (r == 0)
        return;
    if (r < 0 || !element_text(el, "jid", text, sizeof(text))) {
        client_fail(c, ERR_BIND, "binding refused: %.100s", r < 0 ? text : "no JID");
        return;
    }
    free(c->jid);
    c->jid = bench_dup(text);
    if (!c->session_needed) {
        after_session(c);
        return;
    }
    c->state = CLIENT_SESSION;
    client_sendf(c, 0, "<iq type='set' id='sess'><session xmlns='" NS_SESSION "'/></iq>");
}

static void
on_presence(struct client *c, const struct element *el)
{
    char from[3100], type[16] = "", condition[64];

    if (!element_is(el, "presence") || !element_attr(el, "from", from, sizeof(from)) ||
        strcmp(from, c->jid) != 0) {
        if (c->contacts != NULL)
            roster_stanza(c, el);
        return;
    }
    element_attr(el, "type", type, sizeof(type));
    if (strcmp(type, "error") == 0) {
        negotiate_condition(el, condition, sizeof(condition));
        client_fail(c, ERR_STANZA, "presence refused: %s", condition);
    } else if (type[0] == '\0') {
        client_online(c);
    }
}

static void
on_registered(struct client *c, const struct element *el)
{
    char text[64];
    int r = answer_to(el, "reg", text, sizeof(text));

    if (r == 0)
        return;
    if (r < 0 && strcmp(text, "conflict") != 0) {
        client_fail(c, ERR_REGISTER, "registration refused: %s", text);
        return;
    }
    if (r < 0)
        c->bench->result->existed++;
    else
        c->bench->result->registered++;
    client_finish(c);
}

void
negotiate_element(struct client *c, const struct element *el)
{
    char text[64];
    int r;

    switch (c->state) {
    case CLIENT_FEATURES:
        on_features(c, el);
        break;
    case CLIENT_STARTTLS:
        if (element_is(el, "proceed"))
            start_tls(c);
        else
            client_fail(c, ERR_TLS, "the server refused STARTTLS");
        break;
    case CLIENT_REGISTER:
        on_registered(c, el);
        break;
    case CLIENT_AUTH:
        on_auth(c, el);
        break;
    case CLIENT_BIND:
        on_bind(c, el);
        break;
    case CLIENT_SESSION:
        r = answer_to(el, "sess", text, sizeof(text));
        if (r > 0)
            after_session(c);
        else if (r < 0)
            client_fail(c, ERR_BIND, "session refused: %s", text);
        break;
    case CLIENT_SM:
        if (element_is(el, "enabled")) {
            c->sm_on = true;
            after_sm(c);
        } else if (element_is(el, "failed")) {
            client_fail(c, ERR_SM, "the server refused stream management");
        }
        break;
    case CLIENT_ROSTER:
        r = answer_to(el, "roster", text, sizeof(text));
        if (r < 0) {
            client_fail(c, ERR_ROSTER, "the server refused the roster: %s", text);
        } else if (r > 0) {
            roster_loaded(c, el);
            send_presence(c);
        }
        break;
    case CLIENT_PRESENCE:
        on_presence(c, el);
        break;
    default:
        break;
    }
}
