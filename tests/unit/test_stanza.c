/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Stanzas that the server makes: each kind and type, answers, changed children, and what the builder refuses. */
#include "config.h"

#include "unit.h"

static struct mk_jid *alice, *bob;

static int
begin(void **state)
{
    (void)state;
    alice = mk_jid_parse(MK_STR("alice@x/a"));
    bob = mk_jid_parse(MK_STR("bob@y"));
    return 0;
}

static int
end(void **state)
{
    (void)state;
    mk_jid_unref(&alice);
    mk_jid_unref(&bob);
    return 0;
}

/* `st` is taken. */
static void
is_written(struct mk_stanza *st, const char *text)
{
    struct mk_buf out = {0};

    assert_non_null(st);
    mk_stanza_write(st, &out);
    assert_string_equal(mk_buf_cstr(&out), text);
    mk_buf_release(&out);
    mk_stanza_unref(&st);
}

static struct mk_stanza *
parse(const char *text)
{
    struct mk_stanza *st = mk_stanza_parse(mk_str_of(text));

    if (!st)
        fail_msg("'%s' is no stanza", text);
    return st;
}

static void
each_kind_and_type_is_written_with_its_word(void **state)
{
    static const struct {
        enum mk_stanza_kind kind;
        enum mk_stanza_type type;
        const char *text;
    } all[] = {
        {MK_MESSAGE, MK_TYPE_NONE, "<message/>"},
        {MK_MESSAGE, MK_TYPE_NORMAL, "<message type='normal'/>"},
        {MK_MESSAGE, MK_TYPE_CHAT, "<message type='chat'/>"},
        {MK_MESSAGE, MK_TYPE_GROUPCHAT, "<message type='groupchat'/>"},
        {MK_MESSAGE, MK_TYPE_HEADLINE, "<message type='headline'/>"},
        {MK_MESSAGE, MK_TYPE_ERROR, "<message type='error'/>"},
        {MK_PRESENCE, MK_TYPE_NONE, "<presence/>"},
        {MK_PRESENCE, MK_TYPE_UNAVAILABLE, "<presence type='unavailable'/>"},
        {MK_PRESENCE, MK_TYPE_SUBSCRIBE, "<presence type='subscribe'/>"},
        {MK_PRESENCE, MK_TYPE_SUBSCRIBED, "<presence type='subscribed'/>"},
        {MK_PRESENCE, MK_TYPE_UNSUBSCRIBE, "<presence type='unsubscribe'/>"},
        {MK_PRESENCE, MK_TYPE_UNSUBSCRIBED, "<presence type='unsubscribed'/>"},
        {MK_PRESENCE, MK_TYPE_PROBE, "<presence type='probe'/>"},
        {MK_IQ, MK_TYPE_GET, "<iq type='get'/>"},
        {MK_IQ, MK_TYPE_SET, "<iq type='set'/>"},
        {MK_IQ, MK_TYPE_RESULT, "<iq type='result'/>"},
    };

    (void)state;
    for (size_t i = 0; i < MK_COUNT(all); i++) {
        struct mk_stanza *st = parse(all[i].text);

        assert_int_equal(mk_stanza_kind(st), all[i].kind);
        assert_int_equal(mk_stanza_type(st), all[i].type);
        mk_stanza_unref(&st);
        is_written(mk_stanza_new(all[i].kind, all[i].type, NULL, NULL, NULL, NULL), all[i].text);
    }
}

static void
a_stanza_is_made_from_its_parts(void **state)
{
    struct mk_xml *x = mk_xml_new(NULL);
    struct mk_stanza *st;
    const char *name, *ns;

    (void)state;
    mk_xml_leaf(x, "body", NULL, MK_STR("1 < 2"));
    mk_xml_open(x, "x", "urn:x");
    mk_xml_attr_jid(x, "jid", bob);
    mk_xml_attr_int(x, "n", -5);
    mk_xml_attr(x, "none", NULL);
    /* What is open is closed. */
    st = mk_stanza_new(MK_MESSAGE, MK_TYPE_CHAT, alice, bob, "i'd", x);
    assert_true(mk_stanza_nth(st, 0, &name, &ns));
    assert_string_equal(name, "body");
    assert_string_equal(ns, MK_NS_CLIENT);
    assert_true(mk_stanza_nth(st, 1, &name, &ns));
    assert_string_equal(ns, "urn:x");
    assert_false(mk_stanza_nth(st, 2, &name, &ns));
    assert_str_is(mk_node_text(mk_stanza_child(st, "body", NULL)), "1 < 2");
    assert_string_equal(mk_stanza_id(st), "i'd");
    is_written(st, "<message from='alice@x/a' to='bob@y' type='chat' id='i&apos;d'><body>1 &lt; 2</body>"
                   "<x xmlns='urn:x' jid='bob@y' n='-5'/></message>");
}

