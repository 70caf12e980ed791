# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Three nodes are one server: what users of different nodes may rely on."""
import base64
import hashlib
import os
import re
import signal

import pytest

import support
from cluster import Cluster


@pytest.fixture(scope="module", params=["pgsql", "sqlite"])
def cluster(request, tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), kind=request.param, more="[vcard]\n").up(3)
    yield cluster
    cluster.down()


@pytest.fixture
def login(cluster):
    clients = []

    def make(index, user, **more):
        client = cluster.login(index, user, **more)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.drop()
    cluster.wait_sessions(0)


def online(*clients):
    for client in clients:
        client.presence()
        client.stanza("^<presence")
    return clients[0] if len(clients) == 1 else clients


def test_people_on_different_nodes_talk(cluster, login):
    alice, bob = login(0, "u0"), login(1, "u1")
    cluster.wait_sessions(2)
    alice.message(bob.jid, "hello from n0")
    got = bob.stanza("^<message")
    assert "hello from n0" in got and f"from='{alice.jid}'" in got
    bob.message(alice.jid, "hello from n1")
    assert "hello from n1" in alice.stanza("^<message")


def test_a_thousand_messages_arrive_in_order(cluster, login):
    alice, bob = login(0, "u0"), login(2, "u1")
    cluster.wait_sessions(2)
    for i in range(1000):
        alice.message(bob.jid, f"number {i}")
    got = [int(re.search("number ([0-9]+)<", bob.stanza("^<message")).group(1)) for _ in range(1000)]
    assert got == list(range(1000))


def test_a_message_to_the_account_goes_to_the_best_resource_of_all_nodes(cluster, login):
    alice = login(0, "u0")
    low, high = login(1, "u1", resource="low"), login(2, "u1", resource="high")
    low.presence("<priority>1</priority>"), high.presence("<priority>5</priority>")
    low.stanza("from='u1@localhost/high'")
    cluster.wait_known()
    alice.message("u1@localhost", "to the best")
    assert "to the best" in high.stanza("^<message")
    low.nothing("^<message")


def test_requests_are_answered_across_nodes(cluster, login):
    alice, bob = login(0, "u0"), login(1, "u1")
    cluster.wait_sessions(2)
    alice.send(f"<iq type='get' id='q1' to='{bob.jid}'><q xmlns='x'/></iq>")
    assert f"from='{alice.jid}'" in bob.stanza("^<iq")
    bob.send(f"<iq type='result' id='q1' to='{alice.jid}'><q xmlns='x'/></iq>")
    assert "type='result'" in alice.stanza("id='q1'")


def test_presence_and_subscriptions_cross_nodes(cluster, login):
    alice, bob = online(login(0, "u2"), login(1, "u3"))
    alice.presence(type_="subscribe", to="u3@localhost")
    assert "type='subscribe'" in bob.stanza("^<presence[^>]*subscribe")
    bob.presence(type_="subscribed", to="u2@localhost")
    assert f"from='{bob.jid}'" in alice.stanza("^<presence[^>]*from='u3@localhost/")
    bob.presence("<show>away</show>")
    assert "away" in alice.stanza("^<presence[^>]*from='u3@localhost/")
    bob.drop()
    assert "type='unavailable'" in alice.stanza("^<presence[^>]*from='u3@localhost/")


def test_two_who_come_at_the_same_moment_see_each_other(cluster, login):
    for _ in range(20):
        one, two = login(1, "u7", resource="one"), login(2, "u7", resource="two")
        one.send("<presence/>"), two.send("<presence/>")
        one.stanza("from='u7@localhost/two'"), two.stanza("from='u7@localhost/one'")
        one.close(), two.close()


def test_carbons_cross_nodes(cluster, login):
    alice, one, two = login(0, "u0"), login(1, "u1", resource="one"), login(2, "u1", resource="two")
    online(one, two)
    for client in (one, two):
        assert "result" in client.iq("set", "<enable xmlns='urn:xmpp:carbons:2'/>")
    cluster.wait_sessions(3)
    alice.message(one.jid, "for both")
    assert "for both" in one.stanza("^<message")
    assert "<received" in two.stanza("^<message.*for both")
    one.nothing("^<message")


