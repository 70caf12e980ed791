/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The web console: one page beside the administrators' API, on which everything that it shows and does goes through. The
 * page itself holds nothing that is not public; who has no credentials gets no further than its form.
 */
#include <stdlib.h>
#include <string.h>

#include <meerkat/crypto.h>
#include <meerkat/http.h>
#include <meerkat/meerkat.h>

/* autogen.sh looks for ".incbin" to know that this file depends on the page. */
__asm__(".pushsection .rodata\nconsole_page:\n.incbin \"console.html\"\n.byte 0\n.popsection\n");
extern const char page[] __asm__("console_page") __attribute__((visibility("hidden")));

struct console {
    struct mk_http_static file;
    char *csp;
};

/* Appends the source that allows the one element of this name, as it stands in the page. */
static void
allow_inline(struct mk_buf *out, const char *open, const char *close)
{
    unsigned char hash[MK_DIGEST_MAX];
    const char *begin = strstr(page, open), *end = begin ? strstr(begin, close) : NULL;

    if (!end)
        MK_BUG("the page is not what it was");
    begin += strlen(open);
    mk_digest(MK_SHA256, (struct mk_str){begin, (size_t)(end - begin)}, hash);
    mk_buf_add_cstr(out, "'sha256-");
    mk_base64_encode(out, (struct mk_str){(const char *)hash, mk_digest_size(MK_SHA256)});
    mk_buf_add_cstr(out, "'");
}

/* The page's own script and style, the API of its own server, and nothing else. */
static char *
make_csp(void)
{
    struct mk_buf out = {0};

    mk_buf_add_cstr(&out, "default-src 'none'; script-src ");
    allow_inline(&out, "<script>", "</script>");
    mk_buf_add_cstr(&out, "; style-src ");
    allow_inline(&out, "<style>", "</style>");
    mk_buf_add_cstr(&out, "; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
                          "frame-ancestors 'none'; require-trusted-types-for 'script'");
    return mk_buf_take(&out);
}

/* Who types the bare address of the API wants the console. */
static void
on_root(struct mk_http_request *rq, void *arg)
{
    (void)arg;
    mk_http_set_header(rq, "Location", "/console");
    mk_http_answer(rq, 302, NULL, MK_STR(""));
}

static int
init(struct mk_module *m, struct mk_error *err)
{
    const struct mk_http *http = mk_http_get(m, err);
    struct console *c;

    if (!http)
        return -1;
    c = mk_zalloc(sizeof(*c));
    mk_module_set(m, c);
    c->csp = make_csp();
    c->file = (struct mk_http_static){"/console", "text/html; charset=utf-8", page, strlen(page), c->csp};
    if (http->files(http->self, m, "graphql_admin", &c->file, 1, err) < 0)
        return -1;
    return mk_http_route(http, m, "graphql_admin", MK_HTTP_GET, "/", on_root, NULL, err);
}

static void
unload(struct mk_module *m)
{
    struct console *c = mk_module_get(m);

    mk_free(c->csp);
    mk_free(c);
}

MK_MODULE(.name = "console", .version = "1.0", .summary = "a web page for administrators, at /console beside their API",
          .depends = (const char *const[]){"http", "graphql", NULL}, .init = init, .unload = unload);
