/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
#ifndef MKI_STANZA_H
#define MKI_STANZA_H

#include <meerkat/stanza.h>

#include "xml-internal.h"

#define MKI_STANZA_MAGIC 0x53744e7au

/* Who is told when the last of a stanza and its kin is gone, or another node has it as well. */
struct mki_fate {
    uint32_t refs;              /* atomic */
    bool report, given_up;      /* given_up: atomic */
    mk_stanza_settled_fn fn;    /* NULL: nobody */
    void *arg;
    struct mk_safety *safety;   /* NULL: nobody asked */
};

/*
 * The header of a stanza and, when it owns its payload, the payload behind it in the same
 * allocation. A readdressed stanza is a header alone whose `owner` has the payload.
 */
struct mk_stanza {
    uint32_t magic;
    uint32_t refs;
    uint8_t kind;
    uint8_t type;
    bool bad_address;
    bool id_escape;             /* the id needs escaping */
    uint32_t child_count;
    int32_t others;             /* atomic: receivers beside the last one; -1: a copy */
    struct mk_jid *from;
    struct mk_jid *to;
    const char *id;
    const char *lang;
    const char *type_text;      /* a type that RFC 6121 does not know; NULL */
    const char *name;
    const char *ns;
    struct mk_str extra;        /* other attributes, ready to write: " a='b'" */
    struct mk_stanza *owner;    /* of the payload: itself or another, referenced */
    struct mki_fate *fate;      /* NULL: nobody asked */
    /* -- payload, valid at the owner */
    struct mk_str inner;        /* of a nonza: the whole element */
    const struct mki_child *children;
    struct mk_node *tree;       /* atomic; made on demand */
};

/* What the reader has gathered of an element when it is complete. Everything is copied. */
struct mki_parts {
    enum mk_stanza_kind kind;
    struct mk_str name, ns;     /* of a nonza */
    struct mk_str type, id, lang;           /* p NULL: absent */
    struct mk_str extra;
    struct mk_jid *from, *to;   /* taken */
    bool bad_address;
    struct mk_str inner;
    uint32_t child_count;
    struct mk_str child_names;  /* "name\0ns\0" each */
};

struct mk_stanza *mki_stanza_make(struct mki_parts *parts);

/* The tree below a first-level element from its bytes (parser.c): for a nonza the element itself. */
struct mk_node *mki_tree_of(struct mk_str bytes, bool whole);

#endif
