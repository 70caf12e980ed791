/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Streams: elements come out whole and at once, however the bytes are cut; hostile XML is refused. */
#include "unit.h"

#include <meerkat/stream.h>

static const char header[] = "<?xml version='1.0'?><stream:stream to='x' version='1.0' xmlns='jabber:client' "
                             "xmlns:stream='http://etherx.jabber.org/streams'>";
static const struct mk_reader_limits limits = {.max_element = 2000, .max_depth = 20, .max_attributes = 10};

struct seen {
    struct mk_reader *r;
    struct mk_buf out;
    unsigned headers, elements, closes;
    const char *error;
    unsigned stop_after;        /* pause behind this element */
    bool restart;
};

static bool
on_open(void *arg, const struct mk_node *node)
{
    struct seen *s = arg;

    s->headers++;
    assert_string_equal(mk_node_name(node), "stream");
    return true;
}

static bool
on_element(void *arg, struct mk_stanza *st)
{
    struct seen *s = arg;

    s->elements++;
    mk_stanza_write(st, &s->out);
    if (s->elements == s->stop_after) {
        if (s->restart)
            mk_reader_restart(s->r, true);
        return false;
    }
    return true;
}

static void
on_close(void *arg)
{
    ((struct seen *)arg)->closes++;
}

static void
on_error(void *arg, const char *condition, const char *text)
{
    (void)text;
    ((struct seen *)arg)->error = condition;
}

static const struct mk_reader_ops ops = {.size = sizeof(ops), .open = on_open, .element = on_element,
                                         .close = on_close, .error = on_error};

static void
begin(struct seen *s)
{
    memset(s, 0, sizeof(*s));
    s->r = mk_reader_new(&ops, &limits, s);
}

static void
feed(struct seen *s, const char *text)
{
    mk_reader_feed(s->r, text, strlen(text));
}

static void
end(struct seen *s)
{
    mk_reader_free(&s->r);
    mk_buf_release(&s->out);
}

static void
an_element_is_there_with_its_last_byte(void **state)
{
    static const char text[] = "<message to='b@x'><body>a &gt; 'b' > \"c</body><x a='>' b=\"'/>\"/>"
                               "<y><![CDATA[</z> ]] > ]]></y></message>";
    struct seen s;

    (void)state;
    begin(&s);
    for (const char *p = header; *p; p++)
        mk_reader_feed(s.r, p, 1);
    assert_int_equal(s.headers, 1);
    for (unsigned round = 1; round <= 3; round++) {
        for (const char *p = text; *p; p++) {
            assert_int_equal(s.elements, round - 1);
            mk_reader_feed(s.r, p, 1);
        }
        assert_int_equal(s.elements, round);
        assert_str_is(mk_buf_str(&s.out), text);
        mk_buf_clear(&s.out);
        feed(&s, " \n ");
        assert_false(mk_reader_inside(s.r));
    }
    feed(&s, "</stream:stream>");
    assert_int_equal(s.closes, 1);
    assert_null(s.error);
    end(&s);
}

static void
many_elements_in_one_piece_and_cut_anywhere(void **state)
{
    struct mk_buf all = {0}, want = {0};
    struct seen s;

    (void)state;
    mk_buf_add_cstr(&all, header);
    for (int i = 0; i < 5; i++) {
        char one[80];

        snprintf(one, sizeof(one), "<iq type='get' id='%d'><q xmlns='urn:%d'/></iq>", i, i);
        mk_buf_add_cstr(&all, one);
        mk_buf_add_cstr(&want, one);
    }
    for (size_t cut = 0; cut <= all.len; cut++) {
        begin(&s);
        mk_reader_feed(s.r, all.data, cut);
        mk_reader_feed(s.r, all.data + cut, all.len - cut);
        assert_null(s.error);
        assert_int_equal(s.elements, 5);
        assert_true(mk_str_eq(mk_buf_str(&s.out), mk_buf_str(&want)));
        end(&s);
    }
    mk_buf_release(&all);
    mk_buf_release(&want);
}

