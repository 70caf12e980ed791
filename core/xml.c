/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The XML builder. Bytes are appended as they come; a stack remembers names and namespaces. */
#include "config.h"

#include "xml-internal.h"

#include <stdio.h>

#include <meerkat/stanza.h>

#include "jid-internal.h"

#define BASE_NS UINT32_MAX

/* Classes of bytes for escaping. */
enum { PLAIN, ESCAPE, WHITE, DROP, MULTI };

static inline int
class_of(unsigned char c)
{
    if (c >= 0x80)
        return MULTI;
    if (c < 0x20)
        return c == '\t' || c == '\n' || c == '\r' ? WHITE : DROP;
    return c == '<' || c == '>' || c == '&' || c == '\'' || c == '"' ? ESCAPE : PLAIN;
}

/* Length of a valid UTF-8 sequence that XML allows at p, or 0. */
static size_t
sequence(const unsigned char *p, size_t left)
{
    size_t n = *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : 2;

    if (n > left || !mk_utf8_valid((struct mk_str){(const char *)p, n}))
        return 0;
    if (n == 3 && p[0] == 0xef && p[1] == 0xbf && p[2] >= 0xbe)
        return 0;       /* U+FFFE, U+FFFF */
    return n;
}

static void
escape_byte(struct mk_buf *out, char c)
{
    switch (c) {
    case '<':
        mk_buf_add(out, "&lt;", 4);
        break;
    case '>':
        mk_buf_add(out, "&gt;", 4);
        break;
    case '&':
        mk_buf_add(out, "&amp;", 5);
        break;
    case '\'':
        mk_buf_add(out, "&apos;", 6);
        break;
    case '"':
        mk_buf_add(out, "&quot;", 6);
        break;
    default:
        mk_buf_printf(out, "&#%d;", c);
    }
}

static void
escape(struct mk_buf *out, struct mk_str text, bool attribute)
{
    const unsigned char *p = (const unsigned char *)text.p, *end = p + text.len, *run = p;

    while (p < end) {
        int class = class_of(*p);
        size_t n = 1;

        if (class == PLAIN || (class == WHITE && !attribute && *p != '\r') ||
            (class == MULTI && (n = sequence(p, (size_t)(end - p))) > 0)) {
            p += n;
            continue;
        }
        mk_buf_add(out, run, (size_t)(p - run));
        if (class == ESCAPE || class == WHITE)
            escape_byte(out, (char)*p);
        else if (class == MULTI)
            mk_buf_add(out, "\xef\xbf\xbd", 3);
        run = ++p;
    }
    mk_buf_add(out, run, (size_t)(p - run));
}

void
mk_xml_escape(struct mk_buf *out, struct mk_str text)
{
    escape(out, text, true);
}

void
mki_xml_escape_attr(struct mk_buf *out, struct mk_str text)
{
    escape(out, text, true);
}

struct mk_xml *
mk_xml_new(const char *ns)
{
    struct mk_xml *x = mk_zalloc(sizeof(*x));

    if (ns && strcmp(ns, MK_NS_CLIENT) != 0)
        x->base_ns = x->owned_ns = mk_strdup(ns);
    else
        x->base_ns = MK_NS_CLIENT;
    return x;
}

void
mk_xml_free(struct mk_xml **x)
{
    if (!*x)
        return;
    mk_buf_release(&(*x)->buf);
    mk_buf_release(&(*x)->names);
    mk_free((*x)->stack);
    mk_free((*x)->owned_ns);
    mk_free(*x);
    *x = NULL;
}

static bool
name_ok(const char *name)
{
    if (!*name || *name == '-' || *name == '.' || (*name >= '0' && *name <= '9'))
        return false;
    for (; *name; name++) {
        unsigned char c = (unsigned char)*name;

        if (c <= 0x20 || strchr("<>&'\"/=!?;,()[]{}@#$%^*+|\\`~", c))
            return false;
    }
    return true;
}

static struct mk_str
current_ns(const struct mk_xml *x)
{
    const struct mki_open *top = x->depth ? &x->stack[x->depth - 1] : NULL;

    if (!top || top->ns == BASE_NS)
        return mk_str_of(x->base_ns);
    return (struct mk_str){x->buf.data + top->ns, top->ns_len};
}

static void
finish_tag(struct mk_xml *x)
{
    if (x->depth && x->stack[x->depth - 1].tag_open) {
        mk_buf_add_byte(&x->buf, '>');
        x->stack[x->depth - 1].tag_open = false;
    }
}

