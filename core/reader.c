/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Reading a stream: bytes are cut at the ends of tags by a small scanner, whole tags go to a pooled
 * expat parser, first-level elements come out as stanzas that keep their bytes.
 *
 * Expat never sees half a tag, so an element is complete when its last byte is here, and a peer that
 * sends single bytes makes nobody parse a tag twice.
 */
#include "config.h"

#include "parser-internal.h"

enum state { EXPECT_HEADER, INSIDE_STREAM, DEAD };
enum scan { SCAN_TEXT, SCAN_TAG, SCAN_DOUBLE, SCAN_SINGLE, SCAN_CDATA, SCAN_DECLARATION };

struct mk_reader {
    const struct mk_reader_ops *ops;
    const struct mk_reader_limits *limits;
    void *arg;
    struct mk_jid *self;
    struct mk_jid *last_to;     /* most stanzas of a session go where the last one went */
    struct mki_parser *parser;  /* only inside an element */
    struct mk_buf kept;         /* bytes from the start of the element on */
    size_t fed;                 /* of kept: already given to the parser */
    size_t scanned;             /* of kept: already scanned */
    size_t boundary;            /* of kept: end of the last whole tag */
    const char *window;         /* while feeding: where the bytes are */
    uint8_t state;
    uint8_t scan;
    bool odd;                   /* other namespaces on the stream header: elements are rewritten */
    bool odd_header;            /* while the header is read */
    bool default_seen;          /* the header's default namespace is the clients' */
    struct mk_str prime;        /* an odd stream's opening tag, owned */
    bool declared;              /* the XML declaration has come */
    bool restricted;            /* the scanner met what may not come */
    bool stop;                  /* an operation said so */
    bool waiting;
    bool restart, restart_keep;
    bool feeding;
    bool freed;
};

/* -- scanner -------------------------------------------------------------------------------- */

enum look { DIFFERENT, SAME, UNDECIDED };

static enum look
look(const char *w, size_t len, const char *what)
{
    size_t n = strlen(what);

    if (memcmp(w, what, len < n ? len : n) != 0)
        return DIFFERENT;
    return len < n ? UNDECIDED : SAME;
}

/*
 * Decides what a '<' at w[i] begins; false when more bytes are needed, or it may not come (RFC 6120 §11.1).
 * Comments, processing instructions and document types are refused here, before expat sees them: they end
 * elsewhere than tags, and a parser that waits for their end must not go back to the pool.
 */
static bool
begin_tag(struct mk_reader *r, const char *w, size_t i, size_t len)
{
    enum look is = SAME;
    enum scan begins = SCAN_TAG;

    if (i + 1 == len)
        return false;
    if (w[i + 1] == '!') {
        is = look(w + i, len - i, "<![CDATA[");
        begins = SCAN_CDATA;
    } else if (w[i + 1] == '?') {
        is = r->state == EXPECT_HEADER && !r->declared ? look(w + i, len - i, "<?xml") : DIFFERENT;
        begins = SCAN_DECLARATION;
        r->declared = r->declared || is == SAME;
    }
    r->restricted = is == DIFFERENT;
    if (is == SAME)
        r->scan = begins;
    return is == SAME;
}

static size_t
skip_to(const char *w, size_t i, size_t len, char c)
{
    const char *found = memchr(w + i, c, len - i);

    return found ? (size_t)(found - w) : len;
}

