# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Blocking command (XEP-0191)."""
import re

import pytest

from support import wait_for

CONFIG = """
[meerkat]
control = {dir}/control.sock
[c2s]
listen = 127.0.0.1:0
[sasl]
[rdbms]
[rdbms_sqlite]
busy_timeout = 300ms
[auth_rdbms]
[register]
[roster]
[presence]
[offline]
[disco]
[blocking]
max_items = 5
"""
NS = "urn:xmpp:blocking"
LIST = f"<blocklist xmlns='{NS}'/>"
USERS = ("alice", "bob", "carol", "dave")


@pytest.fixture(autouse=True, scope="module")
def accounts(node):
    create(node)


def create(node):
    with node.db() as db:
        for user in USERS:
            db.execute("INSERT INTO users (server, username, password) VALUES ('localhost', ?, 'secret')", (user,))


@pytest.fixture
def alice(login):
    client = login("alice")
    change(client, "unblock")
    yield client
    change(client, "unblock")


@pytest.fixture
def bob(login):
    return login("bob")


def items(*jids):
    return "".join(f"<item jid='{jid}'/>" for jid in jids)


def change(client, what, *jids):
    client.serial += 1
    client.send(f"<iq type='set' id='change{client.serial}'><{what} xmlns='{NS}'>{items(*jids)}</{what}></iq>")
    return client.stanza(f"^<iq[^>]*id='change{client.serial}'")


def block(client, *jids):
    assert "type='result'" in change(client, "block", *jids)


def unblock(client, *jids):
    assert "type='result'" in change(client, "unblock", *jids)


def listed(client):
    return re.findall("<item jid='([^']*)'/>", client.iq("get", LIST))


def online(client):
    client.iq("get", "<query xmlns='jabber:iq:roster'/>")
    client.presence()
    client.sync()
    return client


def friends(a, b):
    """Both see each other's presence."""
    for x, y in ((a, b), (b, a)):
        bare = y.jid.split("/")[0]
        x.presence(type_="subscribe", to=bare)
        y.stanza("^<presence[^>]*type='subscribe'")
        y.presence(type_="subscribed", to=x.jid.split("/")[0])
        x.stanza("^<presence[^>]*type='subscribed'")
    a.sync(), b.sync()


def test_the_list_is_what_was_blocked_and_not_unblocked(alice):
    assert listed(alice) == []
    block(alice, "Bob@LocalHost", "far.example")
    block(alice, "x@far.example/y", "far.example")
    assert listed(alice) == ["bob@localhost", "far.example", "x@far.example/y"]
    unblock(alice, "far.example", "never@blocked")
    assert listed(alice) == ["bob@localhost", "x@far.example/y"]
    unblock(alice)
    assert listed(alice) == []


def test_resources_that_asked_for_the_list_are_told_of_changes(alice, login):
    other, third = login("alice", resource="other"), login("alice", resource="third")
    listed(other), listed(alice)
    block(alice, "bob@localhost", "carol@localhost")
    push = other.stanza("^<iq[^>]*type='set'")
    assert f"<block xmlns='{NS}'>{items('bob@localhost', 'carol@localhost')}</block>" in push
    assert "from='alice@localhost'" in push and "to='alice@localhost/other'" in push
    assert "<block xmlns" in alice.stanza("^<iq[^>]*type='set'")
    unblock(alice)
    assert f"<unblock xmlns='{NS}'/>" in other.stanza("^<iq[^>]*type='set'")
    third.nothing("urn:xmpp:blocking")


@pytest.mark.parametrize("request_, error", [
    (f"<block xmlns='{NS}'/>", "bad-request"),
    (f"<block xmlns='{NS}'><item/></block>", "bad-request"),
    (f"<block xmlns='{NS}'><item jid='@'/></block>", "jid-malformed"),
    (f"<unblock xmlns='{NS}'><item jid='a@'/></unblock>", "jid-malformed")])
