# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Three nodes on a network of their own, whose packets get lost: what users see of it."""
import os
import re
import signal

import pytest

import database
import support
from cluster import Cluster, metric, talk
from network import Network
from test_sm import enable

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


class Spread(Cluster):
    """Node i lives in namespace i, and its clients as well."""

    def __init__(self, folder, network, **more):
        super().__init__(folder, **more)
        self.network = network

    def make(self):
        i = len(self.nodes)
        address = self.network.address(i)
        node = super().make(listen=f"{self.clients_at(i)}:0", link=f"{address}:5290", args=("--set", f"cets.advertise={address}",
                                                          "--set", "cets.secret=a secret that all nodes share"))
        # The database is reached through the file system, from every namespace.
        node.args += ["--set", f"rdbms_pgsql.host={self.server.folder}"]
        return self.place(node, i)

    def clients_at(self, i):
        """Where node i listens for clients."""
        return "127.0.0.1"

    def place(self, node, i):
        start, client = node.start, node.client
        node.start = lambda wait=True: start(wait, wrapper=self.network.wrapper(i))

        def inside(*args, **kw):
            with self.network.enter(i):
                return client(*args, **kw)
        node.client = inside
        return node


@pytest.fixture(scope="module")
def network():
    made = Network(3)
    yield made
    made.remove()


@pytest.fixture
def cluster(tmp_path, network):
    made = Spread(tmp_path, network, grace="1s").up(3)
    yield made
    network.heal()
    made.down()


def wait_metric(cluster, i, name, value):
    support.wait_for(lambda: metric(cluster.nodes[i], name) == value, f"{name} {value} at node {i}")


def test_users_of_three_machines_chat_over_encrypted_links(cluster):
    people = [cluster.login(i, f"u{i}").presence() for i in range(3)]
    cluster.wait_sessions(3)
    for a in people:
        for b in people:
            if a is not b:
                talk(a, b, f"from {a.jid}")


def test_a_node_that_is_cut_off_is_forgotten_and_comes_back_with_its_users(cluster, network):
    alice, bob, carol = (cluster.login(i, f"u{i}").presence() for i in range(3))
    cluster.wait_sessions(3)
    network.cut(2)
    for i in (0, 1):
        wait_metric(cluster, i, "cluster_records", 2)
    wait_metric(cluster, 2, "cluster_records", 1)
    talk(alice, bob, "we are still here")
    alice.message("u2@localhost", "for you, when you are back")
    alice.sync()
    network.heal()
    cluster.wait_joined()
    cluster.wait_sessions(3)
    talk(alice, carol, "you too")
    talk(carol, bob, "and I")


def test_a_one_sided_cut_loses_and_doubles_nothing(cluster, network):
    """Node 0 does not hear node 1; both are heard by node 2."""
    alice, bob, carol = (cluster.login(i, f"u{i}").presence() for i in range(3))
    cluster.wait_sessions(3)
    network.deaf(0, 1)
    for i in range(20):
        bob.message(alice.jid, f"number {i}")
    bob.sync()
    carol.message(alice.jid, "I reach you")
    talk(carol, bob, "and you")
    network.heal()
    cluster.wait_joined()
    cluster.wait_sessions(3)
    bob.message(alice.jid, "the end")
    got = []
    while not got or "the end" not in got[-1]:
        got.append(alice.stanza("^<message"))
    numbers = [int(re.search("number ([0-9]+)<", m).group(1)) for m in got if "number" in m]
    assert numbers == list(range(20))


def test_a_short_cut_is_not_noticed_by_users(cluster, network):
    alice, bob = cluster.login(0, "u0").presence(), cluster.login(1, "u1").presence()
    cluster.wait_sessions(2)
    network.cut(0)
    for i in range(20):
        alice.message(bob.jid, f"number {i}")
    alice.sync()
    network.heal()
    got = [int(re.search("number ([0-9]+)<", bob.stanza("^<message", 30)).group(1)) for _ in range(20)]
    assert got == list(range(20))
    talk(bob, alice, "all of it")


def test_lost_packets_change_no_order(cluster, network):
    alice, bob = cluster.login(0, "u0").presence(), cluster.login(1, "u1").presence()
    cluster.wait_sessions(2)
    for i in range(3):
        network.lossy(i, 0.05)
    for i in range(200):
        alice.message(bob.jid, f"number {i}")
    got = [int(re.search("number ([0-9]+)<", bob.stanza("^<message", 30)).group(1)) for _ in range(200)]
    assert got == list(range(200))


