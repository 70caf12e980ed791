# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""What is done to a cluster as a whole: sessions are ended wherever they are, all nodes reload, events and metrics tell of nodes."""
import os
import re
import signal

import pytest

import support
from cluster import Cluster, metric
from extra import compile_module, module_folder
from test_sm import enable, reset


class Watched(Cluster):
    """All nodes have module t_cluster."""

    def __init__(self, folder, **more):
        super().__init__(folder, more="[t_cluster]\n", **more)
        self.modules = module_folder(folder)
        compile_module(self.modules, "t_cluster")

    def make(self, args=(), **more):
        return super().make(args=(*args, "--set", f"meerkat.module_path={self.modules}"), **more)


@pytest.fixture
def cluster(tmp_path):
    made = Watched(tmp_path).up(3)
    yield made
    made.down()


def ask(client, what):
    client.message("localhost", what)
    return re.search("<body>(.*?)</body>", client.stanza("^<message[^>]*from='localhost'")).group(1)


@pytest.mark.parametrize("place", [0, 1])
def test_a_session_is_ended_wherever_it_is(cluster, place):
    admin, bob = cluster.login(0, "u0"), cluster.login(place, "u1")
    cluster.wait_sessions(2)
    assert ask(admin, f"end {bob.jid}") == "ended"
    text = bob.closed("</stream:stream>")
    assert "<policy-violation " in text and "ended from afar" in text
    cluster.wait_sessions(1)
    assert ask(admin, f"end {bob.jid}") == "nobody"


def test_a_session_without_a_connection_is_ended_too(cluster):
    admin, bob = cluster.login(0, "u0"), cluster.login(2, "u1")
    enable(bob)
    cluster.wait_sessions(2)
    reset(bob)
    assert ask(admin, f"end {bob.jid}") == "ended"
    cluster.wait_sessions(1)


def test_who_ends_a_session_of_a_node_that_dies_hears_that_it_is_not_there(cluster):
    admin, bob = cluster.login(0, "u0"), cluster.login(1, "u1")
    cluster.wait_sessions(2)
    support.freeze(cluster.nodes[1].process)
    admin.message("localhost", f"end {bob.jid}")
    said = admin.sync()         # on a busy machine the frozen node may be given up meanwhile
    cluster.nodes[1].kill()
    assert "not there" in said or "not there" in admin.stanza("^<message[^>]*from='localhost'")


def test_all_nodes_reload_their_configuration(cluster):
    admin = cluster.login(0, "u0")
    for node in cluster.nodes:
        node.ini.write_text(node.ini.read_text().replace("[sm]\n", "[sm]\nresume_timeout = 77s\n"))
    parts = ask(admin, "reload").split(" | ")
    assert parts[0] == "n0: well" and sorted(parts) == ["n0: well", "n1: well", "n2: well"]
    for i in range(3):
        client = cluster.login(i, f"u{i + 1}")
        enable(client)
        assert "max='77'" in client.enabled


def test_a_node_whose_configuration_is_wrong_says_so_and_the_others_reload(cluster):
    admin = cluster.login(0, "u0")
    bad = cluster.nodes[1]
    bad.ini.write_text(bad.ini.read_text() + "[nonsense]\n")
    parts = dict(p.split(": ", 1) for p in ask(admin, "reload").split(" | "))
    assert parts["n0"] == parts["n2"] == "well"
    assert "nonsense" in parts["n1"]
    assert bad.process.poll() is None


def test_modules_hear_of_nodes_that_come_and_go(cluster):
    first = cluster.nodes[0]
    for name in ("n1", "n2"):
        first.wait_log(f"event node_joined '{name}'")
    first.wait_log("event table_in_sync 'sessions'")
    cluster.nodes[1].stop()
    first.wait_log("event node_left 'n1'")
    cluster.nodes[2].kill()
    first.wait_log("event node_left 'n2'")
    cluster.start(cluster.nodes[2])
    support.wait_for(lambda: first.log().count("event node_joined 'n2'") == 2, "the event of a node that is back")


def test_the_log_says_who_joined_how_long_it_took_and_what_came(cluster):
    for i in range(3):
        cluster.login(0, f"u{i}")
    cluster.wait_sessions(3)
    late = cluster.add()
    assert late.wait_log(r"node 'n0' \(number \d+\) joined after \d+ ms: 3 records of its own")
    assert late.wait_log(r"in sync with the cluster after \d+ ms: 3 records")


def test_metrics_by_the_name_of_the_node(cluster):
    def of(node, name, peer):
        match = re.search(rf'^{name}{{node="{peer}"}} (\S+)$', node.control("metrics"), re.M)
        return float(match.group(1)) if match else None

    alice, bob = cluster.login(0, "u0"), cluster.login(1, "u1")
    cluster.wait_sessions(2)
    first = cluster.nodes[0]
    sent, other = of(first, "cluster_peer_bytes_sent_total", "n1"), of(first, "cluster_peer_bytes_sent_total", "n2")
    for i in range(20):
        alice.message(bob.jid, "x" * 1000)
    bob.stanza("^<message")
    support.wait_for(lambda: of(first, "cluster_peer_bytes_sent_total", "n1") - sent > 20000, "bytes to n1")
    assert of(first, "cluster_peer_bytes_sent_total", "n2") - other < 20000
    assert of(first, "cluster_peer_bytes_received_total", "n1") > 0
    assert of(first, "cluster_peer_links_total", "n1") >= 1
    assert of(first, "cluster_peer_joined", "n1") == 1
    support.wait_for(lambda: of(first, "cluster_peer_lag", "n1") == 0 == of(first, "cluster_peer_queue_bytes", "n1"),
                     "nothing that waits")
    links = of(first, "cluster_peer_links_total", "n2")
    cluster.nodes[2].kill()
    support.wait_for(lambda: of(first, "cluster_peer_joined", "n2") == 0, "n2 to be missed")
    cluster.start(cluster.nodes[2])
    cluster.wait_joined()
    assert of(first, "cluster_peer_links_total", "n2") > links
    assert metric(first, "cluster_nodes_joined") == 2