def test_bad_requests_are_refused_and_change_nothing(alice, request_, error):
    answer = alice.iq("set", request_)
    assert "type='error'" in answer and f"<{error}" in answer
    assert listed(alice) == []


def test_another_accounts_list_is_nobodys_business(alice):
    assert "<forbidden" in alice.iq("get", LIST, to="bob@localhost")
    assert "<forbidden" in alice.iq("set", f"<block xmlns='{NS}'>{items('x@y')}</block>", to="bob@localhost")


def test_the_list_has_a_limit_and_a_request_is_all_or_nothing(alice):
    block(alice, *(f"u{i}@far.example" for i in range(4)))
    assert "<policy-violation" in change(alice, "block", "u4@far.example", "u5@far.example")
    assert len(listed(alice)) == 4
    block(alice, "u4@far.example", "u0@far.example")
    assert len(listed(alice)) == 5
    assert "<policy-violation" in change(alice, "block", "u5@far.example")
    block(alice, "u1@far.example")


@pytest.mark.parametrize("item", ["bob@localhost", "bob@localhost/test", "localhost/test"])
def test_nothing_comes_from_who_is_blocked(alice, bob, item):
    online(alice), online(bob)
    block(alice, item)
    bob.message(alice.jid, "hear me")
    error = bob.stanza("^<message")
    assert "type='error'" in error and "<service-unavailable" in error
    assert "<service-unavailable" in bob.iq("get", "<ping xmlns='urn:xmpp:ping'/>", to=alice.jid)
    bob.presence(to=alice.jid)
    bob.send(f"<message type='error' to='{alice.jid}'><body>hear me</body></message>")
    bob.nothing("<presence|<message")
    alice.nothing("hear me|bob@")
    unblock(alice)
    bob.message(alice.jid, "again")
    assert "<body>again</body>" in alice.stanza("^<message")


def test_a_subscription_request_of_who_is_blocked_is_not_seen(alice, bob):
    online(alice), online(bob)
    block(alice, "bob@localhost")
    bob.presence(type_="subscribe", to="alice@localhost")
    bob.stanza("ask='subscribe'")
    unblock(alice)
    bob.message(alice.jid, "later than the request")
    assert "<body>later" in alice.stanza("^<message|^<presence")


def test_a_subscription_request_has_no_resource_that_could_be_blocked(alice, bob):
    """RFC 6121 3.1.2: the server stamps the request with the bare JID."""
    online(alice), online(bob)
    block(alice, "bob@localhost/test")
    bob.presence(type_="subscribe", to="alice@localhost")
    assert "type='subscribe'" in alice.stanza("^<presence")


def test_another_resource_of_a_blocked_full_jid_is_heard(alice, login):
    online(alice)
    block(alice, "bob@localhost/bad")
    good, bad = login("bob", resource="good"), login("bob", resource="bad")
    bad.message("alice@localhost", "bad")
    assert "type='error'" in bad.stanza("^<message")
    good.message("alice@localhost", "good")
    assert "<body>good</body>" in alice.stanza("^<message")


def test_nothing_goes_to_who_is_blocked(alice, bob):
    online(alice), online(bob)
    block(alice, "bob@localhost")
    for send in (lambda: alice.message(bob.jid, "out"), lambda: alice.presence(to=bob.jid),
                 lambda: alice.send(f"<iq type='get' id='q' to='{bob.jid}'><q xmlns='x'/></iq>"),
                 lambda: alice.presence(type_="subscribe", to="bob@localhost")):
        send()
        error = alice.stanza("type='error'")
        assert "<error type='cancel'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>" \
            f"<blocked xmlns='{NS}:errors'/></error>" in error
        assert "from='bob@localhost" in error and f"to='{alice.jid}'" in error
    bob.nothing("alice@")


def test_oneself_and_the_server_cannot_be_blocked_out(alice, login):
    online(alice)
    other = online(login("alice", resource="other"))
    alice.sync()
    block(alice, "alice@localhost", "localhost")
    other.message(alice.jid, "me")
    assert "<body>me</body>" in alice.stanza("^<message")
    assert "type='result'" in alice.iq("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>",
                                       to="localhost")


