/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Snapshots of a roster: sorted, independent of what they were made from, with a version of what is seen. */
#include "unit.h"

#include "snapshot.h"

static struct mk_roster_item
item(const char *jid, const char *name)
{
    return (struct mk_roster_item){.size = sizeof(struct mk_roster_item),
                                   .jid = mk_jid_parse(mk_str_of(jid)), .name = name, .request = ""};
}

static void
drop(struct mk_roster_item *i)
{
    struct mk_jid *jid = (struct mk_jid *)i->jid;

    mk_jid_unref(&jid);
}

static void
contacts_are_sorted_found_and_copied(void **fixture)
{
    char name[] = "Bob", group[] = "Work";
    const char *groups[] = {group};
    struct mk_roster_item items[] = {item("c@x", ""), item("a@x", ""), item("b@x", name)};
    struct snapshot *s;

    (void)fixture;
    items[2].groups = groups;
    items[2].group_count = 1;
    s = snapshot_new(items, 3);
    name[0] = group[0] = '-';
    assert_int_equal(s->count, 3);
    assert_string_equal(mk_jid_text(s->items[0].jid).p, "a@x");
    assert_string_equal(snapshot_find(s, items[2].jid)->name, "Bob");
    assert_string_equal(snapshot_find(s, items[2].jid)->groups[0], "Work");
    for (size_t i = 0; i < 3; i++)
        drop(&items[i]);
    snapshot_free(s);
}

static void
a_change_makes_a_new_one_and_leaves_the_old(void **fixture)
{
    struct mk_roster_item a = item("a@x", "A"), b = item("b@x", "B"), other = item("a@x", "Z");
    struct snapshot *none = snapshot_new(NULL, 0), *one = snapshot_with(none, &a);
    struct snapshot *two = snapshot_with(one, &b), *changed = snapshot_with(two, &other);
    struct snapshot *left = snapshot_without(changed, a.jid);

    (void)fixture;
    assert_int_equal(none->count, 0);
    assert_int_equal(two->count, 2);
    assert_int_equal(changed->count, 2);
    assert_string_equal(snapshot_find(two, a.jid)->name, "A");
    assert_string_equal(snapshot_find(changed, a.jid)->name, "Z");
    assert_int_equal(left->count, 1);
    assert_null(snapshot_find(left, a.jid));
    snapshot_free(none), snapshot_free(one), snapshot_free(two);
    snapshot_free(changed), snapshot_free(left);
    drop(&a), drop(&b), drop(&other);
}

static void
the_version_changes_with_what_a_client_sees_and_with_nothing_else(void **fixture)
{
    struct mk_roster_item a = item("a@x", "A"), hidden = item("h@x", "");
    struct snapshot *one = snapshot_new(&a, 1), *with, *renamed, *asked;

    (void)fixture;
    hidden.flags = MK_ROSTER_HIDDEN | MK_ROSTER_PENDING_IN;
    with = snapshot_with(one, &hidden);
    assert_string_equal(one->version, with->version);
    a.request = "hello";
    asked = snapshot_with(one, &a);
    assert_string_equal(one->version, asked->version);
    a.name = "B";
    renamed = snapshot_with(one, &a);
    assert_string_not_equal(one->version, renamed->version);
    snapshot_free(one), snapshot_free(with), snapshot_free(renamed), snapshot_free(asked);
    drop(&a), drop(&hidden);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contacts_are_sorted_found_and_copied),
        cmocka_unit_test(a_change_makes_a_new_one_and_leaves_the_old),
        cmocka_unit_test(the_version_changes_with_what_a_client_sees_and_with_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
