/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Resumption (XEP-0198 §5, with SASL2: XEP-0388 and XEP-0198 §9). The id names the session, so
 * that no table is needed, and carries a token that nobody can guess. The session's own worker
 * decides; then the connection moves there, and there the client is told. On its node a session stays where it
 * is: what others send to it arrives in order whatever happens to the connection. One that is not where its id says
 * is among the resources of the account; one of another node comes here first (handover.c).
 */
#include "internal.h"

#define CANDIDATES_MAX 1024     /* resources of an account that are asked */
#define BUSY_MS 20u
#define BUSY_TRIES 250u

enum outcome { RESUME_OK, RESUME_NOT_FOUND, RESUME_TOO_HIGH, RESUME_BUSY };

struct candidate {
    uint32_t node;
    mk_session_id there;
};

/* An attempt. It belongs to whichever worker works on it. */
struct sm_resume {
    struct sm_module *m;
    mk_session_id from, to;
    struct mk_jid *account;
    struct mk_sasl2 *login;     /* NULL: <resume/> on its own */
    unsigned char token[TOKEN_LEN];
    uint32_t h;
    enum outcome outcome;
    bool busy;                  /* somebody else is about to take it, or it is just arriving */
    unsigned tries;
    size_t next, count;         /* where else it may be */
    struct candidate *candidates;
    bool known;                 /* `in` is what the server had of an ended session */
    uint32_t in, sent;
};

/* -- ids ------------------------------------------------------------------------------------- */

void
sm_id_text(const struct sm *sm, char out[ID_TEXT_MAX])
{
    uint64_t id = sm->name;
    unsigned char raw[8 + TOKEN_LEN];
    struct mk_buf text = {0};

    for (int i = 0; i < 8; i++)
        raw[i] = (unsigned char)(id >> (56 - 8 * i));
    memcpy(raw + 8, sm->token, TOKEN_LEN);
    mk_hex_encode(&text, (struct mk_str){(const char *)raw, sizeof(raw)});
    memcpy(out, text.data, text.len);
    out[text.len] = '\0';
    mk_buf_release(&text);
}

