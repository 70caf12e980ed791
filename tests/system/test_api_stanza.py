# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Category stanza of the GraphQL API: what is sent is what clients get, by the rules that hold for clients."""
import json
import re

import pytest

import api
import support
from fields import Enum, Fields
from test_graphql import Events

HOSTS = "localhost, other.example"
CONFIG = """
[c2s]
listen = 127.0.0.1:0
[sasl]
[rdbms]
[auth_memory]
accounts = alice:secret, bob:secret, carol:secret, dave:secret
[roster]
[presence]
[offline]
[carbons]
[blocking]
[http]
listen = 127.0.0.1:0
[graphql]
user_listen = 127.0.0.1:0
[admin]
"""


@pytest.fixture
def ask(node):
    return Fields(api.admin(node))


@pytest.fixture
def as_alice(node):
    return Fields(api.user(node, "alice"))


@pytest.fixture
def available(login):
    def make(name, **more):
        client = login(name, **more)
        client.presence()
        client.stanza(rf"^<presence[^>]*from='{client.jid}'")
        return client
    return make


# -- messages

def test_an_administrator_sends_a_message_for_a_user(ask, available):
    bob = available("bob")
    sent = ask.mutation("stanza", "sendMessage", "id", from_="alice@localhost", to="bob@localhost", body="Hi <you> & me")
    assert re.fullmatch("[0-9a-f]{16}", sent["id"])
    message = bob.stanza("^<message")
    assert "<body>Hi &lt;you&gt; &amp; me</body>" in message
    for part in ("from='alice@localhost'", "type='chat'", f"id='{sent['id']}'"):
        assert part in message


def test_the_sender_may_be_a_resource(ask, available):
    bob = available("bob")
    ask.mutation("stanza", "sendMessage", "id", from_="alice@localhost/app", to=bob.jid, body="x")
    assert "from='alice@localhost/app'" in bob.stanza("^<message")


def test_a_headline_has_a_subject(ask, available):
    bob = available("bob")
    ask.mutation("stanza", "sendMessageHeadLine", "id", from_="alice@localhost", to="bob@localhost", subject="News", body="x")
    message = bob.stanza("^<message")
    assert "type='headline'" in message and "<subject>News</subject>" in message and "<body>x</body>" in message


def test_a_user_sends_a_message(as_alice, available):
    bob = available("bob")
    sent = as_alice.mutation("stanza", "sendMessage", "id", to="bob@localhost", body="Hi")
    assert f"id='{sent['id']}'" in bob.stanza("^<message[^>]*from='alice@localhost'")
    as_alice.mutation("stanza", "sendMessageHeadLine", "id", from_="alice@localhost/web", to="bob@localhost", body="Hi")
    assert "from='alice@localhost/web'" in bob.stanza("^<message")


def test_a_message_may_go_by_get_as_well(node, available):
    bob = available("bob")
    answer = api.user(node, "alice").get('mutation {stanza {sendMessage(to: "bob@localhost", body: "Hi") {id}}}')
    assert answer.data["stanza"]["sendMessage"]["id"] in bob.stanza("^<message.*<body>Hi</body>")


def test_a_user_cannot_send_as_another(as_alice, available):
    bob = available("bob")
    for name in ("sendMessage", "sendMessageHeadLine"):
        assert as_alice.fails("stanza", name, "id", from_="carol@localhost", to="bob@localhost", body="x") == "invalid_sender"
    assert as_alice.fails("stanza", "sendStanza", "id",
                          stanza="<message from='carol@localhost' to='bob@localhost'/>") == "invalid_sender"
    bob.nothing()


def test_who_does_not_exist_cannot_send(ask):
    for jid in ("nobody@localhost", "alice@nowhere.example"):
        assert ask.fails("stanza", "sendMessage", "id", from_=jid, to="bob@localhost", body="x") == "unknown_user"
        assert ask.fails("stanza", "sendStanza", "id", stanza=f"<message from='{jid}' to='bob@localhost'/>") == "unknown_user"


