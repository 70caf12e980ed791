/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * --init HOST: the annotated configuration with what --set says in its place, a self-signed certificate unless
 * there is a real one, the tables and a first account. Asks nothing, and overwrites nothing.
 */
#include "config.h"

#include "server-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <meerkat/jid.h>

#define SERVICE_USER "meerkat"
#define YEARS 10
#define PASSWORD_BYTES 18

__asm__(".pushsection .rodata\nmki_template_ini:\n.incbin \"etc/meerkat.ini\"\n.byte 0\n.popsection\n");
extern const char mki_template_ini[] __attribute__((visibility("hidden")));

struct setup {
    struct mki_args *args;
    char *host;
    char *file;                 /* the configuration */
    char *folder;               /* that it is in */
    const char *user;           /* the service's, or NULL: whoever runs this */
};

/* -- the configuration ---------------------------------------------------------------------- */

struct line {
    char *text;
    char *section;              /* that it stands in */
    bool header;
};

struct page {
    struct line *lines;
    size_t count;
};

static struct line *
add_line(struct page *page, struct mk_str text, const char *section)
{
    struct line *l;

    page->lines = mk_realloc(page->lines, (page->count + 1) * sizeof(*page->lines));
    l = &page->lines[page->count++];
    *l = (struct line){.text = mk_str_dup(text), .section = mk_strdup(section), .header = text.len && *text.p == '['};
    if (l->header) {
        mk_free(l->section);
        l->section = mk_str_dup((struct mk_str){text.p + 1, strcspn(text.p + 1, "]\n")});
    }
    return l;
}

static void
split_template(struct page *page)
{
    const char *line = mki_template_ini, *end;

    for (; (end = strchr(line, '\n')); line = end + 1)
        add_line(page, (struct mk_str){line, (size_t)(end - line)},
                 page->count ? page->lines[page->count - 1].section : "");
}

/* Is this line, or the default that it shows behind '#', the option's? */
static bool
is_line_of(const struct line *l, const char *section, const char *key)
{
    const char *text = l->text + (*l->text == '#');
    size_t len = strlen(key);

    return !l->header && strcmp(l->section, section) == 0 && strncmp(text, key, len) == 0 &&
           strncmp(text + len, " =", 2) == 0;
}

/* Takes the place of the line of the option; else goes right behind the section's own line; else makes the section. */
static void
put(struct page *page, const char *section, const char *key, const char *value)
{
    char *text = mk_printf_new("%s = %s", key, value), *both;
    struct line *at = NULL;

    for (size_t i = 0; i < page->count; i++) {
        struct line *l = &page->lines[i];

        if (is_line_of(l, section, key)) {
            mk_free(l->text);
            l->text = text;
            return;
        }
        if (l->header && strcmp(l->section, section) == 0)
            at = l;
    }
    if (!at) {
        char *header = mk_printf_new("[%s]", section);

        add_line(page, MK_STR(""), section);
        at = add_line(page, mk_str_of(header), section);
        mk_free(header);
    }
    both = mk_printf_new("%s\n%s", at->text, text);
    mk_free(at->text);
    at->text = both;
    mk_free(text);
}

static int
put_set(struct page *page, const char *set, struct mk_error *err)
{
    const char *equals = strchr(set, '='), *dot = equals;
    char *section, *key;

    while (dot && dot > set && *dot != '.')
        dot--;
    if (!dot || dot == set || dot + 1 == equals)
        return mk_fail(err, "'%.*s' is not section.key=value", (int)strcspn(set, "="), set);
    if (strncmp(set, "module:", 7) == 0)
        set += 7;
    section = mk_str_dup((struct mk_str){set, (size_t)(dot - set)});
    key = mk_str_dup((struct mk_str){dot + 1, (size_t)(equals - dot - 1)});
    put(page, section, key, equals + 1);
    mk_free(section);
    mk_free(key);
    return 0;
}

static void
print_page(const struct page *page, struct mk_buf *out)
{
    for (size_t i = 0; i < page->count; i++)
        mk_buf_printf(out, "%s\n", page->lines[i].text);
}

