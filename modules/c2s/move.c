/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Moving a connection to another session, perhaps of another worker (XEP-0198 resumption). While
 * it travels nobody watches the socket; what the client sent meanwhile waits in the kernel or in
 * the reader.
 */
#include "internal.h"

struct travel {
    struct c2s *c2s;
    mk_session_id from, to;
    struct conn *conn;
    struct mk_reader *reader;
    unsigned flags;
    mk_c2s_move_fn done;
    void *data;
};

static void
travel_free(struct travel *t)
{
    if (t->conn)
        address_leave(t->c2s, t->conn->address);
    conn_free(&t->conn);
    mk_reader_free(&t->reader);
    mk_free(t);
}

static void
settle(struct stream *s, struct travel *t)
{
    s->conn = t->conn;
    s->reader = t->reader;
    t->conn = NULL;
    t->reader = NULL;
    conn_attach(s->conn, s);
}

static void
end_shell(struct mk_session *session, void *arg)
{
    struct stream *s = session ? mk_session_data(session) : NULL;

    (void)arg;
    if (s) {
        mk_session_unpause(session);
        stream_end(s, "resumed another session");
    }
}

/* Back on the first worker: the other session was not there. */
static void
arrive_back(struct mk_session *session, void *arg)
{
    struct travel *t = arg;
    struct stream *s;

    if (session) {
        s = mk_session_data(session);
        settle(s, t);
        stream_arm_login(s);
        t->done(session, false, t->data);
        mk_session_unpause(session);
    } else {
        t->done(NULL, false, t->data);
    }
    travel_free(t);
}

/*
 * A connection that is still there is an old one: the client says that it lost it. Should it read
 * on all the same, it learns why there is no more (XEP-0198 §5).
 */
static void
drop_old(struct stream *s)
{
    if (!s->conn)
        return;
    if (conn_flush(s->conn) == 0 && conn_queued(s->conn) == 0 && !s->conn->handshaking) {
        mk_buf_add_cstr(&s->conn->out,
                        "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
                        "</stream:error></stream:stream>");
        (void)conn_flush(s->conn);
    }
    address_leave(s->c2s, s->conn->address);
    conn_free(&s->conn);
    mk_reader_free(&s->reader);
}

static void
arrive(struct mk_session *session, void *arg)
{
    struct travel *t = arg;
    struct stream *s = session ? mk_session_data(session) : NULL;
    struct mk_ev_session ev = {MK_EVENT(ev), .session = session};

    if (!s || s->ended || s->unbound || s->state == STREAM_CLOSING ||
        !(s->flags & MK_STREAM_BOUND)) {
        mk_session_post(t->c2s->module, t->from, arrive_back, t);
        return;
    }
    drop_old(s);
    settle(s, t);
    s->flags = (s->flags & ~(unsigned)(MK_STREAM_DETACHED | MK_STREAM_SECURE | MK_STREAM_DIRECT_TLS |
                                       MK_STREAM_LOOPBACK)) |
               (t->flags & (MK_STREAM_SECURE | MK_STREAM_DIRECT_TLS | MK_STREAM_LOOPBACK));
    s->state = STREAM_OPEN;
    s->header_sent = true;
    s->had_stanza = false;
    mk_session_set_peer(session, s->conn->address);
    mk_reader_set(s->reader, &s->c2s->limits, s);
    mk_reader_set_self(s->reader, mk_session_jid(session));
    mk_session_post(t->c2s->module, t->from, end_shell, NULL);
    /* The pause makes the input that travelled along be read when all is done. */
    mk_session_pause(session);
    mk_session_ref(session);
    t->done(session, true, t->data);
    if (!mk_session_is_closed(session) && !s->unbound)
        mk_fire_session_resumed(s->c2s->hooks.resumed, &ev);
    mk_session_unpause(session);
    mk_session_unref(&session);
    travel_free(t);
}

void
stream_move(struct mk_session *from, mk_session_id to, mk_c2s_move_fn done, void *data)
{
    struct stream *s = mk_session_data(from);
    struct travel *t;

    if (!s->conn || (s->flags & MK_STREAM_BOUND)) {
        done(from, false, data);
        return;
    }
    t = mk_zalloc(sizeof(*t));
    *t = (struct travel){.c2s = s->c2s, .from = mk_session_get_id(from), .to = to, .conn = s->conn,
                         .reader = s->reader, .flags = s->flags, .done = done, .data = data};
    /* The shell stays, paused, until it is known whether the other one took the connection. */
    mk_session_pause(from);
    conn_detach(s->conn);
    s->conn = NULL;
    s->reader = NULL;
    mk_timer_free(&s->timer);
    mk_session_post(s->c2s->module, to, arrive, t);
}
