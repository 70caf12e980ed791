/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * The hash of the account's picture in the presence that its clients send (XEP-0153 §3.1). It is looked up
 * once a session, before the first presence goes on, and kept in the session's slot.
 */
#include "config.h"

#include "internal.h"

/* The picture's hash, or -1 when there is none that can be read. Base64 may be broken into lines. */
static int
hash_photo(const struct mk_node *vcard, unsigned char *sha1)
{
    const struct mk_node *photo = mk_node_child(vcard, "PHOTO", NS_VCARD);
    const struct mk_node *binval = photo ? mk_node_child(photo, "BINVAL", NS_VCARD) : NULL;
    struct mk_str text = binval ? mk_node_text(binval) : MK_STR("");
    struct mk_buf tight = {0}, image = {0};
    int rc = -1;

    for (size_t i = 0; i < text.len; i++) {
        if (!memchr(" \t\r\n", text.p[i], 4))
            mk_buf_add_byte(&tight, text.p[i]);
    }
    if (mk_base64_decode(&image, mk_buf_str(&tight)) == 0 && image.len) {
        mk_digest(MK_SHA1, mk_buf_str(&image), sha1);
        rc = 0;
    }
    mk_buf_release(&tight);
    mk_buf_release(&image);
    return rc;
}

struct avatar
avatar_of(const struct mk_node *vcard)
{
    struct avatar a = {.kind = AVATAR_NO_VCARD};

    if (vcard)
        a.kind = hash_photo(vcard, a.sha1) == 0 ? AVATAR_PHOTO : AVATAR_NONE;
    return a;
}

static void
keep(struct vcard *self, struct mk_session *s, const struct avatar *a)
{
    struct avatar *copy = mk_alloc(sizeof(*copy));

    *copy = *a;
    mk_session_slot_set(s, self->slot, copy);
}

/* -- presence ------------------------------------------------------------------------------- */

static void
add_hash(struct vcard *self, struct mk_ev_user *ev, const struct avatar *a)
{
    struct mk_stanza *bare, *made;
    struct mk_buf hex = {0};
    struct mk_xml *x;

    if (a->kind == AVATAR_NO_VCARD)
        return;
    if (a->kind == AVATAR_PHOTO)
        mk_hex_encode(&hex, (struct mk_str){(const char *)a->sha1, sizeof(a->sha1)});
    x = mk_xml_new(NULL);
    mk_xml_open(x, "x", NS_UPDATE);
    mk_xml_leaf(x, "photo", NULL, mk_buf_str(&hex));
    mk_xml_close(x);
    /* A client that is not ready to say anything has sent an empty one (§4.1). */
    bare = mk_stanza_without(ev->stanza, "x", NS_UPDATE, NULL);
    made = mk_stanza_append(bare, x);
    mk_stanza_unref(&bare);
    mk_stanza_replace(&ev->stanza, made);
    mk_counter_add(self->added, 1);
    mk_buf_release(&hex);
}

struct lookup {
    struct vcard *self;
    struct mk_hold *hold;
};

static void
on_looked_up(struct mk_sql_result *result, void *arg)
{
    struct lookup *l = arg;
    struct vcard *self = l->self;
    struct mk_ev_user *ev = mk_hold_event(l->hold);
    const struct avatar *known;
    struct mk_node *vcard = NULL;

    /* A failure is not remembered: the next presence asks again. */
    if (self->db->status(result) == MK_SQL_OK && !mk_session_is_closed(ev->session)) {
        if (self->db->next(result))
            vcard = mk_node_parse(self->db->get_text(result, 0), NS_VCARD);
        known = mk_session_slot(ev->session, self->slot);
        if (!known) {       /* else a vCard was set meanwhile, and is newer */
            struct avatar a = avatar_of(vcard);

            keep(self, ev->session, &a);
            known = mk_session_slot(ev->session, self->slot);
        }
        add_hash(self, ev, known);
    }
    mk_node_free(&vcard);
    mk_resume(&l->hold, MK_CONTINUE);
    mk_free(l);
}