static void
free_page(struct page *page)
{
    for (size_t i = 0; i < page->count; i++) {
        mk_free(page->lines[i].text);
        mk_free(page->lines[i].section);
    }
    mk_free(page->lines);
}

/* -- files ---------------------------------------------------------------------------------- */

/* A new file that the service may read and nobody else; one that is there is not touched. */
static FILE *
make_file(const struct setup *s, const char *path, struct mk_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    FILE *f = NULL;

    if (fd < 0)
        mk_fail(err, "cannot make '%s': %s", path, strerror(errno));
    else if (mki_give(path, s->user, NULL, true, err) < 0)
        close(fd);
    else if (!(f = fdopen(fd, "w")))
        mk_fail(err, "cannot write '%s': %s", path, strerror(errno));
    return f;
}

static int
close_file(FILE *f, const char *path, struct mk_error *err)
{
    bool bad = ferror(f);

    if (fclose(f) != 0 || bad)
        return mk_fail(err, "cannot write '%s': %s", path, strerror(errno));
    printf("wrote %s\n", path);
    return 0;
}

static int
make_folder(const struct setup *s, const char *path, struct mk_error *err)
{
    bool there = access(path, F_OK) == 0;

    if (mki_make_dir(path, err) < 0)
        return -1;
    return there ? 0 : mki_give(path, s->user, NULL, true, err);
}

/* -- the certificate ------------------------------------------------------------------------ */

static bool
add_names(X509 *cert, const char *host)
{
    char *alt = mk_printf_new("DNS:%s", host);
    X509_NAME *subject = X509_get_subject_name(cert);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alt);
    bool good = e && X509_add_ext(cert, e, -1) == 1 &&
                X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8,
                                           (const unsigned char *)"Meerkat, self-signed", -1, -1, 0) == 1 &&
                X509_set_issuer_name(cert, subject) == 1;

    X509_EXTENSION_free(e);
    mk_free(alt);
    return good;
}

static X509 *
make_certificate(const char *host, EVP_PKEY *key)
{
    X509 *cert = X509_new();
    uint32_t serial;

    mk_random(&serial, sizeof(serial));
    if (cert && X509_set_version(cert, 2) == 1 &&
        ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial) == 1 &&
        X509_gmtime_adj(X509_getm_notBefore(cert), -3600) &&
        X509_time_adj_ex(X509_getm_notAfter(cert), YEARS * 365, 0, NULL) && X509_set_pubkey(cert, key) == 1 &&
        add_names(cert, host) && X509_sign(cert, key, EVP_sha256()) > 0)
        return cert;
    X509_free(cert);
    return NULL;
}

static int
write_pem(const struct setup *s, const char *path, X509 *cert, EVP_PKEY *key, struct mk_error *err)
{
    FILE *f = make_file(s, path, err);

    if (!f)
        return -1;
    if (cert ? PEM_write_X509(f, cert) : PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL))
        return close_file(f, path, err);
    fclose(f);
    return mk_fail(err, "cannot write '%s'", path);
}

static int
self_sign(const struct setup *s, struct page *page, struct mk_error *err)
{
    char *folder = mk_printf_new("%s/tls", s->folder);
    char *crt = mk_printf_new("%s/%s.crt", folder, s->host), *key_file = mk_printf_new("%s/%s.key", folder, s->host);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key ? make_certificate(s->host, key) : NULL;
    int rc = cert ? 0 : mk_fail(err, "cannot make a certificate for '%s'", s->host);

    if (rc == 0)
        rc = make_folder(s, folder, err);
    if (rc == 0)
        rc = write_pem(s, key_file, NULL, key, err);
    if (rc == 0)
        rc = write_pem(s, crt, cert, NULL, err);
    put(page, "tls", "certificate", crt);
    put(page, "tls", "key", key_file);
    X509_free(cert);
    EVP_PKEY_free(key);
    mk_free(folder);
    mk_free(crt);
    mk_free(key_file);
    return rc;
}

/* -- all of it ------------------------------------------------------------------------------ */

static bool
has_set(const struct mki_args *args, const char *prefix)
{
    for (size_t i = 0; i < args->set_count; i++) {
        if (strncmp(args->sets[i], prefix, strlen(prefix)) == 0)
            return true;
    }
    return false;
}

