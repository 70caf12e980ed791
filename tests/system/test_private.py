# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Private XML storage (XEP-0049)."""
import re

import pytest

HOSTS = "localhost, strict.example"
CONFIG = """
[c2s]
listen = 127.0.0.1:0
[sasl]
[rdbms]
[rdbms_sqlite]
busy_timeout = 300ms
[auth_memory]
accounts = alice:secret, bob:secret, carol:secret
[private]
[private@strict.example]
max_size = 1000
max_elements = 3
reserved = no
"""
NS = "jabber:iq:private"


def query(inner):
    return f"<query xmlns='{NS}'>{inner}</query>"


@pytest.fixture
def alice(login):
    return login("alice")


@pytest.fixture
def carol(login):
    return login("carol", host="strict.example")


def test_what_is_stored_comes_back(alice, login):
    stored = "<storage xmlns='storage:bookmarks'><conference name='Ä &amp; &lt;b&gt;' jid='a@b'/>x</storage>"
    assert "type='result'" in alice.iq("set", query(stored))
    again = login("alice", resource="other")
    answer = again.iq("get", query("<storage xmlns='storage:bookmarks'/>"))
    assert query(stored) in answer


def test_an_element_replaces_the_one_before(alice):
    alice.iq("set", query("<e xmlns='urn:replace'>one</e>"))
    alice.iq("set", query("<e xmlns='urn:replace'>two</e>"))
    answer = alice.iq("get", query("<e xmlns='urn:replace'/>"))
    assert ">two<" in answer and "one" not in answer


def test_what_was_never_stored_is_empty(alice):
    assert query("<e xmlns='urn:never'/>") in alice.iq("get", query("<e xmlns='urn:never'/>"))


def test_prefixes_and_nested_namespaces_survive(alice):
    alice.iq("set", query("<p:e xmlns:p='urn:prefix'><p:f/><g xmlns='urn:g' xml:lang='de'/></p:e>"))
    answer = alice.iq("get", query("<e xmlns='urn:prefix'/>"))
    assert query("<e xmlns='urn:prefix'><f/><g xmlns='urn:g' xml:lang='de'/></e>") in answer


def test_accounts_do_not_see_each_other(alice, login):
    alice.iq("set", query("<e xmlns='urn:mine'>secret</e>"))
    bob = login("bob")
    assert "secret" not in bob.iq("get", query("<e xmlns='urn:mine'/>"))
    for type_ in ("get", "set"):
        answer = bob.iq(type_, query("<e xmlns='urn:mine'/>"), to=alice.bare)
        assert "<forbidden" in answer and "type='error'" in answer


@pytest.mark.parametrize("type_, inner, condition", [
    ("get", "", "bad-request"),
    ("get", "<a xmlns='urn:a'/><b xmlns='urn:b'/>", "bad-request"),
    ("set", "", "not-acceptable"),
    ("set", "<a xmlns='urn:a'/><b xmlns='urn:a'/>", "not-acceptable"),
    ("set", "<a/>", "not-acceptable"),
    ("get", "<a/>", "not-acceptable"),
    ("set", f"<a xmlns='urn:{'x' * 247}'/>", "not-acceptable"),
])
def test_errors(alice, type_, inner, condition):
    answer = alice.iq(type_, query(inner))
    assert f"<{condition}" in answer


def test_the_longest_namespace_is_stored(alice):
    ns = f"urn:{'x' * 246}"
    assert "type='result'" in alice.iq("set", query(f"<a xmlns='{ns}'>long</a>"))
    assert ">long<" in alice.iq("get", query(f"<a xmlns='{ns}'/>"))


def test_reserved_namespaces_where_they_are_refused(alice, carol):
    for ns in ("jabber:x", "http://jabber.org/x", "vcard-temp"):
        assert "<not-acceptable" in carol.iq("set", query(f"<a xmlns='{ns}'/>"))
        assert "type='result'" in alice.iq("set", query(f"<a xmlns='{ns}'/>"))


def test_size_limit(carol):
    frame = "<a xmlns='urn:size'></a>"
    assert "type='result'" in carol.iq("set", query(frame.replace("><", f">{'x' * (1000 - len(frame))}<")))
    answer = carol.iq("set", query(frame.replace("><", f">{'y' * (1001 - len(frame))}<")))
    assert "<policy-violation" in answer
    assert ">xxx" in carol.iq("get", query("<a xmlns='urn:size'/>"))


def test_number_of_elements_limit(node, login):
    user = login("bob", host="strict.example")
    for i in range(3):
        assert "type='result'" in user.iq("set", query(f"<a xmlns='urn:n{i}'/>"))
    assert "<policy-violation" in user.iq("set", query("<a xmlns='urn:n3'/>"))
    assert "type='result'" in user.iq("set", query("<a xmlns='urn:n1'>new</a>"))


def test_the_table_is_mongooseims(node, alice):
    alice.iq("set", query("<e xmlns='urn:table'/>"))
    with node.db() as db:
        row = db.execute("SELECT server, username, data, created_at FROM private_storage "
                         "WHERE namespace = 'urn:table'").fetchone()
        assert row[:3] == ("localhost", "alice", "<e xmlns='urn:table'/>") and row[3]
        db.execute("INSERT INTO private_storage (server, username, namespace, data) VALUES "
                   "('localhost', 'alice', 'urn:foreign', '<e xmlns=\"urn:foreign\"><f a=\"1\"/></e>')")
        db.execute("INSERT INTO private_storage (server, username, namespace, data) VALUES "
                   "('localhost', 'alice', 'urn:broken', '<e')")
    answer = alice.iq("get", query("<e xmlns='urn:foreign'/>"))
    assert query("<e xmlns='urn:foreign'><f a='1'/></e>") in answer
    assert "<internal-server-error" in alice.iq("get", query("<e xmlns='urn:broken'/>"))


def test_a_database_that_does_not_answer_is_a_temporary_error(node, alice):
    db = node.db()
    db.lock("private_storage")
    answer = alice.iq("set", query("<e xmlns='urn:locked'>lost</e>"))
    assert re.search("<error type='wait'><resource-constraint", answer), answer
    db.unlock()
    db.close()
    assert "lost" not in alice.iq("get", query("<e xmlns='urn:locked'/>"))
