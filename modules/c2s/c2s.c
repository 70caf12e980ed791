/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Client connections (RFC 6120): listeners, limits, the hooks and the service of <meerkat/c2s.h>.
 * Authentication, presence and everything else that a stream carries are other modules'.
 */
#include "internal.h"

#include <unistd.h>

static const char *const starttls_choices[] = {"no", "optional", "required", "remote", NULL};

#define C struct c2s_conf
static const struct mk_option options[] = {
    MK_OPTION_ADDRESSES(C, listen, "*:5222", 0, "addresses for clients that begin in the clear (STARTTLS)"),
    MK_OPTION_ADDRESSES(C, listen_tls, "", 0, "addresses for clients that begin with TLS (XEP-0368), "
                        "usually *:5223"),
    MK_OPTION_ENUM(C, starttls, "remote", starttls_choices, MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                   "whether clients must use TLS; remote: required, but not on loopback"),
    MK_OPTION_BOOL(C, client_certificates, "no", MK_OPT_RELOADABLE,
                   "ask clients for a certificate, for SASL EXTERNAL"),
    MK_OPTION_SIZE(C, max_stanza, "256K", "10000", "16M", 0, "largest element a client may send"),
    MK_OPTION_INT(C, max_depth, "64", "8", "500", 0, "how deep elements may be nested"),
    MK_OPTION_INT(C, max_attributes, "100", "8", "4000", 0, "attributes of one element"),
    MK_OPTION_SIZE(C, max_queue, "1M", "10000", "1G", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                   "bytes that may wait for a client: then it is not read from, at twice that it is dropped"),
    MK_OPTION_PERIOD(C, login_timeout, "60s", "1s", "1h", MK_OPT_RELOADABLE,
                     "how long logging in may take"),
    MK_OPTION_PERIOD(C, close_timeout, "5s", "100ms", "1m", MK_OPT_RELOADABLE,
                     "how long the last bytes of a stream may take"),
    MK_OPTION_INT(C, max_connections, "0", "0", "10000000", MK_OPT_RELOADABLE,
                  "connections at once; 0: as many as the system allows"),
    MK_OPTION_INT(C, max_connections_address, "0", "0", "10000000", MK_OPT_RELOADABLE,
                  "connections at once from one address; 0: no limit"),
    MK_OPTION_SIZE(C, rate_login, "16K", "0", "1G", MK_OPT_RELOADABLE,
                   "bytes a second from a client before it has logged in; 0: no limit"),
    MK_OPTION_SIZE(C, rate, "0", "0", "1G", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                   "bytes a second from a client; 0: no limit"),
    MK_OPTION_SIZE(C, burst, "64K", "1000", "1G", MK_OPT_RELOADABLE,
                   "bytes that may come at once before the rates count"),
    MK_OPTION_LIST(C, trusted, "", MK_OPT_RELOADABLE, "addresses without limits of rate and number"),
    MK_OPTION_END};
#undef C

/* -- connections ---------------------------------------------------------------------------- */

/* NULL, or the stream error that says why not, which is counted. */
static const char *
admit(struct c2s *c2s, const struct conn *conn)
{
    const struct c2s_conf *conf = conf_of(c2s, NULL);
    int64_t limit = conn->trusted ? 0 : conf->max_connections_address;

    if (c2s->stopping) {
        mk_counter_add(c2s->metrics.refused_stopping, 1);
        return "system-shutdown";
    }
    if (conf->max_connections &&
        __atomic_load_n(&c2s->connections, __ATOMIC_RELAXED) >= conf->max_connections) {
        mk_counter_add(c2s->metrics.refused_full, 1);
        return "resource-constraint";
    }
    if (address_enter(c2s, conn->address, limit))
        return NULL;
    mk_counter_add(c2s->metrics.refused_address, 1);
    return "policy-violation";
}

