/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * A vCard (XEP-0054) as GraphQL's type Vcard, and back from its input: one table says which field is which element. What the table does
 * not know of a vCard is not shown, and a card that is set anew does not have it.
 */
#include "config.h"

#include "fields.h"
#include "internal.h"

enum shape {
    TEXT,           /* one text */
    TEXTS,          /* a list of texts */
    OBJECT,         /* one object */
    OBJECTS,        /* a list of objects */
    IMAGES,         /* a list of ImageData or External */
    SOUNDS,         /* a list of Phonetic, BinValue or External */
    AGENTS,         /* a list of AgentVcard or External */
};

/* A text inside an object. */
struct part {
    const char *field, *element;
    bool list;
};

struct member {
    const char *field, *element;
    enum shape shape;
    const struct part *parts;           /* end with NULL */
    const char *const *tags;            /* empty elements, by the names of their enum; NULL: none */
};

static const struct part name_parts[] = {{"family", "FAMILY", false},     {"givenName", "GIVEN", false},
                                         {"middleName", "MIDDLE", false}, {"prefix", "PREFIX", false},
                                         {"suffix", "SUFFIX", false},     {0}};
static const struct part address_parts[] = {{"pobox", "POBOX", false},       {"extadd", "EXTADD", false},
                                            {"street", "STREET", false},     {"locality", "LOCALITY", false},
                                            {"region", "REGION", false},     {"pcode", "PCODE", false},
                                            {"country", "CTRY", false},      {0}};
static const struct part label_parts[] = {{"line", "LINE", true}, {0}};
static const struct part telephone_parts[] = {{"number", "NUMBER", false}, {0}};
static const struct part email_parts[] = {{"userId", "USERID", false}, {0}};
static const struct part geo_parts[] = {{"lat", "LAT", false}, {"lon", "LON", false}, {0}};
static const struct part org_parts[] = {{"orgname", "ORGNAME", false}, {"orgunit", "ORGUNIT", true}, {0}};
static const struct part category_parts[] = {{"keyword", "KEYWORD", true}, {0}};
static const struct part no_parts[] = {{0}};
static const struct part key_parts[] = {{"type", "TYPE", false}, {"credential", "CRED", false}, {0}};
static const struct part image_parts[] = {
    {"type", "TYPE", false}, {"binValue", "BINVAL", false}, {"extValue", "EXTVAL", false}, {0}};
static const struct part sound_parts[] = {
    {"phonetic", "PHONETIC", false}, {"binValue", "BINVAL", false}, {"extValue", "EXTVAL", false}, {0}};

static const char *const address_tags[] = {"HOME", "WORK", "POSTAL", "PARCEL", "DOM", "PREF", "INTL", NULL};
static const char *const telephone_tags[] = {"HOME", "WORK", "VOICE", "FAX",  "PAGER", "MSG", "CELL",
                                             "VIDEO", "BBS", "MODEM", "ISDN", "PCS",   "PREF", NULL};
static const char *const email_tags[] = {"HOME", "WORK", "INTERNET", "PREF", "X400", NULL};
static const char *const class_tags[] = {"PUBLIC", "PRIVATE", "CONFIDENTIAL", NULL};

static const struct member members[] = {
    {"formattedName", "FN", TEXT, NULL, NULL},
    {"nameComponents", "N", OBJECT, name_parts, NULL},
    {"nickname", "NICKNAME", TEXTS, NULL, NULL},
    {"photo", "PHOTO", IMAGES, image_parts, NULL},
    {"birthday", "BDAY", TEXTS, NULL, NULL},
    {"address", "ADR", OBJECTS, address_parts, address_tags},
    {"label", "LABEL", OBJECTS, label_parts, address_tags},
    {"telephone", "TEL", OBJECTS, telephone_parts, telephone_tags},
    {"email", "EMAIL", OBJECTS, email_parts, email_tags},
    {"jabberId", "JABBERID", TEXTS, NULL, NULL},
    {"mailer", "MAILER", TEXTS, NULL, NULL},
    {"timeZone", "TZ", TEXTS, NULL, NULL},
    {"geo", "GEO", OBJECTS, geo_parts, NULL},
    {"title", "TITLE", TEXTS, NULL, NULL},
    {"role", "ROLE", TEXTS, NULL, NULL},
    {"logo", "LOGO", IMAGES, image_parts, NULL},
    {"agent", "AGENT", AGENTS, image_parts, NULL},
    {"org", "ORG", OBJECTS, org_parts, NULL},
    {"categories", "CATEGORIES", OBJECTS, category_parts, NULL},
    {"note", "NOTE", TEXTS, NULL, NULL},
    {"prodId", "PRODID", TEXTS, NULL, NULL},
    {"rev", "REV", TEXTS, NULL, NULL},
    {"sortString", "SORT-STRING", TEXTS, NULL, NULL},
    {"sound", "SOUND", SOUNDS, sound_parts, NULL},
    {"uid", "UID", TEXTS, NULL, NULL},
    {"url", "URL", TEXTS, NULL, NULL},
    {"desc", "DESC", TEXTS, NULL, NULL},
    {"class", "CLASS", OBJECTS, no_parts, class_tags},
    {"key", "KEY", OBJECTS, key_parts, NULL},
};

/* -- to JSON ---------------------------------------------------------------------------------- */

