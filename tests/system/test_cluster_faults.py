# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Nodes that come, go, die, freeze and lose their database: what users see of it."""
import os
import re
import signal

import database
import support
from cluster import metric, talk


def test_a_node_that_joins_late_knows_who_is_online(make_cluster):
    cluster = make_cluster().up(1)
    clients = [cluster.login(0, f"u{i}") for i in range(5)]
    cluster.add()
    cluster.wait_joined()
    late = cluster.login(1, "u6")
    for client in clients:
        talk(late, client, "hello")


def test_a_node_that_stops_is_forgotten_at_once(make_cluster):
    cluster = make_cluster(grace="1h").up(3)
    cluster.login(1, "u1")
    alice = cluster.login(0, "u0")
    cluster.wait_sessions(2)
    cluster.nodes[1].stop()
    cluster.wait_sessions(1)
    alice.message("u1@localhost", "later")
    alice.sync()
    back = cluster.login(2, "u1").presence()
    assert "later" in back.stanza("^<message")


def test_the_records_of_a_killed_node_go_after_the_grace_period(make_cluster):
    cluster = make_cluster(grace="1s").up(3)
    cluster.login(1, "u1"), cluster.login(0, "u0")
    cluster.wait_sessions(2)
    cluster.nodes[1].kill()
    cluster.wait_sessions(1)
    assert "is gone" in cluster.nodes[0].log()


def test_contacts_see_that_who_was_at_a_killed_node_is_gone(make_cluster):
    cluster = make_cluster(grace="1s").up(3)
    alice, bob = cluster.login(0, "u0").presence(), cluster.login(1, "u1").presence()
    other = cluster.login(2, "u1", resource="other").presence()
    alice.presence(type_="subscribe", to="u1@localhost")
    bob.stanza("^<presence[^>]*subscribe")
    bob.presence(type_="subscribed", to="u0@localhost")
    alice.stanza("^<presence[^>]*from='u1@localhost/test'")
    cluster.nodes[1].kill()
    alice.stanza("^<presence[^>]*from='u1@localhost/test'[^>]*unavailable|^<presence[^>]*unavailable[^>]*from='u1@localhost/test'")
    other.stanza("unavailable.*u1@localhost/test|u1@localhost/test.*unavailable")
    cluster.wait_sessions(2)
    alice.nothing("unavailable")


def test_what_was_sent_to_a_killed_node_is_stored_or_answered(make_cluster):
    cluster = make_cluster(grace="1s").up(3)
    alice, bob = cluster.login(0, "u0"), cluster.login(1, "u1").presence()
    cluster.wait_sessions(2)
    talk(alice, bob, "you are there")
    talk(bob, alice, "so are you")      # behind it on the link: that the first has arrived
    cluster.nodes[1].kill()
    for i in range(20):
        alice.message("u1@localhost/test", f"number {i}")
    alice.send("<iq type='get' id='lost' to='u1@localhost/test'><q xmlns='x'/></iq>")
    assert "service-unavailable" in alice.stanza("id='lost'")
    cluster.wait_sessions(1)
    alice.sync()
    back = cluster.login(2, "u1").presence()
    got = [int(re.search("number ([0-9]+)<", back.stanza("^<message")).group(1)) for _ in range(20)]
    assert got == list(range(20))


def test_a_killed_node_that_comes_back_has_no_old_sessions(make_cluster):
    cluster = make_cluster(grace="1h").up(2)
    cluster.login(1, "u1")
    cluster.wait_sessions(1)
    cluster.nodes[1].kill()
    cluster.start(cluster.nodes[1])
    cluster.wait_joined()
    cluster.wait_sessions(0)


def test_a_frozen_node_comes_back_with_its_sessions(make_cluster):
    cluster = make_cluster(grace="1s").up(3)
    alice, bob = cluster.login(0, "u0"), cluster.login(1, "u1").presence()
    cluster.wait_sessions(2)
    for i in range(3):
        talk(alice, bob, "before the frost")
        talk(bob, alice, "here too")
    frozen = cluster.nodes[1]
    support.freeze(frozen.process)
    try:
        for node in (cluster.nodes[0], cluster.nodes[2]):
            support.wait_for(lambda: metric(node, "cluster_records") == 1, "the records of the frozen node go")
        alice.message("u1@localhost", "while you froze")
        alice.sync()
    finally:
        os.kill(frozen.process.pid, signal.SIGCONT)
    cluster.wait_joined()
    cluster.wait_sessions(2)
    alice.message(bob.jid, "after the frost")
    bob.stanza("^<message.*after the frost")
    talk(bob, alice, "here too")


