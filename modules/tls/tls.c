/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Service "tls": contexts with the certificates of the hosts. A configuration is a generation: built as a whole, put in the
 * place of the old one, which connections under way keep as long as they need it.
 */
#include <meerkat/admin.h>
#include <meerkat/meerkat.h>
#include <meerkat/tls.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

struct tls_conf {
    char *certificate;
    char *key;
    char *ca;
    char *ciphers;
    bool self_signed;
    int min_version;
    uint64_t watch;
};

enum { TLS_1_2, TLS_1_3 };
static const char *const versions[] = {"1.2", "1.3", NULL};

/* What a context is made for. */
enum { ALPN_NONE, ALPN_CLIENT, ALPN_SERVER, ALPN_COUNT };
static const char *const alpn_names[ALPN_COUNT] = {NULL, "xmpp-client", "xmpp-server"};

struct host_contexts {
    struct mk_host *host;
    SSL_CTX *list[ALPN_COUNT][2];       /* by "asks for a certificate" */
};

struct generation {
    size_t count;
    time_t ends;                /* the first certificate that does; 0: none was read */
    struct host_contexts hosts[];
};

struct tls {
    struct mk_module *module;
    struct mk_tls service;
    pthread_mutex_t lock;       /* of `now`: taken once a handshake */
    struct generation *now;
    uint64_t seen;              /* what the files looked like when they were read; main thread */
};

static const struct mk_option options[] = {
    MK_OPTION_PATH(struct tls_conf, certificate, "", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                   "PEM file: the certificate, then those of its issuers"),
    MK_OPTION_PATH(struct tls_conf, key, "", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                   "PEM file of the private key; empty: it is in the certificate's file"),
    MK_OPTION_PATH(struct tls_conf, ca, "", MK_OPT_RELOADABLE,
                   "PEM file of the authorities whose client certificates are taken (SASL EXTERNAL)"),
    MK_OPTION_BOOL(struct tls_conf, self_signed, "no", MK_OPT_RELOADABLE | MK_OPT_PER_HOST,
                   "without a certificate make one that nobody vouches for: for a desk"),
    MK_OPTION_ENUM(struct tls_conf, min_version, "1.2", versions, MK_OPT_RELOADABLE,
                   "oldest version of TLS: 1.2 or 1.3"),
    MK_OPTION_PERIOD(struct tls_conf, watch, "0s", "0s", "1d", 0,
                     "look so often whether the files have changed, and read them again then; 0: only a reload reads them"),
    MK_OPTION_STRING(struct tls_conf, ciphers, "ECDHE+AESGCM:ECDHE+CHACHA20", MK_OPT_RELOADABLE,
                     "ciphers of TLS 1.2 in OpenSSL's notation"),
    MK_OPTION_END};

static int
fail_ssl(struct mk_error *err, const char *what, const char *path)
{
    /* The first is the cause: "No such file", say; those behind it tell where OpenSSL was. */
    unsigned long cause = ERR_peek_error();
    char text[160];

    if (ERR_SYSTEM_ERROR(cause))
        snprintf(text, sizeof(text), "%s", strerror(ERR_GET_REASON(cause)));
    else
        ERR_error_string_n(ERR_peek_last_error(), text, sizeof(text));
    ERR_clear_error();
    return mk_fail(err, "%s '%s': %s", what, path, text);
}

static bool
is_set(const char *path)
{
    return path && *path;
}

/* -- a certificate of our own making ------------------------------------------------------------- */

static X509 *
make_certificate(const char *name, EVP_PKEY *key)
{
    X509 *cert = X509_new();
    X509_NAME *subject;
    X509_EXTENSION *alt;
    char text[300];
    bool good;

    if (!cert)
        return NULL;
    snprintf(text, sizeof(text), "DNS:%s", name);
    subject = X509_get_subject_name(cert);
    alt = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, text);
    good = alt && X509_set_version(cert, 2) == 1 &&
           ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), (uint64_t)mk_time_us()) == 1 &&
           X509_gmtime_adj(X509_getm_notBefore(cert), -3600) &&
           X509_gmtime_adj(X509_getm_notAfter(cert), 365L * 24 * 3600) &&
           X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8,
                                      (const unsigned char *)"Meerkat, self-signed", -1, -1, 0) == 1 &&
           X509_set_issuer_name(cert, subject) == 1 && X509_set_pubkey(cert, key) == 1 &&
           X509_add_ext(cert, alt, -1) == 1 && X509_sign(cert, key, EVP_sha256()) > 0;
    X509_EXTENSION_free(alt);
    if (!good) {
        X509_free(cert);
        return NULL;
    }
    return cert;
}