static json_t *
text_of(const struct mk_node *node)
{
    struct mk_str text = mk_node_text(node);

    return json_stringn(text.p ? text.p : "", text.len);
}

static void
read_part(json_t *object, const struct mk_node *node, const struct part *part)
{
    const struct mk_node *child = mk_node_child(node, part->element, NS_VCARD);
    json_t *list;

    if (!part->list) {
        json_object_set_new(object, part->field, child ? text_of(child) : json_null());
        return;
    }
    list = json_array();
    for (; child; child = mk_node_next(child, part->element, NS_VCARD))
        json_array_append_new(list, text_of(child));
    json_object_set_new(object, part->field, list);
}

static json_t *
read_object(const struct mk_node *node, const struct member *m)
{
    json_t *object = json_object(), *tags;

    for (const struct part *part = m->parts; part->field; part++)
        read_part(object, node, part);
    if (!m->tags)
        return object;
    tags = json_array();
    for (const char *const *tag = m->tags; *tag; tag++) {
        if (mk_node_child(node, *tag, NS_VCARD))
            json_array_append_new(tags, json_string(*tag));
    }
    json_object_set_new(object, "tags", tags);
    return object;
}

/* Which member of its union something is. */
static const char *
type_of(const struct mk_node *node, enum shape shape)
{
    if (mk_node_child(node, "EXTVAL", NS_VCARD))
        return "External";
    if (shape == IMAGES)
        return "ImageData";
    return mk_node_child(node, "PHONETIC", NS_VCARD) ? "Phonetic" : "BinValue";
}

static json_t *
read_agent(const struct mk_node *node)
{
    const struct mk_node *card = mk_node_child(node, "vCard", NS_VCARD);
    const struct mk_node *elsewhere = mk_node_child(node, "EXTVAL", NS_VCARD);

    if (card)
        return json_pack("{s:s,s:o}", "__typename", "AgentVcard", "vcard", fields_read(card));
    return json_pack("{s:s,s:o}", "__typename", "External", "extValue", elsewhere ? text_of(elsewhere) : json_null());
}

static json_t *
read_one(const struct mk_node *node, const struct member *m)
{
    json_t *object;

    switch (m->shape) {
    case TEXT:
    case TEXTS:
        return text_of(node);
    case AGENTS:
        return read_agent(node);
    case IMAGES:
    case SOUNDS:
        object = read_object(node, m);
        json_object_set_new(object, "__typename", json_string(type_of(node, m->shape)));
        return object;
    default:
        return read_object(node, m);
    }
}

json_t *
fields_read(const struct mk_node *card)
{
    json_t *object = json_object(), *list;

    for (size_t i = 0; i < MK_COUNT(members); i++) {
        const struct member *m = &members[i];
        const struct mk_node *node = mk_node_child(card, m->element, NS_VCARD);

        if (m->shape == TEXT || m->shape == OBJECT) {
            json_object_set_new(object, m->field, node ? read_one(node, m) : json_null());
            continue;
        }
        list = json_array();
        for (; node; node = mk_node_next(node, m->element, NS_VCARD))
            json_array_append_new(list, read_one(node, m));
        json_object_set_new(object, m->field, list);
    }
    return object;
}

/* -- from JSON -------------------------------------------------------------------------------- */

static void
write_text(struct mk_xml *x, const char *element, const json_t *value)
{
    if (json_is_string(value))
        mk_xml_leaf(x, element, NULL, (struct mk_str){json_string_value(value), json_string_length(value)});
}

static void
write_part(struct mk_xml *x, const struct part *part, const json_t *value)
{
    const json_t *one;
    size_t i;

    write_text(x, part->element, value);
    json_array_foreach(value, i, one)
        write_text(x, part->element, one);
}

static void
write_tags(struct mk_xml *x, const struct member *m, const json_t *tags)
{
    const json_t *tag;
    size_t i;

    json_array_foreach(tags, i, tag) {
        for (const char *const *known = m->tags; json_is_string(tag) && *known; known++) {
            if (strcmp(*known, json_string_value(tag)) == 0)
                mk_xml_leaf(x, *known, NULL, MK_STR(""));
        }
    }
}

static void
write_one(struct mk_xml *x, const struct member *m, const json_t *value)
{
    if (m->shape == TEXT || m->shape == TEXTS) {
        write_text(x, m->element, value);
        return;
    }
    if (!json_is_object(value))
        return;
    mk_xml_open(x, m->element, NULL);
    if (m->tags)
        write_tags(x, m, json_object_get(value, "tags"));
    if (m->shape == AGENTS && json_is_object(json_object_get(value, "vcard")))
        fields_write(x, json_object_get(value, "vcard"));
    for (const struct part *part = m->parts; part->field; part++)
        write_part(x, part, json_object_get(value, part->field));
    mk_xml_close(x);
}

void
fields_write(struct mk_xml *x, const json_t *input)
{
    const json_t *value, *one;
    size_t k;

    mk_xml_open(x, "vCard", NS_VCARD);
    for (size_t i = 0; i < MK_COUNT(members); i++) {
        value = json_object_get(input, members[i].field);
        if (!json_is_array(value))
            write_one(x, &members[i], value);
        json_array_foreach(value, k, one)
            write_one(x, &members[i], one);
    }
    mk_xml_close(x);
}