static void
accepted(struct c2s *c2s, int fd, const struct sockaddr_storage *peer, bool direct_tls)
{
    struct conn *conn = conn_new(c2s, fd, peer, direct_tls);
    const char *why = admit(c2s, conn);
    struct mk_error err;
    struct stream *s;

    if (why) {
        mk_log(c2s->module, MK_LOG_WARN, "c2s.refused", "a connection of '%s' was refused: %s",
               conn->address, why);
        stream_refuse(c2s, conn, why);
        return;
    }
    __atomic_fetch_add(&c2s->connections, 1, __ATOMIC_RELAXED);
    mk_counter_add(c2s->metrics.accepted, 1);
    s = stream_new(c2s, conn);
    conn_attach(conn, s);
    if (direct_tls && conn_start_tls(conn, &err) < 0) {
        mk_log(c2s->module, MK_LOG_ERROR, "c2s.tls", "%s", err.text);
        stream_end(s, "TLS failed");
    }
}

static void
on_accept(int fd, const struct sockaddr_storage *peer, void *arg)
{
    accepted(arg, fd, peer, false);
}

static void
on_accept_tls(int fd, const struct sockaddr_storage *peer, void *arg)
{
    accepted(arg, fd, peer, true);
}

static void
on_turn_end(void *arg)
{
    lane_flush(arg);
}

/* -- the service ---------------------------------------------------------------------------- */

static unsigned
svc_flags(const struct mk_session *session)
{
    return ((struct stream *)mk_session_data(session))->flags;
}

static void
svc_send(struct mk_session *session, struct mk_xml *xml)
{
    struct stream *s = mk_session_data(session);

    if (s && s->conn && s->state == STREAM_OPEN)
        mk_buf_add_str(stream_out(s), mk_xml_str(xml));
    mk_xml_free(&xml);
}

static void
svc_authenticated(struct mk_session *session, const struct mk_jid *account)
{
    struct stream *s = mk_session_data(session);

    mk_session_set_jid(session, account);
    s->flags |= MK_STREAM_AUTHENTICATED;
    mk_jid_unref(&s->from);
}

static void
svc_restart(struct mk_session *session)
{
    stream_restart(mk_session_data(session));
}

static void
svc_send_features(struct mk_session *session)
{
    struct stream *s = mk_session_data(session);

    if (s->conn && s->state == STREAM_OPEN)
        stream_send_features(s);
}

static void
svc_bind(struct mk_session *session, struct mk_str resource, mk_c2s_bind_fn done, void *data)
{
    stream_bind(mk_session_data(session), resource, done, data);
}

static int
svc_channel_binding(const struct mk_session *session, const char *type, struct mk_buf *out)
{
    const struct stream *s = mk_session_data(session);

    return s->conn ? conn_channel_binding(s->conn, type, out) : -1;
}

static int
svc_peer_certificate(const struct mk_session *session, struct mk_buf *out)
{
    const struct stream *s = mk_session_data(session);

    return s->conn ? conn_peer_certificate(s->conn, out) : -1;
}

static const char *
svc_peer_address(const struct mk_session *session)
{
    const struct stream *s = mk_session_data(session);

    return s->conn ? s->conn->address : "";
}

static unsigned
svc_peer_port(const struct mk_session *session)
{
    const struct stream *s = mk_session_data(session);

    return s->conn ? s->conn->port : 0;
}

static void
svc_end(struct mk_session *session, const char *condition, const char *text)
{
    stream_close(mk_session_data(session), condition, text);
}

static const struct mk_jid *
svc_claimed(const struct mk_session *session)
{
    const struct stream *s = mk_session_data(session);

    return s->from;
}

static void
svc_end_app(struct mk_session *session, const char *condition, struct mk_xml *app)
{
    stream_close_app(mk_session_data(session), condition, NULL, app);
}

static uint64_t
svc_last_input(const struct mk_session *session)
{
    const struct stream *s = mk_session_data(session);

    return s->conn ? s->conn->last_input : 0;
}

static void
svc_drop(struct mk_session *session, const char *reason)
{
    stream_lost(mk_session_data(session), reason);
}

static struct mk_session *
svc_adopt(void *self, struct mk_host *host, const struct mk_jid *jid)
{
    return stream_adopt(self, host, jid)->session;
}

