/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Parsing and comparing the values of options. */
#include "config.h"

#include "option-internal.h"

#include <meerkat/admin.h>

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <meerkat/jid.h>

static int
parse_bool(const char *text, bool *out, struct mk_error *err)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"yes", true}, {"true", true}, {"on", true}, {"1", true},
                 {"no", false}, {"false", false}, {"off", false}, {"0", false}};

    for (size_t i = 0; i < MK_COUNT(words); i++) {
        if (strcmp(text, words[i].word) == 0) {
            *out = words[i].value;
            return 0;
        }
    }
    return mk_fail(err, "'%s' is not yes or no", text);
}

static int
parse_int(const char *text, int64_t *out, struct mk_error *err)
{
    char *end;
    long long n;

    errno = 0;
    n = strtoll(text, &end, 10);
    if (errno || end == text || *end)
        return mk_fail(err, "'%s' is not a whole number", text);
    *out = n;
    return 0;
}

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit period_units[] = {{"ms", 1},           {"s", 1000},       {"m", 60000},
                                           {"h", 3600000},      {"d", 86400000},   {"", 1000},
                                           {"w", 7 * 86400000}, {NULL, 0}};
static const struct unit size_units[] = {{"", 1},           {"B", 1},           {"K", 1u << 10},
                                         {"KB", 1u << 10},  {"M", 1u << 20},    {"MB", 1u << 20},
                                         {"G", 1u << 30},   {"GB", 1u << 30},   {"T", 1ull << 40},
                                         {"TB", 1ull << 40}, {NULL, 0}};

/* Limits of a period are signed as those of a number are. */
#define UNITS_MAX ((uint64_t)INT64_MAX)

/* A sum of numbers with units: "1h 30m"; a number without a unit stands alone. */
static int
parse_units(const char *text, const struct unit *units, const char *what, uint64_t *out,
            struct mk_error *err)
{
    const char *p = text;
    unsigned parts = 0;
    bool alone = false;

    *out = 0;
    do {
        char *end, name[4] = "";
        unsigned long long n;
        size_t k = 0;
        const struct unit *u;

        errno = 0;
        if (!isdigit((unsigned char)*p))
            return mk_fail(err, "'%s' is not a %s", text, what);
        n = strtoull(p, &end, 10);
        while (isalpha((unsigned char)*end) && k < sizeof(name) - 1)
            name[k++] = *end++;
        for (u = units; u->name && strcmp(u->name, name) != 0; u++)
            ;
        if (errno || !u->name || isalpha((unsigned char)*end) || n > (UNITS_MAX - *out) / u->factor)
            return mk_fail(err, "'%s' is not a %s", text, what);
        *out += n * u->factor;
        alone |= !*name;
        parts++;
        for (p = end; *p == ' '; p++)
            ;
    } while (*p);
    return alone && parts > 1 ? mk_fail(err, "'%s' is not a %s", text, what) : 0;
}

static int
parse_enum(const struct mk_option *o, const char *text, int *out, struct mk_error *err)
{
    for (int i = 0; o->choices[i]; i++) {
        if (strcmp(o->choices[i], text) == 0) {
            *out = i;
            return 0;
        }
    }
    return mk_fail(err, "'%s' is none of the choices", text);
}

static int
parse_jid(const char *text, struct mk_jid **out, struct mk_error *err)
{
    *out = NULL;
    if (*text && !(*out = mk_jid_parse(mk_str_of(text))))
        return mk_fail(err, "'%s' is not a JID", text);
    return 0;
}

static void
list_add(struct mk_option_list *list, char *item)
{
    list->items = mk_realloc(list->items, (list->count + 1) * sizeof(*list->items));
    list->items[list->count++] = item;
}

static void
list_free(struct mk_option_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        mk_free(list->items[i]);
    mk_free(list->items);
    memset(list, 0, sizeof(*list));
}

/* "5222", "*:5222", "127.0.0.1:5222", "[::1]:5222" → the same with an address. NULL: none of them. */
static char *
canonical_address(const char *text)
{
    struct in6_addr a6;
    struct in_addr a4;
    const char *colon = strrchr(text, ':');
    const char *port = colon ? colon + 1 : text;
    char host[64] = "*";
    char *end;
    unsigned long n;

    n = strtoul(port, &end, 10);
    if (!isdigit((unsigned char)*port) || *end || n > 65535)
        return NULL;
    if (colon) {
        size_t len = (size_t)(colon - text);

        if (len == 0 || len >= sizeof(host))
            return NULL;
        memcpy(host, text, len);
        host[len] = '\0';
    }
    if (host[0] == '[') {
        size_t len = strlen(host);

        if (host[len - 1] != ']')
            return NULL;
        host[len - 1] = '\0';
        if (inet_pton(AF_INET6, host + 1, &a6) != 1)
            return NULL;
        return mk_printf_new("%s]:%lu", host, n);
    }
    if (strcmp(host, "*") != 0 && strcmp(host, "localhost") != 0 && inet_pton(AF_INET, host, &a4) != 1)
        return NULL;
    return mk_printf_new("%s:%lu", strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, n);
}