def test_a_message_waits_for_who_is_away(ask, login):
    ask.mutation("stanza", "sendMessage", "id", from_="alice@localhost", to="dave@localhost", body="later")
    dave = login("dave").presence()
    assert "<body>later</body>" in dave.stanza("^<message")


def test_who_is_answered_has_his_message_stored(ask, node):
    """So that nobody sends faster than messages can be stored."""
    def stored():
        with node.db() as db:
            return db.execute("SELECT count(*) FROM offline_message WHERE username = 'carol'").fetchone()[0]
    for n in range(1, 20):
        ask.mutation("stanza", "sendMessage", "id", from_="alice@localhost", to="carol@localhost", body=f"number {n}")
        assert stored() == n


# -- the hooks of a client

def test_own_clients_get_copies(ask, available):
    alice, bob = available("alice"), available("bob")
    alice.iq("set", "<enable xmlns='urn:xmpp:carbons:2'/>")
    ask.mutation("stanza", "sendMessage", "id", from_="alice@localhost", to="bob@localhost", body="copied")
    bob.stanza("^<message")
    assert re.search("<sent xmlns='urn:xmpp:carbons:2'>.*copied", alice.stanza("^<message"))


def test_what_a_user_has_blocked_is_refused(ask, login):
    login("alice").iq("set", "<block xmlns='urn:xmpp:blocking'><item jid='carol@localhost'/></block>")
    assert ask.fails("stanza", "sendMessage", "id", from_="alice@localhost", to="carol@localhost", body="x") == "not_acceptable"
    login("alice").iq("set", "<unblock xmlns='urn:xmpp:blocking'/>")
    ask.mutation("stanza", "sendMessage", "id", from_="alice@localhost", to="carol@localhost", body="x")


def test_no_session_is_left_behind(ask, node, available):
    bob = available("bob")
    for i in range(20):
        ask.mutation("stanza", "sendMessage", "id", from_="alice@localhost", to="bob@localhost", body=f"number {i}")
    bob.stanza("number 19")
    assert re.search(r"^c2s_streams 1$", node.control("metrics"), re.M)
    assert ask.query("session", "countSessions") == 1


# -- any stanza

def test_any_stanza_is_sent(ask, available):
    bob = available("bob")
    sent = ask.mutation("stanza", "sendStanza", "id", stanza="<message xmlns='jabber:client' type='chat' from='alice@localhost/x' "
                        "to='bob@localhost' id='mine'><body>raw</body><a xmlns='test:a' b='c'><d/></a></message>")
    assert sent == {"id": "mine"}
    message = bob.stanza("^<message")
    assert "id='mine'" in message and "<a xmlns='test:a' b='c'><d/></a>" in message


def test_a_stanza_without_an_id_gets_one(ask, available):
    bob = available("bob")
    sent = ask.mutation("stanza", "sendStanza", "id", stanza="<message from='alice@localhost' to='bob@localhost'><body>x</body></message>")
    assert f"id='{sent['id']}'" in bob.stanza("^<message")


def test_a_user_is_the_sender_of_any_stanza(as_alice, available):
    bob = available("bob")
    as_alice.mutation("stanza", "sendStanza", "id", stanza="<message to='bob@localhost'><body>x</body></message>")
    assert "from='alice@localhost'" in bob.stanza("^<message")


def test_presence_goes_to_its_addressee(as_alice, available):
    bob = available("bob")
    as_alice.mutation("stanza", "sendStanza", "id", stanza="<presence type='subscribe' to='bob@localhost'/>")
    assert "from='alice@localhost'" in bob.stanza("^<presence[^>]*type='subscribe'")


@pytest.mark.parametrize("stanza, code", [
    ("<message to='bob@localhost'/>", "no_sender"),
    ("<message from='alice@localhost'/>", "no_recipient"),
    ("<message from='a@b@c' to='bob@localhost'/>", "invalid_sender"),
    ("<message from='alice@localhost' to='@'/>", "invalid_recipient"),
    ("<thing from='alice@localhost' to='bob@localhost'/>", "invalid_stanza"),
    ("<message xmlns='test:a' from='alice@localhost' to='bob@localhost'/>", "invalid_stanza"),
])
def test_what_is_no_stanza_or_lacks_an_address(ask, stanza, code):
    assert ask.fails("stanza", "sendStanza", "id", stanza=stanza) == code


