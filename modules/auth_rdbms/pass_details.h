/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The text in the column users.pass_details: the SCRAM keys of an account (RFC 5802 §3). Two forms
 * exist, both of them MongooseIM's:
 *
 *   ==MULTI_SCRAM==,ITERATIONS,PREFIX salt|stored|server,PREFIX …   (no blanks; one entry a hash)
 *   ==SCRAM==,STORED,SERVER,SALT,ITERATIONS                          (old: SHA-1 alone)
 *
 * with all binary values in base64. Pure functions, any thread.
 */
#ifndef AUTH_RDBMS_PASS_DETAILS_H
#define AUTH_RDBMS_PASS_DETAILS_H

#include <meerkat/auth.h>

/* What we accept and write; beyond it a row is damaged, or made to keep the server busy. */
#define PASS_DETAILS_ITERATIONS_MAX 10000000u

/* Reads either form; -1 when the text is not one of them (`out` is then not to be used). */
int pass_details_parse(struct mk_str text, struct mk_credentials *out) MK_NODISCARD;

/* Appends the first form. All keys have the same number of iterations and come in order of hash. */
void pass_details_print(struct mk_buf *out, const struct mk_credentials *cred);

#endif