/* Advances r->scanned to the end of the window and r->boundary to the end of the last whole tag. */
static void
scan(struct mk_reader *r, const char *w, size_t len)
{
    size_t i = r->scanned;

    while (i < len) {
        switch ((enum scan)r->scan) {
        case SCAN_TEXT:
            i = skip_to(w, i, len, '<');
            if (i == len)
                break;
            if (!begin_tag(r, w, i, len)) {
                r->scanned = i;
                return;
            }
            i++;
            break;
        case SCAN_TAG:
            while (i < len && w[i] != '>' && w[i] != '"' && w[i] != '\'')
                i++;
            if (i == len)
                break;
            if (w[i] == '>') {
                r->scan = SCAN_TEXT;
                r->boundary = i + 1;
            } else {
                r->scan = w[i] == '"' ? SCAN_DOUBLE : SCAN_SINGLE;
            }
            i++;
            break;
        case SCAN_DOUBLE:
        case SCAN_SINGLE:
            i = skip_to(w, i, len, r->scan == SCAN_DOUBLE ? '"' : '\'');
            if (i < len) {
                r->scan = SCAN_TAG;
                i++;
            }
            break;
        case SCAN_CDATA:
            i = skip_to(w, i, len, '>');
            if (i == len)
                break;
            if (i >= 2 && w[i - 1] == ']' && w[i - 2] == ']') {
                r->scan = SCAN_TEXT;
                r->boundary = i + 1;
            }
            i++;
            break;
        case SCAN_DECLARATION:
            i = skip_to(w, i, len, '>');
            if (i == len)
                break;
            if (w[i - 1] == '?') {
                r->scan = SCAN_TEXT;
                r->boundary = i + 1;
            }
            i++;
            break;
        }
    }
    r->scanned = len;
}

/* -- what expat tells ----------------------------------------------------------------------- */

static void
gather(struct mki_parser *p, const char *text, uint32_t *at, uint32_t *len)
{
    *at = (uint32_t)p->attrs.len;
    *len = (uint32_t)strlen(text);
    mk_buf_add(&p->attrs, text, *len);
}

static struct mk_jid *
address(struct mki_parser *p, const char *text)
{
    struct mk_jid *jid = mk_jid_parse(mk_str_of(text));

    if (!jid)
        p->bad_address = true;
    return jid;
}

static void
take_to(struct mki_parser *p, const char *text)
{
    struct mk_reader *r = p->reader;

    if (!r->last_to || !mk_str_is(mk_jid_text(r->last_to), text)) {
        struct mk_jid *jid = address(p, text);

        if (!jid)
            return;
        mk_jid_unref(&r->last_to);
        r->last_to = jid;
    }
    mk_jid_unref(&p->to);
    p->to = mk_jid_ref(r->last_to);
}

static void
take_from(struct mki_parser *p, const char *text)
{
    const struct mk_jid *self = p->reader->self;

    mk_jid_unref(&p->from);
    if (self && mk_str_is(mk_jid_text(self), text)) {
        p->from = mk_jid_ref(self);
        return;
    }
    p->from = address(p, text);
    p->bad_from = !p->from;
    if (self && p->from && mk_jid_is_bare(p->from) && mk_jid_same_bare(p->from, self)) {
        mk_jid_unref(&p->from);
        p->from = mk_jid_ref(self);
    }
}

/* Attributes that we have no name for are passed on. */
static void
take_extra(struct mki_parser *p, const char *name, const char *value)
{
    size_t ns_len;
    const char *local = mki_split_name(name, &ns_len);

    mk_buf_add_byte(&p->extra, ' ');
    if (ns_len) {
        mk_buf_add_cstr(&p->extra, "xmlns:e='");
        mk_xml_escape(&p->extra, (struct mk_str){name, ns_len});
        mk_buf_add_cstr(&p->extra, "' e:");
    }
    mk_buf_add_cstr(&p->extra, local);
    mk_buf_add_cstr(&p->extra, "='");
    mk_xml_escape(&p->extra, mk_str_of(value));
    mk_buf_add_byte(&p->extra, '\'');
}

static void
take_attrs(struct mki_parser *p, const XML_Char **atts)
{
    static const char lang[] = "http://www.w3.org/XML/1998/namespace\nlang";
    unsigned namespaced = 0;

    for (; atts[0]; atts += 2) {
        const char *name = atts[0], *value = atts[1];

        if (strcmp(name, "to") == 0)
            take_to(p, value);
        else if (strcmp(name, "from") == 0)
            take_from(p, value);
        else if (strcmp(name, "id") == 0)
            gather(p, value, &p->id.at, &p->id.len);
        else if (strcmp(name, "type") == 0)
            gather(p, value, &p->type.at, &p->type.len);
        else if (strcmp(name, lang) == 0)
            gather(p, value, &p->lang.at, &p->lang.len);
        else if (!strchr(name, MKI_NS_SEP) || namespaced++ == 0)
            take_extra(p, name, value);
    }
}

