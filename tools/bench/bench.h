/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * meerkat-bench: what its files share.
 *
 * One process, one thread, one epoll loop.  A `struct bench` is the run, a `struct client` one
 * session.  client.c brings a client online; from then on every stanza goes to the scenario.
 */
#ifndef MEERKAT_BENCH_H
#define MEERKAT_BENCH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem(), accept4(); this header comes first everywhere */
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <sys/socket.h>

#include <openssl/ssl.h>

#define BENCH_MAX_FDS 20000 /* descriptors one process may use */
#define BENCH_SPARE_FDS 40  /* of them not for sessions */
#define BENCH_MAX_SESSIONS (BENCH_MAX_FDS - BENCH_SPARE_FDS)
#define BENCH_MAX_TARGETS 32
#define BENCH_MAX_PIDS 32
#define BENCH_MAX_WINDOW 1024
#define BENCH_MIN_BODY 22 /* the marker, see payload.c */
#define BENCH_MAX_BODY 65536
#define BENCH_READ_SIZE 65536
#define BENCH_MARK_LEN 6 /* the part of the marker that is the same in a whole run */

#define NSEC 1000000000ull

#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

struct bench;
struct client;

/* What can go wrong, each counted. */
enum bench_error {
    ERR_CONNECT,
    ERR_TLS,
    ERR_STREAM,
    ERR_AUTH,
    ERR_BIND,
    ERR_SM,
    ERR_REGISTER,
    ERR_ROSTER,
    ERR_TIMEOUT,
    ERR_CLOSED,
    ERR_STANZA,
    ERR_COUNT
};

/* ---- options.c --------------------------------------------------------------------------- */

enum tls_mode { TLS_NONE, TLS_STARTTLS, TLS_DIRECT };
enum mechanism { MECH_PLAIN, MECH_SCRAM_SHA_1, MECH_SCRAM_SHA_256, MECH_ANONYMOUS };
enum via { VIA_PRESENCE, VIA_HEADLINE, VIA_DIRECTED };
enum floor_mode { FLOOR_NO, FLOOR_TOO, FLOOR_ONLY };

struct target {
    char *name; /* as the user wrote it, for messages */
    struct sockaddr_storage addr;
    socklen_t addr_len;
};

struct options {
    const struct scenario *scenario;
    struct target targets[BENCH_MAX_TARGETS];
    unsigned ntargets;
    const char *domain;
    const char *user; /* pattern with at most one %d */
    const char *password;
    unsigned first; /* number of the first account */
    enum tls_mode tls;
    enum mechanism mechanism;
    unsigned sessions;
    unsigned contacts; /* presence, fanout: receivers of one broadcast */
    unsigned window;
    unsigned body;
    double rate;     /* sends (log-ins) a second in all, 0 = no limit */
    double duration; /* seconds */
    double warmup;
    double timeout;    /* of one log-in and of the preparation */
    uint64_t messages; /* stop after so many were received and measured, 0 = no limit */
    unsigned parallel; /* log-ins at a time */
    unsigned sources;  /* local addresses 127.0.0.1 ... */
    unsigned sm_every; /* ask for an acknowledgement after so many stanzas, 0 = no XEP-0198 */
    pid_t pids[BENCH_MAX_PIDS];
    unsigned npids;
    enum via via;
    enum floor_mode floor;
    bool to_bare;
    bool same_node;
    bool batch;
    bool do_register;
    bool quiet;
};

/* Returns 0 to go on, 1 when all was said (--help), -1 after an error was printed. */
int options_parse(struct options *o, int argc, char **argv);
const char *tls_mode_name(enum tls_mode mode);
const char *mechanism_name(enum mechanism mech);
const char *via_name(enum via via);
/* The user name of account `number`, XML-safe by the check on the pattern. */
void options_user(const struct options *o, unsigned account, char *out, size_t size);
/* The account whose bare or full JID this is, or -1. */
long options_account_of(const struct options *o, const char *jid);

/* ---- stats.c ----------------------------------------------------------------------------- */

