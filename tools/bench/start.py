#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""How fast nodes come and go: containers' configuration, nodes on this machine with a PostgreSQL of their own (`./dev bench start`).

Ready is what an orchestrator sees: GET /readyz answers 200, counted from the start of the process. Beside each figure: a bare echo over
loopback at that moment (µs), so that the machine's mood shows.
usage: start.py BUILD [--quick] [--turns N] [ROW...]"""
import asyncio
import base64
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from cluster import measure, parser_of, row     # also the way to the PostgreSQL of the tests
import database     # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
GUESTS = "\n[auth_anonymous]\n[auth_anonymous@anon.localhost]\nenabled = yes\n"
SM = "urn:xmpp:sm:3"


def answers(port):
    """Does /readyz say so?"""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
            s.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return s.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


class Node:
    """A node as in a container of the image, but for its addresses and the guests."""

    def __init__(self, site, i):
        self.folder = site.folder / f"n{i}"
        self.folder.mkdir(exist_ok=True)
        ini = self.folder / "ini"
        ini.write_text((ROOT / "etc" / "container.ini").read_text() + GUESTS)
        settings = site.settings | {
            "meerkat.node": f"n{i}", "meerkat.hosts": "localhost,anon.localhost", "meerkat.workers": 1, "meerkat.state_dir": self.folder,
            "meerkat.module_path": f"{site.args.build}/.libs", "c2s.listen": "127.0.0.1:0", "c2s.listen_tls": "127.0.0.1:0",
            "http.listen": "127.0.0.1:0", "graphql.user_listen": "127.0.0.1:0", "router.tables": "cets", "cets.listen": "127.0.0.1:0"}
        self.log_path = self.folder / "log"
        self.log = open(self.log_path, "w")
        self.command = [site.args.build / "meerkatd", "--config", ini, *(f"--set={k}={v}" for k, v in settings.items())]

    def start(self):
        self.began = time.monotonic()
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        return self

    def wait_ready(self, patience=60):
        """Seconds from the start of the process."""
        while not ((port := self.port("http")) and answers(port)):
            if self.process.poll() is not None or time.monotonic() > self.began + patience:
                self.fail(f"not ready after {patience} s")
            time.sleep(0.0005)
        return time.monotonic() - self.began

    def fail(self, what):
        logs = "".join(f"\n{path}:\n{path.read_text()[-2000:]}" for path in sorted(self.folder.parent.glob("*/log")))
        raise SystemExit(f"{self.folder.name}: {what}; its process: {self.process.poll()}{logs}")

    def metric(self, name):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.folder / "control.sock"))
            s.sendall(b"metrics\n")
            text = b""
            while data := s.recv(65536):
                text += data
        return int(float(re.search(rf"^{name} (\S+)$", text.decode(), re.M)[1]))

    def wait_metric(self, name, least, patience=60):
        end = time.monotonic() + patience
        while (value := self.metric(name)) < least:
            if time.monotonic() > end:
                self.fail(f"{name} is {value}, not {least}")
            time.sleep(0.01)

    def port(self, what="c2s"):
        """None before it listens."""
        found = re.search(rf"listening for '{what}' on 127.0.0.1:(\d+)", self.log_path.read_text())
        return int(found[1]) if found else None

    def memory(self):
        """MB in memory: its own, and what it has of its files."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return [int(re.search(rf"{what}:\s+(\d+)", status)[1]) / 1024 for what in ("RssAnon", "VmRSS")]

    def stop(self):
        """Seconds from the signal to the end of the process."""
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
        self.log.close()
        return time.monotonic() - began


class Site:
    """Nodes on a new database, stopped at the end."""

    def __init__(self, args, server):
        self.args, self.server, self.nodes = args, server, []
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="meerkat-bench-"))
        self.database = server.create()
        self.settings = server.settings(self.database)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for node in self.nodes:
            node.stop()
        self.server.drop(self.database)
        shutil.rmtree(self.folder)

    def add(self):
        node = Node(self, len(self.nodes))
        self.nodes.append(node)
        return node.start()

    def up(self, count):
        """Seconds until all are ready, joined with all others."""
        began = time.monotonic()
        for _ in range(count):
            self.add()
        for node in self.nodes:
            node.wait_ready()
        for node in self.nodes:
            node.wait_metric("cluster_nodes_joined", count - 1)
        return time.monotonic() - began

    def users(self, count):
        with database.Connection(self.server.connect(self.database), True) as db:
            db.execute("INSERT INTO users (server, username, password) SELECT 'localhost', 'u' || i, 'secret' "
                       "FROM generate_series(0, ?) AS i", (count - 1,))


def several(times, unit=1000):
    times = sorted(times)
    return f"{times[len(times) // 2] * unit:.{0 if unit > 1 else 2}f} ({times[-1] * unit:.{0 if unit > 1 else 2}f})"


