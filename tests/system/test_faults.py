# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Databases that are gone, full or cut off in the middle: nobody is told that something is stored that is not."""
import os
import pathlib
import re
import subprocess

import pytest

from database import Postgres
from support import END, Node, auth, scram, wait_for
from test_offline import bodies
from test_roster import put, roster
from test_sm import enable

CONFIG = """
[meerkat]
control = {dir}/control.sock
[c2s]
listen = 127.0.0.1:0
[sasl]
attempts = 100
[rdbms]
[auth_rdbms]
iterations = 4096
[register]
enabled = yes
rate = 0
[roster]
[presence]
[offline]
[sm]
[vcard]
"""
USERS = ("alice", "bob", "carol")


def register(node):
    for user in USERS:
        with node.client() as client:
            answer = client.iq("set", f"<query xmlns='jabber:iq:register'><username>{user}</username>"
                               "<password>secret</password></query>")
            assert "type='result'" in answer


# -- PostgreSQL goes away

@pytest.fixture(scope="module")
def server():
    server = Postgres().start()
    yield server
    server.destroy()


@pytest.fixture(scope="module")
def node(server, tmp_path_factory):
    node = Node(tmp_path_factory.mktemp("faults"), CONFIG, kind="sqlite")
    node.use_postgres(server.create(), server)
    node.start()
    register(node)
    yield node
    if not server.pid():
        server.start()
    node.stop()


def look(server, node, sql):
    with server.connect(node.database) as db:
        cursor = db.cursor()
        cursor.execute(sql)
        return cursor.fetchall()


def lock(server, node, table):
    """Whoever writes to the table waits from now on, until the server dies."""
    db = server.connect(node.database)
    db.cursor().execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
    return db