def test_what_is_no_xml_is_refused(ask):
    answer = ask.ask("mutation", "stanza", "sendStanza", "id", stanza="<message from='alice@localhost' to='bob@localhost'>")
    assert "errors" in answer.json


def test_bodies_are_not_in_the_log(ask, node, available):
    bob = available("bob")
    ask.mutation("stanza", "sendMessage", "id", from_="alice@localhost", to="bob@localhost", body="needle")
    bob.stanza("needle")
    assert "needle" not in node.log()


# -- subscriptions

def messages(ask, arguments=""):
    return Events(ask, f"subscription {{ stanza {{ subscribeForMessages{arguments} {{ sender timestamp stanza_id stanza }} }} }}")


def sessions_of(ask, user):
    return ask.query("session", "listUserSessions", "user priority connection", user=user)


def one_session(ask, user):
    (session,) = support.wait_for(lambda: sessions_of(ask, user), "the subscriber's session")
    return session


def test_a_user_subscribes_for_messages(ask, node, available):
    bob = available("bob")
    with messages(api.user(node, "dave")) as events:
        session = one_session(ask, "dave@localhost")
        assert session["user"].startswith("dave@localhost/sse-") and (session["priority"], session["connection"]) == (1, None)
        bob.send("<presence to='dave@localhost'/><message to='dave@localhost' type='chat' id='m1'><body>one &amp; two</body></message>")
        bob.send(f"<message to='{session['user']}' id='m2'><body>direct</body></message>")
        seen = [events.event()[1]["data"]["stanza"]["subscribeForMessages"] for _ in range(2)]
        assert [(m["sender"], m["stanza_id"]) for m in seen] == [(bob.jid, "m1"), (bob.jid, "m2")]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", seen[0]["timestamp"])
        assert re.match("<message .*<body>one &amp; two</body></message>$", seen[0]["stanza"])
        bob.nothing("type='error'")
    support.wait_for(lambda: sessions_of(ask, "dave@localhost") == [], "the session to end")


def test_what_comes_without_a_subscriber_is_not_lost(ask, node, available, login):
    bob = available("bob")
    with messages(api.user(node, "dave")) as events:
        one_session(ask, "dave@localhost")
        bob.message("dave@localhost", "seen")
        assert "seen" in events.event()[1]["data"]["stanza"]["subscribeForMessages"]["stanza"]
    support.wait_for(lambda: sessions_of(ask, "dave@localhost") == [], "the session to end")
    bob.message("dave@localhost", "stored")
    bob.sync()
    dave = login("dave").presence()
    assert "stored" in dave.stanza("^<message")


def test_contacts_do_not_see_a_subscriber(ask, node, available):
    alice = available("alice")
    ask.mutation("roster", "setMutualSubscription", userA="alice@localhost", userB="dave@localhost", action=Enum("CONNECT"))
    with messages(api.user(node, "dave")):
        one_session(ask, "dave@localhost")
        alice.sync()
        alice.nothing("<presence[^>]*from='dave@localhost/sse")
    support.wait_for(lambda: sessions_of(ask, "dave@localhost") == [], "the session to end")
    alice.nothing("<presence[^>]*from='dave@localhost/sse")


def test_an_administrator_subscribes_for_a_user(ask, available):
    bob = available("bob")
    with messages(ask.api, '(caller: "dave@localhost")') as events:
        one_session(ask, "dave@localhost")
        bob.message("dave@localhost", "for dave")
        assert "for dave" in events.event()[1]["data"]["stanza"]["subscribeForMessages"]["stanza"]
    refused = messages(ask.api, '(caller: "nobody@localhost")')
    assert json.loads(refused.response.read())["errors"][0]["extensions"]["code"] == "unknown_user"


def test_a_subscription_ends_with_its_session(ask, node):
    with messages(api.user(node, "dave")) as events:
        one_session(ask, "dave@localhost")
        ask.mutation("session", "kickUser", "kicked", user="dave@localhost")
        assert events.event() is None