static int
use_self_signed(SSL_CTX *ctx, const char *name, struct mk_error *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key ? make_certificate(name, key) : NULL;
    bool good = cert && SSL_CTX_use_certificate(ctx, cert) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1;

    X509_free(cert);
    EVP_PKEY_free(key);
    return good ? 0 : fail_ssl(err, "cannot make a certificate for", name);
}

/* -- a context ----------------------------------------------------------------------------------- */

static int
on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
        unsigned in_len, void *arg)
{
    size_t len = strlen(arg);

    (void)ssl;
    for (unsigned i = 0; i < in_len && i + 1 + in[i] <= in_len; i += 1u + in[i]) {
        if (in[i] == len && memcmp(in + i + 1, arg, len) == 0) {
            *out = in + i + 1;
            *out_len = in[i];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    /* XEP-0368 §5: whoever speaks something else is at the wrong door. */
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int
use_files(SSL_CTX *ctx, const struct tls_conf *conf, struct mk_error *err)
{
    const char *key = is_set(conf->key) ? conf->key : conf->certificate;

    if (SSL_CTX_use_certificate_chain_file(ctx, conf->certificate) != 1)
        return fail_ssl(err, "cannot use certificate", conf->certificate);
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        return fail_ssl(err, "cannot use private key", key);
    if (SSL_CTX_check_private_key(ctx) != 1)
        return fail_ssl(err, "the private key does not belong to certificate", conf->certificate);
    return 0;
}

static int
set_up(SSL_CTX *ctx, const struct tls_conf *conf, const char *name, bool ask, struct mk_error *err)
{
    SSL_CTX_set_min_proto_version(ctx, conf->min_version == TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    if (SSL_CTX_set_cipher_list(ctx, conf->ciphers) != 1)
        return fail_ssl(err, "no cipher in", conf->ciphers);
    if (ask && is_set(conf->ca)) {
        if (SSL_CTX_load_verify_locations(ctx, conf->ca, NULL) != 1)
            return fail_ssl(err, "cannot use authorities", conf->ca);
        SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(conf->ca));
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE, NULL);
    }
    if (is_set(conf->certificate))
        return use_files(ctx, conf, err);
    return use_self_signed(ctx, name, err);
}

static SSL_CTX *
context_new(const struct tls_conf *conf, const char *name, unsigned alpn, bool ask, struct mk_error *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    if (!ctx) {
        fail_ssl(err, "cannot make a context for", name);
        return NULL;
    }
    if (set_up(ctx, conf, name, ask, err) < 0) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    if (alpn_names[alpn])
        SSL_CTX_set_alpn_select_cb(ctx, on_alpn, (void *)(uintptr_t)alpn_names[alpn]);
    return ctx;
}

/* -- a generation ---------------------------------------------------------------------------------- */

static void
generation_free(struct generation *g)
{
    for (size_t i = 0; g && i < g->count; i++) {
        for (size_t k = 0; k < ALPN_COUNT * 2; k++)
            SSL_CTX_free(g->hosts[i].list[k / 2][k % 2]);
    }
    mk_free(g);
}

/* SNI: the certificate of the host that the client names. Everything else stays as it began. */
static int
on_server_name(SSL *ssl, int *alert, void *arg)
{
    struct tls *tls = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    struct mk_buf domain = {0};
    SSL_CTX *found = NULL;

    (void)alert;
    if (!name || mk_prep_domain(&domain, mk_str_of(name)) < 0) {
        mk_buf_release(&domain);
        return SSL_TLSEXT_ERR_NOACK;
    }
    pthread_mutex_lock(&tls->lock);
    for (size_t i = 0; i < tls->now->count && !found; i++) {
        struct host_contexts *h = &tls->now->hosts[i];

        for (size_t k = 0; k < ALPN_COUNT * 2; k++) {
            /* The same kind as the one that the handshake began with. */
            if (tls->now->hosts[0].list[k / 2][k % 2] == SSL_get_SSL_CTX(ssl) &&
                mk_str_is(mk_buf_str(&domain), mk_host_name(h->host)))
                found = h->list[k / 2][k % 2];
        }
    }
    if (found)
        SSL_set_SSL_CTX(ssl, found);
    pthread_mutex_unlock(&tls->lock);
    mk_buf_release(&domain);
    return found ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

/* Only the server's own: whoever made it renews those of the issuers, too. */
static void
note_end(struct generation *g, SSL_CTX *ctx)
{
    const X509 *cert = SSL_CTX_get0_certificate(ctx);
    struct tm tm;
    time_t ends;

    if (!cert || ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
        return;
    ends = timegm(&tm);
    if (!g->ends || ends < g->ends)
        g->ends = ends;
}

static struct generation *
generation_new(struct tls *tls, struct mk_error *err)
{
    struct generation *g;
    size_t count = 0;

    while (mk_host_nth(count))
        count++;
    g = mk_zalloc(sizeof(*g) + count * sizeof(g->hosts[0]));
    g->count = count;
    for (size_t i = 0; i < count; i++) {
        struct host_contexts *h = &g->hosts[i];
        const struct tls_conf *conf = mk_module_conf(tls->module, h->host = mk_host_nth(i));

        for (size_t k = 0; k < ALPN_COUNT * 2; k++) {
            SSL_CTX *ctx = context_new(conf, mk_host_name(h->host), (unsigned)k / 2, k % 2, err);

            if (!ctx) {
                generation_free(g);
                return NULL;
            }
            SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
            SSL_CTX_set_tlsext_servername_arg(ctx, tls);
            h->list[k / 2][k % 2] = ctx;
        }
        note_end(g, h->list[0][0]);
    }
    return g;
}

static int
renew(struct tls *tls, struct mk_error *err)
{
    struct generation *g = generation_new(tls, err), *old;

    if (!g)
        return -1;
    pthread_mutex_lock(&tls->lock);
    old = tls->now;
    tls->now = g;
    pthread_mutex_unlock(&tls->lock);
    generation_free(old);
    return 0;
}

static SSL_CTX *
svc_server(void *self, const char *alpn, bool ask)
{
    struct tls *tls = self;
    unsigned which = ALPN_NONE;
    SSL_CTX *ctx;

    for (unsigned i = 1; i < ALPN_COUNT; i++) {
        if (alpn && strcmp(alpn, alpn_names[i]) == 0)
            which = i;
    }
    pthread_mutex_lock(&tls->lock);
    ctx = tls->now->hosts[0].list[which][ask];
    SSL_CTX_up_ref(ctx);
    pthread_mutex_unlock(&tls->lock);
    return ctx;
}

static double
ask_end(void *arg)
{
    struct tls *tls = arg;
    time_t ends;

    pthread_mutex_lock(&tls->lock);
    ends = tls->now->ends;
    pthread_mutex_unlock(&tls->lock);
    return (double)ends;
}

/* -- life cycle ------------------------------------------------------------------------------------ */

static void
warn_of_readable_key(struct tls *tls)
{
    const struct tls_conf *conf = mk_module_conf(tls->module, NULL);
    const char *key = is_set(conf->key) ? conf->key : conf->certificate;
    struct stat st;

    if (is_set(key) && stat(key, &st) == 0 && (st.st_mode & (S_IROTH | S_IWOTH)))
        mk_log(tls->module, MK_LOG_WARN, "tls.key", "everybody on this machine can read private key '%s'", key);
    if (!is_set(conf->certificate))
        mk_log(tls->module, MK_LOG_WARN, "tls.self_signed",
               "the certificate is self-signed: clients will ask whether to trust it");
}

/* -- files that change by themselves, as the secrets that Kubernetes mounts do ------------------------ */

/* 0: a file is not there (they may just be changed), or one before was not. */
static uint64_t
look_at(uint64_t seen, const char *path)
{
    struct stat st;
    struct {
        int64_t s, ns, size;
        uint64_t inode, seen;
    } look = {.seen = seen};

    if (!seen || !is_set(path))
        return seen;
    if (stat(path, &st) < 0)
        return 0;
    look.s = st.st_mtim.tv_sec;
    look.ns = st.st_mtim.tv_nsec;
    look.size = st.st_size;
    look.inode = st.st_ino;
    return mk_hash(&look, sizeof(look));
}

static uint64_t
look_at_files(const struct tls *tls)
{
    uint64_t seen = 1;
    struct mk_host *host;

    for (size_t i = 0; (host = mk_host_nth(i)); i++) {
        const struct tls_conf *conf = mk_module_conf(tls->module, host);

        seen = look_at(look_at(look_at(seen, conf->certificate), conf->key), conf->ca);
    }
    return seen;
}

static void
read_again(struct tls *tls)
{
    struct mk_error err;

    tls->seen = look_at_files(tls);
    if (renew(tls, &err) < 0)
        mk_log(tls->module, MK_LOG_ERROR, "tls.reload", "the old certificates stay in force: %s", err.text);
    else
        mk_log(tls->module, MK_LOG_INFO, "tls.reload", "certificates were read again");
}

/* On the main thread: a worker does not wait for a disk. */
static void
watch_files(void *arg)
{
    struct tls *tls = arg;
    uint64_t now = look_at_files(tls);

    if (now && now != tls->seen)
        read_again(tls);
}

static void
watched(void *arg)
{
    (void)arg;
}

static void
on_watch(void *arg)
{
    struct tls *tls = arg;

    mk_on_main(tls->module, watch_files, watched, tls);
}

static void
begin_watch(void *arg)
{
    struct tls *tls = arg;
    const struct tls_conf *conf = mk_module_conf(tls->module, NULL);

    /* The core's, which stops it with the module. */
    (void)!mk_timer_every(tls->module, conf->watch, on_watch, tls);
}

/* Files are read here: a reload with bad ones leaves the old ones in force. */
static int
check(const void *arg, const char *host, struct mk_error *err)
{
    const struct tls_conf *conf = arg;
    SSL_CTX *ctx;

    if (!is_set(conf->certificate) && !conf->self_signed)
        return mk_fail(err, "option 'certificate' is empty: name a file, or say self_signed = yes");
    ctx = context_new(conf, host ? host : "localhost", ALPN_NONE, true, err);
    if (!ctx)
        return -1;
    SSL_CTX_free(ctx);
    return 0;
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    struct tls *tls = mk_zalloc(sizeof(*tls));

    mk_module_set(m, tls);
    tls->module = m;
    pthread_mutex_init(&tls->lock, NULL);
    tls->seen = look_at_files(tls);
    if (renew(tls, err) < 0)
        return -1;
    warn_of_readable_key(tls);
    mk_gauge_ask(m, "tls_certificate_end_seconds", NULL, "When the first of the hosts' certificates ends, since 1970", ask_end, tls);
    tls->service = (struct mk_tls){.size = sizeof(tls->service), .self = tls, .server = svc_server};
    return mk_service_provide(m, "tls", MK_TLS_ABI, &tls->service, err);
}

static int
start(struct mk_module *m, struct mk_error *err)
{
    struct tls *tls = mk_module_get(m);
    const struct tls_conf *conf = mk_module_conf(m, NULL);

    (void)err;
    if (conf->watch)
        mk_post(m, mk_worker_nth(0), begin_watch, tls);
    return 0;
}

static void
reloaded(struct mk_module *m)
{
    read_again(mk_module_get(m));
}

static void
unload(struct mk_module *m)
{
    struct tls *tls = mk_module_get(m);

    generation_free(tls->now);
    pthread_mutex_destroy(&tls->lock);
    mk_free(tls);
}

MK_MODULE(.name = "tls", .version = "1.0", .summary = "TLS: certificates by host, SNI, ALPN, reload",
          .provides = (const char *const[]){"tls", NULL}, .options = options,
          .conf_size = sizeof(struct tls_conf), .check = check, .init = init, .start = start, .reloaded = reloaded,
          .unload = unload);
