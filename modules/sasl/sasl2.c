/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The SASL profile of XEP-0388, with resuming a session and Bind 2 in the same round trip: the
 * hooks and the service of <meerkat/sasl.h>. There are no tasks: <continue/> is never sent.
 */
#include "config.h"

#include "internal.h"

/* A log-in that succeeded, on its way to <success/>. Holds no session, for it may move. */
struct mk_sasl2 {
    struct sasl *sasl;
    mk_session_id session;
    struct mk_stanza *request; /* <authenticate/> */
    struct mk_xml *success;    /* inside <success/> */
};

static void
pending_free(struct mk_sasl2 **pending)
{
    struct mk_module *m;

    if (!*pending)
        return;
    m = (*pending)->sasl->module;
    mk_stanza_unref(&(*pending)->request);
    mk_xml_free(&(*pending)->success);
    mk_free(*pending);
    *pending = NULL;
    mk_module_leave(m);
}

/* -- messages of the server ------------------------------------------------------------------- */

static void
add_data(struct mk_xml *x, const char *name, struct mk_str data)
{
    struct mk_buf text = {0};

    mk_base64_encode(&text, data);
    mk_xml_leaf(x, name, MK_NS_SASL2, mk_buf_str(&text));
    mk_buf_release(&text);
}

static void
challenge(struct sasl *sasl, struct mk_session *s, struct mk_str data)
{
    struct mk_xml *x = mk_xml_new(NULL);

    add_data(x, "challenge", data);
    sasl->c2s->send(s, x);
}

static void
failure(struct sasl *sasl, struct mk_session *s, enum failure f, const char *text)
{
    struct mk_xml *x = mk_xml_new(NULL);

    mk_xml_open(x, "failure", MK_NS_SASL2);
    mk_xml_leaf(x, failure_name(f), MK_NS_SASL, (struct mk_str){0});
    if (text)
        mk_xml_leaf(x, "text", NULL, mk_str_of(text));
    mk_xml_close(x);
    sasl->c2s->send(s, x);
}

/* The end of all: `s` has the JID that the client is told. Takes `pending`. */
static void
send_success(struct mk_sasl2 *pending, struct mk_session *s)
{
    struct sasl *sasl = pending->sasl;
    struct mk_xml *x = pending->success;
    struct mk_ev_sasl2_done ev = {
        MK_EVENT(struct mk_ev_sasl2_done),
        .session = s,
        .request = mk_stanza_node(pending->request),
        .inside = x,
    };

    mk_xml_leaf(x, "authorization-identifier", NULL, mk_jid_text(mk_session_jid(s)));
    mk_fire_sasl2_success(sasl->sasl2_success, &ev);
    mk_xml_close(x);
    pending->success = NULL;
    sasl->c2s->send(s, x);
    sasl->c2s->send_features(s);
    pending_free(&pending);
}

/* -- after the password was right ------------------------------------------------------------- */

static void
on_bound(struct mk_session *s, enum mk_stanza_error error, void *data)
{
    struct mk_sasl2 *pending = data;
    struct mk_ev_sasl2_done ev = {MK_EVENT(struct mk_ev_sasl2_done), .session = s};

    if (error != MK_ERR_NONE) {
        /* There is no answer for this in XEP-0386, and a success without a resource would
         * mislead. */
        mk_session_close(s, "resource-constraint", "no resource could be bound");
        pending_free(&pending);
        return;
    }
    mk_xml_open(pending->success, "bound", MK_NS_BIND2);
    ev.request = mk_node_child(mk_stanza_node(pending->request), "bind", MK_NS_BIND2);
    ev.inside = pending->success;
    mk_fire_bind2_bound(pending->sasl->bind2_bound, &ev);
    mk_xml_close(pending->success);
    send_success(pending, s);
}

/* Nothing was resumed: Bind 2 if it was asked for. Takes `pending`. */
static void
bind_or_finish(struct mk_sasl2 *pending, struct mk_session *s)
{
    struct sasl *sasl = pending->sasl;
    const struct mk_node *authenticate = mk_stanza_node(pending->request);
    const struct mk_node *bind = mk_node_child(authenticate, "bind", MK_NS_BIND2);
    struct mk_buf resource = {0};

    if (!bind) {
        send_success(pending, s);
        return;
    }
    bind2_resource(sasl, mk_session_jid(s), authenticate, bind, &resource);
    sasl->c2s->bind(s, mk_buf_str(&resource), on_bound, pending);
    mk_buf_release(&resource);
}

static void
success(struct sasl *sasl, struct mk_session *s, const struct mk_jid *account, struct mk_str data,
        struct mk_stanza *request)
{
    struct mk_sasl2 *pending = mk_zalloc(sizeof(*pending));
    struct mk_ev_sasl2_resume ev = {
        MK_EVENT(struct mk_ev_sasl2_resume),
        .session = s,
        .authenticate = mk_stanza_node(request),
        .account = account,
        .login = pending,
    };

    mk_module_enter(sasl->module);
    pending->sasl = sasl;
    pending->session = mk_session_get_id(s);
    pending->request = request;
    pending->success = mk_xml_new(NULL);
    mk_xml_open(pending->success, "success", MK_NS_SASL2);
    if (data.p)
        add_data(pending->success, "additional-data", data);
    sasl->c2s->authenticated(s, account);
    ev.success = pending->success;
    if (mk_fire_sasl2_resume(sasl->sasl2_resume, &ev) != MK_HANDLED)
        bind_or_finish(pending, s);
}

static const struct profile sasl2 = {challenge, failure, success, .binds_to_claim = true};

/* -- service "sasl" ---- */

static struct mk_xml *
service_success(struct mk_sasl2 *login)
{
    return login->success;
}

