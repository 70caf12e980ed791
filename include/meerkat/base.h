/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * What every other header stands on: attributes, slices, errors, memory, growable buffers.
 *
 * Conventions of the whole API, said once:
 *  - int functions return 0 for success and -1 for failure; the reason goes to `struct mk_error`,
 *    whose pointer may be NULL. Functions never speak through errno.
 *  - arguments are borrowed for the length of the call and results are borrowed from the first
 *    argument, unless the name has new, dup, take or ref in it or the comment says otherwise.
 *  - destructors take a `T **` and set it to NULL; a NULL inside is fine.
 *  - "worker" as a thread means: any worker thread, on whose objects only that worker works.
 */
#ifndef MEERKAT_BASE_H
#define MEERKAT_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
#define MK_BEGIN extern "C" {
#define MK_END }
#else
#define MK_BEGIN
#define MK_END
#endif

#define MK_API __attribute__((visibility("default")))
#define MK_NODISCARD __attribute__((warn_unused_result))
#define MK_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define MK_NONNULL __attribute__((nonnull))
#define MK_UNUSED __attribute__((unused))
#define MK_LIKELY(x) __builtin_expect(!!(x), 1)
#define MK_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define MK_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/*
 * For ThreadSanitizer, where memory goes from one thread to another through a library that it does not see
 * into (liburcu): the giver says MK_HANDS_OVER(ptr) before, the taker MK_TAKES_OVER(ptr) after. Otherwise nothing.
 */
#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
#define MK_HANDS_OVER(ptr) __tsan_release((void *)(uintptr_t)(ptr))
#define MK_TAKES_OVER(ptr) __tsan_acquire((void *)(uintptr_t)(ptr))
#else
#define MK_HANDS_OVER(ptr) ((void)0)
#define MK_TAKES_OVER(ptr) ((void)0)
#endif

/* True when the open structure behind `ptr` is new enough to have `field`: its `size` says so. */
#define MK_HAS(ptr, field) \
    ((ptr)->size >= offsetof(__typeof__(*(ptr)), field) + sizeof((ptr)->field))

MK_BEGIN

/* A borrowed run of bytes, not NUL-terminated. `p` may be NULL when `len` is 0. */
struct mk_str {
    const char *p;
    size_t len;
};

/* A slice of a string literal. */
#define MK_STR(literal) ((struct mk_str){"" literal, sizeof(literal) - 1})

/* For printf: printf("%.*s", MK_STR_ARG(s)). */
#define MK_STR_ARG(s) (int)(s).len, (s).p ? (s).p : ""

static inline struct mk_str
mk_str_of(const char *text)
{
    return (struct mk_str){text, text ? strlen(text) : 0};
}