def test_a_blocked_friend_sees_the_user_go_and_come_back(alice, login):
    carol = login("carol")
    online(alice), online(carol)
    friends(alice, carol)
    block(alice, "carol@localhost")
    assert re.search("from='alice@localhost/test'", carol.stanza("^<presence[^>]*type='unavailable'"))
    alice.presence("<show>dnd</show>")
    alice.sync()
    carol.presence("<show>away</show>")
    carol.nothing("<presence[^>]*from='alice")
    alice.nothing("carol@")
    unblock(alice, "carol@localhost")
    assert "<show>dnd</show>" in carol.stanza("^<presence[^>]*from='alice@localhost/test'")


def test_a_blocked_friend_is_not_told_when_the_user_comes_and_goes(alice, login):
    dave = login("dave")
    online(alice), online(dave)
    friends(alice, dave)
    block(alice, "dave@localhost")
    dave.stanza("^<presence[^>]*type='unavailable'")
    second = online(login("alice", resource="second"))
    second.presence(type_="unavailable")
    second.sync()
    dave.nothing("<presence")
    dave.presence(type_="probe", to="alice@localhost")
    dave.nothing("<presence[^>]*from='alice")


def test_an_offline_users_list_counts_and_nothing_is_stored(node, login):
    carol = login("carol", resource="once")
    unblock(carol)
    block(carol, "bob@localhost")
    carol.close()
    bob = login("bob")
    bob.message("carol@localhost", "later")
    assert "<service-unavailable" in bob.stanza("^<message[^>]*type='error'")
    again = login("carol", resource="once")
    online(again).nothing("later")
    unblock(again)


def test_lists_survive_a_restart(start_node):
    node = start_node(CONFIG)
    create(node)
    with node.client("alice") as alice:
        block(alice, "bob@localhost")
    node.stop()
    node.start()
    with node.client("alice") as alice, node.client("bob") as bob:
        online(alice)
        bob.message(alice.jid, "x")
        assert "<service-unavailable" in bob.stanza("^<message")
        assert listed(alice) == ["bob@localhost"]


def test_rows_are_mongooseims_and_go_with_the_account(start_node):
    node = start_node(CONFIG)
    create(node)
    db = node.db()
    alice = node.client("alice")
    block(alice, "bob@localhost")
    assert db.execute("SELECT l.name, d.t, d.value, d.action FROM privacy_list l JOIN privacy_list_data d "
                      "ON l.id = d.id").fetchall() == [("blocking", "j", "bob@localhost", "b")]
    assert db.execute("SELECT name FROM privacy_default_list WHERE username = 'alice'").fetchall() == [("blocking",)]
    alice.send("<iq type='set' id='r'><query xmlns='jabber:iq:register'><remove/></query></iq>")
    alice.closed("")
    for table in ("privacy_list", "privacy_list_data", "privacy_default_list"):
        wait_for(lambda: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 0, f"no row in {table}")
    db.close()


def test_a_database_that_does_not_answer_is_a_temporary_error(node, alice):
    listed(alice)
    db = node.db()
    db.lock("privacy_list_data")
    answer = change(alice, "block", "bob@localhost")
    assert re.search("<error type='wait'><resource-constraint", answer), answer
    db.unlock()
    db.close()
    assert listed(alice) == []


def test_the_feature_is_announced(alice):
    info = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
    assert f"<feature var='{NS}'/>" in alice.iq("get", info, to="localhost")
    assert f"<feature var='{NS}'/>" in alice.iq("get", info)


def test_what_was_kept_back_is_counted(node, alice, bob):
    def count():
        return float(re.search(r'blocking_stanzas_total\{direction="in"\} (\d+)', node.control("metrics")).group(1))
    online(alice)
    block(alice, "bob@localhost")
    before = count()
    bob.message(alice.jid, "x")
    bob.stanza("^<message")
    assert count() == before + 1