static const struct mk_node *
service_request(const struct mk_sasl2 *login)
{
    return mk_stanza_node(login->request);
}

static void
service_resumed(void *self, struct mk_sasl2 **login, struct mk_session *to)
{
    struct mk_sasl2 *pending = *login;

    (void)self;
    *login = NULL;
    send_success(pending, to);
}

static void
service_not_resumed(void *self, struct mk_sasl2 **login)
{
    struct mk_sasl2 *pending = *login;
    struct mk_session *s = mk_session_find(pending->session);

    (void)self;
    *login = NULL;
    if (s && !mk_session_is_closed(s))
        bind_or_finish(pending, s);
    else
        pending_free(&pending);
}

static void
service_abandon(void *self, struct mk_sasl2 **login)
{
    (void)self;
    pending_free(login);
}

/* -- messages of the client ---- */

/* White space around the base64 is discouraged by §2.2 and written by its own examples. */
static struct mk_str
trim(struct mk_str s)
{
    static const char white[] = " \t\r\n";

    while (s.len && strchr(white, s.p[0])) {
        s.p++;
        s.len--;
    }
    while (s.len && strchr(white, s.p[s.len - 1]))
        s.len--;
    return s;
}

static void
on_authenticate(struct login *l, struct mk_stanza *st)
{
    const struct mk_node *node = mk_stanza_node(st);
    const struct mk_node *initial = mk_node_child(node, "initial-response", MK_NS_SASL2);
    struct mk_buf raw = {0};
    struct mk_str data;

    if (initial && login_decode(trim(mk_node_text(initial)), &raw) < 0) {
        login_fail(l, &sasl2, FAIL_INCORRECT_ENCODING, NULL);
    } else if (mk_node_attr(node, "upgrade")) {
        login_fail(l, &sasl2, FAIL_INVALID_MECHANISM, "no upgrade was offered");
    } else {
        data = mk_buf_str(&raw);
        login_start(l, &sasl2, mk_node_attr(node, "mechanism"), initial ? &data : NULL,
                    mk_stanza_ref(st));
    }
    wipe_buf(&raw);
}

static void
on_response(struct login *l, struct mk_stanza *st)
{
    struct mk_buf raw = {0};

    if (login_decode(trim(mk_node_text(mk_stanza_node(st))), &raw) < 0)
        login_fail(l, &sasl2, FAIL_INCORRECT_ENCODING, NULL);
    else
        login_answer(l, &sasl2, mk_buf_str(&raw));
    wipe_buf(&raw);
}

static bool
is_usable(struct sasl *sasl, struct mk_session *s, unsigned flags)
{
    return mk_session_host(s) && !(flags & MK_STREAM_AUTHENTICATED) && sasl_conf(sasl, s)->sasl2;
}

static enum mk_verdict
on_element(struct mk_ev_stream_element *ev, void *arg)
{
    const char *name = mk_stanza_name(ev->stanza);
    struct login *l;

    if (strcmp(mk_stanza_ns(ev->stanza), MK_NS_SASL2) != 0 ||
        !is_usable(arg, ev->session, ev->flags))
        return MK_CONTINUE;
    l = login_of(arg, ev->session);
    if (strcmp(name, "authenticate") == 0)
        on_authenticate(l, ev->stanza);
    else if (strcmp(name, "response") == 0)
        on_response(l, ev->stanza);
    else if (strcmp(name, "abort") == 0)
        login_fail(l, &sasl2, FAIL_ABORTED, NULL);
    else
        return MK_CONTINUE;
    return MK_HANDLED;
}

static void
on_features(struct mk_ev_stream_features *ev, void *arg)
{
    struct sasl *sasl = arg;
    struct mk_xml *x = ev->features;
    struct mk_ev_sasl2_features inner = {MK_EVENT(struct mk_ev_sasl2_features),
                                         .session = ev->session, .inside = x};
    unsigned offered;

    if (!is_usable(sasl, ev->session, ev->flags) || !(offered = mechs_offered(sasl, ev->session)))
        return;
    mk_xml_open(x, "authentication", MK_NS_SASL2);
    for (size_t i = 0; i < MECH_COUNT; i++) {
        if (offered & 1u << i)
            mk_xml_leaf(x, "mechanism", NULL, mk_str_of(mechs[i].name));
    }
    mk_xml_open(x, "inline", NULL);
    bind2_feature(sasl, ev->session, x);
    mk_fire_sasl2_features(sasl->sasl2_features, &inner);
    mk_xml_close(x);
    mk_xml_close(x);
}

int
sasl2_init(struct sasl *sasl, struct mk_error *err)
{
    struct mk_module *m = sasl->module;

    sasl->sasl2_features = mk_define_sasl2_features(m, NULL, NULL);
    sasl->bind2_features = mk_define_bind2_features(m, NULL, NULL);
    sasl->sasl2_resume = mk_define_sasl2_resume(m, NULL, NULL);
    sasl->bind2_bound = mk_define_bind2_bound(m, NULL, NULL);
    sasl->sasl2_success = mk_define_sasl2_success(m, NULL, NULL);
    sasl->table = (struct mk_sasl){
        .size = sizeof(struct mk_sasl),
        .self = sasl,
        .success = service_success,
        .request = service_request,
        .resumed = service_resumed,
        .not_resumed = service_not_resumed,
        .abandon = service_abandon,
    };
    if (mk_on(m, stream_features, MK_PRIO_EARLY, on_features, sasl) < 0 ||
        mk_on(m, stream_element, MK_PRIO_NORMAL, on_element, sasl) < 0)
        return mk_fail(err, "cannot register the handlers of SASL2");
    password_table(&sasl->table);
    return mk_service_provide(m, "sasl", MK_SASL_ABI, &sasl->table, err);
}
