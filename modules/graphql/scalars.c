/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The scalars that are always there: those of the specification (§3.5) and XMPP's. Whole numbers go
 * to ±2^53, which is what JSON carries between all implementations, and not to 32 bits: counters
 * are larger.
 */
#include "config.h"

#include <math.h>
#include <stdio.h>

#include <meerkat/xml.h>

#include "error.h"
#include "schema.h"

#define WHOLE_MAX 9007199254740992LL /* 2^53 */

/* The value itself is told by whoever asked, as it was written. */
static json_t *
refuse(struct mk_error *err, const char *what)
{
    mk_fail(err, "%s", what);
    return NULL;
}

/* XMPP's own: says why. */
static json_t *
refuse_for(struct mk_error *err, const char *scalar, const char *why)
{
    mk_fail(err, "%s cannot represent value (%s)", scalar, why);
    return NULL;
}

static struct mk_str
str_of(const json_t *value)
{
    return (struct mk_str){json_string_value(value), json_string_length(value)};
}

/* -- numbers --------------------------------------------------------------------------------- */

static bool
whole(const json_t *value, json_int_t *out)
{
    double d = json_real_value(value);

    if (json_is_integer(value)) {
        *out = json_integer_value(value);
        return true;
    }
    if (!json_is_real(value) || d != trunc(d))
        return false;
    *out = d > 1e18 ? INT64_MAX : d < -1e18 ? INT64_MIN : (json_int_t)d;
    return true;
}

static json_t *
read_whole(const json_t *value, const char *scalar, json_int_t lowest, struct mk_error *err)
{
    const char *what = NULL;
    json_int_t n;

    if (!whole(value, &n))
        what = "non-integer value";
    else if (n > WHOLE_MAX || n < -WHOLE_MAX)
        what = "integer beyond 2^53";
    else if (n < lowest)
        what = lowest > 0 ? "non-positive value" : "negative value";
    if (!what)
        return json_integer(n);
    mk_fail(err, "%s cannot represent %s", scalar, what);
    return NULL;
}

static json_t *
int_in(const json_t *value, struct mk_error *err)
{
    return read_whole(value, "Int", -WHOLE_MAX, err);
}

static json_t *
pos_int_in(const json_t *value, struct mk_error *err)
{
    return read_whole(value, "PosInt", 1, err);
}

static json_t *
non_neg_int_in(const json_t *value, struct mk_error *err)
{
    return read_whole(value, "NonNegInt", 0, err);
}

static json_t *
float_in(const json_t *value, struct mk_error *err)
{
    if (!json_is_number(value))
        return refuse(err, "Float cannot represent non numeric value");
    return json_copy((json_t *)value);
}

static json_t *
boolean_in(const json_t *value, struct mk_error *err)
{
    if (!json_is_boolean(value))
        return refuse(err, "Boolean cannot represent a non boolean value");
    return json_incref((json_t *)value);
}

/* -- texts ----------------------------------------------------------------------------------- */

/* A NUL would end the text for half of those who read it, and XML cannot carry one. */
static json_t *
take_text(const json_t *value, const char *scalar, struct mk_error *err)
{
    if (!json_is_string(value)) {
        mk_fail(err, "%s cannot represent a non string value", scalar);
        return NULL;
    }
    if (memchr(json_string_value(value), '\0', json_string_length(value)))
        return refuse_for(err, scalar, "it has a NUL character");
    return json_incref((json_t *)value);
}

static json_t *
string_in(const json_t *value, struct mk_error *err)
{
    return take_text(value, "String", err);
}

static json_t *
number_text(const json_t *value)
{
    struct mk_buf text = {0};
    json_t *s;

    gql_inspect(&text, value);
    s = json_string(mk_buf_cstr(&text));
    mk_buf_release(&text);
    return s;
}

static json_t *
string_out(const json_t *value, struct mk_error *err)
{
    if (json_is_string(value))
        return json_incref((json_t *)value);
    if (json_is_number(value) || json_is_boolean(value))
        return number_text(value);
    return refuse(err, "String cannot represent value");
}