static bool
is_white(const char *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (p[i] != ' ' && p[i] != '\n' && p[i] != '\t' && p[i] != '\r')
            return false;
    }
    return true;
}

/* Between elements only white space may stand. What came before the window was looked at by check_start. */
static bool
is_gap(struct mki_parser *p, uint64_t at)
{
    struct mk_reader *r = p->reader;
    uint64_t base = p->call_start - r->fed;
    uint64_t from = p->start > base ? p->start : base;

    return from >= at || is_white(r->window + (from - base), (size_t)(at - from));
}

static bool
check_gap(struct mki_parser *p)
{
    if (is_gap(p, (uint64_t)XML_GetCurrentByteIndex(p->expat)))
        return true;
    mki_parser_fail(p, "bad-format", "text outside of an element");
    return false;
}

static void
begin_element(struct mki_parser *p, const XML_Char *name, const XML_Char **atts)
{
    static const char client[] = MK_NS_CLIENT "\n";
    const char *local = name;
    size_t ns_len;

    p->kind = MK_NONZA;
    if (strncmp(name, client, sizeof(client) - 1) == 0) {
        local = name + sizeof(client) - 1;
        if (strcmp(local, "message") == 0)
            p->kind = MK_MESSAGE;
        else if (strcmp(local, "presence") == 0)
            p->kind = MK_PRESENCE;
        else if (strcmp(local, "iq") == 0)
            p->kind = MK_IQ;
    }
    p->start = (uint64_t)XML_GetCurrentByteIndex(p->expat);
    p->content = p->start + (uint64_t)XML_GetCurrentByteCount(p->expat);
    p->bad_address = p->bad_from = false;
    p->child_count = 0;
    p->type.at = p->id.at = p->lang.at = UINT32_MAX;
    mk_buf_clear(&p->names);
    mk_buf_clear(&p->attrs);
    mk_buf_clear(&p->extra);
    mk_jid_unref(&p->from);
    mk_jid_unref(&p->to);
    if (p->kind != MK_NONZA) {
        take_attrs(p, atts);
        if (!p->from && !p->bad_from)
            p->from = mk_jid_ref(p->reader->self);
        return;
    }
    local = mki_split_name(name, &ns_len);
    gather(p, local, &p->name.at, &p->name.len);
    p->ns.at = (uint32_t)p->attrs.len;
    p->ns.len = (uint32_t)ns_len;
    mk_buf_add(&p->attrs, name, ns_len);
}

static void
note_child(struct mki_parser *p, const XML_Char *name)
{
    size_t ns_len;
    const char *local = mki_split_name(name, &ns_len);

    mk_buf_add(&p->names, local, strlen(local) + 1);
    mk_buf_add(&p->names, name, ns_len);
    mk_buf_add_byte(&p->names, '\0');
    p->child_count++;
}

static bool
within_limits(struct mki_parser *p)
{
    const struct mk_reader_limits *limits = p->reader->limits;
    unsigned n = (unsigned)XML_GetSpecifiedAttributeCount(p->expat) / 2 + p->namespaces;

    p->namespaces = 0;
    if (p->depth > limits->max_depth) {
        mki_parser_fail(p, "policy-violation", "elements are nested too deeply");
        return false;
    }
    if (n > limits->max_attributes) {
        mki_parser_fail(p, "policy-violation", "an element has too many attributes");
        return false;
    }
    return true;
}

static void XMLCALL
on_text(void *arg, const XML_Char *text, int len)
{
    struct mki_parser *p = arg;

    if (p->depth > 1)
        mki_tree_text(&p->tree, text, (size_t)len);
}

static void
begin_stream(struct mki_parser *p)
{
    struct mk_reader *r = p->reader;
    uint64_t at = (uint64_t)XML_GetCurrentByteIndex(p->expat);
    size_t len = (size_t)XML_GetCurrentByteCount(p->expat);
    struct mk_node *header;

    mki_tree_close(&p->tree);
    header = mki_tree_take(&p->tree);
    r->state = INSIDE_STREAM;
    r->odd = r->odd_header || !r->default_seen;
    if (r->odd) {
        const char *tag = r->window + (at - (p->call_start - r->fed));

        r->prime = (struct mk_str){mk_str_dup((struct mk_str){tag, len}), len};
        XML_SetCharacterDataHandler(p->expat, on_text);
    }
    p->prefixed = false;
    p->start = p->content = at + len;
    r->stop = !r->ops->open(r->arg, header);
    mk_node_free(&header);
    if (r->stop && p->start < p->call_end)
        XML_StopParser(p->expat, XML_FALSE);
}

