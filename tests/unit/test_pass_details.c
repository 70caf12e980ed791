/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* users.pass_details: both forms of MongooseIM, round trips, damaged rows. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pass_details.h"

/* Keys of "pencil" from RFC 5802 §5 and RFC 7677 §3, worked out from the examples there. */
#define SHA1_ENTRY \
    "===SHA1===QSXCR+Q6sek8bf92|6dlGYMOdZcOPutkcNY8U2g7vK9Y=|D+CSWLOshSulAsxiupA+qs2/fTE="
#define SHA256_ENTRY                                                                   \
    "==SHA256==W22ZaJ0SNY7soEsUEjb6gQ==|WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=|" \
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static int
parse(const char *text, struct mk_credentials *out)
{
    return pass_details_parse(mk_str_of(text), out);
}

/* Do the keys belong to this password? */
static void
assert_password(const struct mk_scram_key *key, const char *password)
{
    struct mk_scram_key mine = *key;

    memset(mine.stored_key, 0, sizeof(mine.stored_key));
    memset(mine.server_key, 0, sizeof(mine.server_key));
    mk_scram_derive(&mine, mk_str_of(password));
    assert_memory_equal(mine.stored_key, key->stored_key, mk_digest_size(key->alg));
    assert_memory_equal(mine.server_key, key->server_key, mk_digest_size(key->alg));
}

static void
test_multi(void **state)
{
    static const char text[] = "==MULTI_SCRAM==,4096," SHA1_ENTRY "," SHA256_ENTRY;
    struct mk_credentials cred;
    struct mk_buf out = {0};

    (void)state;
    assert_int_equal(parse(text, &cred), 0);
    assert_int_equal(cred.count, 2);
    assert_int_equal(cred.keys[0].alg, MK_SHA1);
    assert_int_equal(cred.keys[1].alg, MK_SHA256);
    assert_int_equal(cred.keys[1].iterations, 4096);
    assert_int_equal(cred.keys[1].salt_len, 16);
    assert_password(&cred.keys[0], "pencil");
    assert_password(&cred.keys[1], "pencil");
    pass_details_print(&out, &cred);
    assert_string_equal(mk_buf_cstr(&out), text);
    mk_buf_release(&out);
}

static void
test_single(void **state)
{
    struct mk_credentials cred;

    (void)state;
    assert_int_equal(parse("==SCRAM==,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=,"
                           "QSXCR+Q6sek8bf92,4096",
                           &cred),
                     0);
    assert_int_equal(cred.count, 1);
    assert_int_equal(cred.keys[0].alg, MK_SHA1);
    assert_password(&cred.keys[0], "pencil");
}

static void
test_every_hash(void **state)
{
    struct mk_credentials cred = {0}, back;
    struct mk_buf out = {0};

    (void)state;
    for (int alg = 0; alg < MK_HASH_COUNT; alg++) {
        struct mk_scram_key *key = &cred.keys[cred.count++];

        key->alg = (enum mk_hash_alg)alg;
        key->iterations = 64;
        key->salt_len = 16;
        mk_random(key->salt, 16);
        mk_scram_derive(key, MK_STR("p\xc3\xa4ss"));
    }
    pass_details_print(&out, &cred);
    assert_int_equal(pass_details_parse(mk_buf_str(&out), &back), 0);
    assert_int_equal(back.count, cred.count);
    assert_memory_equal(&back, &cred, sizeof(cred));
    mk_buf_release(&out);
}

static void
test_damaged(void **state)
{
    static const char *const bad[] = {
        "",
        "pencil",
        "==MULTI_SCRAM==",
        "==MULTI_SCRAM==,",
        "==MULTI_SCRAM==,4096",
        "==MULTI_SCRAM==,4096,",
        "==MULTI_SCRAM==,0," SHA1_ENTRY,
        "==MULTI_SCRAM==,-1," SHA1_ENTRY,
        "==MULTI_SCRAM==,x," SHA1_ENTRY,
        "==MULTI_SCRAM==,99999999," SHA1_ENTRY,
        "==MULTI_SCRAM==,4096,,",
        "==MULTI_SCRAM==,4096," SHA1_ENTRY "," SHA1_ENTRY,
        "==MULTI_SCRAM==,4096," SHA1_ENTRY ",x",
        "==MULTI_SCRAM==,4096,==SHA999==QSXCR+Q6sek8bf92|AAAA|AAAA",
        "==MULTI_SCRAM==,4096,===SHA1===QSXCR+Q6sek8bf92|AAAA|AAAA",
        "==MULTI_SCRAM==,4096,===SHA1===|6dlGYMOdZcOPutkcNY8U2g7vK9Y=|D+CSWLOshSulAsxiupA+qs2/fTE=",
        "==MULTI_SCRAM==,4096,===SHA1===QSXCR+Q6sek8bf92|6dlGYMOdZcOPutkcNY8U2g7vK9Y=",
        "==MULTI_SCRAM==,4096," SHA1_ENTRY "|AAAA",
        "==SCRAM==,",
        "==SCRAM==,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=,QSXCR+Q6sek8bf92",
        "==SCRAM==,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=,QSXCR+Q6sek8bf92,",
    };
    struct mk_credentials cred;

    (void)state;
    for (size_t i = 0; i < MK_COUNT(bad); i++) {
        if (parse(bad[i], &cred) == 0)
            fail_msg("accepted '%s'", bad[i]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_multi),
        cmocka_unit_test(test_single),
        cmocka_unit_test(test_every_hash),
        cmocka_unit_test(test_damaged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
