/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Parsers: a pool of expat parsers for each thread, primed with the opening tag of a client stream, so
 * that any session's next element can be fed to any of them. What is parsed with one: elements of
 * streams (reader.c gives the bytes), and trees of elements whose bytes are known.
 */
#include "config.h"

#include "parser-internal.h"

static const char prime_text[] =
    "<stream:stream xmlns='" MK_NS_CLIENT "' xmlns:stream='" MK_NS_STREAM "'>";

/* A parser remembers every name it has met: after so much it starts afresh. */
#define MAX_PRIMED_BYTES (1u << 20)
#define MAX_POOL 16

static __thread struct mki_parser *pool;
static __thread unsigned pool_count;

static void XMLCALL
on_restricted_comment(void *arg, const XML_Char *text)
{
    (void)text;
    mki_parser_fail(arg, "restricted-xml", "comments are not allowed");
}

static void XMLCALL
on_restricted_pi(void *arg, const XML_Char *target, const XML_Char *text)
{
    (void)target;
    (void)text;
    mki_parser_fail(arg, "restricted-xml", "processing instructions are not allowed");
}

static void XMLCALL
on_restricted_dtd(void *arg, const XML_Char *name, const XML_Char *system_id,
                  const XML_Char *public_id, int internal)
{
    (void)name;
    (void)system_id;
    (void)public_id;
    (void)internal;
    mki_parser_fail(arg, "restricted-xml", "a document type is not allowed");
}

static void XMLCALL
on_declaration(void *arg, const XML_Char *version, const XML_Char *encoding, int standalone)
{
    (void)standalone;
    if (encoding && strcasecmp(encoding, "UTF-8") != 0)
        mki_parser_fail(arg, "unsupported-encoding", "the encoding must be UTF-8");
    else if (version && strcmp(version, "1.0") != 0)
        mki_parser_fail(arg, "not-well-formed", "the XML version must be 1.0");
}

void
mki_parser_fail(struct mki_parser *p, const char *condition, const char *text)
{
    if (!p->condition) {
        p->condition = condition;
        p->text = text;
    }
    XML_StopParser(p->expat, XML_FALSE);
}

static void
set_handlers(struct mki_parser *p)
{
#ifdef HAVE_XML_SETREPARSEDEFERRALENABLED
    /* We feed whole tags: expat must not wait for more. */
    XML_SetReparseDeferralEnabled(p->expat, XML_FALSE);
#endif
    XML_SetUserData(p->expat, p);
    XML_SetCommentHandler(p->expat, on_restricted_comment);
    XML_SetProcessingInstructionHandler(p->expat, on_restricted_pi);
    XML_SetStartDoctypeDeclHandler(p->expat, on_restricted_dtd);
    XML_SetXmlDeclHandler(p->expat, on_declaration);
    p->total = 0;
    p->depth = 0;
    p->condition = NULL;
    p->dirty = false;
}

static struct mki_parser *
parser_new(void)
{
    struct mki_parser *p = mk_zalloc(sizeof(*p));

    p->expat = XML_ParserCreateNS("UTF-8", MKI_NS_SEP);
    if (!p->expat)
        MK_BUG("out of memory for an XML parser");
    set_handlers(p);
    return p;
}

static void
parser_free(struct mki_parser *p)
{
    XML_ParserFree(p->expat);
    mki_tree_drop(&p->tree);
    mk_buf_release(&p->names);
    mk_buf_release(&p->attrs);
    mk_buf_release(&p->extra);
    mk_jid_unref(&p->from);
    mk_jid_unref(&p->to);
    mk_free(p);
}

static void
reset(struct mki_parser *p)
{
    if (XML_ParserReset(p->expat, "UTF-8") != XML_TRUE)
        MK_BUG("an XML parser could not be reset");
    set_handlers(p);
}

static void
prime(struct mki_parser *p)
{
    if (XML_Parse(p->expat, prime_text, sizeof(prime_text) - 1, 0) != XML_STATUS_OK)
        MK_BUG("an XML parser could not be primed");
    p->total = sizeof(prime_text) - 1;
    p->depth = 1;
}

struct mki_parser *
mki_parser_get(bool primed)
{
    struct mki_parser *p = pool;

    if (p) {
        pool = p->next;
        pool_count--;
    } else {
        p = parser_new();
    }
    if (p->dirty || (!primed && p->depth))
        reset(p);
    if (primed && p->depth == 0)
        prime(p);
    p->next = NULL;
    return p;
}

bool
mki_parser_pending(const struct mki_parser *p)
{
    return XML_GetCurrentByteIndex(p->expat) != (XML_Index)p->total;
}