static void
look_up(struct vcard *self, struct mk_hold *hold, const struct mk_jid *jid)
{
    const struct mk_sql_value values[] = {MK_SQL_V_TEXT(mk_jid_domain(jid)),
                                          MK_SQL_V_TEXT(mk_jid_local(jid))};
    struct lookup *l = mk_alloc(sizeof(*l));
    char *key = mk_str_dup(mk_jid_bare(jid));

    *l = (struct lookup){self, hold};
    self->db->exec(self->db->self, self->select, values, MK_COUNT(values), key, on_looked_up, l);
    mk_free(key);
}

static bool
has_photo(const struct mk_stanza *st)
{
    const struct mk_node *x;

    if (!mk_stanza_has(st, "x", NS_UPDATE))
        return false;
    x = mk_stanza_child(st, "x", NS_UPDATE);
    return mk_node_child(x, "photo", NS_UPDATE) != NULL;
}

enum mk_verdict
avatar_on_presence(struct mk_ev_user *ev, void *arg)
{
    struct vcard *self = arg;
    const struct avatar *known;
    const struct vcard_conf *conf;
    struct mk_hold *hold;

    if (mk_stanza_type(ev->stanza) != MK_TYPE_NONE || has_photo(ev->stanza))
        return MK_CONTINUE;
    conf = mk_module_conf(self->module, mk_session_host(ev->session));
    if (!conf->avatar)
        return MK_CONTINUE;
    known = mk_session_slot(ev->session, self->slot);
    if (known) {
        add_hash(self, ev, known);
        return MK_CONTINUE;
    }
    hold = mk_hold(&ev->head);
    if (!hold)
        return MK_CONTINUE;
    look_up(self, hold, mk_session_jid(ev->session));
    return MK_HANDLED;
}

/* -- a new vCard ---------------------------------------------------------------------------- */

struct change {
    struct vcard *self;
    struct avatar avatar;
};

static void
on_session(struct mk_session *s, void *arg)
{
    struct change *c = arg;

    if (s)
        keep(c->self, s, &c->avatar);
    mk_free(c);
}

static bool
on_resource(const struct mk_resource *r, void *arg)
{
    const struct change *c = arg;
    struct change *copy;

    if (r->node == 0) {
        copy = mk_alloc(sizeof(*copy));
        *copy = *c;
        mk_session_post(c->self->module, r->session, on_session, copy);
    }
    return true;
}

static void
tell_sessions(struct vcard *self, const struct mk_jid *account, const struct avatar *a)
{
    struct change c = {self, *a};

    self->sessions->each(self->sessions->self, account, on_resource, &c);
}

/* What nodes tell each other: the kind, the hash, the account. */
static void
on_news(struct mk_cluster_call *call, uint32_t node, struct mk_str data, void *arg)
{
    struct vcard *self = arg;
    struct avatar a = {0};
    struct mk_jid *account = NULL;

    (void)node;
    if (data.len > 1 + sizeof(a.sha1)) {
        a.kind = (unsigned char)data.p[0] <= AVATAR_PHOTO ? (uint8_t)data.p[0] : AVATAR_NONE;
        memcpy(a.sha1, data.p + 1, sizeof(a.sha1));
        account = mk_jid_parse((struct mk_str){data.p + 1 + sizeof(a.sha1), data.len - 1 - sizeof(a.sha1)});
    }
    if (account)
        tell_sessions(self, account, &a);
    mk_jid_unref(&account);
    self->cluster->answer(call, (struct mk_str){0});
}

/* All nodes: the record of a session that has just begun elsewhere may not be here yet. */
static void
tell_nodes(struct vcard *self, const struct mk_jid *account, const struct avatar *a)
{
    struct mk_buf news = {0};

    mk_buf_add_byte(&news, (char)a->kind);
    mk_buf_add(&news, a->sha1, sizeof(a->sha1));
    mk_buf_add_str(&news, mk_jid_bare(account));
    self->cluster->send_all(self->news, mk_buf_str(&news), NULL, NULL);
    mk_buf_release(&news);
}

void
avatar_changed(struct vcard *self, const struct mk_jid *account, const struct mk_node *vcard)
{
    struct avatar a = avatar_of(vcard);

    tell_sessions(self, account, &a);
    if (self->cluster)
        tell_nodes(self, account, &a);
}

int
avatar_init(struct vcard *self, struct mk_error *err)
{
    self->cluster = mk_cluster_get(self->module);
    if (!self->cluster)
        return 0;
    self->news = self->cluster->channel(self->cluster->self, self->module, "vcard", on_news, self, err);
    return self->news ? 0 : -1;
}