static json_t *
id_out(const json_t *value, struct mk_error *err)
{
    if (json_is_string(value))
        return json_incref((json_t *)value);
    if (json_is_integer(value))
        return number_text(value);
    return refuse(err, "ID cannot represent value");
}

static json_t *
id_in(const json_t *value, struct mk_error *err)
{
    if (json_is_string(value))
        return take_text(value, "ID", err);
    return id_out(value, err);
}

static json_t *
non_empty_in(const json_t *value, struct mk_error *err)
{
    json_t *text = take_text(value, "NonEmptyString", err);

    if (!text || json_string_length(text) > 0)
        return text;
    json_decref(text);
    return refuse_for(err, "NonEmptyString", "it is empty");
}

static json_t *
non_empty_out(const json_t *value, struct mk_error *err)
{
    if (json_is_string(value) && json_string_length(value) > 0)
        return json_incref((json_t *)value);
    return refuse(err, "NonEmptyString cannot represent value");
}

/* -- addresses ------------------------------------------------------------------------------- */

enum jid_form { ANY_JID, BARE_JID, FULL_JID };

static json_t *
read_jid(const json_t *value, const char *scalar, enum jid_form form, struct mk_error *err)
{
    struct mk_jid *jid;
    json_t *text = take_text(value, scalar, err);

    if (!text)
        return NULL;
    json_decref(text);
    jid = mk_jid_parse(str_of(value));
    if (!jid)
        return refuse_for(err, scalar, "failed_to_parse_jid");
    text = NULL;
    if (mk_jid_local(jid).len == 0)
        refuse_for(err, scalar, "jid_without_local_part");
    else if (form == BARE_JID && !mk_jid_is_bare(jid))
        refuse_for(err, scalar, "jid_with_resource");
    else if (form == FULL_JID && mk_jid_is_bare(jid))
        refuse_for(err, scalar, "jid_without_resource");
    else
        text = json_stringn(mk_jid_text(jid).p, mk_jid_text(jid).len);
    mk_jid_unref(&jid);
    return text;
}

static json_t *
jid_in(const json_t *value, struct mk_error *err)
{
    return read_jid(value, "JID", ANY_JID, err);
}

static json_t *
bare_jid_in(const json_t *value, struct mk_error *err)
{
    return read_jid(value, "BareJID", BARE_JID, err);
}

static json_t *
full_jid_in(const json_t *value, struct mk_error *err)
{
    return read_jid(value, "FullJID", FULL_JID, err);
}

static json_t *
read_part(const json_t *value, const char *scalar, const char *what,
          int (*prepare)(struct mk_buf *, struct mk_str), struct mk_error *err)
{
    struct mk_buf out = {0};
    json_t *text = take_text(value, scalar, err);
    char why[64];

    if (!text)
        return NULL;
    json_decref(text);
    snprintf(why, sizeof(why), "%s_%s", json_string_length(value) ? "failed_to_parse" : "empty",
             what);
    if (json_string_length(value) == 0 || prepare(&out, str_of(value)) < 0)
        text = refuse_for(err, scalar, why);
    else
        text = json_stringn(out.data, out.len);
    mk_buf_release(&out);
    return text;
}

static json_t *
user_name_in(const json_t *value, struct mk_error *err)
{
    return read_part(value, "UserName", "user_name", mk_prep_local, err);
}

static json_t *
room_name_in(const json_t *value, struct mk_error *err)
{
    return read_part(value, "RoomName", "room_name", mk_prep_local, err);
}

static json_t *
domain_name_in(const json_t *value, struct mk_error *err)
{
    return read_part(value, "DomainName", "domain_name", mk_prep_domain, err);
}

static json_t *
resource_name_in(const json_t *value, struct mk_error *err)
{
    return read_part(value, "ResourceName", "resource_name", mk_prep_resource, err);
}