static void XMLCALL
on_open(void *arg, const XML_Char *name, const XML_Char **atts)
{
    struct mki_parser *p = arg;
    struct mk_reader *r = p->reader;

    if (!r || r->stop || p->condition || !within_limits(p) || (p->depth == 1 && !check_gap(p)))
        return;
    p->depth++;
    if (p->depth == 1 || r->odd || p->tree.root)
        mki_tree_open(&p->tree, name, atts);
    if (p->depth == 2 && strcmp(name, MK_NS_STREAM "\nstream") == 0) {
        mki_parser_fail(p, "bad-format", "the stream is open already");
    } else if (p->depth == 2) {
        p->prefixed = p->prefixed || r->odd;
        begin_element(p, name, atts);
    } else if (p->depth == 3) {
        note_child(p, name);
    } else if (p->depth == 1) {
        begin_stream(p);
    }
}

/* A prefix on the header makes the stream odd, one on an element's own tag that element. Prefixes
 * further inside are declared where they are used. */
static void XMLCALL
on_namespace(void *arg, const XML_Char *prefix, const XML_Char *uri)
{
    struct mki_parser *p = arg;
    struct mk_reader *r = p->reader;

    if (!r)
        return;
    p->namespaces++;
    if (p->depth == 1)
        p->prefixed = p->prefixed || prefix != NULL;
    if (p->depth != 0)
        return;
    if (!prefix) {
        /* RFC 6120 §4.8.2: none, the content's, or that of the stream itself. */
        if (uri && strcmp(uri, MK_NS_CLIENT) != 0 && strcmp(uri, MK_NS_STREAM) != 0)
            mki_parser_fail(p, "invalid-namespace", "the content's namespace must be 'jabber:client'");
        if (!uri || strcmp(uri, MK_NS_CLIENT) != 0)
            r->odd_header = true;
        else
            r->default_seen = true;
    } else if (!uri || strcmp(prefix, "stream") != 0 || strcmp(uri, MK_NS_STREAM) != 0) {
        r->odd_header = true;
    }
}

static struct mk_str
part(const struct mki_parser *p, uint32_t at, uint32_t len)
{
    if (at == UINT32_MAX)
        return (struct mk_str){NULL, 0};
    return (struct mk_str){p->attrs.data ? p->attrs.data + at : "", len};
}

static struct mk_stanza *
make_stanza(struct mki_parser *p, struct mk_str inner, struct mk_str whole)
{
    struct mki_parts parts = {.kind = p->kind, .from = p->from, .to = p->to,
                              .type = part(p, p->type.at, p->type.len),
                              .id = part(p, p->id.at, p->id.len),
                              .lang = part(p, p->lang.at, p->lang.len),
                              .extra = mk_buf_str(&p->extra),
                              .bad_address = p->bad_address,
                              .inner = inner,
                              .child_count = p->child_count,
                              .child_names = mk_buf_str(&p->names)};

    p->from = p->to = NULL;
    if (p->kind == MK_NONZA) {
        parts.name = part(p, p->name.at, p->name.len);
        parts.ns = part(p, p->ns.at, p->ns.len);
        parts.inner = whole;
    }
    return mki_stanza_make(&parts);
}

/* The bytes depend on prefixes that stand outside of them: write the content anew. */
static struct mk_stanza *
make_rewritten(struct mki_parser *p, struct mk_str whole)
{
    struct mk_node *tree = p->reader->odd ? mki_tree_take(&p->tree) : mki_tree_of(whole, true);
    struct mk_xml *x = mk_xml_new(NULL);
    struct mk_stanza *st;

    MK_ASSERT(tree);
    if (p->kind == MK_NONZA)
        mk_xml_node(x, tree);
    else
        mki_xml_content(x, tree);
    st = make_stanza(p, mki_xml_finish(x), mki_xml_finish(x));
    mk_xml_free(&x);
    mk_node_free(&tree);
    return st;
}