def test_a_client_resumes_elsewhere_when_its_node_is_cut_off_from_the_others(cluster, network):
    """What the lost node had not got is with the others, and its old session goes when it is back."""
    alice, bob = cluster.login(0, "u0").presence(), cluster.login(2, "u1").presence()
    enable(bob)
    cluster.wait_sessions(2)
    network.cut(2)
    for i in range(5):
        alice.message(bob.jid, f"number {i}")
    alice.sync()
    wait_metric(cluster, 0, "cluster_records", 1)
    again = cluster.login(1, "u1").presence()
    got = [again.stanza("^<message", 20) for _ in range(5)]
    assert [int(re.search("number ([0-9]+)<", m).group(1)) for m in got] == list(range(5))
    network.heal()
    cluster.wait_joined()
    cluster.wait_sessions(2)
    bob.closed("conflict")
    talk(alice, again, "to the new one")


def test_users_of_a_machine_that_dies_go_on_at_another(cluster):
    alice, bob = cluster.login(0, "u0").presence(), cluster.login(2, "u1").presence()
    cluster.wait_sessions(2)
    talk(alice, bob, "you are there")
    talk(bob, alice, "so are you")
    cluster.nodes[2].kill()
    for i in range(10):
        alice.message(bob.jid, f"number {i}")
    alice.sync()
    cluster.wait_sessions(1)
    again = cluster.login(1, "u1").presence()
    got = [int(re.search("number ([0-9]+)<", again.stanza("^<message", 20)).group(1)) for _ in range(10)]
    assert got == list(range(10))
    talk(alice, again, "welcome back")
    cluster.start(cluster.nodes[2])
    cluster.wait_joined()
    talk(cluster.login(2, "u2"), again, "from the machine that died")


def test_a_machine_that_freezes_loses_nobodys_messages(cluster):
    alice, bob, carol = (cluster.login(i, f"u{i}").presence() for i in range(3))
    cluster.wait_sessions(3)
    support.freeze(cluster.nodes[2].process)
    try:
        for i in range(10):
            alice.message("u2@localhost", f"number {i}")
        alice.sync()
        wait_metric(cluster, 0, "cluster_records", 2)
        wait_metric(cluster, 1, "cluster_records", 2)
        talk(alice, bob, "we go on")
    finally:
        os.kill(cluster.nodes[2].process.pid, signal.SIGCONT)
    cluster.wait_joined()
    cluster.wait_sessions(3)
    bob.message(carol.jid, "good morning")
    # What was sent meanwhile was stored, and comes now that she is there again; or it was with the frozen node already.
    got = ""
    while "good morning" not in got or len(set(re.findall("number ([0-9]+)<", got))) < 10:
        got += carol.stanza("^<message", 20)
    numbers = list(dict.fromkeys(int(n) for n in re.findall("number ([0-9]+)<", got)))
    assert numbers == list(range(10))


def test_machines_go_on_while_the_database_is_away(tmp_path, network):
    server = database.Postgres().start()
    cluster = Spread(tmp_path, network, grace="1s", server=server)
    try:
        cluster.up(3)
        alice, bob = cluster.login(0, "u0").presence(), cluster.login(2, "u1").presence()
        cluster.wait_sessions(2)
        talk(alice, bob, "so that lists are known")
        talk(bob, alice, "here too")
        server.stop("immediate")
        for node in cluster.nodes:
            node.wait_log("discovery.trouble")
        network.cut(1)
        wait_metric(cluster, 0, "cluster_nodes_joined", 1)
        talk(alice, bob, "without a database and a third")
        network.heal()
        cluster.wait_joined()
        server.start()
        for node in cluster.nodes:
            node.wait_log("discovery.back", patience=30)
        talk(bob, alice, "with a database")
    finally:
        network.heal()
        cluster.down()
        server.destroy()


class Open(Spread):
    """Nodes without a secret."""

    def make(self):
        node = super().make()
        at = node.args.index("cets.secret=a secret that all nodes share")
        del node.args[at - 1:at + 1]
        return node


def test_machines_that_share_no_secret_and_no_authority_do_not_link(tmp_path, network):
    cluster = Open(tmp_path, network)
    try:
        cluster.add(), cluster.add()
        for node in cluster.nodes:
            node.wait_log("off loopback .cets. needs 'secret', or 'certificate', 'key' and 'ca'")
            assert metric(node, "cluster_nodes_joined") == 0
    finally:
        cluster.down()