static int
parse_list(const char *text, bool addresses, struct mk_option_list *out, struct mk_error *err)
{
    static const char space[] = ", \t\r\n";
    const char *p = text + strspn(text, space);

    while (*p) {
        size_t len = strcspn(p, space);
        char *item = mk_str_dup((struct mk_str){p, len});

        if (addresses) {
            char *canonical = canonical_address(item);

            if (!canonical) {
                mk_fail(err, "'%s' is not an address", item);
                mk_free(item);
                list_free(out);
                return -1;
            }
            mk_free(item);
            item = canonical;
        }
        list_add(out, item);
        p += len;
        p += strspn(p, space);
    }
    return 0;
}

static char *
resolve_path(const char *text, const char *base)
{
    if (!*text || *text == '/' || !base || !*base)
        return mk_strdup(text);
    return mk_printf_new("%s/%s", base, text);
}

static int
check_range(const struct mk_option *o, const char *text, int64_t value, struct mk_error *err)
{
    struct mk_option bound = *o;
    int64_t limit = 0;

    bound.min = bound.max = NULL;
    bound.offset = 0;
    if (o->min && mki_option_parse(&bound, o->min, NULL, &limit, NULL) == 0 && value < limit)
        return mk_fail(err, "'%s' is too small", text);
    if (o->max && mki_option_parse(&bound, o->max, NULL, &limit, NULL) == 0 && value > limit)
        return mk_fail(err, "'%s' is too large", text);
    return 0;
}

int
mki_option_parse(const struct mk_option *o, const char *text, const char *base, void *conf,
                 struct mk_error *err)
{
    void *field = (char *)conf + o->offset;

    switch (o->type) {
    case MK_TYPE_BOOL:
        return parse_bool(text, field, err);
    case MK_TYPE_INT:
        if (parse_int(text, field, err) < 0)
            return -1;
        return check_range(o, text, *(int64_t *)field, err);
    case MK_TYPE_PERIOD:
        if (parse_units(text, period_units, "period", field, err) < 0)
            return -1;
        return check_range(o, text, (int64_t) * (uint64_t *)field, err);
    case MK_TYPE_SIZE:
        if (parse_units(text, size_units, "size", field, err) < 0)
            return -1;
        return check_range(o, text, (int64_t) * (uint64_t *)field, err);
    case MK_TYPE_ENUM:
        return parse_enum(o, text, field, err);
    case MK_TYPE_STRING:
    case MK_TYPE_SECRET:
    case MK_TYPE_MODULE:
        *(char **)field = mk_strdup(text);
        return 0;
    case MK_TYPE_PATH:
        *(char **)field = resolve_path(text, base);
        return 0;
    case MK_TYPE_JID:
        return parse_jid(text, field, err);
    case MK_TYPE_LIST:
    case MK_TYPE_ADDRESSES:
        return parse_list(text, o->type == MK_TYPE_ADDRESSES, field, err);
    case MK_TYPE_END:
        break;
    }
    MK_BUG("an option has no type");
}

void
mki_option_free(const struct mk_option *options, void *conf)
{
    for (const struct mk_option *o = options; o && o->type != MK_TYPE_END; o++) {
        void *field = (char *)conf + o->offset;

        switch (o->type) {
        case MK_TYPE_SECRET:
            if (*(char **)field)
                mk_wipe(*(char **)field, strlen(*(char **)field));
            mk_free(*(char **)field);
            break;
        case MK_TYPE_STRING:
        case MK_TYPE_PATH:
        case MK_TYPE_MODULE:
            mk_free(*(char **)field);
            break;
        case MK_TYPE_JID:
            mk_jid_unref(field);
            break;
        case MK_TYPE_LIST:
        case MK_TYPE_ADDRESSES:
            list_free(field);
            break;
        default:
            break;
        }
    }
}

static void
list_copy(struct mk_option_list *to, const struct mk_option_list *from)
{
    for (size_t i = 0; i < from->count; i++)
        list_add(to, mk_strdup(from->items[i]));
}

