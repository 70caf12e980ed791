/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * libFuzzer target: what comes in over an HTTP connection, as module http takes it apart. The first byte says in what pieces
 * it comes; whatever they are, the same must come out.
 */
#include "config.h"

#include "internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct guard_limits limits = {500, 300};

/* What a connection makes of its input. */
struct seen {
    struct mk_buf told;         /* of each request its head's length, its target and its body */
    int status;                 /* of the end; 0: it waits for more */
};

static void
look_at_target(struct mk_str text, struct mk_buf *told)
{
    static struct route routes[] = {{.pattern = (char *)"/a/b", .methods = MK_HTTP_GET},
                                    {.pattern = (char *)"/a/{x}", .methods = MK_HTTP_GET, .varies = true},
                                    {.pattern = (char *)"/{x}/{y}/{*}", .methods = MK_HTTP_POST, .varies = true}};
    static struct {
        size_t count;
        struct route *list[3];
    } all = {3, {&routes[0], &routes[1], &routes[2]}};
    const struct site site = {.routes = (struct routes *)&all};
    struct target t = {.text = mk_str_dup(text)};
    struct part parts[MAX_PARTS];
    struct match match;
    char *memory;

    if (strcmp(t.text, "*") != 0 && target_parse(&t) == 0) {
        MK_ASSERT(t.path[0] == '/' && !strstr(t.path, "/../") && strlen(t.path) <= strlen(t.raw_path));
        match = route_find(&site, MK_HTTP_GET | MK_HTTP_POST, t.raw_path);
        if (match.route && match.route->varies) {
            size_t n = route_parts(match.route, t.raw_path, parts, &memory);

            for (size_t i = 0; i < n; i++)
                mk_buf_printf(told, "%.*s=%s ", (int)parts[i].name_len, parts[i].name, parts[i].value);
            mk_free(memory);
        }
        mk_buf_printf(told, "%s %zu %s\n", t.path, t.query_count, target_query(&t, "q") ? target_query(&t, "q") : "");
    }
    target_release(&t);
}

/* The body behind a head; how much of the input it took, or -1 with a status: the end. */
static ssize_t
take_body(const struct guard_head *head, const char *in, size_t len, size_t piece, struct seen *seen)
{
    struct guard_chunks chunks = {0};
    enum guard_chunks_result result = CHUNKS_MORE;
    struct mk_buf body = {0};
    size_t at = 0, taken;

    while (head->chunked && result == CHUNKS_MORE && at < len) {
        result = guard_chunks(&chunks, in + at, len - at < piece ? len - at : piece, &limits, &body, &taken);
        at += taken;
        MK_ASSERT(body.len <= limits.max_body);
    }
    if (!head->chunked && len >= head->length) {
        at = (size_t)head->length;
        mk_buf_add(&body, in, at);
        result = CHUNKS_DONE;
    }
    if (result == CHUNKS_DONE)
        mk_buf_add_str(&seen->told, mk_buf_str(&body));
    mk_buf_release(&body);
    seen->status = result == CHUNKS_BAD ? 400 : result == CHUNKS_TOO_LONG ? 413 : 0;
    return result == CHUNKS_DONE ? (ssize_t)at : -1;
}

static void
take_all(const char *in, size_t len, size_t piece, struct seen *seen)
{
    size_t at = 0;

    for (;;) {
        struct guard_scan scan = {0};
        struct guard_head head;
        bool done = false;
        ssize_t body;

        while (at < len && (in[at] == '\r' || in[at] == '\n'))
            at++;
        while (!done && at + scan.seen < len && scan.seen <= limits.max_header) {
            size_t left = len - at - scan.seen;

            guard_scan(&scan, in + at + scan.seen, left < piece ? left : piece, &done);
        }
        if (!done || scan.seen > limits.max_header) {
            seen->status = scan.seen > limits.max_header ? 431 : 0;
            return;
        }
        seen->status = guard_check(in + at, scan.seen, &limits, &head);
        if (seen->status)
            return;
        mk_buf_printf(&seen->told, "%zu %d %d\n", scan.seen, head.old, head.expects);
        look_at_target(head.target, &seen->told);
        for (unsigned i = 0; i < head.hide_count; i++)
            MK_ASSERT(head.hide[i] < scan.seen);
        at += scan.seen;
        body = take_body(&head, in + at, len - at, piece, seen);
        if (body < 0)
            return;
        at += (size_t)body;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen whole = {0}, pieces = {0};
    char *text;

    if (size < 1)
        return 0;
    /* Memory of its exact size, so that one byte beyond is noticed. */
    text = mk_alloc(size - 1);
    memcpy(text, data + 1, size - 1);
    take_all(text, size - 1, SIZE_MAX, &whole);
    take_all(text, size - 1, data[0] % 16 + 1, &pieces);
    MK_ASSERT(mk_str_eq(mk_buf_str(&whole.told), mk_buf_str(&pieces.told)));
    MK_ASSERT(whole.status == pieces.status);
    mk_buf_release(&whole.told);
    mk_buf_release(&pieces.told);
    mk_free(text);
    return 0;
}
