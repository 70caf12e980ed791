/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * A roster at one moment: immutable, in one piece of memory, sorted by the bytes of the JID. Readers
 * find it under RCU; a change makes a new one.
 */
#ifndef ROSTER_SNAPSHOT_H
#define ROSTER_SNAPSHOT_H

#include <meerkat/roster.h>

#define VERSION_LEN 16

struct snapshot {
    size_t count;
    char version[VERSION_LEN + 1];      /* of what clients see (RFC 6121 §2.6) */
    struct mk_roster_item items[];
};

/* Copies `items`, which need not be sorted; of two with one JID the first stays. */
struct snapshot *snapshot_new(const struct mk_roster_item *items, size_t count) MK_NODISCARD;
/* `old` with `item` in the place of the one with its JID, or as one more. */
struct snapshot *snapshot_with(const struct snapshot *old,
                               const struct mk_roster_item *item) MK_NODISCARD;
struct snapshot *snapshot_without(const struct snapshot *old,
                                  const struct mk_jid *contact) MK_NODISCARD;
const struct mk_roster_item *snapshot_find(const struct snapshot *s, const struct mk_jid *contact);
void snapshot_free(void *snapshot);

#endif