static void
end_element(struct mki_parser *p)
{
    struct mk_reader *r = p->reader;
    uint64_t at = (uint64_t)XML_GetCurrentByteIndex(p->expat);
    uint64_t end = at + (uint64_t)XML_GetCurrentByteCount(p->expat);
    /* The window's first byte has this index: what was fed before this call is in it as well. */
    uint64_t base = p->call_start - r->fed;
    struct mk_str whole = {r->window + (p->start - base), (size_t)(end - p->start)};
    struct mk_str inner = {r->window + (p->content - base), (size_t)(at - p->content)};
    struct mk_stanza *st;

    if (whole.len > r->limits->max_element) {
        mki_parser_fail(p, "policy-violation", "an element is too large");
        return;
    }
    st = p->prefixed ? make_rewritten(p, whole) : make_stanza(p, inner, whole);
    p->prefixed = false;
    p->start = end;
    r->stop = !r->ops->element(r->arg, st);
    mk_stanza_unref(&st);
    if (r->stop && end < p->call_end)
        XML_StopParser(p->expat, XML_FALSE);
}

static void XMLCALL
on_close(void *arg, const XML_Char *name)
{
    struct mki_parser *p = arg;
    struct mk_reader *r = p->reader;

    (void)name;
    if (!r || r->stop || p->condition || (p->depth == 1 && !check_gap(p)))
        return;
    if (r->odd && p->depth > 1 && p->tree.here)
        mki_tree_close(&p->tree);
    p->depth--;
    if (p->depth == 1) {
        end_element(p);
    } else if (p->depth == 0) {
        r->state = DEAD;
        r->stop = true;
        p->dirty = true;
        r->ops->close(r->arg);
        XML_StopParser(p->expat, XML_FALSE);
    }
}

/* -- feeding -------------------------------------------------------------------------------- */

static void
attach(struct mk_reader *r)
{
    struct mki_parser *p = mki_parser_get(r->state == INSIDE_STREAM && !r->odd);

    if (r->odd) {
        if (mki_parser_run(p, r->prime.p, r->prime.len) < 0)
            MK_BUG("a stream header is not well-formed the second time");
        p->depth = 1;
        XML_SetCharacterDataHandler(p->expat, on_text);
    }
    r->parser = p;
    p->reader = r;
    p->prefixed = false;
    p->namespaces = 0;
    p->start = p->total;
    XML_SetElementHandler(p->expat, on_open, on_close);
    XML_SetStartNamespaceDeclHandler(p->expat, on_namespace);
}

static void
detach(struct mk_reader *r, bool dirty)
{
    if (!r->parser)
        return;
    if (dirty || r->odd)
        r->parser->dirty = true;
    mki_parser_put(r->parser);
    r->parser = NULL;
}

static void
fail(struct mk_reader *r, const char *condition, const char *text)
{
    r->state = DEAD;
    detach(r, true);
    mk_buf_release(&r->kept);
    if (!r->freed)
        r->ops->error(r->arg, condition, text);
}

/* Keeps window[from, len) as the new `kept`. */
static void
keep(struct mk_reader *r, const char *w, size_t from, size_t len)
{
    size_t n = len - from;

    if (n == 0) {
        mk_buf_release(&r->kept);
    } else if (w == r->kept.data) {
        memmove(r->kept.data, r->kept.data + from, n);
        r->kept.len = n;
    } else {
        mk_buf_clear(&r->kept);
        mk_buf_add(&r->kept, w + from, n);
    }
    r->fed = r->fed > from ? r->fed - from : 0;
    r->scanned = r->scanned > from ? r->scanned - from : 0;
    r->boundary = r->boundary > from ? r->boundary - from : 0;
}

/* What keeps a connection alive before a header is none of the document's: a declaration must come first in that. */
static size_t
white_before_header(const struct mk_reader *r, const char *w, size_t len)
{
    size_t i = 0;

    while (r->state == EXPECT_HEADER && i < len && is_white(w + i, 1))
        i++;
    return i;
}

static void
rescan(struct mk_reader *r)
{
    r->restricted = false;
    r->fed = r->scanned = r->boundary = 0;
    r->scan = SCAN_TEXT;
}

