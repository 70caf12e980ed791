/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * What the files of module sasl share. From outside to inside:
 *
 *   profile (sasl1.c: RFC 6120 §6, sasl2.c: XEP-0388)   how messages look on the stream
 *   login   (login.c)                                   one client's attempts, limits, outcome
 *   mech    (mech.c, mech_*.c)                          what the messages mean
 *   ask     (ask.c)                                     the backends of service "auth"
 */
#ifndef SASL_INTERNAL_H
#define SASL_INTERNAL_H

#include <meerkat/auth.h>
#include <meerkat/auth_anonymous.h>
#include <meerkat/c2s.h>
#include <meerkat/meerkat.h>
#include <meerkat/rdbms.h>
#include <meerkat/sasl.h>

#include "scram.h"
#include <meerkat/throttle.h>

#define BACKENDS_MAX 8
#define SECRET_LEN 32
#define MESSAGE_MAX 65536u /* bytes of one decoded SASL message */

struct login;
struct sasl;

/* -- configuration (sasl.c) ------------------------------------------------------------------ */

enum plain_policy { PLAIN_NEVER, PLAIN_LOOPBACK, PLAIN_ALWAYS };

struct sasl_conf {
    struct mk_option_list mechanisms;
    int allow_plain_unencrypted;
    struct mk_option_list external;
    bool sasl2;
    int64_t attempts;
    int64_t address_failures;
    int64_t account_failures;
    uint64_t failure_period;
    uint64_t lock_period;
    bool throttle_loopback;
    int64_t throttle_entries;
    char *secret;
};

/* -- failures (RFC 6120 §6.5) ---------------------------------------------------------------- */

enum failure {
    FAIL_ABORTED,
    FAIL_ENCRYPTION_REQUIRED,
    FAIL_INCORRECT_ENCODING,
    FAIL_INVALID_AUTHZID,
    FAIL_INVALID_MECHANISM,
    FAIL_MALFORMED_REQUEST,
    FAIL_MECHANISM_TOO_WEAK,
    FAIL_NOT_AUTHORIZED,
    FAIL_TEMPORARY,
    FAIL_COUNT,
};
const char *failure_name(enum failure f);

/* -- mechanisms (mech.c) --------------------------------------------------------------------- */

enum mech_kind { MECH_SCRAM, MECH_PLAIN, MECH_EXTERNAL, MECH_ANONYMOUS };

struct mech {
    const char *name;
    enum mech_kind kind;
    enum mk_hash_alg hash;
    bool plus;
    /* The client's next message. Ends with login_challenge, login_succeed or login_fail, perhaps
     * later. */
    void (*step)(struct login *l, struct mk_str data);
};

#define MECH_COUNT 13
extern const struct mech mechs[MECH_COUNT]; /* strongest first */

/* The mechanisms that this client may use now: bit n is mechs[n]. */
unsigned mechs_offered(struct sasl *sasl, struct mk_session *s);
bool mechs_have_plus(unsigned offered);
/* NULL and why not when the client cannot use what it asks for. */
const struct mech *mech_find(struct sasl *sasl, struct mk_session *s, const char *name,
                             enum failure *why_out);
bool mech_is_known(const char *name);
/* Types of channel binding that this connection has, best first: calls fn for each. */
void bindings_each(struct sasl *sasl, struct mk_session *s, void (*fn)(const char *type, void *arg),
                   void *arg);

void scram_step(struct login *l, struct mk_str data);
void plain_step(struct login *l, struct mk_str data);
void external_step(struct login *l, struct mk_str data);
void anonymous_step(struct login *l, struct mk_str data);
bool external_possible(struct sasl *sasl, struct mk_session *s);

/* What SCRAM keeps between its two messages (mech_scram.c). */
struct scram_state;
void scram_state_free(struct scram_state **state);

/* -- the module ------------------------------------------------------------------------------- */

enum outcome { OUT_SUCCESS, OUT_FAILURE, OUT_ABORTED, OUT_TEMPORARY, OUT_COUNT };

struct sasl {
    struct mk_module *module;
    const struct mk_c2s *c2s;
    const struct mk_auth *backends[BACKENDS_MAX];
    size_t backend_count;
    const struct mk_auth_anonymous *anonymous; /* NULL: not enabled */
    unsigned slot;                             /* of a session: struct login */
    unsigned char *secret;                     /* SECRET_LEN bytes, published atomically */
    const struct mk_rdbms *db;                 /* NULL: the secret is not shared by it */
    struct mk_sql_stmt *secret_insert, *secret_select;
    struct mk_throttle *addresses, *accounts;
    struct mk_counter logins[MECH_COUNT][OUT_COUNT];
    struct mk_counter refused[FAIL_COUNT]; /* before a mechanism was chosen */
    struct mk_counter throttled_address, throttled_account;
    struct mk_hook *sasl2_features, *bind2_features, *sasl2_resume, *bind2_bound, *sasl2_success;
    struct mk_sasl table;
};