void
mki_parser_put(struct mki_parser *p)
{
    XML_SetElementHandler(p->expat, NULL, NULL);
    XML_SetCharacterDataHandler(p->expat, NULL);
    XML_SetNamespaceDeclHandler(p->expat, NULL, NULL);
    p->reader = NULL;
    if (p->tree.chunks)
        mki_tree_drop(&p->tree);
    if (p->depth != 1 || p->total > MAX_PRIMED_BYTES || mki_parser_pending(p))
        p->dirty = true;
    if (pool_count >= MAX_POOL) {
        parser_free(p);
        return;
    }
    p->next = pool;
    pool = p;
    pool_count++;
}

void
mki_parser_thread_end(void)
{
    while (pool) {
        struct mki_parser *next = pool->next;

        parser_free(pool);
        pool = next;
    }
    pool_count = 0;
}

int
mki_parser_run(struct mki_parser *p, const char *data, size_t len)
{
    p->call_start = p->total;
    p->call_end = p->total + len;
    if (XML_Parse(p->expat, data, (int)len, 0) == XML_STATUS_OK) {
        p->total += len;
        return 0;
    }
    p->dirty = true;
    return -1;
}

void
mki_parser_error(struct mki_parser *p, const char **condition_out, const char **text_out)
{
    enum XML_Error e = XML_GetErrorCode(p->expat);

    if (p->condition) {
        *condition_out = p->condition;
        *text_out = p->text;
        return;
    }
    *text_out = XML_ErrorString(e);
    switch (e) {
    case XML_ERROR_UNDEFINED_ENTITY:
    case XML_ERROR_RECURSIVE_ENTITY_REF:
    case XML_ERROR_EXTERNAL_ENTITY_HANDLING:
        *condition_out = "restricted-xml";
        return;
    case XML_ERROR_UNKNOWN_ENCODING:
    case XML_ERROR_INCORRECT_ENCODING:
        *condition_out = "unsupported-encoding";
        return;
    default:
        *condition_out = "not-well-formed";
    }
}

/* -- trees ---------------------------------------------------------------------------------- */

#define TREE_MAX_DEPTH 512

static void XMLCALL
on_tree_open(void *arg, const XML_Char *name, const XML_Char **atts)
{
    struct mki_parser *p = arg;

    if (++p->depth > TREE_MAX_DEPTH)
        mki_parser_fail(p, "policy-violation", "too deep");
    else
        mki_tree_open(&p->tree, name, atts);
}

static void XMLCALL
on_tree_text(void *arg, const XML_Char *text, int len)
{
    mki_tree_text(&((struct mki_parser *)arg)->tree, text, (size_t)len);
}

static void XMLCALL
on_tree_close(void *arg, const XML_Char *name)
{
    struct mki_parser *p = arg;

    (void)name;
    p->depth--;
    /* Closing what the caller's bytes did not open. */
    if (!p->tree.here)
        mki_parser_fail(p, "not-well-formed", "an end tag without a start");
    else
        mki_tree_close(&p->tree);
}

static void
tree_handlers(struct mki_parser *p)
{
    XML_SetElementHandler(p->expat, on_tree_open, on_tree_close);
    XML_SetCharacterDataHandler(p->expat, on_tree_text);
}

struct mk_node *
mki_tree_of(struct mk_str bytes, bool whole)
{
    static const char *no_atts[] = {NULL};
    struct mki_parser *p = mki_parser_get(true);
    struct mk_node *n = NULL;

    tree_handlers(p);
    if (!whole)
        mki_tree_open(&p->tree, "x", no_atts);
    if (mki_parser_run(p, bytes.p, bytes.len) == 0 && p->tree.root) {
        if (!whole)
            mki_tree_close(&p->tree);
        n = mki_tree_take(&p->tree);
    }
    mki_parser_put(p);
    return n;
}

/*
 * Strangers' text: it is put between tags of ours, and a mark behind it shows whether it ended
 * everything that it began.
 */
struct mk_node *
mk_node_parse(struct mk_str xml, const char *default_ns)
{
    struct mki_parser *p;
    struct mk_buf doc = {0};
    struct mk_node *wrapper = NULL, *n = NULL;

    mk_buf_add_cstr(&doc, "<w xmlns='");
    mk_xml_escape(&doc, mk_str_of(default_ns ? default_ns : ""));
    mk_buf_add_cstr(&doc, "'>");
    mk_buf_add_str(&doc, xml);
    mk_buf_add_cstr(&doc, "<end-mark/></w>");
    p = mki_parser_get(true);
    tree_handlers(p);
    if (mki_parser_run(p, doc.data, doc.len) == 0 && p->depth == 1 && p->tree.root &&
        !p->tree.here) {
        struct mk_node *w = p->tree.root;

        n = (struct mk_node *)mk_node_child(w, NULL, NULL);
        if (!w->next && n && n->next == w->last && mk_str_is(w->text, "") &&
            strcmp(w->last->name, "end-mark") == 0) {
            wrapper = mki_tree_take(&p->tree);
            n->chunks = wrapper->chunks;
            n->next = NULL;
            n->parent = NULL;
        }
    } else {
        p->dirty = true;
    }
    mki_parser_put(p);
    mk_buf_release(&doc);
    return wrapper ? n : NULL;
}
