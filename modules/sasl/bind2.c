/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Bind 2 (XEP-0386): what is offered, and the resource that a client gets. */
#include "config.h"

#include "internal.h"

#define TAG_MAX 64 /* bytes of the client's tag that go into the resource */
#define ID_LEN 15  /* characters of the server's part */

void
bind2_feature(struct sasl *sasl, struct mk_session *s, struct mk_xml *inline_)
{
    struct mk_ev_sasl2_features ev = {MK_EVENT(struct mk_ev_sasl2_features), .session = s,
                                      .inside = inline_};

    mk_xml_open(inline_, "bind", MK_NS_BIND2);
    mk_xml_open(inline_, "inline", NULL);
    mk_fire_bind2_features(sasl->bind2_features, &ev);
    mk_xml_close(inline_);
    mk_xml_close(inline_);
}

/* The tag as a resource may begin with it; nothing when it is no good. */
static void
add_tag(struct mk_buf *out, struct mk_str tag)
{
    struct mk_buf prepared = {0};

    while (tag.len > TAG_MAX || (tag.len && !mk_utf8_valid(tag)))
        tag.len--;
    if (tag.len && mk_prep_resource(&prepared, tag) == 0 && prepared.len) {
        mk_buf_add_str(out, mk_buf_str(&prepared));
        mk_buf_add_byte(out, '/');
    }
    mk_buf_release(&prepared);
}

/*
 * A client that names itself (<user-agent id='…'/>) gets the same resource every time, so that its
 * old session is replaced (§2.2); the id itself cannot be worked out from it.
 */
void
bind2_resource(struct sasl *sasl, const struct mk_jid *account, const struct mk_node *authenticate,
               const struct mk_node *bind, struct mk_buf *out)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
    const struct mk_node *tag = mk_node_child(bind, "tag", MK_NS_BIND2);
    const struct mk_node *agent = mk_node_child(authenticate, "user-agent", MK_NS_SASL2);
    const char *id = agent ? mk_node_attr(agent, "id") : NULL;
    unsigned char mac[32];

    if (tag)
        add_tag(out, mk_node_text(tag));
    if (id && id[0])
        secret_mac(sasl, "bind2 resource", mk_jid_bare(account), mk_str_of(id), mac);
    else
        mk_random(mac, sizeof(mac));
    for (size_t i = 0; i < ID_LEN; i++)
        mk_buf_add_byte(out, digits[mac[i] & 31]);
}
