/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Reading an XML stream (RFC 6120 §4 and §11): bytes in, elements out. For modules that own a
 * transport (c2s, s2s, components). A reader holds no parser and no buffer between elements; it
 * borrows a parser from its worker's pool when bytes come.
 */
#ifndef MEERKAT_STREAM_H
#define MEERKAT_STREAM_H

#include <meerkat/jid.h>
#include <meerkat/stanza.h>
#include <meerkat/xml.h>

MK_BEGIN

struct mk_reader;

/*
 * What a reader tells. After any of these but `element` returning true the reader takes no more bytes of this
 * feed: it keeps what is left for mk_reader_feed(r, NULL, 0).
 */
struct mk_reader_ops {
    uint32_t size;
    /* The stream header; `header` is valid during the call. False: stop here. */
    bool (*open)(void *arg, const struct mk_node *header);
    /* A first-level element; `st` is borrowed. False: stop here (paused, closed). */
    bool (*element)(void *arg, struct mk_stanza *st);
    /* </stream:stream> */
    void (*close)(void *arg);
    /* The stream broke a rule; `condition` is a stream error (RFC 6120 §4.9.3). The reader is dead. */
    void (*error)(void *arg, const char *condition, const char *text);
};

struct mk_reader_limits {
    size_t max_element;         /* bytes of a first-level element and of the header */
    unsigned max_depth;         /* of elements below the stream */
    unsigned max_attributes;    /* of one element, namespaces included */
};

/* `limits` is borrowed for the reader's life. Owned. Worker. */
MK_API struct mk_reader *mk_reader_new(const struct mk_reader_ops *ops,
                                       const struct mk_reader_limits *limits,
                                       void *arg) MK_NODISCARD;
/* Other limits or another `arg` from now on. */
MK_API void mk_reader_set(struct mk_reader *r, const struct mk_reader_limits *limits, void *arg);
/*
 * Stanzas get this full JID as `from` when they have none or one that equals it or its bare form. A
 * different `from` is left as it came, for the caller to refuse. NULL: leave all alone.
 */
MK_API void mk_reader_set_self(struct mk_reader *r, const struct mk_jid *self);
/*
 * Reads bytes; with data NULL goes on with what was left. All bytes are consumed or kept. Must not be called
 * from inside an operation of the same reader. The reader may be freed inside an operation.
 */
MK_API void mk_reader_feed(struct mk_reader *r, const char *data, size_t len);
/* Bytes that wait because an operation said stop. */
MK_API size_t mk_reader_waiting(const struct mk_reader *r);
/* Is an element half read? (For time-outs.) */
MK_API bool mk_reader_inside(const struct mk_reader *r);
/* The next bytes are a new stream header; what waits is kept only when `keep` (TLS must drop it:
 * RFC 6120 §5.4.3.3). May be called inside an operation that then returns false. */
MK_API void mk_reader_restart(struct mk_reader *r, bool keep);
MK_API void mk_reader_free(struct mk_reader **r);

/* Did an address of this stanza fail to parse as a JID? Then answer jid-malformed. */
MK_API bool mk_stanza_bad_address(const struct mk_stanza *st);

MK_END
#endif
