/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The pool of expat parsers of a thread. */
#ifndef MKI_PARSER_H
#define MKI_PARSER_H

#include <expat.h>
#include <strings.h>

#include <meerkat/stream.h>

#include "stanza-internal.h"

struct mki_parser {
    struct mki_parser *next;
    XML_Parser expat;
    bool dirty;                 /* must be reset before the next use */
    unsigned depth;             /* open elements, the stream's own included */
    uint64_t total;             /* bytes fed since the reset */
    uint64_t call_start;        /* `total` before and after what is being fed now */
    uint64_t call_end;
    const char *condition;      /* why a handler stopped it */
    const char *text;
    struct mki_tree tree;
    /* -- an element of a stream being read */
    struct mk_reader *reader;
    uint64_t start;             /* index of its first byte */
    uint64_t content;           /* of the first byte behind its opening tag */
    enum mk_stanza_kind kind;
    bool prefixed;              /* its opening tag declares a prefix: bytes cannot be forwarded */
    bool bad_address, bad_from;
    uint32_t child_count;
    unsigned namespaces;        /* declared by the tag that is being read */
    struct mk_jid *from, *to;
    struct mk_buf names;        /* of the children */
    struct mk_buf attrs;        /* texts of attributes; offsets below, UINT32_MAX: absent */
    struct mk_buf extra;
    struct {
        uint32_t at, len;
    } type, id, lang, name, ns;
};

struct mki_parser *mki_parser_get(bool primed);
void mki_parser_put(struct mki_parser *p);
/* Feeds bytes: 0, or -1 when it stopped (the parser is dirty then). */
int mki_parser_run(struct mki_parser *p, const char *data, size_t len);
/* Has it kept bytes of the last run, for they seem to be the beginning of something? */
bool mki_parser_pending(const struct mki_parser *p);
/* Makes a run end with this stream error. */
void mki_parser_fail(struct mki_parser *p, const char *condition, const char *text);
/* Why a run ended. */
void mki_parser_error(struct mki_parser *p, const char **condition_out, const char **text_out);

/* Frees the parsers that this thread keeps: when a worker ends. */
void mki_parser_thread_end(void);

#endif
