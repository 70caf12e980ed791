/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* JIDs: what is accepted, what it becomes, and every bound. */
#include "unit.h"

static struct mk_jid *
parse(const char *text)
{
    return mk_jid_parse(mk_str_of(text));
}

static void
becomes(const char *text, const char *canonical)
{
    struct mk_jid *j = parse(text);

    if (!j)
        fail_msg("'%s' was refused", text);
    assert_str_is(mk_jid_text(j), canonical);
    mk_jid_unref(&j);
}

static void
jids_become_their_canonical_form(void **state)
{
    (void)state;
    becomes("alice@example.org/Home", "alice@example.org/Home");
    becomes("ALICE@Example.ORG/Home", "alice@example.org/Home");
    becomes("example.org", "example.org");
    becomes("example.org.", "example.org");
    becomes("example.org/res@with/slash", "example.org/res@with/slash");
    becomes("[::1]/a", "[::1]/a");
    becomes("127.0.0.1", "127.0.0.1");
    becomes("Stra\xc3\x9f" "e@example.org", "strasse@example.org");
    becomes("j\xc3\x96rg@b\xc3\x9c" "cher.example", "j\xc3\xb6rg@b\xc3\xbc" "cher.example");
}

static void
what_is_no_jid_is_refused(void **state)
{
    static const char *const bad[] = {"", "@example.org", "a@", "a@b@c", "a b@c", "a@b c",
                                      "a&b@c", "a@b/", "/res", "a@/r", "a\"b@c", "<a>@b",
                                      "a@exa<mple", "a@.org", "a@b..c", "\xff@b",
                                      "a@b/\xc3\x28", "a@b/\x01", "a:b@c", "a'b@c"};

    (void)state;
    for (size_t i = 0; i < MK_COUNT(bad); i++) {
        struct mk_jid *j = parse(bad[i]);

        if (j)
            fail_msg("'%s' was accepted as '%s'", bad[i], mk_jid_text(j).p);
    }
}

static void
parts_may_have_1023_bytes_and_not_one_more(void **state)
{
    char text[2200];
    struct mk_jid *j;

    (void)state;
    memset(text, 'a', sizeof(text));
    strcpy(text + MK_JID_PART_MAX, "@b/r");
    assert_non_null(j = parse(text));
    mk_jid_unref(&j);
    memset(text, 'a', sizeof(text));
    strcpy(text + MK_JID_PART_MAX + 1, "@b/r");
    assert_null(parse(text));
    memset(text, 'a', sizeof(text));
    memcpy(text, "a@b/", 4);
    text[4 + MK_JID_PART_MAX] = '\0';
    assert_non_null(j = parse(text));
    assert_int_equal(mk_jid_resource(j).len, MK_JID_PART_MAX);
    mk_jid_unref(&j);
    text[4 + MK_JID_PART_MAX] = 'a';
    text[5 + MK_JID_PART_MAX] = '\0';
    assert_null(parse(text));
}

static void
parts_and_comparisons_agree(void **state)
{
    struct mk_jid *full = parse("alice@example.org/home"), *bare = mk_jid_bare_new(full);
    struct mk_jid *other = mk_jid_with_resource(bare, MK_STR("work")), *same = parse("alice@example.org");

    (void)state;
    assert_str_is(mk_jid_local(full), "alice");
    assert_str_is(mk_jid_domain(full), "example.org");
    assert_str_is(mk_jid_resource(full), "home");
    assert_str_is(mk_jid_bare(full), "alice@example.org");
    assert_str_is(mk_jid_resource(bare), "");
    assert_true(mk_jid_is_bare(bare) && !mk_jid_is_bare(full) && !mk_jid_is_domain(bare));
    assert_true(mk_jid_equal(bare, same) && !mk_jid_equal(full, bare) && !mk_jid_equal(full, other));
    assert_true(mk_jid_same_bare(full, other));
    assert_true(mk_jid_hash_bare(full) == mk_jid_hash_bare(same));
    mk_jid_unref(&full);
    mk_jid_unref(&bare);
    mk_jid_unref(&other);
    mk_jid_unref(&same);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jids_become_their_canonical_form),
        cmocka_unit_test(what_is_no_jid_is_refused),
        cmocka_unit_test(parts_may_have_1023_bytes_and_not_one_more),
        cmocka_unit_test(parts_and_comparisons_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