def test_two_nodes_of_which_only_one_has_given_the_other_up_go_on_together(make_cluster):
    """The frozen one wakes up to a neighbour that has forgotten all that was said between them."""
    cluster = make_cluster()
    first, second = cluster.add(args=("--set", "cets.grace=200ms")), cluster.add(args=("--set", "cets.grace=1h"))
    cluster.wait_joined()
    alice, bob = cluster.login(0, "u0").presence(), cluster.login(1, "u1").presence()
    cluster.wait_sessions(2)
    for i in range(5):
        talk(alice, bob, f"before {i}")
        talk(bob, alice, f"before {i}")
    support.freeze(second.process)
    try:
        first.wait_log("node 'n1' is gone")
    finally:
        os.kill(second.process.pid, signal.SIGCONT)
    cluster.wait_joined()
    cluster.wait_sessions(2)
    for i in range(5):
        alice.message(bob.jid, f"after {i}")
        bob.stanza(f"^<message.*after {i}<")
        bob.message(alice.jid, f"after {i}")
        alice.stanza(f"^<message.*after {i}<")
    assert "is gone" not in second.log()
    assert not any("makes no sense" in node.log() for node in cluster.nodes)


def test_more_than_may_wait_for_a_node_that_hangs_is_answered_and_nothing_is_lost(make_cluster):
    cluster = make_cluster(dead_after="5m")
    for _ in range(2):
        cluster.add(args=("--set", "cets.queue_max=64K"))
    cluster.wait_joined()
    alice, bob = cluster.login(0, "u0").presence(), cluster.login(1, "u1").presence()
    cluster.wait_sessions(2)
    talk(alice, bob, "there you are")
    talk(bob, alice, "so are you")
    support.freeze(cluster.nodes[1].process)
    try:
        ids = {}
        for i in range(40):
            alice.message(bob.jid, f"number {i} {'x' * 5000}")
            ids[f"m{alice.serial}"] = i
        answered = alice.sync()         # the node does not wait for the other
    finally:
        os.kill(cluster.nodes[1].process.pid, signal.SIGCONT)
    support.wait_for(lambda: metric(cluster.nodes[0], "cluster_queue_bytes") == 0, "all that waited to be there")
    alice.message(bob.jid, "there is room again")
    came = []
    while "there is room again" not in (text := bob.stanza("^<message")):
        came.append(int(re.search("number ([0-9]+) ", text).group(1)))
    answered += alice.sync()
    refused = {ids[m] for m in re.findall("<message[^>]* type='error' id='(m[0-9]+)'", answered)}
    assert refused and answered.count("<resource-constraint ") == len(refused)
    assert metric(cluster.nodes[0], "cluster_requests_refused_total") == len(refused)
    assert came == sorted(came) and set(came) | refused == set(range(40)) and not set(came) & refused


def test_a_cluster_goes_on_without_its_database(make_cluster):
    server = database.Postgres().start()
    try:
        cluster = make_cluster(server=server, dead_after="10s").up(3)
        alice, bob = cluster.login(0, "u0"), cluster.login(1, "u1")
        cluster.wait_sessions(2)
        talk(alice, bob, "so that lists are known")
        talk(bob, alice, "here too")
        server.stop("immediate")
        for node in cluster.nodes:
            node.wait_log("discovery.trouble")
        talk(alice, bob, "without a database")
        server.start()
        for node in cluster.nodes:
            node.wait_log("discovery.back", patience=30)
        talk(bob, alice, "with a database")
        cluster.wait_joined()
        assert not any("cets.suspected" in node.log() for node in cluster.nodes)
        cluster.down()
    finally:
        server.destroy()


def test_one_two_eight_one(make_cluster):
    cluster = make_cluster(grace="5s", users=16).up(1)
    alice = cluster.login(0, "u0")
    others = []
    for i in range(1, 8):
        cluster.add()
        others.append(cluster.login(i, f"u{i}"))
    cluster.wait_joined()
    cluster.wait_sessions(8)
    for client in others:
        talk(alice, client, "to you")
        talk(client, alice, "and back")
    for node in cluster.nodes[:0:-1]:
        node.stop()
    cluster.wait_joined()
    cluster.wait_sessions(1)
    talk(alice, alice, "myself")


def test_sixteen_nodes_at_once_are_one_cluster(make_cluster):
    cluster = make_cluster()
    cluster.up(16)
    assert all(metric(n, "cluster_nodes_joined") == 15 for n in cluster.nodes)
    numbers = {re.search(r"number (\d+) of cluster", n.log()).group(1) for n in cluster.nodes}
    assert numbers == {str(i) for i in range(1, 17)}


def test_a_second_node_of_one_name_is_refused_and_stops(make_cluster):
    cluster = make_cluster().up(2)
    twin = cluster.make()
    text = twin.ini.read_text().replace("node = n2", "node = n1")
    twin.ini.write_text(text)
    twin.start(wait=False)
    twin.wait_log("node 'n1' is connected in another life: this node stops")
    assert twin.process.wait(15) == 0
    cluster.nodes = cluster.nodes[:2]
    cluster.wait_joined()
    alice, bob = cluster.login(0, "u0"), cluster.login(1, "u1")
    cluster.wait_sessions(2)
    talk(alice, bob, "still one")