static void
children_are_added_behind_the_others(void **state)
{
    struct mk_stanza *st = parse("<message to='bob@y' xml:lang='de' odd='1'><body>b</body></message>"), *more;
    struct mk_xml *x = mk_xml_new(NULL);

    (void)state;
    mk_xml_leaf(x, "delay", "urn:xmpp:delay", MK_STR(""));
    more = mk_stanza_append(st, x);
    assert_true(mk_stanza_has(more, "body", NULL) && mk_stanza_has(more, "delay", "urn:xmpp:delay"));
    assert_false(mk_stanza_has(st, "delay", NULL));
    assert_true(mk_stanza_size(more) > mk_stanza_size(st));
    mk_stanza_unref(&st);
    is_written(more, "<message to='bob@y' xml:lang='de' odd='1'><body>b</body>"
                     "<delay xmlns='urn:xmpp:delay'/></message>");
}

static void
children_are_taken_out_by_name_namespace_and_by(void **state)
{
    static const char text[] = "<message><id xmlns='urn:i' by='x'/><body>b</body><id xmlns='urn:i' by='y'/>"
                               "<id xmlns='urn:j' by='x'/></message>";
    struct mk_stanza *st = parse(text), *same;

    (void)state;
    is_written(mk_stanza_without(st, "id", "urn:i", "x"),
               "<message><body>b</body><id xmlns='urn:i' by='y'/><id xmlns='urn:j' by='x'/></message>");
    is_written(mk_stanza_without(st, "id", "urn:i", NULL),
               "<message><body>b</body><id xmlns='urn:j' by='x'/></message>");
    is_written(mk_stanza_without(st, "id", NULL, NULL), "<message><body>b</body></message>");
    same = mk_stanza_without(st, "id", "urn:i", "z");
    assert_ptr_equal(same, st);
    mk_stanza_unref(&same);
    same = mk_stanza_without(st, "none", NULL, NULL);
    assert_ptr_equal(same, st);
    mk_stanza_unref(&same);
    is_written(st, text);
}

static void
an_error_goes_back_with_the_type_of_its_condition(void **state)
{
    struct mk_stanza *st = parse("<iq type='get' from='alice@x/a' to='bob@y' id='7'><q xmlns='urn:q'/></iq>");

    (void)state;
    is_written(mk_stanza_error_reply(st, MK_ERR_FORBIDDEN, NULL),
               "<iq from='bob@y' to='alice@x/a' type='error' id='7'><error type='auth'>"
               "<forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>");
    is_written(mk_stanza_error_reply(st, MK_ERR_RESOURCE_CONSTRAINT, "a <b>"),
               "<iq from='bob@y' to='alice@x/a' type='error' id='7'><error type='wait'>"
               "<resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
               "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>a &lt;b&gt;</text></error></iq>");
    is_written(mk_stanza_result(st, NULL), "<iq from='bob@y' to='alice@x/a' type='result' id='7'/>");
    mk_stanza_unref(&st);
}

/* RFC 6120 §8.3.1: no error for an error; and a result is not answered. */
static void
what_must_not_be_answered_gets_no_error(void **state)
{
    static const char *const never[] = {"<message type='error'/>", "<presence type='error'/>", "<iq type='error' id='1'/>",
                                        "<iq type='result' id='1'/>"};

    (void)state;
    for (size_t i = 0; i < MK_COUNT(never); i++) {
        struct mk_stanza *st = parse(never[i]);

        assert_null(mk_stanza_error_reply(st, MK_ERR_CONFLICT, NULL));
        mk_stanza_unref(&st);
    }
}

