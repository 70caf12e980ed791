# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""sm.acknowledge = safe: what was acknowledged to its sender is at a second node, in storage or at its receiver's client."""
import os
import re
import signal

import pytest

import support
from cluster import Cluster, metric
from extra import node_with
from test_sm import NS, ack, bodies, enable, reset, resume


@pytest.fixture
def make(tmp_path):
    made = []

    def cluster(count, more="", **args):
        made.append(Cluster(tmp_path / str(len(made)), more="[sm]\nacknowledge = safe\n" + more, **args).up(count))
        return made[-1]

    yield cluster
    for one in made:
        one.down()


def people(cluster, *places):
    """Clients u0, u1 … at these nodes, available, with stream management; they acknowledge nothing by themselves."""
    clients = [cluster.login(node, f"u{i}").presence() for i, node in enumerate(places)]
    for client in clients:
        client.stanza("^<presence")
        enable(client)
    cluster.wait_sessions(len(clients))
    return clients


def acknowledged(client, count):
    support.wait_for(lambda: ack(client) == count, f"{count} stanzas to be acknowledged")


def kept(cluster):
    return sum(metric(node, "router_kept") for node in cluster.alive())


def wait_kept(cluster, count):
    support.wait_for(lambda: kept(cluster) == count, f"{count} messages to be kept")


def numbers(client, count):
    return [int(re.search("number ([0-9]+)<", client.stanza("^<message", 30)).group(1)) for _ in range(count)]


def test_a_message_to_another_node_is_acknowledged_before_its_receiver_has_it(make):
    cluster = make(2)
    alice, bob = people(cluster, 0, 1)
    reset(bob)
    alice.message(bob.jid, "hello")
    acknowledged(alice, 1)
    assert kept(cluster) == 0   # its sender's node is the second one


def test_a_message_within_a_node_is_kept_by_another_until_its_receiver_acknowledges_it(make):
    cluster = make(3)
    alice, bob = people(cluster, 0, 0)
    for i in range(5):
        alice.message(bob.jid if i % 2 else "u1@localhost", f"number {i}")
    acknowledged(alice, 5)
    assert kept(cluster) == 5 and metric(cluster.nodes[0], "router_kept") == 0
    assert numbers(bob, 5) == list(range(5))
    bob.send(f"<a xmlns='{NS}' h='5'/>")
    wait_kept(cluster, 0)


def test_what_was_kept_for_a_node_that_died_goes_to_its_receiver_in_order(make):
    cluster = make(3)
    alice, bob = people(cluster, 0, 0)
    reset(bob)
    for i in range(20):
        alice.message(bob.jid, f"number {i}")
    acknowledged(alice, 20)
    cluster.nodes[0].kill()
    wait_kept(cluster, 0)
    back = cluster.login(1, "u1").presence()
    text = "".join(back.stanza("^<message", 30) for _ in range(20))
    assert bodies(text) == [f"number {i}" for i in range(20)]
    assert text.count("<delay ") == 20


def test_what_was_kept_goes_on_at_once_to_a_receiver_who_is_back_elsewhere(make):
    cluster = make(2)
    alice, bob = people(cluster, 0, 0)
    reset(bob)
    alice.message("u1@localhost", "number 0")
    acknowledged(alice, 1)
    cluster.nodes[0].kill()
    back = cluster.login(1, "u1").presence()
    assert numbers(back, 1) == [0]


def test_what_a_node_kept_that_died_is_given_to_another(make):
    cluster = make(3)
    alice, bob = people(cluster, 0, 0)
    reset(bob)
    for i in range(5):
        alice.message(bob.jid, f"number {i}")
    acknowledged(alice, 5)
    keeper = next(n for n in cluster.nodes if metric(n, "router_kept"))
    keeper.kill()
    wait_kept(cluster, 5)
    cluster.nodes[0].kill()
    wait_kept(cluster, 0)
    last = cluster.nodes.index(cluster.alive()[0])
    assert numbers(cluster.login(last, "u1").presence(), 5) == list(range(5))


def test_what_a_node_kept_that_stopped_is_given_to_another(make):
    cluster = make(3)
    alice, bob = people(cluster, 0, 0)
    reset(bob)
    alice.message(bob.jid, "number 0")
    acknowledged(alice, 1)
    next(n for n in cluster.nodes if metric(n, "router_kept")).stop()
    wait_kept(cluster, 1)


