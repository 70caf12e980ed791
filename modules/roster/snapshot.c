/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
#include "snapshot.h"

#include <meerkat/crypto.h>

#include <stdlib.h>

static int
compare_text(struct mk_str a, struct mk_str b)
{
    int order = memcmp(a.p, b.p, a.len < b.len ? a.len : b.len);

    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int
compare_items(const void *a, const void *b)
{
    return compare_text(mk_jid_text((*(const struct mk_roster_item *const *)a)->jid),
                        mk_jid_text((*(const struct mk_roster_item *const *)b)->jid));
}

/* -- the version: a digest, so that equal rosters have equal ones on all nodes ---------------- */

static void
digest_add(struct mk_buf *b, const char *text)
{
    mk_buf_add(b, text, strlen(text) + 1);
}

static void
set_version(struct snapshot *s)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char digest[MK_DIGEST_MAX];
    struct mk_buf b = {0};

    for (size_t i = 0; i < s->count; i++) {
        const struct mk_roster_item *item = &s->items[i];

        if (item->flags & MK_ROSTER_HIDDEN)
            continue;
        mk_buf_add_str(&b, mk_jid_text(item->jid));
        mk_buf_printf(&b, " %u %u ", item->subscription,
                      item->flags & (MK_ROSTER_ASK | MK_ROSTER_APPROVED));
        digest_add(&b, item->name);
        for (size_t g = 0; g < item->group_count; g++)
            digest_add(&b, item->groups[g]);
        mk_buf_add_byte(&b, '\n');
    }
    mk_digest(MK_SHA256, mk_buf_str(&b), digest);
    for (size_t i = 0; i < VERSION_LEN; i++)
        s->version[i] = hex[(digest[i / 2] >> (i % 2 ? 0 : 4)) & 15];
    mk_buf_release(&b);
}

/* -- making ------------------------------------------------------------------------------------ */

struct arena {
    const char **groups;
    char *text;
};

static size_t
size_of(const struct mk_roster_item *item)
{
    size_t size = strlen(item->name) + strlen(item->request) + 2;

    for (size_t g = 0; g < item->group_count; g++)
        size += sizeof(char *) + strlen(item->groups[g]) + 1;
    return size;
}

static const char *
keep(struct arena *a, const char *text)
{
    char *copy = a->text;
    size_t len = strlen(text) + 1;

    memcpy(copy, text, len);
    a->text += len;
    return copy;
}

static void
copy_item(struct mk_roster_item *to, const struct mk_roster_item *from, struct arena *a)
{
    *to = *from;
    to->size = sizeof(*to);
    to->jid = mk_jid_ref(from->jid);
    to->name = keep(a, from->name);
    to->request = keep(a, from->request);
    to->groups = a->groups;
    for (size_t g = 0; g < from->group_count; g++)
        *a->groups++ = keep(a, from->groups[g]);
}

/* From sorted items. */
static struct snapshot *
build(const struct mk_roster_item *const *items, size_t count)
{
    size_t size = sizeof(struct snapshot) + count * sizeof(struct mk_roster_item), groups = 0;
    struct snapshot *s;
    struct arena a;

    for (size_t i = 0; i < count; i++) {
        size += size_of(items[i]);
        groups += items[i]->group_count;
    }
    s = mk_zalloc(size);
    s->count = count;
    a.groups = (const char **)&s->items[count];
    a.text = (char *)(a.groups + groups);
    for (size_t i = 0; i < count; i++)
        copy_item(&s->items[i], items[i], &a);
    set_version(s);
    return s;
}

struct snapshot *
snapshot_new(const struct mk_roster_item *items, size_t count)
{
    const struct mk_roster_item **sorted = mk_alloc((count + 1) * sizeof(*sorted));
    struct snapshot *s;
    size_t kept = 0;

    for (size_t i = 0; i < count; i++)
        sorted[i] = &items[i];
    qsort(sorted, count, sizeof(*sorted), compare_items);
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || !mk_jid_equal(sorted[kept - 1]->jid, sorted[i]->jid))
            sorted[kept++] = sorted[i];
    }
    s = build(sorted, kept);
    mk_free(sorted);
    return s;
}

/* `old` without `contact`, and with `item` (may be NULL) in its place. */
static struct snapshot *
replace(const struct snapshot *old, const struct mk_jid *contact, const struct mk_roster_item *item)
{
    const struct mk_roster_item **sorted = mk_alloc((old->count + 1) * sizeof(*sorted));
    struct snapshot *s;
    size_t count = 0;

    for (size_t i = 0; i < old->count; i++) {
        int order = compare_text(mk_jid_text(old->items[i].jid), mk_jid_text(contact));

        if (order >= 0 && item) {
            sorted[count++] = item;
            item = NULL;
        }
        if (order != 0)
            sorted[count++] = &old->items[i];
    }
    if (item)
        sorted[count++] = item;
    s = build(sorted, count);
    mk_free(sorted);
    return s;
}

struct snapshot *
snapshot_with(const struct snapshot *old, const struct mk_roster_item *item)
{
    return replace(old, item->jid, item);
}

struct snapshot *
snapshot_without(const struct snapshot *old, const struct mk_jid *contact)
{
    return replace(old, contact, NULL);
}

/* -- reading ----------------------------------------------------------------------------------- */

const struct mk_roster_item *
snapshot_find(const struct snapshot *s, const struct mk_jid *contact)
{
    struct mk_str text = mk_jid_text(contact);
    size_t low = 0, high = s->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_text(mk_jid_text(s->items[middle].jid), text);

        if (order == 0)
            return &s->items[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

void
snapshot_free(void *snapshot)
{
    struct snapshot *s = snapshot;

    for (size_t i = 0; s && i < s->count; i++) {
        struct mk_jid *jid = (struct mk_jid *)s->items[i].jid;

        mk_jid_unref(&jid);
    }
    mk_free(s);
}
