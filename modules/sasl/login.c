/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * One client's log-in: attempts and their limits, the order of checks, and the outcome. Independent
 * of the mechanism and of how the messages look on the stream.
 */
#include "config.h"

#include "internal.h"

static const char *const failure_names[FAIL_COUNT] = {
    [FAIL_ABORTED] = "aborted",
    [FAIL_ENCRYPTION_REQUIRED] = "encryption-required",
    [FAIL_INCORRECT_ENCODING] = "incorrect-encoding",
    [FAIL_INVALID_AUTHZID] = "invalid-authzid",
    [FAIL_INVALID_MECHANISM] = "invalid-mechanism",
    [FAIL_MALFORMED_REQUEST] = "malformed-request",
    [FAIL_MECHANISM_TOO_WEAK] = "mechanism-too-weak",
    [FAIL_NOT_AUTHORIZED] = "not-authorized",
    [FAIL_TEMPORARY] = "temporary-auth-failure",
};

const char *
failure_name(enum failure f)
{
    return failure_names[f];
}

void
wipe_buf(struct mk_buf *b)
{
    if (b->data)
        mk_wipe(b->data, b->cap);
    mk_buf_release(b);
}

int
login_decode(struct mk_str text, struct mk_buf *out)
{
    if (text.len > MESSAGE_MAX / 3 * 4)
        return -1;
    return mk_base64_decode(out, text);
}

struct login *
login_of(struct sasl *sasl, struct mk_session *s)
{
    struct login *l = mk_session_slot(s, sasl->slot);

    if (!l) {
        l = mk_zalloc(sizeof(*l));
        l->sasl = sasl;
        l->session = s;
        mk_session_slot_set(s, sasl->slot, l);
    }
    return l;
}

/* Forgets the exchange under way; the count of failures stays. */
static void
reset(struct login *l)
{
    l->profile = NULL;
    l->mech = NULL;
    l->busy = false;
    mk_stanza_unref(&l->request);
    mk_buf_release(&l->user);
    mk_buf_release(&l->authzid);
    scram_state_free(&l->scram);
}

void
login_free(void *login)
{
    reset(login);
    mk_free(login);
}

/* -- throttling ------------------------------------------------------------------------------- */

/* NULL: wrong passwords from there are not counted. */
static const char *
counted_address(const struct login *l)
{
    const char *address = l->sasl->c2s->peer_address(l->session);
    bool local = l->sasl->c2s->flags(l->session) & MK_STREAM_LOOPBACK;

    return address && *address && throttle_counts(l->sasl, local) ? address : NULL;
}

/* NUL-terminated; "" when no name is known. */
static const char *
account_text(const struct login *l, struct mk_buf *out)
{
    if (l->user.len)
        mk_buf_printf(out, "%.*s@%s", MK_STR_ARG(mk_buf_str(&l->user)), mk_host_name(mk_session_host(l->session)));
    return mk_buf_cstr(out);
}

static bool
account_is_locked(struct login *l)
{
    struct mk_buf text = {0};
    bool locked = throttle_is_locked(l->sasl, NULL, account_text(l, &text));

    mk_buf_release(&text);
    return locked;
}

/* Names that nobody has count like others, or the lock would tell who exists. */
static void
note_wrong_password(struct login *l)
{
    struct mk_buf text = {0};
    const char *account = account_text(l, &text);

    throttle_failed(l->sasl, counted_address(l), *account ? account : NULL);
    mk_buf_release(&text);
}

/* -- outcome ---------------------------------------------------------------------------------- */

static enum outcome
outcome_of(enum failure f)
{
    return f == FAIL_ABORTED ? OUT_ABORTED : f == FAIL_TEMPORARY ? OUT_TEMPORARY : OUT_FAILURE;
}

static void
note_failure(struct login *l, enum failure f, const char *text)
{
    if (l->mech)
        mk_counter_add(l->sasl->logins[l->mech - mechs][outcome_of(f)], 1);
    else
        mk_counter_add(l->sasl->refused[f], 1);
    mk_log(l->session, f == FAIL_ABORTED ? MK_LOG_DEBUG : MK_LOG_INFO, "sasl.failed",
           "log-in as '%s' with '%s' failed: %s%s%s", l->user.len ? mk_buf_cstr(&l->user) : "",
           l->mech ? l->mech->name : "", failure_name(f), text ? ", " : "", text ? text : "");
}

