# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Rosters (RFC 6121 §2): what clients may put there, who is told, what is stored."""
import re

import pytest

USERS = "alice bob carol dave erin frank grace heidi ivan judy".split()
CONFIG = f"""
[meerkat]
workers = 2
state_dir = {{dir}}/state
[module:c2s]
listen = 127.0.0.1:0
[module:auth_memory]
accounts = {", ".join(u + ":secret" for u in USERS)}
[module:sasl]
[module:rdbms]
[module:roster]
max_items = 3
max_groups = 2
max_name = 20
[module:presence]
"""
NS = "jabber:iq:roster"


def query(inner="", ver=None):
    return f"<query xmlns='{NS}'{'' if ver is None else f' ver={ver!r}'}>{inner}</query>"


def roster(client, ver=None):
    return client.iq("get", query(ver=ver))


def put(client, jid, more="", groups=()):
    inner = "".join(f"<group>{g}</group>" for g in groups)
    return client.iq("set", query(f"<item jid='{jid}' {more}>{inner}</item>"))


def send_put(client, jid, more=""):
    """Asks for the change; what comes is for the test to read, the push first."""
    client.send(f"<iq type='set' id='put'>{query(f'<item jid={jid!r} {more}/>')}</iq>")


def push(client):
    return client.stanza("^<iq [^>]*type='set'")


def refused(answer, condition):
    assert "type='error'" in answer and f"<{condition} " in answer, answer


def test_a_new_account_has_an_empty_roster(login):
    assert re.search(f"<query xmlns='{NS}'/>|<query xmlns='{NS}'></query>", roster(login("alice")))


def test_a_contact_is_stored_with_name_and_groups(node, login):
    alice = login("alice")
    assert "type='result'" in put(alice, "Friend@Example.org/x", "name='My &lt;friend'", ["A", "B"])
    text = roster(alice)
    assert "jid='friend@example.org'" in text and "name='My &lt;friend'" in text
    assert "subscription='none'" in text
    assert "<group>A</group><group>B</group>" in text
    alice.drop()
    # A new session reads the database: nobody else has the roster in memory.
    assert "name='My &lt;friend'" in roster(login("alice", resource="other"))


def test_all_clients_that_asked_for_the_roster_get_a_push_with_the_version(login):
    one, two, three = (login("bob", resource=r) for r in "abc")
    roster(one), roster(two)
    send_put(one, "c@example.org")
    for client in (one, two):
        text = push(client)
        assert "jid='c@example.org'" in text and f"to='{client.jid}'" in text
        version = re.search("ver='([^']+)'", text).group(1)
    three.nothing()
    assert "<query" not in roster(two, version)
    assert "jid='c@example.org'" in roster(two, "old")


def test_a_removed_contact_is_gone_and_pushed(login):
    carol = login("carol")
    put(carol, "x@example.org", groups=["G"])
    roster(carol)
    assert "type='result'" in put(carol, "x@example.org", "subscription='remove'")
    assert "<item" not in roster(carol)


def test_removing_pushes_remove(login):
    carol = login("carol")
    put(carol, "y@example.org")
    roster(carol)
    send_put(carol, "y@example.org", "subscription='remove'")
    assert "subscription='remove'" in push(carol)
    assert "type='result'" in carol.stanza("id='put'")


def test_removing_who_is_not_there_is_item_not_found(login):
    refused(put(login("dave"), "n@example.org", "subscription='remove'"), "item-not-found")


def test_bad_items_are_refused(login):
    dave = login("dave")
    refused(dave.iq("set", query()), "bad-request")
    refused(dave.iq("set", query("<item/>")), "bad-request")
    refused(dave.iq("set", query("<item jid='a@b'/><item jid='c@d'/>")), "bad-request")
    refused(put(dave, "@@"), "jid-malformed")
    refused(put(dave, dave.bare), "not-allowed")
    refused(put(dave, "a@b", groups=[""]), "not-acceptable")
    refused(put(dave, "a@b", groups=["x", "x"]), "not-acceptable")
    assert "<item" not in roster(dave)


def test_limits_hold_at_their_edge(login):
    erin = login("erin")
    refused(put(erin, "a@b", groups=["1", "2", "3"]), "not-acceptable")
    refused(put(erin, "a@b", f"name='{'n' * 21}'"), "not-acceptable")
    assert "result" in put(erin, "a@b", f"name='{'n' * 20}'", ["1", "2"])
    assert "result" in put(erin, "b@b") and "result" in put(erin, "c@b")
    refused(put(erin, "d@b"), "resource-constraint")
    assert "result" in put(erin, "c@b", "name='still'")


def test_nobody_reads_or_changes_the_roster_of_another(login):
    frank = login("frank")
    refused(frank.iq("get", query(), to="alice@localhost"), "forbidden")
    refused(frank.iq("set", query("<item jid='a@b'/>"), to="alice@localhost"), "forbidden")


def test_the_tables_are_those_of_mongooseim(node, login):
    grace = login("grace")
    put(grace, "friend@example.org", "name='F'", ["G"])
    db = node.db()
    where = "WHERE server = 'localhost' AND username = 'grace'"
    assert db.execute("SELECT jid, nick, subscription, ask, askmessage FROM rosterusers " + where
                      ).fetchall() == [("friend@example.org", "F", "N", "N", "")]
    assert db.execute("SELECT jid, grp FROM rostergroups " + where
                      ).fetchall() == [("friend@example.org", "G")]


def test_streams_offer_versions_and_pre_approval(login):
    features = login("heidi").features
    assert "urn:xmpp:features:rosterver" in features
    assert "urn:xmpp:features:pre-approval" in features


def test_rows_of_mongooseim_are_read(start_node):
    node = start_node(CONFIG)
    node.client("ivan").drop()
    db = node.db()
    rows = [("both@b", "", "B", "N", ""), ("out@b", "", "N", "O", ""), ("sub@b", "", "F", "S", ""),
            ("in@b", "", "N", "I", "let me in"), ("to@b", "", "T", "I", "")]
    for row in rows:
        db.execute("INSERT INTO rosterusers (server, username, jid, nick, subscription, ask, askmessage) "
                   "VALUES ('localhost', 'judy', ?, ?, ?, ?, ?)", row)
    judy = node.client("judy")
    text = roster(judy)
    for jid, sub, ask in (("both@b", "both", ""), ("out@b", "none", "ask='subscribe' "),
                          ("sub@b", "from", "ask='subscribe' "), ("to@b", "to", "")):
        assert f"<item {ask}jid='{jid}' subscription='{sub}'/>" in text
    assert "in@b" not in text
    judy.presence()
    text = judy.sync()
    assert "from='in@b'" in text and "<status>let me in</status>" in text
    judy.drop()
