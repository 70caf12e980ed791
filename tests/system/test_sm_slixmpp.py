# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""A client library of others resumes its session (XEP-0198): slixmpp."""
import asyncio

import pytest

from support import PATIENCE

slixmpp = pytest.importorskip("slixmpp")

CONFIG = """
[module:c2s]
listen = 127.0.0.1:0
[module:auth_memory]
accounts = alice:secret, bob:secret
[module:sasl]
[module:sm]
ack_every = 1
"""


class Bot(slixmpp.ClientXMPP):
    def __init__(self, node, user):
        super().__init__(f"{user}@localhost/slix", "secret",
                         plugin_config={"feature_mechanisms": {"unencrypted_plain": True}})
        self.register_plugin("xep_0198")
        self.address = ("127.0.0.1", node.port())
        self.got = []
        self.changed = asyncio.Event()
        self.resumed = 0
        self.add_event_handler("message", self.on_message)
        self.add_event_handler("session_resumed", self.on_resumed)

    def on_message(self, message):
        self.got.append(message["body"])
        self.changed.set()

    def on_resumed(self, _):
        self.resumed += 1

    async def go(self, event):
        """Connects, and waits until the library says that its session goes on."""
        ready = asyncio.get_event_loop().create_future()
        self.add_event_handler(event, lambda _: ready.done() or ready.set_result(1),
                               disposable=True)
        self.connect(self.address, disable_starttls=True, force_starttls=False)
        await asyncio.wait_for(ready, PATIENCE)

    async def has(self, count):
        while len(self.got) < count:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), PATIENCE)

    async def break_connection(self):
        gone = asyncio.get_event_loop().create_future()
        self.add_event_handler("disconnected", lambda _: gone.done() or gone.set_result(1),
                               disposable=True)
        self.transport.abort()
        await asyncio.wait_for(gone, PATIENCE)


async def scenario(node):
    alice, bob = Bot(node, "alice"), Bot(node, "bob")
    await alice.go("sm_enabled")
    await bob.go("sm_enabled")
    for n in range(1, 4):
        alice.send_message(mto=bob.boundjid, mbody=f"{n}a")
        await bob.has(2 * n - 1)
        await bob.break_connection()
        alice.send_message(mto=bob.boundjid, mbody=f"{n}b")
        await bob.go("session_resumed")
        await bob.has(2 * n)
        bob.send_message(mto=alice.boundjid, mbody=str(n))
        await alice.has(n)
    assert bob.resumed == 3
    assert bob.got == ["1a", "1b", "2a", "2b", "3a", "3b"]
    assert alice.got == ["1", "2", "3"]
    for bot in alice, bob:
        bot.abort()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def test_slixmpp_resumes(node):
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(scenario(node))
