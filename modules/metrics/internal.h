/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Module metrics: what its files share. */
#ifndef METRICS_INTERNAL_H
#define METRICS_INTERNAL_H

#include <meerkat/http.h>
#include <meerkat/meerkat.h>

/* -- format.c: the text formats of Prometheus */

struct format {
    struct mk_buf out;
    bool open;                  /* OpenMetrics 1.0; else Prometheus 0.0.4 */
    struct mk_buf family;       /* whose head was written last */
    unsigned refused;           /* metrics with names or labels that are none */
};

void format_begin(struct format *f, bool open);
void format_add(struct format *f, const struct mk_metric *m);
void format_end(struct format *f);
void format_release(struct format *f);
/* Does this Accept header ask for OpenMetrics rather than for plain text? NULL: there is none. */
bool format_wants_open(const char *accept);

/* -- process.c: what the system knows of this process */

enum { STATM_SIZE, STATM_RESIDENT, STATM_SHARED, STATM_NUMBERS };

struct process {
    struct mk_module *module;
    uint64_t fds_at;            /* ms; atomic */
    int64_t fds;                /* atomic */
    double started;             /* s since 1970 */
    uint64_t memory_at;         /* ms */
    double memory[STATM_NUMBERS];
};

void process_init(struct process *p, struct mk_module *m);
/* Before a scrape: what takes long is counted aside. Worker. */
void process_refresh(struct process *p);

/* -- lag.c: how late a worker is */

struct lag {
    struct mk_module *module;
    struct lag_lane *lanes;     /* by worker */
};

void lag_init(struct lag *l, struct mk_module *m);
void lag_start(struct lag *l);
void lag_stop(struct lag *l);
void lag_release(struct lag *l);

#endif