static void
svc_enter(void *self, struct mk_session *session, int8_t priority, unsigned flags,
          void (*done)(void *arg), void *arg)
{
    struct c2s *c2s = self;
    struct mk_ev_session ev = {MK_EVENT(ev), .session = session};

    c2s->sessions->adopt(c2s->sessions->self, session, priority, flags, done, arg);
    mk_fire_session_bound(c2s->hooks.bound, &ev);
}

static void
svc_vanish(struct mk_session *session)
{
    stream_vanish(mk_session_data(session));
}

static void
svc_refuse_new(void *self)
{
    struct c2s *c2s = self;

    __atomic_store_n(&c2s->stopping, true, __ATOMIC_RELEASE);
    while (c2s->listener_count)
        mk_listen_close(&c2s->listeners[--c2s->listener_count]);
}

static const struct mk_c2s service = {.size = sizeof(service),
                                      .flags = svc_flags,
                                      .send = svc_send,
                                      .authenticated = svc_authenticated,
                                      .restart = svc_restart,
                                      .send_features = svc_send_features,
                                      .bind = svc_bind,
                                      .move = stream_move,
                                      .channel_binding = svc_channel_binding,
                                      .peer_certificate = svc_peer_certificate,
                                      .peer_address = svc_peer_address,
                                      .end = svc_end,
                                      .last_input = svc_last_input,
                                      .drop = svc_drop,
                                      .end_app = svc_end_app,
                                      .adopt = svc_adopt,
                                      .enter = svc_enter,
                                      .vanish = svc_vanish,
                                      .refuse_new = svc_refuse_new,
                                      .claimed = svc_claimed,
                                      .peer_port = svc_peer_port,
                                      .send_as = stream_send_as};

/* -- life cycle ----------------------------------------------------------------------------- */

static void
define_hooks(struct mk_module *m, struct c2s_hooks *h)
{
    h->features = mk_define_stream_features(m, NULL, NULL);
    h->element = mk_define_stream_element(m, NULL, NULL);
    h->iq = mk_define_stream_iq(m, NULL, NULL);
    h->send[MK_MESSAGE] = mk_define_user_send_message(m, &stream_send_hold, NULL);
    h->send[MK_PRESENCE] = mk_define_user_send_presence(m, &stream_send_hold, NULL);
    h->send[MK_IQ] = mk_define_user_send_iq(m, &stream_send_hold, NULL);
    h->receive[MK_MESSAGE] = mk_define_user_receive_message(m, NULL, NULL);
    h->receive[MK_PRESENCE] = mk_define_user_receive_presence(m, NULL, NULL);
    h->receive[MK_IQ] = mk_define_user_receive_iq(m, NULL, NULL);
    h->bound = mk_define_session_bound(m, NULL, NULL);
    h->unbound = mk_define_session_unbound(m, NULL, NULL);
    h->in = mk_define_session_in(m, NULL, NULL);
    h->out = mk_define_session_out(m, NULL, NULL);
    h->flush = mk_define_session_flush(m, NULL, NULL);
    h->lost = mk_define_session_lost(m, NULL, NULL);
    h->resumed = mk_define_session_resumed(m, NULL, NULL);
    h->settled = mk_define_session_settled(m, NULL, NULL);
}

static double
ask_limit(void *arg)
{
    return (double)conf_of(arg, NULL)->max_connections;
}

