/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * The command line: parsing, checks, --help.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "bench.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

static const struct scenario *const scenarios[] = {
    &scenario_chat, &scenario_login, &scenario_idle, &scenario_presence, &scenario_fanout,
};
static const char *const tls_names[] = {"none", "starttls", "direct", NULL};
static const char *const mechanism_names[] = {"PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "ANONYMOUS",
                                              NULL};
static const char *const via_names[] = {"presence", "headline", "directed", NULL};
static const char *const to_names[] = {"full", "bare", NULL};

static const char help[] =
    "Usage: meerkat-bench [OPTION]... SCENARIO\n"
    "Load an XMPP server and measure it.  The result is one JSON object on standard output.\n"
    "\n"
    "Scenarios:\n"
    "  chat       pairs of sessions answer each other's messages\n"
    "  login      log in, become available, log out, again and again\n"
    "  idle       sessions that are only there: memory\n"
    "  presence   groups of mutual contacts who change their presence\n"
    "  fanout     one sender, many receivers of every stanza\n"
    "\n"
    "Where and who:\n"
    "  -H, --host=HOST[:PORT],...  where to connect; several are used in turn, and the two sides\n"
    "                              of a pair are then on different ones [127.0.0.1]\n"
    "  -D, --domain=DOMAIN         domain of the users [localhost]\n"
    "  -u, --user=PATTERN          user name; %d becomes a number [bench%d]\n"
    "  -p, --password=PASSWORD     for all of them; also from MEERKAT_BENCH_PASSWORD [secret]\n"
    "      --first=N               the first number [1]\n"
    "      --register              register the accounts first, where they do not exist\n"
    "  -t, --tls=MODE              none, starttls or direct [none]\n"
    "  -M, --mechanism=MECH        PLAIN, SCRAM-SHA-1, SCRAM-SHA-256 or ANONYMOUS\n"
    "                              [SCRAM-SHA-1]\n"
    "      --sm[=K]                stream management: ask for an acknowledgement after every K\n"
    "                              stanzas [10]\n"
    "      --same-node             keep the two sides of a pair on the same host:port\n"
    "      --sources=N             connect from 127.0.0.1 ... 127.0.0.N, for more than 28,000\n"
    "                              ports [1]\n"
    "\n"
    "How much:\n"
    "  -n, --sessions=N            sessions (login: at a time)\n"
    "                              [chat 100, login 20, idle 1000, presence 110, fanout 101]\n"
    "  -d, --duration=SECONDS      measured time [10]\n"
    "  -W, --warmup=SECONDS        load before it, not measured [1]\n"
    "  -m, --messages=N            stop after N messages measured [no limit]\n"
    "  -w, --window=N              unanswered messages a sender may have [1]\n"
    "  -b, --body=BYTES            length of the text of a message, 22 to 65536 [64]\n"
    "  -r, --rate=N                at most N sends (log-ins) a second in all [no limit]\n"
    "  -c, --contacts=N            presence, fanout: receivers of each stanza [10; 100]\n"
    "      --via=HOW               fanout: presence (a roster), headline (to all resources of one\n"
    "                              account) or directed (a message to each) [presence]\n"
    "      --to=JID                chat: address messages to the full or the bare JID [full]\n"
    "      --batch                 write the answers to all that one read brought at once\n"
    "      --parallel=N            log-ins at a time while connecting [20]\n"
    "      --timeout=SECONDS       for one log-in, and for preparing without progress [30]\n"
    "\n"
    "What to measure:\n"
    "  -P, --server-pid=PID        CPU and memory of this process (may be given several times)\n"
    "  -f, --floor                 afterwards run the same load against a built-in relay that\n"
    "                              parses nothing: the limit on this machine\n"
    "      --floor-only            only that, without a server\n"
    "  -q, --quiet                 no progress on standard error\n"
    "  -h, --help                  this text\n"
    "  -V, --version               the version\n"
    "\n"
    "Exit status: 0 measured (look at the errors in the result), 1 the scenario could not run or\n"
    "lost all its sessions, 2 the command line is wrong.  SIGINT ends early and still prints the\n"
    "result.\n"
    "\n"
    "Example: meerkat-bench chat -n 1000 -w 8 --register -P $(pidof -s meerkatd) --floor\n";

enum {
    OPT_FIRST = 256,
    OPT_REGISTER,
    OPT_SM,
    OPT_SAME_NODE,
    OPT_SOURCES,
    OPT_VIA,
    OPT_TO,
    OPT_BATCH,
    OPT_PARALLEL,
    OPT_TIMEOUT,
    OPT_FLOOR_ONLY,
};