static void
every_condition_can_be_written_and_read(void **state)
{
    struct mk_stanza *st = parse("<message from='alice@x/a' to='bob@y'/>");

    (void)state;
    for (int e = MK_ERR_NONE + 1; e <= MK_ERR_UNEXPECTED_REQUEST; e++) {
        struct mk_stanza *reply = mk_stanza_error_reply(st, (enum mk_stanza_error)e, NULL);

        assert_int_equal(mk_stanza_get_error(reply), e);
        assert_string_equal(mk_node_attr(mk_stanza_child(reply, "error", NULL), "type"),
                            mk_stanza_error_type((enum mk_stanza_error)e));
        mk_stanza_unref(&reply);
    }
    mk_stanza_unref(&st);
    st = parse("<message type='error'><error><odd xmlns='urn:odd'/></error></message>");
    assert_int_equal(mk_stanza_get_error(st), MK_ERR_UNDEFINED_CONDITION);
    mk_stanza_unref(&st);
}

static void
a_forwarded_stanza_says_its_namespace(void **state)
{
    struct mk_stanza *st = parse("<message from='alice@x/a' type='chat'><body>b</body></message>");
    struct mk_xml *x = mk_xml_new(NULL);

    (void)state;
    mk_xml_open(x, "forwarded", "urn:xmpp:forward:0");
    mk_xml_stanza(x, st);
    mk_xml_close(x);
    assert_str_is(mk_xml_str(x), "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' "
                                 "from='alice@x/a' type='chat'><body>b</body></message></forwarded>");
    mk_xml_free(&x);
    mk_stanza_unref(&st);
}

static void
xml_from_storage_is_taken_whole_or_not_at_all(void **state)
{
    static const char *const bad[] = {"", "<a>", "<a/><b/>", "text", "<a></b>", "<a/></x>", "<!DOCTYPE a><a/>"};
    struct mk_xml *x = mk_xml_new(NULL);

    (void)state;
    mk_xml_open(x, "q", "urn:q");
    for (size_t i = 0; i < MK_COUNT(bad); i++)
        assert_int_equal(mk_xml_parsed(x, mk_str_of(bad[i]), NULL), -1);
    assert_int_equal(mk_xml_parsed(x, MK_STR("<a xmlns='urn:q'><b xmlns='urn:b'>&lt;</b></a>"), NULL), 0);
    assert_str_is(mk_xml_str(x), "<q xmlns='urn:q'><a><b xmlns='urn:b'>&lt;</b></a></q>");
    mk_xml_free(&x);
}

static void
characters_that_xml_has_not_never_come_out(void **state)
{
    struct mk_xml *x = mk_xml_new(NULL);
    struct mk_node *n;
    char all[256];

    (void)state;
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    mk_xml_open(x, "q", NULL);
    mk_xml_attr_str(x, "a", (struct mk_str){all, sizeof(all)});
    mk_xml_text(x, (struct mk_str){all, sizeof(all)});
    n = mk_node_parse(mk_xml_str(x), MK_NS_CLIENT);
    assert_non_null(n);
    assert_non_null(strstr(mk_node_attr(n, "a"), "\t"));
    assert_non_null(strstr(mk_node_attr(n, "a"), "\n"));
    mk_node_free(&n);
    mk_xml_free(&x);
}

static void
what_is_no_stanza_is_not_parsed(void **state)
{
    static const char *const bad[] = {"", "<message", "<message></iq>", "<message/><message/>",
                                      "<message xmlns='urn:x'/>x", "text", "<!--c--><message/>"};

    (void)state;
    for (size_t i = 0; i < MK_COUNT(bad); i++) {
        struct mk_stanza *st = mk_stanza_parse(mk_str_of(bad[i]));

        if (st)
            fail_msg("'%s' was accepted", bad[i]);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_kind_and_type_is_written_with_its_word),
        TEST(a_stanza_is_made_from_its_parts),
        TEST(children_are_added_behind_the_others),
        TEST(children_are_taken_out_by_name_namespace_and_by),
        TEST(an_error_goes_back_with_the_type_of_its_condition),
        TEST(what_must_not_be_answered_gets_no_error),
        TEST(every_condition_can_be_written_and_read),
        TEST(a_forwarded_stanza_says_its_namespace),
        TEST(xml_from_storage_is_taken_whole_or_not_at_all),
        TEST(characters_that_xml_has_not_never_come_out),
        TEST(what_is_no_stanza_is_not_parsed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
