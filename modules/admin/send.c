/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * A stanza in a user's name: a session without a connection lives as long as it takes the hooks to decide, so that they see what they
 * see of a client (blocking, copies to the user's own clients, subscriptions), and until the stanza is dealt with, as one of
 * a client that is to be acknowledged: a message for somebody who is not there is stored before the field is answered, and
 * whoever sends more than can be stored has to wait. It is in no table: nobody sends to it, and an error that comes
 * later goes where errors to this JID go. What a hook answers at once is the answer of the field.
 */
#include "config.h"

#include "internal.h"

struct sending {
    struct receiver receiver;
    struct admin *admin;
    struct mk_gql_field *f;
    char *id;
    enum mk_stanza_error error;
    bool decided;               /* the hooks have; it waits for what became of the stanza */
};

/* Only refusals come this way. */
static void
on_deliver(struct receiver *r, struct mk_stanza *st)
{
    struct sending *s = (struct sending *)r;

    if (mk_stanza_type(st) == MK_TYPE_ERROR)
        s->error = mk_stanza_get_error(st);
}

static void
on_gone(struct receiver *r)
{
    struct sending *s = (struct sending *)r;

    if (s->f)
        mk_gql_fail(s->f, "interrupted", "The server is stopping");
    mk_free(s->id);
    mk_free(s);
}

/* "service-unavailable" becomes "service_unavailable", as codes are written here. */
static void
fail_refused(struct sending *s)
{
    char *code = mk_strdup(mk_stanza_error_name(s->error ? s->error : MK_ERR_SERVICE_UNAVAILABLE));

    for (char *p = code; *p; p++)
        *p = *p == '-' ? '_' : *p;
    mk_gql_fail(s->f, code, "The server refused the stanza");
    mk_free(code);
}

static void
finish(struct sending *s, struct mk_session *session, bool refused)
{
    struct admin *a = s->admin;

    if (refused || s->error)
        fail_refused(s);
    else
        mk_gql_answer(s->f, json_pack("{s:s}", "id", s->id));
    s->f = NULL;
    a->c2s->vanish(session);
}

static void
on_sent(struct mk_session *session, enum mk_verdict verdict, void *data)
{
    struct sending *s = data;

    /* The session ended by itself, and `s` with it (on_gone). */
    if (!session)
        return;
    if (verdict != MK_DENY && mk_session_unsettled(session) > 0)
        s->decided = true;
    else
        finish(s, session, verdict == MK_DENY);
}

static void
vanish_later(struct mk_session *session, void *arg)
{
    struct admin *a = arg;
    struct sending *s = session ? mk_session_slot(session, a->slot) : NULL;

    if (s && s->f)
        finish(s, session, false);
}

/* Hook session_settled. Not at once: whoever settles still has the session in hand. */
void
send_on_settled(struct mk_ev_session *ev, void *arg)
{
    struct admin *a = arg;
    struct receiver *r = mk_session_slot(ev->session, a->slot);

    if (r && r->deliver == on_deliver && ((struct sending *)r)->decided)
        mk_session_post(a->module, mk_session_get_id(ev->session), vanish_later, a);
}

void
send_as_user(struct admin *a, struct mk_gql_field *f, struct mk_stanza *stanza)
{
    const struct mk_jid *from = mk_stanza_from(stanza);
    struct mk_session *session = a->c2s->adopt(a->c2s->self, mk_host_find(mk_jid_domain(from)), from);
    struct sending *s = mk_zalloc(sizeof(*s));

    *s = (struct sending){.receiver = {on_deliver, on_gone}, .admin = a, .f = f, .id = mk_strdup(mk_stanza_id(stanza))};
    mk_session_slot_set(session, a->slot, s);
    a->c2s->send_as(session, stanza, on_sent, s);
    mk_stanza_unref(&stanza);
}
