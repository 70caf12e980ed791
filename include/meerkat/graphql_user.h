/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * For categories that are about users: finds the user of a field, who must exist, before the rest is done.
 *
 *   static void
 *   show(struct mk_gql_user *user)
 *   {
 *       … user->jid, user->host, user->arg …
 *       mk_gql_answer(user->f, value);
 *       mk_gql_user_free(&user);
 *   }
 *
 *   static void
 *   get_last(struct mk_gql_field *f, void *arg)
 *   {
 *       struct last *self = arg;
 *
 *       mk_gql_user_find(f, &self->auth, "user", "user_does_not_exist", show, self);
 *   }
 */
#ifndef MEERKAT_GRAPHQL_USER_H
#define MEERKAT_GRAPHQL_USER_H

#include <meerkat/auth.h>
#include <meerkat/graphql.h>

MK_BEGIN

struct mk_gql_user {
    struct mk_gql_field *f;
    struct mk_jid *jid;                 /* bare */
    struct mk_host *host;
    void *arg;
    /* of mk_gql_user_find: */
    const char *code;
    void (*next)(struct mk_gql_user *user);
};
/* `user` belongs to the function that is called, until mk_gql_user_free. */
typedef void (*mk_gql_user_fn)(struct mk_gql_user *user);

static inline void
mk_gql_user_free(struct mk_gql_user **user)
{
    if (*user)
        mk_jid_unref(&(*user)->jid);
    mk_free(*user);
    *user = NULL;
}

/* Answers the field with an error about a JID and frees `user`. */
static inline void
mk_gql_user_fail(struct mk_gql_user *user, const char *code, const char *message)
{
    struct mk_str jid = mk_jid_text(user->jid);

    mk_gql_answer(user->f, user->f->api->error(code, message, json_pack("{s:s%}", "jid", jid.p, jid.len)));
    mk_gql_user_free(&user);
}

static inline void
mk_gql_user_found_(enum mk_auth_result result, const struct mk_auth *auth, void *arg)
{
    struct mk_gql_user *user = (struct mk_gql_user *)arg;

    if (auth)
        user->next(user);
    else if (result == MK_AUTH_NO_ACCOUNT)
        mk_gql_user_fail(user, user->code, "Given user does not exist");
    else
        mk_gql_user_fail(user, "unavailable", "The accounts cannot be read now: try again");
}

/*
 * The user of an argument of scalar JID or BareJID; when there is no such argument, or `argument` is NULL, the one who asks. fn is
 * called on this worker, perhaps at once; when there is no such user, the field is answered with `code`.
 */
static inline void
mk_gql_user_find(struct mk_gql_field *f, const struct mk_auth_backends *auth, const char *argument, const char *code,
                 mk_gql_user_fn fn, void *arg)
{
    const struct mk_gql_viewer *viewer = f->api->viewer(f);
    struct mk_jid *given = argument ? mk_gql_jid(f, argument) : NULL;
    struct mk_gql_user *user;

    if (!given && !viewer->user) {
        mk_gql_fail(f, "invalid_jid", "This is no JID of a user");
        return;
    }
    user = (struct mk_gql_user *)mk_zalloc(sizeof(*user));
    user->f = f;
    user->jid = given ? mk_jid_bare_new(given) : mk_jid_ref(viewer->user);
    user->host = mk_host_find(mk_jid_domain(user->jid));
    user->arg = arg;
    user->code = code;
    user->next = fn;
    if (!user->host)
        mk_gql_user_found_(MK_AUTH_NO_ACCOUNT, NULL, user);
    else if (viewer->who == MK_GQL_IS_USER && mk_jid_same_bare(user->jid, viewer->user))
        fn(user);
    else
        mk_auth_find(f->api->module(f), auth, user->host, mk_jid_local(user->jid), mk_gql_user_found_, user);
    mk_jid_unref(&given);
}

MK_END
#endif
