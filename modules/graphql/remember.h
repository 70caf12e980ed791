/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Passwords that were right a moment ago. Nothing that could be turned back into a password is
 * kept: an entry is a MAC of account and password under a key that this process alone has. Any
 * thread.
 */
#ifndef GRAPHQL_REMEMBER_H
#define GRAPHQL_REMEMBER_H

#include <meerkat/base.h>

struct remember;

/* `entries` is rounded up to what fits the table. */
struct remember *remember_new(size_t entries) MK_NODISCARD;
void remember_free(struct remember **r);

/* Was this the account's password not longer ago than it was to be remembered? */
bool remember_knows(struct remember *r, const char *account, const char *password, uint64_t now_ms);

/* To be asked before a password is checked, and given with the result. */
uint64_t remember_mark(struct remember *r);
/* Notes that it was right; not when anything was forgotten since `mark`: it may have been this one.
 */
void remember_note(struct remember *r, const char *account, const char *password, uint64_t mark,
                   uint64_t until_ms);
void remember_forget(struct remember *r, const char *account);

#endif
