/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
#ifndef VCARD_FIELDS_H
#define VCARD_FIELDS_H

#include <jansson.h>

#include <meerkat/xml.h>

/* A vCard as GraphQL's type Vcard. Owned. */
json_t *fields_read(const struct mk_node *card);
/* GraphQL's VcardInput as a vCard. */
void fields_write(struct mk_xml *x, const json_t *input);

#endif