void
login_fail(struct login *l, const struct profile *profile, enum failure f, const char *text)
{
    struct sasl *sasl = l->sasl;
    struct mk_session *s = l->session;
    bool enough = ++l->failures >= (unsigned)sasl_conf(sasl, s)->attempts;

    note_failure(l, f, text);
    if (f == FAIL_NOT_AUTHORIZED)
        note_wrong_password(l);
    reset(l);
    profile->failure(sasl, s, f, text);
    /* RFC 6120 §6.4.5: a limited number of attempts on one stream */
    if (enough)
        mk_session_close(s, "policy-violation", "too many failed log-ins");
}

/* RFC 6120 §6.3.8: a client of an account may act as that account alone. */
static bool
authzid_is(const struct login *l, const struct mk_jid *account)
{
    struct mk_jid *wanted;
    bool same;

    if (l->authzid.len == 0)
        return true;
    wanted = mk_jid_parse(mk_buf_str(&l->authzid));
    same = wanted && mk_jid_is_bare(wanted) && mk_jid_equal(wanted, account);
    mk_jid_unref(&wanted);
    return same;
}

/* XEP-0388 §2.3: it cannot be somebody else than the stream's header says. */
static bool
claim_is(const struct login *l, const struct mk_jid *account)
{
    const struct mk_jid *claimed = l->sasl->c2s->claimed(l->session);

    return !l->profile->binds_to_claim || l->mech->kind == MECH_ANONYMOUS || !claimed ||
           mk_jid_same_bare(claimed, account);
}

void
login_succeed(struct login *l, struct mk_str data)
{
    struct sasl *sasl = l->sasl;
    struct mk_session *s = l->session;
    const struct profile *profile = l->profile;
    const struct mech *mech = l->mech;
    struct mk_stanza *request;
    struct mk_jid *account = mk_jid_new(
        mk_buf_str(&l->user), mk_str_of(mk_host_name(mk_session_host(s))), (struct mk_str){0});

    if (!account || !authzid_is(l, account) || !claim_is(l, account)) {
        mk_jid_unref(&account);
        login_fail(l, profile, FAIL_INVALID_AUTHZID, NULL);
        return;
    }
    throttle_succeeded(sasl, mk_jid_text(account).p);
    mk_counter_add(sasl->logins[mech - mechs][OUT_SUCCESS], 1);
    mk_log(s, MK_LOG_DEBUG, "sasl.success", "logged in as '%.*s' with '%s'",
           MK_STR_ARG(mk_jid_text(account)), mech->name);
    request = l->request;
    l->request = NULL;
    /* Nothing of the log-in is needed any more: an idle session is to be small. */
    mk_session_slot_set(s, sasl->slot, NULL);
    profile->success(sasl, s, account, data, request);
    mk_jid_unref(&account);
}

void
login_challenge(struct login *l, struct mk_str data)
{
    l->profile->challenge(l->sasl, l->session, data);
}

/* -- messages of the client ---- */

void
login_start(struct login *l, const struct profile *profile, const char *mechanism,
            const struct mk_str *initial, struct mk_stanza *request)
{
    const struct mech *mech;
    enum failure why;

    if (l->profile) {
        mk_stanza_unref(&request);
        login_fail(l, profile, FAIL_MALFORMED_REQUEST, "another exchange is under way");
        return;
    }
    mech = mech_find(l->sasl, l->session, mechanism, &why);
    if (!mech) {
        mk_stanza_unref(&request);
        login_fail(l, profile, why, NULL);
        return;
    }
    l->mech = mech;
    l->profile = profile;
    l->request = request;
    if (throttle_is_locked(l->sasl, counted_address(l), NULL))
        login_fail(l, profile, FAIL_TEMPORARY, "too many failed log-ins, try again later");
    else if (initial)
        mech->step(l, *initial);
    else if (mech->kind == MECH_ANONYMOUS)
        mech->step(l, (struct mk_str){0}); /* XEP-0175 §2: clients leave the trace out */
    else
        login_challenge(l, (struct mk_str){0}); /* in all our mechanisms the client begins */
}

void
login_answer(struct login *l, const struct profile *profile, struct mk_str data)
{
    if (l->profile != profile || l->busy)
        login_fail(l, profile, FAIL_MALFORMED_REQUEST, "no answer was asked for");
    else
        l->mech->step(l, data);
}

bool
login_set_user(struct login *l, struct mk_str name)
{
    if (mk_prep_local(&l->user, name) < 0 || l->user.len == 0) {
        mk_buf_clear(&l->user);
        login_fail(l, l->profile, FAIL_NOT_AUTHORIZED, NULL);
        return false;
    }
    if (account_is_locked(l)) {
        login_fail(l, l->profile, FAIL_TEMPORARY, "too many failed log-ins, try again later");
        return false;
    }
    return true;
}