def test_nothing_is_acknowledged_while_the_only_other_node_is_frozen(make):
    cluster = make(2, dead_after="1m")
    alice, bob = people(cluster, 0, 0)
    frozen = cluster.nodes[1]
    support.freeze(frozen.process)
    try:
        alice.message(bob.jid, "number 0")
        alice.message("u3@localhost", "for storage")
        assert numbers(bob, 1) == [0]
        assert ack(alice) == 0
        bob.send(f"<a xmlns='{NS}' h='1'/>")
        acknowledged(alice, 2)      # the one has it, the other is stored
    finally:
        os.kill(frozen.process.pid, signal.SIGCONT)


def test_a_message_to_a_node_that_dies_before_it_has_it_is_acknowledged_when_it_is_stored(make):
    cluster = make(2, dead_after="1m")
    alice, bob = people(cluster, 0, 1)
    support.freeze(cluster.nodes[1].process)
    alice.message(bob.jid, "number 0")
    assert ack(alice) == 0
    cluster.nodes[1].kill()
    acknowledged(alice, 1)
    assert numbers(cluster.login(0, "u1").presence(), 1) == [0]


def test_a_session_that_moves_has_its_messages_kept_again(make):
    cluster = make(3)
    alice, bob = people(cluster, 0, 0)
    previd = bob.sm
    reset(bob)
    for i in range(5):
        alice.message(bob.jid, f"number {i}")
    acknowledged(alice, 5)
    again, answer = resume(cluster.nodes[1], "u1", previd, 0)
    assert "<resumed" in answer
    wait_kept(cluster, 5)
    assert metric(cluster.nodes[1], "router_kept") == 0
    again.drop()
    cluster.nodes[1].kill()
    wait_kept(cluster, 0)
    assert numbers(cluster.login(2, "u1").presence(), 5) == list(range(5))


def test_a_client_that_resumes_is_told_what_is_safe_only(make):
    cluster = make(2)
    alice, bob = people(cluster, 0, 0)
    for i in range(5):
        alice.message(bob.jid, f"number {i}")
    reset(alice)
    again, answer = resume(cluster.nodes[1], "u0", alice.sm, 0)
    assert "h='5'" in answer
    assert numbers(bob, 5) == list(range(5))
    again.close()


def test_more_than_a_node_will_keep_is_acknowledged_when_its_receiver_has_it(make):
    cluster = make(2, more="[router]\ntables = cets\nkeep_size = 0\n")
    alice, bob = people(cluster, 0, 0)
    alice.message(bob.jid, "number 0")
    assert numbers(bob, 1) == [0]
    support.wait_for(lambda: metric(cluster.nodes[1], "router_keep_refused_total"), "the other node to refuse it")
    assert ack(alice) == 0
    bob.send(f"<a xmlns='{NS}' h='1'/>")
    acknowledged(alice, 1)


# -- one node

ALONE = """
[module:c2s]
listen = 127.0.0.1:0
[module:auth_memory]
accounts = alice:secret, bob:secret
[module:sasl]
[module:sm]
acknowledge = safe
safe_timeout = {timeout}
max_unsettled = 5
[module:t_available]
"""


@pytest.fixture(params=["1h", "200ms"])
def alone(tmp_path, request):
    node = node_with(tmp_path, ALONE.replace("{timeout}", request.param), "t_available").start()
    node.timeout = request.param
    yield node
    node.stop()


def test_on_one_node_the_receivers_client_is_asked_or_time_is_over(alone):
    alice, bob = alone.client("alice"), alone.client("bob")
    enable(alice), enable(bob)
    alice.message(bob.jid, "hello")
    assert "<body>hello</body></message><r " in bob.until("<r [^>]*>")
    if alone.timeout == "1h":
        assert ack(alice) == 0
        bob.send(f"<a xmlns='{NS}' h='1'/>")
    acknowledged(alice, 1)
    assert metric(alone, "sm_unsafe_acknowledgements_total") == (alone.timeout != "1h")
    alice.close(), bob.close()


@pytest.mark.parametrize("alone", ["1h"], indirect=True)
def test_a_sender_is_made_to_wait_until_some_of_it_is_safe(alone):
    alice, bob = alone.client("alice"), alone.client("bob")
    enable(alice), enable(bob)
    for i in range(20):
        alice.message(bob.jid, f"number {i}")
    got, acknowledged_by_bob = [], 0
    while len(got) < 20:
        got += bodies(bob.until("</message>"))
        assert len(got) - acknowledged_by_bob <= 5
        if len(got) - acknowledged_by_bob >= 3:
            acknowledged_by_bob = len(got)
            bob.send(f"<a xmlns='{NS}' h='{len(got)}'/>")
    assert got == [f"number {i}" for i in range(20)]
    alice.drop()
    bob.close()
