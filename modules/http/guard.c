/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Requests as RFC 9112 says they are, strictly: what could be read in two ways is refused, so that no proxy before us and
 * no library behind us sees another request than we do.
 */
#include "config.h"

#include "guard.h"

#include <strings.h>

/* More than anybody sends; each costs memory of its own. */
#define MAX_HEADERS 100

/* -- where a head ends ------------------------------------------------------------------------ */

size_t
guard_scan(struct guard_scan *s, const char *data, size_t len, bool *done_out)
{
    size_t at = 0;

    *done_out = false;
    while (at < len) {
        const char *end = memchr(data + at, '\n', len - at);
        size_t n = (end ? (size_t)(end - data) : len) - at;

        /* What is on the line before its end, over however many pieces it came in. */
        if (n == 1 && data[at] == '\r' && s->on_line == 0)
            s->on_line = 1;
        else if (n)
            s->on_line = 2;
        if (!end) {
            at = len;
            break;
        }
        at += n + 1;
        if (s->on_line < 2) {
            *done_out = true;
            break;
        }
        s->line_ended = true;
        s->on_line = 0;
    }
    s->seen += at;
    return at;
}

/* -- a head ------------------------------------------------------------------------------------- */

static bool
is_token_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static bool
is_token(struct mk_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_token_byte(s.p[i]))
            return false;
    }
    return s.len > 0;
}

/* Of headers: visible bytes, spaces, tabs, and whatever is above ASCII. */
static bool
is_text(struct mk_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static bool
is_visible(struct mk_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] <= ' ' || s.p[i] == 0x7f)
            return false;
    }
    return s.len > 0;
}

static bool
is_word(struct mk_str s, const char *word)
{
    return s.len == strlen(word) && strncasecmp(s.p, word, s.len) == 0;
}