static int
write_configuration(const struct setup *s, struct mk_error *err)
{
    struct page page = {0};
    struct mk_buf text = {0};
    FILE *f;
    int rc = 0;

    split_template(&page);
    put(&page, "meerkat", "hosts", s->host);
    if (s->user)
        put(&page, "meerkat", "user", s->user);
    if (!has_set(s->args, "tls.certificate=") && !has_set(s->args, "tls.self_signed="))
        rc = self_sign(s, &page, err);
    for (size_t i = 0; i < s->args->set_count && rc == 0; i++)
        rc = put_set(&page, s->args->sets[i], err);
    print_page(&page, &text);
    f = rc == 0 ? make_file(s, s->file, err) : NULL;
    if (f) {
        (void)fwrite(text.data, 1, text.len, f);
        rc = close_file(f, s->file, err);
    } else {
        rc = -1;
    }
    mk_wipe(text.data, text.len);
    mk_buf_release(&text);
    free_page(&page);
    return rc;
}

/* Made at random, into a file for whoever runs this. */
static int
write_password(const char *path, struct mk_error *err)
{
    static const struct setup nobody = {.user = NULL};
    unsigned char raw[PASSWORD_BYTES];
    struct mk_buf text = {0};
    FILE *f = make_file(&nobody, path, err);
    int rc = -1;

    mk_random(raw, sizeof(raw));
    mk_base64_encode(&text, (struct mk_str){(char *)raw, sizeof(raw)});
    if (f) {
        (void)fchmod(fileno(f), 0600);
        fprintf(f, "%s\n", mk_buf_cstr(&text));
        rc = close_file(f, path, err);
    }
    mk_wipe(text.data, text.len);
    mk_buf_release(&text);
    return rc;
}

/*
 * The tables and the first account: a task of module accounts, with the configuration that is there now. It runs as
 * the service's user, who may not read the password's file: it is opened before.
 */
static int
make_account(const struct setup *s, struct mk_error *err)
{
    char *address = mk_printf_new("admin@%s", s->host);
    char *password = mk_printf_new("%s/admin-password", s->folder);
    char *argv[] = {"add", address, NULL};
    struct mki_args args = *s->args;
    int rc = write_password(password, err);

    if (rc == 0 && !freopen(password, "re", stdin))
        rc = mk_fail(err, "cannot read '%s': %s", password, strerror(errno));
    args.config = s->file;
    if (rc == 0 && mki_server_task(&args, "account", 2, argv) != 0)
        rc = mk_fail(err, "there is no account yet: meerkatd --run account add %s", address);
    mk_free(address);
    mk_free(password);
    return rc;
}

static int
prepare(struct setup *s, const char *host, struct mk_error *err)
{
    struct mk_buf domain = {0};
    const char *slash;

    if (mk_prep_domain(&domain, mk_str_of(host)) < 0) {
        mk_buf_release(&domain);
        return mk_fail(err, "'%s' is not a domain", host);
    }
    s->host = mk_buf_take(&domain);
    s->file = mk_strdup(s->args->config ? s->args->config : MK_SYSCONFDIR "/meerkat/meerkat.ini");
    slash = strrchr(s->file, '/');
    s->folder = slash ? mk_str_dup((struct mk_str){s->file, (size_t)(slash - s->file)}) : mk_strdup(".");
    if (geteuid() == 0 && getpwnam(SERVICE_USER))
        s->user = SERVICE_USER;
    if (access(s->file, F_OK) == 0)
        return mk_fail(err, "'%s' is there already: nothing was changed", s->file);
    return make_folder(s, s->folder, err);
}

int
mki_server_init(struct mki_args *args, const char *host)
{
    struct setup s = {.args = args};
    struct mk_error err = {""};
    int rc = 0;

    if (prepare(&s, host, &err) < 0 || write_configuration(&s, &err) < 0 || make_account(&s, &err) < 0)
        rc = 1;
    if (rc)
        fprintf(stderr, "meerkatd: %s\n", err.text);
    mk_free(s.host);
    mk_free(s.file);
    mk_free(s.folder);
    return rc;
}
