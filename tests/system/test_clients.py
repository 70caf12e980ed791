# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Unmodified clients of different make (go-sendxmpp, mcabber, profanity) on the configuration of `./dev run`, over TLS."""
import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import termios
import threading

import pytest

from support import Wire, wait_for
from test_first_chat import CONFIG

USERS = ("alice", "bob", "carol")
# No test of a machine without them: the list of packages in `dev` has them all.
pytestmark = pytest.mark.skipif(not all(map(shutil.which, ("mcabber", "go-sendxmpp", "profanity"))),
                                reason="mcabber, go-sendxmpp or profanity is not installed")


@pytest.fixture(scope="module", autouse=True)
def accounts(node):
    with node.client() as c:
        for user in USERS:
            c.send(f"<iq type='set' id='{user}'><query xmlns='jabber:iq:register'><username>{user}</username>"
                   "<password>secret</password></query></iq>")
            assert "type='result'" in c.stanza(f"^<iq[^>]*id='{user}'")


class Mcabber:
    """mcabber in a terminal that nobody looks at, told what to do by its FIFO, watched through its logs."""

    def __init__(self, folder, port, user):
        self.folder = folder
        folder.mkdir()
        logs = folder / "logs"
        logs.mkdir(mode=0o700)
        self.logs = logs
        rc = folder / "mcabberrc"
        rc.write_text(f"set jid = {user}@localhost/mcabber\nset password = secret\nset server = 127.0.0.1\n"
                      f"set port = {port}\nset tls = 1\nset ssl_ignore_checks = 1\nset logging = 1\n"
                      f"set logging_dir = {logs}\nset fifo_name = {folder}/fifo\nset carbons = 1\n"
                      "module load fifo\n")
        rc.chmod(0o600)
        self.terminal, inner = pty.openpty()
        self.process = subprocess.Popen(["mcabber", "-f", rc], stdin=inner, stdout=inner, stderr=inner,
                                        env={**os.environ, "TERM": "xterm", "HOME": str(folder), "LC_ALL": "C.UTF-8"})
        os.close(inner)
        threading.Thread(target=self.drain, daemon=True).start()

    def drain(self):
        try:
            while os.read(self.terminal, 65536):
                pass
        except OSError:         # the program has ended
            pass

    def command(self, text):
        fifo = self.folder / "fifo"
        wait_for(fifo.exists, "mcabber's FIFO")
        with open(fifo, "w", encoding="utf-8") as f:
            f.write(text + "\n")

    def history(self, contact):
        path = self.logs / contact
        return path.read_text(errors="replace") if path.exists() else ""

    def wait_history(self, contact, pattern):
        wait_for(lambda: re.search(pattern, self.history(contact)), f"'{pattern}' from {contact}")

    def stop(self):
        if self.process.poll() is None:
            self.command("/quit")
            self.process.wait(15)
        os.close(self.terminal)


@pytest.fixture
def mcabber(node, tmp_path):
    running = []

    def start(user):
        client = Mcabber(tmp_path / f"{user}{len(running)}", node.port(), user)
        running.append(client)
        return client

    yield start
    for client in running:
        client.stop()


def sendxmpp(node, user, to, text):
    subprocess.run(["go-sendxmpp", "-u", f"{user}@localhost", "-p", "secret", "-j", f"127.0.0.1:{node.port()}",
                    "-n", to], input=text.encode(), check=True, timeout=30)


@pytest.fixture
def listener(node):
    """listener("alice"): the lines that go-sendxmpp prints of what it hears."""
    running = []

    def hears(process, user):
        """go-sendxmpp 0.5 sometimes takes what it is sent and prints none of it, until its end."""
        wait_for(lambda: online(node, user), f"{user} is online")
        with node.client("carol", resource="asks") as c:
            c.message(f"{user}@localhost", "do you hear me")
            c.sync()
        return select.select([process.stdout], [], [], 3)[0] and process.stdout.readline()

    def start(user):
        for _ in range(10):
            process = subprocess.Popen(["go-sendxmpp", "-l", "-u", f"{user}@localhost", "-p", "secret", "-j",
                                        f"127.0.0.1:{node.port()}", "-n"], stdout=subprocess.PIPE, text=True)
            running.append(process)
            if hears(process, user):
                return process.stdout
            process.terminate()
            process.wait(10)
        raise AssertionError("go-sendxmpp prints nothing")

    yield start
    for process in running:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def online(node, user):
    """Is a resource of the user available? Asked by another of his own."""
    with node.client(user, resource="asks") as c:
        c.presence()
        text = c.sync()
        return re.search(f"<presence[^>]*from='{user}@localhost/(?!asks)", text)


