/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* SCRAM: the examples of RFC 5802 §5 and RFC 7677 §3, a round trip of every hash, malformed
 * messages. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "scram.h"

struct example {
    enum mk_hash_alg alg;
    const char *client_first, *server_nonce, *salt, *server_first, *client_final, *server_final;
};

static const struct example examples[] = {
    {MK_SHA1, "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL", "3rfcNHYJY1ZVvWVs7j", "QSXCR+Q6sek8bf92",
     "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
     "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
     "v=rmF9pqV8S7suAoZWja4dJRkFsKQ="},
    {MK_SHA256, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
     "W22ZaJ0SNY7soEsUEjb6gQ==",
     "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
     "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
     "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
     "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
};

static void
make_key(struct mk_scram_key *key, enum mk_hash_alg alg, struct mk_str salt, const char *password)
{
    memset(key, 0, sizeof(*key));
    key->alg = alg;
    key->iterations = 4096;
    key->salt_len = salt.len;
    memcpy(key->salt, salt.p, salt.len);
    mk_scram_derive(key, mk_str_of(password));
}

static void
auth_message(struct mk_buf *out, const struct scram_first *first, struct mk_str server_first,
             const struct scram_final *final)
{
    mk_buf_add_str(out, first->bare);
    mk_buf_add_byte(out, ',');
    mk_buf_add_str(out, server_first);
    mk_buf_add_byte(out, ',');
    mk_buf_add_str(out, final->without_proof);
}

static void
run_example(const struct example *e)
{
    struct mk_buf salt = {0}, server_first = {0}, message = {0}, answer = {0};
    struct mk_scram_key key, wrong;
    struct scram_first first;
    struct scram_final final;
    unsigned char signature[MK_DIGEST_MAX];

    assert_int_equal(mk_base64_decode(&salt, mk_str_of(e->salt)), 0);
    make_key(&key, e->alg, mk_buf_str(&salt), "pencil");
    make_key(&wrong, e->alg, mk_buf_str(&salt), "pen");
    assert_int_equal(scram_parse_first(mk_str_of(e->client_first), &first), 0);
    assert_true(mk_str_is(first.username, "user"));
    assert_true(mk_str_is(first.gs2_header, "n,,"));
    scram_server_first(&server_first, first.nonce, mk_str_of(e->server_nonce), &key);
    assert_string_equal(mk_buf_cstr(&server_first), e->server_first);
    assert_int_equal(scram_parse_final(mk_str_of(e->client_final), e->alg, &final), 0);
    assert_true(scram_nonce_matches(final.nonce, first.nonce, mk_str_of(e->server_nonce)));
    assert_false(scram_nonce_matches(final.nonce, first.nonce, MK_STR("x")));
    assert_true(scram_binding_matches(final.binding, first.gs2_header, (struct mk_str){0}));
    assert_false(scram_binding_matches(final.binding, MK_STR("y,,"), (struct mk_str){0}));
    assert_false(scram_binding_matches(final.binding, first.gs2_header, MK_STR("data")));
    auth_message(&message, &first, mk_buf_str(&server_first), &final);
    assert_true(scram_verify(&key, mk_buf_str(&message), final.proof, signature));
    scram_server_final(&answer, e->alg, signature);
    assert_string_equal(mk_buf_cstr(&answer), e->server_final);
    assert_false(scram_verify(&wrong, mk_buf_str(&message), final.proof, signature));
    final.proof[0] ^= 1;
    assert_false(scram_verify(&key, mk_buf_str(&message), final.proof, signature));
    mk_buf_release(&salt);
    mk_buf_release(&server_first);
    mk_buf_release(&message);
    mk_buf_release(&answer);
}

static void
test_examples(void **state)
{
    (void)state;
    for (size_t i = 0; i < MK_COUNT(examples); i++)
        run_example(&examples[i]);
}

/* A client's proof made the way RFC 5802 §3 describes, for all hashes. */
static void
client_proof(const struct mk_scram_key *key, const char *password, struct mk_str message,
             unsigned char *proof)
{
    size_t size = mk_digest_size(key->alg);
    unsigned char salted[MK_DIGEST_MAX], client[MK_DIGEST_MAX];

    mk_pbkdf2(key->alg, mk_str_of(password),
              (struct mk_str){(const char *)key->salt, key->salt_len}, key->iterations, salted);
    mk_hmac(key->alg, (struct mk_str){(const char *)salted, size}, MK_STR("Client Key"), client);
    mk_hmac(key->alg, (struct mk_str){(const char *)key->stored_key, size}, message, proof);
    for (size_t i = 0; i < size; i++)
        proof[i] ^= client[i];
}

static void
test_every_hash(void **state)
{
    (void)state;
    for (int alg = 0; alg < MK_HASH_COUNT; alg++) {
        struct mk_scram_key key;
        unsigned char proof[MK_DIGEST_MAX], signature[MK_DIGEST_MAX];

        make_key(&key, (enum mk_hash_alg)alg, MK_STR("sixteen bytes ok"), "secret");
        client_proof(&key, "secret", MK_STR("a,b,c"), proof);
        assert_true(scram_verify(&key, MK_STR("a,b,c"), proof, signature));
        assert_false(scram_verify(&key, MK_STR("a,b,d"), proof, signature));
        client_proof(&key, "Secret", MK_STR("a,b,c"), proof);
        assert_false(scram_verify(&key, MK_STR("a,b,c"), proof, signature));
    }
}

static void
test_first_good(void **state)
{
    struct scram_first f;

    (void)state;
    assert_int_equal(
        scram_parse_first(MK_STR("p=tls-exporter,a=me@host,n=a=2Cb=3D,r=abc,x=1,y=2"), &f), 0);
    assert_int_equal(f.binding, SCRAM_BINDING_USED);
    assert_true(mk_str_is(f.binding_type, "tls-exporter"));
    assert_true(mk_str_is(f.gs2_header, "p=tls-exporter,a=me@host,"));
    assert_true(mk_str_is(f.authzid, "me@host"));
    assert_true(mk_str_is(f.bare, "n=a=2Cb=3D,r=abc,x=1,y=2"));
    assert_true(mk_str_is(f.username, "a=2Cb=3D"));
    assert_true(mk_str_is(f.nonce, "abc"));
    assert_int_equal(scram_parse_first(MK_STR("y,,n=\xc3\xa9,r=abc"), &f), 0);
    assert_int_equal(f.binding, SCRAM_BINDING_UNUSED);
    assert_int_equal(f.authzid.len, 0);
}

static void
test_first_bad(void **state)
{
    static const char *const bad[] = {
        "",
        ",",
        ",,",
        "n",
        "n,",
        "n,,",
        "n,,n=u",
        "n,,n=u,",
        "n,,n=,r=a",
        "n,,r=a,n=u",
        "n,,n=u,r=",
        "n,,n=u,r=a b",
        "n,,n=u,r=\xc3\xa9",
        "n,,m=x,n=u,r=a",
        "n,n=u,r=a",
        "x,,n=u,r=a",
        "nn,,n=u,r=a",
        "p,,n=u,r=a",
        "p=,,n=u,r=a",
        "p=a_b,,n=u,r=a",
        "n,b=x,n=u,r=a",
        "n,a=,n=u,r=a",
        "n,,n=u,r=a,",
        "n,,n=u,r=a,x",
        "n,,n=u,r=a,x=",
        "n,,n=u,r=a,1=x",
        "n,,n=\xff,r=a",
        ",,n=u,r=a",
    };
    struct scram_first f;

    (void)state;
    for (size_t i = 0; i < MK_COUNT(bad); i++) {
        if (scram_parse_first(mk_str_of(bad[i]), &f) == 0)
            fail_msg("accepted '%s'", bad[i]);
    }
    assert_int_equal(scram_parse_first(MK_STR("n,,n=u\0x,r=a"), &f), -1);
}

static void
test_final_bad(void **state)
{
    static const char *const bad[] = {
        "",
        "p=",
        "c=biws",
        "c=biws,r=a",
        "c=biws,r=a,p=",
        "c=biws,r=a,p=AAAA",
        "c=biws,r=a,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts",
        "c=,r=a,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "r=a,c=biws,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "c=biws,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "c=biws,r=a,x,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "c=biws,r=a,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=,x=1",
        "p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=,c=biws,r=a",
    };
    struct scram_final f;

    (void)state;
    for (size_t i = 0; i < MK_COUNT(bad); i++) {
        if (scram_parse_final(mk_str_of(bad[i]), MK_SHA1, &f) == 0)
            fail_msg("accepted '%s'", bad[i]);
    }
    assert_int_equal(
        scram_parse_final(MK_STR("c=biws,r=a,x=1,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="), MK_SHA1, &f), 0);
    assert_int_equal(
        scram_parse_final(MK_STR("c=biws,r=a,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="), MK_SHA256, &f), -1);
}

static void
test_unescape(void **state)
{
    static const char *const bad[] = {"=", "=2", "=2c", "=3d", "=41", "a,b", "=3D="};
    struct mk_buf out = {0};

    (void)state;
    assert_int_equal(scram_unescape(&out, MK_STR("a=2Cb=3D=3Dc")), 0);
    assert_string_equal(mk_buf_cstr(&out), "a,b==c");
    for (size_t i = 0; i < MK_COUNT(bad); i++) {
        mk_buf_clear(&out);
        assert_int_equal(scram_unescape(&out, mk_str_of(bad[i])), -1);
    }
    mk_buf_release(&out);
}

static void
test_channel_data(void **state)
{
    struct mk_buf text = {0};

    (void)state;
    mk_base64_encode(&text, MK_STR("p=tls-exporter,,\x01\x02\x03"));
    assert_true(scram_binding_matches(mk_buf_str(&text), MK_STR("p=tls-exporter,,"),
                                      MK_STR("\x01\x02\x03")));
    assert_false(scram_binding_matches(mk_buf_str(&text), MK_STR("p=tls-exporter,,"),
                                       MK_STR("\x01\x02\x04")));
    mk_buf_release(&text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),     cmocka_unit_test(test_every_hash),
        cmocka_unit_test(test_first_good),   cmocka_unit_test(test_first_bad),
        cmocka_unit_test(test_final_bad),    cmocka_unit_test(test_unescape),
        cmocka_unit_test(test_channel_data),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
