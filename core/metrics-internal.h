/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
#ifndef MKI_METRICS_H
#define MKI_METRICS_H

#include <meerkat/metrics.h>

struct mk_module;

/* Forgets what a module registered; its numbers stay reserved under its names, so that a reload
 * goes on counting where it stopped. */
void mki_metrics_module_gone(struct mk_module *m);
/* Adds this thread's numbers to the total of threads that ended. */
void mki_metrics_thread_end(void);
/* mk_metric_each with the module of each. */
void mki_metrics_each(void (*fn)(const char *module, const struct mk_metric *m, void *arg), void *arg);

#endif
