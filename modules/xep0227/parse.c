/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Reading a file of XEP-0227 in pieces: users as they end, the elements in them as trees. Files that it includes (XInclude, as
 * ejabberd writes a file for each host) are read where they stand. Elements that are not the format's are passed over.
 */
#include "config.h"

#include "internal.h"

#include <errno.h>
#include <libgen.h>
#include <stdlib.h>

#include <expat.h>

#define NS_PIE_OLD "http://www.xmpp.org/extensions/xep-0227.html#ns"
#define NS_INCLUDE "http://www.w3.org/2001/XInclude"
#define NS_XML "http://www.w3.org/XML/1998/namespace"
#define SEPARATOR ' '
#define PIECE 65536
#define MAX_NESTED 8
#define MAX_DEPTH 200

/* A file: those that include others wait below them. */
struct source {
    struct source *below;
    FILE *file;
    char *name;
    char *include;              /* file to go on with before the rest of this piece */
    XML_Parser expat;
    unsigned depth;             /* of elements open */
    unsigned skip;              /* depth of an element that is passed over; 0: none */
    size_t size, read;
    bool suspended, done;
};

struct parser {
    struct source *top;
    unsigned nested;
    size_t max_user;
    char *host;
    struct person *person;      /* being read */
    struct person **ready;
    size_t ready_count, ready_at;
    unsigned user_depth;
    struct mk_buf element;      /* being copied, as XML */
    unsigned element_depth;
    char *spaces[MAX_DEPTH];    /* namespaces of the elements being copied */
    size_t bytes;               /* of the person */
    struct mk_error err;
    bool bad;
    bool failed;                /* to be told when those that are ready have been taken */
};

void
person_free(struct person **pp)
{
    struct person *p = *pp;

    if (!p)
        return;
    *pp = NULL;
    for (size_t i = 0; i < p->count; i++)
        mk_node_free(&p->elements[i]);
    if (p->password)
        mk_wipe(p->password, strlen(p->password));
    mk_free(p->elements);
    mk_free(p->password);
    mk_free(p->host);
    mk_free(p->name);
    mk_free(p);
}

static void MK_PRINTF(2, 3)
fail(struct parser *p, const char *fmt, ...)
{
    struct source *s = p->top;
    char text[300];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (!p->bad)
        mk_fail(&p->err, "%s:%lu: %s", s->name, (unsigned long)XML_GetCurrentLineNumber(s->expat), text);
    p->bad = true;
    XML_StopParser(s->expat, XML_FALSE);
}

/* -- copying an element as XML --------------------------------------------------------------- */

/* expat gives "NAMESPACE NAME", or "NAME". */
static const char *
split(const char *full, struct mk_str *ns)
{
    const char *gap = strrchr(full, SEPARATOR);

    *ns = gap ? (struct mk_str){full, (size_t)(gap - full)} : MK_STR("");
    return gap ? gap + 1 : full;
}

static void
copy_attribute(struct mk_buf *out, const char *full, const char *value, unsigned n)
{
    struct mk_str ns;
    const char *name = split(full, &ns);

    if (!ns.len) {
        mk_buf_printf(out, " %s='", name);
    } else if (mk_str_is(ns, NS_XML)) {
        mk_buf_printf(out, " xml:%s='", name);
    } else {
        mk_buf_printf(out, " xmlns:a%u='", n);
        mk_xml_escape(out, ns);
        mk_buf_printf(out, "' a%u:%s='", n, name);
    }
    mk_xml_escape(out, mk_str_of(value));
    mk_buf_add_byte(out, '\'');
}

static void
copy_start(struct parser *p, const char *full, const char **attrs)
{
    struct mk_str ns;
    const char *name = split(full, &ns);
    const char *above = p->element_depth ? p->spaces[p->element_depth - 1] : "";

    mk_buf_printf(&p->element, "<%s", name);
    if (!mk_str_is(ns, above)) {
        mk_buf_add_cstr(&p->element, " xmlns='");
        mk_xml_escape(&p->element, ns);
        mk_buf_add_byte(&p->element, '\'');
    }
    for (unsigned i = 0; attrs[i]; i += 2)
        copy_attribute(&p->element, attrs[i], attrs[i + 1], i / 2);
    mk_buf_add_byte(&p->element, '>');
    p->spaces[p->element_depth++] = mk_str_dup(ns);
}

static void
add_element(struct parser *p)
{
    struct person *person = p->person;
    struct mk_node *n = mk_node_parse(mk_buf_str(&p->element), NULL);

    if (n) {
        person->elements = mk_realloc(person->elements, (person->count + 1) * sizeof(*person->elements));
        person->elements[person->count++] = n;
    } else {
        fail(p, "an element of user '%.100s' is nested too deeply", person->name);
    }
    p->bytes += p->element.len;
    mk_buf_clear(&p->element);
}

