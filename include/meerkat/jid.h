/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * JIDs: prepared (RFC 7622 limits, RFC 6122 stringprep profiles nodeprep, nameprep, resourceprep),
 * immutable, reference counted, shared between threads. Two JIDs are equal when their texts are.
 */
#ifndef MEERKAT_JID_H
#define MEERKAT_JID_H

#include <meerkat/base.h>

MK_BEGIN

#define MK_JID_PART_MAX 1023    /* bytes of each part, RFC 7622 §3.1 */
#define MK_JID_MAX (3 * MK_JID_PART_MAX + 2)

struct mk_jid;

/* From "local@domain/resource"; NULL when it is not a JID (then say jid-malformed). Owned. */
MK_API struct mk_jid *mk_jid_parse(struct mk_str text) MK_NODISCARD;
/* From parts that need preparing; an empty local or resource is left out. NULL as above. Owned. */
MK_API struct mk_jid *mk_jid_new(struct mk_str local, struct mk_str domain,
                                 struct mk_str resource) MK_NODISCARD;
/* The same account with another resource (empty: the bare JID); NULL when the resource is bad. A
 * bare JID asked for its bare JID gives another reference to itself. Owned. */
MK_API struct mk_jid *mk_jid_with_resource(const struct mk_jid *jid,
                                           struct mk_str resource) MK_NODISCARD;
MK_API struct mk_jid *mk_jid_bare_new(const struct mk_jid *jid) MK_NODISCARD;
/* Another reference; const because nothing visible changes. NULL gives NULL. */
MK_API struct mk_jid *mk_jid_ref(const struct mk_jid *jid);
MK_API void mk_jid_unref(struct mk_jid **jid);

/* Slices of the JID, valid as long as it is. The whole text and the resource are NUL-terminated. */
MK_API struct mk_str mk_jid_text(const struct mk_jid *jid);
MK_API struct mk_str mk_jid_bare(const struct mk_jid *jid);
MK_API struct mk_str mk_jid_local(const struct mk_jid *jid);
MK_API struct mk_str mk_jid_domain(const struct mk_jid *jid);
MK_API struct mk_str mk_jid_resource(const struct mk_jid *jid);

MK_API bool mk_jid_is_bare(const struct mk_jid *jid);       /* no resource */
MK_API bool mk_jid_is_domain(const struct mk_jid *jid);     /* neither local part nor resource */
MK_API bool mk_jid_equal(const struct mk_jid *a, const struct mk_jid *b);
MK_API bool mk_jid_same_bare(const struct mk_jid *a, const struct mk_jid *b);
/* Of the bare JID, equal on every thread until the server ends; fit for hash tables. */
MK_API uint64_t mk_jid_hash_bare(const struct mk_jid *jid);

/* One part prepared into `out` (cleared first); -1 when it is not allowed or too long. */
MK_API int mk_prep_local(struct mk_buf *out, struct mk_str in) MK_NODISCARD;
MK_API int mk_prep_domain(struct mk_buf *out, struct mk_str in) MK_NODISCARD;
MK_API int mk_prep_resource(struct mk_buf *out, struct mk_str in) MK_NODISCARD;
/* SASLprep (RFC 4013) for passwords and SASL user names. */
MK_API int mk_prep_password(struct mk_buf *out, struct mk_str in) MK_NODISCARD;
/* Valid UTF-8 without surrogates and overlong forms? */
MK_API bool mk_utf8_valid(struct mk_str in);

MK_END
#endif