def test_go_sendxmpp_sends_to_mcabber_what_waited_and_what_is_new(node, mcabber):
    sendxmpp(node, "alice", "bob@localhost", "while you were away")
    bob = mcabber("bob")
    bob.wait_history("alice@localhost", "while you were away")
    sendxmpp(node, "alice", "bob@localhost", "now you are here Ä€")
    bob.wait_history("alice@localhost", "now you are here Ä€")
    assert bob.history("alice@localhost").count("while you were away") == 1


def test_mcabber_sends_to_go_sendxmpp(node, mcabber, listener):
    lines = listener("alice")
    bob = mcabber("bob")
    wait_for(lambda: online(node, "bob"), "bob is online")
    bob.command("/say_to alice@localhost hello from the terminal")
    line = lines.readline()
    while "hello from the terminal" not in line:
        assert line
        line = lines.readline()
    assert "bob@localhost" in line


def test_two_mcabbers_become_contacts_and_see_each_other(node, mcabber):
    bob, carol = mcabber("bob"), mcabber("carol")
    wait_for(lambda: online(node, "bob") and online(node, "carol"), "both are online")
    bob.command("/add carol@localhost")
    with node.db() as db:
        def row(user, contact):
            found = db.execute("SELECT subscription, ask FROM rosterusers WHERE username = ? AND jid = ?",
                               (user, contact)).fetchone()
            return tuple(found) if found else None
        wait_for(lambda: row("carol", "bob@localhost"), "carol is asked")
        carol.command("/authorization allow bob@localhost")
        wait_for(lambda: row("bob", "carol@localhost") in (("T", "N"), ("B", "N")), "bob may see carol")
        carol.command("/authorization request bob@localhost")
        bob_sees = lambda: row("bob", "carol@localhost")[0] == "B" or row("bob", "carol@localhost")[1] == "I" \
            or bob.command("/authorization allow carol@localhost")
        wait_for(bob_sees, "bob is asked")
        bob.command("/authorization allow carol@localhost")
        wait_for(lambda: row("carol", "bob@localhost")[0] == "B", "both see each other")
    bob.command("/say_to carol@localhost are we friends")
    carol.wait_history("bob@localhost", "are we friends")


def test_mcabber_gets_carbons_of_what_another_client_of_the_same_user_says_and_hears(node, mcabber):
    bob = mcabber("bob")
    wait_for(lambda: online(node, "bob"), "bob is online")
    with node.client("bob", resource="other") as other, node.client("carol", resource="raw") as carol:
        other.presence(), other.sync(), carol.presence(), carol.sync()
        other.message("carol@localhost", "said elsewhere")
        bob.wait_history("carol@localhost", "said elsewhere")
        carol.message("bob@localhost/other", "heard elsewhere")
        bob.wait_history("carol@localhost", "heard elsewhere")


