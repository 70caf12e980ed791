/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Requests on one account's roster, one after another on its home worker: read what is stored, decide,
 * store, and only then tell.
 */
#include "internal.h"

/* The first request of its entry leaves; the next one may run. */
static void
op_leave(struct op *op)
{
    struct entry *e = op->entry;

    MK_ASSERT(e->first == op);
    e->first = op->next;
    if (!e->first)
        e->last = &e->first;
    e->busy = false;
    mk_jid_unref(&op->contact);
    mk_free(op);
    entry_unref(e);
}

static void
op_fail(struct op *op, enum mk_roster_result result)
{
    op->changed(result, NULL, op->arg);
    op_leave(op);
}

/* What is decided is what is there already, or there is nothing to change. */
static void
op_nothing(struct op *op)
{
    const struct mk_roster_item *now =
        op->contact ? snapshot_find(entry_now(op->entry), op->contact) : NULL;

    op->changed(MK_ROSTER_OK, now, op->arg);
    op_leave(op);
}

static void
op_decide(struct op *op)
{
    struct roster *r = op->entry->roster;
    const struct roster_conf *conf = mk_module_conf(r->module, NULL);
    const struct snapshot *now = entry_now(op->entry);
    const struct mk_roster_item *old = snapshot_find(now, op->contact);

    if (old)
        op->item = *old;
    else
        op->item = (struct mk_roster_item){.size = sizeof(op->item), .jid = op->contact, .name = "",
                                           .request = ""};
    op->decision = op->decide(&op->item, old != NULL, op->arg);
    if (op->decision == MK_ROSTER_KEEP || (op->decision == MK_ROSTER_DROP && !old)) {
        op_nothing(op);
    } else if (op->decision == MK_ROSTER_STORE && !old && now->count >= (size_t)conf->max_items) {
        mk_counter_add(r->refused, 1);
        op_fail(op, MK_ROSTER_FULL);
    } else {
        sql_store(op);
    }
}

/* Runs requests until one is in the database. `e` must be referenced. */
static void
go_on(struct entry *e)
{
    while (e->first && !e->busy) {
        e->busy = true;
        if (!entry_now(e) || e->first->reload)
            sql_load(e->first);
        else if (e->first->contact)
            op_decide(e->first);
        else
            op_nothing(e->first);
    }
}

static bool
is_visible(const struct mk_roster_item *item)
{
    return item && !(item->flags & MK_ROSTER_HIDDEN);
}

static bool
looks_like(const struct mk_roster_item *a, const struct mk_roster_item *b)
{
    bool same = a->subscription == b->subscription && a->flags == b->flags && strcmp(a->name, b->name) == 0 &&
                a->group_count == b->group_count;

    for (size_t i = 0; same && i < a->group_count; i++)
        same = strcmp(a->groups[i], b->groups[i]) == 0;
    return same;
}

/* What another node has changed and told nobody of: clients here hear of it now. */
static void
push_differences(struct entry *e, const struct snapshot *before)
{
    const struct snapshot *now = entry_now(e);

    for (size_t i = 0; i < now->count; i++) {
        const struct mk_roster_item *item = &now->items[i], *old = snapshot_find(before, item->jid);

        if (is_visible(item) && !(is_visible(old) && looks_like(item, old)))
            client_push(e, item, NULL, true);
    }
    for (size_t i = 0; i < before->count; i++) {
        const struct mk_roster_item *old = &before->items[i];

        if (is_visible(old) && !is_visible(snapshot_find(now, old->jid)))
            client_push(e, NULL, old->jid, true);
    }
}

void
change_loaded(struct op *op, struct snapshot *taken)
{
    struct entry *e = entry_ref(op->entry);
    const struct snapshot *before = entry_now(e);

    if (taken) {
        entry_set(e, taken);
        if (op->perhaps && before && strcmp(before->version, taken->version) != 0)
            push_differences(e, before);
        e->busy = false;
        op->reload = false;
    } else {
        if (op->reload && !op->perhaps)
            entry_set(e, NULL);
        op_fail(op, MK_ROSTER_UNAVAILABLE);
    }
    go_on(e);
    entry_unref(e);
}

