# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Pings (XEP-0199): answered, and sent to find dead connections."""
import re
import time

import pytest

CONFIG = """
[module:c2s]
listen = 127.0.0.1:0
[module:auth_memory]
accounts = alice:secret, bob:secret
[module:sasl]
[module:ping]
interval = 200ms
timeout = 300ms
"""
PING = "<ping xmlns='urn:xmpp:ping'/>"


def asked(client):
    text = client.stanza("^<iq[^>]*type='get'.*urn:xmpp:ping")
    return re.search(r"\bid='([^']*)'", text).group(1)


def test_host_and_own_account_answer(login):
    alice = login("alice")
    assert "type='result'" in alice.iq("get", PING, to="localhost")
    assert "type='result'" in alice.iq("get", PING, to=alice.bare)
    assert "type='result'" in alice.iq("get", PING)


def test_nobody_learns_who_has_an_account(login):
    alice = login("alice")
    answers = {re.sub("(id|from)='[^']*'", "", alice.iq("get", PING, to=to))
               for to in ("bob@localhost", "nobody@localhost")}
    assert len(answers) == 1 and "<service-unavailable" in answers.pop()


@pytest.mark.parametrize("kind", ["result", "error"])
def test_a_client_that_answers_stays(login, kind):
    alice = login("alice")
    for _ in range(4):
        alice.send(f"<iq type='{kind}' id='{asked(alice)}' to='localhost'/>")
    alice.sync()


def test_a_client_that_is_dead_is_dropped(login):
    alice = login("alice")
    asked(alice)
    alice.closed()


def test_a_client_that_talks_is_not_asked(start_node):
    node = start_node(CONFIG.replace("200ms", "3s"))
    alice = node.client("alice")
    for _ in range(20):
        assert "urn:xmpp:ping" not in alice.sync()
    alice.drop()


def test_white_space_is_a_sign_of_life(login):
    """RFC 6120 §4.6.1."""
    alice = login("alice")
    end = time.monotonic() + 1
    while time.monotonic() < end:
        alice.send(" \n")
        with pytest.raises(AssertionError):
            alice.until("urn:xmpp:ping", patience=0.05)
    # Nothing that was asked of it, for it was never silent; and it is served as before.
    assert "urn:xmpp:ping" not in alice.buffer
    alice.sync()


def test_an_interval_of_nothing_asks_nobody(start_node):
    node = start_node(CONFIG.replace("200ms", "0"))
    alice = node.client("alice")
    with pytest.raises(AssertionError):
        alice.until("urn:xmpp:ping", patience=1)
    node.configure(CONFIG)
    node.reload()
    asked(alice)
    alice.drop()
