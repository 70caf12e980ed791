/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Module c2s: what its files share. */
#ifndef C2S_INTERNAL_H
#define C2S_INTERNAL_H

#include <openssl/ssl.h>
#include <sys/socket.h>

#include <meerkat/c2s.h>
#include <meerkat/meerkat.h>
#include <meerkat/router.h>
#include <meerkat/stream.h>
#include <meerkat/tls.h>

struct c2s_conf {
    struct mk_option_list listen, listen_tls;
    int starttls;               /* enum starttls */
    uint64_t max_stanza, max_queue;
    int64_t max_depth, max_attributes;
    uint64_t login_timeout, close_timeout;
    int64_t max_connections, max_connections_address;
    uint64_t rate_login, rate;
    uint64_t burst;
    struct mk_option_list trusted;
    bool client_certificates;
};
enum starttls { STARTTLS_NO, STARTTLS_OPTIONAL, STARTTLS_REQUIRED, STARTTLS_REMOTE };

struct stream;

/* The transport of a stream: a socket, and TLS on it. */
struct conn {
    int fd;
    struct mk_fd *watch;
    unsigned wanted;            /* events watched for */
    SSL *ssl;
    bool handshaking;
    bool loopback, trusted, direct_tls;
    bool throttled;             /* not reading: over its rate */
    bool reading_stopped;       /* not reading: the session is paused */
    bool write_blocked;         /* the socket takes no more for now */
    char address[48];
    uint16_t port;
    struct mk_buf out;          /* not written yet */
    size_t told_waiting;        /* of it: in the gauge */
    struct mk_gauge waiting_gauge;
    struct mk_gauge open_gauge; /* that it is counted in */
    size_t out_done;            /* of it: written */
    uint64_t last_input;
    int64_t tokens;             /* bytes that may be read */
    uint64_t tokens_at;         /* ms */
    struct mk_timer *throttle_timer;
    struct stream *stream;
};

enum stream_state {
    STREAM_NEW,                 /* no header of the client yet */
    STREAM_OPEN,
    STREAM_CLOSING,             /* our end tag is written; waiting for the bytes to leave */
};

/* A client's stream: the data of an mk_session. */
struct stream {
    struct c2s *c2s;
    struct mk_session *session;
    struct conn *conn;          /* NULL: detached */
    struct mk_reader *reader;
    unsigned flags;             /* enum mk_stream_flags */
    uint8_t state;
    uint8_t stanzas;            /* counted to choose some to be timed */
    bool header_sent;
    bool dirty;                 /* in the lane's list: something was written this turn */
    bool had_stanza;            /* a stanza was written this turn */
    bool ended;                 /* no more of this stream */
    bool unbound;               /* session_unbound was fired */
    char *lang;
    struct mk_jid *from;        /* bare; who the client said it is, until it is authenticated */
    struct mk_timer *timer;     /* log-in, or closing */
    struct stream *next_dirty;
    mk_c2s_bind_fn bind_done;
    void *bind_data;
    void (*send_done)(struct mk_session *s, enum mk_verdict verdict, void *data);
    void *send_data;
};

/* What a worker has. */
struct lane {
    struct stream *dirty;
    struct mk_buf spare[8];     /* output buffers for streams that have something to say */
    unsigned spare_count;
    char *input;                /* one read's bytes */
};

struct c2s_hooks {
    struct mk_hook *features, *element, *iq;
    struct mk_hook *send[3], *receive[3];       /* by enum mk_stanza_kind */
    struct mk_hook *bound, *unbound, *in, *out, *flush, *lost, *resumed, *settled;
};

#define MAX_LISTENERS 64
#define STREAM_ERRORS 25

struct c2s {
    struct mk_module *module;
    const struct mk_sessions *sessions;
    const struct mk_tls *tls;
    struct c2s_hooks hooks;
    struct lane *lanes;
    struct mk_reader_limits limits_login, limits;
    int64_t connections;        /* atomic */
    bool stopping;
    struct address_count *addresses;
    struct mk_c2s service;
    struct mk_listener *listeners[MAX_LISTENERS];
    size_t listener_count;
    struct {
        struct mk_counter accepted, refused_full, refused_address, refused_stopping, in[3], out[3], nonza, errors[STREAM_ERRORS], shed, throttled;
        struct mk_counter bytes_in, bytes_out, tls[2], tls_failed;     /* tls: by version, 1.2 first */
        struct mk_gauge streams, waiting, plain, tls_open;
        struct mk_histogram seconds;
    } metrics;
};