void
mk_xml_open(struct mk_xml *x, const char *name, const char *ns)
{
    struct mk_str parent_ns = current_ns(x);
    struct mki_open top = {.ns = BASE_NS, .tag_open = true};
    bool other = ns && !mk_str_is(parent_ns, ns);

    MK_ASSERT(name_ok(name));
    if (x->depth == 0) {
        mk_buf_add(&x->names, name, strlen(name) + 1);
        if (ns)
            mk_buf_add(&x->names, ns, strlen(ns) + 1);
        else
            mk_buf_add(&x->names, x->base_ns, strlen(x->base_ns) + 1);
        x->child_count++;
    } else {
        top.ns = x->stack[x->depth - 1].ns;
        top.ns_len = x->stack[x->depth - 1].ns_len;
    }
    finish_tag(x);
    mk_buf_add_byte(&x->buf, '<');
    top.name = (uint32_t)x->buf.len;
    top.name_len = (uint32_t)strlen(name);
    mk_buf_add(&x->buf, name, top.name_len);
    if (other) {
        mk_buf_add(&x->buf, " xmlns='", 8);
        top.ns = (uint32_t)x->buf.len;
        escape(&x->buf, mk_str_of(ns), true);
        top.ns_len = (uint32_t)x->buf.len - top.ns;
        mk_buf_add_byte(&x->buf, '\'');
    }
    if (x->depth == x->stack_cap) {
        x->stack_cap = x->stack_cap ? x->stack_cap * 2 : 8;
        x->stack = mk_realloc(x->stack, x->stack_cap * sizeof(*x->stack));
    }
    x->stack[x->depth++] = top;
}

void
mk_xml_attr_str(struct mk_xml *x, const char *name, struct mk_str value)
{
    MK_ASSERT(x->depth && x->stack[x->depth - 1].tag_open && name_ok(name));
    mk_buf_add_byte(&x->buf, ' ');
    mk_buf_add_cstr(&x->buf, name);
    mk_buf_add(&x->buf, "='", 2);
    escape(&x->buf, value, true);
    mk_buf_add_byte(&x->buf, '\'');
}

void
mk_xml_attr(struct mk_xml *x, const char *name, const char *value)
{
    if (value)
        mk_xml_attr_str(x, name, mk_str_of(value));
}

void
mk_xml_attr_jid(struct mk_xml *x, const char *name, const struct mk_jid *jid)
{
    if (jid)
        mk_xml_attr_str(x, name, mk_jid_text(jid));
}

void
mk_xml_attr_int(struct mk_xml *x, const char *name, int64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%lld", (long long)value);
    mk_xml_attr(x, name, text);
}

void
mk_xml_text(struct mk_xml *x, struct mk_str text)
{
    MK_ASSERT(x->depth);
    if (text.len == 0)
        return;
    finish_tag(x);
    escape(&x->buf, text, false);
}

void
mk_xml_close(struct mk_xml *x)
{
    struct mki_open *top;

    MK_ASSERT(x->depth);
    top = &x->stack[--x->depth];
    if (top->tag_open) {
        mk_buf_add(&x->buf, "/>", 2);
        return;
    }
    mk_buf_reserve(&x->buf, top->name_len + 3);
    mk_buf_add(&x->buf, "</", 2);
    mk_buf_add(&x->buf, x->buf.data + top->name, top->name_len);
    mk_buf_add_byte(&x->buf, '>');
}

void
mk_xml_leaf(struct mk_xml *x, const char *name, const char *ns, struct mk_str text)
{
    mk_xml_open(x, name, ns);
    mk_xml_text(x, text);
    mk_xml_close(x);
}

static void
write_attrs(struct mk_xml *x, const struct mk_node *n)
{
    unsigned made = 0;

    for (uint32_t i = 0; i < n->attr_count; i++) {
        const struct mki_attr *a = &n->attrs[i];
        char prefix[32];

        if (!a->ns[0] || strncmp(a->name, "xml:", 4) == 0) {
            mk_xml_attr(x, a->name, a->value);
            continue;
        }
        /* An attribute in a namespace needs a prefix: one of ours, declared on the spot. */
        snprintf(prefix, sizeof(prefix), "xmlns:n%u", ++made);
        mk_xml_attr(x, prefix, a->ns);
        mk_buf_printf(&x->buf, " n%u:%s='", made, a->name);
        escape(&x->buf, mk_str_of(a->value), true);
        mk_buf_add_byte(&x->buf, '\'');
    }
}

/* Without recursion: a peer chooses the depth. */
void
mki_xml_content(struct mk_xml *x, const struct mk_node *root)
{
    const struct mk_node *n = root->first;

    while (n) {
        if (!n->name) {
            if (x->depth)
                mk_xml_text(x, n->text);
        } else {
            mk_xml_open(x, n->name, n->ns);
            write_attrs(x, n);
            if (n->first) {
                n = n->first;
                continue;
            }
            mk_xml_close(x);
        }
        while (!n->next && n->parent != root) {
            n = n->parent;
            mk_xml_close(x);
        }
        n = n->next;
    }
}

void
mk_xml_node(struct mk_xml *x, const struct mk_node *n)
{
    mk_xml_open(x, n->name, n->ns);
    write_attrs(x, n);
    mki_xml_content(x, n);
    mk_xml_close(x);
}

int
mk_xml_parsed(struct mk_xml *x, struct mk_str xml, const char *default_ns)
{
    struct mk_node *n = mk_node_parse(xml, default_ns);

    if (!n)
        return -1;
    mk_xml_node(x, n);
    mk_node_free(&n);
    return 0;
}

struct mk_str
mki_xml_finish(struct mk_xml *x)
{
    while (x->depth)
        mk_xml_close(x);
    return mk_buf_str(&x->buf);
}

struct mk_str
mk_xml_str(struct mk_xml *x)
{
    return mki_xml_finish(x);
}