class Facing(Spread):
    """The database is a machine of its own, at the hub; nobody says at which address a node is to be reached."""

    def make(self):
        i = len(self.nodes)
        node = Cluster.make(self, link="0.0.0.0:5290", args=("--set", "cets.secret=a secret that all nodes share"))
        node.args += ["--set", f"rdbms_pgsql.host={self.network.HUB}"]
        return self.place(node, i)

    def make_accounts(self, node):
        with self.network.enter():
            super().make_accounts(node)


@pytest.fixture
def far_database(network):
    server = database.Postgres()
    with open(server.folder / "data" / "postgresql.conf", "a") as conf:
        conf.write("listen_addresses = '*'\n")
    with open(server.folder / "data" / "pg_hba.conf", "a") as conf:
        conf.write("host all all 10.231.7.0/24 scram-sha-256\n")
    with network.enter():
        server.start()
    yield server
    network.heal()
    server.destroy()


def test_nodes_are_reached_at_the_address_that_faces_the_database_and_go_on_when_one_cannot_reach_it(tmp_path, network, far_database):
    with network.enter():
        cluster = Facing(tmp_path, network, server=far_database, dead_after="5s")
    try:
        cluster.up(3)
        for i, node in enumerate(cluster.nodes):
            node.wait_log(f"other nodes reach this one at {network.address(i)}:5290")
        alice, bob, carol = (cluster.login(i, f"u{i}") for i in range(3))
        cluster.wait_sessions(3)
        talk(alice, bob, "so that lists are known"), talk(bob, alice, "here too")
        network.deaf_to_hub(1)
        cluster.nodes[1].wait_log("discovery.trouble", patience=30)
        talk(alice, bob, "what about the database"), talk(bob, alice, "I cannot see it"), talk(carol, alice, "I can")
        network.heal()
        cluster.nodes[1].wait_log("discovery.back", patience=30)
        cluster.wait_joined()
        assert not any("cets.suspected" in n.log() for n in cluster.nodes)
    finally:
        network.heal()
        cluster.down()


def contacts(a, b):
    for one, other in ((a, b), (b, a)):
        one.presence(type_="subscribe", to=other.bare)
        other.stanza("^<presence[^>]*subscribe")
        other.presence(type_="subscribed", to=one.bare)
        one.stanza(f"^<presence[^>]*from='{other.jid}'")


def part(cluster, network, records):
    """Node 2 is alone: it and the others have given each other up. So many records are on the side of nodes 0 and 1."""
    network.cut(2)
    for i, count in ((0, records), (1, records), (2, 1)):
        wait_metric(cluster, i, "cluster_records", count)


def test_contacts_see_each_other_again_when_their_machines_do(cluster, network):
    alice, bob = cluster.login(0, "u0").presence("<show>away</show>"), cluster.login(2, "u1").presence("<status>busy</status>")
    cluster.wait_sessions(2)
    contacts(alice, bob)
    part(cluster, network, 1)
    alice.stanza("^<presence[^>]*from='u1@localhost/test'[^>]*unavailable|^<presence[^>]*unavailable[^>]*from='u1@localhost/test'")
    bob.stanza("^<presence[^>]*from='u0@localhost/test'[^>]*unavailable|^<presence[^>]*unavailable[^>]*from='u0@localhost/test'")
    network.heal()
    assert "busy" in alice.stanza("^<presence[^>]*from='u1@localhost/test'")
    assert "away" in bob.stanza("^<presence[^>]*from='u0@localhost/test'")


def test_what_was_changed_while_machines_were_apart_holds_on_all_when_they_are_not(cluster, network):
    stranger, here, there = (cluster.login(0, "u0"), cluster.login(1, "u1", resource="here").presence(),
                             cluster.login(2, "u1", resource="there").presence())
    cluster.wait_sessions(3)
    talk(stranger, there, "its block list is read")
    there.iq("get", "<query xmlns='jabber:iq:roster'/>")
    part(cluster, network, 2)
    assert "result" in here.iq("set", "<block xmlns='urn:xmpp:blocking'><item jid='u0@localhost'/></block>")
    assert "result" in here.iq("set", "<query xmlns='jabber:iq:roster'><item jid='new@example.org'/></query>")
    network.heal()
    cluster.wait_joined()
    cluster.wait_sessions(3)
    there.stanza("^<iq[^>]* type='set'.*new@example.org")
    assert "new@example.org" in there.iq("get", "<query xmlns='jabber:iq:roster'/>")
    stranger.message(there.jid, "hear me")
    assert "type='error'" in stranger.stanza("^<message")
    there.nothing("hear me")
