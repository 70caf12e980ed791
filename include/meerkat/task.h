/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Tasks: work that `meerkatd --run NAME ARGUMENTS` does with the configuration of a node, but without being one. All
 * modules of the configuration are initialised (so that their tables are made), only the task's own module and what
 * that depends on is started: no port is opened, no cluster joined. A module offers task NAME as service "task_NAME",
 * which its descriptor must name in `provides`: the task is found by it before any code runs.
 */
#ifndef MEERKAT_TASK_H
#define MEERKAT_TASK_H

#include <meerkat/base.h>
#include <meerkat/module.h>

MK_BEGIN

#define MK_TASK_ABI 1
struct mk_task {
    uint32_t size;
    void *self;
    const char *usage;      /* the arguments: "FILE [HOST…]" */
    size_t min_args, max_args;
    bool alone;             /* no node may run with this state directory at the same time */
    /* Begins, on a worker. -1: it has failed already, with a reason; else it ends with mk_task_end. `argv` stays valid. */
    int (*run)(void *self, size_t argc, char *const *argv, struct mk_error *err);
};

/* The task is over; `err` NULL: it went well. Once. Any thread. */
MK_API void mk_task_end(const struct mk_error *err);

MK_END
#endif
