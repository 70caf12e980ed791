/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * In-band registration (XEP-0077): before log-in an account can be made, after it its password changed and
 * the account removed.
 */
#include <meerkat/auth.h>
#include <meerkat/c2s.h>
#include <meerkat/meerkat.h>
#include <meerkat/throttle.h>

#define NS_REGISTER "jabber:iq:register"
#define BACKENDS_MAX 8
#define THROTTLE_ENTRIES 16384
#define CHANGERS 4096

struct register_conf {
    bool enabled;
    bool change;
    int64_t rate, changes;
    uint64_t period;
    int64_t min_password;
    struct mk_option_list reserved;
};

struct reg {
    struct mk_module *module;
    const struct mk_c2s *c2s;
    const struct mk_auth *auth[BACKENDS_MAX];
    size_t auth_count;
    struct mk_throttle *throttle;       /* registrations by address */
    struct mk_throttle *changers;       /* changes of passwords by account */
    struct mk_counter created, refused, removed, changed;
};

static const struct mk_option options[] = {
    MK_OPTION_BOOL(struct register_conf, enabled, "no", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                   "may anybody make an account?"),
    MK_OPTION_BOOL(struct register_conf, change, "yes", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                   "may users change their password and remove their account?"),
    MK_OPTION_INT(struct register_conf, rate, "5", "0", "1000000", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                  "accounts that one address may ask for in a period; 0: any number"),
    MK_OPTION_INT(struct register_conf, changes, "10", "0", "1000000", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                  "changes of its password that an account may ask for in a period; 0: any number"),
    MK_OPTION_PERIOD(struct register_conf, period, "1h", "1s", "30d",
                     MK_OPT_RELOADABLE | MK_OPT_PER_HOST, "the period of 'rate' and 'changes'"),
    MK_OPTION_INT(struct register_conf, min_password, "6", "1", "256",
                  MK_OPT_RELOADABLE | MK_OPT_PER_HOST, "characters (bytes) that a password must have"),
    MK_OPTION_LIST(struct register_conf, reserved,
                   "admin, administrator, root, hostmaster, postmaster, webmaster, abuse, security, "
                   "support, xmpp",
                   MK_OPT_RELOADABLE | MK_OPT_PER_HOST, "names that nobody can register"),
    MK_OPTION_END};

static enum mk_stanza_error
error_of(enum mk_auth_result result)
{
    switch (result) {
    case MK_AUTH_OK:
        return MK_ERR_NONE;
    case MK_AUTH_EXISTS:
        return MK_ERR_CONFLICT;
    case MK_AUTH_NOT_ALLOWED:
        return MK_ERR_NOT_ACCEPTABLE;
    case MK_AUTH_NO_ACCOUNT:
        return MK_ERR_REGISTRATION_REQUIRED;
    default:
        return MK_ERR_RESOURCE_CONSTRAINT;
    }
}

/* -- answers before log-in: there is no JID to route to ---------------------------------------- */

static void
send_stanza(struct reg *r, struct mk_session *s, struct mk_stanza *taken)
{
    struct mk_xml *x = mk_xml_new(NULL);
    struct mk_buf text = {0};

    mk_stanza_write(taken, &text);
    if (mk_xml_parsed(x, mk_buf_str(&text), MK_NS_CLIENT) == 0)
        r->c2s->send(s, x);
    else
        mk_xml_free(&x);
    mk_buf_release(&text);
    mk_stanza_unref(&taken);
}

static void
reply_error(struct reg *r, struct mk_session *s, struct mk_stanza *st, enum mk_stanza_error error,
            const char *text)
{
    struct mk_stanza *reply = mk_stanza_error_reply(st, error, text);

    mk_counter_add(r->refused, 1);
    if (reply)
        send_stanza(r, s, reply);
}

static struct mk_xml *
form(void)
{
    struct mk_xml *x = mk_xml_new(NULL);

    mk_xml_open(x, "query", NS_REGISTER);
    mk_xml_leaf(x, "instructions", NULL, MK_STR("Choose a user name and a password."));
    mk_xml_leaf(x, "username", NULL, MK_STR(""));
    mk_xml_leaf(x, "password", NULL, MK_STR(""));
    return x;
}

/* -- making an account (§3.1) ------------------------------------------------------------------- */

struct creating {
    struct reg *reg;
    struct mk_session *session;
    struct mk_stanza *stanza;
    struct mk_host *host;
    struct mk_buf user;
    char *password;
    size_t next;                /* backend to ask whether it knows the name */
};