static void
make_metrics(struct mk_module *m, struct c2s *c2s)
{
    static const char refused[] = "Connections over a limit, or while the server stops";
    static const char open[] = "Connections of clients that are open";
    static const char *const in[] = {"kind=\"message\",direction=\"in\"",
                                     "kind=\"presence\",direction=\"in\"",
                                     "kind=\"iq\",direction=\"in\""};
    static const char *const out[] = {"kind=\"message\",direction=\"out\"",
                                      "kind=\"presence\",direction=\"out\"",
                                      "kind=\"iq\",direction=\"out\""};

    for (int i = 0; i < 3; i++) {
        c2s->metrics.in[i] = mk_counter_new(m, "c2s_stanzas_total", in[i], "Stanzas from and to clients");
        c2s->metrics.out[i] = mk_counter_new(m, "c2s_stanzas_total", out[i], "Stanzas from and to clients");
    }
    c2s->metrics.accepted = mk_counter_new(m, "c2s_connections_total", NULL, "Connections that were accepted");
    c2s->metrics.refused_full = mk_counter_new(m, "c2s_connections_refused_total", "reason=\"connections\"", refused);
    c2s->metrics.refused_address = mk_counter_new(m, "c2s_connections_refused_total", "reason=\"address\"", refused);
    c2s->metrics.refused_stopping = mk_counter_new(m, "c2s_connections_refused_total", "reason=\"stopping\"", refused);
    c2s->metrics.nonza = mk_counter_new(m, "c2s_stream_elements_total", NULL,
                                        "Elements of streams that are no stanzas");
    stream_count_errors(c2s);
    c2s->metrics.shed = mk_counter_new(m, "c2s_slow_clients_total", NULL,
                                       "Streams dropped because the client did not read");
    c2s->metrics.throttled = mk_counter_new(m, "c2s_throttled_total", NULL,
                                            "Times that a client was over its rate");
    c2s->metrics.streams = mk_gauge_new(m, "c2s_streams", NULL, "Streams that are open");
    c2s->metrics.plain = mk_gauge_new(m, "c2s_open_connections", "type=\"plain\"", open);
    c2s->metrics.tls_open = mk_gauge_new(m, "c2s_open_connections", "type=\"tls\"", open);
    mk_gauge_ask(m, "c2s_open_connections_limit", NULL, "Connections that may be open; 0: no limit", ask_limit, c2s);
    c2s->metrics.bytes_in = mk_counter_new(m, "c2s_received_bytes_total", NULL, "Bytes from clients, without TLS");
    c2s->metrics.bytes_out = mk_counter_new(m, "c2s_sent_bytes_total", NULL, "Bytes to clients, without TLS");
    c2s->metrics.waiting = mk_gauge_new(m, "c2s_waiting_bytes", NULL, "Bytes that wait for slow clients");
    c2s->metrics.tls[0] = mk_counter_new(m, "tls_handshakes_total", "for=\"c2s\",version=\"1.2\"",
                                         "Connections that began TLS");
    c2s->metrics.tls[1] = mk_counter_new(m, "tls_handshakes_total", "for=\"c2s\",version=\"1.3\"",
                                         "Connections that began TLS");
    c2s->metrics.tls_failed = mk_counter_new(m, "tls_failures_total", "for=\"c2s\"",
                                             "Connections on which TLS failed");
    c2s->metrics.seconds = mk_histogram_new(m, "c2s_stanza_seconds", NULL,
                                            "What a client's stanza keeps its worker busy for, of every 64th",
                                            250, 0.000000001);
}

static void
set_limits(struct c2s *c2s)
{
    const struct c2s_conf *conf = conf_of(c2s, NULL);

    c2s->limits = (struct mk_reader_limits){conf->max_stanza, (unsigned)conf->max_depth,
                                            (unsigned)conf->max_attributes};
    c2s->limits_login = c2s->limits;
    if (c2s->limits_login.max_element > 65536)
        c2s->limits_login.max_element = 65536;
}

static void
close_of_host(struct mk_session *session, void *arg)
{
    if (mk_session_host(session) == arg)
        mk_session_close(session, "host-gone", NULL);
}

