# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Nodes are replaced while people talk: nothing is lost, nothing comes twice, order is kept."""
import asyncio
import json
import os

import pytest

from cluster import Cluster
from network import Network
from rolling import Load
from test_cluster_network import Spread

PAIRS = int(os.environ.get("MEERKAT_PAIRS", "60"))


@pytest.fixture(params=["routed", "safe"])
def cluster(tmp_path, request):
    made = Cluster(tmp_path, users=2 * PAIRS, more=f"[sm]\nacknowledge = {request.param}\n").up(3)
    made.safe = request.param == "safe"
    yield made
    made.down()


def offline(cluster):
    import database
    with database.Connection(cluster.server.connect(cluster.database), True) as db:
        return db.execute("SELECT count(*) FROM offline_message").fetchone()[0]


async def replaced(cluster, load, i):
    """Stops a node as an administrator does, and starts it anew."""
    node = cluster.nodes[i]
    cluster.leaving = node
    node.process.terminate()
    assert await asyncio.to_thread(node.process.wait, 30) == 0
    await asyncio.to_thread(cluster.start, node)
    cluster.leaving = None
    await asyncio.to_thread(cluster.wait_joined)


def ports(cluster):
    return [n.port() for n in cluster.alive() if n is not getattr(cluster, "leaving", None)]


def test_a_rolling_restart_loses_doubles_and_reorders_nothing(cluster):
    async def story():
        load = Load(PAIRS, lambda: ports(cluster))
        async with load:
            await asyncio.sleep(2)      # of the story: people talk for a while
            for i in range(3):
                await replaced(cluster, load, i)
                await asyncio.sleep(1)
            await load.finish()
            return load.account()

    account = asyncio.run(story())
    print(json.dumps(account, indent=1))
    assert account["sent"] > PAIRS * 2 * 5
    assert account["streams resumed"] >= PAIRS
    for what in ("lost", "doubled", "out of order", "answered with an error", "streams not resumed"):
        assert account[what] == 0, account
    assert offline(cluster) == 0


# Clients of another machine must use TLS, as a rule.
IN_THE_CLEAR = """[c2s]
listen = {listen}
starttls = no
[sasl]
allow_plain_unencrypted = always
"""


class Machines(Spread):
    """Each node is a machine of its own; clients come from the hub."""

    def clients_at(self, i):
        return self.network.address(i)

    def doors(self):
        return [(self.clients_at(i), n.port()) for i, n in enumerate(self.nodes)
                if n in self.alive() and n is not getattr(self, "leaving", None)]


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
def test_from_one_machine_to_eight_and_back_under_chat(tmp_path):
    """Nodes join while people talk, and take some of them over; then they stop one after the other."""
    async def grow(load, one):
        while len(one.nodes) < 8:
            await asyncio.to_thread(one.add)
            await asyncio.to_thread(one.wait_joined)
            load.cut(0.25)
            await asyncio.sleep(0.5)    # of the story

    async def shrink(load, one):
        for node in one.nodes[:0:-1]:
            one.leaving = node
            node.process.terminate()
            assert await asyncio.to_thread(node.process.wait, 30) == 0
            await asyncio.sleep(0.5)

    async def story(one):
        load = Load(PAIRS, one.doors)
        async with load:
            await grow(load, one)
            spread = len(load.places())
            await shrink(load, one)
            await load.finish()
            return load.account(), spread

    network = Network(8)
    one = Machines(tmp_path, network, users=2 * PAIRS, more=IN_THE_CLEAR)
    try:
        one.up(1)
        with network.enter():
            account, spread = asyncio.run(story(one))
        print(json.dumps(account, indent=1))
        assert spread > 4
        assert account["streams resumed"] >= PAIRS
        for what in ("lost", "doubled", "out of order", "answered with an error", "streams not resumed"):
            assert account[what] == 0, account
        assert offline(one) == 0
    finally:
        one.down()
        network.remove()


def test_after_a_hard_kill_only_what_the_dead_node_alone_held_is_missing(cluster):
    async def story():
        load = Load(PAIRS, lambda: ports(cluster), interval=0.3)
        async with load:
            await asyncio.sleep(2)
            dead = cluster.nodes[1]
            dead_port = dead.port()
            await asyncio.to_thread(dead.kill)
            await asyncio.sleep(3)
            await load.finish(10)
            return load.account(), load.lost(), dead_port, load.sent_from

    account, lost, dead_port, sent_from = asyncio.run(story())
    print(json.dumps(account, indent=1))
    print(f"{offline(cluster)} in the offline store")
    assert account["sent"] == account["received"] - account["doubled"] + account["answered with an error"] + account["lost"]
    # What came from a client of a living node was kept there until the dead one had said that it is safe.
    assert [m for m in lost if sent_from[m] != dead_port] == []
    # What was not acknowledged was sent again: so with `safe` nothing is missing.
    assert len(lost) <= (0 if cluster.safe else account["sent"] // 50)
    assert account["streams not resumed"] > 0
