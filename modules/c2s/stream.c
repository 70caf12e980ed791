/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The client's stream (RFC 6120 §4): headers, features, errors, which element goes where, and the end.
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NS_TLS "urn:ietf:params:xml:ns:xmpp-tls"
#define NS_BIND "urn:ietf:params:xml:ns:xmpp-bind"
#define NS_SESSION "urn:ietf:params:xml:ns:xmpp-session"
/* Of so many stanzas one is timed. */
#define TIMED 64
#define NS_STREAM_ERRORS "urn:ietf:params:xml:ns:xmpp-streams"

/* -- output --------------------------------------------------------------------------------- */

static struct lane *
lane_of(const struct stream *s)
{
    return &s->c2s->lanes[mk_worker_index(mk_worker_self())];
}

void
stream_mark(struct stream *s)
{
    struct lane *lane = lane_of(s);

    if (s->dirty)
        return;
    s->dirty = true;
    s->next_dirty = lane->dirty;
    lane->dirty = s;
    mk_session_ref(s->session);
}

struct mk_buf *
stream_out(struct stream *s)
{
    struct lane *lane = lane_of(s);
    struct conn *c = s->conn;

    if (c->out.cap == 0 && lane->spare_count)
        c->out = lane->spare[--lane->spare_count];
    stream_mark(s);
    return &c->out;
}

static void
give_back(struct lane *lane, struct mk_buf *out)
{
    if (out->cap == 0)
        return;
    mk_buf_clear(out);
    if (out->cap <= 65536 && lane->spare_count < MK_COUNT(lane->spare)) {
        lane->spare[lane->spare_count++] = *out;
        memset(out, 0, sizeof(*out));
    } else {
        mk_buf_release(out);
    }
}

static void
flush_one(struct stream *s, struct lane *lane)
{
    const struct c2s_conf *conf = conf_of(s->c2s, s);

    if (!s->conn)
        return;
    if (conn_flush(s->conn) < 0) {
        stream_lost(s, "the connection was closed");
        return;
    }
    if (!s->conn->write_blocked) {
        if (!s->conn->handshaking || conn_queued(s->conn) == 0)
            give_back(lane, &s->conn->out);
        if (s->state == STREAM_CLOSING)
            stream_drained(s);
        return;
    }
    if (conn_queued(s->conn) > 2 * conf->max_queue) {
        mk_counter_add(s->c2s->metrics.shed, 1);
        mk_log(s->session, MK_LOG_INFO, "c2s.slow", "the client does not read: %zu bytes wait",
               conn_queued(s->conn));
        stream_lost(s, "the client does not read");
    }
}

/* The end of a loop turn: each stream's output in one write. */
void
lane_flush(struct c2s *c2s)
{
    struct lane *lane = &c2s->lanes[mk_worker_index(mk_worker_self())];

    while (lane->dirty) {
        struct stream *s = lane->dirty;
        struct mk_session *session = s->session;

        lane->dirty = s->next_dirty;
        if (mk_session_is_closed(session)) {
            mk_session_unref(&session);
            continue;
        }
        if (s->had_stanza) {
            struct mk_ev_session ev = {MK_EVENT(ev), .session = session};

            /* Still dirty: what the handlers add goes along. */
            s->had_stanza = false;
            mk_fire_session_flush(c2s->hooks.flush, &ev);
        }
        if (!mk_session_is_closed(session)) {
            s->dirty = false;
            flush_one(s, lane);
        }
        mk_session_unref(&session);
    }
}

/* -- headers and errors --------------------------------------------------------------------- */

static const char *const conditions[STREAM_ERRORS] = {
    "bad-format", "bad-namespace-prefix", "conflict", "connection-timeout", "host-gone", "host-unknown",
    "improper-addressing", "internal-server-error", "invalid-from", "invalid-namespace", "invalid-xml",
    "not-authorized", "not-well-formed", "policy-violation", "remote-connection-failed", "reset",
    "resource-constraint", "restricted-xml", "see-other-host", "system-shutdown", "undefined-condition",
    "unsupported-encoding", "unsupported-feature", "unsupported-stanza-type", "unsupported-version"};

