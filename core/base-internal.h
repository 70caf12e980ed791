/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* What the files of the core share on the lowest level. */
#ifndef MKI_BASE_H
#define MKI_BASE_H

#include <meerkat/base.h>

/* Makes mk_now_ms return a cached value on this thread; 0 turns the cache off. */
void mki_now_set(uint64_t ms);
uint64_t mki_clock_ms(void);

/* Doubly linked list with a head of its own type: prev/next of an empty list point to itself. */
struct mki_list {
    struct mki_list *prev;
    struct mki_list *next;
};

static inline void
mki_list_init(struct mki_list *l)
{
    l->prev = l->next = l;
}

static inline bool
mki_list_empty(const struct mki_list *l)
{
    return l->next == l;
}

static inline void
mki_list_add_tail(struct mki_list *head, struct mki_list *item)
{
    item->prev = head->prev;
    item->next = head;
    head->prev->next = item;
    head->prev = item;
}

static inline void
mki_list_del(struct mki_list *item)
{
    item->prev->next = item->next;
    item->next->prev = item->prev;
    mki_list_init(item);
}

#define mki_container(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

#endif