static void
restart(struct mk_reader *r)
{
    detach(r, true);
    r->restart = r->declared = false;
    r->state = EXPECT_HEADER;
    r->odd = false;
    mk_free((char *)r->prime.p);
    r->prime = (struct mk_str){NULL, 0};
    if (!r->restart_keep)
        mk_buf_release(&r->kept);
    keep(r, r->kept.data, white_before_header(r, r->kept.data, r->kept.len), r->kept.len);
    rescan(r);
    r->waiting = r->kept.len > 0;
}

/* An operation said stop: what comes behind the element waits. */
static void
stopped(struct mk_reader *r, const char *w, size_t len, size_t consumed)
{
    keep(r, w, consumed, len);
    rescan(r);
    /* The parser may have been stopped in the middle of what it was given. */
    detach(r, r->parser && r->parser->dirty);
    r->waiting = r->kept.len > 0;
    if (r->restart)
        restart(r);
}

/* Expat recognizes UTF-16 by its first two bytes, whatever encoding it was told. */
static bool
is_utf16(const char *w, size_t len)
{
    return len > 0 && (w[0] == '\xfe' || w[0] == '\xff' || w[0] == '\0' || (len > 1 && w[1] == '\0'));
}

/* Before a stream or between elements only white space and tags may stand. */
static bool
check_start(struct mk_reader *r, const char *w, size_t len)
{
    size_t i = 0;

    if (r->parser && r->parser->depth > 1)
        return true;
    while (i < len && is_white(w + i, 1))
        i++;
    if (r->state == EXPECT_HEADER && is_utf16(w + i, len - i))
        fail(r, "unsupported-encoding", "the encoding must be UTF-8");
    else if (i == len || w[i] == '<')
        return true;
    else if (r->state != EXPECT_HEADER || w[i] != '\xef')
        fail(r, r->state == EXPECT_HEADER ? "not-well-formed" : "bad-format",
             "text outside of an element");
    return r->state != DEAD;
}

/* The bytes behind the last whole tag; they wait for more. */
static void
keep_rest(struct mk_reader *r, const char *w, size_t len)
{
    struct mki_parser *p = r->parser;
    bool inside = p && p->depth > 1;
    size_t from = r->fed;

    if (inside)
        from = (size_t)(p->start - (p->total - r->fed));
    else if (r->scan == SCAN_TEXT && is_white(w + from, len - from))
        from = len;
    if (len - from > r->limits->max_element) {
        fail(r, "policy-violation", "an element is too large");
        return;
    }
    keep(r, w, from, len);
    if (!inside)
        detach(r, r->state == EXPECT_HEADER);
}

/* Whole tags were fed: expat has found their ends as well, and between elements there is nothing else. */
static int
check_rest(struct mki_parser *p)
{
    if (mki_parser_pending(p))
        mki_parser_fail(p, "not-well-formed", "a tag does not end where it should");
    else if (p->depth == 1 && !is_gap(p, p->total))
        mki_parser_fail(p, "bad-format", "text outside of an element");
    return p->condition ? -1 : 0;
}

/* Everything before what may not come has been dealt with. */
static void
go_on(struct mk_reader *r, const char *w, size_t len)
{
    if (r->restricted)
        fail(r, "restricted-xml", "comments, processing instructions and document types are not allowed");
    else
        keep_rest(r, w, len);
}

static void
run(struct mk_reader *r, const char *w, size_t len)
{
    struct mki_parser *p;
    size_t fed = r->fed, take;
    const char *condition, *text;
    int rc;

    if (!check_start(r, w, len))
        return;
    scan(r, w, len);
    take = r->boundary > fed ? r->boundary - fed : 0;
    if (take == 0) {
        go_on(r, w, len);
        return;
    }
    if (r->state == EXPECT_HEADER) {
        r->odd_header = false;
        r->default_seen = false;
    }
    if (!r->parser)
        attach(r);
    p = r->parser;
    r->window = w;
    r->stop = false;
    rc = mki_parser_run(p, w + fed, take);
    if (r->freed)
        return;
    if (r->state == DEAD) {
        /* Closed: the reader may live on until all output has left. */
        detach(r, true);
        return;
    }
    if (rc == 0 && !r->stop)
        rc = check_rest(p);
    r->window = NULL;
    if (r->stop) {
        stopped(r, w, len, (size_t)(p->start - (p->call_start - fed)));
        return;
    }
    if (rc < 0) {
        mki_parser_error(p, &condition, &text);
        fail(r, condition, text);
        return;
    }
    r->fed = fed + take;
    go_on(r, w, len);
}

