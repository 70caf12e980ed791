/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The table of all sessions, walked on the offload pool. Of many matches the first ones by JID are kept, in a heap whose root is
 * the last of them: so memory does not depend on how many there are.
 */
#include "config.h"

#include <stdlib.h>

#include "internal.h"

struct job {
    struct admin *admin;
    struct scan *scan;
    size_t cap;
    mk_task_fn done;
    void *arg;
};

static int
compare(const void *a, const void *b)
{
    return strcmp(((const struct found *)a)->jid, ((const struct found *)b)->jid);
}

static void
swap(struct found *a, struct found *b)
{
    struct found t = *a;

    *a = *b;
    *b = t;
}

static void
sift_up(struct found *heap, size_t i)
{
    for (; i && compare(&heap[i], &heap[(i - 1) / 2]) > 0; i = (i - 1) / 2)
        swap(&heap[i], &heap[(i - 1) / 2]);
}

static void
sift_down(struct found *heap, size_t count)
{
    size_t i = 0, child;

    while ((child = 2 * i + 1) < count) {
        if (child + 1 < count && compare(&heap[child + 1], &heap[child]) > 0)
            child++;
        if (compare(&heap[i], &heap[child]) >= 0)
            return;
        swap(&heap[i], &heap[child]);
        i = child;
    }
}

static void
keep(struct job *job, const struct found *one)
{
    struct scan *scan = job->scan;

    if (scan->count < scan->keep) {
        if (scan->count == job->cap) {
            job->cap = job->cap ? job->cap * 2 : 64;
            scan->found = mk_realloc(scan->found, job->cap * sizeof(*scan->found));
        }
        scan->found[scan->count] = *one;
        scan->found[scan->count].jid = mk_strdup(one->jid);
        sift_up(scan->found, scan->count++);
    } else if (scan->keep && compare(one, &scan->found[0]) < 0) {
        mk_free(scan->found[0].jid);
        scan->found[0] = *one;
        scan->found[0].jid = mk_strdup(one->jid);
        sift_down(scan->found, scan->count);
    }
}

static bool
is_of(struct mk_str account, const char *domain)
{
    const char *at = memchr(account.p, '@', account.len);

    return at && mk_str_is((struct mk_str){at + 1, account.len - (size_t)(at + 1 - account.p)}, domain);
}

static bool
on_session(struct mk_str account, const struct mk_resource *r, void *arg)
{
    struct job *job = arg;
    struct scan *scan = job->scan;
    struct found one = {.node = r->node, .there = r->there, .priority = r->priority, .flags = r->flags,
                        .since = r->since};
    char jid[MK_JID_MAX + 1];

    if ((scan->domain && !is_of(account, scan->domain)) || (scan->here && r->node) ||
        (scan->available && !(r->flags & MK_RESOURCE_AVAILABLE)) ||
        account.len + r->resource.len + 1 > MK_JID_MAX)
        return true;
    memcpy(jid, account.p, account.len);
    jid[account.len] = '/';
    memcpy(jid + account.len + 1, r->resource.p, r->resource.len);
    jid[account.len + 1 + r->resource.len] = '\0';
    if (scan->match && !strstr(jid, scan->match))
        return true;
    scan->total++;
    one.jid = jid;
    keep(job, &one);
    return true;
}

static void
work(void *arg)
{
    struct job *job = arg;
    const struct mk_sessions *sessions = job->admin->sessions;

    mk_callback_begin();
    sessions->each_session(sessions->self, on_session, job);
    mk_callback_end();
    if (job->scan->count)
        qsort(job->scan->found, job->scan->count, sizeof(*job->scan->found), compare);
}

static void
done(void *arg)
{
    struct job job = *(struct job *)arg;

    mk_free(arg);
    job.done(job.arg);
}

int
scan_sessions(struct admin *a, struct scan *scan, mk_task_fn fn, void *arg)
{
    struct job *job = mk_alloc(sizeof(*job));

    *job = (struct job){.admin = a, .scan = scan, .done = fn, .arg = arg};
    if (mk_offload(a->module, work, done, job) == 0)
        return 0;
    mk_free(job);
    return -1;
}

void
found_free(struct found *found, size_t count)
{
    for (size_t i = 0; i < count; i++)
        mk_free(found[i].jid);
    mk_free(found);
}

void
scan_release(struct scan *scan)
{
    found_free(scan->found, scan->count);
    scan->found = NULL;
    scan->count = 0;
}
