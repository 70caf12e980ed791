/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The core's whole API in one include. Interfaces of single modules (router.h, c2s.h, rdbms.h …)
 * are included by whoever uses them. */
#ifndef MEERKAT_MEERKAT_H
#define MEERKAT_MEERKAT_H

#include <meerkat/base.h>
#include <meerkat/hook.h>
#include <meerkat/iq.h>
#include <meerkat/jid.h>
#include <meerkat/log.h>
#include <meerkat/metrics.h>
#include <meerkat/module.h>
#include <meerkat/option.h>
#include <meerkat/session.h>
#include <meerkat/stanza.h>
#include <meerkat/version.h>
#include <meerkat/worker.h>
#include <meerkat/xml.h>

#endif