static void
created(enum mk_auth_result result, void *arg)
{
    struct creating *c = arg;
    struct reg *r = c->reg;

    if (!mk_session_is_closed(c->session)) {
        if (result == MK_AUTH_OK)
            send_stanza(r, c->session, mk_stanza_result(c->stanza, NULL));
        else
            reply_error(r, c->session, c->stanza, error_of(result), NULL);
        mk_session_unpause(c->session);
    }
    if (result == MK_AUTH_OK) {
        mk_counter_add(r->created, 1);
        mk_log(r->module, MK_LOG_INFO, "register.created", "account '%.*s@%s' was registered from %s",
               MK_STR_ARG(mk_buf_str(&c->user)), mk_host_name(c->host), mk_session_peer(c->session));
    }
    mk_session_unref(&c->session);
    mk_stanza_unref(&c->stanza);
    mk_buf_release(&c->user);
    mk_wipe(c->password, strlen(c->password));
    mk_free(c->password);
    mk_free(c);
}

static const struct mk_auth *
writable(const struct reg *r)
{
    for (size_t i = 0; i < r->auth_count; i++) {
        if (r->auth[i]->can_change)
            return r->auth[i];
    }
    return NULL;
}

/* A name that any backend knows is taken. */
static void
looked_up(enum mk_auth_result result, const struct mk_credentials *cred, void *arg)
{
    struct creating *c = arg;
    const struct mk_auth *auth;

    (void)cred;
    if (result == MK_AUTH_NO_ACCOUNT && c->next < c->reg->auth_count) {
        auth = c->reg->auth[c->next++];
        auth->lookup(auth->self, c->host, mk_buf_str(&c->user), looked_up, c);
    } else if (result == MK_AUTH_NO_ACCOUNT) {
        auth = writable(c->reg);
        auth->create(auth->self, c->host, mk_buf_str(&c->user), mk_str_of(c->password), created, c);
    } else {
        created(result == MK_AUTH_OK ? MK_AUTH_EXISTS : result, c);
    }
}

static bool
is_reserved(const struct register_conf *conf, struct mk_str user)
{
    for (size_t i = 0; i < conf->reserved.count; i++) {
        if (mk_str_is(user, conf->reserved.items[i]))
            return true;
    }
    return false;
}

static struct mk_str
field(const struct mk_node *query, const char *name)
{
    const struct mk_node *node = mk_node_child(query, name, NS_REGISTER);

    return node ? mk_node_text(node) : (struct mk_str){NULL, 0};
}

/* MK_ERR_NONE, or why this cannot be an account; `user` gets the prepared name. */
static enum mk_stanza_error
check_fields(const struct register_conf *conf, const struct mk_node *query, struct mk_buf *user,
             const char **why)
{
    struct mk_str name = field(query, "username"), password = field(query, "password");

    *why = NULL;
    if (mk_node_child(query, "remove", NS_REGISTER) || !name.p || !password.p) {
        *why = "user name and password are needed";
        return MK_ERR_BAD_REQUEST;
    }
    if (mk_prep_local(user, name) < 0 || user->len == 0) {
        *why = "this cannot be a user name";
        return MK_ERR_NOT_ACCEPTABLE;
    }
    if (is_reserved(conf, mk_buf_str(user))) {
        *why = "this name is reserved";
        return MK_ERR_NOT_ACCEPTABLE;
    }
    if (password.len < (size_t)conf->min_password) {
        *why = "the password is too short";
        return MK_ERR_NOT_ACCEPTABLE;
    }
    return MK_ERR_NONE;
}

/* False: whoever has this key has asked often enough. */
static bool
count_request(struct mk_throttle *throttle, const struct register_conf *conf, int64_t rate, uint64_t key)
{
    struct mk_throttle_limit limit = {(uint32_t)rate, conf->period, conf->period};
    uint64_t now = mk_now_ms();

    if (rate == 0)
        return true;
    if (mk_throttle_is_locked(throttle, key, now))
        return false;
    mk_throttle_fail(throttle, key, &limit, now);
    return true;
}