static void
copy_end(struct parser *p, const char *full)
{
    struct mk_str ns;

    mk_buf_printf(&p->element, "</%s>", split(full, &ns));
    mk_free(p->spaces[--p->element_depth]);
    if (p->element_depth == 0)
        add_element(p);
}

/* -- the format ------------------------------------------------------------------------------- */

static const char *
attribute(const char **attrs, const char *name)
{
    for (; *attrs; attrs += 2) {
        if (strcmp(attrs[0], name) == 0)
            return attrs[1];
    }
    return NULL;
}

static void
begin_user(struct parser *p, const char **attrs)
{
    const char *name = attribute(attrs, "name");

    if (!name || !p->host) {
        fail(p, "%s", !name ? "a user has no name" : "a user stands outside of a host");
        return;
    }
    p->person = mk_zalloc(sizeof(*p->person));
    p->person->host = mk_strdup(p->host);
    p->person->name = mk_strdup(name);
    p->person->password = mk_strdup(attribute(attrs, "password"));
    p->user_depth = p->top->depth;
    p->bytes = 0;
}

static void
include(struct parser *p, const char **attrs)
{
    struct source *s = p->top;
    const char *href = attribute(attrs, "href");
    char *copy = mk_strdup(s->name);

    if (!href)
        fail(p, "%s", "an include has no href");
    else
        s->include = *href == '/' ? mk_strdup(href) : mk_printf_new("%s/%s", dirname(copy), href);
    mk_free(copy);
    s->suspended = true;
    XML_StopParser(s->expat, XML_TRUE);
}

static void
structure(struct parser *p, struct mk_str ns, const char *name, const char **attrs)
{
    bool pie = mk_str_is(ns, NS_PIE) || mk_str_is(ns, NS_PIE_OLD);

    if (mk_str_is(ns, NS_INCLUDE) && strcmp(name, "include") == 0) {
        include(p, attrs);
    } else if (pie && strcmp(name, "host") == 0) {
        const char *jid = attribute(attrs, "jid");

        mk_free(p->host);
        p->host = mk_strdup(jid);
        if (!jid)
            fail(p, "%s", "a host has no jid");
    } else if (pie && strcmp(name, "user") == 0) {
        begin_user(p, attrs);
    } else if (p->top->depth == 1 && !(pie && strcmp(name, "server-data") == 0)) {
        fail(p, "this is no file of XEP-0227: it begins with <%.100s/>", name);
    } else if (!pie) {
        p->top->skip = p->top->depth;
    }
}

static void XMLCALL
on_start(void *arg, const char *full, const char **attrs)
{
    struct parser *p = arg;
    struct source *s = p->top;
    struct mk_str ns;
    const char *name = split(full, &ns);

    if (++s->depth >= MAX_DEPTH) {
        fail(p, "%s", "elements are nested too deeply");
    } else if (s->skip) {
        return;
    } else if (p->person) {
        if (p->element.len + p->bytes > p->max_user)
            fail(p, "user '%.100s' has more data than xep0227.max_user", p->person->name);
        else
            copy_start(p, full, attrs);
    } else {
        structure(p, ns, name, attrs);
    }
}

static void XMLCALL
on_end(void *arg, const char *full)
{
    struct parser *p = arg;
    struct source *s = p->top;

    if (s->skip == s->depth)
        s->skip = 0;
    else if (!s->skip && p->element_depth)
        copy_end(p, full);
    else if (!s->skip && p->person && s->depth == p->user_depth) {
        p->ready = mk_realloc(p->ready, (p->ready_count + 1) * sizeof(*p->ready));
        p->ready[p->ready_count++] = p->person;
        p->person = NULL;
    }
    s->depth--;
}

static void XMLCALL
on_text(void *arg, const char *text, int len)
{
    struct parser *p = arg;

    if (p->element_depth && !p->top->skip)
        mk_xml_escape(&p->element, (struct mk_str){text, (size_t)len});
}

static void XMLCALL
on_doctype(void *arg, const char *name, const char *system, const char *public, int internal)
{
    (void)name;
    (void)system;
    (void)public;
    (void)internal;
    fail(arg, "%s", "a document type is not allowed");
}

/* -- files ------------------------------------------------------------------------------------- */

