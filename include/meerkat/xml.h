/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * XML in two forms: `mk_node`, an immutable tree for reading, and `mk_xml`, a builder that cannot
 * emit ill-formed XML: it closes what is open, escapes all text, drops characters that XML 1.0
 * does not allow, and writes a namespace only where it differs from the parent's.
 */
#ifndef MEERKAT_XML_H
#define MEERKAT_XML_H

#include <meerkat/base.h>

MK_BEGIN

struct mk_node;
struct mk_xml;
struct mk_jid;

/* -- reading ------------------------------------------------------------------------------- */

MK_API const char *mk_node_name(const struct mk_node *n);
MK_API const char *mk_node_ns(const struct mk_node *n);        /* "" when there is none */
/* An attribute without a namespace, or "xml:lang"; NULL when it is not there. */
MK_API const char *mk_node_attr(const struct mk_node *n, const char *name);
/* First child element with this name and namespace; NULL for either means any. */
MK_API const struct mk_node *mk_node_child(const struct mk_node *n, const char *name,
                                           const char *ns);
/* Next sibling element under the same condition. */
MK_API const struct mk_node *mk_node_next(const struct mk_node *n, const char *name,
                                          const char *ns);
/* The text directly inside (not in children), joined; "" when there is none. Borrowed. */
MK_API struct mk_str mk_node_text(const struct mk_node *n);
MK_API bool mk_node_is(const struct mk_node *n, const char *name, const char *ns);

/*
 * Parses one element with the same limits as a stream (RFC 6120 §11.1: no DTD, comments,
 * processing instructions). `default_ns` is in force around it; NULL: none. NULL when it is not well-formed.
 * Owned; a tree is freed as a whole.
 */
MK_API struct mk_node *mk_node_parse(struct mk_str xml, const char *default_ns) MK_NODISCARD;
MK_API void mk_node_free(struct mk_node **root);

/* -- building ------------------------------------------------------------------------------ */

/*
 * A builder whose outermost elements stand inside a parent with namespace `ns` (NULL:
 * "jabber:client"). Owned until it is given away (mk_stanza_new and others take it). One thread.
 */
MK_API struct mk_xml *mk_xml_new(const char *ns) MK_NODISCARD;
MK_API void mk_xml_free(struct mk_xml **x);
/* Names and namespaces come from the program, not from a peer: a bad one is a bug. `ns` NULL: the
 * parent's. An attribute must follow its open; a NULL value leaves it out. */
MK_API void mk_xml_open(struct mk_xml *x, const char *name, const char *ns);
MK_API void mk_xml_attr(struct mk_xml *x, const char *name, const char *value);
MK_API void mk_xml_attr_str(struct mk_xml *x, const char *name, struct mk_str value);
MK_API void mk_xml_attr_jid(struct mk_xml *x, const char *name, const struct mk_jid *jid);
MK_API void mk_xml_attr_int(struct mk_xml *x, const char *name, int64_t value);
MK_API void mk_xml_text(struct mk_xml *x, struct mk_str text);
MK_API void mk_xml_close(struct mk_xml *x);
/* open, text, close in one. */
MK_API void mk_xml_leaf(struct mk_xml *x, const char *name, const char *ns, struct mk_str text);
/* A tree as it is, with its namespaces. */
MK_API void mk_xml_node(struct mk_xml *x, const struct mk_node *n);
/* XML text from storage: parsed first, -1 and nothing written when it is not one well-formed element. */
MK_API int mk_xml_parsed(struct mk_xml *x, struct mk_str xml, const char *default_ns) MK_NODISCARD;
/* Closes what is open and shows the bytes, borrowed until the builder changes. */
MK_API struct mk_str mk_xml_str(struct mk_xml *x);

/* Appends `text` escaped for use in text and in attributes with either quote. */
MK_API void mk_xml_escape(struct mk_buf *out, struct mk_str text);

MK_END
#endif