static void
on_host_removed(const char *event, const void *payload, void *arg)
{
    const struct mk_event_host *e = payload;
    struct c2s *c2s = arg;

    (void)event;
    mk_session_each_of(c2s->module, close_of_host, e->host);
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct c2s *c2s = mk_zalloc(sizeof(*c2s));

    mk_module_set(m, c2s);
    c2s->module = m;
    c2s->lanes = mk_zalloc(mk_worker_count() * sizeof(*c2s->lanes));
    for (size_t i = 0; i < mk_worker_count(); i++)
        c2s->lanes[i].input = mk_alloc(INPUT_BYTES);
    addresses_make(c2s);
    set_limits(c2s);
    c2s->sessions = mk_service_get(m, "sessions", MK_SESSIONS_ABI, err);
    if (!c2s->sessions)
        return -1;
    c2s->tls = mk_service_get(m, "tls", MK_TLS_ABI, NULL);
    define_hooks(m, &c2s->hooks);
    make_metrics(m, c2s);
    mk_on_turn_end(m, on_turn_end, c2s);
    for (size_t i = 0; i < mk_worker_count(); i++) {
        if (mk_subscribe(m, "host_removed", mk_worker_nth(i), on_host_removed, c2s) < 0)
            return mk_fail(err, "cannot hear of hosts that go");
    }
    c2s->service = service;
    c2s->service.self = c2s;
    return mk_service_provide(m, "c2s", MK_C2S_ABI, &c2s->service, err);
}

static int
listen_at(struct c2s *c2s, const char *what, const char *address, mk_accept_fn fn, struct mk_error *err)
{
    struct mk_listener *l;

    if (c2s->listener_count == MAX_LISTENERS)
        return mk_fail(err, "more than %d addresses to listen at", MAX_LISTENERS);
    l = mk_listen(c2s->module, what, address, fn, c2s, err);
    if (!l)
        return -1;
    c2s->listeners[c2s->listener_count++] = l;
    return 0;
}

static int
start(struct mk_module *m, struct mk_error *err)
{
    struct c2s *c2s = mk_module_get(m);
    const struct c2s_conf *conf = conf_of(c2s, NULL);

    if (!c2s->tls && conf->starttls != STARTTLS_NO)
        mk_log(m, MK_LOG_WARN, "c2s.tls", "no certificate is configured ([tls]): only clients on this machine can log in");
    for (size_t i = 0; i < conf->listen.count; i++) {
        if (listen_at(c2s, "c2s", conf->listen.items[i], on_accept, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < conf->listen_tls.count; i++) {
        if (!c2s->tls)
            return mk_fail(err, "'listen_tls' needs certificates: see [tls]");
        if (listen_at(c2s, "c2s with TLS", conf->listen_tls.items[i], on_accept_tls, err) < 0)
            return -1;
    }
    return 0;
}

static void
close_one(struct mk_session *session, void *arg)
{
    (void)arg;
    mk_session_close(session, "system-shutdown", NULL);
}

static void
close_all(void *arg)
{
    struct c2s *c2s = arg;

    mk_session_each_of(c2s->module, close_one, NULL);
}

static void
stop(struct mk_module *m)
{
    struct c2s *c2s = mk_module_get(m);

    __atomic_store_n(&c2s->stopping, true, __ATOMIC_RELEASE);
    for (size_t i = 0; i < mk_worker_count(); i++)
        mk_post(m, mk_worker_nth(i), close_all, c2s);
    /* Streams end within close_timeout; what is left then is cut by the core's deadline. */
    for (int waited = 0; waited < 5000 && __atomic_load_n(&c2s->connections, __ATOMIC_ACQUIRE) > 0;
         waited += 5)
        usleep(5000);
}

static void
unload(struct mk_module *m)
{
    struct c2s *c2s = mk_module_get(m);

    for (size_t i = 0; i < mk_worker_count(); i++) {
        mk_free(c2s->lanes[i].input);
        while (c2s->lanes[i].spare_count)
            mk_buf_release(&c2s->lanes[i].spare[--c2s->lanes[i].spare_count]);
    }
    mk_free(c2s->lanes);
    addresses_free(c2s);
    mk_free(c2s);
}

MK_MODULE(.name = "c2s", .version = "1.0", .summary = "Client connections: streams, TLS, resource binding (RFC 6120)",
          .depends = (const char *const[]){"router", NULL},
          .after = (const char *const[]){"tls", "health", NULL},
          .provides = (const char *const[]){"c2s", NULL}, .options = options,
          .conf_size = sizeof(struct c2s_conf), .init = init, .start = start, .stop = stop,
          .unload = unload);
