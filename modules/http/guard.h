/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * What is let through to evhttp: heads of requests that are checked, one at a time. No sockets here, so that the
 * fuzzer can feed it.
 */
#ifndef HTTP_GUARD_H
#define HTTP_GUARD_H

#include <meerkat/base.h>

struct guard_limits {
    size_t max_header;          /* of the request line and the headers together */
    uint64_t max_body;
};

/* Where the head of a request ends, looked for as it comes in. */
struct guard_scan {
    size_t seen;                /* bytes */
    bool line_ended;            /* there is a request line */
    uint8_t on_line;            /* of the line under way: 0 nothing, 1 a carriage return, 2 something */
};

/* Looks at further bytes: how many of them belong to the head; *done_out: it ends with them. */
size_t guard_scan(struct guard_scan *s, const char *data, size_t len, bool *done_out);

enum { GUARD_HIDE_MAX = 3 };

struct guard_head {
    bool head;                  /* the method is HEAD */
    bool old;                   /* HTTP/1.0 */
    bool expects;               /* 100-continue */
    bool chunked;
    uint64_t length;            /* of the body, where it is not chunked */
    struct mk_str target;       /* in the text; visible ASCII */
    /* Headers that evhttp must not see: where their names are. The body is none of its business. */
    size_t hide[GUARD_HIDE_MAX];
    unsigned hide_count;
};

/* Checks a whole head, up to its empty line. 0, or the status to refuse it with. */
int guard_check(const char *text, size_t len, const struct guard_limits *limits, struct guard_head *out);

/* A body in chunks (RFC 9112 §7.1). */
struct guard_chunks {
    uint8_t state;
    uint8_t digits;
    bool trailer_text;
    uint64_t left;              /* of the chunk */
    size_t extra;               /* bytes of extensions and trailers */
};
enum guard_chunks_result { CHUNKS_MORE, CHUNKS_DONE, CHUNKS_BAD, CHUNKS_TOO_LONG };
/* Takes bytes, and appends what is body to `out`. *taken_out: how many. */
enum guard_chunks_result guard_chunks(struct guard_chunks *c, const char *data, size_t len,
                                      const struct guard_limits *limits, struct mk_buf *out,
                                      size_t *taken_out);

#endif
