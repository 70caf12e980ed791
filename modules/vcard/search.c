/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The fields of a vCard that a directory search looks at, as they are and in lower case. */
#include "config.h"

#include "internal.h"

#define FIELD_MAX_CHARS 250     /* an index entry of PostgreSQL has at most some 2700 bytes */

static const struct field {
    const char *element, *child;
} fields[SEARCH_FIELDS] = {
    {"FN", NULL},         {"N", "FAMILY"},     {"N", "GIVEN"},      {"N", "MIDDLE"},
    {"NICKNAME", NULL},   {"BDAY", NULL},      {"ADR", "CTRY"},     {"ADR", "LOCALITY"},
    {"EMAIL", "USERID"},  {"ORG", "ORGNAME"},  {"ORG", "ORGUNIT"},
};

const char search_sql[] =
    "INSERT INTO vcard_search (username, lusername, server, fn, lfn, family, lfamily, given, "
    "lgiven, middle, lmiddle, nickname, lnickname, bday, lbday, ctry, lctry, locality, llocality, "
    "email, lemail, orgname, lorgname, orgunit, lorgunit) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
    "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (server, lusername) DO UPDATE SET "
    "username = excluded.username, fn = excluded.fn, lfn = excluded.lfn, family = excluded.family, "
    "lfamily = excluded.lfamily, given = excluded.given, lgiven = excluded.lgiven, "
    "middle = excluded.middle, lmiddle = excluded.lmiddle, nickname = excluded.nickname, "
    "lnickname = excluded.lnickname, bday = excluded.bday, lbday = excluded.lbday, "
    "ctry = excluded.ctry, lctry = excluded.lctry, locality = excluded.locality, "
    "llocality = excluded.llocality, email = excluded.email, lemail = excluded.lemail, "
    "orgname = excluded.orgname, lorgname = excluded.lorgname, orgunit = excluded.orgunit, "
    "lorgunit = excluded.lorgunit";

static struct mk_str
field_text(const struct mk_node *vcard, const struct field *f)
{
    const struct mk_node *e = mk_node_child(vcard, f->element, NS_VCARD), *child;
    struct mk_str text;
    size_t chars = 0;

    if (!e)
        return MK_STR("");
    child = f->child ? mk_node_child(e, f->child, NS_VCARD) : NULL;
    if (f->child && !child && strcmp(f->element, "EMAIL") != 0)
        return MK_STR("");
    text = mk_node_text(child ? child : e);
    for (size_t i = 0; i < text.len; i++) {
        if (((unsigned char)text.p[i] & 0xc0) != 0x80 && ++chars > FIELD_MAX_CHARS)
            text.len = i;
    }
    return text;
}

/* A word in lower case as nodeprep has it; what nodeprep does not allow keeps its letters. */
static void
lower_word(struct mk_buf *out, struct mk_str word)
{
    struct mk_buf prepared = {0};

    if (word.len && mk_prep_local(&prepared, word) == 0) {
        mk_buf_add_str(out, mk_buf_str(&prepared));
    } else {
        for (size_t i = 0; i < word.len; i++) {
            char c = word.p[i];

            mk_buf_add_byte(out, c >= 'A' && c <= 'Z' ? (char)(c + 32) : c);
        }
    }
    mk_buf_release(&prepared);
}

static void
lower(struct mk_buf *out, struct mk_str text)
{
    static const char apart[] = " \t\r\n\"&'/:<>@";
    size_t from = 0;

    for (size_t i = 0; i <= text.len; i++) {
        if (i < text.len && !memchr(apart, text.p[i], sizeof(apart) - 1))
            continue;
        lower_word(out, (struct mk_str){text.p + from, i - from});
        if (i < text.len)
            mk_buf_add_byte(out, text.p[i]);
        from = i + 1;
    }
}

void
search_add(struct vcard *self, struct mk_sql_batch *batch, const struct mk_jid *account,
           const struct mk_node *vcard)
{
    struct mk_sql_value values[SEARCH_VALUES] = {MK_SQL_V_TEXT(mk_jid_local(account)),
                                                 MK_SQL_V_TEXT(mk_jid_local(account)),
                                                 MK_SQL_V_TEXT(mk_jid_domain(account))};
    struct mk_buf lowered[SEARCH_FIELDS] = {{0}};

    for (size_t i = 0; i < SEARCH_FIELDS; i++) {
        struct mk_str text = field_text(vcard, &fields[i]);

        lower(&lowered[i], text);
        values[3 + 2 * i] = MK_SQL_V_TEXT(text);
        values[4 + 2 * i] = MK_SQL_V_TEXT(mk_buf_str(&lowered[i]));
    }
    self->db->batch_add(batch, self->index, values, SEARCH_VALUES);
    for (size_t i = 0; i < SEARCH_FIELDS; i++)
        mk_buf_release(&lowered[i]);
}
