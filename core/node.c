/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Element trees: made by the parser, read by everybody, freed as a whole. */
#include "config.h"

#include "xml-internal.h"

#define CHUNK_BYTES 1000

struct mki_chunk {
    struct mki_chunk *next;
    size_t used, size;
    _Alignas(8) char data[];
};

static void *
take(struct mki_tree *t, size_t size)
{
    struct mki_chunk *c = t->chunks;
    void *p;

    size = (size + 7) & ~(size_t)7;
    if (!c || c->size - c->used < size) {
        size_t room = size > CHUNK_BYTES ? size : CHUNK_BYTES;

        c = mk_alloc(sizeof(*c) + room);
        c->next = t->chunks;
        c->used = 0;
        c->size = room;
        t->chunks = c;
    }
    p = c->data + c->used;
    c->used += size;
    return p;
}

static const char *
copy(struct mki_tree *t, const char *text, size_t len)
{
    char *p = take(t, len + 1);

    memcpy(p, text, len);
    p[len] = '\0';
    return p;
}

const char *
mki_split_name(const char *name, size_t *ns_len)
{
    const char *sep = strrchr(name, MKI_NS_SEP);

    *ns_len = sep ? (size_t)(sep - name) : 0;
    return sep ? sep + 1 : name;
}

static void
set_attr(struct mki_tree *t, struct mki_attr *a, const char *name, const char *value)
{
    static const char xml_ns[] = "http://www.w3.org/XML/1998/namespace";
    size_t ns_len;
    const char *local = mki_split_name(name, &ns_len);

    a->value = copy(t, value, strlen(value));
    if (ns_len == sizeof(xml_ns) - 1 && memcmp(name, xml_ns, ns_len) == 0) {
        char *prefixed = take(t, strlen(local) + 5);

        memcpy(prefixed, "xml:", 4);
        strcpy(prefixed + 4, local);
        a->name = prefixed;
        a->ns = xml_ns;
        return;
    }
    a->name = copy(t, local, strlen(local));
    a->ns = copy(t, name, ns_len);
}

static void
append(struct mki_tree *t, struct mk_node *n)
{
    n->parent = t->here;
    if (!t->here)
        return;
    if (t->here->last)
        t->here->last->next = n;
    else
        t->here->first = n;
    t->here->last = n;
}

void
mki_tree_open(struct mki_tree *t, const char *name, const char **atts)
{
    struct mk_node *n = take(t, sizeof(*n));
    size_t ns_len;
    const char *local = mki_split_name(name, &ns_len);

    memset(n, 0, sizeof(*n));
    n->name = copy(t, local, strlen(local));
    /* Children are mostly in their parent's namespace. */
    if (t->here && strlen(t->here->ns) == ns_len && memcmp(t->here->ns, name, ns_len) == 0)
        n->ns = t->here->ns;
    else
        n->ns = copy(t, name, ns_len);
    while (atts[2 * n->attr_count])
        n->attr_count++;
    n->attrs = take(t, n->attr_count * sizeof(*n->attrs));
    for (uint32_t i = 0; i < n->attr_count; i++)
        set_attr(t, &n->attrs[i], atts[2 * i], atts[2 * i + 1]);
    append(t, n);
    if (!t->root)
        t->root = n;
    t->here = n;
}

void
mki_tree_text(struct mki_tree *t, const char *text, size_t len)
{
    struct mk_node *n;

    if (!t->here || len == 0)
        return;
    n = take(t, sizeof(*n));
    memset(n, 0, sizeof(*n));
    n->text = (struct mk_str){copy(t, text, len), len};
    append(t, n);
}

/* Joins the runs of text of an element, so that reading needs no memory later. */
static void
join_text(struct mki_tree *t, struct mk_node *n)
{
    const struct mk_node *only = NULL;
    size_t len = 0, runs = 0;
    char *p;

    for (const struct mk_node *c = n->first; c; c = c->next) {
        if (!c->name) {
            only = c;
            len += c->text.len;
            runs++;
        }
    }
    if (runs == 0) {
        n->text = MK_STR("");
        return;
    }
    if (runs == 1) {
        n->text = only->text;
        return;
    }
    p = take(t, len + 1);
    n->text = (struct mk_str){p, len};
    for (const struct mk_node *c = n->first; c; c = c->next) {
        if (!c->name) {
            memcpy(p, c->text.p, c->text.len);
            p += c->text.len;
        }
    }
    *p = '\0';
}

void
mki_tree_close(struct mki_tree *t)
{
    join_text(t, t->here);
    t->here = t->here->parent;
}

static void
free_chunks(struct mki_chunk *c)
{
    while (c) {
        struct mki_chunk *next = c->next;

        mk_free(c);
        c = next;
    }
}

void
mki_tree_drop(struct mki_tree *t)
{
    free_chunks(t->chunks);
    memset(t, 0, sizeof(*t));
}

struct mk_node *
mki_tree_take(struct mki_tree *t)
{
    struct mk_node *root = t->root;

    root->chunks = t->chunks;
    memset(t, 0, sizeof(*t));
    return root;
}

void
mk_node_free(struct mk_node **root)
{
    if (*root)
        free_chunks((*root)->chunks);
    *root = NULL;
}

const char *
mk_node_name(const struct mk_node *n)
{
    return n->name;
}

const char *
mk_node_ns(const struct mk_node *n)
{
    return n->ns;
}

const char *
mk_node_attr(const struct mk_node *n, const char *name)
{
    for (uint32_t i = 0; i < n->attr_count; i++) {
        const struct mki_attr *a = &n->attrs[i];

        if (strcmp(a->name, name) == 0 && (!a->ns[0] || strncmp(name, "xml:", 4) == 0))
            return a->value;
    }
    return NULL;
}

bool
mk_node_is(const struct mk_node *n, const char *name, const char *ns)
{
    return (!name || strcmp(n->name, name) == 0) && (!ns || strcmp(n->ns, ns) == 0);
}

static const struct mk_node *
from(const struct mk_node *n, const char *name, const char *ns)
{
    while (n && !(n->name && mk_node_is(n, name, ns)))
        n = n->next;
    return n;
}

const struct mk_node *
mk_node_child(const struct mk_node *n, const char *name, const char *ns)
{
    return n ? from(n->first, name, ns) : NULL;
}

const struct mk_node *
mk_node_next(const struct mk_node *n, const char *name, const char *ns)
{
    return from(n->next, name, ns);
}

struct mk_str
mk_node_text(const struct mk_node *n)
{
    return n->text;
}
