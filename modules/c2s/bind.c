/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Resource binding (RFC 6120 §7) and the session of RFC 3921 §3. */
#include "internal.h"

#define NS_BIND "urn:ietf:params:xml:ns:xmpp-bind"

static void
finish(struct stream *s, enum mk_stanza_error error)
{
    mk_c2s_bind_fn done = s->bind_done;

    s->bind_done = NULL;
    mk_session_unpause(s->session);
    done(s->session, error, s->bind_data);
}

/* The router has answered: the resource is ours, or not. */
void
stream_opened(struct mk_session *session, bool ok)
{
    struct stream *s = mk_session_data(session);
    struct mk_ev_session ev = {MK_EVENT(ev), .session = session};

    if (!s || !s->bind_done)
        return;
    if (!ok) {
        struct mk_jid *bare = mk_jid_bare_new(mk_session_jid(session));

        mk_session_set_jid(session, bare);
        mk_jid_unref(&bare);
        finish(s, MK_ERR_RESOURCE_CONSTRAINT);
        return;
    }
    s->flags |= MK_STREAM_BOUND;
    mk_timer_free(&s->timer);
    mk_reader_set(s->reader, &s->c2s->limits, s);
    mk_reader_set_self(s->reader, mk_session_jid(session));
    mk_fire_session_bound(s->c2s->hooks.bound, &ev);
    finish(s, MK_ERR_NONE);
}

void
stream_bind(struct stream *s, struct mk_str resource, mk_c2s_bind_fn done, void *data)
{
    struct mk_jid *full;
    char made[17];

    if ((s->flags & MK_STREAM_BOUND) || s->bind_done || !(s->flags & MK_STREAM_AUTHENTICATED)) {
        done(s->session, MK_ERR_NOT_ALLOWED, data);
        return;
    }
    if (resource.len == 0) {
        mk_random_id(made, sizeof(made));
        resource = mk_str_of(made);
    }
    full = mk_jid_with_resource(mk_session_jid(s->session), resource);
    if (!full) {
        done(s->session, MK_ERR_BAD_REQUEST, data);
        return;
    }
    mk_session_set_jid(s->session, full);
    mk_jid_unref(&full);
    s->bind_done = done;
    s->bind_data = data;
    mk_session_pause(s->session);
    s->c2s->sessions->open(s->c2s->sessions->self, s->session, stream_opened);
}

static void
write_stanza(struct stream *s, struct mk_stanza *st)
{
    if (st && s->conn && !s->ended)
        mk_stanza_write(st, stream_out(s));
}

/* The answer to the client's request, which waits as `data`. */
static void
answer(struct mk_session *session, enum mk_stanza_error error, void *data)
{
    struct stream *s = mk_session_data(session);
    struct mk_stanza *request = data, *reply;

    if (error) {
        reply = mk_stanza_error_reply(request, error, NULL);
    } else {
        struct mk_xml *x = mk_xml_new(NULL);

        mk_xml_open(x, "bind", NS_BIND);
        mk_xml_leaf(x, "jid", NULL, mk_jid_text(mk_session_jid(session)));
        reply = mk_stanza_new(MK_IQ, MK_TYPE_RESULT, NULL, NULL, mk_stanza_id(request), x);
    }
    write_stanza(s, reply);
    mk_stanza_unref(&reply);
    mk_stanza_unref(&request);
}

void
stream_bind_iq(struct stream *s, struct mk_stanza *st)
{
    const struct mk_node *bind = mk_stanza_child(st, "bind", NS_BIND);
    const struct mk_node *resource = mk_node_child(bind, "resource", NS_BIND);
    struct mk_stanza *reply;

    if (bind) {
        stream_bind(s, resource ? mk_node_text(resource) : MK_STR(""), answer, mk_stanza_ref(st));
        return;
    }
    /* The session of old clients has no meaning and no effect. */
    reply = mk_stanza_new(MK_IQ, MK_TYPE_RESULT, NULL, NULL, mk_stanza_id(st), NULL);
    mk_session_deliver(s->session, reply);
    mk_stanza_unref(&reply);
}
