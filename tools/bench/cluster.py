#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""What a cluster costs: nodes on this machine, on a PostgreSQL of their own (`./dev bench cluster`).

Beside each figure: a bare echo of 196 bytes over loopback between two processes at that moment (µs, median), so that the
machine's mood shows. CPU is that of all nodes together.
usage: cluster.py BUILD [--quick] [--seconds N] [--workers N] [ROW...]"""
import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "system"))
import database     # noqa: E402  the PostgreSQL of the tests

RECORD = 196
CONFIG = """
[meerkat]
hosts = localhost, anon.localhost
node = {name}
workers = {workers}
state_dir = {dir}
module_path = {build}/.libs
[rdbms]
"""
CLUSTER = """
[discovery_rdbms]
interval = 1s
[cets]
listen = 127.0.0.1:0
[router]
tables = cets
"""
CHAT = """
[c2s]
listen = 127.0.0.1:0
[auth_anonymous]
[auth_anonymous@anon.localhost]
enabled = yes
[sm]
acknowledge = {acknowledge}
""" + "".join(f"[{m}]\n" for m in "auth_rdbms sasl roster presence offline blocking carbons csi disco ping".split())


def echo(turns=500):
    """Microseconds of one record to another process and back: median."""
    listener = socket.create_server(("127.0.0.1", 0))
    pid = os.fork()
    if pid == 0:
        s = socket.create_connection(listener.getsockname())
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := s.recv(256):
            s.sendall(data)
        os._exit(0)
    s, _ = listener.accept()
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    times = []
    for _ in range(turns):
        began = time.perf_counter_ns()
        s.sendall(b"x" * RECORD)
        s.recv(256)
        times.append(time.perf_counter_ns() - began)
    s.close()
    listener.close()
    os.waitpid(pid, 0)
    return sorted(times)[turns // 2] / 1000


def row(what, figure, must=""):
    print(f"| {what} | {figure} | {must} | {echo():.0f} |", flush=True)


class Node:
    def __init__(self, site, name, text, workers=None):
        self.site = site
        self.folder = site.folder / name
        self.folder.mkdir()
        base = CONFIG.format(name=name, workers=workers or site.args.workers, dir=self.folder, build=site.args.build)
        (self.folder / "ini").write_text(base + text)
        self.log_path = self.folder / "log"
        settings = [w for key, value in site.settings.items() for w in ("--set", f"{key}={value}")]
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen([site.args.build / "meerkatd", "--foreground", "--config", self.folder / "ini",
                                             *settings], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait(self, pattern, patience=120):
        end = time.monotonic() + patience
        while not (match := re.search(pattern, self.log_path.read_text())):
            if self.process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"no '{pattern}':\n{self.log_path.read_text()[-2000:]}")
            time.sleep(0.01)
        return match

    def port(self):
        return self.wait(r"listening for 'c2s' on 127.0.0.1:(\d+)")[1]

    def joined(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.folder / "control.sock"))
            s.sendall(b"metrics\n")
            text = b""
            while data := s.recv(65536):
                text += data
        return int(float(re.search(rb"^cluster_nodes_joined (\S+)$", text, re.M)[1]))

    def memory(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+)", status)[1]) * 1024

    def cpu(self):
        """Seconds of CPU, of all its threads, exactly."""
        return sum(int((t / "schedstat").read_text().split()[0]) for t in
                   pathlib.Path(f"/proc/{self.process.pid}/task").iterdir()) / 1e9

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Site:
    """The nodes of one or more rows, on a database of their own, stopped at the end."""

    def __init__(self, args, server):
        self.args, self.nodes = args, []
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="meerkat-bench-"))
        self.settings = server.settings(server.create())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for node in self.nodes:
            node.stop()
        shutil.rmtree(self.folder)

    def add(self, text, cluster=True, **more):
        node = Node(self, f"n{len(self.nodes)}", (CLUSTER if cluster else "[router]\n") + text, **more)
        self.nodes.append(node)
        return node

    def up(self, count, text, **more):
        for _ in range(count):
            self.add(text, **more)
        for node in self.nodes:
            node.wait("cets.in_sync|is ready" if not more.get("cluster", True) else "cets.in_sync")
        return self.nodes


# -- tables ----------------------------------------------------------------------------------------


def tables(args, server):
    many, single, each = (20000, 500, 100) if args.quick else (1000000, 20000, 3000)
    with Site(args, server) as site:
        nodes = site.up(2, "[t_tables]\n")
        empty = nodes[0].memory()
        writer = site.add(f"[t_tables]\nnodes = 3\nmany = {many}\nsingle = {single}\neach = {each}\n"
                          f"steady = {500 if args.quick else 8000}ms\n")
        found = writer.wait(r"many: (\d+) records in (\d+) us")
        used = sum(n.cpu() for n in nodes)
        row("insert_many in batches of 1,000, records a second (µs CPU, 3 nodes)",
            f"{int(found[1]) / int(found[2]) * 1e6:,.0f} ({used / many * 1e6:.2f})", "≥ 1,000,000")
        found = writer.wait(r"single: median (\d+) us, p99 (\d+) us")
        alone = sum(n.cpu() for n in nodes) - used
        row("insert that waits for all nodes, µs median / p99 (µs CPU, 3 nodes)", f"{found[1]} / {found[2]} ({alone / single * 1e6:.0f})",
            "≤ 60 / ≤ 200")
        used += alone
        found = writer.wait(r"writers: (\d+) us")
        writers = sum(n.cpu() for n in nodes) - used
        late = site.add("[t_tables]\n")     # while a few go on writing
        total = many + single + 64 * each
        memory = (nodes[0].memory() - empty) / total - RECORD
        joined = late.wait(r"in sync with the cluster after (\d+) ms: (\d+) records")
        stall = writer.wait(r"steady: p99.9 (\d+) us, longest (\d+) us")
        row("the same, 64 writers, a second (µs CPU, 3 nodes)",
            f"{64 * each / int(found[1]) * 1e6:,.0f} ({writers / 64 / each * 1e6:.1f})", "≥ 150,000")
        row(f"a fresh node joins, {int(joined[2]):,} records, s", f"{int(joined[1]) / 1000:.2f}", "≤ 2.5")
        row("stall of writers meanwhile, ms p99.9 / longest", f"{int(stall[1]) / 1000:.1f} / {int(stall[2]) / 1000:.1f}", "≤ 5 /")
        row("memory a record and node above its 196 bytes", f"{memory:.0f}", "≤ 160")


def sixteen(args, server):
    with Site(args, server) as site:
        began = time.monotonic()
        for _ in range(4 if args.quick else 16):
            site.add("")
        for node in site.nodes:
            node.wait("is ready")
        while not all(node.joined() == len(site.nodes) - 1 for node in site.nodes):
            time.sleep(0.02)
        row(f"{len(site.nodes)} nodes started at once are in sync, s", f"{time.monotonic() - began:.1f}", "≤ 5")


def sessions(args, server):
    count = 2000 if args.quick else 100000
    with Site(args, server) as site:
        site.up(2, "")
        first = site.add(f"[t_sessions]\nnodes = 3\nopen = {count}\n")
        first.wait("sessions are about to be opened")
        before = [n.cpu() for n in site.nodes]
        first.wait("opened and closed")
        used = sum(n.cpu() for n in site.nodes) - sum(before)
        row("session open + close on 3 nodes, µs CPU", f"{used / count * 1e6:.1f}", "≤ 40")


def lookups(args, server):
    records = 20000 if args.quick else 1000000
    with Site(args, server) as site:
        bare = site.add("", workers=2)
        bare.wait("cets.in_sync")
        empty = bare.memory()
        bare.stop()
        node = site.add(f"[t_sessions]\nrecords = {records}\nlookups = {200 if args.quick else 3000}ms\n", workers=2)
        node.wait(r"(?s)lookups: .* on a worker.*lookups: .* on a worker")
        row("memory of a session's record, bytes", f"{(node.memory() - empty) / records:.0f}")
        found = re.findall(r"lookups: (\d+) in (\d+) us on a worker, (\d+)", node.log_path.read_text())
        cost = sum(int(cpu) for _, _, cpu in found) / sum(int(n) for n, _, _ in found)
        row(f"look-ups by bare JID, {records:,} sessions, 2 threads, a second (µs CPU each)",
            f"{sum(int(n) / int(us) * 1e6 for n, us, _ in found):,.0f} ({cost:.2f})", "≥ 5,000,000")


# -- chat ------------------------------------------------------------------------------------------


def load(args, site, words):
    command = [args.build / "meerkat-bench", "-q", *(("-W", "0.1") if args.quick else ()), "-H", ",".join(f"127.0.0.1:{n.port()}" for n in site.nodes),
               "-d", str(args.seconds), "-M", "ANONYMOUS", "-D", "anon.localhost", "chat", "-n",
               "60" if args.quick else "600", *words.split()]
    for node in site.nodes:
        command += ["-P", str(node.process.pid)]
    answer = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)["result"]
    if answer["errors"]["total"] or answer["whole_run"]["lost"] or answer["whole_run"]["disordered"]:
        print(f"# {answer['errors']} {answer['whole_run']}", file=sys.stderr)
    return answer


def chat(args, server):
    alone = {}
    with Site(args, server) as site:
        site.up(1, CHAT.format(acknowledge="routed"), cluster=False)
        for window in (1, 8):
            alone[window] = load(args, site, f"-w {window}")["cpu_us_per_message"]
            row(f"chat on one node without a cluster, window {window}, µs CPU a message", f"{alone[window]:.1f}")
    with Site(args, server) as site:
        site.up(3, CHAT.format(acknowledge="routed"))
        for window in (1, 8):
            cost = load(args, site, f"-w {window}")["cpu_us_per_message"]
            row(f"chat between nodes, window {window}, µs CPU a message (× one node)",
                f"{cost:.1f} ({cost / alone[window]:.2f})", "(≤ 2.5)")


def safe(args, server):
    for acknowledge in ("routed", "safe"):
        with Site(args, server) as site:
            site.up(3, CHAT.format(acknowledge=acknowledge))
            for where, words in (("between nodes", ""), ("within nodes", "--same-node")):
                cost = load(args, site, f"--sm -w 8 {words}")["cpu_us_per_message"]
                slow = load(args, site, f"--sm=1 -w 1 -r {500 if args.quick else 2000} {words}")
                acked, came = slow["sm"]["acked_us"], slow["latency_us"]
                row(f"acknowledge = {acknowledge}, chat {where}: µs CPU a message at window 8", f"{cost:.1f}")
                row(f"— at 2,000 a second: µs until acknowledged, median / p99 (until received)",
                    f"{acked['p50']:.0f} / {acked['p99']:.0f} ({came['p50']:.0f} / {came['p99']:.0f})")


ROWS = {"tables": tables, "sixteen": sixteen, "sessions": sessions, "lookups": lookups, "chat": chat, "safe": safe}


def parser_of(rows, doc):
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--quick", action="store_true", help="small numbers: to see that it works")
    parser.add_argument("rows", nargs="*", choices=[*rows, []], metavar="ROW", help=f"of {', '.join(rows)}")
    return parser


def measure(rows, args):
    """Prints the table, with a PostgreSQL of its own."""
    args.build = args.build.resolve()
    server = database.Postgres().start()
    print("| what | here | must | echo µs |\n|---|---|---|---|")
    try:
        for name in args.rows or rows:
            rows[name](args, server)
    finally:
        server.destroy()


def main():
    parser = parser_of(ROWS, __doc__)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--workers", type=int, default=1)
    measure(ROWS, parser.parse_args())


if __name__ == "__main__":
    main()
