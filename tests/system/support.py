# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""What system tests share: a node of their own, and a client that speaks XML over a plain socket.

A test asks for the fixture `node` (started once a test file, configured by the file's CONFIG) or makes
nodes itself with the fixture `start_node`. Every node has a directory of its own, listens on free
ports of loopback and is stopped, with its exit status checked, when the test is over.
"""
import base64
import hashlib
import hmac
import os
import pathlib
import re
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

import database

BUILD = pathlib.Path(os.environ.get("MEERKAT_BUILD",
                                    pathlib.Path(__file__).resolve().parents[2] / "build"))
MODULES = pathlib.Path(os.environ.get("MEERKAT_MODULES", BUILD / ".libs"))
PATIENCE = float(os.environ.get("MEERKAT_PATIENCE", "15"))

BASE = """
[meerkat]
hosts = {hosts}
workers = 2
state_dir = {dir}
module_path = {modules}
"""


def wait_for(condition, what="a condition", patience=PATIENCE):
    """Returns the first true value of condition(); fails with `what` when there is none in time."""
    end = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < end, f"waited {patience} s in vain for {what}"
        time.sleep(0.01)
    return value


def freeze(process):
    """SIGSTOP, until every thread has stopped: the signal alone takes its time."""
    process.send_signal(signal.SIGSTOP)
    tasks = pathlib.Path(f"/proc/{process.pid}/task")
    wait_for(lambda: all(stat.read_text().rsplit(")", 1)[1].split()[0] == "T" for stat in tasks.glob("*/stat")),
             "all threads to stop")


# What clients of this process have said, and what must be in no log: bodies, and passwords as they go over the wire.
said = set()
SAID_MAX = 5000


def note_said(text):
    """Keeps the bodies of a text that is sent, if they are long enough not to be in a log by chance."""
    if len(said) < SAID_MAX:
        said.update(re.findall(r"<body>([^<]{12,})</body>", text))


def wire_forms(password):
    """PLAIN's base64 of a password behind a NUL: the characters that are the same whatever stands before."""
    forms = []
    for before in range(3):
        text = base64.b64encode(b"x" * before + b"\0" + password.encode()).decode()
        forms.append(text[4 if before else 0:].rstrip("=")[:-1])
    return forms


def leaks(log):
    """What must not be in a log and is."""
    words = ["<body", "<password", "<auth ", "<response", "password=secret", "password 'secret'", *wire_forms("secret")]
    return [word for word in [*words, *said] if word in log]


class Node:
    """A meerkatd of its own. `config` is INI text behind [meerkat]; {dir} in it is its directory.
    `kind` of database: sqlite, pgsql."""

    def __init__(self, folder, config, hosts="localhost", args=(), kind=database.KIND):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ini = self.folder / "meerkat.ini"
        self.log_file = self.folder / "log"
        self.socket_path = self.folder / "control.sock"
        self.args = list(args)
        self.hosts = hosts
        self.database = None
        if kind == "pgsql":
            self.use_postgres()
        self.configure(config)
        self.process = None

    def use_postgres(self, name=None, server=None):
        """Puts this node on a database of the test run's PostgreSQL: a new one, or `name`."""
        server = server or database.postgres()
        self.database = name or server.create()
        for key, value in server.settings(self.database).items():
            self.args += ["--set", f"{key}={value}"]

    def db(self):
        """A connection into its database, whichever kind that is."""
        return database.connect(self)

    def configure(self, config):
        # A [meerkat] of the test's own goes over ours: twice in a file is an error.
        own = re.search(r"^\[meerkat\]\n((?:[^\[\n].*\n|\n)*)", config, re.M)
        base = BASE
        for key, value in re.findall(r"^(\w+) *= *(.*)$", own.group(1) if own else "", re.M):
            base = re.sub(rf"^{key} *=.*\n", "", base, flags=re.M) + f"{key} = {value}\n"
        if own:
            config = config.replace(own.group(0), "")
        if "[log]" not in config:
            config += "\n[log]\nlevel = debug\n"
        text = (base + config).replace("{dir}", str(self.folder)).replace("{hosts}", self.hosts)
        self.ini.write_text(text.replace("{modules}", str(MODULES)))

    def start(self, wait=True, wrapper=(), env=None):
        self.mark = self.log_file.stat().st_size if self.log_file.exists() else 0
        with open(self.log_file, "a") as log:
            self.process = subprocess.Popen(
                [*wrapper, BUILD / "meerkatd", "--foreground", "--config", self.ini, *self.args],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=env)
        if wait:
            self.wait_log("is ready", patience=max(30, PATIENCE))
        return self

    def log(self):
        """What it logged since it was started last."""
        with open(self.log_file, errors="replace") as f:
            f.seek(self.mark)
            return f.read()

    def wait_log(self, pattern, patience=PATIENCE):
        def look():
            match = re.search(pattern, self.log())
            if not match and self.process.poll() is not None:
                raise AssertionError(f"meerkatd ended ({self.process.returncode}):\n{self.log()}")
            return match
        return wait_for(look, f"'{pattern}' in the log", patience)

    def port(self, what="c2s"):
        """The port of the listener that the log calls `what`."""
        return int(self.wait_log(rf"listening for '{what}' on [^\s\"]*:(\d+)").group(1))

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(30) == 0, self.log()[-4000:]
            assert not leaks(self.log()), leaks(self.log())

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def control(self, *words):
        """A command on the control socket: the answer as text."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE)
            s.connect(str(self.socket_path))
            s.sendall((" ".join(words) + "\n").encode())
            answer = b""
            while data := s.recv(65536):
                answer += data
        return answer.decode()

    def metric(self, name, label=""):
        """The sum of a metric over all its label sets that contain `label`."""
        found = re.findall(rf"^{name}((?:{{[^}}]*}})?) (\S+)$", self.control("metrics"), re.M)
        assert found, f"there is no metric {name}"
        return sum(float(value) for labels, value in found if label in labels)

    def memory(self):
        """What it has in memory, in KB."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))

    def client(self, user=None, password="secret", resource="test", host=None, **more):
        """A raw client, logged in with PLAIN and bound when `user` is given."""
        c = Client(self.port(), host or self.hosts.split(",")[0].strip(), **more)
        if user:
            c.login(user, password, resource)
        return c


class Wire:
    """A connection through us, which can be cut: clients connect to `port` and reach `to`."""

    def __init__(self, to):
        self.to = to
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.ends = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                return
            self.ends += [near, far]
            for a, b in (near, far), (far, near):
                threading.Thread(target=self.pump, args=(a, b), daemon=True).start()

    def pump(self, a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def cut(self):
        """Both ends are gone, without a farewell."""
        ends, self.ends = self.ends, []
        for end in ends:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()

    def close(self):
        # Closing alone does not wake the thread that accepts.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()


class Closed(Exception):
    """The server closed the connection; the text is what came before."""


class Client:
    """An XML stream over TCP, as text: no library that could hide what the server really does."""

    def __init__(self, port, host="localhost", stream=True, tls=None, source="127.0.0.1"):
        self.host = host
        self.port = port
        self.jid = None
        self.buffer = ""
        self.partial = b""
        self.serial = 0
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE,
                                               source_address=(source, 0))
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname=host)
        if stream:
            self.features = self.restart()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.drop()

    def header(self):
        return ("<?xml version='1.0'?><stream:stream xmlns='jabber:client' version='1.0' "
                f"xmlns:stream='http://etherx.jabber.org/streams' to='{self.host}'>")

    def restart(self):
        self.buffer = ""
        self.send(self.header())
        return self.until("</stream:features>|<stream:features/>")

    def starttls(self, context):
        self.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        self.until("<proceed[^>]*/>")
        self.socket = context.wrap_socket(self.socket, server_hostname=self.host)
        self.features = self.restart()

    def send(self, text):
        note_said(text)
        self.socket.sendall(text.encode())

    def receive(self, patience=PATIENCE):
        self.socket.settimeout(patience)
        data = self.socket.recv(65536)
        if not data:
            raise Closed(self.buffer)
        data = self.partial + data
        text = data.decode(errors="ignore")
        self.partial = data[len(text.encode()):]
        self.buffer += text

    def until(self, pattern, patience=PATIENCE):
        """Reads until `pattern` is there; returns everything up to its end."""
        end = time.monotonic() + patience
        while not (match := re.search(pattern, self.buffer, re.S)):
            left = end - time.monotonic()
            try:
                assert left > 0
                self.receive(left)
            except (AssertionError, TimeoutError):
                raise AssertionError(f"waited for {pattern!r}, got {self.buffer!r}") from None
        text, self.buffer = self.buffer[:match.end()], self.buffer[match.end():]
        return text

    def stanza(self, pattern=".", patience=PATIENCE):
        """The next stanza or other element that matches `pattern`; others before it are dropped."""
        while True:
            # From the beginning: of a stanza that has come in part a child is not the next one.
            text = self.until(r"\A(?:[^<]|</[^>]*>)*<([a-zA-Z:]+)\b(?:[^>]*/>|.*?</\1>)", patience)
            text = re.sub(r"\A(?:[^<]|</[^>]*>)*", "", text)
            if re.search(pattern, text, re.S):
                return text

    def nothing(self, pattern="<(message|presence|iq)"):
        """Checks that no such thing came, by a ping through the server that comes back last."""
        text = self.sync()
        assert not re.search(pattern, text, re.S), text

    def sync(self):
        """Everything that comes until the server has answered a request of ours."""
        self.serial += 1
        mark = f"sync{self.serial}"
        self.send(f"<iq type='get' id='{mark}' to='{self.host}'><sync xmlns='meerkat:test'/></iq>")
        return self.until(rf"<iq[^>]*id='{mark}'.*?</iq>").rsplit("<iq", 1)[0]

    def closed(self, pattern="", patience=PATIENCE):
        """Reads to the end of the connection: what came, which must match `pattern`."""
        end = time.monotonic() + patience
        try:
            while True:
                assert time.monotonic() < end, f"still open after {self.buffer!r}"
                self.receive(max(0.01, end - time.monotonic()))
        except (Closed, ConnectionResetError, ssl.SSLError):
            pass
        assert re.search(pattern, self.buffer, re.S), f"no {pattern!r} in {self.buffer!r}"
        return self.buffer

    def iq(self, type_, child, to=None, id_=None):
        """Sends a request; returns the answer."""
        self.serial += 1
        id_ = id_ or f"iq{self.serial}"
        address = f" to='{to}'" if to else ""
        self.send(f"<iq type='{type_}' id='{id_}'{address}>{child}</iq>")
        return self.stanza(rf"^<iq[^>]*\bid='{id_}'")

    def authenticate(self, user, password="secret"):
        text = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        self.send(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{text}</auth>")
        answer = self.until("<success[^>]*/>|</failure>")
        assert "<success" in answer, answer
        self.features = self.restart()

    def login(self, user, password="secret", resource="test"):
        self.authenticate(user, password)
        name = f"<resource>{resource}</resource>" if resource else ""
        answer = self.iq("set", f"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{name}</bind>")
        self.jid = re.search("<jid>([^<]*)</jid>", answer).group(1)
        self.bare = self.jid.split("/")[0]
        return self

    def presence(self, inner="", type_=None, to=None):
        """Sends presence; without arguments initial presence, whose own copy is waited for."""
        attributes = (f" type='{type_}'" if type_ else "") + (f" to='{to}'" if to else "")
        self.send(f"<presence{attributes}>{inner}</presence>")
        return self

    def message(self, to, body, type_="chat", more=""):
        self.serial += 1
        self.send(f"<message to='{to}' type='{type_}' id='m{self.serial}'><body>{body}</body>{more}"
                  "</message>")

    def close(self):
        """A polite end: RFC 6120 §4.4."""
        self.send("</stream:stream>")
        self.closed("</stream:stream>")
        self.drop()

    def drop(self):
        """The connection is gone without a word."""
        self.socket.close()


# -- what SASL tests and others need to log in by SCRAM

SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
SASL2 = "urn:xmpp:sasl:2"
HASHES = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
END = r"(</?success[^>]*/>|</success>|</failure>|</stream:stream>)"


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


def inner(xml, name):
    """The decoded text of the first element of this name, or None."""
    match = re.search(rf"<{name}\b[^>]*>\s*([^<\s]*)\s*</{name}>", xml)
    return base64.b64decode(match.group(1)) if match else None


def auth(mechanism, data=None, sasl2=False, more=""):
    if not sasl2:
        text = "" if data is None else b64(data)
        return f"<auth xmlns='{SASL}' mechanism='{mechanism}'>{text}</auth>"
    first = "" if data is None else f"<initial-response>{b64(data)}</initial-response>"
    return f"<authenticate xmlns='{SASL2}' mechanism='{mechanism}'>{first}{more}</authenticate>"


def scram(client, mechanism, user, password, gs2="n,,", data=b"", sasl2=False, more="", mangle=None):
    """Runs an exchange; returns the server's last words, having checked its signature."""
    alg = HASHES[mechanism.removesuffix("-PLUS")]
    bare = f"n={user},r=fyko+d2lbbFgONRv9qkxdawL"
    client.send(auth(mechanism, gs2 + bare, sasl2, more))
    answer = client.until(r"</challenge>|" + END)
    challenge = inner(answer, "challenge")
    if challenge is None:
        return answer
    fields = dict(part.split("=", 1) for part in challenge.decode().split(","))
    salted = hashlib.pbkdf2_hmac(alg, password.encode(), base64.b64decode(fields["s"]),
                                 int(fields["i"]))
    key = hmac.digest(salted, b"Client Key", alg)
    final = f"c={b64(gs2.encode() + data)},r={fields['r']}"
    if mangle:
        final = mangle(final)
    message = f"{bare},{challenge.decode()},{final}".encode()
    proof = hmac.digest(hashlib.new(alg, key).digest(), message, alg)
    proof = bytes(a ^ b for a, b in zip(key, proof))
    ns = SASL2 if sasl2 else SASL
    client.send(f"<response xmlns='{ns}'>{b64(final + ',p=' + b64(proof))}</response>")
    answer = client.until(END)
    signature = inner(answer, "additional-data" if sasl2 else "success")
    if signature:
        server_key = hmac.digest(salted, b"Server Key", alg)
        assert signature == b"v=" + b64(hmac.digest(server_key, message, alg)).encode()
    return answer
