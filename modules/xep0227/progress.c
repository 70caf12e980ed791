/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* How far a task is, on standard error. */
#include "config.h"

#include "internal.h"

#include <unistd.h>

#define WIDTH 40
#define BAR_MS 100
#define LINE_MS 10000

void
progress_begin(struct progress *p, const char *what)
{
    p->what = what;
    p->began = p->last = mk_now_ms();
    p->terminal = isatty(STDERR_FILENO);
}

void
progress_show(struct progress *p, double done, size_t users)
{
    uint64_t now = mk_now_ms();
    int filled = (int)(done * WIDTH);

    if (now - p->last < (p->terminal ? BAR_MS : LINE_MS))
        return;
    p->last = now;
    if (p->terminal)
        fprintf(stderr, "\r%s [%.*s%*s] %3.0f %%, %zu users ", p->what, filled, "########################################",
                WIDTH - filled, "", done * 100, users);
    else
        fprintf(stderr, "%s: %.0f %%, %zu users\n", p->what, done * 100, users);
}

void
progress_end(struct progress *p)
{
    if (p->terminal && p->last != p->began)
        fprintf(stderr, "\r%*s\r", WIDTH + 60, "");
}
