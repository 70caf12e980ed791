/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The inbox of a thread: lock-free, and one wake-up for a batch. */
#include "config.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "worker-internal.h"

int
mki_inbox_init(struct mki_inbox *in)
{
    in->head = NULL;
    in->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return in->wake_fd < 0 ? -1 : 0;
}

void
mki_inbox_release(struct mki_inbox *in)
{
    if (in->wake_fd >= 0)
        close(in->wake_fd);
    in->wake_fd = -1;
}

void
mki_inbox_put(struct mki_inbox *in, struct mki_item *item)
{
    struct mki_item *head = __atomic_load_n(&in->head, __ATOMIC_RELAXED);
    uint64_t one = 1;

    do
        item->next = head;
    while (!__atomic_compare_exchange_n(&in->head, &head, item, true, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED));
    /* Only who finds it empty wakes the reader; the others ride along. The item is not ours any more. */
    if (!head) {
        while (write(in->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
            ;
    }
}

struct mki_item *
mki_inbox_take(struct mki_inbox *in)
{
    struct mki_item *item, *oldest = NULL;
    uint64_t n;
    ssize_t rc;

    /* Read the counter first: what comes after this wakes us again. */
    do
        rc = read(in->wake_fd, &n, sizeof(n));
    while (rc < 0 && errno == EINTR);
    item = __atomic_exchange_n(&in->head, NULL, __ATOMIC_ACQUIRE);
    while (item) {
        struct mki_item *next = item->next;

        item->next = oldest;
        oldest = item;
        item = next;
    }
    return oldest;
}