void
mki_option_copy(const struct mk_option *o, void *to, const void *from)
{
    struct mk_option only[] = {*o, MK_OPTION_END};
    void *x = (char *)to + o->offset;
    const void *y = (const char *)from + o->offset;
    const struct mk_jid *jid;

    mki_option_free(only, to);
    switch (o->type) {
    case MK_TYPE_BOOL:
        *(bool *)x = *(const bool *)y;
        break;
    case MK_TYPE_ENUM:
        *(int *)x = *(const int *)y;
        break;
    case MK_TYPE_INT:
    case MK_TYPE_PERIOD:
    case MK_TYPE_SIZE:
        *(uint64_t *)x = *(const uint64_t *)y;
        break;
    case MK_TYPE_JID:
        jid = *(struct mk_jid *const *)y;
        *(struct mk_jid **)x = jid ? mk_jid_ref(jid) : NULL;
        break;
    case MK_TYPE_LIST:
    case MK_TYPE_ADDRESSES:
        list_copy(x, y);
        break;
    default:
        *(char **)x = mk_strdup(*(char *const *)y);
        break;
    }
}

static bool
same_list(const struct mk_option_list *a, const struct mk_option_list *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(a->items[i], b->items[i]) != 0)
            return false;
    }
    return true;
}

bool
mki_option_same(const struct mk_option *o, const void *a, const void *b)
{
    const void *x = (const char *)a + o->offset, *y = (const char *)b + o->offset;
    const char *s, *t;
    const struct mk_jid *i, *j;

    switch (o->type) {
    case MK_TYPE_BOOL:
        return *(const bool *)x == *(const bool *)y;
    case MK_TYPE_ENUM:
        return *(const int *)x == *(const int *)y;
    case MK_TYPE_INT:
    case MK_TYPE_PERIOD:
    case MK_TYPE_SIZE:
        return *(const int64_t *)x == *(const int64_t *)y;
    case MK_TYPE_JID:
        i = *(struct mk_jid *const *)x;
        j = *(struct mk_jid *const *)y;
        return i == j || (i && j && mk_jid_equal(i, j));
    case MK_TYPE_LIST:
    case MK_TYPE_ADDRESSES:
        return same_list(x, y);
    default:
        s = *(char *const *)x;
        t = *(char *const *)y;
        return s == t || (s && t && strcmp(s, t) == 0);
    }
}

bool
mki_option_is_preset(const struct mk_option *o, const void *conf)
{
    union {
        uint64_t number;
        void *pointer;
        struct mk_option_list list;
    } value = {0};
    struct mk_option alone[] = {*o, MK_OPTION_END}, there = *o;
    bool same;

    alone[0].offset = 0;
    if (mki_option_parse(&alone[0], o->preset ? o->preset : "", NULL, &value, NULL) < 0)
        return false;
    /* Compared as structures whose field is at the same offset. */
    there.offset = 0;
    same = mki_option_same(&there, &value, (const char *)conf + o->offset);
    mki_option_free(alone, &value);
    return same;
}

void
mki_option_allowed(const struct mk_option *o, bool explain, struct mk_buf *out)
{
    static const char *const names[] = {
        [MK_TYPE_BOOL] = "yes or no", [MK_TYPE_INT] = "whole number",
        [MK_TYPE_STRING] = "text",    [MK_TYPE_ENUM] = "one of",
        [MK_TYPE_PERIOD] = "period",  [MK_TYPE_SIZE] = "size",
        [MK_TYPE_PATH] = "path",      [MK_TYPE_JID] = "JID",
        [MK_TYPE_LIST] = "list",      [MK_TYPE_ADDRESSES] = "list of addresses",
        [MK_TYPE_SECRET] = "secret",  [MK_TYPE_MODULE] = "name of a driver"};
    static const char *const forms[] = {
        [MK_TYPE_PERIOD] = " (10s, 5m, 1h 30m; a bare number is in seconds)",
        [MK_TYPE_SIZE] = " (4096, 64K, 1M)",
        [MK_TYPE_ADDRESSES] = " (PORT, ADDRESS:PORT, [IPV6]:PORT, *:PORT)",
        [MK_TYPE_MODULE] = NULL};

    mk_buf_add_cstr(out, names[o->type]);
    if (explain && forms[o->type])
        mk_buf_add_cstr(out, forms[o->type]);
    for (const char *const *c = o->choices; c && *c; c++)
        mk_buf_printf(out, "%s %s", c == o->choices ? "" : ",", *c);
    if (o->min && o->max)
        mk_buf_printf(out, ", %s to %s", o->min, o->max);
    else if (o->min)
        mk_buf_printf(out, ", at least %s", o->min);
    else if (o->max)
        mk_buf_printf(out, ", at most %s", o->max);
}

void
mk_option_allowed(const struct mk_option *o, struct mk_buf *out)
{
    mki_option_allowed(o, false, out);
}