const struct sasl_conf *sasl_conf(const struct sasl *sasl, const struct mk_session *s);

/* -- too many wrong passwords (throttle.c); address and account may be NULL: of nobody -------- */

/* Do wrong passwords from an address count, which is or is not this machine's? */
bool throttle_counts(const struct sasl *sasl, bool local);
bool throttle_is_locked(struct sasl *sasl, const char *address, const char *account);
void throttle_failed(struct sasl *sasl, const char *address, const char *account);
void throttle_succeeded(struct sasl *sasl, const char *account);

/* -- for modules with a protocol of their own (password.c) ------------------------------------ */

void password_table(struct mk_sasl *table);

/* -- the server's secret (secret.c) ----------------------------------------------------------- */

int secret_init(struct sasl *sasl, struct mk_error *err);
void secret_start(struct sasl *sasl);
void secret_free(struct sasl *sasl);
/* HMAC-SHA-256 of the parts under the secret: stable, and nobody else can work it out. */
void secret_mac(struct sasl *sasl, const char *purpose, struct mk_str a, struct mk_str b,
                unsigned char out[32]);

/* -- a client's log-in (login.c) --------------------------------------------------------------- */

/* How one of the two protocols says it. Nothing here is called after `success`. */
struct profile {
    void (*challenge)(struct sasl *sasl, struct mk_session *s, struct mk_str data);
    void (*failure)(struct sasl *sasl, struct mk_session *s, enum failure f, const char *text);
    /* `data`: additional data, p NULL when there is none. `request` (taken, may be NULL):
     * login_start's. */
    void (*success)(struct sasl *sasl, struct mk_session *s, const struct mk_jid *account,
                    struct mk_str data, struct mk_stanza *request);
    bool binds_to_claim; /* `from` of the stream's header must be the account */
};

struct login {
    struct sasl *sasl;
    struct mk_session *session;    /* borrowed: this is in a slot of it */
    const struct profile *profile; /* of the exchange under way; NULL: none is */
    const struct mech *mech;
    struct mk_stanza *request; /* what began it, where the profile needs that later */
    unsigned failures;
    bool busy;             /* a backend is being asked */
    struct mk_buf user;    /* prepared local part that the client claims */
    struct mk_buf authzid; /* as it asked, empty: none */
    struct scram_state *scram;
};

struct login *login_of(struct sasl *sasl, struct mk_session *s);
void login_free(void *login);
/* <auth/>; `initial` NULL: no initial response. `request` is taken. */
void login_start(struct login *l, const struct profile *profile, const char *mechanism,
                 const struct mk_str *initial, struct mk_stanza *request);
/* <response/> */
void login_answer(struct login *l, const struct profile *profile, struct mk_str data);

/* For mechanisms. After login_fail and login_succeed `l` must not be used any more. */
void login_challenge(struct login *l, struct mk_str data);
void login_fail(struct login *l, const struct profile *profile, enum failure f, const char *text);
void login_succeed(struct login *l, struct mk_str data);
/* Prepares and notes the name; false when the log-in has been ended because of it. */
bool login_set_user(struct login *l, struct mk_str name) MK_NODISCARD;

/* base64 of the stream into `out`; -1: incorrect-encoding. */
int login_decode(struct mk_str text, struct mk_buf *out) MK_NODISCARD;
void wipe_buf(struct mk_buf *b);

/* -- asking the backends (ask.c): the session waits, `fn` is called if it still lives ---- */

typedef void (*ask_fn)(struct login *l, enum mk_auth_result result,
                       const struct mk_credentials *cred);
void ask_lookup(struct login *l, ask_fn fn);
/* `cred` is NULL for `fn`. */
void ask_check(struct login *l, struct mk_str password, ask_fn fn);
unsigned ask_hashes(struct sasl *sasl, struct mk_host *host);
unsigned ask_iterations(struct sasl *sasl, struct mk_host *host);

/* -- the two profiles ---- */

int sasl1_init(struct sasl *sasl);
int sasl2_init(struct sasl *sasl, struct mk_error *err);

/* bind2.c: writes the feature; and the resource that a <bind/> of Bind 2 asks for. */
void bind2_feature(struct sasl *sasl, struct mk_session *s, struct mk_xml *inline_);
void bind2_resource(struct sasl *sasl, const struct mk_jid *account,
                    const struct mk_node *authenticate, const struct mk_node *bind,
                    struct mk_buf *out);

#endif