static int
push(struct parser *p, const char *name, struct mk_error *err)
{
    struct source *s;
    FILE *f = p->nested < MAX_NESTED ? fopen(name, "re") : NULL;

    if (p->nested >= MAX_NESTED)
        return mk_fail(err, "'%s': files include each other more than %d deep", name, MAX_NESTED);
    if (!f)
        return mk_fail(err, "cannot read '%s': %s", name, strerror(errno));
    s = mk_zalloc(sizeof(*s));
    s->below = p->top;
    s->file = f;
    s->name = mk_strdup(name);
    s->expat = XML_ParserCreateNS(NULL, SEPARATOR);
    if (!s->expat)
        MK_BUG("no memory for a parser");
    if (fseek(f, 0, SEEK_END) == 0 && ftell(f) > 0)
        s->size = (size_t)ftell(f);
    rewind(f);
    XML_SetUserData(s->expat, p);
    XML_SetElementHandler(s->expat, on_start, on_end);
    XML_SetCharacterDataHandler(s->expat, on_text);
    XML_SetStartDoctypeDeclHandler(s->expat, on_doctype);
    p->top = s;
    p->nested++;
    return 0;
}

static void
pop(struct parser *p)
{
    struct source *s = p->top;

    p->top = s->below;
    p->nested--;
    fclose(s->file);
    XML_ParserFree(s->expat);
    mk_free(s->include);
    mk_free(s->name);
    mk_free(s);
}

struct parser *
parser_open(const char *file, size_t max_user, struct mk_error *err)
{
    struct parser *p = mk_zalloc(sizeof(*p));

    p->max_user = max_user;
    if (push(p, file, err) == 0)
        return p;
    mk_free(p);
    return NULL;
}

static int
bad_piece(struct parser *p, struct mk_error *err)
{
    struct source *s = p->top;

    if (p->bad)
        ;       /* told already */
    else if (ferror(s->file))
        mk_fail(err, "cannot read '%s': %s", s->name, strerror(errno));
    else
        mk_fail(err, "%s:%lu: %s", s->name, (unsigned long)XML_GetCurrentLineNumber(s->expat),
                XML_ErrorString(XML_GetErrorCode(s->expat)));
    return -1;
}

static int
read_piece(struct parser *p, struct mk_error *err)
{
    struct source *s = p->top;
    enum XML_Status status;

    if (s->suspended) {
        s->suspended = false;
        status = XML_ResumeParser(s->expat);
    } else {
        void *room = XML_GetBuffer(s->expat, PIECE);
        size_t n = room ? fread(room, 1, PIECE, s->file) : 0;

        if (!room || ferror(s->file))
            return bad_piece(p, err);
        s->read += n;
        s->done = n < PIECE && feof(s->file);
        status = XML_ParseBuffer(s->expat, (int)n, s->done);
    }
    return status == XML_STATUS_ERROR ? bad_piece(p, err) : 0;
}

/* What comes after a piece: the file that it includes, the one that included this, or more of it. */
static int
step(struct parser *p, struct mk_error *err)
{
    struct source *s = p->top;

    if (s->include) {
        char *name = s->include;
        int rc;

        s->include = NULL;
        rc = push(p, name, err);
        mk_free(name);
        return rc;
    }
    if (s->done && !s->suspended) {
        pop(p);
        return 0;
    }
    return read_piece(p, err);
}

enum parse_result
parser_next(struct parser *p, struct person **person_out, struct mk_error *err)
{
    if (p->ready_at == p->ready_count) {
        p->ready_at = p->ready_count = 0;
        if (!p->top)
            return PARSE_END;
        if (p->failed || step(p, &p->err) < 0)
            p->failed = true;
    }
    if (p->ready_at == p->ready_count && p->failed) {
        *err = p->err;
        return PARSE_BAD;
    }
    if (p->ready_at == p->ready_count)
        return PARSE_MORE;
    *person_out = p->ready[p->ready_at++];
    return PARSE_PERSON;
}

double
parser_progress(const struct parser *p)
{
    double done = 1;

    /* Of a file within a file nobody knows the share: the outermost one counts. */
    for (const struct source *s = p->top; s; s = s->below)
        done = s->size ? (double)s->read / (double)s->size : 0;
    return done;
}

void
parser_free(struct parser **pp)
{
    struct parser *p = *pp;

    if (!p)
        return;
    *pp = NULL;
    while (p->top)
        pop(p);
    while (p->ready_at < p->ready_count)
        person_free(&p->ready[p->ready_at++]);
    person_free(&p->person);
    while (p->element_depth)
        mk_free(p->spaces[--p->element_depth]);
    mk_buf_release(&p->element);
    mk_free(p->ready);
    mk_free(p->host);
    mk_free(p);
}
