/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The version of the module API. A module is accepted when its major number equals the server's
 * and its minor number is not greater. Adding a function, a hook or a field at the end of an open
 * structure raises the minor number; anything else raises the major number.
 *
 * major.minor (date)  what changed
 * 1.0 (2026-11-24)    first version
 */
#ifndef MEERKAT_VERSION_H
#define MEERKAT_VERSION_H

#define MK_ABI_MAJOR 1
#define MK_ABI_MINOR 0

#endif
