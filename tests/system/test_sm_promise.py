# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""An acknowledgement is a promise (XEP-0198 §4): it counts nothing that is still being stored."""
import re

import pytest

from extra import node_with
from support import Closed
from test_sm import NS, ack, bodies, enable, reset, resume

HOLD, RELEASE = "<hold xmlns='test'/>", "<release xmlns='test'/>"
CONFIG = """
[module:c2s]
listen = 127.0.0.1:0
[module:auth_memory]
accounts = alice:secret, bob:secret, carol:secret
[module:sasl]
[module:sm]
max_unsettled = 5
[module:carbons]
[module:t_hold]
[module:t_available]
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A node with a slow storage, and resources that are available."""
    node = node_with(tmp_path_factory.mktemp("sm"), CONFIG, "t_hold", "t_available").start()
    yield node
    node.stop()


@pytest.fixture
def people(login):
    alice, bob, carol = (login(name, resource="") for name in ("alice", "bob", "carol"))
    enable(bob)
    return alice, bob, carol


def release(client):
    client.send(f"<message to='{client.host}'>{RELEASE}</message>")


def test_what_is_held_is_not_acknowledged_yet(people):
    alice, bob, carol = people
    bob.message(carol.jid, "zero")
    bob.message(alice.jid, "one", more=HOLD)
    bob.message(alice.jid, "two")
    bob.message(carol.jid, "three")
    assert bodies(carol.until("<body>three</body>")) == ["zero", "three"]
    assert ack(bob) == 1
    alice.nothing()
    release(carol)
    assert bodies(alice.until("<body>two</body>")) == ["one", "two"]
    assert "h='4'" in bob.until("<a [^>]*>")
    assert ack(bob) == 4


def test_resumption_waits_for_it(node, people):
    alice, bob, carol = people
    bob.message(alice.jid, "one", more=HOLD)
    assert ack(bob) == 0
    reset(bob)
    carol.message(bob.jid, "missed")
    carol.sync()
    again = node.client()
    again.authenticate("bob")
    again.send(f"<resume xmlns='{NS}' previd='{bob.sm}' h='0'/><r xmlns='{NS}'/>")
    carol.sync()
    carol.message(bob.jid, "meanwhile")
    carol.sync()
    release(carol)
    text = again.until("<a [^>]*>")
    assert re.match(r"<resumed [^>]*h='1'", text)
    assert bodies(text) == ["missed", "meanwhile"]
    assert "<a xmlns='urn:xmpp:sm:3' h='1'/>" in text
    assert bodies(alice.until("</message>")) == ["one"]
    alice.nothing()
    again.drop()


def test_connection_that_breaks_while_resuming_can_be_resumed(node, people):
    alice, bob, carol = people
    bob.message(alice.jid, "one", more=HOLD)
    assert ack(bob) == 0
    for _ in range(3):
        again = node.client()
        again.authenticate("bob")
        again.send(f"<resume xmlns='{NS}' previd='{bob.sm}' h='0'/>")
        carol.sync()
        reset(again)
    release(carol)
    again, answer = resume(node, "bob", bob.sm, 0)
    assert "<resumed" in answer and "h='1'" in answer
    assert bodies(alice.until("</message>")) == ["one"]
    alice.nothing()
    again.drop()


def test_session_that_ends_meanwhile_does_no_harm(people):
    alice, bob, carol = people
    bob.message(alice.jid, "one", more=HOLD)
    bob.send("</stream:stream>")
    bob.closed("^<a xmlns='urn:xmpp:sm:3' h='0'/></stream:stream>$")
    release(carol)
    assert bodies(alice.until("</message>")) == ["one"]


def test_sender_that_does_not_wait_is_made_to(people):
    """Else the acknowledgement that waits for a quiet moment would never come."""
    alice, bob, carol = people
    bob.message(alice.jid, "held", more=HOLD)
    for n in range(10):
        bob.message(carol.jid, n)
    bob.send(f"<r xmlns='{NS}'/>")
    assert bodies(carol.until("<body>3</body>")) == ["0", "1", "2", "3"]
    carol.nothing()
    release(carol)
    assert bodies(carol.until("<body>9</body>")) == ["4", "5", "6", "7", "8", "9"]
    assert "h='11'" in bob.until("<a [^>]*>")
    assert bodies(alice.until("</message>")) == ["held"]


# -- what a session leaves behind goes to the others


def end(client):
    """A session that ends without an acknowledgement of what it got."""
    client.sync()
    client.send("</stream:stream>")
    client.closed("</stream:stream>$")


@pytest.fixture
def two(login, people):
    """Two of Bob's clients, available, with stream management."""
    alice, one, carol = people
    other = login("bob", resource="")
    enable(other)
    for client in one, other:
        client.presence().sync()
    yield alice, one, other
    for client in one, other:
        try:
            end(client)
        except (OSError, Closed):
            pass    # the test has done it


def test_unacknowledged_goes_to_another_resource(two):
    alice, one, other = two
    alice.message(one.jid, "x")
    alice.send(f"<message to='{one.jid}' type='headline'><body>h</body></message>")
    assert bodies(one.until("<body>h</body>")) == ["x", "h"]
    end(one)
    text = other.until("</message>")
    assert bodies(text) == ["x"] and "<delay " in text and f"to='{one.jid}'" in text
    other.nothing()
    alice.nothing()


def test_what_went_to_all_does_not_come_again(two):
    alice, one, other = two
    alice.message(one.bare, "x")
    for client in one, other:
        assert bodies(client.until("</message>")) == ["x"]
    end(one)
    other.nothing()
    alice.nothing()
    end(other)
    text = alice.until("</message>")
    assert "<service-unavailable" in text
    alice.nothing()


def test_what_went_to_all_is_dealt_with_when_one_has_it(two):
    alice, one, other = two
    alice.message(one.bare, "x")
    for client in one, other:
        client.until("</message>")
    other.sync()
    other.send(f"<a xmlns='{NS}' h='3'/>")
    end(one)
    end(other)
    alice.nothing()


def test_carbon_copies_are_not_routed_anew(two):
    alice, one, other = two
    other.iq("set", "<enable xmlns='urn:xmpp:carbons:2'/>")
    alice.message(one.jid, "x")
    one.until("</message>")
    assert "<received" in other.until("</message>")
    end(other)
    one.nothing()
    alice.nothing()


def test_detached_session_stays_available(node, two):
    alice, one, other = two
    other.presence("<priority>-1</priority>").sync()
    reset(one)
    alice.message(one.bare, "x")
    alice.nothing()
    other.nothing()
    again, answer = resume(node, "bob", one.sm, 1)
    assert bodies(again.until("</message>")) == ["x"]
    end(again)