static void
a_pause_keeps_what_follows(void **state)
{
    struct seen s;

    (void)state;
    begin(&s);
    s.stop_after = 2;
    feed(&s, header);
    feed(&s, "<iq id='1'/><iq id='2'/><iq id='3'/><iq id='4");
    assert_int_equal(s.elements, 2);
    assert_true(mk_reader_waiting(s.r) > 0);
    feed(&s, "'/>");
    assert_int_equal(s.elements, 2);
    mk_reader_feed(s.r, NULL, 0);
    assert_int_equal(s.elements, 4);
    assert_str_is(mk_buf_str(&s.out), "<iq id='1'/><iq id='2'/><iq id='3'/><iq id='4'/>");
    assert_null(s.error);
    end(&s);
}

static void
a_restart_takes_a_new_header(void **state)
{
    struct seen s;

    (void)state;
    begin(&s);
    s.stop_after = 1;
    s.restart = true;
    feed(&s, header);
    feed(&s, "<auth xmlns='urn:a'>x</auth>");
    assert_str_is(mk_buf_str(&s.out), "<auth xmlns='urn:a'>x</auth>");
    feed(&s, header);
    feed(&s, "<presence/>");
    assert_int_equal(s.headers, 2);
    assert_int_equal(s.elements, 2);
    assert_null(s.error);
    end(&s);
}

static void
other_prefixes_on_the_header_still_work(void **state)
{
    struct seen s;

    (void)state;
    begin(&s);
    s.stop_after = 1;
    feed(&s, "<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns:c='jabber:client' "
             "xmlns:q='urn:q'>");
    feed(&s, "<c:message to='b@x'><c:body>t</c:body><q:z/></c:message><c:presence/>");
    assert_int_equal(s.elements, 1);
    mk_reader_feed(s.r, NULL, 0);
    feed(&s, "<c:iq type='get'><q:a/></c:iq>");
    assert_null(s.error);
    assert_str_is(mk_buf_str(&s.out), "<message to='b@x'><body>t</body><z xmlns='urn:q'/></message>"
                                      "<presence/><iq type='get'><a xmlns='urn:q'/></iq>");
    feed(&s, "</s:stream>");
    assert_int_equal(s.closes, 1);
    end(&s);
}

static void
hostile_xml_gets_its_stream_error(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {{"<a>&undefined;</a>", "restricted-xml"},
                 {"<!-- comment --> <a/>", "restricted-xml"},
                 {"<a><?pi x?></a>", "restricted-xml"},
                 {"<a></b>", "not-well-formed"},
                 {"<p:a/>", "not-well-formed"},
                 {"<a b='1' b='2'/>", "not-well-formed"},
                 {"<a>\x01</a>", "not-well-formed"},
                 {"<a>\xff</a>", "not-well-formed"},
                 {"<a b='\xf3'>", "not-well-formed"},
                 {"<?pi >", "restricted-xml"},
                 {"<!-- open >", "restricted-xml"},
                 {"<!DOCTYPE a>", "restricted-xml"},
                 {"<?xml version='1.0'?>", "restricted-xml"},
                 {"<![CDATA[ ]]>", "bad-format"},
                 {"<stream:stream to='x'>", "bad-format"},
                 {"text <a/>", "bad-format"},
                 {"<a b='1' c='1' d='1' e='1' f='1' g='1' h='1' i='1' j='1' k='1' l='1'/>",
                  "policy-violation"}};

    (void)state;
    for (size_t i = 0; i < MK_COUNT(cases); i++) {
        struct seen s;

        begin(&s);
        feed(&s, header);
        feed(&s, cases[i].text);
        if (!s.error || strcmp(s.error, cases[i].error) != 0)
            fail_msg("'%s' gave %s, not %s", cases[i].text, s.error, cases[i].error);
        feed(&s, "<more/>");
        assert_int_equal(s.elements, 0);
        end(&s);
    }
}

