/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Files of modules: each is a route that answers with its bytes, or that the client has them already. */
#include "config.h"

#include "internal.h"

#include <openssl/evp.h>

struct file {
    const struct mk_http_static *what;
    char etag[24];
    struct mk_buf packed;       /* gzip; empty: it does not pay */
};

static void
file_free(void *thing)
{
    struct file *f = thing;

    mk_buf_release(&f->packed);
    mk_free(f);
}

static void
file_undo(void *thing)
{
    mk_rcu_defer(file_free, thing);
}

static void
on_file(struct mk_http_request *base, void *arg)
{
    struct request *rq = (struct request *)base;
    const struct file *f = arg;
    const char *known = mk_http_header(base, "If-None-Match");
    bool packed = f->packed.len && conf_of(rq->http)->compression && client_takes_gzip(rq);

    mk_http_set_header(base, "ETag", f->etag);
    mk_http_set_header(base, "Cache-Control", "no-cache");
    mk_http_set_header(base, "Referrer-Policy", "no-referrer");
    if (f->what->csp)
        mk_http_set_header(base, "Content-Security-Policy", f->what->csp);
    if (f->packed.len)
        mk_http_set_header(base, "Vary", "Accept-Encoding");
    if (known && (strstr(known, f->etag) || strcmp(known, "*") == 0))
        answer_plain(rq, 304, NULL, NULL, MK_STR(""));
    else
        answer_plain(rq, 200, f->what->type, packed ? "gzip" : NULL,
                     packed ? mk_buf_str(&f->packed) : (struct mk_str){f->what->data, f->what->len});
}

/* The same bytes have the same tag, on all nodes and after a restart. */
static void
make_etag(struct file *f)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    struct mk_buf hex = {0};

    if (EVP_Digest(f->what->data, f->what->len, hash, NULL, EVP_sha256(), NULL) != 1)
        MK_BUG("no SHA-256");
    mk_hex_encode(&hex, (struct mk_str){(const char *)hash, 8});
    /* Weak: the compressed answer has the same one. */
    snprintf(f->etag, sizeof(f->etag), "W/\"%s\"", mk_buf_cstr(&hex));
    mk_buf_release(&hex);
}

int
files_add(struct http *http, struct mk_module *m, const char *place, const struct mk_http_static *files,
          size_t count, struct mk_error *err)
{
    for (size_t i = 0; i < count; i++) {
        struct file *f = mk_zalloc(sizeof(*f));
        const struct route route = {.pattern = (char *)(uintptr_t)files[i].path, .methods = MK_HTTP_GET,
                                    .fn = on_file, .arg = f};

        f->what = &files[i];
        make_etag(f);
        if (!type_is_text(files[i].type) || gzip(&f->packed, (struct mk_str){files[i].data, files[i].len}, 9) < 0)
            mk_buf_release(&f->packed);
        /* Before its route, so that it goes after it. */
        mk_module_own(m, file_undo, f);
        if (route_add(http, m, place, &route, err) < 0)
            return -1;
    }
    return 0;
}