class Profanity:
    """profanity in a terminal: commands are typed, what it hears is read from its log."""

    def __init__(self, folder, name):
        self.log = folder / f"{name}.log"
        self.screen = b""
        self.terminal, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
        self.process = subprocess.Popen(
            ["profanity", "-l", "DEBUG", "-f", self.log], stdin=inner, stdout=inner, stderr=inner, start_new_session=True,
            env={**os.environ, "TERM": "xterm", "HOME": str(folder), "XDG_CONFIG_HOME": f"{folder}/config",
                 "XDG_DATA_HOME": f"{folder}/data", "LC_ALL": "C.UTF-8"})
        os.close(inner)
        threading.Thread(target=self.drain, daemon=True).start()
        self.shows("Type '/help'|seems to be your first time")

    def drain(self):
        try:
            while data := os.read(self.terminal, 65536):
                self.screen += data
        except OSError:         # the program has ended
            pass

    def shows(self, pattern):
        wait_for(lambda: re.search(pattern, re.sub(r"\x1b[\[(][0-9;?]*[a-zA-Z]", " ", self.screen.decode(errors="replace"))),
                 f"'{pattern}' on the screen")

    def type(self, *lines):
        """Each line, when there is a prompt for it if it is not a command."""
        for prompt, line in zip(("", "Enter password", "Confirm password"), lines):
            self.shows(prompt)
            os.write(self.terminal, f"{line}\r".encode())

    def heard(self, pattern):
        """The stanzas with this in them."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return [line for line in text.splitlines() if "RECV:" in line and re.search(pattern, line)]

    def hears(self, pattern):
        return wait_for(lambda: self.heard(pattern), f"'{pattern}' in what profanity hears")

    def stop(self):
        if self.process.poll() is None:
            self.type("/quit")
            self.process.wait(15)
            os.close(self.terminal)


@pytest.fixture
def profanity(tmp_path):
    running = []

    def start(name):
        running.append(Profanity(tmp_path, name))
        return running[-1]

    yield start
    for client in running:
        client.stop()


@pytest.fixture
def wire(node):
    wire = Wire(node.port())
    yield wire
    wire.close()


def test_profanity_registers_makes_a_contact_chats_gets_copies_and_resumes(node, profanity, mcabber, wire):
    first = profanity("first")
    first.type(f"/register dave localhost port {node.port()} tls trust", "secret", "secret")
    first.shows("Registration successful")
    first.stop()
    dave = profanity("dave")
    dave.type(f"/connect dave@localhost server 127.0.0.1 port {wire.port} tls trust", "secret")
    dave.shows("logged in successfully")
    dave.type("/reconnect 1")
    dave.shows("Reconnect interval set to 1")
    dave.type("/carbons on")
    dave.shows("Message carbons preference enabled")
    carol = mcabber("carol")
    wait_for(lambda: online(node, "carol"), "carol is online")
    with node.db() as db:
        def row(user, contact):
            found = db.execute("SELECT subscription FROM rosterusers WHERE username = ? AND jid = ?",
                               (user, contact)).fetchone()
            return found and found[0]
        dave.type("/sub request carol@localhost")
        wait_for(lambda: row("carol", "dave@localhost"), "carol is asked")
        carol.command("/authorization allow dave@localhost")
        dave.hears('<presence[^>]*type="subscribed"')
        carol.command("/authorization request dave@localhost")
        dave.hears('<presence[^>]*type="subscribe"')
        dave.type("/sub allow carol@localhost")
        wait_for(lambda: row("carol", "dave@localhost") == row("dave", "carol@localhost") == "B", "both see each other")
    dave.hears('<presence[^>]*from="carol@localhost/')
    dave.type("/msg carol@localhost hello from profanity")
    carol.wait_history("dave@localhost", "hello from profanity")
    carol.command("/say_to dave@localhost hello from mcabber")
    dave.hears("<body>hello from mcabber</body>")
    with node.client("dave", resource="other") as other:
        other.message("carol@localhost", "said elsewhere")
        dave.hears('<sent xmlns="urn:xmpp:carbons:2">.*<body>said elsewhere</body>')
        wire.cut()
        # Its session goes on meanwhile: it is the only one who can have this.
        with node.client("carol", resource="raw") as raw:
            jid = re.search('from="(dave@localhost/[^"]*)"', dave.heard('<presence[^>]*from="dave@')[0]).group(1)
            raw.message(jid, "said while cut")
            raw.sync()
        dave.hears("<resumed ")
        dave.hears("<body>said while cut</body>")
    assert len(dave.heard("<body>said while cut</body>")) == 1
    assert node.metric("sm_resumed_total") >= 1
