# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Category session of the GraphQL API on one node; test_api_cluster.py has the rest."""
import re

import pytest

import api
import support
from fields import Enum, Fields

HOSTS = "localhost, other.example, empty.example"
CONFIG = """
[c2s]
listen = 127.0.0.1:0
[sasl]
[rdbms]
[auth_memory]
accounts = alice:secret, bob:secret, carol:secret, dave:secret, erin:secret
[roster]
[presence]
[sm]
[http]
listen = 127.0.0.1:0
[graphql]
user_listen = 127.0.0.1:0
[admin]
max_items = 10
"""
SESSION = "user connection ip port priority node uptime"
KICKED = "jid kicked code message"


@pytest.fixture
def ask(node):
    return Fields(api.admin(node))


@pytest.fixture(autouse=True)
def nobody_is_left(node, ask):
    yield
    support.wait_for(lambda: ask.query("session", "countSessions") == 0, "all sessions to end")


def available(client, inner=""):
    client.presence(inner)
    client.stanza(rf"^<presence[^>]*from='{client.jid}'")
    return client


# -- lists

def test_a_session_is_described(ask, node, login):
    alice = available(login("alice", resource="phone"), "<priority>5</priority>")
    (session,) = ask.query("session", "listSessions", SESSION)
    assert session.pop("uptime") in range(60)
    assert session == {"user": "alice@localhost/phone", "connection": "c2s", "ip": "127.0.0.1", "priority": 5,
                       "port": alice.socket.getsockname()[1], "node": node.control("status").split("node\t")[1].split()[0]}


def test_sessions_of_a_domain_are_listed_and_counted(ask, login):
    login("alice", resource="b"), login("alice", resource="a"), login("bob", host="other.example")
    def listed(**more):
        return [s["user"] for s in ask.query("session", "listSessions", "user", **more)]
    assert listed(domain="localhost") == ["alice@localhost/a", "alice@localhost/b"]
    assert listed(domain="other.example") == ["bob@other.example/test"]
    assert listed(domain="empty.example") == []
    assert listed() == ["alice@localhost/a", "alice@localhost/b", "bob@other.example/test"]
    assert listed(match="b@other") == ["bob@other.example/test"]
    count = lambda **more: ask.query("session", "countSessions", **more)
    assert (count(), count(domain="localhost"), count(domain="empty.example")) == (3, 2, 0)
    for name, selection in (("listSessions", "user"), ("countSessions", "")):
        assert ask.fails("session", name, selection, kind="query", domain="nowhere.example") == "domain_not_found"


def test_long_lists_come_in_parts(ask, login):
    jids = [login("alice", resource=f"r{i:02}").jid for i in range(12)]
    def listed(**more):
        return [s["user"] for s in ask.query("session", "listSessions", "user", **more)]
    assert listed(limit=10) == jids[:10]
    assert listed(limit=10, index=10) == jids[10:]
    assert listed(limit=3, index=4) == jids[4:7]
    assert listed(limit=3, index=12) == []
    for more in ({}, {"limit": 11}, {"limit": 1, "index": 101}):
        assert ask.fails("session", "listSessions", "user", kind="query", **more) == "too_many_items"


def test_sessions_of_a_user(ask, login):
    login("alice", resource="b"), login("alice", resource="a"), login("bob")
    user = {"user": "alice@localhost"}
    assert [s["user"] for s in ask.query("session", "listUserSessions", SESSION, **user)] == [
        "alice@localhost/a", "alice@localhost/b"]
    assert ask.query("session", "countUserResources", **user) == 2
    assert ask.query("session", "getUserResource", number=2, **user) == "b"
    assert ask.fails("session", "getUserResource", kind="query", number=3, **user) == "wrong_res_number"


def test_sessions_of_a_user_who_is_away_or_unknown(ask):
    assert ask.query("session", "listUserSessions", "user", user="carol@localhost") == []
    assert ask.query("session", "countUserResources", user="carol@localhost") == 0
    assert ask.fails("session", "getUserResource", kind="query", user="carol@localhost", number=1) == "wrong_res_number"
    for jid in ("nobody@localhost", "alice@nowhere.example"):
        for name, more, selection in (("listUserSessions", {}, "user"), ("countUserResources", {}, ""),
                                      ("getUserResource", {"number": 1}, "")):
            assert ask.fails("session", name, selection, kind="query", user=jid, **more) == "user_not_found"


def test_sessions_by_what_they_show(ask, login):
    available(login("alice", resource="a"), "<show>away</show><status>gone &amp; back</status><priority>-3</priority>")
    available(login("alice", resource="b"))
    available(login("bob", host="other.example"), "<show>away</show>")
    login("carol")
    def listed(**more):
        return ask.query("session", "listUsersWithStatus", "user priority text", **more)
    def count(**more):
        return ask.query("session", "countUsersWithStatus", **more)
    assert listed(domain="localhost", status="away") == [
        {"user": "alice@localhost/a", "priority": -3, "text": "gone & back"}]
    assert listed(status="online") == [{"user": "alice@localhost/b", "priority": 0, "text": ""}]
    assert sorted(u["user"] for u in listed(status="away")) == ["alice@localhost/a", "bob@other.example/test"]
    assert (count(status="away"), count(domain="localhost", status="away"), count(status="dnd")) == (2, 1, 0)
    assert ask.fails("session", "countUsersWithStatus", kind="query", domain="nowhere.example",
                     status="away") == "domain_not_found"