static const struct option long_options[] = {
    {"host", required_argument, NULL, 'H'},
    {"domain", required_argument, NULL, 'D'},
    {"user", required_argument, NULL, 'u'},
    {"password", required_argument, NULL, 'p'},
    {"first", required_argument, NULL, OPT_FIRST},
    {"register", no_argument, NULL, OPT_REGISTER},
    {"tls", required_argument, NULL, 't'},
    {"mechanism", required_argument, NULL, 'M'},
    {"sm", optional_argument, NULL, OPT_SM},
    {"same-node", no_argument, NULL, OPT_SAME_NODE},
    {"sources", required_argument, NULL, OPT_SOURCES},
    {"sessions", required_argument, NULL, 'n'},
    {"duration", required_argument, NULL, 'd'},
    {"warmup", required_argument, NULL, 'W'},
    {"warm-up", required_argument, NULL, 'W'},
    {"messages", required_argument, NULL, 'm'},
    {"window", required_argument, NULL, 'w'},
    {"body", required_argument, NULL, 'b'},
    {"rate", required_argument, NULL, 'r'},
    {"contacts", required_argument, NULL, 'c'},
    {"via", required_argument, NULL, OPT_VIA},
    {"to", required_argument, NULL, OPT_TO},
    {"batch", no_argument, NULL, OPT_BATCH},
    {"parallel", required_argument, NULL, OPT_PARALLEL},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {"server-pid", required_argument, NULL, 'P'},
    {"floor", no_argument, NULL, 'f'},
    {"floor-only", no_argument, NULL, OPT_FLOOR_ONLY},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

const char *
tls_mode_name(enum tls_mode mode)
{
    return tls_names[mode];
}

const char *
mechanism_name(enum mechanism mech)
{
    return mechanism_names[mech];
}

const char *
via_name(enum via via)
{
    return via_names[via];
}

static int PRINTF_LIKE(1, 2) complain(const char *fmt, ...)
{
    va_list ap;

    fputs("meerkat-bench: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return -1;
}

static int
parse_number(const char *name, const char *text, unsigned long long min, unsigned long long max,
             unsigned long long *out)
{
    char *end;

    errno = 0;
    *out = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end != '\0' || errno != 0 || *out < min || *out > max)
        return complain("%s must be a number from %llu to %llu, not '%s'", name, min, max, text);
    return 0;
}

static int
parse_unsigned(const char *name, const char *text, unsigned min, unsigned max, unsigned *out)
{
    unsigned long long value;

    if (parse_number(name, text, min, max, &value) < 0)
        return -1;
    *out = (unsigned)value;
    return 0;
}

static int
parse_decimal(const char *name, const char *text, double min, double max, double *out)
{
    char *end;

    *out = strtod(text, &end);
    if (end != text && strcmp(end, "s") == 0 && strcmp(name, "--rate") != 0)
        end++;
    if (end == text || *end != '\0' || !isfinite(*out) || *out < min || *out > max)
        return complain("%s must be a number from %g to %g, not '%s'", name, min, max, text);
    return 0;
}

static int
parse_choice(const char *name, const char *text, const char *const *choices, int *out)
{
    for (int i = 0; choices[i] != NULL; i++) {
        if (strcasecmp(text, choices[i]) == 0) {
            *out = i;
            return 0;
        }
    }
    fprintf(stderr, "meerkat-bench: %s is one of", name);
    for (int i = 0; choices[i] != NULL; i++)
        fprintf(stderr, "%s %s", i > 0 ? "," : "", choices[i]);
    fprintf(stderr, "; not '%s'\n", text);
    return -1;
}

/* "host", "host:port", "[v6]" or "[v6]:port". */
static int
add_target(struct options *o, const char *text, const char *default_port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC}, *list;
    char *copy = bench_dup(text), *host = copy, *port = NULL, *end;
    struct target *t = &o->targets[o->ntargets];
    int r;

    if (host[0] == '[' && (end = strchr(host, ']')) != NULL) {
        host++;
        *end = '\0';
        port = end[1] == ':' ? end + 2 : NULL;
    } else if ((end = strrchr(host, ':')) != NULL) {
        *end = '\0';
        port = end + 1;
    }
    r = getaddrinfo(host, port != NULL ? port : default_port, &hints, &list);
    free(copy);
    if (r != 0)
        return complain("--host '%s': %s", text, gai_strerror(r));
    t->name = bench_dup(text);
    memcpy(&t->addr, list->ai_addr, list->ai_addrlen);
    t->addr_len = list->ai_addrlen;
    freeaddrinfo(list);
    o->ntargets++;
    return 0;
}

static int
resolve_hosts(struct options *o, char *hosts)
{
    char *save = NULL;

    for (char *h = strtok_r(hosts, ",", &save); h != NULL; h = strtok_r(NULL, ",", &save)) {
        if (o->ntargets == BENCH_MAX_TARGETS)
            return complain("at most %d hosts", BENCH_MAX_TARGETS);
        if (add_target(o, h, o->tls == TLS_DIRECT ? "5223" : "5222") < 0)
            return -1;
    }
    return o->ntargets > 0 ? 0 : complain("--host names no host");
}