static void
free_now(struct mk_reader *r)
{
    detach(r, true);
    mk_buf_release(&r->kept);
    mk_jid_unref(&r->self);
    mk_jid_unref(&r->last_to);
    mk_free((char *)r->prime.p);
    mk_free(r);
}

void
mk_reader_feed(struct mk_reader *r, const char *data, size_t len)
{
    MK_ASSERT(!r->feeding);
    if (r->state == DEAD || (len == 0 && r->kept.len == 0))
        return;
    /* Somebody paused: more bytes only queue up. The owner bounds them by not reading. */
    if (r->waiting && data) {
        mk_buf_add(&r->kept, data, len);
        return;
    }
    r->waiting = false;
    r->feeding = true;
    if (r->kept.len) {
        mk_buf_add(&r->kept, data, len);
        run(r, r->kept.data, r->kept.len);
    } else {
        size_t white = white_before_header(r, data, len);

        rescan(r);
        run(r, data + white, len - white);
    }
    r->feeding = false;
    if (r->freed)
        free_now(r);
}

struct mk_reader *
mk_reader_new(const struct mk_reader_ops *ops, const struct mk_reader_limits *limits, void *arg)
{
    struct mk_reader *r = mk_zalloc(sizeof(*r));

    r->ops = ops;
    r->limits = limits;
    r->arg = arg;
    return r;
}

void
mk_reader_set(struct mk_reader *r, const struct mk_reader_limits *limits, void *arg)
{
    r->limits = limits;
    r->arg = arg;
}

void
mk_reader_set_self(struct mk_reader *r, const struct mk_jid *self)
{
    mk_jid_unref(&r->self);
    r->self = mk_jid_ref(self);
}

size_t
mk_reader_waiting(const struct mk_reader *r)
{
    return r->waiting ? r->kept.len : 0;
}

bool
mk_reader_inside(const struct mk_reader *r)
{
    return r->kept.len > 0 && !r->waiting;
}

void
mk_reader_restart(struct mk_reader *r, bool keep_bytes)
{
    r->restart = true;
    r->restart_keep = keep_bytes;
    if (!r->feeding)
        restart(r);
}

void
mk_reader_free(struct mk_reader **rp)
{
    struct mk_reader *r = *rp;

    *rp = NULL;
    if (!r)
        return;
    if (r->feeding) {
        r->freed = true;
        r->stop = true;
        if (r->parser)
            XML_StopParser(r->parser->expat, XML_FALSE);
    } else {
        free_now(r);
    }
}

/* -- one stanza from a text ------------------------------------------------------------------ */

struct one {
    struct mk_stanza *st;
    unsigned count;
};

static bool
one_element(void *arg, struct mk_stanza *st)
{
    struct one *one = arg;

    if (one->count++ == 0)
        one->st = mk_stanza_ref(st);
    return true;
}

static void
one_close(void *arg)
{
    ((struct one *)arg)->count += 2;
}

static void
one_error(void *arg, const char *condition, const char *text)
{
    (void)condition;
    (void)text;
    ((struct one *)arg)->count += 2;
}

struct mk_stanza *
mk_stanza_parse(struct mk_str xml)
{
    static const struct mk_reader_ops ops = {.size = sizeof(ops), .element = one_element,
                                             .close = one_close, .error = one_error};
    static const struct mk_reader_limits limits = {.max_element = 1u << 26, .max_depth = 512,
                                                   .max_attributes = 4096};
    struct one one = {NULL, 0};
    struct mk_reader *r = mk_reader_new(&ops, &limits, &one);

    r->state = INSIDE_STREAM;
    mk_reader_feed(r, xml.p, xml.len);
    if (mk_reader_inside(r) || one.count != 1 || (one.st && one.st->kind == MK_NONZA))
        mk_stanza_unref(&one.st);
    mk_reader_free(&r);
    return one.st;
}
