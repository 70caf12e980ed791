/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * Answers as they are printed: JSON in MongooseIM's form on stdout, errors as text on stderr beside it.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void
put_string(FILE *out, const char *s, size_t len)
{
    static const char plain[] = "\b\f\n\r\t\"\\", letters[] = "bfnrt\"\\";

    fputc('"', out);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        const char *at = c ? strchr(plain, c) : NULL;

        if (at)
            fprintf(out, "\\%c", letters[at - plain]);
        else if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\u%04x", c);
        else if (c == 0xc2 && i + 1 < len && (unsigned char)s[i + 1] < 0xa0)
            /* The second set of control characters: a terminal would obey them. */
            fprintf(out, "\\u%04x", (unsigned char)s[++i]);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

/* The shortest that reads back as the same number. */
static void
put_real(FILE *out, double value)
{
    char text[40];

    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    fputs(text, out);
    if (!strpbrk(text, ".e"))
        fputs(".0", out);
}

static void
put_scalar(FILE *out, const json_t *value)
{
    if (json_is_string(value))
        put_string(out, json_string_value(value), json_string_length(value));
    else if (json_is_integer(value))
        fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        put_real(out, json_real_value(value));
    else
        fputs(json_is_true(value) ? "true" : json_is_false(value) ? "false" : "null", out);
}

/* `indent` < 0: all on one line. */
static void
line(FILE *out, int indent)
{
    if (indent >= 0)
        fprintf(out, "\n%*s", 2 * indent, "");
}

static void
put_value(FILE *out, const json_t *value, int indent)
{
    int deeper = indent < 0 ? -1 : indent + 1;
    bool object = json_is_object(value);
    const char *key, *separator = "";
    json_t *one;
    size_t i;

    if (!object && !json_is_array(value)) {
        put_scalar(out, value);
        return;
    }
    fputc(object ? '{' : '[', out);
    json_object_foreach ((json_t *)value, key, one) {
        fputs(separator, out);
        line(out, deeper);
        put_string(out, key, strlen(key));
        fputs(indent < 0 ? ":" : " : ", out);
        put_value(out, one, deeper);
        separator = ",";
    }
    json_array_foreach (value, i, one) {
        fputs(separator, out);
        line(out, deeper);
        put_value(out, one, deeper);
        separator = ",";
    }
    if (*separator)
        line(out, indent);
    fputc(object ? '}' : ']', out);
}

void
print_json(FILE *out, const json_t *value)
{
    put_value(out, value, 0);
    fputc('\n', out);
}

void
print_compact(FILE *out, const json_t *value)
{
    put_value(out, value, -1);
}

int
flush_stdout(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return CTL_OK;
    complain("cannot write: %s", strerror(errno));
    return CTL_ERROR;
}

static char *
path_text(const json_t *path)
{
    char *text = copy(""), *more;
    json_t *one;
    size_t i;

    json_array_foreach (path, i, one) {
        if (json_is_integer(one))
            more = format("%s[%" JSON_INTEGER_FORMAT "]", text, json_integer_value(one));
        else
            more = format("%s%s%s", text, i ? "." : "", json_string_value(one));
        free(text);
        text = more;
    }
    return text;
}

int
print_errors(const struct reply *reply)
{
    const json_t *errors = json_object_get(reply->json, "errors");
    json_t *one;
    size_t i;

    json_array_foreach (errors, i, one) {
        char *path = path_text(json_object_get(one, "path"));
        const char *code = member(json_object_get(one, "extensions"), "code");

        complain("%s%s%s%s%s%s", path, *path ? ": " : "", member(one, "message"), *code ? " (" : "",
                 code, *code ? ")" : "");
        free(path);
    }
    return json_array_size(errors) ? CTL_ERROR : CTL_OK;
}

int
print_reply(const struct reply *reply, enum ctl_output output)
{
    int rc, flushed;

    if (output == OUTPUT_TABLE)
        print_table(stdout, json_object_get(reply->json, "data"));
    else if (output == OUTPUT_RAW)
        fwrite(reply->text, 1, reply->len, stdout);
    else
        print_json(stdout, reply->json);
    if (output == OUTPUT_RAW && reply->len && reply->text[reply->len - 1] != '\n')
        putchar('\n');
    flushed = flush_stdout();
    rc = print_errors(reply);
    return rc == CTL_OK ? flushed : rc;
}
