# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Presence and subscriptions (RFC 6121 §3, §4) between users of one server."""
import re
import socket
import struct

import pytest

from extra import node_with
from support import wait_for
from test_roster import put, roster, send_put

NAMES = [f"u{n}" for n in range(80)]
CONFIG = f"""
[meerkat]
workers = 2
state_dir = {{dir}}/state
[module:c2s]
listen = 127.0.0.1:0
[module:auth_memory]
accounts = {", ".join(chr(10) * (n % 10 == 0) + f"  {u}:secret" for n, u in enumerate(NAMES))}
[module:sasl]
[module:rdbms]
[module:roster]
[module:presence]
max_directed = 3
[module:sm]
"""
unused = iter(NAMES)


@pytest.fixture
def person(login):
    """person(): a client of an account that no test has used, available, with its roster."""
    def make(available=True):
        client = login(next(unused))
        roster(client)
        if available:
            client.presence()
            client.until(f"<presence[^>]*from='{client.jid}'[^>]*>")
        return client
    return make


def item(client, contact):
    match = re.search(f"<item [^>]*jid='{contact.bare}'[^>]*>", roster(client))
    return match.group(0) if match else None


def befriend(one, two):
    """Both see each other's presence."""
    for a, b in ((one, two), (two, one)):
        a.presence(type_="subscribe", to=b.bare)
        b.stanza("type='subscribe'")
        b.presence(type_="subscribed", to=a.bare)
        a.stanza("type='subscribed'")
        a.stanza(f"^<presence[^>]*from='{b.jid}'")
    one.sync(), two.sync()


def test_initial_presence_comes_back_to_its_own_session(person):
    person()


def test_a_subscription_is_asked_for_approved_and_shows_presence(person):
    a, b = person(), person()
    a.presence(type_="subscribe", to=b.jid)
    asked = b.stanza("type='subscribe'")
    assert f"from='{a.bare}'" in asked and f"to='{b.bare}'" in asked
    assert "ask='subscribe'" in a.stanza("^<iq[^>]*type='set'")
    assert item(b, a) is None
    b.presence(type_="subscribed", to=a.bare)
    assert "subscription='from'" in b.stanza("^<iq[^>]*type='set'")
    text = a.until(f"<presence[^>]*from='{b.jid}'[^>]*>")
    assert text.index("type='subscribed'") < text.index("subscription='to'") < text.index(b.jid)
    assert "subscription='to'" in item(a, b) and "ask=" not in item(a, b)


def test_a_request_waits_for_who_is_offline_with_its_words(person, login):
    a, b = person(), person()
    name = b.bare.split("@")[0]
    b.drop()
    a.presence("<status>it is me</status>", "subscribe", b.bare)
    a.sync()
    b = login(name)
    b.presence()
    asked = b.stanza("type='subscribe'")
    assert "<status>it is me</status>" in asked and f"from='{a.bare}'" in asked


def test_a_request_to_nobody_is_refused(person):
    a = person()
    a.presence(type_="subscribe", to="nobody@localhost")
    assert "type='unsubscribed'" in a.stanza("from='nobody@localhost'")
    assert "ask=" not in roster(a)


def test_a_request_twice_is_shown_once(person):
    a, b = person(), person()
    a.presence(type_="subscribe", to=b.bare)
    b.stanza("type='subscribe'")
    a.presence(type_="subscribe", to=b.bare)
    a.sync()
    b.nothing("<presence")


def test_a_refusal_ends_the_request(person):
    a, b = person(), person()
    a.presence(type_="subscribe", to=b.bare)
    b.stanza("type='subscribe'")
    b.presence(type_="unsubscribed", to=a.bare)
    a.stanza("type='unsubscribed'")
    assert "subscription='none'" in item(a, b) and "ask=" not in item(a, b)
    assert item(b, a) is None


def test_presence_of_friends_is_seen_on_coming_changing_and_going(person, login):
    a, b = person(), person()
    befriend(a, b)
    b.presence("<show>away</show><priority>5</priority>")
    seen = a.stanza("^<presence")
    assert "<show>away</show>" in seen and f"from='{b.jid}'" in seen
    b.presence(type_="unavailable")
    assert "type='unavailable'" in a.stanza(f"^<presence[^>]*from='{b.jid}'")
    b.presence("<status>back</status>")
    assert "<status>back</status>" in a.stanza(f"^<presence[^>]*from='{b.jid}'")
    # And whoever comes back sees who is there.
    assert f"from='{a.jid}'" in b.until(f"<presence[^>]*from='{a.jid}'[^>]*>")


def reset(client, _):
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.drop()


def say_nonsense(client, _):
    client.send("</nonsense>")
    client.closed("<not-well-formed")


def be_replaced(client, login):
    user, resource = re.split("@.*/", client.jid)
    login(user, resource=resource)
    client.closed("<conflict")


def never_resume(client, _):
    """A session with stream management outlives its connection, for as long as was asked for."""
    client.send("<enable xmlns='urn:xmpp:sm:3' resume='true' max='1'/>")
    client.until("<enabled[^>]*/>")
    client.drop()


ENDS = [lambda client, _: client.close(), lambda client, _: client.drop(), reset, say_nonsense, be_replaced, never_resume]


@pytest.mark.parametrize("end", ENDS, ids=["close", "drop", "reset", "stream error", "conflict", "not resumed"])
def test_friends_see_that_a_connection_ended(person, login, end):
    a, b = person(), person()
    befriend(a, b)
    end(b, login)
    assert "type='unavailable'" in a.stanza(f"^<presence[^>]*from='{b.jid}'")


