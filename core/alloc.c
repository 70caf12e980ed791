/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Memory and errors: running out of memory ends the process, a failed assertion aborts it. */
#include "config.h"

#include "base-internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include <meerkat/base.h>

#include "log-internal.h"

static void __attribute__((noreturn, cold))
out_of_memory(size_t size)
{
    mki_log_fatal("out of memory: %zu bytes were asked for", size);
    abort();
}

void *
mk_try_alloc(size_t size)
{
    return malloc(size ? size : 1);
}

void *
mk_alloc(size_t size)
{
    void *p = mk_try_alloc(size);

    if (MK_UNLIKELY(!p))
        out_of_memory(size);
    return p;
}

void *
mk_zalloc(size_t size)
{
    void *p = calloc(1, size ? size : 1);

    if (MK_UNLIKELY(!p))
        out_of_memory(size);
    return p;
}

void *
mk_realloc(void *ptr, size_t size)
{
    void *p = realloc(ptr, size ? size : 1);

    if (MK_UNLIKELY(!p))
        out_of_memory(size);
    return p;
}

void
mk_free(void *ptr)
{
    free(ptr);
}

char *
mk_str_dup(struct mk_str s)
{
    char *copy = mk_alloc(s.len + 1);

    if (s.len)
        memcpy(copy, s.p, s.len);
    copy[s.len] = '\0';
    return copy;
}

char *
mk_strdup(const char *text)
{
    return text ? mk_str_dup(mk_str_of(text)) : NULL;
}

char *
mk_printf_new(const char *fmt, ...)
{
    char *text;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0)
        out_of_memory(0);
    return text;
}

int
mk_fail(struct mk_error *err, const char *fmt, ...)
{
    va_list ap;

    if (!err)
        return -1;
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof(err->text), fmt, ap);
    va_end(ap);
    return -1;
}

void
mk_bug(const char *file, int line, const char *why)
{
    mki_log_fatal("bug at %s:%d: %s", file, line, why);
    abort();
}

void
mk_random(void *out, size_t len)
{
    unsigned char *p = out;

    while (len) {
        size_t chunk = len > 256 ? 256 : len;

        if (getentropy(p, chunk) != 0)
            MK_BUG("the system has no randomness");
        p += chunk;
        len -= chunk;
    }
}

void
mk_random_id(char *out, size_t len)
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz012345";

    MK_ASSERT(len > 0);
    mk_random(out, len - 1);
    for (size_t i = 0; i + 1 < len; i++)
        out[i] = digits[(unsigned char)out[i] & 31];
    out[len - 1] = '\0';
}