#define HIST_SUB 128  /* buckets a power of two: values are kept to 0.8 % */
#define HIST_SHIFT 36 /* largest value about 2^43 ns */
#define HIST_SIZE (HIST_SHIFT * HIST_SUB + 2 * HIST_SUB)

struct hist {
    uint64_t count;
    uint64_t max;
    uint64_t bucket[HIST_SIZE];
};

void hist_add(struct hist *h, uint64_t ns);
void hist_clear(struct hist *h);
uint64_t hist_percentile(const struct hist *h, double percent);
uint64_t now_ns(void);

/* ---- proc.c ------------------------------------------------------------------------------ */

/* User and system time of a process, all threads, also those that ended. -1 = no such process. */
int proc_cpu_ns(pid_t pid, uint64_t *ns_out);
/* Memory in KB; where smaps_rollup may not be read, pss is the resident size. */
int proc_memory_kb(pid_t pid, uint64_t *pss_out, uint64_t *rss_out);

/* ---- scan.c ------------------------------------------------------------------------------ */

enum scan_kind { SCAN_OPEN, SCAN_ELEMENT, SCAN_CLOSE };

struct element {
    const char *p; /* borrowed, until the callback returns */
    size_t len;
};

/* Returns non-zero to stop: the scanner is not touched any more. */
typedef int (*scan_fn)(void *arg, enum scan_kind kind, const struct element *el);

struct scan {
    unsigned depth;
    size_t start; /* of the top-level element, in held */
    size_t pos;   /* where to go on, in held */
    char *held;   /* what no complete element was made of yet */
    size_t held_len, held_size;
};

int scan_feed(struct scan *s, const char *data, size_t len, scan_fn fn, void *arg);
void scan_restart(struct scan *s, unsigned depth);
void scan_release(struct scan *s);
bool element_is(const struct element *el, const char *name);
bool element_has(const struct element *el, const char *text);
bool element_attr(const struct element *el, const char *name, char *out, size_t size);
/* Text of the first descendant with this name. */
bool element_text(const struct element *el, const char *name, char *out, size_t size);
/* Next descendant start tag of this name at or after *pos; moves *pos behind it. */
bool element_next(const struct element *el, const char *name, size_t *pos, struct element *out);

/* ---- scram.c ----------------------------------------------------------------------------- */

struct scram;

struct scram *scram_new(bool sha256);
void scram_free(struct scram **s);
/* All texts are base64, as they stand in the stanza. */
int scram_first(struct scram *s, const char *user, char *out, size_t size);
int scram_respond(struct scram *s, const char *challenge, const char *password, char *out,
                  size_t size);
int scram_verify(const struct scram *s, const char *success);
int plain_response(const char *user, const char *password, char *out, size_t size);

/* ---- payload.c --------------------------------------------------------------------------- */

/* What a scenario sends: head, number, middle, number, tail.  Only the numbers change. */
struct payload {
    char *head;
    size_t head_len, middle_at;
};

void payload_init(struct payload *p, struct bench *b, unsigned sender, const char *start_tag);
void payload_release(struct payload *p);
/* Puts the stanza together in b->scratch and returns its length. */
size_t payload_build(struct bench *b, const struct payload *p, uint32_t number, const char *tail);
bool payload_read(const struct bench *b, const struct element *el, unsigned *sender_out,
                  uint32_t *number_out);

/* ---- conn.c ------------------------------------------------------------------------------ */

enum conn_io { CONN_AGAIN = 0, CONN_EOF = -1, CONN_ERROR = -2 };

struct conn {
    int fd;
    SSL *ssl;
    char *out; /* not yet accepted by the kernel */
    size_t out_len, out_size;
    bool corked;
    bool want_out;
};

int conn_open(struct client *c, const struct target *t);
void conn_close(struct conn *n);
int conn_tls_start(struct client *c);
enum conn_io conn_tls_step(struct client *c, bool *done_out);
/* More than 0: bytes read. */
ssize_t conn_read(struct conn *n, char *buf, size_t size);
int conn_write(struct client *c, const char *p, size_t len);
int conn_flush(struct client *c);
void conn_error_text(char *out, size_t size);

