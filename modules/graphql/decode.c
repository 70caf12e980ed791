/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The query, its variables and its operation's name, out of a request of HTTP. */
#include "config.h"

#include <strings.h>

#include "internal.h"

static bool
refuse(struct call *c, int status, const char *code, const char *message)
{
    call_refuse_text(c, status, code, message);
    return false;
}

static bool
take_variables_text(struct call *c, const char *text, size_t len)
{
    json_t *v =
        json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

    if (len == 0)
        return true;
    if (!v || (!json_is_object(v) && !json_is_null(v))) {
        json_decref(v);
        return refuse(c, 400, "variables_invalid_json", "The variables are not a JSON object.");
    }
    if (json_is_object(v))
        c->variables = v;
    else
        json_decref(v);
    return true;
}

/* From parameters of a URL or a form. */
static bool
take_parameters(struct call *c, const char *query, const char *variables, const char *operation)
{
    if (query)
        mk_buf_add_cstr(&c->query, query);
    if (operation && *operation)
        c->operation = mk_strdup(operation);
    return !variables || take_variables_text(c, variables, strlen(variables));
}

static bool
take_json_variables(struct call *c, json_t *v)
{
    if (json_is_string(v))
        return take_variables_text(c, json_string_value(v), json_string_length(v));
    if (v && !json_is_object(v) && !json_is_null(v))
        return refuse(c, 400, "variables_invalid_json", "The variables are not a JSON object.");
    if (json_is_object(v))
        c->variables = json_incref(v);
    return true;
}

static bool
take_json(struct call *c, struct mk_str body)
{
    json_t *all = json_loadb(body.p, body.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL),
           *query, *operation;
    bool good = false;

    query = json_object_get(all, "query");
    operation = json_object_get(all, "operationName");
    if (json_is_array(all))
        refuse(c, 400, "batching_not_supported",
               "Several operations in one request are not supported.");
    else if (!all)
        refuse(c, 400, "invalid_json_body", "The body is not a JSON object.");
    else if (query && !json_is_string(query) && !json_is_null(query))
        refuse(c, 400, "invalid_query_parameters", "The query is not a string.");
    else if (operation && !json_is_string(operation) && !json_is_null(operation))
        refuse(c, 400, "invalid_query_parameters", "The operation's name is not a string.");
    else
        good = take_json_variables(c, json_object_get(all, "variables"));
    if (good && json_is_string(query))
        mk_buf_add(&c->query, json_string_value(query), json_string_length(query));
    if (good && json_is_string(operation) && json_string_length(operation))
        c->operation = mk_strdup(json_string_value(operation));
    json_decref(all);
    return good;
}

/* -- forms ----------------------------------------------------------------------------------- */

static int
hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes one side of name=value; NULL: it is not well encoded. Owned. */
static char *
form_text(struct mk_str s)
{
    char *out = mk_alloc(s.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        int high, low;

        if (s.p[i] != '%') {
            out[n++] = s.p[i] == '+' ? ' ' : s.p[i];
            continue;
        }
        high = s.len - i > 2 ? hex(s.p[i + 1]) : -1;
        low = s.len - i > 2 ? hex(s.p[i + 2]) : -1;
        if (high < 0 || low < 0 || high + low == 0) {
            mk_free(out);
            return NULL;
        }
        out[n++] = (char)(high << 4 | low);
        i += 2;
    }
    out[n] = '\0';
    return out;
}

struct form {
    char *query, *variables, *operation;
};

static bool
form_field(struct form *f, struct mk_str pair)
{
    const char *equals = memchr(pair.p, '=', pair.len);
    struct mk_str name = {pair.p, equals ? (size_t)(equals - pair.p) : pair.len};
    char **into = mk_str_is(name, "query")           ? &f->query
                  : mk_str_is(name, "variables")     ? &f->variables
                  : mk_str_is(name, "operationName") ? &f->operation
                                                     : NULL;

    if (!into || *into || !equals)
        return true;
    *into = form_text((struct mk_str){equals + 1, pair.len - name.len - 1});
    return *into != NULL;
}

static bool
take_form(struct call *c, struct mk_str body)
{
    struct form f = {NULL, NULL, NULL};
    bool good = true;

    c->by_form = true;
    while (good && body.len) {
        const char *end = memchr(body.p, '&', body.len);
        size_t len = end ? (size_t)(end - body.p) : body.len;

        good = form_field(&f, (struct mk_str){body.p, len});
        len += end != NULL;
        body.p += len;
        body.len -= len;
    }
    good = good ? take_parameters(c, f.query, f.variables, f.operation)
                : refuse(c, 400, "invalid_query_parameters", "The form is not well encoded.");
    mk_free(f.query);
    mk_free(f.variables);
    mk_free(f.operation);
    return good;
}

/* -- everything ------------------------------------------------------------------------------ */

static bool
is_type(const char *header, const char *type)
{
    size_t len = strlen(type);

    return header && strncasecmp(header, type, len) == 0 && strchr(" \t;", header[len]);
}

static bool
take_post(struct call *c)
{
    const char *type = mk_http_header(c->rq, "Content-Type");
    struct mk_str body = mk_http_body(c->rq);

    if (is_type(type, "application/json"))
        return take_json(c, body);
    if (is_type(type, "application/x-www-form-urlencoded"))
        return take_form(c, body);
    if (!is_type(type, "application/graphql"))
        return refuse(c, 415, "unsupported_media_type",
                      "The body must be application/json, application/graphql or "
                      "application/x-www-form-urlencoded.");
    mk_buf_add_str(&c->query, body);
    return take_parameters(c, NULL, mk_http_query(c->rq, "variables"),
                           mk_http_query(c->rq, "operationName"));
}

bool
call_decode(struct call *c)
{
    bool good;

    if (mk_http_method(c->rq) == MK_HTTP_GET) {
        c->by_form = true;
        good = take_parameters(c, mk_http_query(c->rq, "query"), mk_http_query(c->rq, "variables"),
                               mk_http_query(c->rq, "operationName"));
    } else {
        good = take_post(c);
    }
    if (good && c->query.len == 0)
        return refuse(c, 400, "no_query_supplied", "There is no query.");
    return good;
}