static void
tell(struct op *op, const struct mk_roster_item *now, const struct mk_roster_item *old)
{
    struct roster *r = op->entry->roster;
    struct mk_ev_roster_changed ev = {MK_EVENT(ev), .why = op->why, .account = op->entry->account,
                                      .now = now, .old = old};

    bool first = op->why == MK_ROSTER_BY_SUBSCRIPTION;

    /* The stanza of a subscription goes before the push (RFC 6121 §3.1.6), an answer behind it. */
    if (first)
        op->changed(MK_ROSTER_OK, now, op->arg);
    if (is_visible(now))
        client_push(op->entry, now, NULL, false);
    else if (is_visible(old))
        client_push(op->entry, NULL, op->contact, false);
    mk_fire_roster_changed(r->changed, &ev);
    if (!first)
        op->changed(MK_ROSTER_OK, now, op->arg);
}

/* What is stored is in force here, and all other nodes know. */
void
change_told(struct op *op)
{
    struct entry *e = entry_ref(op->entry);
    const struct snapshot *before = entry_now(e);
    const struct mk_roster_item *old = snapshot_find(before, op->contact);

    mk_counter_add(e->roster->changes, 1);
    entry_set(e, op->decision == MK_ROSTER_STORE ? snapshot_with(before, &op->item)
                                                 : snapshot_without(before, op->contact));
    tell(op, snapshot_find(entry_now(e), op->contact), old);
    op_leave(op);
    go_on(e);
    entry_unref(e);
}

void
change_stored(struct op *op, enum mk_roster_result result)
{
    struct entry *e = entry_ref(op->entry);

    if (result == MK_ROSTER_OK && e->roster->cluster) {
        news_send(op);
    } else if (result == MK_ROSTER_OK) {
        change_told(op);
    } else {
        op_fail(op, result);
        go_on(e);
    }
    entry_unref(e);
}

/* -- asking, from any worker ------------------------------------------------------------------ */

static void
arrive(void *arg)
{
    struct op *op = arg;
    struct entry *e = entry_ref(op->entry);

    *e->last = op;
    e->last = &op->next;
    go_on(e);
    entry_unref(e);
}

void
change_ask(struct entry *e, const struct mk_jid *contact, enum mk_roster_why why,
           mk_roster_decide_fn decide, mk_roster_item_fn changed, void *arg)
{
    struct op *op = mk_zalloc(sizeof(*op));

    op->entry = entry_ref(e);
    op->contact = mk_jid_ref(contact);
    op->why = why;
    op->decide = decide;
    op->changed = changed;
    op->arg = arg;
    op->reload = contact && e->roster->cluster;
    mk_post(e->roster->module, entry_home(e), arrive, op);
}

static void
reload(struct entry *e, bool perhaps, mk_roster_item_fn fn, void *arg)
{
    struct op *op = mk_zalloc(sizeof(*op));

    op->entry = entry_ref(e);
    op->changed = fn;
    op->arg = arg;
    op->reload = true;
    op->perhaps = perhaps;
    mk_post(e->roster->module, entry_home(e), arrive, op);
}

void
change_reload(struct entry *e, mk_roster_item_fn fn, void *arg)
{
    reload(e, false, fn, arg);
}

void
change_reread(struct entry *e, mk_roster_item_fn fn, void *arg)
{
    reload(e, true, fn, arg);
}

void
change_read(struct entry *e, mk_roster_item_fn fn, void *arg)
{
    change_ask(e, NULL, MK_ROSTER_BY_USER, NULL, fn, arg);
}

static void
forget(void *arg)
{
    struct entry *e = arg;

    if (entry_now(e))
        entry_set(e, snapshot_new(NULL, 0));
    entry_unref(e);
}

static void
doubt(void *arg)
{
    struct entry *e = arg;

    entry_set(e, NULL);
    entry_unref(e);
}

void
change_forget(struct roster *r, const struct mk_jid *account, bool known)
{
    struct entry *e = entry_get(r, account);

    mk_post(r->module, entry_home(e), known ? forget : doubt, e);
}