static inline bool
mk_str_eq(struct mk_str a, struct mk_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static inline bool
mk_str_is(struct mk_str a, const char *text)
{
    return mk_str_eq(a, mk_str_of(text));
}

/* Equal in a time that depends on the lengths alone: for secrets. Any thread. */
MK_API bool mk_str_eq_secret(struct mk_str a, struct mk_str b);

/* Why something failed, for people: lower case, no full stop, the subject in single quotes. */
struct mk_error {
    char text[512];
};

/* Fills `err` (may be NULL) and returns -1, so that a function can end with `return mk_fail(…)`. */
MK_API int mk_fail(struct mk_error *err, const char *fmt, ...) MK_PRINTF(2, 3);

/*
 * Memory. mk_alloc and its kin never return NULL: when the system has no memory left the process
 * ends with a message. Use mk_try_alloc for sizes that a peer chooses. mk_zalloc gives zeroes.
 * Everything is freed with mk_free (NULL is fine). Any thread.
 */
MK_API void *mk_alloc(size_t size) MK_NODISCARD;
MK_API void *mk_zalloc(size_t size) MK_NODISCARD;
MK_API void *mk_realloc(void *ptr, size_t size) MK_NODISCARD;
MK_API void *mk_try_alloc(size_t size) MK_NODISCARD;
MK_API void mk_free(void *ptr);
MK_API char *mk_strdup(const char *text) MK_NODISCARD;           /* NULL gives NULL */
MK_API char *mk_str_dup(struct mk_str s) MK_NODISCARD;           /* NUL-terminated copy */
MK_API char *mk_printf_new(const char *fmt, ...) MK_PRINTF(1, 2) MK_NODISCARD;
/* Overwrites `len` bytes so that the compiler cannot leave it out: for secrets. */
MK_API void mk_wipe(void *ptr, size_t len);

/*
 * MK_BUG says that the program itself is wrong (never a peer, a file or a database): it logs the
 * place and aborts with a backtrace. Kept in release builds.
 */
MK_API void mk_bug(const char *file, int line, const char *why) __attribute__((noreturn, cold));
#define MK_BUG(why) mk_bug(__FILE__, __LINE__, (why))
#define MK_ASSERT(cond) (MK_LIKELY(cond) ? (void)0 : mk_bug(__FILE__, __LINE__, #cond))

/*
 * A growable buffer. The fields are open for reading; change them through the functions only.
 * An all-zero mk_buf is empty and valid. `data` has no NUL unless mk_buf_cstr put one there.
 */
struct mk_buf {
    char *data;
    size_t len;
    size_t cap;
};

MK_API void mk_buf_reserve(struct mk_buf *b, size_t more);       /* room for `more` bytes */
MK_API void mk_buf_printf(struct mk_buf *b, const char *fmt, ...) MK_PRINTF(2, 3);
MK_API const char *mk_buf_cstr(struct mk_buf *b);                /* NUL behind the end, borrowed */
MK_API char *mk_buf_take(struct mk_buf *b);                      /* owned, NUL-terminated; b empty */
MK_API void mk_buf_release(struct mk_buf *b);                    /* frees the bytes; b is empty */

static inline void
mk_buf_add(struct mk_buf *b, const void *data, size_t len)
{
    if (MK_UNLIKELY(b->cap - b->len < len))
        mk_buf_reserve(b, len);
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
}

static inline void
mk_buf_add_str(struct mk_buf *b, struct mk_str s)
{
    mk_buf_add(b, s.p, s.len);
}

static inline void
mk_buf_add_cstr(struct mk_buf *b, const char *text)
{
    mk_buf_add(b, text, strlen(text));
}

static inline void
mk_buf_add_byte(struct mk_buf *b, char c)
{
    mk_buf_add(b, &c, 1);
}

static inline void
mk_buf_clear(struct mk_buf *b)
{
    b->len = 0;
}

static inline struct mk_str
mk_buf_str(const struct mk_buf *b)
{
    return (struct mk_str){b->data, b->len};
}

/* Base64 of RFC 4648 §4. Decoding is strict: padding needed, no white space; -1 when malformed. */
MK_API void mk_base64_encode(struct mk_buf *out, struct mk_str in);
MK_API int mk_base64_decode(struct mk_buf *out, struct mk_str in) MK_NODISCARD;

/* Lower-case hexadecimal. */
MK_API void mk_hex_encode(struct mk_buf *out, struct mk_str in);

/* `len` bytes from the system's random generator, and a random identifier of 4 to 64 characters
 * [a-z0-9] with a NUL (`len` counts it). Abort when there is no randomness. Any thread. */
MK_API void mk_random(void *out, size_t len);
MK_API void mk_random_id(char *out, size_t len);

/* Time. Milliseconds of a clock that never jumps (cached once a loop turn on a worker), and
 * microseconds since 1970 UTC. mk_time_text writes XEP-0082 "2026-11-24T10:20:30.123456Z" (usec)
 * or without the fraction when it is zero. Any thread. */
MK_API uint64_t mk_now_ms(void);
MK_API int64_t mk_time_us(void);
#define MK_TIME_TEXT_MAX 32
MK_API void mk_time_text(int64_t us, char out[MK_TIME_TEXT_MAX]);
/* Parses XEP-0082 DateTime; -1 when it is not one. */
MK_API int mk_time_parse(struct mk_str text, int64_t *us_out) MK_NODISCARD;

/* A hash that an attacker cannot aim at (keyed at start). Any thread. */
MK_API uint64_t mk_hash(const void *data, size_t len);

MK_END
#endif