static int
nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int
read_id(const char *text, struct sm_resume *r)
{
    unsigned char raw[8 + TOKEN_LEN];

    if (!text || strlen(text) != 2 * sizeof(raw))
        return -1;
    for (size_t i = 0; i < sizeof(raw); i++) {
        int high = nibble(text[2 * i]), low = nibble(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return -1;
        raw[i] = (unsigned char)(high << 4 | low);
    }
    r->to = 0;
    for (int i = 0; i < 8; i++)
        r->to = r->to << 8 | raw[i];
    memcpy(r->token, raw + 8, TOKEN_LEN);
    return 0;
}

bool
sm_same_token(const unsigned char *a, const unsigned char *b)
{
    return mk_str_eq_secret((struct mk_str){(const char *)a, TOKEN_LEN},
                            (struct mk_str){(const char *)b, TOKEN_LEN});
}

/* -- answers --------------------------------------------------------------------------------- */

static void
resume_free(struct sm_resume *r)
{
    struct mk_module *module = r->m->module;

    if (r->login)
        r->m->sasl->abandon(r->m->sasl->self, &r->login);
    mk_jid_unref(&r->account);
    mk_free(r->candidates);
    mk_free(r);
    mk_module_leave(module);
}

/* On the worker of `from`: the client goes on without its old session. Takes `r`. */
static void
refuse(struct mk_session *s, struct sm_resume *r)
{
    struct sm_module *m = r->m;
    struct mk_xml *x;

    mk_counter_add(m->metrics.refused, 1);
    if (r->outcome == RESUME_TOO_HIGH) {
        sm_too_high(m, s, r->h, r->sent);
    } else if (r->login) {
        sm_failed(m->sasl->success(r->login), MK_ERR_ITEM_NOT_FOUND, r->known ? &r->in : NULL);
        m->sasl->not_resumed(m->sasl->self, &r->login);
    } else {
        x = mk_xml_new(NULL);
        sm_failed(x, MK_ERR_ITEM_NOT_FOUND, r->known ? &r->in : NULL);
        m->c2s->send(s, x);
    }
    resume_free(r);
}

static void
tell_resumed(struct sm *sm, struct sm_resume *r)
{
    struct sm_module *m = sm->module;
    struct mk_xml *x = r->login ? m->sasl->success(r->login) : mk_xml_new(NULL);
    char id[ID_TEXT_MAX];

    sm_id_text(sm, id);
    mk_xml_open(x, "resumed", NS_SM);
    mk_xml_attr_int(x, "h", sm->in);
    mk_xml_attr(x, "previd", id);
    mk_xml_close(x);
    if (r->login)
        m->sasl->resumed(m->sasl->self, &r->login, sm->session);
    else
        m->c2s->send(sm->session, x);
    sm->told = sm->in;
    sm->answer_later = false;
}

/* Everything that the client has not got, in order, as it was. */
static void
send_again(struct sm *sm)
{
    for (uint32_t i = 0; i < sm->queue.count; i++) {
        struct mk_xml *x = mk_xml_new(NULL);

        mk_xml_stanza(x, sm_queue_at(&sm->queue, i)->stanza);
        sm->module->c2s->send(sm->session, x);
    }
    if (sm->queue.count)
        sm_ask(sm);
}

void
sm_resume_complete(struct sm *sm)
{
    struct sm_resume *r = sm->resuming;
    struct mk_session *s = sm->session;
    struct sm_module *m = sm->module;

    sm->resuming = NULL;
    if (sm_queue_ack(&sm->queue, &sm_lane(m)->rings, r->h) < 0) {
        sm_too_high(m, s, r->h, sm_queue_sent(&sm->queue));
    } else {
        mk_counter_add(m->metrics.resumed, 1);
        mk_log(s, MK_LOG_DEBUG, "sm.resumed", "resumed: %u stanzas are sent again",
               sm->queue.count);
        tell_resumed(sm, r);
        send_again(sm);
    }
    mk_session_unpause(s);
    resume_free(r);
}

void
sm_resume_cancel(struct sm *sm)
{
    struct sm_resume *r = sm->resuming;

    sm->resuming = NULL;
    resume_free(r);
    mk_session_unpause(sm->session);
}

/* -- the way there --------------------------------------------------------------------------- */

static void
attach(struct sm *sm, struct sm_resume *r)
{
    struct sm_module *m = sm->module;
    struct mk_session *s = sm->session;
    struct mk_resource res;

    sm_list_remove(sm);
    mk_timer_free(&sm->timer);
    sm->asked = false;
    if (sm->detached) {
        sm->detached = false;
        mk_gauge_add(m->metrics.detached, -1);
        m->sessions->get(m->sessions->self, s, &res);
        m->sessions->update(m->sessions->self, s, res.priority, 0, MK_RESOURCE_DETACHED);
    }
    if (sm->resuming)
        sm_resume_cancel(sm);
    sm->resuming = r;
    mk_session_pause(s);
    /* What is held now is neither lost nor done: wait rather than have the client send it again. */
    if (mk_session_unsettled(s) == 0)
        sm_resume_complete(sm);
}

static void
moved(struct mk_session *s, bool done, void *data)
{
    struct sm_resume *r = data;
    struct sm *sm = s ? sm_of(r->m, s) : NULL;

    if (!s) {
        resume_free(r);
    } else if (!done) {
        r->outcome = RESUME_NOT_FOUND;
        refuse(s, r);
        mk_session_unpause(s);
    } else if (!sm) {
        /* The module went and came between the check and now. */
        r->m->c2s->end(s, "internal-server-error", NULL);
        resume_free(r);
    } else {
        attach(sm, r);
    }
}

/* Where it may be is asked one by one, until there is nobody left. */
static void look_on(struct mk_session *s, struct sm_resume *r);

static bool
gather(const struct mk_resource *res, void *arg)
{
    struct sm_resume *r = arg;

    if ((r->count & (r->count - 1)) == 0)
        r->candidates = mk_realloc(r->candidates, (r->count ? r->count * 2 : 1) * sizeof(*r->candidates));
    r->candidates[r->count++] = (struct candidate){res->node, res->there};
    return r->count < CANDIDATES_MAX;
}

static void
look_again(void *arg)
{
    struct sm_resume *r = arg;
    struct mk_session *s = mk_session_find(r->from);

    r->busy = false;
    r->next = r->count = 0;
    if (!s) {
        resume_free(r);
        return;
    }
    r->m->sessions->each(r->m->sessions->self, r->account, gather, r);
    look_on(s, r);
}

static void
checked(struct mk_session *s, void *arg)
{
    struct sm_resume *r = arg;

    if (!s) {
        resume_free(r);
    } else if (r->outcome == RESUME_OK) {
        r->m->c2s->move(s, r->to, moved, r);
    } else if (r->outcome == RESUME_TOO_HIGH || !r->m->cluster) {
        refuse(s, r);
        mk_session_unpause(s);
    } else if (r->count == 0 && r->tries == 0) {
        r->tries++;
        look_again(r);
    } else {
        r->busy = r->busy || r->outcome == RESUME_BUSY;
        look_on(s, r);
    }
}

static void
look_at_ended(struct sm_resume *r)
{
    const struct sm_lane *lane = sm_lane(r->m);

    for (size_t i = 0; i < r->m->remember; i++) {
        const struct sm_ended *e = &lane->ended[i];

        if (e->session == r->to && e->account == mk_jid_hash_bare(r->account) &&
            sm_same_token(e->token, r->token)) {
            r->known = true;
            r->in = e->in;
            return;
        }
    }
}

/* On the worker of the old session. */
static void
check(struct mk_session *s, void *arg)
{
    struct sm_resume *r = arg;
    struct sm_module *m = r->m;
    struct sm *sm = s ? sm_of(m, s) : NULL;

    r->outcome = RESUME_NOT_FOUND;
    if (!sm) {
        look_at_ended(r);
    } else if (sm->resume_max && !sm->full && sm_same_token(sm->token, r->token) &&
               mk_jid_same_bare(mk_session_jid(s), r->account)) {
        if (sm->leaving || sm->arriving) {
            r->outcome = RESUME_BUSY;
            goto done;
        }
        r->sent = sm_queue_sent(&sm->queue);
        r->outcome = r->h - sm->queue.acked > sm->queue.count ? RESUME_TOO_HIGH : RESUME_OK;
    }
done:
    mk_session_post(m->module, r->from, checked, r);
}

/* -- sessions that are not where their id says ------------------------------------------------- */

static void
on_taken(enum sm_taken result, mk_session_id here, void *arg)
{
    struct sm_resume *r = arg;
    struct mk_session *s = mk_session_find(r->from);

    if (!s) {
        resume_free(r);
    } else if (result == SM_TAKEN) {
        r->to = here;
        mk_session_post(r->m->module, r->to, check, r);
    } else {
        r->busy = r->busy || result == SM_BUSY;
        look_on(s, r);
    }
}

static void
look_on(struct mk_session *s, struct sm_resume *r)
{
    const struct candidate *c;

    if (r->next < r->count) {
        c = &r->candidates[r->next++];
        r->to = c->there;
        if (c->node)
            sm_take(r->m, c->node, c->there, r->token, r->account, on_taken, r);
        else
            mk_session_post(r->m->module, r->to, check, r);
    } else if (r->busy && r->tries++ < BUSY_TRIES) {
        if (!mk_timer_new(r->m->module, BUSY_MS, look_again, r))
            MK_BUG("no timer");
    } else {
        r->outcome = RESUME_NOT_FOUND;
        refuse(s, r);
        mk_session_unpause(s);
    }
}

void
sm_resume_start(struct sm_module *m, struct mk_session *s, const struct mk_node *request,
                struct mk_sasl2 *login)
{
    struct sm_resume *r = mk_zalloc(sizeof(*r));

    mk_module_enter(m->module);
    r->m = m;
    r->from = mk_session_get_id(s);
    r->account = mk_jid_bare_new(mk_session_jid(s));
    r->login = login;
    r->outcome = RESUME_NOT_FOUND;
    if (sm_number(mk_node_attr(request, "h"), &r->h) < 0 ||
        read_id(mk_node_attr(request, "previd"), r) < 0) {
        refuse(s, r);
        return;
    }
    mk_session_pause(s);
    mk_session_post(m->module, r->to, check, r);
}
