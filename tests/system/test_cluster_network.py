# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Three nodes on a network of their own, whose packets get lost: what users see of it."""
import os
import re
import signal

import pytest

import database
import support
from cluster import Cluster, metric
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
        node = super().make(link=f"{address}:5290", args=("--set", f"cets.advertise={address}",
                                                          "--set", "cets.secret=a secret that all nodes share"))
        # The database is reached through the file system, from every namespace.
        node.args += ["--set", f"rdbms_pgsql.host={self.server.folder}"]
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


def talk(a, b, text):
    a.message(b.jid, text)
    assert text in b.stanza("^<message")


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
