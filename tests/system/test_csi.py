# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Client state indication (XEP-0352): inactive clients are not woken for what can wait."""
import re

import pytest

from support import END, auth

NS = "urn:xmpp:csi:0"
SM = "urn:xmpp:sm:3"
STATE = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
CONFIG = """
[module:c2s]
listen = 127.0.0.1:0
[module:auth_memory]
accounts = alice:secret, bob:secret
[module:sasl]
[module:sm]
ack_every = 1000
ack_delay = 1m
[module:carbons]
[module:csi]
max_stanzas = 10
max_bytes = 20000
"""


def say(client, state):
    client.send(f"<{state} xmlns='{NS}'/>")


def shows(text):
    return re.findall("<status>(.*?)</status>", text)


@pytest.fixture
def pair(login):
    """Alice, and an inactive Bob who has taken note of it."""
    alice, bob = login("alice", resource="a"), login("bob", resource="b")
    say(bob, "inactive")
    bob.sync()
    return alice, bob


def tell(alice, bob, *statuses):
    """Directed presence, which has arrived when this returns."""
    for status in statuses:
        alice.send(f"<presence to='{bob.jid}'><status>{status}</status></presence>")
    alice.sync()


def arrived(alice, bob):
    """What has come to Bob without being asked for: both workers have had their turn."""
    alice.sync()
    alice.send(f"<message to='{bob.jid}'>{STATE}</message>")
    alice.sync()
    bob.socket.settimeout(0.1)
    try:
        bob.receive(0.1)
    except TimeoutError:
        pass
    text, bob.buffer = bob.buffer, ""
    return text


def test_feature_is_offered_after_login(node):
    with node.client() as client:
        assert f"<csi xmlns='{NS}'" not in client.features
        client.authenticate("alice")
        assert f"<csi xmlns='{NS}'/>" in client.features


def test_before_login_there_is_no_state(node):
    with node.client() as client:
        say(client, "active")
        client.closed("not-authorized")


def test_unknown_state_ends_the_stream(login):
    bob = login("bob")
    say(bob, "asleep")
    bob.closed("unsupported-stanza-type")


def test_presence_waits_and_the_newest_remains(pair):
    alice, bob = pair
    tell(alice, bob, "one", "two", "three")
    assert arrived(alice, bob) == ""
    say(bob, "active")
    assert shows(bob.until("</presence>") + bob.sync()) == ["three"]


def test_each_sender_is_kept_and_the_order_is_that_of_the_newest(pair, login):
    alice, bob = pair
    other = login("alice", resource="other")
    tell(alice, bob, "a1")
    tell(other, bob, "b1")
    tell(alice, bob, "a2")
    say(bob, "active")
    assert shows(bob.until("a2</status></presence>") + bob.sync()) == ["b1", "a2"]


def test_message_brings_what_waited_before_it(pair):
    alice, bob = pair
    tell(alice, bob, "one")
    alice.message(bob.jid, "hello")
    assert re.search("<presence.*<message", bob.until("</message>"), re.S)
    tell(alice, bob, "two")
    assert arrived(alice, bob) == ""


@pytest.mark.parametrize("stanza", [
    "<iq type='get' id='x' to='{jid}'><x xmlns='test'/></iq>",
    "<presence type='subscribe' to='{jid}'/>",
    "<presence to='{jid}'><x xmlns='http://jabber.org/protocol/muc#user'><status code='110'/></x></presence>",
    "<message type='error' to='{jid}'>" + STATE + "<error type='cancel'/></message>",
    "<message to='{jid}'><body>x</body>" + STATE + "</message>",
    "<message to='{jid}'><other xmlns='test'/></message>",
    "<message type='headline' to='{jid}'><body>x</body></message>",
])
def test_what_cannot_wait(pair, stanza):
    alice, bob = pair
    tell(alice, bob, "one")
    alice.send(stanza.format(jid=bob.jid))
    assert shows(bob.until("</presence><(iq|presence|message)[^>]*(>|/>)")) == ["one"]


def test_chat_states_are_dropped(pair):
    alice, bob = pair
    alice.send(f"<message type='chat' to='{bob.jid}'>{STATE}<thread>t</thread>"
               "<no-store xmlns='urn:xmpp:hints'/></message>")
    alice.sync()
    say(bob, "active")
    bob.nothing()
    alice.send(f"<message type='chat' to='{bob.jid}'>{STATE}</message>")
    bob.until("<composing.*</message>")


