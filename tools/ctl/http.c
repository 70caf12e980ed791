/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * One request, one answer, over one connection that is kept for the next.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REPLY_MAX ((size_t)256 << 20)
#define CONNECT_TIMEOUT_MS 5000L

char *
request_body(const char *document, const json_t *variables, const char *operation)
{
    json_t *body = json_pack("{s:s, s:O*, s:s*}", "query", document, "variables", variables,
                             "operationName", operation);
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

    json_decref(body);
    if (!text)
        complain("the request is not text in UTF-8");
    return text;
}

static struct curl_slist *
headers(void)
{
    static const char *const lines[] = {"Content-Type: application/json", "Accept: application/json",
                                        "Expect:"};
    struct curl_slist *list = NULL;

    for (unsigned i = 0; i < 3; i++) {
        struct curl_slist *more = curl_slist_append(list, lines[i]);

        if (!more)
            complain("out of memory");
        list = more ? more : list;
    }
    return list;
}

/* A node on the loopback is never behind a proxy that the environment names for others. */
static void
set_place(struct node *node)
{
    CURL *c = node->curl;

    if (node->socket) {
        curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, node->socket);
        curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
        return;
    }
    curl_easy_setopt(c, CURLOPT_NOPROXY, "localhost,127.0.0.1,::1");
    curl_easy_setopt(c, CURLOPT_ACCEPT_ENCODING, "");
    if (node->ca)
        curl_easy_setopt(c, CURLOPT_CAINFO, node->ca);
    if (node->user) {
        curl_easy_setopt(c, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
        curl_easy_setopt(c, CURLOPT_USERNAME, node->user);
        curl_easy_setopt(c, CURLOPT_PASSWORD, node->password);
    }
}

struct curl_slist *
node_prepare(struct node *node, const char *url, const char *body)
{
    struct curl_slist *list = headers();
    CURL *c;

    if (!node->curl && (curl_global_init(node->socket ? CURL_GLOBAL_NOTHING : CURL_GLOBAL_ALL) ||
                        !(node->curl = curl_easy_init()))) {
        complain("libcurl does not start");
        exit(CTL_ERROR);
    }
    c = node->curl;
    curl_easy_reset(c);
    set_place(node);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "meerkatctl/" PACKAGE_VERSION);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
    return list;
}

static const char *
reason(const struct node *node, CURLcode code, const char *why)
{
    long number = 0;

    if (code == CURLE_COULDNT_CONNECT && node->curl &&
        curl_easy_getinfo(node->curl, CURLINFO_OS_ERRNO, &number) == CURLE_OK && number)
        return strerror((int)number);
    return *why ? why : curl_easy_strerror(code);
}

int
unreachable(const struct node *node, CURLcode code, const char *why)
{
    if (code == CURLE_URL_MALFORMAT || code == CURLE_SSL_CACERT_BADFILE) {
        complain("%s: %s", node->name, *why ? why : curl_easy_strerror(code));
        return CTL_USAGE;
    }
    complain("cannot reach the node at %s: %s", node->name, reason(node, code, why));
    return CTL_UNREACHABLE;
}

static size_t
on_data(char *data, size_t one, size_t len, void *arg)
{
    struct reply *r = arg;
    char *more;

    (void)one;
    if (len > REPLY_MAX - r->len || !(more = realloc(r->text, r->len + len + 1)))
        return 0;
    r->text = more;
    memcpy(r->text + r->len, data, len);
    r->len += len;
    r->text[r->len] = '\0';
    return len;
}

/* An answer that is no GraphQL: of a proxy, of another server, or of one that is too busy for it. */
static int
not_graphql(const struct node *node, const struct reply *r, bool quiet)
{
    if (quiet)
        return CTL_ERROR;
    if (r->status == 401)
        complain("%s wants credentials, or others: --credentials-file, or MEERKAT_USER and "
                 "MEERKAT_PASSWORD", node->name);
    else if (r->status == 404)
        complain("%s has no API there (404)", node->name);
    else
        complain("%s answered with status %ld and no GraphQL: %.200s", node->name, r->status,
                 r->text ? r->text : "nothing");
    return CTL_ERROR;
}

static int
read_reply(const struct node *node, struct reply *r, bool quiet)
{
    r->json = r->text ? json_loadb(r->text, r->len, JSON_ALLOW_NUL, NULL) : NULL;
    if (json_object_get(r->json, "data") || json_is_array(json_object_get(r->json, "errors")))
        return CTL_OK;
    return not_graphql(node, r, quiet);
}

int
node_ask(struct node *node, const char *document, const json_t *variables, const char *operation,
         bool quiet, struct reply *r)
{
    char why[CURL_ERROR_SIZE] = "", *body = request_body(document, variables, operation);
    struct curl_slist *list;
    CURLcode code;

    *r = (struct reply){0};
    if (!body)
        return CTL_USAGE;
    list = node_prepare(node, node->url, body);
    curl_easy_setopt(node->curl, CURLOPT_TIMEOUT, node->timeout);
    curl_easy_setopt(node->curl, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(node->curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(node->curl, CURLOPT_WRITEDATA, r);
    code = curl_easy_perform(node->curl);
    curl_easy_getinfo(node->curl, CURLINFO_RESPONSE_CODE, &r->status);
    explicit_bzero(body, strlen(body));
    free(body);
    curl_slist_free_all(list);
    if (code != CURLE_OK)
        return quiet ? CTL_UNREACHABLE : unreachable(node, code, why);
    return read_reply(node, r, quiet);
}

void
reply_release(struct reply *r)
{
    json_decref(r->json);
    free(r->text);
    *r = (struct reply){0};
}