/* Parsers are shared: one that waits for the end of something must not be given to the next stream. */
static void
what_one_stream_leaves_half_said_is_not_in_the_way_of_another(void **state)
{
    static const char *const halves[] = {"<?pi >", "<!-- open >", "<![CDATA[ >", "<a b='\xf3'>", "<!DOCTYPE x >",
                                         "<a>", "<a>\r", "<a>]", "\r", "<a b='>"};

    (void)state;
    for (size_t i = 0; i < MK_COUNT(halves); i++) {
        struct seen bad, good;

        begin(&bad);
        begin(&good);
        feed(&good, header);
        feed(&bad, header);
        feed(&bad, halves[i]);
        feed(&good, "<message><body>x</body></message>");
        assert_null(good.error);
        assert_str_is(mk_buf_str(&good.out), "<message><body>x</body></message>");
        end(&bad);
        feed(&good, "<presence/>");
        assert_int_equal(good.elements, 2);
        end(&good);
    }
}

static void
limits_hold_at_their_edges(void **state)
{
    struct mk_buf b = {0};
    struct seen s;

    (void)state;
    for (int over = 0; over <= 1; over++) {
        begin(&s);
        feed(&s, header);
        mk_buf_clear(&b);
        mk_buf_add_cstr(&b, "<a>");
        while (b.len < limits.max_element - 4 + (size_t)over)
            mk_buf_add_byte(&b, 'x');
        mk_buf_add_cstr(&b, "</a>");
        mk_reader_feed(s.r, b.data, b.len);
        assert_int_equal(s.elements, !over);
        if (over)
            assert_string_equal(s.error, "policy-violation");
        end(&s);
    }
    for (unsigned over = 0; over <= 1; over++) {
        begin(&s);
        feed(&s, header);
        for (unsigned i = 0; i < limits.max_depth + over; i++)
            feed(&s, "<a>");
        for (unsigned i = 0; i < limits.max_depth + over; i++)
            feed(&s, "</a>");
        assert_int_equal(s.elements, !over);
        end(&s);
    }
    mk_buf_release(&b);
}

static void
a_header_in_another_encoding_is_refused(void **state)
{
    struct seen s;

    (void)state;
    begin(&s);
    feed(&s, "<?xml version='1.0' encoding='ISO-8859-1'?>");
    assert_string_equal(s.error, "unsupported-encoding");
    end(&s);
    begin(&s);
    mk_reader_feed(s.r, "\xfe\xff\0<", 4);
    assert_string_equal(s.error, "unsupported-encoding");
    end(&s);
    begin(&s);
    mk_reader_feed(s.r, "<\0a\0>\0<\0b\0/\0>\0", 14);
    assert_string_equal(s.error, "unsupported-encoding");
    end(&s);
    begin(&s);
    mk_reader_feed(s.r, " \0<\0", 4);
    assert_string_equal(s.error, "unsupported-encoding");
    end(&s);
    begin(&s);
    feed(&s, "GET / HTTP/1.1\r\n\r\n");
    assert_string_equal(s.error, "not-well-formed");
    end(&s);
}

static void
white_space_may_come_before_a_header(void **state)
{
    struct seen s;

    (void)state;
    begin(&s);
    feed(&s, " \r\n");
    feed(&s, "\n");
    feed(&s, " ");
    feed(&s, header);
    assert_int_equal(s.headers, 1);
    s.stop_after = 1;
    s.restart = true;
    feed(&s, "<a/> \n ");
    mk_reader_feed(s.r, NULL, 0);
    feed(&s, header);
    feed(&s, "<b/>");
    assert_null(s.error);
    assert_int_equal(s.headers, 2);
    assert_int_equal(s.elements, 2);
    end(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_one_stream_leaves_half_said_is_not_in_the_way_of_another),
        cmocka_unit_test(white_space_may_come_before_a_header),
        cmocka_unit_test(an_element_is_there_with_its_last_byte),
        cmocka_unit_test(many_elements_in_one_piece_and_cut_anywhere),
        cmocka_unit_test(a_pause_keeps_what_follows),
        cmocka_unit_test(a_restart_takes_a_new_header),
        cmocka_unit_test(other_prefixes_on_the_header_still_work),
        cmocka_unit_test(hostile_xml_gets_its_stream_error),
        cmocka_unit_test(limits_hold_at_their_edges),
        cmocka_unit_test(a_header_in_another_encoding_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