def waits(server, node):
    return look(server, node, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")[0][0] > 0


def settled(server, node):
    """Connections that end as soon as they are made are made anew more slowly: now they are older."""
    age = "SELECT extract(epoch FROM now() - max(backend_start)) FROM pg_stat_activity WHERE application_name = 'meerkat'"
    wait_for(lambda: (look(server, node, age)[0][0] or 0) > 1.2, "connections that are no longer new")


def back(server, node):
    """The server is there again, and the node knows it."""
    server.start()

    def can_log_in():
        with node.client() as client:
            return "<success" in scram(client, "SCRAM-SHA-256", "carol", "secret")
    wait_for(can_log_in, "the database to be used again", 30)


def items(client):
    return re.findall("<item [^>]*>", roster(client))


def acknowledged(client):
    """How many of our stanzas the server has dealt with."""
    client.send("<r xmlns='urn:xmpp:sm:3'/>")
    return int(re.search(r"h='(\d+)'", client.stanza("^<a ")).group(1))


def test_without_a_database_a_log_in_fails_for_now_and_those_who_are_in_chat_on(server, node):
    alice, bob = node.client("alice"), node.client("bob")
    settled(server, node)
    server.stop("immediate")
    with node.client() as client:
        for password in ("secret", "wrong"):
            # Whether the password is right is not known, and not told.
            assert "<temporary-auth-failure/>" in scram(client, "SCRAM-SHA-256", "carol", password)
            client.send(auth("PLAIN", f"\0carol\0{password}"))
            assert "<temporary-auth-failure/>" in client.until(END)
            client.send(auth("PLAIN", f"\0carol\0{password}", sasl2=True))
            assert "<temporary-auth-failure " in client.until(END)
        assert node.metric("sasl_logins_total", 'result="temporary"') == 6
        alice.message(bob.jid, "still here")
        assert "still here" in bob.stanza("^<message")
        back(server, node)
        client.login("carol")
    # It was no guess of anybody's.
    assert node.metric("sasl_throttled_total") == 0
    alice.drop()
    bob.drop()


def test_without_a_database_nobody_registers_changes_a_password_or_removes_an_account(server, node):
    alice = node.client("alice")
    settled(server, node)
    server.stop("immediate")
    ns = "jabber:iq:register"
    with node.client() as client:
        answer = client.iq("set", f"<query xmlns='{ns}'><username>dave</username><password>secret</password></query>")
        assert "type='error'" in answer and "<resource-constraint" in answer
    for what in "<username>alice</username><password>changed</password>", "<remove/>":
        answer = alice.iq("set", f"<query xmlns='{ns}'>{what}</query>", to="localhost")
        assert "type='error'" in answer and "<resource-constraint" in answer
    back(server, node)
    with node.client() as client:
        assert "<success" in scram(client, "SCRAM-SHA-256", "alice", "secret")
    assert look(server, node, "SELECT username FROM users ORDER BY username") == [(u,) for u in USERS]
    alice.sync()
    alice.drop()


def test_a_database_that_dies_in_the_middle_of_a_roster_change_leaves_no_trace_of_it(server, node):
    alice, other = node.client("alice"), node.client("alice", resource="other")
    put(alice, "before@example.org")
    known = items(other)
    settled(server, node)
    holder = lock(server, node, "rosterusers")
    alice.send("<iq type='set' id='set'><query xmlns='jabber:iq:roster'><item jid='new@example.org'/></query></iq>"
               "<presence type='subscribe' to='bob@localhost' id='sub'/>")
    wait_for(lambda: waits(server, node), "the change to wait for the lock")
    server.stop("immediate")
    holder.close()
    assert "<resource-constraint" in alice.stanza("^<iq[^>]*id='set'[^>]*type='error'|^<iq[^>]*type='error'[^>]*id='set'")
    assert "<resource-constraint" in alice.stanza("^<presence[^>]*type='error'")
    other.nothing()
    assert node.metric("roster_failures_total") >= 2
    back(server, node)
    assert look(server, node, "SELECT jid FROM rosterusers") == [("before@example.org",)]
    # As it was, for those who are there and for those who come; and it can be done again.
    assert items(other) == known
    later = node.client("alice", resource="later")
    assert items(later) == known
    put(alice, "new@example.org")
    assert "new@example.org" in other.stanza("^<iq[^>]*type='set'")
    for client in alice, other, later:
        client.drop()


def test_a_database_that_dies_while_messages_are_stored_has_all_that_were_acknowledged(server, node):
    alice = node.client("alice")
    enable(alice)
    for i in range(50):
        alice.message("bob@localhost", f"before {i}")
    wait_for(lambda: acknowledged(alice) == 50, "their acknowledgement")
    settled(server, node)
    holder = lock(server, node, "offline_message")
    for i in range(20):
        alice.message("bob@localhost", f"lost {i}")
    wait_for(lambda: waits(server, node), "a message to wait for the lock")
    # What waits is not acknowledged.
    assert acknowledged(alice) == 50
    server.stop("immediate")
    holder.close()
    for i in range(20):
        error = alice.stanza("^<message[^>]*type='error'")
        assert re.search("<error type='wait'><resource-constraint", error) and "lost" not in error
    # An error is an answer as well: they are dealt with.
    wait_for(lambda: acknowledged(alice) == 70, "the acknowledgement of what came back")
    back(server, node)
    alice.message("bob@localhost", "after")
    wait_for(lambda: acknowledged(alice) == 71, "the acknowledgement of the last one")
    stored = [re.search("<body>(.*)</body>", row[0]).group(1) for row in
              look(server, node, "SELECT packet FROM offline_message ORDER BY timestamp, id")]
    assert stored == [f"before {i}" for i in range(50)] + ["after"]
    alice.drop()


# -- a node is killed

@pytest.mark.parametrize("until", [1, 300, 700])
def test_kill_9_in_the_middle_of_a_thousand_messages_loses_none_that_was_acknowledged(tmp_path, until):
    node = Node(tmp_path, CONFIG).start()
    register(node)
    alice = node.client("alice")
    enable(alice)
    alice.send("".join(f"<message to='bob@localhost' type='chat' id='m{i}'><body>{i}</body></message>"
                       + ("<r xmlns='urn:xmpp:sm:3'/>" if i % 20 == 19 else "") for i in range(1000)))
    count = 0
    while count < until:
        count = int(re.search(r"h='(\d+)'", alice.stanza("^<a ")).group(1))
    node.kill()
    # What was on its way to us when it died counts as well.
    told = alice.closed()
    count = max([count] + [int(h) for h in re.findall(r"<a [^>]*h='(\d+)'", told)])
    alice.drop()
    node.start()
    bob = node.client("bob").presence()
    bob.until(f"<body>{count - 1}</body>")
    found = [int(b) for b in re.findall("<body>(.*?)</body>", bob.sync())]
    bob.close()
    # Those behind it were not acknowledged: some may be there. None is there twice.
    assert found == list(range(count, count + len(found)))
    node.stop()


# -- the disk is full

class Small:
    """A node whose database is on a file system of its own, of 8 MB, or may not be larger than 500 KB."""

    def __init__(self, folder, how):
        self.how = how
        self.place = folder / "small"
        self.place.mkdir(parents=True)
        config = CONFIG + f"[rdbms_sqlite]\nfile = {self.place}/db.sqlite3\n"
        self.node = Node(folder, config + ("max_size = 500K\n" if how == "max_size" else ""), kind="sqlite")
        wrapper = ()
        if how == "tmpfs":
            own = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
            mount = 'mount -t tmpfs -o size=8m none "$0" && exec "$@"'
            if subprocess.run([*own, "sh", "-c", mount, self.place, "true"], capture_output=True).returncode:
                pytest.skip("no file system can be mounted here")
            wrapper = (*own, "sh", "-c", mount, str(self.place))
        self.node.start(wrapper=wrapper)
        # What the node sees, from outside.
        self.inside = pathlib.Path(f"/proc/{self.node.process.pid}/root{self.place}")

    def fill(self):
        """Nothing more can be written."""
        if self.how == "tmpfs":
            with open(self.inside / "filler", "wb", buffering=0) as f, pytest.raises(OSError):
                while True:
                    f.write(b"x" * 4096)

    def make_room(self):
        if self.how == "tmpfs":
            os.unlink(self.inside / "filler")


@pytest.fixture(params=["max_size", "tmpfs"])
def small(request, tmp_path):
    small = Small(tmp_path / "node", request.param)
    register(small.node)
    yield small
    small.node.stop()


def test_when_the_disk_is_full_all_are_told_and_nothing_that_was_stored_is_lost(small):
    node = small.node
    alice, bob, other = node.client("alice"), node.client("bob"), node.client("alice", resource="other")
    roster(other)
    small.fill()
    # Some more may fit into what was allocated before.
    body, stored, error = "x" * 4000, 0, None
    for i in range(400):
        alice.message("carol@localhost", f"{i}:{body}")
        if error := re.search("<message[^>]*type='error'.*?</message>", alice.sync()):
            break
        stored += 1
    assert error and re.search("<error type='wait'><resource-constraint", error.group(0)) and body not in error.group(0)
    # What changes anything fails, and nobody hears of it; what reads goes on, and so do those who chat.
    big = "<group>" + "g" * 900 + "</group>"
    answers = [alice.iq("set", f"<query xmlns='jabber:iq:roster'><item jid='new{i}@example.org'>{big}</item></query>")
               for i in range(40)]
    assert re.search("<error type='wait'><resource-constraint", answers[-1]), answers[-1]
    done = sum("type='result'" in answer for answer in answers)
    assert other.sync().count("new") == done
    card = f"<vCard xmlns='vcard-temp'><DESC>{body * 4}</DESC></vCard>"
    assert "type='error'" in [alice.iq("set", card) for _ in range(3)][-1]
    alice.message(bob.jid, "to each other")
    assert "to each other" in bob.stanza("^<message")
    node.client("bob", resource="another").drop()
    assert len(items(alice)) == done
    small.make_room()
    # Once there is room it goes on by itself, with what was there.
    carol = node.client("carol").presence()
    assert [int(b.split(":")[0]) for b in bodies(carol, stored)] == list(range(stored))
    assert "<body>" not in carol.sync()
    carol.close()

    def stores_again():
        alice.message("carol@localhost", "again")
        return "type='error'" not in alice.sync()
    wait_for(stores_again, "room")
    carol = node.client("carol").presence()
    assert "<body>again</body>" in carol.stanza("^<message")
    for client in alice, bob, other, carol:
        client.drop()
