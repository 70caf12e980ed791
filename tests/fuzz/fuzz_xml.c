/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * libFuzzer target: a stream, read in one piece and cut into pieces. Both give the same stanzas, and both
 * end well or both do not; what comes out is UTF-8, and XML that is read again, and is the same then. The first
 * byte says how it is cut, and whether the header is part of the input.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include <meerkat/stream.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char header[] = "<?xml version='1.0'?><stream:stream to='x' version='1.0' xmlns='jabber:client' "
                             "xmlns:stream='http://etherx.jabber.org/streams'>";
static const struct mk_reader_limits limits = {.max_element = 4096, .max_depth = 20, .max_attributes = 20};

struct seen {
    struct mk_buf out;
    const char *error;
    unsigned elements;
    bool closed;
};

static bool
on_open(void *arg, const struct mk_node *node)
{
    (void)arg;
    (void)mk_node_attr(node, "to");
    return true;
}

static void
check_again(struct mk_stanza *st)
{
    struct mk_buf first = {0}, second = {0};
    struct mk_stanza *again;

    mk_stanza_write(st, &first);
    again = mk_stanza_parse(mk_buf_str(&first));
    if (again) {
        mk_stanza_write(again, &second);
        MK_ASSERT(mk_str_eq(mk_buf_str(&first), mk_buf_str(&second)));
    }
    mk_stanza_unref(&again);
    mk_buf_release(&first);
    mk_buf_release(&second);
}

static bool
on_element(void *arg, struct mk_stanza *st)
{
    struct seen *s = arg;
    const char *name, *ns;

    s->elements++;
    mk_stanza_write(st, &s->out);
    MK_ASSERT(mk_utf8_valid(mk_buf_str(&s->out)) && !memchr(s->out.data, 0, s->out.len));
    (void)mk_stanza_node(st);
    for (size_t i = 0; mk_stanza_nth(st, i, &name, &ns); i++)
        MK_ASSERT(mk_stanza_has(st, name, ns));
    if (mk_stanza_kind(st) != MK_NONZA)
        check_again(st);
    return true;
}

static void
on_close(void *arg)
{
    ((struct seen *)arg)->closed = true;
}

static void
on_error(void *arg, const char *condition, const char *text)
{
    (void)text;
    ((struct seen *)arg)->error = condition;
}

static const struct mk_reader_ops ops = {.size = sizeof(ops), .open = on_open, .element = on_element,
                                         .close = on_close, .error = on_error};

static void
read_in_pieces(struct seen *s, const uint8_t *data, size_t size, size_t piece, bool any_header)
{
    struct mk_reader *r = mk_reader_new(&ops, &limits, s);

    memset(s, 0, sizeof(*s));
    if (!any_header)
        mk_reader_feed(r, header, strlen(header));
    for (size_t at = 0; at < size && !s->error; at += piece) {
        size_t len = size - at < piece ? size - at : piece;

        mk_reader_feed(r, (const char *)data + at, len);
    }
    /* What is wrong may be noticed only by the next tag. */
    if (!s->error)
        mk_reader_feed(r, "<e/></stream:stream>", 20);
    mk_reader_free(&r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen whole, cut;

    if (size < 1)
        return 0;
    read_in_pieces(&whole, data + 1, size - 1, SIZE_MAX / 2, data[0] & 0x80);
    read_in_pieces(&cut, data + 1, size - 1, (data[0] & 31u) + 1, data[0] & 0x80);
    /* In the middle of something the one may know already what the other does not. */
    if ((whole.error || whole.closed) && (cut.error || cut.closed)) {
        MK_ASSERT(!whole.error == !cut.error && whole.elements == cut.elements);
        MK_ASSERT(mk_str_eq(mk_buf_str(&whole.out), mk_buf_str(&cut.out)));
    }
    mk_buf_release(&whole.out);
    mk_buf_release(&cut.out);
    return 0;
}
