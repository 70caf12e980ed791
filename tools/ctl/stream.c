/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * A subscription by server-sent events: each event is printed as one line of JSON, until the server ends it or Ctrl-C.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "ctl.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define EVENT_MAX ((size_t)64 << 20)

struct stream {
    struct node *node;
    char *line;             /* what is there of a line */
    size_t line_len;
    char *data;             /* of the event under way */
    size_t data_len;
    struct reply refusal;   /* the body, when it is no stream */
    bool failed;            /* an event had errors, or could not be printed */
};

static bool
append(char **text, size_t *len, const char *more, size_t n)
{
    char *grown_text;

    if (n > EVENT_MAX - *len || !(grown_text = realloc(*text, *len + n + 1)))
        return false;
    *text = grown_text;
    memcpy(*text + *len, more, n);
    *len += n;
    (*text)[*len] = '\0';
    return true;
}

static bool
end_event(struct stream *s)
{
    struct reply r = {.json = json_loadb(s->data, s->data_len, JSON_ALLOW_NUL, NULL)};

    s->data_len = 0;
    if (!r.json) {
        complain("an event is not JSON");
        s->failed = true;
        return true;
    }
    print_compact(stdout, r.json);
    putchar('\n');
    if (print_errors(&r) != CTL_OK)
        s->failed = true;
    json_decref(r.json);
    return flush_stdout() == CTL_OK;
}

/* A line without its end. Comments keep the connection alive; the event's name and number say nothing to us. */
static bool
on_line(struct stream *s)
{
    const char *value;

    if (s->line_len == 0)
        return s->data_len == 0 || end_event(s);
    if (strncmp(s->line, "data:", 5) != 0)
        return true;
    value = s->line + 5 + (s->line[5] == ' ');
    if (s->data_len && !append(&s->data, &s->data_len, "\n", 1))
        return false;
    return append(&s->data, &s->data_len, value, strlen(value));
}

static bool
feed(struct stream *s, const char *data, size_t len)
{
    while (len > 0) {
        const char *end = memchr(data, '\n', len);
        size_t n = end ? (size_t)(end - data) : len;

        if (!append(&s->line, &s->line_len, data, n))
            return false;
        data += n;
        len -= n;
        if (!end)
            break;
        data++;
        len--;
        if (s->line_len && s->line[s->line_len - 1] == '\r')
            s->line[--s->line_len] = '\0';
        if (!on_line(s))
            return false;
        s->line_len = 0;
    }
    return true;
}

static size_t
on_data(char *data, size_t one, size_t len, void *arg)
{
    struct stream *s = arg;
    const char *type = NULL;
    bool ok;

    (void)one;
    curl_easy_getinfo(s->node->curl, CURLINFO_CONTENT_TYPE, &type);
    if (type && strncmp(type, "text/event-stream", 17) == 0)
        ok = feed(s, data, len);
    else
        ok = append(&s->refusal.text, &s->refusal.len, data, len);
    return ok ? len : 0;
}

static int
open_signals(void)
{
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        sigprocmask(SIG_UNBLOCK, &set, NULL);
    return fd;
}

/* True: the stream is at its end, `code` says how. False: the user has ended it. */
static bool
transfer(CURLM *multi, int signals, CURLcode *code)
{
    struct curl_waitfd extra = {.fd = signals, .events = CURL_WAIT_POLLIN};
    struct signalfd_siginfo info;
    int running = 1, left;
    CURLMsg *message;

    while (running) {
        if (curl_multi_perform(multi, &running) != CURLM_OK)
            return true;
        if (!running)
            break;
        if (curl_multi_poll(multi, &extra, signals >= 0, 60000, NULL) != CURLM_OK)
            return true;
        if (signals >= 0 && read(signals, &info, sizeof(info)) == sizeof(info))
            return false;
    }
    while ((message = curl_multi_info_read(multi, &left)))
        if (message->msg == CURLMSG_DONE)
            *code = message->data.result;
    return true;
}

static int
outcome(struct stream *s, CURLcode code, const char *why)
{
    struct reply *r = &s->refusal;

    if (code != CURLE_OK && code != CURLE_WRITE_ERROR)
        return unreachable(s->node, code, why);
    if (!r->text)
        return code != CURLE_OK || s->failed ? CTL_ERROR : CTL_OK;
    r->json = json_loadb(r->text, r->len, JSON_ALLOW_NUL, NULL);
    if (json_is_array(json_object_get(r->json, "errors")))
        return print_reply(r, OUTPUT_JSON);
    curl_easy_getinfo(s->node->curl, CURLINFO_RESPONSE_CODE, &r->status);
    complain("%s answered with status %ld and no stream of events", s->node->name, r->status);
    return CTL_ERROR;
}

static int
run(struct stream *s, CURLM *multi)
{
    char why[CURL_ERROR_SIZE] = "";
    CURLcode code = CURLE_FAILED_INIT;
    int signals = open_signals(), rc;

    curl_easy_setopt(s->node->curl, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(s->node->curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(s->node->curl, CURLOPT_WRITEDATA, s);
    curl_multi_add_handle(multi, s->node->curl);
    rc = transfer(multi, signals, &code) ? outcome(s, code, why) : s->failed ? CTL_ERROR : CTL_OK;
    curl_multi_remove_handle(multi, s->node->curl);
    if (signals >= 0)
        close(signals);
    return rc;
}

int
node_subscribe(struct node *node, const char *document, const json_t *variables,
               const char *operation)
{
    struct stream s = {.node = node};
    char *url = format("%s/sse", node->url), *body = request_body(document, variables, operation);
    struct curl_slist *list = body ? node_prepare(node, url, body) : NULL;
    CURLM *multi = body ? curl_multi_init() : NULL;
    int rc = multi ? run(&s, multi) : CTL_ERROR;

    curl_multi_cleanup(multi);
    curl_slist_free_all(list);
    reply_release(&s.refusal);
    free(s.line);
    free(s.data);
    free(body);
    free(url);
    return rc;
}
