# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Modules are exchanged while people talk: nothing is lost, refused or let through that would not be otherwise."""
import pathlib
import re
import threading

from support import wait_for

CONFIG = (pathlib.Path(__file__).parents[2] / "etc" / "dev.ini").read_text()
CONFIG = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:0", CONFIG).replace(
    "[meerkat]\nhosts = localhost\n", "[meerkat]\ncontrol = {dir}/control.sock\n").replace(
    "[offline]\n", "[offline]\nmax_messages = 100000\n").replace(
    "[auth_rdbms]\n", "[auth_memory]\naccounts = alice:secret, bob:secret, carol:secret, dave:secret\n")
ROUNDS = 3


class Speaker:
    """Alice, who writes all the time to all of `addresses`, and keeps what comes back."""

    def __init__(self, client, addresses):
        self.client, self.addresses = client, addresses
        self.sent, self.back, self.error = 0, "", None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.talk)

    def talk(self):
        try:
            while not self.over.is_set():
                for _ in range(5):
                    self.client.send("".join(
                        f"<message to='{to}' type='chat' id='{to[0]}{self.sent}'><body>number {self.sent}</body></message>"
                        for to in self.addresses))
                    self.sent += 1
                self.back += self.client.sync()
        except BaseException as e:      # told by the thread of the test
            self.error = e

    def __enter__(self):
        self.thread.start()
        return self

    def more(self):
        now = self.sent
        wait_for(lambda: self.error or self.sent > now + 10, "the talk to go on")
        assert not self.error, self.error

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(60)


def numbers(text):
    return [int(n) for n in re.findall("<body>number ([0-9]+)</body>", text)]


def collect(client, wanted):
    """The numbers that come, until all that are wanted have. Pings, for a long backlog, are answered."""
    answered = set()

    def came():
        for ping in set(re.findall(r"<iq (?=[^>]*type='get')[^>]*\bid='([^']*)'[^>]*><ping", client.buffer)) - answered:
            client.send(f"<iq type='result' id='{ping}' to='localhost'/>")
            answered.add(ping)
        if wanted - set(numbers(client.buffer)):
            client.receive()
        return not wanted - set(numbers(client.buffer))

    wait_for(came, "all messages")
    return numbers(client.buffer)


def reloadable(node):
    """Those that no other module needs; the others are refused by name."""
    for name in re.findall(r"^module\t(\S+)\t", node.control("status"), re.M):
        answer = node.control("module", "reload", name)
        if answer == "ok\n":
            yield name
        else:
            assert re.fullmatch(r"error: module '\w+' is needed by '\w+'\n", answer), answer


def test_nothing_is_lost_doubled_or_let_through_while_modules_are_reloaded(start_node):
    node = start_node(CONFIG)
    alice, bob, phone, dave = (node.client(u, resource=r) for u, r in
                               (("alice", "a"), ("bob", "desk"), ("bob", "phone"), ("dave", "d")))
    phone.iq("set", "<enable xmlns='urn:xmpp:carbons:2'/>")
    dave.iq("set", "<block xmlns='urn:xmpp:blocking'><item jid='alice@localhost'/></block>")
    for client in alice, bob, phone, dave:
        client.presence().sync()
    with Speaker(alice, [bob.jid, "carol@localhost", dave.jid]) as speaker:
        names = set(reloadable(node))
        assert {"offline", "carbons", "blocking", "sm", "csi", "ping", "disco", "vcard", "private", "last"} <= names
        for _ in range(ROUNDS):
            for name in sorted(names):
                assert node.control("module", "reload", name) == "ok\n"
            speaker.more()
    assert not speaker.error, speaker.error
    everything = range(speaker.sent)
    # Who is there, another client of his with carbons, and who was away.
    assert collect(bob, set(everything)) == list(everything)
    assert collect(phone, set(everything)) == list(everything)
    with node.client("carol") as carol:
        carol.presence()
        assert collect(carol, set(everything)) == list(everything)
    # Who has blocked the sender, and what the sender was told of it.
    dave.nothing("<message")
    refused = re.findall(r"<message (?=[^>]*type='error')[^>]*id='([a-z])\d+'", speaker.back)
    assert refused == ["d"] * speaker.sent
    for client in alice, bob, phone, dave:
        client.drop()


def test_sessions_that_end_with_the_reload_of_stream_management_leave_nothing_behind(start_node):
    node = start_node(CONFIG)
    alice = node.client("alice").presence()
    seen = set()
    with Speaker(alice, ["bob@localhost"]) as speaker:
        for _ in range(ROUNDS):
            with node.client("bob") as bob:
                bob.send("<enable xmlns='urn:xmpp:sm:3'/>")
                bob.until("<enabled[^>]*/>")
                bob.presence()
                wait_for(lambda: bob.receive() or len(numbers(bob.buffer)) >= 20, "some messages")
                assert node.control("module", "reload", "sm") == "ok\n"
                # Nothing of this was acknowledged: all of it may come again, and what is not seen here must.
                seen |= set(numbers(bob.closed("<stream:error>")))
            speaker.more()
    assert not speaker.error, speaker.error
    with node.client("bob") as bob:
        bob.presence()
        collect(bob, set(range(speaker.sent)) - seen)
    alice.drop()
