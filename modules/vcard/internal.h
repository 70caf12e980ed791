/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Module vcard: what its files share. */
#ifndef VCARD_INTERNAL_H
#define VCARD_INTERNAL_H

#include <meerkat/auth.h>
#include <meerkat/c2s.h>
#include <meerkat/cluster.h>
#include <meerkat/crypto.h>
#include <meerkat/meerkat.h>
#include <meerkat/rdbms.h>
#include <meerkat/router.h>

#define NS_VCARD "vcard-temp"
#define NS_UPDATE "vcard-temp:x:update"

struct vcard_conf {
    uint64_t max_size;
    bool avatar, search;
    char *server_name, *server_url;
};

struct vcard {
    struct mk_module *module;
    const struct mk_rdbms *db;
    const struct mk_sessions *sessions;
    const struct mk_cluster *cluster;       /* NULL: one node */
    struct mk_cluster_channel *news;
    struct mk_sql_stmt *select, *upsert, *index, *remove, *remove_index;
    struct mk_counter refused, added;
    unsigned slot;              /* of a session: struct avatar */
    struct mk_auth_backends auth;       /* for api.c */
};

/* -- vcard.c */
/* Keeps a card, whose XML is `text`, and its row for searches. */
void vcard_add(struct vcard *self, struct mk_sql_batch *batch, const struct mk_jid *account, const struct mk_node *card,
               struct mk_str text);
void vcard_store(struct vcard *self, const struct mk_jid *account, const struct mk_node *card, struct mk_str text,
                 mk_sql_fn fn, void *arg);

/* -- port.c: XEP-0227 */
int vcard_port(struct vcard *self) MK_NODISCARD;

/* -- api.c: category vcard of the GraphQL API, where there is one */
int vcard_api(struct vcard *self, struct mk_error *err) MK_NODISCARD;

/* What a session's presence gets, known once it has been looked up. */
enum avatar_kind {
    AVATAR_NO_VCARD,            /* nothing */
    AVATAR_NONE,                /* <photo/>: there is a vCard, without a picture */
    AVATAR_PHOTO,
};
struct avatar {
    uint8_t kind;
    unsigned char sha1[20];
};

/* -- avatar.c (XEP-0153) */
/* `vcard` NULL: there is none. */
struct avatar avatar_of(const struct mk_node *vcard);
enum mk_verdict avatar_on_presence(struct mk_ev_user *ev, void *arg);
/* An account's picture is another one now: tells its sessions on all nodes. Worker. */
void avatar_changed(struct vcard *self, const struct mk_jid *account, const struct mk_node *vcard);
int avatar_init(struct vcard *self, struct mk_error *err) MK_NODISCARD;

/* -- search.c: the table vcard_search */
#define SEARCH_FIELDS 11
#define SEARCH_VALUES (3 + 2 * SEARCH_FIELDS)
extern const char search_sql[];
/* Adds the statement that keeps the row of this account. */
void search_add(struct vcard *self, struct mk_sql_batch *batch, const struct mk_jid *account,
                const struct mk_node *vcard);

#endif