/* ---- client.c ---------------------------------------------------------------------------- */

enum client_state {
    CLIENT_OFF,
    CLIENT_CONNECTING,
    CLIENT_TLS,
    CLIENT_FEATURES,
    CLIENT_STARTTLS,
    CLIENT_REGISTER,
    CLIENT_AUTH,
    CLIENT_BIND,
    CLIENT_SESSION,
    CLIENT_SM,
    CLIENT_ROSTER,
    CLIENT_PRESENCE,
    CLIENT_RAW_HELLO, /* the floor: no XMPP */
    CLIENT_RAW_ROUND,
    CLIENT_ONLINE,
    CLIENT_CLOSING,
};

struct client {
    struct bench *bench;
    unsigned index;   /* of the session */
    unsigned account; /* several sessions may share one */
    enum client_state state;
    struct conn conn;
    struct scan scan;
    struct scram *scram;
    char *jid; /* full JID, from the bind result */
    bool tls_on, authenticated, session_needed, registering, was_online;
    bool reading;        /* an element of scan is in use */
    bool queued;         /* in the bench's ready list */
    struct client *next; /* of that list */
    unsigned raw_round;  /* floor log-in: round trips done */
    size_t raw_left;     /* bytes of the echo still to come */
    uint64_t started;    /* when connect() was called */
    uint64_t deadline;   /* of the log-in or of the closing */
    bool sm_on;
    uint32_t sm_in, sm_out, sm_acked, sm_since;
    uint32_t sm_asked;      /* stanzas in front of the <r/> that is timed … */
    uint64_t sm_asked_at;   /* … since then; 0: none */
    uint8_t *contacts; /* roster.c: a byte for each member of the group */
};