static void
create(struct reg *r, struct mk_ev_stream_element *ev, const struct mk_node *query)
{
    struct mk_host *host = mk_session_host(ev->session);
    const struct register_conf *conf = mk_module_conf(r->module, host);
    struct mk_buf user = {0};
    const char *why;
    enum mk_stanza_error error = check_fields(conf, query, &user, &why);
    uint64_t address = mk_throttle_address_key(r->c2s->peer_address(ev->session));
    struct creating *c;

    if (error == MK_ERR_NONE && !count_request(r->throttle, conf, conf->rate, address)) {
        error = MK_ERR_RESOURCE_CONSTRAINT;
        why = "too many registrations from this address";
    } else if (error == MK_ERR_NONE && !writable(r)) {
        error = MK_ERR_NOT_ALLOWED;
    }
    if (error != MK_ERR_NONE) {
        reply_error(r, ev->session, ev->stanza, error, why);
        mk_buf_release(&user);
        return;
    }
    c = mk_zalloc(sizeof(*c));
    *c = (struct creating){.reg = r, .session = mk_session_ref(ev->session), .host = host,
                           .stanza = mk_stanza_ref(ev->stanza), .user = user,
                           .password = mk_str_dup(field(query, "password"))};
    mk_session_pause(ev->session);
    looked_up(MK_AUTH_NO_ACCOUNT, NULL, c);
}

static enum mk_verdict
on_stream_iq(struct mk_ev_stream_element *ev, void *arg)
{
    struct reg *r = arg;
    const struct register_conf *conf = mk_module_conf(r->module, mk_session_host(ev->session));
    const struct mk_node *query = mk_stanza_child(ev->stanza, "query", NS_REGISTER);

    if (!query || !conf->enabled || (ev->flags & MK_STREAM_AUTHENTICATED) ||
        !(ev->flags & (MK_STREAM_SECURE | MK_STREAM_LOOPBACK)))
        return MK_CONTINUE;
    if (mk_stanza_type(ev->stanza) == MK_TYPE_GET)
        send_stanza(r, ev->session, mk_stanza_result(ev->stanza, form()));
    else if (mk_stanza_type(ev->stanza) == MK_TYPE_SET)
        create(r, ev, query);
    return MK_HANDLED;
}

static void
on_features(struct mk_ev_stream_features *ev, void *arg)
{
    struct reg *r = arg;
    const struct register_conf *conf = mk_module_conf(r->module, mk_session_host(ev->session));

    if (!conf->enabled || (ev->flags & MK_STREAM_AUTHENTICATED) ||
        !(ev->flags & (MK_STREAM_SECURE | MK_STREAM_LOOPBACK)))
        return;
    mk_xml_open(ev->features, "register", "http://jabber.org/features/iq-register");
    mk_xml_close(ev->features);
}

/* -- after log-in (§3.2, §3.3) -------------------------------------------------------------------- */

struct changing {
    struct reg *reg;
    struct mk_iq *iq;
    struct mk_host *host;
    struct mk_buf user;
    char *password;             /* NULL: remove the account */
    size_t next;
};

static void
changed(enum mk_auth_result result, void *arg)
{
    struct changing *c = arg;
    struct reg *r = c->reg;
    const struct mk_auth *auth;

    /* The account is in the first backend that knows it. */
    if (result == MK_AUTH_NO_ACCOUNT && c->next < r->auth_count) {
        auth = r->auth[c->next++];
        if (c->password)
            auth->set_password(auth->self, c->host, mk_buf_str(&c->user), mk_str_of(c->password),
                               changed, c);
        else
            auth->remove(auth->self, c->host, mk_buf_str(&c->user), changed, c);
        return;
    }
    if (result == MK_AUTH_OK) {
        mk_counter_add(c->password ? r->changed : r->removed, 1);
        mk_iq_reply_result(c->iq, NULL);
    } else {
        mk_iq_reply_error(c->iq, result == MK_AUTH_NOT_ALLOWED && !c->password
                                     ? MK_ERR_NOT_ALLOWED : error_of(result), NULL);
    }
    mk_buf_release(&c->user);
    if (c->password)
        mk_wipe(c->password, strlen(c->password));
    mk_free(c->password);
    mk_free(c);
}

static void
begin_change(struct reg *r, struct mk_iq *iq, struct mk_str password)
{
    struct changing *c = mk_zalloc(sizeof(*c));

    c->reg = r;
    c->host = mk_iq_host(iq);
    mk_buf_add_str(&c->user, mk_jid_local(mk_iq_from(iq)));
    c->password = password.p ? mk_str_dup(password) : NULL;
    c->iq = mk_iq_hold(iq);
    changed(MK_AUTH_NO_ACCOUNT, c);
}