def join(args, server):
    count = 200 if args.quick else 10000
    with Site(args, server) as site:
        site.up(2)
        guests = subprocess.Popen(
            [args.build / "meerkat-bench", "-q", "-H", ",".join(f"127.0.0.1:{n.port()}" for n in site.nodes), "-M", "ANONYMOUS", "-D",
             "anon.localhost", "idle", "-n", str(count), "-d", "600", "--parallel", "50"], stdout=subprocess.DEVNULL)
        try:
            site.nodes[0].wait_metric("cluster_records", count)
            times = []
            for _ in range(args.turns):
                node = site.add()
                times.append(node.wait_ready())
                node.wait_metric("cluster_records", count, patience=0)      # ready is: it has them all
                node.stop()
                site.nodes.pop()
        finally:
            guests.terminate()
            guests.wait()
    row(f"a third node is ready, {count:,} sessions in the cluster, ms median (longest of {args.turns})", several(times), "≤ 300")


def cold(args, server):
    fresh, again = [], []
    for _ in range(args.turns):
        with Site(args, server) as site:
            fresh.append(site.up(3))
            memory = [n.memory() for n in site.nodes]
            for node in site.nodes:
                node.stop()
            site.nodes.clear()
            again.append(site.up(3))
    row(f"three nodes at once, an empty database, until all are ready and joined, s median (longest of {args.turns})", several(fresh, 1), "≤ 1.5")
    row("the same, the tables are there", several(again, 1), "≤ 1.5")
    row("memory of a node of the three, idle, MB: its own (with its part of files)", "{:.1f} ({:.1f})".format(*max(memory)), "≤ 20")


class Client:
    """A session with stream management, which can continue elsewhere."""

    def __init__(self, i):
        self.user = f"u{i}"

    async def expect(self, pattern):
        while not (match := re.search(pattern, self.text)):
            data = await asyncio.wait_for(self.reader.read(65536), 60)
            if not data:
                raise SystemExit(f"no '{pattern}': {self.text}")
            self.text += data.decode()
        self.text = self.text[match.end():]
        return match

    async def log_in(self, port):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self.text = ""
        head = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>"
        plain = base64.b64encode(f"\0{self.user}\0secret".encode()).decode()
        self.writer.write(f"{head}<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>".encode())
        await self.expect("<success")
        self.writer.write(head.encode())
        await self.expect("</stream:features>")

    async def open(self, port):
        await self.log_in(port)
        self.writer.write(f"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>t</resource></bind></iq>"
                          f"<enable xmlns='{SM}' resume='true'/><presence/><iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>".encode())
        self.previd = (await self.expect(r"<enabled[^>]* id='([^']+)'"))[1]
        await self.expect(r"<iq [^>]*id='p'[^>]*>")

    async def resume(self, port):
        self.writer.close()
        await self.log_in(port)
        self.writer.write(f"<resume xmlns='{SM}' previd='{self.previd}' h='0'/>".encode())
        await self.expect(f"<resumed xmlns='{SM}'")


async def at_once(jobs, limit=50):
    """All of the jobs, so many at a time."""
    gate = asyncio.Semaphore(limit)

    async def one(job):
        async with gate:
            await job
    await asyncio.gather(*(one(job) for job in jobs))


async def drained(site, count):
    """Seconds from the signal to the end of a node with so many sessions."""
    leaving, *others = site.nodes
    clients = [Client(i) for i in range(count)]
    await at_once(client.open(leaving.port()) for client in clients)
    for node in site.nodes:
        await asyncio.to_thread(node.wait_metric, "cluster_records", count)
    took = await asyncio.to_thread(leaving.stop)
    arrived = sum(node.metric("sm_sessions_arrived_total") for node in others)
    if leaving.process.returncode or arrived != count:
        raise SystemExit(f"{arrived} of {count} sessions arrived:\n{leaving.log_path.read_text()[-2000:]}")
    some = random.sample(clients, min(count, 200))
    await at_once(client.resume(random.choice(others).port()) for client in some)
    for client in clients:
        client.writer.transport.abort()
    return took


def drain(args, server):
    count = 100 if args.quick else 5000
    times = []
    for _ in range(min(args.turns, 3)):
        with Site(args, server) as site:
            site.up(3)
            site.users(count)
            times.append(asyncio.run(drained(site, count)))
    row(f"a node with {count:,} sessions with stream management is told to stop and has ended; all are at the other two, s median (longest of {len(times)})",
        several(times, 1), "≤ 3")


ROWS = {"join": join, "cold": cold, "drain": drain}


def main():
    parser = parser_of(ROWS, __doc__)
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args()
    args.turns = 1 if args.quick else args.turns
    measure(ROWS, args)


if __name__ == "__main__":
    main()
