# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""An autoscaler in the small: what StatefulSet and HorizontalPodAutoscaler do to pods, done to processes, by measured CPU.

People chat and a loop sends messages through the users' API, as in docs/kubernetes.md, while nodes come and go: 1 → MEERKAT_SCALE → 1
(8 if it is not set).
"""
import asyncio
import base64
import http.client
import json
import math
import os
import random
import threading
import time

import pytest

from cluster import Cluster
from rolling import Load
from support import PATIENCE, wait_for

MAX = int(os.environ.get("MEERKAT_SCALE", "8"))
PAIRS = int(os.environ.get("MEERKAT_PAIRS", "15"))
PERIOD = 1.0                # between looks; Kubernetes: 15 s
STABLE = 3.0                # nothing goes before it was too much for so long; Kubernetes: 5 min
TICKS = os.sysconf("SC_CLK_TCK")
API = "graphql_user"
MORE = """
[http]
listen = 127.0.0.1:0
[health]
[graphql]
user_listen = 127.0.0.1:0
[admin]
"""


class Set(Cluster):
    """A StatefulSet of processes: node i is pod i; the last ones go first."""

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.leaving, self.seen_ready = set(), set()
        self.history, self.ports = [], {}

    def port(self, node, what):
        """Read from the log once in a life of the process."""
        key = (node.process.pid, what)
        if key not in self.ports:
            self.ports[key] = node.port(what)
        return self.ports[key]

    def is_ready(self, node):
        """What a readiness probe finds out."""
        try:
            c = http.client.HTTPConnection("127.0.0.1", self.port(node, "http"), timeout=5)
            c.request("GET", "/readyz")
            return c.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False

    def ready(self):
        """Where a balancer leads."""
        return [n for n in self.alive() if n not in self.leaving and n in self.seen_ready]

    def scale(self, count):
        """Pods come all at once (podManagementPolicy Parallel), and go as preStop and SIGTERM let them."""
        running = self.alive()
        self.history.append(count)
        for i in range(len(running), count):
            node = self.nodes[i] if i < len(self.nodes) else self.make()
            node.start(wait=False)
        going = running[count:]
        self.leaving.update(going)
        self.seen_ready.difference_update(going)
        time.sleep(0.3 if going else 0)     # preStop: the balancer hears of it before the node does
        for node in going:
            node.process.terminate()
        for node in going:
            assert node.process.wait(30) == 0, node.log()[-3000:]
        self.leaving.difference_update(going)
        for node in self.alive():
            wait_for(lambda: self.is_ready(node), f"{node.name} to be ready", PATIENCE * 2)
            self.seen_ready.add(node)

    def up(self, count):
        self.make().start()
        self.make_accounts(self.nodes[0])
        self.scale(count)
        return self


def cpu_seconds(node):
    fields = open(f"/proc/{node.process.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Autoscaler(threading.Thread):
    """The rule of Kubernetes: as many pods as bring the CPU of each to `target` cores, up at once, down when it stays so."""

    def __init__(self, nodes, target):
        super().__init__(daemon=True)
        self.nodes, self.target = nodes, target
        self.wishes = []
        self.over = threading.Event()
        self.error = None

    def look(self):
        before = {n: cpu_seconds(n) for n in self.nodes.ready()}
        began = time.monotonic()
        if self.over.wait(PERIOD):
            return
        usage = sum(cpu_seconds(n) - before[n] for n in before) / (time.monotonic() - began)
        now = time.monotonic()
        self.wishes = [(at, w) for at, w in self.wishes if now - at < STABLE]
        self.wishes.append((now, min(MAX, max(1, math.ceil(usage / self.target)))))
        count = len(before)
        # Up: at most to the double, or four more at a time.
        up = min(self.wishes[-1][1], max(2 * count, count + 4))
        wanted = up if up > count else max(w for _, w in self.wishes)
        if wanted != count:
            self.nodes.scale(wanted)

    def run(self):
        try:
            while not self.over.is_set():
                self.look()
        except BaseException as e:
            self.error = e


class Loop(threading.Thread):
    """The article's loop: one message after another through the API of whichever pod the balancer chooses."""

    def __init__(self, nodes, stop):
        super().__init__(daemon=True)
        self.nodes, self.stop = nodes, stop
        self.sent, self.failed = 0, []
        self.body = json.dumps({"query": 'mutation { stanza { sendMessage(to: "u1@localhost", body: "Hi") { id } } }'})
        self.headers = {"Content-Type": "application/json", "Authorization": "Basic " + base64.b64encode(b"u0@localhost:secret").decode()}

    def once(self):
        node = random.choice(self.nodes.ready())
        c = http.client.HTTPConnection("127.0.0.1", self.nodes.port(node, API), timeout=30)
        try:
            c.request("POST", "/api/graphql", self.body, self.headers)
            answer = c.getresponse().read().decode()
            if '"id"' not in answer:
                self.failed.append(answer)
        finally:
            c.close()
        self.sent += 1

    def run(self):
        while not self.stop.is_set():
            try:
                self.once()
            except (OSError, http.client.HTTPException) as e:
                self.failed.append(repr(e))