#define INPUT_BYTES 65536

static inline const struct c2s_conf *
conf_of(const struct c2s *c2s, const struct stream *s)
{
    return mk_module_conf(c2s->module, s ? mk_session_host(s->session) : NULL);
}

/* -- conn.c: bytes */
struct conn *conn_new(struct c2s *c2s, int fd, const struct sockaddr_storage *peer, bool direct_tls);
void conn_free(struct conn **conn);
/* Watches the socket on this worker for `stream`. */
void conn_attach(struct conn *conn, struct stream *stream);
void conn_detach(struct conn *conn);
/* Begins TLS as the server; -1 when there is no certificate. */
int conn_start_tls(struct conn *conn, struct mk_error *err);
/* Writes what is queued; -1 when the connection is lost. */
int conn_flush(struct conn *conn);
/* Reads anew after the session's pause or the throttle ended. */
void conn_update(struct conn *conn);
size_t conn_queued(const struct conn *conn);
int conn_channel_binding(const struct conn *conn, const char *type, struct mk_buf *out);
int conn_peer_certificate(const struct conn *conn, struct mk_buf *out);

/* -- stream.c: the protocol */
struct stream *stream_new(struct c2s *c2s, struct conn *conn);
/* A stream that was bound elsewhere and has no connection yet. */
struct stream *stream_adopt(struct c2s *c2s, struct mk_host *host, const struct mk_jid *jid);
/* The session is at another node now: nobody is told anything. */
void stream_vanish(struct stream *s);
/* Bytes came in. */
void stream_input(struct stream *s, const char *data, size_t len);
/* The connection is gone; `why` for the log. */
void stream_lost(struct stream *s, const char *why);
void stream_secured(struct stream *s);
/* Everything of this stream has been written. */
void stream_drained(struct stream *s);
/* Output of this turn goes here. */
struct mk_buf *stream_out(struct stream *s);
void stream_mark(struct stream *s);
void stream_close(struct stream *s, const char *condition, const char *text);
/* The same; `app` (may be NULL) is taken. */
void stream_close_app(struct stream *s, const char *condition, const char *text,
                      struct mk_xml *app);
/* Logging in must be done within its time, from now. */
void stream_arm_login(struct stream *s);
/* Ends the session for good: told to all, memory goes. */
void stream_end(struct stream *s, const char *reason);
void stream_send_features(struct stream *s);
void stream_restart(struct stream *s);
void stream_read_on(struct stream *s);
void stream_send_as(struct mk_session *session, struct mk_stanza *st,
                    void (*done)(struct mk_session *s, enum mk_verdict verdict, void *data), void *data);
void lane_flush(struct c2s *c2s);
/* Stream errors by condition (RFC 6120 §4.9.3). */
void stream_count_errors(struct c2s *c2s);
/* The connection is over a limit: says so and closes it. */
void stream_refuse(struct c2s *c2s, struct conn *conn, const char *condition);
extern const struct mk_session_ops stream_ops;
extern const struct mk_hook_hold_ops stream_send_hold;

/* -- bind.c, move.c */
void stream_bind(struct stream *s, struct mk_str resource, mk_c2s_bind_fn done, void *data);
void stream_bind_iq(struct stream *s, struct mk_stanza *st);
void stream_opened(struct mk_session *session, bool ok);
void stream_move(struct mk_session *from, mk_session_id to, mk_c2s_move_fn done, void *data);

/* -- limits.c: connections by address */
bool address_enter(struct c2s *c2s, const char *address, int64_t limit);
void address_leave(struct c2s *c2s, const char *address);
void addresses_make(struct c2s *c2s);
void addresses_free(struct c2s *c2s);

#endif
