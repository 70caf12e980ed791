/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* What every unit test includes first. */
#ifndef UNIT_H
#define UNIT_H

#include <setjmp.h>
#include <stdio.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <meerkat/meerkat.h>

static inline void
assert_str_is(struct mk_str s, const char *text)
{
    if (!mk_str_is(s, text))
        fail_msg("'%.*s' is not '%s'", MK_STR_ARG(s), text);
}

#endif