static struct mk_str
trim(struct mk_str s)
{
    while (s.len && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.len--;
    }
    while (s.len && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* The next line, without its end. */
static struct mk_str
next_line(const char **at, const char *end)
{
    const char *lf = memchr(*at, '\n', (size_t)(end - *at));
    const char *stop = lf ? lf : end;
    struct mk_str line = {*at, (size_t)(stop - *at)};

    *at = lf ? lf + 1 : end;
    if (line.len && line.p[line.len - 1] == '\r')
        line.len--;
    return line;
}

static int
check_method(struct mk_str method, struct guard_head *out)
{
    static const char *const known[] = {"GET", "POST", "PUT", "DELETE", "OPTIONS"};

    if (!is_token(method))
        return 400;
    if (mk_str_is(method, "HEAD")) {
        out->head = true;
        return 0;
    }
    for (size_t i = 0; i < MK_COUNT(known); i++) {
        if (mk_str_is(method, known[i]))
            return 0;
    }
    return 501;
}

static int
check_version(struct mk_str version, struct guard_head *out)
{
    if (mk_str_is(version, "HTTP/1.1"))
        return 0;
    out->old = true;
    if (mk_str_is(version, "HTTP/1.0"))
        return 0;
    if (version.len == 8 && memcmp(version.p, "HTTP/", 5) == 0 && version.p[5] >= '0' && version.p[5] <= '9' &&
        version.p[6] == '.' && version.p[7] >= '0' && version.p[7] <= '9')
        return 505;
    return 400;
}

static bool
is_target(struct mk_str target, struct mk_str method)
{
    if (!is_visible(target) || memchr(target.p, '#', target.len))
        return false;
    for (size_t i = 0; i < target.len; i++) {
        if ((unsigned char)target.p[i] >= 0x80)
            return false;
    }
    if (target.p[0] == '/')
        return true;
    if (mk_str_is(target, "*"))
        return mk_str_is(method, "OPTIONS");
    return (target.len > 7 && strncasecmp(target.p, "http://", 7) == 0) ||
           (target.len > 8 && strncasecmp(target.p, "https://", 8) == 0);
}

static int
check_request_line(struct mk_str line, struct mk_str *method_out, struct guard_head *out)
{
    const char *space = memchr(line.p, ' ', line.len), *last = memrchr(line.p, ' ', line.len);
    struct mk_str method, target, version;
    int status;

    if (!space || last == space)
        return 400;
    method = (struct mk_str){line.p, (size_t)(space - line.p)};
    target = (struct mk_str){space + 1, (size_t)(last - space - 1)};
    version = (struct mk_str){last + 1, (size_t)(line.p + line.len - last - 1)};
    *method_out = method;
    out->target = target;
    status = check_version(version, out);
    /* Of a version that is not ours nothing else can be said. */
    if (status)
        return status;
    if (!is_token(method) || !is_target(target, method))
        return 400;
    return check_method(method, out);
}

struct head_state {
    struct guard_head *out;
    const char *begin;
    unsigned hosts, lengths, encodings, count;
};

static void
hide(struct head_state *s, struct mk_str name)
{
    if (s->out->hide_count < GUARD_HIDE_MAX)
        s->out->hide[s->out->hide_count++] = (size_t)(name.p - s->begin);
}

static int
take_length(struct head_state *s, struct mk_str value)
{
    uint64_t n = 0;

    if (s->lengths++ || value.len == 0)
        return 400;
    for (size_t i = 0; i < value.len; i++) {
        if (value.p[i] < '0' || value.p[i] > '9')
            return 400;
        /* What overflows is too long as well. */
        if (n < UINT64_MAX / 100)
            n = n * 10 + (uint64_t)(value.p[i] - '0');
    }
    s->out->length = n;
    return 0;
}

static int
take_header(struct head_state *s, struct mk_str name, struct mk_str value)
{
    if (is_word(name, "host")) {
        if (s->hosts++ || memchr(value.p, ' ', value.len) || memchr(value.p, '/', value.len) ||
            memchr(value.p, '@', value.len))
            return 400;
    } else if (is_word(name, "content-length")) {
        hide(s, name);
        return take_length(s, value);
    } else if (is_word(name, "transfer-encoding")) {
        hide(s, name);
        if (s->encodings++ || s->out->old)
            return 400;
        if (!is_word(value, "chunked"))
            return 501;
        s->out->chunked = true;
    } else if (is_word(name, "expect")) {
        hide(s, name);
        if (!is_word(value, "100-continue"))
            return 417;
        s->out->expects = !s->out->old;
    }
    return 0;
}

static int
check_header(struct head_state *s, struct mk_str line)
{
    const char *colon = memchr(line.p, ':', line.len);
    struct mk_str name, value;

    if (!colon || ++s->count > MAX_HEADERS)
        return colon ? 431 : 400;
    name = (struct mk_str){line.p, (size_t)(colon - line.p)};
    value = trim((struct mk_str){colon + 1, line.len - name.len - 1});
    /* A line that goes on from the one before begins with white space, which is no token. */
    if (!is_token(name) || !is_text(value))
        return 400;
    return take_header(s, name, value);
}

int
guard_check(const char *text, size_t len, const struct guard_limits *limits, struct guard_head *out)
{
    const char *at = text, *end = text + len;
    struct head_state s = {.out = out, .begin = text};
    struct mk_str method, line;
    int status;

    memset(out, 0, sizeof(*out));
    line = next_line(&at, end);
    status = check_request_line(line, &method, out);
    if (status)
        return status;
    while (at < end) {
        line = next_line(&at, end);
        if (line.len == 0)
            break;
        status = check_header(&s, line);
        if (status)
            return status;
    }
    if ((s.lengths && s.encodings) || (s.hosts == 0 && !out->old))
        return 400;
    if (out->head && (out->chunked || out->length))
        return 400;
    if (!s.lengths && !s.encodings && (mk_str_is(method, "POST") || mk_str_is(method, "PUT")))
        return 411;
    return out->length > limits->max_body ? 413 : 0;
}

/* -- chunks -------------------------------------------------------------------------------------- */

enum { SIZE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILER, TRAILER_LF };

static int
hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A byte of the line that says how long the next chunk is. */
static enum guard_chunks_result
take_size(struct guard_chunks *c, char byte)
{
    int digit = hex_value(byte);

    if (digit >= 0) {
        /* Fifteen digits are more than any body, and do not overflow. */
        if (++c->digits > 15)
            return CHUNKS_TOO_LONG;
        c->left = c->left << 4 | (uint64_t)digit;
        return CHUNKS_MORE;
    }
    if (c->digits == 0)
        return CHUNKS_BAD;
    if (byte == ';' || byte == ' ' || byte == '\t')
        c->state = EXTENSION;
    else if (byte == '\r')
        c->state = SIZE_LF;
    else
        return CHUNKS_BAD;
    return CHUNKS_MORE;
}

/* A byte behind the last chunk: trailers are read over. */
static enum guard_chunks_result
take_trailer(struct guard_chunks *c, char byte)
{
    if (byte == '\r') {
        c->state = TRAILER_LF;
    } else {
        if (byte == '\n' || byte == '\0')
            return CHUNKS_BAD;
        c->trailer_text = true;
        c->extra++;
    }
    return CHUNKS_MORE;
}

static enum guard_chunks_result
take_byte(struct guard_chunks *c, char byte)
{
    switch (c->state) {
    case SIZE:
        return take_size(c, byte);
    case EXTENSION:
        c->extra++;
        if (byte == '\r')
            c->state = SIZE_LF;
        return byte == '\n' || byte == '\0' ? CHUNKS_BAD : CHUNKS_MORE;
    case SIZE_LF:
        c->state = c->left ? DATA : TRAILER;
        c->digits = 0;
        return byte == '\n' ? CHUNKS_MORE : CHUNKS_BAD;
    case DATA_CR:
        c->state = DATA_LF;
        return byte == '\r' ? CHUNKS_MORE : CHUNKS_BAD;
    case DATA_LF:
        c->state = SIZE;
        return byte == '\n' ? CHUNKS_MORE : CHUNKS_BAD;
    case TRAILER:
        return take_trailer(c, byte);
    default:                    /* TRAILER_LF */
        if (byte != '\n')
            return CHUNKS_BAD;
        if (!c->trailer_text)
            return CHUNKS_DONE;
        c->trailer_text = false;
        c->state = TRAILER;
        return CHUNKS_MORE;
    }
}

enum guard_chunks_result
guard_chunks(struct guard_chunks *c, const char *data, size_t len, const struct guard_limits *limits,
             struct mk_buf *out, size_t *taken_out)
{
    enum guard_chunks_result result = CHUNKS_MORE;
    size_t at = 0;

    while (at < len && result == CHUNKS_MORE) {
        size_t n = len - at;

        if (c->state != DATA) {
            result = take_byte(c, data[at++]);
            if (c->state == DATA && (out->len > limits->max_body || c->left > limits->max_body - out->len))
                result = CHUNKS_TOO_LONG;
            if (c->extra > limits->max_header)
                result = CHUNKS_TOO_LONG;
            continue;
        }
        if (n > c->left)
            n = (size_t)c->left;
        mk_buf_add(out, data + at, n);
        at += n;
        c->left -= n;
        if (c->left == 0)
            c->state = DATA_CR;
    }
    *taken_out = at;
    return result;
}
