# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""How nodes find each other through the database, and what happens to that when the database, a row or a name is not as it should be."""
import contextlib
import os
import pathlib
import re
import signal

import database
import support
from cluster import metric, talk


@contextlib.contextmanager
def rows(cluster):
    with database.Connection(cluster.server.connect(cluster.database), True) as db:
        yield db


def number(node):
    return int(node.wait_log(r"number (\d+) of cluster").group(1))


def test_the_number_of_a_node_that_left_is_given_to_the_next(make_cluster):
    cluster = make_cluster()
    for i in range(3):
        assert number(cluster.add()) == i + 1
    cluster.wait_joined()
    cluster.nodes[1].stop()
    assert number(cluster.add()) == 2
    cluster.wait_joined()
    alice, bob = cluster.login(0, "u0"), cluster.login(3, "u1")
    cluster.wait_sessions(2)
    talk(alice, bob, "you have an old number")
    talk(bob, alice, "and it works")


def test_a_node_whose_row_was_lost_keeps_its_number_and_goes_on(make_cluster):
    """As when it could not reach the database for so long that the others took it off the list."""
    cluster = make_cluster()
    for _ in range(3):
        cluster.add()
    cluster.wait_joined()
    last = cluster.nodes[2]
    bob = cluster.login(2, "u1")
    cluster.nodes[0].stop()         # number 1 is free
    with rows(cluster) as db:
        db.execute("DELETE FROM discovery_nodes WHERE node_name = 'n2'")
        last.wait_log("discovery.expired")
        support.wait_for(lambda: db.execute("SELECT node_num FROM discovery_nodes WHERE node_name = 'n2'").fetchone(), "its row")
        assert db.execute("SELECT node_num FROM discovery_nodes WHERE node_name = 'n2'").fetchone()[0] == 3
    alice = cluster.login(1, "u0")
    cluster.wait_sessions(2)
    talk(alice, bob, "still there")
    assert last.process.poll() is None


def named(cluster, name):
    """The cluster's nodes are of cluster `name`."""
    cluster.name, make_cluster = name, cluster.make
    cluster.make = lambda args=(), **more: make_cluster(args=(*args, "--set", f"cets.cluster={name}"), **more)
    return cluster


def test_clusters_of_different_names_share_a_database(make_cluster):
    one = named(make_cluster(), "one")
    two = named(make_cluster(), "two")
    two.database, two.accounts_made = one.database, True
    one.add(), one.add()
    for _ in range(2):
        node = two.make()
        node.ini.write_text(re.sub(r"node = (\w+)", r"node = two-\1", node.ini.read_text()))
        two.start(node)
    one.wait_joined(), two.wait_joined()
    assert [number(n) for n in one.nodes] == [number(n) for n in two.nodes] == [1, 2]
    here, there = one.login(0, "u0"), two.login(0, "u0")
    one.wait_sessions(1), two.wait_sessions(1)     # the same account at both: they know nothing of each other
    here.sync(), there.sync()


def test_a_node_whose_name_another_cluster_has_waits_and_says_so(make_cluster):
    one = named(make_cluster(), "one")
    two = named(make_cluster(more="[discovery_rdbms]\ninterval = 200ms\nexpire = 2s\n"), "two")
    two.database, two.accounts_made = one.database, True
    one.add(), one.add()
    twin = two.make().start(wait=False)
    twin.wait_log("cluster 'one' in the same database has a node 'n0' as well")
    one.wait_joined()
    assert "discovery.expired" not in one.nodes[0].log()
    assert "cets.in_sync" not in twin.log() and twin.log().count("discovery.name_taken") == 1
    one.nodes[0].kill()
    twin.wait_log("cets.in_sync", patience=30)
    assert number(twin) == 1


def test_nodes_that_start_without_their_database_are_a_cluster_when_it_comes(make_cluster):
    server = database.Postgres().start()
    try:
        cluster = make_cluster(server=server)
        server.stop("immediate")
        for _ in range(3):
            cluster.make().start(wait=False)
        for node in cluster.nodes:
            node.wait_log("discovery.trouble")
            assert "cets.in_sync" not in node.log()
        server.start()
        for node in cluster.nodes:
            node.wait_log("cets.in_sync", patience=30)
        cluster.wait_joined()
        cluster.make_accounts(cluster.nodes[0])
        alice, bob = cluster.login(0, "u0"), cluster.login(2, "u1")
        cluster.wait_sessions(2)
        talk(alice, bob, "at last")
        cluster.down()
    finally:
        server.destroy()


def processes(server):
    """Every process of a PostgreSQL."""
    main = server.pid()
    children = pathlib.Path(f"/proc/{main}/task/{main}/children").read_text().split()
    return [main, *map(int, children)]


def test_a_database_that_hangs_holds_up_nobody_who_talks(make_cluster):
    server = database.Postgres().start()
    try:
        cluster = make_cluster(server=server, dead_after="10s").up(3)
        alice, bob = cluster.login(0, "u0"), cluster.login(1, "u1")
        cluster.wait_sessions(2)
        talk(alice, bob, "so that lists are known")
        talk(bob, alice, "here too")
        frozen = processes(server)
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            for node in cluster.nodes:
                node.wait_log("discovery.trouble", patience=60)
            talk(alice, bob, "the database hangs")
            talk(bob, alice, "so it does")
            assert all(metric(n, "cluster_nodes_joined") == 2 for n in cluster.nodes)
        finally:
            for pid in reversed(frozen):
                os.kill(pid, signal.SIGCONT)
        for node in cluster.nodes:
            node.wait_log("discovery.back", patience=30)
        assert not any("cets.suspected" in node.log() for node in cluster.nodes)
        cluster.down()
    finally:
        server.destroy()


def test_a_node_that_starts_after_an_outage_waits_for_those_who_have_not_written_yet(make_cluster):
    """Their rows are old for the outage's sake; who is online at them is known before the newcomer is ready."""
    cluster = make_cluster(more="[discovery_rdbms]\ninterval = 1m\n").up(1)
    cluster.login(0, "u0")
    cluster.wait_sessions(1)
    with rows(cluster) as db:
        # At first it writes four times a second.
        support.wait_for(lambda: db.execute("SELECT extract(epoch FROM now()) - updated_timestamp FROM discovery_nodes").fetchone()[0] > 3,
                         "the node to write seldom")
        db.execute("UPDATE discovery_nodes SET updated_timestamp = updated_timestamp - 3600")
    late = cluster.make().start(wait=False)
    late.wait_log("cets.in_sync")
    assert metric(late, "cluster_nodes_joined") == 1 and metric(late, "cluster_records") == 1


def test_a_node_that_is_known_and_cannot_be_reached_is_reported(make_cluster):
    cluster = make_cluster().up(1)
    with rows(cluster) as db:
        db.execute("INSERT INTO discovery_nodes (cluster_name, node_name, node_num, address, updated_timestamp) SELECT "
                   "cluster_name, 'far', 77, '127.0.0.1:1', updated_timestamp + 60 FROM discovery_nodes")
    node = cluster.nodes[0]
    node.wait_log("node 'far' is known at 127.0.0.1:1 and cannot be reached")
    newcomer = cluster.add()        # is ready all the same, after the grace period
    newcomer.wait_log("node 'far' is known at 127.0.0.1:1 and cannot be reached")
    assert node.log().count("cets.unreachable") == 1
