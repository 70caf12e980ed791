/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Service "roster". What is asked on one worker and done on another comes back as a `struct ask`. */
#include "internal.h"

struct ask {
    struct mk_worker *back;
    struct entry *entry;                /* referenced */
    struct mk_jid *contact;
    struct snapshot *given;             /* set, put: one item, as asked for */
    mk_roster_list_fn list_fn;
    mk_roster_item_fn item_fn;
    void *arg;
    bool absent;                        /* remove: there was nothing */
    enum mk_roster_result result;
};

static struct ask *
ask_new(struct roster *r, const struct mk_jid *account, const struct mk_jid *contact,
        mk_roster_item_fn fn, void *arg)
{
    struct ask *ask = mk_zalloc(sizeof(*ask));

    ask->back = mk_worker_self();
    ask->entry = entry_get(r, account);
    ask->contact = mk_jid_ref(contact);
    ask->item_fn = fn;
    ask->arg = arg;
    return ask;
}

static void
answer(void *arg)
{
    struct ask *ask = arg;
    const struct snapshot *now = entry_now(ask->entry);
    bool ok = ask->result == MK_ROSTER_OK;
    const struct mk_roster_item *item =
        ok && ask->contact ? snapshot_find(now, ask->contact) : NULL;

    if (ask->list_fn)
        ask->list_fn(ask->result, ok ? now->items : NULL, ok ? now->count : 0, ask->arg);
    else
        ask->item_fn(ok && (ask->absent || !item) ? MK_ROSTER_ABSENT : ask->result, item, ask->arg);
    entry_unref(ask->entry);
    mk_jid_unref(&ask->contact);
    snapshot_free(ask->given);
    mk_free(ask);
}

static void
go_back(enum mk_roster_result result, const struct mk_roster_item *item, void *arg)
{
    struct ask *ask = arg;

    (void)item;
    ask->result = result;
    mk_post(ask->entry->roster->module, ask->back, answer, ask);
}

/* -- reading ---------------------------------------------------------------------------------- */

static void
read_then_answer(struct ask *ask)
{
    if (entry_now(ask->entry))
        answer(ask);
    else
        change_read(ask->entry, go_back, ask);
}

static void
svc_list(void *self, const struct mk_jid *account, mk_roster_list_fn fn, void *arg)
{
    struct ask *ask = ask_new(self, account, NULL, NULL, arg);

    ask->list_fn = fn;
    read_then_answer(ask);
}

static void
svc_item(void *self, const struct mk_jid *account, const struct mk_jid *contact,
         mk_roster_item_fn fn, void *arg)
{
    read_then_answer(ask_new(self, account, contact, fn, arg));
}

/* -- changing --------------------------------------------------------------------------------- */

static bool
is_text(struct roster *r, const char *text)
{
    const struct roster_conf *conf = mk_module_conf(r->module, NULL);
    size_t len = strlen(text);

    return len <= conf->max_name && mk_utf8_valid((struct mk_str){text, len});
}

/* RFC 6121 §2.3.3: no empty group, none twice, none too long. */
static bool
is_acceptable(struct roster *r, const struct mk_roster_item *item)
{
    const struct roster_conf *conf = mk_module_conf(r->module, NULL);

    if (!mk_jid_is_bare(item->jid) || !is_text(r, item->name) ||
        item->group_count > (size_t)conf->max_groups)
        return false;
    for (size_t i = 0; i < item->group_count; i++) {
        if (!*item->groups[i] || !is_text(r, item->groups[i]))
            return false;
        for (size_t k = 0; k < i; k++) {
            if (strcmp(item->groups[i], item->groups[k]) == 0)
                return false;
        }
    }
    return true;
}

static enum mk_roster_decision
decide_set(struct mk_roster_item *item, bool exists, void *arg)
{
    const struct mk_roster_item *given = ((struct ask *)arg)->given->items;

    (void)exists;
    item->name = given->name;
    item->groups = given->groups;
    item->group_count = given->group_count;
    item->flags &= ~(unsigned)MK_ROSTER_HIDDEN;
    return MK_ROSTER_STORE;
}

static enum mk_roster_decision
decide_put(struct mk_roster_item *item, bool exists, void *arg)
{
    const struct mk_roster_item *given = ((struct ask *)arg)->given->items;

    (void)exists;
    decide_set(item, exists, arg);
    item->subscription = given->subscription & MK_SUB_BOTH;
    item->flags = given->flags;
    item->request = given->request;
    return MK_ROSTER_STORE;
}

/* A request that waits outlives the contact in the roster (§2.5.1 knows nothing of it): what a client
 * cannot see it cannot remove. */
static enum mk_roster_decision
decide_remove(struct mk_roster_item *item, bool exists, void *arg)
{
    struct ask *ask = arg;

    if (!exists || (item->flags & MK_ROSTER_HIDDEN)) {
        ask->absent = true;
        return MK_ROSTER_KEEP;
    }
    return MK_ROSTER_DROP;
}

static void
set_as(struct roster *r, const struct mk_jid *account, const struct mk_roster_item *item,
       enum mk_roster_why why, mk_roster_item_fn fn, void *arg)
{
    struct ask *ask;

    if (!is_acceptable(r, item)) {
        mk_counter_add(r->refused, 1);
        fn(MK_ROSTER_BAD, NULL, arg);
        return;
    }
    ask = ask_new(r, account, item->jid, fn, arg);
    ask->given = snapshot_new(item, 1);
    change_ask(ask->entry, item->jid, why, why == MK_ROSTER_BY_ADMIN ? decide_put : decide_set,
               go_back, ask);
}

static void
svc_set(void *self, const struct mk_jid *account, const struct mk_roster_item *item,
        mk_roster_item_fn fn, void *arg)
{
    set_as(self, account, item, MK_ROSTER_BY_USER, fn, arg);
}

static void
svc_put(void *self, const struct mk_jid *account, const struct mk_roster_item *item,
        mk_roster_item_fn fn, void *arg)
{
    set_as(self, account, item, MK_ROSTER_BY_ADMIN, fn, arg);
}

static void
gone(void *arg)
{
    struct ask *ask = arg;

    if (ask->result == MK_ROSTER_OK && ask->absent)
        ask->result = MK_ROSTER_ABSENT;
    ask->item_fn(ask->result, NULL, ask->arg);
    entry_unref(ask->entry);
    mk_free(ask);
}

static void
removed(enum mk_roster_result result, const struct mk_roster_item *item, void *arg)
{
    struct ask *ask = arg;

    (void)item;
    ask->result = result;
    mk_post(ask->entry->roster->module, ask->back, gone, ask);
}

static void
svc_remove(void *self, const struct mk_jid *account, const struct mk_jid *contact,
           mk_roster_item_fn fn, void *arg)
{
    struct ask *ask = ask_new(self, account, NULL, fn, arg);

    change_ask(ask->entry, contact, MK_ROSTER_BY_USER, decide_remove, removed, ask);
}

static void
svc_change(void *self, const struct mk_jid *account, const struct mk_jid *contact,
           mk_roster_decide_fn decide, mk_roster_item_fn changed, void *arg)
{
    struct entry *e = entry_get(self, account);

    change_ask(e, contact, MK_ROSTER_BY_SUBSCRIPTION, decide, changed, arg);
    entry_unref(e);
}

void
service_init(struct roster *r)
{
    r->service = (struct mk_roster){.size = sizeof(r->service),
                                    .self = r,
                                    .list = svc_list,
                                    .item = svc_item,
                                    .set = svc_set,
                                    .remove = svc_remove,
                                    .put = svc_put,
                                    .change = svc_change};
}