void client_init(struct client *c, struct bench *b, unsigned index);
void client_release(struct client *c);
void client_start(struct client *c);
void client_event(struct client *c, uint32_t events);
/* One or more complete stanzas, `count` of them for XEP-0198. */
int client_send(struct client *c, const char *p, size_t len, unsigned count);
int client_sendf(struct client *c, unsigned count, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Ends the stream politely; the scenario's gone() follows. */
void client_finish(struct client *c);
void client_drop(struct client *c);
void client_fail(struct client *c, enum bench_error err, const char *fmt, ...) PRINTF_LIKE(3, 4);
void client_online(struct client *c);
void client_ask_ack(struct client *c);
bool client_is_pending(const struct client *c);
/* The JID a stanza to this session is addressed to, XML-escaped as the server wrote it. */
void client_address(const struct client *c, bool bare, char *out, size_t size);

/* ---- negotiate.c ------------------------------------------------------------------------- */

/* The connection stands (and TLS, where it comes first). */
void negotiate_connected(struct client *c);
void negotiate_tls_done(struct client *c);
/* Everything the server says before the session is online. */
void negotiate_element(struct client *c, const struct element *el);
void negotiate_raw(struct client *c, size_t len);
/* The condition inside a <failure/>, <stream:error/> or stanza error. */
void negotiate_condition(const struct element *el, char *out, size_t size);
const char *negotiate_state_name(enum client_state state);

/* ---- roster.c ---------------------------------------------------------------------------- */

void roster_loaded(struct client *c, const struct element *el);
bool roster_stanza(struct client *c, const struct element *el);
/* Subscribes everybody who is not yet: drives the loop until done. */
int roster_prepare(struct bench *b);

/* ---- scenarios --------------------------------------------------------------------------- */

struct scenario {
    const char *name;
    const char *unit;                    /* what a "message" is */
    unsigned sessions, contacts, window; /* defaults */
    bool storm;                          /* sessions come and go by themselves: no connect phase */
    bool may_share;                      /* several sessions may use one account */
    int (*check)(struct options *o);
    bool (*wants_roster)(const struct options *o);
    unsigned (*account)(const struct options *o, unsigned index);
    void (*hello)(const struct client *c, char *out, size_t size); /* line for the relay */
    int (*start)(struct bench *b);
    void (*online)(struct client *c);
    bool (*stanza)(struct client *c, const struct element *el); /* false = not for the load */
    void (*gone)(struct client *c);
    bool (*fire)(struct client *c); /* send one; true = could send another now */
    void (*tick)(struct bench *b);  /* once a second */
    void (*release)(struct bench *b);
};

extern const struct scenario scenario_chat, scenario_login, scenario_idle, scenario_presence,
    scenario_fanout;

/* The groups of presence and fanout, see spread.c. */
unsigned group_size(const struct options *o);
bool group_linked(const struct options *o, unsigned a, unsigned b);

/* ---- relay.c ----------------------------------------------------------------------------- */

struct relay {
    pid_t pid; /* 0 = none */
    struct target target;
};

int relay_start(struct relay *r);
void relay_stop(struct relay *r);

/* ---- run.c ------------------------------------------------------------------------------- */

struct memory {
    bool known;
    uint64_t pss, rss; /* KB */
};

struct tally {
    uint64_t sent, received;
    uint64_t due;        /* deliveries the sent ones should lead to */
    uint64_t disordered; /* received twice or in the wrong order */
    uint64_t strange;    /* a message of this run nobody waits for */
    uint64_t sm_r_sent, sm_a_received, sm_r_received, sm_a_sent, sm_unacked;
};

struct result {
    bool used, measured, cut_short;
    uint64_t registered, existed;
    unsigned online, failed, dropped;
    double connect_seconds;
    struct hist connect;
    bool cpu_known;
    uint64_t connect_cpu_ns;
    struct memory before, connected, end;
    double seconds;
    uint64_t sent, received; /* inside the measured interval */
    struct tally whole;      /* with warm-up and drain */
    struct hist latency;
    struct hist acked; /* from <r/> until an acknowledgement of all in front of it */
    uint64_t cpu_ns;
    uint64_t own_cpu_ns;
    uint64_t errors[ERR_COUNT];
    char first_error[ERR_COUNT][160];
};

struct bench {
    struct options opt;
    const struct scenario *scenario;
    struct client *clients;
    unsigned nclients;
    int epfd;
    SSL_CTX *tls;
    char *rbuf;
    char *scratch;
    char *padding; /* NUL-terminated, fills a body up to its size */
    char mark[BENCH_MARK_LEN + 1];
    struct relay relay;
    bool floor;   /* this load runs against the relay */
    bool loading; /* the scenario may send */
    bool measuring;
    unsigned online, pending;
    struct client *ready, **ready_tail; /* waiting for the rate limit or for a restart */
    uint64_t now;
    uint64_t rate_from, rate_used;
    uint64_t last_second;
    uint64_t progress_seen;
    uint64_t stop_at; /* messages received, 0 = no limit */
    struct tally tally;
    struct result *result;
    void *load; /* the scenario's own */
};

int bench_run(struct bench *b, struct result *r, bool floor);
/* One turn of the loop, at most timeout_ms long. */
void bench_step(struct bench *b, int timeout_ms);
bool bench_stopped(void);
void bench_interrupt(void);
void bench_error(struct bench *b, enum bench_error err, const char *fmt, ...) PRINTF_LIKE(3, 4);
void bench_ready(struct bench *b, struct client *c);
/* May one more be sent now?  Counts it against the rate. */
bool bench_rate_take(struct bench *b);
const char *bench_error_name(enum bench_error err);
void *bench_alloc(size_t count, size_t size);
char *bench_dup(const char *s);

static inline void
bench_delivered(struct bench *b, uint64_t sent_at)
{
    b->tally.received++;
    if (b->measuring)
        hist_add(&b->result->latency, b->now > sent_at ? b->now - sent_at : 0);
}

static inline void
bench_acked(struct bench *b, uint64_t asked_at)
{
    if (b->measuring)
        hist_add(&b->result->acked, b->now > asked_at ? b->now - asked_at : 0);
}

/* ---- report.c ---------------------------------------------------------------------------- */

void report_print(FILE *f, const struct options *o, const struct result *real,
                  const struct result *floor_result, bool interrupted);

#endif