@pytest.mark.parametrize("directed", [False, True])
def test_presence_that_was_held_up_until_its_client_was_gone_is_shown_to_nobody(tmp_path, directed):
    """A database may be slow, and a client gone before it answers."""
    node = node_with(tmp_path, CONFIG.replace("{dir}/state", "{dir}/state\ncontrol = {dir}/control.sock") + "[t_hold]\n", "t_hold")
    node.start()
    a, b = node.client("u0"), node.client("u1")
    for client in a, b:
        roster(client)
        client.presence()
    befriend(a, b)
    late = [node.client("u1", resource=f"late{i}") for i in range(4)]
    for client in late:
        client.presence("<hold xmlns='test'/>", to=a.jid if directed else None)
    # Others take their resources, which ends them.
    takers = [node.client("u1", resource=f"late{i}") for i in range(4)]
    for client in late:
        client.closed("<conflict")
        client.drop()
    wait_for(lambda: node.metric("c2s_streams") == 2 + len(takers), "the end of them")
    a.sync()
    a.send("<message to='localhost'><release xmlns='test'/></message>")
    # On every worker somebody comes and is seen, behind those who were held up.
    for i in range(8):
        with node.client("u1", resource=f"new{i}") as new:
            new.presence(to=a.jid if directed else None)
            assert "late" not in a.until(f"<presence[^>]*from='{new.jid}'[^>]*>")
    for client in a, b, *takers:
        client.drop()
    node.stop()


def test_strangers_see_nothing(person):
    a, b = person(), person()
    b.presence("<show>away</show>")
    a.presence(type_="probe", to=b.bare)
    a.nothing("<presence")


def test_other_clients_of_the_user_see_each_other(person, login):
    a = person()
    other = login(a.bare.split("@")[0], resource="other")
    other.presence()
    assert a.stanza(f"^<presence[^>]*from='{other.jid}'")
    assert a.jid in other.until(f"<presence[^>]*from='{a.jid}'[^>]*>")


def test_taking_back_a_subscription_hides_presence(person):
    a, b = person(), person()
    befriend(a, b)
    b.presence(type_="unsubscribed", to=a.bare)
    assert "type='unavailable'" in a.stanza(f"^<presence[^>]*from='{b.jid}'")
    a.stanza("type='unsubscribed'")
    assert "subscription='from'" in item(a, b) and "subscription='to'" in item(b, a)
    b.presence("<show>dnd</show>")
    b.sync()
    a.nothing("<presence")


def test_unsubscribing_ends_what_one_sees(person):
    a, b = person(), person()
    befriend(a, b)
    a.presence(type_="unsubscribe", to=b.bare)
    b.stanza("type='unsubscribe'")
    assert "type='unavailable'" in a.stanza(f"^<presence[^>]*from='{b.jid}'")
    assert "subscription='from'" in item(a, b)


def test_removing_a_contact_ends_both_subscriptions(person):
    a, b = person(), person()
    befriend(a, b)
    put(a, b.bare, "subscription='remove'")
    text = b.until("type='unsubscribed'.*subscription='none'")
    assert "type='unavailable'" in text and "type='unsubscribe'" in text
    assert item(a, b) is None


def test_an_approval_in_advance_answers_the_request(person):
    a, b = person(), person()
    b.presence(type_="subscribed", to=a.bare)
    assert "approved='true'" in b.stanza("^<iq[^>]*type='set'")
    a.presence(type_="subscribe", to=b.bare)
    a.stanza("type='subscribed'")
    a.until(f"<presence[^>]*from='{b.jid}'[^>]*>")
    assert "subscription='from'" in item(b, a) and "approved" not in item(b, a)
    b.nothing("type='subscribe'")


def test_directed_presence_ends_with_the_session(person):
    a, b = person(), person()
    a.presence("<show>chat</show>", to=b.bare)
    assert "<show>chat</show>" in b.stanza("^<presence")
    a.drop()
    assert "type='unavailable'" in b.stanza(f"^<presence[^>]*from='{a.jid}'")


def test_directed_presence_has_a_limit(person):
    a = person(available=False)
    for n in range(3):
        a.presence(to=f"nobody{n}@localhost")
    a.nothing("<presence")
    a.presence(to="nobody4@localhost")
    assert "resource-constraint" in a.stanza("^<presence[^>]*type='error'")
    a.presence(type_="unavailable", to="nobody1@localhost")
    a.presence(to="nobody4@localhost")
    a.nothing("<presence")


@pytest.mark.parametrize("priority", ["128", "-129", "x", "1.5", "--1", "+-3", "9999999999"])
def test_a_priority_that_is_none_is_a_bad_request(person, priority):
    a = person(available=False)
    a.presence(f"<priority>{priority}</priority>")
    assert "<bad-request" in a.stanza("^<presence")


@pytest.mark.parametrize("priority", ["127", "-128", "0", "+7", ""])
def test_priorities_at_the_edge_are_taken(login, priority):
    a = login("u59")
    a.presence(f"<priority>{priority}</priority>")
    assert "type='error'" not in a.stanza("^<presence")


def test_a_database_that_is_gone_is_an_error_and_no_push(start_node):
    node = start_node(CONFIG)
    a, b = node.client("u1"), node.client("u2")
    roster(a), a.presence(), a.sync()
    lock = node.db()
    lock.lock("rosterusers")
    send_put(a, "x@y")
    text = a.until("<iq[^>]*id='put'.*?</iq>", patience=30)
    assert "type='error'" in text and "type='set'" not in text
    lock.unlock()
    lock.close()
    assert "x@y" not in roster(a)
    a.drop(), b.drop()