static void
set_password(struct reg *r, struct mk_iq *iq, const struct mk_node *query)
{
    const struct register_conf *conf = mk_module_conf(r->module, mk_iq_host(iq));
    struct mk_str name = field(query, "username"), password = field(query, "password");
    struct mk_buf user = {0};

    if (!name.p || !password.p)
        mk_iq_reply_error(iq, MK_ERR_BAD_REQUEST, "user name and password are needed");
    else if (mk_prep_local(&user, name) < 0 ||
             !mk_str_eq(mk_buf_str(&user), mk_jid_local(mk_iq_from(iq))))
        mk_iq_reply_error(iq, MK_ERR_NOT_ALLOWED, "this is not your account");
    else if (password.len < (size_t)conf->min_password)
        mk_iq_reply_error(iq, MK_ERR_NOT_ACCEPTABLE, "the password is too short");
    else if (!count_request(r->changers, conf, conf->changes, mk_jid_hash_bare(mk_iq_from(iq))))
        mk_iq_reply_error(iq, MK_ERR_RESOURCE_CONSTRAINT, "the password was changed too often");
    else
        begin_change(r, iq, password);
    mk_buf_release(&user);
}

static enum mk_verdict
on_query(struct mk_iq *iq, void *arg)
{
    struct reg *r = arg;
    const struct register_conf *conf = mk_module_conf(r->module, mk_iq_host(iq));
    const struct mk_node *query = mk_iq_child(iq);
    struct mk_session *s = mk_iq_session(iq);
    struct mk_xml *x;

    /* Only one's own account at one's own server (§3.2, §3.3). */
    if (!s || mk_session_host(s) != mk_iq_host(iq) || !conf->change)
        return MK_DENY;
    if (mk_iq_type(iq) == MK_TYPE_GET) {
        x = mk_xml_new(NULL);
        mk_xml_open(x, "query", NS_REGISTER);
        mk_xml_leaf(x, "registered", NULL, MK_STR(""));
        mk_xml_leaf(x, "username", NULL, mk_jid_local(mk_iq_from(iq)));
        mk_xml_leaf(x, "password", NULL, MK_STR(""));
        mk_iq_reply_result(iq, x);
    } else if (mk_node_child(query, "remove", NS_REGISTER)) {
        if (mk_node_next(mk_node_child(query, NULL, NULL), NULL, NULL))
            mk_iq_reply_error(iq, MK_ERR_BAD_REQUEST, "nothing goes with a removal");
        else
            begin_change(r, iq, (struct mk_str){NULL, 0});
    } else {
        set_password(r, iq, query);
    }
    return MK_HANDLED;
}

/* -- life cycle ----------------------------------------------------------------------------------- */

static void
define_metrics(struct mk_module *m, struct reg *r)
{
    r->created = mk_counter_new(m, "register_created_total", NULL, "Accounts made by their users");
    r->refused = mk_counter_new(m, "register_refused_total", NULL, "Registrations refused");
    r->removed = mk_counter_new(m, "register_removed_total", NULL, "Accounts removed by their users");
    r->changed = mk_counter_new(m, "register_passwords_total", NULL, "Passwords changed by their users");
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct reg *r = mk_zalloc(sizeof(*r));

    mk_module_set(m, r);
    r->module = m;
    r->throttle = mk_throttle_new(THROTTLE_ENTRIES);
    r->changers = mk_throttle_new(CHANGERS);
    r->c2s = mk_service_get(m, "c2s", MK_C2S_ABI, err);
    if (!r->c2s)
        return -1;
    define_metrics(m, r);
    if (mk_on(m, stream_iq, MK_PRIO_NORMAL, on_stream_iq, r) < 0 ||
        mk_on(m, stream_features, MK_PRIO_LATE, on_features, r) < 0 ||
        mk_on_iq(m, MK_IQ_GET | MK_IQ_SET, MK_TO_HOST | MK_TO_SELF, NS_REGISTER, "query", on_query, r) < 0)
        return mk_fail(err, "cannot register the handlers of register");
    return 0;
}

/* All backends are there now. */
static int
start(struct mk_module *m, struct mk_error *err)
{
    struct reg *r = mk_module_get(m);
    const struct mk_auth *auth;

    (void)err;
    while (r->auth_count < BACKENDS_MAX &&
           (auth = mk_service_nth(m, "auth", MK_AUTH_ABI, r->auth_count)))
        r->auth[r->auth_count++] = auth;
    return 0;
}

static void
unload(struct mk_module *m)
{
    struct reg *r = mk_module_get(m);

    mk_throttle_free(&r->throttle);
    mk_throttle_free(&r->changers);
    mk_free(r);
}

MK_MODULE(.name = "register", .version = "1.0",
          .summary = "XEP-0077: making accounts, changing passwords, removing accounts in band",
          .depends = (const char *const[]){"c2s", NULL}, .options = options,
          .conf_size = sizeof(struct register_conf), .init = init, .start = start, .unload = unload);