def test_a_resource_bound_at_another_node_ends_the_older_session(cluster, login):
    older = login(0, "u4", resource="same")
    cluster.wait_sessions(1)
    newer = login(1, "u4", resource="same")
    older.closed("conflict")
    cluster.wait_sessions(1)
    other = login(2, "u5")
    other.message("u4@localhost/same", "who is it")
    assert "who is it" in newer.stanza("^<message")


def test_of_two_who_bind_one_resource_at_two_nodes_in_the_same_moment_one_stays(cluster, login):
    other = login(2, "u5")
    for i in range(20):
        both = [cluster.nodes[n].client() for n in (0, 1)]
        for client in both:
            client.authenticate("u4")
        for client in both:
            client.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>same</resource></bind></iq>")
        for client in both:
            client.stanza("id='b'")
        cluster.wait_sessions(2)
        other.message("u4@localhost/same", f"who is it {i}")
        texts = [client.until(f"</stream:stream>|who is it {i}<") for client in both]
        assert sum("<conflict " in t for t in texts) == sum(f"who is it {i}<" in t for t in texts) == 1
        for client in both:
            client.drop()
        cluster.wait_sessions(1)


def test_the_newer_of_two_sessions_stays_though_both_nodes_give_it_the_same_id(tmp_path):
    """The first session of a worker has the same id on every node: what the older one says at its end, when the newer is
    available already, is not said of the newer."""
    cluster = Cluster(tmp_path, kind="sqlite")
    try:
        for _ in range(3):
            cluster.add(args=("--set", "meerkat.workers=1", "--set", "cets.dead_after=30s"))
        cluster.wait_joined()
        older = online(cluster.login(0, "u0"))
        cluster.wait_sessions(1)
        support.freeze(cluster.nodes[0].process)
        try:
            newer = online(cluster.login(1, "u0"))
        finally:
            cluster.nodes[0].process.send_signal(signal.SIGCONT)
        older.closed("conflict")
        cluster.wait_sessions(1)
        other = cluster.login(2, "u5")
        cluster.wait_sessions(2)
        other.message("u0@localhost", "you are still here")
        assert "you are still here" in newer.stanza("^<message")
    finally:
        cluster.down()


def test_offline_messages_wait_for_whichever_node(cluster, login):
    alice = login(0, "u0")
    alice.message("u6@localhost", "while you were away")
    alice.sync()
    late = login(2, "u6").presence()
    assert "while you were away" in late.stanza("^<message")


def test_blocking_holds_on_every_node(cluster, login):
    alice, bob = online(login(0, "u0"), login(1, "u1"))
    cluster.wait_sessions(2)
    assert "result" in bob.iq("set", "<block xmlns='urn:xmpp:blocking'><item jid='u0@localhost'/></block>")
    alice.message(bob.jid, "hear me")
    assert "type='error'" in alice.stanza("^<message")
    bob.nothing("hear me")
    assert "result" in bob.iq("set", "<unblock xmlns='urn:xmpp:blocking'/>")
    alice.message(bob.jid, "now")
    assert "now" in bob.stanza("^<message")


def test_a_new_picture_is_in_the_presence_of_sessions_on_other_nodes(cluster, login):
    here, there = login(0, "u3"), login(2, "u3", resource="other")
    cluster.wait_sessions(2)

    def own_hash():
        there.presence()
        return re.search("<photo>(.*?)</photo>|<photo/>|$", there.stanza(rf"^<presence[^>]*from='{there.jid}'")).group(1)

    before = own_hash()
    image = os.urandom(100)
    here.iq("set", f"<vCard xmlns='vcard-temp'><PHOTO><BINVAL>{base64.b64encode(image).decode()}</BINVAL></PHOTO></vCard>")
    support.wait_for(lambda: own_hash() == hashlib.sha1(image).hexdigest(), "the hash of the new picture")
    assert before != own_hash()


def test_a_node_with_other_hosts_is_named_in_the_log(tmp_path):
    cluster = Cluster(tmp_path, kind="sqlite")
    try:
        cluster.make()
        other = cluster.make()
        other.ini.write_text(other.ini.read_text().replace("hosts = localhost", "hosts = localhost, elsewhere.example"))
        for node in cluster.nodes:
            node.start(wait=False)
        cluster.nodes[0].wait_log("node 'n1' is configured otherwise: its hosts are "
                                  "'elsewhere.example,localhost', here 'localhost'")
        other.wait_log("node 'n0' is configured otherwise")
    finally:
        cluster.down()
