/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 the Meerkat authors
 *
 * Scenario idle: sessions that sent their initial presence and then stay silent.  The result is
 * the memory they take, the CPU they cost while idle, and the log-ins that brought them there.
 */
#include "bench.h"

static void
hello(const struct client *c, char *out, size_t size)
{
    (void)c;
    snprintf(out, size, "I\n");
}

const struct scenario scenario_idle = {
    .name = "idle",
    .unit = "none",
    .sessions = 1000,
    .window = 1,
    .may_share = true,
    .hello = hello,
};
