/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * An account is removed: its rows go in the transaction of whoever keeps the account, and its contacts are
 * told afterwards (hook roster_changed). The roster is read before and looked at again behind the
 * transaction, for requests with one key keep their order: so nobody is told of a removal that failed.
 */
#include "internal.h"

struct farewell {
    struct roster *roster;
    struct mk_jid *account;
    struct snapshot *before;    /* NULL: it could not be read */
};

static void
tell(const struct farewell *f)
{
    struct mk_ev_roster_changed ev = {MK_EVENT(ev), .why = MK_ROSTER_BY_REMOVAL, .account = f->account};

    for (size_t i = 0; i < f->before->count; i++) {
        ev.old = &f->before->items[i];
        mk_fire_roster_changed(f->roster->changed, &ev);
    }
}

static void
on_after(struct mk_sql_result *result, void *arg)
{
    struct farewell *f = arg;
    struct snapshot *after = sql_snapshot(f->roster, f->account, result);

    if (after && after->count == 0 && f->before)
        tell(f);
    if (!after || after->count == 0)
        change_forget(f->roster, f->account, after != NULL);
    snapshot_free(after);
    snapshot_free(f->before);
    mk_jid_unref(&f->account);
    mk_free(f);
}

static void
read_roster(struct farewell *f, mk_sql_fn fn)
{
    mk_sql_exec(f->roster->db, f->roster->sql.load, mk_jid_text(f->account).p, fn, f,
                MK_SQL_V_TEXT(mk_jid_domain(f->account)), MK_SQL_V_TEXT(mk_jid_local(f->account)));
}

/* The transaction was asked for right behind the first reading: this one comes behind it. */
static void
on_before(struct mk_sql_result *result, void *arg)
{
    struct farewell *f = arg;

    f->before = sql_snapshot(f->roster, f->account, result);
    read_roster(f, on_after);
}

void
farewell_on_remove(struct mk_ev_account_remove *ev, void *arg)
{
    struct roster *r = arg;
    struct farewell *f = mk_zalloc(sizeof(*f));
    const char *key;

    f->roster = r;
    f->account = mk_jid_new(ev->user, ev->domain, (struct mk_str){NULL, 0});
    MK_ASSERT(f->account);
    key = mk_jid_text(f->account).p;
    read_roster(f, on_before);
    for (size_t i = 0; i < MK_COUNT(r->sql.wipe); i++) {
        if (ev->batch)
            mk_sql_add(r->db, ev->batch, r->sql.wipe[i], MK_SQL_V_TEXT(ev->domain),
                       MK_SQL_V_TEXT(ev->user));
        else
            mk_sql_exec(r->db, r->sql.wipe[i], key, NULL, NULL, MK_SQL_V_TEXT(ev->domain),
                        MK_SQL_V_TEXT(ev->user));
    }
}
