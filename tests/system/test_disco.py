# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""What a server says of itself: XEP-0030, XEP-0115, XEP-0157, XEP-0092, XEP-0202."""
import base64
import hashlib
import re
from datetime import datetime, timezone

import pytest

from test_presence import befriend
from test_roster import refused, roster

CONFIG = """
[meerkat]
state_dir = {dir}/state
[module:c2s]
listen = 127.0.0.1:0
[module:auth_memory]
accounts = alice:secret, bob:secret, carol:secret
[module:sasl]
[module:rdbms]
[module:roster]
[module:presence]
[module:offline]
[module:carbons]
[module:ping]
[module:version]
[module:time]
[module:disco]
name = Our "server"
admin = mailto:b@example.org, mailto:a@example.org
support = xmpp:help@example.org
"""
INFO = "http://jabber.org/protocol/disco#info"
ITEMS = "http://jabber.org/protocol/disco#items"


def ask(client, to, ns=INFO, node=""):
    attribute = f" node='{node}'" if node else ""
    return client.iq("get", f"<query xmlns='{ns}'{attribute}/>", to=to)


@pytest.fixture
def alice(login):
    return login("alice")


def test_the_host_says_what_it_is_and_can(alice):
    text = ask(alice, "localhost")
    assert "<identity category='server' type='im' name='Our &quot;server&quot;'/>" in text
    features = re.findall("<feature var='([^']*)'/>", text)
    for ns in (INFO, ITEMS, "urn:xmpp:ping", "jabber:iq:version", "urn:xmpp:time", "urn:xmpp:carbons:2",
               "http://jabber.org/protocol/caps", "msgoffline"):
        assert ns in features, features
    assert features == sorted(set(features))


def test_the_host_tells_contact_addresses(alice):
    text = ask(alice, "localhost")
    assert "<value>http://jabber.org/network/serverinfo</value>" in text
    assert re.search("<field var='admin-addresses'><value>mailto:b@example.org</value>"
                     "<value>mailto:a@example.org</value></field>", text)
    assert "abuse-addresses" not in text


def test_capabilities_in_the_stream_features_match_what_is_answered(alice):
    caps = re.search("<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='([^']*)' ver='([^']*)'/>",
                     alice.features)
    text = ask(alice, "localhost")
    parts = ['server/im//Our "server"'] + re.findall("<feature var='([^']*)'/>", text)
    parts += ["http://jabber.org/network/serverinfo", "admin-addresses", "mailto:a@example.org",
              "mailto:b@example.org", "support-addresses", "xmpp:help@example.org"]
    digest = hashlib.sha1("".join(p + "<" for p in parts).encode()).digest()
    assert caps.group(2) == base64.b64encode(digest).decode()
    node = f"{caps.group(1)}#{caps.group(2)}"
    assert f"node='{node}'" in (text := ask(alice, "localhost", node=node)) and "<feature" in text


def test_a_node_that_nobody_knows_is_item_not_found(alice):
    refused(ask(alice, "localhost", node="no-such"), "item-not-found")
    refused(ask(alice, "localhost", ITEMS, node="no-such"), "item-not-found")


def test_a_module_answers_for_its_own_node(alice):
    assert "type='result'" in ask(alice, alice.bare, node="http://jabber.org/protocol/offline")


def test_items_of_the_host_are_a_list(alice):
    assert "type='result'" in ask(alice, "localhost", ITEMS)


def test_an_account_is_shown_to_itself_and_friends_and_nobody_else(login):
    bob, carol = login("bob"), login("carol")
    identity = "<identity category='account' type='registered'/>"
    assert identity in ask(bob, bob.bare)
    refused(ask(carol, bob.bare), "service-unavailable")
    refused(ask(carol, "nobody@localhost"), "service-unavailable")
    for client in (bob, carol):
        roster(client)
        client.presence().until(f"<presence[^>]*from='{client.jid}'[^>]*>")
    befriend(bob, carol)
    assert identity in ask(carol, bob.bare)


def test_the_server_tells_name_and_version_but_not_its_system(alice):
    text = alice.iq("get", "<query xmlns='jabber:iq:version'/>", to="localhost")
    assert "<name>Meerkat</name><version>" in text and "<os>" not in text


def test_the_server_tells_the_time(alice):
    text = alice.iq("get", "<time xmlns='urn:xmpp:time'/>", to="localhost")
    assert re.search(r"<tzo>[+-]\d\d:\d\d</tzo>", text)
    utc = datetime.fromisoformat(re.search("<utc>(.*?)Z?</utc>", text).group(1)).replace(tzinfo=timezone.utc)
    assert abs((datetime.now(timezone.utc) - utc).total_seconds()) < 60


def test_what_is_not_a_question_is_refused(alice):
    for ns in ("jabber:iq:version", INFO):
        refused(alice.iq("set", f"<query xmlns='{ns}'/>", to="localhost"), "service-unavailable")
