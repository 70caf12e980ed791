/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Errors as clients get them (specification §7.1.2): a JSON array of {message, locations, path,
 * extensions}. */
#ifndef GRAPHQL_ERROR_H
#define GRAPHQL_ERROR_H

#include <jansson.h>

#include <meerkat/base.h>

struct gql_errors {
    json_t *list;         /* owned; NULL: none so far */
    struct mk_str source; /* of the document, for locations */
    size_t max;           /* of validation: more are not told; 0: any number */
    bool full;
};

/* `at`: bytes of the source, `count` of them. */
void gql_report_at(struct gql_errors *e, const char *code, const uint32_t *at, size_t count,
                   const char *fmt, ...) MK_PRINTF(5, 6);
#define gql_report(e, code, where, ...) \
    gql_report_at((e), (code), (const uint32_t[]){(where)}, 1, __VA_ARGS__)
/* With a path (taken, may be NULL) and members for extensions (taken, may be NULL). */
void gql_report_path(struct gql_errors *e, const char *code, const uint32_t *at, size_t count,
                     json_t *path, json_t *extensions, const char *message);
void gql_errors_release(struct gql_errors *e);
static inline size_t
gql_errors_count(const struct gql_errors *e)
{
    return e->list ? json_array_size(e->list) : 0;
}

/* A JSON string of text that may have been cut in the middle of a character. Never NULL. */
json_t *gql_text(const char *text);

/* Values in messages: cut where they are long. */
struct gql_value;
void gql_print_value(struct mk_buf *out, const struct gql_value *v);
void gql_inspect(struct mk_buf *out, const json_t *value);
/* All of it. */
void gql_print_literal(struct mk_buf *out, const struct gql_value *v);

/*
 * The value that stands for an error, inside values of resolvers: an object whose only key is no
 * UTF-8, so that nothing a client sent can look like it.
 */
json_t *gql_error_value(const char *code, const char *message, json_t *extensions) MK_NODISCARD;
/* Its content {code, message, extensions}, or NULL: it is an ordinary value. */
const json_t *gql_error_content(const json_t *value);

/* Appends ` Did you mean "x" or "y"?` where options resemble `input`. `next` gives them one by one.
 */
typedef const char *(*gql_option_fn)(void **at);
void gql_suggest(struct mk_buf *out, const char *what, struct mk_str input, gql_option_fn next,
                 void *at);

#endif