static bool
is_loopback(const struct target *t)
{
    const struct sockaddr_in *sin = (const struct sockaddr_in *)&t->addr;

    return t->addr.ss_family == AF_INET && ntohl(sin->sin_addr.s_addr) >> 24 == 127;
}

/* The name goes into XML and into JIDs as it is. */
static int
check_user(const char *pattern)
{
    const char *percent = strchr(pattern, '%');

    if (pattern[0] == '\0' || strpbrk(pattern, "\"&'/:<>@ ") != NULL || strlen(pattern) > 200)
        return complain("--user '%s' is not a user name", pattern);
    if (percent != NULL && (percent[1] != 'd' || strchr(percent + 1, '%') != NULL))
        return complain("--user '%s' may have one %%d and no other %%", pattern);
    return 0;
}

void
options_user(const struct options *o, unsigned account, char *out, size_t size)
{
    const char *percent = strchr(o->user, '%');

    if (percent == NULL)
        snprintf(out, size, "%s", o->user);
    else
        snprintf(out, size, "%.*s%u%s", (int)(percent - o->user), o->user, o->first + account,
                 percent + 2);
}

long
options_account_of(const struct options *o, const char *jid)
{
    const char *percent = strchr(o->user, '%');
    char user[256];
    unsigned long number;
    size_t len;

    if (percent == NULL || strncmp(jid, o->user, (size_t)(percent - o->user)) != 0)
        return -1;
    number = strtoul(jid + (percent - o->user), NULL, 10);
    if (number < o->first || number > o->first + 10ul * BENCH_MAX_SESSIONS)
        return -1;
    options_user(o, (unsigned)number - o->first, user, sizeof(user));
    len = strlen(user);
    if (strncmp(jid, user, len) != 0 || jid[len] != '@')
        return -1;
    jid += len + 1;
    len = strlen(o->domain);
    if (strncmp(jid, o->domain, len) != 0 || (jid[len] != '\0' && jid[len] != '/'))
        return -1;
    return (long)(number - o->first);
}

static int
check_together(struct options *o)
{
    const struct scenario *s = o->scenario;

    if (o->contacts == 0)
        o->contacts = s->contacts;
    if (o->sessions == 0)
        o->sessions = s->sessions > 0 ? s->sessions : o->contacts + 1;
    if (o->sessions > BENCH_MAX_SESSIONS)
        return complain("at most %d sessions in one process", BENCH_MAX_SESSIONS);
    if (check_user(o->user) < 0)
        return -1;
    if (strpbrk(o->domain, "\"&'/<>@ ") != NULL || o->domain[0] == '\0' || strlen(o->domain) > 1000)
        return complain("--domain '%s' is not a domain", o->domain);
    if (o->mechanism == MECH_ANONYMOUS && o->do_register)
        return complain("--register makes no sense with --mechanism=ANONYMOUS");
    if (strchr(o->user, '%') == NULL && o->mechanism != MECH_ANONYMOUS && o->sessions > 1 &&
        !s->may_share)
        return complain("--user '%s' needs a %%d: %s uses several accounts", o->user, s->name);
    for (unsigned i = 0; i < o->ntargets; i++)
        if (o->sources > 1 && !is_loopback(&o->targets[i]))
            return complain("--sources works with IPv4 loopback hosts, not with '%s'",
                            o->targets[i].name);
    return s->check != NULL ? s->check(o) : 0;
}

static int
parse_pid(struct options *o, const char *text)
{
    unsigned long long pid;
    uint64_t unused;

    if (o->npids == BENCH_MAX_PIDS)
        return complain("at most %d --server-pid", BENCH_MAX_PIDS);
    if (parse_number("--server-pid", text, 1, INT_MAX, &pid) < 0)
        return -1;
    if (proc_cpu_ns((pid_t)pid, &unused) < 0)
        return complain("--server-pid %llu: no such process", pid);
    o->pids[o->npids++] = (pid_t)pid;
    return 0;
}

