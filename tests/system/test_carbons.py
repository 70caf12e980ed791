# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Message carbons (XEP-0280): all clients of a user see both sides of a conversation, each once."""
import re

import pytest

from extra import node_with
from support import END, auth

NS = "urn:xmpp:carbons:2"
MUC = "<x xmlns='http://jabber.org/protocol/muc#user'/>"
STATE = "<active xmlns='http://jabber.org/protocol/chatstates'/>"
CONFIG = """
[module:c2s]
listen = 127.0.0.1:0
[module:auth_memory]
accounts = alice:secret, bob:secret
[module:sasl]
[module:sm]
[module:carbons]
[module:t_available]
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    node = node_with(tmp_path_factory.mktemp("carbons"), CONFIG, "t_available").start()
    yield node
    node.stop()


def turn(client, what="enable"):
    return client.iq("set", f"<{what} xmlns='{NS}'/>")


@pytest.fixture
def people(login):
    """Alice with one client; Bob with one that wants copies (b1, b2) and one that does not (b3)."""
    alice = login("alice", resource="a")
    bobs = [login("bob", resource=f"b{n}") for n in (1, 2, 3)]
    assert "type='result'" in turn(bobs[0]) and "type='result'" in turn(bobs[1])
    return alice, *bobs


def copy(client, way):
    """The one copy that came, and the message in it."""
    text = client.until(f"<message[^>]*><{way} .*?</{way}></message>")
    assert client.sync() == ""
    head, forwarded = re.search(
        f"^(<message[^>]*>)<{way} xmlns='{NS}'><forwarded xmlns='urn:xmpp:forward:0'>"
        f"(<message xmlns='jabber:client'.*</message>)</forwarded></{way}></message>$", text).groups()
    assert f"from='{client.bare}'" in head and f"to='{client.jid}'" in head
    return head, forwarded


def test_other_clients_see_what_one_receives(people):
    alice, one, two, three = people
    alice.message(one.jid, "hello")
    assert "<body>hello</body>" in one.until("</message>")
    head, original = copy(two, "received")
    assert "type='chat'" in head
    assert f"from='{alice.jid}' to='{one.jid}' type='chat'" in original and "hello" in original
    one.nothing()
    three.nothing()
    alice.nothing()


def test_other_clients_see_what_one_sends(people):
    alice, one, two, three = people
    three.message(alice.jid, "hello")
    assert "<body>hello</body>" in alice.until("</message>")
    for client in one, two:
        _, original = copy(client, "sent")
        assert f"from='{three.jid}' to='{alice.jid}' type='chat'" in original
    three.nothing()
    one.message(alice.jid, "again")
    copy(two, "sent")
    one.nothing()
    three.nothing()


def test_both_sides_have_copies(people, login):
    alice, one, two, _ = people
    other = login("alice", resource="other")
    turn(other)
    alice.message(one.jid, "hello")
    copy(other, "sent")
    copy(two, "received")
    alice.nothing()


def test_message_to_an_own_client_comes_once(people):
    _, one, two, three = people
    one.message(three.jid, "note")
    assert "<sent" not in three.until("</message>")
    copy(two, "received")
    one.nothing()
    three.nothing()


@pytest.mark.parametrize("type_, content, copied", [
    ("chat", "<body>x</body>", True),
    ("chat", "<other xmlns='test'/>", True),
    ("chat", STATE, True),
    ("normal", "<body>x</body>", True),
    ("", "<body>x</body>", True),
    ("normal", "<other xmlns='test'/>", False),
    ("normal", "<body xmlns='test'>x</body>", False),
    ("normal", STATE, True),
    ("normal", "<received xmlns='urn:xmpp:receipts' id='x'/>", True),
    ("normal", "<displayed xmlns='urn:xmpp:chat-markers:0' id='x'/>", True),
    ("normal", "<x xmlns='jabber:x:conference' jid='room@muc'/>", True),
    ("normal", "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@b'/></x>", True),
    ("groupchat", "<body>x</body>", False),
    ("headline", "<body>x</body>", False),
    ("error", "<body>x</body>", False),
    ("chat", f"<body>x</body><private xmlns='{NS}'/>", False),
    ("chat", "<body>x</body><no-copy xmlns='urn:xmpp:hints'/>", False),
    ("chat", f"<sent xmlns='{NS}'/>", False),
    ("chat", f"<received xmlns='{NS}'/>", False),
])
def test_which_messages_are_copied(people, type_, content, copied):
    alice, one, two, _ = people
    type_ = type_ and f"type='{type_}'"
    alice.send(f"<message to='{one.jid}' {type_}>{content}</message>")
    one.until("</message>")
    one.send(f"<message to='{alice.jid}' {type_}>{content}</message>")
    alice.until("</message>")
    assert len(re.findall("<forwarded", two.sync())) == 2 * copied


def test_private_messages_of_a_room_are_copied_when_sent_alone(people):
    alice, one, two, _ = people
    alice.message(one.jid, "from a room", more=MUC)
    one.until("</message>")
    one.message(alice.jid, "to an occupant", more=MUC)
    alice.until("</message>")
    assert "to an occupant" in copy(two, "sent")[1]


def test_private_is_taken_out_on_delivery(people):
    alice, one, _, _ = people
    alice.message(one.jid, "x", more=f"<private xmlns='{NS}'/><thread>t</thread>")
    text = one.until("</message>")
    assert "private" not in text and "<body>x</body><thread>t</thread>" in text


def test_on_and_off_any_number_of_times(people):
    alice, one, two, _ = people
    for what in ("enable", "disable", "disable"):
        assert "type='result'" in turn(two, what)
    alice.message(one.jid, "x")
    one.until("</message>")
    two.nothing()
    assert "type='result'" in turn(two)
    alice.message(one.jid, "y")
    assert "<body>y</body>" in copy(two, "received")[1]


def test_another_account_cannot_be_switched(people):
    alice, one, two, _ = people
    answer = alice.iq("set", f"<disable xmlns='{NS}'/>", to=one.bare)
    assert "type='error'" in answer
    answer = alice.iq("get", f"<enable xmlns='{NS}'/>")
    assert "type='error'" in answer
    alice.message(one.jid, "x")
    copy(two, "received")


def test_bind2_turns_it_on(node, people):
    alice, one, _, _ = people
    client = node.client()
    assert f"<feature var='{NS}'/>" in client.features
    client.send(auth("PLAIN", "\0bob\0secret", True,
                     f"<bind xmlns='urn:xmpp:bind:0'><enable xmlns='{NS}'/></bind>"))
    answer = client.until(END + ".*?(</stream:features>|<stream:features/>)")
    client.jid = re.search("<authorization-identifier>([^<]*)<", answer).group(1)
    client.bare = client.jid.split("/")[0]
    alice.message(one.jid, "x")
    copy(client, "received")
    client.drop()


def test_a_client_that_resumes_gets_its_copies(node, people):
    """And copies that nobody fetched are dropped: the message itself has arrived."""
    alice, one, two, _ = people
    two.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
    previd = re.search(" id='([^']*)'", two.until("<enabled[^>]*>")).group(1)
    two.drop()
    alice.message(one.jid, "x")
    one.until("</message>")
    again = node.client()
    again.authenticate("bob")
    again.send(f"<resume xmlns='urn:xmpp:sm:3' previd='{previd}' h='0'/>")
    assert "<received" in again.until("<resumed.*</message>")
    again.send("</stream:stream>")
    again.closed()
    again.drop()
    alice.nothing()
    one.nothing()


def test_message_to_the_bare_address_comes_once_to_each(people):
    alice, one, two, three = people
    one.presence("<priority>5</priority>")
    two.presence("<priority>1</priority>")
    three.presence("<priority>-1</priority>")
    for client in one, two, three:
        client.sync()
    alice.message(one.bare, "x")
    assert "<forwarded" not in one.stanza("<body>")
    head, _ = copy(two, "received")
    three.nothing("<message")
    one.nothing("<message")


def test_client_with_negative_priority_gets_a_copy_of_what_is_stored(login):
    alice, bob = login("alice", resource="a"), login("bob", resource="negative")
    turn(bob)
    bob.presence("<priority>-1</priority>").sync()
    alice.message(bob.bare, "x")
    copy(bob, "received")
