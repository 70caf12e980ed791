# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Nodes of a cluster find each other in a file (module discovery_file)."""
import os

import pytest

import support
from cluster import Cluster, metric
from database import free_port


class Listed(Cluster):
    """Node i is number i+1 and has a port of its own; `write` says who is in the file."""

    def __init__(self, folder):
        super().__init__(folder, kind="sqlite")
        self.file = folder / "nodes"
        self.ports = [free_port() for _ in range(4)]

    def make(self):
        i = len(self.nodes)
        node = super().make(link=f"127.0.0.1:{self.ports[i]}", args=("--set", "cets.discovery=file"))
        node.ini.write_text(node.ini.read_text().replace("[discovery_rdbms]\ninterval = 500ms\n",
                                                         f"[discovery_file]\nfile = {self.file}\ninterval = 100ms\n"))
        return node

    def line(self, i, name=None):
        return f"{i + 1} {name or f'n{i}'} 127.0.0.1:{self.ports[i]}\n"

    def write(self, text):
        """As one should: a new file takes the place of the old one."""
        new = self.file.with_suffix(".new")
        new.write_text(text)
        os.rename(new, self.file)

    def list(self, *numbers):
        self.write("# the nodes of a test\n\n" + "".join(self.line(i) for i in numbers))


@pytest.fixture
def cluster(tmp_path):
    made = Listed(tmp_path)
    yield made
    made.down()


def start(cluster):
    node = cluster.make()
    node.start()
    if not hasattr(cluster, "accounts_made"):
        cluster.make_accounts(node)
    return node


def test_nodes_of_a_file_are_one_server(cluster):
    cluster.list(0, 1, 2)
    for _ in range(3):
        start(cluster)
    cluster.wait_joined()
    assert [n.wait_log(r"number (\d+) of cluster").group(1) for n in cluster.nodes] == ["1", "2", "3"]
    alice, bob = cluster.login(0, "u0"), cluster.login(2, "u1")
    cluster.wait_sessions(2)
    alice.message(bob.jid, "found you")
    assert "found you" in bob.stanza("^<message")


def test_a_node_that_is_added_to_the_file_is_found(cluster):
    cluster.list(0)
    first = start(cluster)
    first.wait_log("cets.in_sync")
    second = start(cluster)
    second.wait_log("has no line for this node, 'n1': it waits for one")
    assert metric(first, "cluster_nodes_joined") == 0
    cluster.list(0, 1)
    cluster.wait_joined()


def test_a_node_whose_line_goes_goes_on(cluster):
    cluster.list(0, 1)
    first, second = start(cluster), start(cluster)
    cluster.wait_joined()
    cluster.list(0)
    second.wait_log("has no line for this node, 'n1', any more; it goes on")
    first.wait_log("has 1 nodes")
    cluster.wait_joined()
    assert first.process.poll() is None and second.process.poll() is None


def test_a_node_waits_for_a_file_that_is_not_there(cluster):
    node = start(cluster)
    node.wait_log("No such file")
    support.wait_for(lambda: metric(node, "discovery_failures_total") > 2, "looks that fail")
    assert node.log().count("No such file") == 1
    cluster.list(0)
    node.wait_log("can be read again")
    node.wait_log("cets.in_sync")


@pytest.mark.parametrize("line, why", [
    ("2 n1", "line 2: not NUMBER NAME IP:PORT"),
    ("2 n1 127.0.0.1:1 more", "line 2: not NUMBER NAME IP:PORT"),
    ("0 n1 127.0.0.1:1", "line 2: the number is not one from 1 to 65535"),
    ("65536 n1 127.0.0.1:1", "line 2: the number is not one from 1 to 65535"),
    ("2x n1 127.0.0.1:1", "line 2: the number is not one from 1 to 65535"),
    ("2 n1 example.org:1", "line 2: the address is not IP:PORT"),
    ("2 n1 127.0.0.1", "line 2: the address is not IP:PORT"),
    ("2 n1 127.0.0.1:0", "line 2: the address is not IP:PORT"),
    ("2 n1 [::1:5", "line 2: the address is not IP:PORT"),
    ("1 n1 127.0.0.1:1", "line 2: its name or its number is in an earlier line as well"),
    ("2 n0 [::1]:1", "line 2: its name or its number is in an earlier line as well"),
    (f"2 {'n' * 251} 127.0.0.1:1", "line 2: the name is too long"),
    (f"2 {'n' * 1200} 127.0.0.1:1", "line 2: too long"),
])
def test_a_line_that_makes_no_sense_is_named_and_nothing_changes(cluster, line, why):
    cluster.list(0)
    node = start(cluster)
    node.wait_log("cets.in_sync")
    cluster.write(cluster.line(0) + line + "\n")
    node.wait_log(why)
    cluster.list(0)
    node.wait_log("can be read again")
    assert node.process.poll() is None


def test_a_node_whose_number_is_given_to_another_stops(cluster):
    cluster.list(0)
    node = start(cluster)
    node.wait_log("cets.in_sync")
    cluster.write("7 n0 127.0.0.1:7\n")
    node.wait_log("the discovery has given this node's number to another: this node stops")
    assert node.process.wait(15) == 0


def test_the_file_must_be_named(cluster):
    node = cluster.make()
    node.ini.write_text(node.ini.read_text().replace(f"file = {cluster.file}\n", ""))
    node.start(wait=False)
    assert node.process.wait(15) != 0
    assert "file" in node.log()