static int
set_load_option(struct options *o, int opt, const char *arg)
{
    unsigned long long number;

    switch (opt) {
    case 'n':
        return parse_unsigned("--sessions", arg, 1, BENCH_MAX_SESSIONS, &o->sessions);
    case 'd':
        return parse_decimal("--duration", arg, 0.1, 86400, &o->duration);
    case 'W':
        return parse_decimal("--warmup", arg, 0, 3600, &o->warmup);
    case 'm':
        if (parse_number("--messages", arg, 1, 1000000000000ull, &number) < 0)
            return -1;
        o->messages = number;
        return 0;
    case 'w':
        return parse_unsigned("--window", arg, 1, BENCH_MAX_WINDOW, &o->window);
    case 'b':
        return parse_unsigned("--body", arg, BENCH_MIN_BODY, BENCH_MAX_BODY, &o->body);
    case 'r':
        return parse_decimal("--rate", arg, 0.01, 1e7, &o->rate);
    case 'c':
        return parse_unsigned("--contacts", arg, 1, BENCH_MAX_SESSIONS - 1, &o->contacts);
    case OPT_PARALLEL:
        return parse_unsigned("--parallel", arg, 1, BENCH_MAX_SESSIONS, &o->parallel);
    case OPT_TIMEOUT:
        return parse_decimal("--timeout", arg, 0.1, 3600, &o->timeout);
    case OPT_FIRST:
        return parse_unsigned("--first", arg, 0, 1000000000, &o->first);
    case OPT_SOURCES:
        return parse_unsigned("--sources", arg, 1, 250, &o->sources);
    case OPT_SM:
        o->sm_every = 10;
        return arg == NULL ? 0 : parse_unsigned("--sm", arg, 1, 1000000, &o->sm_every);
    default:
        return -1;
    }
}

static int
set_option(struct options *o, int opt, char *arg)
{
    int choice = 0, r = 0;

    switch (opt) {
    case 'D':
        o->domain = arg;
        return 0;
    case 'u':
        o->user = arg;
        return 0;
    case 'p':
        o->password = arg;
        return 0;
    case 't':
        r = parse_choice("--tls", arg, tls_names, &choice);
        o->tls = (enum tls_mode)choice;
        return r;
    case 'M':
        r = parse_choice("--mechanism", arg, mechanism_names, &choice);
        o->mechanism = (enum mechanism)choice;
        return r;
    case OPT_VIA:
        r = parse_choice("--via", arg, via_names, &choice);
        o->via = (enum via)choice;
        return r;
    case OPT_TO:
        r = parse_choice("--to", arg, to_names, &choice);
        o->to_bare = choice == 1;
        return r;
    case 'P':
        return parse_pid(o, arg);
    case OPT_REGISTER:
        o->do_register = true;
        return 0;
    case OPT_SAME_NODE:
        o->same_node = true;
        return 0;
    case OPT_BATCH:
        o->batch = true;
        return 0;
    case 'f':
        o->floor = FLOOR_TOO;
        return 0;
    case OPT_FLOOR_ONLY:
        o->floor = FLOOR_ONLY;
        return 0;
    case 'q':
        o->quiet = true;
        return 0;
    default:
        return set_load_option(o, opt, arg);
    }
}

static int
find_scenario(struct options *o, int argc, char **argv)
{
    if (argc == 0)
        return complain("which scenario? (chat, login, idle, presence, fanout)");
    if (argc > 1)
        return complain("one scenario at a time: '%s'?", argv[1]);
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
        if (strcmp(argv[0], scenarios[i]->name) == 0)
            o->scenario = scenarios[i];
    if (o->scenario == NULL)
        return complain("no scenario '%s' (chat, login, idle, presence, fanout)", argv[0]);
    return 0;
}

static void
set_defaults(struct options *o)
{
    const char *password = getenv("MEERKAT_BENCH_PASSWORD");

    memset(o, 0, sizeof(*o));
    o->domain = "localhost";
    o->user = "bench%d";
    o->password = password != NULL ? password : "secret";
    o->first = 1;
    o->mechanism = MECH_SCRAM_SHA_1;
    o->window = 1;
    o->body = 64;
    o->duration = 10;
    o->warmup = 1;
    o->timeout = 30;
    o->parallel = 20;
    o->sources = 1;
}

int
options_parse(struct options *o, int argc, char **argv)
{
    char *hosts = NULL;
    int opt, r;

    set_defaults(o);
    while ((opt = getopt_long(argc, argv, "H:D:u:p:t:M:n:d:W:m:w:b:r:c:P:fqhV", long_options,
                              NULL)) != -1) {
        if (opt == '?') {
            fputs("Try 'meerkat-bench --help'.\n", stderr);
            return -1;
        }
        if (opt == 'h') {
            fputs(help, stdout);
            return 1;
        }
        if (opt == 'V') {
            puts("meerkat-bench " PACKAGE_VERSION);
            return 1;
        }
        if (opt == 'H')
            hosts = optarg;
        else if (set_option(o, opt, optarg) < 0)
            return -1;
    }
    if (find_scenario(o, argc - optind, argv + optind) < 0)
        return -1;
    hosts = bench_dup(hosts != NULL ? hosts : "127.0.0.1");
    r = resolve_hosts(o, hosts);
    free(hosts);
    return r < 0 ? -1 : check_together(o);
}
