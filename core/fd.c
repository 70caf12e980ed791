/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Descriptors that modules watch. */
#include "config.h"

#include "worker-internal.h"

struct mk_fd {
    struct mki_list link;
    struct mk_module *module;
    mk_fd_fn fn;
    void *arg;
    unsigned wanted;
    struct event *event;
};

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
    struct mk_fd *watch = arg;
    unsigned events = ((what & EV_READ) ? MK_READ : 0) | ((what & EV_WRITE) ? MK_WRITE : 0);

    mki_enter();
    watch->fn(fd, events, watch->arg);
    mki_leave();
}

static short
flags_of(unsigned events)
{
    return (short)(((events & MK_READ) ? EV_READ : 0) | ((events & MK_WRITE) ? EV_WRITE : 0) |
                   EV_PERSIST);
}

struct mk_fd *
mk_fd_new(struct mk_module *m, int fd, unsigned events, mk_fd_fn fn, void *arg)
{
    struct mk_worker *w = mk_worker_self();
    size_t event_size = event_get_struct_event_size();
    struct mk_fd *watch;

    MK_ASSERT(w);
    watch = mk_alloc(sizeof(*watch) + event_size);
    *watch = (struct mk_fd){.module = m, .fn = fn, .arg = arg, .wanted = events,
                            .event = (struct event *)(watch + 1)};
    event_assign(watch->event, w->base, fd, flags_of(events), on_event, watch);
    mki_list_add_tail(&w->fds, &watch->link);
    if (events && event_add(watch->event, NULL) < 0)
        MK_BUG("a descriptor cannot be watched");
    return watch;
}

void
mk_fd_want(struct mk_fd *watch, unsigned events)
{
    struct event_base *base = event_get_base(watch->event);
    int fd = event_get_fd(watch->event);

    if (events == watch->wanted)
        return;
    event_del(watch->event);
    watch->wanted = events;
    event_assign(watch->event, base, fd, flags_of(events), on_event, watch);
    if (events && event_add(watch->event, NULL) < 0)
        MK_BUG("a descriptor cannot be watched");
}

void
mk_fd_free(struct mk_fd **watch)
{
    if (!*watch)
        return;
    event_del((*watch)->event);
    mki_list_del(&(*watch)->link);
    mk_free(*watch);
    *watch = NULL;
}

static void
forget(struct mk_worker *w, const struct mk_module *m)
{
    for (struct mki_list *l = w->fds.next, *next; l != &w->fds; l = next) {
        struct mk_fd *watch = mki_container(l, struct mk_fd, link);

        next = l->next;
        if (!m || watch->module == m)
            mk_fd_free(&watch);
    }
}

void
mki_fds_forget(struct mk_worker *w, struct mk_module *m)
{
    forget(w, m);
}

void
mki_fds_release(struct mk_worker *w)
{
    forget(w, NULL);
}