def load(nodes, first):
    """Pairs of the accounts from number `first` on."""
    made = Load(PAIRS, lambda: [nodes.port(n, "c2s") for n in nodes.ready()])
    for i, talker in enumerate(made.talkers):
        talker.user = f"u{first + i}"
        talker.jid = f"{talker.user}@localhost/t"
    return made


@pytest.fixture
def nodes(tmp_path):
    made = Set(tmp_path, users=4 * PAIRS, more=MORE, grace="2s").up(1)
    yield made
    made.down()


def usage_of_one(nodes):
    began, before = time.monotonic(), cpu_seconds(nodes.nodes[0])
    time.sleep(2)           # a measurement, not a wait
    return (cpu_seconds(nodes.nodes[0]) - before) / (time.monotonic() - began)


def wait_ready(nodes, scaler, count):
    wait_for(lambda: scaler.error or len(nodes.ready()) == count, f"{count} nodes", 60 + 10 * MAX)
    assert scaler.error is None, repr(scaler.error)


def begin(nodes, loops):
    """The loops run; the autoscaler counts what all of it costs one node now as the work of MAX."""
    for loop in loops:
        loop.start()
    scaler = Autoscaler(nodes, max(0.01, usage_of_one(nodes) * 0.8 / MAX))
    scaler.start()
    wait_ready(nodes, scaler, MAX)
    return scaler


def end(nodes, loops, scaler):
    loops[0].stop.set()
    for loop in loops:
        loop.join(60)
    wait_ready(nodes, scaler, 1)


def test_nodes_come_and_go_with_the_load_and_users_lose_nothing(nodes):
    stop = threading.Event()
    loops = [Loop(nodes, stop) for _ in range(3)]

    async def story():
        scaler = None
        try:
            async with load(nodes, 0) as first:
                scaler = await asyncio.to_thread(begin, nodes, loops)
                # Those who come now are on all nodes, and all but one of these will go.
                async with load(nodes, 2 * PAIRS) as second:
                    await asyncio.to_thread(end, nodes, loops, scaler)
                    await second.finish()
                    await first.finish()
                    return scaler.target, [first.account(), second.account()]
        finally:
            stop.set()
            if scaler:
                scaler.over.set()
                await asyncio.to_thread(scaler.join, 60)

    target, accounts = asyncio.run(story())
    sent, failed = sum(loop.sent for loop in loops), [f for loop in loops for f in loop.failed]
    print(f"target {target:.3f} cores; replicas {nodes.history}; {sent} messages by the API\n" + json.dumps(accounts, indent=1))
    assert max(nodes.history) == MAX and nodes.history[-1] == 1
    assert sent > 100 and failed == []
    assert accounts[1]["streams resumed"] > 0
    for account in accounts:
        assert account["sent"] > PAIRS
        for what in ("lost", "doubled", "out of order", "answered with an error", "streams not resumed"):
            assert account[what] == 0, account
