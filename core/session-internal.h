/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
#ifndef MKI_SESSION_H
#define MKI_SESSION_H

#include <meerkat/option.h>
#include <meerkat/session.h>

struct mk_worker;

struct mk_module *mki_session_owner(const struct mk_session *s);
/* Frees the tables of a worker that has ended; its sessions are gone before. */
void mki_sessions_release(struct mk_worker *w);
/* Takes a module's slot data out of all sessions of this worker (slot.c). */
void mki_sessions_clear_slot(struct mk_worker *w, unsigned slot);
/* The free function of a session slot, or NULL. */
mk_slot_free_fn mki_slot_free_of(unsigned slot);
/*
 * Holds the input of all sessions of this worker, also of those that come now, until mki_sessions_go_on or, should that take
 * too long, for half a second.
 */
void mki_sessions_hold(struct mk_worker *w, void *unused);
void mki_sessions_go_on(struct mk_worker *w, void *unused);
/* Adds to *(size_t *)arg, atomically, the sessions whose input is not all dealt with. */
void mki_sessions_count_unsettled(struct mk_worker *w, void *arg);
/* Defines the core's own hooks. */
void mki_session_hooks(void);
void mki_hosts_set(const struct mk_option_list *hosts);
/* All there ever were, those that went included. */
size_t mki_host_count(void);
struct mk_host *mki_host_at(size_t index);
size_t mki_host_index(const struct mk_host *host);
void mki_hosts_free(void);

#endif