def test_chat_states_in_copies_are_dropped(pair, login):
    alice, bob = pair
    other = login("bob", resource="other")
    bob.iq("set", "<enable xmlns='urn:xmpp:carbons:2'/>")
    alice.send(f"<message type='chat' to='{other.jid}'>{STATE}</message>")
    other.until("</message>")
    alice.message(other.jid, "words")
    other.until("</message>")
    text = bob.until("words.*?</message>")
    assert text.count("<received") == 1 and "composing" not in text


def test_events_wait_in_order(pair):
    alice, bob = pair
    for n in range(3):
        alice.send(f"<message type='headline' to='{bob.jid}'><event n='{n}' "
                   "xmlns='http://jabber.org/protocol/pubsub#event'/></message>")
    assert arrived(alice, bob) == ""
    say(bob, "active")
    assert re.findall("n='(.)'", bob.until("n='2'.*?</message>")) == ["0", "1", "2"]


def test_number_that_waits_is_limited(pair):
    alice, bob = pair
    event = "<event xmlns='http://jabber.org/protocol/pubsub#event'/>"
    for n in range(10):
        alice.send(f"<message type='headline' to='{bob.jid}' id='{n}'>{event}</message>")
    assert arrived(alice, bob) == ""
    alice.send(f"<message type='headline' to='{bob.jid}' id='last'>{event}</message>")
    assert bob.until("id='last'.*?</message>").count("<event") == 11


def test_bytes_that_wait_are_limited(pair, login):
    alice, bob = pair
    other = login("alice", resource="other")
    tell(alice, bob, "x" * 12000)
    assert arrived(alice, bob) == ""
    tell(other, bob, "y" * 12000)
    assert bob.until("(<presence.*?</presence>){2}")


def test_saying_it_twice_changes_nothing(pair):
    alice, bob = pair
    say(bob, "inactive")
    tell(alice, bob, "one")
    assert arrived(alice, bob) == ""
    say(bob, "active")
    say(bob, "active")
    assert shows(bob.until("</presence>") + bob.sync()) == ["one"]
    tell(alice, bob, "two")
    assert shows(bob.until("</presence>")) == ["two"]


def test_bind2_can_begin_inactive(node, login):
    alice = login("alice", resource="a")
    bob = node.client()
    assert f"<feature var='{NS}'/>" in bob.features
    bob.send(auth("PLAIN", "\0bob\0secret", True,
                  f"<bind xmlns='urn:xmpp:bind:0'><inactive xmlns='{NS}'/></bind>"))
    answer = bob.until(END + ".*?(</stream:features>|<stream:features/>)")
    bob.jid = re.search("<authorization-identifier>([^<]*)<", answer).group(1)
    tell(alice, bob, "one")
    assert arrived(alice, bob) == ""
    bob.drop()


def test_resuming_client_is_active_and_the_counters_hold(node, login):
    alice, bob = login("alice", resource="a"), login("bob", resource="")
    bob.send(f"<enable xmlns='{SM}' resume='true'/>")
    previd = re.search(" id='([^']*)'", bob.until("<enabled[^>]*>")).group(1)
    say(bob, "inactive")
    bob.sync()
    tell(alice, bob, "one")
    alice.message(bob.jid, "m1")
    assert bob.until("</message>").count("<presence") == 1
    tell(alice, bob, "two", "three")
    bob.drop()
    tell(alice, bob, "four")
    again = node.client()
    again.authenticate("bob")
    # An answer to sync, a presence and a message have arrived.
    again.send(f"<resume xmlns='{SM}' previd='{previd}' h='3'/>")
    text = again.until("<resumed.*</presence>")
    assert shows(text) == ["four"]
    tell(alice, bob, "five")
    assert shows(again.until("</presence>")) == ["five"]
    again.send(f"<a xmlns='{SM}' h='5'/>")
    assert again.sync() == ""
    again.drop()


def test_module_leaves_without_taking_anything_along(start_node):
    node = start_node(CONFIG)
    with node.client("alice", resource="a") as alice, node.client("bob", resource="b") as bob:
        say(bob, "inactive")
        bob.sync()
        tell(alice, bob, "one")
        assert "ok" in node.control("module", "unload", "csi")
        assert shows(bob.until("</presence>")) == ["one"]
