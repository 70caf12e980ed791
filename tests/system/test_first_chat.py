# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""What the README promises, with the configuration of `./dev run` and a client library of others (slixmpp): two
people register, add each other, chat, go offline, come back and find what they missed. And the first commands of an
administrator and of an application, with meerkatctl and curl."""
import asyncio
import json
import os
import pathlib
import re

import pytest

from support import BUILD, PATIENCE

slixmpp = pytest.importorskip("slixmpp")

CONFIG = (pathlib.Path(__file__).parents[2] / "etc" / "dev.ini").read_text()
CONFIG = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:0", CONFIG).replace("[meerkat]\nhosts = localhost\n", "")


class Person(slixmpp.ClientXMPP):
    def __init__(self, node, name, register=False, resource="desk"):
        super().__init__(f"{name}@localhost/{resource}", "secret")
        for plugin in ("xep_0030", "xep_0077", "xep_0092", "xep_0199", "xep_0280"):
            self.register_plugin(plugin)
        self["xep_0077"].force_registration = True
        self.address = ("127.0.0.1", node.port())
        self.seen = []
        self.changed = asyncio.Event()
        self.auto_authorize = self.auto_subscribe = True
        if register:
            # Else this version of the library keeps its own registration back until the session has begun.
            self._always_send_everything = True
            self.add_event_handler("register", self.on_register)
        for event in ("message", "presence_available", "presence_unavailable", "presence_subscribed"):
            self.add_event_handler(event, self.see)
        for event in ("carbon_sent", "carbon_received"):
            self.add_event_handler(event, lambda message, event=event: self.see_copy(event, message[event]))

    async def on_register(self, _):
        iq = self.Iq()
        iq["type"] = "set"
        iq["register"]["username"] = self.boundjid.user
        iq["register"]["password"] = self.password
        await iq.send()

    def see(self, stanza):
        self.seen.append((stanza.name, stanza["type"], stanza["from"].bare, stanza.get("body", "") or ""))
        self.changed.set()

    def see_copy(self, event, message):
        self.seen.append((event, message["type"], message["from"].bare, message["body"]))
        self.changed.set()

    async def come(self):
        ready = asyncio.get_event_loop().create_future()
        self.add_event_handler("session_start", lambda _: ready.done() or ready.set_result(1),
                               disposable=True)
        self.connect(self.address, disable_starttls=True, force_starttls=False)
        await asyncio.wait_for(ready, PATIENCE)
        await self.get_roster()
        self.send_presence()

    async def sees(self, wanted):
        while wanted not in self.seen:
            self.changed.clear()
            try:
                await asyncio.wait_for(self.changed.wait(), PATIENCE)
            except asyncio.TimeoutError:
                raise AssertionError(f"no {wanted} in {self.seen}") from None

    async def go(self):
        gone = asyncio.get_event_loop().create_future()
        self.add_event_handler("disconnected", lambda _: gone.done() or gone.set_result(1),
                               disposable=True)
        self.disconnect()
        await asyncio.wait_for(gone, PATIENCE)


async def first_chat(node):
    alice, bob = Person(node, "alice", register=True), Person(node, "bob", register=True)
    await alice.come()
    await bob.come()
    alice.send_presence_subscription("bob@localhost")
    await alice.sees(("presence", "available", "bob@localhost", ""))
    await bob.sees(("presence", "available", "alice@localhost", ""))
    alice.send_message("bob@localhost", "hello Bob", mtype="chat")
    await bob.sees(("message", "chat", "alice@localhost", "hello Bob"))
    bob.send_message("alice@localhost", "hello Alice", mtype="chat")
    await alice.sees(("message", "chat", "bob@localhost", "hello Alice"))
    await bob.go()
    await alice.sees(("presence", "unavailable", "bob@localhost", ""))
    alice.send_message("bob@localhost", "are you there?", mtype="chat")
    assert (await alice["xep_0199"].ping("localhost")) is not None
    bob = Person(node, "bob")
    await bob.come()
    await bob.sees(("message", "chat", "alice@localhost", "are you there?"))
    await bob.sees(("presence", "available", "alice@localhost", ""))
    assert bob.client_roster["alice@localhost"]["subscription"] == "both"
    info = await bob["xep_0030"].get_info("localhost")
    assert "urn:xmpp:carbons:2" in info["disco_info"]["features"]
    await alice.go()
    await bob.go()


async def carbons(node):
    alice, bob = Person(node, "alice", register=True), Person(node, "bob", register=True)
    phone = Person(node, "alice", resource="phone")
    for person in alice, bob, phone:
        await person.come()
    await phone["xep_0280"].enable()
    alice.send_message("bob@localhost", "from the desk", mtype="chat")
    await bob.sees(("message", "chat", "alice@localhost", "from the desk"))
    await phone.sees(("carbon_sent", "chat", "alice@localhost", "from the desk"))
    bob.send_message("alice@localhost/desk", "to the desk", mtype="chat")
    await alice.sees(("message", "chat", "bob@localhost", "to the desk"))
    await phone.sees(("carbon_received", "chat", "bob@localhost", "to the desk"))
    for person in alice, bob, phone:
        await person.go()


async def says(*command, **env):
    """What a program prints as JSON."""
    process = await asyncio.create_subprocess_exec(*map(str, command), stdout=asyncio.subprocess.PIPE, env={**os.environ, **env})
    out, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 0, out
    return json.loads(out)


async def commands(node):
    said = await says(BUILD / "meerkatctl", "account", "registerUser", "--domain", "localhost", "--username", "alice",
                      "--password", "secret", MEERKAT_SOCKET=str(node.folder / "api.sock"))
    assert said["data"]["account"]["registerUser"]["jid"] == "alice@localhost"
    alice = Person(node, "alice")
    await alice.come()
    url = f"http://localhost:{node.port('graphql_user')}/api/graphql"
    mutation = 'mutation {stanza {sendMessage(to: "alice@localhost", body: "%s") {id}}}'
    curl = ("curl", "-sS", "--fail", "-4", "-u", "alice@localhost:secret", url)
    for body, how in (("by POST", ("-H", "Content-Type: application/json", "-d", json.dumps({"query": mutation % "by POST"}))),
                      ("by GET", ("--get", "--data-urlencode", "query=" + mutation % "by GET"))):
        assert (await says(*curl, *how))["data"]["stanza"]["sendMessage"]["id"]
        await alice.sees(("message", "chat", "alice@localhost", body))
    await alice.go()


@pytest.mark.parametrize("story", [first_chat, carbons, commands])
def test_what_the_readme_promises_comes_true(start_node, story):
    node = start_node(CONFIG)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(asyncio.wait_for(story(node), 60))
    finally:
        loop.close()