void
stream_count_errors(struct c2s *c2s)
{
    char labels[64];

    for (size_t i = 0; i < STREAM_ERRORS; i++) {
        snprintf(labels, sizeof(labels), "condition=\"%s\"", conditions[i]);
        c2s->metrics.errors[i] = mk_counter_new(c2s->module, "c2s_stream_errors_total", labels,
                                                "Streams ended with an error");
    }
}

static void
count_error(const struct c2s *c2s, const char *condition)
{
    for (size_t i = 0; i < STREAM_ERRORS; i++) {
        if (strcmp(conditions[i], condition) == 0)
            mk_counter_add(c2s->metrics.errors[i], 1);
    }
}

static void
begin_header(struct mk_buf *out, const char *lang)
{
    char id[25];

    mk_random_id(id, sizeof(id));
    mk_buf_printf(out, "<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
                       "xmlns:stream='" MK_NS_STREAM "' id='%s' version='1.0' xml:lang='%s'", id, lang);
}

static void
send_header(struct stream *s, const struct mk_jid *to)
{
    struct mk_host *host = mk_session_host(s->session);
    struct mk_buf *out = stream_out(s);

    begin_header(out, s->lang ? s->lang : "en");
    if (host)
        mk_buf_printf(out, " from='%s'", mk_host_name(host));
    /* RFC 6120 §4.7.2: who the client said it is. */
    if (to) {
        mk_buf_printf(out, " to='");
        mk_xml_escape(out, mk_jid_bare(to));
        mk_buf_add_byte(out, '\'');
    }
    mk_buf_add_byte(out, '>');
    s->header_sent = true;
}

static void
end_deadline(void *arg)
{
    struct stream *s = arg;

    s->timer = NULL;
    stream_drained(s);
}

static void
login_deadline(void *arg)
{
    struct stream *s = arg;

    s->timer = NULL;
    stream_close(s, "connection-timeout", "log in sooner");
}

/* Nobody finds the session any more: what is sent to it from now goes where it went without it. */
static void
unbind(struct stream *s, const char *reason)
{
    struct mk_ev_session ev = {MK_EVENT(ev), .session = s->session, .reason = reason};

    if (!(s->flags & MK_STREAM_BOUND) || s->unbound)
        return;
    s->unbound = true;
    s->c2s->sessions->close(s->c2s->sessions->self, s->session);
    mk_fire_session_unbound(s->c2s->hooks.unbound, &ev);
}

static void
write_error(struct stream *s, const char *condition, const char *text, struct mk_xml *app)
{
    struct mk_buf *out = stream_out(s);

    count_error(s->c2s, condition);
    mk_buf_printf(out, "<stream:error><%s xmlns='" NS_STREAM_ERRORS "'/>", condition);
    if (text) {
        mk_buf_add_cstr(out, "<text xmlns='" NS_STREAM_ERRORS "' xml:lang='en'>");
        mk_xml_escape(out, mk_str_of(text));
        mk_buf_add_cstr(out, "</text>");
    }
    if (app)
        mk_buf_add_str(out, mk_xml_str(app));
    mk_buf_add_cstr(out, "</stream:error>");
    mk_log(s->session, MK_LOG_DEBUG, "c2s.error", "stream error '%s': %s", condition,
           text ? text : "");
}

static void
close_open(struct stream *s, const char *condition, const char *text, struct mk_xml *app)
{
    if (!s->conn || s->conn->handshaking) {
        stream_end(s, condition ? condition : "closed");
        return;
    }
    unbind(s, condition ? condition : "closed");
    if (!s->header_sent)
        send_header(s, NULL);
    if (condition)
        write_error(s, condition, text, app);
    mk_buf_add_cstr(stream_out(s), "</stream:stream>");
    s->state = STREAM_CLOSING;
    mk_timer_free(&s->timer);
    s->timer = mk_timer_new(s->c2s->module, conf_of(s->c2s, s)->close_timeout, end_deadline, s);
}

