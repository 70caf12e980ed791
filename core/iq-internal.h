/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
#ifndef MKI_IQ_H
#define MKI_IQ_H

#include <meerkat/iq.h>
#include <meerkat/session.h>

struct mk_worker;

/* Namespaces of the handlers for an addressee, unsorted. In a read section. */
void mki_iq_features(unsigned to, void (*fn)(const char *ns, void *arg), void *arg);
/* Ends a module's open requests on this worker with NULL. */
void mki_requests_forget(struct mk_worker *w, struct mk_module *m);
/* Calls fn for each handler; `name` NULL: any element. Any thread. */
void mki_iq_each(void (*fn)(const char *module, unsigned types, unsigned to, const char *ns,
                            const char *name, void *arg),
                 void *arg);

#endif