# -- ending

def test_a_session_is_kicked_with_a_reason(ask, login):
    phone, desk = login("alice", resource="phone"), login("alice", resource="desk")
    assert ask.mutation("session", "kickUserSession", KICKED, user="alice@localhost/phone", reason="go <away>") == {
        "jid": "alice@localhost/phone", "kicked": True, "code": None, "message": "Session kicked"}
    phone.closed("<stream:error><conflict.*>go &lt;away&gt;<.*</stream:stream>")
    desk.sync()
    assert ask.mutation("session", "kickUserSession", KICKED, user="alice@localhost/phone") == {
        "jid": "alice@localhost/phone", "kicked": False, "code": "no_session", "message": "No active session"}


def test_all_sessions_of_a_user_are_kicked(ask, login):
    clients, bob = [login("alice", resource=r) for r in "ab"], login("bob")
    assert ask.mutation("session", "kickUser", KICKED, user="alice@localhost") == [
        {"jid": f"alice@localhost/{r}", "kicked": True, "code": None, "message": "Session kicked"} for r in "ab"]
    for client in clients:
        client.closed("<conflict")
    bob.sync()
    assert ask.mutation("session", "kickUser", KICKED, user="alice@localhost") == []
    assert ask.fails("session", "kickUser", KICKED, user="nobody@localhost") == "user_not_found"


def test_a_kicked_session_cannot_be_resumed(ask, login, node):
    alice = login("alice")
    alice.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
    id_ = re.search(r"id='([^']*)'", alice.until("<enabled[^>]*/>")).group(1)
    ask.mutation("session", "kickUser", "kicked", user="alice@localhost")
    alice.closed("<conflict")
    with node.client() as again:
        again.authenticate("alice")
        again.send(f"<resume xmlns='urn:xmpp:sm:3' previd='{id_}' h='0'/>")
        assert "item-not-found" in again.until("<failed.*?</failed>|<resumed[^>]*/>")


# -- presence

def test_presence_is_set_as_if_the_client_had_sent_it(ask, login):
    alice, bob = available(login("alice")), available(login("bob"))
    alice.send("<presence type='subscribe' to='bob@localhost'/>")
    bob.stanza("type='subscribe'")
    bob.send("<presence type='subscribed' to='alice@localhost'/>")
    alice.stanza(f"^<presence[^>]*from='{bob.jid}'")
    def set_(**more):
        return ask.mutation("session", "setPresence", "jid message", user=bob.jid, **more)
    assert set_(type=Enum("AVAILABLE"), show=Enum("DND"), status="no <time>", priority=7) == {
        "jid": bob.jid, "message": "Presence set successfully"}
    seen = alice.stanza(f"^<presence[^>]*from='{bob.jid}'.*dnd")
    for part in ("<show>dnd</show>", "<status>no &lt;time&gt;</status>", "<priority>7</priority>"):
        assert part in seen
    assert ask.query("session", "listUserSessions", "priority", user=bob.bare) == [{"priority": 7}]
    set_(type=Enum("UNAVAILABLE"), status="bye")
    assert "<status>bye</status>" in alice.stanza(f"^<presence[^>]*from='{bob.jid}'[^>]*type='unavailable'|"
                                                  f"^<presence[^>]*type='unavailable'[^>]*from='{bob.jid}'")


def test_presence_that_cannot_be_set(ask, login):
    alice = login("alice")
    def code(user, type_="AVAILABLE", **more):
        return ask.fails("session", "setPresence", "jid", user=user, type=Enum(type_), **more)
    assert code("alice@localhost") == "empty_resource"
    assert code("alice@localhost/other") == "no_session"
    assert code(alice.jid, "SUBSCRIBE") == "invalid_type"
    assert code(alice.jid, priority=128) == "invalid_priority"


# -- users for themselves

def test_a_user_sees_the_own_sessions(node, login):
    login("alice", resource="b"), login("alice", resource="a"), login("bob")
    mine = Fields(api.user(node, "alice"))
    assert mine.query("session", "listResources") == ["a", "b"]
    assert mine.query("session", "countResources") == 2
    assert [(s["user"], s["ip"]) for s in mine.query("session", "listSessions", SESSION)] == [
        ("alice@localhost/a", "127.0.0.1"), ("alice@localhost/b", "127.0.0.1")]
    nobody = Fields(api.Api(node.port("graphql_user")))
    assert nobody.ask("query", "session", "countResources").status == 401