static json_t *
node_name_in(const json_t *value, struct mk_error *err)
{
    json_t *text = take_text(value, "NodeName", err);
    const char *name = json_string_value(text), *at = text ? strchr(name, '@') : NULL;

    if (!text || strcmp(name, "self") == 0 || (at && at > name && at[1] && !strchr(at + 1, '@')))
        return text;
    json_decref(text);
    return refuse_for(err, "NodeName", *name ? "incorrect_node_name" : "empty_node_name");
}

/* -- time and XML ---------------------------------------------------------------------------- */

static json_t *
time_text(int64_t us)
{
    char text[MK_TIME_TEXT_MAX], whole_seconds[MK_TIME_TEXT_MAX + 8];

    mk_time_text(us, text);
    if (us % 1000000 != 0)
        return json_string(text);
    snprintf(whole_seconds, sizeof(whole_seconds), "%.*s.000000Z", (int)strlen(text) - 1, text);
    return json_string(whole_seconds);
}

/* February has no 30th, though timegm would not mind. */
static bool
day_exists(const char *date)
{
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year, month, day;

    if (sscanf(date, "%4d-%2d-%2d", &year, &month, &day) != 3 || month < 1 || month > 12)
        return false;
    if (month == 2 && day == 29)
        return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return day >= 1 && day <= days[month - 1];
}

/* RFC 3339 allows lower case and a space where XEP-0082 does not. */
static int
read_time(struct mk_str text, int64_t *us)
{
    char copy[48];

    if (text.len < 20 || text.len >= sizeof(copy))
        return -1;
    memcpy(copy, text.p, text.len);
    copy[text.len] = '\0';
    if (copy[10] == 't' || copy[10] == ' ')
        copy[10] = 'T';
    if (copy[text.len - 1] == 'z')
        copy[text.len - 1] = 'Z';
    return day_exists(copy) ? mk_time_parse((struct mk_str){copy, text.len}, us) : -1;
}

static json_t *
date_time_in(const json_t *value, struct mk_error *err)
{
    int64_t us;

    if (!json_is_string(value))
        return refuse(err, "DateTime cannot represent a non string value");
    if (read_time(str_of(value), &us) < 0)
        return refuse_for(err, "DateTime", "it is not in the form of RFC 3339");
    return time_text(us);
}

/* Resolvers may also give microseconds since 1970. */
static json_t *
date_time_out(const json_t *value, struct mk_error *err)
{
    return json_is_integer(value) ? time_text(json_integer_value(value)) : date_time_in(value, err);
}

static json_t *
xml_in(const json_t *value, struct mk_error *err)
{
    json_t *text = take_text(value, "XmlElement", err);
    struct mk_node *node = text ? mk_node_parse(str_of(value), NULL) : NULL;

    if (!text || node) {
        mk_node_free(&node);
        return text;
    }
    json_decref(text);
    return refuse_for(err, "XmlElement", "it is not one well-formed element");
}

const struct gql_scalar_ops *
gql_scalar_ops(const char *name)
{
    static const struct gql_scalar_ops all[] = {
        {"Int", int_in, int_in},
        {"Float", float_in, float_in},
        {"String", string_in, string_out},
        {"Boolean", boolean_in, boolean_in},
        {"ID", id_in, id_out},
        {"JID", jid_in, string_out},
        {"BareJID", bare_jid_in, string_out},
        {"FullJID", full_jid_in, string_out},
        {"UserName", user_name_in, string_out},
        {"RoomName", room_name_in, string_out},
        {"DomainName", domain_name_in, string_out},
        {"ResourceName", resource_name_in, string_out},
        {"NodeName", node_name_in, string_out},
        {"NonEmptyString", non_empty_in, non_empty_out},
        {"PosInt", pos_int_in, pos_int_in},
        {"NonNegInt", non_neg_int_in, non_neg_int_in},
        {"DateTime", date_time_in, date_time_out},
        {"XmlElement", xml_in, string_out},
    };

    for (size_t i = 0; i < MK_COUNT(all); i++) {
        if (strcmp(all[i].name, name) == 0)
            return &all[i];
    }
    return NULL;
}
