/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The builder's inside, and the tree that parser.c makes. */
#ifndef MKI_XML_H
#define MKI_XML_H

#include <meerkat/xml.h>

/* Name and namespace of an outermost element, as offsets into the builder's `names`. */
struct mki_child {
    const char *name;
    const char *ns;
};

struct mki_open {
    uint32_t name, name_len;    /* in buf */
    uint32_t ns, ns_len;        /* in buf; ns == UINT32_MAX: the builder's own */
    bool tag_open;              /* the '>' is not written yet */
};

struct mk_xml {
    struct mk_buf buf;
    const char *base_ns;        /* static or owned_ns */
    char *owned_ns;
    struct mki_open *stack;
    uint32_t depth, stack_cap;
    struct mk_buf names;        /* "name\0ns\0" of each outermost element */
    uint32_t child_count;
};

struct mki_attr {
    const char *name;           /* local name, or "xml:lang" */
    const char *ns;             /* "" */
    const char *value;
};

struct mki_chunk;

/* A node, its strings and its children live in the chunks of the root. */
struct mk_node {
    const char *name;
    const char *ns;
    struct mki_attr *attrs;
    uint32_t attr_count;
    struct mk_node *parent;
    struct mk_node *first, *last;       /* children */
    struct mk_node *next;               /* sibling; text nodes have name NULL */
    struct mk_str text;                 /* of a text node; of an element: joined, made on demand */
    bool text_joined;
    struct mki_chunk *chunks;           /* root only */
};

/* Making a tree. The first call of mki_node_open makes the root. */
struct mki_tree {
    struct mk_node *root;
    struct mk_node *here;               /* the open element */
    struct mki_chunk *chunks;
};

/* `name` is expat's "ns\nlocal"; `atts` its list. */
void mki_tree_open(struct mki_tree *t, const char *name, const char **atts);
void mki_tree_text(struct mki_tree *t, const char *text, size_t len);
void mki_tree_close(struct mki_tree *t);
void mki_tree_drop(struct mki_tree *t);
struct mk_node *mki_tree_take(struct mki_tree *t);

/* Splits expat's name: returns the local part, and the namespace through ns_len (its start is `name`). */
const char *mki_split_name(const char *name, size_t *ns_len);

/* Everything below `n` (children and text) into the builder. */
void mki_xml_content(struct mk_xml *x, const struct mk_node *n);
/* Escapes for an attribute: tabs and line ends too. */
void mki_xml_escape_attr(struct mk_buf *out, struct mk_str text);
/* Closes all and gives the bytes; the builder stays the caller's. */
struct mk_str mki_xml_finish(struct mk_xml *x);

#define MKI_NS_SEP '\n'

#endif
