/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* The builder cannot emit ill-formed XML; trees say what was parsed. */
#include "unit.h"

static void
text_and_attributes_are_escaped(void **state)
{
    struct mk_xml *x = mk_xml_new(NULL);

    (void)state;
    mk_xml_open(x, "a", "urn:a");
    mk_xml_attr(x, "q", "<'\"&>\n\x01");
    mk_xml_text(x, MK_STR("a<b>&\x02\xff\xc3\xa9"));
    mk_xml_open(x, "b", NULL);
    mk_xml_close(x);
    mk_xml_leaf(x, "c", "jabber:client", MK_STR("t"));
    assert_str_is(mk_xml_str(x),
                  "<a xmlns='urn:a' q='&lt;&apos;&quot;&amp;&gt;&#10;'>a&lt;b&gt;&amp;\xef\xbf\xbd\xc3\xa9"
                  "<b/><c xmlns='jabber:client'>t</c></a>");
    mk_xml_free(&x);
}

static void
a_tree_survives_being_written_and_read(void **state)
{
    static const char text[] = "<q xmlns='urn:q' xml:lang='de' a='1'>one<i/>two<j xmlns='urn:j' "
                               "xmlns:p='urn:p' p:z='9'><k>3</k></j></q>";
    struct mk_node *n = mk_node_parse(mk_str_of(text), NULL), *again;
    struct mk_xml *x = mk_xml_new(NULL);

    (void)state;
    assert_non_null(n);
    mk_xml_node(x, n);
    again = mk_node_parse(mk_xml_str(x), NULL);
    assert_non_null(again);
    assert_string_equal(mk_node_ns(again), "urn:q");
    assert_string_equal(mk_node_attr(again, "xml:lang"), "de");
    assert_str_is(mk_node_text(again), "onetwo");
    assert_str_is(mk_node_text(mk_node_child(mk_node_child(again, "j", "urn:j"), "k", NULL)), "3");
    assert_null(mk_node_attr(mk_node_child(again, "j", NULL), "z"));
    mk_xml_free(&x);
    mk_node_free(&n);
    mk_node_free(&again);
}

static void
what_is_not_one_element_is_no_tree(void **state)
{
    static const char *const bad[] = {"", "text", "<a>", "<a/><b/>", "<a></b>", "</w><w>", "<a/>text",
                                      "<a", "<!-- c --><a/>", "<a><?pi?></a>", "<!DOCTYPE a><a/>",
                                      "<a>&bad;</a>", "<p:a/>", "<a/></w><x>", "<a b='1' b='2'/>"};

    (void)state;
    for (size_t i = 0; i < MK_COUNT(bad); i++) {
        struct mk_node *n = mk_node_parse(mk_str_of(bad[i]), "urn:x");

        if (n)
            fail_msg("'%s' was accepted", bad[i]);
    }
}

static void
stanzas_keep_their_bytes_and_change_addresses(void **state)
{
    struct mk_stanza *st = mk_stanza_parse(MK_STR("<message to='b@x' type='chat' id='&lt;1' xml:lang='en' "
                                                  "z='y'><body>h&amp;i</body><x xmlns='urn:x'/></message>"));
    struct mk_jid *from = mk_jid_parse(MK_STR("a@x/r'1"));
    struct mk_stanza *moved;
    struct mk_buf out = {0};

    (void)state;
    assert_non_null(st);
    assert_int_equal(mk_stanza_type(st), MK_TYPE_CHAT);
    assert_true(mk_stanza_has(st, "x", "urn:x") && !mk_stanza_has(st, "x", "urn:y"));
    moved = mk_stanza_readdress(st, from, mk_stanza_to(st));
    mk_stanza_unref(&st);
    mk_stanza_write(moved, &out);
    assert_str_is(mk_buf_str(&out), "<message from='a@x/r&apos;1' to='b@x' type='chat' id='&lt;1' "
                                    "xml:lang='en' z='y'><body>h&amp;i</body><x xmlns='urn:x'/></message>");
    assert_str_is(mk_node_text(mk_stanza_child(moved, "body", NULL)), "h&i");
    mk_stanza_unref(&moved);
    mk_jid_unref(&from);
    mk_buf_release(&out);
}

static void
prefixes_on_a_stanza_are_rewritten(void **state)
{
    struct mk_stanza *st = mk_stanza_parse(MK_STR("<message xmlns:p='urn:p'><p:x><p:y/></p:x></message>"));
    struct mk_buf out = {0};

    (void)state;
    assert_non_null(st);
    mk_stanza_write(st, &out);
    assert_str_is(mk_buf_str(&out), "<message><x xmlns='urn:p'><y/></x></message>");
    mk_stanza_unref(&st);
    mk_buf_release(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_attributes_are_escaped),
        cmocka_unit_test(a_tree_survives_being_written_and_read),
        cmocka_unit_test(what_is_not_one_element_is_no_tree),
        cmocka_unit_test(stanzas_keep_their_bytes_and_change_addresses),
        cmocka_unit_test(prefixes_on_a_stanza_are_rewritten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
