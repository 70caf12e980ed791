/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Lists of JIDs, and whom they mean. */
#include "internal.h"

#include <stdlib.h>

static int
compare(const void *a, const void *b)
{
    const struct mk_str *x = a, *y = b;
    size_t shorter = x->len < y->len ? x->len : y->len;
    int rc = shorter ? memcmp(x->p, y->p, shorter) : 0;

    return rc ? rc : (x->len > y->len) - (x->len < y->len);
}

struct list *
list_new(const struct mk_str *jids, size_t count)
{
    size_t bytes = 0;
    struct list *list;
    char *p;

    for (size_t i = 0; i < count; i++)
        bytes += jids[i].len;
    list = mk_alloc(sizeof(*list) + count * sizeof(list->jids[0]) + bytes);
    list->refs = 1;
    list->count = count;
    p = (char *)&list->jids[count];
    for (size_t i = 0; i < count; i++) {
        if (jids[i].len)
            memcpy(p, jids[i].p, jids[i].len);
        list->jids[i] = (struct mk_str){p, jids[i].len};
        p += jids[i].len;
    }
    if (count)
        qsort(list->jids, count, sizeof(list->jids[0]), compare);
    return list;
}

struct list *
list_ref(struct list *list)
{
    if (list)
        __atomic_fetch_add(&list->refs, 1, __ATOMIC_RELAXED);
    return list;
}

void
list_unref(struct list **slot)
{
    struct list *list = *slot;

    *slot = NULL;
    if (list && __atomic_sub_fetch(&list->refs, 1, __ATOMIC_ACQ_REL) == 0)
        mk_free(list);
}

bool
list_has(const struct list *list, struct mk_str jid)
{
    return list->count && bsearch(&jid, list->jids, list->count, sizeof(jid), compare);
}

bool
list_blocks(const struct list *list, const struct mk_jid *who)
{
    struct mk_str domain = mk_jid_domain(who), resource = mk_jid_resource(who);
    char both[2 * MK_JID_PART_MAX + 1];

    if (list->count == 0)
        return false;
    if (list_has(list, mk_jid_text(who)) || list_has(list, mk_jid_bare(who)) || list_has(list, domain))
        return true;
    if (resource.len == 0)
        return false;
    memcpy(both, domain.p, domain.len);
    both[domain.len] = '/';
    memcpy(both + domain.len + 1, resource.p, resource.len);
    return list_has(list, (struct mk_str){both, domain.len + 1 + resource.len});
}