/* In the largest unit that leaves no rest. */
static void
put_units(uint64_t n, const struct unit *units, struct mk_buf *out)
{
    const struct unit *best = units;

    for (const struct unit *u = units; n && u->name; u++) {
        if (n % u->factor == 0 && u->factor > best->factor)
            best = u;
    }
    mk_buf_printf(out, "%llu%s", (unsigned long long)(n / best->factor), best->name);
}

static void
put_list(const struct mk_option_list *list, struct mk_buf *out)
{
    for (size_t i = 0; i < list->count; i++)
        mk_buf_printf(out, "%s%s", i ? ", " : "", list->items[i]);
}

void
mk_option_text(const struct mk_option *o, const void *conf, struct mk_buf *out)
{
    const void *field = (const char *)conf + o->offset;

    switch (o->type) {
    case MK_TYPE_BOOL:
        mk_buf_add_cstr(out, *(const bool *)field ? "yes" : "no");
        break;
    case MK_TYPE_INT:
        mk_buf_printf(out, "%lld", (long long)*(const int64_t *)field);
        break;
    case MK_TYPE_ENUM:
        mk_buf_add_cstr(out, o->choices[*(const int *)field]);
        break;
    case MK_TYPE_PERIOD:
        put_units(*(const uint64_t *)field, period_units, out);
        break;
    case MK_TYPE_SIZE:
        put_units(*(const uint64_t *)field, size_units, out);
        break;
    case MK_TYPE_JID:
        if (*(struct mk_jid *const *)field)
            mk_buf_add_str(out, mk_jid_text(*(struct mk_jid *const *)field));
        break;
    case MK_TYPE_LIST:
    case MK_TYPE_ADDRESSES:
        put_list(field, out);
        break;
    case MK_TYPE_STRING:
    case MK_TYPE_PATH:
    case MK_TYPE_MODULE:
        if (*(char *const *)field)
            mk_buf_add_cstr(out, *(char *const *)field);
        break;
    case MK_TYPE_SECRET:
    case MK_TYPE_END:
        break;
    }
}

/* A default that is shown and a bound that is checked must be values of the option. */
static int
check_text(const struct mk_option *o, const char *what, const char *text, struct mk_error *err)
{
    struct mk_option only[] = {*o, MK_OPTION_END};
    struct mk_error why;
    union {
        uint64_t number;
        void *pointer;
        struct mk_option_list list;
    } field = {0};
    int rc;

    if (!text)
        return 0;
    only[0].offset = 0;
    rc = mki_option_parse(only, text, NULL, &field, &why);
    if (rc == 0)
        mki_option_free(only, &field);
    return rc < 0 ? mk_fail(err, "option '%s' has a wrong %s: %s", o->name, what, why.text) : 0;
}

int
mki_option_check_table(const struct mk_option *options, size_t conf_size, struct mk_error *err)
{
    for (const struct mk_option *o = options; o && o->type != MK_TYPE_END; o++) {
        if (!o->name || !o->help || o->type > MK_TYPE_MODULE || o->offset >= conf_size ||
            (o->type == MK_TYPE_ENUM && !o->choices) || (o->type == MK_TYPE_MODULE && !o->pattern))
            return mk_fail(err, "option '%s' has an incomplete entry in the table",
                           o->name ? o->name : "");
        for (const struct mk_option *other = options; other != o; other++) {
            if (strcmp(other->name, o->name) == 0)
                return mk_fail(err, "option '%s' is twice in the table", o->name);
        }
        if (check_text(o, "minimum", o->min, err) < 0 || check_text(o, "maximum", o->max, err) < 0 ||
            check_text(o, "default", o->preset, err) < 0)
            return -1;
    }
    return 0;
}

unsigned
mki_edit_distance(const char *a, const char *b)
{
    size_t la = strlen(a), lb = strlen(b);
    unsigned row[65];

    if (la > 64 || lb > 64)
        return UINT32_MAX;
    for (size_t j = 0; j <= lb; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        unsigned diagonal = row[0];

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            unsigned up = row[j], best = diagonal + (a[i - 1] != b[j - 1]);

            if (up + 1 < best)
                best = up + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = up;
            row[j] = best;
        }
    }
    return row[lb];
}

const char *
mki_option_nearest(const struct mk_option *options, const char *key)
{
    const char *nearest = NULL;
    unsigned best = (unsigned)strlen(key) / 2 + 1;

    for (const struct mk_option *o = options; o && o->type != MK_TYPE_END; o++) {
        unsigned d = mki_edit_distance(o->name, key);

        if (d < best) {
            best = d;
            nearest = o->name;
        }
    }
    return nearest;
}
