/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Growable buffers, base64 and hexadecimal. */
#include "config.h"

#include <stdio.h>

#include <meerkat/base.h>

void
mk_buf_reserve(struct mk_buf *b, size_t more)
{
    size_t need = b->len + more;
    size_t cap = b->cap ? b->cap : 64;

    MK_ASSERT(need >= more);
    if (need <= b->cap)
        return;
    while (cap < need)
        cap = cap < (1u << 20) ? cap * 2 : cap + cap / 4;
    b->data = mk_realloc(b->data, cap);
    b->cap = cap;
}

void
mk_buf_printf(struct mk_buf *b, const char *fmt, ...)
{
    va_list ap, again;
    int n;

    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    MK_ASSERT(n >= 0);
    mk_buf_reserve(b, (size_t)n + 1);
    vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
    va_end(again);
    b->len += (size_t)n;
}

const char *
mk_buf_cstr(struct mk_buf *b)
{
    mk_buf_reserve(b, 1);
    b->data[b->len] = '\0';
    return b->data;
}

char *
mk_buf_take(struct mk_buf *b)
{
    char *data;

    mk_buf_cstr(b);
    data = b->data;
    memset(b, 0, sizeof(*b));
    return data;
}

void
mk_buf_release(struct mk_buf *b)
{
    mk_free(b->data);
    memset(b, 0, sizeof(*b));
}

void
mk_base64_encode(struct mk_buf *out, struct mk_str in)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = (const unsigned char *)in.p;

    mk_buf_reserve(out, (in.len + 2) / 3 * 4);
    for (size_t i = 0; i < in.len; i += 3) {
        size_t left = in.len - i;
        uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                     (left > 2 ? p[i + 2] : 0);

        mk_buf_add_byte(out, digits[v >> 18 & 63]);
        mk_buf_add_byte(out, digits[v >> 12 & 63]);
        mk_buf_add_byte(out, left > 1 ? digits[v >> 6 & 63] : '=');
        mk_buf_add_byte(out, left > 2 ? digits[v & 63] : '=');
    }
}

static int
base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int
mk_base64_decode(struct mk_buf *out, struct mk_str in)
{
    if (in.len % 4)
        return -1;
    for (size_t i = 0; i < in.len; i += 4) {
        bool last = i + 4 == in.len;
        int pad = last && in.p[i + 3] == '=' ? (in.p[i + 2] == '=' ? 2 : 1) : 0;
        uint32_t v = 0;

        for (int k = 0; k < 4 - pad; k++) {
            int d = base64_digit(in.p[i + (size_t)k]);

            if (d < 0)
                return -1;
            v |= (uint32_t)d << (18 - 6 * k);
        }
        /* Bits behind the end must be zero, or one value would have several texts. */
        if ((pad == 1 && (v & 0xff)) || (pad == 2 && (v & 0xffff)))
            return -1;
        mk_buf_add_byte(out, (char)(v >> 16));
        if (pad < 2)
            mk_buf_add_byte(out, (char)(v >> 8));
        if (pad < 1)
            mk_buf_add_byte(out, (char)v);
    }
    return 0;
}

void
mk_hex_encode(struct mk_buf *out, struct mk_str in)
{
    for (size_t i = 0; i < in.len; i++) {
        mk_buf_add_byte(out, "0123456789abcdef"[(unsigned char)in.p[i] >> 4]);
        mk_buf_add_byte(out, "0123456789abcdef"[in.p[i] & 15]);
    }
}