/* There is no stream yet: what the socket does not take at once is not said. */
void
stream_refuse(struct c2s *c2s, struct conn *conn, const char *condition)
{
    struct mk_buf out = {0};

    count_error(c2s, condition);
    if (!conn->direct_tls) {
        begin_header(&out, "en");
        mk_buf_printf(&out, "><stream:error><%s xmlns='" NS_STREAM_ERRORS "'/></stream:error></stream:stream>",
                      condition);
        if (send(conn->fd, out.data, out.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            mk_log(c2s->module, MK_LOG_DEBUG, "c2s.refused", "'%s' is gone already", conn->address);
    }
    mk_buf_release(&out);
    conn_free(&conn);
}

void
stream_close_app(struct stream *s, const char *condition, const char *text, struct mk_xml *app)
{
    if (!s->ended && !s->unbound && s->state != STREAM_CLOSING)
        close_open(s, condition, text, app);
    mk_xml_free(&app);
}

void
stream_close(struct stream *s, const char *condition, const char *text)
{
    stream_close_app(s, condition, text, NULL);
}

void
stream_arm_login(struct stream *s)
{
    s->timer = mk_timer_new(s->c2s->module, conf_of(s->c2s, NULL)->login_timeout, login_deadline, s);
}

void
stream_drained(struct stream *s)
{
    stream_end(s, "closed");
}

void
stream_end(struct stream *s, const char *reason)
{
    struct mk_session *session = s->session;

    if (s->ended)
        return;
    s->ended = true;
    unbind(s, reason);
    mk_log(session, MK_LOG_DEBUG, "c2s.end", "the stream ended: %s", reason);
    mk_session_end(session);
}

void
stream_lost(struct stream *s, const char *why)
{
    struct mk_ev_session ev = {MK_EVENT(ev), .session = s->session, .reason = why};

    if (s->ended || !s->conn)
        return;
    if (s->state == STREAM_CLOSING || s->unbound || !(s->flags & MK_STREAM_BOUND)) {
        stream_end(s, why);
        return;
    }
    address_leave(s->c2s, s->conn->address);
    conn_free(&s->conn);
    mk_reader_free(&s->reader);
    s->flags |= MK_STREAM_DETACHED;
    if (mk_fire_session_lost(s->c2s->hooks.lost, &ev) != MK_HANDLED)
        stream_end(s, why);
}

/* -- features ------------------------------------------------------------------------------- */

static bool
tls_required(const struct stream *s)
{
    enum starttls how = (enum starttls)conf_of(s->c2s, s)->starttls;

    return how == STARTTLS_REQUIRED || (how == STARTTLS_REMOTE && !s->conn->loopback);
}

static bool
tls_offered(const struct stream *s)
{
    return !(s->flags & MK_STREAM_SECURE) && s->c2s->tls &&
           conf_of(s->c2s, s)->starttls != STARTTLS_NO;
}

void
stream_send_features(struct stream *s)
{
    struct mk_xml *x = mk_xml_new(NULL);
    struct mk_ev_stream_features ev = {MK_EVENT(ev), .session = s->session, .features = x,
                                       .flags = s->flags};
    struct mk_buf *out;

    if (tls_offered(s)) {
        mk_xml_open(x, "starttls", NS_TLS);
        if (tls_required(s))
            mk_xml_leaf(x, "required", NULL, MK_STR(""));
        mk_xml_close(x);
    }
    if ((s->flags & MK_STREAM_AUTHENTICATED) && !(s->flags & MK_STREAM_BOUND)) {
        mk_xml_leaf(x, "bind", NS_BIND, MK_STR(""));
        mk_xml_open(x, "session", NS_SESSION);
        mk_xml_leaf(x, "optional", NULL, MK_STR(""));
        mk_xml_close(x);
    }
    if (!tls_required(s) || (s->flags & MK_STREAM_SECURE))
        mk_fire_stream_features(s->c2s->hooks.features, &ev);
    out = stream_out(s);
    mk_buf_add_cstr(out, "<stream:features>");
    mk_buf_add_str(out, mk_xml_str(x));
    mk_buf_add_cstr(out, "</stream:features>");
    mk_xml_free(&x);
}

static const char *
check_header(struct stream *s, const struct mk_node *header, const char **text)
{
    const char *to = mk_node_attr(header, "to"), *version = mk_node_attr(header, "version");
    struct mk_buf domain = {0};
    struct mk_host *host = NULL;

    if (strcmp(mk_node_ns(header), MK_NS_STREAM) != 0) {
        *text = "the stream's namespace must be " MK_NS_STREAM;
        return strcmp(mk_node_ns(header), MK_NS_CLIENT) == 0 ? "bad-namespace-prefix"
                                                             : "invalid-namespace";
    }
    if (strcmp(mk_node_name(header), "stream") != 0) {
        *text = "a stream begins with <stream:stream>";
        return "bad-format";
    }
    if (to && mk_prep_domain(&domain, mk_str_of(to)) == 0)
        host = mk_host_find(mk_buf_str(&domain));
    mk_buf_release(&domain);
    if (!host && !to)
        host = mk_host_nth(0);
    if (!host)
        return "host-unknown";
    if ((s->flags & MK_STREAM_AUTHENTICATED) && mk_session_host(s->session) != host) {
        *text = "the host of an authenticated stream cannot change";
        return "host-unknown";
    }
    mk_session_set_host(s->session, host);
    if (!version || strtoul(version, NULL, 10) < 1) {
        *text = "version 1.0 is needed";
        return "unsupported-version";
    }
    return NULL;
}

static bool
on_header(void *arg, const struct mk_node *header)
{
    struct stream *s = arg;
    const char *text = NULL, *lang = mk_node_attr(header, "xml:lang");
    const char *from = mk_node_attr(header, "from");
    const char *condition = check_header(s, header, &text);

    mk_jid_unref(&s->from);
    s->from = from ? mk_jid_parse(mk_str_of(from)) : NULL;
    if (lang && strlen(lang) < 36 && !lang[strspn(lang, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP"
                                                        "QRSTUVWXYZ0123456789-")]) {
        mk_free(s->lang);
        s->lang = mk_strdup(lang);
    }
    s->state = STREAM_OPEN;
    send_header(s, s->from);
    if (s->flags & MK_STREAM_AUTHENTICATED)
        mk_jid_unref(&s->from);
    if (condition) {
        stream_close(s, condition, text);
        return false;
    }
    stream_send_features(s);
    return true;
}

/* -- elements ------------------------------------------------------------------------------- */

static bool
going_on(const struct stream *s)
{
    return !s->ended && s->conn && s->state == STREAM_OPEN && !mk_session_is_paused(s->session);
}

static void
start_tls(struct stream *s)
{
    struct mk_error err;
    struct mk_buf *out;

    if (!tls_offered(s) || (s->flags & MK_STREAM_AUTHENTICATED)) {
        out = stream_out(s);
        mk_buf_add_cstr(out, "<failure xmlns='" NS_TLS "'/>");
        stream_close(s, NULL, NULL);
        return;
    }
    out = stream_out(s);
    mk_buf_add_cstr(out, "<proceed xmlns='" NS_TLS "'/>");
    /* It must leave in the clear, and whole: the socket of a stream this young takes it. */
    if (conn_flush(s->conn) < 0 || s->conn->write_blocked) {
        stream_lost(s, "the connection was closed");
        return;
    }
    if (conn_start_tls(s->conn, &err) < 0) {
        mk_log(s->session, MK_LOG_ERROR, "c2s.tls", "%s", err.text);
        stream_end(s, "TLS failed");
        return;
    }
    /* Bytes sent along with <starttls/> must not count as protected (RFC 6120 §5.4.3.3). */
    mk_reader_restart(s->reader, false);
    s->state = STREAM_NEW;
    s->header_sent = false;
}

void
stream_secured(struct stream *s)
{
    s->flags |= MK_STREAM_SECURE | (s->conn->direct_tls ? MK_STREAM_DIRECT_TLS : 0);
}

void
stream_restart(struct stream *s)
{
    mk_reader_restart(s->reader, true);
    s->state = STREAM_NEW;
    s->header_sent = false;
}

static void
on_nonza(struct stream *s, struct mk_stanza *st)
{
    struct mk_ev_stream_element ev = {MK_EVENT(ev), .session = s->session, .stanza = st,
                                      .flags = s->flags};

    mk_counter_add(s->c2s->metrics.nonza, 1);
    /* The client's own stream error: nothing can be said to it (RFC 6120 §4.9.1.1). */
    if (strcmp(mk_stanza_ns(st), MK_NS_STREAM) == 0 && strcmp(mk_stanza_name(st), "error") == 0) {
        stream_close(s, NULL, NULL);
        return;
    }
    if (strcmp(mk_stanza_ns(st), NS_TLS) == 0 && strcmp(mk_stanza_name(st), "starttls") == 0) {
        start_tls(s);
        return;
    }
    if (tls_required(s) && !(s->flags & MK_STREAM_SECURE)) {
        stream_close(s, "policy-violation", "TLS is required");
        return;
    }
    if (mk_fire_stream_element(s->c2s->hooks.element, &ev) != MK_CONTINUE)
        return;
    if (!(s->flags & MK_STREAM_AUTHENTICATED))
        stream_close(s, "not-authorized", "log in first");
    else
        stream_close(s, "unsupported-stanza-type", NULL);
}

static void
reply_error(struct stream *s, struct mk_stanza *st, enum mk_stanza_error error, const char *text)
{
    struct mk_stanza *reply = mk_stanza_error_reply(st, error ? error : MK_ERR_SERVICE_UNAVAILABLE,
                                                    text);

    if (reply)
        mk_session_deliver(s->session, reply);
    mk_stanza_unref(&reply);
}

/* Before binding only IQs are allowed, and few of them. */
static void
on_early_stanza(struct stream *s, struct mk_stanza *st)
{
    struct mk_ev_stream_element ev = {MK_EVENT(ev), .session = s->session, .stanza = st,
                                      .flags = s->flags};

    if (mk_stanza_kind(st) == MK_IQ && (s->flags & MK_STREAM_AUTHENTICATED) &&
        mk_stanza_type(st) == MK_TYPE_SET && mk_stanza_has(st, "bind", NS_BIND)) {
        stream_bind_iq(s, st);
        return;
    }
    if (mk_stanza_kind(st) == MK_IQ && (!tls_required(s) || (s->flags & MK_STREAM_SECURE)) &&
        mk_fire_stream_iq(s->c2s->hooks.iq, &ev) != MK_CONTINUE)
        return;
    stream_close(s, "not-authorized", "log in and bind a resource first");
}

static void
send_on(struct mk_ev_user *ev, enum mk_verdict verdict)
{
    if (verdict == MK_CONTINUE)
        mk_route_from(mk_session_is_closed(ev->session) ? NULL : ev->session, ev->stanza);
    else if (verdict == MK_DENY && !mk_session_is_closed(ev->session))
        reply_error(mk_session_data(ev->session), ev->stanza, ev->error, ev->text);
}

static void
hold_keep(void *arg)
{
    struct mk_ev_user *ev = arg;

    mk_session_ref(ev->session);
    mk_session_unsettle(ev->session);
    mk_stanza_ref(ev->stanza);
}

static void
hold_drop(void *arg)
{
    struct mk_ev_user *ev = arg;

    mk_stanza_unref(&ev->stanza);
    mk_session_settle(ev->session);
    mk_session_unref(&ev->session);
}

/* Tells whoever sent a stanza in the client's name. */
static void
sent(struct mk_session *session, enum mk_verdict verdict)
{
    struct stream *s = mk_session_is_closed(session) ? NULL : mk_session_data(session);
    void (*done)(struct mk_session *s, enum mk_verdict verdict, void *data) = s ? s->send_done : NULL;

    if (!done)
        return;
    s->send_done = NULL;
    done(session, verdict, s->send_data);
}

static void
hold_finish(void *arg, enum mk_verdict verdict, void *unused)
{
    struct mk_ev_user *ev = arg;

    (void)unused;
    send_on(ev, verdict);
    mk_session_unpause(ev->session);
    sent(ev->session, verdict);
}

const struct mk_hook_hold_ops stream_send_hold = {hold_keep, hold_drop, hold_finish};

/* What is wrong with a stanza in itself (RFC 6120 §8.2.3, RFC 6121). */
static enum mk_stanza_error
check_stanza(const struct mk_stanza *st)
{
    enum mk_stanza_type type = mk_stanza_type(st);

    if (mk_stanza_bad_address(st))
        return MK_ERR_JID_MALFORMED;
    switch (mk_stanza_kind(st)) {
    case MK_IQ:
        if (!mk_stanza_id(st) || type == MK_TYPE_UNKNOWN || type == MK_TYPE_NONE)
            return MK_ERR_BAD_REQUEST;
        return MK_ERR_NONE;
    case MK_PRESENCE:
        return type == MK_TYPE_UNKNOWN ? MK_ERR_BAD_REQUEST : MK_ERR_NONE;
    default:
        return MK_ERR_NONE;
    }
}

static enum mk_verdict
send_stanza(struct stream *s, struct mk_stanza *st)
{
    struct mk_ev_user ev = {MK_EVENT(ev), .session = s->session, .stanza = mk_stanza_ref(st)};
    enum mk_stanza_kind kind = mk_stanza_kind(st);
    enum mk_verdict verdict;

    verdict = kind == MK_MESSAGE    ? mk_fire_user_send_message(s->c2s->hooks.send[kind], &ev)
              : kind == MK_PRESENCE ? mk_fire_user_send_presence(s->c2s->hooks.send[kind], &ev)
                                    : mk_fire_user_send_iq(s->c2s->hooks.send[kind], &ev);
    if (verdict == MK_HELD)
        mk_session_pause(s->session);
    else
        send_on(&ev, verdict);
    mk_stanza_unref(&ev.stanza);
    return verdict;
}

void
stream_send_as(struct mk_session *session, struct mk_stanza *st,
               void (*done)(struct mk_session *s, enum mk_verdict verdict, void *data), void *data)
{
    struct mk_session *keep = mk_session_ref(session);
    struct stream *s = mk_session_data(session);
    enum mk_verdict verdict;

    if (done) {
        MK_ASSERT(!s->send_done);
        s->send_done = done;
        s->send_data = data;
    }
    verdict = send_stanza(s, st);
    if (verdict != MK_HELD)
        sent(session, verdict);
    mk_session_unref(&keep);
}

static void
handle_stanza(struct stream *s, struct mk_stanza *st)
{
    enum mk_stanza_kind kind = mk_stanza_kind(st);
    struct mk_ev_session_stanza in = {MK_EVENT(in), .session = s->session, .stanza = st};
    enum mk_stanza_error wrong;

    mk_fire_session_in(s->c2s->hooks.in, &in);
    mk_counter_add(s->c2s->metrics.in[kind], 1);
    if (mk_stanza_from(st) != mk_session_jid(s->session)) {
        stream_close(s, "invalid-from", NULL);
        return;
    }
    wrong = check_stanza(st);
    if (wrong) {
        reply_error(s, st, wrong, NULL);
        return;
    }
    if (kind == MK_IQ && mk_stanza_type(st) == MK_TYPE_SET &&
        (mk_stanza_has(st, "session", NS_SESSION) || mk_stanza_has(st, "bind", NS_BIND))) {
        stream_bind_iq(s, st);
        return;
    }
    (void)send_stanza(s, st);
}

static uint64_t
clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Looking at the clock costs a part of what is measured: a few tell enough. */
static void
on_stanza(struct stream *s, struct mk_stanza *st)
{
    struct c2s *c2s = s->c2s;
    uint64_t begin;

    if (MK_LIKELY(++s->stanzas % TIMED != 0)) {
        handle_stanza(s, st);
        return;
    }
    begin = clock_ns();
    handle_stanza(s, st);
    mk_histogram_add(c2s->metrics.seconds, clock_ns() - begin);
}

static bool
on_element(void *arg, struct mk_stanza *st)
{
    struct stream *s = arg;

    if (s->state != STREAM_OPEN)
        return false;
    if (mk_stanza_kind(st) == MK_NONZA)
        on_nonza(s, st);
    else if (s->flags & MK_STREAM_BOUND)
        on_stanza(s, st);
    else
        on_early_stanza(s, st);
    return going_on(s);
}

static void
on_end_tag(void *arg)
{
    stream_close(arg, NULL, NULL);
}

static void
on_reader_error(void *arg, const char *condition, const char *text)
{
    stream_close(arg, condition, text);
}

static const struct mk_reader_ops reader_ops = {.size = sizeof(reader_ops),
                                                .open = on_header,
                                                .element = on_element,
                                                .close = on_end_tag,
                                                .error = on_reader_error};

void
stream_input(struct stream *s, const char *data, size_t len)
{
    struct mk_session *keep = mk_session_ref(s->session);

    if (s->state != STREAM_CLOSING && s->reader) {
        mk_reader_feed(s->reader, data, len);
        if (!mk_session_is_closed(keep) && s->conn)
            s->conn->reading_stopped = mk_session_is_paused(s->session);
    }
    mk_session_unref(&keep);
}

/* Goes on with what has waited, deferred: whoever unpaused is still busy. */
void
stream_read_on(struct stream *s)
{
    struct mk_session *keep = mk_session_ref(s->session);

    if (s->conn && !s->ended && !mk_session_is_paused(keep)) {
        if (mk_reader_waiting(s->reader))
            stream_input(s, NULL, 0);
        if (!mk_session_is_closed(keep) && s->conn)
            conn_update(s->conn);
    }
    mk_session_unref(&keep);
}

/* -- the session's operations --------------------------------------------------------------- */

static bool
receive(struct stream *s, struct mk_ev_user *ev)
{
    enum mk_stanza_kind kind = mk_stanza_kind(ev->stanza);
    struct mk_hook *hook = s->c2s->hooks.receive[kind];
    enum mk_verdict verdict;

    verdict = kind == MK_MESSAGE    ? mk_fire_user_receive_message(hook, ev)
              : kind == MK_PRESENCE ? mk_fire_user_receive_presence(hook, ev)
                                    : mk_fire_user_receive_iq(hook, ev);
    return verdict == MK_CONTINUE;
}

static void
on_deliver(struct mk_session *session, struct mk_stanza *st)
{
    struct stream *s = mk_session_data(session);
    struct mk_ev_user ev = {MK_EVENT(ev), .session = session, .stanza = mk_stanza_ref(st)};
    struct mk_ev_session_stanza out = {MK_EVENT(out), .session = session};

    if (s->unbound) {
        /* It was on its way when the session ended. */
        if (mk_stanza_given_up(st))
            mk_undelivered(mk_session_get_id(session), st);
        goto done;
    }
    if (!receive(s, &ev))
        goto done;
    out.stanza = ev.stanza;
    mk_counter_add(s->c2s->metrics.out[mk_stanza_kind(ev.stanza)], 1);
    if (mk_fire_session_out(s->c2s->hooks.out, &out) != MK_CONTINUE)
        goto done;
    if (s->conn && s->state == STREAM_OPEN) {
        mk_stanza_write(ev.stanza, stream_out(s));
        s->had_stanza = true;
    }
done:
    mk_stanza_unref(&ev.stanza);
}

static void
on_close(struct mk_session *session, const char *condition, const char *text)
{
    stream_close(mk_session_data(session), condition, text);
}

static void
on_destroy(struct mk_session *session)
{
    struct stream *s = mk_session_data(session);

    if (s->conn)
        address_leave(s->c2s, s->conn->address);
    conn_free(&s->conn);
    mk_reader_free(&s->reader);
    mk_timer_free(&s->timer);
    mk_free(s->lang);
    mk_jid_unref(&s->from);
    if (s->send_done)
        s->send_done(NULL, MK_DENY, s->send_data);
    __atomic_fetch_sub(&s->c2s->connections, 1, __ATOMIC_RELAXED);
    mk_gauge_add(s->c2s->metrics.streams, -1);
    if (s->dirty) {
        struct lane *lane = lane_of(s);
        struct stream **p = &lane->dirty;

        while (*p && *p != s)
            p = &(*p)->next_dirty;
        /* Not in the list: it is being flushed right now, and lane_flush has the reference. */
        if (*p) {
            *p = s->next_dirty;
            mk_session_unref(&session);
        }
    }
    mk_free(s);
}

static void
read_on_deferred(struct mk_session *session, void *arg)
{
    (void)arg;
    if (session)
        stream_read_on(mk_session_data(session));
}

static void
on_resumed(struct mk_session *session)
{
    struct stream *s = mk_session_data(session);

    if (s->conn)
        mk_session_post(s->c2s->module, mk_session_get_id(session), read_on_deferred, NULL);
}

static void
on_settled(struct mk_session *session)
{
    struct stream *s = mk_session_data(session);
    struct mk_ev_session ev = {MK_EVENT(ev), .session = session};

    if (!s->unbound && (s->flags & MK_STREAM_BOUND))
        mk_fire_session_settled(s->c2s->hooks.settled, &ev);
}

const struct mk_session_ops stream_ops = {.size = sizeof(stream_ops),
                                          .deliver = on_deliver,
                                          .close = on_close,
                                          .destroy = on_destroy,
                                          .resumed = on_resumed,
                                          .settled = on_settled};

struct stream *
stream_new(struct c2s *c2s, struct conn *conn)
{
    struct stream *s = mk_zalloc(sizeof(*s));

    s->c2s = c2s;
    s->session = mk_session_new(c2s->module, &stream_ops, s);
    s->conn = conn;
    s->flags = conn->loopback ? MK_STREAM_LOOPBACK : 0;
    s->reader = mk_reader_new(&reader_ops, &c2s->limits_login, s);
    mk_session_set_peer(s->session, conn->address);
    stream_arm_login(s);
    mk_gauge_add(c2s->metrics.streams, 1);
    return s;
}

struct stream *
stream_adopt(struct c2s *c2s, struct mk_host *host, const struct mk_jid *jid)
{
    struct stream *s = mk_zalloc(sizeof(*s));

    s->c2s = c2s;
    s->session = mk_session_new(c2s->module, &stream_ops, s);
    s->flags = MK_STREAM_AUTHENTICATED | MK_STREAM_BOUND | MK_STREAM_DETACHED;
    s->state = STREAM_OPEN;
    s->header_sent = true;
    mk_session_set_host(s->session, host);
    mk_session_set_jid(s->session, jid);
    __atomic_fetch_add(&c2s->connections, 1, __ATOMIC_RELAXED);
    mk_gauge_add(c2s->metrics.streams, 1);
    return s;
}

void
stream_vanish(struct stream *s)
{
    if (s->ended)
        return;
    s->ended = s->unbound = true;
    mk_session_end(s->session);
}
