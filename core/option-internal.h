/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Texts of options become fields of structures. */
#ifndef MKI_OPTION_H
#define MKI_OPTION_H

#include <meerkat/option.h>

/* Parses `text` into the field of `conf`. `base` is the folder that relative paths start from (NULL:
 * none). What stood in the field is lost: call it once for each field. */
int mki_option_parse(const struct mk_option *o, const char *text, const char *base, void *conf,
                     struct mk_error *err) MK_NODISCARD;
/* Frees what the fields of a table point to. */
void mki_option_free(const struct mk_option *options, void *conf);
/* Are the two values of this option equal? */
bool mki_option_same(const struct mk_option *o, const void *a, const void *b);
/* Has the option its default? */
bool mki_option_is_preset(const struct mk_option *o, const void *conf);
/* Puts a copy of the value in `from` in the place of the one in `to`. */
void mki_option_copy(const struct mk_option *o, void *to, const void *from);
/* Appends what values the option takes: "size, 1K to 64K"; `explain`: and how one is written. */
void mki_option_allowed(const struct mk_option *o, bool explain, struct mk_buf *out);
/* Is this a table that can be used: names, defaults, bounds, fields? */
int mki_option_check_table(const struct mk_option *options, size_t conf_size,
                           struct mk_error *err) MK_NODISCARD;
/* The key nearest to `key` in the table, or NULL when none is near. */
const char *mki_option_nearest(const struct mk_option *options, const char *key);
unsigned mki_edit_distance(const char *a, const char *b);

#endif
